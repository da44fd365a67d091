"""What a feed says in channels, as plain JSON, and a client of them that checks what it is sent."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from realtime.connections import Connection
from realtime.frames import texts
from realtime.handshake import Identity
from realtime.outbox import Options, Outbox
from tests.realtime.builders import Clock

AS_OF = "2026-11-20T14:30:00.000000Z"
Levels = Sequence[tuple[str, str]]


def trades_json(symbol: str, numbers: Iterable[int], epoch: int = 1) -> str:
    trades = (
        f'{{"symbol":"{symbol}","price":{100 + number % 7}.50,"quantity":0.10,"side":"buy","trade_id":"{number}",'
        f'"as_of":"{AS_OF}","source":"simulator","number":{number},"epoch":{epoch}}}'
        for number in numbers
    )
    return f"[{','.join(trades)}]"


def book_json(
    symbol: str, seq: int, bids: Levels, asks: Levels, epoch: int = 1, source: str = "simulator"
) -> str:
    sides = [",".join(f"[{price},{quantity}]" for price, quantity in levels) for levels in (bids, asks)]
    return (
        f'{{"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],"as_of":"{AS_OF}","source":"{source}",'
        f'"seq":{seq},"epoch":{epoch}}}'
    )


def bar_json(symbol: str, start: str, close: object, *, interval: str = "1m", complete: bool = False) -> str:
    return (
        f'{{"symbol":"{symbol}","interval":"{interval}","start":"{start}","open":1.50,"high":9.00,"low":1.00,'
        f'"close":{close},"volume":10.0,"complete":{str(complete).lower()},"revised":false,"source":"simulator"}}'
    )


def notice_json(symbol: str, high: object) -> str:
    return (
        f'{{"symbol":"{symbol}","kind":"price_bands","as_of":"{AS_OF}","source":"simulator","high":{high}}}'
    )


def make_connection(**options: Any) -> Connection:
    return Connection("c", Identity(), "10.0.0.1", Outbox(Options(**options), Clock()), 0.0)


class Reader:
    """A client of channels: what it was sent, and whether that is whole and in order."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.types: list[str] = []
        self.trades: dict[str, list[dict[str, Any]]] = {}
        self.books: dict[str, dict[str, dict[str, str]]] = {}
        self.book_seqs: dict[str, int] = {}
        self.bars: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.frame = 0

    def read(self) -> list[str]:
        """Takes all that waits, confirming frames where they are numbered."""
        found: list[str] = []
        while self.connection.outbox.delay() == 0:
            for text in texts(self.connection.outbox.take()):
                frame = json.loads(text, parse_float=str, parse_int=str)
                found.append(frame["type"])
                self._sort(frame)
            if self.frame:
                self.connection.outbox.acknowledge(self.frame)
        self.types += found
        return found

    def _sort(self, frame: dict[str, Any]) -> None:
        data = frame["data"]
        self.frame = int(frame.get("frame", self.frame))
        match frame["type"]:
            case "trade":
                self._take_trade(data)
            case "trades":
                for trade in data:
                    self._take_trade(trade)
            case "book_snapshot":
                sides = {"bid": data["bids"], "ask": data["asks"]}
                self.books[data["symbol"]] = {side: dict(levels) for side, levels in sides.items()}
                self.book_seqs[data["symbol"]] = int(data["seq"])
            case "book_update":
                self._change_book(data)
            case "bar":
                self.bars.append(data)
            case _:
                self.events.append(frame)

    def _take_trade(self, trade: dict[str, Any]) -> None:
        seen = self.trades.setdefault(trade["symbol"], [])
        if seen and seen[-1]["epoch"] == trade["epoch"]:
            left_out = int(trade["number"]) - int(seen[-1]["number"]) - 1
            assert left_out == int(trade.get("missed", 0)), (seen[-1], trade)
        seen.append(trade)

    def _change_book(self, data: dict[str, Any]) -> None:
        symbol = data["symbol"]
        assert int(data["previous_seq"]) == self.book_seqs[symbol], "a hole that nobody told of"
        for side, price, quantity in data["changes"]:
            if float(quantity):
                self.books[symbol][side][price] = quantity
            else:
                del self.books[symbol][side][price]
        self.book_seqs[symbol] = int(data["seq"])

    def numbers(self, symbol: str) -> list[int]:
        return [int(trade["number"]) for trade in self.trades.get(symbol, [])]

    def closes(self) -> list[tuple[str, str]]:
        return [(bar["start"], bar["close"]) for bar in self.bars]
