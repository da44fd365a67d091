"""Yahoo Finance on loopback: the streaming socket, and the charts that are asked for over HTTP.

Prices are encoded here by themselves, field by field, so that the decoder is not tested against its own mistakes; the
released yfinance reads the same frames. Whatever host yfinance asks, the paths of this server are the same.
"""

import argparse
import base64
import json
import struct
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.vendors.frames import read_frames
from tests.vendors.server import (
    GARBAGE,
    Client,
    Fault,
    Frame,
    VendorServer,
    add_server_options,
    reply,
    server_options,
)

# name: (number, kind); kinds: text, float32, sint64 (zigzag), plain varint, double
FIELDS: dict[str, tuple[int, str]] = {
    "id": (1, "text"),
    "price": (2, "float"),
    "time": (3, "signed"),
    "currency": (4, "text"),
    "exchange": (5, "text"),
    "quote_type": (6, "plain"),
    "market_hours": (7, "plain"),
    "change_percent": (8, "float"),
    "day_volume": (9, "signed"),
    "day_high": (10, "float"),
    "day_low": (11, "float"),
    "change": (12, "float"),
    "short_name": (13, "text"),
    "open_price": (15, "float"),
    "previous_close": (16, "float"),
    "last_size": (22, "signed"),
    "bid": (23, "float"),
    "bid_size": (24, "signed"),
    "ask": (25, "float"),
    "ask_size": (26, "signed"),
    "price_hint": (27, "signed"),
    "vol_24hr": (28, "signed"),
    "from_currency": (30, "text"),
    "circulating_supply": (32, "double"),
    "market_cap": (33, "double"),
}
WIRE_KINDS = {"text": 2, "float": 5, "signed": 0, "plain": 0, "double": 1}
EQUITY, INDEX, CURRENCY, CRYPTOCURRENCY = 8, 9, 14, 41
PRE_MARKET, REGULAR_MARKET, POST_MARKET = 0, 1, 2
DAY = timedelta(days=1)


def varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def record(**fields: Any) -> bytes:
    """Encodes a price as proto3 does: in order of their numbers, what is zero or empty left out."""
    parts = []
    for name in sorted(fields, key=lambda name: FIELDS[name][0]):
        number, kind = FIELDS[name]
        value = fields[name]
        if not value:
            continue
        parts.append(varint(number << 3 | WIRE_KINDS[kind]))
        match kind:
            case "text":
                parts.append(varint(len(value.encode())) + value.encode())
            case "float":
                parts.append(struct.pack("<f", value))
            case "double":
                parts.append(struct.pack("<d", value))
            case "signed":
                parts.append(varint(value * 2 if value >= 0 else -value * 2 - 1))
            case "plain":
                parts.append(varint(value))
    return b"".join(parts)


def pricing(*, bare: bool = False, **fields: Any) -> str:
    """A whole frame; `bare` is that of the protocol before version 2."""
    message = base64.b64encode(record(**fields)).decode()
    return message if bare else json.dumps({"type": "pricing", "message": message})


# -- charts


def chart(
    symbol: str,
    days: Sequence[tuple[datetime, Sequence[float | None], int | None]],
    *,
    price: float,
    at: datetime,
    kind: str = "EQUITY",
    currency: str = "USD",
    zone: str = "America/New_York",
    regular: tuple[datetime, datetime] | None = None,
    splits: Sequence[tuple[datetime, float, float]] = (),
    meta: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One result of the chart page. A day is (begins at, (open, high, low, close), volume)."""
    columns: dict[str, list[Any]] = {"open": [], "high": [], "low": [], "close": [], "volume": []}
    for _, prices, volume in days:
        for name, value in zip(columns, [*prices, volume], strict=True):
            columns[name].append(value)
    period = {
        "timezone": "EST",
        "start": _stamp(regular[0]) if regular else 0,
        "end": _stamp(regular[1]) if regular else 2**33,
        "gmtoffset": -18000,
    }
    result: dict[str, Any] = {
        "meta": {
            "currency": currency,
            "symbol": symbol,
            "exchangeName": "NMS",
            "instrumentType": kind,
            "firstTradeDate": 345479400,
            "regularMarketTime": _stamp(at),
            "hasPrePostMarketData": True,
            "gmtoffset": int((at.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()).total_seconds()),
            "timezone": "EST",
            "exchangeTimezoneName": zone,
            "regularMarketPrice": price,
            # Years old, as they come.
            "chartPreviousClose": 3.14,
            "previousClose": 2.71,
            "priceHint": 2,
            "currentTradingPeriod": {"regular": period},
            "dataGranularity": "1d",
            "range": "5d",
            "validRanges": ["1d", "5d", "1mo", "max"],
            **(meta or {}),
        },
        "timestamp": [_stamp(begins) for begins, _, _ in days],
        "indicators": {"quote": [columns], "adjclose": [{"adjclose": columns["close"]}]},
    }
    if splits:
        result["events"] = {
            "splits": {
                str(_stamp(ex)): {
                    "date": _stamp(ex),
                    "numerator": up,
                    "denominator": down,
                    "splitRatio": f"{up:g}:{down:g}",
                }
                for ex, up, down in splits
            }
        }
    return result


def widened(text: str) -> float:
    """A price as Yahoo's bars have it: kept as float32, written as a double."""
    value: float = struct.unpack("<f", struct.pack("<f", float(text)))[0]
    return value


def _stamp(moment: datetime) -> int:
    return int(moment.timestamp())


def made_up_charts(now: datetime) -> dict[str, dict[str, Any]]:
    """Thirty days of a few instruments up to now."""
    charts = {}
    for symbol, kind, zone, first in (
        ("AAPL", "EQUITY", "America/New_York", 190),
        ("RELIANCE.NS", "EQUITY", "Asia/Kolkata", 1500),
        ("^NSEI", "INDEX", "Asia/Kolkata", 25_000),
        ("BTC-USD", "CRYPTOCURRENCY", "UTC", 90_000),
        ("EURUSD=X", "CURRENCY", "Europe/London", 1),
    ):
        opening = timedelta(hours=9, minutes=30) if kind in {"EQUITY", "INDEX"} else timedelta()
        closing = timedelta(hours=16) if opening else timedelta(hours=23, minutes=59)
        midnight = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
        days = []
        for back in range(30, -1, -1):
            begins = midnight - back * DAY
            if (opening and begins.weekday() > 4) or begins + opening > now:
                continue
            base = Decimal(first) * (1000 + (30 - back) % 7) / 1000
            prices = [widened(str(base * step)) for step in (Decimal(1), Decimal("1.01"), Decimal("0.99"))]
            days.append((begins + opening, (prices[0], prices[1], prices[2], prices[0]), 1_000_000))
        last = days[-1][0]
        regular = (last, last - opening + closing)
        charts[symbol] = chart(
            symbol,
            days,
            price=float(f"{days[-1][1][3] or 0:.6g}"),
            at=min(now, regular[1]),
            kind=kind,
            zone=zone,
            regular=regular,
        )
    return charts


def made_up(seconds: int = 600) -> list[tuple[float, Any]]:
    """Ten prices a second, of the time at which they are sent."""
    script = []
    for number in range(seconds * 10):
        step = number % 40 - 20
        fields = (
            {"id": "BTC-USD", "price": 90_000 + step, "quote_type": CRYPTOCURRENCY, "market_hours": 1},
            {"id": "AAPL", "price": 190.55 + step / 100, "quote_type": EQUITY, "market_hours": 1},
            {"id": "EURUSD=X", "price": 1.0842 + step / 10_000, "quote_type": CURRENCY, "market_hours": 1},
        )[number % 3]
        script.append((number / 10, {**fields, "exchange": "NMS", "price_hint": 2}))
    return script


# -- the server


class YahooClient(Client):
    def __init__(self, socket: ServerConnection, fault: Fault, garbage: Sequence[Frame]) -> None:
        super().__init__(socket, fault, garbage)
        self.symbols: set[str] = set()


class YahooServer(VendorServer[YahooClient]):
    """The streamer and the pages. An event of the script is the fields of a price, or a whole frame for everybody.

    Args:
        charts: the chart of each symbol that there is.
    """

    faults: ClassVar[Mapping[str, str]] = {
        "bare": "prices come as bare base64, as before version 2",
        "too-many:NUMBER": "charts after so many are answered 429",
        "wrong-crumb": "every chart is answered 401, as for a crumb that is not theirs",
        "down": "pages are those of a Yahoo that will be right back",
    }
    garbage: ClassVar[Sequence[Frame]] = (
        *GARBAGE,
        '{"type":"pricing","message":"AAAA"}',
        '{"type":"pricing","message":"not base64"}',
        '{"type":"pricing","message":7}',
        '{"type":"heartbeat"}',
        pricing(id="AAPL", price=190.0)[:-8] + '"}',
        pricing(id="AAPL", price=float("nan"), time=1, market_hours=1),
    )

    def __init__(self, charts: Mapping[str, dict[str, Any]] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.charts = dict(charts or {})
        self._charts_asked = 0

    @property
    def url(self) -> str:
        return f"{super().url}/?version=2"

    def new_client(self, socket: ServerConnection, fault: Fault) -> YahooClient:
        return YahooClient(socket, fault, self.garbage)

    async def asked(self, client: YahooClient, request: Any) -> None:
        if "subscribe" in request:
            client.symbols |= set(request["subscribe"])
            self.let_in(client)
        else:
            client.symbols -= set(request["unsubscribe"])

    def happens(self, event: Any) -> None:
        if not isinstance(event, dict):
            super().happens(event)
            return
        fields = {"time": round(time.time() * 1000), **event}
        frame = pricing(bare=self.fault.kind == "bare", **fields)
        for client in self.clients.values():
            if event["id"] in client.symbols:
                client.put(frame)

    def answer(self, request: Request) -> Response | None:
        if request.headers.get("Upgrade"):
            return None
        parts = urlsplit(request.path)
        if self.fault.kind == "down":
            return reply(200, "<html>Will be right back</html>")
        if parts.path == "/v1/test/getcrumb":
            return reply(200, "a.crumb")
        if parts.path.startswith("/v8/finance/chart/"):
            return self._chart(unquote(parts.path.rpartition("/")[2]), parse_qs(parts.query))
        return None

    def _chart(self, symbol: str, query: dict[str, list[str]]) -> Response:
        self._charts_asked += 1
        if self.fault.kind == "too-many" and self._charts_asked > self.fault.number:
            return reply(429, "Too Many Requests\r\n")
        if self.fault.kind == "wrong-crumb":
            error = {"code": "Unauthorized", "description": "Invalid Crumb"}
            return reply(401, {"finance": {"result": None, "error": error}})
        found = self.charts.get(symbol)
        if found is None:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return reply(404, {"chart": {"result": None, "error": error}})
        return reply(200, {"chart": {"result": [_between(found, query)], "error": None}})


def _between(whole: dict[str, Any], query: dict[str, list[str]]) -> dict[str, Any]:
    """The days that were asked for; of a range only "5d" is known."""
    stamps = whole["timestamp"]
    first, last = 0, 2**40
    if "period1" in query:
        first, last = int(query["period1"][0]), int(query["period2"][0])
    kept = [index for index, stamp in enumerate(stamps) if first <= stamp < last]
    if "range" in query:
        kept = kept[-5:]
    quote, adjusted = whole["indicators"]["quote"][0], whole["indicators"]["adjclose"][0]["adjclose"]
    return {
        **whole,
        "timestamp": [stamps[index] for index in kept],
        "indicators": {
            "quote": [{name: [values[index] for index in kept] for name, values in quote.items()}],
            "adjclose": [{"adjclose": [adjusted[index] for index in kept]}],
        },
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    add_server_options(parser, YahooServer)


def server_of(options: argparse.Namespace) -> YahooServer:
    script = read_frames(options.recording) if options.recording else made_up()
    return YahooServer(made_up_charts(datetime.now(UTC)), script=script, **server_options(options))
