"""What a portfolio earned over a span of days: time-weighted, money-weighted, and the five periods shown.

Pure. Values are of the days' ends. An inflow counts from its day's start and an outflow until its day's end; for the
money-weighted rate, as in a spreadsheet's XIRR, every flow counts on its date. A day that lacks a value is never
guessed: a return that would need it is None.
"""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from itertools import pairwise
from typing import NamedTuple

from portfolio.arithmetic import ONE, ZERO

# Chains and powers are rounded to 60 significant digits. Only `+ - * /`, `ln` and `exp` are used, which are correctly
# rounded, so that every machine gets the same digits; `power` is not promised to be.
DIGITS = 60
RETURNS = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
LOWEST, HIGHEST = Decimal("-0.9999"), Decimal(1000)
TOLERANCE = Decimal("1E-12")
YEAR = Decimal(365)
# Beyond this a return is the echo of a divisor near zero, and its text would only be long.
ABSURD = Decimal("1E+15")
# Two rates nearer to each other than this cannot be told apart.
_NARROWEST = Decimal("1E-16")


@dataclass(frozen=True, slots=True)
class DayValue:
    """A day in the portfolio's time zone: its value at the end, and what came in and went out, both positive.

    `value` leaves out what has no price or rate; then `is_complete` is False.
    """

    date: date
    value: Decimal | None
    inflow: Decimal = ZERO
    outflow: Decimal = ZERO
    is_complete: bool = True

    @property
    def known(self) -> Decimal | None:
        """The value, if nothing is missing in it."""
        return self.value if self.is_complete else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodReturn:
    """What was earned from the end of `start` to the end of `end`, as ratios.

    Where the portfolio is younger than the period, `start` is the day of its first row and the value then is 0.
    `incomplete` says that some day of the period lacks a value.
    """

    period: str
    start: date
    end: date
    start_value: Decimal | None
    end_value: Decimal | None
    inflow: Decimal
    outflow: Decimal
    twr: Decimal | None
    mwr: Decimal | None
    is_mwr_yearly: bool
    incomplete: bool


# --- periods ------------------------------------------------------------------------------------------------


def month_before(day: date) -> date:
    """The same day of the month before, or that month's last: of 31 March it is 28 or 29 February."""
    last = day.replace(day=1) - timedelta(days=1)
    return last.replace(day=min(day.day, last.day))


def year_before(day: date) -> date:
    """The same day of the year before; of 29 February it is the 28th."""
    return day.replace(year=day.year - 1, day=min(day.day, monthrange(day.year - 1, day.month)[1]))


PERIODS: dict[str, Callable[[date], date]] = {
    "1w": lambda end: end - timedelta(days=7),
    "1m": month_before,
    "ytd": lambda end: date(end.year - 1, 12, 31),
    "1y": year_before,
    "all": lambda end: date.min,
}


def period_returns(days: Sequence[DayValue]) -> list[PeriodReturn]:
    """Returns every period that ends with the last of `days`.

    Args:
        days: one after another without a gap, the first one being that of the portfolio's first row.

    Raises:
        ValueError: there are no days, or there is a gap between them.
    """
    if not days:
        raise ValueError("expected at least one day")
    for before, after in pairwise(days):
        if after.date - before.date != timedelta(days=1):
            raise ValueError(f"expected the day after {before.date}, was {after.date}")
    return [_over(name, start_of(days[-1].date), days) for name, start_of in PERIODS.items()]


def _over(name: str, start: date, days: Sequence[DayValue]) -> PeriodReturn:
    end = days[-1]
    opening: Decimal | None
    if start < days[0].date:
        start, opening, span, is_complete = days[0].date, ZERO, days, True
    else:
        index = bisect_left(days, start, key=lambda day: day.date)
        opening, span, is_complete = days[index].known, days[index + 1 :], days[index].is_complete
    length = (end.date - start).days
    with localcontext(RETURNS):
        inflow = sum((day.inflow for day in span), ZERO)
        outflow = sum((day.outflow for day in span), ZERO)
        yearly = _yearly_of(opening, start, span, length)
    return PeriodReturn(
        period=name,
        start=start,
        end=end.date,
        start_value=opening,
        end_value=end.known,
        inflow=inflow,
        outflow=outflow,
        twr=_readable(time_weighted(opening, span)),
        mwr=_readable(over_days(yearly, length)),
        is_mwr_yearly=length >= YEAR,
        incomplete=not (is_complete and all(day.is_complete for day in span)),
    )


def _yearly_of(opening: Decimal | None, start: date, span: Sequence[DayValue], length: int) -> Decimal | None:
    closing = span[-1].known if span else None
    if opening is None or closing is None:
        return None
    flows = [
        Flow((day.date - start).days, day.inflow - day.outflow) for day in span if day.inflow != day.outflow
    ]
    return money_weighted(opening, flows, closing, length)


def _readable(ratio: Decimal | None) -> Decimal | None:
    return ratio if ratio is not None and abs(ratio) < ABSURD else None


# --- time-weighted ------------------------------------------------------------------------------------------


def time_weighted(opening: Decimal | None, days: Sequence[DayValue]) -> Decimal | None:
    """Π (V_d + O_d) / (V_{d-1} + I_d) - 1, from `opening` at the end of the day before the first.

    A missing value that no flow touches cancels itself out: it stands in one day's numerator and in the next one's
    divisor. None across a divisor of zero or less, a missing value that matters, and for no days at all.
    """
    if opening is None or not days or days[-1].known is None:
        return None
    with localcontext(RETURNS):
        growth, divisor = ONE, ZERO
        before: Decimal | None = opening
        outflow_before = ZERO
        for day in days:
            if before is not None:
                divisor = before + day.inflow
            elif outflow_before or day.inflow:
                return None
            if divisor <= 0:
                return None
            if day.known is not None:
                growth = growth * (day.known + day.outflow) / divisor
            before, outflow_before = day.known, day.outflow
        return growth - ONE


# --- money-weighted -----------------------------------------------------------------------------------------


class Flow(NamedTuple):
    """Money that came in (or went out, negative) on a day counted from the start."""

    day: int
    amount: Decimal


def over_days(yearly: Decimal | None, length: int) -> Decimal | None:
    """Shows a yearly rate as what it earns in `length` days; from a year on, as it is."""
    if yearly is None or length >= YEAR:
        return yearly
    with localcontext(RETURNS):
        return ((ONE + yearly).ln() * length / YEAR).exp() - ONE


def money_weighted(opening: Decimal, flows: Sequence[Flow], closing: Decimal, length: int) -> Decimal | None:
    """The yearly rate at which `opening` and `flows` grow to `closing` in `length` days, found by bisection.

    None unless what is left over, taken as a function of the rate, changes its sign exactly once between -99.99 %
    and 100,000 %: with two rates that fit, neither is the answer.
    """
    with localcontext(RETURNS):
        leftover = _Leftover(opening, flows, closing, length)
        low, high = LOWEST, HIGHEST
        below = leftover.sign_at(low)
        if not below or below == leftover.sign_at(high) or not leftover.changes_sign_once():
            return None
        while high - low > TOLERANCE:
            middle = (low + high) / 2
            if leftover.sign_at(middle) == below:
                low = middle
            else:
                high = middle
        return (low + high) / 2


class _Pair(NamedTuple):
    """A sum over the terms with a positive amount, and one over those with a negative, both without sign."""

    gains: Decimal
    losses: Decimal

    def is_apart_from(self, most: "_Pair") -> bool:
        """Whether gains less losses keep their sign, if `self` is the least of both sums and `most` the most."""
        return self.gains > most.losses or self.losses > most.gains


class _Bounds(NamedTuple):
    """The sums at one x: all of them grow with x, and divided by x^T they all shrink."""

    growing: _Pair
    growing_slope: _Pair
    shrinking: _Pair
    shrinking_slope: _Pair


class _Leftover:
    """V_0·x^T + Σ F_i·x^(T-t_i) - V_T as a function of the daily growth x = (1 + r)^(1/365)."""

    def __init__(self, opening: Decimal, flows: Sequence[Flow], closing: Decimal, length: int) -> None:
        sums = {0: opening}
        for flow in flows:
            sums[flow.day] = sums.get(flow.day, ZERO) + flow.amount
        sums[length] = sums.get(length, ZERO) - closing
        self.length = length
        # Earliest first, so that Horner's scheme raises x only to the days between two flows.
        self.terms = [(day, amount) for day, amount in sorted(sums.items()) if amount]
        self.gaps = [after[0] - before[0] for before, after in pairwise(self.terms)]

    def sign_at(self, rate: Decimal) -> int:
        if not self.terms:
            return 0
        powers = self._powers(daily(rate))
        total = self.terms[0][1]
        for gap, (_, amount) in zip(self.gaps, self.terms[1:], strict=True):
            total = total * powers[gap] + amount
        return (total > 0) - (total < 0)

    def changes_sign_once(self) -> bool:
        """Counts the changes of sign by bounds that hold for every x between two, not by samples."""
        signs = [amount > 0 for _, amount in self.terms]
        if sum(a != b for a, b in pairwise(signs)) == 1:
            return True  # Descartes: exactly one rate fits, and the caller has seen that it is in range
        low, high = daily(LOWEST), daily(HIGHEST)
        spans = [(low, self._bounds(low), high, self._bounds(high))]
        changes = 0
        while spans and changes < 2:
            a, at_a, b, at_b = spans.pop()
            if self._keeps_sign(at_a, at_b):
                continue
            if self._is_monotonic(at_a, at_b):
                changes += self._is_positive(at_a) != self._is_positive(at_b)
            elif b - a < _NARROWEST:
                return False
            else:
                middle = (a + b) / 2
                at_middle = self._bounds(middle)
                spans += [(a, at_a, middle, at_middle), (middle, at_middle, b, at_b)]
        return changes == 1

    @staticmethod
    def _is_positive(at: _Bounds) -> bool:
        return at.growing.gains >= at.growing.losses

    @staticmethod
    def _keeps_sign(a: _Bounds, b: _Bounds) -> bool:
        return a.growing.is_apart_from(b.growing) or b.shrinking.is_apart_from(a.shrinking)

    @staticmethod
    def _is_monotonic(a: _Bounds, b: _Bounds) -> bool:
        """Whether a derivative keeps its sign: of the leftover, or of the leftover divided by x^T."""
        return a.growing_slope.is_apart_from(b.growing_slope) or b.shrinking_slope.is_apart_from(
            a.shrinking_slope
        )

    def _bounds(self, x: Decimal) -> _Bounds:
        powers = self._powers(x)
        power = powers[self.length - self.terms[-1][0]]
        sums, slopes = [ZERO, ZERO], [ZERO, ZERO]
        for index in range(len(self.terms) - 1, -1, -1):
            day, amount = self.terms[index]
            value = abs(amount) * power
            sums[amount < 0] += value
            slopes[amount < 0] += value * (self.length - day)
            if index:
                power = power * powers[self.gaps[index - 1]]
        scale = power * powers[self.terms[0][0]]
        early = [(self.length * value - slope) / scale for value, slope in zip(sums, slopes, strict=True)]
        return _Bounds(_Pair(*sums), _Pair(*slopes), _Pair(*(value / scale for value in sums)), _Pair(*early))

    def _powers(self, x: Decimal) -> dict[int, Decimal]:
        """x to each number of days that is needed, by squaring."""
        return {
            days: whole_power(x, days)
            for days in {*self.gaps, self.length - self.terms[-1][0], self.terms[0][0]}
        }


def daily(rate: Decimal) -> Decimal:
    """(1 + r)^(1/365)."""
    return ((ONE + rate).ln() / YEAR).exp()


def whole_power(x: Decimal, exponent: int) -> Decimal:
    result = ONE
    while exponent:
        if exponent & 1:
            result = result * x
        exponent >>= 1
        x = x * x
    return result
