"""One cluster of Polygon (Massive) over WebSocket: stocks, options, forex, crypto or indices.

The vendor greets, is given the key, and only then asked for anything. What a trade may do follows from its conditions;
aggregates apply them already, so they price what no trade of this connection has priced, and tell of the day. Nights
are silent: only the pings of the socket tell that the connection lives.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from assets.market import Quote
from realtime.feeds import polygon_events as events
from realtime.feeds.base import (
    POLICY_PAUSE_SECONDS,
    Confirmed,
    Event,
    Feed,
    FeedError,
    FrameError,
    Mode,
    Ready,
    Refused,
    Send,
    SocketWire,
    Wire,
)
from realtime.feeds.polygon_conditions import CORRECTED_CLOSE, OFFICIAL_CLOSE, OPTIONS, STOCKS, effects
from realtime.feeds.polygon_symbols import CLUSTERS, Cluster, names
from realtime.feeds.polygon_topics import BASE, Topics, channels

logger = logging.getLogger("personal_finance.realtime.feeds")

URL = "wss://socket.massive.com"
# A greeting and the answer to our key come at once, or not at all.
HANDSHAKE_SECONDS = 20.0
# While anything arrives, what has been heard of before and says nothing has not changed.
CONFIRM_EVERY = timedelta(seconds=10)
# Of two exchanges that show a book the first is followed, until it has been silent for so long.
EXCHANGE_SILENT_MILLISECONDS = 10_000
# The vendor's day is New York's. From four in the morning until eight in the evening it is that of this time as well,
# in summer and in winter.
EASTERN = timedelta(hours=-5)
# The end of a window is the first moment of the next one.
LAST_MILLISECOND = 1
# Of the vendor's words, wherever they are shown.
REASON_CHARACTERS = 200
# The exchange whose official close counts, by tape; the second tape lists for several.
LISTING_EXCHANGES = {1: 10, 3: 12}

LONG_AGO = datetime.min.replace(tzinfo=UTC)
_REFUSAL = re.compile(
    r"not authori[sz]ed|not entitled|not allowed|permission|your plan|upgrade|don'?t have access", re.I
)
_PROBLEMS = (ValueError, ArithmeticError, OSError)
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class _AsNamed(dict[str, str]):
    """Every name is a symbol."""

    def get(self, name: str, default: object = None) -> str:
        return name


class _Last:
    """The last price that a trade has set."""

    __slots__ = ("as_of", "price")

    def __init__(self, price: Decimal, as_of: datetime) -> None:
        self.price = price
        self.as_of = as_of


class _Shown:
    """The exchange whose quotes and books of a pair are shown, and when it last spoke."""

    __slots__ = ("at", "exchange")

    def __init__(self, exchange: str | int, at: int) -> None:
        self.exchange = exchange
        self.at = at


class PolygonFeed(Feed):
    """One cluster as a feed; its symbols are the vendor's tickers, with or without their prefix.

    Args:
        key: the API key; it is sent in a frame, never in an address.
        tickers: what to follow.
        url: another server that speaks this protocol, without the cluster.
        all_tickers: prices are asked for all tickers at once; those that nobody follows are let go.
        topics: topics beside the usual ones, such as FMV.
        everything: tells of all tickers that come, under the vendor's names: for a recording.

    Attributes:
        bad_events: events that were left out of frames whose others were good, by kind.
    """

    def __init__(
        self,
        cluster: Cluster,
        key: str,
        tickers: Iterable[str] = (),
        *,
        url: str = URL,
        all_tickers: bool = False,
        topics: Iterable[str] = (),
        everything: bool = False,
    ) -> None:
        if cluster not in CLUSTERS:
            raise ValueError(f"expected a cluster of {', '.join(CLUSTERS)}, was {str(cluster)[:40]!r}")
        self.cluster: Cluster = cluster
        self.source = f"polygon_{cluster}"
        self.modes = frozenset[Mode]({"ltpc", "quote", "full"} if cluster == "crypto" else {"ltpc", "quote"})
        self.base_mode = BASE
        self.channels = channels(cluster, topics := tuple(topics))
        self.symbols = tuple(dict.fromkeys(tickers))
        self._patience: float | None = None
        self.bad_events: Counter[str] = Counter()
        self.url = f"{url.rstrip('/')}/{cluster}"
        self._key = key
        self._everything = everything
        self._topics = Topics(cluster, all_tickers=all_tickers, more=topics)
        self._decode, self._decode_one = events.decoders(cluster)
        self._values = events.Values()
        self._effects = effects(STOCKS if cluster == "stocks" else OPTIONS if cluster == "options" else {})
        self._readers = self._all_readers()
        self._forget()

    def _forget(self) -> None:
        self._topics.clear()
        self._wants: dict[str, Mode] = {}
        self._symbols: dict[str, str] = _AsNamed() if self._everything else {}
        self._wrong: list[Refused] = []
        self._is_in = self._is_ready = False
        self._lasts: dict[str, _Last] = {}
        self._shown: dict[str, _Shown] = {}
        self._heard: dict[str, None] = {}
        self._confirm_at = LONG_AGO

    @property
    def silence_after(self) -> float | None:
        """Seconds for the handshake, and none at all afterwards: a night has no frames; unless somebody sets them."""
        return self._patience or (None if self._is_in else HANDSHAKE_SECONDS)

    @silence_after.setter
    def silence_after(self, seconds: float | None) -> None:
        self._patience = seconds

    def wire(self) -> Wire:
        return SocketWire(self.url)

    # -- what we ask

    def opened(self, wants: Mapping[str, Mode]) -> list[str]:
        self._forget()
        return self.subscribe(wants)

    def subscribe(self, wants: Mapping[str, Mode]) -> list[str]:
        """Asks at once where we have been let in, and else when we are."""
        known: dict[str, Mode] = {}
        for symbol in wants:
            try:
                self._name(symbol)
            except ValueError as error:
                self._wrong.append(Refused((symbol,), str(error)))
            else:
                known[symbol] = _mode(wants, symbol)
        self._wants |= known
        return self._topics.want(known) if self._is_in else []

    def _name(self, symbol: str) -> None:
        """Notes all that frames may call it; raises ValueError if there is no such instrument, or it is followed."""
        mine = names(self.cluster, symbol)
        owner = next((self._symbols[name] for name in mine if name in self._symbols), symbol)
        if owner != symbol:
            raise ValueError(f"expected each instrument once, was {symbol[:40]!r} beside {owner[:40]!r}")
        self._symbols.update(dict.fromkeys(mine, symbol))

    def change_mode(self, wants: Mapping[str, Mode]) -> list[str]:
        return self.subscribe(wants)

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        gone = [symbol for symbol in symbols if symbol in self._wants]
        for symbol in gone:
            del self._wants[symbol]
            self._lasts.pop(symbol, None)
            self._heard.pop(symbol, None)
            for name in names(self.cluster, symbol):
                del self._symbols[name]
        return self._topics.drop(gone)

    # -- what we are told

    def decode(self, frame: bytes) -> list[Event]:
        problem = None
        try:
            try:
                found = self._decode(frame)
            except msgspec.ValidationError:
                found, problem = self._one_by_one(frame)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FrameError("not_json", f"expected JSON: {error}") from error
        except RecursionError as error:
            raise FrameError("too_deep", "expected less nested JSON") from error
        return self._read(found, problem)

    def _read(self, found: list[events.AnyEvent], problem: FrameError | None) -> list[Event]:
        """Reads the events of a frame; a bad one is left out, unless there is no good one."""
        told: list[Event] = []
        readers = self._readers
        for event in found:
            try:
                readers[type(event)](event, told)
            except _PROBLEMS as error:
                problem = FrameError("bad_number", str(error) or "expected a number")
                self._count(problem)
        if problem is not None and not told:
            raise problem
        if told:
            as_of = getattr(told[-1], "as_of", None)
            if as_of is not None and as_of >= self._confirm_at and self._heard:
                self._confirm_at = as_of + CONFIRM_EVERY
                told.append(Confirmed(tuple(self._heard)))
        if self._wrong:
            told += self._wrong
            self._wrong = []
        return told

    def _one_by_one(self, frame: bytes) -> tuple[list[events.AnyEvent], FrameError | None]:
        """Reads a frame that holds something unforeseen: kinds that we do not know say nothing."""
        try:
            raws = _raws_decoder.decode(frame)
        except (
            msgspec.ValidationError
        ):  # every frame of theirs is an array, but a single event is one as well
            raws = [msgspec.Raw(frame)]
        found, problem = [], None
        for raw in raws:
            try:
                found.append(self._decode_one(raw))
            except (msgspec.ValidationError, RecursionError) as error:
                kind = events.kind_of(raw)
                if kind is None or kind in events.KINDS[self.cluster]:
                    problem = FrameError(f"bad_{kind or 'event'}", str(error))
                    self._count(problem)
        return found, problem

    def _count(self, problem: FrameError) -> None:
        self.bad_events[problem.kind] += 1
        if self.bad_events[problem.kind] == 1:
            logger.warning("feed %s: left out an event (%s): %s", self.source, problem.kind, problem)

    def _all_readers(self) -> dict[type[Any], Callable[[Any, list[Event]], None]]:
        return {
            events.StatusEvent: self._read_status,
            events.TradeEvent: self._read_trade,
            events.QuoteEvent: self._read_quote,
            events.SecondEvent: self._read_second,
            events.MinuteEvent: self._read_minute,
            events.PriceBandsEvent: self._read_notice,
            events.ImbalanceEvent: self._read_notice,
            events.FairValueEvent: self._read_notice,
            events.LaunchpadEvent: self._read_launchpad,
            events.IndexEvent: self._read_index,
            events.ForexEvent: self._read_forex,
            events.ForexMinuteEvent: self._read_pair_minute,
            events.ForexSecondEvent: self._read_pair_second,
            events.CryptoTradeEvent: self._read_crypto_trade,
            events.CryptoQuoteEvent: self._read_crypto_quote,
            events.BookEvent: self._read_book,
            events.CryptoMinuteEvent: self._read_pair_minute,
            events.CryptoSecondEvent: self._read_pair_second,
        }

    # -- trades and quotes

    def _read_trade(self, event: events.TradeEvent, told: list[Event]) -> None:
        symbol = self._symbols.get(event.sym)
        if symbol is None:
            return
        conditions = event.c or ()
        effect = self._effects[conditions]
        if self._is_official_close(event, conditions):
            told.append(self._values.official_close(event, symbol))
        if effect.last or effect.volume:
            trade = self._values.trade(event, symbol, effect)
            if effect.last:
                self._keep(symbol, trade.price, trade.as_of)
            told.append(trade)

    def _is_official_close(self, event: events.TradeEvent, conditions: tuple[int, ...]) -> bool:
        if self.cluster != "stocks" or not conditions:
            return False
        return CORRECTED_CLOSE in conditions or (
            OFFICIAL_CLOSE in conditions and LISTING_EXCHANGES.get(event.z) == event.x
        )

    def _keep(self, symbol: str, price: Decimal, as_of: datetime) -> None:
        known = self._lasts.get(symbol)
        if known is None:
            self._heard[symbol] = None
            self._lasts[symbol] = _Last(price, as_of)
        elif as_of >= known.as_of:
            known.price, known.as_of = price, as_of

    def _read_quote(self, event: events.QuoteEvent, told: list[Event]) -> None:
        symbol = self._symbols.get(event.sym)
        if symbol is not None:
            told.append(self._values.bid_ask(event, symbol))

    def _read_forex(self, event: events.ForexEvent, told: list[Event]) -> None:
        symbol = self._symbols.get(event.p)
        if symbol is not None:
            quote = self._values.forex(event, symbol)
            told.append(quote)
            if isinstance(quote, Quote):
                self._keep(symbol, quote.price, quote.as_of)

    def _read_index(self, event: events.IndexEvent, told: list[Event]) -> None:
        symbol = self._symbols.get(event.T)
        if symbol is not None:
            quote = self._values.index(event, symbol)
            told.append(quote)
            self._keep(symbol, quote.price, quote.as_of)

    def _read_launchpad(self, event: events.LaunchpadEvent, told: list[Event]) -> None:
        symbol = self._symbols.get(event.sym)
        if symbol is not None and symbol not in self._lasts:
            told.append(self._values.launchpad(event, symbol))

    def _read_notice(
        self, event: events.PriceBandsEvent | events.ImbalanceEvent | events.FairValueEvent, told: list[Event]
    ) -> None:
        symbol = self._symbols.get(event.sym if isinstance(event, events.FairValueEvent) else event.T)
        if symbol is not None:
            told.append(self._values.notice(event, symbol))

    # -- crypto

    def _read_crypto_trade(self, event: events.CryptoTradeEvent, told: list[Event]) -> None:
        symbol = self._symbols.get(event.pair)
        if symbol is not None:
            trade = self._values.crypto_trade(event, symbol)
            told.append(trade)
            self._keep(symbol, trade.price, trade.as_of)

    def _read_crypto_quote(self, event: events.CryptoQuoteEvent, told: list[Event]) -> None:
        symbol = self._symbols.get(event.pair)
        if symbol is not None and self._is_shown(symbol, event.x, event.t):
            told.append(self._values.bid_ask(event, symbol))

    def _read_book(self, event: events.BookEvent, told: list[Event]) -> None:
        """Takes each frame as the whole of one exchange's book, for nothing says that it is a change."""
        symbol = self._symbols.get(event.pair)
        if symbol is not None and self._is_shown(symbol, event.x, event.t):
            told.append(self._values.book(event, symbol))

    def _is_shown(self, symbol: str, exchange: str | int, at: int) -> bool:
        """Whether this exchange's quotes and books are shown: books of several must not be mixed."""
        shown = self._shown.get(symbol)
        if shown is None:
            self._shown[symbol] = _Shown(exchange, at)
            return True
        if exchange != shown.exchange and at - shown.at < EXCHANGE_SILENT_MILLISECONDS:
            return False
        shown.exchange, shown.at = exchange, at
        return True

    # -- aggregates

    def _read_second(self, event: events.SecondEvent, told: list[Event]) -> None:
        symbol = self._symbols.get(event.sym)
        if symbol is not None:
            self._tell_day(event, symbol, 1000, told)

    def _read_minute(self, event: events.MinuteEvent, told: list[Event]) -> None:
        symbol = self._symbols.get(event.sym)
        if symbol is None:
            return
        if self.cluster == "forex":  # as `_read_pair_minute`
            told.append(self._values.bar(event, symbol, None))
            self._tell_close(event, symbol, 60_000, told)
            return
        told.append(self._values.bar(event, symbol, self._values.amount(event.dv, event.v)))
        self._tell_day(event, symbol, 60_000, told)

    def _tell_day(self, event: events.SecondEvent, symbol: str, length: int, told: list[Event]) -> None:
        """Says what is known of the day, at the last price that a trade has set or else at the window's close.

        A last price of yesterday must not be told with the volume of this morning.
        """
        close = self._close_of(event, length)
        last = self._lasts.get(symbol, close)
        self._heard[symbol] = None
        if last is close or _day_of(last.as_of) == _day_of(close.as_of):
            told.append(self._values.day(event, symbol, last.price, last.as_of))

    def _read_pair_minute(
        self, event: events.ForexMinuteEvent | events.CryptoMinuteEvent, told: list[Event]
    ) -> None:
        symbol = self._symbols.get(event.pair)
        if symbol is not None:
            # A currency pair's is a count of quotes.
            volume = None if self.cluster == "forex" else self._values.optional(event.v)
            told.append(self._values.bar(event, symbol, volume))
            self._tell_close(event, symbol, 60_000, told)

    def _read_pair_second(
        self, event: events.ForexSecondEvent | events.CryptoSecondEvent, told: list[Event]
    ) -> None:
        symbol = self._symbols.get(event.pair)
        if symbol is not None:
            self._tell_close(event, symbol, 1000, told)

    def _tell_close(self, event: Any, symbol: str, length: int, told: list[Event]) -> None:
        if symbol not in self._lasts:
            self._heard[symbol] = None
            close = self._close_of(event, length)
            told.append(Quote(symbol=symbol, price=close.price, as_of=close.as_of))

    def _close_of(self, event: Any, length: int) -> _Last:
        end = event.s + length if event.e is None else event.e
        return _Last(self._values.number[event.c], events.instant(end - LAST_MILLISECOND))

    # -- how our requests fare

    def _read_status(self, event: events.StatusEvent, told: list[Event]) -> None:
        """Reads {"ev":"status","status":"success","message":"subscribed to: T.AAPL"}"""
        whole = event.message.replace(self._key, "…") if self._key else event.message
        message = whole[:REASON_CHARACTERS]
        match event.status:
            case "connected":
                told.append(Send(msgspec.json.encode({"action": "auth", "params": self._key}).decode()))
            case "auth_success":
                self._let_in(told)
            case "success":
                kind, _, pairs = whole.partition(": ")
                if kind.startswith("subscribed"):
                    for pair in pairs.split(","):
                        self._topics.acknowledged(pair.strip())
                    self._say_ready(told)
            case "auth_failed":
                raise FeedError(f"the vendor refuses our key: {message}", permanent=True)
            case "auth_timeout" | "slow_consumer":
                raise FeedError(f"the vendor ends the connection: {event.status}: {message}")
            case "max_connections" | "force_disconnect":
                raise FeedError(
                    f"the vendor ends the connection: {event.status}: {message}",
                    retry_after=POLICY_PAUSE_SECONDS,
                )
            case _:
                self._read_refusal(f"{event.status}: {whole}", told)

    def _let_in(self, told: list[Event]) -> None:
        self._is_in = True
        frames = self._topics.want(self._wants)
        told += map(Send, frames)
        if not frames:
            self._say_ready(told)

    def _say_ready(self, told: list[Event]) -> None:
        if not self._is_ready:
            self._is_ready = True
            told.append(Ready())

    def _read_refusal(self, message: str, told: list[Event]) -> None:
        reason = message[:REASON_CHARACTERS]
        if not _REFUSAL.search(message):
            self._count(FrameError("status", reason))
            return
        refusal = self._topics.refused(message)
        refused = ", ".join(refusal.topics) or "nothing that was asked for"
        logger.warning("feed %s: %s is refused: %s", self.source, refused, reason)
        told += map(Send, refusal.frames)
        if refusal.symbols:
            told += map(Send, self.unsubscribe(refusal.symbols))
            told.append(Refused(refusal.symbols, f"{refused}: {reason}"))


def _mode(wants: Mapping[str, Mode], symbol: str) -> Mode:
    # A mapping of modes is an iterable of symbols, and a plain one of symbols alone means the base mode.
    return wants[symbol] if isinstance(wants, Mapping) else BASE


def _day_of(at: datetime) -> date:
    return (at + EASTERN).date()
