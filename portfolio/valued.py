"""A valuation as it is told: with a receipt, by which it can be computed again for a day.

WebSocket, REST, CSV and pages all get their numbers from one valuation; here is what REST and CSV make of it.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from assets.rates_store import live_rates
from portfolio import receipt_store
from portfolio.arithmetic import EXACT
from portfolio.holdings import valuation_now
from portfolio.lots import Lot
from portfolio.models import Portfolio
from portfolio.positions import Components
from portfolio.prices import price_points
from portfolio.receipts import Receipt, ReceiptError, issue_alone, receipt_id
from portfolio.recomputation import basis_of, entries_of, microseconds, read
from portfolio.transaction import of_portfolio
from portfolio.valuation import Valuation, revalue

COMPONENTS = ("price", "currency", "trades", "income", "fees")


def with_receipt(portfolio: Portfolio) -> tuple[Valuation, str]:
    """Values the portfolio now and keeps what that was computed from; returns the receipt's id beside it."""
    valuation = valuation_now(portfolio)
    segment = issue_alone(
        portfolio.pk,
        basis_of(valuation.holdings, portfolio.viewer.sources),
        microseconds(valuation.valued_at),
        entries_of(valuation),
    )
    receipt_store.save(segment)
    return valuation, receipt_id(segment.writer, segment.last)


def of_receipt(portfolio: Portfolio, id: str) -> tuple[Valuation, Receipt]:
    """Computes the valuation of a receipt again; raises ReceiptError where the portfolio has no such receipt."""
    receipt = receipt_store.load(portfolio.pk, id)
    basis, inputs = read(receipt)
    if basis.facts.currency != portfolio.currency:
        # Its rows' rates were frozen anew since; with those it would be other numbers.
        raise ReceiptError(
            f"expected a receipt in {portfolio.currency}, was one in {basis.facts.currency}: "
            "the portfolio's currency was changed since"
        )
    return revalue(inputs, of_portfolio(portfolio), basis.facts, basis.assets), receipt


class ValuedLot(NamedTuple):
    """An open lot at the last price and rate; None where one is missing."""

    symbol: str
    currency: str
    lot: Lot
    value: Decimal | None
    unrealized: Decimal | None
    unrealized_base: Decimal | None


def lots_of(portfolio: Portfolio, now: datetime) -> list[ValuedLot]:
    """Returns the open lots of every position, oldest first."""
    accounts = portfolio.replay(portfolio.rows(), until=now).accounts
    viewer = portfolio.viewer
    points = price_points(accounts, viewer)
    rates = live_rates({account.currency for account in accounts.values()}, portfolio.currency, viewer, now)
    found = []
    with localcontext(EXACT):
        for symbol, account in sorted(accounts.items()):
            point, rate = points.get(symbol), rates.get(account.currency)
            for lot in account.lots:
                worth = None if point is None else lot.quantity * point.price * account.multiplier
                base = None if worth is None or rate is None else worth * rate.value - lot.cost_base
                found.append(
                    ValuedLot(
                        symbol,
                        account.currency,
                        lot,
                        worth,
                        None if worth is None else worth - lot.cost,
                        base,
                    )
                )
    return found


def unrounded(valuation: Valuation) -> Iterator[dict[str, Any]]:
    """Each position with its numbers as they were computed, for a spreadsheet."""
    for position in valuation.positions:
        holding, point = position.holding, position.point
        yield {
            "position": holding.symbol,
            "name": holding.name,
            "currency": holding.currency,
            "quantity": holding.quantity,
            "price": point.price if point else None,
            "rate": position.rate,
            "value": position.value,
            "cost": holding.cost,
            "cost_base": holding.cost_base,
            "unrealized": position.unrealized,
            "realized_base": holding.realized_base,
            "daily_change": position.daily_change,
            "explain": _parts(position.components),
            "baseline_at": holding.baseline.at,
            "as_of": point.as_of if point else None,
            "source": point.source if point else "",
            "reason": position.reason or "",
        }
    for cash in valuation.cash_positions:
        yield {
            "position": ("receivable:" if cash.holding.receivable else "cash:") + cash.holding.currency,
            "currency": cash.holding.currency,
            "quantity": cash.holding.amount,
            "rate": cash.rate,
            "value": cash.value,
            "daily_change": cash.daily_change,
            "explain": _parts(cash.components),
            "baseline_at": cash.holding.baseline.at,
        }


def _parts(components: Components | None) -> dict[str, Any]:
    return {name: None if components is None else getattr(components, name) for name in COMPONENTS}
