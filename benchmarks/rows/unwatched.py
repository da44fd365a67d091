"""Row 11: what nobody watches."""

from dataclasses import replace

from benchmarks.bench import Bench, Scenario
from benchmarks.outcome import Check, Outcome, Row
from benchmarks.servers import Market

RATE = 1.0
ALL_WATCHED = Scenario(
    "livefolio, 50 symbols ticking, 50 watched", Market(RATE, flush_ms=50), seconds=(20.0, 4.0)
)
# A start with symbols that are new makes up their past, which takes 12 s for the five thousand.
TICKING = (5000, 2000)
# How far the two may differ in what they deliver and still be compared.
SAME = 0.05


def few_watched(ticking: int) -> Scenario:
    """The simulator's symbols take turns, so the fifty are spread over all: they tick as evenly as alone."""
    return replace(
        ALL_WATCHED,
        name=f"livefolio, {ticking:,} symbols ticking, {ALL_WATCHED.watched} watched",
        market=Market(RATE, symbols=ticking, flush_ms=50),
        one_in=ticking // ALL_WATCHED.watched,
    )


def unwatched(bench: Bench) -> Outcome:
    ticking = TICKING[bench.short]
    alone, among = bench.measure(ALL_WATCHED), bench.measure(few_watched(ticking))
    ratio = among.web_cpu / alone.web_cpu
    # A feed that comes too late flushes less often, which must not look like thrift.
    each = ratio * alone.reading.frames_per_second / among.reading.frames_per_second
    delivered = among.reading.updates_per_second / alone.reading.updates_per_second
    return Outcome(
        reached=(
            f"web CPU {among.web_cpu:.1%} of a core with {ticking:,} ticking, {alone.web_cpu:.1%} with 50, "
            f"{RATE:g} tick a second each; {among.reading.updates_per_second:,.0f} and "
            f"{alone.reading.updates_per_second:,.0f} updates/s delivered"
        ),
        ratio=f"{ratio:.2f} x the CPU with 50, {each:.2f} x for a frame",
        checks=(
            Check("CPU", max(ratio, each), most=1.15),
            Check("same updates", abs(delivered - 1), most=SAME),
        ),
    )


ROWS = (
    Row(
        "11",
        "5,000 symbols ticking, 50 watched, 200 sockets, 20 flushes/s",
        "≤ 15 % more web CPU than with 50 ticking",
        unwatched,
    ),
)
