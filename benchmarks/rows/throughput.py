"""Rows 1 to 4: how much one web process sends, and how late."""

from math import ceil

from benchmarks.bench import SATURATING_RATE, Bench, Scenario
from benchmarks.outcome import Check, Outcome, Row
from benchmarks.redis_commands import RedisCommands
from benchmarks.report import times
from benchmarks.servers import Market

SINGLE = Scenario(
    "livefolio, single frames, saturated", Market(SATURATING_RATE), options="", ages_of_one_in=61
)
HALF = Scenario("livefolio, batch=1, half load", Market(90.0), ages_of_one_in=7)
# Each symbol ticks once a flush; the symbols' ticks are spread evenly over it.
CROWD = Scenario("livefolio, 2,000 sockets, 4 flushes a second", Market(4.0, flush_ms=250), sockets=2000)


def batch_saturated(bench: Bench) -> Outcome:
    batch, plain = bench.batch(), bench.plain()
    updates = batch.reading.updates_per_second
    ratio = updates / plain.reading.updates_per_second
    return Outcome(
        reached=f"{updates:,.0f} updates/s ({batch.updates_per_cpu_second:,.0f} per second of web CPU)",
        ratio=f"{times(ratio)} plain Channels",
        checks=(Check("updates/s", updates, least=1.8e6), Check("ratio", ratio, least=150)),
    )


def single_saturated(bench: Bench) -> Outcome:
    single, plain = bench.measure(SINGLE), bench.plain()
    frames = single.reading.frames_per_second
    ratio = frames / plain.reading.frames_per_second
    return Outcome(
        reached=f"{frames:,.0f} frames/s ({single.updates_per_cpu_second:,.0f} per second of web CPU)",
        ratio=f"{times(ratio)} plain Channels",
        checks=(Check("ratio", ratio, least=7), Check("frames/s", frames, least=80_000)),
    )


def half_load(bench: Bench) -> Outcome:
    age = bench.measure(HALF).reading.age
    return Outcome(
        reached=f"p50 {age.p50_ms:.1f} ms, p99 {age.p99_ms:.1f} ms",
        checks=(Check("p50", age.p50_ms, most=5), Check("p99", age.p99_ms, most=15)),
    )


def crowd_delivered(bench: Bench) -> Outcome:
    commands = RedisCommands(bench.servers)
    reading = bench.measure(CROWD, commands.hear).reading
    # One message a flush, and a heartbeat a second.
    flushes = commands.total.published - ceil(reading.seconds)
    late = reading.newest.p99_ms
    return Outcome(
        reached=(
            f"{reading.fewest} to {reading.most} frames a socket of {flushes} flushes; p99 {late:.0f} ms from "
            f"the newest as_of of a frame, {reading.sent.p99_ms:.0f} ms from its timestamp"
        ),
        # The first and the last flush may fall outside the seconds counted.
        checks=(
            Check("all delivered", reading.fewest, least=max(flushes, reading.most) - 1),
            Check("p99", late, most=120),
        ),
    )


ROWS = (
    Row(
        "1",
        "batch frames, 200 sockets x 50 symbols, saturated",
        "≥ 1.8 million updates/s; ≥ 150 x plain Channels",
        batch_saturated,
    ),
    Row(
        "2",
        "single frames, same load",
        "≥ 7 x plain Channels; aim 80,000 frames/s",
        single_saturated,
    ),
    Row("3", "as_of to client at half of row 1's load", "p50 ≤ 5 ms, p99 ≤ 15 ms", half_load),
    Row(
        "4",
        "2,000 sockets x 50 symbols, 4 flushes/s",
        "all delivered, p99 ≤ 120 ms",
        crowd_delivered,
    ),
)
