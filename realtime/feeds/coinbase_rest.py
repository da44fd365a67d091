"""Coinbase Exchange over REST: a polled source of last prices, and the daily bars of the past.

Public, no key. A ticker gives one product, so that a batch is that many requests, a few at a time and never more
than the vendor's public limit. An answer is JSON whose candles are numbers, read as exact decimals.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote as quoted
from urllib.parse import urlencode

import msgspec

from assets.market import Bar, Quote, bounded, parse_decimal
from realtime.feeds.asked import AskedFeed, Pause
from realtime.feeds.base import Clock, Event, FeedError, FrameError, Mode, Refused, SystemClock
from realtime.feeds.coinbase_messages import Time
from realtime.feeds.fetch import HttpError, fetch

URL = "https://api.exchange.coinbase.com"
# The documented public limit is ten a second.
REQUESTS_PER_SECOND = 8
# They answer at most 300 candles; one less, whichever way they count the ends.
CANDLES_AT_ONCE = 299
DAY = timedelta(days=1)


class _Ticker(msgspec.Struct):
    price: str
    time: Time
    size: str | None = None
    bid: str | None = None
    ask: str | None = None
    volume: str | None = None


# [time, low, high, open, close, volume], in this order.
_Candle = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]
_ticker_decoder = msgspec.json.Decoder(_Ticker)
_candles_decoder = msgspec.json.Decoder(list[_Candle])


class CoinbaseRestFeed(AskedFeed):
    """Coinbase Exchange as a polled feed; its symbols are product ids.

    Args:
        products: what to follow.
        url: another server that speaks this protocol.
        clock: for the pace of requests.
        total_seconds: for one request, from its beginning to its last byte.
    """

    source: str = "coinbase_rest"
    modes: frozenset[Mode] = frozenset({"ltpc", "quote"})

    def __init__(
        self,
        products: Iterable[str] = (),
        *,
        url: str = URL,
        clock: Clock | None = None,
        total_seconds: float = 10.0,
    ) -> None:
        self.symbols = tuple(dict.fromkeys(products))
        self.url = url.rstrip("/")
        self._clock = clock or SystemClock()
        self._total_seconds = total_seconds
        self._next_request_at = 0.0
        self._pause = Pause(self._clock)

    async def history(self, symbol: str, days: int, until: datetime) -> list[Bar]:
        """Asks for the last `days` daily bars, oldest first; the last one is that of `until`, as far as it came.

        Raises:
            FeedError: the vendor has no such product, or nothing can be had now.
        """
        last = until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        first = last - (days - 1) * DAY
        bars: dict[datetime, Bar] = {}
        start = first
        while start <= last:
            end = min(start + (CANDLES_AT_ONCE - 1) * DAY, last)
            query = urlencode({"granularity": 86400, "start": start.isoformat(), "end": end.isoformat()})
            body = await self._get(f"/products/{quoted(symbol, safe='')}/candles?{query}")
            bars.update((bar.start, bar) for bar in daily_bars(symbol, body))
            start = end + DAY
        return [bars[start] for start in sorted(bars) if first <= start <= last]

    async def ask(self, symbol: str) -> Event:
        try:
            return read_ticker(symbol, await self._get(f"/products/{quoted(symbol, safe='')}/ticker"))
        except HttpError as error:
            if error.status not in {400, 404}:
                raise
            return Refused((symbol,), str(error))

    async def _get(self, path: str) -> bytes:
        now = self._clock.monotonic()
        at = max(now, self._next_request_at)
        self._next_request_at = at + 1 / REQUESTS_PER_SECOND
        if at > now:
            await self._clock.sleep(at - now)
        with self._pause.obeyed():
            return await fetch(self.url + path, total_seconds=self._total_seconds)


def read_ticker(symbol: str, body: bytes) -> Quote:
    """Reads {"ask":"6267.71","bid":"6265.15","volume":"53602.03","trade_id":86326522,"price":"6268.48",
    "size":"0.00698254","time":"2020-03-20T00:22:57.833897Z"}
    """
    try:
        ticker = _ticker_decoder.decode(body)
        price = parse_decimal(ticker.price)
        if price <= 0:
            raise ValueError(f"expected a price above zero, was {price}")
        return Quote(
            symbol=symbol,
            price=price,
            as_of=ticker.time,
            last_quantity=_known(ticker.size),
            bid=_known(ticker.bid) or None,
            ask=_known(ticker.ask) or None,
            volume=_known(ticker.volume),
            window="24h",
        )
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FrameError("bad_ticker", f"expected the ticker of {symbol}: {error}") from error


def daily_bars(symbol: str, body: bytes) -> list[Bar]:
    """Reads [[1415398768, 0.32, 4.2, 0.35, 4.2, 12.3], …], newest first."""
    try:
        return [_bar(symbol, candle) for candle in _candles_decoder.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError, OverflowError) as error:
        raise FeedError(f"expected the daily bars of {symbol}: {error}") from error


def _bar(symbol: str, candle: _Candle) -> Bar:
    start, *values = candle
    low, high, open_, close, volume = map(bounded, values)
    if not 0 < low <= min(open_, close) <= max(open_, close) <= high or volume < 0:
        raise ValueError(f"expected low, high, open, close and volume, was {values}")
    return Bar(
        symbol=symbol,
        interval="1d",
        start=datetime.fromtimestamp(start, UTC),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
    )


def _known(text: str | None) -> Decimal | None:
    return None if not text else parse_decimal(text)
