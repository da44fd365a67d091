"""The simulated market: a function of the tick number whose days add up, and a feed that is driven by a clock."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.market import Depth, Quote
from realtime.feeds.base import FrameError, Refused
from realtime.feeds.runner import FeedRunner
from realtime.feeds.simulated_market import ORIGIN
from realtime.feeds.simulator import DEMO, PAIRS, ClockWire, SimulatedMarket, SimulatorFeed, symbols
from tests.cost import turns
from tests.realtime.feeds.fakes import JumpingClock, WaitingSink
from tests.realtime.feeds.test_runner import running

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 15, tzinfo=UTC)
rates = st.sampled_from([0.1, 0.5, 1, 3, 7, 100])


def micros(moment: datetime) -> int:
    return (moment - ORIGIN) // timedelta(microseconds=1)


def quotes_between(feed: SimulatorFeed, begin: datetime, seconds: float) -> list[Quote]:
    events = feed.decode(b"%d %d" % (micros(begin), micros(begin + timedelta(seconds=seconds))))
    return [event for event in events if isinstance(event, Quote)]


def opened(count: int = 12, **options: object) -> SimulatorFeed:
    feed = SimulatorFeed(symbols(count), **options)  # type: ignore[arg-type]
    feed.opened(feed.symbols)
    return feed


def test_the_demo_has_its_twelve_symbols_first_and_generated_ones_after() -> None:
    named = [instrument.symbol for instrument in symbols(14)]
    assert named[:4] == ["AAPL", "MSFT", "GOOGL", "AMZN"]
    assert named[9:] == ["BTC-USD", "ETH-USD", "SOL-USD", "SIM0013", "SIM0014"]
    assert [instrument.symbol for instrument in symbols(3)] == ["AAPL", "MSFT", "GOOGL"]
    assert len({instrument.symbol for instrument in symbols(2500)}) == 2500


def test_currency_pairs_are_not_among_the_counted_symbols() -> None:
    assert {pair.symbol for pair in PAIRS} == {"EURUSD", "GBPUSD", "USDJPY", "USDINR", "USDCHF"}
    assert not {pair.symbol for pair in PAIRS} & {instrument.symbol for instrument in symbols(2500)}
    for pair in PAIRS:
        assert pair.symbol == pair.base_currency + pair.currency and pair.asset_class == "fx"
    feed = SimulatorFeed(symbols(1) + PAIRS)
    feed.opened(feed.symbols)
    prices = {quote.symbol: quote.price for quote in quotes_between(feed, NOON, 2)}
    assert 1 < prices["EURUSD"] < Decimal("1.2") and -prices["EURUSD"].as_tuple().exponent == 5  # type: ignore[operator]
    assert 100 < prices["USDJPY"] < 200


@given(tick=st.integers(0, 10**12), rate=rates, seed=st.integers())
@settings(max_examples=50, deadline=None)
def test_a_price_is_a_function_of_seed_symbol_and_tick_number(tick: int, rate: float, seed: int) -> None:
    first, second = (SimulatedMarket(DEMO, rate=rate, seed=seed) for _ in range(2))
    second.price("AAPL", tick + 12345)  # what was asked before makes no difference
    assert first.price("AAPL", tick) == second.price("AAPL", tick)
    assert first.price("AAPL", tick + 1) == second.price("AAPL", tick + 1)


@given(tick=st.integers(10**8, 3 * 10**8))
@settings(max_examples=50, deadline=None)
def test_prices_stay_near_their_base_and_hardly_move_in_a_second(tick: int) -> None:
    market = SimulatedMarket(DEMO)
    for instrument in DEMO:
        price = market.price(instrument.symbol, tick)
        assert Decimal("0.4") < price / instrument.base_price < Decimal("2.5")
        assert abs(market.price(instrument.symbol, tick + 1) / price - 1) < Decimal("0.002")


def test_another_seed_is_another_market() -> None:
    prices = {SimulatedMarket(DEMO, seed=seed).price("AAPL", 2 * 10**8) for seed in range(20)}
    assert len(prices) > 15


def test_ticks_are_evenly_spaced_across_symbols_and_carry_their_due_time() -> None:
    feed = opened(rate=2)
    quotes = quotes_between(feed, NOON, 10)
    assert len(quotes) == 12 * 2 * 10
    gaps = {(later.as_of - earlier.as_of) for earlier, later in pairwise(quotes)}
    assert max(gaps) - min(gaps) <= timedelta(microseconds=2)
    assert {quote.symbol for quote in quotes[:12]} == set(feed.symbols)


@given(cuts=st.lists(st.integers(0, 10_000_000), max_size=20), rate=rates)
@settings(max_examples=15, deadline=None)
def test_no_tick_is_lost_or_doubled_however_time_is_cut(cuts: list[int], rate: float) -> None:
    count = 3
    whole, cut = opened(count, rate=rate / 10), opened(count, rate=rate / 10)
    begin = micros(NOON)
    expected = whole.decode(b"%d %d" % (begin, begin + 10_000_000))
    actual = []
    for left, right in pairwise([0, *sorted(cuts), 10_000_000]):
        actual += cut.decode(b"%d %d" % (begin + left, begin + right))
    assert actual == expected


@given(offset=st.integers(0, 2 * 86_400), rate=st.sampled_from([0.1, 1, 20]), count=st.sampled_from([1, 12]))
@settings(max_examples=12, deadline=None)
def test_a_day_is_consistent(offset: int, rate: float, count: int) -> None:
    feed = opened(count, rate=rate)
    last: dict[str, Quote] = {}
    for quote in quotes_between(feed, NOON + timedelta(seconds=offset), 30 / rate):
        assert quote.high is not None and quote.low is not None and quote.volume is not None
        assert quote.bid is not None and quote.ask is not None and quote.last_quantity is not None
        assert quote.open is not None and quote.average_price is not None
        assert quote.low <= quote.price <= quote.high
        assert quote.low <= quote.open <= quote.high
        assert quote.low <= quote.average_price <= quote.high
        assert quote.bid <= quote.price <= quote.ask and quote.bid < quote.ask
        assert quote.last_quantity > 0
        before = last.get(quote.symbol)
        if before is not None and before.as_of.date() == quote.as_of.date():
            assert before.volume is not None and before.high is not None and before.low is not None
            assert quote.volume == before.volume + quote.last_quantity
            assert quote.high >= before.high and quote.low <= before.low
            assert quote.open == before.open and quote.previous_close == before.previous_close
        last[quote.symbol] = quote


def test_a_day_ends_at_midnight_and_its_last_price_is_the_next_ones_previous_close() -> None:
    feed = opened(2, rate=1)
    quotes = quotes_between(feed, MIDNIGHT - timedelta(seconds=5), 10)
    for symbol in feed.symbols:
        # A symbol's tick is up to one interval late of its number's time; the day is the number's.
        own = [quote for quote in quotes if quote.symbol == symbol]
        turn = next(i for i, (a, b) in enumerate(pairwise(own)) if a.previous_close != b.previous_close)
        assert own[turn + 1].previous_close == own[turn].price
        assert own[turn + 1].open == own[turn + 1].price
        assert own[turn + 1].volume == own[turn + 1].last_quantity
        assert own[turn].as_of < MIDNIGHT <= own[turn + 1].as_of


def test_a_restart_goes_on_where_the_market_is() -> None:
    running_feed, restarted = opened(rate=1), opened(rate=1)
    quotes_between(running_feed, NOON - timedelta(seconds=60), 60)
    before = quotes_between(running_feed, NOON, 20)
    after = quotes_between(restarted, NOON, 20)
    for old, new in zip(before, after, strict=True):
        assert (old.symbol, old.price, old.as_of, old.volume) == (
            new.symbol,
            new.price,
            new.as_of,
            new.volume,
        )
        assert (old.open, old.previous_close) == (new.open, new.previous_close)


def test_history_joins_the_live_price() -> None:
    feed = opened(rate=1)
    bars = feed.market.history("AAPL", 90, NOON)
    quotes = [
        quote for quote in quotes_between(feed, NOON - timedelta(seconds=1), 2) if quote.symbol == "AAPL"
    ]
    live = quotes[0]
    assert len(bars) == 90
    assert bars[-1].start == datetime(2026, 3, 14, tzinfo=UTC)
    assert bars[-2].close == live.previous_close
    assert (bars[-1].open, bars[-1].close, bars[-1].volume) == (live.open, live.price, live.volume)
    for bar in bars:
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
    assert all(later.start - earlier.start == timedelta(days=1) for earlier, later in pairwise(bars))


def test_minute_bars_hold_the_ticks_of_their_minute() -> None:
    market = SimulatedMarket(DEMO, rate=0.2)  # as many ticks a minute as are sampled
    bar = market.history("BTC-USD", 2, NOON, "1m")[0]
    first = market.tick_number(bar.start)
    prices = [market.price("BTC-USD", first + tick) for tick in range(12)]
    assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])


def test_depth_has_five_levels_around_the_price_best_first() -> None:
    events = opened(rate=1).decode(b"%d %d" % (micros(NOON), micros(NOON) + 5_000_000))
    depths = [event for event in events if isinstance(event, Depth)]
    quotes = [event for event in events if isinstance(event, Quote)]
    assert len(depths) == len(quotes)
    for depth, quote in zip(depths, quotes, strict=True):
        assert [price for price, _ in depth.bids] == sorted({p for p, _ in depth.bids}, reverse=True)
        assert [price for price, _ in depth.asks] == sorted({p for p, _ in depth.asks})
        assert len(depth.bids) == len(depth.asks) == 5
        assert depth.bids[0] == (quote.bid, quote.bid_quantity)
        assert depth.asks[0] == (quote.ask, quote.ask_quantity)
        assert all(quantity > 0 for _, quantity in depth.bids + depth.asks)


def test_symbols_come_and_go_while_it_runs() -> None:
    feed = opened(rate=1)
    feed.unsubscribe(["AAPL"])
    assert {quote.symbol for quote in quotes_between(feed, NOON, 1)} == set(feed.symbols) - {"AAPL"}
    feed.subscribe(["AAPL", "NOPE"])
    events = feed.decode(b"%d %d" % (micros(NOON) + 1_000_000, micros(NOON) + 2_000_000))
    assert events[0] == Refused(("NOPE",), "the simulator does not know this symbol")
    assert {event.symbol for event in events[1:] if isinstance(event, Quote)} == set(feed.symbols)


@pytest.mark.parametrize("frame", [b"", b"1", b"a b", b"1 2 3", b"0 99999999999999999"])
def test_a_frame_that_is_no_stretch_of_time_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(FrameError):
        opened().decode(frame)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="expected a rate above 0"):
        SimulatorFeed(symbols(1), rate=rate)


@pytest.mark.asyncio
async def test_the_first_frame_shows_every_symbol_once() -> None:
    clock = JumpingClock(NOON)
    sink = WaitingSink()
    feed = SimulatorFeed(symbols(12), rate=0.01, clock=clock)
    async with running(FeedRunner(feed, sink, clock=clock)):
        await sink.until(sink.quotes)
    first = sink.quotes()[:12]
    assert {quote.symbol for quote in first} == set(feed.symbols)
    assert all(quote.as_of <= clock.now() for quote in sink.quotes())


@pytest.mark.asyncio
async def test_a_running_simulator_keeps_its_rate_over_thousands_of_symbols() -> None:
    clock = JumpingClock(NOON)
    sink = WaitingSink()
    feed = SimulatorFeed(symbols(2000), rate=5, clock=clock)
    begun = clock.now()
    async with running(FeedRunner(feed, sink, clock=clock)):
        await sink.until(lambda: clock.now() - begun > timedelta(seconds=1))
    quotes = sink.quotes()
    seconds = (quotes[-1].as_of - quotes[0].as_of).total_seconds()
    assert len(quotes) / seconds == pytest.approx(10_000, rel=0.01)
    assert min(clock.sleeps) >= 0.001


class StallingClock(JumpingClock):
    """A clock whose machine is suspended in one of its sleeps."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if len(self.sleeps) == 5:
            self.advance(3600)


@pytest.mark.asyncio
async def test_a_stall_is_skipped_and_not_made_up_for_in_a_burst() -> None:
    clock = StallingClock(NOON)
    sink = WaitingSink()
    feed = SimulatorFeed(symbols(12), rate=10, clock=clock)
    async with running(FeedRunner(feed, sink, clock=clock)):
        await sink.until(lambda: clock.now() > NOON + timedelta(seconds=3602))
    quotes = sink.quotes()
    assert len(quotes) < 12 * 10 * 5
    skipped = [(a, b) for a, b in pairwise(quotes) if b.as_of - a.as_of > timedelta(seconds=1)]
    assert len(skipped) == 1
    assert skipped[0][1].as_of >= NOON + timedelta(seconds=3600)


@pytest.mark.asyncio
async def test_a_loop_that_was_blocked_for_long_skips_what_it_missed() -> None:
    clock = JumpingClock(NOON)
    wire = ClockWire(clock, lambda seconds: seconds + 0.1, 20.0)
    begin, end = map(int, (await wire.receive()).split())
    assert end - begin == pytest.approx(20_000_000, abs=200_000)  # the first look back is none
    clock.advance(60)
    begin, end = map(int, (await wire.receive()).split())
    assert end - begin <= 200_000


@pytest.mark.asyncio
async def test_a_clock_that_is_set_back_stops_nothing() -> None:
    clock = JumpingClock(NOON)
    wire = ClockWire(clock, lambda seconds: seconds + 0.1, 1.0)
    await wire.receive()
    clock.start -= timedelta(hours=1)
    begin, end = map(int, (await wire.receive()).split())
    assert 0 < end - begin <= 200_000
    assert max(clock.sleeps) <= 0.2


def test_a_tick_costs_little_cpu() -> None:
    feed = opened(rate=100)
    moments = itertools.count(micros(NOON), 250_000)
    ticks = 12 * 100 // 4  # in a quarter of a second

    def quarter() -> None:
        begin = next(moments)
        assert len(feed.decode(b"%d %d" % (begin, begin + 250_000))) == 2 * ticks

    quarter()
    # 130 turns, which were 7 µs where it was measured, depth included.
    assert turns(quarter) / ticks < 250
