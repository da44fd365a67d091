from datetime import UTC, datetime
from decimal import Decimal

from portfolio.imports.coinbase import FEES, TOTAL
from tests.portfolio.imports.builders import booked, messages, parsed_file, parsed_text, said

D = Decimal
COLUMNS = (
    "ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,"
    f"Subtotal,{TOTAL},{FEES},Notes\n"
)


def test_what_was_paid_is_the_subtotal_and_the_fee() -> None:
    parsed = parsed_file("coinbase.csv")
    assert messages(parsed) == []
    buy = next(draft for draft in parsed.drafts if draft.trade_id == "coinbase:c-3")
    assert said(buy) == {
        "kind": "buy",
        "time": datetime(2026, 1, 25, 6, 45, 27, tzinfo=UTC),
        "symbol": "BTC",
        "currency": "EUR",
        "multiplier": D(1),
        "quantity": D("0.00466779"),
        "price": D("40063.927468887846282716"),
        "fee": D("2.99"),
        "trade_id": "coinbase:c-3",
        "note": "Bought 0.00466779 BTC for 190 EUR",
    }
    assert abs(buy.quantity * buy.price - D("187.01")) < D("1E-18")


def test_all_of_a_history_is_booked_to_the_cent() -> None:
    parsed = parsed_file("coinbase.csv")
    held = booked(reversed(parsed.drafts))
    assert held["BTC"] == D("0.00466779") - D("0.001") - D("0.00363125")
    assert held["ETH"] == D("0.00000001") + D("0.000037835729") - D("0.000000007")
    assert (held["XRP"], held["ZETA"]) == (D("156.145683"), D("2.8530670470756063"))
    # Neither a conversion nor a reward moves cash.
    assert abs(held["EUR"] - (D(1000) - 190 + D("93.01"))) < D("1E-15")


def test_a_conversion_is_a_sale_and_a_purchase_with_the_spread_as_its_fee() -> None:
    drafts = [draft for draft in parsed_file("coinbase.csv").drafts if draft.trade_id == "coinbase:c-5"]
    assert [(draft.kind, draft.symbol, draft.quantity, draft.fee) for draft in drafts] == [
        ("sell", "BTC", D("0.00363125"), 0),
        ("buy", "XRP", D("156.145683"), D("12.73624")),
    ]


def test_a_conversion_in_two_rows_is_booked_once() -> None:
    note = "Converted 0.5 BTC to 10 ETH"
    parsed = parsed_text(
        COLUMNS
        + f"a,2026-01-02 10:00:00 UTC,Convert,BTC,-0.5,EUR,€40000,-€20000,-€20000,€0,{note}\n"
        + f"b,2026-01-02 10:00:00 UTC,Convert,ETH,10,EUR,€2000,€20000,€20000,€0,{note}\n"
    )
    assert [(draft.kind, draft.symbol, draft.quantity, draft.price) for draft in parsed.drafts] == [
        ("sell", "BTC", D("0.5"), 40000),
        ("buy", "ETH", 10, 2000),
    ]


def test_a_reward_is_income_and_what_was_bought_for_it() -> None:
    drafts = [draft for draft in parsed_file("coinbase.csv").drafts if draft.trade_id == "coinbase:c-7"]
    assert [(draft.kind, draft.amount, draft.quantity) for draft in drafts] == [
        ("dividend", D("0.12649"), 0),
        ("buy", 0, D("0.000037835729")),
    ]


def test_the_older_form_has_spot_prices_and_no_id() -> None:
    parsed = parsed_file("coinbase_2021.csv")
    assert messages(parsed) == []
    assert [(draft.kind, draft.currency, draft.trade_id) for draft in parsed.drafts] == [
        ("buy", "USD", ""),
        ("transfer_in", "USD", ""),
    ]
    assert parsed.drafts[0].price == D("24814.6")


def test_money_moves_in_its_own_currency() -> None:
    parsed = parsed_text(
        COLUMNS
        + "a,2026-01-02 10:00:00 UTC,Withdrawal,GBP,-25,EUR,€1.15,-€28.75,-€28.75,€0.15,\n"
        + "b,2026-01-02 10:00:00 UTC,Rewards Income,USD,1.5,EUR,€0.9,€1.35,€1.35,€0,\n"
    )
    assert [(draft.kind, draft.amount, draft.currency) for draft in parsed.drafts] == [
        ("withdrawal", 25, "GBP"),
        ("interest", D("1.5"), "USD"),
    ]


def test_what_is_unknown_is_told_and_internal_moves_are_left_out() -> None:
    parsed = parsed_text(
        COLUMNS
        + "a,2026-01-02 10:00:00 UTC,Perpetual Futures Buy,BTC-PERP,1,USD,1,1,1,0,\n"
        + "b,2026-01-02 10:00:00 UTC,Buy,EUR,1,USD,1,1,1,0,\n"
        + "c,2026-01-02 10:00:00 UTC,Buy,BTC,0,USD,1,1,1,0,\n"
        + "d,2026-01-02 10:00:00 UTC,Convert,BTC,1,USD,1,1,1,0,swapped\n"
        + "e,2026-01-02 10:00:00 UTC,Convert,BTC,1,USD,1,1,1,0,Converted 1 BTC to 0 ETH\n"
    )
    assert messages(parsed) == [
        (2, "Transaction Type",
            "expected a type of transaction that we know, was 'perpetual futures buy': enter it by hand"),
        (3, "Transaction Type", "expected money paid in or out, was 'buy' of EUR: enter it by hand"),
        (4, "Quantity Transacted", "expected a quantity other than 0, was 0"),
        (5, "Notes", "expected a note like 'Converted 1 BTC to 20 ETH', was 'swapped'"),
        (6, "Notes", "expected quantities above 0, was 'Converted 1 BTC to 0 ETH'"),
    ]  # fmt: skip
    assert [tuple(each) for each in parsed_file("coinbase.csv").left_out] == [
        (7, "Transaction Type", "moves coins inside Coinbase: nothing is bought or sold")
    ]
