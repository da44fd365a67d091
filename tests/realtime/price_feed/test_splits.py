"""Splits: whatever is older is divided at once, once only, and whoever asks sees the units of now."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec import UNSET

from assets.sessions import AROUND_THE_CLOCK
from assets.splits import SplitEvent
from realtime.price_feed.listing import Close, LastPrice
from realtime.price_feed.open_bar import BuiltBar
from realtime.protocol import Mode, decode_quote, encode_quote
from tests.exchanges import utc
from tests.realtime.price_feed.market import OPEN, SECOND, WEDNESDAY, Market, make_listing, money, restarted

# 00:00 of Thursday 19 November in New York.
EFFECTIVE = utc("2026-11-19T05:00")
TEN_FOR_ONE = SplitEvent(EFFECTIVE, 10, 1)
SPLIT = make_listing(splits=(TEN_FOR_ONE,))
LAST = utc("2026-11-18T20:59")


def before_the_split(listing: Any = SPLIT, price: str = "1200.00", **more: Any) -> Market:
    """Wednesday evening; Tuesday closed at 1190."""
    market = Market(now=WEDNESDAY, listing=listing, **more)
    market.knows(utc("2026-11-17T14:30"), "1190")
    market.quote(price, LAST, bid=Decimal("1199"), ask=Decimal("1201"))
    market.confirm(utc("2026-11-18T21:00:01"))
    market.at(EFFECTIVE - SECOND)
    return market


def test_at_the_splits_moment_everything_older_is_divided_and_sent() -> None:
    market = before_the_split()
    assert (market.last.price, market.last.change, market.last.units_at) == (*money("1200", "10"), UNSET)
    record = market.at(EFFECTIVE)
    assert record is not None
    assert (record.price, record.previous_close, record.change) == money("120", "119", "1")
    assert (record.open, record.high, record.low) == money("120", "120", "120")
    assert (record.bid, record.ask) == (None, None)
    assert record.as_of == "2026-11-18T20:59:00.000000Z"
    assert (record.units_at, record.raw_price) == ("2026-11-19T05:00:00.000000Z", Decimal(1200))
    assert market.at(EFFECTIVE + SECOND) is None


def test_at_the_open_without_a_trade_nothing_has_changed() -> None:
    market = before_the_split()
    market.at(EFFECTIVE)
    record = market.at(OPEN)
    assert record is not None
    assert (record.price, record.previous_close, record.change) == money("120", "120", "0")
    record = market.quote("123", OPEN + SECOND)
    assert record is not None
    assert (record.price, record.previous_close, record.change, record.change_percent) == money(
        "123", "120", "3", "2.50"
    )
    assert (record.units_at, record.raw_price) == (UNSET, UNSET)


@pytest.mark.parametrize("stored", ["1200", "120", "119.8"])
def test_a_previous_close_that_a_vendor_has_divided_already_is_not_divided_twice(stored: str) -> None:
    market = before_the_split()
    market.at(EFFECTIVE)
    market.at(OPEN)
    market.knows(WEDNESDAY, stored)
    assert market.last.previous_close == (Decimal(stored) if stored != "1200" else 120)
    market.quote("123", OPEN + SECOND)
    market.knows(WEDNESDAY, stored)
    assert market.last.previous_close == (Decimal(stored) if stored != "1200" else 120)


def test_bars_and_the_stored_price_stay_as_they_were_traded() -> None:
    market = before_the_split()
    market.at(EFFECTIVE)
    assert market.batcher.lines["ACME"].price_as_traded() == 1200
    market.at(OPEN + 3 * SECOND)
    assert market.daily_bars()[-1].close == 1200
    market.quote("123", OPEN + 4 * SECOND)
    assert market.batcher.lines["ACME"].price_as_traded() == 123
    assert [(bar.start, bar.close) for bar in market.daily_bars()] == [(OPEN, Decimal(123))]


@pytest.mark.parametrize("moment", [EFFECTIVE + SECOND, OPEN + SECOND])
def test_a_restart_divides_once_whether_it_was_done_before_or_not(moment: datetime) -> None:
    undivided = before_the_split()
    divided = before_the_split()
    divided.at(EFFECTIVE)
    found = [restarted(market, moment) for market in (undivided, divided)]
    twice = restarted(found[1], moment + SECOND)
    for market in (*found, twice):
        market.knows(WEDNESDAY, "1200")
        assert (market.last.price, market.last.raw_price) == money("120", "1200")
        assert market.batcher.lines["ACME"].price_as_traded() == 1200
        assert market.last.previous_close == (120 if moment > OPEN else None)


def test_a_price_of_the_database_is_as_it_was_traded() -> None:
    market = Market(now=EFFECTIVE + SECOND, listing=SPLIT)
    market.batcher.restore("ACME", LastPrice(Decimal(1200), LAST, LAST), EFFECTIVE + SECOND, 0.0)
    market.batcher.begin(2)
    assert market.last.price == 120


def test_a_restart_in_the_night_keeps_the_days_bar_as_it_was_traded() -> None:
    market = before_the_split()
    market.at(EFFECTIVE)
    bars = {"ACME": [BuiltBar(bar) for bar in market.daily_bars()[-1:]]}
    again = restarted(market, EFFECTIVE + 60 * SECOND)
    again.batcher.resume_bars(bars)
    assert (again.last.open, again.last.high) == money("120", "120")
    assert again.daily_bars()[-1].high == 1200


@pytest.mark.parametrize("price", ["1201", "120.1"])
def test_a_late_trade_of_before_the_split_is_divided_unless_its_vendor_did(price: str) -> None:
    market = before_the_split()
    market.at(EFFECTIVE)
    market.batcher.restart()  # a new connection, whose first word is of yesterday
    record = market.trade(price, LAST + SECOND, EFFECTIVE + 60 * SECOND)
    assert record is not None
    assert (record.price, record.raw_price) == money("120.1", "1201")
    assert market.daily_bars()[-1].close == 1200


def test_a_premarket_trade_is_in_new_units_and_moves_nothing() -> None:
    market = before_the_split()
    market.at(EFFECTIVE)
    assert market.quote("125", EFFECTIVE + 3600 * SECOND) is None
    assert market.last.price == 120


def test_an_official_close_that_comes_after_the_split_is_divided_too() -> None:
    market = before_the_split()
    market.at(EFFECTIVE)
    record = market.quote("1200", EFFECTIVE + SECOND, official_close=Decimal("1202"))
    assert record is not None and (record.price, record.raw_price) == money("120.2", "1202")
    assert market.daily_bars()[-1].close == 1202
    opened = market.at(OPEN)
    assert opened is not None and opened.previous_close == Decimal("120.2")


@pytest.mark.parametrize(
    ("numerator", "denominator", "price", "divided"),
    [
        (3, 1, "100.00", "33.333333333333333333"),
        (1, 8, "2.5", "20"),
        (3, 2, "150", "100"),
        (1, 100, "0.01", "1"),
    ],
)
def test_a_ratio_of_any_kind(numerator: int, denominator: int, price: str, divided: str) -> None:
    split = SplitEvent(EFFECTIVE, numerator, denominator)
    market = Market(now=WEDNESDAY, listing=make_listing(splits=(split,)))
    market.quote(price, LAST)
    record = market.at(EFFECTIVE)
    assert record is not None and str(record.price) == divided
    opened = market.at(OPEN)
    assert opened is not None and (str(opened.previous_close), opened.change) == (divided, 0)
    assert restarted(market, OPEN + SECOND).batcher.lines["ACME"].price_as_traded() == Decimal(price)


def test_a_new_price_far_from_the_old_one_is_no_outlier_after_a_large_split() -> None:
    split = SplitEvent(EFFECTIVE, 1, 200)
    market = Market(now=WEDNESDAY, listing=make_listing(splits=(split,)))
    market.quote("0.05", LAST)
    market.at(EFFECTIVE)
    market.at(OPEN)
    record = market.quote("10.2", OPEN + SECOND)
    assert record is not None and (record.price, record.previous_close) == money("10.2", "10")


def test_a_split_that_is_entered_late_or_taken_back_changes_what_is_shown() -> None:
    market = before_the_split(make_listing())
    market.at(EFFECTIVE)
    assert market.last.price == 1200
    for splits, price in (
        ((TEN_FOR_ONE,), "120"),
        ((TEN_FOR_ONE._replace(numerator=20),), "60"),
        ((), "1200"),
    ):
        listing, now = make_listing(splits=splits), EFFECTIVE + SECOND
        market.batcher.follow([listing], now, market.seconds(now))
        record = market.flushed()
        assert record is not None and record.price == Decimal(price)


def test_two_splits_multiply() -> None:
    second = SplitEvent(utc("2026-11-20T05:00"), 3, 1)
    market = before_the_split(make_listing(splits=(TEN_FOR_ONE, second)))
    market.at(EFFECTIVE)
    record = market.at(second.effective_at)
    assert record is not None and (record.price, record.raw_price) == money("40", "1200")
    assert record.previous_close == 40


def test_a_split_within_a_session_divides_what_is_open_of_it() -> None:
    """An exchange whose sessions nobody stored goes by UTC days, and New York's midnight is within one."""
    listing = make_listing(calendar=AROUND_THE_CLOCK, splits=(TEN_FOR_ONE,))
    market = Market(now=EFFECTIVE - 60 * SECOND, listing=listing)
    market.quote("1200", EFFECTIVE - 2 * SECOND, EFFECTIVE - 2 * SECOND, last_quantity=Decimal(3))
    market.quote("1210", EFFECTIVE - SECOND)
    record = market.quote("122", EFFECTIVE + SECOND)  # before the next look at the clock
    assert record is not None
    assert (record.open, record.high, record.low) == money("120", "122", "120")
    late = market.trade("1215", EFFECTIVE - SECOND / 2, EFFECTIVE + 2 * SECOND)
    assert late is None and market.rejected == {"too_late": 1}
    assert market.daily_bars()[-1].high == 122


def test_a_rolling_window_is_divided_too() -> None:
    market = Market(now=WEDNESDAY, listing=SPLIT)
    market.quote(
        "1200", LAST, high=Decimal(1300), low=Decimal(1100), window="24h", average_price=Decimal(1150)
    )
    record = market.at(EFFECTIVE)
    assert record is not None and (record.high, record.low, record.average_price) == money(
        "130", "110", "115"
    )
    again = restarted(market, EFFECTIVE + SECOND)
    assert (again.last.high, again.last.low) == money("130", "110")


def test_the_marks_of_a_split_are_in_full_records_only_and_read_back_equal() -> None:
    market = before_the_split()
    plain = encode_quote(market.last, Mode.FULL)
    assert "units_at" not in plain and "raw_price" not in plain
    market.at(EFFECTIVE)
    record = market.last
    text = encode_quote(record, Mode.FULL)
    assert text.endswith(',"units_at":"2026-11-19T05:00:00.000000Z","raw_price":1200.00}')
    assert decode_quote(text) == record
    assert "units_at" not in encode_quote(record, Mode.QUOTE) + encode_quote(record, Mode.LTPC)


def test_closes_of_before_several_splits_are_divided_by_all_of_them() -> None:
    first = SplitEvent(utc("2026-11-18T05:00"), 2, 1)
    market = Market(now=OPEN, listing=make_listing(splits=(first, TEN_FOR_ONE)))
    market.batcher.learn_closes({"ACME": Close(utc("2026-11-17T14:30"), Decimal(2400))})
    record = market.quote("123", OPEN + SECOND)
    assert record is not None and record.previous_close == 120
