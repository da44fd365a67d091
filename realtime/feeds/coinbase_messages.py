"""The shapes of Coinbase Exchange's messages, as far as they are read. A kind that is not here says nothing to us.

The kinds of the channels `full` and `user` are the same; own ones carry a `user_id`. `Orders` is no message of theirs:
it brings the answer of their REST interface, so that a recording holds all that a book was made of.
"""

from datetime import datetime
from typing import Annotated, get_args

import msgspec

from assets.market import Side

# A time without a zone is none.
Time = Annotated[datetime, msgspec.Meta(tz=True)]
# No real number of theirs is longer, and a longer one would cost us its conversion.
Number = Annotated[str, msgspec.Meta(max_length=40)]


class Ticker(msgspec.Struct, tag_field="type", tag="ticker"):
    product_id: str
    price: Number
    sequence: int | None = None
    time: Time | None = None
    last_size: Number | None = None
    best_bid: Number | None = None
    best_ask: Number | None = None
    best_bid_size: Number | None = None
    best_ask_size: Number | None = None
    open_24h: Number | None = None
    high_24h: Number | None = None
    low_24h: Number | None = None
    volume_24h: Number | None = None


class Match(msgspec.Struct, tag_field="type", tag="match"):
    product_id: str
    trade_id: int
    price: Number
    size: Number
    side: Side
    time: Time
    sequence: int = 0
    maker_order_id: str = ""
    user_id: str | None = None


class LastMatch(Match, tag_field="type", tag="last_match"):
    pass


class Snapshot(msgspec.Struct, tag_field="type", tag="snapshot"):
    product_id: str
    bids: list[tuple[Number, Number]]
    asks: list[tuple[Number, Number]]


class Update(msgspec.Struct, gc=False, tag_field="type", tag="l2update"):
    product_id: str
    changes: list[tuple[Side, Number, Number]]


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat"):
    product_id: str
    last_trade_id: int | None = None


class Received(msgspec.Struct, gc=False, tag_field="type", tag="received"):
    product_id: str
    sequence: int
    order_id: str
    user_id: str | None = None


class Opened(msgspec.Struct, gc=False, tag_field="type", tag="open"):
    product_id: str
    sequence: int
    order_id: str
    side: Side
    price: Number
    remaining_size: Number
    user_id: str | None = None


class Done(msgspec.Struct, gc=False, tag_field="type", tag="done"):
    product_id: str
    sequence: int
    order_id: str
    user_id: str | None = None


class Change(msgspec.Struct, gc=False, tag_field="type", tag="change"):
    """Of a market order only the funds change; it rests in no book and has no `new_size`."""

    product_id: str
    sequence: int
    order_id: str
    new_size: Number | None = None
    new_price: Number | None = None
    user_id: str | None = None


class Activate(msgspec.Struct, gc=False, tag_field="type", tag="activate"):
    product_id: str
    order_id: str
    timestamp: str
    user_id: str | None = None


class OrderList(msgspec.Struct):
    """Each order is its price, its size and its id."""

    sequence: int
    bids: list[tuple[Number, Number, str]]
    asks: list[tuple[Number, Number, str]]


class Orders(msgspec.Struct, tag_field="type", tag="orders"):
    product_id: str
    book: OrderList | None = None
    error: str = ""


class Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions"):
    channels: list[Channel] = []


class Error(msgspec.Struct, tag_field="type", tag="error"):
    message: str = ""
    reason: str = ""


class _Head(msgspec.Struct):
    type: str


# What happens to orders, in the one sequence of a product.
OrderMessage = Received | Opened | Done | Match | Change
# These may be our own; a last match is an old one.
OWN_KINDS = frozenset({Received, Opened, Done, Match, Change, Activate})
Message = (
    Ticker
    | Match
    | LastMatch
    | Snapshot
    | Update
    | Heartbeat
    | Received
    | Opened
    | Done
    | Change
    | Activate
    | Orders
    | Subscriptions
    | Error
)
KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(Message))
decode_message = msgspec.json.Decoder(Message).decode
_decode_head = msgspec.json.Decoder(_Head).decode


def kind_of(frame: bytes) -> str | None:
    """Returns the kind of a message that has some other shape than it should; None for what is no message."""
    try:
        return _decode_head(frame).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
