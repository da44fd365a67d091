"""One lead of one source: all that its leader knows and does, from the lease to the last flush.

A source's events meet its batcher at once, its flushes the bus, and the database only behind both. What is lost on
the way (a connection, Redis) begins a new epoch, in which every last value is sent again. Nothing here outlives the
lead: the next one begins from Redis and the database.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import redis.asyncio as redis
from django.conf import settings
from redis.exceptions import RedisError

from assets.market import AccountEvent, MarketStatus
from assets.open_bars import BARS_KEY
from realtime.bus import FeedBus, FeedStatus, Fenced, StateLost
from realtime.feeds.base import (
    Clock,
    Confirmed,
    Event,
    Feed,
    FeedState,
    FrameRecorder,
    Gap,
    Lowered,
    Mode,
    NewEpoch,
    Refused,
)
from realtime.feeds.runner import FeedRunner
from realtime.jobs import Job
from realtime.price_feed.account_events import AccountEvents
from realtime.price_feed.alert_desk import AlertDesk
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.feed_store import BarRow, PriceRow
from realtime.price_feed.lines import Line
from realtime.price_feed.source_condition import Condition
from realtime.price_feed.source_jobs import SourceJobs
from realtime.price_feed.source_symbols import SourceSymbols
from realtime.price_feed.sources import Source
from realtime.price_feed.tasks import end, first_failure
from realtime.price_feed.ticks import TickRecorder
from realtime.price_feed.upstream_modes import upstream_modes
from realtime.price_feed.write_behind import WriteBehind
from realtime.protocol import wire_time

log = logging.getLogger("personal_finance.realtime.feed")

HEARTBEAT_SECONDS = 1.0
JOB_SECONDS = 0.25
# A dead web process's wants lapse after fifteen seconds and nobody says so.
WANTS_SECONDS = 5.0
RETRY_SECONDS = 0.5
# With a vendor's socket that takes a second to close, all of leaving stays within four seconds.
LEAVE_SECONDS = 1.0
# An open bar in Redis is this much behind its last tick.
BARS_SECONDS = 1.0

WAITING = "waiting for the database"
# More than the bus's: a Redis that refuses, because it is full or still loading, is waited for as well.
UNREACHABLE = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True)
class Surroundings:
    """What all sources of one process share; `siblings` are their names, `recorders` those of the recorded ones.

    `ticks` takes what the sources say before anything of it is conflated.
    """

    client: "redis.Redis"
    store: WriteBehind
    clock: Clock
    interval: float
    batch_size: int
    siblings: frozenset[str]
    recorders: Mapping[str, FrameRecorder]
    alerts: AlertDesk
    ticks: TickRecorder


class Lead:
    """A source's leader.

    It is its runner's sink, so `events` and `state` only note what is to be done.

    Args:
        bus: the source's, with a lease that was just acquired.
        condition: how the source is, which outlives the lead.
        live: every source that is live anywhere, with what it refuses.
    """

    def __init__(
        self,
        source: Source,
        bus: FeedBus,
        surroundings: Surroundings,
        condition: Condition,
        live: Mapping[str, frozenset[str]],
    ) -> None:
        self.source = source
        self.name = source.name
        self.condition = condition
        self.refused: dict[str, str] = {}
        self._lowered: Mapping[str, Mode] = {}  # the source's symbols, as it says
        self.batcher = Batcher(
            self.name,
            stale_after=settings.REALTIME_CACHE_TIMEOUT,
            delayed_by=source.delayed_by,
            quotes_are_trades=source.quotes_are_trades,
            tells_trades="trades" in source.channels,
            has_own_clock=source.has_own_clock,
        )
        self._bus = bus
        self._surroundings = surroundings
        self._store = surroundings.store
        self._ticks = surroundings.ticks
        # Assets of which ticks are kept, by the source's symbols.
        self._kept: dict[str, int] = {}
        self._clock = surroundings.clock
        self._live = live
        self._runner: FeedRunner | None = None
        self._markets: dict[str, str] = {}
        self._account = AccountEvents(self.name)
        self._wanted: Mapping[str, Collection[str]] = {}
        self._calls = asyncio.Lock()  # the bus takes one call at a time
        self._wake = asyncio.Event()
        self._epoch_due = ""
        self._epoch_is_unused = True
        self._flush_seconds = settings.REALTIME_FLUSH_INTERVAL_MS / 1000
        self._symbols = SourceSymbols(
            source,
            self.batcher,
            surroundings.client,
            self._store,
            self._clock,
            siblings=surroundings.siblings,
            changed=self._symbols_changed,
            wake=self._wake.set,
        )
        self._jobs = SourceJobs(source, self.batcher, self.refused, take=self._take)

    @property
    def refused_symbols(self) -> dict[str, str]:
        """Our symbols that the vendor refuses, and why."""
        return self._ours(self.refused)

    def _ours(self, said: Mapping[str, str]) -> dict[str, str]:
        """Returns what the source says of its symbols by ours."""
        found = ((self.batcher.line_of(symbol), what) for symbol, what in said.items())
        return {line.listing.symbol: what for line, what in found if line is not None}

    # -- what the runner says

    def events(self, source: str, events: list[Event], received_at: datetime) -> None:
        monotonic = self._clock.monotonic()
        if self._kept:
            self._ticks.take(self.name, events, self._kept, received_at)
        for event in self.batcher.take(events, received_at, monotonic):
            match event:
                case Confirmed(symbols):
                    self.batcher.confirm(symbols, received_at, monotonic)
                case Gap():
                    self._gap(event)
                case Refused(symbols, reason):
                    self.refused.update(dict.fromkeys(symbols, reason))
                case Lowered(modes):
                    self._lowered = modes
                    self.condition.changed.set()
                case NewEpoch(reason):
                    self._restart(reason)
                case MarketStatus():
                    self._market_status(event)
                case AccountEvent():
                    self._account.put(event)
                    self._wake.set()
        if self.batcher.has_changes:
            self._wake.set()

    def _market_status(self, status: MarketStatus) -> None:
        if self._markets.get(status.market) != status.phase:
            self._markets[status.market] = status.phase
            self.condition.changed.set()

    def _take(self, events: list[Event]) -> None:
        self.events(self.name, events, self._clock.now())

    def state(self, source: str, state: FeedState, reason: str) -> None:
        if state == "live" and self.condition.state != "live":
            # The first connection continues nothing, and the lead has just begun an epoch for it.
            if not self._epoch_is_unused:
                self._restart(self.condition.reason or "connected again")
            self._epoch_is_unused = False
        self.condition.enter(state, reason)

    def _restart(self, reason: str) -> None:
        self.batcher.restart()
        self.begin_epoch(reason)

    def begin_epoch(self, reason: str) -> None:
        """Asks for a new epoch; it begins with the next flush."""
        self._epoch_due = reason
        self._wake.set()

    def _gap(self, gap: Gap) -> None:
        lines = self.batcher.lines.values()
        self.batcher.touch(
            [line.listing.symbol for line in lines if gap.symbol in (None, line.listing.source_symbol)]
        )
        log.warning("gap", extra={"source": self.name, "symbol": gap.symbol, "reason": gap.reason})
        self.condition.show_gap(f"gap in {gap.symbol or 'everything'}: {gap.reason}")

    # -- what the process says

    def tick(self) -> None:
        """What only the clock brings: sessions that roll, prices that grow stale, bars that close."""
        self.batcher.tick(self._clock.now(), self._clock.monotonic())
        if bars := self.batcher.take_bars():
            self._store.put([], [BarRow(*row, self.name) for row in bars])
        if self.batcher.has_changes:
            self._wake.set()

    def arbitrate(self, live: Mapping[str, frozenset[str]]) -> None:
        self._live = live
        self.batcher.arbitrate(live)
        if self.batcher.has_changes:
            self._wake.set()

    def clock_was_set(self) -> None:
        self._restart("the clock was set")

    # -- leading

    async def run(self) -> None:
        """Leads until it is cancelled, or until another process does, which raises Fenced."""
        self.condition.enter("connecting", "")
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
            self._surroundings.alerts.leave(self.batcher)
            await end(tasks)
            if not fenced:
                await self._leave()

    def _new_runner(self) -> FeedRunner:
        self._runner = FeedRunner(
            self.source.feed,
            self,
            clock=self._clock,
            recorder=self._surroundings.recorders.get(self.source.name),
            symbols=[line.listing.source_symbol for line in self.batcher.lines.values()],
            interval=self._surroundings.interval,
            batch_size=self._surroundings.batch_size,
        )
        self._ask_upstream()
        return self._runner

    def _work(self, runner: FeedRunner) -> list["asyncio.Task[None]"]:
        """Starts all that a leader does beside keeping its lease."""
        parts = {
            "flush": self._flush_forever(),
            "symbols": self._symbols.follow_forever(),
            "jobs": self._jobs_forever(),
            "bars": self._show_bars_forever(),
            "history": self._symbols.fill_history_forever(),
            "feed": runner.run(),
        }
        return [asyncio.create_task(part, name=f"{self.name} {name}") for name, part in parts.items()]

    async def _leave(self) -> None:
        """Sends what is left, says good-bye and gives up the lease; each in bounded time."""
        bars = [*self.batcher.take_bars(), *self.batcher.open_bars()]
        self._store.put([], [BarRow(*row, self.name) for row in bars])
        self.condition.enter("stopped", "the price feed was stopped")
        with suppress(*UNREACHABLE, StateLost, Fenced):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._flush()
                async with self._calls:
                    await self._bus.keep(BARS_KEY, self.batcher.take_shown_bars(self._clock.now()))
                    await self._bus.heartbeat(self._feed_status())
                    await self._bus.release()

    async def _keep(self) -> None:
        """Keeps the lease and says how the source is, each second and at each change."""
        wants_read_at = self._clock.monotonic()
        while True:
            self.condition.changed.clear()
            self.condition.forget_old_gap()
            try:
                async with self._calls:
                    if not self._epoch_due:
                        await self._bus.renew()
                    await self._bus.heartbeat(self._feed_status())
                    if self._clock.monotonic() - wants_read_at > WANTS_SECONDS:
                        wants_read_at = self._clock.monotonic()
                        self._bus.forget_wanted()
                    if not self._epoch_due:
                        # Wants that come while nothing moves are answered too.
                        self.batcher.send_again(await self._bus.read_wanted())
                        self._look_at_wants()
                if self.condition.redis_answered():
                    self.begin_epoch("Redis was away")
            except StateLost:
                self.begin_epoch("Redis lost its data")
                await self._clock.sleep(RETRY_SECONDS)
            except UNREACHABLE as error:
                self.condition.redis_failed(error)
                await self._clock.sleep(RETRY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self.condition.changed.wait()

    def _feed_status(self) -> FeedStatus:
        return FeedStatus(
            source=self.name,
            state=self.condition.state,
            since=wire_time(self.condition.since),
            reason=self.condition.reason,
            epoch=self._bus.epoch,
            modes=self.source.modes,
            channels=self.source.channels,
            markets=dict(self._markets),
            refused=self.refused_symbols,
            lowered=self._ours(self._lowered),
            symbols=len(self.batcher.lines),
            ticks=self.batcher.ticks,
            updates=self.condition.updates,
            rejected=self.batcher.rejected.total(),
        )

    # -- what it follows

    async def _prepare(self) -> None:
        """Takes up where the last leader stopped; waits for the database."""
        while True:
            try:
                await self._symbols.prepare()
                break
            except Exception as error:  # the driver's own errors are as many as the databases
                if self.condition.reason != WAITING:
                    log.error(WAITING, extra={"source": self.name, "error": repr(error)})
                self.condition.enter("connecting", WAITING)
                await self._clock.sleep(1.0)
        self.condition.enter("connecting", "")
        superseded: set[str] = set()
        with suppress(*UNREACHABLE):
            superseded = await self._symbols.superseded()
        self.batcher.begin(self._bus.epoch, superseded)
        await self._surroundings.alerts.enter(self.batcher)
        self._wake.set()

    def _symbols_changed(self, added: Iterable[Line], gone: Iterable[Line]) -> None:
        self.batcher.arbitrate(self._live)
        listings = [line.listing for line in self.batcher.lines.values()]
        self._kept = {one.source_symbol: one.asset_id for one in listings if self._ticks.wants(one.symbol)}
        for line in added:  # asked for again
            self.refused.pop(line.listing.source_symbol, None)
        if self._runner is not None:
            self._runner.remove_symbols(line.listing.source_symbol for line in gone)
            self._runner.add_symbols(line.listing.source_symbol for line in added)
        self._wanted = {}
        self._look_at_wants()

    # -- what is wanted of it

    def _look_at_wants(self) -> None:
        """Tells the batcher and the vendor what anybody wants now, if that has changed."""
        wanted = self._bus.wanted
        if wanted != self._wanted:
            self._wanted = wanted
            self.batcher.want(wanted)
            self._ask_upstream()
        self.batcher.tell_again(self._bus.take_joined())
        if self.batcher.has_changes:
            self._wake.set()

    def _ask_upstream(self) -> None:
        if self._runner is not None:
            lines = self.batcher.lines
            wants = {
                lines[symbol].listing.source_symbol: wants
                for symbol, wants in self._wanted.items()
                if symbol in lines
            }
            feed = self.source.feed
            base: Mode = feed.base_mode if isinstance(feed, Feed) else "quote"
            self._runner.set_modes(upstream_modes(wants, feed.modes, base))

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
                self.condition.redis_failed(error)
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
            await self._account.publish(self._bus, self.batcher)
            records = self.batcher.changed()
            if not records:
                return
            rows = self._rows(records)
            try:
                sent = await self._bus.publish(records, self.batcher.last, self.batcher.news)
            except BaseException:
                self.batcher.put_back(records)
                raise
            self._look_at_wants()
        self.condition.updates += len(records)
        self._store.put(rows)
        log.debug("flush", extra={"source": self.name, "changed": len(records), "sent": sent})

    async def _show_bars_forever(self) -> None:
        """Puts what is open of every symbol's bars into Redis, for those who ask over REST."""
        while True:
            await self._clock.sleep(BARS_SECONDS)
            texts = self.batcher.take_shown_bars(self._clock.now())
            try:
                async with self._calls:
                    await self._bus.keep(BARS_KEY, texts)
            except StateLost:
                self.batcher.put_back_bars(texts)
                self.begin_epoch("Redis lost its data")
            except UNREACHABLE as error:
                self.batcher.put_back_bars(texts)
                self.condition.redis_failed(error)

    async def _begin_epoch(self) -> None:
        reason = self._epoch_due
        await self._bus.new_epoch()
        self.batcher.begin(self._bus.epoch, await self._symbols.superseded())
        if self._epoch_due == reason:
            self._epoch_due = ""
        self.condition.changed.set()
        log.info("new epoch", extra={"source": self.name, "epoch": self._bus.epoch, "reason": reason})

    def _rows(self, symbols: Iterable[str]) -> list[PriceRow]:
        rows = []
        for symbol in symbols:
            line = self.batcher.lines[symbol]
            price = line.price_as_traded()
            if price is not None:
                rows.append(PriceRow(line.listing.asset_id, price, line.as_of, self.name, line.received_at))
        return rows

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
                self.condition.redis_failed(error)

    async def _do(self, job: Job) -> None:
        """Publishes again what is asked for: freshly fetched from a polled source, the last values of a stream."""
        updated, failed = await self._jobs.answer(job.symbols)
        await self._flush()
        async with self._calls:
            await self._bus.finish_job(job, updated, failed)
        log.info(
            "job done",
            extra={"source": self.name, "job": job.id, "updated": len(updated), "failed": len(failed)},
        )
