"""Kraken."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from assets.market import BidAsk, Depth, Quote, Trade
from realtime.feeds.base import Confirmed, Gap, Ready, Refused, Send
from realtime.feeds.kraken import KrakenFeed
from tests.realtime.feeds.contract import Entry
from tests.vendors.kraken import (
    CHANNELS,
    HEARTBEAT,
    SESSIONS,
    STATUS,
    SYMBOLS,
    KrakenServer,
    accepted,
    book_frame,
    checksum,
    refused,
)

ABC = "ABC/USD"
BEGUN = datetime(2026, 11, 20, 15, 0, 0, 295, tzinfo=UTC)
ITEM = '"symbol":"ABC/USD","timestamp":"2026-11-20T15:00:00.000295Z"'
BIDS, ASKS = [("83744.2", "0.56251979"), ("83743.4", "0.10052207")], [("83744.3", "0.00000080")]
LEFT = [("83743.4", "0.10052207")]
PARAMS: dict[str, dict[str, Any]] = {"ticker": {}, "trade": {"snapshot": False}, "book": {"depth": 10}}


def kraken(url: str = "ws://unused", symbols: Sequence[str] = SYMBOLS) -> KrakenFeed:
    return KrakenFeed(symbols, url=url)


def frame_of(channel: str, item: str) -> bytes:
    return f'{{"channel":"{channel}","type":"update","data":[{{{ITEM},{item}}}]}}'.encode()


def request(method: str, channel: str, *symbols: str) -> dict[str, Any]:
    return {"method": method, "params": {"channel": channel, "symbol": [*symbols], **PARAMS[channel]}}


def followed(requests: Sequence[Any]) -> set[str]:
    """A pair of which all three channels are followed, or none."""
    told = {(channel, symbol): 0 for channel in CHANNELS for symbol in SYMBOLS}
    for asked in requests:
        for symbol in asked["params"]["symbol"]:
            told[asked["params"]["channel"], symbol] = asked["method"] == "subscribe"
    return {symbol for symbol in SYMBOLS if any(told[channel, symbol] for channel in CHANNELS)}


ENTRY = Entry(
    name="kraken",
    make=kraken,
    symbols=SYMBOLS,
    frames=[
        STATUS.encode(),
        *(
            frame.encode()
            for channel in CHANNELS
            for symbol in SYMBOLS
            for frame in (accepted("subscribe", channel, symbol), *SESSIONS[symbol][channel])
        ),
        HEARTBEAT.encode(),
    ],
    told=[
        (STATUS.encode(), [Ready()]),
        (HEARTBEAT.encode(), [Confirmed(None)]),
        (
            frame_of(
                "ticker",
                '"bid":83744.2,"bid_qty":0.56251979,"ask":0,"ask_qty":0,"last":83744.30,"volume":3156.84782110,'
                '"vwap":84174.6,"low":83163.6,"high":85247.4,"change":-429.3,"change_pct":-0.51',
            ),
            [
                Quote(
                    symbol=ABC,
                    price=Decimal("83744.30"),
                    as_of=BEGUN,
                    bid=Decimal("83744.2"),
                    bid_quantity=Decimal("0.56251979"),
                    ask_quantity=Decimal(0),
                    high=Decimal("85247.4"),
                    low=Decimal("83163.6"),
                    volume=Decimal("3156.84782110"),
                    average_price=Decimal("84174.6"),
                    window="24h",
                )
            ],
        ),
        (  # nothing was traded for a day
            frame_of("ticker", '"bid":1.50,"bid_qty":2,"ask":1.60,"ask_qty":3,"last":null,"volume":0'),
            [
                BidAsk(
                    symbol=ABC,
                    as_of=BEGUN,
                    bid=Decimal("1.50"),
                    ask=Decimal("1.60"),
                    bid_quantity=Decimal(2),
                    ask_quantity=Decimal(3),
                )
            ],
        ),
        *(
            (
                frame_of("trade", '"side":"sell","price":83744.3,"qty":0.00044780,"trade_id":109116693'),
                told,
            )
            for told in (
                [
                    Trade(
                        symbol=ABC,
                        price=Decimal("83744.3"),
                        quantity=Decimal("0.00044780"),
                        as_of=BEGUN,
                        side="sell",
                        trade_id="109116693",
                    )
                ],
                [],  # a repetition
            )
        ),
        (
            book_frame("snapshot", ABC, BIDS, ASKS, checksum(BIDS, ASKS)).encode(),
            [
                Depth(
                    symbol=ABC,
                    bids=tuple((Decimal(price), Decimal(quantity)) for price, quantity in BIDS),
                    asks=((Decimal("83744.3"), Decimal("0.00000080")),),
                )
            ],
        ),
        (
            book_frame("update", ABC, [("83744.2", "0.0")], [], checksum(LEFT, ASKS)).encode(),
            [
                Depth(
                    symbol=ABC,
                    bids=((Decimal("83743.4"), Decimal("0.10052207")),),
                    asks=((Decimal("83744.3"), Decimal("0.00000080")),),
                )
            ],
        ),
        (
            book_frame("update", ABC, [("83743.4", "0.2")], [], 1).encode(),
            [
                Gap(ABC, "the book's checksum was wrong"),
                *(
                    Send(
                        f'{{"method":"{method}","params":{{"channel":"book","symbol":["ABC/USD"],"depth":10}}}}'
                    )
                    for method in ("unsubscribe", "subscribe")
                ),
            ],
        ),
        (accepted("subscribe", "book", ABC).encode(), []),
        (refused("subscribe", "Already subscribed", ABC).encode(), []),
        (refused("unsubscribe", "Subscription Not Found", ABC).encode(), []),
        (b'{"method":"pong","req_id":101}', []),
        (refused("subscribe", "No such pair", ABC).encode(), [Refused((ABC,), "No such pair")]),
        (refused("subscribe", "No such pair", ABC).encode(), []),  # once for all channels
    ],
    asks=[
        (
            lambda feed: feed.opened({ABC: "quote", "DEF/EUR": "full"}),
            [request("subscribe", channel, *SYMBOLS) for channel in CHANNELS],
        ),
        (
            lambda feed: feed.unsubscribe([ABC]),
            [request("unsubscribe", channel, ABC) for channel in CHANNELS],
        ),
    ],
    unknown=[b'{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[]}}'],
    serve=lambda fault: KrakenServer(fault=fault),
    last=dict.fromkeys(SYMBOLS, "100.50"),
    frames_before_data=2,  # the status and an answer
    bad={
        "NOPE/USD": "Currency pair not supported NOPE/USD",
        "XBT/USD": "Currency pair not supported XBT/USD",
    },
    followed=followed,
    frames_per_second=50_000,  # two of three are books, and each is summed over its twenty levels
)
