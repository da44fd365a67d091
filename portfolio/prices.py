"""Prices for a valuation that nobody streams: the last records in Redis, else the stored columns."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from assets.api import last_quotes
from assets.models import Asset
from assets.redistribution import Viewer
from assets.stored_prices import MANUAL, stored_prices
from portfolio.valuation import PricePoint


def price_points(symbols: Iterable[str], viewer: Viewer) -> dict[str, PricePoint]:
    """Returns the last price of each asset that has one which the viewer may see."""
    wanted = sorted(symbols)
    points = {symbol: point_of(record) for symbol, record in last_quotes(wanted, viewer).items()}
    missing = [symbol for symbol in wanted if symbol not in points]
    if missing:
        points |= _stored(missing, viewer)
    return points


def point_of(record: Mapping[str, Any]) -> PricePoint:
    """Returns the price in a quote's record; whole numbers in its JSON were read as `int`."""
    close, received_at = record.get("previous_close"), record.get("received_at")
    return PricePoint(
        price=Decimal(record["price"]),
        as_of=datetime.fromisoformat(record["as_of"]),
        previous_close=None if close is None else Decimal(close),
        source=record.get("source", ""),
        session=record.get("session", "always"),
        stale=record.get("stale", False),
        seq=record.get("seq", 0),
        epoch=record.get("epoch", 0),
        received_at=datetime.fromisoformat(received_at) if received_at else None,
    )


def _stored(symbols: list[str], viewer: Viewer) -> dict[str, PricePoint]:
    assets = list(Asset.objects.filter(symbol__in=symbols, price_as_of__isnull=False))
    prices = stored_prices(assets, datetime.now(UTC), viewer)
    return {
        asset.symbol: PricePoint(
            price=stored.price,
            as_of=asset.price_as_of,
            previous_close=stored.previous_close,
            source=asset.price_source or MANUAL,
            session=stored.phase,
            stale=stored.stale,
        )
        for asset in assets
        if (stored := prices[asset.pk]).price is not None and asset.price_as_of is not None
    }
