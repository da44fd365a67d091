"""Coinbase Exchange, and a recording of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from assets.market import Trade
from realtime.feeds.base import Confirmed, Event
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.replay import ReplayFeed
from tests.realtime.feeds.contract import NONSENSE, SESSION_FAST, Entry
from tests.vendors.coinbase import CoinbaseExchange
from tests.vendors.frames import last_prices, made_up

SYMBOLS = ("ABC-USD", "DEF-EUR")
SESSION = made_up(SYMBOLS, 100)
SECRET = "bm90IGEgcmVhbCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc="
UNKNOWN = (
    b'{"type":"auction","product_id":"ABC-USD"}',
    b'{"type":"status","products":[],"currencies":[]}',
)
TRADE = (
    b'{"type":"match","trade_id":881614,"maker_order_id":"27fff20b-af29-4f45-8744-56dd1ef57dc0","side":"sell",'
    b'"size":"0.04","price":"14.7775","product_id":"ABC-USD","sequence":333938798,'
    b'"time":"2021-04-17T16:43:30.244075Z"}'
)
HEARTBEAT = b'{"type":"heartbeat","last_trade_id":881614,"product_id":"ABC-USD","sequence":333938799}'
TOLD: tuple[tuple[bytes, list[Event]], ...] = (
    (
        TRADE,
        [
            Trade(
                symbol="ABC-USD",
                price=Decimal("14.7775"),
                quantity=Decimal("0.04"),
                as_of=datetime(2021, 4, 17, 16, 43, 30, 244075, tzinfo=UTC),
                side="buy",
                trade_id="881614",
            )
        ],
    ),
    (TRADE, []),  # a repetition
    (HEARTBEAT, [Confirmed(("ABC-USD",))]),
)
CHANNELS = ["ticker", "matches", "level2_batch", "heartbeat"]


def coinbase(url: str = "ws://unused", symbols: Sequence[str] = SYMBOLS) -> CoinbaseFeed:
    return CoinbaseFeed(symbols, url=url)


def followed(requests: Sequence[Any]) -> set[str]:
    products: set[str] = set()
    for request in requests:
        change = products.update if request["type"] == "subscribe" else products.difference_update
        change(request["product_ids"])
    return products


def request(kind: str, *products: str) -> dict[str, Any]:
    return {"type": kind, "product_ids": list(products), "channels": CHANNELS}


ENTRIES = [
    Entry(
        name="coinbase",
        make=coinbase,
        symbols=SYMBOLS,
        frames=[frame.encode() for _, frame in SESSION],
        told=TOLD,
        asks=[
            (lambda feed: feed.opened({"ABC-USD": "quote"}), [request("subscribe", "ABC-USD")]),
            # One request at a time: the next one goes out with the answer.
            (lambda feed: feed.unsubscribe(["ABC-USD"]), []),
        ],
        unknown=UNKNOWN,
        serve=lambda fault: CoinbaseExchange(SESSION, speed=SESSION_FAST, fault=fault),
        last=last_prices(SESSION),
        frames_before_data=2,  # the answer and a snapshot
        bad={"NOPE-USD": "NOPE-USD is not a valid product", "WRONG": "WRONG is not a valid product"},
        refusal="could not be authenticated",
        followed=followed,
    ),
    Entry(
        name="replay",
        make=lambda: ReplayFeed("unused", coinbase()),
        symbols=SYMBOLS,
        frames=[frame.encode() for _, frame in SESSION],
        told=TOLD,
        unknown=UNKNOWN,
        # What refused the one who recorded does not refuse us.
        frames_per_second=0,  # the same again
        nonsense=(*NONSENSE, b'{"type":"error","message":"invalid signature"}'),
    ),
]
