"""The daily bars that a subscription in mode `full_d30` begins with."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError

from assets.models import Asset, FeedSymbol, PriceBar, Split
from assets.redistribution import EVERYTHING
from realtime import consumers
from realtime.daily_bars import UNKNOWN, read_daily_bars
from realtime.database import in_database
from realtime.hub import running_hub, stop_hub
from tests.portfolio.builders import in_thread
from tests.realtime.builders import Client, eventually
from tests.realtime.conftest import NewClient, NewHub, NewSource
from tests.realtime.test_consumers_handshake import opened
from tests.realtime.test_hub import wanting
from tests.realtime.test_sessions import World

pytestmark = pytest.mark.asyncio


@pytest.mark.django_db(transaction=True)
async def test_a_subscription_in_full_d30_begins_with_daily_bars_which_no_later_value_takes_away(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    depth: Any = {"bids": (), "asks": ()}
    await source.tick("AAPL", **depth)
    hub = await new_hub()
    clients = [new_client(hub, batch=bool(number)) for number in range(2)]
    for client in clients:
        hub.subscribe(client.connection, {"AAPL": "full_d30"}, None, {"AAPL": UNKNOWN})
    await wanting(hub, "full_d30 AAPL")
    await eventually(
        lambda: not any(client.connection.asked_at for client in clients), "the snapshot to wait"
    )
    await source.tick("AAPL", **depth)
    await source.tick("AAPL", **depth)
    await eventually(lambda: hub.topics["AAPL"].seq == 3, "later values")

    for client in clients:
        found = [quote for frame in frames(client) for quote in quotes_in(frame)]
        assert [quote["seq"] for quote in found] == [1, 3]
        assert [quote.get("bars_complete") for quote in found] == [False, None]
        hub.subscribe(client.connection, {"AAPL": "full_d30"}, None, {"AAPL": UNKNOWN})
        hub.subscribe(client.connection, {"AAPL": "full_d30"}, None, {"AAPL": UNKNOWN})
        assert [quote["seq"] for frame in frames(client) for quote in quotes_in(frame)] == [3]
        hub.subscribe(client.connection, {"AAPL": "full_d30"}, None, {"AAPL": UNKNOWN})
        hub.unsubscribe(client.connection, ["AAPL"])
        assert frames(client) == []


async def test_daily_bars_of_a_subscription_that_had_no_price_are_not_the_next_ones(
    new_hub: NewHub, new_client: NewClient
) -> None:
    hub = await new_hub()
    client = new_client(hub)
    for change in (
        lambda: hub.subscribe(client.connection, {"NEVER": "quote"}),
        lambda: hub.unsubscribe(client.connection, ["NEVER"]),
    ):
        hub.subscribe(client.connection, {"NEVER": "full_d30"}, None, {"NEVER": UNKNOWN})
        assert client.connection.daily_bars
        change()
        assert not client.connection.daily_bars


def frames(client: Client) -> list[dict[str, Any]]:
    return [frame for frame in map(json.loads, client.read()) if frame["type"].startswith("asset_")]


def quotes_in(frame: dict[str, Any]) -> list[dict[str, Any]]:
    data = frame["data"]
    return data if isinstance(data, list) else [data]


@pytest.mark.django_db(transaction=True)
async def test_daily_bars_are_the_last_thirty_in_todays_units() -> None:
    await in_thread(make_bars)
    found = await in_thread(lambda: read_daily_bars(["SPLIT", "YOUNG", "NOPE"], "number", EVERYTHING))

    assert found.keys() == {"SPLIT", "YOUNG"}
    assert found["YOUNG"] == '"daily_bars":[],"bars_complete":false'
    assert found["SPLIT"].endswith('"bars_complete":true')
    assert found["SPLIT"].count('"start"') == 30
    first, last = '{"start":"2026-10-03T00:00:00.000000Z"', '{"start":"2026-11-01T00:00:00.000000Z"'
    assert found["SPLIT"].startswith(
        f'"daily_bars":[{first},"open":10,"high":12,"low":9,"close":11,"volume":500}}'
    )
    assert f'{last},"open":100,"high":120,"low":90,"close":110,"volume":50}}' in found["SPLIT"]
    strings = await in_thread(lambda: read_daily_bars(["SPLIT"], "string", EVERYTHING))
    assert '"close":"110","volume":"50"' in strings["SPLIT"]


def make_bars() -> None:
    asset = Asset.objects.create(symbol="SPLIT", name="x", currency="USD")
    Asset.objects.create(symbol="YOUNG", name="x", currency="USD")
    day, prices = datetime(2026, 10, 1, tzinfo=UTC), {"open": 100, "high": 120, "low": 90, "close": 110}
    PriceBar.objects.bulk_create(
        PriceBar(
            asset=asset,
            interval="1d",
            start=day + timedelta(days=number),
            volume=Decimal(50),
            **{name: Decimal(price) for name, price in prices.items()},
        )
        for number in range(32)
    )
    Split.objects.create(asset=asset, ex_date=date(2026, 10, 20), numerator=10)


# --- through the consumer --------------------------------------------------------------------------------------------


def make_listed() -> None:
    make_bars()
    FeedSymbol.objects.create(
        asset=Asset.objects.get(symbol="SPLIT"), source="simulator", symbol="SPLIT", priority=0
    )


def is_gone(*asked: Any) -> Any:
    raise OperationalError("the database is gone")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_away", [False, True])
async def test_a_subscription_reads_them_once_and_says_when_it_can_not(
    new_source: NewSource, monkeypatch: pytest.MonkeyPatch, is_away: bool
) -> None:
    world = await in_thread(World)
    await in_database(make_listed)
    source = await new_source()
    await source.heartbeat(modes=("ltpc", "quote", "full", "full_d30"))
    await source.tick("SPLIT", bids=(), asks=())
    await running_hub()
    socket = await opened(world.key())
    try:
        if is_away:
            monkeypatch.setattr(consumers, "read_daily_bars", is_gone)
        socket.say("subscribe_asset", {"symbol": "SPLIT", "mode": "full_d30"})
        await eventually(lambda: "asset_update" in socket.types, "the snapshot")
        await source.tick("SPLIT", bids=(), asks=())
        await eventually(lambda: socket.types.count("asset_update") == 2, "the next value")

        first, second = (frame["data"] for frame in socket.frames if frame["type"] == "asset_update")
        assert first["bars_complete"] is not is_away
        assert (first["daily_bars"] is None) is is_away
        assert "daily_bars" not in second and second["bids"] == []
    finally:
        await socket.end()
        await stop_hub()
