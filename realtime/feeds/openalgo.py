"""OpenAlgo's WebSocket proxy: last prices, quotes and depth of whichever Indian broker stands behind it, and orders.

We let ourselves in with a key, then ask for each symbol in one or two of the proxy's modes (1 price, 2 quote, 3 depth).
Of a symbol with several, a tick arrives once. What the proxy's documentation says differs from what its server does
in places; this follows the server. An error has no `type`. Symbols are `NSE:RELIANCE`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Literal

import msgspec

from assets.market import AccountEvent, Conversions, Depth, Level, Quote, from_float
from realtime.feeds.base import (
    UNREADABLE,
    Channel,
    Clock,
    Event,
    Feed,
    FeedError,
    FrameError,
    Mode,
    Ready,
    Refused,
    Send,
    SocketWire,
    Subscribed,
    SystemClock,
    Wire,
    frame_error,
)
from realtime.feeds.openalgo_messages import (
    KINDS,
    Answer,
    Auth,
    BookLevel,
    Features,
    Head,
    MarketData,
    Number,
    Order,
    Tick,
    decode_fields,
    decode_head,
    decode_message,
)
from realtime.feeds.pinging import PingingWire

URL = "ws://127.0.0.1:8765"
# The market is shut for most of a day, but a ping is always answered.
PING, PING_SECONDS, SILENCE_SECONDS = '{"action":"ping"}', 20.0, 60.0
DEPTH_LEVELS = 5
SYMBOLS_A_FRAME = 100
ORDERS_KEPT = 4096
PRICE, QUOTE, DEPTH = 1, 2, 3

# Only a person can help; the others pass, or are about what we asked for.
_REFUSALS = frozenset({"AUTHENTICATION_ERROR", "NOT_AUTHENTICATED"})
_ABOUT_A_REQUEST = frozenset({"INVALID_MODE", "INVALID_PARAMETERS", "INVALID_ACTION", "PROCESSING_ERROR"})
# Half of what a figure is rounded to, and a little for what a double cannot hold.
_ROUNDING = 0.0051


def _decimal(number: Number) -> Decimal:
    is_exact = isinstance(number, int) and abs(number) < 2**53
    return Decimal(number) if is_exact else from_float(float(number))


class _Request(msgspec.Struct, frozen=True):
    action: Literal["subscribe", "unsubscribe", "subscribe_orders"]
    mode: int = 0
    symbols: tuple[str, ...] = ()


class OpenAlgoFeed(Feed):
    """OpenAlgo as a feed.

    Args:
        symbols: what to follow, `EXCHANGE:SYMBOL`.
        url: of the proxy.
        key: the API key of the OpenAlgo account.
        clock: for what comes without a time.
    """

    source: str = "openalgo"
    channels: frozenset[Channel] = frozenset({"bars", "book"})
    silence_after = SILENCE_SECONDS

    def __init__(
        self, symbols: Iterable[str] = (), *, url: str = URL, key: str, clock: Clock | None = None
    ) -> None:
        self.symbols = tuple(dict.fromkeys(symbols))
        self.url = url
        self.modes: frozenset[Mode] = frozenset({"ltpc", "quote", "full"})
        self._key = key
        self._clock = clock or SystemClock()
        self._decimals = Conversions(_decimal)
        self._forget()

    def _forget(self) -> None:
        self._is_in = False
        self._features = Features()
        self._wants: dict[str, Mode] = {}
        self._numbers: Iterator[int] = count(1)
        self._requests: dict[str, _Request] = {}
        self._followed: dict[str, None] = {}
        self._orders: dict[tuple[object, ...], None] = {}

    def wire(self) -> Wire:
        return PingingWire(SocketWire(self.url), PING, PING_SECONDS)

    # -- what we ask

    def opened(self, wants: Iterable[str]) -> list[str]:
        self._forget()
        self._wants = _modes_wanted(wants)
        return [_json({"action": "authenticate", "api_key": self._key})]

    def subscribe(self, wants: Iterable[str]) -> list[str]:
        modes = _modes_wanted(wants)
        self._wants.update(modes)
        return self._subscribe({symbol: self._upstream(mode) for symbol, mode in modes.items()})

    def change_mode(self, wants: Mapping[str, Mode]) -> list[str]:
        before = {symbol: self._upstream(self._wants[symbol]) for symbol in wants if symbol in self._wants}
        after = {symbol: self._upstream(wants[symbol]) for symbol in before}
        self._wants.update((symbol, wants[symbol]) for symbol in before)
        more = {symbol: after[symbol] - before[symbol] for symbol in before}
        less = {symbol: before[symbol] - after[symbol] for symbol in before}
        return [*self._subscribe(more), *self._unsubscribe(less)]

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        modes = {symbol: self._upstream(self._wants.pop(symbol, "quote")) for symbol in symbols}
        for symbol in modes:
            self._followed.pop(symbol, None)
        return self._unsubscribe(modes)

    def _upstream(self, mode: Mode) -> set[int]:
        """The proxy's modes that fill one of ours: its price alone has no previous close, its quote no depth."""
        modes = {QUOTE if self._features.quote else PRICE}
        return modes | {DEPTH} if mode == "full" and self._features.depth else modes

    def _subscribe(self, modes: Mapping[str, set[int]]) -> list[str]:
        if not self._is_in:
            return []
        frames = []
        for mode in (PRICE, QUOTE, DEPTH):
            symbols = [symbol for symbol, wanted in modes.items() if mode in wanted]
            for start in range(0, len(symbols), SYMBOLS_A_FRAME):
                part = tuple(symbols[start : start + SYMBOLS_A_FRAME])
                frames.append(self._frame(_Request("subscribe", mode, part)))
        return frames

    def _unsubscribe(self, modes: Mapping[str, set[int]]) -> list[str]:
        if not self._is_in:
            return []
        pairs = [(symbol, mode) for symbol, wanted in modes.items() for mode in sorted(wanted)]
        frames = []
        for start in range(0, len(pairs), SYMBOLS_A_FRAME):
            entries = [
                {**_split(symbol), "mode": mode} for symbol, mode in pairs[start : start + SYMBOLS_A_FRAME]
            ]
            frames.append(self._frame(_Request("unsubscribe"), symbols=entries))
        return frames

    def _frame(self, request: _Request, **more: object) -> str:
        """Returns the frame of a request, whose answer is known by its id, or by its turn."""
        request_id = f"{request.action}-{next(self._numbers)}"
        frame: dict[str, Any] = {"action": request.action, "request_id": request_id, **more}
        if request.action == "subscribe":
            frame["symbols"] = [_split(symbol) for symbol in request.symbols]
            frame |= {"mode": request.mode, "depth": DEPTH_LEVELS}
        self._requests[request_id] = request
        return _json(frame)

    # -- what we are told

    def decode(self, frame: bytes) -> list[Event]:
        try:
            message = decode_message(frame)
            if type(message) is MarketData:
                return self._read_tick(message)
            return self._read(message, frame)
        except msgspec.ValidationError as error:
            return self._read_other(frame, error)
        except UNREADABLE as error:
            raise frame_error(error) from error

    def _read(self, message: MarketData | Auth | Answer | Order, frame: bytes) -> list[Event]:
        match message:
            case Auth():
                return self._read_auth(message)
            case Answer():
                return self._read_answer(message)
            case Order():
                return self._read_order(message, frame)
            case MarketData():
                return self._read_tick(message)

    def _read_tick(self, message: MarketData) -> list[Event]:
        """Reads {"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":2,"broker":"…","data":{"ltp":1424.0,
        "open":1415.0,"high":1432.5,"low":1408.0,"close":1418.0,"volume":100000,"last_trade_quantity":50,
        "avg_trade_price":1419.35,"change":6.0,"change_percent":0.42,"timestamp":1748353824355}}; of mode 3 its data is
        {"ltp":1424.0,"timestamp":…,"depth":{"buy":[{"price":1423.9,"quantity":50,"orders":3}],"sell":[…]}}
        """
        tick, decimals = message.data, self._decimals
        symbol = f"{message.exchange}:{message.symbol}"
        as_of = self._moment(tick.timestamp)
        events: list[Event] = []
        if tick.ltp is not None:
            # Zero stands for what the broker does not have, but for a volume it may be one.
            events.append(
                Quote(
                    symbol=symbol,
                    price=decimals[tick.ltp],
                    as_of=as_of,
                    last_quantity=decimals[tick.last_trade_quantity] if tick.last_trade_quantity else None,
                    open=decimals[tick.open] if tick.open else None,
                    high=decimals[tick.high] if tick.high else None,
                    low=decimals[tick.low] if tick.low else None,
                    volume=decimals[tick.volume] if tick.volume is not None else None,
                    average_price=decimals[tick.avg_trade_price] if tick.avg_trade_price else None,
                    previous_close=decimals[tick.close] if tick.close and _is_previous_close(tick) else None,
                )
            )
        if tick.depth is not None:
            bids, asks = self._levels(tick.depth.buy), self._levels(tick.depth.sell)
            bids.sort(reverse=True)
            asks.sort()
            events.append(Depth(symbol=symbol, bids=tuple(bids), asks=tuple(asks), as_of=as_of))
        return events

    def _levels(self, levels: list[BookLevel]) -> list[Level]:
        """Returns the levels that there are; brokers fill up to five with zeros."""
        decimals = self._decimals
        for level in levels:
            if level.quantity < 0:
                raise ValueError(f"expected a quantity of at least zero, was {level.quantity}")
        return [
            (decimals[level.price], decimals[level.quantity])
            for level in levels
            if level.quantity and level.price
        ]

    def _moment(self, timestamp: Number | str | None) -> datetime:
        """Reads milliseconds since the epoch, seconds, or ISO 8601 with a zone; without one nobody knows which."""
        if isinstance(timestamp, str) and timestamp.isdecimal():
            timestamp = int(timestamp)
        if isinstance(timestamp, str) and timestamp:
            moment = datetime.fromisoformat(timestamp)
            return moment.astimezone(UTC) if moment.tzinfo is not None else self._clock.now()
        if not timestamp:
            return self._clock.now()
        return datetime.fromtimestamp(timestamp / 1000 if timestamp > 1e11 else timestamp, UTC)

    def _read_order(self, order: Order, frame: bytes) -> list[Event]:
        """Reads {"type":"order_update","user_id":"u","mode":"live","broker":"upstox","orderid":"240221025997024",
        "symbol":"RELIANCE","exchange":"NSE","action":"BUY","quantity":10,"price":1424.0,"pricetype":"LIMIT",
        "product":"MIS","order_status":"complete","filled_quantity":10,"pending_quantity":0,"average_price":1423.85}
        """
        fields: dict[str, Any] = decode_fields(frame)
        # The broker and the proxy both tell of an order, and a poll tells of it again.
        seen = (order.orderid, fields.get("order_status"), str(fields.get("filled_quantity")))
        if seen in self._orders:
            return []
        details = {name: _detail(value) for name, value in fields.items() if name not in {"type", "user_id"}}
        event = AccountEvent(
            kind="order",
            key=order.orderid,
            as_of=self._clock.now(),
            symbol=f"{order.exchange}:{order.symbol}" if order.symbol else None,
            details=details,
        )
        if len(self._orders) >= ORDERS_KEPT:
            del self._orders[next(iter(self._orders))]
        self._orders[seen] = None
        return [event]

    # -- how our requests fare

    def _read_auth(self, auth: Auth) -> list[Event]:
        """Reads {"type":"auth","status":"success","message":"Authentication successful","broker":"upstox",
        "user_id":"u","supported_features":{"ltp":true,"quote":true,"depth":true}}
        """
        if auth.status != "success":
            raise FeedError(f"the vendor refuses us: {auth.message}", permanent=True)
        self._is_in, self._features = True, auth.supported_features
        quotes: frozenset[Mode] = frozenset({"ltpc", "quote"} if auth.supported_features.quote else {"ltpc"})
        self.modes = quotes | {"full"} if auth.supported_features == Features() else quotes
        self.channels = OpenAlgoFeed.channels if auth.supported_features.depth else frozenset({"bars"})
        frames = self._subscribe({symbol: self._upstream(mode) for symbol, mode in self._wants.items()})
        frames.append(self._frame(_Request("subscribe_orders")))
        return [Ready(), *map(Send, frames)]

    def _read_answer(self, answer: Answer) -> list[Event]:
        """Reads {"type":"subscribe","status":"partial","message":"Subscription processing complete","subscriptions":
        [{"symbol":"RELIANCE","exchange":"NSE","status":"success","mode":"LTP","depth":5,"broker":"b"},
        {"symbol":"X","exchange":"NSE","status":"error","message":"…","broker":"b"}],"request_id":"subscribe-1"}
        """
        request = self._answered(answer.request_id)
        if not answer.subscriptions and answer.status == "error":
            return self._refused(request, answer.message)
        events: list[Event] = []
        for entry in answer.subscriptions:
            symbol = f"{entry.exchange}:{entry.symbol}"
            if entry.status == "success":
                self._followed[symbol] = None
            elif request is None or request.mode != DEPTH:
                # Who has no depth, an index, still has a price.
                self._wants.pop(symbol, None)
                events.append(Refused((symbol,), entry.message or "no reason given"))
        return [Subscribed(tuple(self._followed)), *events]

    def _answered(self, request_id: str | None) -> _Request | None:
        """Returns what is answered: requests are answered one after the other, where no id says which."""
        if request_id is None:
            request_id = next(iter(self._requests), "")
        return self._requests.pop(request_id, None)

    def _read_other(self, frame: bytes, error: msgspec.ValidationError) -> list[Event]:
        """Reads {"status":"error","code":"NOT_AUTHENTICATED","message":"You must authenticate first"}; ignores kinds
        of frame that we do not know
        """
        try:
            head = decode_head(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise FrameError("bad_message", str(error)) from error
        if head.type in KINDS or (head.type is None and head.status != "error"):
            raise FrameError(f"bad_{head.type or 'message'}", str(error)) from error
        if head.type in {"subscribe_orders", "unsubscribe"}:
            self._answered(head.request_id)
        return self._read_error(head) if head.type is None else []

    def _read_error(self, head: Head) -> list[Event]:
        reason = f"{head.code} {head.message}".strip() or "no reason given"
        if head.code in _REFUSALS:
            raise FeedError(f"the vendor refuses us: {reason}", permanent=True)
        if head.code in _ABOUT_A_REQUEST:
            return self._refused(self._answered(head.request_id), reason)
        raise FeedError(f"the vendor reports an error: {reason}")

    def _refused(self, request: _Request | None, reason: str) -> list[Event]:
        """Refuses the one symbol that was asked for, or asks again in two halves; any other refusal is only told."""
        if request is None or not request.symbols:
            raise FrameError(
                "refused", f"expected {request.action if request else 'no error'}, was: {reason}"
            )
        if len(request.symbols) == 1:
            if request.mode == DEPTH:
                return []
            self._wants.pop(request.symbols[0], None)
            return [Refused(request.symbols, reason)]
        middle = len(request.symbols) // 2
        halves: Sequence[tuple[str, ...]] = (request.symbols[:middle], request.symbols[middle:])
        return [Send(self._frame(_Request("subscribe", request.mode, half))) for half in halves]


def _modes_wanted(wants: Iterable[str]) -> dict[str, Mode]:
    return dict(wants) if isinstance(wants, Mapping) else dict.fromkeys(wants, "quote")


def _is_previous_close(tick: Tick) -> bool:
    """Some brokers' close is that of the last session, some's is that of this one: only one fits the change."""
    assert tick.ltp is not None and tick.close
    change = tick.ltp - tick.close
    if tick.change:
        return abs(change - tick.change) < _ROUNDING
    if tick.change_percent:
        return abs(100 * change / tick.close - tick.change_percent) < _ROUNDING
    return False


def _split(symbol: str) -> dict[str, str]:
    exchange, _, name = symbol.partition(":")
    return {"symbol": name, "exchange": exchange}


def _detail(value: Any) -> Decimal | str | bool | None:
    if value is None or isinstance(value, str | bool | Decimal):
        return value
    return Decimal(value) if isinstance(value, int) else str(value)


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
