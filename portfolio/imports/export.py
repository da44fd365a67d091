"""Writes CSV that our own import reads back to equal drafts, and a valuation's unrounded numbers.

Numbers are canonical (no exponent, nothing rounded), times ISO 8601 in UTC, quoting RFC 4180, and text that a
spreadsheet would run as a formula is guarded by an apostrophe that the import takes off.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from portfolio.imports.cells import guarded, plain
from portfolio.imports.drafts import RowDraft
from portfolio.imports.own import COLUMNS, NUMBERS, RECEIPT
from portfolio.rows import Row

# What a page or an API gives to one write: a few hundred kilobytes.
ROWS_AT_ONCE = 1_000

_SHARED = tuple(name for name in RowDraft.__struct_fields__ if name in Row.__dataclass_fields__)
_ZERO_IF_UNUSED = frozenset(NUMBERS) | {"numerator", "denominator"}
# What is given away is bought for nothing, and says so.
_PRICED = {("price", "buy"), ("price", "sell")}


def draft_of(row: Row, **more: Any) -> RowDraft:
    """Returns a ledger's row as a draft, for export or to compare with a file's; `more` is what the row doesn't know.

    A row that was entered by its date is told so by `day=`, which takes the place of its time.
    """
    values: dict[str, Any] = {}
    for name in _SHARED:
        value = getattr(row, name)
        if value is not None:
            values[name] = value
    # What belongs to an asset says nothing where there is none.
    if row.symbol is None:
        values.pop("multiplier", None)
    if row.other_symbol is None:
        values.pop("other_multiplier", None)
    values |= {"row": row.id} | more
    for day, time in (("day", "time"), ("pay_day", "pay_time")):
        if values.get(day) is not None:
            values.pop(time, None)
    return RowDraft(line=0, **values)


def export_csv(drafts: Iterable[RowDraft], receipt: str = "") -> str:
    """Returns the rows in our own format; `receipt` fills a last column."""
    return "".join(export_lines(drafts, receipt))


def export_lines(drafts: Iterable[RowDraft], receipt: str = "") -> Iterator[str]:
    """Yields the same in parts, for a response that is streamed."""
    header = (*COLUMNS, RECEIPT) if receipt else COLUMNS
    end = [guarded(receipt)] if receipt else []
    yield from _written(header, ([*map(_text, _cells(draft)), *end] for draft in drafts))


def _cells(draft: RowDraft) -> Iterator[object]:
    for name in COLUMNS:
        match name:
            case "time":
                yield draft.time if draft.time is not None else draft.day
            case "pay_time":
                yield draft.pay_time if draft.pay_time is not None else draft.pay_day
            case "lots":
                yield ";".join(f"{row}:{plain(quantity)}" for row, quantity in draft.lots)
            case _:
                value = getattr(draft, name)
                # A number that a kind has no use for is an empty cell.
                is_unused = name in _ZERO_IF_UNUSED and value == 0 and (name, draft.kind) not in _PRICED
                yield None if is_unused else value


def valuation_csv(
    positions: Iterable[Mapping[str, object]], receipt_id: str, columns: Sequence[str] | None = None
) -> str:
    """Returns one line a position, its numbers unrounded, and the receipt's id on each.

    A mapping inside (`explain`) becomes columns `explain.price`, …; without `columns` they are all that any position
    has, in order of their first appearance.
    """
    rows = [dict(_flat(position)) for position in positions]
    names = (
        list(columns) if columns is not None else list(dict.fromkeys(name for row in rows for name in row))
    )
    lines = ([guarded(receipt_id), *(_text(row.get(name)) for name in names)] for row in rows)
    return "".join(_written([RECEIPT, *map(guarded, names)], lines))


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: object) -> str:
    """A cell: numbers stay numbers, text is guarded."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return plain(value)
        case int():
            return str(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Enum():
            return guarded(str(value.value))
        case list() | tuple():
            return guarded(" ".join(map(str, value)))
        case _:
            return guarded(str(value))


def _written(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(header)
    for count, row in enumerate(rows, start=1):
        writer.writerow(row)
        if count % ROWS_AT_ONCE == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
