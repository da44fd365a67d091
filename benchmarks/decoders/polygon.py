"""Polygon's stocks: trades, quotes and second aggregates of twenty tickers, each in a frame of its own."""

import json
import random
from typing import Any

from benchmarks.decoders import Case
from realtime.feeds.polygon import PolygonFeed

TICKERS = [f"T{number:03}" for number in range(20)]
FRAMES = 6000
BEGINS_MS = 1_773_500_400_000
# A fifth of the trades are odd lots, as on a real tape.
CONDITIONS: tuple[list[int], ...] = ([], [14, 41], [37], [14, 37, 41], [41])


def case() -> Case:
    frames = [json.dumps([event], separators=(",", ":")).encode() for event in events(FRAMES)]
    return Case(opened(), frames, 100_000, "trades, quotes and second aggregates, one a frame")


def opened() -> PolygonFeed:
    feed = PolygonFeed("stocks", "key", TICKERS)
    feed.opened(dict.fromkeys(TICKERS, "quote"))
    return feed


def events(count: int) -> list[dict[str, Any]]:
    dice = random.Random(20)
    prices = {ticker: 20_000 + 500 * number for number, ticker in enumerate(TICKERS)}
    made = []
    for number in range(count):
        ticker = TICKERS[dice.randrange(len(TICKERS))]
        prices[ticker] += dice.randrange(-3, 4)
        maker = (_trade, _quote, _second)[number % 3]
        made.append(maker(ticker, prices[ticker], number, BEGINS_MS + 7 * number, dice))
    return made


def _trade(ticker: str, cents: int, number: int, at: int, dice: random.Random) -> dict[str, Any]:
    size = dice.randrange(1, 500)
    return {
        "ev": "T", "sym": ticker, "x": 4, "i": str(50_000 + number), "z": 3, "p": cents / 100, "s": size,
        "ds": f"{size}.0", "c": dice.choice(CONDITIONS), "t": at, "q": 3_681_328 + number, "trfi": 201, "trft": at - 3,
    }  # fmt: skip


def _quote(ticker: str, cents: int, number: int, at: int, dice: random.Random) -> dict[str, Any]:
    return {
        "ev": "Q", "sym": ticker, "bx": 12, "bp": (cents - 1) / 100, "bs": dice.randrange(1, 20), "ax": 11,
        "ap": (cents + 1) / 100, "as": dice.randrange(1, 20), "c": 1, "i": [604], "t": at, "q": 50_385_480 + number,
        "z": 3,
    }  # fmt: skip


def _second(ticker: str, cents: int, number: int, at: int, dice: random.Random) -> dict[str, Any]:
    volume, start = dice.randrange(100, 9000), at - at % 1000
    return {
        "ev": "A", "sym": ticker, "v": volume, "av": 8_642_007 + 100 * number, "op": 201.66, "vw": cents / 100 + 0.0013,
        "o": cents / 100, "c": cents / 100, "h": (cents + 2) / 100, "l": (cents - 2) / 100,
        "a": 205.0 + number / 10_000, "z": 62, "s": start, "e": start + 1000,
        "dv": f"{volume}.0", "dav": f"{8_642_007 + 100 * number}.038360",
    }  # fmt: skip
