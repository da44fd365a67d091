"""OpenAlgo: its proxy's ticks, and what happens to the account's orders."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from assets.market import AccountEvent, Depth, Quote
from realtime.feeds.base import Event, Frame, Ready, Send
from realtime.feeds.openalgo import OpenAlgoFeed
from tests.realtime.feeds.contract import NONSENSE, Entry, last_quotes
from tests.realtime.feeds.fakes import START, JumpingClock
from tests.vendors.openalgo import OpenAlgoProxy, made_up_ticks

SYMBOLS = ("NSE:RELIANCE", "NSE:SBIN")
KEY = "our key"
AUTH = (
    b'{"type":"auth","status":"success","message":"Authentication successful","broker":"upstox","user_id":"u",'
    b'"supported_features":{"ltp":true,"quote":true,"depth":true}}'
)
SESSION = [
    json.dumps({"type": "market_data", "broker": "upstox", **json.loads(tick)})
    for _, tick in made_up_ticks(SYMBOLS, 100)
]
AT = datetime(2025, 5, 27, 13, 50, 24, 355000, tzinfo=UTC)
TOLD: tuple[tuple[bytes, list[Event]], ...] = (
    (
        b'{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":2,"broker":"upstox","data":{"ltp":1424.05,'
        b'"open":1415.0,"high":1432.5,"low":1408.0,"close":1418.05,"volume":100000,"last_trade_quantity":50,'
        b'"avg_trade_price":1419.35,"change":6.0,"change_percent":0.42,"timestamp":1748353824355}}',
        [
            Quote(
                symbol="NSE:RELIANCE",
                price=Decimal("1424.05"),
                as_of=AT,
                last_quantity=Decimal(50),
                open=Decimal(1415),
                high=Decimal("1432.5"),
                low=Decimal(1408),
                volume=Decimal(100000),
                previous_close=Decimal("1418.05"),
                average_price=Decimal("1419.35"),
            )
        ],
    ),
    (
        b'{"type":"market_data","symbol":"SBIN","exchange":"NSE","mode":3,"broker":"upstox","data":{"ltp":800.1,'
        b'"timestamp":1748353824355,"depth":{"buy":[{"price":800.05,"quantity":50,"orders":3},{"price":0,"quantity":0,'
        b'"orders":0}],"sell":[]}}}',
        [
            Quote(symbol="NSE:SBIN", price=Decimal("800.1"), as_of=AT),
            Depth(symbol="NSE:SBIN", bids=((Decimal("800.05"), Decimal(50)),), asks=(), as_of=AT),
        ],
    ),
    (
        b'{"type":"order_update","user_id":"u","mode":"live","orderid":"240221025997024","symbol":"SBIN","exchange":"NSE",'
        b'"order_status":"complete","filled_quantity":10,"average_price":800.15}',
        [
            AccountEvent(
                kind="order",
                key="240221025997024",
                as_of=START,
                symbol="NSE:SBIN",
                details={
                    "mode": "live",
                    "orderid": "240221025997024",
                    "symbol": "SBIN",
                    "exchange": "NSE",
                    "order_status": "complete",
                    "filled_quantity": Decimal(10),
                    "average_price": Decimal("800.15"),
                },
            )
        ],
    ),
)


def openalgo(url: str = "ws://unused", symbols: Sequence[str] = SYMBOLS) -> OpenAlgoFeed:
    return OpenAlgoFeed(symbols, url=url, key=KEY, clock=JumpingClock())


def serve(fault: str) -> OpenAlgoProxy:
    return OpenAlgoProxy([], key=KEY, symbols=SYMBOLS, fault=fault, sessions=[SESSION])


def followed(requests: Sequence[Any]) -> set[str]:
    found: set[str] = set()
    for request in requests:
        names = {f"{one['exchange']}:{one['symbol']}" for one in request.get("symbols", ())}
        if request["action"] == "subscribe":
            found |= names
        elif request["action"] == "unsubscribe":
            found -= names
    return found


def without_id(frame: Frame) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(frame)
    request.pop("request_id", None)
    return request


def let_in(feed: Any) -> list[Frame]:
    """What the feed asks once the vendor has let it in."""
    ready, *sends = feed.decode(AUTH)
    assert ready == Ready() and all(isinstance(send, Send) for send in sends)
    return [send.frame for send in sends]


def two(mode: int) -> dict[str, Any]:
    named = [{"symbol": symbol.partition(":")[2], "exchange": "NSE"} for symbol in SYMBOLS]
    return {"action": "subscribe", "symbols": named, "mode": mode, "depth": 5}


ENTRY = Entry(
    name="openalgo",
    make=openalgo,
    symbols=SYMBOLS,
    frames=[AUTH, *(frame.encode() for frame in SESSION)],
    told=TOLD,
    asks=[
        (lambda feed: feed.opened({}), [{"action": "authenticate", "api_key": KEY}]),
        (let_in, [two(2), {"action": "subscribe_orders"}]),
        (
            lambda feed: [*let_in(feed)[:1], *feed.change_mode(dict.fromkeys(SYMBOLS, "full"))],
            [two(2), two(3)],
        ),
        # Nothing but its key until it is let in.
        (lambda feed: feed.subscribe({"NSE:INFY": "full"}), []),
    ],
    read_request=without_id,
    unknown=(b'{"type":"pong","status":"success"}', b'{"type":"ltp","symbol":"RELIANCE","ltp":1}'),
    nonsense=(
        *NONSENSE,
        b'{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":"ltp","data":{"ltp":1}}',
        b'{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":1,"data":{"ltp":"N/A"}}',
    ),
    serve=serve,
    last=last_quotes(event for frame in SESSION for event in openalgo().decode(frame.encode())),
    frames_before_data=1,
    bad={"NSE:NOPE": "Symbol NOPE not found", "NSE:WRONG": "Symbol WRONG not found"},
    refusal="AUTHENTICATION_ERROR",
    secrets=[KEY],
    followed=followed,
)
