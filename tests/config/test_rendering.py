from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import ParseError

from config.rendering import json_text, parse_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("43000.123456789012345678"), "43000.123456789012345678"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0E-8"), "0.00000000"),
        (Decimal("1E-18"), "0.000000000000000001"),
        (True, "true"),
        (None, "null"),
        (7, "7"),
        ("ü\n", '"ü\\n"'),
        (gettext_lazy("late"), '"late"'),
        ([Decimal(1), "a", {"k": (2, None)}], '[1,"a",{"k":[2,null]}]'),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), '"2026-01-02T03:04:05.000000Z"'),
    ],
)
def test_values_are_written_exactly(value: object, text: str) -> None:
    assert json_text(value) == text


def test_what_is_not_a_number_and_binary_fractions_never_leave() -> None:
    with pytest.raises(ValueError, match="finite"):
        json_text([Decimal("NaN")])
    with pytest.raises(TypeError, match="float"):
        json_text({"price": 0.1})


def test_numbers_are_read_exactly() -> None:
    assert parse_json(b"[43000.123456789012345678, 1, 1e-3]") == [
        Decimal("43000.123456789012345678"),
        1,
        Decimal("0.001"),
    ]


@pytest.mark.parametrize(
    "body", [b"NaN", b"-Infinity", b"[" * 99_999, b"{", b"\xff", b"1e99999999999999999999"]
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(ParseError):
        parse_json(body)
