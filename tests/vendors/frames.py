"""Frames to serve: those of a recording, or made-up ones of the same shapes.

Written without any of our own decoding, so that what is checked against it is checked against something else.
"""

import base64
import json
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

Frames = list[tuple[float, str]]

# 2021-04-17T16:43:37Z, when the recording that is not part of this project begins.
BEGIN = 1618677817.0


def read_frames(path: Path) -> Frames:
    """Reads a recording: arrival seconds, a tab, the frame."""
    frames = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        seconds, tab, frame = line.partition("\t")
        if not tab:
            raise ValueError(f"{path} line {number}: expected seconds, a tab and a frame")
        frames.append((float(seconds), frame))
    return frames


def read_any_frames(path: Path) -> list[tuple[float, str | bytes]]:
    """Reads a recording that may hold binary frames, which come as bytes."""
    frames: list[tuple[float, str | bytes]] = []
    for line in path.read_text().splitlines():
        seconds, _, frame = line.partition("\t")
        is_binary = frame.startswith("base64:")
        frames.append((float(seconds), base64.b64decode(frame[7:]) if is_binary else frame))
    return frames


def write_frames(path: Path, frames: Iterable[tuple[float, str]]) -> Path:
    path.write_text("".join(f"{seconds:.6f}\t{frame}\n" for seconds, frame in frames))
    return path


def made_up(products: Sequence[str] = ("ABC-USD", "DEF-EUR"), count: int = 400, seed: int = 1) -> Frames:
    """Makes a session: each product's snapshot, ticker and last match, then `count` changes and trades."""
    dice = random.Random(seed)
    makers = [_MadeUpProduct(product, dice) for product in products]
    frames: Frames = []
    seconds = BEGIN
    for maker in makers:
        frames += [(seconds, frame) for frame in maker.opening(seconds)]
    for _ in range(count):
        seconds += dice.random() * 0.05
        maker = dice.choice(makers)
        frames += [(seconds, frame) for frame in maker.next(seconds)]
    return frames


class _MadeUpProduct:
    def __init__(self, product: str, dice: random.Random) -> None:
        self.product = product
        self.dice = dice
        self.step = Decimal(1).scaleb(-dice.choice([2, 3, 4]))
        self.middle = dice.randrange(5_000, 90_000)
        self.sequence = dice.randrange(10**7, 10**9)
        self.trade = dice.randrange(10**4, 10**6)

    def price(self, steps: int) -> str:
        return str(self.step * steps)

    def size(self) -> str:
        return f"{self.dice.random() * 500:.4f}"

    def message(self, kind: str, seconds: float | None, **fields: Any) -> str:
        message = {"type": kind, "product_id": self.product, **fields}
        if seconds is not None:
            moment = datetime.fromtimestamp(seconds, UTC)
            message["time"] = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return json.dumps(message, separators=(",", ":"))

    def opening(self, seconds: float) -> list[str]:
        # In no order, as theirs are not promised to be in any.
        distances = self.dice.sample(range(1, 200), 60)
        bids = [[self.price(self.middle - distance), self.size()] for distance in distances]
        asks = [[self.price(self.middle + distance), self.size()] for distance in distances]
        return [
            self.message("snapshot", None, bids=bids, asks=asks),
            self.ticker(seconds),
            self.match(seconds, "last_match"),
        ]

    def ticker(self, seconds: float) -> str:
        price = self.price(self.middle)
        return self.message(
            "ticker",
            seconds,
            sequence=self.sequence,
            price=price,
            open_24h=self.price(self.middle - 90),
            volume_24h=f"{self.sequence % 10**6}.50000000",
            low_24h=self.price(self.middle - 400),
            high_24h=self.price(self.middle + 400),
            volume_30d="2295579.57000000",
            best_bid=self.price(self.middle - 1),
            best_ask=self.price(self.middle + 1),
            side=self.dice.choice(["buy", "sell"]),
            trade_id=self.trade,
            last_size=self.size(),
        )

    def match(self, seconds: float, kind: str) -> str:
        return self.message(
            kind,
            seconds,
            trade_id=self.trade,
            maker_order_id="27fff20b-af29-4f45-8744-56dd1ef57dc0",
            taker_order_id="da6ce16c-8da4-732d-9f71-6049f4c6aaf8",
            side=self.dice.choice(["buy", "sell"]),
            size=self.size(),
            price=self.price(self.middle),
            sequence=self.sequence,
        )

    def next(self, seconds: float) -> list[str]:
        self.sequence += self.dice.randrange(1, 5)
        if self.dice.random() < 0.1:
            self.trade += 1
            self.middle += self.dice.randrange(-20, 21)
            return [self.ticker(seconds), self.match(seconds, "match")]
        changes = []
        for _ in range(self.dice.randrange(1, 4)):
            side = self.dice.choice(["buy", "sell"])
            distance = self.dice.randrange(1, 200)
            price = self.price(self.middle + (distance if side == "sell" else -distance))
            # A size of zero removes a level, and sometimes one that is not there.
            size = self.dice.choice(["0", "0.00000000", self.size(), self.size()])
            changes.append([side, price, size])
        return [self.message("l2update", seconds, changes=changes)]


class NaiveBook:
    """A book of plain dictionaries, sorted when asked."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Decimal]] = {"buy": {}, "sell": {}}
        self.changed = False

    def apply(self, message: dict[str, Any]) -> None:
        if message["type"] == "snapshot":
            self.sides = {
                "buy": {Decimal(price): Decimal(size) for price, size in message["bids"]},
                "sell": {Decimal(price): Decimal(size) for price, size in message["asks"]},
            }
            return
        self.changed = True
        for side, price, size in message["changes"]:
            self.sides[side][Decimal(price)] = Decimal(size)
            if Decimal(size) == 0:
                del self.sides[side][Decimal(price)]

    def levels(self, side: str) -> list[tuple[Decimal, Decimal]]:
        """Returns all levels of a side, best first."""
        return sorted(self.sides[side].items(), reverse=side == "buy")


def last_prices(frames: Iterable[tuple[float, str]]) -> dict[str, str]:
    """Returns the price of each product's last ticker, as text."""
    prices = {}
    for _, frame in frames:
        message = json.loads(frame)
        if message["type"] == "ticker":
            prices[message["product_id"]] = message["price"]
    return prices


def rebuilt_books(frames: Iterable[tuple[float, str]]) -> dict[str, NaiveBook]:
    """Returns each product's book after all frames."""
    books: dict[str, NaiveBook] = {}
    for _, frame in frames:
        message = json.loads(frame)
        if message["type"] in {"snapshot", "l2update"}:
            books.setdefault(message["product_id"], NaiveBook()).apply(message)
    return books
