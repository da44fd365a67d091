import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from assets.models import Asset, PriceBar
from portfolio.models import Portfolio, Transaction, WatchlistItem
from realtime.models import AccessToken
from realtime.tokens import new_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def bought() -> Transaction:
    """A purchase that a later sale needs, and one of everything else."""
    alice = User.objects.create_user("alice")
    portfolio = Portfolio.objects.create(user=alice, name="Growth")
    acme = Asset.objects.create(symbol="ACME", current_price=5)
    row = {"portfolio": portfolio, "asset": acme, "quantity": 1, "price": 1, "currency": "USD"}
    bought = Transaction.objects.create(type="buy", **row)
    Transaction.objects.create(type="sell", **row)
    Transaction.objects.create(type="buy", **row)
    WatchlistItem.objects.create(user=alice, asset=acme)
    PriceBar.objects.create(asset=acme, interval="1d", start=timezone.now(), open=1, high=1, low=1, close=1)
    text, digest = new_token()
    AccessToken.objects.create(user=alice, name="script", digest=digest, prefix=text[:10])
    return bought


def test_every_page_opens(admin: Client, bought: Transaction) -> None:
    for model in (
        "assets/asset",
        "assets/pricebar",
        "portfolio/portfolio",
        "portfolio/transaction",
        "portfolio/position",
        "portfolio/watchlistitem",
        "realtime/accesstoken",
    ):
        listed = admin.get(f"/admin/{model}/?q=a")
        assert listed.status_code == 200, model
        app, name = model.split("/")
        key = listed.context["cl"].model.objects.values_list("pk", flat=True)[0]
        assert admin.get(f"/admin/{app}/{name}/{key}/change/").status_code == 200, model


def test_rows_are_reversed_not_edited_or_deleted(admin: Client, bought: Transaction) -> None:
    page = f"/admin/portfolio/transaction/{bought.pk}/"
    assert admin.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    assert admin.post(f"{page}change/", {"quantity": "7"}).status_code == 403
    several = {"action": "reverse", "_selected_action": [bought.pk]}
    answer = admin.post("/admin/portfolio/transaction/", several, follow=True)
    assert "Nothing was reversed: expected a sale of at most 0 ACME" in answer.content.decode()
    assert Transaction.objects.count() == 3
    several["_selected_action"] = [row.pk for row in Transaction.objects.all()]
    answer = admin.post("/admin/portfolio/transaction/", several, follow=True)
    assert "3 reversed." in answer.content.decode()
    assert Transaction.objects.filter(type="reversal").count() == 3


def test_a_portfolio_is_deleted_with_its_rows(admin: Client, bought: Transaction) -> None:
    page = f"/admin/portfolio/portfolio/{bought.portfolio_id}/delete/"
    assert admin.post(page, {"post": "yes"}).status_code == 302
    assert not Transaction.objects.exists()


def test_a_form_says_what_the_ledger_refuses(admin: Client, bought: Transaction) -> None:
    form = {
        "portfolio": bought.portfolio_id,
        "type": "sell",
        "asset": bought.asset_id,
        "quantity": "7",
        "price": "1",
        "fee": "0",
        "currency": "USD",
        "time_0": "2026-01-02",
        "time_1": "10:00:00",
        "row_order": "0",
    }
    answer = admin.post("/admin/portfolio/transaction/add/", form)
    assert "expected a sale of at most 0 ACME" in answer.content.decode()


def test_renaming_an_asset_does_not_bring_back_an_old_price(admin: Client, bought: Transaction) -> None:
    asset = Asset.objects.get()
    form = {
        "symbol": "ACME",
        "name": "Acme",
        "asset_class": "other",
        "currency": "USD",
        "multiplier": "1",
        "calendar": "24/7",
        "feed_symbols-TOTAL_FORMS": "0",
        "feed_symbols-INITIAL_FORMS": "0",
    }
    assert admin.post(f"/admin/assets/asset/{asset.pk}/change/", form).status_code == 302
    asset.refresh_from_db()
    assert (asset.name, asset.current_price) == ("Acme", 5)


def test_a_token_can_be_revoked_but_not_made(admin: Client, bought: Transaction) -> None:
    assert admin.get("/admin/realtime/accesstoken/add/").status_code == 403
    key = AccessToken.objects.get().pk
    admin.post(f"/admin/realtime/accesstoken/{key}/delete/", {"post": "yes"})
    assert not AccessToken.objects.exists()
