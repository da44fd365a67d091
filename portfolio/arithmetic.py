"""Exact decimal arithmetic: sums and products never round, and the one division rounds once.

Everything that counts money runs in the context EXACT, which raises rather than rounds. Rounding to a currency's
minor unit is for showing only (`shown`).
"""

from collections.abc import Iterable
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
from functools import reduce
from typing import overload

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
PLACES = Decimal("1E-18")
CENT = PERCENT = Decimal("0.01")
RATIO = Decimal("0.0001")

# Python's default of 28 digits silently rounds quantity times price times rate.
EXACT = Context(
    prec=200, rounding=ROUND_HALF_EVEN, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow]
)
# Rounding the long quotient to 05UP keeps a sticky last digit, so that the second rounding is the only one.
_QUOTIENT = Context(prec=200, rounding=ROUND_05UP, traps=[InvalidOperation, DivisionByZero, Overflow])
_SHOWN = Context(prec=200, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])

# Minor units that are not a hundredth: ISO 4217, and eight places for what is counted in coins.
_WHOLE = (
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "ISK",
    "JPY",
    "KMF",
    "KRW",
    "PYG",
    "RWF",
    "UGX",
    "VND",
    "VUV",
    "XAF",
    "XOF",
)
_THOUSANDTHS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_COINS = ("BTC", "ETH", "SOL", "XBT")
_UNITS = {
    **dict.fromkeys(_WHOLE, ONE),
    **dict.fromkeys(_THOUSANDTHS, Decimal("0.001")),
    **dict.fromkeys(_COINS, Decimal("1E-8")),
}


def div(a: Decimal, b: Decimal) -> Decimal:
    """Returns a / b rounded once, half even, to 18 places."""
    return _QUOTIENT.divide(a, b).quantize(PLACES, ROUND_HALF_EVEN, _QUOTIENT)


def total(numbers: Iterable[Decimal], start: Decimal = ZERO) -> Decimal:
    """The exact sum, in whichever context it is asked for."""
    return reduce(EXACT.add, numbers, start)


def trimmed(number: Decimal) -> Decimal:
    """The same number without trailing zeros and never with an exponent."""
    text = f"{number:f}"
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


@overload
def shown(number: Decimal, unit: Decimal) -> Decimal: ...


@overload
def shown(number: None, unit: Decimal) -> None: ...


def shown(number: Decimal | None, unit: Decimal) -> Decimal | None:
    """Rounds half even to `unit`; a rounded loss is never shown as -0.00."""
    if number is None:
        return None
    rounded = number.quantize(unit, ROUND_HALF_EVEN, _SHOWN)
    return rounded if rounded else rounded.copy_abs()


def minor_unit(currency: str) -> Decimal:
    return _UNITS.get(currency, CENT)
