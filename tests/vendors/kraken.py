"""Kraken on loopback: its status, its answers, its checksums, and a market of a few made-up pairs."""

import argparse
import asyncio
import json
from collections.abc import Coroutine, Iterator, Sequence
from decimal import Decimal
from random import Random
from typing import Any, ClassVar
from zlib import crc32

from websockets.asyncio.server import ServerConnection

from tests.vendors.frames import read_frames
from tests.vendors.server import Client, Fault, Frame, VendorServer, add_server_options, server_options

SYMBOLS = ("ABC/USD", "DEF/EUR")
CHANNELS = ("ticker", "trade", "book")
DEPTHS = (10, 25, 100, 500, 1000)
BEST = 10
HEARTBEAT_SECONDS = 1.0
TIMES = '"time_in":"2026-11-20T15:00:00.501510Z","time_out":"2026-11-20T15:00:00.501553Z"'
STATUS = (
    '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2",'
    '"connection_id":15113583034416118705}]}'
)
HEARTBEAT = '{"channel":"heartbeat"}'

Levels = list[tuple[str, str]]


def digits(text: str) -> str:
    return text.replace(".", "").lstrip("0")


def checksum(bids: Levels, asks: Levels) -> int:
    """As it is documented: the digits of the ten best asks, then those of the ten best bids, best first."""
    return crc32("".join(digits(price) + digits(quantity) for price, quantity in asks + bids).encode())


def book_frame(kind: str, symbol: str, bids: Levels, asks: Levels, checked: int, at: int = 0) -> str:
    """`at`: milliseconds since the market began."""
    told = [
        "[" + ",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in levels) + "]"
        for levels in (bids, asks)
    ]
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":{told[0]},"asks":{told[1]},'
        f'"checksum":{checked},"timestamp":"{_time(at)}"}}]}}'
    )


def _time(at: int) -> str:
    return f"2026-11-20T15:{at // 60_000:02}:{at // 1000 % 60:02}.{at % 1000:03}295Z"


class Market:
    """A pair that trades: its whole book, of which only the ten best levels are told."""

    def __init__(self, symbol: str, seed: int = 1) -> None:
        self.symbol = symbol
        self.at = 0
        self._dice = Random(seed)
        self._sides = {
            side: {f"{100 + sign * step / 10:.2f}": self._quantity() for step in range(1, 16)}
            for side, sign in (("bids", -1), ("asks", 1))
        }

    def _quantity(self) -> str:
        """From a dust of 1e-8 to hundreds, with all eight decimals."""
        return f"{Decimal(self._dice.randrange(1, 10 ** self._dice.randrange(1, 11))).scaleb(-8):f}"

    def best(self, side: str) -> Levels:
        ordered = sorted(
            self._sides[side].items(), key=lambda level: Decimal(level[0]), reverse=side == "bids"
        )
        return ordered[:BEST]

    @property
    def checksum(self) -> int:
        return checksum(self.best("bids"), self.best("asks"))

    def snapshot(self) -> str:
        bids, asks = self.best("bids"), self.best("asks")
        return book_frame("snapshot", self.symbol, bids, asks, self.checksum, self.at)

    def changes(self, count: int) -> Iterator[str]:
        for _ in range(count):
            self.at += 50
            yield self._change(self._dice.choice(["bids", "asks"]))

    def _change(self, side: str) -> str:
        """Nobody is told of a level that falls out of the ten, only of what is new or gone among them."""
        levels, before = self._sides[side], self.best(side)
        price, _ = self._dice.choice(before[:4])
        if len(levels) > BEST and self._dice.random() < 0.5:
            del levels[price]
        else:
            step = self._dice.choice(["0.00", "0.01", "-0.01"])
            levels[str(Decimal(price) + Decimal(step))] = self._quantity()
        told = [(price, "0.00000000")] if price not in levels else []
        told += [level for level in self.best(side) if level not in before]
        bids, asks = (told, []) if side == "bids" else ([], told)
        return book_frame("update", self.symbol, bids, asks, self.checksum, self.at)

    def ticker(self, price: str, kind: str = "update") -> str:
        (bid, bid_quantity), (ask, ask_quantity) = self.best("bids")[0], self.best("asks")[0]
        return (
            f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{self.symbol}","bid":{bid},'
            f'"bid_qty":{bid_quantity},"ask":{ask},"ask_qty":{ask_quantity},"last":{price},"volume":3156.84782110,'
            f'"vwap":100.1,"low":99.10,"high":101.90,"change":-0.30,"change_pct":-0.30,'
            f'"timestamp":"{_time(self.at)}"}}]}}'
        )

    def trade(self, price: str, number: int) -> str:
        return (
            f'{{"channel":"trade","type":"update","data":[{{"symbol":"{self.symbol}","side":"buy","price":{price},'
            f'"qty":0.00044780,"ord_type":"limit","trade_id":{number},"timestamp":"{_time(self.at)}"}}]}}'
        )


def session(symbol: str, seed: int = 1) -> dict[str, list[str]]:
    """What a subscriber hears of a pair, by channel."""
    market = Market(symbol, seed)
    prices = ["100.00", "100.01", "99.99", "100.50"]
    return {
        "ticker": [market.ticker(price, "update" if at else "snapshot") for at, price in enumerate(prices)],
        "trade": [market.trade(price, 4665846 + at) for at, price in enumerate(prices)],
        "book": [market.snapshot(), *market.changes(20)],
    }


SESSIONS = {symbol: session(symbol, seed) for seed, symbol in enumerate(SYMBOLS, 1)}


def accepted(method: str, channel: str, symbol: str) -> str:
    result = {"channel": channel, "symbol": symbol}
    return json.dumps({"method": method, "result": result, "success": True})[:-1] + f",{TIMES}}}"


def refused(method: str, error: str, symbol: str | None = None) -> str:
    about = {} if symbol is None else {"symbol": symbol}
    return json.dumps({"error": error, "method": method, "success": False, **about})[:-1] + f",{TIMES}}}"


class KrakenClient(Client):
    def __init__(self, socket: ServerConnection, fault: Fault, garbage: Sequence[Frame]) -> None:
        super().__init__(socket, fault, garbage)
        self.followed: set[tuple[str, str]] = set()


class KrakenServer(VendorServer[KrakenClient]):
    """Every subscriber hears the session of its pairs from the beginning, or a recorded market as it goes on."""

    faults: ClassVar = {
        "wrong-checksum:NUMBER": "so many books are told with a change missing, each in the middle of its session",
        "busy": "no request is granted, for there are too many",
    }
    garbage: ClassVar[Sequence[Frame]] = (
        *VendorServer.garbage,
        '{"channel":"ticker","type":"update","data":[{"symbol":"ABC/USD"}]}',
        '{"channel":"trade","type":"update","data":[{"symbol":"ABC/USD","side":"buy","price":-1,"qty":1,'
        '"trade_id":9,"timestamp":"2026-11-20T15:00:00Z"}]}',
        "{}",
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._wrong = self.fault.number if self.fault.kind == "wrong-checksum" else 0
        script = options.get("script", ())
        heard = {one["symbol"] for _, frame in script for one in _entries(frame) if "symbol" in one}
        self._sessions_of = {
            symbol: {channel: list[str]() for channel in CHANNELS} for symbol in heard
        } or SESSIONS

    def new_client(self, socket: ServerConnection, fault: Fault) -> KrakenClient:
        return KrakenClient(socket, fault, self.garbage)

    def jobs(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._beat(),)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for client in self.clients.values():
                if client.followed:
                    client.put(HEARTBEAT)

    async def arrived(self, client: KrakenClient) -> None:
        client.put(STATUS)

    async def asked(self, client: KrakenClient, request: Any) -> None:
        method = request["method"]
        if method == "ping":
            client.put(f'{{"method":"pong",{TIMES}}}')
        elif self.fault.kind == "busy":
            client.put(refused(method, "Exceeded msg rate"))
        elif not isinstance(request["params"]["symbol"], list):
            client.put(refused(method, "Symbol field must be an array"))
        elif request["params"].get("depth", BEST) not in DEPTHS:
            client.put(refused(method, "Subscription depth not supported"))
        else:
            for symbol in request["params"]["symbol"]:
                self._follow(client, method, request["params"]["channel"], symbol)

    def _follow(self, client: KrakenClient, method: str, channel: str, symbol: str) -> None:
        is_new = (channel, symbol) not in client.followed
        if symbol not in self._sessions_of:
            client.put(refused(method, f"Currency pair not supported {symbol}", symbol))
        elif is_new is (method == "unsubscribe"):
            said = "Already subscribed" if method == "subscribe" else "Subscription Not Found"
            client.put(refused(method, said, symbol))
        else:
            client.put(accepted(method, channel, symbol))
            (client.followed.add if is_new else client.followed.remove)((channel, symbol))
            if is_new:
                self._begin(client, channel, symbol)

    def _begin(self, client: KrakenClient, channel: str, symbol: str) -> None:
        frames = self._sessions_of[symbol][channel]
        if channel == "book" and self._wrong:
            self._wrong -= 1
            frames = frames[:5] + frames[6:]
        for frame in frames:
            client.put(frame)
        self.let_in(client)

    def happens(self, event: Any) -> None:
        channel = json.loads(event).get("channel")
        symbols = {one.get("symbol") for one in _entries(event)}
        for client in self.clients.values():
            if any((channel, symbol) in client.followed for symbol in symbols):
                client.put(event)


def _entries(frame: str) -> list[dict[str, Any]]:
    data = json.loads(frame).get("data", [])
    return [one for one in data if isinstance(one, dict)]


def add_options(parser: argparse.ArgumentParser) -> None:
    add_server_options(parser, KrakenServer)


def server_of(options: argparse.Namespace) -> KrakenServer:
    script = read_frames(options.recording) if options.recording else ()
    return KrakenServer(script=script, **server_options(options))
