"""Coinbase Exchange's messages about our own orders, as events of the account behind the key.

They come on the channel `user`, and again on `full` where that is followed too. They have no numbers of their own, so
that a lost one cannot be seen.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from assets.market import AccountEvent, parse_decimal
from realtime.feeds.coinbase_messages import Time

# Many more than can be between the two copies of a message.
EVENTS_KEPT = 1024
NUMBERS = frozenset(
    {"price", "size", "remaining_size", "funds", "stop_price", "taker_fee_rate", "maker_fee_rate"}
    | {f"{age}_{name}" for age in ("new", "old") for name in ("size", "price", "funds")}
)
# Who we are is no news, and the rest stands in the event itself.
LEFT_OUT = frozenset(
    {"product_id", "time", "timestamp", "sequence"}
    | {f"{whose}{name}" for whose in ("", "taker_", "maker_") for name in ("user_id", "profile_id")}
)


class OwnEvents:
    """The events of one connection, each once."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], None] = {}

    def read(self, frame: bytes) -> list[AccountEvent]:
        """Reads {"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac…","taker_order_id":"13…",
        "time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell",
        "taker_user_id":"5844…","user_id":"5844…","taker_profile_id":"765d…","profile_id":"765d…",
        "taker_fee_rate":"0.005"}
        """
        fields: dict[str, Any] = msgspec.json.decode(frame)
        key = _order_id(fields)
        seen = (fields["type"], key, fields.get("sequence"), fields.get("timestamp"))
        if seen in self._seen:
            return []
        event = AccountEvent(
            kind="fill" if fields["type"] == "match" else "order",
            key=key,
            as_of=_moment(fields),
            symbol=str(fields["product_id"]),
            details={name: _value(name, value) for name, value in fields.items() if name not in LEFT_OUT},
        )
        if len(self._seen) >= EVENTS_KEPT:
            del self._seen[next(iter(self._seen))]
        self._seen[seen] = None
        return [event]


def _order_id(fields: dict[str, Any]) -> str:
    """Returns our order; a match has two, and names the taker's owner where that is us."""
    name = "order_id"
    if fields["type"] == "match":
        name = "taker_order_id" if "taker_user_id" in fields else "maker_order_id"
    order_id = fields.get(name)
    if not isinstance(order_id, str):
        raise ValueError(f"expected an id in {name}, was {order_id!r:.40}")
    return order_id


def _moment(fields: dict[str, Any]) -> datetime:
    """An `activate` says seconds since the epoch, all others ISO 8601."""
    if "time" in fields:
        return msgspec.convert(fields["time"], Time)
    return datetime.fromtimestamp(float(str(fields.get("timestamp"))), UTC)


def _value(name: str, value: Any) -> Decimal | str | bool | None:
    if isinstance(value, str) and name in NUMBERS:
        return parse_decimal(value)
    if value is None or isinstance(value, str | bool):
        return value
    return str(value)
