"""A handshake from its first byte to its close, at the ASGI boundary, where its steps can be held back."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from django.conf import settings

from realtime.consumers import RealtimeConsumer
from realtime.hub import Hub, running_hub, stop_hub
from tests.portfolio.builders import in_thread
from tests.realtime.builders import eventually
from tests.realtime.test_sessions import World, disable_the_account, log_out

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]


@pytest_asyncio.fixture
async def hub(empty_redis: None) -> AsyncIterator[Hub]:
    yield await running_hub()
    await stop_hub()


class Socket:
    """The server's end of one WebSocket, which accepts when it is told to."""

    def __init__(self, session_key: str, address: str = "10.0.0.1") -> None:
        self.sent: list[Mapping[str, Any]] = []
        self.may_accept = asyncio.Event()
        self._inbound: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._inbound.put_nowait({"type": "websocket.connect"})
        cookie = f"{settings.SESSION_COOKIE_NAME}={session_key}"
        headers = [("host", "localhost"), ("origin", "http://localhost"), ("cookie", cookie)]
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "client": (address, 5000),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }
        consumer: Any = RealtimeConsumer.as_asgi()
        self.task = asyncio.create_task(consumer(scope, self._inbound.get, self._send))

    async def _send(self, message: Mapping[str, Any]) -> None:
        self.sent.append(message)
        if message["type"] == "websocket.accept":
            await self.may_accept.wait()

    @property
    def is_accepted(self) -> bool:
        return bool(self.sent) and self.sent[0]["type"] == "websocket.accept"

    @property
    def status(self) -> int | None:
        return self.sent[0].get("status") if self.sent else None

    @property
    def closed(self) -> int | None:
        codes = [message["code"] for message in self.sent if message["type"] == "websocket.close"]
        return codes[0] if codes else None

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(message["text"]) for message in self.sent if "text" in message]

    @property
    def types(self) -> list[str]:
        return [frame["type"] for frame in self.frames]

    def say(self, type: str, data: Any) -> None:
        text = msgspec.json.encode({"type": type, "data": data}).decode()
        self._inbound.put_nowait({"type": "websocket.receive", "text": text})

    async def end(self) -> None:
        self._inbound.put_nowait({"type": "websocket.disconnect", "code": 1005})
        await self.task


async def opened(key: str) -> Socket:
    socket = Socket(key)
    socket.may_accept.set()
    await eventually(lambda: socket.status or "connection" in socket.types, "an answer")
    return socket


@pytest.mark.parametrize(("end", "code"), [(log_out, 4500), (disable_the_account, 4504)])
@pytest.mark.parametrize("is_known", [False, True])
async def test_what_ends_during_its_own_handshake_is_closed_right_after_it(
    hub: Hub, end: Any, code: int, is_known: bool
) -> None:
    world = await in_thread(World)
    if is_known:
        await (await opened(world.key())).end()
    socket = Socket(world.key())
    await eventually(lambda: socket.is_accepted, "the handshake to be nearly over")

    revocations = hub.identities.revocations
    await in_thread(lambda: end(world))
    await eventually(lambda: hub.identities.revocations > revocations, "the news")
    socket.may_accept.set()

    await eventually(lambda: socket.closed, "it to be closed")
    assert socket.closed == code
    await socket.end()


async def test_a_session_that_ended_is_refused_though_it_came_in_a_moment_ago(hub: Hub) -> None:
    world = await in_thread(World)
    key = world.key()
    first, again = await opened(key), await opened(key)
    assert "connection" in first.types and "connection" in again.types

    await in_thread(lambda: log_out(world))
    await eventually(lambda: first.closed and again.closed, "both to be closed")

    assert (await opened(key)).status == 401
    await asyncio.gather(first.end(), again.end())


async def test_a_client_that_leaves_during_its_handshake_keeps_no_place(hub: Hub) -> None:
    world = await in_thread(World)
    socket = Socket(world.key())
    await eventually(lambda: socket.is_accepted, "the handshake to be nearly over")
    user_key = f"lf:user:{world.users[0].pk}"
    assert await hub.bus.redis.zcard(user_key) == 1

    socket.task.cancel()
    await asyncio.gather(socket.task, return_exceptions=True)
    await hub.limits.stop()

    assert await hub.bus.redis.zcard(user_key) == await hub.bus.redis.zcard("lf:address:10.0.0.1") == 0
    assert not hub.connections


async def test_who_is_refused_keeps_no_place(hub: Hub) -> None:
    assert (await opened("unknown-session")).status == 401
    await hub.limits.stop()

    assert await hub.bus.redis.zcard("lf:address:10.0.0.1") == 0


async def test_one_connection_too_many_of_a_known_user_is_told_after_accept_and_keeps_no_place(
    hub: Hub,
) -> None:
    world = await in_thread(World)
    sockets = [await opened(world.key()) for _ in range(settings.MAX_CONNECTIONS_PER_USER)]

    refused = Socket(world.key())
    refused.may_accept.set()
    await refused.task
    await hub.limits.stop()

    assert refused.closed == 4503
    places = [f"lf:user:{world.users[0].pk}", "lf:address:10.0.0.1"]
    assert [await hub.bus.redis.zcard(key) for key in places] == [len(sockets)] * 2
    await asyncio.gather(*(socket.end() for socket in sockets))
