"""Lines of exchanges: the clock rolls them, regular hours move them, and a closed market is not stale."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from assets.market import Bar, Depth
from assets.sessions import AROUND_THE_CLOCK, FX_DAYS
from realtime.price_feed.listing import LastPrice
from realtime.price_feed.open_bar import BuiltBar
from tests.exchanges import HONG_KONG, LONDON, MUMBAI, NEW_YORK, utc
from tests.realtime.price_feed.market import (
    CLOSE,
    EPOCH,
    OPEN,
    SECOND,
    TIMEOUT,
    WEDNESDAY,
    Market,
    make_listing,
    money,
    restarted,
)

# -- the roll


def test_the_clock_rolls_a_session_at_its_open_without_a_trade() -> None:
    market = Market(now=WEDNESDAY)
    market.quote("150", WEDNESDAY + SECOND)
    closed = market.at(utc("2026-11-18T21:00"))
    assert closed is not None and closed.session == "closed"
    assert market.at(OPEN - SECOND) is None or market.last.previous_close is None
    opened = market.at(OPEN)
    assert opened is not None
    assert (opened.session, opened.previous_close, opened.change) == ("open", Decimal(150), Decimal(0))
    assert (opened.open, opened.high, opened.low, opened.volume) == (None, None, None, None)


def test_a_holiday_weekend_keeps_the_half_days_change_until_the_next_open() -> None:
    market = Market(now=utc("2026-11-25T14:30"))
    market.quote("200", utc("2026-11-25T20:59"))
    # Thanksgiving: still Wednesday's session, all Thursday.
    market.at(utc("2026-11-26T20:00"))
    assert (market.last.session, market.last.previous_close) == ("closed", None)
    market.at(utc("2026-11-27T14:30"))
    market.quote("206", utc("2026-11-27T17:59"))
    half = market.at(utc("2026-11-27T18:00"))
    assert half is not None and half.session == "closed"
    for moment in ("2026-11-28T09:00", "2026-11-30T12:00", "2026-11-30T14:29:59"):
        market.at(utc(moment))
        assert (market.last.previous_close, market.last.change) == money("200", "6")
    monday = market.at(utc("2026-11-30T14:30"))
    assert monday is not None and (monday.previous_close, monday.change) == money("206", "0")
    record = market.quote("204.50", utc("2026-11-30T15:00"))
    assert record is not None and record.change == Decimal("-1.50")


def test_every_open_and_close_sends_the_record_again() -> None:
    market = Market(HONG_KONG, utc("2026-11-19T01:30"))
    market.quote("40", utc("2026-11-19T01:31"))
    seen = []
    moment = utc("2026-11-19T01:32")
    while moment < utc("2026-11-20T01:32"):
        market.confirm(moment)
        if (record := market.at(moment)) is not None:
            seen.append(f"{moment:%H:%M} {record.session}")
        moment += 60 * SECOND
    assert seen == ["04:00 closed", "05:00 open", "08:00 closed", "01:30 open"]


def test_new_york_and_london_change_their_clocks_in_different_weeks() -> None:
    """London is back to GMT on 25 October, New York to EST on 1 November: for a week they overlap an hour more."""
    sessions = {}
    for calendar in (LONDON, NEW_YORK):
        for day in ("2026-10-23", "2026-10-28", "2026-11-04"):
            market = Market(calendar, utc(f"{day}T00:00"))
            market.batcher.restore("ACME", LastPrice(Decimal(1), EPOCH, EPOCH), utc(f"{day}T00:00"), 0.0)
            changes, moment = [], utc(f"{day}T00:00")
            while moment < utc(f"{day}T23:59"):
                record = market.at(moment)
                if record is not None and record.session == "open" and not changes:
                    changes.append(f"{moment:%H:%M}")
                moment += 15 * 60 * SECOND
            sessions[calendar.name, day] = changes[0]
    assert sessions == {
        ("XLON", "2026-10-23"): "07:00",
        ("XLON", "2026-10-28"): "08:00",
        ("XLON", "2026-11-04"): "08:00",
        ("XNYS", "2026-10-23"): "13:30",
        ("XNYS", "2026-10-28"): "13:30",
        ("XNYS", "2026-11-04"): "14:30",
    }


def test_an_evening_session_on_a_sunday_is_a_session_of_its_own() -> None:
    market = Market(MUMBAI, utc("2026-11-06T04:00"))
    market.quote("3000", utc("2026-11-06T09:59"))
    market.confirm(utc("2026-11-06T10:00:01"))
    market.at(utc("2026-11-08T12:29"))
    record = market.quote("3100", utc("2026-11-08T12:30"))  # before the Sunday's open
    assert record is None and market.rejected == {"off_hours": 1}
    market.at(utc("2026-11-08T12:45"))
    assert (market.last.session, market.last.previous_close) == ("open", Decimal(3000))
    market.quote("3030", utc("2026-11-08T13:40"))
    market.at(utc("2026-11-08T13:45"))
    assert (market.last.session, market.last.change) == ("closed", Decimal(30))
    market.at(utc("2026-11-09T03:45"))
    assert (market.last.previous_close, market.last.change) == money("3030", "0")
    market.at(utc("2026-11-10T05:00"))  # a holiday
    assert (market.last.session, market.last.previous_close) == ("closed", Decimal(3030))
    assert {bar.start: bar.close for bar in market.daily_bars()} == {
        utc("2026-11-06T03:45"): Decimal(3000),
        utc("2026-11-08T12:45"): Decimal(3030),
    }


def test_a_currency_pair_rolls_at_five_in_new_york_and_rests_from_friday_to_sunday() -> None:
    market = Market(FX_DAYS, utc("2026-11-19T12:00"))
    market.quote("1.10", utc("2026-11-19T21:59:59"))
    rolled = market.at(utc("2026-11-19T22:00"))
    assert rolled is not None and (rolled.session, rolled.previous_close) == ("open", Decimal("1.10"))
    market.quote("1.11", utc("2026-11-20T21:59"))
    market.at(utc("2026-11-20T22:00"))
    assert market.quote("1.50", utc("2026-11-21T12:00")) is None
    assert (market.last.session, market.last.price) == ("closed", Decimal("1.11"))
    market.at(utc("2026-11-22T22:00"))
    assert (market.last.session, market.last.previous_close) == ("open", Decimal("1.11"))


# -- which ticks count


@pytest.mark.parametrize("maker", ["quote", "trade"])
@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-19T13:00",  # pre-market
        "2026-11-19T14:29:59.999999",  # nearly
        "2026-11-19T21:00:00.000001",  # after hours
        "2026-11-21T12:00",  # a Saturday
    ],
)
def test_a_tick_outside_regular_hours_moves_nothing_and_confirms(maker: str, moment: str) -> None:
    market = Market(now=WEDNESDAY)
    market.quote("150", utc("2026-11-18T20:59"))
    market.at(utc(moment))
    market.confirm(utc(moment))
    market.at(utc(moment))
    market.batcher.take_bars()
    before, bars = market.last, market.daily_bars()
    assert getattr(market, maker)("170", utc(moment)) is None
    record = market.last
    assert (record.price, record.as_of) == (before.price, before.as_of)
    assert (record.high, record.low, record.open) == (before.high, before.low, before.open)
    assert market.daily_bars() == bars
    assert market.rejected == {"off_hours": 1}
    assert datetime.fromisoformat(record.received_at) == utc(moment)


def test_the_last_trade_may_be_of_the_very_moment_of_the_close() -> None:
    market = Market()
    record = market.trade("151", CLOSE)
    assert record is not None and record.price == 151
    assert market.trade("152", CLOSE + timedelta.resolution) is None


def test_the_night_moves_bid_ask_and_depth_but_no_price() -> None:
    market = Market()
    market.quote("150", OPEN + SECOND, bid=Decimal("149.9"), ask=Decimal("150.1"))
    night = CLOSE + 3600 * SECOND
    market.at(night)
    record = market.quote("155", night, bid=Decimal("154.9"), ask=Decimal("155.1"), high=Decimal(156))
    assert record is not None
    assert (record.bid, record.ask, record.price, record.high) == money("154.9", "155.1", "150", "150")
    levels = ((Decimal("154.8"), Decimal(1)),)
    record = market.take(Depth(symbol="acme", bids=levels, asks=()), night + SECOND)
    assert record is not None and (record.bids, record.price) == (levels, Decimal(150))


def test_a_first_tick_that_comes_before_the_clock_says_open_is_off_hours() -> None:
    market = Market(now=WEDNESDAY)
    market.quote("150", utc("2026-11-18T20:59"))
    market.confirm(utc("2026-11-18T21:01"))
    market.at(OPEN - 60 * SECOND)
    assert market.quote("152", OPEN + SECOND, OPEN - SECOND) is None
    assert market.rejected == {"off_hours": 1}
    # ... but one that the clock allows rolls before the next look at the clock.
    record = market.quote("153", OPEN + SECOND, OPEN + SECOND)
    assert record is not None and (record.price, record.previous_close) == money("153", "150")
    assert record.session == "open"


def test_a_feed_that_is_fifteen_minutes_behind_shows_the_close_until_it_has_the_open() -> None:
    market = Market(now=WEDNESDAY, delayed_by=900)
    market.quote("150", utc("2026-11-18T20:59"), utc("2026-11-18T21:14"))
    market.at(OPEN)
    at_0935 = OPEN + 300 * SECOND
    assert market.quote("158", at_0935 - 900 * SECOND, at_0935) is None  # a print of 09:20
    market.at(at_0935)
    record = market.last
    assert (record.price, record.previous_close, record.change) == money("150", "150", "0")
    assert (record.session, record.stale, record.delayed_by) == ("open", False, 900)
    first = market.quote("152", OPEN + 10 * SECOND, OPEN + 910 * SECOND)
    assert first is not None and (first.price, first.change, first.open) == money("152", "2", "152")


def test_a_delay_never_makes_stale() -> None:
    market = Market(now=WEDNESDAY, delayed_by=1200)
    market.quote("150", utc("2026-11-18T20:59"), utc("2026-11-18T21:19"))
    market.confirm(utc("2026-11-18T21:21"))
    for minutes in range(25):  # nothing of today has come yet
        market.at(OPEN + minutes * 60 * SECOND)
        assert not market.last.stale
    market.at(OPEN + (1200 + TIMEOUT + 1) * SECOND)
    assert market.last.stale


def test_lunch_is_closed_and_ends_no_session() -> None:
    market = Market(HONG_KONG, utc("2026-11-19T01:30"))
    market.quote("40", utc("2026-11-19T03:59"))
    lunch = utc("2026-11-19T04:00")
    record = market.at(lunch)
    assert record is not None and (record.session, record.open) == ("closed", Decimal(40))
    assert market.quote("44", lunch + 60 * SECOND) is None
    late = market.trade("41", lunch - SECOND, lunch + SECOND)  # on its way when the bell rang
    assert late is not None and late.price == 41
    market.at(utc("2026-11-19T04:59:59"))
    assert not market.last.stale
    record = market.at(utc("2026-11-19T05:00"))
    assert record is not None and (record.session, record.previous_close) == ("open", None)
    assert not record.stale
    record = market.quote("42", utc("2026-11-19T05:00:01"))
    assert record is not None
    assert (record.open, record.high, record.low) == money("40", "42", "40")


def test_a_late_trade_of_before_the_break_counts_after_it() -> None:
    market = Market(HONG_KONG, utc("2026-11-19T01:30"), delayed_by=3700)
    record = market.trade("41", utc("2026-11-19T03:59:59"), utc("2026-11-19T05:01"))
    assert record is not None and record.price == 41
    market.at(utc("2026-11-19T05:31"))
    assert market.trade("42", utc("2026-11-19T04:30"), utc("2026-11-19T05:32")) is None


def test_a_snapshot_of_yesterday_gives_a_price_but_no_high_and_low_of_today() -> None:
    market = Market(now=OPEN + 60 * SECOND)
    record = market.quote(
        "150", utc("2026-11-18T20:59"), OPEN + 60 * SECOND, high=Decimal(160), low=Decimal(140)
    )
    assert record is not None
    assert (record.price, record.previous_close, record.change) == money("150", "150", "0")
    assert (record.high, record.low) == (None, None)


def test_bars_of_a_day_begin_at_the_open_and_are_of_regular_hours() -> None:
    market = Market()
    for price, moment in (("150", OPEN), ("155", OPEN + 60 * SECOND), ("149", CLOSE), ("99", CLOSE + SECOND)):
        market.trade(price, moment)
    market.at(utc("2026-11-20T14:30:03"))
    (bar,) = [bar for _, built in market.batcher.take_bars() if (bar := built.bar).interval == "1d"][-1:]
    assert (bar.start, bar.open, bar.high, bar.low, bar.close) == (OPEN, *money("150", "155", "149", "149"))
    market.trade("151", utc("2026-11-20T14:30:04"))
    assert market.daily_bars()[-1].start == utc("2026-11-20T14:30")


@pytest.mark.parametrize("delay", [0, 900])
def test_a_day_is_stored_when_it_is_over_and_not_first_at_the_next_open(delay: int) -> None:
    market = Market(delayed_by=delay)
    market.trade("150", OPEN, OPEN + 20 * SECOND)  # a source that is never quite in time
    market.at(CLOSE + SECOND)
    market.trade("151", CLOSE - SECOND, CLOSE + (delay + 10) * SECOND)
    market.at(CLOSE + (delay + 11) * SECOND)
    stored = [built.bar for _, built in market.batcher.take_bars() if built.bar.interval == "1d"]
    assert [(bar.start, bar.close) for bar in stored][-1] == (OPEN, Decimal(151))
    market.at(CLOSE + 7200 * SECOND)
    assert market.batcher.take_bars() == []


# -- the official close


def test_an_official_close_that_is_not_the_last_trade_is_tonights_price_and_tomorrows_baseline() -> None:
    market = Market(MUMBAI, utc("2026-11-19T03:45"))
    market.quote("100", utc("2026-11-19T03:46"))
    market.quote("104", utc("2026-11-19T09:59:59"))
    market.at(utc("2026-11-19T10:00"))
    # The average of the last half hour, told at 16:00 in Mumbai.
    told = utc("2026-11-19T10:30")
    record = market.quote("104", told, official_close=Decimal("103.25"))
    assert record is not None
    assert (record.price, record.session) == (Decimal("103.25"), "closed")
    assert record.as_of == "2026-11-19T10:00:00.000000Z"
    assert (record.open, record.high, record.low) == money("100", "104", "100")
    assert market.daily_bars()[-1].close == Decimal("103.25")
    # Nothing else of that session goes before it, though a late trade is still of its day; midnight changes nothing.
    late = market.trade("104.5", utc("2026-11-19T09:59:58"), told + SECOND)
    assert late is not None and (late.price, late.high) == money("103.25", "104.5")
    assert market.quote("104", told + 2 * SECOND, official_close=Decimal("103.25")) is None
    for moment in ("2026-11-19T18:29:59", "2026-11-19T18:30", "2026-11-20T00:00", "2026-11-20T03:44:59"):
        market.at(utc(moment))
        assert market.last.price == Decimal("103.25")
    opened = market.at(utc("2026-11-20T03:45"))
    assert opened is not None and (opened.previous_close, opened.change) == money("103.25", "0")
    market.knows(utc("2026-11-19T03:45"), "103.25")  # as it is stored
    record = market.quote("105", utc("2026-11-20T03:45:01"))
    assert record is not None and record.change == Decimal("1.75")


def test_an_official_close_may_come_with_a_quote_of_the_closing_moment_and_be_corrected() -> None:
    market = Market()
    market.quote("150", CLOSE - SECOND)
    market.at(CLOSE)
    record = market.quote("150", CLOSE, CLOSE + SECOND, official_close=Decimal("150.5"))
    assert record is not None and record.price == Decimal("150.5")
    record = market.quote("150", CLOSE + 60 * SECOND, official_close=Decimal("150.4"))
    assert record is not None and record.price == Decimal("150.4")
    assert market.daily_bars()[-1].close == Decimal("150.4")


@pytest.mark.parametrize("when", [OPEN + 3600 * SECOND, OPEN - 60 * SECOND])
def test_an_official_close_counts_only_once_the_session_is_over(when: datetime) -> None:
    market = Market(now=when)
    market.quote("150", when, official_close=Decimal(99))
    assert market.batcher.lines["ACME"].price in (None, Decimal(150), Decimal(99))
    assert (market.batcher.lines["ACME"].price == 99) is (when < OPEN)  # then it is Wednesday's


def test_a_restart_at_night_keeps_the_official_close() -> None:
    market = Market()
    market.quote("150", CLOSE - SECOND)
    market.at(CLOSE)
    market.quote("150", CLOSE + SECOND, official_close=Decimal("150.5"))
    night = CLOSE + 7200 * SECOND
    again = restarted(market, night)
    assert again.quote("150", CLOSE - SECOND, night) is None
    assert (again.last.price, again.last.stale) == (Decimal("150.5"), False)


def test_a_first_start_at_night_begins_with_the_stored_close() -> None:
    night = CLOSE + 7200 * SECOND
    market = Market(now=night)
    price = Decimal(150)
    bar = Bar(symbol="ACME", interval="1d", start=OPEN, open=price, high=price, low=price, close=price)
    market.batcher.resume_bars({"ACME": [BuiltBar(bar)]})
    market.batcher.begin(2)
    record = market.at(night)
    assert record is not None
    assert (record.price, record.as_of) == (150, "2026-11-19T21:00:00.000000Z")
    record = market.quote("149.9", CLOSE - SECOND, night)  # the source knows better
    assert record is not None and record.price == Decimal("149.9")


# -- the previous close


def test_a_failover_keeps_the_previous_close_whatever_the_new_source_says_of_it() -> None:
    first = Market()
    first.knows(WEDNESDAY, "150")
    before = first.quote("152", OPEN + SECOND, previous_close=Decimal("151.11"))
    second = Market()
    # What it last saw on Wednesday, and what it says of Wednesday, is both something else.
    second.quote("149.5", utc("2026-11-18T20:58"), OPEN + SECOND)
    second.knows(WEDNESDAY, "150")
    second.quote("149.5", utc("2026-11-18T20:58:30"), OPEN + 2 * SECOND)
    after = second.quote("152.5", OPEN + 3 * SECOND, previous_close=Decimal("149.99"))
    assert before is not None and after is not None
    assert before.previous_close == after.previous_close == 150
    assert (before.change, after.change) == money("2", "2.5")


# -- staleness


def stale_at(market: Market, moments: Sequence[datetime]) -> list[bool]:
    found = []
    for moment in moments:
        market.at(moment)
        found.append(market.last.stale)
    return found


def test_a_closed_market_is_never_stale_once_its_close_is_known() -> None:
    market = Market()
    market.quote("150", CLOSE - SECOND)
    market.confirm(CLOSE + SECOND)
    moments = [CLOSE + hours * 3600 * SECOND for hours in range(17)]
    assert stale_at(market, moments) == [False] * 17


def test_a_close_that_is_missing_for_half_an_hour_makes_stale() -> None:
    market = Market(delayed_by=60)
    market.quote("150", CLOSE - 200 * SECOND, CLOSE - 140 * SECOND)
    market.confirm(CLOSE + 59 * SECOND)  # which tells of a second before the close
    half_an_hour = CLOSE + (1800 + 60) * SECOND
    assert stale_at(market, [CLOSE, half_an_hour, half_an_hour + SECOND]) == [False, False, True]
    record = market.confirm(half_an_hour + 2 * SECOND)
    assert record is not None and not record.stale


def test_what_was_stale_at_the_close_stays_so() -> None:
    market = Market()
    market.quote("150", OPEN)
    assert stale_at(market, [OPEN + 301 * SECOND, CLOSE, CLOSE + 60 * SECOND]) == [True, True, True]


def test_a_market_that_opens_gives_its_source_as_much_time_as_ever() -> None:
    market = Market(now=WEDNESDAY)
    market.quote("150", utc("2026-11-18T20:59"))
    market.confirm(utc("2026-11-18T21:00:01"))
    assert stale_at(market, [OPEN, OPEN + 300 * SECOND, OPEN + 301 * SECOND]) == [False, False, True]


def test_a_currency_that_nobody_confirms_is_stale_through_the_roll() -> None:
    market = Market(FX_DAYS, utc("2026-11-19T21:50"))
    market.quote("1.10", utc("2026-11-19T21:54:59"))
    assert stale_at(market, [utc("2026-11-19T21:59:58"), utc("2026-11-19T22:00:01")]) == [False, True]


def test_a_confirmed_close_is_told_so_that_a_restart_knows_it() -> None:
    market = Market()
    market.quote("150", CLOSE - SECOND)
    market.at(CLOSE)
    market.confirm(CLOSE + 10 * SECOND)
    record = market.at(CLOSE + 11 * SECOND)
    assert record is not None and datetime.fromisoformat(record.received_at) == CLOSE + 10 * SECOND
    assert market.at(CLOSE + 12 * SECOND) is None
    saturday = utc("2026-11-21T12:00")
    friday = restarted(market, utc("2026-11-20T14:00"))
    assert stale_at(friday, [utc("2026-11-20T14:00:01")]) == [False]
    missing = Market()
    missing.quote("150", CLOSE - SECOND)
    assert restarted(missing, utc("2026-11-20T14:00")).last.stale
    assert restarted(market, saturday).last.stale  # Friday's close is missing


# -- prices that cannot be


@pytest.mark.parametrize("price", ["0", "-0.000001", "-37.63"])
def test_only_what_may_be_negative_may_be_zero_or_less(price: str) -> None:
    plain, oil = Market(), Market(listing=make_listing(may_be_negative=True))
    assert plain.quote(price, OPEN + SECOND) is None
    assert plain.rejected == {"price": 1}
    oil.quote("12", OPEN)
    record = oil.quote(price, OPEN + SECOND)
    assert record is not None and record.price == Decimal(price)
    assert (record.change, record.change_percent) == (None, None)
    record = oil.quote("NaN", OPEN + 2 * SECOND)
    assert record is None and oil.rejected == {"malformed": 1}


def test_a_thousandfold_price_waits_for_a_second_one_that_says_the_same() -> None:
    market = Market()
    market.quote("150", OPEN)
    assert market.quote("150000", OPEN + SECOND) is None
    assert market.trade("150000", OPEN + SECOND) is None  # the same print again
    assert market.quote("151", OPEN + 2 * SECOND) is not None
    assert market.quote("151000", OPEN + 3 * SECOND) is None  # the one before was refuted
    assert market.rejected == {"outlier": 3}
    record = market.quote("151001", OPEN + 4 * SECOND)
    assert record is not None and record.price == 151001


def test_a_price_may_move_far_in_small_steps() -> None:
    market = Market()
    price = Decimal(1)
    for step in range(60):
        record = market.quote(str(price), OPEN + step * SECOND)
        assert record is not None and record.price == price
        price *= 3
    assert market.rejected == {}


# -- what may change while it runs


def test_an_asset_that_gets_another_calendar_goes_by_it_at_once() -> None:
    market = Market(AROUND_THE_CLOCK, CLOSE + 3600 * SECOND)
    market.quote("150", CLOSE + 3600 * SECOND)
    assert market.last.session == "always"
    market.batcher.follow([make_listing()], CLOSE + 3700 * SECOND, market.seconds(CLOSE + 3700 * SECOND))
    record = market.flushed()
    assert record is not None and record.session == "closed"
    assert market.quote("160", CLOSE + 3701 * SECOND) is None


def test_a_recording_of_an_exchange_lives_by_its_own_time() -> None:
    market = Market(now=utc("2027-06-01"), has_own_clock=True)
    heard = utc("2027-06-01T10:00")
    market.quote("150", utc("2026-11-18T20:59"), heard)
    assert market.last.session == "open"
    assert (
        market.quote("170", utc("2026-11-18T23:00"), heard + SECOND) is not None
    )  # the market has closed by it
    assert (market.last.session, market.last.price) == ("closed", Decimal(150))
    record = market.quote("151", OPEN + SECOND, heard + 2 * SECOND)
    assert record is not None and (record.session, record.previous_close) == ("open", Decimal(150))
    market.at(heard + 3 * SECOND)
    assert market.last.session == "open"
    market.batcher.restart()
    again = market.quote("150", utc("2026-11-18T20:59"), heard + 4 * SECOND)
    assert again is not None and (again.price, again.previous_close) == (Decimal(150), None)
