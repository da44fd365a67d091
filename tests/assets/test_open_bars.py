"""Bars that are not stored yet over REST: after the stored ones, without a hole, an overlap or a stale one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from rest_framework.test import APIClient

from assets import snapshots
from assets.models import Asset, PriceBar
from assets.open_bars import BARS_KEY, WRITTEN_WITHIN
from assets.snapshots import connection

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def client() -> APIClient:
    client = APIClient()
    client.force_login(User.objects.create_user("alice"))
    return client


@pytest.fixture
def asset() -> Asset:
    return Asset.objects.create(symbol="ACME")


def store(asset: Asset, minute: int, close: int, written: datetime | None = None) -> None:
    prices = dict.fromkeys(("open", "high", "low", "close"), Decimal(close))
    bar = PriceBar.objects.create(asset=asset, interval="1m", start=NOON + minute * MINUTE, **prices)
    PriceBar.objects.filter(pk=bar.pk).update(updated_at=written or NOON)


def show(*bars: tuple[int, str], at: datetime = NOON, interval: str = "1m", **more: Any) -> None:
    shown = [
        {
            "symbol": "ACME", "interval": interval, "start": (NOON + minute * MINUTE).isoformat(), "complete": False,
            "revised": False, "source": "coinbase", "volume": None, **more,
            **dict.fromkeys(("open", "high", "low", "close"), msgspec.Raw(close.encode())),
        }
        for minute, close in bars
    ]  # fmt: skip
    connection().hset(BARS_KEY, "ACME", msgspec.json.encode({"at": at.isoformat(), "bars": shown}))


def closes(client: APIClient, query: str = "") -> list[float]:
    return [
        bar["close"] for bar in client.get(f"/api/assets/ACME/bars/?interval=1m{query}").json()["results"]
    ]


def test_open_bars_follow_the_stored_ones_and_replace_an_older_row(client: APIClient, asset: Asset) -> None:
    for minute in range(3):
        store(asset, minute, minute)
    show((2, "22"), (3, "43000.01"))
    assert closes(client) == [0, 1, 22, 43000.01]


def test_pages_and_bounds_hold_for_all_of_them(client: APIClient, asset: Asset) -> None:
    for minute in range(3):
        store(asset, minute, minute)
    show((2, "22"), (3, "33"))
    answers = [
        client.get(f"/api/assets/ACME/bars/?interval=1m&page_size=2&page={page}").json() for page in (1, 2)
    ]
    assert [answer["count"] for answer in answers] == [4, 4]
    assert [[bar["close"] for bar in answer["results"]] for answer in answers] == [[0, 1], [22, 33]]
    assert closes(client, "&start=2026-03-01T12:01:00Z&end=2026-03-01T12:03:00Z") == [1, 22]
    assert closes(client, "&start=2026-03-01T12:03:00Z") == [33]
    assert client.get("/api/assets/ACME/bars/").json()["count"] == 0


def test_what_nobody_shows_any_more_gives_way_to_a_row_written_later(client: APIClient, asset: Asset) -> None:
    store(asset, 0, 1, NOON + WRITTEN_WITHIN)
    store(asset, 1, 2, NOON + WRITTEN_WITHIN + MINUTE)
    store(asset, 5, 6)
    show((0, "10"), (1, "20"))
    assert closes(client) == [10, 2, 6]


def test_a_revised_bar_says_so_stored_or_not(client: APIClient, asset: Asset) -> None:
    store(asset, 0, 1)
    PriceBar.objects.update(revised=True)
    show((1, "2"), revised=True)
    found = client.get("/api/assets/ACME/bars/?interval=1m").json()["results"]
    assert [bar["revised"] for bar in found] == [True, True]


def test_without_redis_the_stored_bars_serve(client: APIClient, asset: Asset) -> None:
    store(asset, 0, 1)
    show((1, "2"))
    snapshots.connection.cache_clear()
    try:
        with override_settings(REDIS_URL="redis://127.0.0.1:1"):
            assert closes(client) == [1]
    finally:
        snapshots.connection.cache_clear()
