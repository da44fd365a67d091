"""Ledgers and what is expected of them as tables of text, so that a case reads as it would stand on paper.

A row is `DATE [TIME] kind [SYMBOL] name=value ...`; its number in the table, from 1, is its id. Expected are lines of
`asset SYMBOL`, `lot SYMBOL DATE`, `cash CURRENCY`, `receivable CURRENCY` and `books`, each with `name=value ...`, and
`now price:SYMBOL=... rate:CURRENCY=...` followed by what the prices and rates make of it.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any

from portfolio.ledger import EXACT, ZERO, Books, Row
from tests.portfolio.builders import make_row

D = Decimal
TIMES = ("pay_time", "opened")
WHOLE = ("numerator", "denominator", "reverses")
NAMES = {field.name for field in fields(Row)}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table(text: str, **defaults: str) -> list[Row]:
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    return [_row(number, words, defaults) for number, words in enumerate(filter(None, lines), 1)]


def _row(number: int, words: list[str], defaults: Mapping[str, str]) -> Row:
    date, words = words[0], words[1:]
    if ":" in words[0]:
        date, words = f"{date}T{words[0]}", words[1:]
    kind, *rest = words
    values: dict[str, Any] = {**defaults}
    for word in rest:
        name, _, value = word.rpartition("=")
        assert not name or name in NAMES, word
        values[name or "symbol"] = value
    for name in values.keys() & set(TIMES):
        values[name] = moment(values[name])
    for name in values.keys() & set(WHOLE):
        values[name] = int(values[name])
    if "lots" in values:
        pairs = (pair.split(":") for pair in values["lots"].split(","))
        values["lots"] = tuple((int(id), D(quantity)) for id, quantity in pairs)
    return make_row(kind, moment(date), id=number, order=(0, number), **values)  # type: ignore[arg-type]


def expect(books: Books, text: str) -> None:
    """Compares figure by figure, and proves that the books balance."""
    wrong = []
    with localcontext(EXACT):
        for words in filter(None, (line.split("#")[0].split() for line in text.splitlines())):
            found = _thing(books, words)
            for name, value in (word.split("=") for word in words if "=" in word and ":" not in word):
                if (figure := _figure(found, name)) != D(value):
                    wrong.append(f"{words[0]} {words[1]} {name}: expected {value}, was {figure:f}")
    assert not wrong, "\n".join(wrong)
    assert_balanced(books)


def _thing(books: Books, words: list[str]) -> Any:
    match words[0]:
        case "now":
            return _now(books, words[1:])
        case "asset":
            return books.accounts[words[1]]
        case "lot":
            (lot,) = (lot for lot in books.accounts[words[1]].lots if lot.opened == moment(words[2]))
            return lot
        case "cash":
            return books.cash[words[1]]
        case "receivable":
            (receivable,) = (item for item in books.receivables if item.currency == words[1])
            return receivable
        case "books":
            return books
    raise AssertionError(f"expected a kind of figure, was {words[0]}")


def _figure(found: Any, name: str) -> Decimal:
    """A figure by its name; of a list, its length."""
    value = found[name] if isinstance(found, dict) else getattr(found, name)
    return D(len(value)) if isinstance(value, list) else value


def _now(books: Books, words: list[str]) -> dict[str, Decimal]:
    given = dict(word.split("=") for word in words if ":" in word)
    prices = {name[6:]: D(value) for name, value in given.items() if name.startswith("price:")}
    rates = {name[5:]: D(value) for name, value in given.items() if name.startswith("rate:")}
    return figures(books, prices, rates)


def figures(books: Books, prices: Mapping[str, Decimal], rates: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """What the books are worth, by the definitions and by no component formula."""
    rates = {books.base: D(1), **rates}
    held = [account for account in books.accounts.values() if account.quantity]
    worth = {a.symbol: a.quantity * prices[a.symbol] * a.multiplier for a in held}
    cash = {currency: account.balance * rates[currency] for currency, account in books.cash.items()}
    due = sum((item.amount * rates[item.currency] for item in books.receivables), ZERO)
    value = sum((worth[a.symbol] * rates[a.currency] for a in held), ZERO)
    return {
        "total": value + sum(cash.values(), ZERO) + due,
        "unrealized": sum((worth[a.symbol] - a.cost for a in held), ZERO),
        "unrealized_base": value - sum((a.cost_base for a in held), ZERO),
        "cash_fx": sum(
            (cash[currency] - account.paid_base for currency, account in books.cash.items()), ZERO
        ),
        "receivables_fx": due - sum((item.value for item in books.receivables), ZERO),
    }


def lifetime(books: Books, prices: Mapping[str, Decimal], rates: Mapping[str, Decimal]) -> list[Decimal]:
    """Both sides of the lifetime identity: what was gained, and what it is made of."""
    with localcontext(EXACT):
        now = figures(books, prices, rates)
        gained = now["total"] - books.flows_base
        parts = books.realized_base + now["unrealized_base"] + books.income_base
        parts += now["cash_fx"] + now["receivables_fx"] - books.expenses_base - books.taxes_base
        return [gained, parts]


def assert_balanced(books: Books) -> None:
    """Nothing is lost between cash, lots and gains; and the kept sums are those of what they sum up."""
    with localcontext(EXACT):
        paid = sum((account.paid_base for account in books.cash.values()), ZERO)
        paid += sum((item.value for item in books.receivables), ZERO)
        gains = books.realized_base + books.income_base - books.expenses_base - books.taxes_base
        assert paid + books.cost_base == books.flows_base + gains
        for account in books.accounts.values():
            for name in ("quantity", "cost", "cost_base"):
                assert getattr(account, name) == sum((getattr(lot, name) for lot in account.lots), ZERO)
            for name in ("realized", "realized_base"):
                assert getattr(account, name) == sum((getattr(e, name) for e in account.entries), ZERO)
            assert account.income_base == sum((entry.income for entry in account.entries), ZERO)
            assert account.fees_base + account.taxes_base == sum((e.fee for e in account.entries), ZERO)
            assert len({lot.quantity > 0 for lot in account.lots}) <= 1
            assert all(lot.quantity for lot in account.lots)
        for cash in books.cash.values():
            assert cash.balance == sum((entry.quantity for entry in cash.entries), ZERO)
            assert cash.paid_base == sum((entry.value for entry in cash.entries), ZERO)
