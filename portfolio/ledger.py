"""Rows in, books out: lots, cash, income and realized gain. Pure arithmetic: no Django, no prices, no clock.

Everything is exact or raises, in the context EXACT. Rows of one portfolio are always replayed from the first one
on, so that a back-dated or a reversed row needs no special case. Futures, whose gains are settled daily, are none
of this ledger's business.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal, localcontext

from portfolio.arithmetic import CENT, EXACT, HUNDRED, ONE, PERCENT, PLACES, RATIO, ZERO, div
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
            _book(books, row)
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
    value_base = books.worth(row, row.value)
    realized = account.move(trade_of(row, value_base))
    account.fees_base += row.fee_base
    account.taxes_base += row.tax_base
    books.pay(row, -row.value, -value_base)
    account.entries.append(
        entry_of(
            row,
            quantity=row.signed,
            value=value_base,
            fee=row.fee_base + row.tax_base,
            realized=realized[0],
            realized_base=realized[1],
        )
    )


def trade_of(row: Row, value_base: Decimal) -> Trade:
    unit = row.price * row.multiplier
    return Trade(
        row=row,
        quantity=row.signed,
        value=row.value,
        value_base=value_base,
        unit=unit,
        unit_base=unit * row.rate if value_base == row.value * row.rate else None,
        charge=row.fee_native,
        charge_base=row.fee_base,
        charge_rate=row.rate if row.fee_currency in (None, row.currency) and row.fee_rate is None else None,
    )


def _book(books: Books, row: Row) -> None:
    book = _BOOKED.get(row.kind)
    if book is None:
        raise LedgerError(f"expected a kind that can be booked, was {row.kind}", row, "kind")
    book(books, row)


_BOOKED: dict[Kind, Callable[[Books, Row], None]] = {
    "deposit": _book_flow,
    "withdrawal": _book_flow,
    "convert": _book_convert,
    "buy": _book_trade,
    "sell": _book_trade,
}
