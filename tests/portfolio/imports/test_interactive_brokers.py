from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests.portfolio.imports.builders import FILES, booked, messages, parsed_file, parsed_text, said

D = Decimal
STATEMENT = "Statement,Header,Field Name,Field Value\nStatement,Data,Title,Activity Statement\n"
TRADES = (
    "Trades,Header,DataDiscriminator,Asset Category,Currency,Symbol,Date/Time,Quantity,T. Price,C. Price,Proceeds,"
    "Comm/Fee,Basis,Realized P/L,MTM P/L,Code\n"
)
DIVIDENDS = "Dividends,Header,Currency,Date,Description,Amount\n"
WITHHOLDING = "Withholding Tax,Header,Currency,Date,Description,Amount,Code\n"
FLEX = '"CurrencyPrimary","AssetClass","Symbol","ISIN","TradeDate","Quantity","TradePrice","Buy/Sell","TradeID"\n'


def test_a_statements_trades_are_read_with_what_it_says_elsewhere_of_the_asset() -> None:
    parsed = parsed_file("interactive_brokers.csv")
    assert messages(parsed) == []
    assert said(parsed.drafts[0]) == {
        "kind": "buy",
        "time": datetime(2026, 1, 12, 15, 30, tzinfo=UTC),
        "symbol": "ACME",
        "isin": "US0378331005",
        "name": "ACME INC",
        "exchange": "NASDAQ",
        "currency": "USD",
        "multiplier": D(1),
        "quantity": D(1200),
        "price": D("19.05"),
        "fee": D(6),
    }


def test_every_row_of_a_statement_can_be_booked_and_adds_up() -> None:
    parsed = parsed_file("interactive_brokers.csv")
    held = booked(parsed.drafts)
    assert (held["ACME"], held["VUSA"], held["US-T 2 1/2 05/15/30"]) == (4000, 10, 10000)
    assert held["ACME 20MAR26 25 C"] == 0
    # As the statement's sections sum up: trades, commissions, conversions, dividends, tax, fees, interest.
    trades = -D(22860) - 6 + 5100 - D("1.0255") + 270 - D("1.3") - 9850 - 5 + D("23960.2") - 550
    assert held["USD"] == trades + 288 - 42 + 120 + D("1.13") - D("4.1") + D("1.12")
    assert held["EUR"] == 25000 - 400 - 22000 + 500 - D("3.4") - D("0.73")
    assert held["GBP"] == -608


def test_the_multiplier_is_what_makes_the_proceeds() -> None:
    drafts = {draft.symbol: draft.multiplier for draft in parsed_file("interactive_brokers.csv").drafts[:6]}
    assert drafts == {
        "ACME": 1,
        "VUSA": 1,
        "ACME 20MAR26 25 C": None,
        "US-T 2 1/2 05/15/30": D("0.01"),
    }


def test_a_dividend_takes_the_tax_that_was_withheld_on_it_in_the_end() -> None:
    dividends = [draft for draft in parsed_file("interactive_brokers.csv").drafts if draft.kind == "dividend"]
    assert [(draft.symbol, draft.amount, draft.tax, draft.day) for draft in dividends] == [
        ("ACME", 288, 42, date(2026, 3, 16)),
        ("NVX", 50, 0, date(2026, 4, 1)),
        ("NVX", -50, 0, date(2026, 4, 2)),
    ]


def test_what_no_row_can_say_is_left_out_and_named() -> None:
    assert [tuple(each) for each in parsed_file("interactive_brokers.csv").left_out] == [
        (18, "Asset Category", "futures cannot be booked, was 'ESM6'"),
        (
            50,
            "Description",
            "a corporate action: enter it by hand, was 'NVX(US6701002056) Merged(Acquisition) W…'",
        ),
    ]
    transfers = "Transfers,Header,Asset Category,Currency,Symbol,Date,Type,Direction,Qty\n"
    parsed = parsed_text(STATEMENT + transfers + "Transfers,Data,Stocks,USD,ACME,2026-09-01,ACATS,In,24\n")
    assert [tuple(each) for each in parsed.left_out] == [(4, "", "a row of transfers: enter it by hand")]


def test_a_tax_without_its_dividend_and_a_refund_are_rows_of_their_own() -> None:
    parsed = parsed_text(
        STATEMENT
        + DIVIDENDS
        + "Dividends,Data,USD,2026-01-05,AAA(US0000000001) Cash Dividend USD 1.00 per Share (Ordinary Dividend),10\n"
        + WITHHOLDING
        + "Withholding Tax,Data,USD,2026-01-05,AAA(US0000000001) Cash Dividend USD 1.00 per Share - US Tax,2,\n"
        + "Withholding Tax,Data,USD,2026-02-05,BBB(US0000000002) Cash Dividend USD 1.00 per Share - US Tax,-3,\n"
        + "Withholding Tax,Data,USD,2026-02-06,AAPL Dividend 3.05 USD per Share - US Tax,-4,\n"
    )
    assert [(draft.kind, draft.symbol, draft.amount, draft.tax) for draft in parsed.drafts] == [
        ("dividend", "AAA", 10, 0),
        ("interest", "AAA", 2, 0),
        ("tax", "BBB", 3, 0),
        ("tax", "AAPL", 4, 0),
    ]


def test_single_trades_are_read_only_where_there_are_no_orders() -> None:
    order = 'Trades,Data,Order,Stocks,USD,ACME,"2026-01-12, 10:30:00",10,2,2,-20,-1,21,0,0,O\n'
    trades = order.replace("Order", "Trade").replace(",10,2,2,-20,-1,", ",5,2,2,-10,-0.5,") * 2
    assert [draft.quantity for draft in parsed_text(STATEMENT + TRADES + order + trades).drafts] == [10]
    assert [draft.quantity for draft in parsed_text(STATEMENT + TRADES + trades).drafts] == [5, 5]


def test_a_rebate_is_income_and_a_purchases_tax_its_cost() -> None:
    parsed = parsed_file("interactive_brokers_flex.csv")
    assert messages(parsed) == []
    option = [draft for draft in parsed.drafts if draft.line == 8]
    assert [(draft.kind, draft.fee, draft.amount) for draft in option] == [
        ("sell", 0, 0),
        ("interest", 0, D("0.25")),
    ]
    assert next(draft.fee for draft in parsed.drafts if draft.symbol == "VOD") == D("3.38")


def test_a_flex_file_is_read_section_by_section() -> None:
    parsed = parsed_file("interactive_brokers_flex.csv")
    assert [(draft.kind, draft.symbol, draft.trade_id) for draft in parsed.drafts] == [
        ("buy", "ACME", "interactive_brokers:111111"),
        ("buy", "VOD", "interactive_brokers:111112"),
        ("sell", "ACME  260320C00025000", "interactive_brokers:111113"),
        ("interest", "ACME  260320C00025000", "interactive_brokers:111113"),
        ("convert", "", "interactive_brokers:111114"),
        ("dividend", "ACME", "interactive_brokers:9001"),
        ("deposit", "", "interactive_brokers:9003"),
    ]
    assert parsed.drafts[5].tax == 42
    held = booked(parsed.drafts)
    assert (held["ACME"], held["VOD"], held["ACME  260320C00025000"]) == (1200, 100, -2)
    assert held["USD"] == D("23960.2") - 22860 - 6 + 270 + D("0.25") + 288 - 42
    assert (held["GBP"], held["EUR"]) == (D("-78.38"), 25000 - 22000 - D("1.7"))


def test_a_flex_file_may_say_header_and_data_before_each_row() -> None:
    plain = (FILES / "interactive_brokers_flex.csv").read_text()
    lines = []
    for line in plain.splitlines():
        if not line.startswith('"BO') and not line.startswith('"EO'):
            line = f'"{"HEADER" if "CurrencyPrimary" in line else "DATA"}","TRNT",{line}'
        lines.append(line)
    assert list(map(said, parsed_text("\n".join(lines)).drafts)) == list(map(said, parsed_text(plain).drafts))


def test_a_flex_files_side_wins_over_its_sign() -> None:
    parsed = parsed_text(
        FLEX
        + '"USD","STK","A","","20260105","5","10","SELL","1"\n'
        + '"USD","STK","A","","20260105","-5","10","BUY","2"\n'
        + '"USD","STK","A","","20260105","-5","10","","3"\n'
        + '"USD","STK","A","","20260105","5","10","SELL (Ca.)","4"\n'
        + '"USD","FUT","ESM6","","20260105","5","10","BUY","5"\n'
        + '"USD","BOND","US-T","","20260105","1000","98.5","BUY","6"\n'
    )
    assert [(draft.kind, draft.quantity) for draft in parsed.drafts] == [
        ("sell", 5),
        ("buy", 5),
        ("sell", 5),
        ("buy", 1000),
    ]
    assert parsed.drafts[3].multiplier == D("0.01")
    assert messages(parsed) == [
        (5, "Buy/Sell", "expected BUY or SELL, was 'SELL (Ca.)': export without cancelled trades")
    ]
    assert [tuple(each) for each in parsed.left_out] == [
        (6, "AssetClass", "FUT cannot be booked, was 'ESM6'")
    ]


def test_a_reverse_split_of_two_rows_is_one() -> None:
    header = (
        "Corporate Actions,Header,Asset Category,Currency,Report Date,Date/Time,Description,Quantity,Proceeds,Value,"
        "Realized P/L,Code\n"
    )
    row = (
        'Corporate Actions,Data,Stocks,USD,2026-03-03,"2026-03-02, 20:25:00",'
        '"GRTS(US40638K1016) Split 1 for 10 (GRTS, GRITSTONE INC, US40638K1016)",{},0,0,0,\n'
    )
    parsed = parsed_text(STATEMENT + header + row.format(-90) + row.format(9))
    assert [said(draft) | {"note": ""} for draft in parsed.drafts] == [
        {
            "kind": "split",
            "day": date(2026, 3, 3),
            "symbol": "GRTS",
            "isin": "US40638K1016",
            "currency": "USD",
            "numerator": 1,
            "denominator": 10,
            "note": "",
        }
    ]


def test_a_statement_in_another_language_is_told() -> None:
    parsed = parsed_text("Statement,Header,Champ,Valeur\nDividendes,Header,Devise,Date,Description,Montant\n")
    assert messages(parsed) == [
        (1, "", "expected an English statement with a section like Trades, was 'statement', 'dividendes'")
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('Trades,Data,Order,Stocks,USD,ACME,"12.01.2026, 10:30",10,2,2,-20,-1,21,0,0,O',
            (4, "Date/Time",
                "expected a date like 2026-11-20, was '12.01.2026, 10:30'; choose the date format dmy or mdy")),
        ('Trades,Data,Order,Stocks,USD,ACME,"2026-01-12, 10:30:00",0,2,2,-20,-1,21,0,0,O',
            (4, "Quantity", "expected a quantity and a price, was none")),
        ('Trades,Data,Order,Stocks,EURO$,ACME,"2026-01-12, 10:30:00",1,2,2,-20,-1,21,0,0,O',
            (4, "Currency", "expected a currency like USD, was 'EURO$'")),
        ('Trades,Data,Order,Stocks,USD,,"2026-01-12, 10:30:00",1,2,2,-20,-1,21,0,0,O',
            (4, "Symbol", "expected a symbol with a buy, was none")),
    ],
)  # fmt: skip
def test_what_no_trade_can_be_is_told_at_its_cell(row: str, problem: tuple[int, str, str]) -> None:
    assert messages(parsed_text(f"{STATEMENT}{TRADES}{row}\n")) == [problem]


def test_times_are_of_new_york_unless_another_zone_is_chosen() -> None:
    row = 'Trades,Data,Order,Stocks,USD,ACME,"2026-07-12, 10:30:00",10,2,2,-20,-1,21,0,0,O\n'
    assert parsed_text(STATEMENT + TRADES + row).drafts[0].time == datetime(2026, 7, 12, 14, 30, tzinfo=UTC)
    elsewhere = parsed_text(STATEMENT + TRADES + row, time_zone="Europe/Berlin")
    assert elsewhere.drafts[0].time == datetime(2026, 7, 12, 8, 30, tzinfo=UTC)
