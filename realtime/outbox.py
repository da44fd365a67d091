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
    """What one flush means to every connection with the same subscriptions: shared, joined at most once."""

    __slots__ = ("_batch", "_singles", "payloads")

    def __init__(self, payloads: Mapping[str, str]) -> None:
        self.payloads = payloads
        self._batch: str | None = None
        self._singles: list[str] | None = None

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
        "_merged",
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
        self._changes: Changes | None = None  # shared with other connections, never written to
        self._merged: dict[str, str] | None = None  # our own, once a second flush came before the writer
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
        if self._merged is not None:
            before = len(self._merged)
            self._merged.update(changes.payloads)
            self.conflated += before + len(changes.payloads) - len(self._merged)
        elif self._changes is None:
            self._changes = changes
        else:
            self._merged = {**self._changes.payloads, **changes.payloads}
            self.conflated += len(self._changes.payloads) + len(changes.payloads) - len(self._merged)
            self._changes = None
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
        waiting = self._merged if self._merged is not None else self._changes and self._changes.payloads
        if waiting and not waiting.keys().isdisjoint(symbols):
            kept = {symbol: payload for symbol, payload in waiting.items() if symbol not in symbols}
            self._merged, self._changes = (kept or None), None

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
        if not (self._changes or self._merged or self._portfolios) or self._is_window_full():
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
        if self._changes or self._merged or self._portfolios:
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
        changes = self._changes or (Changes(self._merged) if self._merged else None)
        if changes is not None:
            self._changes = self._merged = None
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
        if self._changes is not None:
            self._merged, self._changes = dict(self._changes.payloads), None
        while not self._is_window_full() and (self._merged or self._portfolios):
            self._frame += 1
            if self._merged and self.options.batch:
                frames.append(
                    envelope("asset_updates", f"[{','.join(self._merged.values())}]", frame=self._frame)
                )
                self._merged = None
            elif self._merged:
                payload = self._merged.pop(next(iter(self._merged)))
                frames.append(envelope("asset_update", payload, frame=self._frame))
                self._merged = self._merged or None
            else:
                data = self._portfolios.pop(next(iter(self._portfolios)))
                frames.append(envelope("portfolio_update", data, frame=self._frame))
        return frames
