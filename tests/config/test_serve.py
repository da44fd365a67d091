"""The web server's launcher: sockets, workers, limits and the way it stops."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live import PATIENCE, ROOT, LiveSystem, is_alive, wait_until

Start = Callable[..., LiveSystem]


@pytest.fixture
def system(live_system: Start) -> LiveSystem:
    return live_system(args=["--workers", "2"])


def opened(system: LiveSystem) -> connect:
    """Opens a WebSocket as the demo user's browser does."""
    headers = {"Cookie": system.cookie_header(), "Origin": system.url}
    return connect(system.websocket_url, additional_headers=headers, compression="deflate")


async def first_message(connection: ClientConnection) -> str:
    message = json.loads(await asyncio.wait_for(connection.recv(), PATIENCE))
    return str(message["type"])


def test_accepted_connections_carry_the_options_that_free_a_stalled_reader(system: LiveSystem) -> None:
    port = int(system.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        command = ["ss", "--no-header", "--tcp", "--numeric", "--options", "sport", "=", f":{port}", "dport", "=",
                   f":{client.getsockname()[1]}"]  # fmt: skip

        def shown() -> str:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

        # Until the answer is acknowledged, another timer is shown.
        wait_until(lambda: "timer:(keepalive" in shown(), 4, "the timer of an idle connection")


def test_the_server_does_not_tell_what_it_is(system: LiveSystem) -> None:
    port = int(system.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"server:" not in answer.lower().split(b"\r\n\r\n")[0]


@pytest.mark.asyncio
async def test_no_compression_is_agreed_on_and_a_message_too_big_gets_1009(system: LiveSystem) -> None:
    async with opened(system) as connection:
        assert connection.response is not None
        assert "Sec-WebSocket-Extensions" not in connection.response.headers
        assert await first_message(connection) == "connection"
        await connection.send("x" * 70_000)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await asyncio.wait_for(connection.recv(), PATIENCE)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009


@pytest.mark.asyncio
async def test_a_stopping_server_tells_its_sockets_to_come_back(live_system: Start) -> None:
    system = await asyncio.to_thread(lambda: live_system(fresh=True))
    async with opened(system) as connection:
        assert await first_message(connection) == "connection"
        os.kill(system.process.pid, signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await asyncio.wait_for(connection.recv(), PATIENCE)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4004
    assert await asyncio.to_thread(system.process.wait, PATIENCE) == 0


def test_a_worker_that_dies_is_replaced_while_the_other_serves(system: LiveSystem) -> None:
    parent = psutil.Process(system.pids["web"])
    wait_until(lambda: len(parent.children()) == 2, PATIENCE, "two workers")
    workers = {child.pid for child in parent.children()}

    os.kill(min(workers), signal.SIGKILL)

    wait_until(
        lambda: len({child.pid for child in parent.children()} - workers) == 1, PATIENCE, "a new worker"
    )
    assert system.pids["web"] == parent.pid


def serve(*words: str, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "serve", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.test"}, **options,  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "-1"], "expected a port from 0 to 65535"),
        (["--workers", "many"], "expected a number of processes from 1 to 64, was 'many'"),
        (["--drain", "0"], "expected seconds from above 0 to 600, was '0'"),
        (["--fd", "0"], "--fd: expected a listening socket"),
        (["--host", "192.0.2.1"], "--host: expected an address of this machine"),
    ],
)
def test_a_wrong_option_says_what_was_wrong(words: list[str], said: str) -> None:
    done = serve(*words, stdin=subprocess.DEVNULL)

    assert done.returncode != 0
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_taken_port_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = serve("--port", str(taken.getsockname()[1]))

    assert done.returncode != 0
    assert re.search(r"port \d+ on 127.0.0.1 is taken.*--port", done.stderr)


def test_systemd_is_told_when_it_serves_and_the_socket_may_come_from_it(
    tmp_path: Path, redis_url: str
) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        fd = listener.fileno()
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "DJANGO_SETTINGS_MODULE": "config.settings.demo",
            "STATE_DIR": str(tmp_path),
            "REDIS_URL": redis_url,
        }
        server = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--fd", str(fd)], cwd=ROOT, env=environment, pass_fds=(fd,)
        )
        try:
            assert manager.recv(64) == b"READY=1"
            with socket.create_connection(listener.getsockname()) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 200"
        finally:
            server.terminate()
            assert server.wait(PATIENCE) == 0
        assert manager.recv(64) == b"STOPPING=1"
        assert not is_alive(server.pid)
