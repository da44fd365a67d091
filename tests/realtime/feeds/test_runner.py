"""The runner: what it does when a connection opens, talks nonsense, falls silent, breaks, or is refused for good."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal

import pytest

from assets.market import Quote
from realtime.feeds.base import (
    Event,
    FeedError,
    Frame,
    FrameError,
    Mode,
    PolledFeed,
    Ready,
    RecordingEnded,
    Refused,
    Send,
)
from realtime.feeds.runner import FeedRunner, backoff
from tests.realtime.feeds.fakes import JumpingClock, PlainFeed, ScriptedWire, Step, WaitingSink, make_quote

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def running(runner: FeedRunner) -> AsyncIterator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        runner.stop()
        async with asyncio.timeout(30):
            await task


def make_runner(
    scripts: Iterable[Sequence[Step]], silence_after: float | None = None
) -> tuple[FeedRunner, WaitingSink, ScriptedWire, JumpingClock]:
    wire, sink, clock = ScriptedWire(scripts), WaitingSink(), JumpingClock()
    feed = PlainFeed(wire, silence_after=silence_after)
    return FeedRunner(feed, sink, clock=clock, random=random.Random(1)), sink, wire, clock


async def test_a_feed_is_live_only_when_data_flows() -> None:
    runner, sink, _, _ = make_runner([[b"nothing", b"A 1.50"]])
    async with running(runner):
        await sink.until(sink.quotes)
    assert sink.state_names == ["connecting", "live"]
    assert sink.quotes()[0].price == Decimal("1.50")


async def test_a_lost_connection_is_opened_again_and_subscribed_again() -> None:
    runner, sink, wire, _ = make_runner([[b"A 1", FeedError("lost")], [b"A 2"]])
    async with running(runner):
        runner.add_symbols(["B"])
        await sink.until(lambda: len(sink.quotes()) == 2)
    assert sink.state_names == ["connecting", "live", "recovering", "live"]
    assert ("recovering", "lost") in sink.states
    assert wire.sent[1] == ["open A,B"]


async def test_the_back_off_grows_until_data_flows_and_then_begins_anew() -> None:
    failures: list[Sequence[Step]] = [[FeedError("no")]] * 10
    runner, sink, _, clock = make_runner([*failures, [b"A 1", FeedError("no")], [b"A 2"]])
    runner._random = MostPatient()
    runner._delays = backoff(runner._random)
    async with running(runner):
        await sink.until(lambda: len(sink.quotes()) == 2)
    assert clock.sleeps == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 0.5]


async def test_an_accepted_subscription_alone_does_not_end_the_back_off() -> None:
    scripts: list[Sequence[Step]] = [[b"nothing", FeedError("dropped")]] * 4
    runner, sink, _, clock = make_runner([*scripts, [b"A 1"]])
    runner._random = MostPatient()
    runner._delays = backoff(runner._random)
    async with running(runner):
        await sink.until(sink.quotes)
    assert clock.sleeps == [0.5, 1, 2, 4]


class MostPatient(random.Random):
    """Full jitter at its longest."""

    def uniform(self, a: float, b: float) -> float:
        return b


async def test_full_jitter_stays_within_its_bounds() -> None:
    delays = backoff(random.Random(7))
    assert all(0 <= next(delays) <= limit for limit in (0.5, 1, 2, 4, 8, 16, 30, 30, 30))


async def test_a_vendor_that_names_a_waiting_time_is_obeyed() -> None:
    runner, sink, _, clock = make_runner([[FeedError("busy", retry_after=90)], [b"A 1"]])
    async with running(runner):
        await sink.until(sink.quotes)
    assert clock.sleeps == [90]


async def test_a_silent_connection_is_left_even_if_its_first_message_never_comes() -> None:
    runner, sink, _, _ = make_runner([[], [b"A 1"]], silence_after=0.5)
    async with running(runner):
        await sink.until(sink.quotes)
    assert sink.state_names == ["connecting", "silent", "recovering", "live"]


async def test_a_connection_that_falls_silent_later_is_left_too() -> None:
    runner, sink, _, _ = make_runner([[b"A 1"], [b"A 2"]], silence_after=0.5)
    async with running(runner):
        await sink.until(lambda: len(sink.quotes()) == 2)
    assert sink.state_names[:5] == ["connecting", "live", "silent", "recovering", "live"]


async def test_a_feed_that_has_become_patient_is_not_left_in_its_silence() -> None:
    class Patient(PlainFeed):
        def decode(self, frame: bytes) -> list[Event]:
            self.silence_after = None
            return super().decode(frame)

    wire, sink = ScriptedWire([[b"A 1"], [b"A 2"]]), WaitingSink()
    feed = Patient(wire, silence_after=0.05)
    async with running(FeedRunner(feed, sink, clock=JumpingClock())):
        await sink.until(sink.quotes)
        with pytest.raises(TimeoutError):
            await sink.until(lambda: len(sink.quotes()) == 2, seconds=0.2)
    assert sink.state_names == ["connecting", "live"]


async def test_garbage_alone_counts_as_silence() -> None:
    class Babbling(ScriptedWire):
        @asynccontextmanager
        async def open(self) -> AsyncIterator["Babbling"]:
            yield self

        async def receive(self) -> bytes:
            await asyncio.sleep(0.005)
            return b"garbage"

        async def send(self, frame: str) -> None: ...

    sink = WaitingSink()
    runner = FeedRunner(PlainFeed(Babbling([]), silence_after=0.5), sink, clock=JumpingClock())
    async with running(runner):
        await sink.until(lambda: "silent" in sink.state_names)


async def test_a_permanent_error_ends_the_feed_and_says_why() -> None:
    runner, sink, wire, clock = make_runner([[b"denied"], [b"A 1"]])
    await runner.run()
    assert sink.states[-1] == ("failed", "wrong key")
    assert len(wire.sent) == 1
    assert clock.sleeps == []


async def test_bad_frames_are_counted_logged_once_per_kind_and_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner, sink, _, _ = make_runner([[b"A", b"A", b"bug", b"A", b"bug", b"A 1"]])
    with caplog.at_level(logging.WARNING):
        async with running(runner):
            await sink.until(sink.quotes)
    assert runner.bad_frames == {"no_price": 3, "undecodable": 2}
    assert len([record for record in caplog.records if "bad frame" in record.message]) == 2
    assert sink.state_names == ["connecting", "live"]


async def test_symbols_come_and_go_on_an_open_connection() -> None:
    runner, sink, wire, _ = make_runner([[b"A 1"]])
    async with running(runner):
        await sink.until(sink.quotes)
        runner.add_symbols(["B", "A", "C"])
        runner.remove_symbols(["A", "nobody"])
        async with asyncio.timeout(30):
            while len(wire.sent[0]) < 3:
                await asyncio.sleep(0)
    assert wire.sent[0] == ["open A", "add B,C", "drop A"]
    assert runner.symbols == ("B", "C")


async def test_a_feed_without_symbols_waits_for_one() -> None:
    runner, sink, wire, _ = make_runner([[b"B 1"]])
    runner.remove_symbols(["A"])
    async with running(runner):
        await sink.until(lambda: sink.states)
        assert wire.sent == []
        runner.add_symbols(["B"])
        await sink.until(sink.quotes)
    assert wire.sent == [["open B"]]


async def test_a_feed_answers_through_its_runner_and_its_refusals_are_kept_out() -> None:
    class Answering(PlainFeed):
        def decode(self, frame: bytes) -> list[Event]:
            return [Refused(("A",), "unknown"), Send("again"), make_quote("B", "2")]

    wire, sink = ScriptedWire([[b"x"]]), WaitingSink()
    runner = FeedRunner(Answering(wire, ["A", "B"]), sink, clock=JumpingClock())
    async with running(runner):
        await sink.until(sink.quotes)
        async with asyncio.timeout(30):
            while "again" not in wire.sent[0]:
                await asyncio.sleep(0)
    assert runner.symbols == ("B",)
    assert runner.refused == {"A": "unknown"}
    assert not any(isinstance(event, Send) for event in sink.all_events)


async def test_a_feed_whose_every_symbol_is_refused_has_failed_until_it_gets_another() -> None:
    class Picky(PlainFeed):
        def decode(self, frame: bytes) -> list[Event]:
            return [Refused(("A",), "unknown")] if frame == b"no" else super().decode(frame)

    wire, sink = ScriptedWire([[b"no"], [b"B 1"]]), WaitingSink()
    runner = FeedRunner(Picky(wire), sink, clock=JumpingClock())
    async with running(runner):
        await sink.until(lambda: "failed" in sink.state_names)
        runner.add_symbols(["B"])
        await sink.until(sink.quotes)
    assert sink.state_names[-2:] == ["recovering", "live"]


async def test_a_recording_that_loops_is_recovering_and_live_again_without_a_delay() -> None:
    runner, sink, _, clock = make_runner(
        [[b"A 1", RecordingEnded(again=True)], [b"A 2", RecordingEnded(again=False)]]
    )
    await runner.run()
    assert sink.state_names == ["connecting", "live", "recovering", "live", "ended"]
    assert clock.sleeps == []


async def test_a_frame_is_recorded_before_it_is_decoded() -> None:
    class Kept:
        def __init__(self) -> None:
            self.frames: list[bytes] = []

        def write(self, frame: bytes, received_at: datetime) -> None:
            self.frames.append(frame)

    kept, sink = Kept(), WaitingSink()
    wire = ScriptedWire([[b"A", b"A 1"]])
    runner = FeedRunner(PlainFeed(wire), sink, clock=JumpingClock(), recorder=kept)
    async with running(runner):
        await sink.until(sink.quotes)
    assert kept.frames == [b"A", b"A 1"]


async def test_a_cancelled_runner_says_so_to_its_owner() -> None:
    runner, sink, _, _ = make_runner([[b"A 1"]])
    task = asyncio.create_task(runner.run())
    await sink.until(sink.quotes)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Asked(PolledFeed):
    source = "asked"
    modes: frozenset[Mode] = frozenset({"ltpc"})

    def __init__(self, answers: Iterable[FeedError | None]) -> None:
        self.symbols = ("A", "B", "C")
        self.answers = list(answers)
        self.batches: list[list[str]] = []

    async def poll(self, symbols: Iterable[str]) -> list[Event]:
        batch = list(symbols)
        self.batches.append(batch)
        error = self.answers.pop(0) if self.answers else None
        if error is not None:
            raise error
        return [make_quote(symbol) for symbol in batch]


async def test_a_polled_feed_is_asked_in_batches_every_interval() -> None:
    feed, sink, clock = Asked([]), WaitingSink(), JumpingClock()
    runner = FeedRunner(feed, sink, clock=clock, interval=30, batch_size=2)
    async with running(runner):
        await sink.until(lambda: len(sink.quotes()) >= 6)
    assert feed.batches[:4] == [["A", "B"], ["C"], ["A", "B"], ["C"]]
    assert set(clock.sleeps) == {30}
    assert sink.state_names == ["connecting", "live"]


async def test_a_polled_feed_recovers_after_the_time_that_its_vendor_named() -> None:
    feed, sink, clock = Asked([None, FeedError("429", retry_after=77)]), WaitingSink(), JumpingClock()
    runner = FeedRunner(feed, sink, clock=clock, interval=30)
    async with running(runner):
        await sink.until(lambda: sink.state_names == ["connecting", "live", "recovering", "live"])
    assert clock.sleeps[:2] == [30, 77]


@pytest.mark.parametrize(
    "answers",
    [
        [FrameError("bad_chart", "no price"), None, None] * 2,
        [None, FeedError("the vendor answered 500"), None] * 2,
    ],
)
async def test_a_batch_that_cannot_be_used_keeps_no_other_from_being_asked(
    answers: list[FeedError | None],
) -> None:
    feed, sink, clock = Asked(answers), WaitingSink(), JumpingClock()
    runner = FeedRunner(feed, sink, clock=clock, interval=30, batch_size=1)
    async with running(runner):
        await clock.until_slept(2)
    assert feed.batches[:6] == [["A"], ["B"], ["C"]] * 2
    assert sink.state_names == ["connecting", "live"] and set(clock.sleeps) == {30}
    assert sum(runner.bad_frames.values()) == 2


@pytest.mark.parametrize(
    ("error", "batches"),
    [(FeedError("cannot be reached"), 1), (FeedError("429", retry_after=9), 1), (FrameError("x", "x"), 3)],
)
async def test_a_vendor_that_answers_nothing_of_use_is_tried_again_later(
    error: FeedError, batches: int
) -> None:
    feed, sink, clock = Asked([error] * batches), WaitingSink(), JumpingClock()
    runner = FeedRunner(feed, sink, clock=clock, interval=30, batch_size=1)
    async with running(runner):
        await sink.until(sink.quotes)
    assert feed.batches[: batches + 1] == [*[["A"], ["B"], ["C"]][:batches], ["A"]]
    assert sink.states[1] == ("recovering", str(error))


class ModalFeed(PlainFeed):
    """Says in its frames which mode each symbol is wanted in."""

    modes = frozenset({"ltpc", "full"})
    base_mode = "ltpc"

    def opened(self, wants: Mapping[str, Mode]) -> list[str]:  # type: ignore[override]
        return [f"open {dict(wants)}"]

    def change_mode(self, wants: Mapping[str, Mode]) -> list[Frame]:
        return [f"mode {dict(wants)}".encode()]


async def test_a_richer_mode_is_asked_for_and_given_back_and_survives_a_reconnect() -> None:
    wire, sink = ScriptedWire([[b"A 1"], [b"A 2"]]), WaitingSink()
    runner = FeedRunner(ModalFeed(wire, ("A", "B")), sink, clock=JumpingClock())
    async with running(runner):
        await sink.until(sink.quotes)
        runner.set_modes({"A": "full", "UNKNOWN": "full"})
        runner.set_modes({"A": "full"})  # nothing new
        runner.set_modes({})
        runner.set_modes({"B": "full"})
        await wire.until_sent(4)
        wire.drop(FeedError("lost"))
        await sink.until(lambda: len(sink.quotes()) == 2)
    assert wire.sent == [
        [
            "open {'A': 'ltpc', 'B': 'ltpc'}",
            b"mode {'A': 'full'}",
            b"mode {'A': 'ltpc'}",
            b"mode {'B': 'full'}",
        ],
        ["open {'A': 'ltpc', 'B': 'full'}"],
    ]


async def test_a_vendor_that_lets_us_in_is_live_but_only_data_ends_the_back_off() -> None:
    class Quiet(PlainFeed):
        def decode(self, frame: bytes) -> list[Event]:
            return [Ready()] if frame == b"welcome" else super().decode(frame)

    wire, sink, clock = (
        ScriptedWire([[b"welcome", FeedError("out")]] * 3 + [[b"A 1"]]),
        WaitingSink(),
        JumpingClock(),
    )
    runner = FeedRunner(Quiet(wire), sink, clock=clock, random=MostPatient())
    async with running(runner):
        await sink.until(sink.quotes)
    assert sink.state_names == [
        "connecting",
        "live",
        "recovering",
        "live",
        "recovering",
        "live",
        "recovering",
        "live",
    ]
    assert clock.sleeps == [0.5, 1, 2]
    assert all(isinstance(event, Quote) for event in sink.all_events)
