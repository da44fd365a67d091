"""The server's end of a WebSocket: ready frames, and nothing kept for a client that does not read."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode

from config.listening import listen
from config.websocket import FramesProtocol
from realtime.frames import frame
from realtime.writer import EXTENSION

pytestmark = pytest.mark.asyncio


class Application:
    """Accepts, hands out its socket and waits to be told to return."""

    def __init__(self) -> None:
        self.sockets: asyncio.Queue[FramesProtocol] = asyncio.Queue()
        self.done = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        self.sockets.put_nowait(scope["extensions"][EXTENSION])
        try:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        finally:
            self.ended.set()


class Served:
    """A server with the protocol under test."""

    def __init__(self, port: int, application: Application) -> None:
        self.url = f"ws://127.0.0.1:{port}/"
        self.application = application

    async def open(self, **options: Any) -> tuple[ClientConnection, FramesProtocol]:
        client = await connect(self.url, compression=None, **options)
        async with asyncio.timeout(30):
            return client, await self.application.sockets.get()

    async def open_deaf(self) -> tuple[socket.socket, FramesProtocol]:
        """Opens a connection whose client reads nothing after the handshake and has little room."""
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setblocking(False)
        loop = asyncio.get_running_loop()
        address = ("127.0.0.1", int(self.url.rsplit(":", 1)[1].strip("/")))
        await loop.sock_connect(peer, address)
        request = (
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await loop.sock_sendall(peer, request.encode())
        async with asyncio.timeout(30):
            assert (await loop.sock_recv(peer, 4096)).startswith(b"HTTP/1.1 101")
            return peer, await self.application.sockets.get()


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    application = Application()
    config = uvicorn.Config(
        application, ws=FramesProtocol, ws_per_message_deflate=False, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        await server.startup(sockets=[listener])
        yield Served(port, application)
        server.force_exit = True
        await server.shutdown(sockets=[listener])


async def read(peer: socket.socket, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(30):
        while len(data) < size:
            received = await asyncio.get_running_loop().sock_recv(peer, size - len(data))
            if not received:
                break
            data += received
    return data


def fill(server: FramesProtocol) -> int:
    """Writes more than any kernel takes from one that reads nothing; returns how many bytes that were."""
    run = frame("x" * 8_000_000)
    assert not server.write(run)
    return len(run)


async def test_a_run_of_ready_frames_arrives_as_its_messages(served: Served) -> None:
    client, server = await served.open()

    assert server.write(frame("one") + frame("two" * 30_000) + frame("é"))

    async with asyncio.timeout(30):
        assert [await client.recv() for _ in range(3)] == ["one", "two" * 30_000, "é"]
    await client.close()


async def test_what_the_kernel_does_not_take_makes_the_socket_unwritable_until_it_has(served: Served) -> None:
    peer, server = await served.open_deaf()
    writable = asyncio.Event()
    server.on_writable = writable.set

    written = fill(server)

    assert not server.write(frame("more")), "it says so until it takes more"
    assert not writable.is_set()
    await read(peer, written)
    async with asyncio.timeout(30):
        await writable.wait()
    assert await read(peer, 6) == frame("more")
    assert server.write(frame("and more"))
    peer.close()


async def test_pings_of_a_client_that_reads_nothing_cost_one_pong(served: Served) -> None:
    peer, server = await served.open_deaf()
    written = fill(server)
    waiting = server.transport.get_write_buffer_size()
    loop = asyncio.get_running_loop()
    for number in range(1000):
        ping = Frame(Opcode.PING, b"%04d" % number).serialize(mask=True)
        await loop.sock_sendall(peer, ping)
    async with asyncio.timeout(30):
        while server._pong[-4:] != b"0999":
            await asyncio.sleep(0.01)

    assert server.transport.get_write_buffer_size() <= waiting
    data = await read(peer, written + 6)
    assert data[-6:] == b"\x8a\x040999"
    peer.close()


async def test_an_aborted_socket_ends_though_its_client_reads_nothing(served: Served) -> None:
    peer, server = await served.open_deaf()
    fill(server)

    server.abort()

    async with asyncio.timeout(30):
        await served.application.ended.wait()
    peer.close()


async def test_nothing_is_written_after_the_close_frame(served: Served) -> None:
    client, server = await served.open()
    await server.send({"type": "websocket.close", "code": 4004, "reason": "draining"})

    server.write(frame("late"))

    with contextlib.suppress(Exception):
        async with asyncio.timeout(30):
            pytest.fail(f"expected no message, was {await client.recv()!r}")
    assert client.close_code == 4004
