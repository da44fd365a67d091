"""Yahoo Finance as a polled source, and its daily bars, through the optional library yfinance.

The library knows how to get past Yahoo's door: cookies, crumbs, the handshake of a browser. What comes through it, the
chart's JSON, is read here, as exact decimals. For personal use only. The library is imported when first asked, in a
thread of this source's own pool, because it blocks and takes a second to load.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote as quoted
from urllib.parse import urlsplit

from assets.market import Bar
from realtime.feeds.asked import AT_ONCE, AskedFeed, Pause
from realtime.feeds.base import Event, FeedError, Mode, Refused
from realtime.feeds.yahoo_chart import Unknown, bars_of, quote_of

CHART = "https://query2.finance.yahoo.com/v8/finance/chart/"
LIBRARY = "yfinance"
# Yahoo says "too many" without saying for how long; who comes back at once is shut out for longer.
RATE_LIMIT_SECONDS = 60.0
# The library's own requests for cookie and crumb come first, so that an answer may take several.
TOTAL_SECONDS = 20.0
DAY = timedelta(days=1)

# (url, parameters, monotonic time by which it must be there) → HTTP status and body
Get = Callable[[str, dict[str, str], float], tuple[int, bytes]]


def is_installed() -> bool:
    return find_spec(LIBRARY) is not None


class YahooFeed(AskedFeed):
    """Yahoo Finance as a polled feed; its symbols are Yahoo's own ("AAPL", "BTC-USD", "^NSEI", "EURUSD=X").

    Args:
        symbols: what to follow.
        url: another server, which is asked for every page of Yahoo's.
        total_seconds: for one symbol, from its beginning to its last byte.
    """

    source: str = "yahoo"
    modes: frozenset[Mode] = frozenset({"ltpc", "quote"})

    def __init__(
        self, symbols: Iterable[str] = (), *, url: str = "", total_seconds: float = TOTAL_SECONDS
    ) -> None:
        self.symbols = tuple(dict.fromkeys(symbols))
        self.url = url.rstrip("/")
        self._total_seconds = total_seconds
        # Of its own: threads that wait for a vendor must not be those that the database waits for.
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="yahoo")
        self._get: Get | None = None
        self._pause = Pause()
        self._loading = threading.Lock()

    async def history(self, symbol: str, days: int, until: datetime) -> list[Bar]:
        """Asks for the last `days` daily bars, oldest first, as they were traded; the last one is that of `until`.

        Raises:
            FeedError: the vendor has no such symbol, or nothing can be had now.
        """
        last = until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        # The first day of an exchange far in the east begins the evening before.
        first = last - days * DAY
        span = {"period1": f"{first.timestamp():.0f}", "period2": f"{(last + 2 * DAY).timestamp():.0f}"}
        bars = bars_of(symbol, *await self._chart(symbol, span))
        return [bar for bar in bars if last - (days - 1) * DAY <= bar.start <= last]

    async def ask(self, symbol: str) -> Event:
        try:
            return quote_of(symbol, *await self._chart(symbol, {"range": "5d"}))
        except Unknown as error:
            return Refused((symbol,), str(error))

    async def _chart(self, symbol: str, span: dict[str, str]) -> tuple[int, bytes]:
        parameters = {**span, "interval": "1d", "includePrePost": "false", "events": "div,splits"}
        loop = asyncio.get_running_loop()
        get = self._get
        if get is None:  # which takes a second, and is not the vendor's to be blamed for
            get = await loop.run_in_executor(self._threads, self._load)
        deadline = time.monotonic() + self._total_seconds
        address = CHART + quoted(symbol, safe="")
        with self._pause.obeyed():
            try:
                async with asyncio.timeout(self._total_seconds):
                    return await loop.run_in_executor(self._threads, get, address, parameters, deadline)
            except TimeoutError as error:
                raise FeedError(f"the vendor did not answer within {self._total_seconds:g} s") from error

    def _load(self) -> Get:
        with self._loading:
            if self._get is None:
                self._get = _library(self.url)
            return self._get


# When the page must be there that this thread asks for.
_deadlines = threading.local()


def _library(server: str) -> Get:
    """Loads the library and returns how it gets a page; it keeps one session, with one cookie, for everybody."""
    from curl_cffi import requests
    from yfinance.data import YfData
    from yfinance.exceptions import YFException, YFRateLimitError

    class Session(requests.Session):
        """Keeps all requests of a page within one deadline, and sends them elsewhere if it is told to."""

        def request(self, method: Any, url: str, **options: Any) -> Any:
            seconds = _deadlines.at - time.monotonic()
            if seconds <= 0:
                raise TimeoutError("the vendor did not answer in time")
            options["timeout"] = min(options.get("timeout") or seconds, seconds)
            return super().request(method, _elsewhere(url, server), **options)

    # A stand-in on this machine is never behind the proxy of the environment, and knows no newer HTTP.
    options = {"trust_env": False, "http_version": "v1"} if server else {}
    data = YfData(session=Session(impersonate="chrome", **options))

    def get(address: str, parameters: dict[str, str], deadline: float) -> tuple[int, bytes]:
        _deadlines.at = deadline
        try:
            response = data.get(url=address, params=parameters)
        except YFRateLimitError as error:
            raise FeedError("the vendor says: too many requests", retry_after=RATE_LIMIT_SECONDS) from error
        except (YFException, requests.exceptions.RequestException, OSError) as error:
            raise FeedError(f"the vendor cannot be reached: {type(error).__name__}: {error}"[:200]) from error
        return response.status_code, response.content

    return get


def _elsewhere(url: str, server: str) -> str:
    """Returns where a page of Yahoo's is on another server: under the same path, whatever its host was."""
    parts = urlsplit(url)
    return f"{server}{parts.path}{'?' + parts.query if parts.query else ''}" if server else url
