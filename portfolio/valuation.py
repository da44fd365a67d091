"""What a portfolio is worth now, and what today did to it: pure functions of holdings, prices and rates.

`value` works out everything; a `Valuer` keeps it and works out again only what moved, to the same last digit,
because exact sums do not depend on their order. Nothing is rounded before the wire. What has no price or no rate
is named, never filled in.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

import msgspec

from assets.rates import OLDEST, RatePoint
from portfolio.arithmetic import EXACT, ONE, ZERO, div
from portfolio.ledger import Row, replay
from portfolio.positions import (
    CashValue,
    Components,
    PositionValue,
    PricePoint,
    Reason,
    percent,
    value_asset,
    value_cash,
)
from portfolio.windows import AssetFacts, Baseline, Holdings, PortfolioFacts, hold
from portfolio.wire import PortfolioWire, plain, portfolio_wire

__all__ = [
    "Components",
    "PricePoint",
    "RatePoint",
    "Reason",
    "Valuation",
    "Valuer",
    "hold",
    "revalue",
    "value",
]


class Valuation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The whole portfolio at one moment, unrounded, in its currency."""

    holdings: Holdings
    valued_at: datetime
    positions: tuple[PositionValue, ...]
    cash_positions: tuple[CashValue, ...]
    total_value: Decimal
    # Of what cash and receivables are worth.
    cash: Decimal
    daily_change: Decimal
    daily_change_percent: Decimal | None
    components: Components
    unrealized: Decimal
    cash_fx: Decimal
    receivables_fx: Decimal
    external_flows: Decimal
    coverage: Decimal
    unpriced: tuple[tuple[str, Reason], ...]
    # Priced positions whose change today is unknown, because their baseline is.
    unexplained: tuple[str, ...]
    oldest_price_at: datetime | None
    rates: Mapping[str, RatePoint]
    # Which positions the last prices and rates touched, and whether a rate was among them.
    touched: tuple[int, ...]
    has_new_rates: bool

    def inputs(self) -> "Inputs":
        """What it was computed from; `revalue` computes it again."""
        holdings = self.holdings
        return Inputs(
            held_at=holdings.now,
            valued_at=self.valued_at,
            ledger_row=holdings.ledger_row,
            baselines=holdings.baselines,
            prices={p.holding.symbol: p.point for p in self.positions if p.point is not None},
            rates=self.rates,
        )

    def as_wire(self, complete: bool = True, receipt: str | None = None) -> dict[str, Any]:
        """Returns `portfolio_update.data` as plain values."""
        found: dict[str, Any] = plain(self.as_struct(complete, receipt))
        return found

    def as_struct(self, complete: bool = True, receipt: str | None = None) -> PortfolioWire:
        """Returns `portfolio_update.data`: money in whole minor units, percents to 2 places, the rest exact.

        Args:
            complete: False leaves out what the last prices and rates did not touch.
        """
        return portfolio_wire(self, complete, receipt)


# --- keeping it up to date ----------------------------------------------------------------------------------


def value(
    holdings: Holdings,
    prices: Mapping[str, PricePoint],
    rates: Mapping[str, RatePoint] | None = None,
    at: datetime | None = None,
) -> Valuation:
    """Values the portfolio.

    Args:
        prices: by symbol, in today's units.
        rates: the portfolio's currency for one unit of each; its own needs none.
        at: the moment, by which a rate may be too old; that of the holdings by default.
    """
    return Valuer(holdings, prices, rates or {}, at or holdings.now).valuation()


class Valuer:
    """One portfolio's values, worked out again only where a price or a rate moved."""

    def __init__(
        self,
        holdings: Holdings,
        prices: Mapping[str, PricePoint],
        rates: Mapping[str, RatePoint],
        at: datetime,
    ) -> None:
        self.holdings = holdings
        self._indexes = {holding.symbol: index for index, holding in enumerate(holdings.positions)}
        self._in_currency: dict[str, list[int]] = {}
        for index, holding in enumerate(holdings.positions):
            self._in_currency.setdefault(holding.currency, []).append(index)
        self._currencies = holdings.currencies
        self._rates: dict[str, RatePoint] = {}
        self._positions = [
            PositionValue(holding, holding.terms, None, None, "no_price") for holding in holdings.positions
        ]
        # The sums over the positions.
        self._value = self._unrealized = self._flow = ZERO
        self._price = self._currency = self._trades = self._income = self._fees = ZERO
        self._survey()
        with localcontext(EXACT):
            self._cash = _value_all_cash(holdings, self._rate)
        self._valuation = self.update(prices, rates, self._indexes, at)

    def valuation(self) -> Valuation:
        """The latest one."""
        return self._valuation

    def update(
        self,
        prices: Mapping[str, PricePoint],
        rates: Mapping[str, RatePoint],
        symbols: Iterable[str],
        at: datetime,
    ) -> Valuation:
        """Values anew the positions of `symbols`, and those in a currency whose rate is another than before."""
        indexes, positions = self._indexes, self._positions
        with localcontext(EXACT):
            new_rates = self._take_rates(rates, at)
            touched = {indexes[symbol] for symbol in symbols if symbol in indexes}
            for currency in new_rates:
                touched.update(self._in_currency.get(currency, ()))
            for index in touched:
                before = positions[index]
                holding = before.holding
                price = prices.get(holding.symbol)
                after = positions[index] = value_asset(holding, price, self._rate(holding.currency))
                self._exchange(before, after)
            if self._must_survey:
                self._survey()
            elif self._must_find_oldest:
                self._find_oldest()
            if new_rates:
                self._cash = _value_all_cash(self.holdings, self._rate)
            self._valuation = self._sum_up(tuple(sorted(touched)), bool(new_rates), at)
        return self._valuation

    def _take_rates(self, rates: Mapping[str, RatePoint], at: datetime) -> list[str]:
        """Returns the currencies whose rate is new, gone, or too old by now."""
        moved: list[str] = []
        for currency in self._currencies:
            point = rates.get(currency)
            if point is not None and at - point.as_of > OLDEST:
                point = None
            if point != self._rates.get(currency):
                moved.append(currency)
                if point is None:
                    del self._rates[currency]
                else:
                    self._rates[currency] = point
        return moved

    def _rate(self, currency: str) -> Decimal | None:
        if currency == self.holdings.currency:
            return ONE
        point = self._rates.get(currency)
        return None if point is None else point.value

    def _exchange(self, before: PositionValue, after: PositionValue) -> None:
        """Brings the sums up to date."""
        if before.daily_change is None or after.daily_change is None:
            self._add(before, -1)
            self._add(after, 1)
            self._must_survey = True
            return
        assert before.value is not None and before.unrealized is not None
        assert after.value is not None and after.unrealized is not None
        self._value += after.value - before.value
        self._unrealized += after.unrealized - before.unrealized
        self._price += after.price - before.price
        self._currency += after.currency - before.currency
        self._trades += after.trades - before.trades
        oldest = self._oldest_price_at
        if before.point is None or after.point is None or oldest is None:
            self._must_survey = True
        elif before.point.as_of == oldest or after.point.as_of < oldest:
            self._must_find_oldest = True

    def _add(self, position: PositionValue, sign: int) -> None:
        moved = position.holding.moved
        if position.value is not None and position.unrealized is not None:
            self._value += sign * position.value
            self._unrealized += sign * position.unrealized
            self._flow += sign * moved.flow
        if position.daily_change is not None:
            self._price += sign * position.price
            self._currency += sign * position.currency
            self._trades += sign * position.trades
            self._income += sign * moved.income
            self._fees -= sign * moved.fees

    def _survey(self) -> None:
        """Looks at all positions for what no sum tells."""
        held = [position for position in self._positions if position.holding.quantity]
        self._held = len(held)
        self._unpriced = tuple(
            (position.holding.symbol, position.reason) for position in held if position.reason is not None
        )
        self._unexplained = tuple(
            position.holding.symbol
            for position in self._positions
            if position.value is not None and position.daily_change is None
        )
        self._must_survey = False
        self._find_oldest()

    def _find_oldest(self) -> None:
        times = [
            position.point.as_of
            for position in self._positions
            if position.point is not None and position.value is not None and position.holding.quantity
        ]
        self._oldest_price_at = min(times, default=None)
        self._must_find_oldest = False

    def _sum_up(self, touched: tuple[int, ...], has_new_rates: bool, at: datetime) -> Valuation:
        cash = self._cash
        by_rates = self._currency + cash.components.currency
        income, fees = self._income + cash.components.income, self._fees + cash.components.fees
        change = self._price + by_rates + self._trades + income + fees
        total, flow = self._value + cash.value, self._flow + cash.flow
        # Inflows count from the start of the day, outflows until its end.
        base = total - change + max(ZERO, -flow)
        count, unpriced = self._held + cash.count, len(self._unpriced) + cash.unpriced_count
        return Valuation(
            holdings=self.holdings,
            valued_at=at,
            positions=tuple(self._positions),
            cash_positions=cash.positions,
            total_value=total,
            daily_change=change,
            daily_change_percent=percent(change, base),
            components=Components(self._price, by_rates, self._trades, income, fees),
            cash=cash.value,
            unrealized=self._unrealized,
            cash_fx=cash.fx,
            receivables_fx=cash.receivables_fx,
            external_flows=flow,
            coverage=div(Decimal(count - unpriced), Decimal(count)) if count else ONE,
            unpriced=self._unpriced + cash.unpriced,
            unexplained=self._unexplained + cash.unexplained,
            oldest_price_at=self._oldest_price_at,
            rates=dict(self._rates),
            touched=touched,
            has_new_rates=has_new_rates,
        )


class _Cash(msgspec.Struct, frozen=True, gc=False):
    """All cash positions, and the sums over them; `count` is of those that need a rate."""

    positions: tuple[CashValue, ...]
    value: Decimal
    components: Components
    fx: Decimal
    receivables_fx: Decimal
    flow: Decimal
    count: int
    unpriced_count: int
    unpriced: tuple[tuple[str, Reason], ...]
    unexplained: tuple[str, ...]


def _value_all_cash(holdings: Holdings, rate_of: Callable[[str], Decimal | None]) -> _Cash:
    positions = tuple(value_cash(holding, rate_of(holding.currency)) for holding in holdings.cash)
    needing = [p for p in positions if p.holding.amount and p.holding.currency != holdings.currency]
    unpriced = [p.holding.currency for p in needing if p.value is None]
    unexplained = [p.holding.currency for p in positions if p.value is not None and p.daily_change is None]
    explained = [p.components for p in positions if p.components is not None]
    known = [(p.holding, p.value, p.value - p.holding.paid_base) for p in positions if p.value is not None]
    return _Cash(
        positions=positions,
        value=sum((worth for _, worth, _ in known), ZERO),
        components=Components(
            currency=sum((part.currency for part in explained), ZERO),
            income=sum((part.income for part in explained), ZERO),
            fees=sum((part.fees for part in explained), ZERO),
        ),
        fx=sum((gain for holding, _, gain in known if not holding.receivable), ZERO),
        receivables_fx=sum((gain for holding, _, gain in known if holding.receivable), ZERO),
        flow=sum((holding.moved.flow for holding, _, _ in known), ZERO),
        count=len(needing),
        unpriced_count=len(unpriced),
        unpriced=tuple((currency, "no_rate") for currency in dict.fromkeys(unpriced)),
        unexplained=tuple(dict.fromkeys(unexplained)),
    )


# --- computing it again -------------------------------------------------------------------------------------


class Inputs(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a valuation was computed from, beside the portfolio's rows up to `ledger_row`."""

    held_at: datetime
    valued_at: datetime
    ledger_row: int | None
    baselines: Mapping[str, Baseline]
    prices: Mapping[str, PricePoint]
    rates: Mapping[str, RatePoint]


def revalue(
    inputs: Inputs, rows: Iterable[Row], facts: PortfolioFacts, assets: Mapping[str, AssetFacts]
) -> Valuation:
    """Computes a valuation again from what it says it was computed from; rows entered since are left out."""
    last = inputs.ledger_row
    books = replay(
        [row for row in rows if row.id is None or (last is not None and row.id <= last)],
        short_sales=facts.short_sales,
        method=facts.method,
        base=facts.currency,
        until=inputs.held_at,
    )
    holdings = hold(facts, books, assets, inputs.baselines, inputs.held_at)
    return value(holdings, inputs.prices, inputs.rates, inputs.valued_at)
