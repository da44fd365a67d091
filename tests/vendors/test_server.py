"""What every loopback vendor can do: its faults do what they say, its counts count, its pages answer."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

from realtime.feeds.fetch import HttpError, fetch
from tests.vendors.server import Client, Fault, VendorServer, redirect, reply


class EchoVendor(VendorServer[Client]):
    """Lets in whoever says anything, and answers it."""

    garbage = ("rubbish",)

    async def arrived(self, client: Client) -> None:
        client.put("hello")

    async def asked(self, client: Client, request: Any) -> None:
        client.put(json.dumps({"you": request}))
        self.let_in(client)

    async def not_understood(self, client: Client, frame: Any) -> None:
        client.put("what?")

    def answer(self, request: Request) -> Response | None:
        if request.path == "/authorize?x=1":
            return reply(200, {"url": self.url})
        return redirect(self.url + "/there") if request.path == "/here" else None


@asynccontextmanager
async def client(vendor: EchoVendor, path: str = "/") -> AsyncIterator[ClientConnection]:
    async with connect(vendor.url + path, proxy=None, close_timeout=0.2) as socket:
        async with asyncio.timeout(30):
            yield socket


async def heard(socket: ClientConnection, count: int) -> list[str | bytes]:
    return [await socket.recv() for _ in range(count)]


@pytest.mark.asyncio
async def test_each_connection_gets_its_session_and_all_of_them_the_market() -> None:
    script = [(0.0, "tick"), (0.0, b"\x08\x01")]
    async with EchoVendor(script=script, speed=float("inf"), sessions=[["one"], ["two"]]) as vendor:
        for session in ("one", "two", "two"):
            async with client(vendor) as socket:
                await socket.send(b"1")
                assert await heard(socket, 3) == ["hello", '{"you": 1}', session]
                if session == "one":
                    assert await heard(socket, 2) == ["tick", b"\x08\x01"]
        assert (vendor.connections, vendor.most_open, vendor.requests) == (3, 1, [1, 1, 1])
        assert vendor.received == [b"1"] * 3 and vendor.finished.is_set()


@pytest.mark.asyncio
async def test_what_cannot_be_parsed_is_no_request() -> None:
    async with EchoVendor() as vendor, client(vendor) as socket:
        await socket.send("{")
        assert await heard(socket, 2) == ["hello", "what?"]
        assert (vendor.requests, vendor.received) == ([], ["{"])


@pytest.mark.asyncio
async def test_pages_are_served_beside_the_socket() -> None:
    async with EchoVendor() as vendor:
        assert json.loads(await fetch(f"{vendor.http_url}/authorize?x=1")) == {"url": vendor.url}
        with pytest.raises(HttpError, match="404: no such page"):
            await fetch(f"{vendor.http_url}/nowhere")
        assert vendor.http_requests == ["/authorize?x=1", "/nowhere"]
        async with client(vendor, "/here") as socket:
            assert await heard(socket, 1) == ["hello"]
        assert vendor.connections == 2


@pytest.mark.asyncio
async def test_refusals_over_http_say_when_to_come_back() -> None:
    async with EchoVendor(fault="http:429:7") as vendor:
        with pytest.raises(InvalidStatus) as refused:
            async with client(vendor):
                pass
    assert refused.value.response.status_code == 429
    assert refused.value.response.headers["Retry-After"] == "7"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "frames", "code"),
    [("close:1008:1", ["hello"], 1008), ("close:1000", [], 1000), ("disconnect:1", ["hello"], None)],
)
async def test_the_first_connection_ends_as_asked_for_and_the_next_one_lives(
    fault: str, frames: list[str], code: int | None
) -> None:
    async with EchoVendor(fault=fault) as vendor:
        async with client(vendor) as socket:
            assert await heard(socket, len(frames)) == frames
            with pytest.raises(ConnectionClosed) as closed:
                await socket.send("1")
                await socket.recv()
            assert (closed.value.rcvd and closed.value.rcvd.code) == code
        async with client(vendor) as socket:
            await socket.send("1")
            assert len(await heard(socket, 2)) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(("fault", "frames"), [("silent", 0), ("mute:1", 1)])
async def test_a_quiet_vendor_keeps_the_connection(fault: str, frames: int) -> None:
    async with EchoVendor(fault=fault) as vendor, client(vendor) as socket:
        assert len(await heard(socket, frames)) == frames
        await socket.send("1")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await socket.recv()
        await (await socket.ping())
        assert vendor.open_connections == 1


@pytest.mark.asyncio
async def test_rubbish_comes_before_good_frames_and_a_slow_vendor_takes_its_time() -> None:
    async with EchoVendor(fault="garbage:1") as vendor, client(vendor) as socket:
        assert await heard(socket, 2) == ["rubbish", "hello"]
    async with EchoVendor(fault="slow:20") as vendor, client(vendor) as socket:
        begun = time.monotonic()
        await socket.send("1")
        await heard(socket, 2)
        assert time.monotonic() - begun >= 0.09


@pytest.mark.asyncio
@pytest.mark.parametrize(("fault", "left"), [("drop-older", 1), ("refuse-newer", 0)])
async def test_of_two_connections_one_is_sent_away(fault: str, left: int) -> None:
    async with EchoVendor(fault=fault) as vendor, client(vendor) as one:
        await heard(one, 1)
        async with client(vendor) as other:
            sockets = [one, other]
            with pytest.raises(ConnectionClosed) as closed:
                await sockets[1 - left].recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
            await sockets[left].send("1")
            assert (await heard(sockets[left], 1))[0] in {"hello", '{"you": 1}'}
        assert (vendor.connections, vendor.most_open) == (2, 2)


@pytest.mark.parametrize("text", ["earthquake", "mute", "mute:x", "mute:1:2", "http:999", "silent:1", ":1"])
def test_a_fault_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected "):
        Fault(text)
