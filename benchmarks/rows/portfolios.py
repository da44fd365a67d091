"""Row 12: a thousand watched portfolios, of which every flush moves a tenth of the prices."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks import machine
from benchmarks.bench import Bench, Measurement, Scenario, say
from benchmarks.metrics import metrics_of, total
from benchmarks.outcome import Check, Outcome, Row
from benchmarks.redis_commands import RedisCommands
from benchmarks.servers import Market, Running, Servers

POSITIONS = 50
# 200 ticks a second, fifty of them in each flush; the symbols take turns, so that these are fifty symbols.
WATCHED = Scenario(
    "livefolio, 1,000 portfolios of 50 positions, 4 flushes a second", Market(0.4, symbols=500, flush_ms=250),
    sockets=1000, watched=POSITIONS, options="", seconds=(20.0, 5.0),
)  # fmt: skip
MOST_CPU = 0.8
# What a full valuation is measured with: portfolios, and how often each is valued.
VALUED, PASSES = (1000, 100), 5


class Work:
    """Observes what the web process does: while the portfolios are loaded, and for each flush."""

    def __init__(self, servers: Servers) -> None:
        self._commands = RedisCommands(servers)
        self._cpu = 0.0
        self.loading_cpu = 0.0

    def hear(self, event: str, told: Mapping[str, Any], server: Running) -> None:
        self._commands.hear(event, told, server)
        cpu = machine.cpu_seconds(server.web[0])
        if event == "connected":
            self._cpu = cpu
        elif event == "answered":
            self.loading_cpu = cpu - self._cpu

    def flushes(self, seconds: float) -> int:
        """Returns how many messages were published in so many seconds, but for a heartbeat in each."""
        return self._commands.total.published - round(seconds)


def positions_a_valuation(metrics: str) -> float:
    """Returns how many positions were valued anew for each portfolio of which a price had moved."""
    valuations, positions = (
        total(metrics, "hub_events_total", event=event) for event in ("valuations", "positions_revalued")
    )
    return positions / max(1.0, valuations)


def watched_at_scale(bench: Bench) -> Outcome:
    say("  making the portfolios")
    ids = bench.servers.portfolios(WATCHED.sockets, POSITIONS, WATCHED.market.symbols)
    scenario, work = replace(WATCHED, own=tuple(map(request, ids))), Work(bench.servers)
    with bench.serving(scenario) as server:
        measured = bench.read(scenario, server, work.hear)
        revalued = positions_a_valuation(metrics_of(server.url))
    say("  all of them valued whole, in memory")
    return outcome_of(measured, work, revalued, whole_valuations(bench, ids))


def outcome_of(measured: Measurement, work: Work, revalued: float, whole: tuple[float, float]) -> Outcome:
    """Judges what was measured.

    Args:
        revalued: positions for each valuation of a portfolio.
        whole: CPU seconds to value all positions, and to encode them as well.
    """
    reading, loaded = measured.reading, work.loading_cpu / WATCHED.sockets
    flushes, late = work.flushes(reading.seconds), reading.flush.p99_ms
    # Each flush moves some positions of every portfolio, so the frames of a socket are the flushes that were handled.
    each = measured.web_cpu * reading.seconds * WATCHED.sockets / reading.frames
    valued, encoded = whole
    return Outcome(
        reached=(
            f"{reading.fewest} to {reading.most} frames a socket of {flushes} flushes; web CPU {measured.web_cpu:.0%}, "
            f"{each * 1000:.0f} ms a flush; {revalued * reading.frames_per_second:,.0f} positions revalued/s; "
            f"{reading.frames_per_second:,.0f} frames/s with {reading.updates / reading.frames:.1f} positions each; "
            f"p99 {late:.0f} ms from a flush's newest as_of, {reading.newest.p99_ms:.0f} ms from a frame's own, "
            f"{reading.sent.p99_ms:.0f} ms from its timestamp; all loaded in {reading.subscribe_seconds:.1f} s, "
            f"{loaded * 1000:.1f} ms of web CPU each"
        ),
        ratio=(
            f"{valued / each:.1f} x less CPU a flush than to value all positions, {valued * 1000:,.0f} ms; "
            f"{encoded / each:.1f} x less than to encode them as well, {encoded * 1000:,.0f} ms"
        ),
        checks=(
            Check("all delivered", reading.fewest, least=max(flushes, reading.most) - 1),
            Check("p99", late, most=WATCHED.market.flush_ms),
            Check("CPU", measured.web_cpu, most=MOST_CPU),
        ),
    )


def request(portfolio_id: int) -> str:
    return json.dumps({"type": "subscribe_portfolio", "data": {"portfolio_id": portfolio_id}})


def whole_valuations(bench: Bench, ids: Sequence[int]) -> tuple[float, float]:
    """Returns the CPU seconds to value all positions in memory, and to value and encode them."""
    some = map(str, ids[: VALUED[bench.short]])
    printed = bench.servers.programs.once("-m", "benchmarks.full_valuation", str(PASSES), *some)
    valued, encoded = (float(seconds) * POSITIONS * len(ids) for seconds in printed.split())
    return valued, encoded


ROWS = (
    Row(
        "12",
        "1,000 watched portfolios of 50 positions, 500 symbols of which 10 % move in each of 4 flushes/s",
        "every flush delivered before the next, p99 ≤ 250 ms; web CPU ≤ 80 %",
        watched_at_scale,
    ),
)
