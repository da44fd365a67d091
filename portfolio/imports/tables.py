"""Bytes to text to records to columns: encoding, delimiter, quotes, counts, and a problem at each cell that fails.

Knows no broker. A record is a row of the file with the line it begins in; a Table is a header and the records below
it, read column by column, because a number's format is proven by its whole column and not by one cell.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from portfolio.imports import cells
from portfolio.imports.drafts import DELIMITER_NAMES, Notes, Options

MOST_ROWS = 100_000
MOST_BYTES = 32 * 1024 * 1024
# A header comes after a few lines of preamble at most.
HEAD = 60
LONGEST_RAW = 500

_OTHER_FILES = {
    b"PK\x03\x04": "a zip or Excel file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip file",
}
_BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


Clean = Callable[[str], str]


class Record(NamedTuple):
    line: int
    cells: list[str]


def decoded(data: bytes, options: Options, problems: Notes) -> tuple[str, str]:
    """Returns the text and its encoding; on a problem, an empty text."""
    if len(data) > MOST_BYTES:
        problems.add(1, "", f"expected at most {MOST_BYTES:,} bytes, was {len(data):,}: import it in parts")
        return "", ""
    for magic, what in _OTHER_FILES.items():
        if data.startswith(magic):
            problems.add(1, "", f"expected a CSV or JSON file, was {what}: save it as 'CSV UTF-8' first")
            return "", ""
    encoding, start = options.encoding or "utf-8", 0
    for bom, name in _BOMS.items():
        if data.startswith(bom):
            encoding, start = name, len(bom)
    try:
        text = data[start:].decode(encoding)
    except UnicodeDecodeError as error:
        at = start + error.start
        line = _line_after(data[start:at].decode(encoding, "replace"))
        how = "save the file as 'CSV UTF-8'"
        if encoding == "utf-8":
            how += ", or choose the encoding cp1252 (Windows) if that is what it has"
        problems.add(line, "", f"expected {encoding.upper()}, was the byte 0x{data[at]:02X}: {how}")
        return "", encoding
    if "\x00" in text:
        line = _line_after(text[: text.index("\x00")])
        problems.add(line, "", "expected text, was a NUL character: save the file as 'CSV UTF-8'")
        return "", encoding
    return text, encoding


def _line_after(text: str) -> int:
    return (text.count("\n") or text.count("\r")) + 1


def is_too_long(text: str, problems: Notes) -> bool:
    """Whether there are more rows than are imported at once, by counting lines: no cell is looked at."""
    lines = text.count("\n") or text.count("\r")
    lines += not text.endswith(("\n", "\r"))
    # One line is the header.
    if lines <= MOST_ROWS + 1:
        return False
    problems.add(
        1,
        "",
        f"expected at most {MOST_ROWS:,} rows, was {lines - 1:,}: import the file in parts, by year say",
    )
    return True


def head(text: str, delimiter: str) -> list[Record]:
    """The first records, split by one delimiter, as far as they can be read."""
    return list(islice(records(text, delimiter, Notes()), HEAD))


def records(text: str, delimiter: str, problems: Notes) -> Iterable[Record]:
    """Yields the records that have any text."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(line, "", _csv_problem(str(error), delimiter))
            continue
        if any(row) and any(cell.strip() for cell in row):
            yield Record(line, row)


def _csv_problem(error: str, delimiter: str) -> str:
    if "unexpected end of data" in error:
        return "expected a closing quote, was the end of the file: a quote that begins in this row is never closed"
    if "expected after" in error:
        return f"expected a {DELIMITER_NAMES[delimiter]} after a closing quote, was other text"
    if "field larger" in error:
        return f"expected a cell of at most {csv.field_size_limit():,} characters, was a longer one: is a quote open?"
    return f"expected a row of cells, was one that cannot be read ({error})"


def normal(name: str) -> str:
    """A column's name as names compare."""
    return " ".join(name.replace("\ufeff", "").replace("_", " ").split()).casefold()


class Table:
    """A header and the records below it; rows with a problem are in `bad` and their converted cells worth nothing."""

    def __init__(
        self,
        header: Sequence[str],
        rows: list[Record],
        *,
        line: int,
        delimiter: str,
        options: Options,
        problems: Notes,
        zone: str = "UTC",
        order: str = "iso",
        decimal: str | None = None,
        exact: bool = True,
    ) -> None:
        self.names = [name.strip() for name in header]
        self.rows = rows
        self.bad: set[int] = set()
        self.problems = problems
        self.line = line
        self._delimiter = delimiter
        self._options = options
        self._zone = options.zone(zone)
        self._order = options.dates or order
        self._decimal = options.decimal or decimal
        self._index: dict[str, int] = {}
        for position, name in enumerate(self.names):
            self._index.setdefault(normal(name), position)
        self._count_cells(exact)

    def _count_cells(self, exact: bool) -> None:
        width = len(self.names)
        for index, (line, row) in enumerate(self.rows):
            if len(row) == width:
                continue
            surplus = row[width:]
            del row[width:]
            row.extend([""] * (width - len(row)))
            # Even an empty one too many may mean that a number with a comma has shifted the rest.
            if any(surplus) or exact:
                was = width + len(surplus) if surplus else sum(1 for cell in row if cell)
                self.fail(index, "", f"expected {width} cells, was {was}{self._why(line, surplus)}")

    def _why(self, line: int, surplus: Sequence[str]) -> str:
        if surplus and self._delimiter == ",":
            return ": a number with a comma must stand in quotes"
        return "" if surplus else ": is the row cut off, or are its cells separated by something else?"

    def has(self, *names: str) -> bool:
        return all(normal(name) in self._index for name in names)

    def column_name(self, name: str) -> str:
        """The column's name as the file has it."""
        position = self._index.get(normal(name))
        return name if position is None else self.names[position]

    def needs(self, *names: str) -> bool:
        """Whether the columns are there, each once; a problem for each that is not."""
        counts = Counter(map(normal, self.names))
        fine = True
        for name in names:
            if counts[normal(name)] == 1:
                continue
            fine = False
            if counts[normal(name)] == 0:
                self.problems.add(self.line, name, f"expected a column {name!r}, was none")
            else:
                self.problems.add(
                    self.line, name, f"expected one column {name!r}, was {counts[normal(name)]}"
                )
        return fine

    def fail(self, index: int, name: str, message: str) -> None:
        """Notes a problem of one row."""
        self.bad.add(index)
        self.problems.add(self.rows[index].line, self.column_name(name) if name else "", message)

    def texts(self, name: str) -> list[str]:
        """The column's cells, stripped; empty ones if there is no such column."""
        position = self._index.get(normal(name))
        if position is None:
            return [""] * len(self.rows)
        return [row[position].strip() for _, row in self.rows]

    def unguarded(self, name: str) -> list[str]:
        """The column's cells as they are, what guards them from spreadsheets taken off."""
        position = self._index.get(normal(name))
        if position is None:
            return [""] * len(self.rows)
        return [cells.unguarded(row[position]) for _, row in self.rows]

    def prove_decimal(self, names: Iterable[str], clean: Clean = str) -> None:
        """Finds the decimal separator in all these columns together: for what one program wrote in one locale."""
        texts = [clean(text) for name in names for text in self.texts(name)]
        self._decimal = self._decimal or cells.find_decimal(texts)[0]

    def numbers(self, name: str, clean: Clean = str) -> list[Decimal | None]:
        """The column's numbers, None for an empty cell; `clean` takes off what is no part of the number."""
        texts = list(map(clean, self.texts(name)))
        decimal = self._decimal or self._proven_decimal(name, texts)
        if decimal is None:
            return [None] * len(texts)
        known: dict[str, Decimal | None] = {"": None}
        found: list[Decimal | None] = []
        for index, text in enumerate(texts):
            if text not in known:
                try:
                    known[text] = cells.number(text, decimal)
                except ValueError as error:
                    self.fail(index, name, str(error))
                    found.append(None)
                    continue
            found.append(known[text])
        return found

    def _proven_decimal(self, name: str, texts: Sequence[str]) -> str | None:
        """The column's decimal separator; a problem and None if it proves both or cannot be told."""
        decimal, seen = cells.find_decimal(texts)
        if decimal is not None:
            return decimal
        both = "." in seen and "," in seen
        proofs = [seen["."], seen[","]] if both else [seen["?"]]
        index = max(texts.index(proof) for proof in proofs)
        named = " and ".join(map(cells.quoted, proofs))
        if both:
            message = f"expected one decimal separator in the column, was {named}"
        else:
            message = (
                f"expected a decimal separator that is certain, was {named}, which may be two numbers: "
                "choose the decimal separator '.' or ','"
            )
        self.fail(index, name, message)
        # Read either way, none of the column can be trusted.
        self.bad.update(index for index, text in enumerate(texts) if text)
        return None

    def moments(self, name: str, clean: Clean = str) -> list[datetime | date | None]:
        """The column's times (UTC) and dates, None for an empty cell."""
        known: dict[str, datetime | date | None] = {"": None}
        found: list[datetime | date | None] = []
        for index, text in enumerate(map(clean, self.texts(name))):
            if text not in known:
                try:
                    known[text] = cells.moment(text, self._zone, self._order)
                except ValueError as error:
                    self.fail(index, name, str(error))
                    found.append(None)
                    continue
            found.append(known[text])
        return found

    def raw(self, index: int) -> str:
        """The row as text, for whoever looks for it in the file."""
        return self._delimiter.join(self.rows[index].cells).rstrip(self._delimiter)[:LONGEST_RAW]
