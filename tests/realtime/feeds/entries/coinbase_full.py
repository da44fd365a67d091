"""Coinbase Exchange order by order, with what happens to our own orders."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from assets.market import AccountEvent, Depth, Trade
from realtime.feeds.base import Event, Frame, Gap, Send, Subscribed
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.coinbase_full import BookRequest
from tests.realtime.feeds.contract import SESSION_FAST, Entry
from tests.realtime.feeds.entries.coinbase import SYMBOLS, UNKNOWN, followed
from tests.vendors.coinbase import CoinbaseExchange
from tests.vendors.frames import last_prices
from tests.vendors.orders import made_up_orders

SESSION = made_up_orders(SYMBOLS, 600)
ACCOUNT = ("our key", "bm90IGEgcmVhbCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc=", "our phrase")
CHANNELS = ["ticker", "full", "user", "heartbeat"]
ANSWER = b'{"type":"subscriptions","channels":[{"name":"full","product_ids":["ABC-USD","DEF-EUR"]}]}'
OPEN = (
    b'{"type":"open","time":"2014-11-07T08:19:27.028459Z","product_id":"ABC-USD","sequence":11,"order_id":"d50ec984",'
    b'"price":"200.2","remaining_size":"1.00","side":"sell","user_id":"5844"}'
)


AT = datetime(2014, 11, 7, 8, 19, 27, 28459, tzinfo=UTC)


def shown(bid: str, *asks: tuple[str, str]) -> Depth:
    """A book of one bid at 199 and of these asks."""
    levels = tuple((Decimal(price), Decimal(size)) for price, size in asks)
    return Depth(symbol="ABC-USD", bids=((Decimal(199), Decimal(bid)),), asks=levels)


TOLD: tuple[tuple[bytes, list[Event]], ...] = (
    (ANSWER, [Subscribed(SYMBOLS), *(Send(BookRequest(symbol)) for symbol in SYMBOLS)]),
    (
        b'{"type":"orders","product_id":"ABC-USD","book":{"bids":[["199","2","a"],["199.0","1","b"]],"asks":[],'
        b'"sequence":10}}',
        [shown("3")],
    ),
    (
        OPEN,
        [
            shown("3", ("200.2", "1")),
            AccountEvent(
                kind="order",
                key="d50ec984",
                as_of=AT,
                symbol="ABC-USD",
                details={
                    "type": "open",
                    "order_id": "d50ec984",
                    "price": Decimal("200.2"),
                    "remaining_size": Decimal("1.00"),
                    "side": "sell",
                },
            ),
        ],
    ),
    (OPEN, []),  # the copy on the channel user
    (
        b'{"type":"match","trade_id":10,"sequence":12,"maker_order_id":"a","taker_order_id":"132fb6ae",'
        b'"time":"2014-11-07T08:19:27.028459Z","product_id":"ABC-USD","size":"0.5","price":"199","side":"buy"}',
        [
            Trade(
                symbol="ABC-USD",
                price=Decimal(199),
                quantity=Decimal("0.5"),
                as_of=AT,
                side="sell",
                trade_id="10",
            ),
            shown("2.5", ("200.2", "1")),
        ],
    ),
    (
        b'{"type":"done","product_id":"ABC-USD","sequence":15,"order_id":"a","reason":"canceled","side":"buy"}',
        [Gap("ABC-USD", "messages 13 to 14 were missed"), Send(BookRequest("ABC-USD"))],
    ),
)


def full(url: str = "ws://unused", symbols: Sequence[str] = SYMBOLS) -> CoinbaseFeed:
    key, secret, passphrase = ACCOUNT
    return CoinbaseFeed(
        symbols,
        url=url,
        rest_url=url.replace("ws", "http", 1),
        channels=CHANNELS,
        key=key,
        secret=secret,
        passphrase=passphrase,
    )


def without_signature(frame: Frame) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(frame)
    return {name: request[name] for name in ("type", "product_ids", "channels")}


ENTRY = Entry(
    name="coinbase full",
    make=full,
    symbols=SYMBOLS,
    frames=[ANSWER, *(frame.encode() for _, frame in SESSION)],
    told=TOLD,
    asks=[
        (
            lambda feed: feed.opened({"ABC-USD": "quote"}),
            [{"type": "subscribe", "product_ids": ["ABC-USD"], "channels": CHANNELS}],
        )
    ],
    read_request=without_signature,
    unknown=UNKNOWN,
    serve=lambda fault: CoinbaseExchange(SESSION, speed=SESSION_FAST, fault=fault, credentials=ACCOUNT),
    last=last_prices(SESSION),
    frames_before_data=1,  # the answer
    bad={"NOPE-USD": "NOPE-USD is not a valid product", "WRONG": "WRONG is not a valid product"},
    refusal="could not be authenticated",
    secrets=ACCOUNT,
    followed=followed,
)
