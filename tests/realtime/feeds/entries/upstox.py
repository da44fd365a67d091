"""Upstox: its market data in both versions, and what happens to the account."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from assets.market import AccountEvent, Quote
from realtime.feeds.base import Confirmed, Event, Frame
from realtime.feeds.upstox import UpstoxFeed
from realtime.feeds.upstox_portfolio import UpstoxPortfolioFeed
from realtime.feeds.upstox_v2 import UpstoxV2Feed
from tests.realtime.feeds.contract import SESSION_FAST, Entry, last_quotes
from tests.realtime.feeds.fakes import JumpingClock
from tests.vendors.upstox import PORTFOLIO, V2, V3, Upstox
from tests.vendors.upstox_frames import (
    OPTION,
    UPDATES,
    Instrument,
    made_up,
    text_of,
    v2_feed,
    v2_frame,
    v3_feed,
    v3_frame,
    v3_market_info,
)

SYMBOLS = (OPTION, "NSE_FO|45451")
SCRIPT = made_up(SYMBOLS, 300)
SECRET = "made-up-secret"
UPDATE_TYPES = "?update_types=order%2Cposition%2Cholding%2Cgtt_order"
# A kind that is not there yet, an answer that nobody waits for.
UNKNOWN_TEXT = b'{"status":"success","method":"sub"}'
LAST = Instrument(OPTION, 1740729566039, 212.35, 1740729552723, ltq=75, cp=240.9)
TOLD: list[Event] = [
    Quote(
        symbol=OPTION,
        price=Decimal("212.35"),
        as_of=datetime(2025, 2, 28, 7, 59, 12, 723000, UTC),
        last_quantity=Decimal(75),
    )
]


def authorize(url: str, path: str) -> str:
    """The one-time way, so that a rival connection can be opened as well as ours."""
    return f"{url.replace('ws://', 'http://')}{path}"


def market(kind: type[UpstoxFeed] | type[UpstoxV2Feed], path: str) -> Any:
    def make(url: str = "ws://unused", symbols: Sequence[str] = SYMBOLS) -> UpstoxFeed | UpstoxV2Feed:
        return kind(symbols, token=SECRET, authorize_url=authorize(url, f"{path}/authorize"))

    return make


def portfolio(url: str = "ws://unused", symbols: Sequence[str] = ()) -> UpstoxPortfolioFeed:
    return UpstoxPortfolioFeed(
        url="unused",
        token=SECRET,
        authorize_url=authorize(url, f"{PORTFOLIO}/authorize{UPDATE_TYPES}"),
        clock=JumpingClock(),  # positions tell no time
    )


def serve(fault: str) -> Upstox:
    return Upstox(SCRIPT, token=SECRET, speed=SESSION_FAST, fault=fault)


def read_request(frame: Frame) -> Any:
    request = json.loads(frame)
    del request["guid"]
    return request


def followed(requests: Sequence[Any]) -> set[str]:
    keys: set[str] = set()
    for request in requests:
        change = keys.difference_update if request["method"] == "unsub" else keys.update
        change(request["data"]["instrumentKeys"])
    return keys


def request(method: str, mode: str | None, *keys: str) -> dict[str, Any]:
    return {"method": method, "data": {"instrumentKeys": list(keys)} | ({"mode": mode} if mode else {})}


def last_updates(events: Iterable[Event]) -> dict[str, str]:
    """Returns the kind of the last update of each thing that the account holds or asks for."""
    return {event.key: event.kind for event in events if isinstance(event, AccountEvent)}


COMMON: Mapping[str, Any] = {
    "symbols": SYMBOLS,
    "asks": [
        (lambda feed: feed.opened({OPTION: "ltpc"}), [request("sub", "ltpc", OPTION)]),
        (lambda feed: feed.change_mode({OPTION: "quote"}), [request("change_mode", "full", OPTION)]),
        (lambda feed: feed.unsubscribe([OPTION]), [request("unsub", None, OPTION)]),
    ],
    "read_request": read_request,
    "binary_requests": True,
    "serve": serve,
    "prices": last_quotes,
    "last": {one.key: str(one.ltp) for _, one in SCRIPT},
    "bad": {"NSE_FO|NOPE": None},
    "refusal": "renew it",
    "secrets": [SECRET],
    "followed": followed,
    "wrong_urls": ("ftp://127.0.0.1:1/", "nonsense", "ws://"),
}

ENTRIES = [
    Entry(
        name="upstox",
        make=market(UpstoxFeed, V3),
        frames=[
            v3_market_info(),
            *(v3_frame(1, {one.key: v3_feed(one, "full")}, one.now) for _, one in SCRIPT),
        ],
        told=[
            (v3_frame(1, {OPTION: v3_feed(LAST, "ltpc")}, LAST.now), TOLD),
            (v3_frame(1, {OPTION: v3_feed(LAST, "ltpc")}, LAST.now), [Confirmed((OPTION,))]),
        ],
        unknown=[v3_frame(7, {}, LAST.now), v3_frame(1, {}, LAST.now) + b"\xf8\x07\x01", UNKNOWN_TEXT],
        frames_before_data=1,
        frames_per_second=50_000,
        **COMMON,
    ),
    Entry(
        name="upstox v2",
        make=market(UpstoxV2Feed, V2),
        frames=[v2_frame(1, {one.key: v2_feed(one, "full")}, one.now) for _, one in SCRIPT],
        told=[(v2_frame(0, {OPTION: v2_feed(LAST, "ltpc")}, LAST.now), TOLD)],
        frames_per_second=0,  # nobody sends these any more
        unknown=[v2_frame(7, {}, LAST.now), UNKNOWN_TEXT],
        **COMMON,
    ),
    Entry(
        name="upstox portfolio",
        make=portfolio,
        symbols=(),
        frames=[text_of(update).encode() for update in UPDATES],
        unknown=[b'{"update_type":"dividend"}', b'{"type":"order","data":{"order_id":"1"}}'],
        serve=serve,
        prices=last_updates,
        last={
            "250228000000001": "order",
            "NSE_EQ|INE002A01018 D": "position",
            "NSE_EQ|INE002A01018": "holding",
            "GTT-C25280200071353": "gtt",
        },
        refusal="renew it",
        secrets=[SECRET],
        wrong_urls=("ftp://127.0.0.1:1/", "nonsense", "ws://"),
        frames_per_second=0,
    ),
]
