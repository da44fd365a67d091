"""The benchmark's own parts: the load client counts right, the tables say it. No time is asserted anywhere."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from benchmarks import machine, report
from benchmarks.bench import Measurement
from benchmarks.load_client import Ages, Load, LoadClient, LoadClientError, Reading, build, check
from benchmarks.outcome import Check, Outcome, Row, failed, left_out
from benchmarks.rows import ROWS

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

READING = Reading(
    connect_seconds=0.5, seconds=2.0, frames=1000, updates=50_000, bytes=330_000, closed=0, errors=0, fewest=500,
    most=500, aged=50_000, cpu_seconds=0.5, age=Ages(1.234, 12.0, 20.0),
)  # fmt: skip
BATCH = Measurement("batch", 9e5, READING, web_cpu=1.0, feed_cpu=0.5, most_bytes=80_000_000)


def frame(symbols: int, age: timedelta, spaces: bool = False) -> str:
    as_of = (datetime.now(UTC) - age).isoformat(timespec="microseconds").replace("+00:00", "Z")
    updates = [{"symbol": f"S{number}", "price": 1.5, "as_of": as_of} for number in range(symbols)]
    separators = (", ", ": ") if spaces else (",", ":")
    if symbols == 1:
        return json.dumps({"type": "asset_update", "data": updates[0]}, separators=separators)
    return json.dumps({"type": "asset_updates", "data": updates, "timestamp": as_of}, separators=separators)


@asynccontextmanager
async def server_of(frames: list[str], every: float = 0.01) -> AsyncIterator[tuple[int, list[str]]]:
    """Sends the frames again and again to whoever has subscribed; yields its port and what it was sent."""
    heard: list[str] = []

    async def talk(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        heard.append(request.headers.get("Cookie", ""))
        await connection.send(json.dumps({"type": "connection", "data": {"limits": {}}}))
        heard.append(str(await connection.recv()))
        while True:
            for text in frames:
                await connection.send(text)
            await asyncio.sleep(every)

    async with serve_websockets(talk, "127.0.0.1", 0, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1], heard


async def read(directory: Path, port: int, events: list[str], **options: Any) -> Reading:
    load = Load(
        port=port, path="/any/?batch=1", sockets=2, subscriptions=["subscribe"], settle=0.1, seconds=1.0,
        headers=["Cookie: a=1", "Cookie: a=2"],
    )  # fmt: skip

    def hear(event: str, told: Mapping[str, Any]) -> None:
        events.append(event)

    return await asyncio.to_thread(LoadClient(directory).read, replace(load, **options), hear)


@needs_compiler
@pytest.mark.asyncio
async def test_the_load_client_counts_frames_updates_and_ages(tmp_path: Path) -> None:
    events: list[str] = []
    long_ago = timedelta(seconds=3)
    frames = [frame(50, long_ago), frame(1, long_ago), frame(1, long_ago, spaces=True)]
    async with server_of(frames) as (port, heard):
        reading = await read(tmp_path, port, events)
    assert events[:3] == ["connected", "answered", "measuring"] and set(events[3:]) == {"tick"}
    assert sorted(heard) == ["a=1", "a=2", "subscribe", "subscribe"]
    assert reading.frames > 0
    # Each round of 3 frames has 52 updates; the first and last round of each socket may be cut.
    assert abs(reading.updates - reading.frames // 3 * 52) <= 4 * 52
    assert reading.aged == reading.updates
    assert 3000 <= reading.age.p50_ms <= reading.age.p99_ms
    assert 3000 <= reading.newest.p50_ms and 3000 <= reading.sent.p50_ms
    assert reading.fewest + reading.most == reading.frames


@needs_compiler
@pytest.mark.asyncio
async def test_the_newest_update_of_a_frame_has_its_own_age(tmp_path: Path) -> None:
    old, new = (json.loads(frame(1, timedelta(seconds=age)))["data"] for age in (9, 3))
    mixed = json.dumps({"type": "asset_updates", "data": [new, old]}, separators=(",", ":"))
    async with server_of([mixed]) as (port, _):
        reading = await read(tmp_path, port, [])
    assert reading.age.max_ms > 9000
    assert 3000 <= reading.newest.p50_ms < 9000


def portfolio(positions: int, age: timedelta) -> str:
    data = [json.loads(frame(1, age))["data"] for _ in range(positions)]
    value = {"portfolio_id": 1, "unpriced": [{"symbol": "X"}], "positions": data}
    return json.dumps({"type": "portfolio_update", "data": value}, separators=(",", ":"))


@needs_compiler
@pytest.mark.asyncio
async def test_positions_of_portfolios_are_counted_one_by_one(tmp_path: Path) -> None:
    # The second has no price at all, and is an update nevertheless.
    async with server_of([portfolio(5, timedelta(seconds=3)), portfolio(0, timedelta())]) as (port, _):
        reading = await read(tmp_path, port, [])
    assert abs(reading.updates - reading.frames * 3) <= 2 * 3 and reading.frames > 0
    assert reading.aged <= reading.updates - reading.frames // 2 + 2 and reading.age.p50_ms >= 3000


@needs_compiler
@pytest.mark.asyncio
async def test_the_age_of_a_flush_is_that_of_the_newest_value_of_all_frames(tmp_path: Path) -> None:
    old, new = (portfolio(2, timedelta(seconds=age)) for age in (9, 3))
    async with server_of([new, old]) as (port, _):
        reading = await read(tmp_path, port, [])
    assert reading.newest.p99_ms > 9000
    assert 3000 <= reading.flush.p50_ms < 9000  # the very first may be an old one


@needs_compiler
@pytest.mark.asyncio
async def test_each_socket_may_have_a_subscription_of_its_own(tmp_path: Path) -> None:
    async with server_of([frame(1, timedelta())]) as (port, heard):
        lines = [f"mine is {number}" for number in range(5)]
        reading = await read(
            tmp_path, port, [], sockets=5, subscriptions=lines, own_subscription=True, in_flight=2
        )
    assert sorted(text for text in heard if text.startswith("mine")) == lines
    assert reading.subscribe_seconds > 0


@needs_compiler
@pytest.mark.asyncio
async def test_handshakes_alone_end_with_the_greeting_of_the_last(tmp_path: Path) -> None:
    events: list[str] = []
    async with server_of([]) as (port, heard):
        reading = await read(tmp_path, port, events, sockets=20, in_flight=7, seconds=0)
    assert len(heard) >= 20 and set(heard) == {"a=1", "a=2"}
    assert reading.connect_seconds > 0 and reading.frames == 0


@needs_compiler
@pytest.mark.asyncio
async def test_a_stuck_socket_is_named_and_not_counted(tmp_path: Path) -> None:
    ports: list[int] = []

    def hear(event: str, told: Mapping[str, Any]) -> bool:
        ports.extend(told.get("stuck_ports", []))
        return event == "tick"

    async with server_of([frame(1, timedelta())]) as (port, _):
        load = Load(port=port, path="/", sockets=3, subscriptions=["x"], settle=0.1, seconds=60, stuck=2)
        reading = await asyncio.to_thread(LoadClient(tmp_path).read, load, hear)
    assert len(set(ports)) == 2
    assert reading.seconds < 60  # the listener ended it
    assert reading.fewest == reading.most == reading.frames > 0


@needs_compiler
@pytest.mark.asyncio
async def test_a_frame_longer_than_64_kilobytes_is_counted_whole(tmp_path: Path) -> None:
    async with server_of([frame(2000, timedelta())]) as (port, _):
        reading = await read(tmp_path, port, [])
    assert reading.updates == 2000 * reading.frames > 0


@needs_compiler
@pytest.mark.asyncio
async def test_a_refused_subscription_is_an_error(tmp_path: Path) -> None:
    refusal = json.dumps({"type": "subscribed", "data": {"results": [{"symbol": "S", "status": "error"}]}})
    async with server_of([refusal, frame(1, timedelta())]) as (port, _):
        with pytest.raises(LoadClientError, match="errors"):
            await read(tmp_path, port, [])


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadClientError, match="apt install gcc"):
        build(tmp_path)


def test_a_closed_socket_is_told_with_its_code() -> None:
    closed = replace(READING, closed=2, codes={"4000": 2})
    with pytest.raises(LoadClientError, match="2 closed \\(codes: 2 x 4000\\), 0 errors"):
        check(closed, Load(port=1, path="/", sockets=2))
    with pytest.raises(LoadClientError, match="expected updates"):
        check(replace(READING, updates=0), Load(port=1, path="/", sockets=2))


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_a_load_is_told_with_what_it_cost() -> None:
    headings, rule, batch = cells(report.loads([BATCH]))
    assert len(headings) == len(rule) == len(batch)
    assert dict(zip(headings, batch, strict=True)) == {
        "load": "batch", "offered updates/s": "900,000", "frames/s": "500", "bytes a frame": "330",
        "updates/s": "25,000",
        "p50 ms": "1.2", "p99 ms": "12.0", "web CPU": "100%", "feed CPU": "50%", "client CPU": "25%",
        "updates per web CPU s": "25,000", "web MB": "80",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("checks", "met"),
    [
        ((), ""),
        ((Check("a", 5, least=5), Check("b", 5, most=5)), "yes"),
        ((Check("a", 4.9, least=5), Check("b", 5.1, most=5), Check("c", 1)), "no (a, b)"),
    ],
)
def test_a_target_is_met_when_all_its_numbers_are(checks: tuple[Check, ...], met: str) -> None:
    assert Outcome("reached", checks=checks).met == met


def test_a_row_that_failed_shows_the_first_line_of_its_error() -> None:
    row = Row("9", "what", "target", lambda bench: Outcome())
    beside = Row("ws", "Node ws", "", lambda bench: Outcome())
    outcomes = {
        "9": (row, failed(LoadClientError("a program ended\n--- web\nlong | log"))),
        "ws": (beside, left_out("not installed")),
    }
    assert cells(report.targets(outcomes))[2:] == [["9", "what", "target", "", "", "failed: a program ended"]]
    assert cells(report.baselines(outcomes))[2:] == [["Node ws", "", "", "left out: not installed"]]


def test_every_target_has_a_row() -> None:
    numbers = [row.key for row in ROWS if row.target]
    assert numbers == sorted(numbers, key=int)
    assert len({row.key for row in ROWS}) == len(ROWS)


def test_results_replace_only_what_is_between_the_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write("new", readme)
    assert readme.read_text() == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"


def test_a_file_without_markers_is_not_written(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("something else")
    with pytest.raises(ValueError, match="expected <!-- results"):
        report.write("new", readme)
    assert readme.read_text() == "something else"


def test_our_own_readme_has_the_markers() -> None:
    assert report.with_results(report.README.read_text(), "new results").count("new results") == 1


def test_the_machine_is_described() -> None:
    lines = machine.description(machine.split_cores(), 0.5)
    assert any("Python 3" in line for line in lines) and any("channels-redis" in line for line in lines)


def test_the_connections_of_a_server_are_read_from_the_kernels_table() -> None:
    table = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0
   1: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0
   2: 0100007F:1F90 0100007F:D2F1 06 00000000:00000000 00:00000000 00000000  1000        0 0 3 0
   3: 0100007F:D2F0 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0
"""
    assert machine.peers_of(8080, table) == {0xD2F0}


def test_too_few_open_files_are_told_in_numbers() -> None:
    with pytest.raises(machine.MachineError, match="hard limit of at least"):
        machine.allow_open_files(2**40)
