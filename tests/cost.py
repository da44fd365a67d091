"""What work costs, in a measure that a slow or busy machine does not change: turns of a plain loop on the same one."""

import time
from collections.abc import Callable

TURNS = 10_000


def turns(work: Callable[[], object], times: int = 20) -> float:
    """Returns the processor time of `work`, its best of several, in turns of a loop that sums (60 ns is usual)."""
    return _best(work, times) / (_best(_loop, times) / TURNS)


def _loop() -> int:
    total = 0
    for number in range(TURNS):
        total += number * number % 7
    return total


def _best(work: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(times):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best
