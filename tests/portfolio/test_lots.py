import time
from datetime import timedelta
from decimal import Decimal

import pytest

from portfolio.ledger import LOT_METHODS, Books, LedgerError, LotMethod, replay
from tests.cost import turns
from tests.portfolio.builders import NOW, make_row
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
