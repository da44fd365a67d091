"""The batcher: what arrives last is sent last, numbers only grow, and the clock rolls sessions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.market import Bar, Depth, Quote, Trade
from realtime.feeds.base import Gap
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.listing import Close, LastPrice, Listing, publisher
from realtime.protocol import QuoteRecord, encode_quote

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LIVE = {"simulator": frozenset[str]()}


def make_listing(symbol: str = "AAPL", *sources: str) -> Listing:
    return Listing(1, symbol, "USD", symbol.lower(), sources or ("simulator",))


def make_quote(price: str = "100", as_of: datetime = NOON, symbol: str = "AAPL", **more: Any) -> Quote:
    return Quote(symbol=symbol.lower(), price=Decimal(price), as_of=as_of, **more)


def make_trade(price: str, as_of: datetime = NOON, **more: Any) -> Trade:
    return Trade(symbol="aapl", price=Decimal(price), quantity=Decimal(2), as_of=as_of, **more)


def make_batcher(*symbols: str, **options: Any) -> Batcher:
    batcher = Batcher("simulator", **{"stale_after": 300.0, **options})
    batcher.follow([make_listing(symbol) for symbol in symbols or ("AAPL",)], NOON, 0.0)
    batcher.begin(7)
    return batcher


def take(batcher: Batcher, *events: Any, at: datetime = NOON, monotonic: float = 0.0) -> QuoteRecord | None:
    batcher.take(events, at, monotonic)
    return next(iter(batcher.changed().values()), None)


# -- conflation and order


def test_a_flush_gives_only_the_newest_and_its_number_shows_the_rest() -> None:
    batcher = make_batcher()
    batcher.take([make_quote(str(price), NOON + price * SECOND) for price in (1, 2, 3)], NOON, 0.0)
    records = batcher.changed()
    assert [(record.price, record.seq, record.epoch) for record in records.values()] == [(Decimal(3), 3, 7)]
    assert batcher.changed() == {}


def test_a_quote_and_its_depth_are_one_step() -> None:
    batcher = make_batcher()
    levels = ((Decimal(99), Decimal(5)),)
    depth = Depth(symbol="aapl", bids=levels, asks=((Decimal(101), Decimal(1)),))
    for number in (1, 2, 3):
        record = take(batcher, make_quote(as_of=NOON + number * SECOND), depth)
        assert record is not None and record.seq == number
    assert record is not None and record.bids == levels
    assert (record.bid, record.ask) == (Decimal(99), Decimal(101))


operations = st.lists(
    st.one_of(
        st.tuples(
            st.just("tick"),
            st.sampled_from(["AAPL", "MSFT"]),
            st.integers(-3, 60),
            st.integers(-1, 50),
        ),
        st.tuples(
            st.just("trade"), st.sampled_from(["AAPL", "MSFT"]), st.integers(0, 60), st.integers(1, 50)
        ),
        st.tuples(st.sampled_from(["flush", "lost", "touch", "restart", "clock"])),
    ),
    max_size=80,
)


@given(operations)
def test_the_last_value_arrives_numbers_grow_and_nothing_goes_back(steps: list[tuple[Any, ...]]) -> None:
    batcher = make_batcher("AAPL", "MSFT")
    epoch, clock = 7, 0.0
    expected: dict[str, Decimal] = {}
    floor: dict[str, datetime] = {}
    shown: dict[str, QuoteRecord] = {}
    last: dict[tuple[str, str], tuple[datetime, int]] = {}  # by kind and symbol: what a repetition repeats
    may_go_back: set[str] = set()  # after a restart what follows does not continue what came before

    def show() -> None:
        for symbol, record in batcher.changed().items():
            before = shown.get(symbol)
            if before is not None and before.epoch == record.epoch:
                assert record.seq > before.seq
                assert record.as_of >= before.as_of or symbol in may_go_back
                if record.as_of < before.as_of:
                    may_go_back.remove(symbol)
            else:
                assert record.seq >= 1
            shown[symbol] = record

    for step in steps:
        match step:
            case ("tick" | "trade" as kind, symbol, offset, price):
                as_of = NOON + offset * SECOND
                maker = make_quote if kind == "tick" else make_trade
                event = maker(str(price), as_of)
                batcher.take(
                    [type(event)(**{**_fields(event), "symbol": symbol.lower()})], NOON + 60 * SECOND, clock
                )
                is_repeated = last.get((kind, symbol)) == (as_of, price) and (
                    kind == "trade" or floor.get(symbol) == as_of
                )
                if price > 0 and as_of >= floor.get(symbol, as_of) and not is_repeated:
                    expected[symbol], floor[symbol] = Decimal(price), as_of
                    last[kind, symbol] = as_of, price
            case ("flush",):
                show()
            case ("lost",):
                batcher.put_back(batcher.changed())
            case ("touch",):
                batcher.touch(["AAPL", "MSFT"])
            case ("clock",):
                clock += 400
                batcher.tick(NOON + 60 * SECOND, clock)
            case ("restart",):
                epoch += 1
                floor.clear()
                last = {key: value for key, value in last.items() if key[0] == "trade"}
                may_go_back.update(expected)
                batcher.restart()
                batcher.begin(epoch)
    show()
    assert {symbol: record.price for symbol, record in shown.items()} == expected
    assert all(record.epoch == epoch for record in shown.values())


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


# -- what is refused


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (make_quote("0"), "price"),
        (make_quote("-1"), "price"),
        (make_quote("NaN"), "malformed"),
        (make_quote("Infinity"), "price"),
        (make_quote("1", NOON + 6 * SECOND), "future"),
        (make_quote("1", symbol="NOPE"), "unknown"),
        (make_quote("1", NOON.replace(tzinfo=None)), "malformed"),
        (make_trade("0"), "price"),
    ],
)
def test_a_tick_that_cannot_be_is_counted_by_its_reason(event: Any, reason: str) -> None:
    batcher = make_batcher()
    assert take(batcher, event) is None
    assert batcher.rejected == {reason: 1}
    assert take(batcher, make_quote("5")) is not None


def test_a_tick_older_than_the_last_is_dropped() -> None:
    batcher = make_batcher()
    take(batcher, make_quote("5", NOON + SECOND))
    assert take(batcher, make_quote("4", NOON)) is None
    assert batcher.rejected == {"older": 1}


def test_the_same_tick_again_confirms_the_price_and_sends_nothing() -> None:
    batcher = make_batcher()
    take(batcher, make_quote("5"))
    assert take(batcher, make_quote("5"), at=NOON + SECOND, monotonic=10) is None
    take(batcher, make_trade("6", trade_id="1"))
    assert take(batcher, make_trade("6", trade_id="1")) is None
    assert batcher.rejected == {"duplicate": 2}


def test_old_times_are_fine_as_long_as_they_are_in_order() -> None:
    batcher = make_batcher(has_own_clock=True)
    old = datetime(2021, 4, 17, 16, 43, tzinfo=UTC)
    assert take(batcher, make_quote("5", old)) is not None
    record = take(batcher, make_quote("6", old + SECOND))
    assert record is not None and record.as_of == "2021-04-17T16:43:01.000000Z"
    batcher.restart()
    batcher.begin(8)
    again = take(batcher, make_quote("5", old))
    assert again is not None and (again.price, again.epoch, again.seq) == (Decimal(5), 8, 2)


def test_a_price_without_the_days_figures_is_within_those_told_before() -> None:
    batcher = make_batcher()
    take(batcher, make_quote("5", high=Decimal(6), low=Decimal(4)))
    for n, price in enumerate(("7", "3"), 1):
        record = take(batcher, make_quote(price, NOON + n * SECOND))
    assert record is not None and (record.high, record.low) == (7, 3)


def test_a_recording_played_again_counts_nothing_twice() -> None:
    played: dict[tuple[str, datetime], Bar] = {}
    last: QuoteRecord | None = None
    for _ in range(2):
        batcher = make_batcher(has_own_clock=True, quotes_are_trades=False)
        if last is not None:
            batcher.restore("AAPL", LastPrice(last.price, NOON + 2 * MINUTE, MIDNIGHT, last), MIDNIGHT, 0.0)
        for n in range(3):
            last = take(batcher, make_trade(str(10 + n), NOON + n * MINUTE, trade_id=str(n)), at=MIDNIGHT)
        for _, built in (*batcher.take_bars(), *batcher.open_bars()):
            bar, key = built.bar, (built.bar.interval, built.bar.start)
            played[key] = built.joined(played[key]) if built.fresh and key in played else bar

        assert last is not None and last.volume == 6
        volumes = {(interval, start - NOON): bar.volume for (interval, start), bar in played.items()}
        assert volumes == {("1d", -12 * 60 * MINUTE): 6, **{("1m", n * MINUTE): 2 for n in range(3)}}


def test_what_is_not_of_the_market_is_handed_back() -> None:
    gap = Gap("aapl", "missed 3 trades")
    assert make_batcher().take([gap], NOON, 0.0) == [gap]


# -- trades


def test_a_trade_without_a_ticker_gives_price_and_quantity() -> None:
    batcher = make_batcher()
    record = take(batcher, make_trade("101.5"))
    assert record is not None and (record.price, record.last_quantity) == (Decimal("101.5"), Decimal(2))
    record = take(batcher, make_trade("102", NOON + SECOND))
    assert record is not None
    assert (record.open, record.high, record.low) == (Decimal("101.5"), Decimal(102), Decimal("101.5"))
    assert record.volume == 4


def test_a_rolling_window_is_marked_and_grows_with_a_trade() -> None:
    batcher = make_batcher(quotes_are_trades=False)
    quote = make_quote("5", open=Decimal(4), high=Decimal(6), low=Decimal(3), volume=Decimal(9), window="24h")
    record = take(batcher, quote, make_trade("7", NOON + SECOND))
    assert record is not None
    assert (record.window, record.high, record.open, record.volume) == (
        "24h",
        Decimal(7),
        Decimal(4),
        Decimal(9),
    )


# -- the session


def test_change_is_measured_from_our_own_previous_close() -> None:
    batcher = make_batcher()
    batcher.learn_closes({"AAPL": Close(MIDNIGHT - timedelta(days=2), Decimal("147.75"))})
    record = take(batcher, make_quote("150.25", previous_close=Decimal(1)))
    assert record is not None
    assert (record.previous_close, record.change, record.change_percent) == (
        Decimal("147.75"),
        Decimal("2.50"),
        Decimal("1.69"),
    )


def test_without_a_previous_close_there_is_no_change() -> None:
    record = take(make_batcher(), make_quote())
    assert record is not None
    assert (record.previous_close, record.change, record.change_percent) == (None, None, None)


def test_a_percentage_too_large_to_print_harms_nothing() -> None:
    batcher = make_batcher()
    batcher.learn_closes({"AAPL": Close(MIDNIGHT - timedelta(days=2), Decimal("1E-18"))})
    record = take(batcher, make_quote("9" * 25))
    assert record is not None and record.change_percent is None


def test_the_session_rolls_at_midnight_by_the_clock_alone() -> None:
    batcher = make_batcher()
    take(batcher, make_quote("100", MIDNIGHT - 5 * SECOND), at=MIDNIGHT - 5 * SECOND)
    batcher.tick(MIDNIGHT - SECOND, 1.0)
    assert batcher.changed() == {}
    batcher.tick(MIDNIGHT, 2.0)
    record = batcher.changed()["AAPL"]
    assert (record.previous_close, record.change) == (Decimal(100), Decimal(0))
    assert (record.open, record.high, record.low, record.volume) == (None, None, None, None)
    record = take(batcher, make_quote("103", MIDNIGHT + SECOND), at=MIDNIGHT + SECOND)  # type: ignore[assignment]
    assert (record.open, record.high, record.change) == (Decimal(103), Decimal(103), Decimal(3))


def test_a_tick_that_beats_the_clock_to_midnight_rolls_too() -> None:
    batcher = make_batcher()
    take(batcher, make_quote("100", MIDNIGHT - SECOND), at=MIDNIGHT - SECOND)
    record = take(batcher, make_quote("101", MIDNIGHT), at=MIDNIGHT)
    assert record is not None and record.previous_close == 100


def test_a_last_trade_from_before_the_session_is_its_previous_close() -> None:
    batcher = make_batcher()
    batcher.learn_closes({"AAPL": Close(NOON.replace(hour=0) - timedelta(days=3), Decimal(50))})
    record = take(batcher, make_quote("90", NOON - timedelta(hours=14)))
    assert record is not None and (record.previous_close, record.change) == (Decimal(90), Decimal(0))


def test_a_stored_close_never_replaces_a_later_one() -> None:
    batcher = make_batcher()
    take(batcher, make_quote("100", MIDNIGHT - SECOND), at=MIDNIGHT - SECOND)
    batcher.tick(MIDNIGHT, 1.0)
    batcher.learn_closes({"AAPL": Close(MIDNIGHT - timedelta(days=2), Decimal(1))})
    assert batcher.changed()["AAPL"].previous_close == 100


def test_bars_are_built_before_conflation() -> None:
    batcher = make_batcher()
    for second, price in enumerate(("10", "30", "5", "20")):
        batcher.take([make_quote(price, NOON + second * SECOND)], NOON + second * SECOND, 0.0)
    batcher.tick(NOON + timedelta(seconds=62), 62.0)
    minute = next(built.bar for _, built in batcher.take_bars() if built.bar.interval == "1m")
    assert (minute.open, minute.high, minute.low, minute.close) == tuple(map(Decimal, (10, 30, 5, 20)))


def test_a_ticker_that_repeats_its_trade_adds_no_volume() -> None:
    batcher = make_batcher(quotes_are_trades=False)
    batcher.take([make_trade("5"), make_quote("5", last_quantity=Decimal(2))], NOON, 0.0)
    assert batcher.changed()["AAPL"].volume == 2


# -- staleness


def test_a_price_grows_stale_by_the_clock_and_a_confirmation_refreshes_it() -> None:
    batcher = make_batcher()
    take(batcher, make_quote())
    batcher.tick(NOON, 300.0)
    assert batcher.changed() == {}
    batcher.tick(NOON, 300.5)
    stale = batcher.changed()["AAPL"]
    assert (stale.stale, stale.seq, stale.price) == (True, 2, Decimal(100))
    batcher.tick(NOON, 400.0)
    assert batcher.changed() == {}
    batcher.confirm(None, NOON, 401.0)
    assert not batcher.changed()["AAPL"].stale
    batcher.tick(NOON, 700.0)
    assert batcher.changed() == {}


def test_a_clock_set_back_makes_nothing_stale() -> None:
    batcher = make_batcher()
    take(batcher, make_quote())
    batcher.tick(NOON - timedelta(days=2), 10.0)
    assert batcher.changed() == {}


# -- restoring and epochs


def test_a_last_price_survives_a_restart_with_all_of_its_record() -> None:
    before = make_batcher()
    record = take(
        before, make_quote("5", high=Decimal(6), low=Decimal(4), open=Decimal(5), volume=Decimal(9))
    )
    assert record is not None
    batcher = Batcher("simulator", stale_after=300.0)
    batcher.follow([make_listing()], NOON + SECOND, 0.0)
    batcher.restore("AAPL", LastPrice(record.price, NOON, NOON, record), NOON + SECOND, 0.0)
    batcher.begin(8)
    again = batcher.changed()["AAPL"]
    assert (again.price, again.seq, again.epoch, again.as_of) == (Decimal(5), 1, 8, record.as_of)
    assert (again.high, again.low, again.volume, again.stale) == (Decimal(6), Decimal(4), Decimal(9), False)


def test_a_restored_price_of_long_ago_is_stale() -> None:
    batcher = make_batcher()
    yesterday = NOON - timedelta(days=1)
    batcher.restore("AAPL", LastPrice(Decimal(5), yesterday, yesterday), NOON, 0.0)
    batcher.begin(8)
    record = batcher.changed()["AAPL"]
    assert (record.stale, record.previous_close) == (True, Decimal(5))


def test_a_new_epoch_sends_everything_again_from_one() -> None:
    batcher = make_batcher("AAPL", "MSFT", "V")
    batcher.take([make_quote("1", symbol=symbol) for symbol in ("AAPL", "MSFT")], NOON, 0.0)
    batcher.changed()
    batcher.restart()
    batcher.begin(8, superseded={"MSFT"})
    assert {symbol: (record.epoch, record.seq) for symbol, record in batcher.changed().items()} == {
        "AAPL": (8, 1)
    }
    assert batcher.last("MSFT") is None


# -- who publishes


def test_the_first_live_source_that_does_not_refuse_publishes() -> None:
    sources = ("coinbase", "simulator")
    live = {"simulator": frozenset[str](), "coinbase": frozenset({"NOPE"})}
    assert publisher("AAPL", sources, live) == "coinbase"
    assert publisher("NOPE", sources, live) == "simulator"
    assert publisher("AAPL", sources, LIVE) == "simulator"
    assert publisher("AAPL", sources, {}) is None


def test_a_source_is_silent_while_a_better_one_lives_and_speaks_when_it_dies() -> None:
    batcher = Batcher("simulator", stale_after=300.0)
    batcher.follow([make_listing("AAPL", "coinbase", "simulator")], NOON, 0.0)
    batcher.begin(7)
    batcher.arbitrate({**LIVE, "coinbase": frozenset()})
    assert take(batcher, make_quote("5")) is None
    assert batcher.last("AAPL") is None
    batcher.arbitrate(LIVE)
    record = batcher.changed()["AAPL"]
    assert (record.price, record.source) == (Decimal(5), "simulator")
    batcher.arbitrate({**LIVE, "coinbase": frozenset()})
    assert take(batcher, make_quote("6", NOON + SECOND)) is None
    batcher.arbitrate({})  # nobody lives: whoever published last stays silent or goes on as before
    assert take(batcher, make_quote("7", NOON + 2 * SECOND)) is None


def test_an_unlisted_asset_is_forgotten_and_a_new_one_followed() -> None:
    batcher = make_batcher("AAPL", "MSFT")
    take(batcher, make_quote("5"))
    batcher.take([make_quote("6", NOON + SECOND)], NOON, 0.0)
    added, gone = batcher.follow([make_listing("MSFT"), make_listing("V")], NOON, 0.0)
    assert ([line.listing.symbol for line in added], [line.listing.symbol for line in gone]) == (
        ["V"],
        ["AAPL"],
    )
    assert batcher.changed() == {}
    batcher.put_back(["AAPL"])


def test_numbers_leave_without_an_exponent() -> None:
    batcher = make_batcher()
    record = take(batcher, make_quote("0.00000001234"))
    assert record is not None and '"price":0.00000001234,' in encode_quote(record, "quote")
