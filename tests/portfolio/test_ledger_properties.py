"""What holds for every ledger: the lifetime identity, what order, splits and reversals cannot change, exactness."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio import lots
from portfolio.ledger import EXACT, Books, LotMethod, Oversold, Row, div, replay
from tests.portfolio.ledgers import (
    BASE,
    START,
    Draft,
    bookable,
    drafts,
    make_rows,
    methods,
    price_table,
    prices,
    rate_table,
    rates,
    renumbered,
    trades,
)
from tests.portfolio.tables import D, assert_balanced, figures, lifetime

many = settings(max_examples=2_000, deadline=None)
ledgers = st.lists(drafts, min_size=1, max_size=10)


def book(rows: Sequence[Row], method: LotMethod = "fifo", **options: Any) -> Books:
    return replay(rows, short_sales=True, method=method, base=BASE, **options)


# --- the lifetime identity ----------------------------------------------------------------------------------


@many
@given(ledgers, methods, prices, rates, st.integers(0, 70))
def test_what_is_there_is_what_came_in_and_what_was_gained(
    drawn: list[Draft], method: LotMethod, price: tuple[int, ...], rate: tuple[int, ...], hours: int
) -> None:
    rows = bookable(make_rows(drawn), method)
    for until in (START + timedelta(hours=hours), None):
        books = book(rows, method, until=until)
        assert_balanced(books)
        gained, parts = lifetime(books, price_table(price), rate_table(rate))
        assert gained == parts


# --- order --------------------------------------------------------------------------------------------------


def order_free(books: Books) -> tuple[Any, ...]:
    """What the order of a day's trades cannot change, in the asset's currency and in base."""
    account = books.accounts["ACME"]
    with localcontext(EXACT):
        return (
            account.quantity,
            account.realized - account.cost,
            account.realized_base - account.cost_base,
            account.income_base,
            account.fees_base,
            account.taxes_base,
            {currency: (cash.balance, cash.paid_base) for currency, cash in books.cash.items()},
            sorted((e.row_id or 0, e.quantity, e.value, e.fee, e.income) for e in account.entries),
        )


@many
@given(st.lists(trades, max_size=3), st.lists(trades, min_size=2, max_size=5), methods, st.integers(0, 2**16))
def test_the_order_of_a_days_trades_changes_no_total(
    earlier: list[Draft], today: list[Draft], method: LotMethod, seed: int
) -> None:
    history = make_rows(earlier, first=101, start=START - timedelta(days=30))
    rows = make_rows(today)
    expected = order_free(book([*history, *renumbered(rows)], method))
    shuffle = Random(seed).shuffle
    for _ in range(2):
        shuffle(rows)
        assert order_free(book([*history, *renumbered(rows)], method)) == expected


# --- reversals ----------------------------------------------------------------------------------------------


@many
@given(ledgers, methods, st.integers(0, 9), st.integers(0, 100))
def test_a_reversed_row_leaves_every_number_as_if_it_had_never_been(
    drawn: list[Draft], method: LotMethod, which: int, hours: int
) -> None:
    rows = bookable(make_rows(drawn), method)
    if not rows:
        return
    target = rows[which % len(rows)]
    reversal = Row(
        id=999, kind="reversal", currency="EUR", time=START + timedelta(hours=hours), reverses=target.id
    )
    without = [row for row in rows if row is not target]

    def outcome(rows: list[Row]) -> Any:
        try:
            return replace(book(rows, method), last_row=None)
        except Oversold as error:
            return str(error), error.row

    assert outcome([*rows, reversal]) == outcome(without)


# --- splits -------------------------------------------------------------------------------------------------


@many
@given(
    st.lists(trades, min_size=1, max_size=6),
    methods,
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 10**6),
)
def test_a_split_moves_neither_cost_nor_gain_nor_value(
    drawn: list[Draft], method: LotMethod, new: int, old: int, cents: int
) -> None:
    rows = make_rows(drawn)
    split = Row(
        id=900,
        kind="split",
        currency="USD",
        time=START + timedelta(days=40),
        symbol="ACME",
        numerator=new,
        denominator=old,
    )
    before, after = book(rows, method), book([*rows, split], method)
    assert_balanced(after)
    was, now = before.accounts["ACME"], after.accounts["ACME"]
    assert now.quantity == div(was.quantity * new, Decimal(old))
    assert {c: account.balance for c, account in before.cash.items()} == {
        c: account.balance for c, account in after.cash.items()
    }
    if now.quantity:
        assert (now.cost, now.cost_base, now.realized, now.realized_base) == (
            was.cost,
            was.cost_base,
            was.realized,
            was.realized_base,
        )
    if old == 1:
        with localcontext(EXACT):
            assert now.quantity * cents == was.quantity * (new * cents)
        back = replace(split, id=901, time=split.time + timedelta(days=1), numerator=1, denominator=new)
        again = book([*rows, split, back], method).accounts["ACME"]
        assert again.lots == was.lots


@many
@given(
    st.lists(trades, min_size=1, max_size=6),
    methods,
    st.integers(1, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    rates,
)
def test_cash_in_lieu_changes_the_value_by_the_cash_less_the_fractions_worth(
    drawn: list[Draft], method: LotMethod, size: int, paid: int, cents: int, rate: tuple[int, ...]
) -> None:
    rows = make_rows(drawn)
    before = book(rows, method)
    held = before.accounts["ACME"].quantity
    fraction = min(abs(held), D(size).scaleb(-6, EXACT))
    if not fraction:
        return
    row = Row(
        id=900,
        kind="cash_in_lieu",
        currency="USD",
        time=START + timedelta(days=40),
        symbol="ACME",
        quantity=fraction,
        amount=D(paid) / 100,
    )
    after = book([*rows, row], method)
    assert_balanced(after)
    price, dollars = D(cents) / 100, rate_table(rate)["USD"]
    with localcontext(EXACT):
        totals = [figures(b, {"ACME": price}, rate_table(rate))["total"] for b in (before, after)]
        change = (row.amount - fraction * price) * dollars
        assert totals[1] - totals[0] == (change if held > 0 else -change)


# --- exactness ----------------------------------------------------------------------------------------------


class Rounded:
    """Counts the divisions that rounded."""

    def __init__(self) -> None:
        self.count = 0

    def div(self, a: Decimal, b: Decimal) -> Decimal:
        quotient = div(a, b)
        self.count += Fraction(quotient) != Fraction(a) / Fraction(b)
        return quotient


def average_cost(rows: Sequence[Row], in_base: bool) -> tuple[Fraction, Fraction, Fraction]:
    """Quantity, cost and realized gain by another method: an event log, exact rationals, cost by the unit.

    A log of (units, money for them, fee included) is walked once; nothing is shared out and nothing is summed but
    the gain: what is sold leaves at the unit cost, and a crossing splits its event in two.
    """
    log: list[tuple[Fraction, Fraction]] = []
    for row in rows:
        if row.kind == "split":
            log.append((Fraction(0), Fraction(row.numerator, row.denominator)))
            continue
        rate, fee = Fraction(row.rate), Fraction(row.fee)
        fee_rate = rate if row.fee_rate is None else Fraction(row.fee_rate)
        paid = Fraction(row.signed) * Fraction(row.price) * Fraction(row.multiplier)
        if in_base:
            paid, fee = paid * rate, fee * fee_rate
        elif row.fee_currency not in (None, row.currency):
            fee = fee * fee_rate / rate
        log.append((Fraction(row.signed), paid + fee))
    held = unit = gain = Fraction(0)
    for units, money in log:
        if not units:
            held, unit = held * money, unit / money
            continue
        price = money / units
        if held * units < 0:
            closed = units if abs(units) <= abs(held) else -held
            gain += closed * (unit - price)
            held, units = held + closed, units - closed
        if units:
            unit = (unit * held + price * units) / (held + units)
            held += units
    return held, unit * held, gain


@many
@given(st.lists(trades, min_size=1, max_size=8), st.integers(0, 8), st.sampled_from([2, 3, 10]))
def test_average_cost_equals_exact_rationals_but_for_what_division_rounds(
    drawn: list[Draft], place: int, factor: int
) -> None:
    rows = make_rows(drawn)
    split = Row(
        id=900, kind="split", currency="USD", time=START, symbol="ACME", numerator=factor, denominator=1
    )
    rows = renumbered([*rows[:place], split, *rows[place:]])
    rounded = Rounded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lots, "div", rounded.div)
        patch.setattr("portfolio.rows.div", rounded.div)
        account = book(rows, "average").accounts["ACME"]
    # Each rounding is half a unit of the 18th place, and an error of cost only ever shrinks.
    allowed = Fraction(rounded.count, 2 * 10**18)
    quantity, cost, gain = average_cost(rows, in_base=False)
    assert Fraction(account.quantity) == quantity
    assert abs(Fraction(account.cost) - cost) <= allowed
    assert abs(Fraction(account.realized) - gain) <= allowed
    _, cost, gain = average_cost(rows, in_base=True)
    assert abs(Fraction(account.cost_base) - cost) <= allowed * 2
    assert abs(Fraction(account.realized_base) - gain) <= allowed * 2
