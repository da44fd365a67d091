"""The WebSocket wire: where a redirect may take our credentials, and what is said of an answer that refuses us."""

import pytest
from websockets.http11 import Request, Response

from realtime.feeds.base import FeedError, SocketWire
from tests.vendors.server import Client, VendorServer, redirect, reply

pytestmark = pytest.mark.asyncio

HEADERS = {"Authorization": "Bearer secret", "X-Other": "kept"}


class Door(VendorServer[Client]):
    """Redirects `/away`, refuses `/refused`, lets everybody else in and remembers what they brought."""

    away = ""

    def answer(self, request: Request) -> Response | None:
        if request.path == "/refused":
            return reply(401)
        return redirect(self.away) if request.path == "/away" else None

    async def arrived(self, client: Client) -> None:
        token, other = client.headers.get("Authorization"), client.headers.get("X-Other")
        client.put(f"{token} {other}")


async def brought(url: str, domain: str | None) -> bytes:
    async with SocketWire(url, headers=HEADERS, domain=domain).open() as connection:
        return await connection.receive()


async def test_a_redirect_on_the_same_server_takes_everything_along() -> None:
    async with Door() as door:
        door.away = "/here"
        assert await brought(f"{door.url}/away", None) == b"Bearer secret kept"


@pytest.mark.parametrize(
    ("domain", "token"),
    [
        (None, "None"),
        ("vendor.com", "None"),
        ("ocalhost", "None"),
        ("localhost", "Bearer secret"),
    ],
)
async def test_a_redirect_to_another_server_takes_the_token_along_only_within_the_vendor(
    domain: str | None, token: str
) -> None:
    async with Door() as near, Door() as far:
        near.away = f"ws://localhost:{far.port}/here"
        assert await brought(f"ws://localhost:{near.port}/away", domain) == f"{token} kept".encode()


async def test_a_redirect_to_no_websocket_does_not_tell_where() -> None:
    async with Door() as door:
        door.away = "https://vendor.com/feed?code=secret"
        with pytest.raises(FeedError) as error:
            await brought(f"{door.url}/away", "vendor.com")
    assert str(error.value) == "the handshake failed: expected a redirect to a WebSocket"
    assert not error.value.permanent


async def test_an_answer_that_refuses_us_comes_with_advice_and_may_be_temporary() -> None:
    async with Door() as door:
        for permanent in (True, False):
            more = {} if permanent else {"permanent": ()}
            wire = SocketWire(f"{door.url}/refused", advice={401: "renew the key"}, **more)  # type: ignore[arg-type]
            with pytest.raises(FeedError) as error:
                async with wire.open():
                    pass
            assert error.value.permanent is permanent
            assert str(error.value) == "the vendor answered the handshake with 401: renew the key"
