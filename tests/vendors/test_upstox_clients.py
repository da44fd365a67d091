"""Upstox's own Python clients, unmodified, hear from our server what our feed hears."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest

from assets.market import AccountEvent, Depth, Quote
from realtime.feeds.base import Mode
from realtime.feeds.runner import FeedRunner
from realtime.feeds.upstox import UpstoxFeed
from realtime.feeds.upstox_portfolio import UpstoxPortfolioFeed
from realtime.feeds.upstox_v2 import UpstoxV2Feed
from tests.realtime.feeds.fakes import JumpingClock, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.connect_proxy import ConnectProxy
from tests.vendors.real_clients import RealClient, client_running, run_client
from tests.vendors.upstox import PORTFOLIO, TOKEN, V2, V3, Upstox
from tests.vendors.upstox_frames import INDEX, OPTION, STOCK, UPDATES, made_up

pytestmark = pytest.mark.asyncio

FAST = float("inf")
KEYS = (STOCK, INDEX, OPTION)
# In texts of JSON and in numbers alike; a 0 is left out by the one and None to the other.
Values = dict[str, dict[str, Any]]


def proxy_to(server: Upstox) -> ConnectProxy:
    return ConnectProxy({"api.upstox.com:443": server.port})


def messages(said: Iterable[Any]) -> list[dict[str, Any]]:
    return [line[1] for line in said if isinstance(line, list) and line[0] == "message"]


def feeds(said: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """The last that was said of each key."""
    return {key: feed for message in messages(said) for key, feed in message.get("feeds", {}).items()}


def number(value: Any) -> Decimal | None:
    return Decimal(str(value)) if value else None


def last_price(feed: dict[str, Any], name: str) -> str:
    full = feed.get(name, {})
    inner = full.get("marketFF") or full.get("indexFF") or feed.get("firstLevelWithGreeks") or feed
    return str(inner["ltpc"]["ltp"])


def is_over(name: str) -> Callable[[list[Any]], bool]:
    last = {one.key: str(one.ltp) for _, one in made_up()}
    return lambda said: {key: last_price(feed, name) for key, feed in feeds(said).items()} == last


async def theirs(client: str, streamer: str, server: Upstox, name: str) -> Values:
    """What the vendor's client says at the end of the market."""
    async with (
        proxy_to(server) as proxy,
        client_running(
            client, "upstox_market.py", streamer, "full", *KEYS, env={"https_proxy": proxy.url}
        ) as sdk,
    ):
        return {key: _their_values(feed[name]) for key, feed in feeds(await sdk.until(is_over(name))).items()}


def _their_values(full: dict[str, Any]) -> dict[str, Any]:
    one = full.get("marketFF") or full["indexFF"]
    day, minute = one["marketOHLC"]["ohlc"]
    details = one.get("eFeedDetails", one)
    greeks = one.get("optionGreeks", {})
    levels = one.get("marketLevel", {}).get("bidAskQuote", [])
    return {
        "price": number(one["ltpc"]["ltp"]),
        "time": int(one["ltpc"]["ltt"]),
        "quantity": number(one["ltpc"].get("ltq")),
        "day": [number(day[side]) for side in ("open", "high", "low")],
        "minute": [number(minute[side]) for side in ("open", "high", "low", "close")],
        "volume": number(details.get("vtt")),
        "average": number(details.get("atp")),
        "interest": number(details.get("oi")),
        "greeks": [number(greeks.get(name)) for name in ("delta", "gamma", "theta", "vega", "rho")],
        "iv": number(greeks.get("iv", one.get("iv"))),
        "bids": [(number(one.get("bidP", one.get("bp"))), number(one["bidQ"])) for one in levels],
        "asks": [(number(one.get("askP", one.get("ap"))), number(one["askQ"])) for one in levels],
    }


async def ours(feed: UpstoxFeed | UpstoxV2Feed, mode: Mode = "full") -> Values:
    """What our feed says at the end of the market."""
    sink = WaitingSink()
    runner = FeedRunner(feed, sink, clock=JumpingClock())
    runner.set_modes(dict.fromkeys(KEYS, mode))
    last = {one.key: str(one.ltp) for _, one in made_up()}
    async with running(runner):
        await sink.until(lambda: sink.last_prices() == last)
    return {key: _our_values(key, sink) for key in KEYS}


def _our_values(key: str, sink: WaitingSink) -> dict[str, Any]:
    said = [event for event in sink.all_events if getattr(event, "symbol", None) == key]
    quote = [event for event in said if isinstance(event, Quote)][-1]
    depths = [event for event in said if isinstance(event, Depth)]
    [*_, bar] = [event for event in said if type(event).__name__ == "Bar"]
    greeks = quote.greeks
    return {
        "price": quote.price,
        "time": round(quote.as_of.timestamp() * 1000),
        "quantity": quote.last_quantity,
        "day": [quote.open, quote.high, quote.low],
        "minute": [bar.open, bar.high, bar.low, bar.close],
        "volume": quote.volume,
        "average": quote.average_price,
        "interest": quote.open_interest,
        "greeks": [
            getattr(greeks, name, None) or None for name in ("delta", "gamma", "theta", "vega", "rho")
        ],
        "iv": greeks and greeks.iv,
        "bids": list(depths[-1].bids) if depths else [],
        "asks": list(depths[-1].asks) if depths else [],
    }


@pytest.mark.real_client("upstox")
async def test_the_streamer_of_v3_hears_what_our_feed_hears() -> None:
    async with Upstox(speed=FAST) as server:
        heard = await theirs("upstox", "MarketDataStreamerV3", server, "fullFeed")
        [request] = server.requests
        assert isinstance(server.received[0], bytes) and request["data"]["mode"] == "full"
        assert heard == await ours(UpstoxFeed(KEYS, url=server.url + V3, token=TOKEN))
        # The same frame but for its name and the order of the keys.
        assert [sorted(one["data"]["instrumentKeys"]) for one in server.requests] == [sorted(KEYS)] * 2
        assert server.requests[0].keys() == server.requests[1].keys()


@pytest.mark.real_client("upstox_v2")
async def test_the_streamer_of_v2_hears_what_our_feed_hears() -> None:
    async with Upstox(speed=FAST) as server:
        heard = await theirs("upstox_v2", "MarketDataStreamer", server, "ff")
        assert heard == await ours(UpstoxV2Feed(KEYS, url=server.url + V2, token=TOKEN))


async def _tell(sdk: RealClient, *call: Any) -> None:
    sdk.say(json.dumps(call))


@pytest.mark.real_client("upstox")
async def test_the_streamer_of_v3_changes_its_modes_and_returns_after_a_lost_connection() -> None:
    async with (
        Upstox(speed=FAST) as server,
        proxy_to(server) as proxy,
        client_running(
            "upstox",
            "upstox_market.py",
            "MarketDataStreamerV3",
            "ltpc",
            OPTION,
            env={"https_proxy": proxy.url},
        ) as sdk,
    ):
        await sdk.until(lambda said: "ltpc" in feeds(said).get(OPTION, {}))
        assert messages(sdk.lines)[0]["type"] == "market_info"
        assert messages(sdk.lines)[0]["marketInfo"]["segmentStatus"]["NSE_EQ"] == "NORMAL_OPEN"
        await _tell(sdk, "change_mode", [OPTION], "option_greeks")
        await sdk.until(lambda said: "firstLevelWithGreeks" in feeds(said).get(OPTION, {}))
        await _tell(sdk, "subscribe", [STOCK], "full_d30")
        said = await sdk.until(lambda said: STOCK in feeds(said))
        levels = feeds(said)[STOCK]["fullFeed"]["marketFF"]["marketLevel"]["bidAskQuote"]
        assert len(levels) == 30 and feeds(said)[STOCK]["requestMode"] == "full_d30"
        await _tell(sdk, "unsubscribe", [STOCK])
        await server.until(lambda: server.requests[-1]["method"] == "unsub")
        server.disconnect_all()
        await sdk.until(lambda said: any(line[0] == "reconnecting" for line in said))
        await server.until(lambda: server.requests[-1]["method"] == "sub")
    assert server.connections == 2
    assert server.requests[-1]["data"] == {"instrumentKeys": [OPTION], "mode": "option_greeks"}


@pytest.mark.real_client("upstox")
async def test_the_streamer_of_the_account_hears_what_our_feed_hears() -> None:
    async with Upstox() as server:
        async with proxy_to(server) as proxy:
            said = await run_client(
                "upstox", "upstox_portfolio.py", TOKEN, lines=1 + len(UPDATES), env={"https_proxy": proxy.url}
            )
        sink = WaitingSink()
        feed = UpstoxPortfolioFeed(
            url=f"{server.url}{PORTFOLIO}?update_types=order%2Cholding%2Cposition%2Cgtt_order", token=TOKEN
        )
        async with running(FeedRunner(feed, sink, clock=JumpingClock())):
            await sink.until(lambda: len(sink.all_events) == len(UPDATES))
    assert [json.loads(text) for text in messages(said)] == list(UPDATES)  # it hands on the text
    for event, update in zip(sink.all_events, UPDATES, strict=True):
        assert isinstance(event, AccountEvent)
        plain = {name: value for name, value in update.items() if not isinstance(value, list)}
        del plain["update_type"]
        for name, value in plain.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            assert event.details[name] == (Decimal(str(value)) if is_number else value)


@pytest.mark.real_client("upstox")
async def test_the_streamer_is_refused_with_a_token_of_yesterday() -> None:
    async with Upstox() as server, proxy_to(server) as proxy:
        said = await run_client(
            "upstox", "upstox_portfolio.py", "yesterday", lines=1, env={"https_proxy": proxy.url}
        )
    assert said[0][0] == "error" and "401 Unauthorized" in said[0][1]
    assert server.authorizations == ["Bearer yesterday"]
