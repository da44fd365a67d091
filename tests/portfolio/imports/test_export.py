import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from portfolio.imports.cells import DANGEROUS
from portfolio.imports.drafts import NEEDED, RowDraft
from portfolio.imports.export import ROWS_AT_ONCE, draft_of, export_csv, export_lines, valuation_csv
from portfolio.imports.own import COLUMNS
from portfolio.imports.parsing import parse
from portfolio.rows import KINDS, Kind, Row
from tests.portfolio.imports.builders import make_draft, parsed_file, said

D = Decimal


def test_an_export_is_read_back_by_anyone() -> None:
    text = export_csv(
        [
            make_draft(
                symbol="ACME",
                quantity="1E+3",
                price="12.50",
                currency="USD",
                note='a, "b"\r\nc',
                trade_id="kite:1",
            )
        ]
    )
    header, row = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == list(COLUMNS)
    assert {name: cell for name, cell in zip(header, row, strict=True) if cell} == {
        "time": "2026-11-20T15:05:00Z",
        "kind": "buy",
        "symbol": "ACME",
        "quantity": "1000",
        "price": "12.5",
        "currency": "USD",
        "trade_id": "kite:1",
        "note": 'a, "b"\r\nc',
    }
    assert text.endswith("\r\n") and text.count("\r\n") == 3


def test_no_cell_is_a_formula_and_numbers_stay_numbers() -> None:
    draft = make_draft(
        "interest",
        amount="-3",
        currency="USD",
        name="@SUM(A1)",
        note="=HYPERLINK(1)",
        symbol="-X",
        trade_id="+1",
    )
    (row,) = csv.DictReader(io.StringIO(export_csv([draft])))
    assert row["amount"] == "-3"
    assert [row[name] for name in ("name", "note", "symbol", "trade_id")] == [
        "'@SUM(A1)", "'=HYPERLINK(1)", "'-X", "'+1"
    ]  # fmt: skip
    (again,) = parse(export_csv([draft]).encode()).drafts
    assert said(again) == said(draft)


@pytest.mark.parametrize(
    "name", ["coinbase.csv", "interactive_brokers.csv", "kite.csv", "portfolio_performance_de.csv"]
)
def test_what_was_imported_from_a_broker_goes_round(name: str) -> None:
    drafts = parsed_file(name).drafts
    again = parse(export_csv(drafts).encode())
    assert (again.problems, again.preset) == ([], "livefolio")
    assert list(map(said, again.drafts)) == list(map(said, drafts))


def test_a_ledgers_row_is_a_draft_with_what_is_known_beside_it() -> None:
    row = Row(
        id=7,
        time=datetime(2026, 11, 20, 14, 30, tzinfo=UTC),
        kind="buy",
        symbol="ACME",
        currency="USD",
        multiplier=D("0.01"),
        quantity=D(10),
        price=D(450),
        rate=D("0.9"),
    )
    draft = draft_of(row, day=date(2026, 11, 20), note="by hand")
    assert said(draft) == {
        "row": 7,
        "kind": "buy",
        "day": date(2026, 11, 20),
        "symbol": "ACME",
        "currency": "USD",
        "multiplier": D("0.01"),
        "quantity": D(10),
        "price": D(450),
        "rate": D("0.9"),
        "note": "by hand",
    }
    assert list(map(said, parse(export_csv([draft]).encode()).drafts)) == [said(draft)]
    cash = Row(time=row.time, kind="deposit", currency="USD", amount=D(5))
    assert said(draft_of(cash)) == {
        "kind": "deposit", "time": row.time, "currency": "USD", "amount": D(5), "rate": D(1)
    }  # fmt: skip


def test_a_receipt_stands_in_a_last_column_and_is_no_row() -> None:
    draft = make_draft(symbol="ACME", quantity="1", price="2")
    text = export_csv([draft], "r-17")
    assert text.splitlines()[0].endswith(",note,receipt") and text.splitlines()[1].endswith(",r-17")
    assert list(map(said, parse(text.encode()).drafts)) == [said(draft)]


def test_nothing_is_a_header() -> None:
    assert export_csv([]).splitlines() == [",".join(COLUMNS)]
    assert parse(export_csv([]).encode()).problems == []


def test_a_long_export_comes_in_parts() -> None:
    draft = make_draft(symbol="ACME", quantity="1", price="2")
    parts = list(export_lines([draft] * (ROWS_AT_ONCE + 1)))
    assert len(parts) == 2
    assert "".join(parts) == export_csv([draft] * (ROWS_AT_ONCE + 1))


_NUMBERS = st.decimals(D("1E-18"), D("1E+18"), allow_nan=False, allow_infinity=False, places=18)
_TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
_WORDS = st.from_regex(r"[A-Za-z0-9=+@._:|/^-]{0,12}", fullmatch=True)
_TIMES = st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30)).map(lambda time: time.replace(tzinfo=UTC))
_DAYS = st.dates(date(1900, 1, 1), date(2199, 12, 31))


_MAY_BE = {
    **dict.fromkeys(
        ("quantity", "price", "amount", "fee", "tax", "to_amount", "cost", "cost_share"), _NUMBERS
    ),
    **dict.fromkeys(("fee_rate", "rate", "settlement_rate", "multiplier", "other_multiplier"), _NUMBERS),
    **dict.fromkeys(("base_value", "base_cost"), st.just(D(0)) | _NUMBERS),
    **dict.fromkeys(
        ("currency", "fee_currency", "settlement_currency", "to_currency", "other_currency"),
        st.sampled_from(["USD", "EUR", "BTC"]),
    ),
    **dict.fromkeys(("symbol", "other_symbol", "exchange", "trade_id"), _WORDS),
    **dict.fromkeys(("name", "note"), _TEXTS),
    **dict.fromkeys(("numerator", "denominator", "row", "reverses"), st.integers(1, 10**18 - 1)),
    "isin": st.just("US0378331005"),
    "option_right": st.sampled_from(["call", "put"]),
    "lots": st.lists(st.tuples(st.integers(0, 10**9), _NUMBERS), max_size=3).map(tuple),
    "opened": _TIMES,
    "pay_time": _TIMES,
    "pay_day": _DAYS,
}
_SOME = st.lists(
    st.one_of([st.tuples(st.just(name), values) for name, values in _MAY_BE.items()]), max_size=9
).map(dict)


def _draft(kind: Kind, when: datetime | date, values: dict[str, Any], is_negative: bool) -> RowDraft:
    """A draft that is one: with what its kind needs, and paid at one time."""
    for name in NEEDED[kind]:
        if not values.get(name):
            needed = {"quantity": D(1), "amount": D(1), "to_amount": D(1), "option_right": "put"}
            values[name] = needed.get(
                name, "USD" if "currency" in name else "ACME" if "symbol" in name else 1
            )
    if is_negative and kind in ("dividend", "interest"):
        values["amount"] = -values["amount"]
    if "pay_time" in values:
        values.pop("pay_day", None)
    values["time" if isinstance(when, datetime) else "day"] = when
    return RowDraft(line=0, kind=kind, **values)


_DRAFTS = st.builds(_draft, st.sampled_from(KINDS), _TIMES | _DAYS, _SOME, st.booleans())


@settings(max_examples=2_000)
@given(st.lists(_DRAFTS, max_size=3))
def test_every_draft_goes_round(drafts: list[RowDraft]) -> None:
    parsed = parse(export_csv(drafts).encode())
    assert parsed.problems == []
    assert [replace(draft, line=0, raw="") for draft in parsed.drafts] == drafts


def test_a_valuation_has_unrounded_numbers_and_its_receipt_on_each_line() -> None:
    text = valuation_csv(
        [
            {
                "symbol": "ACME",
                "value": D("13800.123456789012345678"),
                "daily_change": D("-0.00"),
                "explain": {"price": D("460"), "rounding": None},
                "stale": False,
                "baseline_at": datetime(2026, 11, 18, 21, tzinfo=UTC) + timedelta(microseconds=5),
            },
            {"symbol": "=cmd", "value": None, "weight": 5, "lots": [1, 2]},
        ],
        "r-17",
    )
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [
        ["receipt", "symbol", "value", "daily_change", "explain.price", "explain.rounding", "stale", "baseline_at",
         "weight", "lots"],
        ["r-17", "ACME", "13800.123456789012345678", "0", "460", "", "false", "2026-11-18T21:00:00.000005Z", "", ""],
        ["r-17", "'=cmd", "", "", "", "", "", "", "5", "1 2"],
    ]  # fmt: skip
    assert list(csv.reader(io.StringIO(valuation_csv([{"a": 1, "b": 2}], "r", ["b", "c"])))) == [
        ["receipt", "b", "c"],
        ["r", "2", ""],
    ]


@settings(max_examples=500)
@given(st.dictionaries(st.text(max_size=4), st.text(max_size=6) | _NUMBERS | st.none(), max_size=4))
def test_no_cell_of_a_valuation_is_a_formula(position: dict[str, object]) -> None:
    for row in csv.reader(io.StringIO(valuation_csv([position], "=1"), newline="")):
        assert not any(cell[:1] in DANGEROUS for cell in row if cell)
