"""Coinbase Exchange over WebSocket: tickers, trades, whole books, heartbeats and what happens to our own orders.

The protocol answers no request by name: a `subscriptions` or an `error` belongs to the oldest request that has no
answer yet, so only one is under way at a time. A subscribe that holds one bad product is refused whole; it is
asked again without the product that the vendor named, or in two halves. Books carry no sequence number: only a
new connection's snapshot repairs one.
"""

import re
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from assets.market import Book, Conversions, Quote, Trade, parse_decimal
from realtime.feeds.base import (
    BUSY_PAUSE_SECONDS,
    UNREADABLE,
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
    frame_error,
)
from realtime.feeds.coinbase_channels import filled_by, secret_key, signed, vendor_channels
from realtime.feeds.coinbase_full import AskingWire, FullBook
from realtime.feeds.coinbase_messages import (
    KINDS,
    OWN_KINDS,
    Activate,
    Change,
    Done,
    Error,
    Heartbeat,
    Match,
    Message,
    Opened,
    Orders,
    Received,
    Snapshot,
    Subscriptions,
    Ticker,
    Update,
    decode_message,
    kind_of,
)
from realtime.feeds.coinbase_rest import URL as REST_URL
from realtime.feeds.coinbase_user import OwnEvents

URL = "wss://ws-feed.exchange.coinbase.com"
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
        rest_url: where the orders of the channel `full` are asked for.
        key, secret, passphrase: all or none; with them the subscription is signed and the book asked for unbatched.
        channels: other ones than ticker, matches, level2 and heartbeat. `full` stands for matches and level2 too;
            `user` gives what happens to our own orders.
        clock: for signatures, and for the rare ticker that has no time.
    """

    source: str = "coinbase"
    modes: frozenset[Mode] = frozenset({"ltpc", "quote", "full", "full_d30"})

    def __init__(
        self,
        products: Iterable[str] = (),
        *,
        url: str = URL,
        rest_url: str = REST_URL,
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
        self._rest_url = rest_url
        self.vendor_channels = vendor_channels(channels, is_signed=bool(given))
        self.channels = filled_by(self.vendor_channels)
        if "book" not in self.channels:
            self.modes = frozenset({"ltpc", "quote"})
        self.silence_after = (
            SILENCE_SECONDS if "heartbeat" in self.vendor_channels else SILENCE_WITHOUT_HEARTBEAT_SECONDS
        )
        self._credentials = (key or "", secret_key(secret or ""), passphrase or "") if given else None
        self._clock = clock or SystemClock()
        self._products: dict[str, _Product] = {}
        self._books: dict[str, Book] = {}
        self._full: dict[str, FullBook] = {}
        self._own = OwnEvents()
        self._decimals = Conversions(parse_decimal)
        # The first one is under way.
        self._requests: deque[_Request] = deque()

    def wire(self) -> Wire:
        wire = SocketWire(self.url)
        return AskingWire(wire, self._rest_url) if "full" in self.vendor_channels else wire

    def book(self, product: str) -> Book | None:
        """Returns the whole book of a product, once its snapshot has come."""
        full = self._full.get(product)
        return self._books.get(product) if full is None else full.book

    def _product(self, product_id: str) -> _Product:
        product = self._products.get(product_id)
        if product is None:
            product = self._products[product_id] = _Product()
        return product

    # -- what we ask

    def opened(self, symbols: Iterable[str]) -> list[str]:
        self._products, self._books, self._full = {}, {}, {}
        self._own = OwnEvents()
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
            self._full.pop(product, None)

    def _ask(self, kind: Literal["subscribe", "unsubscribe"], products: tuple[str, ...]) -> list[str]:
        if not products:
            return []
        self._requests.append(_Request(kind, products))
        return [self._frame(self._requests[0])] if len(self._requests) == 1 else []

    def _frame(self, request: _Request) -> str:
        frame: dict[str, object] = {
            "type": request.kind,
            "product_ids": request.products,
            "channels": self.vendor_channels,
        }
        if self._credentials is not None and request.kind == "subscribe":
            frame.update(signed(*self._credentials, f"{self._clock.now().timestamp():.6f}"))
        return msgspec.json.encode(frame).decode()

    def _next_request(self) -> list[Event]:
        return [Send(self._frame(self._requests[0]))] if self._requests else []

    # -- what we are told

    def decode(self, frame: bytes) -> list[Event]:
        try:
            message = decode_message(frame)
            if type(message) is Update:  # nineteen frames of twenty
                book = self._books.get(message.product_id)
                if book is not None:
                    return [book] if book.change(message.changes) else []
            events = self._read(message)
            if type(message) in OWN_KINDS and message.user_id is not None:
                return [*events, *self._own.read(frame)]
            return events
        except msgspec.ValidationError as error:
            return _unforeseen(frame, error)
        except UNREADABLE as error:
            raise frame_error(error) from error

    def _read(self, message: Message) -> list[Event]:
        match message:
            case Received() | Opened() | Done() | Change():
                return self._read_order(message)
            case Ticker():
                return self._read_ticker(message)
            case Match():
                return self._read_match(message)
            case Heartbeat():
                return self._read_heartbeat(message)
            case Snapshot():
                return self._read_snapshot(message)
            case Subscriptions():
                return self._read_subscriptions(message)
            case Error():
                return self._read_error(message)
            case Update():
                return self._read_orphan(message)
            case Orders():
                return self._read_orders(message)
            case Activate():
                return []  # it rests in no book yet

    def _read_ticker(self, ticker: Ticker) -> list[Event]:
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

    def _read_match(self, match: Match) -> list[Event]:
        """Reads {"type":"match","trade_id":881614,"maker_order_id":"…","taker_order_id":"…","side":"sell",
        "size":"0.04","price":"14.7775","product_id":"BAND-GBP","sequence":333938798,"time":"2021-…Z"}
        """
        trade = Trade(
            symbol=match.product_id,
            price=self._positive(match.price),
            quantity=self._decimals[match.size],
            as_of=match.time,
            side="buy" if match.side == "sell" else "sell",  # theirs is the maker's
            trade_id=str(match.trade_id),
        )
        full = self._full.get(match.product_id)
        if full is None or type(match) is not Match:
            return self._new_trade(match, trade)
        is_early = full.is_early(match)
        changed = full.take(match)
        return changed if is_early else self._new_trade(match, trade) + changed

    def _new_trade(self, match: Match, trade: Trade) -> list[Event]:
        product = self._product(match.product_id)
        last = product.trade
        if last is not None and match.trade_id <= last:
            return []
        is_next = last is None or match.trade_id == last + 1
        if match.user_id is not None and not (is_next and "trades" in self.channels):
            return []  # our copy, which may be ahead of the others, or all that we hear of the market
        product.trade = match.trade_id
        if last is not None and not is_next:
            return [_missed(match.product_id, last + 1, match.trade_id - 1), trade]
        return [trade]

    def _read_heartbeat(self, heartbeat: Heartbeat) -> list[Event]:
        """Reads {"type":"heartbeat","last_trade_id":17,"product_id":"BTC-USD","sequence":90,"time":"2021-…Z"}"""
        product = self._product(heartbeat.product_id)
        events: list[Event] = [Confirmed((heartbeat.product_id,))]
        # A heartbeat may overtake the trade that it speaks of; one that the next heartbeat still misses is lost.
        expected, last = product.expected_trade, product.trade
        if expected is not None and last is not None and last < expected:
            events.append(_missed(heartbeat.product_id, last + 1, expected))
            product.trade = expected
        product.expected_trade = heartbeat.last_trade_id
        full = self._full.get(heartbeat.product_id)
        return events if full is None else events + full.beat()

    def _read_order(self, message: Received | Opened | Done | Change) -> list[Event]:
        """Reads {"type":"open","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","sequence":10,
        "order_id":"d50ec984-77a8-460a-b958-66f114b0de9b","price":"200.2","remaining_size":"1.00","side":"sell"}
        """
        full = self._full.get(message.product_id)
        return [] if full is None else full.take(message)

    def _read_orders(self, orders: Orders) -> list[Event]:
        """Reads {"type":"orders","product_id":"BTC-USD","book":{"bids":[["295.96","0.05088265","3b0f1225-…"]],
        "asks":[],"sequence":13051505638}}, of which only what is in `book` is the vendor's
        """
        full = self._full.get(orders.product_id)
        if full is None:
            return []
        if orders.book is not None:
            return full.load(orders.book)
        full.refused()
        raise FrameError("no_orders", f"expected the orders of {orders.product_id}, was: {orders.error}")

    def _read_snapshot(self, snapshot: Snapshot) -> list[Event]:
        """Reads {"type":"snapshot","product_id":"BTC-USD","bids":[["10101.1","0.45"]],"asks":[["10102.5","0.5"]]}"""
        book = Book(snapshot.product_id)
        book.replace(snapshot.bids, snapshot.asks)
        self._product(snapshot.product_id)
        self._books[snapshot.product_id] = book
        return [book]

    def _read_orphan(self, update: Update) -> list[Event]:
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

    def _read_subscriptions(self, subscriptions: Subscriptions) -> list[Event]:
        """Reads {"type":"subscriptions","channels":[{"name":"ticker","product_ids":["ETH-USD"],"account_ids":null}]}"""
        if self._requests:
            self._requests.popleft()
        products = dict.fromkeys(
            product for channel in subscriptions.channels for product in channel.product_ids
        )
        return [Subscribed(tuple(products)), *self._begin_books(subscriptions), *self._next_request()]

    def _begin_books(self, subscriptions: Subscriptions) -> list[Event]:
        """Asks for the orders of what `full` covers now and did not before: their messages are on their way."""
        followed = [channel.product_ids for channel in subscriptions.channels if channel.name == "full"]
        # A product that is about to be left is still listed, and one that comes back is listed again.
        known = self._full.keys() | {product for request in self._requests for product in request.products}
        new = [product for products in followed for product in products if product not in known]
        self._full.update((product, FullBook(product)) for product in new)
        return [self._full[product].request() for product in new]

    def _read_error(self, error: Error) -> list[Event]:
        """Reads {"type":"error","message":"Failed to subscribe","reason":"FOO-USD is not a valid product"}"""
        reason = error.reason or error.message or "no reason given"
        if _AUTHENTICATION.search(reason) or _CONFIGURATION.search(reason):
            raise FeedError(f"the vendor refuses us: {reason}", permanent=True)
        request = self._requests[0] if self._requests else None
        if request is None or (_BUSY.search(reason) and not _named(request.products, reason)):
            raise FeedError(f"the vendor reports an error: {reason}", retry_after=BUSY_PAUSE_SECONDS)
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


def _unforeseen(frame: bytes, error: msgspec.ValidationError) -> list[Event]:
    """Ignores a kind of message that we do not know; one that we know has the wrong shape."""
    kind = kind_of(frame)
    if kind is None or kind in KINDS:
        raise FrameError(f"bad_{kind or 'message'}", str(error)) from error
    return []


def _named(products: tuple[str, ...], reason: str) -> tuple[str, ...]:
    words = set(re.findall(r"[^\s,;:'\"()\[\]]+", reason.rstrip(".")))
    return tuple(product for product in products if product in words)


def _missed(product: str, first: int, last: int) -> Gap:
    return Gap(
        product, f"trade {last} was missed" if first == last else f"trades {first} to {last} were missed"
    )
