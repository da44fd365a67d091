"""Exact arithmetic: one division that rounds once, and a context that refuses to round."""

from decimal import Decimal, DivisionByZero, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.exact import EXACT, PLACES, div

D = Decimal
numbers = st.decimals(-(10**20), 10**20, allow_nan=False, places=18)


def test_division_rounds_once_half_to_even_at_18_places() -> None:
    assert div(D(2), D(3)) == D("0.666666666666666667")
    assert div(D("1E-18"), D(2)) == 0
    assert div(D("3E-18"), D(2)) == D("2E-18")
    # A second rounding would make this a tie and round it down.
    assert div(D("1.000000000000000001"), D("2E18")) == D("1E-18")


@given(numbers, numbers.filter(bool))
def test_no_number_of_18_places_is_nearer_to_the_quotient(a: Decimal, b: Decimal) -> None:
    quotient = div(a, b)
    assert quotient.as_tuple().exponent == -18
    assert abs(Fraction(a) / Fraction(b) - Fraction(quotient)) <= Fraction(PLACES) / 2


def test_arithmetic_raises_rather_than_rounds() -> None:
    with localcontext(EXACT), pytest.raises(Inexact):
        D(1) / D(3)
    with pytest.raises(DivisionByZero):
        div(D(1), D(0))
