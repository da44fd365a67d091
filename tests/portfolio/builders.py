"""Plain builders of ledger rows and of what the database needs around them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from portfolio.ledger import Kind, Row

NOW = datetime(2026, 11, 19, 16, tzinfo=UTC)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def make_row(kind: Kind, time: datetime = NOW, **values: Any) -> Row:
    """A row; numbers may be given as text."""
    currency = values.pop("currency", "USD")
    for name in ("quantity", "price", "amount", "fee", "multiplier"):
        if name in values:
            values[name] = Decimal(values[name])
    if kind in ("buy", "sell"):
        values.setdefault("symbol", "ACME")
    return Row(kind=kind, time=time, currency=currency, **values)
