"""What the rows read and judge by: metrics, recorded results, Redis' counts, slow readers. No time is asserted."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from benchmarks import __main__ as command
from benchmarks.baselines import frame, nginx_conf
from benchmarks.bench import Bench, Scenario, subscription
from benchmarks.metrics import total
from benchmarks.outcome import Outcome, Row
from benchmarks.programs import ServerError
from benchmarks.redis_commands import Commands, commands_of
from benchmarks.rows.feed import outcome_of, recording
from benchmarks.rows.unwatched import TICKING, few_watched
from benchmarks.servers import Market
from benchmarks.slow_reader import SlowReader, SlowReaderError


def test_a_row_that_fails_does_not_end_the_run() -> None:
    def fails(bench: Bench) -> Outcome:
        raise ServerError("a program ended\n--- web\nlong log")

    row = Row("1", "what", "target", fails)
    assert command.outcome_of(row, cast(Bench, None)).met == "failed: a program ended"


def test_rows_can_be_chosen_by_their_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.parser().parse_args(["--rows", "4", "nchan"]).rows == ["4", "nchan"]
    with pytest.raises(SystemExit):
        command.parser().parse_args(["--rows", "99"])
    assert "invalid choice: '99'" in capsys.readouterr().err


def test_a_scenario_offers_every_tick_to_every_socket() -> None:
    assert Scenario("x", Market(200.0), sockets=10, watched=50).offered == 100_000


def test_symbols_can_be_watched_in_steps() -> None:
    symbols = json.loads(subscription(3, one_in=100))["data"]["symbols"]
    assert symbols == ["AAPL", "SIM0101", "SIM0201"]


def test_closes_are_summed_over_all_processes() -> None:
    metrics = (
        "# TYPE ws_closed_total counter\n"
        'ws_closed_total{code="4000",process="a"} 20.0\n'
        'ws_closed_total{code="1006",process="a"} 7.0\n'
        'ws_closed_total{code="4000",process="b"} 30.0\n'
    )
    assert total(metrics, "ws_closed_total", code="4000") == 50
    assert total(metrics, "ws_closed_total", code="4001") == 0
    assert total(metrics, "ws_closed_total", process="a") == 27
    assert total(metrics, "ws_closed") == 0


def test_what_a_flush_costs_is_what_was_asked_between_two_moments() -> None:
    before = commands_of({"publish": 10, "evalsha": 10, "hset": 480, "zadd": 7, "info": 3})
    after = commands_of({"publish": 30, "evalsha": 30, "hset": 1490, "zadd": 900, "info": 9})
    assert after.since(before) == Commands(1050, 20)
    assert after.since(before).per_message == 52.5


def test_the_feeds_result_is_judged_by_its_ratio() -> None:
    told = {
        "frames": 4619,
        "ours_frames_per_second": 300_000,
        "cryptofeed_frames_per_second": 150_000,
        "ratio": 2.0,
    }
    assert outcome_of(told).met == "yes"
    assert outcome_of({**told, "ratio": 1.9}).met == "no (ratio)"
    alone = outcome_of({**told, "cryptofeed_frames_per_second": None, "ratio": None, "note": "none here"})
    assert alone.met == "left out: none here" and alone.reached.startswith("300,000 frames/s")


def test_a_recording_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COINBASE_RECORDING", str(tmp_path / "none.tsv"))
    assert recording() is None
    (tmp_path / "none.tsv").touch()
    assert recording() == tmp_path / "none.tsv"


def test_others_send_frames_like_ours() -> None:
    message = json.loads(frame())
    assert message["type"] == "asset_update" and message["timestamp"] == message["data"]["as_of"] == "@"
    assert frame().count("@") == 2


def test_nchan_writes_nothing_outside_its_directory(tmp_path: Path) -> None:
    text = nginx_conf(tmp_path, Path("/modules/ngx_nchan_module.so"), 8123)
    assert "listen 127.0.0.1:8123;" in text
    assert text.count(str(tmp_path)) == 6  # the pid, five kinds of temporary files


def batch_of(number: int, age: timedelta) -> str:
    old, new = ((datetime.now(UTC) - age - more).isoformat() for more in (timedelta(minutes=1), timedelta()))
    data = [{"symbol": "A", "as_of": new, "name": "x" * 70_000}, {"symbol": "B", "as_of": old}]
    return json.dumps({"type": "asset_updates", "frame": number, "data": data})


async def take_from(frames: list[str], count: int, acks: bool) -> tuple[list[float], list[str]]:
    """Takes so many frames of a server that greets, hears the subscription, and sends these."""
    heard: list[str] = []

    async def talk(connection: ServerConnection) -> None:
        await connection.send('{"type":"connection","data":{}}')
        heard.append(str(await connection.recv()))
        await connection.ping(b"are you there")
        for text in frames:
            await connection.send(text)
        async for message in connection:
            heard.append(str(message))

    def read(port: int) -> list[float]:
        with SlowReader(port, "/", "Cookie: a=1", 65536, acks) as reader:
            reader.send("subscribe" * 20)
            return [reader.take() for _ in range(count)]

    async with serve_websockets(talk, "127.0.0.1", 0, compression=None) as server:
        ages = await asyncio.to_thread(read, next(iter(server.sockets)).getsockname()[1])
    return ages, heard


@pytest.mark.asyncio
async def test_a_slow_reader_tells_the_age_of_the_newest_value_and_confirms() -> None:
    frames = [batch_of(number, timedelta(seconds=3)) for number in (1, 2)]
    ages, heard = await take_from(frames, 2, acks=True)
    assert len(ages) == 2 and all(3 <= age < 60 for age in ages)
    assert heard == ["subscribe" * 20, *(f'{{"type": "ack", "data": {{"frame": {n}}}}}' for n in (1, 2))]


@pytest.mark.asyncio
async def test_a_slow_reader_that_is_refused_says_why() -> None:
    with pytest.raises(SlowReaderError, match="unknown_symbol"):
        await take_from(['{"type":"error","data":{"code":"unknown_symbol"}}'], 1, acks=False)


@pytest.mark.parametrize("ticking", TICKING)
def test_the_watched_symbols_are_spread_over_all_that_tick(ticking: int) -> None:
    scenario = few_watched(ticking)
    symbols = json.loads(scenario.subscriptions[0])["data"]["symbols"]
    assert len(symbols) == 50 and symbols[-1] == f"SIM{ticking - ticking // 50 + 1:04d}"
    assert scenario.market.symbols == ticking
