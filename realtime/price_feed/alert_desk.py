"""Where alerts meet prices in a feed process: which lines are watched, what is written, and what is announced.

A price is evaluated in the batcher, in whichever process publishes its asset; here is all that may wait. A firing is
delivered only from its row in the database, so that one that was written before a crash is delivered after it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import redis.asyncio as redis
from redis.exceptions import RedisError

from assets.redistribution import owner_id, viewer_of_id
from realtime.alerts.changes import read_changes
from realtime.alerts.rules import Change, StoredAlert
from realtime.alerts.store import (
    Announcement,
    claim_announcements,
    load,
    note_announced,
    watched_assets,
    write,
)
from realtime.bus import tell_web
from realtime.feeds.base import Clock
from realtime.price_feed.alert_webhooks import WebhookSender
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.line_alerts import LineAlerts
from realtime.price_feed.lines import Line
from realtime.price_feed.tasks import end, first_failure
from realtime.price_feed.write_behind import WriteBehind
from realtime.protocol import wire_time

log = logging.getLogger("personal_finance.realtime.alerts")

# How late a new alert is watched at the most.
LOOK_SECONDS = 1.0
# How late, when Redis did not tell of it; and splits, users and assets may be deleted beside us.
RELOAD_SECONDS = 30.0
# How late a firing is announced that another process has left.
ANNOUNCE_SECONDS = 5.0
RETRY_SECONDS = 1.0
LAST_WRITE_SECONDS = 1.0
TOGETHER = 200
# Then the database has been away for long; what is left out is found in it when it is back.
CHANGES_WAITING = 20_000


class _Watched(NamedTuple):
    """A line that was looked at, with its alerts if it has any."""

    line: Line
    alerts: LineAlerts | None


class AlertDesk:
    """The alerts of one feed process.

    Args:
        client: Redis, for what has changed.
        layer: the channel layer, for frames.
        store: the process's database thread.
    """

    def __init__(self, client: "redis.Redis", layer: Any, store: WriteBehind, clock: Clock) -> None:
        self._client = client
        self._layer = layer
        self._store = store
        self._clock = clock
        self._webhooks = WebhookSender(store, clock)
        self._batchers: dict[Batcher, dict[str, _Watched]] = {}
        self._watched: set[int] = set()
        self._outdated: set[int] = set()
        self._owner: int | None = None
        self._seen = -1
        self._loaded_at = float("-inf")
        self._changes: deque[Change] = deque()
        self._wake = asyncio.Event()
        self._announce = asyncio.Event()

    # -- whose prices

    async def enter(self, batcher: Batcher) -> None:
        """Watches a source's lines from their first tick on; a database that is away is asked again later."""
        self._batchers[batcher] = {}
        with suppress(Exception):
            self._watched = await self._store.call(watched_assets)
            await self._attach()

    def leave(self, batcher: Batcher) -> None:
        for known in self._batchers.pop(batcher, {}).values():
            known.line.watcher = None

    # -- life

    async def run(self) -> None:
        """Watches, writes and delivers until it is cancelled."""
        parts = (self._look_forever(), self._write_forever(), self._announce_forever(), self._webhooks.run())
        tasks = [asyncio.create_task(part, name="alerts") for part in parts]
        try:
            await first_failure(tasks)
        finally:
            await end(tasks)
            with suppress(Exception):
                async with asyncio.timeout(LAST_WRITE_SECONDS):
                    await self._write()

    async def _look_forever(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except Exception as error:  # a database that is away is tried again; the ticks go on
                log.warning("alerts not read", extra={"error": repr(error)})

    async def _look(self) -> None:
        """Reads what has changed, everything now and then, and what has come to be published here."""
        seen = self._seen
        changed: set[int] | None = set()
        with suppress(RedisError, OSError, TimeoutError):
            seen, changed = await read_changes(self._client, self._seen)
        if changed is None or self._clock.monotonic() - self._loaded_at >= RELOAD_SECONDS:
            watched = await self._store.call(watched_assets)
            changed = self._watched | watched
            self._watched, self._loaded_at = watched, self._clock.monotonic()
        self._seen = seen
        self._watched |= changed
        self._outdated |= changed
        await self._attach()

    async def _attach(self) -> None:
        """Reads the alerts of lines whose alerts are not those of the database any more, or that are new here."""
        wanted = {line.listing.asset_id for source, line in self._lines() if self._needs_alerts(source, line)}
        outdated, self._outdated = self._outdated, set()
        try:
            self._owner = await self._store.call(owner_id) if wanted else self._owner
            # Last: what is written after it waits still when it is looked at here.
            found = await self._store.call(load, sorted(wanted), self._clock.now()) if wanted else {}
        except BaseException:
            self._outdated |= outdated
            raise
        # What is still to be written would be undone by what was read before it.
        waiting = {change.asset_id for change in self._changes}
        self._outdated |= waiting & wanted
        for batcher, line in self._lines():
            asset_id = line.listing.asset_id
            if not line.is_owned:
                self._unwatch(batcher, line)
            elif asset_id in wanted and asset_id not in waiting:
                self._watch(batcher, line, found.get(asset_id, ()))

    def _lines(self) -> list[tuple[Batcher, Line]]:
        return [(batcher, line) for batcher in self._batchers for line in batcher.lines.values()]

    def _needs_alerts(self, batcher: Batcher, line: Line) -> bool:
        asset_id = line.listing.asset_id
        if not line.is_owned or asset_id not in self._watched:
            return False
        known = self._batchers[batcher].get(line.listing.symbol)
        return known is None or known.line is not line or asset_id in self._outdated

    def _watch(self, batcher: Batcher, line: Line, stored: Iterable[StoredAlert]) -> None:
        stored = [one for one in stored if self.may_see(one.user_id, batcher.source)]
        watched, symbol = self._batchers[batcher], line.listing.symbol
        known = watched[symbol].alerts if symbol in watched else None
        alerts = LineAlerts(line, stored, batcher.source, self._changed, known) if stored else None
        line.watcher = alerts.take if alerts is not None else None
        if alerts is not None and known is None:
            log.info(
                "alerts watched", extra={"source": batcher.source, "symbol": symbol, "count": len(stored)}
            )
        watched[symbol] = _Watched(line, alerts)

    def _unwatch(self, batcher: Batcher, line: Line) -> None:
        """Another source publishes the asset: what is known here of its alerts grows old."""
        self._batchers[batcher].pop(line.listing.symbol, None)
        line.watcher = None

    def may_see(self, user_id: int, source: str) -> bool:
        """Whether a source's prices may fire this user's alerts. The one place where an alert is left out."""
        return viewer_of_id(user_id, self._owner).sees(source)

    # -- what prices change

    def _changed(self, change: Change) -> None:
        if len(self._changes) >= CHANGES_WAITING:
            log.error("an alert's change was given up: the database is away for too long")
            self._outdated.add(change.asset_id)
            return
        self._changes.append(change)
        self._wake.set()

    async def _write_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._changes:
                try:
                    await self._write()
                except Exception as error:  # they wait, in their order
                    log.warning(
                        "alerts not written", extra={"error": repr(error), "waiting": len(self._changes)}
                    )
                    await self._clock.sleep(RETRY_SECONDS)

    async def _write(self) -> None:
        changes = [self._changes[i] for i in range(min(len(self._changes), TOGETHER))]
        written = await self._store.call(write, changes)
        for _ in changes:
            self._changes.popleft()
        self._outdated |= written.outdated
        if written.fired:
            self._announce.set()
            self._webhooks.wake()

    # -- what is told

    async def _announce_forever(self) -> None:
        while True:
            self._announce.clear()
            try:
                while await self._announce_some():
                    pass
            except Exception as error:  # the outbox keeps them
                log.warning("alerts not announced", extra={"error": repr(error)})
            with suppress(TimeoutError):
                async with asyncio.timeout(ANNOUNCE_SECONDS):
                    await self._announce.wait()

    async def _announce_some(self) -> bool:
        """Tells the web processes of firings that nobody has told them of; returns whether there were any."""
        claimed = await self._store.call(claim_announcements, self._clock.now())
        told: list[int] = []
        try:
            for one in claimed:
                await tell_web(self._layer, message_of(one))
                told.append(one.firing_id)
        finally:
            if told:
                await self._store.call(note_announced, told, self._clock.now())
        return bool(claimed)


def message_of(announcement: Announcement) -> dict[str, Any]:
    """Returns what the layer carries, all of it text: it knows neither decimals nor times."""
    alert = {
        name: wire_time(value) if name in ("as_of", "fired_at") else value
        for name, value in announcement.alert.items()
    }
    texts = {name: None if alert[name] is None else f"{alert[name]:f}" for name in DECIMALS}
    return {"type": "alert.fired", "user_id": announcement.user_id, "alert": alert | texts}


DECIMALS = ("threshold", "price", "reference")
