"""What a leader takes up of its symbols: from the database and from Redis, each in its own units."""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import redis.asyncio as redis

from assets.market import Bar
from assets.models import Asset, FeedSymbol, PriceBar, Split
from assets.snapshots import LAST_KEY
from realtime.feeds.base import FeedError
from realtime.feeds.polygon import PolygonFeed
from realtime.feeds.polygon_rest import PolygonRest
from realtime.feeds.simulator import SimulatorFeed
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.source_symbols import REFUSALS_IN_A_ROUND, SourceSymbols
from realtime.price_feed.sources import History, Source
from realtime.protocol import Mode, QuoteRecord, encode_quote
from tests.exchanges import NEW_YORK, store_exchange, utc
from tests.portfolio.builders import in_thread
from tests.vendors.polygon import PolygonServer

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]

LAST = utc("2026-11-18T20:59")
SPLIT, OPEN = utc("2026-11-19T05:00"), utc("2026-11-19T14:30")


class Store:
    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await in_thread(partial(function, *arguments))


class Clock:
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("expected no waiting")


def fill_database() -> None:
    store_exchange(NEW_YORK)
    asset = Asset.objects.create(
        symbol="ACME",
        calendar="XNYS",
        current_price=Decimal(1200),
        price_as_of=LAST,
        price_source="simulator",
        last_updated=LAST,
    )
    FeedSymbol.objects.create(asset=asset, source="simulator", symbol="acme")
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=10)
    for day, close in ((17, 1190), (18, 1200)):
        price = Decimal(close)
        PriceBar.objects.create(
            asset=asset,
            interval="1d",
            start=utc(f"2026-11-{day}T14:30"),
            open=price,
            high=price,
            low=price,
            close=price,
        )


async def taken_up(now: datetime, client: "redis.Redis", delayed_by: int = 0) -> QuoteRecord:
    batcher = Batcher("simulator", stale_after=300.0)
    store: Any = Store()
    symbols = SourceSymbols(
        Source(name="simulator", feed=SimulatorFeed((), rate=1, seed=1)),
        batcher,
        client,
        store,
        Clock(now),
        siblings=frozenset(),
        changed=lambda added, gone: None,
        wake=lambda: None,
    )
    await symbols.follow()
    batcher.begin(2)
    return batcher.changed()["ACME"]


async def test_a_price_survives_restarts_around_a_split_in_the_right_units(redis_url: str) -> None:
    await in_thread(fill_database)
    async with redis.Redis.from_url(redis_url) as client:
        await client.delete(LAST_KEY)
        evening = await taken_up(SPLIT - timedelta(hours=1), client)
        assert (evening.price, evening.previous_close, evening.session) == (1200, 1190, "closed")
        # Of the database alone; then of Redis, from before the split and from after it.
        night = await taken_up(SPLIT, client)
        for record in (evening, night):
            await client.hset(LAST_KEY, "ACME", encode_quote(record, Mode.FULL))  # type: ignore[misc]
            again = await taken_up(SPLIT + timedelta(hours=1), client)
            assert (again.price, again.raw_price, again.previous_close) == (120, 1200, 119)
            assert again == night.__class__(**{**fields(night), "seq": again.seq})
        opened = await taken_up(OPEN, client)
        assert (opened.price, opened.previous_close, opened.change, opened.session) == (120, 120, 0, "open")


def fields(record: QuoteRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


class OneRound(Clock):
    """Says when somebody waits, and lets nobody go on."""

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.is_over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.is_over.set()
        await asyncio.Event().wait()


def without_a_past(*symbols: str) -> None:
    store_exchange(NEW_YORK)
    for symbol in symbols:
        asset = Asset.objects.create(symbol=symbol, calendar="XNYS")
        FeedSymbol.objects.create(asset=asset, source="polygon_stocks", symbol=symbol)


async def filled(history: History, redis_url: str) -> dict[str, Decimal | None]:
    """Returns the previous closes that one round of asking the vendor gives."""
    batcher, clock = Batcher("polygon_stocks", stale_after=300.0), OneRound(OPEN + timedelta(minutes=5))
    store: Any = Store()
    async with redis.Redis.from_url(redis_url) as client:
        symbols = SourceSymbols(
            Source("polygon_stocks", PolygonFeed("stocks", "key"), history=history, fills_history=True),
            batcher,
            client,
            store,
            clock,
            siblings=frozenset(),
            changed=lambda added, gone: None,
            wake=lambda: None,
        )
        await symbols.follow()
        filling = asyncio.create_task(symbols.fill_history_forever())
        await clock.is_over.wait()
        filling.cancel()
    return {symbol: line.previous_close for symbol, line in batcher.lines.items()}


async def test_a_previous_close_is_seeded_by_the_vendors_past_and_one_without_any_harms_no_other(
    redis_url: str,
) -> None:
    await in_thread(lambda: without_a_past("AAAA", "BBBB"))
    yesterday = {"o": 74.06, "c": 75.0875, "h": 75.15, "l": 73.7975, "v": 1, "t": 1794978000000}
    async with PolygonServer(days={"BBBB": [yesterday]}) as server:
        rest = PolygonRest("stocks", "key", url=server.http_url)

        async def history(symbol: str, days: int, until: datetime) -> list[Bar]:
            if symbol == "AAAA":
                raise FeedError("expected a ticker, was 'AAAA'")
            return await rest.history(symbol, days, until)

        closes = await filled(history, redis_url)
    assert closes == {"AAAA": None, "BBBB": Decimal("75.0875")}


@pytest.mark.parametrize(("permanent", "times"), [(True, 1), (False, REFUSALS_IN_A_ROUND)])
async def test_a_vendor_that_tells_no_past_at_all_is_left_in_peace(
    permanent: bool, times: int, redis_url: str
) -> None:
    await in_thread(lambda: without_a_past(*(f"S{number}" for number in range(REFUSALS_IN_A_ROUND + 1))))
    asked: list[str] = []

    async def history(symbol: str, days: int, until: datetime) -> list[Bar]:
        asked.append(symbol)
        raise FeedError("the vendor answered 403", permanent=permanent)

    await filled(history, redis_url)
    assert len(asked) == times
