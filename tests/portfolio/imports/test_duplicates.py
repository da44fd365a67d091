from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from portfolio.imports.drafts import RowDraft
from portfolio.imports.duplicates import Known, fingerprint, known_fingerprints, mark_duplicates
from tests.portfolio.imports.builders import make_draft, parsed_file

BUY = make_draft(symbol="ACME", quantity="10", price="12.5", currency="USD")


def marks(drafts: list[RowDraft], stored: list[RowDraft]) -> list[str | None]:
    return [each.duplicate for each in mark_duplicates(drafts, known_fingerprints(stored))[0]]


@pytest.mark.parametrize(
    "name",
    [
        "kite.csv",
        "coinbase.csv",
        "interactive_brokers.csv",
        "interactive_brokers_flex.csv",
        "ghostfolio.json",
    ],
)
def test_a_file_imported_twice_adds_nothing(name: str) -> None:
    drafts = parsed_file(name).drafts
    assert set(marks(drafts, [])) == {None}
    assert set(marks(drafts, drafts)) == {"stored"}


def test_two_true_equal_fills_of_a_file_stay_two() -> None:
    assert marks([BUY, BUY], []) == [None, None]
    assert marks([BUY, BUY], [BUY]) == ["stored", None]
    assert marks([BUY, BUY, BUY], [BUY, BUY]) == ["stored", "stored", None]


def test_the_brokers_id_says_more_than_the_numbers() -> None:
    first, second = replace(BUY, trade_id="kite:1"), replace(BUY, trade_id="kite:2")
    assert marks([second], [first]) == [None]
    assert marks([replace(first, fee=BUY.price)], [first]) == ["stored"]
    # A conversion's two sides share an id.
    assert marks([first, replace(first, kind="sell")], []) == [None, None]


def test_a_row_with_an_id_is_known_by_its_numbers_to_one_without() -> None:
    with_id = replace(BUY, trade_id="interactive_brokers:1")
    assert marks([with_id], [BUY]) == ["stored"]
    assert marks([BUY], [with_id]) == ["stored"]
    assert marks([with_id, replace(with_id, trade_id="interactive_brokers:2")], [BUY]) == ["stored", None]


def test_an_id_that_stands_twice_in_a_file_is_one_row_or_a_clash() -> None:
    first = replace(BUY, trade_id="x:1", line=2)
    marked, clashes = mark_duplicates([first, replace(first, line=3)], Known())
    assert ([each.duplicate for each in marked], clashes) == ([None, "file"], [])
    _, clashes = mark_duplicates([first, replace(first, line=4, price=BUY.quantity)], Known())
    assert [tuple(each) for each in clashes] == [
        (4, "trade_id", "expected the numbers of line 2, which has the same trade id, was other ones")
    ]


def test_how_a_number_is_written_and_which_line_it_is_in_make_no_difference() -> None:
    same = replace(
        make_draft(symbol="ACME", quantity="10.00", price="1.250E+1", currency="USD"), line=99, raw="x"
    )
    assert fingerprint(same) == fingerprint(BUY)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "sell"}, {"symbol": "ACMF"}, {"currency": "EUR"}, {"fee": BUY.price}, {"amount": BUY.price},
        {"time": None, "day": date(2026, 11, 20)},
    ],
)  # fmt: skip
def test_rows_that_differ_are_two(values: dict[str, object]) -> None:
    assert fingerprint(replace(BUY, **values)) != fingerprint(BUY)


def test_symbols_compare_as_they_are_mapped() -> None:
    stored = replace(BUY, symbol="ACME.L")
    names = {"ACME": "ACME.L", "ACME.L": "ACME.L"}
    known = known_fingerprints([stored])
    assert mark_duplicates([BUY], known)[0][0].duplicate is None
    assert mark_duplicates([BUY], known, lambda draft: names[draft.symbol])[0][0].duplicate == "stored"


_DRAFTS = st.lists(
    st.builds(
        lambda symbol, price, identity: make_draft(
            symbol=symbol, price=price, quantity="1", trade_id=identity and f"x:{identity}"
        ),
        st.sampled_from("AB"),
        st.sampled_from(["1", "2"]),
        st.sampled_from(["", "", "1", "2"]),
    ),
    max_size=8,
)


@settings(max_examples=2_000)
@given(_DRAFTS, _DRAFTS)
def test_what_was_imported_is_known_whatever_came_before(
    drafts: list[RowDraft], stored: list[RowDraft]
) -> None:
    new = [
        each.draft
        for each in mark_duplicates(drafts, known_fingerprints(stored))[0]
        if each.duplicate is None
    ]
    after = mark_duplicates(drafts, known_fingerprints([*stored, *new]))[0]
    assert all(each.duplicate for each in after)
