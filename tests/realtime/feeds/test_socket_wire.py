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


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://127.0.0.1:99999/a", "ws://127.0.0.1:99999/a"),
        ("ws://vendor.com:port/feed?code=secret", "ws://vendor.com:port/feed"),
        ("wss://vendor.com/feed?code=secret#more", "wss://vendor.com/feed"),
        ("https://name:secret@vendor.com/feed", "https://vendor.com/feed"),
        ("ws://[", "ws://["),
        ("", ""),
    ],
)
async def test_an_address_that_is_none_is_a_permanent_error_that_tells_no_secret(
    url: str, shown: str
) -> None:
    with pytest.raises(FeedError) as error:
        await brought(url, None)
    assert str(error.value) == f"expected a ws:// or wss:// address, was {shown!r}"
    assert error.value.permanent


async def test_a_name_that_can_be_none_is_a_vendor_that_cannot_be_reached() -> None:
    with pytest.raises(FeedError, match="the vendor cannot be reached"):
        await brought(f"ws://{'a' * 64}.invalid", None)


async def test_a_proxy_that_is_none_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("wss_proxy", "ftp://name:secret@proxy.invalid:1")
    with pytest.raises(FeedError, match=r"^expected a proxy's address in the environment, was another text$"):
        await brought("wss://vendor.invalid", None)


async def test_a_redirect_to_a_port_that_is_none_is_a_failed_handshake() -> None:
    async with Door() as door:
        door.away = "ws://vendor.com:port/feed?code=secret"
        with pytest.raises(FeedError, match=r"^the handshake failed: expected a redirect to a WebSocket$"):
            await brought(f"{door.url}/away", None)
