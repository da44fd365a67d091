"""What travels between processes: batches of prices from a feed to every web process, wants and jobs back.

Beside `portfolio.events` the one place that touches the channel layer, which is at-most-once and so carries only
news; the truth is in Redis. Each batch carries its source's epoch and number, so that a loss is seen and repaired.
The epoch is also the fencing token: it grows with every change of leader and every hole, and Redis refuses a
write under an older one.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec
import redis as sync_redis
import redis.asyncio as redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.utils.module_loading import import_string
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from assets.redis_address import new_pool
from assets.snapshots import LAST_KEY, connection
from realtime.bus_scripts import SCRIPTS
from realtime.jobs import JOB_SECONDS, Job, job_key
from realtime.protocol import Mode, QuoteRecord, cut_quote, encode, encode_quote, is_deep, now
from realtime.wants import CHANNELS, PROCESSES_KEY, WANTED_VERSION_KEY, Wants, wanted_key

log = logging.getLogger("personal_finance.realtime.bus")

WEB_GROUP = "livefolio.web"
MANUAL = "manual"

LEASE_SECONDS = 4.0  # a dead leader's source is taken over after this long
PROCESS_SECONDS = 15  # a dead web process loses its connections and wants after this long
REDIS_CONNECTIONS = 16  # of one process; a command takes well under a millisecond
MANUAL_KEY = "lf:manual"
# Symbol to the JSON of its whole book, for as long as somebody wants it.
BOOKS_KEY = "lf:books"
ACCOUNT_EVENTS_KEPT = 100

SourceState = Literal[
    "standby", "connecting", "live", "recovering", "silent", "failed", "ended", "down", "stopped"
]

# What a Redis that is away raises, as opposed to one that refuses.
UNREACHABLE = (sync_redis.ConnectionError, sync_redis.TimeoutError, OSError, TimeoutError)


class BusError(Exception):
    """The bus could not do what it was asked.

    BusError
    ├── Fenced      another process leads the source
    └── StateLost   Redis forgot the source: its data are gone, a new epoch is due
    """


class Fenced(BusError):
    pass


class StateLost(BusError):
    pass


# --- the messages ----------------------------------------------------------------------------------------------------


class Update(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One symbol's change, already encoded once for each mode in use, and what is new in each channel in use."""

    symbol: str
    seq: int
    payloads: dict[str, str]


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What one flush of one source sends to every web process."""

    source: str
    epoch: int
    number: int
    updates: list[Update]


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a source is; `number` is its last batch's, so that a lost last batch is noticed."""

    source: str
    state: SourceState
    since: str
    reason: str
    epoch: int
    number: int = 0
    at: str = ""
    owner: str = ""
    modes: tuple[str, ...] = (Mode.LTPC, Mode.QUOTE)
    channels: tuple[str, ...] = ()  # what it can fill beside quotes
    markets: dict[str, str] = {}  # its markets and their phases, as it says
    refused: dict[str, str] = {}  # our symbols that the vendor does not give, and why
    lowered: dict[str, str] = {}  # those that its limits leave with less than is wanted, and with which mode
    symbols: int = 0
    ticks: int = 0
    updates: int = 0
    rejected: int = 0


_encode_batch = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(Batch).decode


def batch_message(batch: Batch) -> dict[str, Any]:
    """Returns what the layer carries: one blob, because as plain lists it costs each side three times as much."""
    return {"type": "feed.batch", "batch": _encode_batch(batch)}


def decode_batch(message: Mapping[str, Any]) -> Batch:
    return _decode_batch(message["batch"])


def decode_status(message: Mapping[str, Any]) -> FeedStatus:
    return msgspec.convert(message["status"], FeedStatus)


def new_redis() -> "redis.Redis":
    """Returns a client whose commands answer or fail within REDIS_COMMAND_TIMEOUT."""
    pool = new_pool(
        redis.BlockingConnectionPool,
        settings.REDIS_URL,
        # The stock pool raises a ConnectionError instead of waiting, so that 200 sockets that come or go at once
        # looked like a Redis that is away.
        max_connections=REDIS_CONNECTIONS,
        timeout=settings.REDIS_COMMAND_TIMEOUT,
        socket_timeout=settings.REDIS_COMMAND_TIMEOUT,
        socket_connect_timeout=settings.REDIS_COMMAND_TIMEOUT,
        # One failure is told at once; whoever calls knows better when to try again.
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis.from_pool(pool)


def new_layer() -> Any:
    """Returns a channel layer of our own: the shared one can't be rebuilt when its connection goes deaf."""
    config: dict[str, Any] = settings.CHANNEL_LAYERS["default"]
    return import_string(config["BACKEND"])(**config.get("CONFIG", {}))


def announce(message: Mapping[str, Any]) -> None:
    """Tells every web process something from ordinary, synchronous code; a failure is logged and not raised."""
    try:
        async_to_sync(get_channel_layer().group_send)(WEB_GROUP, dict(message))
    except Exception:
        log.exception("announcement lost", extra={"type": message.get("type")})


async def tell_web(layer: Any, message: Mapping[str, Any]) -> None:
    """Tells every web process something; raises what a Redis that is away raises."""
    await layer.group_send(WEB_GROUP, dict(message))


# --- the feed's side -------------------------------------------------------------------------------------------------


class FeedBus:
    """One source's way to everybody else, as long as this process leads it.

    Not for concurrent use: the price feed awaits one call at a time for each source.

    Args:
        source: the source's name.
        owner: this process's name, the same for all its sources.
    """

    def __init__(self, source: str, owner: str, client: "redis.Redis", layer: Any) -> None:
        self.source = source
        self.owner = owner
        self.epoch = 0
        self.number = 0
        self._wants = Wants()
        self._redis = client
        self._layer = layer
        # Of this epoch; a Redis that has seen fewer is a replica that came too late to the last.
        self._writes = 0
        self._keys = [f"lf:lease:{source}", f"lf:epoch:{source}", f"lf:writes:{source}"]
        self._scripts = {name: client.register_script(text) for name, text in SCRIPTS.items()}

    async def acquire(self) -> bool:
        """Takes or keeps the lead under a new epoch; False when another process has it."""
        # A Redis that lost its data, all or the last second's, must not hand out an old epoch again: hubs would not
        # hear it. So an epoch is never behind the clock.
        arguments: list[str | int] = [self.owner, int(LEASE_SECONDS * 1000), self.epoch, int(time.time())]
        epoch = int(await self._scripts["acquire"](keys=self._keys, args=arguments))
        if epoch:
            self.epoch, self.number, self._writes = epoch, 0, 0
            self.forget_wanted()
        return bool(epoch)

    async def new_epoch(self) -> None:
        """Begins a new epoch after a hole; raises Fenced when another process leads."""
        if not await self.acquire():
            raise Fenced(f"another process leads {self.source}")

    async def renew(self) -> None:
        """Keeps the lead; raises Fenced or StateLost."""
        arguments: list[str | int] = [self.owner, int(LEASE_SECONDS * 1000), self.epoch, self._writes]
        self._check(int(await self._scripts["renew"](keys=self._keys, args=arguments)))

    async def release(self) -> None:
        await self._scripts["release"](keys=self._keys[:1], args=[self.owner])

    def _check(self, answer: int) -> None:
        if answer == 0:
            raise Fenced(f"another process leads {self.source}")
        if answer < 0:
            raise StateLost(f"Redis forgot {self.source}")

    async def publish(
        self,
        changed: Mapping[str, QuoteRecord],
        last: Callable[[str], QuoteRecord | None],
        news: Mapping[str, Mapping[str, str]] = {},
    ) -> int:
        """Stores the changed last values, then sends those that anyone wants, and what is newly wanted.

        Args:
            changed: our symbol to its new record, of this epoch.
            last: gives the last record of any symbol, for one that is newly wanted.
            news: symbols that have changed, to the JSON of what is new in each channel.

        Returns:
            how many updates were sent.

        Raises:
            Fenced, StateLost, redis.RedisError
        """
        texts = {symbol: encode_quote(record, Mode.FULL_D30) for symbol, record in changed.items()}
        answer = await self._scripts["write"](
            keys=[*self._keys[1:], LAST_KEY, WANTED_VERSION_KEY, BOOKS_KEY],
            args=self._write_arguments(texts, news),
        )
        self._check(int(answer[0]))
        self._writes += 1
        self._wants.dropped_books.clear()
        newly = await self._wants.read(self._redis, int(answer[1]))
        sendable = {symbol: record for symbol, record in changed.items() if symbol in self.wanted}
        for symbol in newly - sendable.keys():
            if (known := last(symbol)) is not None:
                sendable[symbol] = known
                texts[symbol] = encode_quote(known, Mode.FULL_D30)
        await self._send(sendable, texts, news)
        return len(sendable)

    def _write_arguments(
        self, texts: Mapping[str, str], news: Mapping[str, Mapping[str, str]]
    ) -> list[str | int]:
        arguments: list[str | int] = [self.epoch, 3 + 2 * len(texts)]
        for item in texts.items():
            arguments += item
        for symbol in self._wants.dropped_books:
            arguments += symbol, ""
        for symbol, channels in news.items():
            if "book" in channels:
                arguments += symbol, channels["book"]
        return arguments

    async def _send(
        self,
        records: Mapping[str, QuoteRecord],
        texts: Mapping[str, str],
        news: Mapping[str, Mapping[str, str]],
    ) -> None:
        if not records:
            return
        self.number += 1
        updates = [
            Update(
                symbol,
                record.seq,
                _payloads(record, texts[symbol], self.wanted[symbol], news.get(symbol, {})),
            )
            for symbol, record in records.items()
        ]
        await self._layer.group_send(
            WEB_GROUP, batch_message(Batch(self.source, self.epoch, self.number, updates))
        )

    async def keep(self, key: str, texts: Mapping[str, str]) -> None:
        """Stores texts in a hash beside the last values; raises as `publish`."""
        if texts:
            arguments = [str(self.epoch), *(part for item in texts.items() for part in item)]
            self._check(int(await self._scripts["keep"](keys=[self._keys[1], key], args=arguments)))

    async def publish_account(self, event: Mapping[str, Any]) -> None:
        """Sends an event of the account behind this source's key, and keeps the newest; raises as `publish`.

        Numbers travel as text, since the layer knows no decimals.
        """
        arguments: list[str | int] = [self.epoch, ACCOUNT_EVENTS_KEPT, encode(event, "string")]
        keys = [self._keys[1], account_key(self.source)]
        self._check(int(await self._scripts["account"](keys=keys, args=arguments)))
        plain = msgspec.to_builtins(event)  # a Decimal becomes its text
        await self._layer.group_send(
            WEB_GROUP, {"type": "feed.account", "source": self.source, "event": plain}
        )

    @property
    def wanted(self) -> dict[str, set[str]]:
        """What anybody wants of each symbol, as it was last read: modes, and names of channels."""
        return self._wants.by_symbol

    async def read_wanted(self) -> set[str]:
        """Reads the wants again if they have changed, which a publish does by itself; returns what is newly wanted."""
        return await self._wants.read(self._redis, int(await self._redis.get(WANTED_VERSION_KEY) or 0))

    def take_joined(self) -> set[str]:
        """Returns the symbols of which a process has come late to a channel, since the last call."""
        joined, self._wants.joined = self._wants.joined, set()
        return joined

    def forget_wanted(self) -> None:
        """Makes the next reading read the wants again, because a dead process's may have lapsed."""
        self._wants.version = -1

    async def heartbeat(self, status: FeedStatus) -> None:
        """Says how the source is: to every web process, and in Redis to whoever asks."""
        status = msgspec.structs.replace(
            status, epoch=self.epoch, number=self.number, at=now(), owner=self.owner
        )
        await self._redis.hset("lf:feeds", self.source, msgspec.json.encode(status))
        message = {"type": "feed.status", "status": msgspec.to_builtins(status)}
        await self._layer.group_send(WEB_GROUP, message)

    async def next_job(self) -> Job | None:
        """Takes the oldest waiting job of this source."""
        text: Any = await self._redis.lpop(f"lf:jobs:{self.source}")
        return msgspec.json.decode(text, type=Job) if text else None

    async def finish_job(self, job: Job, updated: Sequence[str], failed: Mapping[str, str]) -> None:
        result = {"updated": list(updated), "failed": dict(failed), "finished_at": now()}
        key = job_key(job.id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, self.source, msgspec.json.encode(result))
            pipe.expire(key, JOB_SECONDS)
            await pipe.execute()


def _payloads(
    record: QuoteRecord, whole: str, wants: Iterable[str], news: Mapping[str, str]
) -> dict[str, str]:
    """Returns what a record is in each mode; its whole text has been encoded already."""
    payloads = {want: news[want] for want in wants if want in news} if news else {}
    for mode in wants:
        if mode == Mode.LTPC:
            payloads[mode] = encode_quote(record, mode)
        elif mode == Mode.FULL and not is_deep(record):
            payloads[mode] = whole
        elif mode not in CHANNELS:
            payloads[mode] = cut_quote(whole, mode)
    return payloads


def account_key(source: str) -> str:
    """A list of the last events of the account behind a source's key, newest first."""
    return f"lf:account:{source}"


async def read_feeds(client: "redis.Redis") -> dict[str, FeedStatus]:
    """Returns the last heartbeat of every source that ever had one; judge its age by `at`."""
    found: Any = await client.hgetall("lf:feeds")
    return _statuses(found)


def read_feeds_sync() -> dict[str, FeedStatus]:
    return _statuses(connection().hgetall("lf:feeds"))


def _statuses(found: Any) -> dict[str, FeedStatus]:
    statuses = {}
    for name, text in found.items():
        # Of another version of ours: if it still runs, it says how it is in a second, in words that are its own.
        with suppress(msgspec.ValidationError):
            statuses[name.decode()] = msgspec.json.decode(text, type=FeedStatus)
    return statuses


def is_live(status: FeedStatus, moment: datetime | None = None) -> bool:
    """Whether the source's process said within three seconds that it is live."""
    age = (moment or datetime.now(UTC)) - datetime.fromisoformat(status.at)
    return status.state == "live" and age < timedelta(seconds=3)


# --- a web process's side --------------------------------------------------------------------------------------------


class Renewal(NamedTuple):
    """What a renewal found: whether Redis did not know this process, and the last price set by hand's number."""

    is_new: bool
    manual_number: int


class WebBus:
    """One web process's ear on the layer, and its lease on what its clients want.

    Args:
        process: this process's name.
    """

    def __init__(self, process: str) -> None:
        self.process = process
        self.redis = new_redis()
        self._layer: Any = None
        self._channel = ""

    async def listen(self) -> None:
        """Joins the group of web processes on a fresh layer; raises redis.RedisError or OSError."""
        await self.deafen()
        self._layer = new_layer()
        self._channel = await self._layer.new_channel("livefolio.web!")
        await self._layer.group_add(WEB_GROUP, self._channel)

    async def receive(self) -> Mapping[str, Any]:
        message: Mapping[str, Any] = await self._layer.receive(self._channel)
        return message

    async def deafen(self) -> None:
        """Closes the layer's connections; whatever was in flight is lost, which the next epoch or number shows."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        try:
            async with asyncio.timeout(1):
                await layer.flush()
        except Exception as error:
            log.info("layer closed with an error", extra={"error": repr(error)})

    async def read_records(self, symbols: Sequence[str]) -> dict[str, str]:
        """Returns the last record's JSON of each symbol that has one; raises redis.RedisError."""
        if not symbols:
            return {}
        found: Any = await self.redis.hmget(LAST_KEY, list(symbols))
        return {
            symbol: text.decode() for symbol, text in zip(symbols, found, strict=True) if text is not None
        }

    async def want(self, added: Iterable[str], removed: Iterable[str] = ()) -> None:
        """Changes this process's wants, as `realtime.wants` reads them; raises redis.RedisError."""
        key = wanted_key(self.process)
        added, removed = list(added), list(removed)
        async with self.redis.pipeline(transaction=True) as pipe:
            if removed:
                pipe.srem(key, *removed)
            if added:
                pipe.sadd(key, *added)
                pipe.zadd(PROCESSES_KEY, {self.process: time.time() + PROCESS_SECONDS})
                pipe.expire(key, PROCESS_SECONDS)
            pipe.incr(WANTED_VERSION_KEY)
            await pipe.execute()

    async def renew(
        self, wanted: Iterable[str], counts: Mapping[str, Any], *, rewrite: bool = False
    ) -> Renewal:
        """Keeps this process's leases, and writes its wants again if Redis forgot them; raises redis.RedisError.

        Args:
            rewrite: writes them in any case, since nobody knows which of them a failed write has left.
        """
        key = wanted_key(self.process)
        wanted = list(wanted)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.zremrangebyscore(PROCESSES_KEY, "-inf", time.time())
            pipe.zadd(PROCESSES_KEY, {self.process: time.time() + PROCESS_SECONDS})
            pipe.scard(key)
            pipe.expire(key, PROCESS_SECONDS)
            pipe.set(f"lf:process:{self.process}", msgspec.json.encode(counts), ex=PROCESS_SECONDS)
            pipe.hget(MANUAL_KEY, "number")
            pipe.expire(f"lf:users:{self.process}", PROCESS_SECONDS)
            answers = await pipe.execute()
        if (rewrite and wanted) or int(answers[2]) != len(wanted):
            await self.redis.delete(key)
            await self.want(wanted)
        return Renewal(is_new=bool(answers[1]), manual_number=int(answers[-2] or 0))

    async def leave(self) -> None:
        """Gives up everything this process leased."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.zrem(PROCESSES_KEY, self.process)
            pipe.delete(wanted_key(self.process), f"lf:process:{self.process}", f"lf:users:{self.process}")
            pipe.incr(WANTED_VERSION_KEY)
            await pipe.execute()

    async def close(self) -> None:
        await self.deafen()
        await self.redis.aclose()
