"""Every number of the golden cases, to the last digit, through the ledger, the windows, the valuation and the wire."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from assets.rates import Pair, RatePoint, Rates
from portfolio.ledger import replay
from portfolio.positions import CashValue, PositionValue
from portfolio.valuation import PricePoint, Valuation, revalue, value
from portfolio.windows import PortfolioFacts, hold
from tests.portfolio.checks import PARTS, check_explained, check_lifetime
from tests.portfolio.golden import FIVE, Figures, Golden, opened, row, utc
from tests.portfolio.golden_more import MORE, deposit

CASES = {**FIVE, **MORE}
HELD = ("quantity", "cost", "cost_base", "realized", "realized_base", "average_cost")
# What a valuation's holdings know, and it does not.
BOOKED = ("realized", "realized_today", "income_today", "invested")

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def facts_of(case: Golden) -> PortfolioFacts:
    return PortfolioFacts(
        id=7, name="Golden", currency=case.base, method=case.method, short_sales=case.short_sales
    )


def valuation_of(case: Golden) -> Valuation:
    now = utc(case.now)
    books = replay(case.rows, short_sales=case.short_sales, method=case.method, base=case.base, until=now)
    prices = {
        symbol: PricePoint(
            price=Decimal(price), as_of=now, source="golden", quarantined=symbol in case.quarantined
        )
        for symbol, price in case.prices.items()
    }
    rates = {
        currency: RatePoint(Decimal(rate), now - case.rate_age, (f"{currency}{case.base}",))
        for currency, rate in case.rates.items()
    }
    return value(hold(facts_of(case), books, case.assets, case.baselines, now), prices, rates)


def position_of(valuation: Valuation, key: str) -> PositionValue | CashValue:
    kind, _, currency = key.partition(":")
    if kind in ("cash", "due"):
        found = [
            p
            for p in valuation.cash_positions
            if (p.holding.currency, p.holding.receivable) == (currency, kind == "due")
        ]
        return found[0]
    return next(p for p in valuation.positions if p.holding.symbol == key)


def figure(position: PositionValue | CashValue, name: str) -> Any:
    if name in PARTS:
        return None if position.components is None else getattr(position.components, name)
    if name in HELD or name == "amount":
        return getattr(position.holding, name)
    if name == "previous_close":
        assert isinstance(position, PositionValue)
        return position.terms.previous_close
    return getattr(position, name)


def check_figures(found: dict[str, Any], expected: Figures) -> None:
    assert found == {name: None if text is None else Decimal(text) for name, text in expected.items()}


@every_case
def test_every_figure_of_every_position(case: Golden) -> None:
    valuation = valuation_of(case)
    for key, expected in case.positions.items():
        position = position_of(valuation, key)
        check_figures({name: figure(position, name) for name in expected}, expected)


@every_case
def test_every_figure_of_the_whole(case: Golden) -> None:
    valuation = valuation_of(case)
    found = {
        name: getattr(
            valuation.components if name in PARTS else valuation.holdings if name in BOOKED else valuation,
            name,
        )
        for name in case.total
    }
    check_figures(found, case.total)
    assert dict(valuation.unpriced) == case.unpriced
    assert valuation.unexplained == case.unexplained


@every_case
def test_what_is_shown(case: Golden) -> None:
    wire = valuation_of(case).as_wire()
    for name, text in case.wire.items():
        inside = wire["explain"] if name in (*PARTS, "rounding") else wire
        assert (name, str(inside[name])) == (name, text)  # with its zeros


@every_case
def test_what_holds_of_all(case: Golden) -> None:
    valuation = valuation_of(case)
    check_explained(valuation)
    assert valuation.holdings.flows == Decimal(case.flows)
    if not case.unpriced:
        check_lifetime(valuation)


@every_case
def test_a_valuation_is_computed_again_from_its_inputs(case: Golden) -> None:
    first = valuation_of(case)
    numbered = [replace(row, id=number) for number, row in enumerate(case.rows, 1)]
    inputs = msgspec.structs.replace(first.inputs(), ledger_row=len(numbered))
    later = row(case.now, "deposit", amount="1000", currency=case.base, id=len(numbered) + 1)

    again = revalue(inputs, [*numbered, later], facts_of(case), case.assets)

    assert again.as_wire() == {**first.as_wire(), "ledger_row": len(numbered)}


def test_a_rate_is_the_inverse_or_a_cross_and_as_old_as_its_older_leg() -> None:
    now, rows = utc("2026-11-19 16:00"), []
    for symbol, currency in (("TOYOTA", "JPY"), ("SHOP", "GBP")):
        rows.append(row("2026-01-06 09:00", "transfer_in", symbol=symbol, quantity="1", currency=currency))
    pairs = [Pair("USD", "JPY", "USDJPY"), Pair("GBP", "USD", "GBPUSD"), Pair("USD", "INR", "USDINR")]
    points = {
        "USDJPY": PricePoint(price=Decimal("150.25"), as_of=now),
        "GBPUSD": PricePoint(price=Decimal("1.27"), as_of=now - timedelta(days=4)),
        "USDINR": PricePoint(price=Decimal("83.12"), as_of=now),
    }

    def total(base: str, symbol: str, at: datetime) -> Valuation:
        rates = Rates(pairs, points)
        books = replay([row for row in rows if row.symbol == symbol], base=base)
        baselines = {symbol: opened("2026-11-18 21:00", "2026-11-20 14:30", "100")}
        holdings = hold(PortfolioFacts(id=1, name="", currency=base), books, {}, baselines, now)
        known = {code: rates.rate(code, base, at) for code in holdings.currencies}
        found = {code: point for code, point in known.items() if point is not None}
        return value(holdings, {symbol: PricePoint(price=Decimal(100), as_of=now)}, found, at)

    assert total("USD", "TOYOTA", now).total_value == Decimal("0.6655574043261231")  # 100 / 150.25
    assert total("INR", "SHOP", now).total_value == Decimal("10556.24")  # 100·1.27·83.12
    assert total("INR", "SHOP", now).rates["GBP"].legs == ("GBPUSD", "USDINR")
    assert total("INR", "SHOP", now + timedelta(seconds=1)).unpriced == (("SHOP", "no_rate"),)


def test_the_official_close_is_tonights_value_and_tomorrows_baseline() -> None:
    bought = row("2026-01-06 15:00", "buy", symbol="ACME", quantity="10", price="90")
    dollars = {"cash:USD": opened("2026-11-18 22:00", "2026-11-20 22:00")}
    today = Golden(
        base="USD",
        now="2026-11-19 21:30",  # shut for half an hour; the last trade was at 101.50, the official close is 101.20
        rows=(deposit("900"), bought),
        baselines={"ACME": opened("2026-11-18 21:00", "2026-11-20 14:30", "100.00"), **dollars},
        prices={"ACME": "101.20"},
        positions={},
        total={},
        flows="900",
    )
    morning = replace(today, now="2026-11-20 14:29")
    opening = replace(
        today,
        now="2026-11-20 14:30",  # by the clock: nobody has traded yet
        baselines={"ACME": opened("2026-11-19 21:00", "2026-11-23 14:30", "101.20"), **dollars},
    )
    found = [valuation_of(case) for case in (today, morning, opening)]
    assert [one.daily_change for one in found] == [Decimal("12.00"), Decimal("12.00"), Decimal(0)]
    assert {one.total_value for one in found} == {Decimal("1012.00")}
    assert [one.holdings.valid_until for one in found[:2]] == [utc("2026-11-20 14:30")] * 2


def test_a_delay_and_another_sources_previous_close_change_no_baseline() -> None:
    """At 09:35 in New York a feed that is 15 minutes behind still tells yesterday's close."""
    now = utc("2026-11-19 14:35")
    books = replay([row("2026-01-06 15:00", "buy", symbol="ACME", quantity="10", price="90")], until=now)
    baselines = {
        "ACME": opened("2026-11-18 21:00", "2026-11-20 14:30", "100.00"),
        "cash:USD": opened("2026-11-18 22:00", "2026-11-19 22:00"),
    }
    holdings = hold(PortfolioFacts(id=1, name="", currency="USD"), books, {}, baselines, now)

    def change(price: str, as_of: str, previous_close: str, source: str) -> Decimal:
        close = Decimal(previous_close)
        point = PricePoint(price=Decimal(price), as_of=utc(as_of), previous_close=close, source=source)
        return value(holdings, {"ACME": point}).daily_change

    assert change("100.00", "2026-11-18 21:00", "98.00", "polygon") == 0
    assert change("100.40", "2026-11-19 14:31", "98.00", "polygon") == Decimal("4.00")
    assert change("100.40", "2026-11-19 14:31", "99.95", "yahoo") == Decimal("4.00")


def test_in_another_base_currency_nothing_of_the_first_is_left() -> None:
    """The rows of a portfolio in euros, booked for one in dollars: then no rate has moved anything."""
    euros = MORE["a rate moves while the share market is shut"]
    dollars = replace(
        euros,
        base="USD",
        rows=tuple(replace(row, rate=Decimal(1)) for row in euros.rows),
        rates={},
    )
    valuation = valuation_of(dollars)
    assert (valuation.total_value, valuation.daily_change) == (Decimal("2100.00"), Decimal("20.00"))
    assert (valuation.components.currency, valuation.cash_fx) == (0, 0)
    assert (valuation.holdings.flows, valuation.unrealized) == (Decimal("2000.00"), Decimal("100.00"))
