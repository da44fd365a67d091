"""The rows of a ledger: what a transaction is, which numbers one may have, and in which order they are booked.

Numbers are positive and `kind` gives the direction; only a dividend and interest may be negative, which is paid.
Money is in the row's `currency`, always a major one: a price in pence becomes money by the asset's `multiplier`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Literal, get_args

from portfolio.arithmetic import EXACT, ONE, ZERO, div, total

Kind = Literal[
    "buy",
    "sell",
    "deposit",
    "withdrawal",
    "transfer_in",
    "transfer_out",
    "convert",
    "dividend",
    "interest",
    "fee",
    "tax",
    "split",
    "bonus",
    "cash_in_lieu",
    "return_of_capital",
    "spinoff",
    "merger",
    "symbol_change",
    "expire",
    "exercise",
    "assign",
    "reversal",
]
OptionRight = Literal["call", "put"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TRADES: tuple[Kind, ...] = ("buy", "sell")
CASH_KINDS: tuple[Kind, ...] = ("deposit", "withdrawal")
# Kinds of which one row may be about an asset and the next about none.
LINKED_OR_NOT: tuple[Kind, ...] = ("interest", "fee", "tax")


class LedgerError(ValueError):
    """A row that cannot be booked; `row` is the one at fault and `field` the column to blame.

    LedgerError
    └── Oversold    more leaves than is held at that moment
    """

    def __init__(self, message: str, row: "Row", field: str = "") -> None:
        super().__init__(message)
        self.row = row
        self.field = field


class Oversold(LedgerError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One transaction."""

    time: datetime
    kind: Kind
    # Of price, amount, tax and cost, and of the fee unless `fee_currency` names another.
    currency: str
    # Among rows of one moment: the user's order, then that of entry.
    order: tuple[int, int] = (0, 0)
    id: int | None = None
    symbol: str | None = None
    multiplier: Decimal = ONE
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    amount: Decimal = ZERO
    fee: Decimal = ZERO
    # Withheld from a dividend or interest, or on a sale; never part of a cost. A purchase's duty belongs into `fee`.
    tax: Decimal = ZERO
    # Base units for one unit of `currency`, frozen at booking, as is the value in base without its sign.
    rate: Decimal = ONE
    base_value: Decimal | None = None
    fee_currency: str | None = None
    fee_rate: Decimal | None = None
    # The cash leg's currency, and the broker's rate: settlement units for one of `currency`. A merger or spin-off
    # into an asset of another currency takes its rate from here as well.
    settlement_currency: str | None = None
    settlement_rate: Decimal | None = None
    to_currency: str | None = None
    to_amount: Decimal = ZERO
    # A dividend's: until then the net amount is a receivable.
    pay_time: datetime | None = None
    # A split's n:d makes n new units of d old ones; a spin-off and a merger give n new units for d old ones.
    numerator: int = 0
    denominator: int = 0
    # The spin-off's child, the merger's or the new symbol's target, the underlying of an exercise.
    other_symbol: str | None = None
    other_currency: str | None = None
    other_multiplier: Decimal = ONE
    # The part of the cost, 0 to 1, that moves to `other_symbol`.
    cost_share: Decimal = ZERO
    option_right: OptionRight | None = None
    # What a transfer brings along: cost 0 is the market value, `opened` None the row's time.
    cost: Decimal = ZERO
    base_cost: Decimal | None = None
    opened: datetime | None = None
    # Chosen lots: (id of the row that opened it, quantity).
    lots: tuple[tuple[int, Decimal], ...] = ()
    # The id of the row that a reversal takes back.
    reverses: int | None = None

    def __str__(self) -> str:
        number = f"row {self.id}" if self.id is not None else "new row"
        sizes = {"quantity": self.quantity, "amount": self.amount}
        size = next((f" {number:f}" for number in sizes.values() if number), "")
        what = f"{self.kind}{size}" + (f" {self.symbol}" if self.symbol else "")
        return f"{number}: {what} on {self.time:%Y-%m-%d %H:%M:%S}Z"

    @property
    def signed(self) -> Decimal:
        """What a trade or a transfer adds to the position."""
        return self.quantity if self.kind in ("buy", "transfer_in") else self.quantity.copy_negate()

    @property
    def value(self) -> Decimal:
        """What was paid for a trade's units, fee apart; negative for a sale."""
        return EXACT.multiply(EXACT.multiply(self.signed, self.price), self.multiplier)

    @property
    def flow(self) -> Decimal:
        """What came in from outside; negative for a withdrawal."""
        return self.amount if self.kind == "deposit" else self.amount.copy_negate()

    @property
    def fee_base(self) -> Decimal:
        return EXACT.multiply(self.fee, self.rate if self.fee_rate is None else self.fee_rate)

    @property
    def fee_native(self) -> Decimal:
        """The fee in the row's currency."""
        if self.fee_currency in (None, self.currency):
            return self.fee
        return div(self.fee_base, self.rate)

    @property
    def tax_base(self) -> Decimal:
        return EXACT.multiply(self.tax, self.rate)

    @property
    def is_settled_elsewhere(self) -> bool:
        return self.settlement_currency not in (None, self.currency)


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.time, row.order))


def without_reversed(rows: Iterable[Row]) -> list[Row]:
    """Leaves out every reversal together with the row that it takes back."""
    rows = list(rows)
    reversals = [row for row in rows if row.kind == "reversal"]
    if not reversals:
        return rows
    by_id = {row.id: row for row in rows if row.id is not None}
    gone: set[int | None] = set()
    for row in reversals:
        target = by_id.get(row.reverses) if row.reverses is not None else None
        if target is None or target.kind == "reversal" or target.id in gone:
            why = (
                "which does not exist"
                if target is None
                else "a reversal itself"
                if target.kind == "reversal"
                else "which is reversed already"
            )
            raise LedgerError(f"expected a row to take back, was row {row.reverses}, {why}", row, "reverses")
        gone.add(target.id)
    return [row for row in rows if row.kind != "reversal" and (row.id is None or row.id not in gone)]


# --- which numbers a row may have ---------------------------------------------------------------------------

_POSITIVE = "more than 0"
_NOT_NEGATIVE = "0 or more"
_NOT_ZERO = "a number other than 0"
_SETTLED = {"settlement_currency": "", "settlement_rate": _POSITIVE}
_FEE = {"fee": _NOT_NEGATIVE, "fee_currency": "", "fee_rate": _POSITIVE}
_TRADE = {"quantity": _POSITIVE, "price": _NOT_NEGATIVE, "tax": _NOT_NEGATIVE, "lots": "", **_FEE, **_SETTLED}
_PAID = {"tax": _NOT_NEGATIVE, **_FEE, **_SETTLED}
_RATIO = {"numerator": _POSITIVE, "denominator": _POSITIVE}
_OTHER = {"other_symbol": "", "other_currency": "", "other_multiplier": _POSITIVE}

# What each kind may fill in, beside what all have, and what its number must be.
COLUMNS: dict[Kind, dict[str, str]] = {
    "buy": _TRADE,
    "sell": _TRADE,
    "deposit": {"amount": _POSITIVE, **_FEE},
    "withdrawal": {"amount": _POSITIVE, **_FEE},
    "transfer_in": {
        "quantity": _POSITIVE,
        "price": _NOT_NEGATIVE,
        "cost": _NOT_NEGATIVE,
        "base_cost": _NOT_NEGATIVE,
        "opened": "",
        **_FEE,
    },
    "transfer_out": {"quantity": _POSITIVE, "price": _NOT_NEGATIVE, "lots": "", **_FEE},
    "convert": {"amount": _POSITIVE, "to_currency": "", "to_amount": _POSITIVE, **_FEE},
    "dividend": {"amount": _NOT_ZERO, "pay_time": "", **_PAID},
    "interest": {"amount": _NOT_ZERO, **_PAID},
    "fee": {"amount": _POSITIVE, **_SETTLED},
    "tax": {"amount": _POSITIVE, **_SETTLED},
    "split": {**_RATIO, **_FEE},
    "bonus": {**_RATIO, **_FEE},
    "cash_in_lieu": {"quantity": _POSITIVE, "price": _NOT_NEGATIVE, "amount": _NOT_NEGATIVE, **_PAID},
    "return_of_capital": {"amount": _POSITIVE, **_PAID},
    "spinoff": {
        "price": _NOT_NEGATIVE,
        "cost_share": _NOT_NEGATIVE,
        "settlement_rate": _POSITIVE,
        **_RATIO,
        **_OTHER,
        **_FEE,
    },
    "merger": {
        "price": _NOT_NEGATIVE,
        "amount": _NOT_NEGATIVE,
        "cost_share": _NOT_NEGATIVE,
        "numerator": _NOT_NEGATIVE,
        "denominator": _NOT_NEGATIVE,
        **_OTHER,
        **_PAID,
    },
    "symbol_change": {
        "price": _NOT_NEGATIVE,
        "numerator": _NOT_NEGATIVE,
        "denominator": _NOT_NEGATIVE,
        "settlement_rate": _POSITIVE,
        **_OTHER,
        **_FEE,
    },
    "expire": {"quantity": _POSITIVE, **_FEE},
    "exercise": {
        "quantity": _POSITIVE,
        "price": _NOT_NEGATIVE,
        "numerator": _NOT_NEGATIVE,
        "option_right": "",
        **_OTHER,
        **_PAID,
    },
    "reversal": {"reverses": ""},
}
COLUMNS["assign"] = COLUMNS["exercise"]
_DEFAULTS: dict[str, Any] = {
    name: Row.__dataclass_fields__[name].default
    for name in dict.fromkeys(name for columns in COLUMNS.values() for name in columns)
}


def _unused(kind: Kind) -> tuple[tuple[str, ...], Callable[[Row], tuple[Any, ...]], tuple[Any, ...]]:
    """What a kind must leave alone: the names, their reader, which is one call for all of them, the defaults."""
    names = tuple(name for name in _DEFAULTS if name not in COLUMNS[kind])
    return names, attrgetter(*names), tuple(_DEFAULTS[name] for name in names)


_UNUSED = {kind: _unused(kind) for kind in COLUMNS}
_NUMBERS = {
    kind: tuple((name, wanted) for name, wanted in {"rate": _POSITIVE, **columns}.items() if wanted)
    for kind, columns in COLUMNS.items()
}
_NUMBERS["reversal"] = ()


def check(row: Row) -> None:
    """Raises LedgerError unless the row's own numbers make sense."""
    if row.kind not in COLUMNS:
        raise LedgerError(f"expected one of {', '.join(KINDS)}, was {row.kind}", row, "kind")
    if row.time.tzinfo is None:
        raise LedgerError("expected a time with its zone, was one without", row, "time")
    _check_asset(row)
    unused, read_unused, defaults = _UNUSED[row.kind]
    if (found := read_unused(row)) != defaults:
        name = next(name for name, a, b in zip(unused, found, defaults, strict=True) if a != b)
        raise LedgerError(f"expected none with a {row.kind}, was {_text(getattr(row, name))}", row, name)
    for name, wanted in _NUMBERS[row.kind]:
        _check_number(row, name, wanted)
    if row.base_value is not None:
        _check_number(row, "base_value", _NOT_NEGATIVE)
    _check_currencies(row)
    if row.lots:
        _check_lots(row)
    _check_kind(row)


def _text(found: Any) -> str:
    return f"{found:f}" if isinstance(found, Decimal) else str(found)


def _check_asset(row: Row) -> None:
    if row.kind in LINKED_OR_NOT or row.kind == "reversal":
        return
    has_asset = row.kind not in ("deposit", "withdrawal", "convert")
    if has_asset != (row.symbol is not None):
        raise LedgerError(
            f"expected {'an asset' if has_asset else 'no asset'} with a {row.kind}", row, "symbol"
        )


def _check_number(row: Row, name: str, wanted: str) -> None:
    number = getattr(row, name)
    if number is None:
        return
    if not number and wanted == _NOT_NEGATIVE:
        return
    if isinstance(number, Decimal) and not number.is_finite():
        raise LedgerError(f"expected a finite number, was {number}", row, name)
    if wanted == _POSITIVE:
        fits = number > 0
    elif wanted == _NOT_NEGATIVE:
        fits = number >= 0
    else:
        fits = number != 0
    if not fits:
        raise LedgerError(f"expected {wanted}, was {_text(number)}", row, name)


def _check_currencies(row: Row) -> None:
    if row.is_settled_elsewhere and row.settlement_rate is None:
        raise LedgerError(
            f"expected the rate of {row.settlement_currency} for one {row.currency}", row, "settlement_rate"
        )
    if row.fee_currency not in (None, row.currency) and row.fee_rate is None and row.fee:
        raise LedgerError(f"expected the rate of {row.fee_currency}", row, "fee_rate")


def _check_lots(row: Row) -> None:
    for _, quantity in row.lots:
        if not quantity.is_finite() or quantity <= 0:
            raise LedgerError(f"expected more than 0 of each lot, was {_text(quantity)}", row, "lots")
    chosen = total(quantity for _, quantity in row.lots)
    if chosen > row.quantity:
        raise LedgerError(f"expected lots of {row.quantity:f} at most, was {chosen:f}", row, "lots")


def _check_kind(row: Row) -> None:
    match row.kind:
        case "convert":
            if row.to_currency is None or row.to_currency == row.currency:
                raise LedgerError(
                    f"expected a currency other than {row.currency}, was {row.to_currency}",
                    row,
                    "to_currency",
                )
        case "dividend":
            if row.pay_time is not None and row.pay_time < row.time:
                raise LedgerError(
                    f"expected a day of payment from {row.time:%Y-%m-%d} on, was {row.pay_time:%Y-%m-%d}",
                    row,
                    "pay_time",
                )
        case "cash_in_lieu":
            if row.price and row.amount:
                raise LedgerError("expected a price or an amount, was both", row, "amount")
        case "spinoff" | "merger" | "symbol_change" | "exercise" | "assign":
            _check_other(row)
        case "reversal":
            if row.reverses is None:
                raise LedgerError("expected the row to take back", row, "reverses")


def _check_other(row: Row) -> None:
    is_cash_only = row.kind == "merger" and not row.numerator
    if not is_cash_only and (row.other_symbol is None or row.other_symbol == row.symbol):
        raise LedgerError(
            f"expected an asset other than {row.symbol}, was {row.other_symbol}", row, "other_symbol"
        )
    if bool(row.numerator) != bool(row.denominator) and row.kind in ("merger", "symbol_change"):
        name = "denominator" if row.numerator else "numerator"
        raise LedgerError(f"expected {_POSITIVE}, was 0", row, name)
    if row.kind in ("exercise", "assign"):
        if row.option_right not in ("call", "put"):
            raise LedgerError(f"expected call or put, was {row.option_right}", row, "option_right")
        if row.other_currency not in (None, row.currency):
            raise LedgerError(f"expected {row.currency}, was {row.other_currency}", row, "other_currency")
        return
    if row.other_currency not in (None, row.currency) and row.settlement_rate is None:
        raise LedgerError(
            f"expected the rate of {row.other_currency} for one {row.currency}", row, "settlement_rate"
        )
    if not 0 <= row.cost_share <= 1:
        raise LedgerError(f"expected 0 to 1, was {row.cost_share:f}", row, "cost_share")
    if row.kind == "merger":
        wanted = ZERO if is_cash_only else ONE if not row.amount else None
        if wanted is not None and row.cost_share != wanted:
            why = "for cash alone" if is_cash_only else "without a cash part"
            raise LedgerError(f"expected {wanted} {why}, was {row.cost_share:f}", row, "cost_share")
