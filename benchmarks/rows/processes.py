"""Row 7: two web processes, and what a flush costs in Redis."""

from dataclasses import replace

from benchmarks.bench import SATURATING_RATE, Bench, Scenario
from benchmarks.outcome import Check, Outcome, Row
from benchmarks.redis_commands import Commands, RedisCommands
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
    seconds=(15.0, 2.0),
    settle=(3.0, 2.0),
)
MANY = replace(FEW, name="livefolio, two web processes, 400 sockets", sockets=400)
# Heartbeats and users' statistics fall differently into two stretches of time; the sockets grow eightfold.
TOLERANCE = 1.1


def two_processes(bench: Bench) -> Outcome:
    one, two = bench.batch(), bench.measure(TWO)
    raw = two.reading.updates_per_second / one.reading.updates_per_second
    # What two would do with a core each: the machine may have none to spare for feed, Redis and client.
    by_cpu = TWO.workers * two.updates_per_cpu_second / one.updates_per_cpu_second
    with bench.serving(FEW) as server:
        few, many = (commands_of(bench, scenario, server) for scenario in (FEW, MANY))
    shared = "" if bench.cores_for_two.are_apart else ", feed, Redis and client on the same cores"
    return Outcome(
        reached=(
            f"{two.reading.updates_per_second:,.0f} updates/s{shared}; {two.updates_per_cpu_second:,.0f} per second of "
            f"web CPU; Redis: {few.per_message:.1f} commands a message with 50 sockets, {many.per_message:.1f} with 400"
        ),
        ratio=f"{times(raw)} row 1 as measured, {times(by_cpu)} by web CPU with a core each",
        checks=(
            Check("ratio", raw if bench.cores_for_two.are_apart else by_cpu, least=1.7),
            Check("Redis", many.per_message / few.per_message, most=TOLERANCE),
        ),
    )


def commands_of(bench: Bench, scenario: Scenario, server: Running) -> Commands:
    """Returns what Redis was asked while so many sockets were read."""
    commands = RedisCommands(bench.servers)
    bench.read(scenario, server, commands.hear)
    return commands.total


ROWS = (
    Row(
        "7",
        "two web processes on two cores",
        "≥ 1.7 x row 1 as far as the load client allows; Redis per flush independent of sockets",
        two_processes,
    ),
)
