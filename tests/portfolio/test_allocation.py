from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.allocation import By, Part, allocation, percentages

D = Decimal


def make_part(symbol: str, value: str, currency: str = "USD", kind: str = "equity") -> Part:
    names: dict[By, tuple[str, str]] = {
        "asset": (symbol, f"{symbol} Corporation"),
        "currency": (currency, currency),
        "class": (kind, kind.capitalize()),
    }
    return Part(names, D(value))


def shares(parts: list[Part], by: By) -> list[tuple[str, Decimal, Decimal | None]]:
    return [(share.key, share.value, share.percent) for share in allocation(parts, by)]


def test_thirds_add_up_to_a_hundred() -> None:
    assert percentages([D(1), D(1), D(1)]) == [D("33.34"), D("33.33"), D("33.33")]


def test_what_rounding_leaves_goes_to_the_largest_rest() -> None:
    # 100 / 7 * (1, 2, 4) = 14.2857..., 28.5714..., 57.1428...: rests 0.57, 0.14, 0.28 hundredths, one left
    assert percentages([D(1), D(2), D(4)]) == [D("14.29"), D("28.57"), D("57.14")]


def test_a_debt_has_a_negative_share() -> None:
    assert percentages([D(150), D(-50)]) == [D("150.00"), D("-50.00")]
    # 200 / 3 = 66.666..., -100 / 3 = -33.333... rounded down -33.34
    assert percentages([D(200), D(200), D(-100)]) == [D("66.67"), D("66.67"), D("-33.34")]


@pytest.mark.parametrize("values", [[], [D(0)], [D(-1)], [D(5), D(-5)]])
def test_nothing_cannot_be_divided(values: list[Decimal]) -> None:
    assert percentages(values) is None


def test_parts_are_joined_and_come_largest_first() -> None:
    parts = [
        make_part("ACME", "30"),
        make_part("BTC", "50", kind="crypto"),
        make_part("VOD", "20", currency="GBP"),
        make_part("GONE", "0"),
    ]
    assert shares(parts, "asset") == [("BTC", 50, 50), ("ACME", 30, 30), ("VOD", 20, 20)]
    assert shares(parts, "currency") == [("USD", 80, 80), ("GBP", 20, 20)]
    assert shares(parts, "class") == [("crypto", 50, 50), ("equity", 50, 50)]
    assert allocation(parts, "asset")[1].label == "ACME Corporation"


def test_without_a_positive_total_there_are_values_but_no_shares() -> None:
    assert shares([make_part("ACME", "30"), make_part("OTHER", "-40")], "asset") == [
        ("ACME", 30, None),
        ("OTHER", -40, None),
    ]


@given(
    st.lists(st.decimals(min_value=-1000, max_value=100_000, places=4), min_size=1, max_size=30),
    st.sampled_from(get_args(By)),
)
def test_shares_always_add_up_and_are_off_by_less_than_a_hundredth(values: list[Decimal], by: By) -> None:
    found = percentages(values)
    total = sum(values)
    if found is None:
        assert total <= 0
        return
    assert sum(found) == 100
    for value, percent in zip(values, found, strict=True):
        assert abs(percent - value * 100 / total) < D("0.0100000001")
    parts = [make_part(f"A{index}", str(value)) for index, value in enumerate(values)]
    assert sum(share.percent or 0 for share in allocation(parts, by)) == 100
