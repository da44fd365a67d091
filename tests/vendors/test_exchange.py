"""The loopback exchange keeps to the protocol that it stands in for, or what is tested against it proves nothing."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.vendors.coinbase import CoinbaseExchange
from tests.vendors.frames import last_prices, made_up, rebuilt_books, write_frames

ROOT = Path(__file__).resolve().parents[2]
FAST = float("inf")


@asynccontextmanager
async def client(exchange: CoinbaseExchange) -> AsyncIterator[ClientConnection]:
    async with connect(exchange.url, proxy=None, close_timeout=0.2) as socket:
        yield socket


async def ask(socket: ClientConnection, **request: Any) -> dict[str, Any]:
    """Sends a request and returns what answers it, past the frames of the market."""
    await socket.send(json.dumps(request))
    while (message := await answer(socket))["type"] not in {"subscriptions", "error"}:
        pass
    return message


async def answer(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(30):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


@pytest.mark.asyncio
async def test_a_client_that_does_not_subscribe_is_dropped() -> None:
    async with CoinbaseExchange(made_up(), subscribe_seconds=0.1) as exchange, client(exchange) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()


@pytest.mark.asyncio
async def test_it_answers_then_sends_snapshots_then_the_frames_in_their_order() -> None:
    session = made_up()
    async with CoinbaseExchange(session, speed=FAST) as exchange, client(exchange) as socket:
        first = await ask(
            socket, type="subscribe", product_ids=list(exchange.products), channels=["ticker", "level2_batch"]
        )
        assert first == {
            "type": "subscriptions",
            "channels": [
                {"name": "ticker", "product_ids": ["ABC-USD", "DEF-EUR"], "account_ids": None},
                {"name": "level2_batch", "product_ids": ["ABC-USD", "DEF-EUR"], "account_ids": None},
            ],
        }
        wanted = [frame for _, frame in session if "match" not in json.loads(frame)["type"]]
        snapshots = [frame for frame in wanted if json.loads(frame)["type"] == "snapshot"]
        rest = [frame for frame in wanted if frame not in snapshots]
        assert [await socket.recv() for _ in wanted] == snapshots + rest


@pytest.mark.asyncio
async def test_who_comes_late_gets_the_book_as_it_is_by_then() -> None:
    session = made_up()
    async with CoinbaseExchange(session, speed=FAST) as exchange:
        async with client(exchange) as early:
            await ask(early, type="subscribe", product_ids=["ABC-USD"], channels=["ticker"])
            await exchange.finished.wait()
        async with client(exchange) as late:
            await ask(
                late,
                type="subscribe",
                product_ids=["DEF-EUR"],
                channels=["ticker", "matches", "level2_batch"],
            )
            snapshot, ticker, match = [await answer(late) for _ in range(3)]
    assert snapshot["bids"] == [[str(p), str(q)] for p, q in rebuilt_books(session)["DEF-EUR"].levels("buy")]
    assert ticker["price"] == last_prices(session)["DEF-EUR"]
    assert match["type"] == "last_match"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"channels": ["ticker"], "product_ids": ["ABC-USD", "NOPE-USD"]}, "NOPE-USD is not a valid product"),
        ({"product_ids": ["ABC-USD"]}, "No channels provided"),
        ({"channels": ["nope"], "product_ids": ["ABC-USD"]}, "nope is not a valid channel"),
        ({"channels": ["heartbeat"]}, "You need to specify at least one product ID for channel heartbeat"),
        ({"channels": ["level2"], "product_ids": ["ABC-USD"]}, "authentication required for this channel"),
        ({"channels": ["ticker"], "product_ids": ["ABC-USD"], "signature": "x"}, "invalid api key"),
    ],
)
async def test_a_subscribe_with_anything_wrong_is_refused_whole(
    request_: dict[str, Any], reason: str
) -> None:
    async with CoinbaseExchange(made_up()) as exchange, client(exchange) as socket:
        refusal = await ask(socket, type="subscribe", **request_)
        assert refusal == {"type": "error", "message": "Failed to subscribe", "reason": reason}
        good = await ask(socket, type="subscribe", channels=[{"name": "ticker", "product_ids": ["ABC-USD"]}])
        assert good["channels"][0]["product_ids"] == ["ABC-USD"]


@pytest.mark.asyncio
async def test_subscriptions_add_up_and_a_channel_is_dropped_whole() -> None:
    async with CoinbaseExchange(made_up(), speed=0.001) as exchange, client(exchange) as socket:
        await ask(socket, type="subscribe", product_ids=["ABC-USD"], channels=["matches"])
        more = await ask(socket, type="subscribe", product_ids=["DEF-EUR"], channels=["matches", "heartbeat"])
        assert [channel["product_ids"] for channel in more["channels"]] == [
            ["ABC-USD", "DEF-EUR"],
            ["DEF-EUR"],
        ]
        less = await ask(socket, type="unsubscribe", channels=["matches"])
        assert [channel["name"] for channel in less["channels"]] == ["heartbeat"]


@pytest.mark.asyncio
async def test_heartbeats_name_the_last_trade() -> None:
    session = made_up()
    last = [
        m
        for _, frame in session
        if "match" in (m := json.loads(frame))["type"] and m["product_id"] == "ABC-USD"
    ]
    async with (
        CoinbaseExchange(session, speed=FAST, heartbeat_seconds=0.02) as exchange,
        client(exchange) as socket,
    ):
        await ask(socket, type="subscribe", product_ids=["ABC-USD"], channels=["heartbeat"])
        await exchange.finished.wait()
        await answer(socket)
        while (beat := await answer(socket))["last_trade_id"] != last[-1]["trade_id"]:
            assert beat["type"] == "heartbeat"


@pytest.mark.asyncio
async def test_a_market_that_loops_closes_its_connections_and_begins_again() -> None:
    async with CoinbaseExchange(made_up(count=20), speed=FAST, loop=True) as exchange:
        for _ in range(2):
            async with client(exchange) as socket:
                await ask(socket, type="subscribe", product_ids=["ABC-USD"], channels=["level2_batch"])
                assert await socket.recv() == next(f for _, f in made_up(count=20) if "snapshot" in f)
                with pytest.raises(ConnectionClosed) as closed:
                    async with asyncio.timeout(30):
                        while True:
                            await socket.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012


def run(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.vendors", "coinbase", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_command_says_its_port_and_ends_cleanly(tmp_path: Path) -> None:
    recording = write_frames(tmp_path / "r.tsv", made_up())
    with run("--recording", str(recording), "--speed", "10") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready port=") and int(line.partition("=")[2]) > 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recording", "/nowhere.tsv"], "No such file"),
        (["--fault", "earthquake"], "expected a fault of disconnect"),
        (["--fault", "mute:soon"], "expected mute:NUMBER"),
        (["--speed", "0"], "expected a speed above 0"),
    ],
)
def test_a_wrong_option_is_explained(arguments: list[str], words: str) -> None:
    with run(*arguments) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert words in errors
