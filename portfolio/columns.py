"""Which columns of a transaction each kind has: one table for the database's constraints, the checks and the forms.

Knows no Django. What a kind may have, and which numbers, is the ledger's (`portfolio.rows`); here is what it needs.
"""

from collections.abc import Mapping

from portfolio.rows import CASH_KINDS, COLUMNS, KINDS, LINKED_OR_NOT, Kind

_TRADE = ("asset", "quantity", "price")
_RATIO = ("asset", "numerator", "denominator")
_OPTION = (*_TRADE, "other_asset", "option_right")

NEEDED: Mapping[Kind, tuple[str, ...]] = {
    "buy": _TRADE,
    "sell": _TRADE,
    "deposit": ("amount",),
    "withdrawal": ("amount",),
    "transfer_in": _TRADE,
    "transfer_out": _TRADE,
    "convert": ("amount", "to_amount", "to_currency"),
    "dividend": ("asset", "amount"),
    "interest": ("amount",),
    "fee": ("amount",),
    "tax": ("amount",),
    "split": _RATIO,
    "bonus": _RATIO,
    "cash_in_lieu": ("asset", "quantity"),
    "return_of_capital": ("asset", "amount"),
    "spinoff": (*_RATIO, "other_asset", "cost_share"),
    "merger": ("asset", "cost_share"),
    "symbol_change": ("asset", "other_asset"),
    "expire": ("asset", "quantity"),
    "exercise": _OPTION,
    "assign": _OPTION,
    "reversal": ("reverses",),
}
# Where a kind without a price or an amount has no money of its own, it has no rate either.
VALUED: tuple[Kind, ...] = tuple(kind for kind in KINDS if {"price", "amount"} & COLUMNS[kind].keys())


def _allowed(kind: Kind) -> frozenset[str]:
    names = {*COLUMNS[kind], *NEEDED[kind]} - {"other_symbol", "other_currency", "other_multiplier"}
    if "other_symbol" in COLUMNS[kind]:
        names.add("other_asset")
    if kind in LINKED_OR_NOT or kind not in (*CASH_KINDS, "convert", "reversal"):
        names.add("asset")
    return frozenset(names)


ALLOWED: Mapping[Kind, frozenset[str]] = {kind: _allowed(kind) for kind in KINDS}
# Every column that some kinds have and others do not; the fee is 0 where there is none.
ALL: tuple[str, ...] = tuple(sorted(frozenset[str]().union(*ALLOWED.values()) - {"fee"}))


def kinds_with(column: str) -> tuple[Kind, ...]:
    """The kinds that may have the column."""
    return tuple(kind for kind in KINDS if column in ALLOWED[kind])


def kinds_needing(column: str) -> tuple[Kind, ...]:
    return tuple(kind for kind in KINDS if column in NEEDED[kind])


def problems(kind: Kind, filled: Mapping[str, bool]) -> dict[str, str]:
    """Returns what is wrong with a row that has the `filled` columns, by column."""
    found = {name: f"expected with a {kind}" for name in NEEDED[kind] if not filled.get(name)}
    found |= {
        name: f"not expected with a {kind}"
        for name, is_full in filled.items()
        if is_full and name not in ALLOWED[kind]
    }
    return found
