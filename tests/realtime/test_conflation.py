"""Connections of one hub in any order of events: each is sent values in order, the last always, and counts the rest.

The hub is the real one, fed as the bus feeds it, with a clock that passes when told; it is never started, so that
nothing happens but what an example does.
"""

import asyncio
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.bus import Batch, Update, batch_message
from realtime.handshake import Identity
from realtime.hub import Hub
from realtime.outbox import MAX_EVENTS, Options
from realtime.protocol import Mode, encode_quote
from tests.realtime.builders import Client, Clock, make_record, make_status

SYMBOLS = ("A", "B", "C", "D")
MODES = (Mode.LTPC, Mode.QUOTE, Mode.FULL)
PLACES = 4  # connections at a time

options = st.builds(
    Options,
    batch=st.booleans(),
    max_rate=st.sampled_from([None, 1.0, 20.0]),
    numbers=st.sampled_from(["number", "string"]),
    acks=st.booleans(),
)
place = st.integers(0, PLACES - 1)
some = st.sets(st.sampled_from(SYMBOLS), min_size=1)
steps = st.one_of(
    st.tuples(st.just("tick"), some),
    st.tuples(st.just("tick"), some),
    st.tuples(st.just("tick_again")),
    st.tuples(st.just("begin_epoch")),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.06, 1.0])),
    st.tuples(st.just("write"), place),  # a place that is not named stalls
    st.tuples(st.just("write"), place),
    st.tuples(st.just("acknowledge"), place),
    st.tuples(st.just("subscribe"), place, some, st.sampled_from(MODES)),
    st.tuples(st.just("unsubscribe"), place, some),
    st.tuples(st.just("ask"), place),
    st.tuples(st.just("reconnect"), place, options),
)


class Viewer:
    """One connection and what its client knows."""

    def __init__(self, hub: Hub, clock: Clock, id: str, options: Options) -> None:
        self.options = options
        self.connection = hub.open(id, Identity(user_id=1), "10.0.0.1", options)
        self.clock = clock
        self.modes: dict[str, str] = {}
        self.known: dict[str, tuple[int, int]] = {}  # epoch and seq of the last value
        self.snapshots: set[str] = set()  # symbols whose next value may be one that is known
        self.waiting: set[str] = set()  # symbols of which a value was put and not sent yet
        self.conflated = 0
        self.asked = self.answered = 0
        self.frame = self.confirmed = 0
        self.next_data_at = 0.0

    def put(self, symbols: set[str]) -> None:
        self.conflated += len(self.waiting & symbols)
        self.waiting |= symbols

    def write(self) -> bool:
        """Does what the connection's writer does when its socket takes something; False when nothing is due."""
        if self.connection.outbox.delay() != 0:
            return False
        frames = [json.loads(frame) for frame in Client(self.connection).read()]
        assert frames
        for frame in frames:
            self.read(frame)
        if self.options.max_rate and any(frame["type"].startswith("asset_") for frame in frames):
            assert self.clock() >= self.next_data_at
            self.next_data_at = self.clock() + 1 / self.options.max_rate
        return True

    def read(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "pong":
            assert frame["data"] == self.answered
            self.answered += 1
            return
        if frame["type"] == "feed_status":
            return
        assert frame["type"] == ("asset_updates" if self.options.batch else "asset_update")
        if self.options.acks:
            self.frame += 1
            assert frame["frame"] == self.frame
            assert self.frame - self.confirmed <= 2
        for quote in frame["data"] if self.options.batch else [frame["data"]]:
            self.read_quote(quote)

    def read_quote(self, quote: dict[str, Any]) -> None:
        symbol, number = quote["symbol"], (quote["epoch"], quote["seq"])
        assert symbol in self.modes, "not subscribed"
        known = self.known.get(symbol, (0, 0))
        assert number > known or (number == known and symbol in self.snapshots), "older after newer, or twice"
        self.snapshots.discard(symbol)
        assert ("volume" in quote, "bids" in quote) == {
            Mode.LTPC: (False, False), Mode.QUOTE: (True, False), Mode.FULL: (True, True),
        }[Mode(self.modes[symbol])]  # fmt: skip
        assert isinstance(quote["price"], str) == (self.options.numbers == "string")
        self.known[symbol] = number
        self.waiting.remove(symbol)


class Market:
    """A feed, a hub and its viewers, with what must be true of them at every moment."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.hub = Hub(self.clock)
        self.hub.redis_ok = True
        self.epoch = self.number = 0
        self.last = dict.fromkeys(SYMBOLS, 0)
        self.opened = 0
        self.closed_conflated = 0
        self.batches: list[dict[str, Any]] = []
        for symbol in SYMBOLS:  # the process itself wants all, as a watched portfolio does
            for mode in MODES:
                self.hub.topics.count(symbol, mode, 1)
        self.begin_epoch()
        self.viewers = [self.opened_viewer(Options()) for _ in range(PLACES)]

    def opened_viewer(self, options: Options) -> Viewer:
        self.opened += 1
        return Viewer(self.hub, self.clock, f"c{self.opened}", options)

    # --- what happens ------------------------------------------------------------------------------------------------

    def begin_epoch(self) -> None:
        """A hole in the feed: all values again, numbered anew."""
        self.epoch, self.number = self.epoch + 1, 0
        self.last = dict.fromkeys(SYMBOLS, 0)
        self.hub._on_message({"type": "feed.status", "status": to_dict(make_status(epoch=self.epoch))})
        self.tick(set(SYMBOLS))

    def tick(self, symbols: set[str]) -> None:
        self.number += 1
        updates = []
        for symbol in sorted(symbols):
            self.last[symbol] += 1
            record = make_record(symbol, self.last[symbol], self.epoch, bids=(), asks=())
            updates.append(Update(symbol, record.seq, {mode: encode_quote(record, mode) for mode in MODES}))
        self.batches.append(batch_message(Batch("simulator", self.epoch, self.number, updates)))
        self.hub._on_message(self.batches[-1])
        for viewer in getattr(self, "viewers", ()):
            viewer.put(symbols & viewer.modes.keys())

    def tick_again(self) -> None:
        """What is delivered twice, or by a former leader, is news to nobody."""
        for batch in self.batches[-3:]:
            self.hub._on_message(batch)

    def wait(self, seconds: float) -> None:
        self.clock.moment += seconds

    def write(self, place: int) -> None:
        self.viewers[place].write()

    def acknowledge(self, place: int) -> None:
        viewer = self.viewers[place]
        if viewer.frame:
            viewer.confirmed = viewer.frame
            assert viewer.connection.outbox.acknowledge(viewer.frame)

    def subscribe(self, place: int, symbols: set[str], mode: Mode) -> None:
        viewer = self.viewers[place]
        viewer.modes |= dict.fromkeys(symbols, mode)
        viewer.snapshots |= symbols
        viewer.put(symbols)
        self.hub.subscribe(viewer.connection, dict.fromkeys(symbols, mode))

    def unsubscribe(self, place: int, symbols: set[str]) -> None:
        viewer = self.viewers[place]
        self.hub.unsubscribe(viewer.connection, symbols)
        viewer.waiting -= symbols
        for symbol in symbols:
            viewer.modes.pop(symbol, None)

    def ask(self, place: int) -> None:
        viewer = self.viewers[place]
        viewer.connection.put_event(json.dumps({"type": "pong", "data": viewer.asked}))
        viewer.asked += 1

    def reconnect(self, place: int, options: Options) -> None:
        viewer = self.viewers[place]
        self.hub.close(viewer.connection, 1006)
        self.closed_conflated += viewer.conflated
        self.viewers[place] = self.opened_viewer(options)

    # --- what must be true -------------------------------------------------------------------------------------------

    def check(self) -> None:
        for viewer in self.viewers:
            outbox = viewer.connection.outbox
            assert outbox.conflated == viewer.conflated
            assert len(viewer.waiting) <= len(viewer.modes)
            assert len(outbox.events) <= MAX_EVENTS
        conflated = self.closed_conflated + sum(viewer.conflated for viewer in self.viewers)
        assert self.hub.presence.counts()["counters"]["conflated"] == conflated

    def drain(self) -> None:
        """Everybody reads on: each has the last value of all that it subscribed to, and every answer."""
        for place, viewer in enumerate(self.viewers):
            for _ in range(100):
                self.acknowledge(place)
                self.wait(1.0)
                if not viewer.write():
                    break
            assert viewer.waiting == set()
            assert viewer.known.keys() >= viewer.modes.keys()
            assert {s: viewer.known[s] for s in viewer.modes} == {
                s: (self.epoch, self.last[s]) for s in viewer.modes
            }
            assert viewer.answered == viewer.asked


def to_dict(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(message)
    return found


@given(st.lists(steps, min_size=5, max_size=60), st.lists(options, min_size=PLACES, max_size=PLACES))
@settings(max_examples=150)
def test_values_come_in_order_the_last_always_and_what_was_left_out_is_counted(
    schedule: list[tuple[Any, ...]], kinds: list[Options]
) -> None:
    async def play() -> None:
        market = Market()
        for place, kind in enumerate(kinds):
            market.reconnect(place, kind)
            market.subscribe(place, {"A", "B"} if place % 2 else set(SYMBOLS), Mode.QUOTE)
        for name, *arguments in schedule:
            getattr(market, name)(*arguments)
            market.check()
        market.drain()
        market.check()
        while market.hub._tasks:
            await asyncio.wait(market.hub._tasks)
        await market.hub.stop()

    asyncio.run(play())
