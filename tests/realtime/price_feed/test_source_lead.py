"""What a source's leader passes on of its feed: which symbols the vendor refuses or gives less of."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from realtime.bus import new_layer, new_redis
from realtime.feeds.base import Event, Lowered, Refused, SystemClock
from realtime.price_feed.alert_desk import AlertDesk
from realtime.price_feed.listing import Listing
from realtime.price_feed.source_condition import Condition
from realtime.price_feed.source_lead import Lead, Surroundings
from realtime.price_feed.sources import open_source
from realtime.price_feed.ticks import TickRecorder
from realtime.price_feed.write_behind import WriteBehind
from tests.realtime.conftest import MakeFeed

pytestmark = pytest.mark.asyncio
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def new_lead(bus: MakeFeed) -> Lead:
    client, store, clock = new_redis(), WriteBehind(), SystemClock()
    surroundings = Surroundings(
        client,
        store,
        clock,
        interval=30.0,
        batch_size=50,
        siblings=frozenset({"simulator"}),
        recorders={},
        alerts=AlertDesk(client, new_layer(), store, clock),
        ticks=TickRecorder(),
    )
    source = open_source("simulator")
    return Lead(source, bus(), surroundings, Condition("simulator", clock), {})


def follow(lead: Lead, *symbols: str) -> None:
    listings = [Listing(n, symbol, "USD", symbol.lower(), ("simulator",)) for n, symbol in enumerate(symbols)]
    lead._symbols_changed(*lead.batcher.follow(listings, NOW, 0.0))


def say(lead: Lead, events: Iterable[Event]) -> None:
    lead.events("simulator", list(events), NOW)


async def test_symbols_are_told_by_our_names_and_only_those_that_are_followed(feed: MakeFeed) -> None:
    lead = new_lead(feed)
    follow(lead, "A", "B")

    say(lead, [Refused(("a", "x"), "no such symbol"), Lowered({"b": "ltpc", "x": "ltpc"})])

    status = lead._feed_status()
    assert (status.refused, status.lowered) == ({"A": "no such symbol"}, {"B": "ltpc"})
    say(lead, [Lowered({})])
    assert lead._feed_status().lowered == {}


async def test_a_refused_symbol_that_comes_back_is_asked_for_again_and_refused_no_more(
    feed: MakeFeed,
) -> None:
    lead = new_lead(feed)
    follow(lead, "A", "B")
    say(lead, [Refused(("a",), "not in your plan")])

    follow(lead, "B")
    follow(lead, "A", "B")

    assert lead.refused_symbols == {}
