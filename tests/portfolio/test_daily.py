from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.rates import Pair
from portfolio.arithmetic import EXACT, PLACES
from portfolio.daily import Close, Closes, daily_values, day_of, end_of, first_day
from portfolio.ledger import replay
from portfolio.returns import DayValue
from portfolio.rows import Row
from tests.portfolio.builders import make_row

D = Decimal
UTC_ZONE = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
MONDAY = date(2026, 11, 16)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
EURUSD = Pair("EUR", "USD", "EURUSD")


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    """A time of November 2026, UTC; the 16th is a Monday."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def make_closes(*points: tuple[datetime, str], good_for: timedelta | None = None) -> Closes:
    return Closes([Close(moment, D(price)) for moment, price in points], good_for)


def values(
    rows: Sequence[Row],
    prices: Mapping[str, Closes] | None = None,
    days: tuple[int, int] = (16, 20),
    zone: ZoneInfo = UTC_ZONE,
    base: str = "USD",
    pairs: Sequence[Pair] = (),
    now: datetime = LATER,
    **options: Any,
) -> list[DayValue]:
    books = replay(rows, base=base, **options)
    first, last = (date(2026, 11, day) for day in days)
    return daily_values(books, prices or {}, pairs, first, last, zone=zone, now=now)


def plainly(days: Sequence[DayValue]) -> list[tuple[Decimal | None, Decimal, Decimal, bool]]:
    return [(day.value, day.inflow, day.outflow, day.is_complete) for day in days]


def test_a_day_is_worth_its_units_at_the_last_close_and_its_cash() -> None:
    rows = [
        make_row("deposit", at(16, 9), amount="1000"),
        make_row("buy", at(17, 15), quantity="5", price="100", fee="1"),
        make_row("sell", at(19, 15), quantity="2", price="120"),
        make_row("withdrawal", at(19, 16), amount="200"),
    ]
    prices = {"ACME": make_closes((at(16, 21), "99"), (at(17, 21), "104"), (at(19, 21), "110"))}
    assert plainly(values(rows, prices)) == [
        (1000, 1000, 0, True),
        (1019, 0, 0, True),  # 499 + 5 * 104
        (1019, 0, 0, True),  # Wednesday has no close of its own
        (869, 0, 200, True),  # 499 + 240 - 200 = 539, and 3 * 110
        (869, 0, 0, True),
    ]


def test_golden_case_1_at_its_end() -> None:
    # NUMBERS.md: 140 * 155 * 0.9150 + 1,894 * 0.9150 + 3,000 = 24,588.51
    rows = [
        make_row("deposit", at(2, 9), amount="20000", currency="EUR"),
        make_row("convert", at(3, 9), amount="17000", currency="EUR", to_currency="USD", to_amount="20000"),
        make_row("buy", at(4, 15), quantity="100", price="120", fee="5", rate="0.85"),
        make_row("buy", at(19, 15), quantity="40", price="152.50", fee="1", rate="0.918"),
    ]
    prices = {
        "ACME": make_closes((at(18, 21), "150"), (at(19, 16), "155")),
        "USDEUR": make_closes((at(18, 22), "0.9204"), (at(19, 16), "0.9150")),
    }
    days = values(rows, prices, (18, 19), base="EUR", pairs=[Pair("USD", "EUR", "USDEUR")])
    # On Wednesday the rate of 22:00 counts for both: 100 * 150 * 0.9204 + 7,995 * 0.9204 + 3,000
    assert plainly(days) == [(D("24164.598"), 0, 0, True), (D("24588.51"), 0, 0, True)]


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("UTC", [17, 18, 18]),
        ("Asia/Kolkata", [18, 18, 18]),  # 24:00 is 18:30 UTC
        ("America/New_York", [17, 17, 17]),  # 24:00 is 05:00 UTC
    ],
)
def test_a_day_is_the_portfolios_own(zone: str, days: list[int]) -> None:
    moments = [at(17, 23, 59), at(18), at(18, 4, 59)]
    for moment, day in zip(moments, days, strict=True):
        found = values([make_row("deposit", moment, amount="1")], days=(16, 19), zone=ZoneInfo(zone))
        assert [value.date.day for value in found if value.inflow] == [day]
        assert [value.value for value in found] == [0] * (day - 16) + [1] * (20 - day)
        assert day_of(moment, ZoneInfo(zone)) == date(2026, 11, day)


def test_days_of_a_changed_clock_are_longer_or_shorter() -> None:
    assert end_of(date(2026, 3, 7), NEW_YORK) == datetime(2026, 3, 8, 5, tzinfo=UTC)
    assert end_of(date(2026, 3, 8), NEW_YORK) == datetime(2026, 3, 9, 4, tzinfo=UTC)
    assert end_of(date(2026, 11, 1), NEW_YORK) == datetime(2026, 11, 2, 5, tzinfo=UTC)


def test_a_close_at_the_very_end_of_a_day_is_the_days() -> None:
    rows = [make_row("buy", at(16, 9), quantity="1", price="0")]
    prices = {"ACME": make_closes((at(17), "10"), (at(18), "20"), (at(18, 0, 1), "30"))}
    assert [day.value for day in values(rows, prices, (16, 18))] == [10, 20, 30]


def test_what_has_no_price_is_left_out_and_named_incomplete() -> None:
    rows = [
        make_row("deposit", at(16, 9), amount="100"),
        make_row("buy", at(16, 10), quantity="1", price="40"),
        make_row("sell", at(18, 10), quantity="1", price="45"),
    ]
    assert plainly(values(rows, {}, (16, 18))) == [
        (60, 100, 0, False),
        (60, 0, 0, False),
        (105, 0, 0, True),  # sold: nothing is missing any more
    ]


def test_a_close_serves_only_as_long_as_it_is_good_for() -> None:
    rows = [make_row("buy", at(16, 9), quantity="1", price="0")]
    closes = make_closes((at(16, 21), "10"), good_for=timedelta(days=2))
    assert [(day.value, day.is_complete) for day in values(rows, {"ACME": closes}, (16, 19))] == [
        (10, True),
        (10, True),
        (0, False),  # 51 hours old
        (0, False),
    ]


def test_what_has_expired_has_no_price() -> None:
    rows = [make_row("buy", at(16, 9), quantity="1", price="0")]
    prices = {"ACME": Closes([Close(at(16, 21), D(10))], ends=at(18, 21))}
    assert [day.is_complete for day in values(rows, prices, (16, 18))] == [True, True, False]
    assert values(rows, prices, (18, 18), now=at(18, 20))[0].is_complete


def test_a_rate_is_four_days_old_at_most_and_never_one() -> None:
    rows = [make_row("deposit", at(16, 9), amount="100", currency="EUR", rate="1.2")]
    prices = {"EURUSD": make_closes((at(16, 22), "1.1"))}
    days = values(rows, prices, (16, 21), pairs=[EURUSD])
    assert plainly(days) == [
        (110, 120, 0, True),  # what came in counts as it was booked
        *[(110, 0, 0, True)] * 3,  # until Thursday night, 98 hours later
        *[(0, 0, 0, False)] * 2,
    ]
    assert plainly(values(rows, {}, (16, 16))) == [(0, 120, 0, False)]


def test_a_rate_may_be_crossed() -> None:
    rows = [make_row("deposit", at(16, 9), amount="100", currency="GBP", rate="1")]
    prices = {"GBPUSD": make_closes((at(16, 22), "1.32")), "EURUSD": make_closes((at(16, 22), "1.1"))}
    pairs = [EURUSD, Pair("GBP", "USD", "GBPUSD")]
    # 1.32 / 1.1 = 1.2
    assert values(rows, prices, (16, 16), base="EUR", pairs=pairs)[0].value == 120


def test_the_running_day_is_valued_now() -> None:
    rows = [make_row("deposit", at(16, 9), amount="100", currency="EUR", rate="1.2")]
    prices = {"EURUSD": make_closes((at(12, 22), "1.1"))}
    # At noon the rate is not yet four days old; at the end of the day it will be.
    assert values(rows, prices, (16, 16), pairs=[EURUSD], now=at(16, 12))[0].is_complete
    assert not values(rows, prices, (16, 16), pairs=[EURUSD], now=at(17, 12))[0].is_complete


def test_inflow_and_outflow_of_a_day_are_kept_apart() -> None:
    rows = [
        make_row("deposit", at(16, 9), amount="100", fee="1"),
        make_row("deposit", at(16, 10), amount="50"),
        make_row("withdrawal", at(16, 11), amount="30"),
    ]
    assert plainly(values(rows, days=(16, 16))) == [(119, 150, 30, True)]


def test_a_short_and_a_debt_count_against() -> None:
    rows = [
        make_row("sell", at(16, 9), quantity="10", price="8"),
        make_row("withdrawal", at(16, 10), amount="100"),
    ]
    prices = {"ACME": make_closes((at(16, 21), "9"))}
    assert plainly(values(rows, prices, (16, 16), short_sales=True)) == [(-110, 0, 100, True)]


def test_pence_are_hundredths() -> None:
    rows = [make_row("buy", at(16, 9), quantity="200", price="450", multiplier="0.01", currency="USD")]
    assert values(rows, {"ACME": make_closes((at(16, 16), "500"))}, (16, 16))[0].value == 100


def test_a_split_multiplies_units_and_not_the_value() -> None:
    # Golden case 3 on its ex-date, effective 05:00 UTC: 15 * 1,200 = 150 * 120
    rows = [
        make_row("deposit", at(16, 9), amount="20000"),
        make_row("buy", at(16, 15), quantity="15", price="850", fee="10"),
        make_row("split", at(19, 5), numerator=10, denominator=1),
        make_row("sell", at(19, 15), quantity="120", price="121.50", fee="2"),
    ]
    closes = make_closes((at(18, 21), "1200"), (at(19, 21), "123"))
    assert [day.value for day in values(rows, {"ACME": closes}, (18, 19))] == [
        25240,  # 7,240 + 15 * 1,200
        25508,  # 7,240 + 14,578 + 30 * 123
    ]
    # Without a close on the ex-date, yesterday's is in old units.
    before = make_closes((at(18, 21), "1200"))
    assert [day.value for day in values(rows[:3], {"ACME": before}, (18, 20))] == [25240] * 3
    # And in New York, whose Wednesday ends as the split takes effect, it is Thursday's.
    found = values(rows[:3], {"ACME": before}, (18, 19), zone=NEW_YORK)
    assert [day.value for day in found] == [25240] * 2


def test_a_reverse_split_leaves_fractions_that_are_worth_as_much() -> None:
    rows = [
        make_row("buy", at(16, 9), quantity="105", price="0"),
        make_row("split", at(17, 5), numerator=1, denominator=8),
        make_row("cash_in_lieu", at(17, 15), quantity="0.125", amount="2"),
    ]
    closes = make_closes((at(16, 21), "2"), (at(17, 21), "16"))
    # 105 * 2; 13 * 16 + 2
    assert [day.value for day in values(rows, {"ACME": closes}, (16, 17))] == [210, 210]


def test_thirds_of_many_lots_that_are_all_sold_leave_nothing() -> None:
    rows = [make_row("buy", at(16, hour), quantity="1", price="0") for hour in (1, 2, 3, 4)]
    rows.append(make_row("split", at(17, 1), numerator=1, denominator=3))
    rows.append(make_row("sell", at(17, 2), quantity="1.333333333333333333", price="0"))
    assert [day.is_complete for day in values(rows, {}, (16, 17))] == [False, True]


def test_a_dividend_is_owed_from_its_ex_date_until_it_is_paid() -> None:
    rows = [
        make_row("buy", at(16, 9), quantity="1", price="0"),
        make_row("dividend", at(17, 14), amount="10", tax="1.5", pay_time=at(19, 14)),
    ]
    prices = {"ACME": make_closes((at(16, 21), "100"))}
    assert [day.value for day in values(rows, prices, (16, 20))] == [
        100,
        D("108.5"),
        D("108.5"),
        D("108.5"),
        D("108.5"),
    ]
    # In another currency its rate moves with the days, owed or paid.
    foreign = [
        rows[0],
        make_row("dividend", at(17, 14), amount="10", currency="EUR", rate="1.1", pay_time=at(19, 14)),
    ]
    prices["EURUSD"] = make_closes((at(17, 22), "1.1"), (at(18, 22), "1.2"), (at(19, 22), "1.3"))
    found = values(foreign, prices, (16, 19), pairs=[EURUSD])
    assert [day.value for day in found] == [100, 111, 112, 113]


def test_a_dividend_that_is_yet_to_be_paid_is_owed() -> None:
    rows = [
        make_row("buy", at(16, 9), quantity="1", price="0"),
        make_row("dividend", at(17, 14), amount="10", pay_time=at(30)),
    ]
    books = replay(rows, until=at(20))
    prices = {"ACME": make_closes((at(16, 21), "100"))}
    found = daily_values(books, prices, [], date(2026, 11, 17), date(2026, 11, 18), zone=UTC_ZONE, now=LATER)
    assert [day.value for day in found] == [110, 110]


def test_a_transfer_flows_at_its_market_value() -> None:
    rows = [
        make_row("transfer_in", at(16, 9), quantity="10", price="12", cost="50"),
        make_row("transfer_out", at(17, 9), quantity="4", price="13"),
    ]
    prices = {"ACME": make_closes((at(16, 21), "12.50"), (at(17, 21), "14"))}
    assert plainly(values(rows, prices, (16, 17))) == [(125, 120, 0, True), (84, 0, 52, True)]


def test_a_new_symbol_goes_on_with_its_own_closes() -> None:
    rows = [
        make_row("buy", at(16, 9), quantity="10", price="0"),
        make_row("symbol_change", at(17, 5), other_symbol="NEWCO", cost_share="0"),
    ]
    prices = {"ACME": make_closes((at(16, 21), "12")), "NEWCO": make_closes((at(17, 21), "13"))}
    assert [day.value for day in values(rows, prices, (16, 17))] == [120, 130]


def test_a_reversed_row_never_was() -> None:
    rows = [
        make_row("deposit", at(16, 9), amount="100", id=1),
        make_row("deposit", at(16, 10), amount="900", id=2),
        make_row("reversal", at(16, 10), reverses=2, id=3),
    ]
    assert plainly(values(rows, days=(16, 16))) == [(100, 100, 0, True)]


def test_values_are_rounded_to_what_is_stored() -> None:
    tiny = "0.000000000000000003"
    rows = [make_row("buy", at(16, 9), quantity=tiny, price="0")]
    # 3E-18 * 0.5 = 1.5E-18, half even
    assert values(rows, {"ACME": make_closes((at(16, 16), "0.5"))}, (16, 16))[0].value == D("2E-18")


def test_the_first_day_is_that_of_the_first_row() -> None:
    rows = [make_row("buy", at(17, 2), quantity="1", price="1"), make_row("deposit", at(18), amount="1")]
    assert first_day(replay(rows), UTC_ZONE) == date(2026, 11, 17)
    assert first_day(replay(rows), NEW_YORK) == date(2026, 11, 16)
    assert first_day(replay([]), UTC_ZONE) is None


# --- one pass is as good as a replay for each day ------------------------------------------------------------

hours = st.integers(0, 119)
sizes = st.decimals(min_value="0.001", max_value=1000, places=3)
made_rows = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["buy", "sell"]), hours, sizes, st.sampled_from(["ACME", "OTHER"])),
        st.tuples(st.sampled_from(["deposit", "withdrawal"]), hours, sizes, st.sampled_from(["USD", "EUR"])),
    ),
    min_size=1,
    max_size=12,
)
made_closes = st.dictionaries(
    st.sampled_from(["ACME", "OTHER", "EURUSD"]),
    st.lists(st.tuples(hours, sizes), max_size=6, unique_by=lambda close: close[0]),
)


@given(made_rows, made_closes, st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]))
def test_each_day_equals_the_books_of_that_day_at_its_prices(
    made: list[tuple[str, int, Decimal, str]], closes: dict[str, list[tuple[int, Decimal]]], place: str
) -> None:
    zone, start = ZoneInfo(place), at(16)
    rows = []
    for number, (kind, hour, size, what) in enumerate(made):
        columns: dict[str, Any] = {"order": (0, number), "id": number}
        if kind in ("buy", "sell"):
            columns |= {"symbol": what, "quantity": size, "price": "2"}
        else:
            columns |= {"amount": size, "currency": what, "rate": "1" if what == "USD" else "1.5"}
        rows.append(make_row(kind, start + timedelta(hours=hour), **columns))  # type: ignore[arg-type]
    prices = {
        symbol: Closes([Close(start + timedelta(hours=hour), price) for hour, price in sorted(points)])
        for symbol, points in closes.items()
    }
    days = values(rows, prices, (14, 23), zone=zone, pairs=[EURUSD], short_sales=True)
    for day in days:
        assert day == by_replay(rows, prices, day.date, zone)


def by_replay(rows: Sequence[Row], prices: Mapping[str, Closes], day: date, zone: ZoneInfo) -> DayValue:
    end = end_of(day, zone)
    books = replay([row for row in rows if row.time < end], short_sales=True)

    def last(symbol: str) -> Close | None:
        return max((c for c in prices.get(symbol, Closes()).closes if c.at <= end), default=None)

    rate = last("EURUSD")
    usable = rate.price if rate and end - rate.at <= timedelta(days=4) else None
    total, is_complete = D(0), True
    with localcontext(EXACT):
        for symbol, account in books.accounts.items():
            price = last(symbol)
            if account.quantity and price is None:
                is_complete = False
            elif price is not None:
                total += account.quantity * price.price
        for currency, cash in books.cash.items():
            worth = D(1) if currency == "USD" else usable
            if cash.balance and worth is None:
                is_complete = False
            elif worth is not None:
                total += cash.balance * worth
        today = [row for row in rows if row.symbol is None and day_of(row.time, zone) == day]
        inflow, outflow = (
            sum((row.amount * row.rate for row in today if row.kind == kind), D(0))
            for kind in ("deposit", "withdrawal")
        )
        return DayValue(day, total.quantize(PLACES), inflow, outflow, is_complete)
