"""What a session of Coinbase must show at its end, computed from its frames alone.

The recorded session is the one that COINBASE_RECORDING names; without it a made-up one of the same shapes.
"""

import json
import os
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.vendors.frames import Frames, made_up, read_frames, rebuilt_books

RECORDING = os.environ.get("COINBASE_RECORDING", "")
PRODUCTS = ["ABC-USD", "DEF-EUR", "GHI-GBP"]
# Of a product, for whoever asks later.
TRADES_KEPT = 50
# Of each side of a book, best first.
LEVELS = 5
# A trade's side is theirs of the maker, ours of the taker.
TAKER = {"buy": "sell", "sell": "buy"}

# A product's: (start, open, high, low, close, volume).
Bar = tuple[datetime, Decimal, Decimal, Decimal, Decimal, Decimal]
Level = tuple[Decimal, Decimal]


def session() -> Frames:
    return read_frames(Path(RECORDING)) if RECORDING else made_up(PRODUCTS, 1000)


def trades_of(frames: Frames) -> dict[str, list[dict[str, Any]]]:
    """Each product's trades in their order; the last one of before the session is the first."""
    trades: dict[str, list[dict[str, Any]]] = {}
    for _, text in frames:
        message = json.loads(text)
        if message["type"] in ("last_match", "match"):
            trades.setdefault(message["product_id"], []).append(message)
    return trades


def bars_of(trades: list[dict[str, Any]]) -> list[Bar]:
    minutes: dict[datetime, list[tuple[Decimal, Decimal]]] = {}
    for trade in trades:
        moment = datetime.fromisoformat(trade["time"])
        prints = minutes.setdefault(moment.replace(second=0, microsecond=0), [])
        prints.append((Decimal(trade["price"]), Decimal(trade["size"])))
    return [
        (
            start,
            prints[0][0],
            max(price for price, _ in prints),
            min(price for price, _ in prints),
            prints[-1][0],
            sum((size for _, size in prints), Decimal(0)),
        )
        for start, prints in sorted(minutes.items())
    ]


def best_levels(frames: Frames) -> dict[str, tuple[list[Level], list[Level]]]:
    """Each product's best bids and asks after all frames."""
    return {
        product: (book.levels("buy")[:LEVELS], book.levels("sell")[:LEVELS])
        for product, book in rebuilt_books(frames).items()
    }
