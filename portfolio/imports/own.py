"""Our own format, and any hand-made file whose columns have our names or common ones.

A file with exactly the header of our export has canonical numbers; in any other the decimal separator must be proven
or chosen. A column that we do not know is an error, because what stands in it would be lost.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from datetime import time as clock
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from portfolio.imports.cells import number, quoted
from portfolio.imports.drafts import major_currency
from portfolio.imports.reading import Preset, Reading
from portfolio.imports.tables import Record, Table, normal
from portfolio.rows import KINDS, Kind

NAME = "livefolio"

# In the order in which the export writes them; each is a field of the draft but `time` and `pay_time`, which may
# hold a date.
COLUMNS = (
    "row", "time", "kind", "symbol", "isin", "name", "exchange", "quantity", "price", "multiplier", "amount",
    "currency", "fee", "fee_currency", "fee_rate", "tax", "settlement_currency", "settlement_rate", "rate",
    "base_value", "to_currency", "to_amount", "pay_time", "numerator", "denominator", "other_symbol",
    "other_currency", "other_multiplier", "option_right", "cost_share", "cost", "base_cost", "opened", "lots",
    "reverses", "trade_id", "note",
)  # fmt: skip
# An export may say what it was made from; it says nothing of a row.
RECEIPT = "receipt"

NUMBERS = ("quantity", "price", "amount", "fee", "tax", "to_amount", "cost", "cost_share")
RATES = ("multiplier", "fee_rate", "rate", "base_value", "settlement_rate", "other_multiplier", "base_cost")
CURRENCIES = ("currency", "fee_currency", "settlement_currency", "to_currency", "other_currency")
WORDS = ("symbol", "isin", "exchange", "other_symbol", "trade_id")
SENTENCES = ("name", "note")
WHOLE = ("numerator", "denominator", "row", "reverses")

ALIASES = {
    "date": "time", "day": "time", "datetime": "time", "date/time": "time", "trade date": "time", "timestamp": "time",
    "type": "kind", "action": "kind", "transaction type": "kind", "side": "kind",
    "ticker": "symbol", "ticker symbol": "symbol", "asset": "symbol", "code": "symbol",
    "security": "name", "security name": "name",
    "shares": "quantity", "units": "quantity", "qty": "quantity",
    "unit price": "price", "price per share": "price", "share price": "price",
    "total": "amount", "fees": "fee", "commission": "fee", "taxes": "tax", "withholding": "tax",
    "withholding tax": "tax", "ccy": "currency", "exchange rate": "rate", "fx rate": "rate",
    "pay date": "pay_time", "payment date": "pay_time", "trade id": "trade_id", "transaction id": "trade_id",
    "comment": "note", "notes": "note", "description": "note",
}  # fmt: skip
KIND_ALIASES: dict[str, Kind] = {
    "purchase": "buy", "bought": "buy", "sale": "sell", "sold": "sell", "withdraw": "withdrawal",
    "dividends": "dividend",
    "conversion": "convert", "fx": "convert", "fees": "fee", "taxes": "tax", "stock split": "split",
    "transfer in": "transfer_in", "transfer out": "transfer_out", "spin off": "spinoff", "expiry": "expire",
}  # fmt: skip

_KINDS: dict[str, Kind] = {normal(kind): kind for kind in KINDS} | KIND_ALIASES
_FIELDS = {normal(name): name for name in COLUMNS} | ALIASES
_RIGHTS = {"": "", "call": "call", "c": "call", "put": "put", "p": "put"}
# A longer name is no misspelt one of ours, and comparing it takes long.
LONGEST_NAME = 40
_WHOLE = re.compile(r"[0-9]{1,18}")
_LOT = re.compile(r"([0-9]{1,18}):([0-9.]{1,60})")


def find(head: Sequence[Record]) -> int | None:
    """The first row that names both a time and a kind."""
    for index, (_, row) in enumerate(head):
        fields = {_FIELDS.get(normal(cell)) for cell in row}
        if {"time", "kind"} <= fields:
            return index
    return None


def read(reading: Reading) -> None:
    header = reading.records[reading.start].cells
    is_export = tuple(header) in (COLUMNS, (*COLUMNS, RECEIPT)) and reading.delimiter == ","
    table = reading.table(decimal="." if is_export else None)
    columns = _columns(table)
    if not columns:
        return

    def of(name: str, read: Callable[[str], list[Any]]) -> list[Any]:
        return read(columns[name]) if name in columns else [None] * len(table.rows)

    kinds = of("kind", table.texts)
    fields: dict[str, list[Any]] = {name: of(name, table.numbers) for name in NUMBERS + RATES}
    fields |= {name: of(name, table.texts) for name in CURRENCIES + WHOLE}
    fields |= {name: of(name, table.unguarded) for name in WORDS + SENTENCES}
    fields |= {name: of(name, table.texts) for name in ("option_right", "lots")}
    times = of("time", table.moments)
    pay_times, opened = of("pay_time", table.moments), of("opened", table.moments)

    for index, name in enumerate(kinds):
        kind = _KINDS.get(normal(name))
        if kind is None:
            hint = "" if reading.problems.are_full else _hint(name, _KINDS, f", one of {', '.join(KINDS)}")
            table.fail(index, columns["kind"], f"expected a kind of row, was {quoted(name)}{hint}")
            continue
        values = {name: column[index] for name, column in fields.items() if column[index] not in (None, "")}
        _convert(table, index, columns, values)
        values |= _pay(pay_times[index]) | _opened(opened[index])
        if kind in ("buy", "sell") and "price" not in values and index not in table.bad:
            table.fail(index, columns.get("price", "price"), f"expected a price with a {kind}, was none")
        reading.add(table, index, times[index], kind, columns, **values)


def _columns(table: Table) -> dict[str, str]:
    """The file's column of each field; empty, with problems, if one is unknown or there twice."""
    columns: dict[str, str] = {}
    wrong = False
    for name in table.names:
        field = _FIELDS.get(normal(name))
        if field is None and (not name or normal(name) == RECEIPT):
            continue
        if field is None:
            wrong = True
            hint = _hint(name, _FIELDS, f": there are {', '.join(COLUMNS)}")
            table.problems.add(table.line, name, f"expected a column that we know, was {quoted(name)}{hint}")
        elif field in columns:
            wrong = True
            table.problems.add(
                table.line, name, f"expected one column for {field}, was {columns[field]!r} and {name!r}"
            )
        else:
            columns[field] = name
    return {} if wrong else columns


def _hint(name: str, known: Mapping[str, str], otherwise: str) -> str:
    near = get_close_matches(normal(name[:LONGEST_NAME]), known, 1)
    return f"; did you mean {known[near[0]]}?" if near else otherwise


def _convert(table: Table, index: int, columns: dict[str, str], values: dict[str, Any]) -> None:
    """Turns texts into what the draft's fields are."""
    for name in CURRENCIES:
        if name in values:
            was = values[name]
            code, unit = major_currency(was)
            if unit != 1:
                values[name] = code
                table.fail(
                    index,
                    columns[name],
                    f"expected the currency {code}, was {quoted(was)}: state amounts in {code}",
                )
    for name in WORDS:
        if name in values:
            values[name] = values[name].strip()
    for name in WHOLE:
        if name in values:
            if _WHOLE.fullmatch(values[name]):
                values[name] = int(values[name])
            else:
                table.fail(index, columns[name], f"expected a whole number, was {quoted(values.pop(name))}")
    if "isin" in values:
        values["isin"] = values["isin"].upper()
    if "option_right" in values:
        right = _RIGHTS.get(normal(values["option_right"]))
        if right is None:
            table.fail(
                index,
                columns["option_right"],
                f"expected call or put, was {quoted(values['option_right'])}",
            )
        values["option_right"] = right or ""
    if "lots" in values:
        try:
            values["lots"] = _lots(values["lots"])
        except ValueError as error:
            values["lots"] = ()
            table.fail(index, columns["lots"], str(error))


def _lots(text: str) -> tuple[tuple[int, Decimal], ...]:
    """Reads "12:100;15:2.5": the rows whose lots are chosen, with their quantities."""
    found = []
    for part in text.split(";"):
        match = _LOT.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"expected lots like 12:100;15:2.5, was {quoted(text)}")
        found.append((int(match[1]), number(match[2])))
    return tuple(found)


def _pay(when: datetime | date | None) -> dict[str, Any]:
    if when is None:
        return {}
    return {"pay_time": when} if isinstance(when, datetime) else {"pay_day": when}


def _opened(when: datetime | date | None) -> dict[str, Any]:
    if when is None:
        return {}
    return {"opened": when if isinstance(when, datetime) else datetime.combine(when, clock(0), UTC)}


PRESET = Preset(NAME, "Livefolio, or columns with our names (CSV)", ("time", "kind", "symbol"), find, read)
