"""Reading last values again, whenever the batches alone can't tell them: a new subscription, a gap, a loss of Redis.

A value read from Redis, or else from the database, goes out only where it is news; what was read for one
connection goes to that one alone when everybody else has it already.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import redis.exceptions
from django.conf import settings

from assets.hours import hours_at, is_stale
from assets.redistribution import Viewer
from assets.sessions import AROUND_THE_CLOCK
from assets.splits import restated_fields
from realtime.bus import MANUAL, UNREACHABLE, WebBus
from realtime.catalog import Catalog, KnownAsset
from realtime.connections import Connection
from realtime.database import UNAVAILABLE
from realtime.feed_watch import FeedWatch, SourceView
from realtime.frames import Payload
from realtime.protocol import QuoteRecord, decode_quote
from realtime.topics import Topic, Topics, send_snapshots

log = logging.getLogger("personal_finance.realtime.hub")

REPAIR_ATTEMPTS = 5
RETRY_SECONDS = 0.4
# Some 10 ms of the loop, between two reads.
REFRESHED_TOGETHER = 500


def _numbers(record: QuoteRecord) -> tuple[str, int, int]:
    return record.source, record.epoch, record.seq


def _shown(record: QuoteRecord) -> tuple[Any, ...]:
    return record.price, record.previous_close, record.session, record.stale


class LastValues:
    """Fills topics from what is stored.

    Args:
        spawn: runs work that outlives its caller.
        deliver: sends the new values of topics to everyone.
        lose: closes whoever watches symbols whose values cannot be had again.
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
    ) -> None:
        self._bus = bus
        self._catalog = catalog
        self._topics = topics
        self._feeds = feeds
        self._spawn = spawn
        self._deliver = deliver
        self._lose = lose
        self._repairing: set[str] = set()
        self._unsure: set[str] = set()  # announced as lost while they were being read

    async def fetch(self, connection: Connection | None, symbols: set[str]) -> None:
        """Reads last values from Redis, else from the database, and sends those that are news to whoever waits."""
        try:
            records = await self._read(symbols)
        except (redis.exceptions.RedisError, *UNREACHABLE):
            self.repair(symbols)
            records = await self._stored(symbols)
        self._take_records(records.values())
        if connection is not None:
            self._answer(connection, records)

    def _answer(self, connection: Connection, symbols: Iterable[str]) -> None:
        """Sends a snapshot that is no news to others, unless the connection has had its value meanwhile."""
        known: dict[str, Payload] = {}
        for symbol in symbols:
            mode, topic = connection.subscriptions.get(symbol), self._topics.get(symbol)
            if mode is None or topic is None or symbol not in connection.asked_at:
                continue
            if topic.is_hidden_from(connection.identity.viewer):
                continue
            if (payload := topic.payload(mode, connection.outbox.options.numbers)) is not None:
                known[symbol] = payload
                del connection.asked_at[symbol]
        send_snapshots(connection, known)

    async def without_price(self, assets: Iterable[KnownAsset], viewer: Viewer) -> set[str]:
        """Returns the symbols of which no price is known to a viewer, neither here nor in Redis nor in the database."""
        unsure = {
            asset.symbol
            for asset in assets
            if (asset.stored is None or not viewer.sees(asset.stored.source))
            and ((topic := self._topics.get(asset.symbol)) is None or not topic.is_shown_to(viewer))
        }
        if unsure:
            with contextlib.suppress(redis.exceptions.RedisError, *UNREACHABLE):
                texts = await self._bus.read_records(list(unsure))
                unsure -= {symbol for symbol, text in texts.items() if viewer.sees(decode_quote(text).source)}
        return unsure

    async def _read(self, symbols: set[str]) -> dict[str, QuoteRecord]:
        texts = await self._bus.read_records(list(symbols))
        records = {symbol: self._judged(decode_quote(text)) for symbol, text in texts.items()}
        return records | await self._stored(symbols - records.keys())

    async def _stored(self, symbols: set[str]) -> dict[str, QuoteRecord]:
        """Returns the database's copies, as far as it answers."""
        known: dict[str, KnownAsset] = {}
        if symbols:
            with contextlib.suppress(*UNAVAILABLE):
                known = await self._catalog.find(symbols)
        return {symbol: asset.stored for symbol, asset in known.items() if asset.stored is not None}

    def _judged(self, record: QuoteRecord) -> QuoteRecord:
        """Brings a record up to date that nobody publishes again: its hours, its units, and that it grows stale."""
        if self._feeds.is_live(record.source):
            return record
        moment, known = datetime.now(UTC), self._catalog.recall(record.symbol)
        hours = hours_at(AROUND_THE_CLOCK if known is None else known.calendar, moment)
        changed: dict[str, Any] = {"session": hours.phase}
        if record.source != MANUAL:  # which no source could confirm
            timeout, delay = (
                timedelta(seconds=settings.REALTIME_CACHE_TIMEOUT),
                timedelta(seconds=record.delayed_by),
            )
            received_at = datetime.fromisoformat(record.received_at)
            changed["stale"] = record.stale or is_stale(hours, received_at, moment, timeout, delay)
        if known is not None and known.splits:
            changed |= restated_fields(msgspec.structs.asdict(record), known.splits, moment)
        return msgspec.structs.replace(record, **changed)

    async def refresh(self) -> None:
        """Sends again what no source publishes any more and the clock has changed: its hours, units or age.

        Numbers stay as they are: the value is the same one, as it is to be read now.
        """
        quiet = sorted(
            symbol
            for symbol in self._topics.symbols()
            if (topic := self._topics[symbol]).has_value and not self._feeds.is_live(topic.source)
        )
        for start in range(0, len(quiet), REFRESHED_TOGETHER):
            some = quiet[start : start + REFRESHED_TOGETHER]
            with contextlib.suppress(redis.exceptions.RedisError, *UNREACHABLE, *UNAVAILABLE):
                await self._catalog.find(some)
                self._take_changed(await self._read(set(some)))

    def _take_changed(self, records: Mapping[str, QuoteRecord]) -> None:
        changed: set[str] = set()
        for symbol, record in records.items():
            topic = self._topics.get(symbol)
            known = topic.quote() if topic is not None else None
            if topic is None or known is None or _numbers(known) != _numbers(record):
                continue
            if _shown(known) != _shown(record):
                topic.take_record(record)
                changed.add(symbol)
        if changed:
            self._deliver(changed)

    def _take_records(self, records: Iterable[QuoteRecord]) -> None:
        """Takes records that are news and sends them on."""
        fresh: set[str] = set()
        for record in records:
            topic = self._topics.get(record.symbol)
            if topic is None:
                continue
            if not topic.has_value or self._replaces(record, topic):
                topic.take_record(record)
                fresh.add(record.symbol)
            elif (record.source, record.epoch, record.seq) == (topic.source, topic.epoch, topic.seq):
                topic.take_record(record)  # the same value, now known in full
                self._topics.pay(record.symbol)
        if fresh:
            self._deliver(fresh)

    @staticmethod
    def _replaces(record: QuoteRecord, topic: Topic) -> bool:
        """Whether a stored record is newer than what the topic has."""
        if record.source == topic.source:
            return topic.is_news(record.source, record.epoch, record.seq)
        # Another source's numbers can't be compared; the database's copy (epoch 0) never replaces a feed's word.
        quote = topic.quote()
        return record.epoch > 0 and (quote is None or quote.received_at < record.received_at)

    def repair(self, symbols: set[str], view: SourceView | None = None) -> None:
        """Reads symbols until it succeeds; those that are being read are read once more, as that may be too early."""
        self._unsure |= symbols & self._repairing
        rest = symbols - self._repairing
        if rest or not symbols:
            self._repairing |= rest
            self._spawn(self._run_repair(rest, view))

    async def _run_repair(self, symbols: set[str], view: SourceView | None) -> None:
        records = await self._read_stubbornly(symbols)
        again = self._unsure & symbols
        self._unsure -= again
        self._repairing -= symbols
        if records is None:
            self._lose(symbols)  # a state that can't be had again closes its connections with 4001
            return
        self._take_records(records.values())
        for connection in self._topics.awaiting(records):
            self._answer(connection, records)
        if again:
            self.repair(again, view)
        elif view is not None and not self._feeds.is_silent(view):
            self._feeds.show_own(view)

    async def _read_stubbornly(self, symbols: set[str]) -> dict[str, QuoteRecord] | None:
        """Reads as long as Redis may come back; None when it answers, but will not do this."""
        failures = 0
        while failures < REPAIR_ATTEMPTS:
            try:
                return await self._read(symbols)
            except UNREACHABLE:
                await asyncio.sleep(RETRY_SECONDS)
            except redis.exceptions.RedisError as error:
                failures += 1
                log.error("repair failed", extra={"error": repr(error), "attempt": failures})
                await asyncio.sleep(RETRY_SECONDS)
        return None
