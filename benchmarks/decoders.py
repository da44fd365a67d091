"""`python -m benchmarks.decoders [NAME...] [--short]`: how many frames a second each vendor's decoder takes.

The frames are the sessions of the contract suite: documented or recorded ones, through a feed that was just opened.
Processor time of one core, the median of several rounds; no socket, no batcher.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import process_time

from realtime.feeds.base import FrameError
from tests.realtime.feeds.contract import Entry, entries

ROUNDS, SHORT_ROUNDS = 7, 1
FRAMES_A_ROUND, SHORT_FRAMES = 100_000, 1_000


@dataclass(frozen=True)
class Rate:
    name: str
    frames_per_second: float
    expected: int

    @property
    def is_reached(self) -> bool:
        return self.frames_per_second >= self.expected


def rate_of(entry: Entry, *, short: bool = False) -> Rate:
    passes = -(-(SHORT_FRAMES if short else FRAMES_A_ROUND) // len(entry.frames))
    rates = [_round(entry, passes) for _ in range(SHORT_ROUNDS if short else ROUNDS)]
    return Rate(entry.name, median(rates), entry.frames_per_second)


def _round(entry: Entry, passes: int) -> float:
    feed = entry.make()
    wants = dict.fromkeys(entry.symbols, feed.base_mode)
    gc.collect()
    begun = process_time()
    for _ in range(passes):
        feed.opened(wants)  # else the frames would be repetitions
        for frame in entry.frames:
            try:
                feed.decode(frame)
            except FrameError as error:
                raise SystemExit(f"{entry.name}: a frame of its session cannot be used: {error}") from error
    return passes * len(entry.frames) / (process_time() - begun)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoders", description=__doc__)
    known = {entry.name: entry for entry in entries() if entry.frames_per_second}
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("--short", action="store_true", help="only that it works")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in known:
            parser.error(f"expected a name of {', '.join(known)}, was {name!r}")
    rates = [rate_of(known[name], short=options.short) for name in options.names or known]
    for rate in rates:
        print(f"{rate.name:<24}{rate.frames_per_second:>12,.0f} frames/s, {rate.expected:,} expected")
    return 0 if options.short or all(rate.is_reached for rate in rates) else 1


if __name__ == "__main__":
    sys.exit(main())
