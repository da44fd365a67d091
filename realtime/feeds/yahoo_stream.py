"""Yahoo Finance's streaming socket: one protobuf message a price, in base64, mostly inside JSON.

Nothing of it is documented by Yahoo. There is no key, no welcome, no answer to a subscription and no error: a wrong
symbol is never heard of, and a quiet night is silent. The message is one flat record, read here without a schema:
that is as fast as the generated classes and needs no library.
"""

import binascii
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from assets.market import BidAsk, Conversions, Quote
from realtime.feeds.base import (
    UNREADABLE,
    Event,
    Feed,
    FrameError,
    Mode,
    Ready,
    SocketWire,
    Wire,
    frame_error,
)
from realtime.feeds.float32 import from_float32

URL = "wss://streamer.finance.yahoo.com/?version=2"
# Of a tag of two bytes; no field of theirs has a longer one.
HIGHEST_TAG = 127 << 7 | 127
# Of a varint of 64 bits; theirs are some 150 bytes in all.
MOST_SHIFT = 63
LONGEST_RECORD = 4096

# Fields that are read, by number and kind as they stand before each. `previous_close` (16) and `change` (12, 8) are
# not: what close they mean differs by instrument and by the hour.
_TEXT, _FIXED32 = 2, 5
ID, PRICE, TIME = 1 << 3 | _TEXT, 2 << 3 | _FIXED32, 3 << 3
QUOTE_TYPE, MARKET_HOURS, DAY_VOLUME = 6 << 3, 7 << 3, 9 << 3
DAY_HIGH, DAY_LOW, OPEN_PRICE = 10 << 3 | _FIXED32, 11 << 3 | _FIXED32, 15 << 3 | _FIXED32
LAST_SIZE, BID, BID_SIZE, ASK, ASK_SIZE = 22 << 3, 23 << 3 | _FIXED32, 24 << 3, 25 << 3 | _FIXED32, 26 << 3
# Absent stands for 0, which is before the market.
REGULAR_MARKET = 1
CURRENCY, CRYPTOCURRENCY = 14, 41
AROUND_THE_CLOCK = {CURRENCY, CRYPTOCURRENCY}


class _Envelope(msgspec.Struct):
    type: str = "pricing"
    message: str | None = None


_decode = msgspec.json.Decoder(_Envelope).decode


def _price(bits: bytes) -> Decimal:
    if len(bits) != 4:
        raise IndexError
    return from_float32(bits)


class YahooStreamFeed(Feed):
    """Yahoo's streamer as a feed; its symbols are Yahoo's own ("AAPL", "BTC-USD", "^NSEI", "EURUSD=X").

    It is live from its first frame on: before that nothing tells a quiet market from a vendor who ignores us.

    Args:
        symbols: what to follow.
        url: another server that speaks this protocol.
    """

    source: str = "yahoo_stream"
    modes: frozenset[Mode] = frozenset({"ltpc", "quote"})
    # A weekend without a frame is no fault; a dead connection is found by the socket's own pings.
    silence_after = None

    def __init__(self, symbols: Iterable[str] = (), *, url: str = URL) -> None:
        self.symbols = tuple(dict.fromkeys(symbols))
        self.url = url
        self._followed: dict[str, None] = {}
        self._prices = Conversions(_price)
        self._is_heard = False

    def wire(self) -> Wire:
        return SocketWire(self.url)

    # -- what we ask

    def opened(self, wants: Mapping[str, Mode]) -> list[str]:
        self._followed = {}
        self._is_heard = False
        return self.subscribe(wants)

    def subscribe(self, wants: Iterable[str]) -> list[str]:
        """Asks for the whole set each time, as their own clients do."""
        new = dict.fromkeys(wants)
        if not new:
            return []
        self._followed |= new
        return [_json({"subscribe": list(self._followed)})]

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        gone = list(dict.fromkeys(symbols))
        for symbol in gone:
            self._followed.pop(symbol, None)
        return [_json({"unsubscribe": gone})] if gone else []

    # -- what we are told

    def decode(self, frame: bytes) -> list[Event]:
        """Reads {"type":"pricing","message":"CgRBQVBMFc3MPkMYnvKrzohoKgNOTVMwCDgB…"}, or the bare message of old."""
        try:
            if frame[:1] == b"{":
                envelope = _decode(frame)
                message = envelope.message
                if message is None or envelope.type != "pricing":
                    return []
                record = binascii.a2b_base64(message, strict_mode=True)
            else:
                record = binascii.a2b_base64(frame, strict_mode=True)
            return self._read(*fields_of(record))
        except binascii.Error as error:
            raise FrameError("not_base64", f"expected base64: {error}") from error
        except (IndexError, TypeError) as error:
            raise FrameError("bad_record", "expected a whole record of a price") from error
        except UNREADABLE as error:
            raise frame_error(error) from error

    def _read(self, numbers: dict[int, int], parts: dict[int, bytes]) -> list[Event]:
        """Reads {TIME: 2·1795204017711, MARKET_HOURS: 1, …} and {ID: b"AAPL", PRICE: the bits of 190.55, …}"""
        symbol = str(parts.get(ID, b""), "ascii", "replace")
        if not symbol or TIME not in numbers:
            raise ValueError("expected the id of an instrument and a time")
        kind = numbers.get(QUOTE_TYPE)
        as_of = datetime.fromtimestamp(_signed(numbers[TIME]) / 1000, UTC)
        has_sides = BID in parts or ASK in parts
        sides = self._sides(symbol, as_of, numbers, parts) if has_sides else None
        is_regular = numbers.get(MARKET_HOURS) == REGULAR_MARKET or kind in AROUND_THE_CLOCK
        if PRICE not in parts or not is_regular:
            return self._off_hours(sides)
        self._is_heard = True
        prices = self._prices
        price = prices[parts[PRICE]]
        last = Decimal(_signed(numbers[LAST_SIZE])) if LAST_SIZE in numbers else None
        high = low = opened = volume = None
        if kind != CURRENCY:  # whose day is London's
            high = prices[parts[DAY_HIGH]] if DAY_HIGH in parts else None
            low = prices[parts[DAY_LOW]] if DAY_LOW in parts else None
            opened = prices[parts[OPEN_PRICE]] if OPEN_PRICE in parts else None
            if kind != CRYPTOCURRENCY and DAY_VOLUME in numbers:  # whose volume is money, and not coins
                volume = Decimal(_signed(numbers[DAY_VOLUME]))
        quote = Quote(
            symbol=symbol,
            price=price,
            as_of=as_of,
            last_quantity=last,
            open=opened,
            high=high,
            low=low,
            volume=volume,
        )
        return [quote if sides is None else _with_sides(quote, sides)]

    def _sides(
        self, symbol: str, as_of: datetime, numbers: dict[int, int], parts: dict[int, bytes]
    ) -> BidAsk:
        """One that is absent or zero stands for nobody."""
        bid = (self._prices[parts[BID]] or None) if BID in parts else None
        ask = (self._prices[parts[ASK]] or None) if ASK in parts else None
        return BidAsk(
            symbol=symbol,
            as_of=as_of,
            bid=bid,
            ask=ask,
            bid_quantity=Decimal(_signed(numbers[BID_SIZE])) if bid and BID_SIZE in numbers else None,
            ask_quantity=Decimal(_signed(numbers[ASK_SIZE])) if ask and ASK_SIZE in numbers else None,
        )

    def _off_hours(self, sides: BidAsk | None) -> list[Event]:
        """A price from before or after the market is none of ours; what is bid and asked then is."""
        if sides is not None:
            self._is_heard = True
            return [sides]
        if self._is_heard:
            return []
        self._is_heard = True
        return [Ready()]


def _with_sides(quote: Quote, sides: BidAsk) -> Quote:
    return msgspec.structs.replace(
        quote,
        bid=sides.bid,
        ask=sides.ask,
        bid_quantity=sides.bid_quantity,
        ask_quantity=sides.ask_quantity,
    )


def fields_of(record: bytes) -> tuple[dict[int, int], dict[int, bytes]]:
    """Returns the fields of one flat protobuf record by their tags: those that are varints, and all others.

    A tag is a field's number and kind, so that a field of another kind than we know is one that we don't know.

    Raises:
        IndexError: the record ends within a field, or is none.
    """
    numbers: dict[int, int] = {}
    parts: dict[int, bytes] = {}
    at, end = 0, len(record)
    if end > LONGEST_RECORD:
        raise IndexError
    while at < end:
        tag = record[at]
        at += 1
        if tag > 127:
            tag += (record[at] << 7) - 128
            at += 1
            if tag > HIGHEST_TAG:
                raise IndexError
        kind = tag & 7
        if kind == 5:
            parts[tag] = record[at : (at := at + 4)]
            continue
        if kind == 1:
            parts[tag] = record[at : (at := at + 8)]
            continue
        value = record[at]
        at += 1
        if value > 127:
            value -= 128
            shift = 7
            while (byte := record[at]) > 127:
                value += byte - 128 << shift
                at += 1
                shift += 7
            value += byte << shift
            at += 1
            if shift > MOST_SHIFT:
                raise IndexError
        if kind == 0:
            numbers[tag] = value
        elif kind == 2:
            parts[tag] = record[at : (at := at + value)]
        else:
            raise IndexError
    if at != end:
        raise IndexError
    return numbers, parts


def _signed(number: int) -> int:
    """Undoes the zigzag of a signed number: 0, -1, 1, -2, …"""
    return number >> 1 ^ -(number & 1)


def _json(request: dict[str, list[str]]) -> str:
    return msgspec.json.encode(request).decode()
