"""What this process knows of assets: which symbols exist, in what currency, and who may price them.

A cache in front of the database, so that a subscription costs a query only for a symbol nobody here asked for
lately, and goes on working while the database is away.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.conf import settings

from assets.market import change_since, session_start
from assets.models import Asset, PriceBar
from realtime.database import in_database
from realtime.protocol import QuoteRecord, wire_time

KEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class KnownAsset:
    symbol: str
    currency: str
    sources: tuple[str, ...]  # in order of preference
    stored: QuoteRecord | None  # the database's copy of the last price


class Catalog:
    """Assets by symbol, remembered for half a minute.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, KnownAsset]] = {}

    async def find(self, symbols: Iterable[str]) -> dict[str, KnownAsset]:
        """Returns the assets that exist; raises DatabaseError or TimeoutError when one can't be looked up."""
        moment = self._clock()
        wanted = set(symbols)
        found = {symbol: self._known[symbol][1] for symbol in wanted if self._is_fresh(symbol, moment)}
        missing = wanted - found.keys()
        if missing:
            try:
                loaded = await in_database(load_assets, missing)
            except Exception:
                # An old answer is better than none: assets hardly ever change.
                if not missing <= self._known.keys():
                    raise
                loaded = {symbol: self._known[symbol][1] for symbol in missing}
            self._known.update({symbol: (moment, asset) for symbol, asset in loaded.items()})
            found |= loaded
        return found

    def _is_fresh(self, symbol: str, moment: float) -> bool:
        return symbol in self._known and moment - self._known[symbol][0] < KEEP_SECONDS


def load_assets(symbols: Iterable[str]) -> dict[str, KnownAsset]:
    assets = Asset.objects.filter(symbol__in=list(symbols)).prefetch_related("feed_symbols")
    closes = previous_closes([asset.pk for asset in assets])
    return {
        asset.symbol: KnownAsset(
            asset.symbol,
            asset.currency,
            tuple(feed.source for feed in asset.feed_symbols.all()),
            stored_record(asset, closes.get(asset.pk)),
        )
        for asset in assets
    }


def previous_closes(asset_ids: Iterable[int]) -> dict[int, Decimal]:
    """Returns each asset's close of its last session before the current one, from our own rows."""
    start = session_start(datetime.now(UTC))
    closes: dict[int, Decimal] = {}
    for asset_id in asset_ids:
        bar = PriceBar.objects.filter(asset_id=asset_id).last_closed_before(start).first()
        if bar is not None:
            closes[asset_id] = bar.close
    return closes


def stored_record(asset: Asset, previous_close: Decimal | None) -> QuoteRecord | None:
    """Returns the database's copy of an asset's last price; its epoch 0 is older than any that a feed numbers."""
    if asset.current_price is None or asset.price_as_of is None:
        return None
    received_at = asset.last_updated or asset.price_as_of
    change, percent = change_since(asset.current_price, previous_close)
    return QuoteRecord(
        symbol=asset.symbol,
        price=asset.current_price,
        as_of=wire_time(asset.price_as_of),
        source=asset.price_source,
        seq=0,
        epoch=0,
        received_at=wire_time(received_at),
        currency=asset.currency,
        change=change,
        change_percent=percent,
        previous_close=previous_close,
        stale=is_stale(received_at),
    )


def is_stale(received_at: datetime) -> bool:
    return (datetime.now(UTC) - received_at).total_seconds() > settings.REALTIME_CACHE_TIMEOUT
