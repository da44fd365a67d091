"""Prices for a valuation that nobody streams: the last records in Redis, else the stored columns."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings

from assets.api import last_quotes, with_last_close
from assets.models import Asset
from portfolio.valuation import PricePoint


def price_points(symbols: Iterable[str]) -> dict[str, PricePoint]:
    """Returns the last price of each asset that has one."""
    wanted = sorted(symbols)
    points = {symbol: point_of(record) for symbol, record in last_quotes(wanted).items()}
    missing = [symbol for symbol in wanted if symbol not in points]
    if missing:
        points |= _stored(missing)
    return points


def point_of(record: Mapping[str, Any]) -> PricePoint:
    """Returns the price in a quote's record; whole numbers in its JSON were read as `int`."""
    close = record.get("previous_close")
    return PricePoint(
        price=Decimal(record["price"]),
        as_of=datetime.fromisoformat(record["as_of"]),
        previous_close=None if close is None else Decimal(close),
        source=record.get("source", ""),
        session=record.get("session", "always"),
        stale=record.get("stale", False),
    )


def _stored(symbols: list[str]) -> dict[str, PricePoint]:
    oldest = datetime.now(UTC) - timedelta(seconds=settings.REALTIME_CACHE_TIMEOUT)
    assets = with_last_close(Asset.objects.filter(symbol__in=symbols, current_price__isnull=False))
    return {
        asset.symbol: PricePoint(
            price=asset.current_price,
            as_of=asset.price_as_of,
            previous_close=asset.previous_close,  # type: ignore[attr-defined]  # annotated
            source=asset.price_source or "manual",
            # A price set by hand has no source that could confirm it.
            stale=bool(asset.price_source not in ("", "manual"))
            and (asset.last_updated is None or asset.last_updated < oldest),
        )
        for asset in assets
        if asset.price_as_of is not None
    }
