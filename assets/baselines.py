"""Where the day of each asset began: the close of the session before the current one, and what it was worth then.

A price is in the units of that moment, as a holding of that moment is counted: a split since then divides neither.
Rates of the same moment are `assets.rates_store`'s.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from assets.calendars import calendar_named
from assets.models import Asset
from assets.redistribution import Viewer
from assets.sessions import Window, window
from assets.splits import SplitEvent, ratio_between, restated
from assets.stored_prices import last_price, previous_bars, read_splits


class StoredBaseline(NamedTuple):
    """A close and its price; None where nothing is stored from before. Good until the next session opens."""

    at: datetime
    until: datetime
    price: Decimal | None


def closes_before(assets: Sequence[Asset], now: datetime, viewer: Viewer) -> dict[int, StoredBaseline]:
    """Returns the baseline of each asset, by its id, with a few queries for all of them.

    Where the session before has no bar, the newest earlier close serves, or a last price that is newer than it.
    """
    if not assets:
        return {}
    windows = {name: window(calendar_named(name), now) for name in {asset.calendar for asset in assets}}
    bars = previous_bars(assets, now, viewer)
    splits = read_splits([asset.pk for asset in assets])
    return {
        asset.pk: _baseline(
            asset,
            windows[asset.calendar],
            last_price(asset, viewer),
            bars.get(asset.pk),
            splits.get(asset.pk, ()),
        )
        for asset in assets
    }


def _baseline(
    asset: Asset,
    found: Window,
    last: tuple[Decimal | None, datetime | None],
    bar: tuple[datetime, Decimal] | None,
    splits: Sequence[SplitEvent],
) -> StoredBaseline:
    known: list[tuple[datetime, Decimal]] = []
    price, as_of = last
    if price is not None and as_of is not None and as_of <= found.at:
        known.append((as_of, price))
    if bar is not None:
        start, close = bar
        ended = calendar_named(asset.calendar).session_at(start).close
        # A trade at the very close is no newer than the close.
        known.append((ended, close))
    if not known:
        return StoredBaseline(found.at, found.until, None)
    as_of, price = max(reversed(known), key=lambda one: one[0])
    # The window is open at its beginning: a split at that very moment is in what was held then, but not in a close.
    ratio = ratio_between(splits, as_of - timedelta.resolution, found.at)
    return StoredBaseline(found.at, found.until, price if ratio is None else restated(price, ratio))
