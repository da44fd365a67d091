"""The runner of a feed: socket, watchdog, back-off, resubscription, and the decision permanent or not.

It knows no Redis, no settings and no asset; it hands a vendor's own symbols to its `Sink`. A connection is
"live" only when data flows, not when it opens; the back-off begins anew only then, so that a vendor who accepts
and drops us is not hammered.
"""

import asyncio
import logging
import random as random_module
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from realtime.feeds.base import (
    DATA_EVENTS,
    Clock,
    Connection,
    Event,
    Feed,
    FeedError,
    FeedState,
    Frame,
    FrameError,
    FrameRecorder,
    Mode,
    PolledFeed,
    Ready,
    RecordingEnded,
    Refused,
    Send,
    Sink,
    SystemClock,
)

logger = logging.getLogger("personal_finance.realtime.feeds")

BACKOFF_START_SECONDS = 0.5
BACKOFF_LIMIT_SECONDS = 30.0
SEND_TIMEOUT_SECONDS = 10.0
# Many more than the subscriptions of a session; a full queue means that the socket takes nothing any more.
OUTGOING_FRAMES = 10_000


def backoff(random: random_module.Random) -> Iterator[float]:
    """Delays before each new attempt: 0.5 s doubling to 30 s, full jitter."""
    limit = BACKOFF_START_SECONDS
    while True:
        yield random.uniform(0.0, limit)
        limit = min(limit * 2, BACKOFF_LIMIT_SECONDS)


class FeedRunner:
    """Keeps one feed alive until it is stopped, ends, or fails for good.

    Args:
        feed: a stream, or a vendor to be polled.
        sink: takes its events and states.
        clock, random: replaced by tests.
        recorder: gets each frame as it arrived, before it is decoded.
        symbols: what to follow; the feed's own when None.
        interval, batch_size: of a polled feed.
        poll_timeout: total seconds for a batch of a polled feed.
    """

    def __init__(
        self,
        feed: Feed | PolledFeed,
        sink: Sink,
        *,
        clock: Clock | None = None,
        random: random_module.Random | None = None,
        recorder: FrameRecorder | None = None,
        symbols: Iterable[str] | None = None,
        interval: float = 30.0,
        batch_size: int = 50,
        poll_timeout: float = 60.0,
    ) -> None:
        self.feed = feed
        self.state: FeedState | None = None
        self.reason = ""
        self.frames = 0
        self.connects = 0
        self.bad_frames: Counter[str] = Counter()
        self.refused: dict[str, str] = {}
        # Monotonic time of the last usable frame; None before the first.
        self.last_frame_at: float | None = None
        self._sink = sink
        self._clock = clock or SystemClock()
        self._random = random or random_module.Random()
        self._recorder = recorder
        self._base_mode: Mode = feed.base_mode if isinstance(feed, Feed) else "quote"
        self._symbols: dict[str, Mode] = dict.fromkeys(
            feed.symbols if symbols is None else symbols, self._base_mode
        )
        self._interval = interval
        self._batch_size = batch_size
        self._poll_timeout = poll_timeout
        self._symbols_changed = asyncio.Event()
        # Present while a connection is open; what is put here is sent.
        self._outgoing: asyncio.Queue[Frame] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._delays = backoff(self._random)
        self._was_live = False
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    # -- from outside

    @property
    def source(self) -> str:
        return self.feed.source

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self._symbols)

    async def run(self) -> None:
        """Runs until `stop()`, the end of a recording, or a permanent error; never raises those."""
        if self._stopping:
            return
        follow = self._poll(self.feed) if isinstance(self.feed, PolledFeed) else self._stream(self.feed)
        self._task = asyncio.create_task(follow, name=f"feed {self.source}")
        try:
            await self._task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if not self._stopping or (current is not None and current.cancelling()):
                raise

    def stop(self) -> None:
        """Makes `run()` close its connection and return."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()

    def add_symbols(self, symbols: Iterable[str]) -> None:
        """Follows more symbols, at once where a connection is open; a refused one is tried again."""
        new = [symbol for symbol in dict.fromkeys(symbols) if symbol not in self._symbols]
        if not new:
            return
        for symbol in new:
            self.refused.pop(symbol, None)
        wants = dict.fromkeys(new, self._base_mode)
        self._symbols.update(wants)
        self._symbols_changed.set()
        if isinstance(self.feed, Feed) and self._outgoing is not None:
            self._put(self.feed.subscribe(wants))

    def set_modes(self, wants: Mapping[str, Mode]) -> None:
        """Says what anybody wants of each symbol now; one that is left out goes back to the feed's base mode."""
        changed = {
            symbol: mode
            for symbol, before in self._symbols.items()
            if (mode := wants.get(symbol, self._base_mode)) != before
        }
        self._symbols.update(changed)
        if changed and isinstance(self.feed, Feed) and self._outgoing is not None:
            self._put(self.feed.change_mode(changed))

    def remove_symbols(self, symbols: Iterable[str]) -> None:
        """Follows these no more."""
        gone = [symbol for symbol in dict.fromkeys(symbols) if symbol in self._symbols]
        if not gone:
            return
        for symbol in gone:
            del self._symbols[symbol]
        if isinstance(self.feed, Feed) and self._outgoing is not None:
            self._put(self.feed.unsubscribe(gone))

    # -- attempts

    async def _stream(self, feed: Feed) -> None:
        while True:
            if feed.needs_symbols:
                await self._wait_for_symbols()
            self._starting()
            try:
                await self._connect(feed)
            except RecordingEnded as end:
                if not end.again:
                    self._enter("ended", str(end))
                    return
                self._enter("recovering", str(end))
                if self._was_live:  # else it holds no data, and must not spin
                    continue
                error: FeedError = end
            except FeedError as feed_error:
                error = feed_error
            except Exception as bug:
                logger.exception("feed %s: unexpected error", self.source)
                error = FeedError(f"unexpected error: {type(bug).__name__}")
            if not await self._retry(error):
                return

    async def _poll(self, feed: PolledFeed) -> None:
        while True:
            await self._wait_for_symbols()
            self._starting()
            try:
                await self._poll_once(feed)
            except FeedError as error:
                if not await self._retry(error):
                    return
                continue
            except Exception as bug:
                logger.exception("feed %s: unexpected error", self.source)
                await self._retry(FeedError(f"unexpected error: {type(bug).__name__}"))
                continue
            await self._clock.sleep(self._interval)

    async def _wait_for_symbols(self) -> None:
        while not self._symbols:
            if self.refused:
                reason = next(iter(self.refused.values()))
                self._enter("failed", f"the vendor refused every symbol: {reason}")
            else:
                self._enter("connecting", "waiting for a symbol to follow")
            self._symbols_changed.clear()
            await self._symbols_changed.wait()

    def _starting(self) -> None:
        self.connects += 1
        if self.state not in {"connecting", "recovering", "live"}:
            self._enter("recovering" if self.connects > 1 else "connecting", self.reason)

    async def _retry(self, error: FeedError) -> bool:
        """Says what happened and waits; returns False when it makes no sense to try again."""
        if error.permanent:
            self._enter("failed", str(error))
            return False
        if self.state != "silent":
            self._enter("recovering", str(error))
        if self._was_live:
            self._delays = backoff(self._random)
            self._was_live = False
        delay = max(next(self._delays), error.retry_after or 0.0)
        logger.info("feed %s: %s; trying again in %.1f s", self.source, error, delay)
        await self._clock.sleep(delay)
        return True

    def _enter(self, state: FeedState, reason: str) -> None:
        if state == self.state and reason == self.reason:
            return
        level = logging.ERROR if state == "failed" else logging.INFO
        if state != self.state:
            logger.log(level, "feed %s is %s%s", self.source, state, f": {reason}" if reason else "")
        self.state, self.reason = state, reason
        self._sink.state(self.source, state, reason)

    # -- one poll

    async def _poll_once(self, feed: PolledFeed) -> None:
        """Asks for every batch; one that fails keeps no other from being asked, if the vendor answers at all."""
        symbols = list(self._symbols)
        problem, has_answered = None, False
        for start in range(0, len(symbols), self._batch_size):
            try:
                events = await self._poll_batch(feed, symbols[start : start + self._batch_size])
            except FeedError as error:
                may_go_on = has_answered or isinstance(error, FrameError)
                if error.permanent or error.retry_after is not None or not may_go_on:
                    raise
                problem = error
                self._count_bad(getattr(error, "kind", "no_answer"), str(error), b"")
            else:
                has_answered = True
                self._take(events)
        if problem is not None and not has_answered:
            raise problem

    async def _poll_batch(self, feed: PolledFeed, batch: list[str]) -> list[Event]:
        try:
            async with asyncio.timeout(self._poll_timeout):
                return await feed.poll(batch)
        except TimeoutError as error:
            raise FeedError(f"the vendor did not answer within {self._poll_timeout:g} s") from error

    # -- one connection

    async def _connect(self, feed: Feed) -> None:
        async with feed.wire().open() as connection:
            outgoing: asyncio.Queue[Frame] = asyncio.Queue(OUTGOING_FRAMES)
            self._outgoing = outgoing
            self._was_live = False
            sender = asyncio.create_task(_send(connection, outgoing), name=f"feed {self.source} sends")
            self._sender = sender
            self._put(feed.opened(dict(self._symbols)))
            if feed.is_ready_when_open:
                self._enter("live", "")
            elif feed.silence_after is None and self.state in ("connecting", "recovering"):
                self._enter(self.state, "connected; nothing was sent yet")
            reader = asyncio.create_task(self._read(feed, connection), name=f"feed {self.source} reads")
            try:
                # Whichever ends first ends the connection: both end only by raising.
                done, _ = await asyncio.wait({reader, sender}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.cancelled():
                        raise FeedError("the vendor takes no more frames")
                    task.result()
            finally:
                self._outgoing = self._sender = None
                await _cancelled(reader, sender)

    async def _read(self, feed: Feed, connection: Connection) -> None:
        try:
            async with asyncio.timeout(feed.silence_after) as watchdog:
                await self._read_watched(feed, connection, watchdog)
        except TimeoutError as error:
            reason = f"nothing arrived for {feed.silence_after:g} s"
            self._enter("silent", reason)
            raise FeedError(reason) from error

    async def _read_watched(self, feed: Feed, connection: Connection, watchdog: asyncio.Timeout) -> None:
        clock = asyncio.get_running_loop().time
        moved_at, armed = clock(), feed.silence_after
        while True:
            frame = await connection.receive()
            self.frames += 1
            if self._recorder is not None:
                self._recorder.write(frame, self._clock.now())
            if not self._decode(feed, frame):
                continue
            limit = feed.silence_after
            if limit is None:  # a feed may have become patient: once it is let in, nights may be silent
                if armed is not None:
                    watchdog.reschedule(None)
                    armed = None
                continue
            # Moving the watchdog costs more than decoding a small frame, so it is moved in tenths of its length.
            now = clock()
            if now - moved_at > limit / 10 or limit != armed:
                watchdog.reschedule(now + limit)
                moved_at, armed = now, limit

    def _decode(self, feed: Feed, frame: bytes) -> bool:
        """Hands on what a frame says; returns False for a frame that could not be used."""
        try:
            events = feed.decode(frame)
        except FrameError as error:
            self._count_bad(error.kind, str(error), frame)
            return False
        except FeedError:
            raise
        except Exception as error:  # a frame that our decoder did not foresee must not stop the others
            logger.debug("feed %s: undecodable frame", self.source, exc_info=True)
            self._count_bad("undecodable", f"{type(error).__name__}: {error}", frame)
            return False
        self.last_frame_at = self._clock.monotonic()
        if events:
            self._take(events)
        return True

    def _count_bad(self, kind: str, message: str, frame: bytes) -> None:
        self.bad_frames[kind] += 1
        if self.bad_frames[kind] == 1:
            logger.warning(
                "feed %s: skipped a bad frame (%s): %s; %r", self.source, kind, message, frame[:200]
            )

    def _take(self, events: list[Event]) -> None:
        if not self._was_live and any(isinstance(event, DATA_EVENTS) for event in events):
            self._was_live = True
            self._enter("live", "")
        passed = events
        if any(isinstance(event, Send | Refused | Ready) for event in events):
            passed = [event for event in events if not isinstance(event, Send | Ready)]
            self._put([event.frame for event in events if isinstance(event, Send)])
            for event in events:
                if isinstance(event, Refused):
                    self._refuse(event)
                elif isinstance(event, Ready):
                    self._enter("live", "")
        if passed:
            self._sink.events(self.source, passed, self._clock.now())
        if self.refused and not self._symbols:
            raise FeedError("the vendor refused every symbol")

    def _refuse(self, event: Refused) -> None:
        logger.warning("feed %s: %s refused: %s", self.source, ", ".join(event.symbols), event.reason)
        for symbol in event.symbols:
            self._symbols.pop(symbol, None)
            self.refused[symbol] = event.reason

    def _put(self, frames: Iterable[Frame]) -> None:
        if self._outgoing is None or self._sender is None:
            return
        for frame in frames:
            try:
                self._outgoing.put_nowait(frame)
            except asyncio.QueueFull:
                # Ends the connection; the one that follows subscribes to everything again.
                self._sender.cancel()
                return


async def _send(connection: Connection, outgoing: asyncio.Queue[Frame]) -> None:
    while True:
        frame = await outgoing.get()
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await connection.send(frame)
        except TimeoutError as error:
            raise FeedError("the vendor takes no more frames") from error


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, FeedError):
            await task
