"""What this process knows of assets: which symbols exist, in what currency, and who may price them.

A cache in front of the database, so that a subscription costs a query only for a symbol nobody here asked for
lately, and goes on working while the database is away. Hundreds that reconnect at once wait for the same query.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import UNSET

from assets.calendars import calendar_named
from assets.market import change_since
from assets.models import Asset
from assets.redistribution import viewer_like
from assets.sessions import AROUND_THE_CLOCK, Calendar
from assets.splits import SplitEvent
from assets.stored_prices import StoredPrice, read_splits, stored_prices
from realtime.database import in_database
from realtime.protocol import QuoteRecord, wire_time

KEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class KnownAsset:
    symbol: str
    currency: str
    sources: tuple[str, ...]  # in order of preference
    stored: QuoteRecord | None  # the database's copy of the last price
    calendar: Calendar = AROUND_THE_CLOCK
    splits: tuple[SplitEvent, ...] = ()


Load = Callable[[Iterable[str]], dict[str, KnownAsset]]


class Catalog:
    """Assets by symbol, remembered for half a minute.

    Args:
        clock: monotonic seconds.
        load: reads assets from the database; symbols that do not exist are left out.
    """

    def __init__(self, clock: Callable[[], float], load: Load | None = None) -> None:
        self._clock = clock
        self._load = load or load_assets
        self._known: dict[str, tuple[float, KnownAsset]] = {}
        self._loading: dict[str, asyncio.Task[dict[str, KnownAsset]]] = {}

    async def find(self, symbols: Iterable[str]) -> dict[str, KnownAsset]:
        """Returns the assets that exist; raises DatabaseError or TimeoutError when one can't be looked up."""
        moment = self._clock()
        wanted = set(symbols)
        found = {symbol: self._known[symbol][1] for symbol in wanted if self._is_fresh(symbol, moment)}
        missing = wanted - found.keys()
        if missing:
            try:
                loaded = await self._share(missing)
            except Exception:
                # An old answer is better than none: assets hardly ever change.
                if not missing <= self._known.keys():
                    raise
                loaded = {symbol: self._known[symbol][1] for symbol in missing}
                self._known.update({symbol: (moment, asset) for symbol, asset in loaded.items()})
            found |= loaded
        return found

    async def _share(self, missing: set[str]) -> dict[str, KnownAsset]:
        """Looks symbols up, those that another caller is waiting for already together with it."""
        new = missing - self._loading.keys()
        if new:
            task = asyncio.create_task(self._look_up(new), name="catalog")
            task.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # all may have gone away
            self._loading |= dict.fromkeys(new, task)
        found: dict[str, KnownAsset] = {}
        for task in {self._loading[symbol] for symbol in missing}:
            # One caller that goes away must not take the answer from the others.
            found |= await asyncio.shield(task)
        return {symbol: asset for symbol, asset in found.items() if symbol in missing}

    async def _look_up(self, symbols: set[str]) -> dict[str, KnownAsset]:
        moment = self._clock()
        try:
            loaded = await in_database(self._load, symbols)
        finally:
            for symbol in symbols:
                del self._loading[symbol]
        self._known.update({symbol: (moment, asset) for symbol, asset in loaded.items()})
        return loaded

    def recall(self, symbol: str) -> KnownAsset | None:
        """Returns what is remembered of an asset, however old, and asks nobody."""
        known = self._known.get(symbol)
        return known[1] if known is not None else None

    def _is_fresh(self, symbol: str, moment: float) -> bool:
        return symbol in self._known and moment - self._known[symbol][0] < KEEP_SECONDS


def load_assets(symbols: Iterable[str]) -> dict[str, KnownAsset]:
    now = datetime.now(UTC)
    assets = list(Asset.objects.filter(symbol__in=list(symbols)).prefetch_related("feed_symbols"))
    splits = read_splits([asset.pk for asset in assets])
    prices: dict[int, StoredPrice] = {}
    for viewer in {viewer_like(asset.price_source) for asset in assets}:
        alike = [asset for asset in assets if viewer_like(asset.price_source) == viewer]
        prices |= stored_prices(alike, now, viewer, splits)
    return {
        asset.symbol: KnownAsset(
            asset.symbol,
            asset.currency,
            tuple(feed.source for feed in asset.feed_symbols.all()),
            stored_record(asset, prices[asset.pk]),
            calendar_named(asset.calendar),
            splits.get(asset.pk, ()),
        )
        for asset in assets
    }


def stored_record(asset: Asset, stored: StoredPrice) -> QuoteRecord | None:
    """Returns the database's copy of an asset's last price; its epoch 0 is older than any that a feed numbers."""
    if stored.price is None or asset.price_as_of is None:
        return None
    change, percent = change_since(stored.price, stored.previous_close)
    return QuoteRecord(
        symbol=asset.symbol,
        price=stored.price,
        as_of=wire_time(asset.price_as_of),
        source=asset.price_source,
        seq=0,
        epoch=0,
        received_at=wire_time(asset.last_updated or asset.price_as_of),
        currency=asset.currency,
        change=change,
        change_percent=percent,
        previous_close=stored.previous_close,
        session=stored.phase,
        stale=stored.stale,
        units_at=UNSET if stored.units_at is None else wire_time(stored.units_at),
        raw_price=UNSET if stored.raw_price is None else stored.raw_price,
    )
