"""Kraken's public REST pages on loopback, as one of the exchanges that ccxt speaks to.

Prices are texts, a ticker has no time, and one pair that is unknown refuses the whole request. The command line's
market moves with each request.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request, Response

from tests.vendors.server import Client, VendorServer, add_server_options, reply, server_options

# As its documentation has it: ask, bid, last trade, volume, average, trades, low, high (today, 24 hours), open.
TICKER: dict[str, Any] = {
    "a": ["43000.20000", "1", "1.000"],
    "b": ["43000.10000", "2", "2.000"],
    "c": ["43000.12345", "0.04408910"],
    "v": ["4147.94474901", "8896.96086304"],
    "p": ["42950.22239", "42900.63032"],
    "t": [3907, 10056],
    "l": ["42302.18000", "42301.18000"],
    "h": ["43621.14000", "43860.01000"],
    "o": "42571.56000",
}
# pair: (base, quote, base and quote as people write them)
PAIRS = {
    "XXBTZUSD": ("XXBT", "ZUSD", "XBT/USD"),
    "ADAUSDT": ("ADA", "USDT", "ADA/USDT"),
    "GONEUSD": ("GONE", "ZUSD", "GONE/USD"),
}
ASSETS = {"XXBT": "XBT", "ZUSD": "USD", "ADA": "ADA", "USDT": "USDT", "GONE": "GONE"}


def pair(name: str) -> dict[str, Any]:
    base, quote, written = PAIRS[name]
    return {
        "altname": written.replace("/", ""),
        "wsname": written,
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": 5,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.0001",
        "tick_size": "0.00001",
        "status": "online",
    }


def days(until: datetime, count: int) -> list[list[Any]]:
    """Daily bars up to that of `until`: [time, open, high, low, close, average, volume, trades]."""
    midnight = until.replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        [
            int((midnight - timedelta(days=back)).timestamp()),
            "43000.1",
            "43500.0",
            "42500.5",
            f"{43000 + back}.12345",
            "43000.0",
            "12.01200100",
            7,
        ]
        for back in range(count - 1, -1, -1)
    ]


class KrakenServer(VendorServer[Client]):
    """The pages.

    Args:
        tickers: of each pair; one that is in PAIRS but not here is refused.
        bars: of every pair.
    """

    faults: ClassVar[Mapping[str, str]] = {
        "too-many": "every ticker is refused: rate limit",
        "busy": "every ticker is refused: the service is away",
        "wrong-key": "every ticker is refused: the key is invalid",
    }
    refusals: ClassVar[Mapping[str, str]] = {
        "too-many": "EAPI:Rate limit exceeded",
        "busy": "EService:Unavailable",
        "wrong-key": "EAPI:Invalid key",
    }

    def __init__(
        self,
        tickers: Mapping[str, Any],
        bars: Sequence[Sequence[Any]] = (),
        *,
        moves: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tickers = dict(tickers)
        self.bars = list(bars)
        self._moves = moves

    def answer(self, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        page = parts.path.removeprefix("/0/public/")
        match page:
            case "Assets":
                names = {
                    name: {"aclass": "currency", "altname": alt, "decimals": 8}
                    for name, alt in ASSETS.items()
                }
                return _answered(names)
            case "AssetPairs":
                return _answered({name: pair(name) for name in PAIRS})
            case "Ticker":
                return self._tickers(query.get("pair", "").split(","))
            case "OHLC":
                since = int(query.get("since", 0))
                rows = [row for row in self.bars if row[0] > since]
                return _answered({query["pair"]: rows, "last": 0})
        return None

    def _tickers(self, pairs: Sequence[str]) -> Response:
        if refusal := self.refusals.get(self.fault.kind):
            return reply(200, {"error": [refusal]})
        if any(name not in self.tickers for name in pairs):
            return reply(200, {"error": ["EQuery:Invalid asset pair"]})
        if self._moves:
            step = len(self.http_requests) % 50
            self.tickers = {
                name: {**ticker, "c": [f"{43000 + step}.12345", "0.1"]}
                for name, ticker in self.tickers.items()
            }
        return _answered({name: self.tickers[name] for name in pairs})


def _answered(result: Mapping[str, Any]) -> Response:
    return reply(200, {"error": [], "result": result})


def add_options(parser: argparse.ArgumentParser) -> None:
    add_server_options(parser, KrakenServer)


def server_of(options: argparse.Namespace) -> KrakenServer:
    tickers = {"XXBTZUSD": TICKER, "ADAUSDT": TICKER}
    return KrakenServer(tickers, days(datetime.now(UTC), 30), moves=True, **server_options(options))
