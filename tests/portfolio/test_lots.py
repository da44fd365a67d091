import time
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.ledger import EXACT, LOT_METHODS, Books, LedgerError, LotMethod, replay
from tests.cost import turns
from tests.portfolio.builders import NOW, make_row
from tests.portfolio.ledgers import BASE, Draft, bookable, drafts, make_rows, methods
from tests.portfolio.tables import D, expect, table

BOUGHT = """
    2026-01-05 buy ACME quantity=10 price=10.00
    2026-01-06 buy ACME quantity=10 price=30.00
    2026-01-07 buy ACME quantity=10 price=20.00
    """


def lots(books: Books) -> list[tuple[int | None, Decimal]]:
    return [(lot.row_id, lot.quantity) for lot in books.accounts["ACME"].lots]


@pytest.mark.parametrize(
    ("method", "realized", "left"),
    [
        ("fifo", "350.00", [(2, 5), (3, 10)]),  # 600 - 100 - 150
        ("lifo", "250.00", [(1, 10), (2, 5)]),  # 600 - 200 - 150
        ("highest", "200.00", [(1, 10), (3, 5)]),  # 600 - 300 - 100
        ("average", "300.00", [(1, 15)]),  # 600 - 300
    ],
)
def test_each_method_closes_its_own_lots_first(
    method: LotMethod, realized: str, left: list[tuple[int, int]]
) -> None:
    books = replay(table(BOUGHT + "2026-11-19 sell ACME quantity=15 price=40.00"), method=method)
    expect(books, f"asset ACME quantity=15 realized={realized}")
    assert lots(books) == left


@pytest.mark.parametrize(
    ("method", "realized"),
    [("fifo", "-50.00"), ("lifo", "-150.00"), ("highest", "-150.00"), ("average", "-100.00")],
)
def test_covering_a_short_is_the_mirror_image(method: LotMethod, realized: str) -> None:
    rows = table(
        """
        2026-01-05 sell ACME quantity=10 price=20.00
        2026-01-06 sell ACME quantity=10 price=10.00
        2026-11-19 buy  ACME quantity=10 price=25.00
        """
    )
    expect(replay(rows, short_sales=True, method=method), f"asset ACME quantity=-10 realized={realized}")


def test_chosen_lots_go_first_and_the_rest_follows_the_method() -> None:
    books = replay(table(BOUGHT + "2026-11-19 sell ACME quantity=12 price=40.00 lots=3:4,2:6"))
    # 4 at 20, 6 at 30, and the first 2 at 10
    expect(books, "asset ACME realized=200.00")
    assert lots(books) == [(1, 8), (2, 4), (3, 6)]


def test_a_chosen_lot_may_be_transferred() -> None:
    books = replay(table(BOUGHT + "2026-11-19 transfer_out ACME quantity=5 price=40.00 lots=2:5"))
    expect(books, "asset ACME quantity=25 cost=450.00 realized=0")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "sell ACME quantity=12 price=1 lots=2:11",
            "expected at most 10 of the lot of row 2 open then, was 11",
        ),
        ("sell ACME quantity=12 price=1 lots=9:1", "expected at most 0 of the lot of row 9 open then, was 1"),
        ("sell ACME quantity=12 price=1 lots=2:7,3:6", "expected lots of 12 at most, was 13"),
        ("sell ACME quantity=12 price=1 lots=2:0", "expected more than 0 of each lot, was 0"),
        ("buy ACME quantity=12 price=1 lots=2:1", "expected no chosen lots, because none is closed, was one"),
    ],
)
def test_a_lot_that_cannot_be_chosen_is_named(row: str, message: str) -> None:
    with pytest.raises(LedgerError) as caught:
        replay(table(BOUGHT + "2026-11-19 " + row))
    assert (str(caught.value), caught.value.field) == (message, "lots")


def test_average_cost_knows_no_lots_to_choose() -> None:
    with pytest.raises(LedgerError, match="expected no chosen lots with average cost"):
        replay(table(BOUGHT + "2026-11-19 sell ACME quantity=1 price=1 lots=1:1"), method="average")


def test_a_lot_transferred_in_is_sold_by_its_own_date() -> None:
    rows = table(
        BOUGHT
        + """
        2026-02-02 transfer_in ACME quantity=10 price=25.00 cost=5.00 opened=2026-01-05T12:00
        2026-11-19 sell        ACME quantity=15 price=40.00
        """
    )
    assert lots(replay(rows)) == [(4, 5), (2, 10), (3, 10)]
    assert lots(replay(rows, method="lifo")) == [(1, 10), (4, 10), (2, 5)]


def test_lots_of_one_moment_are_closed_as_they_were_entered() -> None:
    rows = table(
        """
        2026-01-05 buy  ACME quantity=1 price=10
        2026-01-05 buy  ACME quantity=1 price=10
        2026-01-05 sell ACME quantity=1 price=10
        """
    )
    assert [lots(replay(rows, method=method)) for method in ("fifo", "lifo", "highest")] == [
        [(2, 1)],
        [(1, 1)],
        [(2, 1)],
    ]


def test_a_frozen_value_in_base_is_shared_by_quantity() -> None:
    """What booking has frozen counts, not what quantity, price and rate would make of it today."""
    rows = table(
        """
        2026-01-05 buy  ACME currency=USD rate=0.90 quantity=3 price=10.00 base_value=26.99
        2026-11-19 sell ACME currency=USD rate=0.90 quantity=7 price=10.00 base_value=63.02
        """
    )
    expect(
        replay(rows, base="EUR", short_sales=True),
        """
        # div(63.02·3, 7) = 27.008571428571428571
        asset ACME quantity=-4 realized=0 realized_base=0.018571428571428571 cost_base=-36.011428571428571429
        cash  USD  balance=40.00 paid_base=36.03
        """,
    )


@pytest.mark.parametrize("method", LOT_METHODS)
def test_selling_from_thousands_of_lots_is_not_quadratic(method: LotMethod) -> None:
    def cost(count: int) -> float:
        buys = [
            make_row("buy", NOW + timedelta(seconds=n), quantity="2", price=str(1 + n * 7919 % 1000), id=n)
            for n in range(count)
        ]
        sales = [
            make_row("sell", NOW + timedelta(days=1, seconds=n), quantity="1", price="9")
            for n in range(count)
        ]
        return turns(lambda: replay([*buys, *sales], method=method), times=3)

    # Eight times as many rows cost about nine times as much; a walk over the lots would make it 64.
    assert cost(8_000) < 20 * cost(1_000)


def test_a_hundred_thousand_rows_are_replayed_in_seconds() -> None:
    rows = [
        make_row(
            "buy" if n % 2 else "sell",
            NOW + timedelta(seconds=n),
            symbol=f"S{n % 97}",
            quantity=str(1 + n % 13),
            price=str(1 + n % 1009),
            fee="1.25",
            currency="EUR",
            rate="1.0837",
        )
        for n in range(100_000)
    ]
    started = time.process_time()
    books = replay(rows, short_sales=True)
    # About 3 s on the 2 cores of a small machine.
    assert time.process_time() - started < 15
    assert sum(len(account.entries) for account in books.accounts.values()) == 100_000
    assert books.cash["EUR"].balance == sum((e.quantity for e in books.cash["EUR"].entries), D(0))


# --- what was closed ----------------------------------------------------------------------------------------


def closed(text: str, **options: Any) -> list[tuple[str, str, Decimal, Decimal, Decimal, Decimal]]:
    """Of each closed part: opened, closed, quantity, cost, proceeds, gain in base."""
    return [
        (
            f"{part.opened:%Y-%m-%d}",
            f"{part.closed:%Y-%m-%d}",
            part.quantity,
            part.cost,
            part.proceeds,
            part.gain_base,
        )
        for part in replay(table(text), short_sales=True, **options).accounts["ACME"].closed
    ]


def test_a_sale_closes_part_by_part() -> None:
    """Golden case 2, of which part A of the numbers gives each lot's gain."""
    parts = closed(
        """
        2019-05-02 buy  ACME currency=GBP rate=1.15  multiplier=0.01 quantity=200 price=450 fee=6.00
        2022-08-15 buy  ACME currency=GBP rate=1.18  multiplier=0.01 quantity=300 price=620 fee=5.95
        2026-11-19 sell ACME currency=GBP rate=1.165 multiplier=0.01 quantity=300 price=705 fee=8.00
        """,
        base="EUR",
    )
    assert [(opened, quantity, proceeds - cost) for opened, _, quantity, cost, proceeds, _ in parts] == [
        ("2019-05-02", 200, D("498.666666666666666667")),
        ("2022-08-15", 100, D("80.350000000000000000")),
    ]
    assert [part[2:5] for part in parts] == [
        (200, D("906.00"), D("1404.666666666666666667")),
        (100, D("621.983333333333333333"), D("702.333333333333333333")),
    ]
    assert sum(part[5] for part in parts) == D("678.814666666666666667")


def test_a_short_was_sold_first_and_costs_what_covers_it() -> None:
    assert closed(
        """
        2026-11-05 sell ACME currency=USD rate=0.9000 quantity=50 price=80.00 fee=2.50
        2026-11-19 buy  ACME currency=USD rate=0.8810 quantity=30 price=82.00 fee=1.50
        """,
        base="CHF",
    ) == [("2026-11-05", "2026-11-19", -30, D("2461.50"), D("2398.50"), D("-9.9315"))]


def test_chosen_lots_and_the_pool_are_closed_as_they_are() -> None:
    bought = "2026-01-05 buy ACME quantity=10 price=1.00 \n 2026-01-06 buy ACME quantity=10 price=3.00 \n"
    chosen = closed(bought + "2026-01-07 sell ACME quantity=5 price=4.00 lots=2:5")
    assert [part[:4] for part in chosen] == [("2026-01-06", "2026-01-07", 5, 15)]
    pooled = closed(bought + "2026-01-07 sell ACME quantity=5 price=4.00", method="average")
    assert [part[:4] for part in pooled] == [("2026-01-05", "2026-01-07", 5, 10)]


def test_companies_close_lots_as_well() -> None:
    bought = "2026-01-05 buy ACME quantity=10 price=1.00 \n 2026-01-06 buy ACME quantity=20 price=3.00 \n"
    # The older lot's cost is used up; what is more is a gain without a unit sold.
    assert closed(bought + "2026-01-07 return_of_capital ACME amount=45") == [
        ("2026-01-05", "2026-01-07", 0, 0, D(5), D(5))
    ]
    assert closed(bought + "2026-01-07 merger ACME amount=90") == [
        ("2026-01-05", "2026-01-07", 10, D(10), D(30), D(20)),
        ("2026-01-06", "2026-01-07", 20, D(60), D(60), D(0)),
    ]
    half = "numerator=1 denominator=2 other_symbol=BIG cost_share=0.5"
    assert closed(bought + f"2026-01-07 merger ACME amount=90 {half}") == [
        ("2026-01-05", "2026-01-07", 0, D(5), D(30), D(25)),
        ("2026-01-06", "2026-01-07", 0, D(30), D(60), D(30)),
    ]
    assert closed(bought + f"2026-01-07 symbol_change ACME {half.split('cost')[0]}") == []
    assert closed("2026-01-05 buy ACME quantity=2 price=3.00 \n 2026-01-09 expire ACME quantity=2") == [
        ("2026-01-05", "2026-01-09", 2, D(6), 0, D(-6))
    ]


@settings(max_examples=2_000, deadline=None)
@given(st.lists(drafts, min_size=1, max_size=10), methods)
def test_what_was_closed_is_what_was_realized(drawn: list[Draft], method: LotMethod) -> None:
    books = replay(bookable(make_rows(drawn), method), short_sales=True, method=method, base=BASE)
    with localcontext(EXACT):
        for account in books.accounts.values():
            assert sum((part.gain for part in account.closed), D(0)) == account.realized
            assert sum((part.gain_base for part in account.closed), D(0)) == account.realized_base
