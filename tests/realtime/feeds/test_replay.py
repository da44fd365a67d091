"""Replay and recorder: the same frames out as in, in their own pace, and clear words about a wrong file."""

import asyncio
import errno
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.market import AccountEvent
from realtime.feeds.base import Event, FeedError, Refused
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.recorder import LARGEST_BACKLOG_BYTES, Recorder
from realtime.feeds.replay import ReplayFeed, read_recording, survey
from realtime.feeds.runner import FeedRunner
from tests.realtime.feeds.fakes import START, JumpingClock, PlainFeed, ScriptedWire, WaitingSink, make_quote
from tests.realtime.feeds.test_runner import running
from tests.vendors.coinbase import CoinbaseExchange
from tests.vendors.frames import Frames, last_prices, made_up, read_any_frames, write_frames

TICKER = '{"type":"ticker","product_id":"ABC-USD","price":"%s","time":"2021-04-17T16:43:37.056746Z"}'


def three_tickers(path: Path) -> Path:
    return write_frames(path, [(100.0, TICKER % "1.10"), (101.5, TICKER % "1.20"), (104.0, TICKER % "1.30")])


def replay(
    path: Path, speed: float = 1.0, loop: bool = False
) -> tuple[FeedRunner, WaitingSink, JumpingClock]:
    sink, clock = WaitingSink(), JumpingClock()
    feed = ReplayFeed(path, CoinbaseFeed(), speed=speed, loop=loop, clock=clock)
    return FeedRunner(feed, sink, clock=clock), sink, clock


# -- pace


@pytest.mark.asyncio
async def test_a_recording_is_played_in_its_own_pace_and_its_times_stay_old(tmp_path: Path) -> None:
    runner, sink, clock = replay(three_tickers(tmp_path / "r.tsv"))
    await runner.run()
    assert [str(quote.price) for quote in sink.quotes()] == ["1.10", "1.20", "1.30"]
    assert {quote.as_of for quote in sink.quotes()} == {datetime(2021, 4, 17, 16, 43, 37, 56746, tzinfo=UTC)}
    assert clock.sleeps == [1.5, 2.5]
    assert sink.state_names == ["connecting", "live", "ended"]


@pytest.mark.asyncio
async def test_it_can_be_played_faster(tmp_path: Path) -> None:
    runner, _, clock = replay(three_tickers(tmp_path / "r.tsv"), speed=10)
    await runner.run()
    assert clock.sleeps == pytest.approx([0.15, 0.25])


@pytest.mark.asyncio
async def test_each_round_of_a_loop_is_a_new_epoch(tmp_path: Path) -> None:
    runner, sink, _ = replay(three_tickers(tmp_path / "r.tsv"), loop=True)
    async with running(runner):
        await sink.until(lambda: len(sink.quotes()) == 7)
    assert sink.state_names[:6] == ["connecting", "live", "recovering", "live", "recovering", "live"]
    assert [str(quote.price) for quote in sink.quotes()[:4]] == ["1.10", "1.20", "1.30", "1.10"]


@pytest.mark.asyncio
async def test_a_loop_over_frames_without_data_does_not_spin(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "r.tsv", [(1.0, '{"type":"status"}')])
    runner, _, clock = replay(path, loop=True)
    async with running(runner):
        await clock.until_slept(10)
    assert sum(clock.sleeps) > 5


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="expected a speed above 0"):
        ReplayFeed("r.tsv", CoinbaseFeed(), speed=speed)


# -- wrong files


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "was an empty file"),
        (b"just a line\n", "line 1: expected seconds, a tab and a frame"),
        (b"1.5\t{}\nsoon\t{}\n", "line 2: expected seconds, a tab and a frame, was b'soon"),
        (b"1.5\t{}\n1.6\t\n", "line 2"),
        (b"1.5\t{}\n\n1.7\t{}\n", "line 2"),
        (b"nan\t{}\n", "line 1"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_line(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "wrong.tsv"
    path.write_bytes(content)
    with pytest.raises(FeedError) as caught:
        survey(path, CoinbaseFeed())
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert caught.value.permanent


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.tsv", tmp_path):
        with pytest.raises(FeedError, match="cannot read the recording"):
            survey(path, CoinbaseFeed())


@pytest.mark.asyncio
async def test_a_wrong_file_fails_the_feed_for_good(tmp_path: Path) -> None:
    runner, sink, _ = replay(tmp_path / "nowhere.tsv", loop=True)
    await runner.run()
    assert sink.states[-1][0] == "failed"
    assert "No such file" in sink.states[-1][1]


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = three_tickers(tmp_path / "r.tsv")
    path.write_bytes(path.read_bytes() + b"16186778")
    assert len(list(read_recording(path))) == 3


def test_a_survey_tells_what_a_recording_holds(tmp_path: Path) -> None:
    frames: Frames = [*made_up(["ABC-USD", "DEF-EUR"], 50), (1618677900.0, '{"type":"tick')]
    found = survey(write_frames(tmp_path / "r.tsv", frames), CoinbaseFeed())
    assert (found.frames, found.bad_frames, found.symbols) == (len(frames), 1, ("ABC-USD", "DEF-EUR"))
    assert found.seconds == pytest.approx(83, abs=0.01)


# -- the recorder


@given(
    frames=st.lists(
        st.tuples(
            st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=80
            ),
            st.floats(0, 4e9),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_recorded_is_what_is_replayed(tmp_path: Path, frames: list[tuple[str, float]]) -> None:
    path = tmp_path / "r.tsv"
    path.unlink(missing_ok=True)
    with Recorder(path) as recorder:
        for text, seconds in frames:
            recorder.write(text.encode(), datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
    read = list(read_recording(path))
    assert [frame.decode() for _, frame in read] == [text for text, _ in frames]
    assert [arrived for arrived, _ in read] == pytest.approx([seconds for _, seconds in frames], abs=1e-5)


def test_a_frame_of_several_lines_stays_one(tmp_path: Path) -> None:
    with Recorder(tmp_path / "r.tsv") as recorder:
        recorder.write(b'{\r\n"type": "ticker"\n}', START)
    assert [frame for _, frame in read_recording(tmp_path / "r.tsv")] == [b'{  "type": "ticker" }']


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x08\x01",
        b"\n\x05hello",
        b"\xff\xfe\x00",
        b"base64:",
        b"base64:aGVsbG8=",
        b'{"half": "\xff"}',
        "kein JSON: ä".encode(),
        bytes(range(256)),
    ],
)
def test_a_frame_that_is_no_line_of_text_comes_back_to_the_byte(tmp_path: Path, frame: bytes) -> None:
    with Recorder(tmp_path / "r.tsv") as recorder:
        recorder.write(frame, START)
    assert (tmp_path / "r.tsv").read_bytes().partition(b"\t")[2].startswith(b"base64:")
    assert [frame for _, frame in read_recording(tmp_path / "r.tsv")] == [frame]
    assert [frame for _, frame in read_any_frames(tmp_path / "r.tsv")] == [frame]


@given(frames=st.lists(st.binary(max_size=60), min_size=1, max_size=10))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_binary_frames_are_replayed_as_they_came(tmp_path: Path, frames: list[bytes]) -> None:
    path = tmp_path / "r.tsv"
    path.unlink(missing_ok=True)
    frames = [b"\x08" + frame for frame in frames]
    with Recorder(path) as recorder:
        for frame in frames:
            recorder.write(frame, START)
    assert [frame for _, frame in read_recording(path)] == frames


def test_frames_that_are_no_base64_are_refused_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "r.tsv").write_bytes(b"1.5\tbase64:aGVsbG8=\n1.6\tbase64:no!\n")
    with pytest.raises(FeedError, match="line 2: expected a frame in base64"):
        list(read_recording(tmp_path / "r.tsv"))


def frames_of(path: Path) -> list[str]:
    return [frame.decode() for _, frame in read_recording(path)]


def test_a_full_file_is_set_aside_under_the_time_of_its_first_frame_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    (tmp_path / "r-mine.tsv").write_text("no business of ours")
    with Recorder(path, largest_file_bytes=60, files_kept=3) as recorder:
        for number in range(9):  # 25 bytes each
            recorder.write(b"frame %d" % number, START + timedelta(seconds=number))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "r-20260314T150930000000Z.tsv",
        "r-20260314T150932000000Z.tsv",
        "r-mine.tsv",
        "r.tsv",
    ]
    kept = sorted(tmp_path.glob("r-2*"))
    assert [frames_of(file) for file in (*kept, path)] == [
        ["frame 4", "frame 5"],
        ["frame 6", "frame 7"],
        ["frame 8"],
    ]
    assert recorder.written == 9


def test_a_file_that_was_there_counts_and_a_huge_frame_has_one_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    for frames in ([b"one"], [b"x" * 100, b"two"]):
        with Recorder(path, largest_file_bytes=50, files_kept=5) as recorder:
            for frame in frames:
                recorder.write(frame, START)
    kept = sorted(tmp_path.glob("r-*"))
    assert [frames_of(file) for file in (*kept, path)] == [["one"], ["x" * 100], ["two"]]


def test_only_one_file_may_be_kept(tmp_path: Path) -> None:
    with Recorder(tmp_path / "r.tsv", largest_file_bytes=1, files_kept=1) as recorder:
        for number in range(5):
            recorder.write(b"frame %d" % number, START)
    assert [frames_of(file) for file in tmp_path.iterdir()] == [["frame 4"]]


def test_a_file_that_cannot_be_set_aside_does_not_grow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with caplog.at_level(logging.ERROR), Recorder(tmp_path / "r.tsv", largest_file_bytes=30) as recorder:
        for number in range(3):
            recorder.write(b"frame %d" % number, START)
    assert (recorder.written, recorder.left_out) == (1, 2)
    assert [record.message.partition("out: ")[2] for record in caplog.records] == ["Permission denied"]


def test_the_account_of_who_recorded_is_not_replayed() -> None:
    event = AccountEvent(kind="order", key="7", as_of=START)

    class Private(PlainFeed):
        def decode(self, frame: bytes) -> list[Event]:
            return [make_quote(), event, Refused(("A",), "no")]

    feed = ReplayFeed("r.tsv", Private(ScriptedWire([])))
    assert feed.decode(b"any") == [make_quote()]


def test_a_recorder_appends_to_what_is_there(tmp_path: Path) -> None:
    for frame in (b"one", b"two"):
        with Recorder(tmp_path / "r.tsv") as recorder:
            recorder.write(frame, START)
    assert [frame for _, frame in read_recording(tmp_path / "r.tsv")] == [b"one", b"two"]


def test_a_file_that_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Recorder(tmp_path / "no such folder" / "r.tsv")


def test_a_full_disk_costs_frames_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.tsv"
    write = os.write
    room = [10]

    def filling(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_ino != path.stat().st_ino:
            return write(descriptor, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = min(room[0], len(data))
        room[0] -= part
        return write(descriptor, data[:part])

    monkeypatch.setattr(os, "write", filling)
    recorder = Recorder(path)
    with caplog.at_level(logging.ERROR):
        for number in range(5):
            recorder.write(b"lost %d" % number, START)
        recorder.close()
    assert recorder.left_out == 5
    assert [record.message for record in caplog.records] == [
        f"recording {path}: frames are left out: No space left on device"
    ]
    assert path.read_bytes() == b""  # no half of a line stays behind
    room[0] = 10**6
    with Recorder(path) as recorder:
        recorder.write(b"kept", START)
    assert [frame for _, frame in read_recording(path)] == [b"kept"]


def test_a_backlog_is_bounded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r.tsv")
    recorder.write(b"x" * (LARGEST_BACKLOG_BYTES + 1), START)
    recorder.close()
    assert (recorder.written, recorder.left_out) == (0, 1)


@pytest.mark.asyncio
async def test_a_recorded_session_plays_back_to_the_same_prices(tmp_path: Path) -> None:
    session = made_up(["ABC-USD", "DEF-EUR"], 400)
    path = tmp_path / "r.tsv"
    sink = WaitingSink()
    async with CoinbaseExchange(session, speed=float("inf")) as exchange:
        feed = CoinbaseFeed(exchange.products, url=exchange.url)
        with Recorder(path) as recorder:
            async with running(FeedRunner(feed, sink, recorder=recorder)):
                await exchange.finished.wait()
                await sink.until(lambda: sink.last_prices() == last_prices(session))
    again, replayed, _ = replay(path)
    async with asyncio.timeout(60):
        await again.run()
    assert replayed.last_prices() == last_prices(session)
    assert [q.price for q in replayed.quotes()] == [q.price for q in sink.quotes()]
