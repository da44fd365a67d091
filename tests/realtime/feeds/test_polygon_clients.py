"""The vendor's own clients hear from the loopback server what our feed hears."""

import asyncio
import json
from typing import Any

import pytest

from assets.market import Trade
from realtime.feeds.polygon import PolygonFeed
from realtime.feeds.polygon_symbols import CLUSTERS, Cluster
from tests.vendors.polygon import FRAMES_A_SECOND, TICKERS, TOPICS, PolygonServer, made_up
from tests.vendors.real_clients import client_running, run_client

MOMENTS = 12


def session_of(cluster: Cluster) -> list[list[dict[str, Any]]]:
    """Frames with everything that its own client has a model for."""
    return [list(events) for _, (_, events) in made_up(cluster, TICKERS[cluster], MOMENTS)]


def served(session: list[list[dict[str, Any]]], **options: Any) -> PolygonServer:
    return PolygonServer(sessions=[[json.dumps(events) for events in session]], **options)


def told_trades(cluster: Cluster, session: list[list[dict[str, Any]]]) -> list[tuple[str, str, str]]:
    feed = PolygonFeed(cluster, "key", TICKERS[cluster])
    feed.opened(dict.fromkeys(TICKERS[cluster], "ltpc"))
    told = [event for events in session for event in feed.decode(json.dumps(events).encode())]
    return [(one.symbol, str(one.price), str(one.quantity)) for one in told if isinstance(one, Trade)]


@pytest.mark.real_client("massive")
@pytest.mark.asyncio
async def test_the_vendors_own_client_understands_every_event_of_every_cluster() -> None:
    async def hear(cluster: Cluster) -> None:
        session = session_of(cluster)
        events = [event for one in session for event in one]
        wanted = [f"{topic}.{ticker}" for topic in TOPICS[cluster] for ticker in TICKERS[cluster]]
        async with served(session) as server:
            address = f"127.0.0.1:{server.port}"
            said = await run_client(
                "massive", "massive_client.py", address, cluster, *wanted, lines=len(events)
            )
        assert [message["event_type"] for _, message in said] == [event["ev"] for event in events]
        for (_, message), event in zip(said, events, strict=True):
            assert all(value in message.values() for value in event.values())
        auth, *subscriptions = server.requests
        assert auth == {"action": "auth", "params": "key"}
        assert {pair for one in subscriptions for pair in one["params"].split(",")} == set(wanted)
        # Ours says of the same frames what it says.
        kinds = {"EquityTrade": "symbol", "CryptoTrade": "pair"}
        theirs = [(message[kinds[kind]], str(message["price"])) for kind, message in said if kind in kinds]
        ours = [(symbol, str(float(price))) for symbol, price, _ in told_trades(cluster, session)]
        assert ours == theirs

    await asyncio.gather(*map(hear, CLUSTERS))


@pytest.mark.real_client("massive")
@pytest.mark.asyncio
async def test_the_vendors_own_client_returns_after_one_connection_too_many() -> None:
    session = session_of("stocks")
    async with served(session, fault="close:1008:3") as server:
        said = await run_client(
            "massive", "massive_client.py", f"127.0.0.1:{server.port}", "stocks", "T.AAPL", lines=20
        )
    assert len(said) == 20 and server.connections == 2
    assert server.conversations[0] == server.conversations[1]


@pytest.mark.real_client("polygon")
@pytest.mark.asyncio
async def test_the_client_with_callbacks_gets_each_frame_as_it_is() -> None:
    session = session_of("crypto")
    wanted = ("subscribe_crypto_trades:btc-usd,ETH-USD", "subscribe_crypto_level2_book:BTC-USD")
    async with (
        served(session) as server,
        client_running("polygon", "polygon_client.py", server.url, "crypto", *wanted) as client,
    ):
        await client.until(lambda said: len(said) >= len(session) + 4)
        frames = [json.loads(line[1]) for line in client.lines]
    assert [frame for frame in frames if frame[0]["ev"] != "status"] == session
    assert [frame[0]["status"] for frame in frames[:3]] == ["connected", "auth_success", "success"]
    assert [request["params"] for request in server.requests] == [
        "key",
        "XT.BTC-USD,XT.ETH-USD",
        "XL2.BTC-USD",
    ]


@pytest.mark.real_client("polygon_async")
@pytest.mark.asyncio
async def test_a_client_that_subscribes_without_end_is_put_out() -> None:
    """Its reconnect sends every subscription again and again; nothing but a limit of the server's stops it."""
    async with served(session_of("stocks"), fault="close:1011:4") as server:
        args = (server.url, "stocks", "subscribe_stock_trades:AAPL")
        async with client_running("polygon_async", "polygon_async_client.py", *args) as client:
            await client.until(lambda said: any(line[0] == "event" for line in said))
            await server.until(
                lambda: server.connections >= 2 and len(server.conversations[-1]) >= FRAMES_A_SECOND
            )
            await server.until(lambda: server.open_connections == 0)
    assert len(server.conversations[1]) <= FRAMES_A_SECOND + 1
