"""What a source's leader follows, and what is known of it from before: last values, closes, open bars, past days.

Reads the database through the feed's own thread, and Redis's last values; writes neither but for a past that is
missing. What it finds it tells the batcher, and its owner when symbols come or go.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

import redis.asyncio as redis
from msgspec import UNSET

from assets.snapshots import LAST_KEY
from realtime.feeds.base import Clock, FeedError
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.feed_store import (
    ensure_assets,
    read_closes,
    read_last_prices,
    read_listings,
    read_open_bars,
    store_shown_bars,
)
from realtime.price_feed.history import fill_daily_bars, missing_days, store_days
from realtime.price_feed.lines import Line
from realtime.price_feed.listing import LastPrice, Listing
from realtime.price_feed.sources import Source
from realtime.price_feed.write_behind import WriteBehind
from realtime.protocol import QuoteRecord, decode_quote, wire_time

log = logging.getLogger("personal_finance.realtime.feed")

RELIST_SECONDS = 5.0
# What a `--historical` run or another process stored of yesterday is noticed this much later.
CLOSES_SECONDS = 30.0
# A vendor that has no yesterday yet, or is away, is asked again this much later.
HISTORY_SECONDS = 900.0
# One symbol without a past harms no other; a vendor that refuses so many is away.
REFUSALS_IN_A_ROUND = 10

# (lines that are new, lines that are gone)
Changed = Callable[[list[Line], list[Line]], None]


class SourceSymbols:
    """The assets of one source for as long as it is led.

    Args:
        siblings: the sources of this process, itself among them.
        changed: is told which lines came and went.
        wake: asks for a flush.
    """

    def __init__(
        self,
        source: Source,
        batcher: Batcher,
        client: "redis.Redis",
        store: WriteBehind,
        clock: Clock,
        *,
        siblings: frozenset[str],
        changed: Changed,
        wake: Callable[[], None],
    ) -> None:
        self._source = source
        self._batcher = batcher
        self._client = client
        self._store = store
        self._clock = clock
        self._siblings = siblings
        self._changed = changed
        self._wake = wake

    async def prepare(self) -> None:
        """Makes the source's assets and its past, and follows them; raises what the database raises."""
        await self._store.call(ensure_assets, self._source.name, self._source.assets)
        if self._source.local_history is not None:
            await self._store.call(fill_daily_bars, self._source, self._siblings, self._clock.now())
        await self.follow()

    async def follow(self) -> None:
        """Reads again which assets list the source; a new one starts with its last known price."""
        listings = await self._store.call(read_listings, self._source.name)
        known = self._source.only_symbols
        listings = [one for one in listings if known is None or one.source_symbol in known]
        lines = self._batcher.lines
        new = [one for one in listings if one.symbol not in lines or lines[one.symbol].listing[:4] != one[:4]]
        ids = [one.asset_id for one in new]
        now, monotonic = self._clock.now(), self._clock.monotonic()
        # All is read before anything changes: a database that fails in between must not leave half a symbol.
        restored = await self._known(new) if new else {}
        closes = await self._store.call(read_closes, self._source.name, ids, now) if new else {}
        has_bars = new and not self._source.has_own_clock
        if has_bars:
            await self._store.call(store_shown_bars, self._source.name, new)
        bars = await self._store.call(read_open_bars, self._source.name, new, now) if has_bars else {}
        added, gone = self._batcher.follow(listings, now, monotonic)
        for symbol in restored.keys() & lines.keys():
            self._batcher.restore(symbol, restored[symbol], now, monotonic)
        self._batcher.learn_closes(closes)
        self._batcher.resume_bars(bars)
        if added or gone:
            log.info(
                "symbols", extra={"source": self._source.name, "added": len(added), "removed": len(gone)}
            )
            self._changed(added, gone)

    async def _learn_closes(self, asset_ids: Sequence[int]) -> None:
        now = self._clock.now()
        self._batcher.learn_closes(await self._store.call(read_closes, self._source.name, asset_ids, now))

    async def _known(self, listings: Sequence[Listing]) -> dict[str, LastPrice]:
        """Returns the last prices that came from this source: Redis's, and the database's where it has none."""
        found = await self._store.call(
            read_last_prices, self._source.name, [one.asset_id for one in listings]
        )
        for symbol, record in (await self._records([one.symbol for one in listings])).items():
            if record.source == self._source.name:
                received_at = datetime.fromisoformat(record.received_at or record.as_of)
                as_of = datetime.fromisoformat(record.as_of)
                price = record.price if record.raw_price is UNSET else record.raw_price
                found[symbol] = LastPrice(price, as_of, received_at, record)
        return found

    async def _records(self, symbols: Sequence[str]) -> dict[str, QuoteRecord]:
        if not symbols:
            return {}
        texts = await self._client.hmget(LAST_KEY, list(symbols))
        return {
            symbol: decode_quote(text)
            for symbol, text in zip(symbols, texts, strict=True)
            if text is not None
        }

    async def superseded(self) -> set[str]:
        """Returns the symbols whose stored value is another source's and newer than ours."""
        records = await self._records(
            [s for s, line in self._batcher.lines.items() if line.price is not None]
        )
        return {
            symbol
            for symbol, record in records.items()
            if record.source != self._source.name
            and record.received_at > wire_time(self._batcher.lines[symbol].received_at)
        }

    async def follow_forever(self) -> None:
        closes_read_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(RELIST_SECONDS)
            try:
                await self.follow()
                if self._clock.monotonic() - closes_read_at >= CLOSES_SECONDS:
                    closes_read_at = self._clock.monotonic()
                    await self._learn_closes([line.listing.asset_id for line in self._batcher.lines.values()])
                    self._wake()
            except Exception as error:  # a database that is away is tried again; the ticks go on
                log.warning("symbols not read", extra={"source": self._source.name, "error": repr(error)})

    async def fill_history_forever(self) -> None:
        """Asks the vendor for the days that are missing: without yesterday's close there is no change."""
        while self._source.history is not None and self._source.fills_history:
            try:
                await self._fill_history()
            except FeedError as error:
                log.warning("no history", extra={"source": self._source.name, "error": str(error)})
            except Exception as error:  # as above
                log.warning("history not stored", extra={"source": self._source.name, "error": repr(error)})
            await self._clock.sleep(HISTORY_SECONDS)

    async def _fill_history(self) -> None:
        assert self._source.history is not None
        now = self._clock.now()
        listings = [line.listing for line in self._batcher.lines.values()]
        problems: list[FeedError] = []
        for missing in await self._store.call(missing_days, listings, now):
            try:
                bars = await self._source.history(missing.listing.source_symbol, missing.days, now)
            except FeedError as error:
                problems.append(error)
                if error.permanent or len(problems) == REFUSALS_IN_A_ROUND:
                    break
                continue
            if await self._store.call(store_days, self._source.name, missing, bars, now):
                await self._learn_closes([missing.listing.asset_id])
                self._wake()
        if problems:
            raise problems[-1]
