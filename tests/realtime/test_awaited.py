"""Why no price comes: a vendor's refusal, and silence while the market is open."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from assets.models import Asset, FeedSymbol
from assets.redistribution import EVERYTHING, Viewer
from realtime.database import in_database
from realtime.handshake import Identity
from tests.exchanges import NEW_YORK, store_exchange, utc
from tests.realtime.builders import Client, Clock, eventually
from tests.realtime.conftest import NewClient, NewHub, NewSource

pytestmark = pytest.mark.asyncio


@pytest.fixture
def two_sources(transactional_db: None) -> None:
    asset = Asset.objects.create(symbol="AAPL", name="Apple", currency="USD")
    for priority, source in enumerate(("upstox", "simulator")):
        FeedSymbol.objects.create(asset=asset, source=source, symbol="AAPL", priority=priority)


def refusals(client: Client) -> list[str]:
    client.read()
    errors = (event["data"] for event in client.events if event["type"] == "error")
    return [f"{error['code']} {error['symbol']} {error['message']}" for error in errors]


async def test_a_vendors_refusal_reaches_who_subscribes_once_no_other_source_can_give_it(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient, two_sources: None
) -> None:
    vendor, other = await new_source("upstox"), await new_source()
    hub = await new_hub()
    await hub.catalog.find(["AAPL"])
    first, late = new_client(hub), new_client(hub)
    hub.subscribe(first.connection, {"AAPL": "quote"})

    await vendor.heartbeat(refused={"AAPL": "no such instrument", "ZZZ": "nor this"})
    await other.heartbeat()
    await eventually(lambda: hub.feeds.views["upstox"].status.refused, "the refusal")
    await eventually(lambda: hub.feeds.is_live("simulator"), "the other source")
    assert refusals(first) == []

    await other.heartbeat("failed", "a wrong key")
    await eventually(lambda: not hub.feeds.is_live("simulator"), "the other source to be gone")
    for _ in range(2):
        await vendor.heartbeat(refused={"AAPL": "no such instrument"})
    said = "no_data AAPL upstox: no such instrument"
    await eventually(lambda: refusals(first) == [said], "the refusal")
    hub.subscribe(late.connection, {"AAPL": "quote"})
    assert refusals(late) == [said]
    assert refusals(first) == [said]


async def test_who_wants_more_than_a_vendors_limit_leaves_is_told_once_and_keeps_what_there_is(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient, two_sources: None
) -> None:
    vendor = await new_source("upstox")
    await vendor.tick("AAPL")
    hub = await new_hub()
    await hub.catalog.find(["AAPL"])
    owner, stranger = Identity(viewer=EVERYTHING), Identity(viewer=Viewer(frozenset()))
    all_of_it, price, late, unseen = (new_client(hub, who) for who in (owner, owner, owner, stranger))
    hub.subscribe(all_of_it.connection, {"AAPL": "full"})
    hub.subscribe(price.connection, {"AAPL": "ltpc"})
    hub.subscribe(unseen.connection, {"AAPL": "full"})

    for _ in range(2):
        await vendor.heartbeat(lowered={"AAPL": "ltpc", "ZZZ": "ltpc"})
    said = "unsupported_mode AAPL upstox has no room for mode full of AAPL, and fills ltpc"
    await eventually(lambda: refusals(all_of_it) == [said], "the limit")
    hub.subscribe(late.connection, {"AAPL": "quote"})
    assert refusals(late) == [said.replace("full", "quote")]
    assert refusals(price) == refusals(unseen) == []

    await vendor.heartbeat()
    await vendor.tick("AAPL")
    await eventually(lambda: refusals(all_of_it) and all_of_it.has("AAPL", 2), "the next price")
    await vendor.heartbeat(lowered={"AAPL": "quote"})
    again = [said, said.replace("fills ltpc", "fills quote")]
    await eventually(lambda: refusals(all_of_it) == again, "the limit once more")
    assert refusals(late) == [said.replace("full", "quote")]


class Wall:
    """Wall time that stands still until told."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


@pytest.mark.django_db(transaction=True)
async def test_no_data_is_told_in_session_only(new_hub: NewHub, new_client: NewClient, settings: Any) -> None:
    settings.REALTIME_NO_DATA_TIMEOUT = 60
    await in_database(store_exchange, NEW_YORK)
    await in_database(Asset.objects.create, symbol="LISTED", name="x", currency="USD", calendar="XNYS")
    clock, wall = Clock(), Wall(utc("2026-11-20 14:00"))  # half an hour before New York opens
    hub = await new_hub(clock)
    hub.awaited._utc_now = wall
    await hub.catalog.find(["LISTED"])
    client = new_client(hub)
    hub.subscribe(client.connection, {"LISTED": "quote"})
    clock.moment += 61
    wall.moment += timedelta(seconds=61)
    await asyncio.sleep(0.3)  # more than one pulse, in which nothing may happen
    assert refusals(client) == []

    clock.moment += 29 * 60 + 40
    wall.moment += timedelta(seconds=29 * 60 + 40)
    await asyncio.sleep(0.3)  # the market has been open for less than a minute, too
    assert refusals(client) == []
    clock.moment += 20
    wall.moment += timedelta(seconds=20)
    await eventually(lambda: refusals(client) == ["no_data LISTED LISTED has had no price so far"], "no_data")
