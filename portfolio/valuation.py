"""What a portfolio is worth now, and what today did to it: pure functions of holdings and prices.

`Holdings` is everything that ticks do not change, worked out once from the ledger; `value` is run on every
flush. Nothing is rounded before `as_wire`. A holding without a price or a rate is named, never filled in.
Money is in the portfolio's currency, except the cost side of a holding that has no rate to it.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any, Literal

import msgspec

from assets.sessions import AROUND_THE_CLOCK
from portfolio.arithmetic import (
    EXACT,
    HUNDRED,
    ONE,
    PERCENT,
    RATIO,
    ZERO,
    div,
    minor_unit,
    shown,
    trimmed,
)
from portfolio.ledger import Account, Row, replay

Reason = Literal["no_price", "no_rate"]

# A recording's prices carry the times of the recording, and are rolled by the feed that plays it.
OLD_TIMES = frozenset({"replay"})


class PricePoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An asset's price and where it is from; `previous_close` is of the session before the current one."""

    price: Decimal
    as_of: datetime
    previous_close: Decimal | None = None
    source: str = ""
    session: str = "always"
    stale: bool = False


class Holding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A position as ticks find it: what is held, what it cost, and what was traded in its window.

    `opening` is the quantity at the window's start, `traded` the value of the window's trades without their
    fees (negative for sales). The window is (baseline_at, now].
    """

    symbol: str
    name: str
    currency: str
    quantity: Decimal
    cost: Decimal
    realized: Decimal
    average_cost: Decimal | None
    opening: Decimal
    traded: Decimal
    fees: Decimal
    baseline_at: datetime
    # What ticks do not change, as it is sent.
    wire: dict[str, Any]
    multiplier: Decimal = ONE


class Holdings(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A portfolio without its prices; good until `valid_until`, when a new session begins."""

    portfolio_id: int
    name: str
    currency: str
    positions: tuple[Holding, ...]
    cash: Decimal
    # Cash in currencies that have no rate to the portfolio's.
    other_cash: tuple[str, ...]
    realized: Decimal
    invested: Decimal
    income: Decimal
    # Within the window of cash: deposits less withdrawals, and fees that belong to no asset.
    external_flows: Decimal
    cash_fees: Decimal
    baseline_at: datetime
    valid_until: datetime

    @property
    def symbols(self) -> frozenset[str]:
        return frozenset(holding.symbol for holding in self.positions)


class Components(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What made the day's change; their sum is the change, to the last digit."""

    price: Decimal
    trades: Decimal
    fees: Decimal
    currency: Decimal = ZERO
    income: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return self.price + self.trades + self.fees + self.currency + self.income


class PositionValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A holding at a price; what cannot be known is None."""

    holding: Holding
    point: PricePoint | None
    value: Decimal | None = None
    unrealized: Decimal | None = None
    unrealized_percent: Decimal | None = None
    components: Components | None = None
    daily_change: Decimal | None = None
    daily_change_percent: Decimal | None = None
    unpriced: Reason | None = None


class Valuation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The whole portfolio at one moment, unrounded."""

    holdings: Holdings
    positions: tuple[PositionValue, ...]
    total_value: Decimal
    daily_change: Decimal
    daily_change_percent: Decimal | None
    unrealized: Decimal
    coverage: Decimal
    unpriced: tuple[tuple[str, Reason], ...]
    # Priced holdings whose change today is unknown, because their previous close is.
    unexplained: tuple[str, ...]
    oldest_price_at: datetime | None

    def as_wire(self, complete: bool = True, changed: Collection[str] | None = None) -> dict[str, Any]:
        """Returns `portfolio_update.data`: money in whole minor units, percents to 2 places, the rest exact.

        Args:
            complete: False leaves out the positions that are not in `changed`.
        """
        holdings = self.holdings
        unit = minor_unit(holdings.currency)
        return {
            "portfolio_id": holdings.portfolio_id,
            "name": holdings.name,
            "currency": holdings.currency,
            "total_value": shown(self.total_value, unit),
            "daily_change": shown(self.daily_change, unit),
            "daily_change_percent": shown(self.daily_change_percent, PERCENT),
            "cash": shown(holdings.cash, unit),
            "invested": shown(holdings.invested, unit),
            "unrealized": shown(self.unrealized, unit),
            "realized": shown(holdings.realized, unit),
            "income": shown(holdings.income, unit),
            "coverage": shown(self.coverage, RATIO),
            "unpriced": [{"symbol": symbol, "reason": reason} for symbol, reason in self.unpriced],
            "unexplained": list(self.unexplained),
            "oldest_price_at": wire_time(self.oldest_price_at),
            "baseline_at": wire_time(holdings.baseline_at),
            "positions": [
                position_wire(position, self.total_value, holdings.currency)
                for position in self.positions
                if complete or (changed is not None and position.holding.symbol in changed)
            ],
            "complete": complete,
        }


def position_wire(position: PositionValue, total: Decimal, base: str) -> dict[str, Any]:
    holding, point = position.holding, position.point
    unit = minor_unit(base)
    weight = div(HUNDRED * position.value, total) if position.value is not None and total > 0 else None
    return {
        **holding.wire,
        "price": point.price if point else None,
        "value": shown(position.value, unit),
        "daily_change": shown(position.daily_change, unit),
        "daily_change_percent": shown(position.daily_change_percent, PERCENT),
        "unrealized": shown(position.unrealized, unit),
        "unrealized_percent": shown(position.unrealized_percent, PERCENT),
        "weight_percent": shown(weight, PERCENT),
        "as_of": wire_time(point.as_of) if point else None,
        "source": point.source if point else None,
        "session": point.session if point else None,
        "stale": point.stale if point else None,
    }


def wire_time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


# --- from rows to holdings ----------------------------------------------------------------------------------


def hold(
    portfolio_id: int, name: str, currency: str, rows: Iterable[Row], names: Mapping[str, str], now: datetime
) -> Holdings:
    """Works out from the ledger what ticks do not change; raises LedgerError where rows cannot be booked."""
    rows = list(rows)
    books = replay(rows, base=currency)
    baseline_at = AROUND_THE_CLOCK.session_at(now).open
    window: dict[str | None, list[Row]] = {}
    for row in rows:
        if row.time > baseline_at:
            window.setdefault(row.symbol, []).append(row)
    with localcontext(EXACT):
        positions = tuple(
            _holding(symbol, names.get(symbol, ""), account, window.get(symbol, []), baseline_at)
            for symbol, account in sorted(books.accounts.items())
            if account.quantity or symbol in window
        )
        today = [row for row in window.get(None, []) if row.currency == currency]
        own = [account for account in books.accounts.values() if account.currency == currency]
        return Holdings(
            portfolio_id=portfolio_id,
            name=name,
            currency=currency,
            positions=positions,
            cash=books.cash[currency].balance if currency in books.cash else ZERO,
            other_cash=tuple(
                sorted(code for code, a in books.cash.items() if a.balance and code != currency)
            ),
            realized=sum((account.realized for account in own), ZERO),
            invested=sum((account.cost for account in own), ZERO),
            income=ZERO,
            external_flows=sum((row.flow for row in today), ZERO),
            cash_fees=sum((row.fee for row in today), ZERO),
            baseline_at=baseline_at,
            valid_until=baseline_at + timedelta(days=1),
        )


def _holding(symbol: str, name: str, account: Account, rows: list[Row], baseline_at: datetime) -> Holding:
    quantity, unit = trimmed(account.quantity), minor_unit(account.currency)
    average_cost = trimmed(div(account.cost, quantity * account.multiplier)) if quantity else None
    return Holding(
        symbol=symbol,
        name=name,
        currency=account.currency,
        multiplier=account.multiplier,
        quantity=quantity,
        cost=account.cost,
        realized=account.realized,
        average_cost=average_cost,
        opening=quantity - sum((row.signed for row in rows), ZERO),
        traded=sum((row.value for row in rows), ZERO),
        fees=sum((row.fee for row in rows), ZERO),
        baseline_at=baseline_at,
        wire={
            "symbol": symbol,
            "name": name,
            "currency": account.currency,
            "quantity": quantity,
            "average_cost": average_cost,
            "cost": shown(account.cost, unit),
            "realized": shown(account.realized, unit),
            "baseline_at": wire_time(baseline_at),
        },
    )


# --- from prices to values ----------------------------------------------------------------------------------


def value(holdings: Holdings, prices: Mapping[str, PricePoint]) -> Valuation:
    """Values the portfolio at `prices`, by symbol."""
    with localcontext(EXACT):
        positions = tuple(
            _position(holding, prices.get(holding.symbol), holdings.currency)
            for holding in holdings.positions
        )
        total = holdings.cash + sum((p.value for p in positions if p.value is not None), ZERO)
        change = sum((p.daily_change for p in positions if p.daily_change is not None), -holdings.cash_fees)
        base = total - change + max(ZERO, -holdings.external_flows)
        held = [position for position in positions if position.holding.quantity]
        count = len(held) + len(holdings.other_cash)
        unpriced = tuple((p.holding.symbol, p.unpriced) for p in held if p.unpriced) + tuple(
            (currency, "no_rate") for currency in holdings.other_cash
        )
        return Valuation(
            holdings=holdings,
            positions=positions,
            total_value=total,
            daily_change=change,
            daily_change_percent=div(HUNDRED * change, base) if base > 0 else None,
            unrealized=sum((p.unrealized for p in positions if p.unrealized is not None), ZERO),
            coverage=div(Decimal(count - len(unpriced)), Decimal(count)) if count else ONE,
            unpriced=unpriced,
            unexplained=tuple(
                p.holding.symbol
                for p in positions
                if p.daily_change is None and not (p.unpriced and p.holding.quantity)
            ),
            oldest_price_at=min((p.point.as_of for p in held if p.point and not p.unpriced), default=None),
        )


def _position(holding: Holding, point: PricePoint | None, base: str) -> PositionValue:
    if holding.currency != base:
        return PositionValue(holding=holding, point=point, unpriced="no_rate")
    if point is None:
        return PositionValue(holding=holding, point=None, unpriced="no_price")
    worth = holding.quantity * point.price * holding.multiplier
    gain = worth - holding.cost
    components = explain(holding, point)
    change = components.total if components else None
    return PositionValue(
        holding=holding,
        point=point,
        value=worth,
        unrealized=gain,
        unrealized_percent=div(HUNDRED * gain, abs(holding.cost)) if holding.cost else None,
        components=components,
        daily_change=change,
        daily_change_percent=_percent_of_day(holding, point, change),
    )


def explain(holding: Holding, point: PricePoint) -> Components | None:
    """Splits the change since the baseline; None if the baseline's price is needed and unknown."""
    close = previous_close(holding, point)
    if not holding.opening:
        price = ZERO
    elif close is None:
        return None
    else:
        price = holding.opening * (point.price - close) * holding.multiplier
    # Against having held still: what was bought is now worth P1, and cost what was paid.
    bought = (holding.quantity - holding.opening) * point.price * holding.multiplier
    return Components(price=price, trades=bought - holding.traded, fees=-holding.fees)


def previous_close(holding: Holding, point: PricePoint) -> Decimal | None:
    """The price at the window's start.

    Around the clock, a price from before it was the last one then. Nobody rolls a price set by hand at midnight,
    nor that of a feed which died the day before: what they call the previous close is a session too old by now.
    """
    is_older = point.session == "always" and point.as_of <= holding.baseline_at
    if is_older and point.source not in OLD_TIMES:
        return point.price
    return point.previous_close


def _percent_of_day(holding: Holding, point: PricePoint, change: Decimal | None) -> Decimal | None:
    """100 · D / max(|V0|, |V0 + what flowed in|), with the sign of D."""
    if change is None:
        return None
    before = holding.opening * (previous_close(holding, point) or ZERO) * holding.multiplier
    base = max(abs(before), abs(before + holding.traded))
    return div(HUNDRED * change, base) if base else None
