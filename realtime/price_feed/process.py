"""The price feed: all sources that one process follows, and what they share.

Each source is led by one process of all that run, and the others stand by. Owned here: the connections, the database
thread, the clock that every source lives by, who publishes an asset that several sources price, and stopping.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import redis.asyncio as redis
from django.conf import settings

from realtime.bus import LEASE_SECONDS, FeedBus, is_live, new_layer, new_redis, read_feeds
from realtime.feeds.base import Clock, FrameRecorder, SystemClock
from realtime.price_feed.alert_desk import AlertDesk
from realtime.price_feed.calendar_upkeep import keep_calendars
from realtime.price_feed.notify import notify
from realtime.price_feed.source_feed import SourceFeed
from realtime.price_feed.source_lead import UNREACHABLE, Surroundings
from realtime.price_feed.sources import Source
from realtime.price_feed.ticks import TickRecorder, keep_ticks, write_waiting
from realtime.price_feed.upkeep import keep_up
from realtime.price_feed.write_behind import WriteBehind

log = logging.getLogger("personal_finance.realtime.feed")

SECOND = 1.0
# Wall and monotonic time drift apart by less than this unless somebody sets the clock.
CLOCK_JUMP_SECONDS = 5.0
# For the waiting rows, then for the connections: a part of the four seconds that leaving may take.
CLOSE_SECONDS = 1.0


def process_name() -> str:
    """Returns a name that no other feed process has, however machines and process ids repeat."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class PriceFeed:
    """All sources of one process, and what they share.

    Args:
        sources: what to follow.
        interval: seconds between two polls of a polled source, and between two status lines.
        batch_size: how many symbols of a polled source are asked for at once.
        recorders: get the frames of the sources of their names.
        clock: replaced by tests.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        interval: float,
        batch_size: int,
        recorders: Mapping[str, FrameRecorder] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._sources = sources
        self._interval = interval
        self._batch_size = batch_size
        self._recorders = recorders or {}
        self._clock = clock or SystemClock()
        self._stopped = asyncio.Event()
        self._store = WriteBehind()
        self._ticks = TickRecorder(settings.TICKS_KEPT)
        self.feeds: list[SourceFeed] = []

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        """Runs until it is stopped, even with sources that only a person can mend: they are shown as failed."""
        async with self._connections() as (client, layer):
            owner = process_name()
            alerts = AlertDesk(client, layer, self._store, self._clock)
            surroundings = Surroundings(
                client,
                self._store,
                self._clock,
                interval=self._interval,
                batch_size=self._batch_size,
                siblings=frozenset(source.name for source in self._sources),
                recorders=self._recorders,
                alerts=alerts,
                ticks=self._ticks,
            )
            retention = timedelta(hours=settings.TICKS_RETENTION_HOURS)
            self.feeds = [
                SourceFeed(source, FeedBus(source.name, owner, client, layer), surroundings)
                for source in self._sources
            ]
            log.info(
                "price feed started", extra={"sources": [feed.name for feed in self.feeds], "owner": owner}
            )
            jobs = [asyncio.create_task(feed.run(), name=feed.name) for feed in self.feeds]
            jobs += [
                asyncio.create_task(self._every_second(client), name="seconds"),
                asyncio.create_task(self._report_forever(), name="status line"),
                asyncio.create_task(keep_up(self._clock), name="upkeep"),
                asyncio.create_task(alerts.run(), name="alerts"),
                asyncio.create_task(keep_calendars(self._store, self._clock), name="calendars"),
                asyncio.create_task(
                    keep_ticks(self._ticks, self._store, self._clock, retention), name="ticks"
                ),
            ]
            stopped = asyncio.create_task(self._stopped.wait())
            try:
                done, _ = await asyncio.wait([*jobs, stopped], return_when=asyncio.FIRST_COMPLETED)
            finally:
                notify("STOPPING=1")
                for feed in self.feeds:
                    feed.stopping = True
                for job in (*jobs, stopped):
                    job.cancel()
                await asyncio.gather(*jobs, stopped, return_exceptions=True)
                await self._write_last_ticks()
            for job in done - {stopped}:
                job.result()  # only a bug ends one
            log.info("price feed stopped")

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[tuple["redis.Redis", Any]]:
        client, layer = new_redis(), new_layer()
        self._store.start()
        try:
            yield client, layer
        finally:
            self._store.close(CLOSE_SECONDS)
            with suppress(*UNREACHABLE):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await layer.flush()
                    await client.aclose()

    async def _write_last_ticks(self) -> None:
        with suppress(Exception):  # of the database, which has been named before
            async with asyncio.timeout(CLOSE_SECONDS):
                await write_waiting(self._ticks, self._store)

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
            notify("WATCHDOG=1")
            await self._clock.sleep(SECOND)

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
            ticks = {"ticks_kept": self._ticks.written, "ticks_dropped": self._ticks.dropped}
            more = ticks if self._ticks.is_on else {}
            log.info(
                line, extra={"written": self._store.written, "database_error": self._store.error, **more}
            )
            notify(f"STATUS={line}")
