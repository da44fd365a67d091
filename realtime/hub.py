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

import redis.exceptions
from django.conf import settings

from realtime.account_events import AccountEvents
from realtime.awaited import Awaited
from realtime.bus import MANUAL, UNREACHABLE, Batch, Update, WebBus, decode_batch, decode_status, read_feeds
from realtime.catalog import Catalog
from realtime.connections import NOTHING, Connection
from realtime.database import disconnect
from realtime.feed_watch import FeedWatch, SourceView
from realtime.frames import Payload
from realtime.garbage import Garbage
from realtime.handshake import Identity
from realtime.identities import Identities
from realtime.last_values import LastValues
from realtime.limits import ConnectionLimits
from realtime.outbox import Options, Outbox
from realtime.presence import Presence
from realtime.protocol import HEARTBEAT_INTERVAL, CloseCode, Mode, encode, envelope, now
from realtime.stored_books import StoredBooks
from realtime.streams import Channels
from realtime.topics import Topic, Topics, send_snapshots
from realtime.welcome import Welcome

log = logging.getLogger("personal_finance.realtime.hub")

PULSE_SECONDS = 0.25
RENEW_SECONDS = 5.0  # a third of the leases' life
COUNTS_SECONDS = 1.0
REFRESH_SECONDS = 30.0  # how late a split or a close is seen of what no source publishes
SLOW_SECONDS = 10.0  # a socket that takes nothing for so long is closed
DRAIN_PAUSE_SECONDS = 0.01  # a pause for each connection would be too short to be kept
NO_REDIS = "Redis does not answer"


PriceListener = Callable[[set[str]], None]
MessageListener = Callable[[Mapping[str, Any]], None]
StopListener = Callable[[], Awaitable[None]]


class Hub:
    """The centre of one web process. All methods run in its event loop; `start` and `stop` frame its life."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.process = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.clock = clock
        self.bus = WebBus(self.process)
        self.catalog = Catalog(clock)
        self.identities = Identities(clock)
        self.limits = ConnectionLimits(
            self.bus.redis,
            per_user=settings.MAX_CONNECTIONS_PER_USER,
            per_address=settings.MAX_CONNECTIONS_PER_ADDRESS,
            handshake_rate=settings.WEBSOCKET_HANDSHAKE_RATE,
        )
        self.connections: dict[str, Connection] = {}
        self.topics = Topics()
        self.feeds = FeedWatch(clock, self._tell)
        self.counters: Counter[str] = Counter()
        self.presence = Presence(self.bus, self.limits, self.topics, self.connections, self.counters)
        self.last_values = LastValues(
            self.bus,
            self.catalog,
            self.topics,
            self.feeds,
            spawn=self.spawn,
            deliver=self._deliver,
            lose=self._lose_state,
        )
        self.stored_books = StoredBooks(self.bus, self.topics, self.feeds)
        self.awaited = Awaited(self.catalog, self.feeds, self.topics)
        self.account_events = AccountEvents(clock, self.presence.of_user, self.spawn)
        self.recheck = Welcome(clock, self.spawn).recheck
        self.price_listeners: list[PriceListener] = []
        self.pulse_listeners: list[Callable[[], None]] = []
        self.message_listeners: dict[str, MessageListener] = {"feed.account": self.account_events.on_message}
        self.stop_listeners: list[StopListener] = []
        self.garbage = Garbage(clock)
        self.redis_ok = False
        self.draining = False
        self._manual_number = -1  # of the last price by hand; not known before the first renewal
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
        # More than once: redis-py sometimes swallows a cancellation (once in fifty where a command is in flight).
        while tasks:
            for task in tasks:
                task.cancel()
            _, pending = await asyncio.wait(tasks, timeout=0.1)
            tasks = list(pending)
        for listener in self.stop_listeners:
            try:
                await listener()
            except Exception:
                log.exception("stopping failed")
        await self.identities.stop()
        await self.limits.stop()
        await disconnect()
        with contextlib.suppress(*UNREACHABLE, redis.exceptions.RedisError):
            await self.bus.leave()
        await self.bus.close()

    async def drain(self, seconds: float) -> None:
        """Closes all sockets with 4004, spread over at most `seconds`, so that clients don't come back all at once."""
        self.draining = True
        connections = list(self.connections.values())
        slices = max(1, round(min(seconds, len(connections) / 200) / DRAIN_PAUSE_SECONDS))
        for first in range(slices):
            for connection in connections[first::slices]:
                connection.close(CloseCode.DRAINING)
            await asyncio.sleep(DRAIN_PAUSE_SECONDS)
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
        self.presence.add(connection)
        self.counters["connections_opened"] += 1
        return connection

    def close(self, connection: Connection, code: int) -> None:
        """Forgets a connection whose socket is gone."""
        if self.connections.pop(connection.id, None) is None:
            return
        self.unsubscribe(connection, list(connection.subscriptions))
        self.presence.remove(connection)
        self.counters[f"closed_{code}"] += 1
        self.counters["conflated"] += connection.outbox.conflated

    # --- subscriptions -----------------------------------------------------------------------------------------------

    def subscribe(
        self,
        connection: Connection,
        modes: Mapping[str, str],
        channels: Mapping[str, Channels] | None = None,
        daily_bars: Mapping[str, str] = NOTHING,
    ) -> None:
        """Adds or changes subscriptions and sends each one's snapshot, at once or as soon as it is read.

        Args:
            channels: of each symbol; None leaves those that there are.
            daily_bars: what the snapshots of these symbols have beside their values.
        """
        before = connection.channels
        after = None if channels is None else {**before, **channels}
        self.topics.regroup(connection, {**connection.subscriptions, **modes}, after)
        connection.forget_daily_bars(modes)
        if daily_bars:
            connection.daily_bars = {**connection.daily_bars, **daily_bars}
        self.spawn(self.presence.write_wants())
        self.presence.touch(connection)
        self.send_snapshots(connection, modes)
        if (before or after) and (books := self.topics.begin_streams(connection, before, modes)):
            self.spawn(self._fetch_books(books))
        self.awaited.tell(connection, modes)

    def send_snapshots(self, connection: Connection, symbols: Iterable[str]) -> None:
        known: dict[str, Payload] = {}
        unknown: set[str] = set()
        for symbol in symbols:
            topic = self.topics[symbol]
            if topic.is_hidden_from(connection.identity.viewer):
                connection.asked_at.setdefault(symbol, self.clock())
                continue
            payload = topic.payload(connection.subscriptions[symbol], connection.outbox.options.numbers)
            if payload is None or not self._is_current(topic):
                unknown.add(symbol)
            else:
                known[symbol] = payload
        send_snapshots(connection, known)
        if unknown:
            for symbol in unknown:
                connection.asked_at.setdefault(symbol, self.clock())
            self.spawn(self._fetch(connection, unknown))

    async def _fetch(self, connection: Connection | None, symbols: set[str]) -> None:
        """Reads last values when they are wanted already, for a tick between the two would reach nobody."""
        await self.presence.write_wants()
        await self.last_values.fetch(connection, symbols)

    async def _fetch_books(self, symbols: set[str]) -> None:
        await self.presence.write_wants()
        await self.stored_books.fetch(symbols)

    def _is_current(self, topic: Topic) -> bool:
        """Whether updates of the topic's source reach this process, so that its memory is the last value."""
        return self.redis_ok and (topic.source == MANUAL or self.feeds.is_live(topic.source))

    def unsubscribe(self, connection: Connection, symbols: Iterable[str]) -> None:
        gone = {symbol for symbol in symbols if symbol in connection.subscriptions}
        if not gone:
            return
        kept = {symbol: mode for symbol, mode in connection.subscriptions.items() if symbol not in gone}
        self.topics.regroup(connection, kept)
        self.spawn(self.presence.write_wants())
        connection.outbox.forget(gone)
        connection.forget_daily_bars(gone)
        for symbol in gone:
            connection.asked_at.pop(symbol, None)
        self.presence.touch(connection)

    async def watch(self, symbols: Iterable[str]) -> None:
        """Wants quotes of symbols for this process itself, and reads those it has not; price listeners hear of them."""
        unknown: set[str] = set()
        for symbol in symbols:
            self.topics.count(symbol, Mode.QUOTE, 1)
            topic = self.topics[symbol]
            if topic.quote() is None or not self._is_current(topic):
                unknown.add(symbol)
        if unknown:
            await self._fetch(None, unknown)
        else:
            self.spawn(self.presence.write_wants())

    def unwatch(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self.topics.count(symbol, Mode.QUOTE, -1)
        self.spawn(self.presence.write_wants())

    # --- last values -------------------------------------------------------------------------------------------------

    def _deliver(self, symbols: set[str]) -> None:
        missing = self.topics.deliver(symbols)
        self.counters["updates"] += len(symbols)
        for listener in self.price_listeners:
            listener(symbols)
        if missing:
            self.last_values.repair(missing)

    def _tell(self, view: SourceView) -> None:
        frame = view.frame()
        for connection in self.connections.values():
            connection.outbox.put_status(view.status.source, frame)

    # --- the bus -----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            message = await self.bus.receive()
            if not self.redis_ok:
                continue  # what a stalled connection still held; joining anew reads all of it again
            try:
                self._on_message(message)
            except Exception:
                log.exception("bus message failed", extra={"type": message.get("type")})

    def _on_message(self, message: Mapping[str, Any]) -> None:
        match message.get("type"):
            case "feed.batch":
                self._on_batch(decode_batch(message))
            case "feed.status":
                status = decode_status(message)
                if self.feeds.on_status(status):
                    self._on_gap(status.source)
                self.awaited.on_status(status)
            case "session.ended":
                self._on_session_ended(message["session"])
            case "user.changed":
                self.identities.forget_user(message["user_id"])
                self.recheck(self.presence.of_user(message["user_id"]))
            case kind if kind in self.message_listeners:
                self.message_listeners[kind](message)

    def _on_batch(self, batch: Batch) -> None:
        lost = self._is_after_lost_manual(batch) if batch.source == MANUAL else self.feeds.on_batch(batch)
        if lost is None:
            self.counters["fenced_batches"] += 1
            return
        fresh: set[str] = set()
        streamed: list[Update] = []
        for update in batch.updates:
            topic = self.topics.get(update.symbol)
            if topic is not None and topic.is_news(batch.source, batch.epoch, update.seq):
                topic.take(batch.source, batch.epoch, update)
                fresh.add(update.symbol)
            if topic is not None and topic.streams is not None:
                streamed.append(update)
        self.counters["batches"] += 1
        if fresh:
            self._deliver(fresh)
        if streamed:
            self.topics.take_streams(batch.source, batch.epoch, streamed)
        if lost:
            self._on_gap(batch.source)

    def _is_after_lost_manual(self, batch: Batch) -> bool:
        lost = 0 <= self._manual_number < batch.number - 1
        self._manual_number = max(self._manual_number, batch.number)
        return lost

    def _check_manual(self, number: int) -> None:
        """Notices a lost price by hand, which no heartbeat would show."""
        if 0 <= self._manual_number < number:
            self._on_gap(MANUAL)
        self._manual_number = number

    def _on_gap(self, source: str) -> None:
        self.counters["gaps"] += 1
        log.warning("a batch was lost", extra={"source": source})
        view = self.feeds.views.get(source)
        if view is not None:
            self.feeds.show(view, "recovering", "a batch was lost")
        self.last_values.repair(self.topics.symbols(source), view)
        self._read_books_again(source)

    def _read_books_again(self, source: str | None = None) -> None:
        if books := self.topics.booked(source):
            self.spawn(self.stored_books.fetch(books))

    def _lose_state(self, symbols: set[str]) -> None:
        for connection in list(self.connections.values()):
            if not symbols.isdisjoint(connection.subscriptions):
                connection.close(CloseCode.STATE_LOST)

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _on_session_ended(self, digest: str) -> None:
        self.identities.forget_session(digest)
        for connection in list(self.presence.of_session(digest)):
            connection.close(CloseCode.SESSION_ENDED)

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
                self.feeds.on_silence("no heartbeat for 3 s" if self.redis_ok else NO_REDIS)
                self._check_connections()
                opened = self.counters["connections_opened"]
                self.garbage.look(opened, opened - len(self.connections))
                for listener in self.pulse_listeners:
                    listener()
                if self.redis_ok and self._is_due("refresh", REFRESH_SECONDS):
                    self.spawn(self.last_values.refresh())
            except Exception:
                log.exception("pulse failed")
            await asyncio.sleep(PULSE_SECONDS)

    async def _tend(self) -> None:
        """Keeps what this process has in Redis, and notices when Redis is away."""
        while True:
            try:
                if self._is_due("redis", 1.0):
                    await self._check_redis()
                if self.redis_ok:
                    await self.presence.write_users()
                    if self._is_due("counts", COUNTS_SECONDS):
                        await self.presence.write_counts()
                if self.redis_ok and self._is_due("renew", RENEW_SECONDS):
                    self._check_manual(await self.presence.renew())
            except (redis.exceptions.RedisError, *UNREACHABLE) as error:
                self._lose_redis(error)
            except Exception:
                log.exception("tending Redis failed")
            await asyncio.sleep(PULSE_SECONDS / 5)

    async def _check_redis(self) -> None:
        await self.bus.redis.ping()
        if not self.redis_ok or (self.feeds.are_all_silent() and self._is_due("rejoin", 5.0)):
            await self._join()

    def _lose_redis(self, error: Exception) -> None:
        if self.redis_ok:
            log.error("lost Redis", extra={"error": repr(error)})
            self.counters["redis_losses"] += 1
        self.redis_ok = False
        self.identities.forget_all()  # nothing is heard of revocations
        self.feeds.on_deafness(NO_REDIS)

    async def _join(self) -> None:
        """Joins the bus anew and reads again whatever may have been missed."""
        if self._listen_task is not None:
            self._listen_task.cancel()
            await asyncio.gather(self._listen_task, return_exceptions=True)
            self._listen_task = None
        await self.bus.listen()
        self._listen_task = asyncio.create_task(self._listen(), name="hub listener")
        for status in (await read_feeds(self.bus.redis)).values():
            age = datetime.now(UTC) - datetime.fromisoformat(status.at)
            self.feeds.learn(status, age.total_seconds())
        self.redis_ok = True
        self.identities.forget_all()
        self._last["renew"] = float("-inf")
        if self.topics:
            self.last_values.repair(self.topics.symbols())
            self._read_books_again()
        self._on_message({"type": "hub.joined"})

    def _check_connections(self) -> None:
        moment = self.clock()
        heartbeat = ""
        due: list[Connection] = []
        for connection in list(self.connections.values()):
            since = connection.sending_since
            if since is not None and moment - since > SLOW_SECONDS:
                connection.close(CloseCode.SLOW_CONSUMER)
                continue
            if moment >= connection.heartbeat_at:
                heartbeat = heartbeat or envelope("heartbeat", encode({"server_time": now()}))
                connection.heartbeat_at = moment + HEARTBEAT_INTERVAL
                connection.outbox.put_status("", heartbeat)
            idle = not connection.subscriptions and not connection.portfolios
            if idle and moment - connection.heard_at > settings.WEBSOCKET_TIMEOUT:
                connection.close(CloseCode.IDLE)
            if connection.asked_at:
                self.awaited.check(connection, moment)
            if moment >= connection.recheck_at:
                due.append(connection)
        self.recheck(due)


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
