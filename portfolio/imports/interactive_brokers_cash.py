"""Interactive Brokers' cash lines, which its statement and its Flex queries write alike.

A dividend and the tax withheld on it are two lines with one description ("AAPL(US0378331005) Cash Dividend USD 0.24
per Share - US Tax"); they become one row, gross with its tax. A tax without its dividend, a refund, and a dividend
taken back stay rows of their own.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from portfolio.arithmetic import ZERO
from portfolio.imports.reading import Reading
from portfolio.imports.tables import Table
from portfolio.rows import Kind

LONGEST_DESCRIPTION = 500

What = Literal["dividend", "withholding", "interest", "fee", "cash"]

# The parts after the amount per share say whose tax it is or that it is taken back.
_SUBJECT = re.compile(r"(?P<symbol>[^()]{1,40}?)\s*\((?P<isin>[A-Z0-9]{3,12})\)\s*(?P<text>.*)")
_TAIL = re.compile(r"(\s+-\s+(?:[A-Z]{2} tax|fee|reversal))*(\s*\([^()]*\))?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CashLine:
    """One line, signed as the broker does: money received is above zero."""

    table: Table
    index: int
    what: What
    when: datetime | date | None
    currency: str
    amount: Decimal
    description: str
    symbol: str = ""
    isin: str = ""
    id: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for a dividend and the tax withheld on it."""
        text = _SUBJECT.sub(r"\g<text>", self.description)
        return self.symbol, self.isin, self.when, self.currency, _TAIL.sub("", text).casefold()


def bounded_text(description: str) -> str:
    """No description is longer, and the expressions here would take long for a megabyte of spaces."""
    return " ".join(description[:LONGEST_DESCRIPTION].split())


def subject(description: str) -> tuple[str, str]:
    """Returns the symbol and the ISIN with which a description begins."""
    match = _SUBJECT.match(description)
    if match is not None:
        return match["symbol"].strip(), match["isin"]
    # Before 2014 there was no ISIN: "AAPL Dividend 3.05 USD per Share".
    word, _, rest = description.partition(" ")
    return (word, "") if "dividend" in rest.casefold() else ("", "")


def add_cash(reading: Reading, lines: Sequence[CashLine], columns: Mapping[str, str]) -> None:
    """Makes drafts of the lines; `columns` are the names of the file's columns."""
    withheld: dict[tuple[Any, ...], list[CashLine]] = defaultdict(list)
    for line in lines:
        if line.what == "withholding":
            withheld[line.key].append(line)
    for line in lines:
        if line.what == "dividend":
            taxes = withheld.get(line.key, [])
            tax = -sum((each.amount for each in taxes), ZERO)
            # One row's tax cannot be above what it is withheld from, nor below nothing.
            if taxes and ZERO <= tax <= line.amount:
                del withheld[line.key]
            else:
                tax = ZERO
            _add_dividend(reading, line, columns, tax)
        elif line.what == "interest":
            _add(reading, line, "interest", columns, amount=line.amount)
        elif line.what == "fee":
            _add_cost(reading, line, "fee", columns)
        elif line.what == "cash":
            kind: Kind = "deposit" if line.amount > 0 else "withdrawal"
            _add(reading, line, kind, columns, amount=abs(line.amount))
    for taxes in withheld.values():
        for line in taxes:
            _add_cost(reading, line, "tax", columns)


def _add_cost(reading: Reading, line: CashLine, kind: Kind, columns: Mapping[str, str]) -> None:
    """A fee or a tax; one that is given back is income."""
    if line.amount < 0:
        _add(reading, line, kind, columns, amount=-line.amount)
    else:
        _add(reading, line, "interest", columns, amount=line.amount)


def _add_dividend(reading: Reading, line: CashLine, columns: Mapping[str, str], tax: Decimal) -> None:
    text = line.description.casefold()
    if "stock dividend" in text:
        reading.leave_out(
            line.table, line.index, columns["note"], "a dividend in shares: enter it as a bonus row"
        )
    elif "(return of capital)" in text and line.amount > 0:
        _add(reading, line, "return_of_capital", columns, amount=line.amount, tax=tax)
    else:
        _add(reading, line, "dividend", columns, amount=line.amount, tax=tax)


def _add(
    reading: Reading, line: CashLine, kind: Kind, columns: Mapping[str, str], amount: Decimal, **more: Any
) -> None:
    if not amount:
        return
    reading.add(
        line.table,
        line.index,
        line.when,
        kind,
        columns,
        symbol=line.symbol,
        isin=line.isin,
        currency=line.currency,
        amount=amount,
        trade_id=line.id,
        note=line.description,
        **more,
    )
