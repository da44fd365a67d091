from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.receipts import (
    SEGMENTS_OF_A_CHAIN,
    Receipt,
    ReceiptError,
    ReceiptLog,
    Segment,
    find,
    issue_alone,
    parse_id,
)


def stored(segments: list[Segment], id: str) -> Receipt:
    """Looks a receipt up as the store does: its segment, and its chain's up to that one."""
    _, number = parse_id(id)
    [own] = [segment for segment in segments if segment.first <= number <= segment.last]
    chain = [one for one in segments if one.chain == own.chain and one.number <= own.number]
    return find(chain, number)


def test_a_receipt_has_the_prices_of_its_moment() -> None:
    log = ReceiptLog()
    log.price("AAPL", b"150.25")
    basis = log.basis(b"closes")
    first = log.issue(7, basis, 1_000_000)
    log.price("AAPL", b"151")
    log.price("MSFT", b"430")
    second = log.issue(7, basis, 2_000_000)
    segment = log.take()
    assert segment is not None and (segment.first, segment.last) == (1, 2)
    assert stored([segment], first) == Receipt(
        portfolio_id=7, basis=b"closes", at_us=1_000_000, prices={"AAPL": b"150.25"}
    )
    assert stored([segment], second).prices == {"AAPL": b"151", "MSFT": b"430"}


def test_nothing_issued_is_nothing_to_store() -> None:
    log = ReceiptLog()
    log.price("AAPL", b"150")
    assert log.is_empty and log.take() is None
    id = log.issue(7, log.basis(b""), 0)
    segment = log.take()
    assert segment is not None and stored([segment], id).prices == {"AAPL": b"150"}


def test_a_receipt_of_its_own_needs_no_stream() -> None:
    segment = issue_alone(7, b"basis", 5, {"AAPL": b"150"})
    found = stored([segment], f"{segment.writer}-1")
    assert (found.portfolio_id, found.basis, found.at_us) == (7, b"basis", 5)


@pytest.mark.parametrize(
    "text", ["", "-", "abc-1", "x" * 16, "é" * 16 + "-1", "0" * 16 + "-", "0" * 16 + "-zz"]
)
def test_what_can_be_no_id_is_refused(text: str) -> None:
    with pytest.raises(ReceiptError, match="expected a receipt's id"):
        parse_id(text)


def test_a_chain_with_a_hole_is_refused() -> None:
    log = ReceiptLog()
    basis = log.basis(b"")
    segments = []
    for _ in range(3):
        id = log.issue(7, basis, 0)
        segments.append(log.take())
    with pytest.raises(ReceiptError, match="all segments"):
        find([segment for segment in segments if segment and segment.number != 1], parse_id(id)[1])


steps = st.lists(
    st.one_of(
        st.tuples(st.just("price"), st.sampled_from("ABCD"), st.integers(1, 99)),
        st.tuples(st.just("forget"), st.sampled_from("ABCD")),
        st.tuples(st.just("basis"), st.binary(max_size=3)),
        st.tuples(st.just("issue"), st.integers(1, 3)),
        st.tuples(st.just("take")),
        st.tuples(st.just("begin")),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_every_receipt_is_found_as_it_was_issued(steps: list[tuple[Any, ...]]) -> None:
    """Against a plain copy of everything at each receipt, over several chains."""
    log = ReceiptLog()
    prices: dict[str, bytes] = {}
    content, basis = b"", log.basis(b"")
    issued: dict[str, tuple[int, bytes, dict[str, bytes]]] = {}
    segments: list[Segment] = []
    for step in [*steps, *[("issue", 1), ("take",)] * (SEGMENTS_OF_A_CHAIN + 2)]:
        match step:
            case ("price", symbol, number):
                prices[symbol] = str(number).encode()
                log.price(symbol, prices[symbol])
            case ("forget", symbol):
                prices.pop(symbol, None)
                log.forget_price(symbol)
            case ("basis", new):
                log.forget_basis(basis)
                content, basis = new, log.basis(new)
            case ("issue", portfolio):
                issued[log.issue(portfolio, basis, 0)] = (portfolio, content, dict(prices))
            case ("begin",) if log.is_empty:
                log.begin_chain()
            case ("take",):
                if (segment := log.take()) is not None:
                    segments.append(segment)
    for id, (portfolio, content, then) in issued.items():
        found = stored(segments, id)
        assert (found.portfolio_id, found.basis) == (portfolio, content)
        assert found.prices == then
