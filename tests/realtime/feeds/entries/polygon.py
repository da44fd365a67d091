"""Polygon's stocks, forex and crypto."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from assets.market import BidAsk, Depth, Quote, Trade
from realtime.feeds.base import Confirmed, Event, Feed, Frame, Ready, Send
from realtime.feeds.polygon import PolygonFeed
from realtime.feeds.polygon_symbols import Cluster
from tests.realtime.feeds.contract import NONSENSE, Ask, Entry
from tests.vendors.polygon import PolygonServer, made_up, status

KEY = "0123456789-not-a-real-key"
GREETING = b'[{"ev":"status","status":"connected","message":"Connected Successfully"}]'
WELCOME = b'[{"ev":"status","status":"auth_success","message":"authenticated"}]'
AT = datetime(2018, 9, 4, 4, 53, 38, 784_000, tzinfo=UTC)
MILLISECONDS = 1_536_036_818_784

TRADE = {"ev": "T", "sym": "MSFT", "x": 4, "z": 3, "t": MILLISECONDS}
PAIR = {"pair": "BTC-USD", "t": MILLISECONDS, "x": 1}


def frame(*events: dict[str, Any]) -> bytes:
    return json.dumps(events).encode()


def prices(events: Iterable[Event]) -> dict[str, str]:
    return {
        event.symbol: str(event.price)
        for event in events
        if isinstance(event, Quote) or (isinstance(event, Trade) and event.updates_last)
    }


def followed(requests: Sequence[Any]) -> set[str]:
    """The symbols that a price is asked for."""
    symbols: set[str] = set()
    for request in requests:
        if request["action"] == "auth":
            continue
        pairs = [pair.partition(".") for pair in request["params"].split(",")]
        named = {
            name.replace("EUR-", "EUR/").replace("GBP-", "GBP/")
            for topic, _, name in pairs
            if topic in PRICING
        }
        change = symbols.update if request["action"] == "subscribe" else symbols.difference_update
        change(named)
    return symbols


PRICING = {"T", "C", "XT"}


def sent(feed: Feed, given: bytes) -> list[Frame]:
    return [event.frame for event in feed.decode(given) if isinstance(event, Send)]


def asks(first: str, second: str, *topics: str) -> list[Ask]:
    """The key after the greeting, and the topics of the base mode after the welcome."""

    def subscribe(name: str) -> dict[str, str]:
        return {"action": "subscribe", "params": name}

    def welcomed_and_then(feed: Feed) -> Sequence[Frame]:
        feed.decode(WELCOME)
        return feed.unsubscribe([second])

    each = [(f"{topic}.{first}", f"{topic}.{second}") for topic in topics]
    return [
        (lambda feed: feed.opened({first: "ltpc"}), []),
        (lambda feed: sent(feed, GREETING), [{"action": "auth", "params": KEY}]),
        (lambda feed: sent(feed, WELCOME), [subscribe(",".join(pairs)) for pairs in each]),
        (welcomed_and_then, [{"action": "unsubscribe", "params": pair} for _, pair in sorted(each)]),
    ]


def entry(cluster: Cluster, symbols: tuple[str, ...], **more: Any) -> Entry:
    session = [frame(*events) for _, (_, events) in made_up(cluster, symbols, 40)]
    feed = PolygonFeed(cluster, KEY, symbols)
    feed.opened(dict.fromkeys(symbols, "ltpc"))
    last = prices(event for one in session for event in feed.decode(one))
    return Entry(
        name=f"polygon_{cluster}",
        make=lambda url="ws://unused", wanted=symbols: PolygonFeed(cluster, KEY, wanted, url=url),
        symbols=symbols,
        frames=[GREETING, WELCOME, *session],
        documented=[GREETING, WELCOME, *(frame(event) for one in session for event in json.loads(one))],
        unknown=[
            frame({"ev": "ZZ", "sym": symbols[0]}),
            frame({"ev": "futures", "sym": symbols[0], "t": 1}, {"ev": "B"}),
            frame(status("success", "unsubscribed to: T.AAPL")),
            b"[]",
        ],
        nonsense=(*NONSENSE, b'[{"ev":"status"', b"[null]"),
        serve=lambda fault: PolygonServer(
            sessions=[[one.decode() for one in session]], keys=[KEY], fault=fault
        ),
        prices=prices,
        last=last,
        frames_before_data=3,  # greeting, welcome, one acknowledgement
        refusal="the vendor refuses our key: authentication failed",
        secrets=[KEY],
        followed=followed,
        **more,
    )


ENTRIES = [
    entry(
        "stocks",
        ("AAPL", "MSFT"),
        told=[
            (GREETING, [Send(json.dumps({"action": "auth", "params": KEY}, separators=(",", ":")))]),
            (
                frame(
                    {**TRADE, "i": "1", "p": 114.125, "s": 1, "c": [37]},
                    {**TRADE, "i": "2", "p": 114.13, "s": 100, "c": []},
                ),
                [
                    Trade(
                        symbol="MSFT",
                        price=Decimal("114.125"),
                        quantity=Decimal(1),
                        as_of=AT,
                        trade_id="4-1",
                        updates_last=False,
                        updates_high_low=False,
                    ),
                    Trade(symbol="MSFT", price=Decimal("114.13"), quantity=Decimal(100), as_of=AT, trade_id="4-2"),
                    Confirmed(("MSFT",)),
                ],
            ),
            (frame(status("success", "subscribed to: T.MSFT")), [Ready()]),
        ],
        asks=asks("AAPL", "MSFT", "T", "AM"),
        bad={"NOPE": None},
    ),
    entry(
        "forex",
        ("EUR/USD", "GBP/USD"),
        told=[
            (
                frame({"ev": "C", "p": "EUR/USD", "x": "44", "a": 1.08514, "b": 1.08511, "t": MILLISECONDS}),
                [
                    Quote(
                        symbol="EUR/USD",
                        price=Decimal("1.085125"),
                        as_of=AT,
                        bid=Decimal("1.08511"),
                        ask=Decimal("1.08514"),
                    ),
                    Confirmed(("EUR/USD",)),
                ],
            )
        ],
        bad={"NOPE/USD": None, "WRONG": "expected a pair such as EUR/USD"},
    ),
    entry(
        "crypto",
        ("BTC-USD", "ETH-USD"),
        told=[
            (
                frame(
                    {"ev": "XQ", **PAIR, "bp": 33712.7, "bs": 0.16, "ap": 33718.23, "as": 2},
                    {"ev": "XL2", **PAIR, "b": [[33712.7, 0.16]], "a": [[33718.23, 2]]},
                ),
                [
                    BidAsk(
                        symbol="BTC-USD",
                        as_of=AT,
                        bid=Decimal("33712.7"),
                        ask=Decimal("33718.23"),
                        bid_quantity=Decimal("0.16"),
                        ask_quantity=Decimal(2),
                    ),
                    Depth(
                        symbol="BTC-USD",
                        bids=((Decimal("33712.7"), Decimal("0.16")),),
                        asks=((Decimal("33718.23"), Decimal(2)),),
                        as_of=AT,
                    ),
                ],
            )
        ],
        asks=asks("BTC-USD", "ETH-USD", "XT", "XA"),
        bad={"NOPE-USD": None, "WRONG": "expected a pair such as BTC-USD"},
    ),
]  # fmt: skip
