"""The price feed: from a vendor's events to last values in Redis, news to web processes, and rows in the database.

One process may follow several sources; each is led by one process of all that run, and the others stand by. A
source's events meet its batcher at once, its flushes the bus, and the database only behind both. What is lost on
the way (a connection, Redis, the lead) begins a new epoch, in which every last value is sent again.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import redis.asyncio as redis
from django.conf import settings
from redis.exceptions import RedisError

from assets.snapshots import LAST_KEY
from realtime.batcher import Batcher, LastPrice, Listing
from realtime.bus import (
    LEASE_SECONDS,
    FeedBus,
    FeedStatus,
    Fenced,
    SourceState,
    StateLost,
    is_live,
    new_layer,
    new_redis,
    read_feeds,
)
from realtime.feed_store import (
    BarRow,
    PriceRow,
    ensure_assets,
    prune_minute_bars,
    read_closes,
    read_last_prices,
    read_listings,
    read_open_bars,
)
from realtime.feeds.base import (
    Clock,
    Confirmed,
    Event,
    FeedError,
    FeedState,
    FrameRecorder,
    Gap,
    NewEpoch,
    PolledFeed,
    Refused,
    SystemClock,
)
from realtime.feeds.runner import FeedRunner
from realtime.history import fill_daily_bars, missing_days, store_days
from realtime.jobs import Job
from realtime.notify import notify
from realtime.protocol import QuoteRecord, decode_quote, wire_time
from realtime.sources import Source
from realtime.write_behind import WriteBehind

log = logging.getLogger("personal_finance.realtime.feed")

STANDBY_SECONDS = 0.5
HEARTBEAT_SECONDS = 1.0
JOB_SECONDS = 0.25
POLL_JOB_TIMEOUT = 30.0
RELIST_SECONDS = 5.0
# What a `--historical` run or another process stored of yesterday is noticed this much later.
CLOSES_SECONDS = 30.0
# A dead web process's wants lapse after fifteen seconds and nobody says so.
WANTS_SECONDS = 5.0
# A vendor that has no yesterday yet, or is away, is asked again this much later.
HISTORY_SECONDS = 900.0
RETRY_SECONDS = 0.5
GAP_SHOWN_SECONDS = 5.0
# Wall and monotonic time drift apart by less than this unless somebody sets the clock.
CLOCK_JUMP_SECONDS = 5.0
FIRST_PRUNE_SECONDS = 600.0
PRUNE_SECONDS = 86_400.0
# With a vendor's socket that takes a second to close, all of leaving stays within four seconds.
LEAVE_SECONDS = 1.0
CLOSE_SECONDS = 1.0

UNREACHABLE = (RedisError, OSError, TimeoutError)


def process_name() -> str:
    """Returns a name that no other feed process has, however machines and process ids repeat."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


async def end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancels tasks until they have ended.

    Once is not enough: where redis-py's own time-out and a cancellation meet in one turn of the loop, as when a
    frozen process wakes up, the call returns as if neither had been.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=RETRY_SECONDS)


async def first_failure(
    tasks: Iterable["asyncio.Task[None]"], until: "asyncio.Task[None] | None" = None
) -> None:
    """Waits until one of them fails, and raises that; or until `until` is done, when it is given."""
    waiting = set(tasks)
    while waiting and (until is None or not until.done()):
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


class SourceFeed:
    """One source in this process: standing by, or leading it from the lease to the last flush.

    It is its runner's sink, so `events` and `state` only note what is to be done.
    """

    def __init__(
        self,
        source: Source,
        bus: FeedBus,
        client: "redis.Redis",
        store: WriteBehind,
        clock: Clock,
        *,
        interval: float,
        batch_size: int,
        siblings: frozenset[str] = frozenset(),
        recorder: FrameRecorder | None = None,
    ) -> None:
        self.source = source
        self.name = source.name
        self.status: SourceState = "connecting"
        self.reason = ""
        self.since = clock.now()
        self.leads = False
        self.stopping = False
        self.updates = 0
        self.gaps = 0
        self.refused: dict[str, str] = {}
        self.batcher = self._new_batcher()
        # Every source that is live anywhere, with what it refuses.
        self.live: Mapping[str, frozenset[str]] = {}
        self._bus = bus
        self._client = client
        self._store = store
        self._clock = clock
        self._interval = interval
        self._batch_size = batch_size
        self._recorder = recorder
        self._siblings = siblings
        self._runner: FeedRunner | None = None
        self._calls = asyncio.Lock()  # the bus takes one call at a time
        self._wake = asyncio.Event()
        self._status_due = asyncio.Event()
        self._epoch_due = ""
        self._epoch_is_unused = False
        self._trouble = ""
        self._gap_ends = 0.0
        self._flush_seconds = settings.REALTIME_FLUSH_INTERVAL_MS / 1000

    def _new_batcher(self) -> Batcher:
        return Batcher(
            self.name,
            stale_after=settings.REALTIME_CACHE_TIMEOUT,
            quotes_are_trades=self.source.quotes_are_trades,
            has_own_clock=self.source.has_own_clock,
        )

    @property
    def is_live(self) -> bool:
        return self.leads and self.status == "live"

    @property
    def refused_symbols(self) -> frozenset[str]:
        return frozenset(
            line.listing.symbol
            for line in self.batcher.lines.values()
            if line.listing.source_symbol in self.refused
        )

    # -- what the runner says

    def events(self, source: str, events: list[Event], received_at: datetime) -> None:
        monotonic = self._clock.monotonic()
        for event in self.batcher.take(events, received_at, monotonic):
            match event:
                case Confirmed(symbols):
                    self.batcher.confirm(symbols, received_at, monotonic)
                case Gap():
                    self._gap(event, monotonic)
                case Refused(symbols, reason):
                    self.refused.update(dict.fromkeys(symbols, reason))
                case NewEpoch(reason):
                    self._restart(reason)
        if self.batcher.has_changes:
            self._wake.set()

    def state(self, source: str, state: FeedState, reason: str) -> None:
        if state == "live" and self.status != "live":
            # The first connection continues nothing, and the lead has just begun an epoch for it.
            if not self._epoch_is_unused:
                self._restart(self.reason or "connected again")
            self._epoch_is_unused = False
        self._enter(state, reason)

    def _enter(self, status: SourceState, reason: str) -> None:
        if status != self.status:
            self.since = self._clock.now()
            log.info("source changed", extra={"source": self.name, "state": status, "reason": reason})
        self.status, self.reason = status, reason
        self._status_due.set()

    def _restart(self, reason: str) -> None:
        self.batcher.restart()
        self.begin_epoch(reason)

    def begin_epoch(self, reason: str) -> None:
        """Asks for a new epoch; it begins with the next flush."""
        self._epoch_due = reason
        self._wake.set()

    def clock_was_set(self) -> None:
        if self.leads:
            self._restart("the clock was set")

    def _gap(self, gap: Gap, monotonic: float) -> None:
        self.gaps += 1
        self._gap_ends = monotonic + GAP_SHOWN_SECONDS
        lines = self.batcher.lines.values()
        self.batcher.touch(
            [line.listing.symbol for line in lines if gap.symbol in (None, line.listing.source_symbol)]
        )
        log.warning("gap", extra={"source": self.name, "symbol": gap.symbol, "reason": gap.reason})
        if self.status == "live":
            self.reason = f"gap in {gap.symbol or 'everything'}: {gap.reason}"
            self._status_due.set()

    # -- leading

    async def run(self) -> None:
        """Stands by, leads, and stands by again, until it is cancelled."""
        while not self.stopping:
            try:
                if await self._stand_by():
                    await self._lead()
            except Fenced:
                log.warning("another process leads now", extra={"source": self.name})

    async def _stand_by(self) -> bool:
        """Waits for the lease; returns whether this process has it now."""
        while not self.stopping:
            try:
                async with self._calls:
                    leads = await self._bus.acquire()
                self._trouble_ends()
                if leads:
                    log.info("leading", extra={"source": self.name, "epoch": self._bus.epoch})
                    return True
                if self.status != "standby":
                    self._enter("standby", "another process leads")
                    log.info("standing by: another process leads", extra={"source": self.name})
            except UNREACHABLE as error:
                self._troubled(error)
            await self._clock.sleep(STANDBY_SECONDS)
        return False

    async def _lead(self) -> None:
        """Leads until it is cancelled, or until another process does, which raises Fenced."""
        self.batcher = self._new_batcher()
        self.refused = {}
        self.leads, self._epoch_due, self._epoch_is_unused = True, "", True
        self._enter("connecting", "")
        # No TaskGroup: before Python 3.13 it leaves its parent marked as cancelled when a child fails late.
        tasks = [asyncio.create_task(self._keep(), name=f"{self.name} heartbeat")]
        fenced = False
        try:
            prepared = asyncio.create_task(self._prepare(), name=f"{self.name} start")
            tasks.append(prepared)
            await first_failure(tasks, until=prepared)
            tasks += self._work(self._new_runner())
            await first_failure(tasks)
        except Fenced:
            fenced = True
            raise
        finally:
            self._runner = None
            await end(tasks)
            if not fenced:
                await self._leave()
            self.leads = False

    def _new_runner(self) -> FeedRunner:
        self._runner = FeedRunner(
            self.source.feed,
            self,
            clock=self._clock,
            recorder=self._recorder,
            symbols=[line.listing.source_symbol for line in self.batcher.lines.values()],
            interval=self._interval,
            batch_size=self._batch_size,
        )
        return self._runner

    def _work(self, runner: FeedRunner) -> list["asyncio.Task[None]"]:
        """Starts all that a leader does beside keeping its lease."""
        parts = {
            "flush": self._flush_forever(),
            "symbols": self._follow_forever(),
            "jobs": self._jobs_forever(),
            "history": self._fill_history_forever(),
            "feed": runner.run(),
        }
        return [asyncio.create_task(part, name=f"{self.name} {name}") for name, part in parts.items()]

    async def _leave(self) -> None:
        """Sends what is left, says good-bye and gives up the lease; each in bounded time."""
        bars = [*self.batcher.take_bars(), *self.batcher.open_bars()]
        self._store.put([], [BarRow(*row, self.name) for row in bars])
        self._enter("stopped", "the price feed was stopped")
        with suppress(*UNREACHABLE, StateLost, Fenced):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._flush()
                async with self._calls:
                    await self._bus.heartbeat(self._feed_status())
                    await self._bus.release()

    async def _keep(self) -> None:
        """Keeps the lease and says how the source is, each second and at each change."""
        wants_read_at = self._clock.monotonic()
        while True:
            self._status_due.clear()
            if self._gap_ends and self._clock.monotonic() > self._gap_ends:
                self._gap_ends = 0.0
                if self.status == "live":
                    self.reason = ""
            try:
                async with self._calls:
                    if not self._epoch_due:
                        await self._bus.renew()
                    await self._bus.heartbeat(self._feed_status())
                    if self._clock.monotonic() - wants_read_at > WANTS_SECONDS:
                        wants_read_at = self._clock.monotonic()
                        self._bus.forget_wanted()
                if self._trouble:
                    self._trouble_ends()
                    self.begin_epoch("Redis was away")
            except StateLost:
                self.begin_epoch("Redis lost its data")
                await self._clock.sleep(RETRY_SECONDS)
            except UNREACHABLE as error:
                self._troubled(error)
                await self._clock.sleep(RETRY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._status_due.wait()

    def _troubled(self, error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}"
        if not self._trouble:
            log.error("Redis does not answer", extra={"source": self.name, "error": text})
        self._trouble = text

    def _trouble_ends(self) -> None:
        if self._trouble:
            log.info("Redis answers again", extra={"source": self.name})
            self._trouble = ""

    def _feed_status(self) -> FeedStatus:
        return FeedStatus(
            source=self.name,
            state=self.status,
            since=wire_time(self.since),
            reason=self.reason,
            epoch=self._bus.epoch,
            modes=self.source.modes,
            refused=tuple(sorted(self.refused_symbols)),
            symbols=len(self.batcher.lines),
            ticks=self.batcher.ticks,
            updates=self.updates,
            rejected=self.batcher.rejected.total(),
        )

    # -- what it follows

    async def _prepare(self) -> None:
        """Makes the source's assets and takes up where the last leader stopped; waits for the database."""
        while True:
            try:
                await self._store.call(ensure_assets, self.name, self.source.assets)
                if self.source.local_history is not None:
                    await self._store.call(fill_daily_bars, self.source, self._siblings, self._clock.now())
                await self._follow()
                break
            except Exception as error:  # the driver's own errors are as many as the databases
                if self.reason != "waiting for the database":
                    log.error("waiting for the database", extra={"source": self.name, "error": repr(error)})
                self._enter("connecting", "waiting for the database")
                await self._clock.sleep(1.0)
        self._enter("connecting", "")
        superseded: set[str] = set()
        with suppress(*UNREACHABLE):
            superseded = await self._superseded()
        self.batcher.begin(self._bus.epoch, superseded)
        self._wake.set()

    async def _follow(self) -> None:
        """Reads again which assets list the source; a new one starts with its last known price."""
        listings = await self._store.call(read_listings, self.name)
        known = self.source.only_symbols
        listings = [one for one in listings if known is None or one.source_symbol in known]
        new = [one for one in listings if one.symbol not in self.batcher.lines]
        restored = await self._known(new) if new else {}
        now, monotonic = self._clock.now(), self._clock.monotonic()
        added, gone = self.batcher.follow(listings, now, monotonic)
        if added:
            ids = [line.listing.asset_id for line in added]
            for symbol in restored.keys() & self.batcher.lines.keys():
                self.batcher.restore(symbol, restored[symbol], now, monotonic)
            self.batcher.learn_closes(await self._store.call(read_closes, ids, self._today()))
            if not self.source.has_own_clock:
                self.batcher.resume_bars(await self._store.call(read_open_bars, ids, now))
        if added or gone:
            self.batcher.arbitrate(self.live)
            log.info("symbols", extra={"source": self.name, "added": len(added), "removed": len(gone)})
        if self._runner is not None:
            self._runner.remove_symbols(line.listing.source_symbol for line in gone)
            self._runner.add_symbols(line.listing.source_symbol for line in added)

    def _today(self) -> datetime:
        return self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)

    async def _known(self, listings: Sequence[Listing]) -> dict[str, LastPrice]:
        """Returns the last prices that came from this source: Redis's, and the database's where it has none."""
        found = await self._store.call(read_last_prices, self.name, [one.asset_id for one in listings])
        for symbol, record in (await self._records([one.symbol for one in listings])).items():
            if record.source == self.name:
                received_at = datetime.fromisoformat(record.received_at or record.as_of)
                as_of = datetime.fromisoformat(record.as_of)
                found[symbol] = LastPrice(record.price, as_of, received_at, record)
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

    async def _superseded(self) -> set[str]:
        """Returns the symbols whose stored value is another source's and newer than ours."""
        records = await self._records([s for s, line in self.batcher.lines.items() if line.price is not None])
        return {
            symbol
            for symbol, record in records.items()
            if record.source != self.name
            and record.received_at > wire_time(self.batcher.lines[symbol].received_at)
        }

    async def _follow_forever(self) -> None:
        closes_read_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(RELIST_SECONDS)
            try:
                await self._follow()
                if self._clock.monotonic() - closes_read_at >= CLOSES_SECONDS:
                    closes_read_at = self._clock.monotonic()
                    ids = [line.listing.asset_id for line in self.batcher.lines.values()]
                    closes = await self._store.call(read_closes, ids, self._today())
                    self.batcher.learn_closes(closes)
                    self._wake.set()
            except Exception as error:  # a database that is away is tried again; the ticks go on
                log.warning("symbols not read", extra={"source": self.name, "error": repr(error)})

    async def _fill_history_forever(self) -> None:
        """Asks the vendor for the days that are missing: without yesterday's close there is no change."""
        while self.source.history is not None and self.source.fills_history:
            try:
                await self._fill_history()
            except FeedError as error:
                log.warning("no history", extra={"source": self.name, "error": str(error)})
            except Exception as error:  # as above
                log.warning("history not stored", extra={"source": self.name, "error": repr(error)})
            await self._clock.sleep(HISTORY_SECONDS)

    async def _fill_history(self) -> None:
        assert self.source.history is not None
        now = self._clock.now()
        listings = [line.listing for line in self.batcher.lines.values()]
        for missing in await self._store.call(missing_days, listings, now):
            bars = await self.source.history(missing.listing.source_symbol, missing.days, now)
            if await self._store.call(store_days, self.name, missing, bars, now):
                ids = [missing.listing.asset_id]
                self.batcher.learn_closes(await self._store.call(read_closes, ids, self._today()))
                self._wake.set()

    # -- sending

    async def _flush_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            started = self._clock.monotonic()
            try:
                await self._flush()
            except StateLost:
                self.begin_epoch("Redis lost its data")
            except UNREACHABLE as error:
                self._troubled(error)
                self._wake.set()
                await self._clock.sleep(RETRY_SECONDS)
            rest = self._flush_seconds - (self._clock.monotonic() - started)
            if rest > 0:
                await self._clock.sleep(rest)

    async def _flush(self) -> None:
        """Sends every changed last value once; what cannot be sent waits, and is then the newest."""
        async with self._calls:
            if self._epoch_due:
                await self._begin_epoch()
            records = self.batcher.changed()
            if not records:
                return
            rows = self._rows(records)
            try:
                sent = await self._bus.publish(records, self.batcher.last)
            except BaseException:
                self.batcher.put_back(records)
                raise
        self.updates += len(records)
        self._store.put(rows)
        log.debug("flush", extra={"source": self.name, "changed": len(records), "sent": sent})

    async def _begin_epoch(self) -> None:
        reason = self._epoch_due
        await self._bus.new_epoch()
        self.batcher.begin(self._bus.epoch, await self._superseded())
        if self._epoch_due == reason:
            self._epoch_due = ""
        self._status_due.set()
        log.info("new epoch", extra={"source": self.name, "epoch": self._bus.epoch, "reason": reason})

    def _rows(self, symbols: Iterable[str]) -> list[PriceRow]:
        rows = []
        for symbol in symbols:
            line = self.batcher.lines[symbol]
            if line.price is not None:
                rows.append(
                    PriceRow(line.listing.asset_id, line.price, line.as_of, self.name, line.received_at)
                )
        return rows

    def tick(self) -> None:
        """What only the clock brings: sessions that roll, prices that grow stale, bars that close."""
        if not self.leads:
            return
        self.batcher.tick(self._clock.now(), self._clock.monotonic())
        if bars := self.batcher.take_bars():
            self._store.put([], [BarRow(*row, self.name) for row in bars])
        if self.batcher.has_changes:
            self._wake.set()

    def arbitrate(self, live: Mapping[str, frozenset[str]]) -> None:
        if live != self.live:
            self.live = live
            self.batcher.arbitrate(live)
            if self.batcher.has_changes:
                self._wake.set()

    # -- jobs

    async def _jobs_forever(self) -> None:
        while True:
            await self._clock.sleep(JOB_SECONDS)
            try:
                async with self._calls:
                    job = await self._bus.next_job()
                if job is not None:
                    await self._do(job)
            except StateLost:
                self.begin_epoch("Redis lost its data")
            except UNREACHABLE as error:
                self._troubled(error)

    async def _do(self, job: Job) -> None:
        """Publishes again what is asked for: freshly fetched from a polled source, the last values of a stream."""
        failed: dict[str, str] = {}
        if isinstance(self.source.feed, PolledFeed):
            failed = await self._poll(self.source.feed, job.symbols)
        touched = self.batcher.touch(symbol for symbol in job.symbols if symbol not in failed)
        for symbol in job.symbols:
            if symbol not in touched and symbol not in failed:
                failed[symbol] = self._why_not(symbol)
        await self._flush()
        async with self._calls:
            await self._bus.finish_job(job, touched, failed)
        log.info(
            "job done",
            extra={"source": self.name, "job": job.id, "updated": len(touched), "failed": len(failed)},
        )

    def _why_not(self, symbol: str) -> str:
        line = self.batcher.lines.get(symbol)
        if line is None:
            return f"{self.name} does not follow this symbol"
        if reason := self.refused.get(line.listing.source_symbol):
            return f"{self.name} refused this symbol: {reason}"
        return "no price yet" if line.price is None else "another source publishes this symbol"

    async def _poll(self, feed: PolledFeed, symbols: Sequence[str]) -> dict[str, str]:
        lines = [self.batcher.lines[symbol] for symbol in symbols if symbol in self.batcher.lines]
        try:
            async with asyncio.timeout(POLL_JOB_TIMEOUT):
                events = await feed.poll([line.listing.source_symbol for line in lines])
        except (FeedError, TimeoutError) as error:
            return dict.fromkeys(symbols, str(error) or "the vendor did not answer in time")
        self.events(self.name, events, self._clock.now())
        return {}

    def summary(self) -> str:
        """How the source is, in a few words."""
        if not self.leads:
            return f"{self.name}: {self.status}"
        last = self.batcher.last_tick_at
        age = "no tick yet" if last is None else f"last tick {self._clock.monotonic() - last:.1f} s ago"
        return (
            f"{self.name}: {self.status}, {len(self.batcher.lines)} symbols, {self.batcher.ticks} ticks, "
            f"{self.updates} updates, {self.batcher.rejected.total()} rejected, {age}"
        )


class PriceFeed:
    """All sources of one process, and what they share.

    Args:
        sources: what to follow.
        interval: seconds between two polls of a polled source, and between two status lines.
        batch_size: how many symbols of a polled source are asked for at once.
        recorder: gets the frames of the one source that is recorded.
        clock: replaced by tests.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        interval: float,
        batch_size: int,
        recorder: FrameRecorder | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._sources = sources
        self._interval = interval
        self._batch_size = batch_size
        self._recorder = recorder
        self._clock = clock or SystemClock()
        self._stopped = asyncio.Event()
        self._store = WriteBehind()
        self.feeds: list[SourceFeed] = []

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> bool:
        """Runs until it is stopped; returns False when every source has failed for good."""
        async with self._connections() as (client, layer):
            owner = process_name()
            self.feeds = [
                SourceFeed(
                    source,
                    FeedBus(source.name, owner, client, layer),
                    client,
                    self._store,
                    self._clock,
                    interval=self._interval,
                    batch_size=self._batch_size,
                    siblings=frozenset(other.name for other in self._sources),
                    recorder=self._recorder,
                )
                for source in self._sources
            ]
            log.info(
                "price feed started", extra={"sources": [feed.name for feed in self.feeds], "owner": owner}
            )
            jobs = [asyncio.create_task(feed.run(), name=feed.name) for feed in self.feeds]
            jobs += [
                asyncio.create_task(self._every_second(client), name="seconds"),
                asyncio.create_task(self._report_forever(), name="status line"),
                asyncio.create_task(self._prune_forever(), name="pruning"),
            ]
            stopped = asyncio.create_task(self._stopped.wait())
            try:
                done, _ = await asyncio.wait([*jobs, stopped], return_when=asyncio.FIRST_COMPLETED)
            finally:
                notify("STOPPING=1")
                failed = self._all_failed
                for feed in self.feeds:
                    feed.stopping = True
                for job in (*jobs, stopped):
                    job.cancel()
                await asyncio.gather(*jobs, stopped, return_exceptions=True)
            for job in done - {stopped}:
                job.result()  # only a bug ends one
            log.info("price feed stopped", extra={"failed": failed})
            return not failed

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[tuple["redis.Redis", Any]]:
        client, layer = new_redis(), new_layer()
        self._store.start()
        try:
            yield client, layer
        finally:
            self._store.close(CLOSE_SECONDS)
            with suppress(*UNREACHABLE):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await layer.flush()
                    await client.aclose()

    @property
    def _all_failed(self) -> bool:
        return bool(self.feeds) and all(feed.leads and feed.status == "failed" for feed in self.feeds)

    async def _every_second(self, client: "redis.Redis") -> None:
        offset = self._offset()
        notify("READY=1")
        while not self._stopped.is_set():
            if abs(self._offset() - offset) > CLOCK_JUMP_SECONDS:
                log.warning("the clock was set", extra={"seconds": self._offset() - offset})
                for feed in self.feeds:
                    feed.clock_was_set()
            offset = self._offset()
            live = await self._live(client)
            for feed in self.feeds:
                feed.arbitrate(live)
                feed.tick()
            if self._all_failed:
                self.stop()
            notify("WATCHDOG=1")
            await self._clock.sleep(HEARTBEAT_SECONDS)

    def _offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    async def _live(self, client: "redis.Redis") -> dict[str, frozenset[str]]:
        """Returns every source that is live now, here or elsewhere, with what it refuses."""
        live: dict[str, frozenset[str]] = {}
        with suppress(*UNREACHABLE):
            async with asyncio.timeout(LEASE_SECONDS):
                now = self._clock.now()
                for name, status in (await read_feeds(client)).items():
                    if is_live(status, now):
                        live[name] = frozenset(status.refused)
        for feed in self.feeds:
            if feed.is_live:
                live[feed.name] = feed.refused_symbols
            elif feed.leads:
                live.pop(feed.name, None)
        return live

    async def _report_forever(self) -> None:
        while True:
            await self._clock.sleep(self._interval)
            line = "; ".join(feed.summary() for feed in self.feeds)
            log.info(line, extra={"written": self._store.written, "database_error": self._store.error})
            notify(f"STATUS={line}")

    async def _prune_forever(self) -> None:
        delay = FIRST_PRUNE_SECONDS
        while True:
            await self._clock.sleep(delay)
            delay = PRUNE_SECONDS
            try:
                pruned = await self._store.call(prune_minute_bars, self._clock.now())
                log.info("minute bars pruned", extra={"bars": pruned})
            except Exception as error:  # tomorrow is another day
                log.warning("minute bars not pruned", extra={"error": repr(error)})
