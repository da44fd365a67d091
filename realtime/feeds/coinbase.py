"""Coinbase Exchange over WebSocket: tickers, trades, whole books and heartbeats.

The protocol answers no request by name: a `subscriptions` or an `error` belongs to the oldest request that has no
answer yet, so only one is under way at a time. A subscribe that holds one bad product is refused whole; it is
asked again without the product that the vendor named, or in two halves. Books carry no sequence number: only a
new connection's snapshot repairs one.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from assets.market import Book, Quote, Side, Trade, parse_decimal
from realtime.feeds.base import (
    Channel,
    Clock,
    Confirmed,
    Event,
    Feed,
    FeedError,
    FrameError,
    Gap,
    Mode,
    Refused,
    Send,
    SocketWire,
    Subscribed,
    SystemClock,
    Wire,
)

URL = "wss://ws-feed.exchange.coinbase.com"
DECIMALS_KEPT = 16_384
# A heartbeat comes every second for each product.
SILENCE_SECONDS = 10.0
# Without the heartbeat channel a quiet product may say nothing for a minute.
SILENCE_WITHOUT_HEARTBEAT_SECONDS = 90.0

# Reasons are prose and change; these are the ones seen (protocols of 2021 to 2026).
_AUTHENTICATION = re.compile(r"authenticat|signature|api key|passphrase|permission|unauthori[sz]ed", re.I)
_CONFIGURATION = re.compile(r"no channels provided|not a valid channel|invalid channel", re.I)
_BUSY = re.compile(
    r"rate limit|too many|exceeded|slow|time(d )?out|timestamp|internal|unavailable|again", re.I
)

# No real number of theirs is longer, and a longer one would cost us its conversion.
_Number = Annotated[str, msgspec.Meta(max_length=40)]


class _Ticker(msgspec.Struct, tag_field="type", tag="ticker"):
    product_id: str
    price: _Number
    sequence: int | None = None
    time: datetime | None = None
    last_size: _Number | None = None
    best_bid: _Number | None = None
    best_ask: _Number | None = None
    best_bid_size: _Number | None = None
    best_ask_size: _Number | None = None
    open_24h: _Number | None = None
    high_24h: _Number | None = None
    low_24h: _Number | None = None
    volume_24h: _Number | None = None


class _Match(msgspec.Struct, tag_field="type", tag="match"):
    product_id: str
    trade_id: int
    price: _Number
    size: _Number
    side: Side
    time: datetime


class _LastMatch(_Match, tag_field="type", tag="last_match"):
    pass


class _Snapshot(msgspec.Struct, tag_field="type", tag="snapshot"):
    product_id: str
    bids: list[tuple[_Number, _Number]]
    asks: list[tuple[_Number, _Number]]


class _Update(msgspec.Struct, gc=False, tag_field="type", tag="l2update"):
    product_id: str
    changes: list[tuple[Side, _Number, _Number]]


class _Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat"):
    product_id: str
    last_trade_id: int | None = None


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions"):
    channels: list[_Channel] = []


class _Error(msgspec.Struct, tag_field="type", tag="error"):
    message: str = ""
    reason: str = ""


class _Head(msgspec.Struct):
    type: str


_Message = _Ticker | _Match | _LastMatch | _Snapshot | _Update | _Heartbeat | _Subscriptions | _Error
_decode = msgspec.json.Decoder(_Message).decode
_head_decoder = msgspec.json.Decoder(_Head)
_KNOWN = {"ticker", "match", "last_match", "snapshot", "l2update", "heartbeat", "subscriptions", "error"}


class _Decimals(dict[str, Decimal]):
    """Texts and their values: the figures of a market repeat, and a hit costs a tenth of a checked conversion."""

    def __missing__(self, text: str) -> Decimal:
        value = parse_decimal(text)
        if len(self) >= DECIMALS_KEPT:
            self.clear()
        self[text] = value
        return value


class _Product:
    """What one connection knows of one product."""

    __slots__ = ("expected_trade", "sequence", "trade")

    def __init__(self) -> None:
        # The sequence number of the last ticker, the last trade seen, and the one that a heartbeat spoke of.
        self.sequence: int | None = None
        self.trade: int | None = None
        self.expected_trade: int | None = None


class _Request(msgspec.Struct, frozen=True):
    kind: Literal["subscribe", "unsubscribe"]
    products: tuple[str, ...]


class CoinbaseFeed(Feed):
    """Coinbase Exchange as a feed; its symbols are product ids ("BTC-USD").

    Args:
        products: what to follow.
        url: another server that speaks this protocol.
        key, secret, passphrase: all or none; with them the subscription is signed and the full book asked for.
        channels: other ones than ticker, matches, level2 and heartbeat.
        clock: for signatures, and for the rare ticker that has no time.
    """

    source: str = "coinbase"
    modes: frozenset[Mode] = frozenset({"ltpc", "quote", "full"})
    channels: frozenset[Channel] = frozenset({"bars", "trades", "book"})

    def __init__(
        self,
        products: Iterable[str] = (),
        *,
        url: str = URL,
        key: str | None = None,
        secret: str | None = None,
        passphrase: str | None = None,
        channels: Iterable[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        given = [value for value in (key, secret, passphrase) if value]
        if len(given) not in {0, 3}:
            raise ValueError("expected key, secret and passphrase together, or none of them")
        self.symbols = tuple(dict.fromkeys(products))
        self.url = url
        self._vendor_channels = tuple(
            channels or ("ticker", "matches", "level2" if given else "level2_batch", "heartbeat")
        )
        self.silence_after = (
            SILENCE_SECONDS if "heartbeat" in self._vendor_channels else SILENCE_WITHOUT_HEARTBEAT_SECONDS
        )
        self._credentials = (key or "", _secret_key(secret or ""), passphrase or "") if given else None
        self._clock = clock or SystemClock()
        self._products: dict[str, _Product] = {}
        self._books: dict[str, Book] = {}
        self._decimals = _Decimals()
        # The first one is under way.
        self._requests: deque[_Request] = deque()

    def wire(self) -> Wire:
        return SocketWire(self.url)

    def book(self, product: str) -> Book | None:
        """Returns the whole book of a product, once its snapshot has come."""
        return self._books.get(product)

    def _product(self, product_id: str) -> _Product:
        product = self._products.get(product_id)
        if product is None:
            product = self._products[product_id] = _Product()
        return product

    # -- what we ask

    def opened(self, symbols: Iterable[str]) -> list[str]:
        self._products, self._books = {}, {}
        self._requests.clear()
        return self.subscribe(symbols)

    def subscribe(self, symbols: Iterable[str]) -> list[str]:
        products = tuple(symbols)
        # The answer begins with a new snapshot and the last ticker again.
        self._forget(products)
        self._products.update((product, _Product()) for product in products)
        return self._ask("subscribe", products)

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        products = tuple(symbols)
        self._forget(products)
        return self._ask("unsubscribe", products)

    def _forget(self, products: Iterable[str]) -> None:
        for product in products:
            self._products.pop(product, None)
            self._books.pop(product, None)

    def _ask(self, kind: Literal["subscribe", "unsubscribe"], products: tuple[str, ...]) -> list[str]:
        if not products:
            return []
        self._requests.append(_Request(kind, products))
        return [self._frame(self._requests[0])] if len(self._requests) == 1 else []

    def _frame(self, request: _Request) -> str:
        frame: dict[str, object] = {
            "type": request.kind,
            "product_ids": request.products,
            "channels": self._vendor_channels,
        }
        if self._credentials is not None and request.kind == "subscribe":
            frame.update(signed(*self._credentials, f"{self._clock.now().timestamp():.6f}"))
        return msgspec.json.encode(frame).decode()

    def _next_request(self) -> list[Event]:
        return [Send(self._frame(self._requests[0]))] if self._requests else []

    # -- what we are told

    def decode(self, frame: bytes) -> list[Event]:
        try:
            message = _decode(frame)
            if type(message) is _Update:  # nineteen frames of twenty
                book = self._books.get(message.product_id)
                if book is not None:
                    return [book] if book.change(message.changes) else []
            return self._read(message)
        except msgspec.ValidationError as error:
            return _unforeseen(frame, error)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FrameError("not_json", f"expected JSON: {error}") from error
        except RecursionError as error:
            raise FrameError("too_deep", "expected less nested JSON") from error
        except (ValueError, ArithmeticError) as error:
            raise FrameError("bad_number", str(error) or "expected a decimal") from error

    def _read(self, message: _Message) -> list[Event]:
        match message:
            case _Ticker():
                return self._read_ticker(message)
            case _Match():
                return self._read_match(message)
            case _Heartbeat():
                return self._read_heartbeat(message)
            case _Snapshot():
                return self._read_snapshot(message)
            case _Subscriptions():
                return self._read_subscriptions(message)
            case _Error():
                return self._read_error(message)
            case _Update():
                return self._read_orphan(message)

    def _read_ticker(self, ticker: _Ticker) -> list[Event]:
        """Reads {"type":"ticker","sequence":201390042,"product_id":"SKL-USD","price":"0.7904","open_24h":"0.7055",
        "volume_24h":"34220028.5","low_24h":"0.6915","high_24h":"0.8098","best_bid":"0.7901","best_ask":"0.7911",
        "side":"buy","time":"2021-04-17T16:43:37.056746Z","trade_id":1568267,"last_size":"1338.3"}
        """
        product = self._product(ticker.product_id)
        price = self._positive(ticker.price)
        quote = Quote(
            symbol=ticker.product_id,
            price=price,
            # The first ticker of a product that has not traded lately may come without its trade.
            as_of=ticker.time or self._clock.now(),
            last_quantity=self._known(ticker.last_size),
            # Zero stands for "nobody bids".
            bid=self._known(ticker.best_bid) or None,
            ask=self._known(ticker.best_ask) or None,
            bid_quantity=self._known(ticker.best_bid_size),
            ask_quantity=self._known(ticker.best_ask_size),
            open=self._known(ticker.open_24h),
            high=self._known(ticker.high_24h),
            low=self._known(ticker.low_24h),
            volume=self._known(ticker.volume_24h),
            window="24h",
        )
        if ticker.sequence is not None:
            if product.sequence is not None and ticker.sequence <= product.sequence:
                return []
            product.sequence = ticker.sequence
        return [quote]

    def _read_match(self, match: _Match) -> list[Event]:
        """Reads {"type":"match","trade_id":881614,"maker_order_id":"…","taker_order_id":"…","side":"sell",
        "size":"0.04","price":"14.7775","product_id":"BAND-GBP","sequence":333938798,"time":"2021-…Z"}
        """
        product = self._product(match.product_id)
        trade = Trade(
            symbol=match.product_id,
            price=self._positive(match.price),
            quantity=self._decimals[match.size],
            as_of=match.time,
            side="buy" if match.side == "sell" else "sell",  # theirs is the maker's
            trade_id=str(match.trade_id),
        )
        last = product.trade
        if last is not None and match.trade_id <= last:
            return []
        product.trade = match.trade_id
        if last is not None and match.trade_id > last + 1:
            return [_missed(match.product_id, last + 1, match.trade_id - 1), trade]
        return [trade]

    def _read_heartbeat(self, heartbeat: _Heartbeat) -> list[Event]:
        """Reads {"type":"heartbeat","last_trade_id":17,"product_id":"BTC-USD","sequence":90,"time":"2021-…Z"}"""
        product = self._product(heartbeat.product_id)
        events: list[Event] = [Confirmed((heartbeat.product_id,))]
        # A heartbeat may overtake the trade that it speaks of; one that the next heartbeat still misses is lost.
        expected, last = product.expected_trade, product.trade
        if expected is not None and last is not None and last < expected:
            events.append(_missed(heartbeat.product_id, last + 1, expected))
            product.trade = expected
        product.expected_trade = heartbeat.last_trade_id
        return events

    def _read_snapshot(self, snapshot: _Snapshot) -> list[Event]:
        """Reads {"type":"snapshot","product_id":"BTC-USD","bids":[["10101.1","0.45"]],"asks":[["10102.5","0.5"]]}"""
        book = Book(snapshot.product_id)
        book.replace(snapshot.bids, snapshot.asks)
        self._product(snapshot.product_id)
        self._books[snapshot.product_id] = book
        return [book]

    def _read_orphan(self, update: _Update) -> list[Event]:
        """Reads {"type":"l2update","product_id":"SKL-USD","changes":[["sell","0.7923","7441.5"]],"time":"2021-…Z"}"""
        if update.product_id not in self._products:  # the last ones after an unsubscribe
            return []
        raise FrameError("update_before_snapshot", f"expected a snapshot of {update.product_id} first")

    # -- numbers

    def _known(self, text: str | None) -> Decimal | None:
        return self._decimals[text] if text else None

    def _positive(self, text: str) -> Decimal:
        price = self._decimals[text]
        if price <= 0:
            raise ValueError(f"expected a price above zero, was {text}")
        return price

    # -- how our requests fare

    def _read_subscriptions(self, subscriptions: _Subscriptions) -> list[Event]:
        """Reads {"type":"subscriptions","channels":[{"name":"ticker","product_ids":["ETH-USD"],"account_ids":null}]}"""
        if self._requests:
            self._requests.popleft()
        products = dict.fromkeys(
            product for channel in subscriptions.channels for product in channel.product_ids
        )
        return [Subscribed(tuple(products)), *self._next_request()]

    def _read_error(self, error: _Error) -> list[Event]:
        """Reads {"type":"error","message":"Failed to subscribe","reason":"FOO-USD is not a valid product"}"""
        reason = error.reason or error.message or "no reason given"
        if _AUTHENTICATION.search(reason) or _CONFIGURATION.search(reason):
            raise FeedError(f"the vendor refuses us: {reason}", permanent=True)
        request = self._requests[0] if self._requests else None
        if request is None or (_BUSY.search(reason) and not _named(request.products, reason)):
            raise FeedError(f"the vendor reports an error: {reason}")
        self._requests.popleft()
        if request.kind == "unsubscribe":
            return self._next_request()
        return self._refused(request.products, reason)

    def _refused(self, products: tuple[str, ...], reason: str) -> list[Event]:
        """Refuses the product that is to blame, and asks again for the others."""
        blamed = _named(products, reason) or (products if len(products) == 1 else ())
        events: list[Event] = []
        if blamed:
            events.append(Refused(blamed, reason))
            self._forget(blamed)
            parts = [tuple(product for product in products if product not in blamed)]
        else:
            middle = len(products) // 2
            parts = [products[:middle], products[middle:]]
        self._requests.extendleft(_Request("subscribe", part) for part in reversed(parts) if part)
        return [*events, *self._next_request()]


def signed(key: str, secret: bytes, passphrase: str, timestamp: str) -> dict[str, str]:
    """Returns the fields that sign a subscribe frame.

    Args:
        secret: the API secret, decoded from base64.
        timestamp: seconds since the epoch, as text.
    """
    message = f"{timestamp}GET/users/self/verify".encode()
    signature = base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode()
    return {"key": key, "passphrase": passphrase, "timestamp": timestamp, "signature": signature}


def _secret_key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret, validate=True)
    except binascii.Error as error:
        raise ValueError("expected an API secret in base64") from error


def _unforeseen(frame: bytes, error: msgspec.ValidationError) -> list[Event]:
    """Ignores a kind of message that we do not know; one that we know has the wrong shape."""
    try:
        kind = _head_decoder.decode(frame).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        kind = None
    if kind is None or kind in _KNOWN:
        raise FrameError(f"bad_{kind or 'message'}", str(error)) from error
    return []


def _named(products: tuple[str, ...], reason: str) -> tuple[str, ...]:
    words = set(re.findall(r"[^\s,;:'\"()\[\]]+", reason.rstrip(".")))
    return tuple(product for product in products if product in words)


def _missed(product: str, first: int, last: int) -> Gap:
    return Gap(
        product, f"trade {last} was missed" if first == last else f"trades {first} to {last} were missed"
    )
