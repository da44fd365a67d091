"""Coinbase's own client receives from the loopback exchange what our feed receives from it."""

import json
from decimal import Decimal
from typing import Any

import pytest

from assets.market import AccountEvent, Quote, Trade
from realtime.feeds.coinbase import CoinbaseFeed
from tests.vendors.coinbase import CoinbaseExchange
from tests.vendors.frames import Frames, made_up, rebuilt_books
from tests.vendors.orders import KINDS, made_up_orders, own
from tests.vendors.real_clients import run_client

FAST = float("inf")
ACCOUNT = ("key", "bm90IGEgcmVhbCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc=", "phrase")


async def messages_of(exchange: CoinbaseExchange, channels: str, count: int, *account: str) -> list[Any]:
    """Returns the messages that its client is told after the answer to its subscribe."""
    products = ",".join(exchange.products)
    args = ("cbpro_client.py", exchange.url, products, channels, *account)
    said = await run_client("cbpro", *args, lines=count + 2)
    assert said[0] == ["open"] and said[1][1]["type"] == "subscriptions"
    assert [kind for kind, *_ in said[1:]] == ["message"] * (count + 1)
    return [message for _, message in said[2:]]


def parsed(frames: Frames) -> list[Any]:
    return [json.loads(frame) for _, frame in frames]


def by_kind(messages: list[Any]) -> tuple[list[Any], list[Any]]:
    """Snapshots come first, whatever their place in the session."""
    snapshots = [message for message in messages if message["type"] == "snapshot"]
    return snapshots, [message for message in messages if message["type"] != "snapshot"]


@pytest.mark.real_client("cbpro")
@pytest.mark.asyncio
async def test_it_is_told_what_the_session_holds_and_so_are_we() -> None:
    session = made_up(count=200)
    async with CoinbaseExchange(session, speed=FAST) as exchange:
        told = await messages_of(exchange, "ticker,matches,level2_batch", len(session))
    assert by_kind(told) == by_kind(parsed(session))
    feed = CoinbaseFeed()
    feed.opened(())
    events = [event for message in told for event in feed.decode(json.dumps(message).encode())]
    prices = [event.price for event in events if isinstance(event, Quote)]
    assert prices == [Decimal(m["price"]) for m in told if m["type"] == "ticker"]
    assert len([event for event in events if isinstance(event, Trade)]) == len(
        [m for m in told if "match" in m["type"]]
    )
    for product, naive in rebuilt_books(session).items():
        book = feed.book(product)
        assert book is not None and list(book.top(10**6).bids) == naive.levels("buy")


@pytest.mark.real_client("cbpro")
@pytest.mark.asyncio
async def test_it_signs_as_we_do_and_is_told_of_every_order_and_twice_of_its_own() -> None:
    session = made_up_orders(count=200)
    wanted = [
        message
        for message in parsed(session)
        if message["type"] in KINDS or message["type"] == "activate"
        for _ in range(1 + (message["type"] in KINDS and "user_id" in message))
    ]
    async with CoinbaseExchange(session, speed=FAST, credentials=ACCOUNT) as exchange:
        told = await messages_of(exchange, "full,user", len(wanted), *ACCOUNT)
    assert told == wanted
    feed = CoinbaseFeed()
    feed.opened(())
    events = [event for message in told for event in feed.decode(json.dumps(message).encode())]
    assert len([event for event in events if isinstance(event, AccountEvent)]) == len(own(session))


@pytest.mark.real_client("cbpro")
@pytest.mark.asyncio
async def test_it_is_refused_as_we_are_with_a_wrong_secret() -> None:
    async with CoinbaseExchange(made_up_orders(count=5), credentials=ACCOUNT) as exchange:
        args = ("cbpro_client.py", exchange.url, "ABC-USD", "user", "key", "AAAA", "phrase")
        said = await run_client("cbpro", *args, lines=2)
    assert said[1] == [
        "message",
        {"type": "error", "message": "Failed to subscribe", "reason": "invalid signature"},
    ]
