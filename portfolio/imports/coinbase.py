"""Coinbase: the transaction history (CSV) since 2021, with its lines of preamble.

Checked against exports in public importers' tests (Export-To-Ghostfolio, GhostfolioSidekick, four others). Its price
is the spot price; what was paid is the subtotal, so a trade's price here is subtotal / quantity, to 18 places. A
conversion is a sale and a purchase, a reward is income and a purchase for it, coins sent or received are transfers.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from portfolio.arithmetic import ZERO
from portfolio.imports.cells import number, per_unit, quoted, rounded
from portfolio.imports.reading import Preset, Reading
from portfolio.imports.tables import Record, Table, normal
from portfolio.rows import Kind

# ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,Subtotal,
#   Total (inclusive of fees and/or spread),Fees and/or Spread,Notes[,Sender Address,Recipient Address]
# 623d6507925c,2022-03-25 06:45:27 UTC,Buy,BTC,0.00166779,EUR,€39999.331136545,€67.01,€70.00,€2.99,Bought 0.00166779 BTC
HEADER = ("Timestamp", "Transaction Type", "Asset", "Quantity Transacted", "Subtotal", "Notes")
TOTAL, FEES = "Total (inclusive of fees and/or spread)", "Fees and/or Spread"
# Until 2023 they were called so, and there was no ID.
OLDER = {"Price Currency": "Spot Price Currency", "Price at Transaction": "Spot Price at Transaction"}
_SIGNS = str.maketrans("", "", "€$£¥₹ ")

# Of the currencies that Coinbase holds accounts in.
FIAT = frozenset(
    {"USD", "EUR", "GBP", "CAD", "AUD", "SGD", "CHF", "JPY", "BRL", "INR", "TRY", "MXN", "NZD", "SEK"}
)
_BUYS = {"buy", "advanced trade buy", "advance trade buy"}
_SELLS = {"sell", "advanced trade sell", "advance trade sell", "card spend"}
_INS = {"receive", "deposit", "exchange withdrawal", "pro withdrawal", "vault withdrawal", "admin credit"}
_OUTS = {"send", "withdrawal", "exchange deposit", "pro deposit", "admin debit"}
_REWARDS = {
    "rewards income", "reward income", "staking income", "inflation reward", "learning reward", "coinbase earn",
    "incentives rewards payout", "credit card reward", "card buy back", "retail simple price improvement",
}  # fmt: skip
# From one pocket of the account into another.
_INTERNAL = {
    "retail staking transfer",
    "retail unstaking transfer",
    "retail eth2 deprecation",
    "asset migration",
}
_CONVERTED = re.compile(r"Converted ([0-9.,eE-]+) (\S+) to ([0-9.,eE-]+) (\S+)")


class _Row(NamedTuple):
    place: int
    id: str
    when: datetime | date | None
    type: str
    asset: str
    quantity: Decimal
    currency: str
    price: Decimal
    subtotal: Decimal
    total: Decimal
    fee: Decimal
    note: str


_COLUMNS = {
    "time": "Timestamp", "kind": "Transaction Type", "symbol": "Asset", "quantity": "Quantity Transacted",
    "amount": "Quantity Transacted", "fee": FEES,
}  # fmt: skip


def find(head: Sequence[Record]) -> int | None:
    for index, (_, row) in enumerate(head):
        if {normal(name) for name in HEADER[:4]} <= {normal(cell) for cell in row}:
            return index
    return None


def read(reading: Reading) -> None:
    table = reading.table(decimal=".")
    if not table.needs(*HEADER):
        return
    rows = _rows(table)
    converted = _conversions(rows)
    for row in rows:
        if row.place in table.bad:
            continue
        if not row.quantity:
            table.fail(row.place, "Quantity Transacted", "expected a quantity other than 0, was 0")
        elif row.type == "convert":
            _convert(reading, table, row, both=len(converted[row.when, row.note]) < 2)
        elif row.asset in FIAT or row.asset == row.currency:
            _cash(reading, table, row)
        else:
            _coins(reading, table, row)


def _rows(table: Table) -> list[_Row]:
    def either(name: str) -> str:
        return name if table.has(name) else OLDER[name]

    def money(name: str) -> list[Decimal]:
        return [value or ZERO for value in table.numbers(name, lambda text: text.translate(_SIGNS))]

    whens, types, assets = table.moments("Timestamp"), table.texts("Transaction Type"), table.texts("Asset")
    quantities, currencies = money("Quantity Transacted"), table.texts(either("Price Currency"))
    prices = money(either("Price at Transaction"))
    subtotals, totals, fees = money("Subtotal"), money(TOTAL), money(FEES)
    ids, notes = table.texts("ID"), table.texts("Notes")
    return [
        _Row(
            index,
            f"coinbase:{ids[index]}" if ids[index] else "",
            whens[index],
            normal(types[index]),
            assets[index],
            quantities[index],
            currencies[index],
            prices[index],
            abs(subtotals[index]),
            abs(totals[index]),
            fees[index],
            notes[index],
        )
        for index in range(len(table.rows))
    ]


def _conversions(rows: Sequence[_Row]) -> dict[tuple[datetime | date | None, str], set[str]]:
    """The assets with rows of each conversion: some exports have one row, some one for each side."""
    found = defaultdict(set)
    for row in rows:
        if row.type == "convert":
            found[row.when, row.note].add(row.asset)
    return found


def _unit(money: Decimal, row: _Row) -> Decimal:
    """The price that money makes; without any, the spot price to our 18 places."""
    return per_unit(money, abs(row.quantity)) if money else rounded(row.price)


def _add(reading: Reading, table: Table, row: _Row, kind: Kind, **fields: object) -> None:
    reading.add(
        table,
        row.place,
        row.when,
        kind,
        _COLUMNS,
        currency=row.currency,
        trade_id=row.id,
        note=row.note,
        **fields,
    )


def _trade(
    reading: Reading, table: Table, row: _Row, kind: Kind, price: Decimal, fee: Decimal = ZERO
) -> None:
    trade = {"quantity": abs(row.quantity), "price": price, "fee": fee, "multiplier": Decimal(1)}
    _add(reading, table, row, kind, symbol=row.asset, **trade)


def _coins(reading: Reading, table: Table, row: _Row) -> None:
    if row.type in _BUYS or row.type in _SELLS:
        _trade(
            reading, table, row, "buy" if row.type in _BUYS else "sell", _unit(row.subtotal, row), max(row.fee, ZERO)
        )  # fmt: skip
    elif row.type in _REWARDS:
        if row.subtotal:
            _add(reading, table, row, "dividend", symbol=row.asset, amount=row.subtotal)
        _trade(reading, table, row, "buy", per_unit(row.subtotal, abs(row.quantity)))
    elif row.type in _INS or row.type in _OUTS:
        _trade(
            reading, table, row, "transfer_in" if row.type in _INS else "transfer_out", rounded(row.price)
        )  # fmt: skip
    elif row.type in _INTERNAL:
        reading.leave_out(
            table, row.place, "Transaction Type", "moves coins inside Coinbase: nothing is bought or sold"
        )
    else:
        table.fail(
            row.place,
            "Transaction Type",
            f"expected a type of transaction that we know, was {quoted(row.type)}: enter it by hand",
        )


def _cash(reading: Reading, table: Table, row: _Row) -> None:
    """Money paid in and out: its asset is the currency."""
    cash = row._replace(currency=row.asset)
    if row.type in _INS:
        _add(reading, table, cash, "deposit", amount=abs(row.quantity), fee=max(row.fee, ZERO))
    elif row.type in _OUTS:
        _add(reading, table, cash, "withdrawal", amount=abs(row.quantity), fee=max(row.fee, ZERO))
    elif row.type in _REWARDS:
        _add(reading, table, cash, "interest", amount=abs(row.quantity))
    else:
        table.fail(
            row.place,
            "Transaction Type",
            f"expected money paid in or out, was {quoted(row.type)} of {row.asset}: enter it by hand",
        )


def _convert(reading: Reading, table: Table, row: _Row, both: bool) -> None:
    """Sells the one and buys the other; what the total is above the subtotal is the purchase's fee."""
    match = _CONVERTED.match(row.note)
    if match is None:
        table.fail(
            row.place,
            "Notes",
            f"expected a note like 'Converted 1 BTC to 20 ETH', was {quoted(row.note)}",
        )
        return
    source, target = match[2], match[4]
    given = row.total or row.subtotal
    received = min(row.subtotal or given, given)
    if row.asset == source:
        _trade(reading, table, row, "sell", _unit(given, row))
    if row.asset == target and not both:
        _trade(reading, table, row, "buy", _unit(given, row))
        return
    if not both:
        return
    other = source if row.asset == target else target
    try:
        quantity = number(match[1] if other == source else match[3])
    except ValueError as error:
        table.fail(row.place, "Notes", str(error))
        return
    if not quantity:
        table.fail(row.place, "Notes", f"expected quantities above 0, was {quoted(row.note)}")
        return
    side = row._replace(asset=other, quantity=quantity)
    if other == target:
        _trade(reading, table, side, "buy", _unit(received, side), given - received)
    else:
        _trade(reading, table, row, "buy", _unit(received, row), given - received)
        _trade(reading, table, side, "sell", _unit(given, side))


PRESET = Preset("coinbase", "Coinbase transaction history (CSV)", HEADER, find, read)
