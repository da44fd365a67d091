"""The benchmark's own parts: the load client counts right, the table says it. No time is asserted anywhere."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from benchmarks import machine, report
from benchmarks.load_client import Load, LoadClient, LoadClientError, Reading, build
from benchmarks.report import Measurement

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

READING = Reading(
    seconds=2.0, frames=1000, updates=50_000, bytes=1, aged=50_000, p50_ms=1.234, p99_ms=12.0, max_ms=20.0,
    cpu_seconds=0.5, fewest=500, most=500,
)  # fmt: skip
PLAIN = Measurement("plain", "saturated", 9e3, replace(READING, frames=1000, updates=1000), 0.5, 0.25)
BATCH = Measurement("batch", "saturated", 9e5, READING, 1.0, 0.5)


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


async def read(directory: Path, port: int, begun: list[bool]) -> Reading:
    load = Load(
        port=port, path="/any/?batch=1", sockets=2, subscriptions=["subscribe"], settle=0.1, seconds=1.0,
        headers=["Cookie: a=1", "Cookie: a=2"],
    )  # fmt: skip
    client = LoadClient(directory)
    return await asyncio.to_thread(client.read, load, lambda: begun.append(True))


@needs_compiler
@pytest.mark.asyncio
async def test_the_load_client_counts_frames_updates_and_ages(tmp_path: Path) -> None:
    begun: list[bool] = []
    long_ago = timedelta(seconds=3)
    frames = [frame(50, long_ago), frame(1, long_ago), frame(1, long_ago, spaces=True)]
    async with server_of(frames) as (port, heard):
        reading = await read(tmp_path, port, begun)
    assert begun == [True]
    assert sorted(heard) == ["a=1", "a=2", "subscribe", "subscribe"]
    assert reading.frames > 0
    # Each round of 3 frames has 52 updates; the first and last round of each socket may be cut.
    assert abs(reading.updates - reading.frames // 3 * 52) <= 4 * 52
    assert reading.aged == reading.updates
    assert 3000 <= reading.p50_ms <= reading.p99_ms
    assert reading.fewest + reading.most == reading.frames


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


def test_the_table_compares_each_row_with_plain_channels() -> None:
    headings, rule, batch, plain = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in report.table([BATCH, PLAIN], PLAIN).splitlines()
    )
    assert len(headings) == len(rule) == len(batch) == len(plain)
    cells = dict(zip(headings[:8], batch[:8], strict=True))
    assert cells["frames/s"] == "500" and cells["updates/s"] == "25,000" and cells["x plain"] == "50"
    assert cells["p50 ms"] == "1.2" and cells["p99 ms"] == "12.0"
    assert batch[8:] == ["100%", "50%", "25%", "25,000", "25"]
    assert plain[-1] == "1.0"


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
    assert report.with_results(report.README.read_text(), "new").count("new") == 1


def test_the_machine_is_described() -> None:
    lines = machine.description(machine.split_cores(), 0.5)
    assert any("Python 3" in line for line in lines) and any("channels-redis" in line for line in lines)
