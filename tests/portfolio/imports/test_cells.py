from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.imports.cells import (
    DANGEROUS,
    decimal_evidence,
    find_decimal,
    guarded,
    moment,
    number,
    plain,
    quoted,
    unguarded,
)

D = Decimal


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("1234.56", ".", "1234.56"),
        ("1,234.56", ".", "1234.56"),
        ("1.234,56", ",", "1234.56"),
        ("1234,56", ",", "1234.56"),
        ("1,234,567", ".", "1234567"),
        ("1.234.567", ",", "1234567"),
        ("1'234.56", ".", "1234.56"),
        ("1\u2019234.56", ".", "1234.56"),
        ("1 234,56", ",", "1234.56"),
        ("1\u202f234\u202f567,8", ",", "1234567.8"),
        ("12,34,567.8", ".", "1234567.8"),
        ("-0.5", ".", "-0.5"),
        ("+3", ".", "3"),
        ("\u22123,5", ",", "-3.5"),
        (".5", ".", "0.5"),
        ("5.", ".", "5"),
        ("1.0e-08", ".", "0.00000001"),
        ("1E+5", ".", "100000"),
    ],
)
def test_numbers_are_read_exactly_with_either_separator(text: str, decimal: str, value: str) -> None:
    assert number(text, decimal) == D(value)


@pytest.mark.parametrize(
    ("text", "decimal", "message"),
    [
        ("NaN", ".", "expected a number like 1234.56, was 'NaN'"),
        ("Infinity", ".", "expected a number like 1234.56, was 'Infinity'"),
        ("1e400", ".", "expected an exponent within ±30, was 1.000000E+400"),
        ("1E-31", ".", "expected an exponent within ±30, was 1.000000E-31"),
        ("1E9999", ".", "expected a number like 1234.56, was '1E9999'"),
        ("9" * 40, ".", "expected an exponent within ±30, was 1.000000E+40"),
        ("9" * 4000, ".", "expected a number of at most 80 characters, was one of 4,000"),
        ("1,23", ".", "expected a number like 1234.56, was '1,23'; choose the decimal separator ','"),
        ("12,3456", ".", "expected a number like 1234.56, was '12,3456'; choose the decimal separator ','"),
        ("1.234,5", ".", "expected a number like 1234.56, was '1.234,5'; choose the decimal separator ','"),
        ("1,234.5", ",", "expected a number like 1234,56, was '1,234.5'; choose the decimal separator '.'"),
        ("1 23", ".", "expected a number like 1234.56, was '1 23'"),
        ("1,234'567", ".", "expected a number like 1234.56, was \"1,234'567\""),
        ("12 EUR", ".", "expected a number like 1234.56, was '12 EUR'"),
        ("\u0661\u0662", ".", "expected a number like 1234.56, was '\u0661\u0662'"),
        ("--5", ".", "expected a number like 1234.56, was '--5'"),
    ],
)  # fmt: skip
def test_what_is_no_sane_number_is_refused(text: str, decimal: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        number(text, decimal)
    assert str(error.value).removesuffix(" if that is what it has") == message


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("12", ""), ("1.234", "?"), ("1,234", "?"), ("-12,345", "?"), ("\u22121,234", "?"),
        ("0.123", "."), ("0,123", ","), ("1234.567", "."), ("1.2345", "."), ("1,2345", ","), ("12.5", "."),
        ("1.234,5", ","), ("1,234.5", "."), ("1.234.567", ","), ("1,234,567", "."), ("1'234.567", "."),
        ("n.a.", ""), ("1.2.3", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_cell_proves_a_separator_only_if_the_other_makes_no_number(text: str, evidence: str) -> None:
    assert decimal_evidence(text) == evidence


def test_a_column_proves_what_one_cell_cannot() -> None:
    assert find_decimal(["1.234", "7", "2,5"])[0] == ","
    assert find_decimal(["1.234", "0.5"])[0] == "."
    assert find_decimal(["1.234", "2.500"])[0] is None
    assert find_decimal(["1.5", "1,5"])[0] is None
    assert find_decimal(["1", ""])[0] == "."


@pytest.mark.parametrize(
    ("text", "order", "value"),
    [
        ("2026-11-20", "iso", date(2026, 11, 20)),
        ("20261120", "iso", date(2026, 11, 20)),
        ("20.11.2026", "dmy", date(2026, 11, 20)),
        ("3/4/2026", "dmy", date(2026, 4, 3)),
        ("3/4/2026", "mdy", date(2026, 3, 4)),
        ("2026/11/20", "ymd", date(2026, 11, 20)),
        ("2026-11-20", "dmy", date(2026, 11, 20)),
        ("2026/11/20", "dmy", date(2026, 11, 20)),
        ("2026-11-20T15:05:00Z", "iso", datetime(2026, 11, 20, 15, 5, tzinfo=UTC)),
        ("2026-11-20 15:05:00.123456789 UTC", "iso", datetime(2026, 11, 20, 15, 5, 0, 123456, UTC)),
        ("2026-11-20T15:05:00+0530", "iso", datetime(2026, 11, 20, 9, 35, tzinfo=UTC)),
        ("2026-11-20T15:05", "iso", datetime(2026, 11, 20, 20, 5, tzinfo=UTC)),
        ("2026-07-20, 15:05:09", "iso", datetime(2026, 7, 20, 19, 5, 9, tzinfo=UTC)),
        ("20260720;150509", "ymd", datetime(2026, 7, 20, 19, 5, 9, tzinfo=UTC)),
        ("20.07.2026 15:05", "dmy", datetime(2026, 7, 20, 19, 5, tzinfo=UTC)),
    ],
)
def test_dates_and_times_are_read_in_the_order_that_was_chosen(
    text: str, order: str, value: date | datetime
) -> None:
    found = moment(text, ZoneInfo("America/New_York"), order)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "order", "message"),
    [
        ("20/11/26", "iso", "expected a date like 2026-11-20, was '20/11/26'"),
        ("20/11/2026", "iso", "expected a date like 2026-11-20, was '20/11/2026'; choose the date format dmy"),
        ("03/04/2026", "iso", "expected a date like 2026-11-20, was '03/04/2026'; choose the date format dmy or mdy"),
        ("2026/11/20", "iso", "expected a date like 2026-11-20, was '2026/11/20'; choose the date format ymd"),
        ("11/20/2026", "dmy", "expected a date that there is, was '11/20/2026' (month must be in 1..12)"),
        ("2026-02-30", "iso", "expected a date that there is, was '2026-02-30' (day is out of range for month)"),
        ("2026-11-20T25:00", "iso", "expected a date that there is, was '2026-11-20T25:00' (hour must be in 0..23)"),
        ("0026-11-20", "iso", "expected a year from 1900 to 2199, was 26"),
        ("9999-11-20T00:00Z", "iso", "expected a year from 1900 to 2199, was 9999"),
        ("yesterday", "iso", "expected a date like 2026-11-20, was 'yesterday'"),
        ("2026-W47-5", "iso", "expected a date like 2026-11-20, was '2026-W47-5'"),
    ],
)  # fmt: skip
def test_a_date_that_may_mean_two_days_or_none_is_refused(text: str, order: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        moment(text, UTC, order)
    assert str(error.value).startswith(message)


def test_what_is_quoted_in_an_error_is_short_and_printable() -> None:
    assert quoted("a\x00b") == "'a\\x00b'"
    assert len(quoted("x" * 10_000)) == 42


@settings(max_examples=2_000)
@given(st.one_of(st.text(max_size=12), st.text("'=+-@\t\r\n\uff1dab", max_size=6)))
def test_guarded_text_is_no_formula_and_comes_back(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert guarded(text)[:1] not in DANGEROUS


@settings(max_examples=2_000)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=18))
def test_a_numbers_text_is_canonical_and_reads_back_to_it(value: Decimal) -> None:
    assert number(plain(value)) == value
    assert "E" not in plain(value) and not plain(value).endswith(".")


def test_zeros_that_say_nothing_are_left_out_of_a_number() -> None:
    assert [plain(D(text)) for text in ("-0.00", "1E+3", "1.500", "100", "0E-12")] == [
        "0",
        "1000",
        "1.5",
        "100",
        "0",
    ]


@settings(max_examples=2_000)
@given(st.text(max_size=40), st.sampled_from(".,"), st.sampled_from(["iso", "dmy", "mdy", "ymd"]))
def test_no_text_raises_anything_but_a_sentence(text: str, decimal: str, order: str) -> None:
    decimal_evidence(text)
    for read in (lambda: number(text, decimal), lambda: moment(text, UTC, order)):
        try:
            read()
        except ValueError as error:
            assert str(error).startswith("expected ")
