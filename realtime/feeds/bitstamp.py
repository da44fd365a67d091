"""Bitstamp's public WebSocket, version 2: trades, and books that come whole.

A pair has two channels, each asked for in a frame of its own, for theirs may have 512 bytes. One that does not exist is
acknowledged and then silent; a name that can be none ("BTC/USD") is refused in an error that names nothing.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from assets.market import Conversions, Depth, Trade, parse_decimal
from realtime.feeds.base import (
    BUSY_PAUSE_SECONDS,
    UNREADABLE,
    Channel,
    Confirmed,
    Event,
    Feed,
    FeedError,
    FrameError,
    Mode,
    Ready,
    Refused,
    SocketWire,
    Wire,
    frame_error,
)

URL = "wss://ws.bitstamp.net"
# A quiet book says nothing for a minute; a lost connection is found much sooner by the socket's own pings.
SILENCE_SECONDS = 120.0
# Of the hundred that are sent, as many as anybody is shown.
LEVELS = 50
TRADES, BOOK = "live_trades_", "order_book_"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_is_pair = re.compile(r"[a-z0-9-]{1,40}").fullmatch

_Number = Annotated[str, msgspec.Meta(max_length=40)]
_Microseconds = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,17}$")]
_Levels = list[tuple[_Number, _Number]]


class _Trade(msgspec.Struct):
    id: int
    price_str: _Number
    amount_str: _Number
    type: Literal[0, 1]
    microtimestamp: _Microseconds


class _Book(msgspec.Struct):
    microtimestamp: _Microseconds
    bids: _Levels
    asks: _Levels


class _Frame(msgspec.Struct):
    event: str
    channel: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Error(msgspec.Struct):
    message: str


_decode = msgspec.json.Decoder(_Frame).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode
_decode_book = msgspec.json.Decoder(_Book).decode
_decode_error = msgspec.json.Decoder(_Error).decode


def _positive(text: str) -> Decimal:
    value = parse_decimal(text)
    if value <= 0:
        raise ValueError(f"expected a number above zero, was {text}")
    return value


class BitstampFeed(Feed):
    """Bitstamp as a feed; its symbols are pairs ("btcusd"), and `url` any server that speaks this protocol."""

    source: str = "bitstamp"
    modes: frozenset[Mode] = frozenset({"ltpc", "quote", "full", "full_d30"})
    channels: frozenset[Channel] = frozenset({"trades", "book", "bars"})
    silence_after: float | None = SILENCE_SECONDS

    def __init__(self, symbols: Iterable[str] = (), *, url: str = URL) -> None:
        self.symbols = tuple(dict.fromkeys(symbols))
        self._url = url
        self._decimals = Conversions(_positive)
        # Asked for on this connection, and refused as soon as the vendor says so.
        self._misspelt: list[str] = []

    def wire(self) -> Wire:
        return SocketWire(self._url)

    def opened(self, wants: Mapping[str, Mode]) -> list[str]:
        self._misspelt.clear()
        return self.subscribe(wants)

    def subscribe(self, wants: Mapping[str, Mode]) -> list[str]:
        self._misspelt += [symbol for symbol in wants if not _is_pair(symbol)]
        return _requests("subscribe", wants)

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        return _requests("unsubscribe", [symbol for symbol in symbols if _is_pair(symbol)])

    def decode(self, frame: bytes) -> list[Event]:
        kind = "message"
        try:
            message = _decode(frame)
            kind = message.event
            match kind:
                case "data" if message.channel.startswith(BOOK):
                    return self._read_book(message.channel.removeprefix(BOOK), _decode_book(message.data))
                case "trade" if message.channel.startswith(TRADES):
                    return self._read_trade(message.channel.removeprefix(TRADES), _decode_trade(message.data))
                case "bts:error":
                    return self._read_error(_decode_error(message.data).message)
                case "bts:subscription_succeeded":
                    return [Ready()]
                case "bts:heartbeat":
                    return [Confirmed(None)]
                case "bts:request_reconnect":
                    raise FeedError("the vendor asks us to connect anew")
            return []
        except msgspec.ValidationError as error:
            raise FrameError(f"bad_{kind.removeprefix('bts:')}", str(error)) from error
        except UNREADABLE as error:
            raise frame_error(error) from error

    def _read_trade(self, pair: str, trade: _Trade) -> list[Event]:
        """Reads {"event":"trade","channel":"live_trades_btcusd","data":{"id":643660479,"price_str":"83946.07",…}}"""
        return [
            Trade(
                symbol=pair,
                price=self._decimals[trade.price_str],
                quantity=self._decimals[trade.amount_str],
                as_of=_time(trade.microtimestamp),
                side="sell" if trade.type else "buy",
                trade_id=str(trade.id),
            )
        ]

    def _read_book(self, pair: str, book: _Book) -> list[Event]:
        """Reads {"event":"data","channel":"order_book_btcusd","data":{"bids":[["83946.07","0.125"],…],"asks":[…],…}}"""
        bids, asks = self._levels(book.bids), self._levels(book.asks)
        return [Depth(symbol=pair, bids=bids, asks=asks, as_of=_time(book.microtimestamp))]

    def _levels(self, levels: _Levels) -> tuple[tuple[Decimal, Decimal], ...]:
        decimals = self._decimals
        return tuple([(decimals[price], decimals[quantity]) for price, quantity in levels[:LEVELS]])

    def _read_error(self, message: str) -> list[Event]:
        """Reads {"event":"bts:error","channel":"","data":{"code":null,"message":"Invalid channel provided."}}"""
        if not self._misspelt:
            raise FeedError(f"the vendor refuses a request: {message[:200]}", retry_after=BUSY_PAUSE_SECONDS)
        return [Refused((self._misspelt.pop(0),), message)]


def _time(microseconds: str) -> datetime:
    return EPOCH + timedelta(microseconds=int(microseconds))


def _requests(kind: str, symbols: Collection[str]) -> list[str]:
    """Of a name that can be no pair one channel is asked for, and brings one error."""
    channels = [TRADES + symbol for symbol in symbols]
    channels += [BOOK + symbol for symbol in symbols if _is_pair(symbol)]
    requests = [{"event": f"bts:{kind}", "data": {"channel": channel}} for channel in channels]
    return [msgspec.json.encode(request).decode() for request in requests]
