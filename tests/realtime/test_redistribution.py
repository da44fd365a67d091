"""Whose data a source's prices are: over the socket, what one may not see never arrives."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User

from assets.redistribution import EVERYTHING, any_user, anybody
from realtime.handshake import Identity
from realtime.models import AccessToken
from realtime.protocol import Channel, CloseCode, Mode
from realtime.welcome import Welcome
from tests.portfolio.builders import in_thread
from tests.realtime.builders import Clock, eventually
from tests.realtime.channels import Reader, bar_json, book_json, notice_json, trades_json
from tests.realtime.conftest import NewClient, NewHub, NewSource
from tests.realtime.test_hub import wanting

pytestmark = pytest.mark.asyncio
CHANNELS = frozenset(Channel)
# What says nothing of a price.
HARMLESS = {"feed_status", "error"}


@pytest.fixture(autouse=True)
def levels(settings: Any) -> None:
    settings.FEED_REDISTRIBUTION = {"polygon": "owner", "upstox": "users"}
    settings.FEED_OWNER = "olivia"


def people() -> dict[str, Identity]:
    return {
        "olivia": Identity(user_id=1, viewer=EVERYTHING),
        "bob": Identity(user_id=2, viewer=any_user()),
        "nobody": Identity(viewer=anybody()),
    }


@pytest.mark.parametrize(
    ("name", "seen_by"),
    [("polygon", ["olivia"]), ("upstox", ["olivia", "bob"]), ("simulator", ["olivia", "bob", "nobody"])],
)
@pytest.mark.parametrize("mode", Mode)
async def test_quotes_and_channels_reach_only_those_who_may_see_the_source(
    name: str, seen_by: list[str], mode: Mode, new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source(name)
    await source.tick("AAPL")
    hub = await new_hub()
    clients = {who: new_client(hub, identity) for who, identity in people().items()}
    for client in clients.values():
        hub.subscribe(client.connection, {"AAPL": mode}, {"AAPL": CHANNELS})
    await eventually(lambda: clients["olivia"].has("AAPL", 1), "the snapshot")
    await wanting(hub, f"{mode} AAPL", *(f"{channel} AAPL" for channel in CHANNELS))
    epoch = source.bus.epoch
    news = {
        "trades": trades_json("AAPL", range(1, 4), epoch),
        "book": book_json("AAPL", 2, (("10", "1"),), (), epoch, name),
        "bars": f"[{bar_json('AAPL', '2026-11-20T14:30:00Z', 12)}]",
        "notices": f"[{notice_json('AAPL', 12)}]",
    }
    assert news.keys() == CHANNELS
    readers = {who: Reader(client.connection) for who, client in clients.items()}
    await source.tick("AAPL", news={"AAPL": news})
    olivia = readers["olivia"]
    await eventually(lambda: "market_notice" in [*olivia.read(), *olivia.types], "the notice")
    for who, reader in readers.items():
        reader.read()
        told = set(reader.types) - HARMLESS
        if who in seen_by:
            assert {"asset_update", "trade", "book_snapshot", "bar", "market_notice"} <= told
        else:
            assert not told, who


async def test_who_subscribes_later_is_sent_nothing_either_and_told_that_there_is_no_data(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient, settings: Any
) -> None:
    settings.REALTIME_NO_DATA_TIMEOUT = 60
    source, clock = await new_source("polygon"), Clock()
    await source.tick("AAPL")
    hub = await new_hub(clock)
    olivia, bob = (new_client(hub, people()[who]) for who in ("olivia", "bob"))
    hub.subscribe(olivia.connection, {"AAPL": "quote"})
    await eventually(lambda: olivia.has("AAPL", 1), "the snapshot")
    hub.subscribe(bob.connection, {"AAPL": "quote"})
    assert bob.read() == []
    clock.moment += 61

    def errors() -> list[str]:
        bob.read()
        return [event["data"]["code"] for event in bob.events if event["type"] == "error"]

    await eventually(errors, "the answer")
    assert errors() == ["no_data"]
    assert not bob.quotes


async def test_a_source_that_one_may_see_takes_over_from_one_that_one_may_not(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    hidden, shown = await new_source("polygon"), await new_source("upstox")
    await hidden.tick("AAPL")
    hub = await new_hub()
    bob = new_client(hub, people()["bob"])
    hub.subscribe(bob.connection, {"AAPL": "quote"})
    await shown.tick("AAPL", price=Decimal(7))
    await eventually(lambda: bob.shows("AAPL", "price", 7), "the price of the other source")
    assert {quote["source"] for quote in bob.quotes.values()} == {"upstox"}


@pytest.mark.django_db(transaction=True)
async def test_who_may_see_less_than_before_is_closed_beside_a_connection_that_knows_it(
    new_hub: NewHub, new_client: NewClient, settings: Any
) -> None:
    settings.FEED_OWNER = ""
    olivia = await in_thread(lambda: User.objects.create_superuser("olivia"))
    token = await in_thread(lambda: AccessToken.objects.create(user=olivia, digest="d"))
    await in_thread(lambda: User.objects.create_superuser("another"))
    hub = await new_hub()
    newer, older = (
        new_client(hub, Identity(user_id=olivia.pk, token_id=token.pk, viewer=viewer)).connection
        for viewer in (any_user(), EVERYTHING)
    )
    work: list[Any] = []
    Welcome(Clock(), work.append).recheck([newer, older])
    await work[0]
    assert older.closing == (CloseCode.STATE_LOST, "state_lost")
