"""Small things that several real-time tests build, with plain values for what a test does not care about."""

import asyncio
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from realtime.bus import Batch, FeedBus, FeedStatus, WebBus, decode_batch
from realtime.connections import Connection
from realtime.frames import texts
from realtime.protocol import QuoteRecord, now

WITHIN = 30.0


def slow_clock() -> float:
    """Monotonic seconds at a tenth of their pace: a test that stands still for a while must not look like silence."""
    return time.monotonic() / 10


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self, moment: float = 1000.0) -> None:
        self.moment = moment

    def __call__(self) -> float:
        return self.moment


def make_record(symbol: str = "AAPL", seq: int = 1, epoch: int = 1, **changes: Any) -> QuoteRecord:
    values: dict[str, Any] = {
        "price": Decimal("150.25"),
        "as_of": now(),
        "received_at": now(),
        "source": "simulator",
        "currency": "USD",
        "previous_close": Decimal("147.75"),
    }
    return QuoteRecord(symbol=symbol, seq=seq, epoch=epoch, **{**values, **changes})


def make_status(**changes: Any) -> FeedStatus:
    values: dict[str, Any] = {
        "source": "simulator",
        "state": "live",
        "since": now(),
        "reason": "",
        "epoch": 1,
        "at": now(),
    }
    return FeedStatus(**{**values, **changes})


async def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Waits for what other tasks and the network bring about, and no longer than it takes."""
    async with asyncio.timeout(WITHIN):
        try:
            while not condition():
                await asyncio.sleep(0.002)
        except asyncio.CancelledError as error:
            raise AssertionError(f"expected {what} within {WITHIN:g} s") from error


async def next_batch(bus: WebBus) -> Batch:
    async with asyncio.timeout(WITHIN):
        while True:
            message = await bus.receive()
            if message["type"] == "feed.batch":
                return decode_batch(message)


class LossyLayer:
    """The real layer, except that it may lose messages, as a channel layer is allowed to."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self.loses = False
        self.sent: list[str] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if not self.loses:
            self.sent.append(message["type"])
            await self._layer.group_send(group, message)


class Source:
    """A feed process that leads one source, ticking when told to."""

    def __init__(self, bus: FeedBus, layer: LossyLayer) -> None:
        self.bus = bus
        self.layer = layer
        self.records: dict[str, QuoteRecord] = {}

    async def lead(self) -> None:
        assert await self.bus.acquire()
        await self.heartbeat()

    async def tick(self, *symbols: str, news: Mapping[str, Mapping[str, str]] = {}, **changes: Any) -> None:
        """One flush in which all of `symbols` changed, with what is new in their channels."""
        for symbol in symbols:
            before = self.records.get(symbol)
            is_same_epoch = before is not None and before.epoch == self.bus.epoch
            seq = before.seq + 1 if before is not None and is_same_epoch else 1
            self.records[symbol] = make_record(
                symbol, seq, self.bus.epoch, source=self.bus.source, **{"price": Decimal(seq), **changes}
            )
        await self.bus.publish({symbol: self.records[symbol] for symbol in symbols}, self.records.get, news)

    def next_seq(self, symbol: str) -> int:
        return self.records[symbol].seq + 1

    async def heartbeat(self, state: Any = "live", reason: str = "", **changes: Any) -> None:
        values = {"modes": ("ltpc", "quote", "full"), **changes}
        await self.bus.heartbeat(make_status(source=self.bus.source, state=state, reason=reason, **values))


class Client:
    """A connection of the hub together with what its socket would have received."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.quotes: dict[str, dict[str, Any]] = {}
        self.seqs: dict[str, list[int]] = {}
        self.statuses: list[tuple[str, str]] = []
        self.events: list[dict[str, Any]] = []
        self.portfolios: list[dict[str, Any]] = []

    def read(self) -> list[str]:
        """Takes what waits and sorts it; returns the frames themselves."""
        frames = list(texts(self.connection.outbox.take()))
        for frame in frames:
            self._sort(msgspec.json.decode(frame))
        return frames

    def _sort(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "asset_update":
                self._take_quotes([frame["data"]])
            case "asset_updates":
                self._take_quotes(frame["data"])
            case "feed_status":
                self.statuses.append((frame["data"]["source"], frame["data"]["state"]))
            case "portfolio_update":
                self.portfolios.append(frame["data"])
            case _:
                self.events.append(frame)

    def _take_quotes(self, quotes: list[dict[str, Any]]) -> None:
        for quote in quotes:
            self.quotes[quote["symbol"]] = quote
            self.seqs.setdefault(quote["symbol"], []).append(quote["seq"])

    def has(self, symbol: str, seq: int) -> bool:
        self.read()
        return symbol in self.quotes and self.quotes[symbol]["seq"] == seq

    def shows(self, symbol: str, field: str, value: Any) -> bool:
        self.read()
        return symbol in self.quotes and self.quotes[symbol].get(field, ...) == value

    def was_told(self, *states: str) -> bool:
        """Whether the newest states of the simulator that it was told are these."""
        self.read()
        told = [state for source, state in self.statuses if source == "simulator"]
        return told[-len(states) :] == list(states)
