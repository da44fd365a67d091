from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Context, Decimal, localcontext
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.returns import (
    PERIODS,
    DayValue,
    Flow,
    PeriodReturn,
    money_weighted,
    over_days,
    period_returns,
    time_weighted,
)

D = Decimal
FIRST = date(2026, 1, 1)
# Of a sum in which a flow on a day is worth what it was worth then: the other way round than the product does it.
PRECISE = Context(prec=90)
SMALL = D("1E-50")


def make_days(*days: Any, first: date = FIRST) -> list[DayValue]:
    """Days as (value, inflow, outflow); without a value the day is incomplete."""
    return [
        DayValue(
            first + timedelta(days=index),
            None if value is None else D(value),
            D(inflow),
            D(outflow),
            is_complete=value is not None,
        )
        for index, (value, inflow, outflow) in enumerate(days)
    ]


def period(days: Sequence[DayValue], name: str) -> PeriodReturn:
    return {found.period: found for found in period_returns(days)}[name]


# --- time-weighted ------------------------------------------------------------------------------------------


def test_each_day_is_measured_against_what_was_there_after_its_inflow() -> None:
    days = make_days(
        ("1100", "1000", "0"),  # 1100 / (0 + 1000) = 1.1
        ("1485", "550", "0"),  # 1485 / (1100 + 550) = 0.9
        ("1148.50", "0", "485"),  # (1148.50 + 485) / 1485 = 1.1
        ("1263.35", "0", "0"),  # 1263.35 / 1148.50 = 1.1
    )
    # 1.1 * 0.9 * 1.1 * 1.1 = 1.1979
    assert time_weighted(D(0), days) == D("0.1979")


def test_an_inflow_and_an_outflow_of_one_day_are_not_set_off() -> None:
    # (1050 + 600) / (1000 + 500) = 1.1; set off it would be (1050 + 100) / 1000 = 1.15.
    assert time_weighted(D(1000), make_days(("1050", "500", "600"))) == D("0.1")


@pytest.mark.parametrize(
    ("opening", "days"),
    [
        (D(0), [("100", "0", "0")]),  # from nothing
        (D(-5), [("100", "5", "0")]),  # -5 + 5 = 0
        (D(-5), [("100", "4", "0")]),
        (D(100), [("0", "0", "100"), ("0", "0", "0"), ("50", "50", "0")]),  # a day with nothing in it: 0 / 0
        (D(100), []),
        (None, [("100", "0", "0")]),
    ],
)
def test_there_is_no_time_weighted_return_across_a_divisor_of_zero_or_less(
    opening: Decimal | None, days: list[tuple[str, str, str]]
) -> None:
    assert time_weighted(opening, make_days(*days)) is None


def test_losing_everything_is_minus_one_hundred_percent() -> None:
    assert time_weighted(D(100), make_days(("0", "0", "0"))) == -1


def test_a_missing_value_without_flows_around_it_cancels_itself_out() -> None:
    whole = make_days(("110", "0", "0"), ("130", "0", "0"), ("121", "0", "0"))
    holed = make_days(("110", "0", "0"), (None, "0", "0"), ("121", "0", "0"))
    # 130/110 * 121/130 = 121/110 whatever the value between them was
    assert time_weighted(D(100), whole) == pytest.approx(D("0.21"), abs=SMALL)
    assert time_weighted(D(100), holed) == D("0.21")


@pytest.mark.parametrize(
    "days",
    [
        [("110", "0", "0"), (None, "0", "10"), ("121", "0", "0")],  # is in (V + 10) / 110
        [("110", "0", "0"), (None, "0", "0"), ("121", "10", "0")],  # is in 121 / (V + 10)
        [("110", "0", "0"), (None, "0", "0")],  # the end itself
    ],
)
def test_a_missing_value_that_matters_is_not_guessed(days: list[tuple[str | None, str, str]]) -> None:
    assert time_weighted(D(100), make_days(*days)) is None


def test_an_inflow_on_the_missing_day_itself_is_in_its_divisor_only() -> None:
    # V / (100 + 50) * 165 / V = 1.1
    assert time_weighted(D(100), make_days((None, "50", "0"), ("165", "0", "0"))) == D("0.1")


# --- money-weighted -----------------------------------------------------------------------------------------

HALF = D("5E-13")


@pytest.mark.parametrize(
    ("opening", "flows", "closing", "length", "rate"),
    [
        ("1000", [], "1100", 365, "0.1"),
        ("1000", [], "900", 365, "-0.1"),
        ("1000", [], "1210", 730, "0.1"),
        # 1000 * 1.1^2 + 1000 * 1.1 = 2310
        ("1000", [(365, "1000")], "2310", 730, "0.1"),
        # 73 days are a fifth of a year: 1.1^5 = 1.61051; 1000 * 1.1^2 + 500 * 1.1 = 1760
        ("1000", [(73, "500")], "1760", 146, "0.61051"),
        # 2000 * 1.05^2 - 1050 * 1.05 = 1102.50, twice a year's fifth: 1.05^5 = 1.2762815625
        ("2000", [(73, "-1050")], "1102.50", 146, "0.2762815625"),
        # nothing at first, then all flows from day 0: 100 * 1.21 + 100 * 1.1 = 231
        ("0", [(0, "100"), (365, "100")], "231", 730, "0.1"),
        # a flow on the last day does not grow
        ("1000", [(365, "50")], "1150", 365, "0.1"),
        ("1000", [(200, "300"), (200, "-300")], "1100", 365, "0.1"),
    ],
)
def test_the_rate_at_which_all_flows_grow_to_the_end_value(
    opening: str, flows: list[tuple[int, str]], closing: str, length: int, rate: str
) -> None:
    found = money_weighted(D(opening), [Flow(day, D(amount)) for day, amount in flows], D(closing), length)
    assert found is not None
    assert abs(found - D(rate)) <= 2 * HALF


@pytest.mark.parametrize(
    ("opening", "flows", "closing", "length"),
    [
        # 1000 g^2 - 2300 g + 1320 = 1000 (g - 1.1)(g - 1.2)
        ("1000", [(365, "-2300"), (730, "1320")], "0", 730),
        # 1000 g^3 - 3600 g^2 + 4310 g - 1716 = 1000 (g - 1.1)(g - 1.2)(g - 1.3)
        ("1000", [(365, "-3600"), (730, "4310")], "1716", 1095),
        # beyond 100,000 % a year, and all lost
        ("1", [], "2", 7),
        ("1000", [], "0", 365),
        # nothing that could grow
        ("0", [], "0", 365),
        ("0", [], "50", 365),
        ("1000", [], "1000", 0),
        ("1000", [], "1100", 0),
    ],
)
def test_without_exactly_one_rate_there_is_none(
    opening: str, flows: list[tuple[int, str]], closing: str, length: int
) -> None:
    given_flows = [Flow(day, D(amount)) for day, amount in flows]
    assert money_weighted(D(opening), given_flows, D(closing), length) is None


def test_flows_to_and_fro_have_one_rate_as_long_as_only_one_fits() -> None:
    # Doubled in a month, taken out, and put back in ten times: + - + -, and yet only one rate.
    flows = [Flow(31, D(-150)), Flow(60, D(1000))]
    found = money_weighted(D(100), flows, D(1060), 365)
    assert found is not None
    assert_fits(found, D(100), flows, D(1060), 365)


def test_a_rate_is_shown_for_its_days_under_a_year_and_yearly_above() -> None:
    # 1.1^5 = 1.61051, and 73 days are a fifth of a year
    assert over_days(D("0.61051"), 73) == pytest.approx(D("0.1"), abs=SMALL)
    assert over_days(D("0.61051"), 365) == D("0.61051")
    assert over_days(D("0.61051"), 730) == D("0.61051")
    assert over_days(None, 73) is None


def leftover(
    rate: Decimal, opening: Decimal, flows: Sequence[Flow], closing: Decimal, length: int
) -> Decimal:
    """Discounted to the first day, by Decimal's own power at 90 digits."""
    with localcontext(PRECISE):
        terms = [(0, opening), *flows, (length, -closing)]
        return sum((amount / (1 + rate) ** (D(day) / 365) for day, amount in terms), D(0))


def assert_fits(
    rate: Decimal, opening: Decimal, flows: Sequence[Flow], closing: Decimal, length: int
) -> None:
    below = leftover(rate - 2 * HALF, opening, flows, closing, length)
    above = leftover(rate + 2 * HALF, opening, flows, closing, length)
    assert below * above <= 0


# --- periods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "end", "start"),
    [
        ("1w", date(2026, 3, 3), date(2026, 2, 24)),
        ("1w", date(2024, 3, 3), date(2024, 2, 25)),
        ("1m", date(2026, 11, 19), date(2026, 10, 19)),
        ("1m", date(2026, 3, 31), date(2026, 2, 28)),
        ("1m", date(2024, 3, 30), date(2024, 2, 29)),
        ("1m", date(2026, 2, 28), date(2026, 1, 28)),
        ("1m", date(2026, 1, 31), date(2025, 12, 31)),
        ("1m", date(2026, 5, 31), date(2026, 4, 30)),
        ("ytd", date(2026, 11, 19), date(2025, 12, 31)),
        ("ytd", date(2026, 1, 1), date(2025, 12, 31)),
        ("ytd", date(2026, 12, 31), date(2025, 12, 31)),
        ("1y", date(2026, 11, 19), date(2025, 11, 19)),
        ("1y", date(2024, 2, 29), date(2023, 2, 28)),
        ("1y", date(2025, 2, 28), date(2024, 2, 28)),
    ],
)
def test_a_period_begins_with_the_end_of_a_day_of_the_calendar(name: str, end: date, start: date) -> None:
    assert PERIODS[name](end) == start


def growing(count: int, rate: str = "1.01") -> list[DayValue]:
    """100 deposited on the first day, then so much more each day."""
    rows = [("100", "100", "0")]
    for _ in range(count - 1):
        rows.append((str((D(rows[-1][0]) * D(rate)).quantize(D("1E-9"))), "0", "0"))
    return make_days(*rows)


def test_a_period_is_measured_from_the_end_of_its_first_day() -> None:
    days = make_days(
        ("100", "100", "0"),  # 1 January
        ("100", "0", "0"),
        ("111.10", "10", "0"),  # 3 January: 111.10 / (100 + 10) = 1.01
        *[("111.10", "0", "0")] * 5,
        ("113.322", "0", "0"),  # 9 January: 113.322 / 111.10 = 1.02
    )
    week = period(days, "1w")
    assert (week.start, week.end) == (date(2026, 1, 2), date(2026, 1, 9))
    assert (week.start_value, week.end_value) == (100, D("113.322"))
    assert (week.inflow, week.outflow) == (10, 0)
    # 1.01 * 1.02 = 1.0302
    assert week.twr == pytest.approx(D("0.0302"), abs=SMALL)
    assert week.mwr is not None
    # 10 flowed in on the first of the seven days: 100 x^7 + 10 x^6 = 113.322 for x^7 = 1 + mwr
    with localcontext(PRECISE):
        x = (1 + week.mwr) ** (D(1) / 7)
        assert 100 * x**7 + 10 * x**6 == pytest.approx(D("113.322"), abs=D("1E-9"))
    assert not week.incomplete and not week.is_mwr_yearly


def test_a_young_portfolio_is_measured_from_its_first_row() -> None:
    for found in period_returns(make_days(("105", "100", "0"), ("110", "0", "0"))):
        if found.period == "1w":
            assert (found.start, found.end) == (FIRST, date(2026, 1, 2))
        assert (found.start_value, found.inflow) == (0, 100)
        assert found.twr == pytest.approx(D("0.1"), abs=SMALL)
        # 10 % in a day are far more than 100,000 % a year
        assert found.mwr is None


def test_one_deposit_and_nothing_else_earns_the_same_by_money_and_by_time() -> None:
    found = period(growing(200, "1.001"), "all")
    assert found.twr is not None and found.mwr is not None
    assert abs(found.twr - found.mwr) < D("1E-11")


def test_above_a_year_the_money_weighted_rate_is_yearly() -> None:
    # 100 of 1 January 2026 are 121 on 1 January 2028, 730 days later
    days = make_days(("100", "100", "0"), *[("100", "0", "0")] * 729, ("121", "0", "0"))
    found = period(days, "all")
    assert found.is_mwr_yearly
    assert found.twr == pytest.approx(D("0.21"), abs=SMALL)
    assert found.mwr is not None and abs(found.mwr - D("0.1")) <= 2 * HALF


def test_a_year_with_a_leap_day_is_a_year() -> None:
    days = make_days(
        ("100", "100", "0"), *[("100", "0", "0")] * 365, ("110", "0", "0"), first=date(2024, 2, 1)
    )
    year = period(days, "1y")
    assert (year.start, year.end) == (date(2024, 2, 1), date(2025, 2, 1))
    assert year.is_mwr_yearly


def test_a_day_without_a_value_makes_its_periods_incomplete() -> None:
    days = make_days(
        ("100", "100", "0"), (None, "0", "0"), *[("100", "0", "0")] * 7, ("110", "0", "0"), first=FIRST
    )
    week, everything = period(days, "1w"), period(days, "all")
    assert not week.incomplete
    assert everything.incomplete
    assert everything.twr == D("0.1")
    assert everything.mwr is not None


def test_a_period_that_begins_or_ends_without_a_value_has_no_return() -> None:
    days = growing(20)
    for index in (12, 19):
        holed = [*days]
        holed[index] = DayValue(holed[index].date, D(50), is_complete=False)
        week = period(holed, "1w")
        assert (week.twr, week.mwr, week.incomplete) == (None, None, True)
        assert None in (week.start_value, week.end_value)


def test_a_portfolio_of_one_day_has_a_time_weighted_return_only() -> None:
    found = period(make_days(("90", "100", "0")), "all")
    assert (found.start, found.end, found.twr, found.mwr) == (FIRST, FIRST, D("-0.1"), None)


def test_no_return_is_the_echo_of_a_divisor_near_zero() -> None:
    assert period(make_days(("100", "0.000000000000000001", "0")), "all").twr is None


def test_days_follow_each_other() -> None:
    days = growing(3)
    with pytest.raises(ValueError, match="expected the day after 2026-01-01, was 2026-01-03"):
        period_returns([days[0], days[2]])
    with pytest.raises(ValueError, match="at least one day"):
        period_returns([])


# --- what holds for every history ---------------------------------------------------------------------------

money = st.decimals(min_value="0.01", max_value="1000000", places=2)
flow = st.one_of(st.just(D(0)), money)
ratios = st.decimals(min_value="0.5", max_value="2", places=4)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Decimal, list[DayValue]]:
    """An opening value and days, each of which earns a ratio on all that it could."""
    opening = worth = draw(money)
    days = []
    for index in range(draw(st.integers(1, 12))):
        inflow = draw(flow)
        before = (worth + inflow) * draw(ratios)
        outflow = (before * draw(st.sampled_from([D(0), D(0), D("0.3")]))).quantize(D("0.01"))
        worth = before - outflow
        days.append(DayValue(FIRST + timedelta(days=index), worth, inflow, outflow))
    return opening, days


@given(histories(), st.decimals(min_value="0.001", max_value="1000", places=3))
def test_the_time_weighted_return_does_not_depend_on_the_size(
    history: tuple[Decimal, list[DayValue]], size: Decimal
) -> None:
    opening, days = history
    with localcontext(PRECISE):
        scaled = [DayValue(d.date, (d.value or D(0)) * size, d.inflow * size, d.outflow * size) for d in days]
        one, other = time_weighted(opening, days), time_weighted(opening * size, scaled)
        assert one is not None and other is not None
        assert abs(one - other) <= SMALL * (1 + abs(one))


@given(money, st.lists(st.tuples(flow, st.booleans()), min_size=1, max_size=20))
def test_without_returns_it_does_not_matter_when_money_flows(
    opening: Decimal, flows: list[tuple[Decimal, bool]]
) -> None:
    worth, days = opening, []
    for index, (amount, is_out) in enumerate(flows):
        outflow = min(amount, worth - D("0.01")) if is_out else D(0)
        inflow = D(0) if is_out else amount
        worth += inflow - outflow
        days.append(DayValue(FIRST + timedelta(days=index), worth, inflow, outflow))
    assert time_weighted(opening, days) == 0
    moves = [Flow(index + 1, day.inflow - day.outflow) for index, day in enumerate(days)]
    rate = money_weighted(opening, moves, worth, len(days))
    assert rate is None or abs(rate) <= 2 * HALF


@given(histories(), st.integers(0, 12))
def test_returns_of_two_spans_are_chained_by_multiplying(
    history: tuple[Decimal, list[DayValue]], cut: int
) -> None:
    opening, days = history
    cut = min(cut, len(days) - 1)
    if not cut:
        return
    whole = time_weighted(opening, days)
    first, second = time_weighted(opening, days[:cut]), time_weighted(days[cut - 1].value, days[cut:])
    assert whole is not None and first is not None and second is not None
    with localcontext(PRECISE):
        assert abs((1 + first) * (1 + second) - (1 + whole)) <= SMALL * (1 + whole)


@given(money, st.lists(ratios, min_size=1, max_size=30), st.integers(1, 3000))
def test_without_flows_money_earns_what_time_does(
    opening: Decimal, daily: list[Decimal], length: int
) -> None:
    days = []
    with localcontext(PRECISE):
        worth = opening
        for index, ratio in enumerate(daily):
            worth *= ratio
            days.append(DayValue(FIRST + timedelta(days=index), worth))
        by_time = time_weighted(opening, days)
        rate = money_weighted(opening, [], worth, length)
        assert by_time is not None
        if rate is None:  # then it is out of reach
            yearly = (1 + by_time) ** (D(365) / length) - 1
            assert not D("-0.9999") < yearly < 1000
        else:
            years = D(length) / 365
            slack = years * (1 + rate) ** (years - 1) * 2 * HALF
            assert abs((1 + rate) ** years - 1 - by_time) <= slack + SMALL


@given(
    st.decimals(min_value=0, max_value=1000, places=2),
    st.lists(st.tuples(st.integers(0, 400), st.integers(-1000, 1000)), max_size=6),
    st.decimals(min_value=0, max_value=5000, places=2),
    st.integers(1, 400),
)
def test_a_rate_put_back_fits_and_no_other_does(
    opening: Decimal, moves: list[tuple[int, int]], closing: Decimal, length: int
) -> None:
    flows = [Flow(min(day, length), D(amount)) for day, amount in moves]
    found = money_weighted(opening, flows, closing, length)
    # A second opinion on how often the sign changes, from samples of rates that are denser near zero.
    samples = [leftover_roughly(step, opening, flows, closing, length) for step in range(201)]
    changes = sum((a > 0) != (b > 0) for a, b in pairwise(samples))
    if found is not None:
        assert_fits(found, opening, flows, closing, length)
        assert changes <= 1
    elif all(abs(sample) > 1 for sample in samples):
        assert changes != 1


def leftover_roughly(
    step: int, opening: Decimal, flows: Sequence[Flow], closing: Decimal, length: int
) -> float:
    growth = 0.0001 * (1001 / 0.0001) ** (step / 200)
    terms = [(0, opening), *flows, (length, -closing)]
    return sum(float(amount) * growth ** ((length - day) / 365) for day, amount in terms)
