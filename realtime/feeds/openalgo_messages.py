"""The shapes of what OpenAlgo's proxy sends, as far as they are read, after its server and not its documentation."""

from decimal import Decimal
from typing import Any

import msgspec

Number = int | float


class BookLevel(msgspec.Struct, gc=False):
    price: Number
    quantity: Number


class Sides(msgspec.Struct):
    buy: list[BookLevel] = []
    sell: list[BookLevel] = []


class Tick(msgspec.Struct):
    ltp: Number | None = None
    timestamp: Number | str | None = None
    open: Number | None = None
    high: Number | None = None
    low: Number | None = None
    close: Number | None = None
    volume: Number | None = None
    last_trade_quantity: Number | None = None
    avg_trade_price: Number | None = None
    change: Number | None = None
    change_percent: Number | None = None
    depth: Sides | None = None


class MarketData(msgspec.Struct, tag_field="type", tag="market_data"):
    exchange: str
    symbol: str
    mode: int
    data: Tick


class Features(msgspec.Struct):
    quote: bool = True
    depth: bool = True


class Auth(msgspec.Struct, tag_field="type", tag="auth"):
    status: str
    message: str = ""
    supported_features: Features = msgspec.field(default_factory=Features)


class Entry(msgspec.Struct):
    symbol: str
    exchange: str
    status: str = "success"
    message: str = ""


class Answer(msgspec.Struct, tag_field="type", tag="subscribe"):
    status: str
    message: str = ""
    request_id: str | None = None
    subscriptions: list[Entry] = []


class Order(msgspec.Struct, tag_field="type", tag="order_update"):
    orderid: str
    exchange: str = ""
    symbol: str = ""


class Head(msgspec.Struct):
    """Of a frame that is none of the above; an error has a status and a code, and no type."""

    type: str | None = None
    status: str = ""
    code: str = ""
    message: str = ""
    request_id: str | None = None


KINDS = frozenset({"market_data", "auth", "subscribe", "order_update"})
# Some brokers' numbers arrive as text.
decode_message = msgspec.json.Decoder(MarketData | Auth | Answer | Order, strict=False).decode
decode_head = msgspec.json.Decoder(Head, strict=False).decode
decode_fields = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
