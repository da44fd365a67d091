"""Plain builders of what the assets app stores."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from assets.models import Asset, PriceBar, TradingSession

D = Decimal


def at(text: str) -> datetime:
    """The UTC moment of `2026-11-19T15:00`, or the midnight of `2026-11-19`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_asset(
    symbol: str = "ACME", price: str | None = None, as_of: str | None = None, **columns: Any
) -> Asset:
    return Asset.objects.create(
        symbol=symbol,
        current_price=None if price is None else D(price),
        price_as_of=None if as_of is None else at(as_of),
        **columns,
    )


def make_pair(symbol: str, price: str | None = None, as_of: str | None = None, **columns: Any) -> Asset:
    """A pair like EURUSD, named by both its currencies."""
    return make_asset(
        symbol,
        price,
        as_of,
        **{
            "asset_class": "fx",
            "calendar": "FX",
            "base_currency": symbol[:3],
            "currency": symbol[3:],
            **columns,
        },
    )


def make_bar(asset: Asset, start: str, close: str, interval: str = "1d", **columns: Any) -> PriceBar:
    price = D(close)
    return PriceBar.objects.create(
        asset=asset,
        interval=interval,
        start=at(start),
        **{"open": price, "high": price, "low": price, "close": price, **columns},
    )


def store_session(day: str, opened: str, closed: str, calendar: str = "XNYS") -> TradingSession:
    """Stores a session of a date, with its times of that date."""
    return TradingSession.objects.create(
        calendar=calendar,
        date=date.fromisoformat(day),
        open=at(f"{day}T{opened}"),
        close=at(f"{day}T{closed}"),
    )
