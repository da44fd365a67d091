from dataclasses import replace
from decimal import Decimal

import pytest

from portfolio.ledger import KINDS, LedgerError, check, in_order, replay, without_reversed
from tests.portfolio.builders import days_ago, make_row
from tests.portfolio.tables import D, table

EXERCISE = "exercise CALL multiplier=100 quantity=1 price=90 other_symbol=ACME option_right=call"


@pytest.mark.parametrize(
    "row",
    [
        "buy ACME quantity=1 price=0 fee=1 tax=1",
        "sell ACME quantity=1 price=1 fee=1 tax=1 lots=1:0.5",
        "deposit amount=1 fee=1",
        "withdrawal amount=1 fee=1",
        "transfer_in ACME quantity=1 price=1 cost=1 base_cost=1 opened=2020-01-01 fee=1",
        "transfer_out ACME quantity=1 price=1 fee=1",
        "convert amount=1 to_currency=EUR to_amount=1 fee=1",
        "dividend ACME amount=-1 tax=1 fee=1 pay_time=2026-12-01",
        "interest ACME amount=-1 tax=1",
        "interest amount=1",
        "fee ACME amount=1",
        "tax amount=1",
        "split ACME numerator=1 denominator=8",
        "bonus ACME numerator=1 denominator=8",
        "cash_in_lieu ACME quantity=0.5 amount=1",
        "return_of_capital ACME amount=1",
        "spinoff ACME numerator=1 denominator=8 cost_share=0.2 other_symbol=B other_multiplier=0.01",
        "merger ACME numerator=1 denominator=8 cost_share=0.2 amount=1 other_symbol=B",
        "merger ACME amount=1",
        "symbol_change ACME other_symbol=B",
        "expire CALL multiplier=100 quantity=1",
        EXERCISE,
        EXERCISE.replace("exercise", "assign"),
        "reversal reverses=1",
    ],
)
def test_every_kind_may_have_its_own_numbers(row: str) -> None:
    check(table("2026-11-19 " + row)[0])


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        ("buy ACME quantity=0 price=1", "quantity", "expected more than 0, was 0"),
        ("sell ACME quantity=-1 price=1", "quantity", "expected more than 0, was -1"),
        ("buy ACME quantity=1 price=-1", "price", "expected 0 or more, was -1"),
        ("buy ACME quantity=1 price=1 fee=-1", "fee", "expected 0 or more, was -1"),
        ("buy ACME quantity=NaN price=1", "quantity", "expected a finite number, was NaN"),
        ("buy ACME quantity=1 price=Infinity", "price", "expected a finite number, was Infinity"),
        ("buy ACME quantity=1 price=1 amount=5", "amount", "expected none with a buy, was 5"),
        ("buy ACME quantity=1 price=1 rate=0", "rate", "expected more than 0, was 0"),
        ("buy ACME quantity=1 price=1 base_value=-3", "base_value", "expected 0 or more, was -3"),
        ("buy ACME quantity=1 price=1 other_symbol=B", "other_symbol", "expected none with a buy, was B"),
        ("deposit amount=0", "amount", "expected more than 0, was 0"),
        ("withdrawal amount=-5", "amount", "expected more than 0, was -5"),
        ("deposit ACME amount=1", "symbol", "expected no asset with a deposit"),
        ("convert amount=1 to_currency=EUR", "to_amount", "expected more than 0, was 0"),
        ("convert amount=1 to_amount=1", "to_currency", "expected a currency other than USD, was None"),
        (
            "convert amount=1 to_currency=USD to_amount=1",
            "to_currency",
            "expected a currency other than USD, was USD",
        ),
        ("dividend ACME amount=0", "amount", "expected a number other than 0, was 0"),
        (
            "dividend ACME amount=1 pay_time=2026-11-18",
            "pay_time",
            "expected a day of payment from 2026-11-19 on, was 2026-11-18",
        ),
        ("dividend ACME amount=1 tax=-1", "tax", "expected 0 or more, was -1"),
        ("fee amount=-1", "amount", "expected more than 0, was -1"),
        ("fee amount=1 tax=1", "tax", "expected none with a fee, was 1"),
        ("split ACME numerator=2", "denominator", "expected more than 0, was 0"),
        ("split ACME numerator=-2 denominator=1", "numerator", "expected more than 0, was -2"),
        ("cash_in_lieu ACME quantity=0 amount=1", "quantity", "expected more than 0, was 0"),
        (
            "cash_in_lieu ACME quantity=1 amount=1 price=1",
            "amount",
            "expected a price or an amount, was both",
        ),
        ("return_of_capital ACME amount=0", "amount", "expected more than 0, was 0"),
        (
            "spinoff ACME numerator=1 denominator=1 cost_share=1.5 other_symbol=B",
            "cost_share",
            "expected 0 to 1, was 1.5",
        ),
        (
            "spinoff ACME numerator=1 denominator=1 other_symbol=ACME",
            "other_symbol",
            "expected an asset other than ACME, was ACME",
        ),
        (
            "spinoff ACME numerator=1 denominator=1 other_symbol=B other_currency=CAD",
            "settlement_rate",
            "expected the rate of CAD for one USD",
        ),
        (
            "merger ACME numerator=1 denominator=1 cost_share=1",
            "other_symbol",
            "expected an asset other than ACME, was None",
        ),
        ("merger ACME numerator=1 other_symbol=B cost_share=1", "denominator", "expected more than 0, was 0"),
        (
            "merger ACME numerator=1 denominator=1 other_symbol=B",
            "cost_share",
            "expected 1 without a cash part, was 0",
        ),
        ("merger ACME amount=1 cost_share=0.5", "cost_share", "expected 0 for cash alone, was 0.5"),
        ("symbol_change ACME other_symbol=B denominator=2", "numerator", "expected more than 0, was 0"),
        (EXERCISE.replace(" option_right=call", ""), "option_right", "expected call or put, was None"),
        (EXERCISE + " other_currency=EUR", "other_currency", "expected USD, was EUR"),
        ("reversal", "reverses", "expected the row to take back"),
        (
            "buy ACME quantity=1 price=1 settlement_currency=EUR",
            "settlement_rate",
            "expected the rate of EUR for one USD",
        ),
        ("buy ACME quantity=1 price=1 fee=1 fee_currency=EUR", "fee_rate", "expected the rate of EUR"),
    ],
)
def test_numbers_that_no_transaction_can_have_are_refused(row: str, field: str, message: str) -> None:
    with pytest.raises(LedgerError) as caught:
        check(table("2026-11-19 " + row)[0])
    assert (caught.value.field, str(caught.value)) == (field, message)


def test_a_row_is_about_an_asset_as_its_kind_demands() -> None:
    for kind in set(KINDS) - {"deposit", "withdrawal", "convert", "interest", "fee", "tax", "reversal"}:
        with pytest.raises(LedgerError, match=f"expected an asset with a {kind}") as caught:
            check(make_row(kind, symbol=None))
        assert caught.value.field == "symbol"


def test_a_kind_and_a_time_that_nobody_knows_are_refused() -> None:
    row = make_row("deposit", amount="1")
    with pytest.raises(LedgerError, match=r"expected one of buy, sell, .*, was gift"):
        check(replace(row, kind="gift"))  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="expected a time with its zone"):
        check(replace(row, time=row.time.replace(tzinfo=None)))


def test_rows_are_in_order_of_time_then_of_the_user_then_of_entry() -> None:
    rows = [
        make_row("deposit", days_ago(1), amount="3", order=(1, 1)),
        make_row("deposit", days_ago(1), amount="2", order=(0, 9)),
        make_row("deposit", days_ago(2), amount="1", order=(5, 5)),
    ]
    assert [row.amount for row in in_order(rows)] == [1, 2, 3]


def test_a_row_names_itself() -> None:
    rows = table("2026-11-19 14:30 sell ACME quantity=2 price=1 \n 2026-11-19 tax amount=7")
    assert [str(row) for row in rows] == [
        "row 1: sell 2 ACME on 2026-11-19 14:30:00Z",
        "row 2: tax 7 on 2026-11-19 00:00:00Z",
    ]
    assert str(replace(rows[0], id=None)).startswith("new row: sell 2 ACME")


# --- reversals ----------------------------------------------------------------------------------------------


def test_a_reversal_and_its_row_are_left_out_whenever_they_were_made() -> None:
    rows = table(
        """
        2026-01-05 buy      ACME quantity=1 price=1
        2026-01-06 buy      ACME quantity=2 price=1
        2026-11-19 reversal      reverses=1
        """
    )
    assert [row.id for row in without_reversed(rows)] == [2]
    books = replay(rows, until=rows[1].time)
    assert (books.accounts["ACME"].quantity, books.last_row) == (D(2), 3)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("reversal reverses=9", "expected a row to take back, was row 9, which does not exist"),
        ("reversal reverses=1", "expected a row to take back, was row 1, which is reversed already"),
        ("reversal reverses=2", "expected a row to take back, was row 2, a reversal itself"),
        ("reversal", "expected a row to take back, was row None, which does not exist"),
    ],
)
def test_a_reversal_needs_a_row_that_still_counts(row: str, why: str) -> None:
    rows = table("2026-01-05 deposit amount=1 \n 2026-01-06 reversal reverses=1 \n 2026-01-07 " + row)
    with pytest.raises(LedgerError) as caught:
        replay(rows)
    assert (str(caught.value), caught.value.field) == (why, "reverses")
    assert caught.value.row.id == 3


def test_numbers_may_be_given_in_any_scale() -> None:
    row = make_row("buy", quantity="1E+2", price="1.50")
    assert (str(row), row.value) == ("new row: buy 100 ACME on 2026-11-19 16:00:00Z", Decimal(150))
