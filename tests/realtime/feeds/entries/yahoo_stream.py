"""Yahoo Finance's streaming socket, with frames as full as those of a stock in its session."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from assets.market import BidAsk, Quote
from realtime.feeds.base import Ready
from realtime.feeds.yahoo_stream import YahooStreamFeed
from tests.realtime.feeds.contract import Entry
from tests.vendors.yahoo import (
    CRYPTOCURRENCY,
    EQUITY,
    POST_MARKET,
    PRE_MARKET,
    REGULAR_MARKET,
    YahooServer,
    pricing,
)

SYMBOLS = ("AAPL", "MSFT")
TIME = 1795204017711
SAMPLE = {
    "id": "AAPL",
    "price": 190.55,
    "time": TIME,
    "exchange": "NMS",
    "quote_type": EQUITY,
    "market_hours": REGULAR_MARKET,
    "change_percent": 0.8255,
    "day_volume": 31234567,
    "day_high": 192.05,
    "day_low": 188.1,
    "change": 1.56,
    "open_price": 189.01,
    "previous_close": 3.14,
    "last_size": 100,
    "price_hint": 2,
}
SESSION = [
    pricing(
        **{
            **SAMPLE,
            "id": SYMBOLS[number % 2],
            "price": 190 + number * 7 % 150 / 100,
            "time": TIME + number * 37,
            "change": number * 7 % 150 / 100 + 1.01,
            "change_percent": number * 7 % 150 / 190,
            "day_volume": 31_234_567 + number * 100,
        }
    )
    for number in range(300)
]
AS_OF = datetime(2026, 11, 20, 19, 46, 57, 711000, tzinfo=UTC)


def make(url: str = "ws://unused", symbols: Sequence[str] = SYMBOLS) -> YahooStreamFeed:
    return YahooStreamFeed(symbols, url=url)


def followed(requests: Sequence[Any]) -> set[str]:
    symbols: set[str] = set()
    for request in requests:
        symbols |= set(request.get("subscribe", ()))
        symbols -= set(request.get("unsubscribe", ()))
    return symbols


def frame(**fields: Any) -> bytes:
    return pricing(**{**SAMPLE, **fields}).encode()


ENTRY = Entry(
    name="yahoo_stream",
    make=make,
    symbols=SYMBOLS,
    frames=[frame.encode() for frame in SESSION],
    told=[
        (frame(market_hours=PRE_MARKET, price=250.0), [Ready()]),
        (frame(market_hours=POST_MARKET, price=250.0), []),
        (
            frame(market_hours=POST_MARKET, price=250.0, bid=249.9, bid_size=3),
            [BidAsk(symbol="AAPL", as_of=AS_OF, bid=Decimal("249.9"), ask=None, bid_quantity=Decimal(3))],
        ),
        (
            frame(),
            [
                Quote(
                    symbol="AAPL",
                    price=Decimal("190.55"),
                    as_of=AS_OF,
                    last_quantity=Decimal(100),
                    open=Decimal("189.01"),
                    high=Decimal("192.05"),
                    low=Decimal("188.1"),
                    volume=Decimal(31_234_567),
                )
            ],
        ),
        (
            pricing(bare=True, id="BTC-USD", price=90_000.5, time=TIME, quote_type=CRYPTOCURRENCY).encode(),
            [Quote(symbol="BTC-USD", price=Decimal("90000.5"), as_of=AS_OF)],
        ),
    ],
    asks=[
        (lambda feed: feed.opened({"AAPL": "quote"}), [{"subscribe": ["AAPL"]}]),
        (lambda feed: feed.subscribe({"TSLA": "quote"}), [{"subscribe": ["AAPL", "MSFT", "TSLA"]}]),
        (lambda feed: feed.unsubscribe(["MSFT"]), [{"unsubscribe": ["MSFT"]}]),
        (lambda feed: feed.change_mode({"MSFT": "ltpc"}), []),
    ],
    unknown=[b"{}", b'{"type":"heartbeat","message":"x"}', b'{"type":"auction"}'],
    serve=lambda fault: YahooServer(sessions=[SESSION], fault=fault),
    last={
        "AAPL": str(Decimal(str(190 + 298 * 7 % 150 / 100))),
        "MSFT": str(Decimal(str(190 + 299 * 7 % 150 / 100))),
    },
    bad={"NOPE": None},
    followed=followed,
)
