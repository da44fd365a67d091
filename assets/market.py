"""Plain values of a market: quotes, trades, bars and order books, as every source speaks of them.

Owns their shapes and the one way to turn a vendor's text into a `Decimal`. Knows no Django, no Redis and no
vendor. A value's `symbol` is the SOURCE's own name for the instrument; the price feed maps it to an asset.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

Side = Literal["buy", "sell"]
Level = tuple[Decimal, Decimal]

# Beyond this a price is a broken frame, and its plain notation could be a megabyte long.
MAX_EXPONENT = 30
HUNDREDTH = Decimal("0.01")


def parse_decimal(text: str) -> Decimal:
    """Returns the exact value of a vendor's decimal text.

    Raises:
        ValueError: not a number, not finite, or an exponent beyond ±30.
    """
    try:
        value = Decimal(text)
    except (InvalidOperation, TypeError) as error:
        raise ValueError(f"expected a decimal, was {str(text)[:40]!r}") from error
    return bounded(value)


def bounded(value: Decimal) -> Decimal:
    """Returns `value` if it is finite and printable in plain notation; raises ValueError otherwise."""
    if not value.is_finite():
        raise ValueError(f"expected a finite decimal, was {value}")
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAX_EXPONENT or value.adjusted() > MAX_EXPONENT:
        raise ValueError(f"expected an exponent within ±{MAX_EXPONENT}, was {value:.6E}")
    return value


def from_float(value: float) -> Decimal:
    """Converts a vendor's binary double once, by its shortest text; raises ValueError unless finite."""
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, was {value}")
    return bounded(Decimal(repr(value)))


def session_start(moment: datetime) -> datetime:
    """Returns the current session's open: 00:00 UTC, as every asset trades around the clock for now."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def change_since(price: Decimal, previous_close: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    """Returns the change and its percent, to 2 places; both None without a previous close above zero."""
    if previous_close is None or previous_close <= 0:
        return None, None
    change = price - previous_close
    percent = (100 * change / previous_close).quantize(HUNDREDTH)
    return change, percent or abs(percent)  # a tiny loss is 0.00, not -0.00


class Quote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an instrument is worth at a moment, with whatever else its source says about the day.

    `window` tells what open, high, low and volume cover: the session, or the rolling 24 hours.
    """

    symbol: str
    price: Decimal
    as_of: datetime
    last_quantity: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    bid_quantity: Decimal | None = None
    ask_quantity: Decimal | None = None
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal | None = None
    previous_close: Decimal | None = None
    average_price: Decimal | None = None
    open_interest: Decimal | None = None
    window: Literal["session", "24h"] = "session"


class Trade(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One print; `side` is the taker's."""

    symbol: str
    price: Decimal
    quantity: Decimal
    as_of: datetime
    side: Side | None = None
    trade_id: str = ""


class Bar(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Open, high, low, close and volume of one interval that begins at `start`."""

    symbol: str
    interval: Literal["1m", "1d"]
    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None = None


class Depth(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The best levels of a book, best first, as (price, quantity)."""

    symbol: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    as_of: datetime | None = None


class Book:
    """A whole order book, kept from a snapshot and absolute changes.

    Each side is a dict of quantities and a list of prices whose best is LAST: changes cluster at the best
    price, so an insertion moves few entries.
    """

    __slots__ = ("_ask_keys", "_bid_keys", "_quantities", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._quantities: dict[Side, dict[Decimal, Decimal]] = {"buy": {}, "sell": {}}
        self._bid_keys: list[Decimal] = []  # ascending
        self._ask_keys: list[Decimal] = []  # negated prices, ascending

    def replace(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Forgets everything and takes a snapshot; levels of quantity zero are left out."""
        self._quantities["buy"] = {price: quantity for price, quantity in bids if quantity}
        self._quantities["sell"] = {price: quantity for price, quantity in asks if quantity}
        self._bid_keys = sorted(self._quantities["buy"])
        self._ask_keys = sorted(-price for price in self._quantities["sell"])

    def set(self, side: Side, price: Decimal, quantity: Decimal) -> None:
        """Sets the absolute quantity of one level; zero removes it."""
        quantities = self._quantities[side]
        keys, key = (self._bid_keys, price) if side == "buy" else (self._ask_keys, -price)
        if quantity:
            if price not in quantities:
                keys.insert(bisect_left(keys, key), key)
            quantities[price] = quantity
        elif quantities.pop(price, None) is not None:
            del keys[bisect_left(keys, key)]

    def top(self, levels: int, as_of: datetime | None = None) -> Depth:
        """Returns the best `levels` of each side."""
        bids, asks = self._quantities["buy"], self._quantities["sell"]
        return Depth(
            symbol=self.symbol,
            bids=tuple((price, bids[price]) for price in self._bid_keys[: -levels - 1 : -1]),
            asks=tuple((-key, asks[-key]) for key in self._ask_keys[: -levels - 1 : -1]),
            as_of=as_of,
        )
