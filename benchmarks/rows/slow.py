"""Rows 9 and 10: readers that are slower than the market, and those that never read."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks import machine
from benchmarks.bench import Bench, Scenario, say, subscription
from benchmarks.metrics import metrics_of, total
from benchmarks.outcome import Check, Outcome, Row
from benchmarks.servers import Market, Running
from benchmarks.slow_reader import SlowReader

# Row 9: 40 flushes a second, all fifty symbols in each, for one that takes 4 frames a second.
FAST = Market(40.0, flush_ms=25)
TAKEN_EVERY = 0.25
RECEIVE_BUFFER = 64 * 1024
SLOW_SECONDS = (40.0, 5.0)
OLDEST = 1.0

# Row 10: 10 flushes a second, all fifty symbols in each.
STUCK = 50
BESIDE = Scenario(
    "livefolio, 500 healthy", Market(10.0, flush_ms=100), sockets=500, seconds=(20.0, 3.0), ages_of_one_in=3
)
# Until the last of them is gone, but no longer.
WITH_STUCK = replace(
    BESIDE, name="livefolio, 500 healthy, 50 that never read", seconds=(40.0, 30.0), stuck=STUCK,
    stuck_receive_buffer=RECEIVE_BUFFER,
)  # fmt: skip
GONE_WITHIN = 30.0
MOST_BYTES = 300_000
METRICS_WITHIN = 10.0


def slow_reader(bench: Bench) -> Outcome:
    with bench.servers.livefolio(FAST, bench.cores) as server:
        confirming, trusting = ages_of_slow_readers(server, bench.seconds(SLOW_SECONDS))
    growing = " and still growing" if max(trusting) == trusting[-1] else ""
    return Outcome(
        reached=(
            f"newest value at most {max(confirming):.2f} s old with acks=1; at most {max(trusting):.1f} s without"
            f"{growing}, in {bench.seconds(SLOW_SECONDS):g} s"
        ),
        checks=(Check("age", max(confirming), most=OLDEST),),
    )


def ages_of_slow_readers(server: Running, seconds: float) -> tuple[list[float], list[float]]:
    """Returns the newest value's age in each frame taken, of a reader with acks and of one without, side by side."""
    say("  two slow readers")

    def reader(number: int, acks: bool) -> SlowReader:
        path = f"{server.path}?batch=1&acks={int(acks)}"
        return SlowReader(server.port, path, server.headers[number], RECEIVE_BUFFER, acks)

    with reader(0, True) as confirming, reader(1, False) as trusting:
        readers = (confirming, trusting)
        for one in readers:
            one.send(subscription(50))
            one.take()  # the snapshot
        ages: tuple[list[float], list[float]] = ([], [])
        begun = time.monotonic()
        for step in range(1, int(seconds / TAKEN_EVERY) + 1):
            time.sleep(max(0.0, begun + step * TAKEN_EVERY - time.monotonic()))
            for one, taken in zip(readers, ages, strict=True):
                taken.append(one.take())
    return ages


class Stuck:
    """Watches the connections that nobody reads: when the server's ends of them are gone."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds  # that the healthy ones are read for at least
        self._ports: set[int] = set()
        self._begun = 0.0
        self.left = STUCK
        self.gone_after = 0.0

    def hear(self, event: str, told: Mapping[str, Any], server: Running) -> bool:
        if event == "measuring":
            self._ports, self._begun = set(told["stuck_ports"]), time.monotonic()
        elapsed = time.monotonic() - self._begun
        if event == "tick" and self.left:
            self.left = len(self._ports & machine.connections_to(server.port))
            self.gone_after = elapsed
        return not self.left and elapsed >= self._seconds


def never_reading(bench: Bench) -> Outcome:
    alone = bench.measure(BESIDE).reading.newest.p99_ms
    stuck = Stuck(bench.seconds(BESIDE.seconds))
    with bench.serving(WITH_STUCK) as server:
        measured = bench.read(WITH_STUCK, server, stuck.hear)
        closed = closed_with(server, 4000, STUCK)
    beside = measured.reading.newest.p99_ms
    each = (measured.most_bytes - measured.begun_bytes) / STUCK
    gone = f"gone within {stuck.gone_after:.1f} s" if not stuck.left else f"{stuck.left} still there"
    return Outcome(
        reached=(
            f"healthy p99 {beside:.1f} ms beside them, {alone:.1f} ms without; {each / 1000:,.0f} KB for each; "
            f"{closed} under 4000; connections {gone}"
        ),
        ratio=f"{beside / alone:.2f} x without them",
        checks=(
            Check("p99", beside / alone, most=1.5),
            Check("memory", each, most=MOST_BYTES),
            Check("4000", closed, least=STUCK),
            Check("gone", stuck.gone_after if not stuck.left else float("inf"), most=GONE_WITHIN),
        ),
    )


def closed_with(server: Running, code: int, expected: int) -> int:
    """Returns how many connections /metrics counts under a close code, once it shows those expected."""
    deadline = time.monotonic() + METRICS_WITHIN
    while True:
        found = int(total(metrics_of(server.url), "ws_closed_total", code=str(code)))
        if found >= expected or time.monotonic() > deadline:
            return found
        time.sleep(0.25)


ROWS = (
    Row(
        "9",
        "a reader that takes 4 frames/s while 40 are flushed, SO_RCVBUF 64 KB",
        "with acks=1 never older than 1 s; without, bounded and stated",
        slow_reader,
    ),
    Row(
        "10",
        "50 clients that never read beside 500 healthy ones",
        "p99 ≤ 1.5 x without them; ≤ 300 KB each; all under 4000, gone within 30 s",
        never_reading,
    ),
)
