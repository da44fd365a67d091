from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests.portfolio.imports.builders import booked, make_draft, messages, parsed_file, parsed_text, said

D = Decimal
GERMAN = (
    "Datum;Typ;Wert;Buchungswährung;Bruttobetrag;Währung Bruttobetrag;Wechselkurs;Gebühren;Steuern;Stück;ISIN;WKN;"
    "Ticker-Symbol;Wertpapiername;Notiz\n"
)


def test_the_cash_of_every_row_is_that_of_the_file_to_the_cent() -> None:
    """The account's balance is the sum of the column Wert: 18 places of a price are enough for that."""
    parsed = parsed_file("portfolio_performance_de.csv")
    assert messages(parsed) == []
    held = booked(parsed.drafts)
    value = (
        D("5000")
        - D("1004.99")
        - D("2112.40")
        + D("8.50")
        + 520
        + 530
        + D("3.21")
        - 2
        + D("12.34")
        - D("4.90")
    )
    assert abs(held["EUR"] - value) < D("1E-15")
    assert "USD" not in held
    assert (held["EUNL.DE"], held["ACME"], held["SAP.DE"]) == (0, D("12.5"), 3)


def test_a_purchase_in_another_currency_is_settled_at_the_accounts_rate() -> None:
    foreign = parsed_file("portfolio_performance_de.csv").drafts[2]
    assert said(foreign) == {
        "kind": "buy",
        "time": datetime(2026, 2, 1, 10, tzinfo=UTC),
        "symbol": "ACME",
        "isin": "US0378331005",
        "name": "Acme Inc.",
        "currency": "USD",
        "multiplier": D(1),
        "quantity": D("12.5"),
        "price": D(184),
        "fee": D(1),
        "fee_currency": "EUR",
        "settlement_currency": "EUR",
        "settlement_rate": D("0.918"),
    }


def test_a_dividend_is_gross_at_its_ex_date_and_paid_later() -> None:
    dividend = parsed_file("portfolio_performance_de.csv").drafts[3]
    assert (dividend.day, dividend.pay_day, dividend.amount) == (
        date(2026, 3, 12),
        date(2026, 3, 15),
        D("11.55"),
    )
    assert abs((dividend.amount - dividend.tax) * (dividend.settlement_rate or 0) - D("8.50")) < D("1E-15")


def test_a_sales_tax_stays_and_a_refund_is_income() -> None:
    sales = [draft for draft in parsed_file("portfolio_performance_de.csv").drafts if draft.line in (6, 7)]
    assert [(draft.kind, draft.price, draft.fee, draft.tax, draft.amount) for draft in sales] == [
        ("sell", 108, 5, 15, 0),
        ("sell", 105, 5, 0, 0),
        ("interest", 0, 0, 0, 10),
    ]


def test_english_and_german_files_say_the_same() -> None:
    english = parsed_file("portfolio_performance_en.csv")
    assert messages(english) == []
    german = {draft.line: said(draft) for draft in parsed_file("portfolio_performance_de.csv").drafts}
    for line, same in {2: 2, 3: 3, 4: 6}.items():
        draft = next(draft for draft in english.drafts if draft.line == line)
        assert said(draft) | {"note": ""} == german[same] | {"note": ""}


def test_the_table_of_all_transactions_has_names_only() -> None:
    parsed = parsed_file("portfolio_performance_table.csv", currency="EUR")
    assert messages(parsed) == []
    assert [tuple(each) for each in parsed.left_out] == [
        (7, "Typ", "moves what you own from one account to another")
    ]
    held = booked(parsed.drafts)
    assert abs(held["EUR"] - (10000 - D("1502.50") + D("9.13") + 1800 - 911)) < D("1E-15")
    foreign = parsed.drafts[-1]
    assert (foreign.currency, foreign.price, foreign.settlement_currency) == ("USD", 250, "EUR")


def test_an_amount_of_an_unknown_currency_needs_the_option() -> None:
    assert messages(parsed_file("portfolio_performance_table.csv")) == [
        (6, "Betrag", "expected an amount with its currency, was one without: choose the currency")
    ]


def test_a_swiss_file_has_semicolons_and_points() -> None:
    parsed = parsed_text(
        GERMAN + "2026-01-15T00:00;Kauf;-1\u2019004.99;CHF;;;;4.99;;1\u2019000;;;ACME;Acme;\n"
    )
    assert messages(parsed) == []
    assert (parsed.drafts[0].price, parsed.drafts[0].quantity, parsed.drafts[0].fee) == (1, 1000, D("4.99"))


@pytest.mark.parametrize(
    ("row", "kind", "amount"),
    [
        ("2026-01-15T00:00;Umbuchung (Eingang);50,00;EUR;;;;;;;;;;;", "deposit", 50),
        ("2026-01-15T00:00;Umbuchung (Ausgang);-50,00;EUR;;;;;;;;;;;", "withdrawal", 50),
        ("2026-01-15T00:00;Umbuchung (Eingang);50,00;EUR;;;;;;2;;;ACME;;", "transfer_in", 0),
        ("2026-01-15T00:00;Auslieferung;-50,00;EUR;;;;;;2;;;ACME;;", "transfer_out", 0),
        ("2026-01-15T00:00;Steuern;-50,00;EUR;;;;;;;;;;;", "tax", 50),
        ("2026-01-15T00:00;Gebührenerstattung;50,00;EUR;;;;;;;;;;;", "interest", 50),
    ],
)
def test_other_types_are_what_they_move(row: str, kind: str, amount: int) -> None:
    (draft,) = parsed_text(GERMAN + row + "\n").drafts
    assert (draft.kind, draft.amount) == (kind, amount)
    booked([make_draft("transfer_in", symbol="ACME", quantity="2", price="1", day=date(2020, 1, 1)), draft])


def test_what_no_row_can_be_is_told() -> None:
    parsed = parsed_text(
        GERMAN
        + "2026-01-15T00:00;Compra;50,00;EUR;;;;;;2;;;ACME;;\n"
        + "2026-01-15T00:00;Kauf;50,00;EUR;;;;;;;;;ACME;;\n"
        + "15.01.2026;Kauf;50,00;EUR;;;;;;1;;;ACME;;\n"
    )
    assert messages(parsed) == [
        (2, "Typ", "expected a type like Buy or Kauf, was 'Compra'"),
        (3, "Stück", "expected a quantity with a buy, was none"),
        (4, "Datum", "expected a date like 2026-11-20, was '15.01.2026'; choose the date format dmy"),
    ]
    assert messages(parsed_text(GERMAN + "15.01.2026;Kauf;50,00;EUR;;;;;;1;;;ACME;;\n", dates="dmy")) == []
