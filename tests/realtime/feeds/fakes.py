"""What feed tests stand on: a clock that jumps, a sink that can be waited for, and a wire of given frames."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from assets.market import Quote, parse_decimal
from realtime.feeds.base import Connection, Event, Feed, FeedError, FeedState, Frame, FrameError, Mode, Wire

START = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)


class JumpingClock:
    """A clock whose sleeps take no time; it remembers them."""

    def __init__(self, now: datetime = START) -> None:
        self.start = now
        self.elapsed = 0.0
        self.sleeps: list[float] = []
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.elapsed += seconds
        self._slept.set()
        await asyncio.sleep(0)

    async def until_slept(self, times: int) -> None:
        async with asyncio.timeout(60):
            while len(self.sleeps) < times:
                self._slept.clear()
                await self._slept.wait()


class WaitingSink:
    """Keeps all that a runner says, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.all_events: list[Event] = []
        self.states: list[tuple[FeedState, str]] = []
        self._changed = asyncio.Event()

    def events(self, source: str, events: list[Event], received_at: datetime) -> None:
        self.all_events += events
        self._changed.set()

    def state(self, source: str, state: FeedState, reason: str) -> None:
        self.states.append((state, reason))
        self._changed.set()

    @property
    def state_names(self) -> list[FeedState]:
        """The states in their order, without repetitions."""
        names = [state for state, _ in self.states]
        return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]

    def quotes(self) -> list[Quote]:
        return [event for event in self.all_events if isinstance(event, Quote)]

    def last_prices(self) -> dict[str, str]:
        return {quote.symbol: str(quote.price) for quote in self.quotes()}

    async def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


Step = bytes | FeedError


class ScriptedWire:
    """Each opening plays the next script: frames, or an error; after its last one it stays silent."""

    def __init__(self, scripts: Iterable[Sequence[Step]]) -> None:
        self.scripts = [list(script) for script in scripts]
        self.sent: list[list[Frame]] = []
        self._changed = asyncio.Event()
        self._connection = ScriptedConnection([], [], self._changed)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connection]:
        sent: list[Frame] = []
        self.sent.append(sent)
        self._connection = ScriptedConnection(
            self.scripts.pop(0) if self.scripts else [], sent, self._changed
        )
        yield self._connection

    def drop(self, error: FeedError) -> None:
        """Ends the open connection."""
        self._connection.steps.append(error)
        self._changed.set()

    async def until_sent(self, frames: int) -> None:
        """Waits until so many frames were sent on this connection."""
        async with asyncio.timeout(30):
            while len(self._connection.sent) < frames:
                self._changed.clear()
                await self._changed.wait()


class ScriptedConnection:
    def __init__(self, steps: list[Step], sent: list[Frame], changed: asyncio.Event) -> None:
        self.steps = steps
        self.sent = sent
        self._changed = changed

    async def receive(self) -> bytes:
        while not self.steps:
            self._changed.clear()
            await self._changed.wait()
        await asyncio.sleep(0)
        step = self.steps.pop(0)
        if isinstance(step, FeedError):
            raise step
        return step

    async def send(self, frame: Frame) -> None:
        self.sent.append(frame)
        self._changed.set()


class PlainFeed(Feed):
    """A feed of a made-up vendor: a frame is `SYMBOL PRICE`."""

    source = "plain"
    modes: frozenset[Mode] = frozenset({"ltpc"})

    def __init__(
        self, wire: Wire, symbols: Iterable[str] = ("A",), silence_after: float | None = None
    ) -> None:
        self._wire = wire
        self.symbols = tuple(symbols)
        self.silence_after = silence_after

    def wire(self) -> Wire:
        return self._wire

    def opened(self, symbols: Iterable[str]) -> list[str]:
        return [f"open {','.join(symbols)}"]

    def subscribe(self, symbols: Iterable[str]) -> list[str]:
        return [f"add {','.join(symbols)}"]

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        return [f"drop {','.join(symbols)}"]

    def decode(self, frame: bytes) -> list[Event]:
        if frame == b"bug":
            raise KeyError("price")
        if frame == b"nothing":
            return []
        if frame == b"denied":
            raise FeedError("wrong key", permanent=True)
        symbol, _, price = frame.decode().partition(" ")
        if not price:
            raise FrameError("no_price", "expected a price")
        return [make_quote(symbol, price)]


def make_quote(symbol: str = "A", price: str = "1") -> Quote:
    return Quote(symbol=symbol, price=parse_decimal(price), as_of=START)
