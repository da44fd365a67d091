"""OpenAlgo's own client receives from the loopback proxy what our feed receives from it, and nothing else fires."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from assets.market import Depth, Quote
from realtime.feeds.openalgo import OpenAlgoFeed
from tests.vendors.openalgo import OpenAlgoProxy, made_up_ticks
from tests.vendors.real_clients import client_running, run_client

SYMBOLS = ("NSE:RELIANCE", "NSE:SBIN")


def exact(value: Any) -> Any:
    """Numbers as our feed reads them."""
    return json.loads(json.dumps(value), parse_float=Decimal)


@pytest.mark.real_client("openalgo")
@pytest.mark.asyncio
async def test_it_is_told_the_prices_and_the_depth_that_we_are_told() -> None:
    session = made_up_ticks(SYMBOLS, count=400)
    # Slow enough for a client that waits a tenth of a second after each subscribe.
    async with OpenAlgoProxy(session, speed=2) as proxy:
        async with client_running("openalgo", "openalgo_client.py", proxy.url, "key", *SYMBOLS) as client:
            await client.until(lambda lines: ["subscribed"] in lines)
            heard_before = len(client.lines)
            (connection,) = proxy.clients.values()
            assert connection.modes == {("NSE", "RELIANCE"): {1, 2, 3}, ("NSE", "SBIN"): {1, 2, 3}}
            assert [request.get("mode") for request in proxy.requests] == [None, 2, 2, 3, 3, 1, 1]
            said = (await client.until(lambda lines: len(lines) >= heard_before + 60))[heard_before:]
    # Once a tick, under the richest mode that it fills.
    assert {kind for kind, _ in said} == {"quote", "depth"}
    told = [(f"{data['exchange']}:{data['symbol']}", exact(data["data"])) for _, data in said]
    events = our_events(session)
    first = next(index for index in range(len(events)) if shows(events[index], told[0]))
    assert all(shows(event, one) for event, one in zip(events[first:], told, strict=False))


def our_events(session: list[tuple[float, str]]) -> list[tuple[Quote, Depth | None]]:
    feed = OpenAlgoFeed(key="key")
    feed.opened(())
    told = []
    for _, text in session:
        if '"data"' in text:
            quote, *depth = feed.decode(json.dumps({"type": "market_data", **json.loads(text)}).encode())
            assert isinstance(quote, Quote) and all(isinstance(one, Depth) for one in depth)
            told.append((quote, depth[0] if depth else None))
    return told  # type: ignore[return-value]


def shows(event: tuple[Quote, Depth | None], told: tuple[str, dict[str, Any]]) -> bool:
    """Whether what we read and what the client was told are the same."""
    (quote, depth), (symbol, data) = event, told
    if (quote.symbol, quote.price, round(quote.as_of.timestamp() * 1000)) != (
        symbol,
        data["ltp"],
        data["timestamp"],
    ):
        return False
    if depth is None:
        return (quote.open, quote.high, quote.low, quote.volume, quote.last_quantity) == tuple(
            data[name] for name in ("open", "high", "low", "volume", "last_trade_quantity")
        )
    sides = data["depth"]
    return [list(depth.bids), list(depth.asks)] == [
        [(level["price"], level["quantity"]) for level in sides[side]] for side in ("buy", "sell")
    ]


@pytest.mark.real_client("openalgo")
@pytest.mark.asyncio
async def test_a_wrong_key_is_refused_without_a_type_which_it_does_not_hear() -> None:
    async with OpenAlgoProxy(made_up_ticks(count=5), key="another") as proxy:
        said = await asyncio.wait_for(
            run_client("openalgo", "openalgo_client.py", proxy.url, "key", *SYMBOLS), 60
        )
        assert proxy.requests[0] == {"action": "authenticate", "api_key": "key"}
    assert said[-1] == ["refused"]
