"""Any exchange that the optional library ccxt speaks to, as a polled source, and its daily bars.

The library runs in a thread with an event loop of its own: reading an exchange's list of markets takes it up to a
second, in which no other feed should wait. It is told to leave numbers as the exchange's texts, so that none of them
passes through a float. A symbol is the library's unified one ("BTC/USDT").
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, TypeVar

from assets.market import Bar, BidAsk, Quote, parse_decimal
from realtime.feeds.asked import Pause
from realtime.feeds.base import Clock, Event, FeedError, Mode, PolledFeed, Refused, SystemClock

LIBRARY = "ccxt"
# An exchange that says "too many" does not tell for how long, or each in its own way.
RATE_LIMIT_SECONDS = 60.0
# The list of markets is asked for first, once; of the largest exchanges it is several megabytes.
TOTAL_SECONDS = 45.0
DAY = timedelta(days=1)
# What every exchange gives at once.
BARS_AT_ONCE = 300

T = TypeVar("T")
Work = Callable[[Any], Awaitable[T]]


def is_installed() -> bool:
    return find_spec(LIBRARY) is not None


class CcxtFeed(PolledFeed):
    """One exchange as a polled feed.

    Args:
        exchange: the library's name for it ("kraken").
        symbols: what to follow.
        url: another server that speaks the exchange's protocol, instead of all of its hosts.
        clock: for the time of a price, of which some exchanges give none.
        total_seconds: for one call, the list of markets included.
    """

    source: str = "ccxt"
    modes: frozenset[Mode] = frozenset({"ltpc", "quote"})

    def __init__(
        self,
        exchange: str,
        symbols: Iterable[str] = (),
        *,
        url: str = "",
        clock: Clock | None = None,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self.exchange = exchange
        self.symbols = tuple(dict.fromkeys(symbols))
        self.url = url.rstrip("/")
        self._clock = clock or SystemClock()
        self._pause = Pause(self._clock)
        self._total_seconds = total_seconds
        # One thread: an exchange object belongs to one event loop, and counts its own requests.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ccxt")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: Any = None

    async def poll(self, symbols: Iterable[str]) -> list[Event]:
        wanted = list(symbols)
        return await self._call(lambda exchange: self._tickers(exchange, wanted))

    async def history(self, symbol: str, days: int, until: datetime) -> list[Bar]:
        """Asks for the last `days` daily bars (UTC), oldest first; the last one is that of `until`.

        Raises:
            FeedError: the exchange has no such symbol or no history, or nothing can be had now.
        """
        last = until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return await self._call(lambda exchange: _bars(exchange, symbol, last - (days - 1) * DAY, last))

    # -- in the thread

    async def _call(self, work: Work[T]) -> T:
        with self._pause.obeyed():
            task = asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)
            try:
                return await task
            except asyncio.CancelledError:
                if (loop := self._loop) is not None and loop.is_running():
                    loop.call_soon_threadsafe(lambda: [one.cancel() for one in asyncio.all_tasks(loop)])
                raise

    def _run(self, work: Work[T]) -> T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        try:
            return self._loop.run_until_complete(self._answer(work))
        except asyncio.CancelledError as error:
            raise FeedError("stopped") from error

    async def _answer(self, work: Work[T]) -> T:
        try:
            exchange = self._opened = self._opened or _library(self.exchange, self.url)
            async with asyncio.timeout(self._total_seconds), exchange:
                await exchange.load_markets()
                return await work(exchange)
        except TimeoutError as error:
            raise FeedError(f"the vendor did not answer within {self._total_seconds:g} s") from error
        except Exception as error:
            raise _read_error(error) from error

    async def _tickers(self, exchange: Any, wanted: list[str]) -> list[Event]:
        known = [symbol for symbol in wanted if symbol in exchange.markets]
        events: list[Event] = [
            Refused((symbol,), f"{exchange.name} has no market {symbol}")
            for symbol in wanted
            if symbol not in exchange.markets
        ]
        if not known:
            return events
        if exchange.has["fetchTickers"]:
            try:
                tickers = await exchange.fetch_tickers(known)
                return events + [
                    event for symbol in known for event in self._read(symbol, tickers.get(symbol))
                ]
            except Exception as error:
                if not _is(error, "ExchangeError") or _is(error, "AuthenticationError"):
                    raise
        return events + await self._one_by_one(exchange, known)

    async def _one_by_one(self, exchange: Any, symbols: list[str]) -> list[Event]:
        """Finds the one that spoils it for all, or asks an exchange that gives but one at a time."""
        events: list[Event] = []
        errors: list[Exception] = []
        for symbol in symbols:
            try:
                events += self._read(symbol, await exchange.fetch_ticker(symbol))
            except Exception as error:
                if _is(error, "BadSymbol"):
                    events.append(Refused((symbol,), str(_read_error(error))))
                elif _is(error, "ExchangeError") and not _is(error, "AuthenticationError"):
                    errors.append(error)
                else:
                    raise
        if errors and not events:
            raise errors[0]
        return events

    def _read(self, symbol: str, ticker: Any) -> list[Event]:
        """Reads {"symbol":"BTC/USD","timestamp":None,"last":"43000.1","bid":"43000.0","bidVolume":"1.000","ask":…,
        "high":"44000","low":"42000","baseVolume":"1234.5",…}; of a market without a trade `last` is None.
        """
        if ticker is None:
            return []
        stamp = ticker["timestamp"]
        as_of = self._clock.now() if stamp is None else datetime.fromtimestamp(stamp / 1000, UTC)
        last = _number(ticker["last"])
        bid, ask = _number(ticker["bid"]) or None, _number(ticker["ask"]) or None
        sides = BidAsk(
            symbol=symbol,
            as_of=as_of,
            bid=bid,
            ask=ask,
            bid_quantity=_number(ticker["bidVolume"]),
            ask_quantity=_number(ticker["askVolume"]),
        )
        if not last:
            return [sides] if bid or ask else []
        return [
            Quote(
                symbol=symbol,
                price=last,
                as_of=as_of,
                bid=bid,
                ask=ask,
                bid_quantity=sides.bid_quantity,
                ask_quantity=sides.ask_quantity,
                # Their `open` is that of 24 hours ago with some exchanges and of midnight with others.
                high=_number(ticker["high"]),
                low=_number(ticker["low"]),
                volume=_number(ticker["baseVolume"]),
                average_price=_number(ticker["vwap"]),
                window="24h",
            )
        ]


def _library(name: str, url: str) -> Any:
    import ccxt.async_support as library

    if name not in library.exchanges:
        raise FeedError(f"expected an exchange that ccxt knows, was {name[:40]!r}", permanent=True)
    exchange = getattr(library, name)({"enableRateLimit": True, "timeout": 15_000, "number": str})
    exchange.number = str
    if url:
        exchange.urls["api"] = _elsewhere(exchange.urls["api"], url)
    return exchange


def _elsewhere(urls: Any, url: str) -> Any:
    """Returns an exchange's addresses on another server, whatever their hosts were."""
    if isinstance(urls, dict):
        return {key: _elsewhere(value, url) for key, value in urls.items()}
    return re.sub(r"^https?://[^/]+", url, urls) if isinstance(urls, str) else urls


async def _bars(exchange: Any, symbol: str, first: datetime, last: datetime) -> list[Bar]:
    if not exchange.has["fetchOHLCV"]:
        raise FeedError(f"{exchange.name} gives no daily bars")
    bars: dict[datetime, Bar] = {}
    since = first
    while since <= last:
        limit = min(BARS_AT_ONCE, (last - since).days + 1)
        rows = await exchange.fetch_ohlcv(symbol, "1d", int(since.timestamp() * 1000), limit)
        read = [daily_bar(symbol, row) for row in rows]
        bars.update((bar.start, bar) for bar in read)
        newest = max((bar.start for bar in read), default=last)
        since = max(newest, since) + DAY
    return [bars[start] for start in sorted(bars) if first <= start <= last]


def daily_bar(symbol: str, row: list[Any]) -> Bar:
    """Reads [1504483200000, "4235.4", "4240.6", "4230.0", "4230.7", "37.72"].

    Raises:
        FeedError: no prices of a day, or of a day that is not UTC's, as some exchanges have it: its close would be
            taken for another hour's.
    """
    stamp, *values = row
    opened, high, low, close, volume = (_number(value) for value in values)
    if opened is None or high is None or low is None or close is None:
        raise FeedError(f"expected the daily bars of {symbol}, was {str(row)[:200]}")
    if not 0 < low <= min(opened, close) <= max(opened, close) <= high:
        raise FeedError(f"expected the daily bars of {symbol}, was {str(row)[:200]}")
    start = datetime.fromtimestamp(stamp / 1000, UTC)
    if start != start.replace(hour=0, minute=0, second=0, microsecond=0):
        raise FeedError(f"expected daily bars of {symbol} from midnight UTC, was one from {start:%H:%M}")
    return Bar(
        symbol=symbol,
        interval="1d",
        start=start,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
    )


def _number(text: Any) -> Decimal | None:
    return None if text is None else parse_decimal(str(text))


def _is(error: Exception, *names: str) -> bool:
    """Whether it is one of the library's errors, which cannot be named before the library is loaded."""
    return any(kind.__name__ in names and kind.__module__.startswith(LIBRARY) for kind in type(error).__mro__)


def _read_error(error: Exception) -> FeedError:
    if isinstance(error, FeedError):
        return error
    # Theirs hold the address, and of a request that is signed the signature.
    words = re.sub(r"https?://\S+", "…", str(error))[:200]
    if _is(error, "AuthenticationError"):
        return FeedError(f"the exchange refuses us: {words}", permanent=True)
    if _is(error, "DDoSProtection", "RateLimitExceeded"):
        return FeedError(f"the exchange says: too many requests: {words}", retry_after=RATE_LIMIT_SECONDS)
    if _is(error, "BadSymbol"):
        return FeedError(f"the exchange has no such market: {words}")
    if _is(error, "NetworkError"):
        return FeedError(f"the exchange cannot be reached: {words}")
    if _is(error, "BaseError") or isinstance(error, ValueError | ArithmeticError | OSError):
        return FeedError(f"the exchange answered what cannot be used: {words}")
    return FeedError(f"unexpected error: {type(error).__name__}: {words}")
