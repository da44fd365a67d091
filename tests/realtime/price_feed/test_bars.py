"""Bars equal what a plain computation over the same ticks gives."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from assets.market import Bar
from realtime.price_feed.bars import BarBuilder
from realtime.price_feed.open_bar import BuiltBar, Tick
from tests.exchanges import NEW_YORK, utc

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
InOrder = tuple[datetime, Decimal, Decimal]


def bar(**changes: object) -> Bar:
    values: dict[str, object] = {
        "symbol": "AAPL",
        "interval": "1m",
        "start": NOON,
        "open": Decimal(10),
        "high": Decimal(12),
        "low": Decimal(9),
        "close": Decimal(11),
        "volume": Decimal(100),
    }
    return Bar(**{**values, **changes})  # type: ignore[arg-type]


def computed(ticks: list[InOrder], length: timedelta) -> dict[datetime, tuple[Decimal, ...]]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    groups: dict[datetime, list[InOrder]] = defaultdict(list)
    for tick in ticks:
        groups[tick[0] - (tick[0] - epoch) % length].append(tick)
    return {
        start: (
            group[0][1],
            max(price for _, price, _ in group),
            min(price for _, price, _ in group),
            group[-1][1],
            sum((quantity for _, _, quantity in group), Decimal(0)),
        )
        for start, group in groups.items()
    }


ticks_in_order = st.lists(
    st.tuples(
        st.integers(0, 3 * 86_400_000).map(lambda milliseconds: NOON + timedelta(milliseconds=milliseconds)),
        st.decimals("0.01", "1000", places=2),
        st.decimals("0", "100", places=3),
    ),
    min_size=1,
    max_size=60,
).map(lambda ticks: sorted(ticks, key=lambda tick: tick[0]))


@given(ticks_in_order)
def test_bars_equal_an_independent_computation(ticks: list[InOrder]) -> None:
    builder = BarBuilder("AAPL")
    built: list[BuiltBar] = []
    for time, price, quantity in ticks:
        built += builder.add(price, quantity, time)
    built += builder.restart()
    for interval, length in (("1m", timedelta(minutes=1)), ("1d", timedelta(days=1))):
        bars = {one.bar.start: one.bar for one in built if one.bar.interval == interval}
        found = {start: (b.open, b.high, b.low, b.close, b.volume) for start, b in bars.items()}
        assert found == computed(ticks, length)
        assert len(bars) == sum(one.bar.interval == interval for one in built)


def test_the_clock_closes_a_bar_that_no_tick_follows() -> None:
    builder = BarBuilder("AAPL")
    builder.add(Decimal(10), None, NOON + timedelta(seconds=30))
    assert builder.close_until(NOON + timedelta(seconds=59)) == []
    closed = builder.close_until(NOON + timedelta(seconds=60))
    assert [(one.bar.interval, one.bar.start) for one in closed] == [("1m", NOON)]


def test_a_straggler_revises_the_bar_that_was_handed_over_and_opens_none() -> None:
    builder = BarBuilder("AAPL")
    builder.add(Decimal(10), None, NOON)
    builder.close_until(NOON + timedelta(seconds=60))
    (built,) = builder.add(Decimal(99), None, NOON + timedelta(seconds=59))
    assert (built.bar.start, built.bar.high, built.bar.close, built.revised) == (NOON, 99, 99, True)
    assert builder.minute is None
    assert builder.day is not None and builder.day.high == 99


# -- out of order


class Print(NamedTuple):
    """A trade of a vendor: when, what, and what its conditions let it do."""

    time: datetime
    price: Decimal
    quantity: Decimal
    moves_last: bool
    moves_range: bool
    counts: bool

    @property
    def tick(self) -> Tick:
        quantity = self.quantity if self.counts else None
        return Tick(self.price, quantity, self.time, self.moves_last, self.moves_range)


BEFORE_MIDNIGHT = datetime(2026, 11, 20, 23, 53, tzinfo=UTC)
prints = st.lists(
    st.builds(
        lambda second, price, quantity, kind: Print(
            BEFORE_MIDNIGHT + timedelta(seconds=second), price, quantity, *kind
        ),
        st.integers(0, 14 * 60) | st.sampled_from([60, 419, 420]),
        st.decimals("1", "20", places=0),
        st.decimals("1", "9", places=0),
        # Ordinary ones; sold out of sequence; odd lots; average-price trades that count for nothing but themselves.
        st.sampled_from(
            [(True, True, True)] * 4 + [(False, True, True), (False, False, True), (True, True, False)]
        ),
    ),
    max_size=30,
)
clock = st.lists(st.integers(0, 15 * 60), max_size=4)


def oracle(trades: list[Print], length: timedelta) -> dict[datetime, tuple[Decimal | None, ...]]:
    """The bars of all trades, sorted by their time; those of one moment as they arrived."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    groups: dict[datetime, list[Print]] = defaultdict(list)
    for trade in sorted(trades, key=lambda trade: trade.time):
        groups[trade.time - (trade.time - epoch) % length].append(trade)
    bars = {}
    for start, group in groups.items():
        prices = [trade.price for trade in group if trade.moves_last]
        within = [trade.price for trade in group if trade.moves_range]
        quantities = [trade.quantity for trade in group if trade.counts]
        if prices:
            volume = sum(quantities, Decimal(0)) if quantities else None
            bars[start] = prices[0], max(within), min(within), prices[-1], volume
    return bars


def stored(built: list[BuiltBar]) -> dict[tuple[str, datetime], Bar]:
    """What the database holds in the end."""
    rows: dict[tuple[str, datetime], Bar] = {}
    for one in built:
        key = one.bar.interval, one.bar.start
        rows[key] = one.joined(rows[key]) if one.fresh and key in rows else one.bar
    return rows


@given(prints, clock)
def test_bars_of_trades_in_any_order_are_those_of_the_sorted_trades(
    rest: list[Print], seconds: list[int]
) -> None:
    trades = [Print(BEFORE_MIDNIGHT, Decimal(10), Decimal(1), True, True, True), *rest]
    builder, built = BarBuilder("AAPL"), list[BuiltBar]()
    for index, trade in enumerate(trades):
        revised = builder.add_beside(trade.tick)
        assert revised is not None
        built += revised
        if index < len(seconds):
            built += builder.close_until(BEFORE_MIDNIGHT + timedelta(seconds=seconds[index]))
    shown = {(one.bar.interval, one.bar.start): one.bar for one, _ in builder.shown()}
    built += [one._replace(fresh=False) for one in builder.restart()]
    rows = stored(built)
    for interval, length in (("1m", timedelta(minutes=1)), ("1d", timedelta(days=1))):
        found = {
            start: (row.open, row.high, row.low, row.close, row.volume)
            for (kind, start), row in rows.items()
            if kind == interval
        }
        assert found == oracle(trades, length)
    assert shown.items() <= rows.items()


def trade_at(second: float, price: int = 10, quantity: int = 1) -> Tick:
    return Tick(Decimal(price), Decimal(quantity), NOON + timedelta(seconds=second))


def test_a_late_trade_revises_the_open_minute_and_says_so() -> None:
    builder = BarBuilder("AAPL")
    builder.add(*trade_at(20)[:3])
    builder.add(*trade_at(40, 12)[:3])
    assert builder.add_beside(trade_at(10, 9)) == []
    (minute, day) = builder.open_bars()
    assert minute.bar == bar(open=Decimal(9), close=Decimal(12), volume=Decimal(3))
    assert (minute.revised, day.revised, day.bar.low) == (True, True, 9)


def test_a_trade_later_than_a_quarter_of_an_hour_changes_nothing() -> None:
    builder = BarBuilder("AAPL")
    builder.add(*trade_at(0)[:3])
    builder.add(*trade_at(16 * 60)[:3])
    before = builder.open_bars()
    assert builder.add_beside(trade_at(59)) is None
    assert builder.open_bars() == before


def test_a_late_trade_of_before_we_listened_changes_nothing() -> None:
    builder = BarBuilder("AAPL")
    builder.add(*trade_at(0)[:3])
    assert builder.add_beside(trade_at(-1)) is None


def test_a_time_that_goes_far_back_moves_the_day_and_no_minute_that_is_over() -> None:
    builder = BarBuilder("AAPL")
    builder.add(*trade_at(3600, 10)[:3])
    (left,) = builder.add(*trade_at(0, 11)[:3])
    assert left.bar.start == NOON + timedelta(hours=1)
    assert builder.add(*trade_at(1, 12)[:3]) == []
    assert [one.bar.close for one in builder.open_bars()] == [12]


# -- what the source says of a bar itself


def test_a_vendors_own_minute_replaces_ours_and_late_trades_leave_it() -> None:
    builder = BarBuilder("AAPL")
    builder.add(*trade_at(10, 50)[:3])
    builder.add(*trade_at(61)[:3])
    theirs = bar(symbol="theirs")
    (built,) = builder.tell(theirs, NOON + timedelta(seconds=62))
    assert (built.bar, built.fresh, built.revised) == (bar(), False, False)
    assert builder.tell(theirs, NOON + timedelta(seconds=63)) == []
    assert builder.add_beside(trade_at(59, 99)) == []
    (again,) = builder.tell(bar(high=Decimal(13)), NOON + timedelta(seconds=64))
    assert (again.bar.high, again.revised) == (13, True)


def test_a_vendors_bar_that_still_grows_counts_no_volume_twice() -> None:
    builder = BarBuilder("AAPL")
    assert builder.tell(bar(), NOON + timedelta(seconds=5)) == []
    builder.add(*trade_at(6, 30, 7)[:3])
    assert builder.minute is not None
    assert builder.minute.bar("AAPL") == bar(high=Decimal(30), close=Decimal(30))
    (built,) = builder.close_until(NOON + timedelta(seconds=60))
    assert built.bar.volume == 100


def test_a_vendors_minute_that_is_over_is_handed_over_at_once() -> None:
    builder = BarBuilder("AAPL")
    builder.add(*trade_at(130)[:3])
    (built,) = builder.tell(bar(), NOON + timedelta(seconds=131))
    assert built.bar == bar()
    assert builder.minute is not None and builder.minute.start == NOON + timedelta(seconds=120)


def test_a_vendors_day_is_that_of_the_session_it_means() -> None:
    builder = BarBuilder("AAPL", NEW_YORK)
    opened = utc("2026-11-19T14:30")
    builder.tell(bar(interval="1d", start=utc("2026-11-19T05:00")), opened + timedelta(hours=1))
    (built,) = builder.open_bars()
    assert built.bar == bar(interval="1d", start=opened)


def test_volume_that_the_source_tells_is_counted_up_to_its_time_only_once() -> None:
    builder = BarBuilder("AAPL")
    builder.add(*trade_at(0, 10, 5)[:3])
    assert builder.day is not None
    builder.day.adopt(None, None, None, Decimal(1000), NOON + timedelta(seconds=2))
    builder.add(*trade_at(2, 10, 5)[:3])  # the trade that it tells of
    builder.add_beside(trade_at(1, 10, 5))
    assert builder.day.volume == 1000
    builder.add(*trade_at(3, 10, 5)[:3])
    assert builder.day.volume == 1005


def test_a_resumed_bar_goes_on_from_what_was_stored() -> None:
    builder = BarBuilder("AAPL")
    builder.resume(bar())
    builder.add(Decimal(13), Decimal(5), NOON + timedelta(seconds=10))
    assert builder.minute is not None
    assert builder.minute.bar("AAPL") == bar(high=Decimal(13), close=Decimal(13), volume=Decimal(105))
    assert not builder.minute.fresh


def test_a_bar_that_was_revised_before_a_restart_still_says_so() -> None:
    builder = BarBuilder("AAPL")
    builder.resume(bar(interval="1d"))  # of the last record, which does not tell
    builder.resume(bar(), revised=True)
    builder.resume(bar(interval="1d"), revised=True)
    assert [built.revised for built in builder.open_bars()] == [True, True]


def test_a_bar_that_may_have_begun_before_us_joins_what_is_stored() -> None:
    ours = BuiltBar(
        bar(open=Decimal(8), high=Decimal(20), low=Decimal(8), volume=Decimal(7)), True, Decimal(2)
    )
    assert ours.joined(bar()) == bar(high=Decimal(20), low=Decimal(8), volume=Decimal(105))


def test_a_bar_without_quantities_has_no_volume() -> None:
    builder = BarBuilder("AAPL")
    builder.add(Decimal(10), None, NOON)
    assert builder.restart()[0].bar.volume is None


def test_ticks_that_wait_for_a_price_which_never_comes_are_few() -> None:
    builder = BarBuilder("AAPL")
    for n in range(20_000):
        builder.add_beside(Tick(Decimal(10), Decimal(1), NOON + n * timedelta(minutes=1), False, False))
    assert len(builder._unpriced) < 30
