"""Ticks that are kept: exact, in order, bounded, and gone after their time; the database may be as slow as it likes."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import OperationalError

from assets.market import BidAsk, Quote, Trade
from assets.models import Asset, Tick
from realtime.price_feed import ticks
from realtime.price_feed.ticks import Said, TickRecorder, keep_ticks, write_waiting
from realtime.price_feed.write_behind import WriteBehind
from tests.portfolio.builders import in_thread
from tests.realtime.feeds.fakes import START, JumpingClock

D = Decimal
EXACT = D("43000.123456789012345678")


class Store:
    """Calls at once, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures

    async def call(self, function, *arguments):  # type: ignore[no-untyped-def]
        if self.failures:
            self.failures -= 1
            raise OperationalError("locked")
        return await in_thread(partial(function, *arguments))


def make_bitcoin() -> Asset:
    return Asset.objects.create(symbol="BTC-USD")


def trade(number: int = 0, symbol: str = "BTC-USD") -> Trade:
    return Trade(
        symbol=symbol,
        price=EXACT,
        quantity=D("0.1"),
        as_of=START + timedelta(seconds=number),
        side="buy",
        trade_id=str(number),
    )


def recorder_of(*events: Trade | Quote | BidAsk, asset_id: int = 1, limit: int = 100) -> TickRecorder:
    recorder = TickRecorder(["BTC-USD"], limit=limit)
    recorder.take("coinbase", events, {"BTC-USD": asset_id}, START + timedelta(minutes=1))
    return recorder


def ids(batch: list[Said]) -> list[str]:
    return [said.event.trade_id for said in batch if isinstance(said.event, Trade)]


def test_only_what_was_asked_for_is_kept() -> None:
    recorder = TickRecorder(["btc-usd"])
    assert recorder.wants("BTC-USD") and not recorder.wants("ETH-USD") and recorder.is_on
    assert TickRecorder(["*"]).wants("ETH-USD")
    assert not TickRecorder().is_on
    recorder.take("coinbase", [trade(), trade(symbol="ETH-USD")], {"BTC-USD": 1}, START)
    assert recorder.waiting == 1


def test_what_waits_is_bounded_and_the_oldest_go_first() -> None:
    recorder = recorder_of(*map(trade, range(8)), limit=5)
    assert (recorder.waiting, recorder.dropped) == (5, 3)
    batch = recorder.next_batch()
    assert ids(batch) == ["3", "4", "5", "6", "7"]
    recorder.take("coinbase", map(trade, range(8, 11)), {"BTC-USD": 1}, START)
    recorder.put_back(batch)
    assert ids(recorder.next_batch()) == ["6", "7", "8", "9", "10"]
    assert recorder.dropped == 6


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_ticks_are_stored_as_they_were_told() -> None:
    asset = await in_thread(make_bitcoin)
    quote = Quote(symbol="BTC-USD", price=EXACT, as_of=START, bid=D("1.5"), ask=None, last_quantity=D(2))
    sides = BidAsk(symbol="BTC-USD", as_of=START, bid=None, ask=D("2.5"))
    recorder = recorder_of(trade(), quote, sides, asset_id=asset.pk)
    await write_waiting(recorder, Store())  # type: ignore[arg-type]
    columns = ("kind", "price", "quantity", "side", "trade_id", "bid", "ask")
    assert await in_thread(lambda: list(Tick.objects.order_by("id").values_list(*columns))) == [
        ("trade", EXACT, D("0.1"), "buy", "0", None, None),
        ("quote", EXACT, D(2), "", "", D("1.5"), None),
        ("quote", None, None, "", "", None, D("2.5")),
    ]
    first = await in_thread(Tick.objects.order_by("id").first)
    assert first is not None
    assert (first.source, first.as_of, first.received_at) == ("coinbase", START, START + timedelta(minutes=1))
    assert (recorder.written, recorder.dropped, recorder.waiting) == (3, 0, 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_what_comes_during_a_write_waits_for_the_next() -> None:
    asset = await in_thread(lambda: Asset.objects.create(symbol="BTC-USD"))
    recorder, numbers = recorder_of(trade(), asset_id=asset.pk), iter(range(1, 10))

    class BusyMarket(Store):
        async def call(self, function, *arguments):  # type: ignore[no-untyped-def]
            recorder.take("coinbase", [trade(next(numbers))], {"BTC-USD": asset.pk}, START)
            return await super().call(function, *arguments)

    for written in (1, 2):
        await write_waiting(recorder, BusyMarket())  # type: ignore[arg-type]
        assert (recorder.written, recorder.waiting) == (written, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_a_tick_that_the_database_refuses_harms_no_other() -> None:
    asset = await in_thread(make_bitcoin)
    recorder = recorder_of(trade(1), asset_id=asset.pk)
    huge = Trade(symbol="BTC-USD", price=D(10) ** 25, quantity=D(1), as_of=START)
    recorder.take("coinbase", [huge, trade(2)], {"BTC-USD": asset.pk}, START)
    await write_waiting(recorder, Store())  # type: ignore[arg-type]
    stored = Tick.objects.order_by("as_of").values_list("trade_id", flat=True)
    assert await in_thread(lambda: list(stored)) == ["1", "2"]
    assert (recorder.written, recorder.dropped) == (2, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_a_database_that_is_away_is_waited_for_and_old_ticks_go() -> None:
    asset = await in_thread(make_bitcoin)
    clock = JumpingClock(START + timedelta(hours=2))
    for hours in (0, 1):
        received = START + timedelta(hours=hours)
        kept = Tick(asset=asset, source="x", as_of=received, received_at=received)
        await in_thread(kept.save)
    recorder = recorder_of(trade(), asset_id=asset.pk)
    keeping = asyncio.create_task(
        keep_ticks(recorder, Store(failures=3), clock, timedelta(hours=1.5))  # type: ignore[arg-type]
    )
    while not recorder.written:
        await clock.until_slept(len(clock.sleeps) + 1)
    keeping.cancel()
    assert (recorder.written, recorder.dropped) == (1, 0)
    sources = Tick.objects.order_by("received_at").values_list("source", flat=True)
    assert await in_thread(lambda: list(sources)) == ["coinbase", "x"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_the_feeds_own_database_thread_writes_them() -> None:
    asset = await in_thread(make_bitcoin)
    store = WriteBehind()
    store.start()
    recorder = recorder_of(*map(trade, range(2500)), asset_id=asset.pk, limit=5000)
    await write_waiting(recorder, store)
    store.close(10)
    assert await in_thread(Tick.objects.count) == recorder.written == 2500
    assert ticks.ROWS_AT_ONCE < 2500
