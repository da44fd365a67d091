"""How one source is in this process: its state, why and since when, what was sent, whether Redis answers.

Only what is said of it; what follows from it is its lead's to do. A gap is shown for a while and then
forgotten, where every other reason holds until the state changes.
"""

import asyncio
import logging

from realtime.bus import SourceState
from realtime.feeds.base import Clock

log = logging.getLogger("personal_finance.realtime.feed")

GAP_SHOWN_SECONDS = 5.0


class Condition:
    """A source's state; `changed` is set when it is worth a heartbeat of its own."""

    def __init__(self, source: str, clock: Clock) -> None:
        self.state: SourceState = "connecting"
        self.reason = ""
        self.since = clock.now()
        self.updates = 0
        self.changed = asyncio.Event()
        self._source = source
        self._clock = clock
        self._gap_ends = 0.0
        self._trouble = ""

    def enter(self, state: SourceState, reason: str) -> None:
        if state != self.state:
            self.since = self._clock.now()
            log.info("source changed", extra={"source": self._source, "state": state, "reason": reason})
        self.state, self.reason = state, reason
        self.changed.set()

    def show_gap(self, reason: str) -> None:
        self._gap_ends = self._clock.monotonic() + GAP_SHOWN_SECONDS
        if self.state == "live":
            self.reason = reason
            self.changed.set()

    def forget_old_gap(self) -> None:
        if self._gap_ends and self._clock.monotonic() > self._gap_ends:
            self._gap_ends = 0.0
            if self.state == "live":
                self.reason = ""

    def redis_failed(self, error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}"
        if not self._trouble:
            log.error("Redis does not answer", extra={"source": self._source, "error": text})
        self._trouble = text

    def redis_answered(self) -> bool:
        """Returns whether Redis was away until now."""
        if not self._trouble:
            return False
        log.info("Redis answers again", extra={"source": self._source})
        self._trouble = ""
        return True
