"""The shape of `portfolio_update.data`, and the rounding that happens here and nowhere else.

Money has the portfolio currency's minor unit, percents two places; prices, rates and quantities are whole. The
structs are encoded as they are; `plain` makes of them what REST and tests read.
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from portfolio.arithmetic import HUNDRED, PERCENT, RATIO, div, minor_unit

if TYPE_CHECKING:
    from portfolio.positions import CashValue, Components, PositionValue
    from portfolio.valuation import Valuation

Number = Decimal | None
# Wide enough for every sum and product here; and what is current costs half of what is handed over.
_ROUNDING = Context(prec=200, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
# What of a position ticks do not change, in the order of PositionWire.
PositionConstants = tuple[
    str, str, str, Decimal, Number, Number, Number, Number, Number, Number, Number, str | None
]


# What of a portfolio ticks do not change, in the order of PortfolioWire.
PortfolioConstants = tuple[Number, Number, Number, Number, Number, Number, Number, str | None, int | None]


class ExplainWire(msgspec.Struct, frozen=True, gc=False):
    """The components of a day's change, rounded each; with `rounding` they are the rounded change."""

    price: Number
    currency: Number
    trades: Number
    income: Number
    fees: Number
    rounding: Number


class PositionWire(msgspec.Struct, frozen=True, gc=False):
    """An asset. In the portfolio's currency but for price, average_cost, cost, realized and previous_close."""

    symbol: str
    name: str
    currency: str
    quantity: Decimal
    average_cost: Number
    cost: Number
    cost_base: Number
    realized: Number
    realized_base: Number
    income: Number
    fees: Number
    baseline_at: str | None
    price: Number
    rate: Number
    value: Number
    previous_close: Number
    daily_change: Number
    daily_change_percent: Number
    explain: ExplainWire | None
    unrealized: Number
    unrealized_price: Number
    unrealized_currency: Number
    unrealized_percent: Number
    weight_percent: Number
    as_of: str | None
    source: str | None
    session: str | None
    stale: bool | None
    reason: str | None


class CashWire(msgspec.Struct, frozen=True, gc=False):
    """Cash in one currency, or what is to be paid in it; `amount` is in that currency, all else in the portfolio's."""

    currency: str
    amount: Number
    rate: Number
    value: Number
    daily_change: Number
    explain: ExplainWire | None
    baseline_at: str | None
    receivable: bool


class UnpricedWire(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    reason: str


class PortfolioWire(msgspec.Struct, frozen=True, gc=False):
    """A portfolio's figures; `positions` are all when `complete`, and `cash_positions` left out where no rate moved."""

    portfolio_id: int
    name: str
    currency: str
    total_value: Number
    daily_change: Number
    daily_change_percent: Number
    explain: ExplainWire
    cash: Number
    unrealized: Number
    cash_fx: Number
    external_flows: Number
    coverage: Number
    unpriced: tuple[UnpricedWire, ...]
    unexplained: tuple[str, ...]
    oldest_price_at: str | None
    valued_at: str | None
    receipt: str | None
    invested: Number
    realized: Number
    income: Number
    fees: Number
    taxes: Number
    realized_today: Number
    income_today: Number
    baseline_at: str | None
    ledger_row: int | None
    positions: tuple[PositionWire, ...]
    cash_positions: tuple[CashWire, ...] | msgspec.UnsetType
    complete: bool


def plain(value: Any) -> Any:
    """Structs as dicts and tuples as lists, without what is unset; numbers stay decimals."""
    if isinstance(value, msgspec.Struct):
        items = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: plain(item) for name, item in items if item is not msgspec.UNSET}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


@lru_cache(8192)
def wire_time(moment: datetime | None) -> str | None:
    """The time as it is sent. One quote is in many portfolios' frames."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


# --- from a valuation ---------------------------------------------------------------------------------------


def portfolio_wire(valuation: "Valuation", complete: bool, receipt: str | None) -> PortfolioWire:
    holdings, unit = valuation.holdings, minor_unit(valuation.holdings.currency)
    positions, cash = valuation.positions, valuation.cash_positions
    sent = positions if complete else [positions[index] for index in valuation.touched]
    percent = valuation.daily_change_percent
    with localcontext(_ROUNDING):
        change, total = _rounded(valuation.daily_change, unit), valuation.total_value
        return PortfolioWire(
            holdings.facts.id,
            holdings.facts.name,
            holdings.currency,
            _rounded(total, unit),
            change,
            None if percent is None else _rounded(percent, PERCENT),
            _explain(valuation.components, unit, change),
            _rounded(valuation.cash, unit),
            _rounded(valuation.unrealized, unit),
            _rounded(valuation.cash_fx, unit),
            _rounded(valuation.external_flows, unit),
            _rounded(valuation.coverage, RATIO),
            tuple([UnpricedWire(name, reason) for name, reason in valuation.unpriced]),
            valuation.unexplained,
            wire_time(valuation.oldest_price_at),
            wire_time(valuation.valued_at),
            receipt,
            *holdings.constants,
            tuple([_position_wire(position, total, unit) for position in sent]),
            tuple([_cash_wire(position, unit) for position in cash])
            if complete or valuation.has_new_rates
            else msgspec.UNSET,
            complete,
        )


def _position_wire(position: "PositionValue", total: Decimal, unit: Decimal) -> PositionWire:
    holding, point = position.holding, position.point
    value, unrealized, by_price = position.value, position.unrealized, position.unrealized_price
    if value is None or unrealized is None or by_price is None:
        worth = gain = gain_by_price = gain_by_rate = gain_percent = weight = None
    else:
        worth, gain = _rounded(value, unit), _rounded(unrealized, unit)
        gain_by_price, gain_by_rate = _rounded(by_price, unit), _rounded(unrealized - by_price, unit)
        cost = holding.cost_base
        gain_percent = _percent(unrealized, abs(cost)) if cost else None
        weight = _percent(value, total) if total > 0 else None
    change = explain = change_percent = None
    if position.daily_change is not None:
        change, components = _rounded(position.daily_change, unit), position.components
        explain = None if components is None else _explain(components, unit, change)
        base = position.terms.day_base
        change_percent = _percent(position.daily_change, base) if base else None
    return PositionWire(
        *holding.constants,
        point.price if point else None,
        position.rate,
        worth,
        position.terms.previous_close,
        change,
        change_percent,
        explain,
        gain,
        gain_by_price,
        gain_by_rate,
        gain_percent,
        weight,
        wire_time(point.as_of) if point else None,
        point.source if point else None,
        point.session if point else None,
        point.stale if point else None,
        position.reason,
    )


def _cash_wire(position: "CashValue", unit: Decimal) -> CashWire:
    holding, components = position.holding, position.components
    change = explain = None
    if position.daily_change is not None and components is not None:
        change = _rounded(position.daily_change, unit)
        explain = _explain(components, unit, change)
    return CashWire(
        holding.currency,
        _rounded(holding.amount, minor_unit(holding.currency)),
        position.rate,
        None if position.value is None else _rounded(position.value, unit),
        change,
        explain,
        wire_time(holding.baseline.at),
        holding.receivable,
    )


def _explain(components: "Components", unit: Decimal, change: Decimal) -> ExplainWire:
    """Rounds each component, and names what is missing to the rounded change."""
    price, currency = _rounded(components.price, unit), _rounded(components.currency, unit)
    trades, income = _rounded(components.trades, unit), _rounded(components.income, unit)
    fees = _rounded(components.fees, unit)
    rounding = change - price - currency - trades - income - fees
    return ExplainWire(price, currency, trades, income, fees, rounding)


def _rounded(number: Decimal, unit: Decimal) -> Decimal:
    """As `arithmetic.shown`, in the context of `portfolio_wire`; a rounded loss is never -0.00."""
    rounded = number.quantize(unit)
    return rounded if rounded else rounded.copy_abs()


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    return _rounded(div(HUNDRED * part, whole), PERCENT)
