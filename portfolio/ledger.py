"""Rows in, books out: lots, cash, income and realized gain. Pure arithmetic: no Django, no prices, no clock.

Everything is exact or raises, in the context EXACT. Rows of one portfolio are always replayed from the first one
on, so that a back-dated or a reversed row needs no special case. Futures, whose gains are settled daily, are none
of this ledger's business.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import localcontext

from portfolio import corporate_actions as actions
from portfolio.arithmetic import CENT, EXACT, HUNDRED, ONE, PERCENT, PLACES, RATIO, ZERO, div, total
from portfolio.books import Books, CashAccount, Leg, Receivable, entry_of
from portfolio.lots import LOT_METHODS, Account, Entry, Lot, LotMethod, Trade
from portfolio.rows import (
    CASH_KINDS,
    KINDS,
    TRADES,
    Kind,
    LedgerError,
    Oversold,
    Row,
    check,
    in_order,
    without_reversed,
)

__all__ = [
    "CASH_KINDS",
    "CENT",
    "EXACT",
    "HUNDRED",
    "KINDS",
    "LOT_METHODS",
    "ONE",
    "PERCENT",
    "PLACES",
    "RATIO",
    "TRADES",
    "ZERO",
    "Account",
    "Books",
    "CashAccount",
    "Entry",
    "Kind",
    "LedgerError",
    "Lot",
    "LotMethod",
    "Oversold",
    "Receivable",
    "Row",
    "check",
    "div",
    "in_order",
    "replay",
    "without_reversed",
]


def replay(
    rows: Iterable[Row],
    *,
    short_sales: bool = False,
    method: LotMethod = "fifo",
    base: str = "USD",
    until: datetime | None = None,
) -> Books:
    """Books all rows in order of time.

    Args:
        base: the portfolio's currency, of which `rate` and all base values speak.
        until: what is later is left out, also the payment of a dividend.

    Raises:
        Oversold: more leaves than is held at that moment, and `short_sales` is off or of no help.
        LedgerError: a row has a number that no transaction can have.
    """
    rows = list(rows)
    books = Books(base=base, method=method, short_sales=short_sales)
    books.last_row = max((row.id for row in rows if row.id is not None), default=None)
    with localcontext(EXACT):
        for row in in_order(without_reversed(rows)):
            if until is not None and row.time > until:
                break
            check(row)
            _check_base(books, row)
            books.collect(row.time)
            _BOOKED[row.kind](books, row)
        books.collect(until)
    return books


def _check_base(books: Books, row: Row) -> None:
    """The portfolio's own currency is worth exactly 1, wherever no broker's rate says otherwise."""
    if row.currency == books.base and row.rate != ONE and not row.is_settled_elsewhere:
        raise LedgerError(f"expected 1 for {books.base} itself, was {row.rate:f}", row, "rate")
    if row.fee_currency == books.base and row.fee_rate not in (None, ONE):
        raise LedgerError(f"expected 1 for {books.base} itself, was {row.fee_rate:f}", row, "fee_rate")


# --- cash ---------------------------------------------------------------------------------------------------


def _book_flow(books: Books, row: Row) -> None:
    value = books.worth(row, row.flow)
    books.flows_base += value
    books.unlinked_fees_base += row.fee_base
    books.pay(row, row.flow, value, flow=value, linked=False)


def _book_convert(books: Books, row: Row) -> None:
    """Both legs are worth the base leg's amount, so that a broker's spread shows as an effect of currency."""
    assert row.to_currency is not None
    value = row.to_amount if row.to_currency == books.base else books.worth(row, row.amount)
    books.unlinked_fees_base += row.fee_base
    books.pay(row, -row.amount, -value, linked=False)
    books.enter_cash(Leg(row.to_currency, row.to_amount, value), row)


# --- trades and transfers -----------------------------------------------------------------------------------


def _book_trade(books: Books, row: Row) -> None:
    account = books.traded(row)
    if row.kind == "sell" and not books.short_sales and row.quantity > account.quantity:
        raise Oversold(
            f"expected a sale of at most {account.quantity:f} {row.symbol} held then; {row}", row, "quantity"
        )
    books.trade(account, books.at_price(row, row.signed, row.price * row.multiplier))


def _book_transfer_in(books: Books, row: Row) -> None:
    """Flows in at its market value; the lot keeps the cost and the date it had elsewhere."""
    account = books.traded(row)
    market = books.worth(row, row.value)
    cost = row.cost or row.value
    cost_base = cost * row.rate if row.cost else market
    if row.base_cost is not None and row.currency != books.base:
        cost_base = row.base_cost
    realized, realized_base = account.move(
        Trade(row=row, quantity=row.quantity, value=cost, value_base=cost_base, opened=row.opened)
    )
    books.flows_base += cost_base
    books.pay_expense(account, row)
    account.entries.append(
        entry_of(
            row,
            quantity=row.quantity,
            value=market,
            flow=market,
            fee=row.fee_base,
            realized=realized,
            realized_base=realized_base,
        )
    )


def _book_transfer_out(books: Books, row: Row) -> None:
    """Flows out at its market value; lots leave at their cost, and nothing is realized."""
    account = books.traded(row)
    if row.quantity > account.quantity:
        raise Oversold(
            f"expected a transfer of at most {max(account.quantity, ZERO):f} {row.symbol} held then; {row}",
            row,
            "quantity",
        )
    taken = account.remove(row, row.quantity)
    books.flows_base -= total(lot.cost_base for lot in taken)
    market = books.worth(row, row.value)
    books.pay_expense(account, row)
    account.entries.append(entry_of(row, quantity=-row.quantity, value=market, flow=market, fee=row.fee_base))


# --- income and expenses ------------------------------------------------------------------------------------


def _book_income(books: Books, row: Row) -> None:
    """A dividend, a coupon, accrued interest; negative where it is paid."""
    value = books.worth(row, row.amount)
    if row.symbol is None:
        books.interest_base += value
        books.unlinked_fees_base += row.fee_base
        books.unlinked_taxes_base += row.tax_base
        books.pay(row, row.amount, value, income=value, linked=False)
        return
    account = books.account(row.symbol, row.currency, row.multiplier)
    if row.currency == account.currency:
        account.income += row.amount
    account.income_base += value
    account.charge(row)
    account.entries.append(entry_of(row, income=value, fee=row.fee_base + row.tax_base))
    if row.pay_time is not None and row.pay_time > row.time:
        books.owe(row, row.amount, value)
    else:
        books.pay(row, row.amount, value)


def _book_expense(books: Books, row: Row) -> None:
    """A fee or a tax that no trade and no income has caused."""
    value = books.worth(row, row.amount)
    is_fee = row.kind == "fee"
    if row.symbol is None:
        books.unlinked_fees_base += value if is_fee else ZERO
        books.unlinked_taxes_base += ZERO if is_fee else value
        books.pay(row, -row.amount, -value, charge=value, linked=False)
        return
    account = books.account(row.symbol, row.currency, row.multiplier)
    account.fees_base += value if is_fee else ZERO
    account.expenses_base += value if is_fee else ZERO
    account.taxes_base += ZERO if is_fee else value
    account.entries.append(entry_of(row, fee=value))
    books.pay(row, -row.amount, -value)


_BOOKED: dict[Kind, Callable[[Books, Row], None]] = {
    "buy": _book_trade,
    "sell": _book_trade,
    "deposit": _book_flow,
    "withdrawal": _book_flow,
    "convert": _book_convert,
    "transfer_in": _book_transfer_in,
    "transfer_out": _book_transfer_out,
    "dividend": _book_income,
    "interest": _book_income,
    "fee": _book_expense,
    "tax": _book_expense,
    "split": actions.book_split,
    "bonus": actions.book_split,
    "cash_in_lieu": actions.book_cash_in_lieu,
    "return_of_capital": actions.book_return_of_capital,
    "spinoff": actions.book_spinoff,
    "merger": actions.book_merger,
    "symbol_change": actions.book_symbol_change,
    "expire": actions.book_expiry,
    "exercise": actions.book_exercise,
    "assign": actions.book_exercise,
}
