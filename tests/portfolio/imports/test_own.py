from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from portfolio.imports.own import COLUMNS
from tests.portfolio.imports.builders import booked, messages, parsed_text, said

D = Decimal


def test_a_hand_made_file_may_use_common_names_and_any_case() -> None:
    parsed = parsed_text(
        "Date;Type;Ticker;Shares;Unit Price;Commission;CCY;Comment\n"
        "20.11.2026;BUY;ACME;1.000;12,5;1,00;usd;first\n"
        "20.11.2026 15:30;Sale;ACME;2;13,25;;USD;\n",
        dates="dmy",
        time_zone="Europe/Berlin",
        decimal=",",
    )
    assert messages(parsed) == []
    assert [said(draft) for draft in parsed.drafts] == [
        {
            "kind": "buy",
            "day": date(2026, 11, 20),
            "symbol": "ACME",
            "quantity": D(1000),
            "price": D("12.5"),
            "fee": D(1),
            "currency": "USD",
            "note": "first",
        },
        {
            "kind": "sell",
            "time": datetime(2026, 11, 20, 14, 30, tzinfo=UTC),
            "symbol": "ACME",
            "quantity": D(2),
            "price": D("13.25"),
            "currency": "USD",
        },
    ]


def test_every_kind_has_its_columns() -> None:
    parsed = parsed_text(
        "row,time,kind,symbol,quantity,price,amount,currency,to_currency,to_amount,numerator,denominator,other_symbol,"
        "option_right,cost_share,cost,opened,lots,reverses,pay date,tax,isin\n"
        "1,2026-01-02,deposit,,,,100000,EUR,,,,,,,,,,,,,,\n"
        "2,2026-01-02,convert,,,,50000,EUR,USD,55000,,,,,,,,,,,,\n"
        "3,2026-01-03,buy,ACME,100,10,,USD,,,,,,,,,,,,,,us0378331005\n"
        "4,2026-01-04,buy,ACME,100,11,,USD,,,,,,,,,,,,,,\n"
        "5,2026-01-05,sell,ACME,50,12,,USD,,,,,,,,,,4:30;3:20,,,,\n"
        "6,2026-01-06,dividend,ACME,,,15,USD,,,,,,,,,,,,2026-02-06,2.25,\n"
        "7,2026-01-07,split,ACME,,,,USD,,,2,1,,,,,,,,,,\n"
        "8,2026-01-08,spin off,ACME,,,,USD,,,1,10,BABY,,0.1,,,,,,,\n"
        "9,2026-01-09,transfer_in,OLD,5,20,,USD,,,,,,,,80,2020-05-06,,,,,\n"
        "10,2026-01-10,exercise,ACMEC,1,15,,USD,,,100,1,ACME,C,,,,,,,,\n"
        "11,2026-01-11,fee,,,,3,EUR,,,,,,,,,,,,,,\n"
        "12,2026-01-12,reversal,,,,,,,,,,,,,,,,11,,,\n"
    )
    assert messages(parsed) == []
    drafts = {draft.row: draft for draft in parsed.drafts}
    assert drafts[3].isin == "US0378331005"
    assert drafts[5].lots == ((4, D(30)), (3, D(20)))
    assert (drafts[6].pay_day, drafts[6].tax) == (date(2026, 2, 6), D("2.25"))
    assert drafts[9].opened == datetime(2020, 5, 6, tzinfo=UTC)
    assert (drafts[10].option_right, drafts[10].numerator) == ("call", 100)
    assert drafts[12].reverses == 11


def test_its_numbers_are_checked_as_the_ledger_would() -> None:
    parsed = parsed_text(
        "time,kind,symbol,quantity,price,amount,fee,currency\n"
        "2026-11-20,buy,ACME,-5,12.5,,,USD\n"
        "2026-11-20,buy,ACME,5,,,,USD\n"
        "2026-11-20,buy,ACME,5,0,,,USD\n"
        "2026-11-20,deposit,,,,0,,USD\n"
        "2026-11-20,dividend,ACME,,,-3,,USD\n"
        ",buy,ACME,5,1,,,USD\n"
        "2026-11-20,buy,ACME,5,1,,-1,USD\n"
        "2026-11-20,buy,ACME,5,1,,,US Dollar\n"
        "2026-11-20,buy,ACME,5,450,,,GBp\n"
    )
    assert messages(parsed) == [
        (2, "quantity", "expected 0 or more, was -5"),
        (3, "price", "expected a price with a buy, was none"),
        (5, "amount", "expected an amount with a deposit, was none"),
        (7, "time", "expected a date, was none"),
        (8, "fee", "expected 0 or more, was -1"),
        (9, "currency", "expected a currency like USD, was 'US Dollar'"),
        (10, "currency", "expected the currency GBP, was 'GBp': state amounts in GBP"),
    ]
    assert [draft.line for draft in parsed.drafts] == [4, 6]
    assert booked(parsed.drafts) == {"ACME": 5, "USD": -3}


@pytest.mark.parametrize(
    ("header", "row", "problems"),
    [
        ("time,kind,symbol,quantitty,price", "2026-11-20,buy,A,1,1",
            [(1, "quantitty", "expected a column that we know, was 'quantitty'; did you mean quantity?")]),
        ("time,kind,symbol,symbol,price", "2026-11-20,buy,A,1,1",
            [(1, "symbol", "expected one column for symbol, was 'symbol' and 'symbol'")]),
        ("time,kind,symbol,ticker,price", "2026-11-20,buy,A,1,1",
            [(1, "ticker", "expected one column for symbol, was 'symbol' and 'ticker'")]),
        ("time,kind,symbol,price", "2026-11-20,buy,A,1",
            [(2, "quantity", "expected a quantity with a buy, was none")]),
        ("time,kind,symbol", "2026-11-20,byu,A",
            [(2, "kind", "expected a kind of row, was 'byu'; did you mean buy?")]),
        ("time,kind,symbol,quantity,price,lots", "2026-11-20,sell,A,1,1,all",
            [(2, "lots", "expected lots like 12:100;15:2.5, was 'all'")]),
        ("time,kind,symbol,numerator,denominator", "2026-11-20,split,A,2.5,1",
            [(2, "numerator", "expected a whole number, was '2.5'")]),
        ("time,kind,symbol,quantity,other_symbol,option_right", "2026-11-20,assign,A,1,B,maybe",
            [(2, "option_right", "expected call or put, was 'maybe'")]),
        ("time,kind,symbol,quantity,price", f"2026-11-20,buy,{'A' * 65},1,1",
            [(2, "symbol", "expected at most 64 characters, was a text of 65")]),
    ],
)  # fmt: skip
def test_columns_and_cells_that_cannot_be_are_told(
    header: str, row: str, problems: list[tuple[int, str, str]]
) -> None:
    parsed = parsed_text(f"{header}\n{row}\n")
    assert (messages(parsed), parsed.drafts) == (problems, [])


def test_an_unknown_column_without_a_neighbour_is_told_what_there_is() -> None:
    ((line, column, message),) = messages(parsed_text("time,kind,xyzzy\n2026-11-20,buy,1\n"))
    assert (line, column) == (1, "xyzzy")
    assert message == f"expected a column that we know, was 'xyzzy': there are {', '.join(COLUMNS)}"


def test_an_export_that_a_spreadsheet_has_saved_anew_is_no_export_any_more() -> None:
    """Its numbers may have changed: "1.234" is proven by its column, chosen, or refused."""
    cells = ["" for _ in COLUMNS]
    for name, text in {
        "time": "2026-11-20",
        "kind": "buy",
        "symbol": "A",
        "quantity": "1.234",
        "price": "5",
    }.items():
        cells[COLUMNS.index(name)] = text
    ours = ",".join(COLUMNS) + "\n" + ",".join(cells) + "\n"
    assert parsed_text(ours).drafts[0].quantity == D("1.234")
    ((_, column, message),) = messages(parsed_text(ours.replace(",", ";")))
    assert column == "quantity" and message.startswith(
        "expected a decimal separator that is certain, was '1.234'"
    )
