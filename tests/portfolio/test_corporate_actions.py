import pytest

from portfolio.ledger import LedgerError, Oversold, replay
from tests.portfolio.tables import D, expect, table

BOUGHT = """
    2025-01-06 buy ACME currency=USD rate=0.90 quantity=60 price=10.00
    2025-02-03 buy ACME currency=USD rate=0.80 quantity=40 price=20.00
    """


def test_a_bonus_is_a_split_of_old_and_new_to_old() -> None:
    rows = table(BOUGHT + "2026-11-19 bonus ACME currency=USD numerator=1 denominator=4 rate=0.9")
    books = replay(rows, base="EUR")
    expect(
        books,
        """
        lot   ACME 2025-01-06 quantity=75 cost=600.00 cost_base=540.00
        lot   ACME 2025-02-03 quantity=50 cost=800.00 cost_base=640.00
        asset ACME quantity=125 realized=0
        """,
    )
    assert books.accounts["ACME"].entries[-1].split == (5, 4)


def test_a_split_before_anything_is_held_changes_nothing() -> None:
    rows = table(
        """
        2026-11-19 split ACME currency=USD numerator=2 denominator=1
        2026-11-20 buy   ACME currency=GBP multiplier=0.01 quantity=1 price=100
        """
    )
    expect(replay(rows), "asset ACME quantity=1 cost=1.00")


def test_a_splits_fee_is_an_expense() -> None:
    rows = table(BOUGHT + "2026-11-19 split ACME currency=USD rate=0.9 numerator=2 denominator=1 fee=10")
    expect(
        replay(rows, base="EUR"),
        "asset ACME quantity=200 cost=1400.00 expenses_base=9.00 \n cash USD balance=-1410.00",
    )


@pytest.mark.parametrize(
    ("action", "realized"), [("price=4.80", "2.35"), ("amount=2.40", "2.35"), ("amount=0", "-0.05")]
)
def test_cash_in_lieu_sells_a_fraction_at_a_price_or_for_an_amount(action: str, realized: str) -> None:
    rows = table(
        f"""
        2026-01-05 buy          ACME quantity=0.5 price=0.10
        2026-11-19 cash_in_lieu ACME quantity=0.5 {action}
        """
    )
    expect(replay(rows), f"asset ACME quantity=0 realized={realized}")


def test_a_short_pays_for_its_fraction() -> None:
    rows = table(
        """
        2026-01-05 sell         ACME quantity=10.5 price=2.00
        2026-11-19 cash_in_lieu ACME quantity=0.5 amount=1.20
        """
    )
    expect(
        replay(rows, short_sales=True),
        "asset ACME quantity=-10 cost=-20.00 realized=-0.20 \n cash USD balance=19.80",
    )


def test_a_return_of_capital_lowers_cost_by_quantity_and_beyond_it_is_a_gain() -> None:
    row = "2026-11-19 return_of_capital ACME currency=USD rate=0.75 amount={} fee=1.00"
    books = replay(table(BOUGHT + row.format("300.00")), base="EUR")
    expect(
        books,
        """
        lot   ACME 2025-01-06 quantity=60 cost=420.00 cost_base=405.00  # 600 - 180; 540 - 135
        lot   ACME 2025-02-03 quantity=40 cost=680.00 cost_base=550.00  # 800 - 120; 640 - 90
        asset ACME realized=0 expenses_base=0.75
        cash  USD  balance=-1101.00
        """,
    )
    assert books.accounts["ACME"].entries[-1].value == D("-225.00")
    expect(
        replay(table(BOUGHT + row.format("1200.00")), base="EUR"),
        """
        lot   ACME 2025-01-06 cost=0 cost_base=0            # 720 of 600; 540 of 540
        lot   ACME 2025-02-03 cost=320.00 cost_base=280.00  # 480 of 800; 360 of 640
        asset ACME realized=120.00 realized_base=0
        """,
    )


def test_a_short_pays_the_return_of_capital_and_one_that_comes_after_the_sale_is_a_gain() -> None:
    short = "2026-01-05 sell ACME quantity=10 price=5.00 \n 2026-11-19 return_of_capital ACME amount=8.00"
    expect(
        replay(table(short), short_sales=True), "asset ACME cost=-42.00 realized=0 \n cash USD balance=42.00"
    )
    late = """
        2026-01-05 buy               ACME quantity=10 price=5.00
        2026-01-06 sell              ACME quantity=10 price=5.00
        2026-11-19 return_of_capital ACME amount=8.00
        """
    expect(replay(table(late)), "asset ACME quantity=0 cost=0 realized=8.00")


def test_a_spin_off_moves_its_share_of_each_lots_cost() -> None:
    rows = table(
        BOUGHT
        + """
        2026-11-19 spinoff ACME  currency=USD rate=0.9 numerator=1 denominator=4 cost_share=0.125 other_symbol=CHILD
        2026-11-20 sell    CHILD currency=USD rate=1.0 quantity=20 price=9.00
        """
    )
    books = replay(rows[:3], base="EUR")
    expect(
        books,
        """
        lot   ACME  2025-01-06 quantity=60 cost=525.00 cost_base=472.50
        lot   ACME  2025-02-03 quantity=40 cost=700.00 cost_base=560.00
        lot   CHILD 2025-01-06 quantity=15 cost=75.00  cost_base=67.50
        lot   CHILD 2025-02-03 quantity=10 cost=100.00 cost_base=80.00
        asset ACME  realized=0
        """,
    )
    parent, child = books.accounts["ACME"].entries[-1], books.accounts["CHILD"].entries[-1]
    assert (parent.quantity, parent.value) == (0, D("-147.50"))
    assert (child.quantity, child.value) == (25, D("147.50"))
    expect(
        replay(rows, base="EUR"), "asset CHILD quantity=5 realized=55.00"
    )  # 180 - 75 - 50: the oldest first


def test_a_spin_off_enters_the_day_at_the_childs_price_where_it_is_known() -> None:
    row = (
        "2026-11-19 spinoff ACME currency=USD rate=0.9 numerator=1 denominator=4 cost_share=0.1"
        " other_symbol=CHILD other_multiplier=0.01 "
    )
    for values, value in [("price=800", "180.00"), ("base_value=190.00", "190.00")]:  # 25·8.00·0.9
        books = replay(table(BOUGHT + row + values), base="EUR")
        assert books.accounts["ACME"].entries[-1].value == -D(value)
        assert books.accounts["CHILD"].entries[-1].value == D(value)


def test_a_spin_off_into_another_currency_takes_the_rows_rate() -> None:
    rows = table(
        BOUGHT
        + """2026-11-19 spinoff ACME currency=USD rate=0.9 numerator=1 denominator=4 cost_share=0.125
             """.rstrip()
        + " other_symbol=CHILD other_currency=CAD settlement_rate=1.40"
    )
    expect(replay(rows, base="EUR"), "lot CHILD 2025-01-06 quantity=15 cost=105.00 cost_base=67.50")


def test_a_merger_into_shares_and_cash_sets_the_cash_against_the_rest_of_the_cost() -> None:
    rows = table(
        BOUGHT
        + "2026-11-19 merger ACME currency=USD rate=0.9 numerator=3 denominator=10 cost_share=0.75 amount=500.00"
        " fee=4.00 tax=10.00 other_symbol=BIG"
    )
    expect(
        replay(rows, base="EUR"),
        """
        asset ACME quantity=0 cost=0 realized=146.00 realized_base=151.40  # 496 - 350; 446.40 - 295
        lot   BIG  2025-01-06 quantity=18 cost=450.00 cost_base=405.00
        lot   BIG  2025-02-03 quantity=12 cost=600.00 cost_base=480.00
        asset ACME taxes_base=9.00 fees_base=3.60 expenses_base=0
        cash  USD  balance=-914.00
        """,
    )


def test_a_merger_for_cash_is_a_sale_of_everything() -> None:
    rows = table(BOUGHT + "2026-11-19 merger ACME currency=USD rate=0.9 amount=2000.00")
    books = replay(rows, base="EUR")
    expect(books, "asset ACME quantity=0 realized=600.00 realized_base=620.00 \n cash USD balance=600.00")
    entry = books.accounts["ACME"].entries[-1]
    assert (entry.quantity, entry.value) == (-100, D("-1800.00"))


def test_a_merger_meets_a_short_of_its_target() -> None:
    rows = table(
        """
        2026-01-05 buy    ACME quantity=10 price=5.00
        2026-01-06 sell   BIG  quantity=4  price=11.00
        2026-11-19 merger ACME numerator=1 denominator=2 cost_share=1 other_symbol=BIG
        """
    )
    expect(
        replay(rows, short_sales=True),
        "asset BIG quantity=1 cost=10.00 realized=4.00 \n lot BIG 2026-01-05 quantity=1",  # 44 - 40
    )


def test_a_new_symbol_keeps_lots_their_dates_and_their_rows() -> None:
    rows = table(
        BOUGHT
        + """
        2026-11-18 buy           NEW  currency=USD rate=0.9 quantity=1 price=30.00
        2026-11-19 symbol_change ACME currency=USD rate=0.9 other_symbol=NEW
        2026-11-20 sell          NEW  currency=USD rate=0.9 quantity=10 price=30.00 lots=2:10
        """
    )
    books = replay(rows, base="EUR")
    expect(
        books,
        """
        asset ACME quantity=0 cost=0 realized=0
        lot   NEW  2025-01-06 quantity=60 cost=600.00
        lot   NEW  2025-02-03 quantity=30 cost=600.00
        asset NEW  quantity=91 realized=100.00
        """,
    )
    assert [entry.quantity for entry in books.accounts["ACME"].entries] == [60, 40, -100]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "2026-11-19 spinoff ACME numerator=1 denominator=4 cost_share=0.1 other_symbol=B",
            "expected ACME to be held then; row 1: spinoff ACME on 2026-11-19 00:00:00Z",
        ),
        ("2026-11-19 merger ACME amount=5", "expected ACME to be held then; row 1: merger 5 ACME"),
        ("2026-11-19 symbol_change ACME other_symbol=B", "expected ACME to be held then"),
        ("2026-11-19 expire ACME quantity=1", "expected at most 0 ACME held then; row 1: expire 1 ACME"),
        ("2026-11-19 cash_in_lieu ACME quantity=1 amount=1", "expected at most 0 ACME held then"),
        (
            "2026-11-18 buy ACME quantity=1 price=1 multiplier=100 \n"
            "2026-11-19 exercise ACME quantity=2 price=1 multiplier=100 other_symbol=B option_right=call",
            "expected at most 1 ACME held then; row 2: exercise 2 ACME",
        ),
        (
            "2026-11-18 buy ACME quantity=1 price=1 multiplier=100 \n"
            "2026-11-19 assign ACME quantity=1 price=1 multiplier=100 other_symbol=B option_right=call",
            "expected at most 0 ACME sold short then; row 2: assign 1 ACME",
        ),
        (
            "2026-11-18 buy ACME quantity=1 price=1 multiplier=100 \n"
            "2026-11-19 exercise ACME quantity=1 price=1 multiplier=100 other_symbol=B option_right=put",
            "expected a sale of at most 0 B held then; row 2: exercise 1 ACME",
        ),
    ],
)
def test_what_is_not_held_cannot_be_acted_upon(rows: str, message: str) -> None:
    with pytest.raises(Oversold) as caught:
        replay(table(rows))
    assert str(caught.value).startswith(message)


def test_an_asset_keeps_its_currency_and_its_multiplier() -> None:
    rows = table(
        BOUGHT
        + "2026-11-19 spinoff ACME currency=USD rate=0.9 numerator=1 denominator=4 other_symbol=CHILD"
        + "\n2026-11-20 buy CHILD currency=USD rate=0.9 multiplier=0.01 quantity=1 price=1"
    )
    with pytest.raises(LedgerError, match=r"expected 1, was 0\.01") as caught:
        replay(rows, base="EUR")
    assert caught.value.field == "multiplier"
