from decimal import Decimal, Inexact, localcontext

import pytest

from portfolio.arithmetic import EXACT, div, minor_unit, shown, total, trimmed

D = Decimal


def test_division_rounds_once_half_to_even_at_18_places() -> None:
    assert div(D(2), D(3)) == D("0.666666666666666667")
    assert div(D("1E-18"), D(2)) == 0
    assert div(D("3E-18"), D(2)) == D("2E-18")
    # A second rounding would make this a tie and round it down.
    assert div(D("1.000000000000000001"), D("2E18")) == D("1E-18")


def test_arithmetic_raises_rather_than_rounds() -> None:
    with localcontext(EXACT), pytest.raises(Inexact):
        D(1) / D(3)


def test_a_total_is_exact_in_any_context() -> None:
    numbers = [D("1E+20"), D("1E-18")]
    assert total(numbers, D(1)) == D("100000000000000000001.000000000000000001")
    assert sum(numbers) == D("1E+20")  # Python's own 28 digits


@pytest.mark.parametrize(
    ("number", "expected"),
    [("1.500", "1.5"), ("1E+3", "1000"), ("-0.10", "-0.1"), ("0E-18", "0"), ("70", "70")],
)
def test_a_trimmed_number_has_neither_exponent_nor_needless_zeros(number: str, expected: str) -> None:
    assert str(trimmed(D(number))) == expected


@pytest.mark.parametrize(
    ("currency", "expected"),
    [("USD", "1234.57"), ("JPY", "1235"), ("KWD", "1234.568"), ("BTC", "1234.56789012")],
)
def test_the_minor_unit_is_the_currencys(currency: str, expected: str) -> None:
    assert str(shown(D("1234.567890123"), minor_unit(currency))) == expected


def test_a_rounded_loss_is_never_minus_zero() -> None:
    assert str(shown(D("-0.001"), minor_unit("USD"))) == "0.00"
