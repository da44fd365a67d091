"""Rows 5 and 6: what ten thousand sockets need, and how fast they come in."""

import time

from benchmarks import machine
from benchmarks.bench import Bench, Scenario, say
from benchmarks.load_client import Load
from benchmarks.outcome import Check, Outcome, Row
from benchmarks.servers import Market, Running

# All watch the same ten, which tick once a second each, spread evenly over the flush.
THOUSANDS = Scenario(
    "livefolio, 10,000 sockets x 10, 1 flush a second", Market(1.0, symbols=10, flush_ms=1000), sockets=10_000,
    watched=10, seconds=(600.0, 120.0), settle=(5.0, 2.0),
)  # fmt: skip
# Besides the sockets: what an interpreter and its libraries have open.
SPARE_FILES = 500
MOST_BYTES = 45_000

# Row 6. Nothing else happens meanwhile: the market ticks, but nobody has subscribed.
QUIET = Market(1.0, symbols=12, flush_ms=50)
HANDSHAKES = (3000, 1000)
IN_FLIGHT = 32
WARM_SESSIONS = 200
QUIET_SHARE, QUIET_SECONDS, QUIET_WITHIN = 0.05, 0.5, 20.0


def thousands(bench: Bench) -> Outcome:
    machine.allow_open_files(THOUSANDS.sockets + SPARE_FILES)
    measured = bench.measure(THOUSANDS)
    reading = measured.reading
    each = (measured.most_bytes - measured.idle_bytes) / THOUSANDS.sockets
    late = reading.newest.p99_ms
    return Outcome(
        reached=(
            f"held {reading.seconds / 60:.1f} minutes; {each / 1000:.1f} KB a socket; {reading.closed} dropped, "
            f"{reading.fewest} to {reading.most} frames each; p99 {late:,.0f} ms from the newest as_of of a frame, "
            f"{reading.sent.p99_ms:,.0f} ms from its timestamp"
        ),
        checks=(
            Check("memory", each, most=MOST_BYTES),
            Check("none dropped", reading.closed, most=0),
            Check("p99", late, most=1000),
        ),
    )


def handshakes(bench: Bench) -> Outcome:
    count = HANDSHAKES[bench.short]
    with bench.servers.livefolio(QUIET, bench.cores) as server:
        cold, cold_cpu = come_in(bench, server, "cold", count, server.headers)
        until_quiet(server)
        some = server.headers[:WARM_SESSIONS]
        come_in(bench, server, "the sessions of the warm ones", WARM_SESSIONS, some)
        warm, warm_cpu = come_in(bench, server, "warm", count, some)
    return Outcome(
        reached=(
            f"{cold:,.0f}/s cold ({cold_cpu * 1000:.2f} ms of web CPU each), "
            f"{warm:,.0f}/s warm ({warm_cpu * 1000:.2f} ms each)"
        ),
        checks=(Check("cold", cold, least=500), Check("warm", warm, least=800)),
    )


def come_in(
    bench: Bench, server: Running, what: str, count: int, headers: tuple[str, ...]
) -> tuple[float, float]:
    """Returns handshakes a second, and the web process's CPU seconds for each."""
    say(f"  {count} handshakes, {what}")
    before = machine.cpu_seconds(server.web[0])
    reading = bench.client.read(
        Load(server.port, server.path, count, headers=headers, in_flight=IN_FLIGHT, seconds=0.0)
    )
    # The client ends at once, so that hardly anything of the leaving is in this.
    used = machine.cpu_seconds(server.web[0]) - before
    return count / reading.connect_seconds, used / count


def until_quiet(server: Running) -> None:
    """Waits until the web process has seen off those that left."""
    deadline = time.monotonic() + QUIET_WITHIN
    share = 1.0
    while share > QUIET_SHARE and time.monotonic() < deadline:
        before = machine.cpu_seconds(server.web[0])
        time.sleep(QUIET_SECONDS)
        share = (machine.cpu_seconds(server.web[0]) - before) / QUIET_SECONDS


ROWS = (
    Row(
        "5",
        "10,000 sockets, 10 symbols each, one flush/s",
        "10 minutes (short: 2), ≤ 45 KB a socket, none dropped, p99 ≤ 1 s",
        thousands,
    ),
    Row("6", "handshakes with a real session", "≥ 500/s cold, ≥ 800/s warm", handshakes),
)
