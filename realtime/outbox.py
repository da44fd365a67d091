"""What waits to be written to one connection: events in order, states by key with the newest winning.

Quotes and portfolio values are state: a value that waits is replaced, so a slow reader gets the newest and costs
no more memory than its subscriptions. Answers and errors are events: ordered, never replaced, bounded. Nothing
here awaits; the connection's one writer takes frames out.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from realtime.protocol import Numbers, envelope, envelopes

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

    def __init__(self, payloads: Mapping[str, str]) -> None:
        self.payloads = payloads
        self._batch: str | None = None
        self._singles: list[str] | None = None
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

    def batch(self) -> str:
        if self._batch is None:
            self._batch = envelope("asset_updates", f"[{','.join(self.payloads.values())}]")
        return self._batch

    def singles(self) -> list[str]:
        if self._singles is None:
            self._singles = envelopes("asset_update", self.payloads.values())
        return self._singles


class Overflow(Exception):
    """The client leaves more answers unread than it may."""


class Outbox:
    """One connection's waiting frames.

    Args:
        options: the connection's.
        clock: monotonic seconds.
    """

    __slots__ = (
        "_acknowledged",
        "_changes",
        "_clock",
        "_frame",
        "_next_data_at",
        "_portfolios",
        "_statuses",
        "conflated",
        "events",
        "options",
        "ready",
    )  # fmt: skip

    def __init__(self, options: Options, clock: Callable[[], float]) -> None:
        self.options = options
        self.events: deque[str] = deque()
        self.ready = asyncio.Event()
        self.conflated = 0
        self._clock = clock
        self._changes: Changes | None = None  # shared with other connections
        self._portfolios: dict[int, str] = {}
        self._statuses: dict[str, str] = {}
        self._frame = 0
        self._acknowledged = 0
        self._next_data_at = 0.0

    # --- putting -----------------------------------------------------------------------------------------------------

    def put_event(self, frame: str) -> None:
        """Adds an answer or error behind those that wait; raises Overflow when too many do."""
        if len(self.events) >= MAX_EVENTS:
            raise Overflow
        self.events.append(frame)
        self.ready.set()

    def put_status(self, key: str, frame: str) -> None:
        self._statuses[key] = frame
        self.ready.set()

    def put(self, changes: Changes) -> None:
        """Takes a flush; what the writer has not taken yet is replaced symbol by symbol."""
        waiting = self._changes
        if waiting is None:
            self._changes = changes
        else:
            self._changes = changes.after(waiting)
            self.conflated += len(waiting.payloads) + len(changes.payloads) - len(self._changes.payloads)
        self.ready.set()

    def has_portfolio(self, portfolio_id: int) -> bool:
        """Whether a value of the portfolio still waits, so that a partial one must not replace it."""
        return portfolio_id in self._portfolios

    def put_portfolio(self, portfolio_id: int, data: str) -> None:
        """Takes a portfolio's value: the JSON of `portfolio_update.data`."""
        self.conflated += portfolio_id in self._portfolios
        self._portfolios[portfolio_id] = data
        self.ready.set()

    def forget(self, symbols: Mapping[str, object] | set[str]) -> None:
        """Drops waiting values of symbols that are no longer subscribed."""
        waiting = self._changes.payloads if self._changes is not None else {}
        if not waiting.keys().isdisjoint(symbols):
            self._keep({symbol: payload for symbol, payload in waiting.items() if symbol not in symbols})

    def _keep(self, payloads: Mapping[str, str]) -> None:
        self._changes = Changes(payloads) if payloads else None

    def forget_portfolio(self, portfolio_id: int) -> None:
        self._portfolios.pop(portfolio_id, None)

    # --- taking ------------------------------------------------------------------------------------------------------

    def acknowledge(self, frame: int) -> bool:
        """Confirms all frames up to one; False when no such frame was sent."""
        if frame > self._frame:
            return False
        self._acknowledged = max(self._acknowledged, frame)
        self.ready.set()
        return True

    def delay(self) -> float | None:
        """Seconds until `take` has something: 0 at once, None not before something is put or confirmed."""
        if self.events or self._statuses:
            return 0.0
        if not (self._changes or self._portfolios) or self._is_window_full():
            return None
        return max(0.0, self._next_data_at - self._clock())

    def _is_window_full(self) -> bool:
        return self.options.acks and self._frame - self._acknowledged >= ACK_WINDOW

    def take(self) -> list[str]:
        """Returns the frames to write now, events first."""
        frames = list(self.events)
        self.events.clear()
        if self._statuses:
            frames += self._statuses.values()
            self._statuses.clear()
        if (self._changes or self._portfolios) and not self._is_window_full():
            frames += self._take_data()
        return frames

    def _take_data(self) -> list[str]:
        if self.options.max_rate is not None:
            moment = self._clock()
            if moment < self._next_data_at:
                return []
            self._next_data_at = moment + 1 / self.options.max_rate
        if self.options.acks:
            return self._take_numbered()
        frames: list[str] = []
        changes, self._changes = self._changes, None
        if changes is not None:
            if self.options.batch:
                frames.append(changes.batch())
            else:
                frames += changes.singles()
        frames += [envelope("portfolio_update", data) for data in self._portfolios.values()]
        self._portfolios.clear()
        return frames

    def _take_numbered(self) -> list[str]:
        """Data frames that carry their number, as many as the window of unconfirmed ones allows."""
        frames: list[str] = []
        waiting = dict(self._changes.payloads) if self._changes is not None else {}
        while not self._is_window_full() and (waiting or self._portfolios):
            self._frame += 1
            if waiting and self.options.batch:
                data = f"[{','.join(waiting.values())}]"
                frames.append(envelope("asset_updates", data, frame=self._frame))
                waiting = {}
            elif waiting:
                payload = waiting.pop(next(iter(waiting)))
                frames.append(envelope("asset_update", payload, frame=self._frame))
            else:
                data = self._portfolios.pop(next(iter(self._portfolios)))
                frames.append(envelope("portfolio_update", data, frame=self._frame))
        self._keep(waiting)
        return frames
