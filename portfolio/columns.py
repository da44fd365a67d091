"""Which columns each kind of transaction has: one table for the database's constraints, the checks and the forms.

Knows no Django. A column that is in neither list of a kind must be empty there.
"""

from collections.abc import Mapping
from typing import NamedTuple

from portfolio.rows import Kind


class Columns(NamedTuple):
    """The columns that a kind needs, and those that it may have besides."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()


_FEE = ("fee_currency", "fee_rate")
_SETTLEMENT = ("settlement_currency", "settlement_rate")
_TRADE = ("asset", "quantity", "price")
_RATIO = ("asset", "numerator", "denominator")
_OPTION = ("asset", "other_asset", "quantity", "price", "numerator", "option_right")

COLUMNS: Mapping[Kind, Columns] = {
    "buy": Columns(_TRADE, ("tax", "lots", *_FEE, *_SETTLEMENT)),
    "sell": Columns(_TRADE, ("tax", "lots", *_FEE, *_SETTLEMENT)),
    "deposit": Columns(("amount",), _FEE),
    "withdrawal": Columns(("amount",), _FEE),
    "transfer_in": Columns(_TRADE, ("cost", "base_cost", "opened", *_FEE)),
    "transfer_out": Columns(_TRADE, ("lots", *_FEE)),
    "convert": Columns(("amount", "to_amount", "to_currency"), _FEE),
    "dividend": Columns(("asset", "amount"), ("tax", "pay_time", *_FEE)),
    "interest": Columns(("amount",), ("asset", "tax", *_FEE)),
    "fee": Columns(("amount",), ("asset",)),
    "tax": Columns(("amount",), ("asset",)),
    "split": Columns(_RATIO),
    "bonus": Columns(_RATIO),
    "cash_in_lieu": Columns(_TRADE, _FEE),
    "return_of_capital": Columns(("asset", "amount"), _FEE),
    "spinoff": Columns((*_RATIO, "other_asset", "cost_share")),
    "merger": Columns((*_RATIO, "other_asset"), ("cost_share", "amount")),
    "symbol_change": Columns(("asset", "other_asset")),
    "expire": Columns(("asset",), ("quantity",)),
    "exercise": Columns(_OPTION, _FEE),
    "assign": Columns(_OPTION, _FEE),
    "reversal": Columns(("reverses",)),
}
# Kinds that move money or are valued at a price, hence have a rate to the portfolio's currency.
VALUED: tuple[Kind, ...] = tuple(
    kind for kind, columns in COLUMNS.items() if {"price", "amount"} & {*columns.needed, *columns.optional}
)
ALL: tuple[str, ...] = tuple(
    sorted({name for columns in COLUMNS.values() for name in (*columns.needed, *columns.optional)})
)


def kinds_with(column: str) -> tuple[Kind, ...]:
    """The kinds that may have the column."""
    return tuple(kind for kind, columns in COLUMNS.items() if column in (*columns.needed, *columns.optional))


def kinds_needing(column: str) -> tuple[Kind, ...]:
    return tuple(kind for kind, columns in COLUMNS.items() if column in columns.needed)


def problems(kind: Kind, filled: Mapping[str, bool]) -> dict[str, str]:
    """Returns what is wrong with a row that has the `filled` columns, by column."""
    needed, optional = COLUMNS[kind]
    found = {name: f"expected with a {kind}" for name in needed if not filled.get(name)}
    allowed = {*needed, *optional}
    found |= {
        name: f"not expected with a {kind}" for name, full in filled.items() if full and name not in allowed
    }
    return found
