"""A recording played back as a feed, through the decoder of the vendor that it came from.

A recording is one line a frame: the arrival time in seconds since the epoch, a tab, the frame's text unchanged, or
`base64:` and the bytes of a binary one.
Times inside the frames stay as they are: a replayed price is as old as it says. Each round of a loop is a new
connection to whoever watches, and so a new epoch.
"""

import asyncio
import base64
import binascii
import math
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from assets.market import AccountEvent, Bar, BidAsk, Book, Depth, Quote, Trade
from realtime.feeds.base import (
    Clock,
    Connection,
    Event,
    Feed,
    FeedError,
    Frame,
    FrameError,
    RecordingEnded,
    Refused,
    Send,
    SystemClock,
    Wire,
)
from realtime.feeds.recorder import BINARY

# What makes a symbol one of the recording.
PRICED = Quote | Trade | BidAsk | Depth | Book | Bar
# What a decoder says that is nobody's business but of the one who recorded: answers, refusals, the own account.
PRIVATE = Send | Refused | AccountEvent
# Between two rounds of a loop: the last prices are to be seen, and a short recording must not spin.
ROUND_PAUSE_SECONDS = 1.0
# A recording that is behind its time, or played very fast, lets others of the loop run after so many frames.
FRAMES_WITHOUT_PAUSE = 64


def read_recording(path: Path) -> Iterator[tuple[float, bytes]]:
    """Yields each frame with its arrival time.

    A last line that was cut off in the middle (its recorder was killed) is left out.

    Raises:
        FeedError: no such file, nothing in it, or a line that is not of a recording; always permanent.
    """
    try:
        with path.open("rb") as lines:
            number = 0
            for number, line in enumerate(lines, 1):
                seconds, tab, frame = line.rstrip(b"\r\n").partition(b"\t")
                if not tab and not line.endswith(b"\n") and number > 1:
                    return
                yield _arrival(path, number, seconds, tab, frame), _decoded(path, number, frame)
            if not number:
                raise FeedError(f"expected a recording in {path}, was an empty file", permanent=True)
    except OSError as error:
        raise FeedError(f"cannot read the recording {path}: {error.strerror}", permanent=True) from error


def _arrival(path: Path, number: int, seconds: bytes, tab: bytes, frame: bytes) -> float:
    try:
        arrived = float(seconds)
    except ValueError:
        arrived = math.nan
    if not tab or not frame or not math.isfinite(arrived):
        shown = (seconds + tab + frame)[:60]
        raise FeedError(
            f"{path} line {number}: expected seconds, a tab and a frame, was {shown!r}", permanent=True
        )
    return arrived


def _decoded(path: Path, number: int, frame: bytes) -> bytes:
    if not frame.startswith(BINARY):
        return frame
    try:
        return base64.b64decode(frame.removeprefix(BINARY), validate=True)
    except binascii.Error as error:
        shown = frame[:60]
        raise FeedError(
            f"{path} line {number}: expected a frame in base64, was {shown!r}", permanent=True
        ) from error


class Survey(msgspec.Struct, frozen=True):
    """What a recording holds."""

    frames: int
    bad_frames: int
    seconds: float
    symbols: tuple[str, ...]


def survey(path: Path, vendor: Feed) -> Survey:
    """Reads a whole recording once, so that a wrong file is refused before anything is started.

    Raises:
        FeedError: as `read_recording`.
    """
    feed = ReplayFeed(path, vendor)
    feed.opened({})
    symbols: dict[str, None] = {}
    frames = bad = 0
    first = last = 0.0
    for arrived, frame in read_recording(path):
        first = first if frames else arrived
        last = arrived
        frames += 1
        try:
            events = feed.decode(frame)
        except FrameError:
            bad += 1
            continue
        symbols.update((event.symbol, None) for event in events if isinstance(event, PRICED))
    return Survey(frames=frames, bad_frames=bad, seconds=max(0.0, last - first), symbols=tuple(symbols))


class RecordingWire:
    """A wire that brings the frames of a file.

    Args:
        speed: 2 plays twice as fast.
        loop: say at the end that it begins again.
    """

    def __init__(self, path: Path, *, speed: float, loop: bool, clock: Clock) -> None:
        self._path = path
        self._speed = speed
        self._loop = loop
        self._clock = clock
        self._frames: Iterator[tuple[float, bytes]] = iter(())
        self._begun: tuple[float, float] | None = None
        self._without_pause = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connection]:
        self._frames = read_recording(self._path)
        self._begun = None
        yield self

    async def receive(self) -> bytes:
        entry = next(self._frames, None)
        if entry is None:
            if self._loop:
                await self._clock.sleep(ROUND_PAUSE_SECONDS)
            raise RecordingEnded(again=self._loop)
        arrived, frame = entry
        now = self._clock.monotonic()
        if self._begun is None:
            self._begun = (now, arrived)
        # Counted from the beginning, so that small delays do not add up.
        wait = self._begun[0] + (arrived - self._begun[1]) / self._speed - now
        self._without_pause += 1
        if wait > 0:
            self._without_pause = 0
            await self._clock.sleep(wait)
        elif self._without_pause >= FRAMES_WITHOUT_PAUSE:
            self._without_pause = 0
            await asyncio.sleep(0)
        return frame

    async def send(self, frame: Frame) -> None:
        """A recording takes no questions."""


class ReplayFeed(Feed):
    """A recording as a feed. It sends whatever the recording holds, whichever symbols are asked for.

    Args:
        path: the recording.
        vendor: the feed whose decoder understands it.
        speed: 2 plays twice as fast.
        loop: begin again at the end, as a new epoch.
    """

    source: str = "replay"
    needs_symbols = False
    silence_after = None  # a recording may be quiet for as long as its market was

    def __init__(
        self,
        path: str | Path,
        vendor: Feed,
        *,
        speed: float = 1.0,
        loop: bool = False,
        clock: Clock | None = None,
    ) -> None:
        if not (speed > 0 and math.isfinite(speed)):
            raise ValueError(f"expected a speed above 0, was {speed}")
        self.path = Path(path)
        self.modes, self.channels = vendor.modes, vendor.channels
        self._vendor = vendor
        self._speed = speed
        self._loop = loop
        self._clock = clock or SystemClock()

    def wire(self) -> Wire:
        return RecordingWire(self.path, speed=self._speed, loop=self._loop, clock=self._clock)

    def opened(self, symbols: Iterable[str]) -> list[str]:
        self._vendor.opened({})
        return []

    def subscribe(self, symbols: Iterable[str]) -> list[str]:
        return []

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        return []

    def decode(self, frame: bytes) -> list[Event]:
        try:
            events = self._vendor.decode(frame)
        except FrameError:
            raise
        except FeedError as error:
            # What refused the one who recorded does not refuse us.
            raise FrameError("recorded_error", str(error)) from error
        if any(isinstance(event, PRIVATE) for event in events):
            return [event for event in events if not isinstance(event, PRIVATE)]
        return events
