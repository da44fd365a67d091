"""Plain values: decimals that are none are refused, and a book equals the simplest thing that could be one."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.market import (
    Book,
    Conversions,
    Side,
    bounded,
    change_since,
    from_float,
    parse_decimal,
)

D = Decimal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("43000.01", D("43000.01")),
        ("0.00000001", D("1E-8")),
        ("-12.50", D("-12.50")),
        ("1e-30", D("1E-30")),
        ("9.99E30", D("9.99E+30")),
        (" 7 ", D(7)),
        ("0", D(0)),
    ],
)
def test_a_vendors_text_becomes_the_exact_decimal(text: str, value: Decimal) -> None:
    assert parse_decimal(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "abc", "N/A", "--", "1,000.5", "0x10", "1.2.3", "$5", "None"),
        *("NaN", "sNaN", "Infinity", "-inf", "1e31", "1e-31", "1e999999", "1e-999999", "9" * 40),
    ],
)
def test_what_is_no_printable_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_decimal(text)


def test_a_null_where_a_price_should_be_is_refused_as_well() -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_decimal(None)  # type: ignore[arg-type]


def test_a_refusal_quotes_little_of_a_hostile_text() -> None:
    with pytest.raises(ValueError) as caught:
        parse_decimal("x" * 10_000)

    assert len(str(caught.value)) < 100


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_bounded_numbers_have_a_short_plain_notation(value: Decimal) -> None:
    try:
        assert bounded(value) is value
    except ValueError:
        return
    assert len(f"{value:f}") < 100


@pytest.mark.parametrize(
    ("binary", "text"), [(0.1, "0.1"), (43000.01, "43000.01"), (1e-9, "1E-9"), (2.0, "2")]
)
def test_a_binary_double_is_read_by_its_shortest_text(binary: float, text: str) -> None:
    assert str(from_float(binary)) == text


@pytest.mark.parametrize("binary", [float("nan"), float("inf"), 1e300, 1e-300])
def test_a_double_that_is_no_price_is_refused(binary: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        from_float(binary)


def test_change_is_exact_and_its_percent_has_two_places() -> None:
    assert change_since(D("150.25"), D("147.75")) == (D("2.50"), D("1.69"))
    assert change_since(D("0.00000002"), D("0.00000001")) == (D("1E-8"), D("100.00"))


@pytest.mark.parametrize("previous_close", [None, D(0), D(-1)])
def test_without_a_positive_previous_close_there_is_no_change(previous_close: Decimal | None) -> None:
    assert change_since(D(5), previous_close) == (None, None)


def test_a_tiny_loss_is_not_shown_as_minus_zero() -> None:
    change, percent = change_since(D("99999.99"), D("100000"))

    assert change == D("-0.01")
    assert str(percent) == "0.00"


# --- the order book --------------------------------------------------------------------------------------------------


def levels(*pairs: tuple[str, str]) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((D(price), D(quantity)) for price, quantity in pairs)


def test_a_book_gives_its_best_levels_first() -> None:
    book = Book("BTC-USD")
    book.replace(
        bids=[("99", "1"), ("100", "2"), ("98", "0")],
        asks=[("103", "1"), ("101", "4"), ("102", "0")],
    )

    top = book.top(1)
    assert (top.symbol, top.bids, top.asks) == ("BTC-USD", levels(("100", "2")), levels(("101", "4")))
    assert book.top(10).bids == levels(("100", "2"), ("99", "1"))


def test_a_change_sets_an_absolute_quantity_and_zero_removes_the_level() -> None:
    book = Book("BTC-USD")
    book.change([("buy", "100", "1")])
    book.change([("buy", "100.0", "3"), ("buy", "99", "0"), ("sell", "101", "1")])
    book.change([("sell", "101", "0.00")])

    assert book.top(5).bids == levels(("100", "3"))
    assert book.top(5).asks == ()


def test_a_snapshot_forgets_everything_before_it() -> None:
    book = Book("BTC-USD")
    book.change([("buy", "100", "1")])
    book.replace(bids=(), asks=[("5", "1")])

    assert (book.top(5).bids, book.top(5).asks) == ((), levels(("5", "1")))


def test_a_change_that_does_not_show_is_told_from_one_that_does() -> None:
    book = Book("BTC-USD")
    book.replace(bids=[("100", "1"), ("99", "1"), ("98", "1")], asks=[("101", "1")])
    book.top(2)

    assert not book.change([("buy", "98", "5")])
    assert not book.change([("buy", "97", "5"), ("buy", "98", "0")])
    assert book.change([("sell", "105", "1")])  # fewer asks than were asked for
    assert book.change([("buy", "99.5", "5")])


NONE = ["NaN", "sNaN", "Infinity", "-1", "1e31", "1e-31", "1e999999", "x", "", "--"]
NONE += ["1" + 31 * "0", "0." + 30 * "0" + "1"]


@pytest.mark.parametrize("text", NONE)
def test_a_book_refuses_what_is_no_quantity_and_keeps_what_it_has(text: str) -> None:
    book = Book("X")
    book.replace([("5", "1")], [])
    with pytest.raises((ValueError, ArithmeticError)):
        book.change([("buy", "6", "1"), ("buy", "5", text)])
    with pytest.raises((ValueError, ArithmeticError)):
        book.replace([("7", "1"), ("6", text)], [])
    with pytest.raises((ValueError, ArithmeticError)):
        book.replace([], [("6", text)])

    assert book.top(5).bids == levels(("5", "1"))


@pytest.mark.parametrize("text", [*NONE, "0", "0.00"])
def test_a_book_refuses_what_is_no_price_and_keeps_what_it_has(text: str) -> None:
    book = Book("X")
    book.replace([("5", "1")], [])
    with pytest.raises((ValueError, ArithmeticError)):
        book.change([("sell", "6", "1"), ("sell", text, "1")])
    for pairs in ([(text, "1")], [("7", "1"), (text, "1"), ("6", "1")], [(text, "1"), ("7", "1")]):
        with pytest.raises((ValueError, ArithmeticError)):
            book.replace([("9", "1")], pairs)

    assert (book.top(5).bids, book.top(5).asks) == (levels(("5", "1")), ())


def test_conversions_are_made_once_and_bounded_and_a_refused_one_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("assets.market.CONVERSIONS_KEPT", 3)
    asked: list[str] = []

    def convert(text: str) -> Decimal:
        asked.append(text)
        return parse_decimal(text)

    numbers = Conversions(convert)
    assert numbers["1.5"] is numbers["1.5"] and asked == ["1.5"]
    with pytest.raises(ValueError, match="expected a decimal"):
        numbers["none"]
    assert "none" not in numbers
    for number in range(20):
        assert numbers[str(number)] == number
        assert len(numbers) <= 3


def test_a_book_forgets_texts_and_never_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.market.CONVERSIONS_KEPT", 3)
    book = Book("X")
    for price in range(1, 30):
        book.change([("sell", str(price), f"{price}.5"), ("buy", f"0.{price:02d}", "1")])
    for price in range(1, 30, 2):
        book.change([("sell", f"{price}.00", "0")])

    assert book.top(99).asks == tuple((D(price), D(f"{price}.5")) for price in range(2, 30, 2))
    assert len(book.top(99).bids) == 29


prices = st.integers(1, 12).map(lambda steps: Decimal(steps) / 4)
quantities = st.sampled_from([D(0), D("0.00"), D(1), D("2.5"), D("0.00000001")])
side = st.sampled_from(["buy", "sell"])
wordings = st.sampled_from(["{:f}", "{:.2f}", "{:.5f}"])
count = st.sampled_from([0, 1, 3, 99])


@given(
    st.dictionaries(prices, quantities),
    st.dictionaries(prices, quantities),
    st.lists(st.lists(st.tuples(side, prices, wordings, quantities), max_size=3), max_size=40),
    st.lists(count, min_size=1),
)
def test_a_book_equals_one_rebuilt_naively(
    bids: dict[Decimal, Decimal],
    asks: dict[Decimal, Decimal],
    steps: list[list[tuple[Side, Decimal, str, Decimal]]],
    counts: list[int],
) -> None:
    book = Book("X")
    book.replace(*([(f"{price:f}", f"{q:f}") for price, q in half.items()] for half in (bids, asks)))
    naive: dict[Side, dict[Decimal, Decimal]] = {"buy": bids, "sell": asks}
    for index, changes in enumerate(steps):
        asked = counts[index % len(counts)]
        before = book.top(asked)
        shows = book.change(
            [(which, wording.format(price), f"{quantity:f}") for which, price, wording, quantity in changes]
        )
        for which, price, _, quantity in changes:
            naive[which][price] = quantity
        assert shows or book.top(asked) == before

        top = book.top(asked)
        for which, found in (("buy", top.bids), ("sell", top.asks)):
            left = sorted(((p, q) for p, q in naive[which].items() if q), reverse=which == "buy")
            assert list(found) == left[:asked]
