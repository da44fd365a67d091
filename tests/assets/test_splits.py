"""Splits: prices are restated exactly, once, and only those from before."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.splits import (
    NEVER,
    Ratio,
    SplitEvent,
    as_traded,
    is_restated,
    newest_until,
    ratio_between,
    restated,
    restated_fields,
    shown_close,
)
from tests.exchanges import utc

FIRST, SECOND = SplitEvent(utc("2026-11-18T05:00"), 2, 1), SplitEvent(utc("2026-11-19T05:00"), 10, 1)
BOTH = (FIRST, SECOND)
INSTANT = timedelta.resolution


def test_the_ratio_is_of_the_splits_in_between() -> None:
    early, late = utc("2026-11-01"), utc("2026-12-01")
    assert ratio_between(BOTH, early, late) == (20, 1)
    assert ratio_between(BOTH, FIRST.effective_at, late) == (10, 1)
    assert ratio_between(BOTH, early, SECOND.effective_at - INSTANT) == (2, 1)
    assert ratio_between(BOTH, SECOND.effective_at, late) is None
    assert ratio_between((FIRST, SplitEvent(late, 1, 2)), early, late) is None  # there and back
    assert (newest_until(BOTH, FIRST.effective_at), newest_until(BOTH, early)) == (FIRST.effective_at, NEVER)


@pytest.mark.parametrize(
    ("price", "new", "old", "expected"),
    [
        ("1200.00", 10, 1, "120"),
        ("100.00", 3, 1, "33.333333333333333333"),
        ("2.50", 1, 8, "20"),
        ("0.000000000000000001", 2, 1, "0"),  # half even
        ("-37.63", 2, 1, "-18.815"),
        ("1E+3", 10, 1, "100"),
    ],
)
def test_a_price_is_divided_once_and_shown_plainly(price: str, new: int, old: int, expected: str) -> None:
    assert str(restated(Decimal(price), Ratio(new, old))) == expected


@given(
    st.decimals("0.01", "100000", places=4),
    st.sampled_from([2, 4, 5, 10, 20]),
)
def test_a_price_comes_back_as_it_was_traded(price: Decimal, new: int) -> None:
    assert as_traded(restated(price, Ratio(new, 1)), Ratio(new, 1)) == price


@pytest.mark.parametrize(("told", "is_so"), [("1200", False), ("120", True), ("1150", False), ("131", True)])
def test_a_vendors_figure_tells_by_its_size_whether_it_is_divided_already(told: str, is_so: bool) -> None:
    assert is_restated(Decimal(told), Decimal(1200), Ratio(10, 1)) is is_so


def test_a_close_is_shown_in_the_units_of_now() -> None:
    ended, now = utc("2026-11-18T21:00"), utc("2026-11-19T15:00")
    assert shown_close(Decimal(1200), ended, BOTH, now) == 120
    assert shown_close(Decimal(1200), ended, BOTH, ended) == 1200
    assert shown_close(Decimal(120), ended, BOTH, now, known=Decimal(1195)) == 120
    # A session that ends where the split begins is before it; one during which it came is not.
    assert shown_close(Decimal(1200), SECOND.effective_at, BOTH, now) == 120
    assert shown_close(Decimal(120), SECOND.effective_at + INSTANT, BOTH, now) == 120


def test_a_last_value_that_nobody_publishes_again_is_restated_once() -> None:
    quote: dict[str, Any] = {
        "price": Decimal(1200),
        "as_of": "2026-11-18T20:59:00.000000Z",
        "previous_close": 1190,
        "change": 10,
        "high": Decimal(1210),
        "low": None,
        "bid": Decimal(1199),
        "ask": None,
    }
    now = utc("2026-11-19T05:00")
    assert restated_fields(quote, BOTH, now - INSTANT) == {}
    changed = restated_fields(quote, BOTH, now)
    assert changed == {
        "price": Decimal(120),
        "previous_close": Decimal(119),
        "high": Decimal(121),
        "bid": None,
        "change": Decimal(1),
        "change_percent": Decimal("0.84"),
        "raw_price": Decimal(1200),
        "units_at": "2026-11-19T05:00:00.000000Z",
    }
    assert restated_fields({**quote, **changed}, BOTH, now + timedelta(days=9)) == {}
    third = (*BOTH, SplitEvent(utc("2026-11-20T05:00"), 3, 1))
    again = restated_fields({**quote, **changed}, third, utc("2026-11-21"))
    assert (again["price"], again["raw_price"]) == (Decimal(40), Decimal(1200))
