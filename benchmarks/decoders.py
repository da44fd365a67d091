"""`python -m benchmarks.decoders [NAME...] [--short]`: how many frames a second each vendor's decoder takes.

The frames are those of the contract suite: documented or recorded ones, through a feed that was just opened.
Where a session packs more into a frame than the documentation does, what it packs is measured as well, beside.
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
    # Of the session's own frames, and how many events it has in one; None: they are the ones measured.
    packed: float | None = None
    events_a_frame: float = 1.0

    @property
    def is_reached(self) -> bool:
        return self.frames_per_second >= self.expected


def rate_of(entry: Entry, *, short: bool = False) -> Rate:
    if not entry.documented:
        return Rate(entry.name, _measured(entry, entry.frames, short=short), entry.frames_per_second)
    return Rate(
        entry.name,
        _measured(entry, entry.documented, short=short),
        entry.frames_per_second,
        packed=_measured(entry, entry.frames, short=short),
        events_a_frame=len(entry.documented) / len(entry.frames),
    )


def _measured(entry: Entry, frames: Sequence[bytes], *, short: bool) -> float:
    passes = -(-(SHORT_FRAMES if short else FRAMES_A_ROUND) // len(frames))
    return median(_round(entry, frames, passes) for _ in range(SHORT_ROUNDS if short else ROUNDS))


def _round(entry: Entry, frames: Sequence[bytes], passes: int) -> float:
    feed = entry.make()
    wants = dict.fromkeys(entry.symbols, feed.base_mode)
    gc.collect()
    begun = process_time()
    for _ in range(passes):
        feed.opened(wants)  # else the frames would be repetitions
        for frame in frames:
            try:
                feed.decode(frame)
            except FrameError as error:
                raise SystemExit(f"{entry.name}: a frame of its session cannot be used: {error}") from error
    return passes * len(frames) / (process_time() - begun)


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
        packed = f"; {rate.packed:,.0f} of {rate.events_a_frame:.1f} events" if rate.packed else ""
        print(f"{rate.name:<24}{rate.frames_per_second:>12,.0f} frames/s, {rate.expected:,} expected{packed}")
    return 0 if options.short or all(rate.is_reached for rate in rates) else 1


if __name__ == "__main__":
    sys.exit(main())
