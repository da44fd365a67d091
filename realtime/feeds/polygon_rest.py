"""Polygon (Massive) over REST: the daily bars of the past, as they were traded.

The key is sent in the Authorization header. A plan with few requests a minute answers 429 to the others, so one that
is refused so is asked again after a while. A day begins where the vendor begins it: midnight in New York for what
trades in the United States, in UTC for pairs.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote as quoted

import msgspec

from assets.market import Bar, Conversions, from_float
from realtime.feeds.base import Clock, FeedError, SystemClock
from realtime.feeds.fetch import HttpError, fetch
from realtime.feeds.polygon_events import instant
from realtime.feeds.polygon_symbols import Cluster, rest_ticker

URL = "https://api.massive.com"
# Their most; a day is one bar of it here.
LIMIT = 50_000
TRIES = 3
# The smallest plan has five requests a minute.
BUSY_SECONDS = 13.0
LONGEST_PAUSE_SECONDS = 60.0


class _Day(msgspec.Struct):
    t: int
    o: float
    h: float
    l: float  # noqa: E741 - theirs
    c: float
    v: float | None = None


class _Answer(msgspec.Struct):
    results: list[_Day] | None = None


_decoder = msgspec.json.Decoder(_Answer)
_number = Conversions(from_float)


class PolygonRest:
    """Asks for what has been.

    Args:
        url: another server that speaks this protocol.
        clock: for the pauses between tries.
        total_seconds: for one request, from its beginning to its last byte.
    """

    def __init__(
        self,
        cluster: Cluster,
        key: str,
        *,
        url: str = URL,
        clock: Clock | None = None,
        total_seconds: float = 10.0,
    ) -> None:
        self._cluster: Cluster = cluster
        self._key = key
        self._url = url.rstrip("/")
        self._clock = clock or SystemClock()
        self._total_seconds = total_seconds

    async def history(self, symbol: str, days: int, until: datetime) -> list[Bar]:
        """Asks for the daily bars of the last `days` days, oldest first; days without trading have none.

        Raises:
            FeedError: the plan has no history, or nothing can be had now.
        """
        try:
            ticker = quoted(rest_ticker(self._cluster, symbol), safe="")
        except ValueError as error:
            raise FeedError(str(error)) from error
        last = until.astimezone(UTC).date()
        first = last - timedelta(days=days - 1)
        # Not adjusted: a stored price is as it was traded, and splits are applied where it is read.
        path = f"/v2/aggs/ticker/{ticker}/range/1/day/{first}/{last}?adjusted=false&sort=asc&limit={LIMIT}"
        return daily_bars(symbol, await self._get(path), has_volume=self._cluster != "forex")

    async def _get(self, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {self._key}"}
        for _ in range(TRIES - 1):
            try:
                return await fetch(self._url + path, headers=headers, total_seconds=self._total_seconds)
            except HttpError as error:
                if error.status != 429:
                    raise
                await self._clock.sleep(min(error.retry_after or BUSY_SECONDS, LONGEST_PAUSE_SECONDS))
        return await fetch(self._url + path, headers=headers, total_seconds=self._total_seconds)


def daily_bars(symbol: str, body: bytes, *, has_volume: bool = True) -> list[Bar]:
    """Reads {"ticker":"AAPL","adjusted":false,"queryCount":2,"resultsCount":1,"results":[{"v":135647456,"vw":74.6099,
    "o":74.06,"c":75.0875,"h":75.15,"l":73.7975,"t":1577941200000,"n":1}],"status":"OK","request_id":"6a7e"}
    """
    try:
        days: Sequence[_Day] = _decoder.decode(body).results or ()
        bars = [_bar(symbol, day, has_volume) for day in days]
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        ValueError,
        ArithmeticError,
        RecursionError,
        OSError,
    ) as error:
        raise FeedError(f"expected the daily bars of {symbol}: {error}") from error
    return sorted(bars, key=lambda bar: bar.start)


def _bar(symbol: str, day: _Day, has_volume: bool) -> Bar:
    opened, high, low, close = _number[day.o], _number[day.h], _number[day.l], _number[day.c]
    volume: Decimal | None = None if day.v is None or not has_volume else _number[day.v]
    if not low <= min(opened, close) <= max(opened, close) <= high or (volume is not None and volume < 0):
        raise ValueError(f"expected open, high, low and close, was {opened}, {high}, {low}, {close}")
    return Bar(
        symbol=symbol,
        interval="1d",
        start=instant(day.t),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
    )
