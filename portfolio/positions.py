"""One position at a price and a rate: what it is worth, and what made its change today.

A handful of exact products with what `portfolio.windows` worked out beforehand. Nothing is rounded. What has no
price or no rate has no value, and says why.
"""

from datetime import datetime
from decimal import Decimal, localcontext
from typing import Literal

import msgspec

from portfolio.arithmetic import EXACT, HUNDRED, ZERO, div
from portfolio.windows import CashHolding, Holding, Terms

Reason = Literal["no_price", "no_rate", "expired", "quarantined"]

# A recording's prices carry the times of the recording, and are rolled by the feed that plays it.
OLD_TIMES = frozenset({"replay"})


class PricePoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An asset's price in today's units, and where it is from."""

    price: Decimal
    as_of: datetime
    previous_close: Decimal | None = None
    source: str = ""
    session: str = "always"
    stale: bool = False
    seq: int = 0
    epoch: int = 0
    received_at: datetime | None = None
    # Held back by the feed as implausible: shown, but nothing is valued with it.
    quarantined: bool = False


class Components(msgspec.Struct, frozen=True, gc=False):
    """What made the day's change; their sum is the change, to the last digit."""

    price: Decimal = ZERO
    currency: Decimal = ZERO
    trades: Decimal = ZERO
    income: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        with localcontext(EXACT):
            return self.price + self.currency + self.trades + self.income + self.fees


class PositionValue(msgspec.Struct, frozen=True, gc=False):
    """A holding at a price and a rate; what cannot be known is None. Money in base."""

    holding: Holding
    terms: Terms
    point: PricePoint | None
    rate: Decimal | None
    reason: Reason | None = None
    value: Decimal | None = None
    unrealized: Decimal | None = None
    # The part of it that the price made, at the rates of the lots' opening.
    unrealized_price: Decimal | None = None
    daily_change: Decimal | None = None
    price: Decimal = ZERO
    currency: Decimal = ZERO
    trades: Decimal = ZERO

    @property
    def components(self) -> Components | None:
        if self.daily_change is None:
            return None
        moved = self.holding.moved
        return Components(self.price, self.currency, self.trades, moved.income, EXACT.minus(moved.fees))

    @property
    def unrealized_currency(self) -> Decimal | None:
        if self.unrealized is None or self.unrealized_price is None:
            return None
        return EXACT.subtract(self.unrealized, self.unrealized_price)

    @property
    def gain(self) -> Decimal | None:
        """What is not realized, in the asset's currency."""
        if self.point is None or self.value is None:
            return None
        return EXACT.subtract(EXACT.multiply(self.terms.worth, self.point.price), self.holding.cost)

    @property
    def daily_change_percent(self) -> Decimal | None:
        return percent(self.daily_change, self.terms.day_base)

    @property
    def unrealized_percent(self) -> Decimal | None:
        return percent(self.unrealized, EXACT.abs(self.holding.cost_base))


class CashValue(msgspec.Struct, frozen=True, gc=False):
    """Cash at a rate; None without one, unless nothing is left of it."""

    holding: CashHolding
    rate: Decimal | None
    value: Decimal | None
    daily_change: Decimal | None = None
    currency: Decimal = ZERO

    @property
    def components(self) -> Components | None:
        if self.daily_change is None:
            return None
        moved = self.holding.moved
        return Components(currency=self.currency, income=moved.income, fees=EXACT.minus(moved.fees))


def value_asset(holding: Holding, point: PricePoint | None, rate: Decimal | None) -> PositionValue:
    terms = holding.terms
    if holding.baseline.quoted and point is not None:
        terms = holding.terms_with(_quoted_close(holding, point))
    if holding.is_expired:
        return _value_nothing(holding, terms, point, rate, "expired")
    if point is None:
        return _value_nothing(holding, terms, None, rate, "no_price")
    if point.quarantined:
        return _value_nothing(holding, terms, point, rate, "quarantined")
    if rate is None:
        return _value_nothing(holding, terms, point, None, "no_rate")
    price = point.price
    base_price = price * rate
    worth = terms.worth * base_price
    unrealized = worth - holding.cost_base
    by_price = holding.open_units * price - holding.open_cost
    if holding.free_units:
        by_price += holding.free_units * base_price
    if terms.before is None or terms.kept_base is None or terms.settled is None:
        return PositionValue(holding, terms, point, rate, None, worth, unrealized, by_price)
    held, stood = terms.kept * base_price, terms.kept_base * price
    return PositionValue(
        holding,
        terms,
        point,
        rate,
        None,
        worth,
        unrealized,
        by_price,
        worth - terms.settled,
        stood - terms.before,
        held - stood,
        worth - held - terms.traded,
    )


def _value_nothing(
    holding: Holding, terms: Terms, point: PricePoint | None, rate: Decimal | None, reason: Reason
) -> PositionValue:
    """A position without a price: left out, unless it was closed, which needs none; then its trades made it all."""
    if holding.quantity:
        return PositionValue(holding, terms, point, rate, reason)
    if terms.settled is None or terms.before is None:
        return PositionValue(holding, terms, point, rate, None, ZERO, ZERO, ZERO)
    trades = -terms.before - terms.traded
    return PositionValue(
        holding, terms, point, rate, None, ZERO, ZERO, ZERO, -terms.settled, ZERO, ZERO, trades
    )


def _quoted_close(holding: Holding, point: PricePoint) -> Decimal | None:
    """The price at the window's start, of an asset whose closes nobody stores.

    Around the clock, a price from before it was the last one then. Nobody rolls a price set by hand at midnight,
    nor that of a feed which died the day before: what they call the previous close is a session too old by now.
    """
    is_older = point.session == "always" and point.as_of <= holding.baseline.at
    if is_older and point.source not in OLD_TIMES:
        return point.price
    return point.previous_close


def value_cash(holding: CashHolding, rate: Decimal | None) -> CashValue:
    value = ZERO if not holding.amount else None if rate is None else holding.amount * rate
    if value is None or holding.before is None or holding.settled is None:
        return CashValue(holding, rate, value)
    currency = value - holding.before - holding.moved.value
    return CashValue(holding, rate, value, value - holding.settled, currency)


def percent(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    if part is None or whole is None or whole <= 0:
        return None
    return div(EXACT.multiply(HUNDRED, part), whole)
