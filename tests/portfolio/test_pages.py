import json
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from portfolio.columns import ALLOWED, NEEDED
from portfolio.ledger import KINDS
from portfolio.models import Portfolio
from portfolio.pages import form_table

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password="alice")


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    return Portfolio.objects.create(user=alice, name="<b>Growth</b>", currency="USD")


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def public(names: object) -> set[str]:
    renamed = {"asset": "symbol", "other_asset": "other_symbol"}
    return {renamed.get(name, name) for name in names}  # type: ignore[attr-defined]


def test_the_form_offers_every_type_but_a_reversal() -> None:
    table = form_table()
    assert list(table) == [kind for kind in KINDS if kind != "reversal"]
    assert table["cash_in_lieu"]["label"] == "Cash in lieu"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "reversal"])
def test_the_form_has_what_the_type_needs_and_may_have(kind: str) -> None:
    fields = form_table()[kind]
    assert set(fields["needed"]) == public(NEEDED[kind])  # type: ignore[index]
    assert public(ALLOWED[kind]) <= {*fields["needed"], *fields["optional"]}  # type: ignore[index]
    assert not set(fields["needed"]) & set(fields["optional"])


def test_the_form_asks_for_a_currency_only_where_the_asset_does_not_say_it() -> None:
    table = form_table()
    assert "currency" not in table["buy"]["optional"]
    assert "currency" in table["dividend"]["optional"]
    assert "rate" in table["buy"]["optional"]
    assert "rate" not in table["split"]["optional"]


def test_the_page_carries_the_table_as_data_and_the_name_as_text(alice: User, portfolio: Portfolio) -> None:
    html = client_of(alice).get(f"/portfolios/{portfolio.pk}/").content.decode()
    found = re.search(r'<script id="form-table" type="application/json">(.*?)</script>', html)
    assert found and json.loads(found[1]) == form_table()
    assert "<b>Growth" not in html
    assert 'data-zone="UTC"' in html


@pytest.mark.parametrize("page", ["", "import/"])
def test_a_foreign_portfolio_has_no_pages(portfolio: Portfolio, page: str) -> None:
    bob = client_of(User.objects.create_user("bob"))
    assert bob.get(f"/portfolios/{portfolio.pk}/{page}").status_code == 404
    assert Client().get(f"/portfolios/{portfolio.pk}/{page}").status_code == 302
