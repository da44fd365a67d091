"""Reading last values again, whenever the batches alone can't tell them: a new subscription, a gap, a loss of Redis.

A value read from Redis, or else from the database, goes out only where it is news; what was read for one
connection goes to that one alone when everybody else has it already.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

import msgspec
import redis.exceptions

from realtime.bus import UNREACHABLE, WebBus
from realtime.catalog import Catalog, KnownAsset, is_stale
from realtime.connections import Connection
from realtime.database import UNAVAILABLE
from realtime.feed_watch import FeedWatch, SourceView
from realtime.outbox import Changes
from realtime.protocol import QuoteRecord, decode_quote
from realtime.topics import Topic, Topics

log = logging.getLogger("personal_finance.realtime.hub")

REPAIR_ATTEMPTS = 5


class LastValues:
    """Fills topics from what is stored.

    Args:
        spawn: runs work that outlives its caller.
        deliver: sends the new values of topics to everyone.
        lose: closes whoever watches symbols whose values cannot be had again.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        bus: WebBus,
        catalog: Catalog,
        topics: Topics,
        feeds: FeedWatch,
        *,
        spawn: Callable[[Awaitable[None]], None],
        deliver: Callable[[set[str]], None],
        lose: Callable[[set[str]], None],
        clock: Callable[[], float],
    ) -> None:
        self._bus = bus
        self._catalog = catalog
        self._topics = topics
        self._feeds = feeds
        self._spawn = spawn
        self._deliver = deliver
        self._lose = lose
        self._clock = clock
        self._repairing: set[str] = set()
        self._failed_repairs = 0

    async def fetch(self, connection: Connection | None, symbols: set[str]) -> None:
        """Reads last values from Redis, else from the database, and sends those that are news to whoever waits."""
        try:
            records = await self._read(symbols)
        except redis.exceptions.RedisError:
            self.repair(symbols)
            return
        for symbol in symbols - records.keys():
            if connection is not None and symbol in connection.subscriptions:
                connection.asked_at.setdefault(symbol, self._clock())
        fresh = self._take_records(records.values())
        if connection is None:
            return
        known: dict[str, str] = {}
        for symbol in records.keys() - fresh:
            mode = connection.subscriptions.get(symbol)
            topic = self._topics.get(symbol)
            if mode is None or topic is None:
                continue
            record = records[symbol]
            if (record.source, record.epoch, record.seq) == (topic.source, topic.epoch, topic.seq):
                topic.take_record(record)  # the same value, now known in full
            if (payload := topic.payload(mode, connection.outbox.options.numbers)) is not None:
                known[symbol] = payload
        if known:
            connection.outbox.put(Changes(known))

    async def _read(self, symbols: set[str]) -> dict[str, QuoteRecord]:
        texts: dict[str, str] = {}
        with contextlib.suppress(*UNREACHABLE):
            texts = await self._bus.read_records(list(symbols))
        records = {symbol: self._judged(decode_quote(text)) for symbol, text in texts.items()}
        missing = symbols - records.keys()
        if missing:
            known: dict[str, KnownAsset] = {}
            with contextlib.suppress(*UNAVAILABLE):
                known = await self._catalog.find(missing)
            records |= {symbol: asset.stored for symbol, asset in known.items() if asset.stored is not None}
        return records

    def _judged(self, record: QuoteRecord) -> QuoteRecord:
        """Marks a stored record stale when nobody confirms it any more."""
        is_confirmed = self._feeds.is_live(record.source)
        if record.stale or is_confirmed or not is_stale(datetime.fromisoformat(record.received_at)):
            return record
        return msgspec.structs.replace(record, stale=True)

    def _take_records(self, records: Iterable[QuoteRecord]) -> set[str]:
        """Takes records that are news and sends them on; returns their symbols."""
        fresh: set[str] = set()
        for record in records:
            topic = self._topics.get(record.symbol)
            if topic is None:
                continue
            if topic.has_value and not self._replaces(record, topic):
                continue
            topic.take_record(record)
            fresh.add(record.symbol)
        if fresh:
            self._deliver(fresh)
        return fresh

    @staticmethod
    def _replaces(record: QuoteRecord, topic: Topic) -> bool:
        """Whether a stored record is newer than what the topic has."""
        if record.source == topic.source:
            return topic.is_news(record.source, record.epoch, record.seq)
        # Another source's numbers can't be compared; the database's copy (epoch 0) never replaces a feed's word.
        quote = topic.quote()
        return record.epoch > 0 and (quote is None or quote.received_at < record.received_at)

    def repair(self, symbols: set[str], view: SourceView | None = None) -> None:
        symbols = symbols - self._repairing
        self._repairing |= symbols
        self._spawn(self._run_repair(symbols, view))

    async def _run_repair(self, symbols: set[str], view: SourceView | None) -> None:
        """Reads last values until it succeeds; a state that can't be had again closes its connections with 4001."""
        try:
            records = await self._read(symbols)
        except redis.exceptions.RedisError as error:
            self._failed_repairs += 1
            log.error("repair failed", extra={"error": repr(error), "attempt": self._failed_repairs})
            if self._failed_repairs < REPAIR_ATTEMPTS:
                await asyncio.sleep(0.2 * self._failed_repairs)
                self._repairing -= symbols
                self.repair(symbols, view)
                return
            records = {}
            self._lose(symbols)
        self._failed_repairs = 0
        self._repairing -= symbols
        self._take_records(records.values())
        if view is not None and not self._feeds.is_silent(view):
            self._feeds.show_own(view)
