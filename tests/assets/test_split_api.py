from datetime import date

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from assets.models import Asset, Split
from tests.assets.builders import at, make_asset

pytestmark = pytest.mark.django_db
ADDRESS = "/api/assets/BRK/B/splits/"


def client_of(*, staff: bool) -> APIClient:
    client = APIClient()
    client.force_login(User.objects.create_user("alice", is_staff=staff))
    return client


@pytest.fixture
def asset() -> Asset:
    return make_asset("BRK/B", calendar="XNYS")


def test_staff_add_a_split_and_everybody_sees_it(asset: Asset) -> None:
    answer = client_of(staff=True).post(ADDRESS, {"ex_date": "2026-11-19", "numerator": 10})
    assert answer.status_code == 201
    split = Split.objects.get()
    shown = {
        "id": split.pk,
        "ex_date": "2026-11-19",
        "numerator": 10,
        "denominator": 1,
        "effective_at": "2026-11-19T05:00:00.000000Z",
    }
    assert answer.json() == shown
    other = APIClient()
    other.force_login(User.objects.create_user("bob"))
    assert other.get(ADDRESS).json()["results"] == [shown]


def test_others_may_not_add_one(asset: Asset) -> None:
    answer = client_of(staff=False).post(ADDRESS, {"ex_date": "2026-11-19", "numerator": 10})
    assert answer.status_code == 403
    assert not Split.objects.exists()
    assert APIClient().get(ADDRESS).status_code == 401


def test_the_moment_may_be_given(asset: Asset) -> None:
    given = {
        "ex_date": "2026-11-19",
        "numerator": 1,
        "denominator": 8,
        "effective_at": "2026-11-19T14:30:00Z",
    }
    assert client_of(staff=True).post(ADDRESS, given).status_code == 201
    assert Split.objects.get().effective_at == at("2026-11-19T14:30")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"numerator": 0}, "numerator"),
        ({"numerator": -2}, "numerator"),
        ({"numerator": 2.5}, "numerator"),
        ({"numerator": 2**31}, "numerator"),
        ({"numerator": 1}, "numerator"),
        ({"numerator": 3, "denominator": 3}, "numerator"),
        ({"denominator": 0}, "denominator"),
        ({"ex_date": "19.11.2026"}, "ex_date"),
        ({"ex_date": "2026-11-18"}, "ex_date"),
        ({"effective_at": "2027-11-19T05:00:00Z"}, "effective_at"),
    ],
)
def test_a_wrong_split_says_which_field_is_wrong(asset: Asset, change: dict[str, object], field: str) -> None:
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 18), numerator=2)
    answer = client_of(staff=True).post(ADDRESS, {"ex_date": "2026-11-19", "numerator": 10, **change})
    assert (answer.status_code, set(answer.json())) == (400, {field})
    assert Split.objects.count() == 1


def test_an_unknown_symbol_is_404() -> None:
    client = client_of(staff=True)
    assert client.get("/api/assets/NOPE/splits/").status_code == 404
    assert (
        client.post("/api/assets/NOPE/splits/", {"ex_date": "2026-11-19", "numerator": 2}).status_code == 404
    )
