"""Plain builders of ledger rows and of what the database needs around them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connection

from portfolio.ledger import Kind, Row

T = TypeVar("T")

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


async def in_thread(work: Callable[[], T]) -> T:
    """Runs database work of an async test, and leaves no connection behind that would keep the database open."""

    def run() -> T:
        try:
            return work()
        finally:
            connection.close()

    return await sync_to_async(run)()
