"""Kept ticks over REST, page by page and as CSV."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from assets.models import Asset, Tick

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EXACT = Decimal("43000.123456789012345678")


@pytest.fixture
def client() -> APIClient:
    client = APIClient()
    client.force_login(User.objects.create_user("alice"))
    return client


@pytest.fixture(autouse=True)
def may_be_seen(settings: Any) -> None:
    settings.FEED_REDISTRIBUTION = {"ccxt": "users"}


@pytest.fixture(autouse=True)
def asset() -> Asset:
    asset = Asset.objects.create(symbol="BTC/USD")
    for number in range(3):
        Tick.objects.create(
            asset=asset,
            source="ccxt",
            kind="trade" if number else "quote",
            price=EXACT + number,
            side="buy" if number else "",
            bid=None if number else Decimal("1.5"),
            as_of=NOON + timedelta(seconds=number),
            received_at=NOON + timedelta(seconds=number, microseconds=7),
        )
    Tick.objects.create(
        asset=Asset.objects.create(symbol="ETH/USD"), source="ccxt", as_of=NOON, received_at=NOON
    )
    return asset


def test_ticks_come_in_their_order_and_to_the_digit(client: APIClient) -> None:
    answer = client.get("/api/assets/BTC/USD/ticks/")
    assert b"43000.123456789012345678" in answer.content
    results = answer.json()["results"]
    assert results[0] == {
        "as_of": "2026-11-20T12:00:00.000000Z",
        "received_at": "2026-11-20T12:00:00.000007Z",
        "source": "ccxt",
        "kind": "quote",
        "price": 43000.123456789012,
        "quantity": None,
        "side": "",
        "trade_id": "",
        "bid": 1.5,
        "ask": None,
    }
    assert [row["as_of"][17:19] for row in results] == ["00", "01", "02"]


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("start=2026-11-20T12:00:01Z", ["01", "02"]),
        ("end=2026-11-20T12:00:01%2B00:00", ["00"]),
        ("start=2026-11-20T12:00:01+00:00&end=2026-11-20T12:00:02Z", ["01"]),
        ("kind=trade", ["01", "02"]),
        ("source=coinbase", []),
        ("page_size=2&page=2", ["02"]),
    ],
)
def test_a_range_a_kind_a_source_and_a_page_can_be_asked_for(
    client: APIClient, query: str, seconds: list[str]
) -> None:
    answer = client.get(f"/api/assets/btc/usd/ticks/?{query}")
    assert [row["as_of"][17:19] for row in answer.json()["results"]] == seconds


def test_as_csv_they_are_the_same(client: APIClient) -> None:
    answer = client.get("/api/assets/BTC/USD/ticks.csv?kind=trade")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert lines == [
        "as_of,received_at,source,kind,price,quantity,side,trade_id,bid,ask",
        "2026-11-20T12:00:01.000000Z,2026-11-20T12:00:01.000007Z,ccxt,trade,43001.123456789012345678,,buy,,,",
        "2026-11-20T12:00:02.000000Z,2026-11-20T12:00:02.000007Z,ccxt,trade,43002.123456789012345678,,buy,,,",
    ]


def test_what_a_vendor_shows_to_its_owner_only_is_not_there_for_others(
    client: APIClient, settings: Any
) -> None:
    settings.FEED_REDISTRIBUTION, settings.FEED_OWNER = {}, "bob"
    owner = APIClient()
    owner.force_login(User.objects.create_user("bob"))
    for one, count in ((client, 0), (owner, 3)):
        assert len(one.get("/api/assets/BTC/USD/ticks/").json()["results"]) == count
        answer = one.get("/api/assets/BTC/USD/ticks.csv")
        assert len(b"".join(answer.streaming_content).splitlines()) == count + 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("query", ["start=yesterday", "kind=bar"])
def test_what_cannot_be_asked_is_said(client: APIClient, query: str) -> None:
    for name in ("ticks/", "ticks.csv"):
        answer = client.get(f"/api/assets/BTC/USD/{name}?{query}")
        assert (answer.status_code, list(answer.json())) == (400, [query.partition("=")[0]])


def test_there_are_none_of_an_unknown_asset_and_none_for_strangers(client: APIClient) -> None:
    assert client.get("/api/assets/NOPE/ticks/").status_code == 404
    assert APIClient().get("/api/assets/BTC/USD/ticks/").status_code == 401
    assert APIClient().get("/api/assets/BTC/USD/ticks.csv").status_code == 401
