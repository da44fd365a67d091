"""Our own daily bars of the last sessions, which a subscription in mode `full_d30` begins with.

In today's units, as REST gives them. Read from the database once for each subscription.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from assets.calendars import calendar_named
from assets.hours import session_of_day
from assets.models import Asset, PriceBar
from assets.redistribution import Viewer
from assets.splits import as_traded, ratio_between, restated
from assets.stored_prices import read_splits
from realtime.protocol import Numbers, encode, wire_time

DAYS = 30
UNKNOWN = '"daily_bars":null,"bars_complete":false'  # the database does not answer


def read_daily_bars(symbols: Iterable[str], numbers: Numbers, viewer: Viewer) -> dict[str, str]:
    """Returns the fields `daily_bars`, oldest first, and `bars_complete` of each asset as JSON without its braces."""
    assets = list(Asset.objects.filter(symbol__in=list(symbols)))
    splits, now = read_splits([asset.pk for asset in assets]), datetime.now(UTC)
    found = {}
    for asset in assets:
        daily = PriceBar.objects.daily().filter(asset=asset).visible_to(viewer)
        rows = daily.order_by("-start")[:DAYS]
        bars = [_shown(bar, asset, splits.get(asset.pk, ()), now) for bar in reversed(rows)]
        found[asset.symbol] = encode({"daily_bars": bars, "bars_complete": len(bars) == DAYS}, numbers)[1:-1]
    return found


def _shown(bar: PriceBar, asset: Asset, splits: Any, now: datetime) -> dict[str, Any]:
    ended = session_of_day(calendar_named(asset.calendar), bar.start).close - timedelta.resolution
    ratio = ratio_between(splits, ended, now)
    prices = {name: getattr(bar, name) for name in ("open", "high", "low", "close")}
    if ratio is not None:
        prices = {name: restated(price, ratio) for name, price in prices.items()}
    volume = bar.volume if ratio is None or bar.volume is None else as_traded(bar.volume, ratio)
    return {"start": wire_time(bar.start), **prices, "volume": volume}
