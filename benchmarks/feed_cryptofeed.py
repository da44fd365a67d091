"""The other side of `feed_decode`: cryptofeed's Coinbase handler on the same frames, in an interpreter that has it.

Run as a file with a recording's path; knows nothing of this project. Prints one JSON line about itself, then for each
line on standard input, which is a number of passes, the CPU seconds that they took.
"""

import asyncio
import gc
import json
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any


def read(path: Path) -> list[tuple[str, float]]:
    """Returns each frame as the text and the time that cryptofeed's connection hands to its handler."""
    lines = (line.split("\t", 1) for line in path.read_text().splitlines())
    return [(frame, float(seconds)) for seconds, frame in lines]


async def ignore(data: object, received_at: float) -> None:
    pass


def new_feed(products: list[str]) -> Any:
    defines = import_module("cryptofeed.defines")
    symbols = import_module("cryptofeed.symbols").Symbols
    names = {product: product for product in products}
    # Else its constructor asks the exchange.
    symbols.set(defines.COINBASE, names, {"instrument_type": dict.fromkeys(products, defines.SPOT)})
    channels = (defines.L2_BOOK, defines.TICKER, defines.TRADES)
    return import_module("cryptofeed.exchanges").Coinbase(
        subscription=dict.fromkeys(channels, products),
        callbacks=dict.fromkeys(channels, ignore),
    )


async def run(frames: list[tuple[str, float]], products: list[str]) -> Any:
    feed = new_feed(products)
    handle = feed.message_handler
    for frame, received_at in frames:
        await handle(frame, None, received_at)
    return feed


def levels(feed: Any) -> dict[str, list[int]]:
    """Returns how many bids and asks each book holds."""
    books = {name: book.book for name, book in feed._l2_book.items()}
    return {name: [len(book.bids), len(book.asks)] for name, book in sorted(books.items())}


def main() -> None:
    frames = read(Path(sys.argv[1]))
    products = sorted({json.loads(frame)["product_id"] for frame, _ in frames})
    feed = asyncio.run(run(frames, products))
    compiled = not str(import_module("cryptofeed.types").__file__).endswith(".py")
    about = {"version": version("cryptofeed"), "compiled": compiled, "levels": levels(feed)}
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        gc.collect()
        started = process_time()
        for _ in range(int(line)):
            asyncio.run(run(frames, products))
        print(process_time() - started, flush=True)


if __name__ == "__main__":
    main()
