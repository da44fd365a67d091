from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.ledger import EXACT, Books, LedgerError, Oversold, Row, replay
from tests.portfolio.builders import NOW, days_ago, make_row
from tests.portfolio.tables import expect, moment, table

D = Decimal


def account(books: Books) -> tuple[Decimal, Decimal, Decimal]:
    acme = books.accounts["ACME"]
    return acme.quantity, acme.cost, acme.realized


def test_fees_are_part_of_a_lots_cost() -> None:
    books = replay(
        [
            make_row("deposit", days_ago(600), amount="20000"),
            make_row("buy", days_ago(500), quantity="100", price="120.00", fee="5.00"),
            make_row("buy", quantity="40", price="152.50", fee="1.00"),
        ]
    )
    assert [lot.cost for lot in books.accounts["ACME"].lots] == [D("12005.00"), D("6101.00")]
    assert books.cash["USD"].balance == D("20000") - D("12005") - D("6101")
    assert books.flows_base == 20000


def pence_rows() -> list[Row]:
    """Golden case 2 in its own currency: lots of 2019 and 2022, quoted in pence, partly sold today."""
    pence: dict[str, Any] = {"currency": "GBP", "multiplier": "0.01"}
    return [
        make_row("deposit", days_ago(2800), amount="3000.00", currency="GBP"),
        make_row("buy", days_ago(2700), quantity="200", price="450", fee="6.00", **pence),
        make_row("buy", days_ago(1500), quantity="300", price="620", fee="5.95", **pence),
        make_row("sell", quantity="300", price="705", fee="8.00", **pence),
    ]


def test_a_sale_closes_the_oldest_lots_first_and_shares_its_fee_by_quantity() -> None:
    books = replay(pence_rows())
    assert account(books) == (D(200), D("1243.966666666666666667"), D("579.016666666666666667"))
    assert books.cash["GBP"].balance == D("2335.05")


def test_a_short_is_a_lot_of_negative_quantity_and_cost() -> None:
    rows = [
        make_row("deposit", days_ago(20), amount="10000.00"),
        make_row("sell", days_ago(14), quantity="50", price="80.00", fee="2.50"),
        make_row("buy", quantity="30", price="82.00", fee="1.50"),
    ]
    books = replay(rows, short_sales=True)
    assert account(books) == (D(-20), D("-1599.00"), D("-63.00"))
    assert books.cash["USD"].balance == D("11536.00")


def test_a_sale_through_zero_closes_the_lots_and_opens_a_short() -> None:
    rows = [
        make_row("buy", days_ago(1), quantity="10", price="100"),
        make_row("sell", quantity="15", price="110", fee="3.00"),
    ]
    books = replay(rows, short_sales=True)
    # Two thirds of the fee close the long, the last third opens the short.
    assert account(books) == (D(-5), D("-549.00"), D("98.00"))


def test_a_sale_larger_than_the_holding_is_refused_and_named() -> None:
    rows = [make_row("buy", days_ago(1), quantity="10", price="1", id=1)]
    with pytest.raises(Oversold, match=r"at most 10 ACME held then; row 7: sell 11 ACME") as caught:
        replay([*rows, make_row("sell", quantity="11", price="1", id=7)])
    assert caught.value.row.id == 7
    assert caught.value.field == "quantity"


def test_a_back_dated_sale_that_starves_a_later_one_names_the_later_one() -> None:
    rows = [
        make_row("buy", days_ago(3), quantity="10", price="1", id=1),
        make_row("sell", days_ago(1), quantity="10", price="1", id=2),
        make_row("sell", days_ago(2), quantity="1", price="1", id=3),
    ]
    with pytest.raises(Oversold) as caught:
        replay(rows)
    assert caught.value.row.id == 2


def test_rows_of_one_moment_follow_their_row_order() -> None:
    buy = make_row("buy", quantity="1", price="1", order=(0, 2))
    sell = make_row("sell", quantity="1", price="1", order=(1, 1))
    assert replay([sell, buy]).accounts["ACME"].quantity == 0
    with pytest.raises(Oversold):
        replay([buy, replace(sell, order=(0, 1))])


def test_fees_of_cash_rows_belong_to_no_asset() -> None:
    books = replay([make_row("deposit", amount="100", fee="1"), make_row("withdrawal", amount="40", fee="2")])
    assert [books.cash["USD"].balance, books.flows_base, books.unlinked_fees_base] == [D(57), D(60), D(3)]


def test_cash_is_kept_by_currency() -> None:
    books = replay([make_row("deposit", amount="5"), make_row("deposit", amount="7", currency="EUR")])
    assert {currency: cash.balance for currency, cash in books.cash.items()} == {"USD": 5, "EUR": 7}


def test_a_reversal_that_takes_a_later_sales_shares_names_that_sale() -> None:
    rows = table(
        """
        2026-01-05 buy      ACME quantity=5 price=1
        2026-01-06 buy      ACME quantity=5 price=1
        2026-01-07 sell     ACME quantity=5 price=1
        2026-01-08 sell     ACME quantity=3 price=1
        2026-11-19 reversal      reverses=1
        """
    )
    with pytest.raises(
        Oversold, match="at most 0 ACME held then; row 4: sell 3 ACME on 2026-01-08"
    ) as caught:
        replay(rows)
    assert caught.value.row.id == 4


def test_what_is_later_than_until_is_left_out() -> None:
    rows = table("2026-01-05 deposit amount=1 \n 2026-01-06 deposit amount=2 \n 2026-01-07 deposit amount=4")
    books = replay(rows, until=moment("2026-01-06"))
    assert (books.cash["USD"].balance, books.last_row) == (3, 3)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("deposit currency=EUR rate=1.1 amount=1", "rate"),
        ("buy ACME currency=USD rate=0.9 quantity=1 price=1 fee=1 fee_currency=EUR fee_rate=0.5", "fee_rate"),
    ],
)
def test_the_portfolios_own_currency_is_worth_exactly_one(row: str, field: str) -> None:
    with pytest.raises(LedgerError, match="expected 1 for EUR itself, was") as caught:
        replay(table("2026-01-05 " + row), base="EUR")
    assert caught.value.field == field


def test_a_value_frozen_in_another_base_does_not_touch_the_portfolios_own_currency() -> None:
    rows = table("2026-01-05 deposit currency=EUR amount=10 base_value=11")
    expect(replay(rows, base="EUR"), "cash EUR balance=10 paid_base=10 \n books flows_base=10")
    expect(replay(rows, base="USD"), "cash EUR balance=10 paid_base=11 \n books flows_base=11")


def test_entries_tell_what_each_row_did() -> None:
    rows = table(
        """
        2026-01-05 buy        ACME currency=USD rate=0.9 quantity=10 price=10.00 fee=1.00
        2026-01-06 dividend   ACME currency=USD rate=0.9 amount=4.00 tax=1.00
        2026-01-07 fee        ACME currency=USD rate=0.9 amount=2.00
        2026-01-08 tax        ACME currency=USD rate=0.9 amount=3.00
        2026-01-09 withdrawal      currency=USD rate=0.9 amount=5.00 fee=1.00 fee_currency=EUR fee_rate=1
        """
    )
    books = replay(rows, base="EUR")
    expect(
        books,
        """
        asset ACME income=4.00 income_base=3.60 fees_base=2.70 expenses_base=1.80 taxes_base=3.60
        cash  USD  balance=-108.00
        cash  EUR  balance=-1.00
        books      flows_base=-4.50 unlinked_fees_base=1.00
        """,
    )
    acme = [(e.row_id, e.kind, e.quantity, e.value, e.fee, e.income) for e in books.accounts["ACME"].entries]
    assert acme == [
        (1, "buy", D(10), D("90.00"), D("0.90"), 0),
        (2, "dividend", 0, 0, D("0.90"), D("3.60")),
        (3, "fee", 0, 0, D("1.80"), 0),
        (4, "tax", 0, 0, D("2.70"), 0),
    ]
    dollars = [(e.row_id, e.quantity, e.value, e.flow, e.fee) for e in books.cash["USD"].entries]
    assert dollars == [
        (1, D("-101.00"), D("-90.90"), 0, 0),
        (2, D("3.00"), D("2.70"), 0, 0),
        (3, D("-2.00"), D("-1.80"), 0, 0),
        (4, D("-3.00"), D("-2.70"), 0, 0),
        (5, D("-5.00"), D("-4.50"), D("-4.50"), 0),
    ]
    (euros,) = books.cash["EUR"].entries
    assert (euros.quantity, euros.value, euros.flow, euros.fee) == (-1, -1, 0, 1)


def test_income_in_another_currency_than_the_assets_counts_in_base() -> None:
    rows = table(
        """
        2026-01-05 dividend ACME currency=USD rate=0.9 amount=4.00
        2026-01-06 buy      ACME currency=GBP rate=1.2 multiplier=0.01 quantity=10 price=1000
        2026-01-07 dividend ACME currency=USD rate=0.9 amount=4.00
        2026-01-08 dividend ACME currency=GBP rate=1.2 multiplier=0.01 amount=1.00
        """
    )
    expect(replay(rows, base="EUR"), "asset ACME cost=100.00 income=1.00 income_base=8.40")


def test_a_dividend_may_be_settled_in_another_currency_with_a_fee_in_a_third() -> None:
    rows = table(
        """
        2026-01-05 dividend ACME currency=USD rate=0.9 settlement_currency=EUR settlement_rate=0.9 amount=10 tax=1 \
            fee=2 fee_currency=GBP fee_rate=1.2 pay_time=2026-01-09
        """
    )
    expect(
        replay(rows, base="EUR", until=moment("2026-01-08")),
        "receivable EUR amount=8.1 value=8.1 \n cash GBP balance=-2 paid_base=-2.4",
    )
    expect(replay(rows, base="EUR"), "cash EUR balance=8.1 paid_base=8.1 \n books receivables=0")


def test_more_than_is_held_cannot_be_transferred_away_even_where_short_sales_are_on() -> None:
    rows = table("2026-01-05 transfer_out ACME quantity=1 price=1")
    with pytest.raises(
        Oversold, match="expected a transfer of at most 0 ACME held then; row 1: transfer_out 1"
    ):
        replay(rows, short_sales=True)


def test_a_trade_in_another_currency_than_the_assets_is_refused() -> None:
    rows = table(
        "2026-01-05 buy ACME quantity=1 price=1 \n 2026-01-06 sell ACME currency=EUR quantity=1 price=1"
    )
    with pytest.raises(LedgerError, match="expected USD, was EUR") as caught:
        replay(rows)
    assert caught.value.field == "currency"


# --- what holds for every ledger ---------------------------------------------------------------------------

numbers = st.decimals(min_value="0.000001", max_value="99999", places=6)
prices = st.decimals(min_value=0, max_value="99999", places=4)
fees = st.decimals(min_value=0, max_value=50, places=3)
trades = st.builds(
    lambda kind, quantity, price, fee, minutes: make_row(
        kind, NOW - timedelta(minutes=minutes), quantity=quantity, price=price, fee=fee
    ),
    st.sampled_from(["buy", "sell"]),
    numbers,
    prices,
    fees,
    st.integers(0, 100_000),
)
cash_rows = st.builds(
    lambda kind, amount, fee: make_row(kind, amount=amount, fee=fee),
    st.sampled_from(["deposit", "withdrawal"]),
    numbers,
    fees,
)


@given(st.lists(trades, max_size=12), st.lists(cash_rows, max_size=3), prices)
def test_what_came_in_and_what_was_gained_is_what_there_is(
    trades: list[Row], cash_rows: list[Row], price: Decimal
) -> None:
    books = replay([*trades, *cash_rows], short_sales=True)
    with localcontext(EXACT):
        cash = books.cash["USD"].balance if books.cash else D(0)
        value = sum((a.quantity * price for a in books.accounts.values()), cash)
        realized = sum((a.realized for a in books.accounts.values()), D(0))
        unrealized = sum((a.quantity * price - a.cost for a in books.accounts.values()), D(0))
        assert value - books.flows_base == realized + unrealized - books.unlinked_fees_base


@given(st.lists(trades, min_size=1, max_size=12))
def test_lots_add_up_and_all_have_the_sign_of_the_position(trades: list[Row]) -> None:
    acme = replay(trades, short_sales=True).accounts["ACME"]
    with localcontext(EXACT):
        assert acme.quantity == sum((row.signed for row in trades), D(0))
        assert acme.quantity == sum((lot.quantity for lot in acme.lots), D(0))
        assert acme.cost == sum((lot.cost for lot in acme.lots), D(0))
    assert len({lot.quantity > 0 for lot in acme.lots}) <= 1
    assert all(lot.quantity for lot in acme.lots)


@given(st.lists(trades, min_size=2, max_size=4))
def test_the_order_of_a_days_trades_changes_no_total(trades: list[Row]) -> None:
    def totals(order: tuple[Row, ...]) -> tuple[Decimal, ...]:
        books = replay(
            [replace(row, time=NOW, order=(place, 0)) for place, row in enumerate(order)], short_sales=True
        )
        acme = books.accounts["ACME"]
        with localcontext(EXACT):
            cash = sum((account.balance for account in books.cash.values()), D(0))
            return acme.quantity, cash, acme.realized - acme.cost

    assert len({totals(order) for order in permutations(trades)}) == 1


@given(st.lists(trades, min_size=1, max_size=10))
def test_realized_gain_agrees_with_exact_fractions(trades: list[Row]) -> None:
    """A second method: unit costs as fractions, one lot at a time, nothing rounded."""
    lots: list[list[Fraction]] = []
    realized = Fraction(0)
    for row in sorted(trades, key=lambda row: row.time):
        left, sign = Fraction(row.quantity), 1 if row.kind == "buy" else -1
        unit = Fraction(row.price) + sign * Fraction(row.fee) / Fraction(row.quantity)
        while left and lots and lots[0][0] * sign < 0:
            part = min(left, abs(lots[0][0]))
            realized += sign * part * (lots[0][1] - unit)
            lots[0][0] += sign * part
            left -= part
            if not lots[0][0]:
                lots.pop(0)
        if left:
            lots.append([sign * left, unit])
    books = replay(trades, short_sales=True)
    assert abs(Fraction(books.accounts["ACME"].realized) - realized) < Fraction(1, 10**14)
