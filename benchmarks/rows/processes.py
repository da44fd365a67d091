"""Row 7: two web processes, and what a flush costs in Redis."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.bench import SATURATING_RATE, Bench, Scenario
from benchmarks.outcome import Check, Outcome, Row
from benchmarks.report import times
from benchmarks.servers import Market, Running

TWO = Scenario(
    "livefolio, batch=1, saturated, two web processes",
    Market(SATURATING_RATE),
    workers=2,
    ages_of_one_in=17,
)
# Two ticks a flush, so that each one changes all fifty symbols, however late it comes.
FEW = Scenario(
    "livefolio, two web processes, 50 sockets",
    Market(40.0, flush_ms=50),
    sockets=50,
    workers=2,
    seconds=(15.0, 3.0),
)
MANY = replace(FEW, name="livefolio, two web processes, 400 sockets", sockets=400)
# What connections cost whether anything is flushed or not: two commands a user each 5 s for leases, and a snapshot
# at a subscription.
APART = ("zadd", "zrem", "expire", "hmget", "info")
# Heartbeats fall differently into two stretches of time.
TOLERANCE = 1.05


@dataclass(frozen=True)
class Commands:
    """What Redis was asked between two moments, leases and snapshots apart."""

    all: int
    published: int

    def since(self, earlier: "Commands") -> "Commands":
        return Commands(self.all - earlier.all, self.published - earlier.published)

    @property
    def per_publish(self) -> float:
        return self.all / self.published


def two_processes(bench: Bench) -> Outcome:
    one, two = bench.batch(), bench.measure(TWO)
    raw = two.reading.updates_per_second / one.reading.updates_per_second
    # What two would do with a core each: the machine may have none to spare for feed, Redis and client.
    by_cpu = TWO.workers * two.updates_per_cpu_second / one.updates_per_cpu_second
    few, many = (commands_of(bench, scenario) for scenario in (FEW, MANY))
    shared = "" if bench.cores_for_two.are_apart else ", feed, Redis and client on the same cores"
    return Outcome(
        reached=(
            f"{two.reading.updates_per_second:,.0f} updates/s{shared}; {two.updates_per_cpu_second:,.0f} per second of "
            f"web CPU; Redis: {few.per_publish:.1f} commands a message with 50 sockets, {many.per_publish:.1f} with 400"
        ),
        ratio=f"{times(raw)} row 1 as measured, {times(by_cpu)} by web CPU with a core each",
        checks=(
            Check("ratio", raw if bench.cores_for_two.are_apart else by_cpu, least=1.7),
            Check("Redis", many.per_publish / few.per_publish, most=TOLERANCE),
        ),
    )


def commands_of(bench: Bench, scenario: Scenario) -> Commands:
    """Returns what Redis was asked while so many sockets were read."""
    seen: list[Commands] = []

    def note(event: str, told: Mapping[str, Any], server: Running) -> None:
        if event != "connected":
            seen.append(asked(bench))

    bench.measure(scenario, note)
    return seen[-1].since(seen[0])


def asked(bench: Bench) -> Commands:
    with bench.servers.redis() as client:
        commands: dict[str, dict[str, int]] = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): numbers["calls"] for name, numbers in commands.items()}
    flushing = sum(count for name, count in calls.items() if name not in APART)
    return Commands(flushing, calls.get("publish", 0))


ROWS = (
    Row(
        "7",
        "two web processes on two cores",
        "≥ 1.7 x row 1 as far as the load client allows; Redis per flush independent of sockets",
        two_processes,
    ),
)
