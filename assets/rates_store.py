"""Rates from what is stored: of now, for a page, and of any moment of the past, for a row that is booked.

A currency pair's bars and last price are those of its asset; nothing is stored as a rate. Minute bars are kept for a
week, so an older moment goes by the close of the last session before it.
"""

import logging
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import redis

from assets.calendars import calendar_named
from assets.models import Asset, AssetClass, PriceBar
from assets.rates import OLDEST, ONE, LastPrice, Pair, RatePoint, Rates
from assets.redistribution import Viewer
from assets.snapshots import read_quotes
from assets.stored_prices import last_price

log = logging.getLogger("personal_finance.realtime.assets")

MINUTE = timedelta(minutes=1)
# No session of currencies is longer; a bar is found by its start, and counts by its close.
LONGEST_SESSION = timedelta(days=1, hours=1)


def pair_of(asset: Asset) -> Pair:
    return Pair(asset.base_currency, asset.currency, asset.symbol)


def pair_assets() -> list[Asset]:
    """Returns every asset that is a currency pair."""
    return list(Asset.objects.filter(asset_class=AssetClass.FX).order_by("symbol"))


def rate_symbols(currencies: Iterable[str], base: str) -> frozenset[str]:
    """Returns the pairs that rates of `currencies` to `base` may come from: what is to be watched for them."""
    rates = Rates(map(pair_of, pair_assets()), {})
    return frozenset(symbol for currency in currencies for symbol in rates.legs(currency, base))


def live_rates(
    currencies: Iterable[str], base: str, viewer: Viewer, now: datetime | None = None
) -> dict[str, RatePoint]:
    """Returns what one unit of each currency is worth now, by the last prices; those without a rate are left out."""
    wanted, moment = set(currencies), now or datetime.now(UTC)
    pairs = pair_assets() if wanted - {base} else []
    points: dict[str, LastPrice] = {}
    rates = Rates(map(pair_of, pairs), points)
    symbols = {symbol for currency in wanted for symbol in rates.legs(currency, base)}
    quotes = _quotes(sorted(symbols))
    for asset in pairs:
        point = _last_price(asset, quotes.get(asset.symbol), viewer) if asset.symbol in symbols else None
        if point is not None:
            points[asset.symbol] = point
    found = {currency: rates.rate(currency, base, moment) for currency in sorted(wanted)}
    return {currency: rate for currency, rate in found.items() if rate is not None}


def _quotes(symbols: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    try:
        return read_quotes(symbols)
    except redis.RedisError as error:
        log.warning("last rates not read, stored prices serve", extra={"error": str(error)})
        return {}


def _last_price(asset: Asset, quote: Mapping[str, Any] | None, viewer: Viewer) -> LastPrice | None:
    if quote is not None and viewer.sees(quote.get("source", "")):
        return LastPrice(Decimal(quote["price"]), datetime.fromisoformat(quote["as_of"]))
    price, as_of = last_price(asset, viewer)
    return None if price is None or as_of is None else LastPrice(price, as_of)


def rate_at(currency: str, base: str, moment: datetime, viewer: Viewer) -> RatePoint | None:
    """Returns the newest stored rate with a time at or before `moment`, at most four days older; None if none is."""
    return PastRates(moment, moment, viewer).rate(currency, base, moment)


class PastRates:
    """Stored rates of a stretch of time, for whoever needs many; each pair is read once, when it is asked for.

    Args:
        first, last: the stretch.
        viewer: whom they are read for.
    """

    def __init__(self, first: datetime, last: datetime, viewer: Viewer) -> None:
        self._history = _History(first, last, viewer)

    @cached_property
    def _rates(self) -> Rates:
        return Rates(map(pair_of, self._history.assets.values()), self._history)

    def rate(self, currency: str, base: str, moment: datetime) -> RatePoint | None:
        """Returns the rate of a moment of the stretch, as `rate_at` does."""
        if currency == base:
            return RatePoint(ONE, moment)
        self._history.moment = moment
        return self._rates.rate(currency, base, moment)


class _History(Mapping[str, LastPrice]):
    """The prices of pairs by symbol, as they were at `moment`."""

    def __init__(self, first: datetime, last: datetime, viewer: Viewer) -> None:
        self.moment = last
        self._viewer = viewer
        self._first, self._last = first, last
        self._prices: dict[str, list[LastPrice]] = {}

    @cached_property
    def assets(self) -> dict[str, Asset]:
        return {asset.symbol: asset for asset in pair_assets()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.assets)

    def __len__(self) -> int:
        return len(self.assets)

    def __getitem__(self, symbol: str) -> LastPrice:
        prices = self._prices.get(symbol)
        if prices is None:
            prices = self._prices[symbol] = self._read(self.assets[symbol])
        index = bisect_right(prices, self.moment, key=_time)
        if not index:
            raise KeyError(symbol)
        return prices[index - 1]

    def _read(self, asset: Asset) -> list[LastPrice]:
        # Sorting is stable: of one moment a session's close counts, and not the minute that ended with it.
        prices = [*self._minutes(asset), *self._days(asset)]
        price, as_of = last_price(asset, self._viewer)
        if price is not None and as_of is not None:
            prices.append(LastPrice(price, as_of))
        return sorted(prices, key=_time)

    def _minutes(self, asset: Asset) -> list[LastPrice]:
        """The last minute that had ended when the stretch begins, and those that end within it."""
        bars = PriceBar.objects.filter(asset=asset, interval=PriceBar.Interval.MINUTE).visible_to(
            self._viewer
        )
        begin = self._first - MINUTE
        rows = list(bars.filter(start__lte=begin, start__gte=begin - OLDEST).order_by("-start")[:1])
        if self._last > self._first:
            rows += bars.filter(start__gt=begin, start__lte=self._last - MINUTE)
        return [LastPrice(bar.close, bar.start + MINUTE) for bar in rows]

    def _days(self, asset: Asset) -> list[LastPrice]:
        """The closes of sessions; the running one's is later than any moment that is asked for."""
        calendar = calendar_named(asset.calendar)
        begin = self._first - OLDEST - LONGEST_SESSION
        bars = PriceBar.objects.daily().filter(asset=asset, start__gte=begin, start__lt=self._last)
        return [
            LastPrice(bar.close, calendar.session_at(bar.start).close)
            for bar in bars.visible_to(self._viewer)
        ]


def _time(price: LastPrice) -> datetime:
    return price.as_of
