"""`python -m benchmarks.feed_decode [--json] [--short]`: recorded Coinbase frames through decoder and batcher.

Every frame is decoded, its whole book kept with Decimals, its values numbered and conflated, and flushed for each 50 ms
of recorded time. Beside it, in turns, cryptofeed's compiled handler takes the same frames with callbacks that do
nothing; CRYPTOFEED_PYTHON names an interpreter that has it. COINBASE_RECORDING names the recording.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from realtime.feeds.base import FeedError
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.replay import read_recording
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.listing import Listing

ROOT = Path(__file__).resolve().parent.parent
RECORDING = ROOT.parent / "shared" / "recordings" / "coinbase-exchange-2021-04-17.tsv"
FLUSH_SECONDS = 0.05
CRYPTOFEED = "2.3.2"
# A pass takes some 15 ms; shorter measurements than twenty of them vary by a tenth.
PASSES = 20

Frames = list[tuple[bytes, datetime, float]]


@dataclass(frozen=True)
class Result:
    """CPU time only: other programs of the machine change it little. `ratio` is the median of the rounds' own."""

    frames: int
    ours_frames_per_second: float
    cryptofeed_frames_per_second: float | None
    ratio: float | None
    note: str


def read(path: Path) -> Frames:
    return [(frame, datetime.fromtimestamp(at, UTC), at) for at, frame in read_recording(path)]


def products_of(frames: Frames) -> list[str]:
    return sorted({json.loads(frame)["product_id"] for frame, _, _ in frames})


def new_batcher(products: Sequence[str], started_at: datetime) -> Batcher:
    batcher = Batcher("coinbase", stale_after=300.0, quotes_are_trades=False)
    listings = [
        Listing(number, product, product[-3:], product, ("coinbase",))
        for number, product in enumerate(products, 1)
    ]
    batcher.follow(listings, started_at, 0.0)
    batcher.begin(1)
    return batcher


def run(frames: Frames, products: Sequence[str]) -> tuple[CoinbaseFeed, Batcher, int]:
    """Takes all frames with a new feed and a new batcher; returns both, and how many records were flushed."""
    feed, batcher = CoinbaseFeed(products), new_batcher(products, frames[0][1])
    feed.opened(products)
    decode, take, changed = feed.decode, batcher.take, batcher.changed
    flushed, flush_at = 0, frames[0][2]
    for frame, received_at, seconds in frames:
        if seconds >= flush_at:
            flush_at = seconds + FLUSH_SECONDS
            flushed += len(changed())
        if events := decode(frame):
            take(events, received_at, seconds)
    return feed, batcher, flushed + len(changed())


def levels(feed: CoinbaseFeed, products: Sequence[str]) -> dict[str, list[int]]:
    """Returns how many bids and asks each book holds."""
    depths = {product: book.top(sys.maxsize) for product in products if (book := feed.book(product))}
    return {product: [len(depth.bids), len(depth.asks)] for product, depth in depths.items()}


def seconds_of(frames: Frames, products: Sequence[str], passes: int) -> float:
    gc.collect()
    started = process_time()
    for _ in range(passes):
        run(frames, products)
    return process_time() - started


class Peer:
    """cryptofeed in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.about: dict[str, Any] = json.loads(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError("not importable there")
        return line

    def seconds_of(self, passes: int) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{passes}\n")
        self._process.stdin.flush()
        return float(self._line())


@contextmanager
def started_peer(python: str, recording: Path) -> Iterator[Peer]:
    """Raises OSError if the interpreter is not there or has no cryptofeed."""
    process = subprocess.Popen(
        [python, str(ROOT / "benchmarks" / "feed_cryptofeed.py"), str(recording)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            yield Peer(process)
        finally:
            process.kill()


def measure(recording: Path, python: str, rounds: int) -> Result:
    """Raises FeedError when there is no such recording."""
    frames = read(recording)
    products = products_of(frames)
    feed, _, _ = run(frames, products)
    try:
        with started_peer(python, recording) as peer:
            if (found := peer.about["version"]) != CRYPTOFEED or not peer.about["compiled"]:
                return _alone(frames, products, rounds, f"expected cryptofeed {CRYPTOFEED}, was {found}")
            if peer.about["levels"] != levels(feed, products):
                raise ValueError("expected the same books on both sides")
            pairs = [(seconds_of(frames, products, PASSES), peer.seconds_of(PASSES)) for _ in range(rounds)]
    except OSError as error:
        return _alone(frames, products, rounds, f"no cryptofeed {CRYPTOFEED} to compare with: {error}")
    count = len(frames) * PASSES
    return Result(
        frames=len(frames),
        ours_frames_per_second=round(count / median(ours for ours, _ in pairs)),
        cryptofeed_frames_per_second=round(count / median(theirs for _, theirs in pairs)),
        ratio=round(median(theirs / ours for ours, theirs in pairs), 2),
        note=f"cryptofeed {CRYPTOFEED} compiled, {rounds} rounds of {PASSES} passes, CPU time",
    )


def _alone(frames: Frames, products: Sequence[str], rounds: int, note: str) -> Result:
    seconds = median(seconds_of(frames, products, PASSES) for _ in range(rounds))
    return Result(len(frames), round(len(frames) * PASSES / seconds), None, None, note)


def main(arguments: Sequence[str] | None = None) -> None:
    words = argparse.ArgumentParser("python -m benchmarks.feed_decode", description=__doc__)
    words.add_argument("--json", action="store_true", help="one JSON object, and nothing else")
    words.add_argument("--short", action="store_true", help="3 rounds instead of 11")
    options = words.parse_args(arguments)
    recording = Path(os.environ.get("COINBASE_RECORDING") or RECORDING)
    python = os.environ.get("CRYPTOFEED_PYTHON") or sys.executable
    try:
        result = measure(recording, python, 3 if options.short else 11)
    except (FeedError, ValueError) as error:
        sys.exit(f"feed_decode: {error}")
    if options.json:
        print(json.dumps(asdict(result)))
        return
    print(f"{result.frames} frames; ours {result.ours_frames_per_second:,.0f} a second", end="")
    if result.cryptofeed_frames_per_second is not None:
        print(f"; cryptofeed {result.cryptofeed_frames_per_second:,.0f}; {result.ratio} times", end="")
    print(f" ({result.note})")


if __name__ == "__main__":
    main()
