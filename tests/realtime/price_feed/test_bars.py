"""Bars equal what a plain computation over the same ticks gives."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from assets.market import Bar
from realtime.price_feed.bars import BarBuilder, BuiltBar

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Tick = tuple[datetime, Decimal, Decimal]


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


def computed(ticks: list[Tick], length: timedelta) -> dict[datetime, tuple[Decimal, ...]]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    groups: dict[datetime, list[Tick]] = defaultdict(list)
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
def test_bars_equal_an_independent_computation(ticks: list[Tick]) -> None:
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


def test_a_straggler_does_not_open_a_closed_bar_again() -> None:
    builder = BarBuilder("AAPL")
    builder.add(Decimal(10), None, NOON)
    builder.close_until(NOON + timedelta(seconds=60))
    assert builder.add(Decimal(99), None, NOON + timedelta(seconds=59)) == []
    assert builder.minute is None
    assert builder.day is not None and builder.day.high == 99


def test_a_resumed_bar_goes_on_from_what_was_stored() -> None:
    builder = BarBuilder("AAPL")
    builder.resume(bar())
    builder.add(Decimal(13), Decimal(5), NOON + timedelta(seconds=10))
    assert builder.minute is not None
    assert builder.minute.bar("AAPL") == bar(high=Decimal(13), close=Decimal(13), volume=Decimal(105))
    assert not builder.minute.fresh


def test_a_bar_that_may_have_begun_before_us_joins_what_is_stored() -> None:
    ours = BuiltBar(
        bar(open=Decimal(8), high=Decimal(20), low=Decimal(8), volume=Decimal(7)), True, Decimal(2)
    )
    assert ours.joined(bar()) == bar(high=Decimal(20), low=Decimal(8), volume=Decimal(105))


def test_a_bar_without_quantities_has_no_volume() -> None:
    builder = BarBuilder("AAPL")
    builder.add(Decimal(10), None, NOON)
    assert builder.restart()[0].bar.volume is None
