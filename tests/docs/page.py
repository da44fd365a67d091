"""Reads a page of the documentation: its tables, its equations, and what a line of arithmetic comes to."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path

from portfolio.arithmetic import EXACT, div

DOCS = Path(__file__).parent.parent.parent / "docs"


class Page:
    """A page by its headings; a section ends at the next heading, whatever its level."""

    def __init__(self, name: str) -> None:
        self.text = (DOCS / name).read_text()
        parts = re.split(r"^#+ (.+)$", self.text, flags=re.MULTILINE)
        self._sections = dict(zip(parts[1::2], parts[2::2], strict=True))

    def section(self, heading: str) -> str:
        return self._sections[heading]

    def tables(self, heading: str) -> list[list[dict[str, str]]]:
        """Returns the section's tables, each as rows by column."""
        blocks = re.findall(r"(?:^\|.*\n?)+", self.section(heading), re.MULTILINE)
        return [_table(block.splitlines()) for block in blocks]

    def table(self, heading: str) -> list[dict[str, str]]:
        """Returns the only table of a section."""
        (table,) = self.tables(heading)
        return table

    def equations(self) -> Iterator[str]:
        """Yields each line of the blocks that name no language."""
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL):
            if not language:
                yield from block.splitlines()


def _table(lines: list[str]) -> list[dict[str, str]]:
    header, rule, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert set("".join(rule)) <= set("-: "), rule
    return [dict(zip(header, row, strict=True)) for row in rows]


def names_in(cell: str) -> list[str]:
    """Returns what stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


MINUS, TIMES = "\u2212", "\u00d7"


def plain(text: str) -> str:
    """A number as a program writes it."""
    return text.replace(",", "").replace(MINUS, "-")


def number(text: str) -> Decimal:
    return Decimal(plain(text))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def computed(how: str) -> Decimal:
    """What a line of arithmetic comes to: exactly, but for divisions, which round to 18 places."""
    source = plain(how).replace(TIMES, "*")
    with localcontext(EXACT):
        return _value(ast.parse(source, mode="eval").body, source)


def _value(node: ast.expr, source: str) -> Decimal:
    match node:
        case ast.Constant():
            return Decimal(ast.get_source_segment(source, node) or "")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, source)
        case ast.BinOp(left=left, op=operator, right=right):
            a, b = _value(left, source), _value(right, source)
            match operator:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.Div():
                    return div(a, b)
    raise ValueError(f"expected numbers, their sums, products and quotients, was {source}")
