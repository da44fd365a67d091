from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from assets.rates import RatePoint
from portfolio.ledger import Row, replay
from portfolio.valuation import PricePoint, Valuer, value
from portfolio.windows import AssetFacts, Holdings, PortfolioFacts, default_baselines, hold
from tests.cost import turns
from tests.portfolio.builders import NOW, days_ago, make_row

D = Decimal


def holdings(rows: Iterable[Row], currency: str = "USD", now: datetime = NOW) -> Holdings:
    """With the baselines of assets whose closes nobody stores."""
    books = replay(rows, base=currency, until=now)
    facts = PortfolioFacts(id=7, name="Growth", currency=currency)
    return hold(facts, books, {"ACME": AssetFacts("Acme Corporation")}, default_baselines(books, now), now)


def point(
    price: str | Decimal, previous_close: str | Decimal | None = None, as_of: datetime = NOW
) -> PricePoint:
    close = None if previous_close is None else D(previous_close)
    return PricePoint(price=D(price), previous_close=close, as_of=as_of, source="simulator")


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
    assert held.positions[0].baseline.at == midnight


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


def test_a_rounded_loss_is_never_minus_zero() -> None:
    rows = [make_row("buy", days_ago(4), quantity="1", price="1")]
    wire = value(holdings(rows), {"ACME": point("0.9999", "1")}).as_wire()
    assert (str(wire["daily_change"]), str(wire["unrealized"])) == ("0.00", "0.00")
    assert {str(part) for part in wire["positions"][0]["explain"].values()} == {"0.00"}


def test_cash_has_the_day_of_currencies() -> None:
    rows = [make_row("deposit", datetime(2026, 11, 18, hour, tzinfo=UTC), amount="100") for hour in (21, 23)]
    valuation = value(holdings(rows), {})
    assert valuation.external_flows == 100  # the first came before 17:00 in New York
    assert valuation.holdings.baseline_at == datetime(2026, 11, 18, 22, tzinfo=UTC)
    assert valuation.holdings.valid_until == datetime(2026, 11, 19, 22, tzinfo=UTC)


# --- what moves ------------------------------------------------------------------------------------------------------


def euros(rate: str, as_of: datetime = NOW) -> dict[str, RatePoint]:
    return {"EUR": RatePoint(D(rate), as_of, ("EURUSD",))}


def two_currencies() -> Holdings:
    return holdings(
        [
            make_row("deposit", days_ago(9), amount="1000"),
            make_row("deposit", days_ago(9), amount="1000", currency="EUR", rate="1.1"),
            make_row("buy", days_ago(4), quantity="2", price="1"),
            make_row("buy", days_ago(4), symbol="SAP", quantity="2", price="1", currency="EUR", rate="1.1"),
        ]
    )


def test_a_partial_frame_carries_only_what_changed() -> None:
    prices = {"ACME": point("1", "1"), "SAP": point("1", "1")}
    valuer = Valuer(two_currencies(), prices, euros("1.2"), NOW)
    prices["ACME"] = point("2", "1")
    wire = valuer.update(prices, euros("1.2"), {"ACME", "OTHER"}, NOW).as_wire(complete=False)
    assert [(position["symbol"], position["price"]) for position in wire["positions"]] == [("ACME", 2)]
    assert wire["complete"] is False
    assert "cash_positions" not in wire
    assert wire["total_value"] == D("2202.00") == 998 + 4 + D("1.2") * 1000


def test_a_rate_moves_what_is_in_its_currency_and_its_cash() -> None:
    prices = {"ACME": point("1", "1"), "SAP": point("1", "1")}
    valuer = Valuer(two_currencies(), prices, euros("1.2"), NOW)
    wire = valuer.update(prices, euros("1.3"), (), NOW).as_wire(complete=False)
    assert [(position["symbol"], position["rate"]) for position in wire["positions"]] == [("SAP", D("1.3"))]
    assert [(cash["currency"], cash["rate"]) for cash in wire["cash_positions"]] == [
        ("EUR", D("1.3")),
        ("USD", 1),
    ]
    assert wire["total_value"] == 1000 + D("1.3") * 1000


def test_a_rate_grows_too_old_without_a_tick_and_comes_back() -> None:
    prices = {"ACME": point("1", "1"), "SAP": point("1", "1")}
    valuer = Valuer(two_currencies(), prices, euros("1.2"), NOW)
    later = NOW + timedelta(days=4, seconds=1)
    gone = valuer.update(prices, euros("1.2"), (), later)
    assert gone.unpriced == (("SAP", "no_rate"), ("EUR", "no_rate"))
    assert (gone.total_value, gone.coverage, gone.rates) == (D(1000), D("0.333333333333333333"), {})
    assert valuer.update(prices, euros("1.2", later), (), later).total_value == 1000 + D("1.2") * 1000


def test_a_price_comes_goes_and_the_oldest_is_always_told() -> None:
    held = two_currencies()
    prices = {"ACME": point("1", "1"), "SAP": point("1", "1", days_ago(1))}
    valuer = Valuer(held, {}, euros("1.2"), NOW)
    assert valuer.valuation().oldest_price_at is None
    assert valuer.update(prices, euros("1.2"), prices, NOW).oldest_price_at == days_ago(1)
    prices["ACME"] = point("1", "1", days_ago(2))
    assert valuer.update(prices, euros("1.2"), {"ACME"}, NOW).oldest_price_at == days_ago(2)
    prices["SAP"] = point("1", "1")
    assert valuer.update(prices, euros("1.2"), {"SAP"}, NOW).oldest_price_at == days_ago(2)
    del prices["ACME"]
    assert valuer.update(prices, euros("1.2"), {"ACME"}, NOW).unpriced == (("ACME", "no_price"),)
    assert valuer.valuation().oldest_price_at == NOW


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
