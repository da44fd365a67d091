"""Exact arithmetic: additions and products never round, and there is one division.

`EXACT` is the context that all money is worked out in; Python's default of 28 digits silently rounds a quantity
times a price times a rate.
"""

from decimal import (
    ROUND_05UP,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

PLACES = Decimal("1E-18")

EXACT = Context(
    prec=200, rounding=ROUND_HALF_EVEN, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow]
)
# Rounding the long quotient to 05UP keeps a sticky last digit, so that the second rounding is the only one.
_QUOTIENT = Context(prec=200, rounding=ROUND_05UP, traps=[InvalidOperation, DivisionByZero, Overflow])


def div(a: Decimal, b: Decimal) -> Decimal:
    """Returns a / b rounded once, half even, to 18 places."""
    return _QUOTIENT.divide(a, b).quantize(PLACES, ROUND_HALF_EVEN, _QUOTIENT)
