"""The exact column keeps every digit on both databases and refuses what it cannot keep."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from assets.fields import ExactDecimalField, plain, validate_currency
from assets.models import Asset

D = Decimal
stored = st.decimals(min_value=-(10**20) + 1, max_value=10**20 - 1, places=18) | st.decimals(
    min_value=-(10**12), max_value=10**12, places=2
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (D("1.500"), "1.5"),
        (D("100"), "100"),
        (D("1E+3"), "1000"),
        (D("1E-18"), "0.000000000000000001"),
        (D("-0.00"), "0"),
        (D("0E+9"), "0"),
        (D("-12.340"), "-12.34"),
    ],
)
def test_plain_text_is_canonical(value: Decimal, text: str) -> None:
    assert plain(value) == text
    assert D(text) == value


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("43000.01", D("43000.01")),
        (0.1, D("0.1")),
        (7, D(7)),
        (D("1E-18"), D("1E-18")),
        (D("1.0000000000000000000000"), D(1)),
        ("9" * 20, D("9" * 20)),
        (None, None),
        ("", None),
    ],
)
def test_a_value_is_taken_exactly(given_: Any, expected: Decimal | None) -> None:
    assert ExactDecimalField().to_python(given_) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("abc", "NaN", "Infinity", "-Infinity", "sNaN", [], (1, 2), float("nan"), float("inf")),
        *(
            "1" * 21,
            "1e20",
            "1e999999",
            "0.0000000000000000001",
            "1E-19",
            "1E-999999",
            D("1.0000000000000000001"),
        ),
    ],
)
def test_what_cannot_be_stored_exactly_is_refused_and_never_rounded(value: Any) -> None:
    with pytest.raises(ValidationError, match="expected"):
        ExactDecimalField().to_python(value)


@pytest.mark.parametrize("code", ["USD", "EUR", "BTC", "USDT", "1INCH"[1:]])
def test_a_currency_is_a_code_in_capitals(code: str) -> None:
    validate_currency(code)


@pytest.mark.parametrize("code", ["", "U", "usd", "US D", "USD\n", "1US", "$", "A" * 11])
def test_anything_else_is_no_currency(code: str) -> None:
    with pytest.raises(ValidationError):
        validate_currency(code)


class ColumnTests(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(stored)
    def test_every_digit_survives_the_database(self, value: Decimal) -> None:
        asset = Asset.objects.create(symbol="X", current_price=value)

        found = Asset.objects.get(pk=asset.pk)
        assert found.current_price == value
        assert isinstance(found.current_price, Decimal)
        assert plain(found.current_price) == plain(value)
        assert Asset.objects.filter(current_price=value).exists()
        asset.delete()

    def test_null_stays_null(self) -> None:
        assert Asset.objects.create(symbol="X").current_price is None
        assert Asset.objects.get(symbol="X").current_price is None

    def test_sqlite_keeps_canonical_text(self) -> None:
        if connection.vendor != "sqlite":
            self.skipTest("on PostgreSQL the column is numeric")
        Asset.objects.create(symbol="X", current_price=D("1.500"))
        with connection.cursor() as cursor:
            cursor.execute("SELECT typeof(current_price), current_price FROM assets_asset")
            self.assertEqual(cursor.fetchone(), ("text", "1.5"))

    def test_a_value_that_cannot_be_stored_never_reaches_the_database(self) -> None:
        with self.assertRaises(ValidationError), transaction.atomic():
            Asset.objects.create(symbol="X", current_price=D("1E-19"))
        self.assertFalse(Asset.objects.exists())

    def test_serialised_values_are_canonical(self) -> None:
        field = Asset._meta.get_field("current_price")
        self.assertEqual(field.value_to_string(Asset(current_price=D("1.50"))), "1.5")
        self.assertEqual(field.value_to_string(Asset()), "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "positive", "not_negative", "not_zero"),
    [
        ("0.000000000000000001", True, True, True),
        ("12.5", True, True, True),
        ("0.000", False, True, False),
        ("-0.0", False, True, False),
        ("-0.000000000000000001", False, False, True),
    ],
)
def test_the_database_knows_a_numbers_sign(
    text: str, positive: bool, not_negative: bool, not_zero: bool
) -> None:
    asset = Asset.objects.create(symbol="ACME", current_price=Decimal(text))
    found = Asset.objects.filter(pk=asset.pk)
    assert found.filter(current_price__is_positive=True).exists() is positive
    assert found.filter(current_price__is_not_negative=True).exists() is not_negative
    assert found.filter(current_price__is_not_zero=True).exists() is not_zero
