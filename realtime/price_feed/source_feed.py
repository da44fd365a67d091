"""One source in one process: standing by while another process leads it, and leading it otherwise.

Each source is led by one process of all that run. What a leader knows belongs to its lead and ends with it; here is
what outlasts it: how the source is, and which sources are live anywhere.
"""

import logging
from collections.abc import Mapping

from realtime.bus import FeedBus, Fenced
from realtime.price_feed.source_condition import Condition
from realtime.price_feed.source_lead import UNREACHABLE, Lead, Surroundings
from realtime.price_feed.sources import Source

log = logging.getLogger("personal_finance.realtime.feed")

STANDBY_SECONDS = 0.5


class SourceFeed:
    """A source's life in this process, as its process sees it."""

    def __init__(self, source: Source, bus: FeedBus, surroundings: Surroundings) -> None:
        self.source = source
        self.name = source.name
        self.condition = Condition(source.name, surroundings.clock)
        self.stopping = False
        self._bus = bus
        self._surroundings = surroundings
        self._clock = surroundings.clock
        self._lead: Lead | None = None
        # Every source that is live anywhere, with what it refuses.
        self._live: Mapping[str, frozenset[str]] = {}

    @property
    def leads(self) -> bool:
        return self._lead is not None

    @property
    def is_live(self) -> bool:
        return self.leads and self.condition.state == "live"

    @property
    def refused_symbols(self) -> frozenset[str]:
        return frozenset(self._lead.refused_symbols) if self._lead is not None else frozenset()

    async def run(self) -> None:
        """Stands by, leads, and stands by again, until it is cancelled."""
        while not self.stopping:
            try:
                if await self._stand_by():
                    await self._run_lead()
            except Fenced:
                log.warning("another process leads now", extra={"source": self.name})

    async def _stand_by(self) -> bool:
        """Waits for the lease; returns whether this process has it now."""
        while not self.stopping:
            try:
                leads = await self._bus.acquire()
                self.condition.redis_answered()
                if leads:
                    log.info("leading", extra={"source": self.name, "epoch": self._bus.epoch})
                    return True
                if self.condition.state != "standby":
                    self.condition.enter("standby", "another process leads")
                    log.info("standing by: another process leads", extra={"source": self.name})
            except UNREACHABLE as error:
                self.condition.redis_failed(error)
            await self._clock.sleep(STANDBY_SECONDS)
        return False

    async def _run_lead(self) -> None:
        self._lead = Lead(self.source, self._bus, self._surroundings, self.condition, self._live)
        try:
            await self._lead.run()
        finally:
            self._lead = None

    # -- what the process says

    def tick(self) -> None:
        if self._lead is not None:
            self._lead.tick()

    def arbitrate(self, live: Mapping[str, frozenset[str]]) -> None:
        if live == self._live:
            return
        self._live = live
        if self._lead is not None:
            self._lead.arbitrate(live)

    def clock_was_set(self) -> None:
        if self._lead is not None:
            self._lead.clock_was_set()

    def summary(self) -> str:
        """How the source is, in a few words."""
        if self._lead is None:
            return f"{self.name}: {self.condition.state}"
        batcher, last = self._lead.batcher, self._lead.batcher.last_tick_at
        age = "no tick yet" if last is None else f"last tick {self._clock.monotonic() - last:.1f} s ago"
        return (
            f"{self.name}: {self.condition.state}, {len(batcher.lines)} symbols, {batcher.ticks} ticks, "
            f"{self.condition.updates} updates, {batcher.rejected.total()} rejected, {age}"
        )
