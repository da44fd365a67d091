"""Plain values of a market: quotes, trades, bars, books and notices, as every source speaks of them.

Owns their shapes and the one way to turn a vendor's text into a `Decimal`. Knows no Django, no Redis and no
vendor. A value's `symbol` is the SOURCE's own name for the instrument; the price feed maps it to an asset.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import islice
from operator import gt
from typing import Literal, TypeVar

import msgspec

Side = Literal["buy", "sell"]
MarketPhase = Literal["pre_open", "open", "closing", "closed"]
Level = tuple[Decimal, Decimal]
Given = TypeVar("Given")
Made = TypeVar("Made")

# Beyond this a price is a broken frame, and its plain notation could be a megabyte long.
MAX_EXPONENT = 30
LEAST, BEYOND = Decimal(10) ** -MAX_EXPONENT, Decimal(10) ** (MAX_EXPONENT + 1)
# Of one kind: a megabyte or two, many times what changes again and again.
CONVERSIONS_KEPT = 16_384
# Nine of ten changes of a recorded session were within so many levels of the best.
NEAR = 16
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
    # As many characters without an exponent can't go beyond it; taking a Decimal apart costs as much as making it.
    if len(text) <= MAX_EXPONENT and "e" not in text and "E" not in text and value.is_finite():
        return value
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
    """Converts a vendor's binary double once, by its shortest text: 190.55, and 100 rather than 100.0.

    Raises:
        ValueError: not finite, or an exponent beyond ±30.
    """
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, was {value}")
    text = repr(value).removesuffix(".0")
    return Decimal(text) if "e" not in text else bounded(Decimal(text))


class Conversions(dict[Given, Made]):
    """What has been converted before: the figures of a market repeat, and a hit costs a tenth of a checked conversion.

    Args:
        convert: makes the value; what it raises is raised, and nothing is kept.
    """

    __slots__ = ("_convert",)

    def __init__(self, convert: Callable[[Given], Made]) -> None:
        self._convert = convert

    def __missing__(self, given: Given) -> Made:
        made = self._convert(given)
        if len(self) >= CONVERSIONS_KEPT:
            self.clear()
        self[given] = made
        return made


def change_since(price: Decimal, previous_close: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    """Returns the change and its percent, to 2 places; both None without a previous close above zero."""
    if previous_close is None or previous_close <= 0:
        return None, None
    change = price - previous_close
    try:
        percent = (100 * change / previous_close).quantize(HUNDREDTH)
    except ArithmeticError:  # more digits than a percentage can have
        return change, None
    return change, percent or abs(percent)  # a tiny loss is 0.00, not -0.00


class Greeks(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an option's price moves; `iv` is the implied volatility as a ratio, 0.25 for 25 %."""

    delta: Decimal | None = None
    gamma: Decimal | None = None
    theta: Decimal | None = None
    vega: Decimal | None = None
    rho: Decimal | None = None
    iv: Decimal | None = None


class Quote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an instrument is worth at a moment, with whatever else its source says about the day.

    `window` tells what open, high, low and volume cover: the session, or the rolling 24 hours.
    `official_close` is that of the session that is over at `as_of`; a source that has none leaves it out.
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
    official_close: Decimal | None = None
    greeks: Greeks | None = None


class BidAsk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The best bid and ask without a price; None: nobody bids, or nobody asks. It moves no price and no bar."""

    symbol: str
    as_of: datetime
    bid: Decimal | None
    ask: Decimal | None
    bid_quantity: Decimal | None = None
    ask_quantity: Decimal | None = None


class Trade(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One print; `side` is the taker's.

    What a print may do to the day follows from its conditions, by its vendor's table: an odd lot counts as volume
    and moves no price, an average-price trade does neither. `updates_last` covers the price and a bar's close.
    """

    symbol: str
    price: Decimal
    quantity: Decimal
    as_of: datetime
    side: Side | None = None
    trade_id: str = ""
    updates_last: bool = True
    updates_high_low: bool = True
    updates_volume: bool = True


class Bar(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Open, high, low, close and volume of one interval that begins at `start`.

    As an event of a feed it is what the source says of that interval now, and goes before what we have built.
    """

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


class MarketStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a market trades, as the source says; `market` is the source's own name for it ("NSE_EQ")."""

    market: str
    phase: MarketPhase
    as_of: datetime


class MarketNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Something about an instrument that is neither a price nor depth.

    price_bands   limit up, limit down: high, low
    imbalance     before an auction: quantity, paired_quantity, side, reference_price
    fair_value    the source's own estimate: value

    `figures` holds those names; one that the source leaves out is not there.
    """

    symbol: str
    kind: Literal["price_bands", "imbalance", "fair_value"]
    as_of: datetime
    figures: dict[str, Decimal | str]


class AccountEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the account behind a source's key; only its owner may see it.

    `symbol` is the source's own. `key` names what it is about (an order id); `details` are the source's fields,
    under the source's names, numbers as Decimal.
    """

    kind: Literal["order", "fill", "position", "holding", "gtt", "balance"]
    key: str
    as_of: datetime
    symbol: str | None = None
    details: dict[str, Decimal | str | bool | None] = {}


def _bid_key(text: str) -> Decimal:
    price = Decimal(text)
    if not LEAST <= price < BEYOND:
        raise ValueError(f"expected a price above zero, was {text}")
    return price


def _ask_key(text: str) -> Decimal:
    return _bid_key(text).copy_negate()


def _quantity(text: str) -> Decimal:
    quantity = Decimal(text)
    if not (LEAST <= quantity < BEYOND or quantity == 0):
        raise ValueError(f"expected a quantity of at least zero, was {text}")
    return quantity


class _BookSide:
    """One side of a book.

    Its levels are found by their price's text, because hashing a new `Decimal` costs four times what making it does.
    Another text of the same price is found by its key, among the keys of all levels in their order.
    """

    __slots__ = ("count", "edge", "is_bids", "key_of", "keys", "levels", "shown", "texts", "visible")

    def __init__(self, is_bids: bool) -> None:
        self.is_bids = is_bids
        # A bid's price, an ask's price negated.
        self.key_of = Conversions(_bid_key if is_bids else _ask_key)
        self.levels: dict[str, Level] = {}
        # Ascending, so that the best are LAST: changes cluster there, and an insertion moves few entries.
        self.keys: list[Decimal] = []
        self.texts: list[str] = []
        # The best `count` as they were last shown, until one changes; then their texts, and the least of their keys
        # if there may be more levels than those.
        self.shown: tuple[Level, ...] | None = None
        self.count = 0
        self.visible: Collection[str] = self.levels
        self.edge: Decimal | None = None

    def place(self, text: str, quantity: Decimal) -> bool:
        """Sets the quantity at any price, or removes it; returns whether that shows."""
        key, keys, texts = self.key_of[text], self.keys, self.texts
        near = len(keys) - NEAR
        index = bisect_left(keys, key, near if near > 0 and keys[near] < key else 0)
        if index < len(keys) and keys[index] == key:
            text = texts[index]
            if quantity:
                self.levels[text] = (self.levels[text][0], quantity)
            else:
                del keys[index], texts[index], self.levels[text]
        elif quantity:
            keys.insert(index, key)
            texts.insert(index, text)
            self.levels[text] = (key if self.is_bids else key.copy_negate(), quantity)
        return self.edge is None or key >= self.edge

    def replace(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Takes a whole side; raises ValueError or ArithmeticError, and changes nothing, unless all are levels.

        A whole book has tens of thousands of levels that are seen once, so they are checked together: between the
        least and the greatest of an ordered side nothing can be wrong.
        """
        texts, quantity_texts = zip(*pairs, strict=True) if pairs else ((), ())
        prices, quantities = list(map(Decimal, texts)), list(map(Decimal, quantity_texts))
        levels = dict(zip(texts, zip(prices, quantities, strict=True), strict=True))
        keys = prices if self.is_bids else list(map(Decimal.copy_negate, prices))
        # Of a few digits and points alone no number is made that is negative, none or beyond bounds.
        is_plain = max(map(len, quantity_texts), default=0) <= MAX_EXPONENT
        if not (is_plain and "".join(quantity_texts).replace(".", "").isdecimal() and all(quantities)):
            levels = {text: level for text, level in levels.items() if _is_offered(level[1])}
        # Nearly always they come best first, and nothing is there twice.
        if len(levels) < len(keys) or not all(map(gt, keys, islice(keys, 1, None))):
            key_of = {self._key(price): text for text, (price, _) in levels.items()}
            keys = sorted(key_of, reverse=True)
            levels = {key_of[key]: levels[key_of[key]] for key in keys}
        for key in (*keys[:1], *keys[-1:]):
            if not LEAST <= abs(key) < BEYOND or (key > 0) is not self.is_bids:
                raise ValueError(f"expected prices above zero, was {key:.6E}")
        self.levels, self.keys, self.texts = levels, keys[::-1], list(reversed(levels))
        self.shown = self.edge = None
        self.visible = levels

    def _key(self, price: Decimal) -> Decimal:
        return price if self.is_bids else price.copy_negate()

    def top(self, count: int) -> tuple[Level, ...]:
        self.count = count
        self.visible = texts = self.texts[: -count - 1 : -1]
        self.shown = shown = tuple(map(self.levels.__getitem__, texts))
        self.edge = self.keys[-count] if texts and len(texts) == count else None
        return shown


def _is_offered(quantity: Decimal) -> bool:
    """Returns whether a level of a snapshot counts; raises ValueError if it is none."""
    if quantity and not LEAST <= quantity < BEYOND:
        raise ValueError(f"expected a quantity of at least zero, was {quantity:.6E}")
    return bool(quantity)


class Book:
    """A whole order book, kept from a snapshot and absolute changes, both as the vendor's texts.

    Prices and quantities are exact: "100.0" and "100" are one price. Nothing is changed when something is refused.
    """

    __slots__ = ("_asks", "_bids", "_quantities", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._bids, self._asks = _BookSide(is_bids=True), _BookSide(is_bids=False)
        self._quantities = Conversions(_quantity)

    def replace(self, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> None:
        """Forgets everything and takes a snapshot; levels of quantity zero are left out.

        Raises:
            ValueError, ArithmeticError: a price that is not above zero, a quantity below it, or no numbers.
        """
        new_bids, new_asks = _BookSide(is_bids=True), _BookSide(is_bids=False)
        new_bids.replace(bids)
        new_asks.replace(asks)
        self._bids, self._asks = new_bids, new_asks

    def change(self, changes: Sequence[tuple[Side, str, str]]) -> bool:
        """Sets the absolute quantity at each (side, price, quantity); zero removes the level.

        Returns:
            whether `top` may give anything else now than the last time it was asked.

        Raises:
            ValueError, ArithmeticError: as `replace`; nothing was changed.
        """
        if len(changes) > 1:  # a single one is read before it changes anything
            for side, price, text in changes:
                self._quantities[text]
                (self._bids if side == "buy" else self._asks).key_of[price]
        shows = False
        for side, price, text in changes:
            quantity = self._quantities[text]
            half = self._bids if side == "buy" else self._asks
            level = half.levels.get(price)
            if level is None or not quantity:
                if not half.place(price, quantity):
                    continue
            else:
                half.levels[price] = (level[0], quantity)
                if price not in half.visible:
                    continue
            half.shown = None
            shows = True
        return shows

    def top(self, levels: int, as_of: datetime | None = None) -> Depth:
        """Returns the best `levels` of each side."""
        bids, asks = self._bids, self._asks
        return Depth(
            symbol=self.symbol,
            bids=bids.top(levels) if bids.shown is None or bids.count != levels else bids.shown,
            asks=asks.top(levels) if asks.shown is None or asks.count != levels else asks.shown,
            as_of=as_of,
        )
