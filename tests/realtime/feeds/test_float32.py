"""Single-precision prices are read as the decimals they were made of; numpy's own shortest text is the oracle."""

import random
from decimal import Decimal
from struct import pack

import numpy
import pytest

from realtime.feeds.float32 import from_float32, from_widened


@pytest.mark.parametrize(
    "text", ["190.55", "1.0842", "0.1", "43000.01", "0.00001234", "1234567", "12345680", "-37.63", "0"]
)
def test_a_price_of_up_to_seven_digits_comes_back_as_it_was(text: str) -> None:
    assert from_float32(pack("<f", float(text))) == Decimal(text)


def test_any_bits_give_the_shortest_text_that_rounds_to_them() -> None:
    dice = random.Random(32)
    for _ in range(20_000):
        bits = pack("<I", dice.randrange(0x20000000, 0x70000000) | dice.getrandbits(1) << 31)
        number = numpy.frombuffer(bits, "<f4")[0]
        assert from_float32(bits) == Decimal(numpy.format_float_positional(number, unique=True, trim="-"))


@pytest.mark.parametrize(
    "bits", [b"\x00\x00\x80\x7f", b"\x00\x00\x80\xff", b"\x00\x00\xc0\x7f", b"\xff\xff\x7f\x7f"]
)
def test_what_is_no_price_is_refused(bits: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        from_float32(bits)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("189.97999572753906", "189.98"),
        ("190.55", "190.55"),
        ("0.5", "0.5"),
        ("31234567", "31234567"),
        ("123456792", "123456792"),
        ("1.0842000246047974", "1.0842"),
        ("1.08420002", "1.08420002"),
    ],
)
def test_a_float32_that_was_written_as_a_double_is_found_and_nothing_else_is_touched(
    written: str, meant: str
) -> None:
    assert str(from_widened(Decimal(written))) == meant
