"""One process's centre: batches from the bus come in once and go to the outboxes of whoever subscribed.

It never awaits a socket. It watches each source's heartbeat, epoch and batch numbers; what the layer loses is read
again from the last values. Connections with the same subscriptions form an audience and share one joined frame.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import redis.exceptions
from django.conf import settings

from realtime.bus import MANUAL, Batch, FeedStatus, Update, WebBus, decode_batch, decode_status, read_feeds
from realtime.catalog import Catalog, KnownAsset, is_stale
from realtime.database import UNAVAILABLE, in_database
from realtime.handshake import Identity, session_digest, verdicts
from realtime.limits import ConnectionLimits
from realtime.outbox import Changes, Options, Outbox, Overflow
from realtime.protocol import (
    HEARTBEAT_INTERVAL,
    CloseCode,
    ErrorCode,
    Mode,
    Numbers,
    ProtocolError,
    QuoteRecord,
    decode_quote,
    encode,
    encode_quote,
    envelope,
    error_frame,
    now,
)

log = logging.getLogger("personal_finance.realtime.hub")

PULSE_SECONDS = 0.25
SILENCE_SECONDS = 3.0  # three heartbeats; a loaded feed may well miss one
RENEW_SECONDS = 5.0  # a third of the leases' life
RECHECK_SECONDS = 60.0  # the safety net under the announcements of ended sessions
SLOW_SECONDS = 10.0  # a socket that takes nothing for so long is closed
REPAIR_ATTEMPTS = 5
UNREACHABLE = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError, TimeoutError)


class Connection:
    """One open socket, as the hub sees it."""

    __slots__ = (
        "address", "asked_at", "audience", "closing", "heard_at", "heartbeat_at", "id", "identity", "outbox",
        "portfolios", "reader", "recheck_at", "sending_since", "subscriptions",
    )  # fmt: skip

    def __init__(self, id: str, identity: Identity, address: str, outbox: Outbox, moment: float) -> None:
        self.id = id
        self.identity = identity
        self.address = address
        self.outbox = outbox
        self.subscriptions: dict[str, str] = {}  # symbol to mode
        self.portfolios: set[int] = set()
        self.audience: Audience | None = None
        self.asked_at: dict[
            str, float
        ] = {}  # symbols that never had a value, and since when they are awaited
        self.heard_at = moment
        self.heartbeat_at = moment + HEARTBEAT_INTERVAL
        self.recheck_at = moment + RECHECK_SECONDS
        self.sending_since: float | None = None
        self.closing: tuple[int, str] | None = None
        self.reader: asyncio.Task[Any] | None = None

    def close(self, code: CloseCode) -> None:
        """Asks the writer to close; what waits is not written any more."""
        if self.closing is None:
            self.closing = (code, code.reason)
            self.outbox.ready.set()

    def put_event(self, frame: str) -> None:
        try:
            self.outbox.put_event(frame)
        except Overflow:
            self.close(CloseCode.SLOW_CONSUMER)


class Audience:
    """The connections whose subscriptions are the same, so that one joined frame serves them all."""

    __slots__ = ("connections", "key", "numbers")

    def __init__(self, key: tuple[frozenset[tuple[str, str]], Numbers]) -> None:
        self.key = key
        self.numbers = key[1]
        self.connections: set[Connection] = set()


class Topic:
    """One symbol that somebody here wants: its last value and who gets the next."""

    __slots__ = ("_payloads", "_quote", "audiences", "epoch", "modes", "record", "seq", "source")

    def __init__(self) -> None:
        self.source = ""
        self.epoch = -1
        self.seq = -1
        self.record: QuoteRecord | None = None  # known in full only after a read from Redis
        self.audiences: dict[Audience, str] = {}
        self.modes: Counter[str] = Counter()  # how many want it in which mode
        self._quote: QuoteRecord | None = None
        self._payloads: dict[tuple[str, Numbers], str] = {}

    @property
    def has_value(self) -> bool:
        return self.seq >= 0

    def is_news(self, source: str, epoch: int, seq: int) -> bool:
        return source != self.source or (epoch, seq) > (self.epoch, self.seq)

    def take(self, source: str, epoch: int, update: Update) -> None:
        self.source, self.epoch, self.seq = source, epoch, update.seq
        self.record = self._quote = None
        self._payloads = {(mode, "number"): payload for mode, payload in update.payloads.items()}

    def take_record(self, record: QuoteRecord) -> None:
        self.source, self.epoch, self.seq = record.source, record.epoch, record.seq
        self.record = self._quote = record
        self._payloads = {}

    def payload(self, mode: str, numbers: Numbers = "number") -> str | None:
        """Returns the last value for a subscriber, encoded at most once for each mode; None if not known so fully."""
        payload = self._payloads.get((mode, numbers))
        if payload is not None:
            return payload
        record = self.record or self._decoded(mode) or (self.quote() if mode == Mode.LTPC else None)
        if record is None:
            return None
        payload = self._payloads[mode, numbers] = encode_quote(record, mode, numbers)
        return payload

    def quote(self) -> QuoteRecord | None:
        """Returns the last value as a record, with at least the fields of mode `quote`."""
        if self._quote is None:
            self._quote = self.record or self._decoded(Mode.QUOTE) or self._decoded(Mode.FULL)
        return self._quote

    def _decoded(self, mode: str) -> QuoteRecord | None:
        text = self._payloads.get((mode, "number"))
        return None if text is None else decode_quote(text)


class SourceView:
    """What this process knows of one source."""

    __slots__ = ("heard_at", "number", "shown", "status")

    def __init__(self, status: FeedStatus, moment: float) -> None:
        self.status = status
        self.number = status.number
        self.heard_at = moment
        self.shown: dict[str, Any] = {}

    @property
    def epoch(self) -> int:
        return self.status.epoch


PriceListener = Callable[[set[str]], None]
MessageListener = Callable[[Mapping[str, Any]], None]


class Hub:
    """The centre of one web process. All methods run in its event loop; `start` and `stop` frame its life."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.process = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.clock = clock
        self.bus = WebBus(self.process)
        self.catalog = Catalog(clock)
        self.limits = ConnectionLimits(
            self.bus.redis,
            per_user=settings.MAX_CONNECTIONS_PER_USER,
            per_address=settings.MAX_CONNECTIONS_PER_ADDRESS,
            handshake_rate=settings.WEBSOCKET_HANDSHAKE_RATE,
        )
        self.connections: dict[str, Connection] = {}
        self.topics: dict[str, Topic] = {}
        self.sources: dict[str, SourceView] = {}
        self.counters: Counter[str] = Counter()
        self.price_listeners: list[PriceListener] = []
        self.pulse_listeners: list[Callable[[], None]] = []
        self.message_listeners: dict[str, MessageListener] = {}
        self.redis_ok = False
        self.draining = False
        self._audiences: dict[tuple[frozenset[tuple[str, str]], Numbers], Audience] = {}
        self._by_user: defaultdict[int | None, set[Connection]] = defaultdict(set)
        self._users_to_write: set[int] = set()
        self._syncing_wants = False
        self._written_wants: set[str] = set()
        self._manual_number = 0
        self._deaf = True  # whether the layer must be joined anew
        self._repairing: set[str] = set()
        self._failed_repairs = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._listen_task: asyncio.Task[None] | None = None
        self._last: defaultdict[str, float] = defaultdict(lambda: float("-inf"))

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        with contextlib.suppress(redis.exceptions.RedisError, *UNREACHABLE):
            await self._check_redis()
        for loop in (self._pulse, self._tend):
            self._loops.append(asyncio.create_task(loop(), name=f"hub {loop.__name__}"))

    async def stop(self) -> None:
        """Ends every task of the hub and gives up its leases."""
        tasks = [*self._loops, *self._tasks, *([self._listen_task] if self._listen_task else [])]
        self._loops.clear()
        self._listen_task = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(*UNREACHABLE, redis.exceptions.RedisError):
            await self.bus.leave()
        await self.bus.close()

    async def drain(self, seconds: float) -> None:
        """Closes all sockets with 4004, spread over at most `seconds`, so that clients don't come back all at once."""
        self.draining = True
        connections = list(self.connections.values())
        pause = min(seconds, len(connections) / 200) / max(1, len(connections))
        for connection in connections:
            connection.close(CloseCode.DRAINING)
            if pause > 0.001:
                await asyncio.sleep(pause)
        deadline = self.clock() + 1
        while self.connections and self.clock() < deadline:
            await asyncio.sleep(0.02)

    def spawn(self, work: Awaitable[None]) -> None:
        """Runs work that outlives its caller; the hub owns the task and logs what it raises."""

        async def run() -> None:
            try:
                await work
            except Exception:
                log.exception("background work failed")

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- connections -------------------------------------------------------------------------------------------------

    def open(self, id: str, identity: Identity, address: str, options: Options) -> Connection:
        connection = Connection(id, identity, address, Outbox(options, self.clock), self.clock())
        self.connections[id] = connection
        self._by_user[identity.user_id].add(connection)
        self.touch(connection)
        self.counters["connections_opened"] += 1
        return connection

    def close(self, connection: Connection, code: int) -> None:
        """Forgets a connection whose socket is gone."""
        if self.connections.pop(connection.id, None) is None:
            return
        self.unsubscribe(connection, list(connection.subscriptions))
        users = self._by_user[connection.identity.user_id]
        users.discard(connection)
        if not users:
            del self._by_user[connection.identity.user_id]
        self.counters[f"closed_{code}"] += 1
        self.counters["conflated"] += connection.outbox.conflated
        self.touch(connection)
        self.spawn(self._release(connection))

    async def _release(self, connection: Connection) -> None:
        with contextlib.suppress(redis.exceptions.RedisError, *UNREACHABLE):
            await self.limits.release(connection.identity.user_id, connection.address, connection.id)

    def touch(self, connection: Connection) -> None:
        """Notes that a user's statistics in Redis are out of date."""
        if connection.identity.user_id is not None:
            self._users_to_write.add(connection.identity.user_id)

    # --- subscriptions -----------------------------------------------------------------------------------------------

    def subscribe(self, connection: Connection, modes: Mapping[str, str]) -> None:
        """Adds or changes subscriptions and sends each one's snapshot, at once or as soon as it is read."""
        self._regroup(connection, {**connection.subscriptions, **modes})
        self.touch(connection)
        self.send_snapshots(connection, modes)

    def send_snapshots(self, connection: Connection, symbols: Iterable[str]) -> None:
        known: dict[str, str] = {}
        unknown: set[str] = set()
        for symbol in symbols:
            payload = self.topics[symbol].payload(
                connection.subscriptions[symbol], connection.outbox.options.numbers
            )
            if payload is None or not self._is_current(self.topics[symbol]):
                unknown.add(symbol)
            else:
                known[symbol] = payload
        if known:
            connection.outbox.put(Changes(known))
        if unknown:
            self.spawn(self._fetch(connection, unknown))

    def _is_current(self, topic: Topic) -> bool:
        """Whether updates of the topic's source reach this process, so that its memory is the last value."""
        view = self.sources.get(topic.source)
        return not self._deaf and (
            topic.source == MANUAL or (view is not None and view.shown.get("state") == "live")
        )

    def unsubscribe(self, connection: Connection, symbols: Iterable[str]) -> None:
        gone = {symbol for symbol in symbols if symbol in connection.subscriptions}
        if not gone:
            return
        kept = {symbol: mode for symbol, mode in connection.subscriptions.items() if symbol not in gone}
        self._regroup(connection, kept)
        connection.outbox.forget(gone)
        for symbol in gone:
            connection.asked_at.pop(symbol, None)
        self.touch(connection)

    def _regroup(self, connection: Connection, subscriptions: dict[str, str]) -> None:
        """Moves a connection to the audience of its new subscriptions."""
        before = connection.subscriptions
        for symbol, mode in subscriptions.items():
            if before.get(symbol) != mode:
                self._count(symbol, mode, 1)
        for symbol, mode in before.items():
            if subscriptions.get(symbol) != mode:
                self._count(symbol, mode, -1)
        self._leave_audience(connection)
        connection.subscriptions = subscriptions
        if subscriptions:
            self._join_audience(connection)
        self._sync_wants()

    def _join_audience(self, connection: Connection) -> None:
        key = (frozenset(connection.subscriptions.items()), connection.outbox.options.numbers)
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(key)
            for symbol, mode in connection.subscriptions.items():
                self.topics[symbol].audiences[audience] = mode
        audience.connections.add(connection)
        connection.audience = audience

    def _leave_audience(self, connection: Connection) -> None:
        audience, connection.audience = connection.audience, None
        if audience is None:
            return
        audience.connections.discard(connection)
        if not audience.connections:
            del self._audiences[audience.key]
            for symbol, _ in audience.key[0]:
                if (topic := self.topics.get(symbol)) is not None:
                    topic.audiences.pop(audience, None)

    def _count(self, symbol: str, mode: str, by: int) -> None:
        """Counts who wants a symbol in a mode; a topic lives as long as somebody does."""
        topic = self.topics.get(symbol)
        if topic is None:
            topic = self.topics[symbol] = Topic()
        topic.modes[mode] += by
        if not topic.modes[mode]:
            del topic.modes[mode]
        if not topic.modes:
            del self.topics[symbol]

    async def watch(self, symbols: Iterable[str]) -> None:
        """Wants quotes of symbols for this process itself, and reads those it has not; price listeners hear of them."""
        unknown: set[str] = set()
        for symbol in symbols:
            self._count(symbol, Mode.QUOTE, 1)
            topic = self.topics[symbol]
            if topic.quote() is None or not self._is_current(topic):
                unknown.add(symbol)
        self._sync_wants()
        if unknown:
            await self._fetch(None, unknown)

    def unwatch(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._count(symbol, Mode.QUOTE, -1)
        self._sync_wants()

    def _wants(self) -> set[str]:
        return {f"{mode} {symbol}" for symbol, topic in self.topics.items() for mode in topic.modes}

    def _sync_wants(self) -> None:
        if not self._syncing_wants:
            self._syncing_wants = True
            self.spawn(self._write_wants())

    async def _write_wants(self) -> None:
        """Brings the wants in Redis up to date; one writer at a time, so that they can't change places."""
        try:
            while (wants := self._wants()) != self._written_wants:
                await self.bus.want(wants - self._written_wants, self._written_wants - wants)
                self._written_wants = wants
        except (redis.exceptions.RedisError, *UNREACHABLE):
            self._written_wants = set()  # the next renewal writes them all
        finally:
            self._syncing_wants = False

    # --- last values -------------------------------------------------------------------------------------------------

    async def _fetch(self, connection: Connection | None, symbols: set[str]) -> None:
        """Reads last values from Redis, else from the database, and sends those that are news to whoever waits."""
        try:
            records = await self._read(symbols)
        except redis.exceptions.RedisError:
            self._repair(symbols)
            return
        for symbol in symbols - records.keys():
            if connection is not None and symbol in connection.subscriptions:
                connection.asked_at.setdefault(symbol, self.clock())
        fresh = self._take_records(records.values())
        if connection is None or connection.id not in self.connections:
            return
        known: dict[str, str] = {}
        for symbol in records.keys() - fresh:
            mode = connection.subscriptions.get(symbol)
            topic = self.topics.get(symbol)
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
            texts = await self.bus.read_records(list(symbols))
        records = {symbol: self._judged(decode_quote(text)) for symbol, text in texts.items()}
        missing = symbols - records.keys()
        if missing:
            known: dict[str, KnownAsset] = {}
            with contextlib.suppress(*UNAVAILABLE):
                known = await self.catalog.find(missing)
            records |= {symbol: asset.stored for symbol, asset in known.items() if asset.stored is not None}
        return records

    def _judged(self, record: QuoteRecord) -> QuoteRecord:
        """Marks a stored record stale when nobody confirms it any more."""
        view = self.sources.get(record.source)
        is_led = view is not None and view.shown.get("state") == "live"
        if record.stale or is_led or not is_stale(datetime.fromisoformat(record.received_at)):
            return record
        return msgspec.structs.replace(record, stale=True)

    def _take_records(self, records: Iterable[QuoteRecord]) -> set[str]:
        """Takes records that are news and sends them on; returns their symbols."""
        fresh: set[str] = set()
        for record in records:
            topic = self.topics.get(record.symbol)
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

    def _deliver(self, symbols: set[str]) -> None:
        """Hands the new values of topics to everyone who wants them; one dict assignment a connection."""
        touched: dict[Audience, dict[str, str]] = {}
        missing: set[str] = set()
        for symbol in symbols:
            topic = self.topics[symbol]
            for audience, mode in topic.audiences.items():
                payload = topic.payload(mode, audience.numbers)
                if payload is None:
                    missing.add(symbol)
                else:
                    touched.setdefault(audience, {})[symbol] = payload
        for audience, payloads in touched.items():
            changes = Changes(payloads)
            for connection in audience.connections:
                connection.outbox.put(changes)
                if connection.asked_at:
                    for symbol in payloads:
                        connection.asked_at.pop(symbol, None)
        self.counters["updates"] += len(symbols)
        for listener in self.price_listeners:
            listener(symbols)
        if missing:
            self._repair(missing)

    # --- the bus -----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            message = await self.bus.receive()
            try:
                self._on_message(message)
            except Exception:
                log.exception("bus message failed", extra={"type": message.get("type")})

    def _on_message(self, message: Mapping[str, Any]) -> None:
        match message.get("type"):
            case "feed.batch":
                self._on_batch(decode_batch(message))
            case "feed.status":
                self._on_status(decode_status(message))
            case "session.ended":
                self._on_session_ended(message["session"])
            case "user.changed":
                self._recheck(self._by_user.get(message["user_id"], ()))
            case kind if kind in self.message_listeners:
                self.message_listeners[kind](message)

    def _on_batch(self, batch: Batch) -> None:
        if batch.source == MANUAL:
            lost = self._manual_number and batch.number != self._manual_number + 1
            self._manual_number = max(self._manual_number, batch.number)
        else:
            lost = self._is_after_gap(batch)
            if lost is None:
                return
        fresh: set[str] = set()
        for update in batch.updates:
            topic = self.topics.get(update.symbol)
            if topic is not None and topic.is_news(batch.source, batch.epoch, update.seq):
                topic.take(batch.source, batch.epoch, update)
                fresh.add(update.symbol)
        self.counters["batches"] += 1
        if fresh:
            self._deliver(fresh)
        if lost:
            self._on_gap(batch.source, "a batch was lost")

    def _is_after_gap(self, batch: Batch) -> bool | None:
        """Whether batches are missing before this one; None when it is a former leader's and must be dropped."""
        view = self.sources.get(batch.source)
        if view is None:
            status = FeedStatus(source=batch.source, state="live", since=now(), reason="", epoch=batch.epoch)
            view = self.sources[batch.source] = SourceView(status, self.clock())
            view.number = batch.number
            self._show(view, "live", "")
            return False
        if batch.epoch < view.epoch:
            self.counters["fenced_batches"] += 1
            return None
        if batch.epoch > view.epoch:
            view.status = msgspec.structs.replace(view.status, epoch=batch.epoch)
            view.number = 0
        lost = batch.number != view.number + 1
        view.number = max(view.number, batch.number)
        view.heard_at = self.clock()
        return lost

    def _on_status(self, status: FeedStatus) -> None:
        view = self.sources.get(status.source)
        if view is None:
            view = self.sources[status.source] = SourceView(status, self.clock())  # takes the number as it is
        elif status.epoch < view.epoch:
            return
        lost = status.number > (view.number if status.epoch == view.epoch else 0)
        view.status, view.number, view.heard_at = status, status.number, self.clock()
        self._show(view, status.state, status.reason, status.since)
        if lost:
            self._on_gap(status.source, "a batch was lost")

    def _on_gap(self, source: str, reason: str) -> None:
        self.counters["gaps"] += 1
        log.warning("gap", extra={"source": source, "reason": reason})
        view = self.sources.get(source)
        if view is not None:
            self._show(view, "recovering", reason)
        self._repair({symbol for symbol, topic in self.topics.items() if topic.source in (source, "")}, view)

    def _repair(self, symbols: set[str], view: SourceView | None = None) -> None:
        symbols = symbols - self._repairing
        self._repairing |= symbols
        self.spawn(self._run_repair(symbols, view))

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
                self._repair(symbols, view)
                return
            records = {}
            self._lose_state(symbols)
        self._failed_repairs = 0
        self._repairing -= symbols
        self._take_records(records.values())
        if view is not None and not self._is_silent(view):
            self._show(view, view.status.state, view.status.reason, view.status.since)

    def _lose_state(self, symbols: set[str]) -> None:
        for connection in list(self.connections.values()):
            if not symbols.isdisjoint(connection.subscriptions):
                connection.close(CloseCode.STATE_LOST)

    def _show(self, view: SourceView, state: str, reason: str, since: str | None = None) -> None:
        """Tells every connection how a source is, if that is news."""
        shown = view.shown
        if (shown.get("state"), shown.get("epoch"), shown.get("reason")) == (state, view.epoch, reason):
            return
        if since is None or state != view.status.state:
            since = now() if shown.get("state") != state else shown["since"]
        view.shown = {
            "source": view.status.source,
            "state": state,
            "since": since,
            "reason": reason,
            "epoch": view.epoch,
        }
        frame = self.status_frame(view)
        for connection in self.connections.values():
            connection.outbox.put_status(view.status.source, frame)

    @staticmethod
    def status_frame(view: SourceView) -> str:
        return envelope("feed_status", encode(view.shown))

    def supported_modes(self, asset: KnownAsset) -> set[str]:
        """The modes that some source of the asset can fill; prices by hand fill the first two."""
        modes: set[str] = {Mode.LTPC, Mode.QUOTE}
        for source in asset.sources:
            if (view := self.sources.get(source)) is not None:
                modes |= set(view.status.modes)
        return modes

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _on_session_ended(self, digest: str) -> None:
        for connection in list(self.connections.values()):
            key = connection.identity.session_key
            if key is not None and session_digest(key) == digest:
                connection.close(CloseCode.SESSION_ENDED)

    def _recheck(self, connections: Iterable[Connection]) -> None:
        checked = list(connections)
        for connection in checked:
            connection.recheck_at = self.clock() + RECHECK_SECONDS
        if checked:
            self.spawn(self._close_unwelcome(checked))

    async def _close_unwelcome(self, connections: list[Connection]) -> None:
        with contextlib.suppress(*UNAVAILABLE):
            found = await in_database(verdicts, {connection.identity for connection in connections})
            for connection in connections:
                if (code := found.get(connection.identity)) is not None:
                    connection.close(code)

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _is_due(self, what: str, seconds: float) -> bool:
        moment = self.clock()
        if moment - self._last[what] < seconds:
            return False
        self._last[what] = moment
        return True

    async def _pulse(self) -> None:
        """Judges sources and connections by the clock; waits for nothing else."""
        while True:
            try:
                self._check_sources()
                self._check_connections()
                for listener in self.pulse_listeners:
                    listener()
            except Exception:
                log.exception("pulse failed")
            await asyncio.sleep(PULSE_SECONDS)

    async def _tend(self) -> None:
        """Keeps what this process has in Redis, and notices when Redis is away."""
        while True:
            try:
                if self._is_due("redis", 1.0):
                    await self._check_redis()
                if self.redis_ok and self._users_to_write:
                    await self._write_users()
                if self.redis_ok and self._is_due("renew", RENEW_SECONDS):
                    await self._renew()
            except (redis.exceptions.RedisError, *UNREACHABLE) as error:
                self._lose_redis(error)
            except Exception:
                log.exception("tending Redis failed")
            await asyncio.sleep(PULSE_SECONDS / 5)

    def _is_silent(self, view: SourceView) -> bool:
        return self.clock() - view.heard_at > SILENCE_SECONDS

    def _check_sources(self) -> None:
        for view in self.sources.values():
            if self._is_silent(view) and view.shown.get("state") not in (
                "down",
                "stopped",
                "ended",
                "failed",
            ):
                reason = "no heartbeat for 3 s" if self.redis_ok else "Redis does not answer"
                self._show(view, "down", reason)

    async def _check_redis(self) -> None:
        await self.bus.redis.ping()
        all_silent = bool(self.sources) and all(self._is_silent(view) for view in self.sources.values())
        if not self.redis_ok or self._deaf or (all_silent and self._is_due("rejoin", 5.0)):
            await self._join()

    def _lose_redis(self, error: Exception) -> None:
        if self.redis_ok:
            log.error("lost Redis", extra={"error": repr(error)})
            self.counters["redis_losses"] += 1
        self.redis_ok, self._deaf = False, True
        for view in self.sources.values():
            if view.shown.get("state") not in ("stopped", "ended", "failed"):
                self._show(view, "down", "Redis does not answer")

    async def _join(self) -> None:
        """Joins the bus anew and reads again whatever may have been missed."""
        if self._listen_task is not None:
            self._listen_task.cancel()
            await asyncio.gather(self._listen_task, return_exceptions=True)
            self._listen_task = None
        await self.bus.listen()
        self._listen_task = asyncio.create_task(self._listen(), name="hub listener")
        for source, status in (await read_feeds(self.bus.redis)).items():
            if source not in self.sources:
                view = self.sources[source] = SourceView(status, self.clock())
                age = datetime.now(UTC) - datetime.fromisoformat(status.at)
                if age.total_seconds() > SILENCE_SECONDS and status.state not in (
                    "stopped",
                    "ended",
                    "failed",
                ):
                    self._show(view, "down", "no heartbeat for 3 s", status.at)
                else:
                    self._show(view, status.state, status.reason, status.since)
        self.redis_ok, self._deaf = True, False
        self._last["renew"] = float("-inf")
        if self.topics:
            self._repair(set(self.topics))
        self._on_message({"type": "hub.joined"})

    async def _renew(self) -> None:
        users: defaultdict[int, list[str]] = defaultdict(list)
        addresses: defaultdict[str, list[str]] = defaultdict(list)
        for connection in self.connections.values():
            if connection.identity.user_id is not None:
                users[connection.identity.user_id].append(connection.id)
            addresses[connection.address].append(connection.id)
        await self.limits.renew(users, addresses)
        wants = self._wants()
        number = await self.bus.renew(wants, self.counts())
        self._written_wants = wants
        if number > self._manual_number and self._manual_number:
            self._on_gap(MANUAL, "a price set by hand was lost")
        self._manual_number = number
        await self.bus.redis.expire(f"lf:users:{self.process}", 15)
        self._users_to_write |= users.keys() if self._is_due("users", 30.0) else set()

    def counts(self) -> dict[str, Any]:
        """This process's part of the global statistics."""
        conflated = sum(connection.outbox.conflated for connection in self.connections.values())
        return {
            "total_connections": len(self.connections),
            "portfolio_subscriptions": sum(
                len(connection.portfolios) for connection in self.connections.values()
            ),
            "asset_subscriptions": sum(
                len(connection.subscriptions) for connection in self.connections.values()
            ),
            "counters": {**self.counters, "conflated": self.counters["conflated"] + conflated},
        }

    async def _write_users(self) -> None:
        """Writes the statistics of users whose connections changed."""
        users, self._users_to_write = self._users_to_write, set()
        key = f"lf:users:{self.process}"
        async with self.bus.redis.pipeline(transaction=False) as pipe:
            for user_id in users:
                connections = self._by_user.get(user_id)
                if connections:
                    pipe.hset(key, str(user_id), msgspec.json.encode(user_counts(connections)))
                else:
                    pipe.hdel(key, str(user_id))
            pipe.expire(key, 15)
            pipe.set(f"lf:process:{self.process}", msgspec.json.encode(self.counts()), ex=15)
            await pipe.execute()

    def _check_connections(self) -> None:
        moment = self.clock()
        heartbeat = ""
        due: list[Connection] = []
        for connection in list(self.connections.values()):
            since = connection.sending_since
            if since is not None and moment - since > SLOW_SECONDS:
                connection.close(CloseCode.SLOW_CONSUMER)
                if connection.reader is not None:
                    connection.reader.cancel()  # its writer is stuck in the socket
                continue
            if moment >= connection.heartbeat_at:
                heartbeat = heartbeat or envelope("heartbeat", encode({"server_time": now()}))
                connection.heartbeat_at = moment + HEARTBEAT_INTERVAL
                connection.outbox.put_status("", heartbeat)
            if not connection.subscriptions and not connection.portfolios:
                if moment - connection.heard_at > settings.WEBSOCKET_TIMEOUT:
                    connection.close(CloseCode.IDLE)
            if connection.asked_at:
                self._check_awaited(connection, moment)
            if moment >= connection.recheck_at:
                due.append(connection)
        self._recheck(due)

    def _check_awaited(self, connection: Connection, moment: float) -> None:
        for symbol, since in list(connection.asked_at.items()):
            if moment - since >= settings.REALTIME_NO_DATA_TIMEOUT:
                del connection.asked_at[symbol]
                error = ProtocolError(
                    ErrorCode.NO_DATA, f"{symbol} has had no price so far", "subscribe_asset"
                )
                connection.put_event(error_frame(error, symbol=symbol))


def user_counts(connections: Iterable[Connection]) -> dict[str, Any]:
    connections = list(connections)
    assets = {symbol for connection in connections for symbol in connection.subscriptions}
    portfolios = {portfolio for connection in connections for portfolio in connection.portfolios}
    return {
        "connection_count": len(connections),
        "subscriptions": {"portfolios": sorted(portfolios), "assets": sorted(assets)},
        "conflated": {connection.id: connection.outbox.conflated for connection in connections},
    }


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def local_hub() -> Hub | None:
    """Returns this process's hub, for code outside its event loop that only reads its flags."""
    return next(iter(_hubs.values()), None)


async def running_hub() -> Hub:
    """Returns this event loop's hub, started."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        hub = _hubs[loop] = Hub()
        await hub.start()
    return _hubs[loop]


async def stop_hub() -> None:
    hub = _hubs.pop(asyncio.get_running_loop(), None)
    if hub is not None:
        await hub.stop()


async def drain_all(seconds: float) -> None:
    """Closes this process's sockets with 4004 before a shutdown."""
    hub = _hubs.get(asyncio.get_running_loop())
    if hub is not None:
        await hub.drain(seconds)
