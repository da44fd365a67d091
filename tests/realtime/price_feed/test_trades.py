"""Trades that are late or count for a part only, bids without a price, and bars of the source's own."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from assets.market import Bar, BidAsk, Greeks, Trade
from realtime.protocol import Mode, decode_quote, encode_quote
from tests.exchanges import utc
from tests.realtime.price_feed.market import CLOSE, OPEN, SECOND, Market, money, restarted

TEN = OPEN + timedelta(minutes=30)


def make_trade(price: str, as_of: Any, quantity: str = "1", **more: Any) -> Trade:
    return Trade(symbol="acme", price=Decimal(price), quantity=Decimal(quantity), as_of=as_of, **more)


def minutes(market: Market) -> list[tuple[str, Bar, bool]]:
    bars = [*market.batcher.take_bars(), *market.batcher.open_bars()]
    return [(f"{one.bar.start:%H:%M}", one.bar, one.revised) for _, one in bars if one.bar.interval == "1m"]


# -- late ones


def test_a_late_trade_never_moves_the_price_but_revises_its_bar_and_says_so() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    market.take(make_trade("101", TEN + 70 * SECOND), TEN + 70 * SECOND)
    minutes(market)
    late = market.take(make_trade("90", TEN + 10 * SECOND, "7"), TEN + 71 * SECOND)
    assert late is not None
    assert (late.price, late.as_of, late.last_quantity) == (Decimal(101), "2026-11-19T15:01:10.000000Z", 1)
    assert (late.low, late.volume) == money("90", "9")
    (start, bar, revised), _ = minutes(market)
    assert (start, bar.low, bar.close, bar.volume, revised) == ("15:00", 90, 90, 8, True)
    assert market.rejected == {}


def test_a_trade_too_late_for_its_bar_is_counted() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    market.take(make_trade("101", TEN + 1000 * SECOND), TEN + 1000 * SECOND)
    assert market.take(make_trade("90", TEN + SECOND), TEN + 1001 * SECOND) is None
    assert market.rejected == {"too_late": 1}
    assert market.last.low == 100


def test_the_same_late_trade_again_counts_once() -> None:
    market = Market()
    market.take(make_trade("100", TEN + 2 * SECOND, trade_id="2"), TEN + 2 * SECOND)
    for _ in range(2):
        market.take(make_trade("99", TEN + SECOND, trade_id="1"), TEN + 3 * SECOND)
    assert market.last.volume == 2
    assert market.rejected == {"duplicate": 1}


def test_a_connection_that_begins_with_trades_of_the_last_one_counts_them_once() -> None:
    market = Market()
    for number in (1, 2, 3):
        market.take(make_trade("100", TEN + number * SECOND, trade_id=str(number)), TEN + number * SECOND)
    market.batcher.restart()
    market.take(make_trade("100", TEN + 2 * SECOND, trade_id="2"), TEN + 4 * SECOND)
    assert market.last.volume == 3
    assert market.rejected == {"duplicate": 1}


@pytest.mark.parametrize(
    ("price", "reason"), [("0", "price"), ("-1", "price"), ("NaN", "malformed"), ("1", "outlier")]
)
def test_an_absurd_late_trade_is_refused_like_any_other(price: str, reason: str) -> None:
    market = Market()
    market.take(make_trade("100", TEN + SECOND), TEN + SECOND)
    assert market.take(make_trade(price, TEN), TEN + 2 * SECOND) is None
    assert market.rejected == {reason: 1}


def test_a_late_trade_of_the_night_revises_nothing() -> None:
    market = Market(now=OPEN)
    market.take(make_trade("100", OPEN + SECOND), OPEN + SECOND)
    assert market.take(make_trade("90", OPEN - SECOND), OPEN + 2 * SECOND) is None
    assert (market.last.low, market.rejected) == (100, {"off_hours": 1})


def test_a_late_trade_after_the_official_close_is_of_the_day_and_not_its_close() -> None:
    market = Market()
    market.take(make_trade("100", CLOSE - 60 * SECOND), CLOSE - 60 * SECOND)
    market.at(CLOSE + SECOND)
    market.quote("100", CLOSE + SECOND, official_close=Decimal("99.5"))
    record = market.take(make_trade("98", CLOSE - SECOND, "4"), CLOSE + 2 * SECOND)
    assert record is not None and (record.price, record.low, record.volume) == (Decimal("99.5"), 98, 5)
    assert market.daily_bars()[-1].close == Decimal("99.5")


# -- those that count for a part


def test_an_odd_lot_is_volume_and_no_price() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    odd = make_trade("120", TEN + SECOND, "3", updates_last=False, updates_high_low=False)
    record = market.take(odd, TEN + SECOND)
    assert record is not None
    assert (record.price, record.high, record.volume, record.last_quantity) == (100, 100, 4, 1)
    assert record.as_of == "2026-11-19T15:00:00.000000Z"


def test_a_trade_out_of_sequence_is_range_and_volume_and_no_price() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    record = market.take(make_trade("120", TEN + SECOND, "3", updates_last=False), TEN + SECOND)
    assert record is not None
    assert (record.price, record.high, record.volume) == (100, 120, 4)


def test_an_average_price_trade_of_any_price_changes_nothing_but_confirms() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    average = make_trade(
        "10000", TEN + SECOND, updates_last=False, updates_high_low=False, updates_volume=False
    )
    record = market.take(average, TEN + SECOND)
    assert record is not None and (record.price, record.high, record.volume) == (100, 100, 1)
    assert record.received_at == "2026-11-19T15:00:01.000000Z"


def test_a_price_without_volume_moves_the_price() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    record = market.take(make_trade("101", TEN + SECOND, "5", updates_volume=False), TEN + SECOND)
    assert record is not None and (record.price, record.high, record.volume) == (101, 101, 1)


def test_a_close_that_is_no_part_of_the_range_moves_the_price() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    record = market.take(make_trade("101", TEN + SECOND, "5", updates_high_low=False), TEN + SECOND)
    assert record is not None and (record.price, record.high, record.volume) == (101, 100, 6)


def test_what_counts_for_nothing_may_still_not_be_absurd() -> None:
    market = Market()
    for price, moment in (("0", TEN), ("NaN", TEN), ("5", TEN + 10 * SECOND)):
        trade = make_trade(price, moment, updates_last=False, updates_high_low=False)
        assert market.take(trade, TEN) is None
    assert market.rejected == {"price": 2, "future": 1}


def test_volume_is_counted_once_where_quotes_repeat_their_trades() -> None:
    market = Market(quotes_are_trades=False)
    for number in range(3):
        moment = TEN + number * SECOND
        market.take(make_trade("100", moment, "2", trade_id=str(number)), moment)
        market.quote("100", moment, last_quantity=Decimal(2))
    assert market.last.volume == 6
    assert [bar.volume for _, bar, _ in minutes(market)] == [6]


def test_the_first_trade_counts_although_its_ticker_came_before_it() -> None:
    market = Market(quotes_are_trades=False)
    market.quote("100", TEN, last_quantity=Decimal(2))
    market.take(make_trade("100", TEN, "2"), TEN + SECOND)
    assert market.last.volume == 2


def test_a_restarted_process_does_not_count_the_last_trade_again() -> None:
    before = Market(quotes_are_trades=False)
    for number in (1, 2):
        before.take(
            make_trade("100", TEN + number * SECOND, str(number), trade_id=str(number)), TEN + 2 * SECOND
        )
    after = restarted(before, TEN + 3 * SECOND, quotes_are_trades=False)
    after.take(make_trade("100", TEN + 2 * SECOND, "2", trade_id="2"), TEN + 4 * SECOND)
    assert (after.last.volume, after.last.last_quantity) == (3, 2)
    after.take(make_trade("100", TEN + 3 * SECOND, "2", trade_id="3"), TEN + 4 * SECOND)
    assert after.last.volume == 5


def test_the_first_trade_after_a_restart_is_added_to_what_is_stored_of_its_minute() -> None:
    before = Market(quotes_are_trades=False)
    before.take(make_trade("100", TEN, "3", trade_id="1"), TEN + 900 * SECOND)
    ((_, stored, _),) = minutes(before)
    after = restarted(before, TEN + 910 * SECOND, quotes_are_trades=False)
    for number, quantity in (("1", "3"), ("2", "5"), ("3", "7")):  # the last one again, and two that are new
        as_of = TEN + (int(number) - 1) * SECOND
        after.take(make_trade("100", as_of, quantity, trade_id=number), as_of + 900 * SECOND)
    built = next(one for _, one in after.batcher.open_bars() if one.bar.interval == "1m")
    assert built.fresh and built.joined(stored).volume == 15

    new_only = restarted(before, TEN + 910 * SECOND, quotes_are_trades=False)
    new_only.take(make_trade("100", TEN + SECOND, "5", trade_id="2"), TEN + 901 * SECOND)
    built = next(one for _, one in new_only.batcher.open_bars() if one.bar.interval == "1m")
    assert built.joined(stored).volume == 8


# -- bids and asks


def make_sides(bid: str | None, ask: str | None, as_of: Any = TEN) -> BidAsk:
    return BidAsk(symbol="acme", as_of=as_of, bid=bid and Decimal(bid), ask=ask and Decimal(ask))  # type: ignore[arg-type]


def test_a_bid_and_an_ask_move_neither_price_nor_bars_and_confirm() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    record = market.take(make_sides("99", "101", TEN + 60 * SECOND), TEN + 60 * SECOND)
    assert record is not None
    assert (record.price, record.bid, record.ask, record.as_of) == (
        100,
        99,
        101,
        "2026-11-19T15:00:00.000000Z",
    )
    assert record.received_at == "2026-11-19T15:01:00.000000Z"
    assert [start for start, _, _ in minutes(market)] == ["15:00"]
    assert market.take(make_sides("99", "101", TEN + 61 * SECOND), TEN + 61 * SECOND) is None
    record = market.at(TEN + 400 * SECOND)
    assert record is not None and record.stale
    record = market.take(make_sides("99", "101", TEN + 400 * SECOND), TEN + 401 * SECOND)
    assert record is not None and not record.stale


@pytest.mark.parametrize("nobody", [None, "0", "0.00"])
def test_nobody_who_bids_is_no_bid(nobody: str | None) -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    market.take(make_sides("99", "101"), TEN)
    record = market.take(make_sides(nobody, "102"), TEN)
    assert record is not None and (record.bid, record.ask) == (None, 102)


def test_a_bid_of_the_future_or_of_nobodys_asset_is_counted() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    assert market.take(make_sides("99", "101", TEN + 6 * SECOND), TEN) is None
    market.take(BidAsk(symbol="nope", as_of=TEN, bid=None, ask=None), TEN)
    assert market.rejected == {"future": 1, "unknown": 1}


# -- bars of the source's own


def make_bar(close: str, start: Any = TEN, **more: Any) -> Bar:
    prices = {name: Decimal(close) for name in ("open", "high", "low", "close")}
    return Bar(
        **{"symbol": "acme", "interval": "1m", "start": start, "volume": Decimal(500), **prices, **more}
    )  # type: ignore[arg-type]


def test_a_vendors_bar_replaces_ours_is_stored_and_moves_no_price() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    market.take(make_trade("101", TEN + 61 * SECOND), TEN + 61 * SECOND)
    minutes(market)
    record = market.take(make_bar("100.5"), TEN + 62 * SECOND)
    assert record is not None and record.price == 101
    (start, bar, revised), _ = minutes(market)
    assert (start, bar.symbol, bar.close, bar.volume, revised) == (
        "15:00",
        "ACME",
        Decimal("100.5"),
        500,
        False,
    )


def test_a_vendors_day_gives_the_days_figures() -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    day = make_bar(
        "100", utc("2026-11-19T05:00"), interval="1d", high=Decimal(110), low=Decimal(90), open=Decimal(95)
    )
    record = market.take(day, TEN + SECOND)
    assert record is not None
    assert (record.open, record.high, record.low, record.volume) == (95, 110, 90, 500)
    assert market.daily_bars()[-1].start == OPEN


@pytest.mark.parametrize(
    ("bar", "reason"),
    [
        (make_bar("0"), "price"),
        (make_bar("100", low=Decimal("-1")), "price"),
        (make_bar("100", high=Decimal(99)), "malformed"),
        (make_bar("100", high=Decimal(100_000)), "outlier"),
        (make_bar("100", TEN + 60 * SECOND), "future"),
        (make_bar("100", symbol="nope"), "unknown"),
    ],
)
def test_a_bar_that_cannot_be_is_counted_by_its_reason(bar: Bar, reason: str) -> None:
    market = Market()
    market.take(make_trade("100", TEN), TEN)
    assert market.take(bar, TEN) is None
    assert market.rejected == {reason: 1}


# -- greeks


def test_greeks_are_kept_until_others_come_and_over_a_restart() -> None:
    market = Market()
    greeks = Greeks(delta=Decimal("0.5"), iv=Decimal("0.2"))
    market.quote("5", TEN, greeks=greeks)
    record = market.quote("6", TEN + SECOND)
    assert record is not None and (record.delta, record.gamma, record.iv) == (
        Decimal("0.5"),
        None,
        Decimal("0.2"),
    )
    assert decode_quote(encode_quote(record, Mode.FULL_D30)) == record
    assert restarted(market, TEN + 2 * SECOND).last.iv == Decimal("0.2")
