"""The simulated market as a feed, so that there is something to look at on a Sunday night.

The tick number comes from the clock: a restarted simulator goes on where the clock is. Its wire brings nothing but
the time, and its frames are stretches of time; decoding one gives the ticks that were due in it.
"""

import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta

from realtime.feeds.base import (
    Channel,
    Clock,
    Connection,
    Event,
    Feed,
    Frame,
    FrameError,
    Mode,
    Refused,
    SystemClock,
    Wire,
)
from realtime.feeds.simulated_market import DEMO, ORIGIN, PAIRS, Instrument, Path, SimulatedMarket, symbols

__all__ = ["DEMO", "PAIRS", "Instrument", "SimulatedMarket", "SimulatorFeed", "symbols"]

# One wake-up of the loop costs about as much as five ticks, so that busier markets get several at a time.
SHORTEST_WAIT_SECONDS = 0.001
# A longer stall (a suspended laptop, a stopped process) is skipped: a burst of old ticks helps nobody.
_STALL_MICROS = 1_000_000
# At a start in mid-day: so many samples in all seed the highs and lows, 0.2 s for the demo's twelve.
DAY_SAMPLES = 20_000
LARGEST_FRAME_TICKS = 1_000_000
_MICROSECOND = timedelta(microseconds=1)


class ClockWire:
    """A wire that brings only the time: frames of `from to`, microseconds since ORIGIN, open on the left.

    Args:
        next_due: given seconds since ORIGIN, returns when something is due after that.
        look_back: seconds that the first frame covers.
    """

    def __init__(self, clock: Clock, next_due: Callable[[float], float], look_back: float) -> None:
        self._clock = clock
        self._next_due = next_due
        self._begun = False
        self._shown_until = self._now() - round(look_back * 1e6)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connection]:
        yield self

    def _now(self) -> int:
        return (self._clock.now() - ORIGIN) // _MICROSECOND

    async def receive(self) -> bytes:
        now = self._now()
        if self._shown_until - now > _STALL_MICROS:
            self._shown_until = now  # the clock was set back; waiting for it to come round would take as long
        begin, due = self._shown_until, round(self._next_due(self._shown_until / 1e6) * 1e6)
        stalled = self._begun and now - due > _STALL_MICROS
        wanted = max(now, due)
        # One that is behind by a little lets the others of this loop run too, then catches up in one frame.
        await self._clock.sleep(max((wanted - now) / 1e6, SHORTEST_WAIT_SECONDS))
        now = self._now()
        if stalled or now - wanted > _STALL_MICROS or now < begin:
            begin = now
        self._begun, self._shown_until = True, now
        return b"%d %d" % (begin, now)

    async def send(self, frame: Frame) -> None:
        """The time takes no questions."""


class SimulatorFeed(Feed):
    """The simulated market as a feed.

    Args:
        instruments: what it knows; `symbols(count)` makes them.
        rate: ticks a second for each symbol.
        seed: another seed is another market.
        clock: where the time comes from.
        depth: also give five levels of depth with each tick.
    """

    source: str = "simulator"
    modes: frozenset[Mode] = frozenset({"ltpc", "quote", "full"})
    channels: frozenset[Channel] = frozenset({"bars", "trades", "book"})
    silence_after = None  # a clock cannot fall silent

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        rate: float = 1.0,
        seed: str | int = 0,
        clock: Clock | None = None,
        depth: bool = True,
    ) -> None:
        self.market = SimulatedMarket(instruments, rate=rate, seed=seed)
        self.rate = rate
        self.symbols = tuple(self.market.instruments)
        self._clock = clock or SystemClock()
        self._depth = depth
        self._active: list[Path] = []
        self._unknown: list[str] = []

    def wire(self) -> Wire:
        # The first frame shows each symbol once, so that nobody waits for the first tick of a slow market.
        return ClockWire(self._clock, self._next_due, 1 / self.rate)

    def _next_due(self, seconds: float) -> float:
        rate = self.rate * max(1, len(self._active))
        return (math.floor(seconds * rate) + 1) / rate

    def opened(self, symbols: Iterable[str]) -> list[str]:
        self._active = []
        self._unknown = []
        frames = self.subscribe(symbols)
        for path in self._active:
            path.forget_day()
        return frames

    def subscribe(self, symbols: Iterable[str]) -> list[str]:
        known = {path.symbol for path in self._active}
        for symbol in symbols:
            if symbol not in self.market.instruments:
                self._unknown.append(symbol)
            elif symbol not in known:
                self._active.append(self.market.path(symbol))
        return []

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        gone = set(symbols)
        self._active = [path for path in self._active if path.symbol not in gone]
        return []

    def decode(self, frame: bytes) -> list[Event]:
        """Gives the ticks due in a stretch of time: `186364800000000 186364800250000`."""
        try:
            begin, end = map(int, frame.split())
        except ValueError as error:
            raise FrameError("no_times", "expected two numbers of microseconds") from error
        events: list[Event] = []
        if self._unknown:
            events.append(Refused(tuple(self._unknown), "the simulator does not know this symbol"))
            self._unknown = []
        count = len(self._active)
        if not count:
            return events
        # Tick g of the whole market is tick g // count of symbol g % count: evenly spaced across symbols.
        rate = self.rate * count
        first, last = math.floor(begin / 1e6 * rate) + 1, math.floor(end / 1e6 * rate)
        if last - first > LARGEST_FRAME_TICKS:
            raise FrameError("too_long", f"expected at most {LARGEST_FRAME_TICKS} ticks, was {last - first}")
        samples = min(max(24, DAY_SAMPLES // count), 24 * 60)
        for number in range(first, last + 1):
            tick, index = divmod(number, count)
            due = ORIGIN + timedelta(0, 0, round(number / rate * 1e6))
            events += self._active[index].tick(tick, due, samples, depth=self._depth)
        return events
