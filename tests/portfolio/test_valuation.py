from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.ledger import EXACT, Row
from portfolio.valuation import Holdings, PricePoint, hold, value
from tests.cost import turns
from tests.portfolio.builders import NOW, days_ago, make_row
from tests.portfolio.test_ledger import fees, numbers, pence_rows, prices

D = Decimal


def holdings(rows: Iterable[Row], currency: str = "USD", now: datetime = NOW) -> Holdings:
    return hold(7, "Growth", currency, rows, {"ACME": "Acme Corporation"}, now)


def point(
    price: str | Decimal, previous_close: str | Decimal | None = None, as_of: datetime = NOW
) -> PricePoint:
    close = None if previous_close is None else D(previous_close)
    return PricePoint(price=D(price), previous_close=close, as_of=as_of, source="simulator")


def test_sold_part_of_old_lots_today_in_pence() -> None:
    held = holdings(pence_rows(), currency="GBP")
    valuation = value(held, {"ACME": point("710", "698")})
    position = valuation.positions[0]
    assert position.components is not None
    assert position.components.price == D("60.00")
    assert position.components.trades == D("-15.00")
    assert position.components.fees == D("-8.00")
    assert position.unrealized == D("176.033333333333333333")
    assert valuation.total_value == D("3755.05")
    assert valuation.daily_change == D("37.00") == D("3755.05") - (500 * D("6.98") + D("228.05"))


BITCOIN_NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def bitcoin_rows() -> list[Row]:
    return [
        make_row("deposit", datetime(2024, 1, 2, tzinfo=UTC), amount="20000.00"),
        make_row("buy", datetime(2024, 1, 3, tzinfo=UTC), symbol="ACME", quantity="50", price="150.00"),
        make_row(
            "buy", datetime(2025, 3, 1, tzinfo=UTC), symbol="BTC-USD", quantity="0.1", price="40000", fee="4"
        ),
        make_row(
            "buy",
            datetime(2026, 11, 28, 9, tzinfo=UTC),
            symbol="BTC-USD",
            quantity="0.050000001",
            price="90000",
            fee="4.5",
        ),
        make_row("withdrawal", datetime(2026, 11, 29, 12, tzinfo=UTC), amount="2000"),
    ]


@pytest.mark.parametrize(
    ("share", "bitcoin", "total", "change", "unrealized"),
    [
        (("206", "200"), "91500", "26016.5000015", "375.0000005", "8016.5000015"),
        (("204.50", "206"), "92000", "26016.500002", "75.000001", "8016.500002"),
    ],
)
def test_bitcoin_beside_a_share_keeps_every_digit(
    share: tuple[str, str], bitcoin: str, total: str, change: str, unrealized: str
) -> None:
    held = holdings(bitcoin_rows(), now=BITCOIN_NOON)
    points = {
        "ACME": point(*share, as_of=BITCOIN_NOON),
        "BTC-USD": point(bitcoin, "91000", as_of=BITCOIN_NOON),
    }
    valuation = value(held, points)
    assert valuation.total_value == D(total)
    assert valuation.daily_change == D(change)
    assert valuation.unrealized == D(unrealized) == D(total) - 18000
    assert held.realized == 0
    assert [p.holding.symbol for p in valuation.positions] == ["ACME", "BTC-USD"]


def test_the_percent_counts_inflows_from_the_start_of_the_day() -> None:
    rows = [
        make_row("deposit", days_ago(5), amount="1000"),
        make_row("buy", days_ago(4), quantity="10", price="100"),
        make_row("deposit", NOW - timedelta(hours=1), amount="500"),
    ]
    valuation = value(holdings(rows), {"ACME": point("110", "100")})
    assert valuation.daily_change == 100
    assert valuation.daily_change_percent == D("6.666666666666666667")  # of 1,000 + 500


def test_the_percent_counts_outflows_until_the_end_of_the_day() -> None:
    rows = [
        make_row("deposit", days_ago(5), amount="2000"),
        make_row("buy", days_ago(4), quantity="10", price="100"),
        make_row("withdrawal", NOW - timedelta(hours=1), amount="1000"),
    ]
    valuation = value(holdings(rows), {"ACME": point("110", "100")})
    assert valuation.daily_change_percent == 5  # of 1,000 + 1,000


def test_bought_today_counts_from_the_price_paid_and_needs_no_previous_close() -> None:
    rows = [make_row("buy", NOW - timedelta(hours=1), quantity="10", price="101", fee="2")]
    valuation = value(holdings(rows), {"ACME": point("103")})
    assert valuation.daily_change == 18
    assert valuation.unexplained == ()
    assert valuation.positions[0].daily_change_percent == D("1.782178217821782178")


def test_a_back_dated_row_moves_the_baseline_and_never_today() -> None:
    rows = [make_row("buy", days_ago(30), quantity="10", price="90")]
    later = [*rows, make_row("buy", days_ago(10), quantity="5", price="95")]
    before = value(holdings(rows), {"ACME": point("103", "100")})
    after = value(holdings(later), {"ACME": point("103", "100")})
    assert (before.daily_change, after.daily_change) == (D(30), D(45))
    assert after.positions[0].components is not None
    assert after.positions[0].components.trades == 0


def test_closed_today_is_listed_with_quantity_zero_and_tomorrow_no_more() -> None:
    rows = [
        make_row("buy", days_ago(3), quantity="10", price="90"),
        make_row("sell", NOW - timedelta(hours=2), quantity="10", price="102"),
    ]
    today = value(holdings(rows), {"ACME": point("105", "100")})
    assert [(p.holding.quantity, p.daily_change) for p in today.positions] == [(D(0), D(20))]
    assert today.coverage == 1
    tomorrow = holdings(rows, now=NOW + timedelta(days=1))
    assert tomorrow.positions == ()
    assert tomorrow.realized == 120


def test_a_price_from_before_the_session_has_not_changed_in_it() -> None:
    rows = [
        make_row("buy", days_ago(3), quantity="10", price="90"),
        make_row("buy", days_ago(1), quantity="10", price="100"),
    ]
    by_hand = point("100", "98", as_of=days_ago(1))
    assert value(holdings(rows), {"ACME": by_hand}).daily_change == 0
    recorded = PricePoint(price=D(100), previous_close=D(98), as_of=days_ago(2000), source="replay")
    assert value(holdings(rows), {"ACME": recorded}).daily_change == 40


def test_a_row_at_the_very_start_of_the_session_is_before_it() -> None:
    midnight = NOW.replace(hour=0)
    held = holdings([make_row("buy", midnight, quantity="1", price="1")])
    assert held.positions[0].opening == 1
    assert held.baseline_at == midnight
    assert held.valid_until == midnight + timedelta(days=1)


def test_what_has_no_price_is_named_and_left_out() -> None:
    rows = [
        make_row("deposit", days_ago(9), amount="1000"),
        make_row("buy", days_ago(4), quantity="1", price="100"),
        make_row("buy", days_ago(4), symbol="FUND", quantity="1", price="100"),
    ]
    valuation = value(holdings(rows), {"ACME": point("110", "100")})
    assert valuation.unpriced == (("FUND", "no_price"),)
    assert valuation.total_value == 910
    assert valuation.unrealized == 10
    assert valuation.coverage == D("0.5")
    wire = valuation.as_wire()
    assert wire["unpriced"] == [{"symbol": "FUND", "reason": "no_price"}]
    fund = wire["positions"][1]
    assert (fund["value"], fund["daily_change"], fund["price"]) == (None, None, None)
    assert fund["cost"] == D("100.00")


def test_another_currency_without_a_rate_is_unpriced_never_one_to_one() -> None:
    rows = [
        make_row("deposit", days_ago(4), amount="1000", currency="EUR"),
        make_row("buy", days_ago(4), symbol="SAP", quantity="1", price="100", currency="EUR"),
    ]
    valuation = value(holdings(rows), {"SAP": point("110", "100")})
    assert valuation.unpriced == (("SAP", "no_rate"), ("EUR", "no_rate"))
    assert (valuation.total_value, valuation.daily_change, valuation.coverage) == (D(0), D(0), D(0))
    assert valuation.as_wire()["positions"][0]["price"] == 110
    assert valuation.oldest_price_at is None


def test_a_price_without_a_previous_close_is_in_the_total_and_its_change_is_unknown() -> None:
    rows = [make_row("buy", days_ago(4), quantity="2", price="100")]
    valuation = value(holdings(rows), {"ACME": point("110")})
    assert valuation.total_value == 20
    assert valuation.positions[0].daily_change is None
    assert valuation.unexplained == ("ACME",)
    assert valuation.coverage == 1


def test_an_empty_portfolio_is_worth_nothing_and_all_of_it_is_covered() -> None:
    wire = value(holdings([]), {}).as_wire()
    assert (wire["total_value"], wire["coverage"], wire["daily_change_percent"]) == (0, 1, None)
    assert wire["positions"] == []


def test_the_oldest_price_is_told() -> None:
    rows = [
        make_row("buy", days_ago(4), quantity="2", price="1"),
        make_row("buy", days_ago(4), symbol="B", quantity="2", price="1"),
    ]
    valuation = value(holdings(rows), {"ACME": point("1"), "B": point("1", as_of=days_ago(2))})
    assert valuation.oldest_price_at == days_ago(2)
    assert valuation.as_wire()["oldest_price_at"] == "2026-11-17T16:00:00.000000Z"


def test_money_is_rounded_half_to_even_at_the_wire_and_nowhere_else() -> None:
    rows = [make_row("buy", days_ago(4), quantity="3", price="33.335")]
    wire = value(holdings(rows), {"ACME": point("33.335", "33.33")}).as_wire()
    position = wire["positions"][0]
    assert position["cost"] == D("100.00")  # 100.005
    assert position["price"] == D("33.335")
    assert position["average_cost"] == D("33.335")
    assert wire["daily_change"] == D("0.02")  # 0.015


def test_a_partial_frame_carries_only_what_changed() -> None:
    rows = [
        make_row("buy", days_ago(4), quantity="2", price="1"),
        make_row("buy", days_ago(4), symbol="B", quantity="2", price="1"),
    ]
    wire = value(holdings(rows), {}).as_wire(complete=False, changed={"B"})
    assert [position["symbol"] for position in wire["positions"]] == ["B"]
    assert wire["complete"] is False


window = st.builds(
    lambda kind, quantity, price, fee, hours: make_row(
        kind, NOW - timedelta(hours=hours), quantity=quantity, price=price, fee=fee
    ),
    st.sampled_from(["buy", "sell"]),
    numbers,
    prices,
    fees,
    st.integers(0, 40),
)


@given(st.lists(window, min_size=1, max_size=8), prices, prices)
def test_a_positions_change_is_what_it_is_worth_now_less_then_less_what_flowed_in(
    trades: list[Row], now: Decimal, then: Decimal
) -> None:
    stock = make_row("buy", days_ago(30), quantity="999999", price="1")
    held = holdings([stock, *trades])
    valuation = value(held, {"ACME": point(now, then)})
    position = valuation.positions[0]
    today = [row for row in trades if row.time > held.baseline_at]
    with localcontext(EXACT):
        opening = D("999999") + sum((row.signed for row in trades if row not in today), D(0))
        flows = sum((row.value + row.fee for row in today), D(0))
        assert position.value is not None
        assert position.daily_change == position.value - opening * then - flows
        assert position.components is not None
        assert position.components.total == position.daily_change
        cash_then = held.cash + flows
        assert valuation.daily_change == valuation.total_value - (cash_then + opening * then)


def test_fifty_positions_are_revalued_within_a_millisecond() -> None:
    symbols = [f"S{number}" for number in range(50)]
    held = holdings(
        make_row("buy", days_ago(day), symbol=symbol, quantity="3.7", price="101.37", fee="1.5")
        for symbol in symbols
        for day in (30, 20, 10)
    )
    points = {symbol: point("103.17", "102.12") for symbol in symbols}

    # 0.22 ms on the machine it was written on, and less than a millisecond on one like it.
    assert turns(lambda: value(held, points)) < 16_000
