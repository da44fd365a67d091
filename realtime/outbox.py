"""What waits to be written to one connection: events in order, states by key with the newest winning.

Quotes and portfolio values are state: a value that waits is replaced, so a slow reader gets the newest and costs
no more memory than its subscriptions; so it is with channels, `realtime.backlog`'s. Answers and errors are events:
ordered, never replaced, bounded. Nothing here awaits; the connection's one writer takes frames out.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from realtime.backlog import Backlog, Overflow
from realtime.frames import Payload, frame
from realtime.protocol import Numbers, envelope
from realtime.streams import News

MAX_EVENTS = 1000  # answers that a client may leave unread; far more than its message rate fills in 10 s
ACK_WINDOW = 2  # data frames that may stand unconfirmed on a connection with acks


@dataclass(frozen=True, slots=True)
class Options:
    """What a client asked for in its address."""

    batch: bool = False
    max_rate: float | None = None
    numbers: Numbers = "number"
    acks: bool = False


class Changes:
    """What one flush means to every connection with the same subscriptions: shared, joined at most once.

    Connections that all still wait for an earlier flush share what the two make together as well: on a busy process
    that is nearly all of them, and a frame of their own for each would cost more than its sending.
    """

    __slots__ = ("_batch", "_singles", "_together", "payloads")

    def __init__(self, payloads: Mapping[str, Payload]) -> None:
        self.payloads = payloads
        self._batch: bytes | None = None
        self._singles: bytes | None = None
        self._together: dict[Changes, Changes] = {}

    def after(self, earlier: "Changes") -> "Changes":
        """Returns what waits when these come before an earlier flush was written."""
        together = self._together.get(earlier)
        if together is None:
            together = self._together[earlier] = Changes({**earlier.payloads, **self.payloads})
        return together

    def settle(self) -> None:
        """Forgets earlier flushes, once everybody has these: each would keep the one before it alive."""
        self._together.clear()

    def batch(self) -> bytes:
        """Returns one frame of all of them."""
        if self._batch is None:
            data = ",".join([payload.json for payload in self.payloads.values()])
            self._batch = frame(envelope("asset_updates", f"[{data}]"))
        return self._batch

    def singles(self) -> bytes:
        """Returns a run of one frame each."""
        if self._singles is None:
            self._singles = b"".join([payload.alone() for payload in self.payloads.values()])
        return self._singles


class Outbox:
    """One connection's waiting frames.

    Args:
        options: the connection's.
        clock: monotonic seconds.

    Attributes:
        wake: called whenever `take` may have something that it had not; the writer's.
    """

    __slots__ = (
        "_acknowledged",
        "_changes",
        "_clock",
        "_frame",
        "_next_data_at",
        "_portfolios",
        "_statuses",
        "_streams",
        "_took_stream",
        "conflated",
        "events",
        "options",
        "wake",
    )  # fmt: skip

    def __init__(self, options: Options, clock: Callable[[], float]) -> None:
        self.options = options
        self.events: deque[str] = deque()
        self.wake: Callable[[], None] = _nobody_writes
        self.conflated = 0
        self._clock = clock
        self._changes: Changes | None = None  # shared with other connections
        self._portfolios: dict[int, Payload] = {}
        self._statuses: dict[str, str] = {}
        self._streams: News | Backlog | None = (
            None  # shared with other connections as long as it is only one flush
        )
        self._took_stream = False
        self._frame = 0
        self._acknowledged = 0
        self._next_data_at = 0.0

    # --- putting -----------------------------------------------------------------------------------------------------

    def put_event(self, frame: str) -> None:
        """Adds an answer or error behind those that wait; raises Overflow when too many do."""
        if len(self.events) >= MAX_EVENTS:
            raise Overflow
        self.events.append(frame)
        self.wake()

    def put_status(self, key: str, frame: str) -> None:
        self._statuses[key] = frame
        self.wake()

    def put(self, changes: Changes) -> None:
        """Takes a flush; what the writer has not taken yet is replaced symbol by symbol."""
        waiting = self._changes
        if waiting is None:
            self._changes = changes
        else:
            self._changes = changes.after(waiting)
            self.conflated += len(waiting.payloads) + len(changes.payloads) - len(self._changes.payloads)
        self.wake()

    def put_news(self, news: News) -> None:
        """Takes what a flush says in channels; raises Overflow when too much waits."""
        if self._streams is None:
            self._streams = news
        else:
            self.conflated += self._backlog().add(news)
        self.wake()

    def _backlog(self) -> Backlog:
        """Returns what waits in channels as this connection's own."""
        waiting = self._streams
        if not isinstance(waiting, Backlog):
            self._streams = Backlog(self.options.numbers)
            if waiting is not None:
                self._streams.add(waiting)
            return self._streams
        return waiting

    def has_portfolio(self, portfolio_id: int) -> bool:
        """Whether a value of the portfolio still waits, so that a partial one must not replace it."""
        return portfolio_id in self._portfolios

    def put_portfolio(self, portfolio_id: int, data: Payload) -> None:
        self.conflated += portfolio_id in self._portfolios
        self._portfolios[portfolio_id] = data
        self.wake()

    def forget(self, symbols: Mapping[str, object] | set[str]) -> None:
        """Drops waiting values of symbols that are no longer subscribed."""
        for symbol in symbols if self._streams is not None else ():
            self.forget_channels(symbol)
        self.forget_quotes(symbols)

    def forget_quotes(self, symbols: Mapping[str, object] | set[str]) -> None:
        waiting = self._changes.payloads if self._changes is not None else {}
        kept = {key: payload for key, payload in waiting.items() if key.partition(" ")[0] not in symbols}
        if len(kept) < len(waiting):
            self._keep(kept)

    def forget_channels(self, symbol: str, channels: frozenset[str] | None = None) -> None:
        """Drops what waits of a symbol's channels, of all of them if none are named."""
        if self._streams is not None:
            backlog = self._backlog()
            backlog.forget(symbol, channels)
            self._streams = backlog or None

    def _keep(self, payloads: Mapping[str, Payload]) -> None:
        self._changes = Changes(payloads) if payloads else None

    def forget_portfolio(self, portfolio_id: int) -> None:
        self._portfolios.pop(portfolio_id, None)

    # --- taking ------------------------------------------------------------------------------------------------------

    def acknowledge(self, frame: int) -> bool:
        """Confirms all frames up to one; False when no such frame was sent."""
        if frame > self._frame:
            return False
        self._acknowledged = max(self._acknowledged, frame)
        self.wake()
        return True

    def delay(self) -> float | None:
        """Seconds until `take` has something: 0 at once, None not before something is put or confirmed."""
        if self.events or self._statuses:
            return 0.0
        if not (self._changes or self._portfolios or self._streams) or self._is_window_full():
            return None
        return max(0.0, self._next_data_at - self._clock())

    def _is_window_full(self) -> bool:
        return self.options.acks and self._frame - self._acknowledged >= ACK_WINDOW

    def take(self) -> bytes:
        """Returns the frames to write now, events first, as one run; empty when nothing may be written."""
        if not self.events and not self._statuses:
            return self._take_data()
        waiting = [*self.events, *self._statuses.values()]
        self.events.clear()
        self._statuses.clear()
        return b"".join(map(frame, waiting)) + self._take_data()

    def _take_data(self) -> bytes:
        if not (self._changes or self._portfolios or self._streams) or self._is_window_full():
            return b""
        if self.options.max_rate is not None:
            moment = self._clock()
            if moment < self._next_data_at:
                return b""
            self._next_data_at = moment + 1 / self.options.max_rate
        if self.options.acks:
            return self._take_numbered()
        run = b""
        changes, self._changes = self._changes, None
        if changes is not None:
            run = changes.batch() if self.options.batch else changes.singles()
        if self._portfolios:
            run += b"".join([data.alone() for data in self._portfolios.values()])
            self._portfolios.clear()
        streams, self._streams = self._streams, None
        return run if streams is None else run + streams.run(self.options.batch)

    def _take_numbered(self) -> bytes:
        """Data frames that carry their number, as many as the window of unconfirmed ones allows."""
        frames: list[bytes] = []
        waiting = dict(self._changes.payloads) if self._changes is not None else {}
        while not self._is_window_full() and (waiting or self._portfolios or self._streams):
            self._frame += 1
            # By turns, so that quotes that never stop don't hold up what else there is.
            if self._streams and (not self._took_stream or not (waiting or self._portfolios)):
                frames.append(self._pop_stream().numbered(self._frame))
                continue
            self._took_stream = False
            if waiting and self.options.batch:
                data = ",".join([payload.json for payload in waiting.values()])
                frames.append(Payload("asset_updates", f"[{data}]").numbered(self._frame))
                waiting = {}
            else:
                found: dict[Any, Payload] = waiting or self._portfolios
                frames.append(found.pop(next(iter(found))).numbered(self._frame))
        self._keep(waiting)
        return b"".join(frames)

    def _pop_stream(self) -> Payload:
        self._took_stream = True
        backlog = self._backlog()
        payload = backlog.pop(self.options.batch)
        self._streams = backlog or None
        return payload


def _nobody_writes() -> None:
    """Stands in until a writer takes over: what is put waits for it."""
