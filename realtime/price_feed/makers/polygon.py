"""Polygon (Massive) as sources, one a cluster; every ticker is followed over its cluster's one connection."""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.conf import settings

from realtime.feeds.polygon import URL, PolygonFeed
from realtime.feeds.polygon_rest import URL as REST_URL
from realtime.feeds.polygon_rest import PolygonRest
from realtime.feeds.polygon_symbols import CLUSTERS, Cluster, currencies, wire_symbols
from realtime.feeds.polygon_topics import ALL, MORE
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.sources import Decoder, Options, Source, SourceError

# What a setting may create; more are added in Admin or by an import.
MOST_ASSETS = 1000
# O:AAPL240119C00150000: root, date, call or put, strike in thousandths.
_OPTION = re.compile(r"O:([A-Z.]+)(\d{6})([CP])(\d{8})")
EXCHANGE = "XNYS"
# Those of one cluster are let go in another.
SPECIAL_TOPICS = frozenset[str]().union(*MORE.values())


def _tickers(cluster: Cluster) -> list[str]:
    names: dict[Cluster, list[str]] = {
        "stocks": settings.POLYGON_STOCKS,
        "options": settings.POLYGON_OPTIONS,
        "forex": settings.POLYGON_FOREX,
        "crypto": settings.POLYGON_CRYPTO,
        "indices": settings.POLYGON_INDICES,
    }
    tickers = list(dict.fromkeys(names[cluster]))
    if len(tickers) > MOST_ASSETS:
        raise SourceError(
            f"POLYGON_{cluster.upper()}: expected at most {MOST_ASSETS} tickers, was {len(tickers)}"
        )
    return tickers


def _asset(cluster: Cluster, ticker: str) -> NewAsset:
    """What a ticker is; only what its name says for certain."""
    if cluster == "forex":
        base, quote = currencies(cluster, ticker)
        return NewAsset(ticker, base + quote, f"{base} in {quote}", quote, "fx", base, calendar="FX")
    if cluster == "crypto":
        base, quote = currencies(cluster, ticker)
        return NewAsset(ticker, f"{base}-{quote}", f"{base} in {quote}", quote, "crypto")
    symbol = wire_symbols(cluster, ticker)[0]
    if cluster == "options":
        return _option(ticker, symbol)
    kind = "index" if cluster == "indices" else "equity"
    return NewAsset(ticker, symbol.upper(), symbol, "USD", kind, calendar=EXCHANGE)


def _option(ticker: str, symbol: str) -> NewAsset:
    """An ordinary contract of 100 shares; the root of an adjusted one ends with a digit, and nobody knows its size."""
    parts = _OPTION.fullmatch(symbol)
    if parts is None:
        raise SourceError(f"POLYGON_OPTIONS: expected one such as O:AAPL240119C00150000, was {ticker[:40]!r}")
    root, day, kind, strike = parts.groups()
    try:
        expires = date.fromisoformat(f"20{day[:2]}-{day[2:4]}-{day[4:]}")
    except ValueError as error:
        raise SourceError(f"POLYGON_OPTIONS: expected a date in {ticker[:40]!r}") from error
    right = "call" if kind == "C" else "put"
    name = f"{root} {expires} {Decimal(strike) / 1000:f} {right}"
    return NewAsset(ticker, symbol, name, "USD", "option", calendar=EXCHANGE, multiplier=Decimal(100))


def _has_its_own_past() -> bool:
    """Whether socket and REST speak of the same market; a stand-in's prices have nothing to do with the real past."""
    return settings.POLYGON_WEBSOCKET_URL == URL or settings.POLYGON_REST_URL != REST_URL


def _source(cluster: Cluster) -> Source:
    key = settings.POLYGON_API_KEY
    if not key:
        raise SourceError(f"polygon_{cluster}: expected POLYGON_API_KEY")
    if unknown := [topic for topic in settings.POLYGON_TOPICS if topic not in SPECIAL_TOPICS]:
        expected = ", ".join(sorted(SPECIAL_TOPICS))
        raise SourceError(f"POLYGON_TOPICS: expected some of {expected}, was {unknown[0][:40]!r}")
    tickers = _tickers(cluster)
    named = [ticker for ticker in tickers if ticker != ALL]
    feed = PolygonFeed(
        cluster,
        key,
        named,
        url=settings.POLYGON_WEBSOCKET_URL,
        all_tickers=ALL in tickers,
        topics=settings.POLYGON_TOPICS,
    )
    return Source(
        name=feed.source,
        feed=feed,
        assets=tuple(_asset(cluster, ticker) for ticker in named),
        quotes_are_trades=False,
        delayed_by=settings.POLYGON_DELAYED_BY,
        history=PolygonRest(cluster, key, url=settings.POLYGON_REST_URL).history,
        fills_history=_has_its_own_past(),
    )


def stocks(options: Options) -> Source:
    return _source("stocks")


def options(options: Options) -> Source:
    return _source("options")


def forex(options: Options) -> Source:
    return _source("forex")


def crypto(options: Options) -> Source:
    return _source("crypto")


def indices(options: Options) -> Source:
    return _source("indices")


def _decoder(cluster: Cluster) -> Decoder:
    def assets(tickers: Iterable[str]) -> tuple[NewAsset, ...]:
        return tuple(_asset(cluster, ticker) for ticker in tickers)

    return Decoder(lambda: PolygonFeed(cluster, "", everything=True), assets, quotes_are_trades=False)


DECODERS = {f"polygon_{cluster}": _decoder(cluster) for cluster in CLUSTERS}
