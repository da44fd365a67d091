"""Bitstamp."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from assets.market import Depth, Trade
from realtime.feeds.base import Confirmed, Ready
from realtime.feeds.bitstamp import BitstampFeed
from tests.realtime.feeds.contract import Entry, last_trades
from tests.vendors.bitstamp import (
    BEGUN,
    CHANNELS,
    HEARTBEAT,
    PAIRS,
    SESSIONS,
    BitstampServer,
    answer,
    book,
    trade,
)

AT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=BEGUN)
WRONG = "Invalid channel provided."


def bitstamp(url: str = "ws://unused", symbols: Sequence[str] = PAIRS) -> BitstampFeed:
    return BitstampFeed(symbols, url=url)


def request(kind: str, channel: str) -> dict[str, Any]:
    return {"event": f"bts:{kind}", "data": {"channel": channel}}


def followed(requests: Sequence[Any]) -> set[str]:
    """A pair of which both channels are followed."""
    channels: set[str] = set()
    for asked in requests:
        change = channels.add if asked["event"] == "bts:subscribe" else channels.discard
        change(asked["data"]["channel"])
    return {pair for pair in PAIRS if {f"{kind}_{pair}" for kind in CHANNELS} <= channels}


ENTRY = Entry(
    name="bitstamp",
    make=bitstamp,
    symbols=PAIRS,
    frames=[
        frame.encode()
        for channel, session in SESSIONS.items()
        for frame in (answer("subscription", channel), *session)
    ],
    told=[
        (answer("subscription", "live_trades_btcusd").encode(), [Ready()]),
        (answer("unsubscription", "live_trades_btcusd").encode(), []),
        *(
            (
                trade("btcusd", "83946.10", 643660479, number).encode(),
                [
                    Trade(
                        symbol="btcusd",
                        price=Decimal("83946.10"),
                        quantity=Decimal("0.04929643"),
                        as_of=AT,
                        side="sell" if number else "buy",
                        trade_id="643660479",
                    )
                ],
            )
            for number in (0, 1)
        ),
        (
            book("btcusd", [["83946.10", "0.12500000"], ["83946", "3"]], [["83947", "0.00000001"]]).encode(),
            [
                Depth(
                    symbol="btcusd",
                    bids=((Decimal("83946.10"), Decimal("0.125")), (Decimal(83946), Decimal(3))),
                    asks=((Decimal(83947), Decimal("0.00000001")),),
                    as_of=AT,
                )
            ],
        ),
        (book("btcusd", [], []).encode(), [Depth(symbol="btcusd", bids=(), asks=(), as_of=AT)]),
        (HEARTBEAT.encode(), [Confirmed(None)]),
    ],
    asks=[
        (
            lambda feed: feed.opened({"btcusd": "quote"}),
            [request("subscribe", f"{kind}_btcusd") for kind in CHANNELS],
        ),
        (lambda feed: feed.subscribe({"BTC/USD": "quote"}), [request("subscribe", "live_trades_BTC/USD")]),
        (
            lambda feed: feed.unsubscribe(["btcusd"]),
            [request("unsubscribe", f"{kind}_btcusd") for kind in CHANNELS],
        ),
    ],
    unknown=[
        b'{"event":"order_created","channel":"live_orders_btcusd","data":{}}',
        b'{"event":"data","channel":"diff_order_book_btcusd","data":{"bids":[["1","0"]],"asks":[]}}',
        b'{"event":"trade","channel":"private-my_trades_btcusd-17","data":{}}',
    ],
    serve=lambda fault: BitstampServer(fault=fault),
    prices=last_trades,
    last=dict.fromkeys(PAIRS, "83950.10"),
    frames_before_data=1,
    bad={"nopeusd": None, "BTC/USD": WRONG, "BTCUSD": WRONG},  # an unknown pair is acknowledged, and silent
    followed=followed,
    frames_per_second=10_000,  # most are books of two hundred levels, 5 kB each
)
