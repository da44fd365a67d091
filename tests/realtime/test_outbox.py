"""What waits for one connection: the last value always arrives, events keep their order, nothing grows."""

import itertools
import json
import sys
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from realtime.frames import Payload, texts
from realtime.outbox import ACK_WINDOW, MAX_EVENTS, Changes, Options, Outbox, Overflow

SYMBOLS = ("A", "B", "C", "D")
PORTFOLIOS = (1, 2)


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self) -> None:
        self.moment = 1000.0

    def __call__(self) -> float:
        return self.moment


def make_outbox(**options: Any) -> tuple[Outbox, Clock]:
    clock = Clock()
    return Outbox(Options(**options), clock), clock


def changes(**seqs: int) -> Changes:
    return Changes({symbol: quote(symbol, seq) for symbol, seq in seqs.items()})


def quote(symbol: str, seq: int) -> Payload:
    return Payload("asset_update", json.dumps({"symbol": symbol, "seq": seq}))


def messages(run: bytes) -> list[str]:
    return list(texts(run))


def portfolio(data: object) -> Payload:
    return Payload("portfolio_update", json.dumps(data))


def decoded(run: bytes) -> list[dict[str, Any]]:
    return [json.loads(text) for text in messages(run)]


def quotes(frames: bytes) -> list[tuple[str, int]]:
    """The updates in frames, in their order, whether they came one by one or in a batch."""
    found: list[tuple[str, int]] = []
    for frame in decoded(frames):
        if frame["type"] == "asset_update":
            found.append((frame["data"]["symbol"], frame["data"]["seq"]))
        elif frame["type"] == "asset_updates":
            found += [(update["symbol"], update["seq"]) for update in frame["data"]]
    return found


def test_nothing_waits_at_first() -> None:
    outbox, _ = make_outbox()

    assert outbox.delay() is None
    assert outbox.take() == b""


def test_a_flush_is_one_frame_for_each_symbol_or_one_batch() -> None:
    singly, _ = make_outbox()
    batched, _ = make_outbox(batch=True)
    flush = changes(A=1, B=2)
    singly.put(flush)
    batched.put(flush)

    assert [frame["type"] for frame in decoded(singly.take())] == ["asset_update"] * 2
    (frame,) = decoded(batched.take())
    assert frame["type"] == "asset_updates"
    assert [update["symbol"] for update in frame["data"]] == ["A", "B"]


def test_connections_that_share_a_flush_share_its_text() -> None:
    flush = changes(A=1, B=1)
    first, second = make_outbox(batch=True)[0], make_outbox(batch=True)[0]
    first.put(flush)
    second.put(flush)

    assert first.take() is second.take()


def test_connections_that_wait_for_the_same_share_what_a_second_flush_makes_of_it() -> None:
    first, second = make_outbox(batch=True)[0], make_outbox(batch=True)[0]
    for flush in (changes(A=1, B=1), changes(B=2)):
        first.put(flush)
        second.put(flush)
        flush.settle()

    run = first.take()
    assert run is second.take()
    assert quotes(run) == [("A", 1), ("B", 2)]


def test_a_settled_flush_keeps_no_earlier_one_alive() -> None:
    outbox, _ = make_outbox()
    earlier, flush = changes(A=1), changes(A=2)
    outbox.put(earlier)
    kept = sys.getrefcount(earlier)
    outbox.put(flush)
    flush.settle()

    assert sys.getrefcount(earlier) == kept - 1


def test_a_second_flush_replaces_what_waits_without_touching_what_others_share() -> None:
    shared = changes(A=1, B=1)
    slow, quick = make_outbox(batch=True)[0], make_outbox(batch=True)[0]
    slow.put(shared)
    quick.put(shared)
    slow.put(changes(B=2, C=1))
    slow.put(changes(B=3))

    assert quotes(quick.take()) == [("A", 1), ("B", 1)]
    assert sorted(quotes(slow.take())) == [("A", 1), ("B", 3), ("C", 1)]
    assert slow.conflated == 2
    assert quick.conflated == 0


def test_events_keep_their_order_and_go_before_states() -> None:
    outbox, _ = make_outbox()
    outbox.put(changes(A=1))
    outbox.put_event("one")
    outbox.put_status("simulator", "status")
    outbox.put_event("two")

    assert outbox.delay() == 0
    assert messages(outbox.take())[:3] == ["one", "two", "status"]
    assert outbox.delay() is None


def test_the_newest_status_of_a_source_replaces_the_one_that_waits() -> None:
    outbox, _ = make_outbox()
    for frame in ("down", "recovering", "live"):
        outbox.put_status("simulator", frame)
    outbox.put_status("coinbase", "other")

    assert messages(outbox.take()) == ["live", "other"]


def test_too_many_unread_answers_overflow_and_are_not_kept() -> None:
    outbox, _ = make_outbox()
    for _ in range(MAX_EVENTS):
        outbox.put_event("x")

    with pytest.raises(Overflow):
        outbox.put_event("one more")
    assert len(messages(outbox.take())) == MAX_EVENTS
    outbox.put_event("again")


def test_memory_is_bounded_by_the_subscriptions_however_slow_the_reader() -> None:
    outbox, _ = make_outbox()
    for seq in range(10_000):
        outbox.put(changes(A=seq, B=seq))
        outbox.put_portfolio(1, portfolio({}))

    assert len(messages(outbox.take())) == 3
    assert outbox.conflated == 3 * 9_999


def test_two_data_frames_may_stand_unconfirmed() -> None:
    outbox, _ = make_outbox(acks=True, batch=True)
    for seq in (1, 2):
        outbox.put(changes(A=seq))
        (frame,) = decoded(outbox.take())
        assert frame["frame"] == seq
    outbox.put(changes(A=3))

    assert outbox.delay() is None
    assert outbox.take() == b""
    assert outbox.acknowledge(1)
    assert outbox.delay() == 0
    (frame,) = decoded(outbox.take())
    assert (frame["frame"], frame["data"]) == (3, [{"symbol": "A", "seq": 3}])


def test_a_full_window_holds_back_data_and_not_answers() -> None:
    outbox, _ = make_outbox(acks=True)
    outbox.put(changes(A=1, B=1, C=1))
    outbox.put_portfolio(1, portfolio({"v": 1}))

    assert [frame["frame"] for frame in decoded(outbox.take())] == [1, 2]
    outbox.put_event("pong")
    outbox.put_status("s", "status")
    assert outbox.delay() == 0
    assert messages(outbox.take()) == ["pong", "status"]
    assert outbox.acknowledge(2)
    assert [frame["type"] for frame in decoded(outbox.take())] == ["asset_update", "portfolio_update"]


def test_one_ack_confirms_all_frames_up_to_it_and_an_older_one_changes_nothing() -> None:
    outbox, _ = make_outbox(acks=True)
    outbox.put(changes(A=1, B=1))
    outbox.take()

    assert outbox.acknowledge(2)
    assert outbox.acknowledge(1)
    outbox.put(changes(A=2, B=2))
    assert len(messages(outbox.take())) == ACK_WINDOW


def test_a_frame_that_was_never_sent_cannot_be_confirmed() -> None:
    outbox, _ = make_outbox(acks=True)
    outbox.put(changes(A=1))

    assert not outbox.acknowledge(1)
    outbox.take()
    assert not outbox.acknowledge(2)
    assert outbox.acknowledge(1)


def test_at_most_max_rate_flushes_a_second_and_the_newest_value_then() -> None:
    outbox, clock = make_outbox(max_rate=2, batch=True)
    outbox.put(changes(A=1))
    assert outbox.delay() == 0
    assert quotes(outbox.take()) == [("A", 1)]
    outbox.put(changes(A=2))
    outbox.put(changes(A=3))

    assert outbox.delay() == 0.5
    clock.moment += 0.4
    assert outbox.take() == b""
    assert outbox.delay() == pytest.approx(0.1)
    clock.moment += 0.1
    assert outbox.delay() == 0
    assert quotes(outbox.take()) == [("A", 3)]


def test_answers_are_not_slowed_by_max_rate() -> None:
    outbox, _ = make_outbox(max_rate=0.1)
    outbox.put(changes(A=1))
    outbox.take()
    outbox.put(changes(A=2))
    outbox.put_event("pong")

    assert outbox.delay() == 0
    assert messages(outbox.take()) == ["pong"]
    assert outbox.delay() == 10


def test_answers_on_a_full_window_do_not_put_off_the_next_data() -> None:
    outbox, clock = make_outbox(max_rate=1, acks=True, batch=True)
    for seq in (1, 2, 3):
        outbox.put(changes(A=seq))
        outbox.take()
        clock.moment += 1
    outbox.put_event("pong")
    assert messages(outbox.take()) == ["pong"]

    assert outbox.acknowledge(2)

    assert outbox.delay() == 0
    assert quotes(outbox.take()) == [("A", 3)]


def test_a_busy_feed_gives_at_most_max_rate_flushes() -> None:
    outbox, clock = make_outbox(max_rate=5, batch=True)
    taken = 0
    for seq in range(1000):
        outbox.put(changes(A=seq))
        if outbox.delay() == 0:
            taken += len(messages(outbox.take()))
        clock.moment += 0.01

    assert 45 <= taken <= 51


def test_forgetting_a_symbol_drops_only_its_waiting_value() -> None:
    outbox, _ = make_outbox()
    shared = changes(A=1, B=1)
    outbox.put(shared)
    outbox.forget({"A", "Z"})
    assert quotes(outbox.take()) == [("B", 1)]
    assert shared.payloads.keys() == {"A", "B"}

    outbox.put(changes(A=2))
    outbox.put(changes(B=2))
    outbox.forget({"A", "B"})
    assert outbox.delay() is None
    assert outbox.take() == b""


def test_forgetting_a_portfolio_drops_its_waiting_value() -> None:
    outbox, _ = make_outbox()
    outbox.put_portfolio(1, portfolio({}))
    outbox.put_portfolio(2, portfolio({}))
    outbox.forget_portfolio(1)
    outbox.forget_portfolio(7)

    assert not outbox.has_portfolio(1)
    assert outbox.has_portfolio(2)
    assert len(messages(outbox.take())) == 1


class OutboxMachine(RuleBasedStateMachine):
    """A feed, a client and a writer in any order, for every kind of connection.

    Portfolios are put as `LivePortfolios` puts them: the changed positions, or all when a value still waits.
    """

    @initialize(batch=st.booleans(), max_rate=st.sampled_from([None, 1.0, 50.0]), acks=st.booleans())
    def open(self, batch: bool, max_rate: float | None, acks: bool) -> None:
        self.clock = Clock()
        self.outbox = Outbox(Options(batch=batch, max_rate=max_rate, acks=acks), self.clock)
        self.wakes = 0
        self.outbox.wake = self.count_wake
        self.seq = 0
        self.produced = self.delivered = self.dropped = 0
        self.last: dict[str, int] = {}  # what the client must have in the end
        self.seen: dict[str, int] = {}
        self.positions = {id: dict.fromkeys(SYMBOLS, 0) for id in PORTFOLIOS}
        self.seen_positions: dict[int, dict[str, int]] = {id: {} for id in PORTFOLIOS}
        self.events: list[str] = []
        self.seen_events: list[str] = []
        self.frame = self.acknowledged = 0
        self.taken_at: list[float] = []
        for id in PORTFOLIOS:
            self.put_portfolio(id, None)

    def count_wake(self) -> None:
        self.wakes += 1

    @rule(symbols=st.sets(st.sampled_from(SYMBOLS), min_size=1))
    def flush(self, symbols: set[str]) -> None:
        wakes = self.wakes
        self.seq += 1
        self.outbox.put(Changes({symbol: quote(symbol, self.seq) for symbol in sorted(symbols)}))
        self.last |= dict.fromkeys(symbols, self.seq)
        self.produced += len(symbols)
        assert self.wakes > wakes

    @rule(id=st.sampled_from(PORTFOLIOS), symbols=st.sets(st.sampled_from(SYMBOLS), min_size=1))
    def move_positions(self, id: int, symbols: set[str]) -> None:
        self.seq += 1
        self.positions[id] |= dict.fromkeys(symbols, self.seq)
        self.put_portfolio(id, symbols)

    def put_portfolio(self, id: int, symbols: set[str] | None) -> None:
        complete = symbols is None or self.outbox.has_portfolio(id)
        shown = {s: seq for s, seq in self.positions[id].items() if complete or s in (symbols or ())}
        self.outbox.put_portfolio(id, portfolio({"portfolio_id": id, "positions": shown}))
        self.produced += 1

    @rule(text=st.sampled_from(["pong", "subscribed", "error"]))
    def answer(self, text: str) -> None:
        frame = json.dumps({"type": text, "number": len(self.events)})
        self.events.append(frame)
        self.outbox.put_event(frame)

    @rule(symbols=st.sets(st.sampled_from(SYMBOLS), min_size=1))
    def unsubscribe(self, symbols: set[str]) -> None:
        waiting = {symbol for symbol in symbols if self.last.get(symbol, 0) > self.seen.get(symbol, 0)}
        self.dropped += len(waiting)
        self.outbox.forget(symbols)
        for symbol in symbols:
            if symbol in self.last:
                self.last[symbol] = self.seen.get(symbol, 0)

    @rule(seconds=st.sampled_from([0.001, 0.02, 1.0]))
    def wait(self, seconds: float) -> None:
        self.clock.moment += seconds

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if self.outbox.options.acks:
            frame = data.draw(st.integers(1, self.frame + 2))
            assert self.outbox.acknowledge(frame) == (frame <= self.frame)
            if frame <= self.frame:
                self.acknowledged = max(self.acknowledged, frame)

    @rule()
    def write(self) -> None:
        delay = self.outbox.delay()
        run = self.outbox.take()
        assert bool(run) == (delay == 0)
        self.read(decoded(run))

    def read(self, frames: list[dict[str, Any]]) -> None:
        data = [frame for frame in frames if frame["type"].endswith(("_update", "_updates"))]
        assert frames[len(frames) - len(data) :] == data
        self.seen_events += [json.dumps(frame) for frame in frames[: len(frames) - len(data)]]
        if data:
            self.taken_at.append(self.clock.moment)
        for frame in data:
            self.read_data(frame)

    def read_data(self, frame: dict[str, Any]) -> None:
        if self.outbox.options.acks:
            self.frame += 1
            assert frame["frame"] == self.frame
        else:
            assert "frame" not in frame
        if frame["type"] == "portfolio_update":
            self.read_positions(frame["data"])
            return
        assert (frame["type"] == "asset_updates") == self.outbox.options.batch
        updates = frame["data"] if self.outbox.options.batch else [frame["data"]]
        for update in updates:
            assert update["seq"] > self.seen.get(update["symbol"], 0), "never older after newer"
            self.seen[update["symbol"]] = update["seq"]
            self.delivered += 1

    def read_positions(self, data: dict[str, Any]) -> None:
        seen = self.seen_positions[data["portfolio_id"]]
        for symbol, seq in data["positions"].items():
            assert seq >= seen.get(symbol, 0)
            seen[symbol] = seq
        self.delivered += 1

    @invariant()
    def at_most_two_frames_are_unconfirmed(self) -> None:
        if hasattr(self, "outbox") and self.outbox.options.acks:
            assert self.frame - self.acknowledged <= ACK_WINDOW

    def teardown(self) -> None:
        """The client reads everything in the end: it has the last value of all, and the counts add up."""
        if not hasattr(self, "outbox"):
            return
        for _ in range(100):
            if self.outbox.options.acks and self.frame:
                self.outbox.acknowledge(self.frame)
                self.acknowledged = self.frame
            if self.outbox.delay() is None:
                break
            self.clock.moment += 1.0
            self.write()
        assert self.outbox.delay() is None
        assert {symbol: seq for symbol, seq in self.last.items() if seq} == self.seen
        assert self.seen_positions == self.positions
        assert self.seen_events == self.events
        assert self.outbox.conflated == self.produced - self.dropped - self.delivered
        if rate := self.outbox.options.max_rate:
            pauses = [later - sooner for sooner, later in itertools.pairwise(self.taken_at)]
            assert all(pause >= 1 / rate - 1e-6 for pause in pauses)


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
