"""A decimal column that keeps every digit on both databases.

PostgreSQL stores NUMERIC(38, 18). SQLite would pass a decimal through REAL and keep 15 digits, so there the
column is canonical text; hence no SQL sums, ordering or comparison on it: such work is done in Python.
"""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Lookup

if TYPE_CHECKING:
    DecimalColumn = models.Field[Any, Any]
    ZeroLookup = Lookup[Any]
else:  # generic only to the type checker
    DecimalColumn, ZeroLookup = models.Field, Lookup

validate_currency = RegexValidator(
    r"^[A-Z][A-Z0-9]{1,9}\Z", "expected a currency's code in capitals, like USD"
)

DIGITS = 38
PLACES = 18


def plain(value: Decimal) -> str:
    """Returns canonical text: no exponent, no trailing zeros, no negative zero."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


class ExactDecimalField(DecimalColumn):
    """A `Decimal` of at most 20 digits before and 18 after the point, stored exactly.

    Raises ValidationError for more digits than that instead of rounding them away.
    """

    description = "Exact decimal"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return f"numeric({DIGITS}, {PLACES})" if connection.vendor == "postgresql" else "text"

    def to_python(self, value: Any) -> Decimal | None:
        if value is None or value == "":
            return None
        if isinstance(value, float):
            value = repr(value)
        try:
            number = Decimal(value)
        except (InvalidOperation, TypeError, ValueError) as error:
            raise ValidationError(f"expected a decimal number, was {str(value)[:40]!r}") from error
        return self._checked(number)

    def _checked(self, number: Decimal) -> Decimal:
        if not number.is_finite():
            raise ValidationError(f"expected a finite number, was {number}")
        if number and number.adjusted() >= DIGITS - PLACES:
            raise ValidationError(f"expected at most {DIGITS - PLACES} digits before the point")
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -PLACES:
            text = plain(number) if exponent > -200 else ""
            if not text or len(text.partition(".")[2]) > PLACES:
                raise ValidationError(f"expected at most {PLACES} digits after the point")
            number = Decimal(text)
        return number

    def get_prep_value(self, value: Any) -> Decimal | None:
        return self.to_python(super().get_prep_value(value))

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        number = value if prepared else self.get_prep_value(value)
        if number is None or connection.vendor == "postgresql":
            return number
        return plain(number)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Decimal | None:
        # Canonical on the way out as well, so that both databases give equal text.
        return None if value is None else Decimal(plain(Decimal(value)))

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else plain(value)

    def formfield(self, **kwargs: Any) -> Any:
        from django import forms

        return super().formfield(**{"form_class": forms.DecimalField, **kwargs})


class _SignLookup(ZeroLookup):
    """A comparison with zero that both databases answer: on SQLite by the canonical text's first character."""

    prepare_rhs = False
    postgresql = sqlite = ""

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        column, params = self.process_lhs(compiler, connection)
        if connection.vendor == "postgresql":
            return self.postgresql.format(column), list(params)
        return self.sqlite.format(column), [*params] * self.sqlite.count("{0}")


@ExactDecimalField.register_lookup
class IsPositive(_SignLookup):
    """`column__is_positive=True`: more than zero."""

    lookup_name = "is_positive"
    postgresql = "{0} > 0"
    sqlite = "(substr({0}, 1, 1) <> '-' AND {0} <> '0')"


@ExactDecimalField.register_lookup
class IsNotNegative(_SignLookup):
    """`column__is_not_negative=True`: zero or more."""

    lookup_name = "is_not_negative"
    postgresql = "{0} >= 0"
    sqlite = "substr({0}, 1, 1) <> '-'"


@ExactDecimalField.register_lookup
class IsNotZero(_SignLookup):
    """`column__is_not_zero=True`."""

    lookup_name = "is_not_zero"
    postgresql = "{0} <> 0"
    sqlite = "{0} <> '0'"
