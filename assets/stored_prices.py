"""What is stored of assets' prices, as it is to be shown now: in today's units, with the close to measure it against.

Rows are as they were traded, and nothing here writes. Last values in Redis, which are newer, are `assets.snapshots`'.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery

from assets.calendars import calendar_named
from assets.hours import Hours, hours_at, is_stale, session_of_day
from assets.models import Asset, PriceBar, Split
from assets.redistribution import Viewer
from assets.sessions import Phase
from assets.splits import SplitEvent, newest_until, ratio_between, restated, shown_close

MANUAL = "manual"


class StoredPrice(NamedTuple):
    """An asset's stored price and previous close in the units of now.

    `units_at` is when the last split took effect, if the price is from before it; then it was traded at `raw_price`.
    """

    price: Decimal | None
    previous_close: Decimal | None
    phase: Phase
    stale: bool
    raw_price: Decimal | None
    units_at: datetime | None


def read_splits(asset_ids: "Sequence[int] | QuerySet[Asset, Any]") -> dict[int, tuple[SplitEvent, ...]]:
    """Returns every split of each asset that has any, oldest first."""
    found: dict[int, list[SplitEvent]] = defaultdict(list)
    rows = Split.objects.filter(asset_id__in=asset_ids).order_by("effective_at")
    for asset_id, effective_at, numerator, denominator in rows.values_list(
        "asset_id", "effective_at", "numerator", "denominator"
    ):
        found[asset_id].append(SplitEvent(effective_at.astimezone(UTC), numerator, denominator))
    return {asset_id: tuple(splits) for asset_id, splits in found.items()}


def previous_bars(
    assets: Iterable[Asset], now: datetime, viewer: Viewer
) -> dict[int, tuple[datetime, Decimal]]:
    """Returns the start and the close, as it was traded, of each asset's newest daily bar of an earlier session."""
    by_calendar: dict[str, list[int]] = defaultdict(list)
    for asset in assets:
        by_calendar[asset.calendar].append(asset.pk)
    found = {}
    for name, ids in by_calendar.items():
        calendar = calendar_named(name)
        # Not the current session's open: a bar of the same day, stored while the calendar was another, is before it.
        ended = calendar.before(calendar.session_at(now)).close
        bars = PriceBar.objects.filter(asset=OuterRef("pk")).last_closed_before(ended).visible_to(viewer)
        rows = Asset.objects.filter(id__in=ids).annotate(
            start=Subquery(bars.values("start")[:1]), close=Subquery(bars.values("close")[:1])
        )
        for asset_id, start, close in rows.values_list("id", "start", "close"):
            if close is not None:
                found[asset_id] = (start.astimezone(UTC), close)
    return found


def stored_prices(
    assets: Sequence[Asset],
    now: datetime,
    viewer: Viewer,
    splits: Mapping[int, Sequence[SplitEvent]] | None = None,
) -> dict[int, StoredPrice]:
    """Returns what is stored of each asset, by its id; without what the viewer may not see.

    Args:
        splits: those of the assets, for a caller that has read them already.
    """
    if splits is None:
        splits = read_splits([asset.pk for asset in assets]) if assets else {}
    bars = previous_bars(assets, now, viewer)
    hours = {name: hours_at(calendar_named(name), now) for name in {asset.calendar for asset in assets}}
    return {
        asset.pk: _shown(
            *last_price(asset, viewer),
            asset,
            splits.get(asset.pk, ()),
            bars.get(asset.pk),
            hours[asset.calendar],
            now,
        )
        for asset in assets
    }


def last_price(asset: Asset, viewer: Viewer) -> tuple[Decimal | None, datetime | None]:
    """Returns the stored price as it was traded, and its time; both None where the viewer may not see it."""
    is_visible = asset.current_price is not None and viewer.sees(asset.price_source)
    return (asset.current_price, asset.price_as_of) if is_visible else (None, None)


def _shown(
    raw: Decimal | None,
    as_of: datetime | None,
    asset: Asset,
    splits: Sequence[SplitEvent],
    bar: tuple[datetime, Decimal] | None,
    hours: Hours,
    now: datetime,
) -> StoredPrice:
    close = None
    ratio = ratio_between(splits, as_of, now) if raw is not None and as_of is not None else None
    if bar is not None:
        ended = session_of_day(calendar_named(asset.calendar), bar[0]).close
        close = shown_close(bar[1], ended, splits, now, raw if ratio is not None else None)
    heard = None if raw is None else asset.last_updated or as_of
    timeout = timedelta(seconds=settings.REALTIME_CACHE_TIMEOUT)
    return StoredPrice(
        price=raw if raw is None or ratio is None else restated(raw, ratio),
        previous_close=close,
        phase=hours.phase,
        # A price set by hand has no source that could confirm it.
        stale=asset.price_source not in ("", MANUAL)
        and heard is not None
        and is_stale(hours, heard, now, timeout),
        raw_price=None if ratio is None else raw,
        units_at=None if ratio is None else newest_until(splits, now),
    )
