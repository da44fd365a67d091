"""Upstox's portfolio stream: what happens to the orders, positions, holdings and GTT orders of the account.

It begins by itself, is asked nothing, and may say nothing for days. Only the shape of an order is published; of the
others no more is relied on than the names of their identifiers, and whatever they hold is handed on.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from assets.market import AccountEvent, bounded, parse_decimal
from realtime.feeds.base import Channel, Clock, Event, Feed, Frame, FrameError, Mode, SystemClock, Wire
from realtime.feeds.upstox_wire import upstox_wire

URL = "wss://api.upstox.com/v2/feed/portfolio-stream-feed"
UPDATES = "order,position,holding,gtt_order"

_INDIA = ZoneInfo("Asia/Kolkata")
_Kind = Literal["order", "position", "holding", "gtt"]
_KINDS: Mapping[str, _Kind] = {
    "order": "order",
    "position": "position",
    "holding": "holding",
    "gtt_order": "gtt",
}
# The first one that is there names what an update is about.
_KEYS: Mapping[_Kind, tuple[str, ...]] = {
    "order": ("order_id", "order_ref_id"),
    "gtt": ("gtt_order_id",),
    "position": ("instrument_token", "instrument_key", "trading_symbol"),
    "holding": ("instrument_token", "instrument_key", "isin", "trading_symbol"),
}
_TIMES = ("order_timestamp", "exchange_timestamp")

Value = Decimal | str | bool | None


class UpstoxPortfolioFeed(Feed):
    """The account behind a token as a feed; it has no symbols.

    Args:
        url, token, authorize_url: see `upstox_wire`; which updates are wanted is part of both addresses.
        clock: for an update that tells no time.
    """

    source = "upstox_portfolio"
    modes: frozenset[Mode] = frozenset()
    channels: frozenset[Channel] = frozenset()
    needs_symbols = False
    silence_after = None
    is_ready_when_open = True

    def __init__(self, *, url: str, token: str, authorize_url: str = "", clock: Clock | None = None) -> None:
        self._where = (url, token, authorize_url)
        self._clock = clock or SystemClock()
        self._decoder = msgspec.json.Decoder(dict[str, Any], float_hook=parse_decimal)

    def wire(self) -> Wire:
        return upstox_wire(*self._where)

    def opened(self, wants: Mapping[str, Mode]) -> list[Frame]:
        return []

    def subscribe(self, wants: Mapping[str, Mode]) -> list[Frame]:
        return []

    def unsubscribe(self, symbols: Iterable[str]) -> list[Frame]:
        return []

    def decode(self, frame: bytes) -> list[Event]:
        """Reads {"update_type":"order","order_id":"240521010000001","instrument_token":"NSE_EQ|INE669E01016",
        "status":"open","price":14.05,"quantity":1,"order_timestamp":"2024-05-21 09:16:02","placed_by":null}
        """
        try:
            update = self._decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FrameError("not_json", f"expected an object in JSON: {error}") from error
        except RecursionError as error:
            raise FrameError("too_deep", "expected less nested JSON") from error
        except (ValueError, ArithmeticError) as error:
            raise FrameError("bad_number", str(error) or "expected a decimal") from error
        kind = _KINDS.get(str(update.pop("update_type", "")))
        if kind is None:
            return []
        try:
            details = dict(_flat("", update))
        except ValueError as error:
            raise FrameError("bad_number", str(error)) from error
        return [self._event(kind, details)]

    def _event(self, kind: _Kind, details: dict[str, Value]) -> AccountEvent:
        key = next((text for name in _KEYS[kind] if (text := _text(details.get(name)))), None)
        if key is None:
            raise FrameError(f"no_{kind}_id", f"expected {_KEYS[kind][0]}, was none")
        if kind == "position" and (product := _text(details.get("product"))):
            key = f"{key} {product}"  # one each of delivery and of the day
        return AccountEvent(
            kind=kind,
            key=key,
            as_of=self._time(details),
            symbol=_text(details.get("instrument_token")) or _text(details.get("instrument_key")),
            details=details,
        )

    def _time(self, details: Mapping[str, Value]) -> datetime:
        for name in _TIMES:
            try:
                told = datetime.strptime(str(details.get(name)), "%Y-%m-%d %H:%M:%S")
                return told.replace(tzinfo=_INDIA).astimezone(UTC)
            except (ValueError, OverflowError):
                continue
        return self._clock.now()


def _text(value: Value) -> str | None:
    return str(value) if isinstance(value, str | Decimal) and not isinstance(value, bool) and value else None


def _flat(prefix: str, value: object) -> Iterable[tuple[str, Value]]:
    """Gives each part of a nested value a name of its own: `rules.0.trigger_price`."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _flat(f"{prefix}.{index}", part)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield prefix, bounded(Decimal(value))
    elif value is None or isinstance(value, str | bool | Decimal):
        yield prefix, value
    else:
        raise ValueError(f"expected text or a number as {prefix[:40]}")
