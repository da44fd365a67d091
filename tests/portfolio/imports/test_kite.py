from datetime import UTC, date, datetime
from decimal import Decimal

from portfolio.imports.kite import HEADER
from tests.portfolio.imports.builders import booked, messages, parsed_file, parsed_text, said

D = Decimal
COLUMNS = ",".join(HEADER)


def test_fills_are_read_at_the_times_of_india() -> None:
    parsed = parsed_file("kite.csv")
    assert messages(parsed) == []
    assert said(parsed.drafts[0]) == {
        "kind": "buy",
        "time": datetime(2026, 6, 9, 4, 52, 33, tzinfo=UTC),
        "symbol": "ACMEIND",
        "isin": "INE000A01011",
        "exchange": "NSE",
        "currency": "INR",
        "quantity": D(450),
        "price": D("67.5"),
        "trade_id": "kite:NSE:EQ:2026-06-09:603052659",
    }
    assert booked(parsed.drafts) == {"ACMEIND": 300, "NIFTY26JUN24000CE": 75, "INR": D("-28151.25")}


def test_a_trades_number_is_its_days_and_its_exchanges_only() -> None:
    first, _, third, _ = parsed_file("kite.csv").drafts
    assert first.trade_id.endswith(":603052659") and third.trade_id.endswith(":603052659")
    assert first.trade_id != third.trade_id


def test_futures_are_left_out_and_named() -> None:
    assert [tuple(each) for each in parsed_file("kite.csv").left_out] == [
        (6, "symbol", "a future cannot be booked, was 'NIFTY26JUNFUT'")
    ]


def test_a_trade_without_a_time_has_its_day() -> None:
    parsed = parsed_text(f"{COLUMNS}\nACME,2026-06-09,NSE,EQ,BUY,1,2.5,17\n")
    assert (parsed.drafts[0].day, parsed.drafts[0].kind) == (date(2026, 6, 9), "buy")


def test_what_no_fill_can_be_is_told() -> None:
    parsed = parsed_text(
        f"{COLUMNS}\n"
        "ACME,2026-06-09,NSE,EQ,short,1,2.5,17\n"
        "ACME,09-06-2026,NSE,EQ,buy,1,2.5,17\n"
        "ACME,2026-06-09,NSE,EQ,buy,,x,17\n"
        ",2026-06-09,NSE,EQ,buy,1,2.5,17\n"
    )
    assert messages(parsed) == [
        (2, "trade_type", "expected buy or sell, was 'short'"),
        (3, "trade_date", "expected a date like 2026-11-20, was '09-06-2026'; choose the date format dmy or mdy"),
        (4, "price", "expected a number like 1234.56, was 'x'"),
        (5, "symbol", "expected a symbol with a buy, was none"),
    ]  # fmt: skip
    assert parsed_text(f"{COLUMNS}\nACME,09-06-2026,NSE,EQ,buy,1,2.5,17\n", dates="dmy").problems == []
