"""The ticks that are kept: what markets said of chosen assets, on its way to the database.

Taken as a source told them, before anything is conflated. A tick costs one append; rows wait in a bounded queue for the
feed's database thread, a batch at a time, and where that cannot keep up the oldest are dropped and counted.
"""

import logging
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError

from assets.market import BidAsk, Quote, Trade
from assets.models import Tick
from realtime.feeds.base import Clock, Event
from realtime.price_feed.write_behind import WriteBehind

log = logging.getLogger("personal_finance.realtime.feed")

EVERYTHING = "*"
# Half a minute of a very busy market, some 50 MB.
MOST_WAITING = 100_000
# Short enough for prices not to wait behind it.
ROWS_AT_ONCE = 1000
WRITE_SECONDS = 1.0
PRUNE_SECONDS = 600.0
PRUNED_AT_ONCE = 5000
LOG_AGAIN_SECONDS = 60.0
# A row is to blame, not the database: its asset is gone, a number is too large.
REFUSALS = (DataError, IntegrityError, ValidationError, ValueError, OverflowError)


class Said(NamedTuple):
    """What a source said; a row is made of it in the database's thread, because that costs fifty times as much."""

    source: str
    asset_id: int
    event: Trade | Quote | BidAsk
    received_at: datetime


class TickRecorder:
    """Ticks that wait to be written.

    Args:
        kept: our symbols of which ticks are kept; `*`: of all.
        limit: how many may wait.
    """

    def __init__(self, kept: Collection[str] = (), *, limit: int = MOST_WAITING) -> None:
        self.kept = frozenset(symbol.upper() for symbol in kept)
        self.written = self.dropped = 0
        self._limit = limit
        self._waiting: deque[Said] = deque()

    @property
    def is_on(self) -> bool:
        return bool(self.kept)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def wants(self, symbol: str) -> bool:
        return symbol in self.kept or EVERYTHING in self.kept

    def take(
        self, source: str, events: Iterable[Event], assets: Mapping[str, int], received_at: datetime
    ) -> None:
        """Takes what a source said; `assets` are the ids of those that are kept, by the source's symbols."""
        for event in events:
            if (
                isinstance(event, Trade | Quote | BidAsk)
                and (asset_id := assets.get(event.symbol)) is not None
            ):
                self._put(Said(source, asset_id, event, received_at))

    def _put(self, tick: Said) -> None:
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(tick)

    def next_batch(self) -> list[Said]:
        return [self._waiting.popleft() for _ in range(min(ROWS_AT_ONCE, len(self._waiting)))]

    def put_back(self, batch: list[Said]) -> None:
        """Lets a batch that could not be written wait again, before all others, as far as there is room."""
        room = max(0, self._limit - len(self._waiting))
        self.dropped += max(0, len(batch) - room)
        self._waiting.extendleft(reversed(batch[len(batch) - min(room, len(batch)) :]))


def _row(said: Said) -> Tick:
    event = said.event
    tick = Tick(asset_id=said.asset_id, source=said.source, as_of=event.as_of, received_at=said.received_at)
    match event:
        case Trade():
            tick.kind = Tick.Kind.TRADE
            tick.price, tick.quantity = event.price, event.quantity
            tick.side, tick.trade_id = event.side or "", event.trade_id[:64]
        case Quote():
            tick.price, tick.quantity = event.price, event.last_quantity
            tick.bid, tick.ask = event.bid, event.ask
        case BidAsk():
            tick.bid, tick.ask = event.bid, event.ask
    return tick


async def keep_ticks(recorder: TickRecorder, store: WriteBehind, clock: Clock, retention: timedelta) -> None:
    """Writes what waits, every second, and forgets what is too old, until it is cancelled."""
    pruned_at = logged_at = float("-inf")
    while True:
        try:
            if clock.monotonic() - pruned_at >= PRUNE_SECONDS:
                while await store.call(prune, clock.now() - retention) == PRUNED_AT_ONCE:
                    pass
                pruned_at = clock.monotonic()
            await write_waiting(recorder, store)
        except Exception as error:  # the driver's own errors are as many as the databases
            if clock.monotonic() - logged_at >= LOG_AGAIN_SECONDS:
                logged_at = clock.monotonic()
                log.warning(
                    "ticks wait for the database",
                    extra={"error": repr(error), "waiting": recorder.waiting, "dropped": recorder.dropped},
                )
        await clock.sleep(WRITE_SECONDS)


async def write_waiting(recorder: TickRecorder, store: WriteBehind) -> None:
    """Writes all that waits now; raises what the database raises, and then what was not written waits on.

    What comes meanwhile waits for the next time: a busy market would never let this end, a few rows at a time.
    """
    for _ in range(0, recorder.waiting, ROWS_AT_ONCE):
        batch = recorder.next_batch()
        try:
            written = await store.call(write, batch)
        except Exception:
            recorder.put_back(batch)
            raise
        recorder.written += written
        recorder.dropped += len(batch) - written


def write(batch: list[Said]) -> int:
    """Stores a batch; a tick that the database refuses is dropped and harms no other. Returns how many were stored."""
    try:
        return len(Tick.objects.bulk_create(map(_row, batch), batch_size=500))
    except REFUSALS:
        return sum(map(_write_alone, batch))


def _write_alone(said: Said) -> bool:
    try:
        _row(said).save(force_insert=True)
    except REFUSALS:
        return False
    return True


def prune(before: datetime) -> int:
    """Deletes the oldest of what came in before; returns how many, at most PRUNED_AT_ONCE."""
    old = Tick.objects.filter(received_at__lt=before).order_by("received_at").values_list("id", flat=True)
    return Tick.objects.filter(id__in=list(old[:PRUNED_AT_ONCE]))._raw_delete("default")
