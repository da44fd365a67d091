"""Single-precision numbers as the decimals that they stand for: 190.55, where a double of the same bits says more.

A vendor that keeps prices as float32 has rounded a decimal text; the shortest text that rounds to the same bits is it,
up to seven digits. Widened to a double first, 190.55 would be 190.5500030517578.
"""

import math
from decimal import Decimal
from struct import Struct

from assets.market import bounded

_single, _double, _whole = Struct("<f"), Struct("<d"), Struct("<Q")
# The bits of a double that a float32 lacks, and what they are in the middle of two float32.
BELOW_SINGLE, HALFWAY = 0x1FFF_FFFF, 0x1000_0000
# Every text of six digits comes back from its float32 unchanged, so a shorter one is found as six with zeros cut off.
LEAST_DIGITS, MOST_DIGITS = 6, 9


def from_float32(bits: bytes) -> Decimal:
    """Returns the shortest decimal that rounds to a float32, little-endian; ValueError unless finite."""
    value: float = _single.unpack(bits)[0]
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, was {value}")
    for digits in range(LEAST_DIGITS, MOST_DIGITS):
        text = f"{value:.{digits}g}"
        if _is_same(text, bits):
            break
    else:
        text = f"{value:.{MOST_DIGITS}g}"
    decimal = bounded(Decimal(text))
    return decimal if "e+" not in text else Decimal(f"{decimal:f}")


def from_widened(value: Decimal) -> Decimal:
    """Returns the shortest decimal of a float32 that a vendor wrote as a double; any other value stays as it is.

    So does a whole number, which widening has not made longer.
    """
    if value == (whole := value.to_integral_value()):
        return whole
    try:
        bits = float32_bits(value)
    except OverflowError:
        return value
    return from_float32(bits) if _single.unpack(bits)[0] == float(value) else value


def float32_bits(value: Decimal) -> bytes:
    """Returns the float32 next to a value, little-endian; raises OverflowError beyond its range."""
    return _single.pack(float(value))


def _is_same(text: str, bits: bytes) -> bool:
    """Whether a text rounds to a float32.

    By way of a double it does, unless that lies in the middle of two float32: then the text itself decides.
    """
    double = float(text)
    if _whole.unpack(_double.pack(double))[0] & BELOW_SINGLE == HALFWAY:
        exact, middle = Decimal(text), Decimal(double)
        if exact != middle:
            double = math.nextafter(double, -math.inf if exact < middle else math.inf)
    return _single.pack(double) == bits
