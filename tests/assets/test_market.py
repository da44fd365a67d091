"""Plain values: decimals that are none are refused, and a book equals the simplest thing that could be one."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.market import Book, Side, from_float, parse_decimal

prices = st.integers(1, 60).map(lambda steps: Decimal(steps) / 4)
quantities = st.sampled_from([Decimal(0), Decimal("0.00"), Decimal(1), Decimal("2.5"), Decimal("0.00000001")])
sides: st.SearchStrategy[Side] = st.sampled_from(["buy", "sell"])
levels = st.lists(st.tuples(prices, quantities), max_size=30, unique_by=lambda level: level[0])


@given(bids=levels, asks=levels, changes=st.lists(st.tuples(sides, prices, quantities), max_size=60))
def test_a_book_is_what_its_snapshot_and_changes_say(
    bids: list[tuple[Decimal, Decimal]],
    asks: list[tuple[Decimal, Decimal]],
    changes: list[tuple[Side, Decimal, Decimal]],
) -> None:
    book = Book("X")
    book.replace(bids, asks)
    naive: dict[Side, dict[Decimal, Decimal]] = {"buy": dict(bids), "sell": dict(asks)}
    for side, price, quantity in changes:
        book.set(side, price, quantity)
        naive[side][price] = quantity
    whole = book.top(1000)
    kept = {side: {p: q for p, q in naive[side].items() if q} for side in naive}
    assert list(whole.bids) == sorted(kept["buy"].items(), reverse=True)
    assert list(whole.asks) == sorted(kept["sell"].items())
    for count in (0, 1, 5):
        assert book.top(count).bids == whole.bids[:count]
        assert book.top(count).asks == whole.asks[:count]


@given(bids=levels, asks=levels)
def test_a_snapshot_forgets_what_was_there(
    bids: list[tuple[Decimal, Decimal]], asks: list[tuple[Decimal, Decimal]]
) -> None:
    used, fresh = Book("X"), Book("X")
    used.replace(asks, bids)
    used.set("buy", Decimal(99), Decimal(1))
    used.replace(bids, asks)
    fresh.replace(bids, asks)
    assert used.top(100) == fresh.top(100)


@given(value=st.decimals(-(10**12), 10**12, places=9))
def test_a_decimal_keeps_its_digits(value: Decimal) -> None:
    assert str(parse_decimal(str(value))) == str(value)


@pytest.mark.parametrize(
    "text", ["", "x", "NaN", "sNaN", "Infinity", "-Infinity", "1e31", "1e999999", "1e-31", "0x1"]
)
def test_a_decimal_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_decimal(text)


def test_a_binary_double_is_its_shortest_text() -> None:
    assert str(from_float(190.55)) == "190.55"
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a finite number"):
            from_float(value)
