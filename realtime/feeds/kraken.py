"""Kraken over WebSocket, its version 2: tickers, trades and the ten best levels of the book.

Nothing numbers the changes of a book. Each comes with a checksum of the ten best levels instead, over the digits as
they stood in the frames, so numbers are read as texts, and a book is asked for anew when its sum is wrong. Each
symbol of a request is answered alone; a heartbeat comes every second as soon as anything is subscribed.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from zlib import crc32

import msgspec

from assets.market import BidAsk, Book, Conversions, Depth, Level, Quote, Side, Trade, parse_decimal
from realtime.feeds.base import (
    BUSY_PAUSE_SECONDS,
    UNREADABLE,
    Channel,
    Confirmed,
    Event,
    Feed,
    FeedError,
    FrameError,
    Gap,
    Mode,
    Ready,
    Refused,
    Send,
    SocketWire,
    Wire,
    frame_error,
)

URL = "wss://ws.kraken.com/v2"
# Ten heartbeats.
SILENCE_SECONDS = 10.0
# The least that they offer, and all that the checksum vouches for.
LEVELS = 10
# More than a message may add to them; a whole side is as good as the best of it.
WHOLE = 1000
CHANNELS: dict[str, dict[str, Any]] = {"ticker": {}, "trade": {"snapshot": False}, "book": {"depth": LEVELS}}
# A book that goes wrong at once again is asked for no oftener than this, by their clock.
ASK_BOOK_EVERY = timedelta(seconds=10)
# Says nothing about the pair that was asked for.
TOO_MANY = ("msg rate", "Rate limit", "rate limit")
LONGEST_NUMBER = 40

_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_NOTHING = msgspec.Raw(b"null")


class _Ticker(msgspec.Struct):
    symbol: str
    timestamp: _Time
    last: msgspec.Raw = _NOTHING
    bid: msgspec.Raw = _NOTHING
    bid_qty: msgspec.Raw = _NOTHING
    ask: msgspec.Raw = _NOTHING
    ask_qty: msgspec.Raw = _NOTHING
    high: msgspec.Raw = _NOTHING
    low: msgspec.Raw = _NOTHING
    volume: msgspec.Raw = _NOTHING
    vwap: msgspec.Raw = _NOTHING


class _Tickers(msgspec.Struct, tag_field="channel", tag="ticker"):
    data: list[_Ticker]


class _Trade(msgspec.Struct):
    symbol: str
    side: Side
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: int
    timestamp: _Time


class _Trades(msgspec.Struct, tag_field="channel", tag="trade"):
    data: list[_Trade]


class _Level(msgspec.Struct):
    price: msgspec.Raw
    qty: msgspec.Raw


class _Levels(msgspec.Struct):
    symbol: str
    bids: list[_Level]
    asks: list[_Level]
    checksum: int
    timestamp: _Time


class _Books(msgspec.Struct, tag_field="channel", tag="book"):
    type: Literal["snapshot", "update"]
    data: list[_Levels]


class _Heartbeat(msgspec.Struct, tag_field="channel", tag="heartbeat"):
    pass


class _Status(msgspec.Struct, tag_field="channel", tag="status"):
    pass


class _Answer(msgspec.Struct):
    """What a request is answered with; a frame of a channel has no method."""

    method: str | None = None
    channel: str | None = None
    success: bool = True
    error: str = ""
    symbol: str | None = None


_Message = _Tickers | _Trades | _Books | _Heartbeat | _Status
_decode = msgspec.json.Decoder(_Message).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_KNOWN = {None, *CHANNELS, "heartbeat", "status"}


def _size(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"expected a shorter number, was {text[:LONGEST_NUMBER]}…")
    value = parse_decimal(text)
    if value < 0:
        raise ValueError(f"expected a number of at least zero, was {text}")
    return value


class _TenBest(Book):
    """A book of the levels that are asked for; nothing says which ones fall out at its end."""

    __slots__ = ("_best", "_digits")

    def __init__(self, symbol: str) -> None:
        super().__init__(symbol)
        # The last ones that were right.
        self._best = Depth(symbol=symbol, bids=(), asks=())
        self._digits: dict[Side, tuple[tuple[Level, ...], dict[int, str]]] = {}

    def is_right(self, checksum: int) -> bool:
        """Forgets what is beyond the ten best; if the sum of these is another, goes back to the last right ones.

        Whoever was told of this book may look at it only now.
        """
        best = self._cut()
        digits = self._digits_of("sell", best.asks) + self._digits_of("buy", best.bids)
        if crc32(digits.encode()) == checksum:
            self._best = best
            return True
        self.replace(_plain(self._best.bids), _plain(self._best.asks))
        return False

    def _cut(self) -> Depth:
        whole = self.top(WHOLE)
        beyond: list[tuple[Side, str, str]] = [("buy", f"{price:f}", "0") for price, _ in whole.bids[LEVELS:]]
        beyond += [("sell", f"{price:f}", "0") for price, _ in whole.asks[LEVELS:]]
        if not beyond:
            return whole
        self.change(beyond)
        return self.top(WHOLE)

    def _digits_of(self, side: Side, levels: tuple[Level, ...]) -> str:
        """The levels of the last time are the very same tuples, so that only what is new is written down."""
        before, known = self._digits.get(side, ((), {}))
        if before is not levels:
            known = {id(level): known.get(id(level)) or _digits(level) for level in levels}
            self._digits[side] = levels, known
        return "".join(known.values())


class KrakenFeed(Feed):
    """Kraken as a feed; its symbols are pairs ("BTC/USD").

    Args:
        pairs: what to follow.
        url: another server that speaks this protocol.
    """

    source: str = "kraken"
    modes: frozenset[Mode] = frozenset({"ltpc", "quote", "full"})
    channels: frozenset[Channel] = frozenset({"bars", "trades", "book"})
    silence_after: float | None = SILENCE_SECONDS

    def __init__(self, pairs: Iterable[str] = (), *, url: str = URL) -> None:
        self.symbols = tuple(dict.fromkeys(pairs))
        self._url = url
        self._decimals = Conversions(_size)
        # Of this connection: what is asked for, the number of each pair's last trade, its book, and when that may be
        # asked for anew.
        self._wanted: set[str] = set()
        self._trades: dict[str, int] = {}
        self._books: dict[str, _TenBest] = {}
        self._ask_at: dict[str, datetime] = {}

    def wire(self) -> Wire:
        return SocketWire(self._url)

    # -- what we ask

    def opened(self, wants: Mapping[str, Mode]) -> list[str]:
        for kept in (self._wanted, self._trades, self._books, self._ask_at):
            kept.clear()
        return self.subscribe(wants)

    def subscribe(self, wants: Mapping[str, Mode]) -> list[str]:
        self._wanted.update(wants)
        return [frame for channel in CHANNELS for frame in _request("subscribe", channel, wants)]

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        gone = list(symbols)
        self._wanted.difference_update(gone)
        for symbol in gone:
            for kept in (self._trades, self._books, self._ask_at):
                kept.pop(symbol, None)
        return [frame for channel in CHANNELS for frame in _request("unsubscribe", channel, gone)]

    # -- what we are told

    def decode(self, frame: bytes) -> list[Event]:
        try:
            return self._read(_decode(frame))
        except msgspec.ValidationError as error:
            return self._read_other(frame, error)
        except UNREADABLE as error:
            raise frame_error(error) from error

    def _read(self, message: _Message) -> list[Event]:
        match message:
            case _Books(type=kind):
                return [event for levels in message.data for event in self._read_book(kind, levels)]
            case _Trades():
                return [event for trade in message.data for event in self._read_trade(trade)]
            case _Tickers():
                return [self._read_ticker(ticker) for ticker in message.data]
            case _Heartbeat():
                return [Confirmed(None)]
            case _Status():
                return [Ready()]

    def _read_other(self, frame: bytes, error: msgspec.ValidationError) -> list[Event]:
        """An answer has no channel; a channel that we do not know says nothing; one that we know is broken."""
        try:
            answer = _decode_answer(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise FrameError("bad_message", str(error)) from error
        if answer.method is not None:
            return self._read_answer(answer)
        if answer.channel in _KNOWN:
            raise FrameError(f"bad_{answer.channel or 'message'}", str(error)) from error
        return []

    def _read_answer(self, answer: _Answer) -> list[Event]:
        """Reads {"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,
        "symbol":"XBT/USD","time_in":"2026-09-25T17:48:54.701041Z","time_out":"2026-09-25T17:48:54.701062Z"}
        """
        if answer.success or answer.method != "subscribe" or answer.error.startswith("Already subscribed"):
            return []
        # Heartbeats would make look alive what was not granted.
        if answer.symbol is None or any(word in answer.error for word in TOO_MANY):
            raise FeedError(
                f"the vendor refuses a request: {answer.error[:200]}", retry_after=BUSY_PAUSE_SECONDS
            )
        if answer.symbol not in self._wanted:  # one channel has said so already
            return []
        self._wanted.discard(answer.symbol)
        return [Refused((answer.symbol,), answer.error)]

    def _read_ticker(self, ticker: _Ticker) -> Event:
        """Reads {"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":83744.2,"bid_qty":0.56251979,
        "ask":83744.3,"ask_qty":0.00044780,"last":83744.3,"volume":3156.84782110,"vwap":84174.6,"low":83163.6,
        "high":85247.4,"change":-429.3,"change_pct":-0.51,"timestamp":"2026-09-25T17:48:26.844359Z"}]}
        """
        price = self._known(ticker.last)
        bid, ask = self._known(ticker.bid) or None, self._known(ticker.ask) or None
        bid_quantity, ask_quantity = self._known(ticker.bid_qty), self._known(ticker.ask_qty)
        if not price:  # there need be none if nothing was traded for a day
            return BidAsk(
                symbol=ticker.symbol,
                as_of=ticker.timestamp,
                bid=bid,
                ask=ask,
                bid_quantity=bid_quantity,
                ask_quantity=ask_quantity,
            )
        return Quote(
            symbol=ticker.symbol,
            price=price,
            as_of=ticker.timestamp,
            bid=bid,
            ask=ask,
            bid_quantity=bid_quantity,
            ask_quantity=ask_quantity,
            high=self._known(ticker.high) or None,
            low=self._known(ticker.low) or None,
            volume=self._known(ticker.volume),
            average_price=self._known(ticker.vwap) or None,
            window="24h",
        )

    def _known(self, number: msgspec.Raw) -> Decimal | None:
        text = str(number, "ascii")
        return None if text == "null" else self._decimals[text]

    def _read_trade(self, trade: _Trade) -> list[Event]:
        """Reads {"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":83744.3,
        "qty":0.00044780,"ord_type":"limit","trade_id":109116693,"timestamp":"2026-09-25T17:48:26.844359Z"}]}
        """
        price = self._decimals[str(trade.price, "ascii")]
        if not price:
            raise ValueError("expected a price above zero, was 0")
        quantity = self._decimals[str(trade.qty, "ascii")]
        if trade.trade_id <= self._trades.get(trade.symbol, -1):
            return []
        self._trades[trade.symbol] = trade.trade_id
        return [
            Trade(
                symbol=trade.symbol,
                price=price,
                quantity=quantity,
                as_of=trade.timestamp,
                side=trade.side,
                trade_id=str(trade.trade_id),
            )
        ]

    def _read_book(self, kind: Literal["snapshot", "update"], levels: _Levels) -> list[Event]:
        """Reads {"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":62807.0,
        "qty":0.00000000}],"checksum":4249465476,"timestamp":"2026-08-16T23:37:03.745044Z"}]}
        """
        symbol = levels.symbol
        book = _TenBest(symbol) if kind == "snapshot" else self._books.get(symbol)
        if book is None:
            return self._ask_anew(levels)
        bids, asks = _texts(levels.bids), _texts(levels.asks)
        if kind == "snapshot":
            book.replace(bids, asks)
        else:
            book.change([("buy", *bid) for bid in bids] + [("sell", *ask) for ask in asks])
        if book.is_right(levels.checksum):
            self._books[symbol] = book
            return [book]
        self._books.pop(symbol, None)
        return [Gap(symbol, "the book's checksum was wrong"), *self._ask_anew(levels)]

    def _ask_anew(self, levels: _Levels) -> list[Event]:
        """Changes that are on their way while a snapshot is asked for are no reason to ask again."""
        symbol, now = levels.symbol, levels.timestamp
        if symbol not in self._wanted or now < self._ask_at.get(symbol, now):
            return []
        self._ask_at[symbol] = now + ASK_BOOK_EVERY
        # Whoever is subscribed is refused.
        frames = [*_request("unsubscribe", "book", [symbol]), *_request("subscribe", "book", [symbol])]
        return [Send(frame) for frame in frames]


def _request(method: str, channel: str, symbols: Iterable[str]) -> list[str]:
    wanted = list(symbols)
    params = {"channel": channel, "symbol": wanted, **CHANNELS[channel]}
    return [msgspec.json.encode({"method": method, "params": params}).decode()] if wanted else []


def _digits(level: Level) -> str:
    """Writes 0.05005 and 0.00000500 as 5005500."""
    return "".join([f"{number:f}".replace(".", "").lstrip("0") for number in level])


def _plain(levels: tuple[Level, ...]) -> list[tuple[str, str]]:
    return [(f"{price:f}", f"{quantity:f}") for price, quantity in levels]


def _texts(levels: list[_Level]) -> list[tuple[str, str]]:
    return [(str(level.price, "ascii"), str(level.qty, "ascii")) for level in levels]
