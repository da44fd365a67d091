"""Transactions in, lots, cash and realized gain out: pure arithmetic, no Django, no prices, no clock.

Everything is exact or raises: additions and products never round, and the one division, `div`, rounds once,
half even, to 18 places. Rows of one portfolio are always replayed from the first one on, so that a back-dated
row needs no special case.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import (
    ROUND_05UP,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from typing import Literal

Kind = Literal["buy", "sell", "deposit", "withdrawal"]
TRADES: tuple[Kind, ...] = ("buy", "sell")
CASH_KINDS: tuple[Kind, ...] = ("deposit", "withdrawal")

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
PLACES = Decimal("1E-18")

# Python's default of 28 digits silently rounds quantity times price times rate.
EXACT = Context(
    prec=200, rounding=ROUND_HALF_EVEN, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow]
)
# Rounding the long quotient to 05UP keeps a sticky last digit, so that the second rounding is the only one.
_QUOTIENT = Context(prec=200, rounding=ROUND_05UP, traps=[InvalidOperation, DivisionByZero, Overflow])


def div(a: Decimal, b: Decimal) -> Decimal:
    """Returns a / b rounded once, half even, to 18 places."""
    return _QUOTIENT.divide(a, b).quantize(PLACES, ROUND_HALF_EVEN, _QUOTIENT)


class LedgerError(ValueError):
    """A row that cannot be booked; `row` is the one at fault and `field` the column to blame.

    LedgerError
    └── Oversold    a sale larger than the holding of its moment
    """

    def __init__(self, message: str, row: "Row", field: str = "") -> None:
        super().__init__(message)
        self.row = row
        self.field = field


class Oversold(LedgerError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One transaction. `quantity` and `amount` are positive; `kind` gives the direction."""

    time: datetime
    kind: Kind
    currency: str
    order: tuple[int, int] = (0, 0)
    id: int | None = None
    symbol: str | None = None
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    amount: Decimal = ZERO
    fee: Decimal = ZERO
    multiplier: Decimal = ONE

    def __str__(self) -> str:
        number = f"row {self.id}" if self.id is not None else "new row"
        what = (
            f"{self.kind} {self.quantity:f} {self.symbol}" if self.symbol else f"{self.kind} {self.amount:f}"
        )
        return f"{number}: {what} on {self.time:%Y-%m-%d %H:%M:%S}Z"

    @property
    def signed(self) -> Decimal:
        """What the row adds to the position."""
        return self.quantity if self.kind == "buy" else -self.quantity

    @property
    def value(self) -> Decimal:
        """What was paid for the units, fee apart; negative for a sale."""
        return self.signed * self.price * self.multiplier

    @property
    def flow(self) -> Decimal:
        """What came in from outside; negative for a withdrawal."""
        return self.amount if self.kind == "deposit" else -self.amount


@dataclass(frozen=True, slots=True)
class Lot:
    """Units bought (or sold short) at once; a short's quantity and cost are negative."""

    opened: datetime
    quantity: Decimal
    cost: Decimal


@dataclass(slots=True)
class Account:
    """One asset: its open lots, oldest first, and what closing others has brought."""

    currency: str
    multiplier: Decimal
    lots: deque[Lot] = field(default_factory=deque)
    # Always the sums over the lots; kept, because a sale must not add up a thousand of them.
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO


@dataclass(slots=True)
class Books:
    """The state after the last row."""

    accounts: dict[str, Account] = field(default_factory=dict)
    cash: dict[str, Decimal] = field(default_factory=dict)
    flows: dict[str, Decimal] = field(default_factory=dict)
    # Fees of cash rows, which belong to no asset.
    unlinked_fees: dict[str, Decimal] = field(default_factory=dict)


def replay(rows: Iterable[Row], *, short_sales: bool = False) -> Books:
    """Books all rows in order of time.

    Raises:
        Oversold: a sale exceeds the holding of its moment and `short_sales` is off.
        LedgerError: a row has a number that no transaction can have.
    """
    books = Books()
    with localcontext(EXACT):
        for row in in_order(rows):
            check(row)
            if row.symbol is None:
                _book_cash(books, row)
            else:
                _book_trade(books, row, row.symbol, short_sales)
    return books


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.time, row.order))


def check(row: Row) -> None:
    """Raises LedgerError unless the row's own numbers make sense."""
    is_trade = row.kind in TRADES
    if is_trade != (row.symbol is not None):
        raise LedgerError(
            f"expected {'an asset' if is_trade else 'no asset'} with a {row.kind}", row, "symbol"
        )
    positive = {"quantity": row.quantity} if is_trade else {"amount": row.amount}
    for name, number in positive.items():
        if number <= 0:
            raise LedgerError(f"expected more than 0, was {number:f}", row, name)
    for name, number in {"price": row.price, "fee": row.fee}.items():
        if number < 0:
            raise LedgerError(f"expected 0 or more, was {number:f}", row, name)


def _add(sums: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    sums[currency] = sums.get(currency, ZERO) + amount


def _book_cash(books: Books, row: Row) -> None:
    _add(books.cash, row.currency, row.flow - row.fee)
    _add(books.flows, row.currency, row.flow)
    _add(books.unlinked_fees, row.currency, row.fee)


def _book_trade(books: Books, row: Row, symbol: str, short_sales: bool) -> None:
    account = books.accounts.get(symbol)
    if account is None:
        account = books.accounts[symbol] = Account(row.currency, row.multiplier)
    if row.currency != account.currency:
        raise LedgerError(f"expected {account.currency}, was {row.currency}", row, "currency")
    if row.kind == "sell" and not short_sales and row.quantity > account.quantity:
        raise Oversold(
            f"expected a sale of at most {account.quantity:f} {symbol} held then; {row}", row, "quantity"
        )
    _move_lots(account, row)
    _add(books.cash, row.currency, -(row.value + row.fee))


def _move_lots(account: Account, row: Row) -> None:
    """Closes lots of the other sign first in, first out; what is left over opens one.

    The fee is shared by quantity and the last part takes the remainder, so that the parts add up.
    """
    left, fee_left = row.signed, row.fee
    unit = row.price * row.multiplier
    while left and account.lots and (account.lots[0].quantity > 0) != (left > 0):
        lot = account.lots[0]
        part = -lot.quantity if abs(lot.quantity) <= abs(left) else left
        fee = fee_left if part == left else div(row.fee * abs(part), row.quantity)
        account.realized += -(part * unit + fee) - _close(account, part)
        left, fee_left = left - part, fee_left - fee
    if left:
        _open(account, Lot(row.time, left, left * unit + fee_left))


def _close(account: Account, part: Decimal) -> Decimal:
    """Takes `part` (of the other sign) out of the first lot and returns the cost that leaves with it."""
    lot = account.lots.popleft()
    quantity = lot.quantity + part
    cost = div(lot.cost * -part, lot.quantity) if quantity else lot.cost
    if quantity:
        account.lots.appendleft(Lot(lot.opened, quantity, lot.cost - cost))
    account.quantity += part
    account.cost -= cost
    return cost


def _open(account: Account, lot: Lot) -> None:
    account.lots.append(lot)
    account.quantity += lot.quantity
    account.cost += lot.cost
