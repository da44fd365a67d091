"""The proxy that ends TLS takes a client to the loopback vendor, and nowhere else."""

import ssl

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidProxyStatus

from tests.vendors.connect_proxy import ConnectProxy
from tests.vendors.real_clients import run_client
from tests.vendors.server import Client, VendorServer


class Greeter(VendorServer[Client]):
    async def arrived(self, client: Client) -> None:
        client.put(f"{client.path} {client.headers['Authorization']}")
        client.put(b"\x08\x01")


@pytest.mark.asyncio
async def test_a_client_of_a_fixed_address_reaches_the_vendor_on_loopback_through_tls() -> None:
    async with Greeter() as vendor, ConnectProxy({"api.vendor.test:443": vendor.port}) as proxy:
        trusting = ssl.create_default_context(cafile=proxy.certificate)
        wanted = {"proxy": proxy.url, "ssl": trusting, "additional_headers": {"Authorization": "Bearer x"}}
        async with connect("wss://api.vendor.test/v3/feed", **wanted) as socket:
            assert await socket.recv() == "/v3/feed Bearer x"
            vendor.disconnect_all()
            with pytest.raises(ConnectionClosed):
                while True:
                    await socket.recv()
        with pytest.raises(InvalidProxyStatus, match="403"):
            async with connect("wss://elsewhere.test/", **wanted):
                pass
        assert proxy.asked == ["api.vendor.test:443", "elsewhere.test:443"]


@pytest.mark.real_client("upstox")
@pytest.mark.asyncio
async def test_the_vendors_own_client_comes_through_it_untouched() -> None:
    async with Greeter() as vendor, ConnectProxy({"api.upstox.com:443": vendor.port}) as proxy:
        told = await run_client(
            "upstox", "upstox_streamer.py", lines=2, env={"https_proxy": proxy.url}, seconds=30
        )
    assert told == [["open"], ["message", {"type": "live_feed"}]]
