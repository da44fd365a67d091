"""What every preset reads with: the records in, drafts, problems and rows left out.

A preset is two functions: one finds its header among the first records, the other reads all that follows. It imports
this, `tables`, `drafts` and `cells`, and nothing else of ours.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from assets.market import bounded
from portfolio.imports.cells import quoted
from portfolio.imports.drafts import Notes, Options, RowDraft, check, is_currency
from portfolio.imports.tables import Record, Table
from portfolio.rows import Kind

LONGEST = {"symbol": 64, "other_symbol": 64, "trade_id": 200}
# Longer ones are cut: a broker's sentence is worth no refusal.
CUT = {"name": 255, "note": 2_000, "exchange": 32}
CURRENCIES = ("currency", "fee_currency", "settlement_currency", "to_currency", "other_currency")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")

_NO_COLUMNS: Mapping[str, str] = {}


@dataclass(slots=True)
class Reading:
    """One file being read; `start` is the place of the header among `records`."""

    records: list[Record]
    start: int
    delimiter: str
    options: Options
    problems: Notes
    left_out: Notes
    text: str = ""
    drafts: list[RowDraft] = field(default_factory=list)

    def table(self, **how: Any) -> Table:
        """The header and every record below it."""
        line, header = self.records[self.start]
        return self.table_of(header, self.records[self.start + 1 :], line, **how)

    def table_of(self, header: Sequence[str], rows: list[Record], line: int, **how: Any) -> Table:
        return Table(
            header,
            rows,
            line=line,
            delimiter=self.delimiter,
            options=self.options,
            problems=self.problems,
            **how,
        )

    def leave_out(self, table: Table, index: int, column: str, message: str) -> None:
        self.left_out.add(table.rows[index].line, table.column_name(column), message)

    def add(
        self,
        table: Table,
        index: int,
        when: datetime | date | None,
        kind: Kind,
        columns: Mapping[str, str] = _NO_COLUMNS,
        **fields: Any,
    ) -> None:
        """Adds a draft unless its row is bad; `columns` are the file's names of the fields, for errors."""

        def complain(name: str, message: str) -> None:
            table.fail(index, columns.get(name, name), message)

        if index in table.bad:
            return
        if when is None:
            complain("time", "expected a date, was none")
            return
        draft = self.draft(table.rows[index].line, when, kind, complain, raw=table.raw(index), **fields)
        check(draft, complain)
        if index not in table.bad:
            self.drafts.append(draft)

    def draft(
        self,
        line: int,
        when: datetime | date,
        kind: Kind,
        complain: Callable[[str, str], None],
        **fields: Any,
    ) -> RowDraft:
        """Builds a draft; its texts are bounded, its currencies are codes, an ISIN that is none is dropped."""
        for name, longest in LONGEST.items():
            if len(fields.get(name, "")) > longest:
                complain(name, f"expected at most {longest} characters, was a text of {len(fields[name]):,}")
        for name, longest in CUT.items():
            if len(fields.get(name, "")) > longest:
                fields[name] = fields[name][: longest - 1] + "…"
        for name in CURRENCIES:
            code = fields.get(name)
            if code:
                fields[name] = code.upper()
                if not is_currency(code):
                    complain(name, f"expected a currency like USD, was {quoted(code)}")
        for name, value in fields.items():
            if isinstance(value, Decimal):
                try:
                    bounded(value)
                except ValueError as error:
                    complain(name, str(error))
        if not _ISIN.fullmatch(fields.get("isin", "")):
            fields["isin"] = ""
        if not fields.get("currency"):
            fields["currency"] = self.options.currency or ""
        if isinstance(when, datetime):
            return RowDraft(line=line, kind=kind, time=when, **fields)
        return RowDraft(line=line, kind=kind, day=when, **fields)


@dataclass(frozen=True, slots=True)
class Preset:
    """One kind of file; `find` returns the place of its header among the first records, or None.

    `header` are its columns, for the error when there is none. `read_json` reads a file that is JSON.
    """

    name: str
    title: str
    header: Sequence[str]
    find: Callable[[Sequence[Record]], int | None]
    read: Callable[[Reading], None]
    read_json: Callable[[Reading], None] | None = None
