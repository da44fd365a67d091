"""Beancount's first in, first out over ledgers from standard input: JSON in, JSON out. Run by its own interpreter.

Each ledger is written as Beancount text twice, in the asset's currency and in base. A lot has a label, because equal
costs of one day would merge; a row through zero is written as two; a split takes all lots out and puts them back.
Gains are net proceeds less the costs that were matched: the posting that Beancount interpolates is rounded.
"""

import json
import sys
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

from beancount import loader
from beancount.core.data import Transaction

EXACT = Context(prec=60)


@dataclass
class Book:
    """One ledger in one currency."""

    account: str
    rows: list[dict[str, Any]]
    in_base: bool
    text: list[str] = field(default_factory=list)
    done: int = 0
    held: Decimal = Decimal(0)
    # By label, in the order in which Beancount holds them: units, cost, and the day they were opened.
    lots: dict[str, tuple[Decimal, Decimal, str]] = field(default_factory=dict)
    proceeds: dict[str, Decimal] = field(default_factory=dict)
    matched: dict[str, Decimal] = field(default_factory=dict)

    def write(self) -> None:
        """Writes the rows until the next split, whose lots only Beancount can tell."""
        if self.done == 0:
            self.text.append(f'2000-01-01 open {self.account} ACME "FIFO"')
        elif self.done < len(self.rows):
            self.write_split(self.rows[self.done])
            self.done += 1
        while self.done < len(self.rows) and self.rows[self.done]["kind"] != "split":
            self.write_trade(self.rows[self.done])
            self.done += 1

    def write_trade(self, row: dict[str, Any]) -> None:
        units = Decimal(row["quantity"]) * (1 if row["kind"] == "buy" else -1)
        price = Decimal(row["price"]) * Decimal(row["multiplier"])
        left, fee = units, Decimal(row["fee"])
        if self.held * units < 0:
            part = units if abs(units) <= abs(self.held) else -self.held
            share = fee if part == units else EXACT.divide(fee * abs(part), abs(units))
            self.write_closing(row, part, part * price + share)
            left, fee = left - part, fee - share
        if left:
            self.write_opening(row, left, left * price + fee)
        self.held += units

    def paid(self, row: dict[str, Any], money: Decimal) -> Decimal:
        return EXACT.multiply(money, Decimal(row["rate"])) if self.in_base else money

    def write_closing(self, row: dict[str, Any], units: Decimal, money: Decimal) -> None:
        self.proceeds[row["id"]] = -self.paid(row, money)
        self.transaction(row, "close", [f"{units:f} ACME {{}}"])

    def write_opening(self, row: dict[str, Any], units: Decimal, money: Decimal) -> None:
        cost = abs(self.paid(row, money))
        self.transaction(row, "open", [self.lot(units, cost, row["date"], row["id"])])

    def write_split(self, row: dict[str, Any]) -> None:
        ratio = Decimal(row["numerator"]) / Decimal(row["denominator"])
        postings = []
        for label, (units, cost, date) in self.lots.items():
            postings.append(f'{-units:f} ACME {{{date}, "{label}"}}')
            postings.append(self.lot(units * ratio, abs(cost), date, label))
        if postings:
            self.transaction(row, "split", postings)
        self.held *= ratio

    def lot(self, units: Decimal, cost: Decimal, date: str, label: str) -> str:
        return f'{units:f} ACME {{{{{cost:f} USD, {date}, "{label}"}}}}'

    def transaction(self, row: dict[str, Any], what: str, postings: list[str]) -> None:
        self.text.append(f'{row["date"]} * "{what}" "{row["id"]}"')
        self.text.extend(f"  {self.account}  {posting}" for posting in postings)
        self.text.append("  Equity:Rest")

    def read(self, transactions: list[Transaction]) -> None:
        self.lots.clear()
        self.matched.clear()
        for entry in transactions:
            for posting in entry.postings:
                if posting.account == self.account:
                    self.read_posting(entry, posting)

    def read_posting(self, entry: Transaction, posting: Any) -> None:
        label, units = posting.cost.label, posting.units.number
        cost = EXACT.multiply(units, posting.cost.number)
        if entry.payee == "close":
            self.matched[entry.narration] = self.matched.get(entry.narration, Decimal(0)) - cost
        before = self.lots.get(label, (Decimal(0), Decimal(0), posting.cost.date.isoformat()))
        after = before[0] + units
        if after:
            self.lots[label] = (after, EXACT.add(before[1], cost), before[2])
        else:
            del self.lots[label]

    def answer(self) -> dict[str, Any]:
        return {
            "lots": {label: [f"{units:f}", f"{cost:f}"] for label, (units, cost, _) in self.lots.items()},
            "realized": {
                id: f"{EXACT.subtract(self.proceeds[id], self.matched[id]):f}" for id in self.proceeds
            },
        }


def load(books: list[Book]) -> None:
    text = ["2000-01-01 open Equity:Rest", *(line for book in books for line in book.text)]
    entries, errors, _ = loader.load_string("\n".join(text))
    if errors:
        sys.exit("\n".join(f"{error.message} {error.entry}" for error in errors[:5]))
    by_account: dict[str, list[Transaction]] = {book.account: [] for book in books}
    for entry in entries:
        if isinstance(entry, Transaction):
            by_account[entry.postings[0].account].append(entry)
    for book in books:
        book.read(by_account[book.account])


def main() -> None:
    ledgers = json.load(sys.stdin)
    books = [
        Book(f"Assets:L{number}:{name}", rows, name == "Base")
        for number, rows in enumerate(ledgers)
        for name in ("Native", "Base")
    ]
    waiting = books
    while waiting:
        for book in waiting:
            book.write()
        load(waiting)
        waiting = [book for book in waiting if book.done < len(book.rows)]
    answers = [book.answer() for book in books]
    json.dump(
        [{"native": a, "base": b} for a, b in zip(answers[::2], answers[1::2], strict=True)], sys.stdout
    )


if __name__ == "__main__":
    main()
