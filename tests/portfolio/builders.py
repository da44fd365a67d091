"""Plain builders of ledger rows and of what the database needs around them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connection

from portfolio.ledger import Kind, Row

T = TypeVar("T")

NUMBERS = (
    "quantity",
    "price",
    "amount",
    "fee",
    "tax",
    "multiplier",
    "rate",
    "base_value",
    "fee_rate",
    "settlement_rate",
    "to_amount",
    "other_multiplier",
    "cost_share",
    "cost",
    "base_cost",
)
WITHOUT_ASSET = ("deposit", "withdrawal", "convert", "interest", "fee", "tax", "reversal")

NOW = datetime(2026, 11, 19, 16, tzinfo=UTC)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def make_row(kind: Kind, time: datetime = NOW, **values: Any) -> Row:
    """A row; numbers may be given as text. It is about ACME, unless its kind may be about no asset."""
    currency = values.pop("currency", "USD")
    for name in NUMBERS:
        if values.get(name) is not None:
            values[name] = Decimal(values[name])
    if kind not in WITHOUT_ASSET:
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
