"""`python -m benchmarks [--short] [--seconds N]`: measures this server and plain Channels in one run, writes README.md.

Every load runs by itself, one after the other. First each server gets more than it can take, which gives its
throughput; then half of what it took, which gives latencies.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from benchmarks import machine, report
from benchmarks.load_client import Load, LoadClient, LoadClientError
from benchmarks.report import Measurement
from benchmarks.servers import FLUSH_INTERVAL_MS, ROOT, Running, ServerError, Servers
from config import embedded_redis
from config.embedded_redis import EmbeddedRedisError
from realtime.feeds.simulated_market import symbols

# Ticks a second and symbol that are more than one core can send to 200 sockets.
SATURATING_RATE = 200.0
# Plain Channels queues without bound what it cannot send; two or three times its limit shows it at its best.
PLAIN_SATURATING_RATE = 2.0
SINGLE, BATCH, PLAIN = "livefolio, single frames", "livefolio, batch=1", "plain Channels"


@dataclass(frozen=True)
class Size:
    sockets: int
    symbols: int
    settle: float
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    seconds = options.seconds or (4.0 if options.short else 15.0)
    size = Size(options.sockets, options.symbols, 1.5 if options.short else 3.0, seconds)
    signal.signal(signal.SIGTERM, stop)
    try:
        results = run(size)
    except KeyboardInterrupt:
        sys.exit(130)
    except (EmbeddedRedisError, LoadClientError, ServerError) as error:
        sys.exit(f"benchmarks: {error}")
    print(f"\n{results}")
    if options.write:
        report.write(results, options.write)
        print(f"\nwritten to {options.write}")


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    words.add_argument("--short", action="store_true", help="at most two minutes in all")
    words.add_argument(
        "--seconds", type=above_zero, help="length of each measurement (default: 15, short: 4)"
    )
    words.add_argument("--sockets", type=count, default=200, help="default: %(default)s")
    words.add_argument("--symbols", type=count, default=50, help="of each socket (default: %(default)s)")
    where = words.add_mutually_exclusive_group()
    where.add_argument(
        "--write", type=Path, metavar="FILE", default=report.README, help="default: %(default)s"
    )
    where.add_argument("--no-write", action="store_const", const=None, dest="write", help="only print")
    return words


def above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, was {text}")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, was {text}")
    return value


def stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt  # the way out that ends every child


def run(size: Size) -> str:
    """Measures everything and returns the results as Markdown."""
    begun, others = datetime.now(UTC), machine.Others()
    cores = machine.split_cores()
    cores.keep_web_free()
    with ExitStack() as stack:
        state_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livefolio-benchmark-")))
        client = LoadClient(state_dir)
        redis_url = stack.enter_context(embedded_redis.running(state_dir))
        servers = Servers(state_dir, redis_url, cores, size.symbols)
        say("making the database and the sessions")
        servers.seed(size.sockets)
        rows, plain = Bench(size, client, servers).measure_all()
    lines = machine.description(cores, others.cores_used())
    return "\n".join(
        [heading(begun, size), "", *(f"* {line}" for line in lines), "", report.table(rows, plain)]
    )


def heading(begun: datetime, size: Size) -> str:
    return (
        f"{begun:%Y-%m-%d %H:%M} UTC, commit {machine.revision(ROOT) or 'unknown'}: {size.sockets} sockets, "
        f"{size.symbols} symbols each, flushes every {FLUSH_INTERVAL_MS} ms, {size.seconds:g} s a row, one web process."
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    """One run: the loads, in their order."""

    def __init__(self, size: Size, client: LoadClient, servers: Servers) -> None:
        self._size = size
        self._client = client
        self._servers = servers
        names = [instrument.symbol for instrument in symbols(size.symbols)]
        self._subscription = json.dumps({"type": "subscribe_asset", "data": {"symbols": names}})

    def measure_all(self) -> tuple[list[Measurement], Measurement]:
        """Returns the rows of the table, and the one of plain Channels that ratios are made with."""
        single = self._measure(SINGLE, "saturated", SATURATING_RATE)
        batch = self._measure(BATCH, "saturated", SATURATING_RATE)
        plain = self._measure(PLAIN, "saturated", PLAIN_SATURATING_RATE)
        halves = [self._measure(row.server, "half", self._half_of(row)) for row in (single, batch, plain)]
        return [single, batch, plain, *halves], plain

    def _half_of(self, row: Measurement) -> float:
        """Returns the rate at which half of what the server took is offered."""
        return row.reading.updates_per_second / self._size.sockets / self._size.symbols / 2

    def _measure(self, name: str, load: str, rate: float) -> Measurement:
        """Measures one row, on a server that has just been started."""
        say(f"{name}, {load} load: each symbol {rate:,.1f} times a second")
        start = self._servers.plain_channels if name == PLAIN else self._servers.livefolio
        with start(rate) as server:
            return self._read(server, name, load, rate)

    def _read(self, server: Running, name: str, load: str, rate: float) -> Measurement:
        size, pids = self._size, (server.web, server.feed)
        before: list[float] = []
        reading = self._client.read(
            Load(
                port=server.port,
                path=server.path + ("?batch=1" if name == BATCH else ""),
                sockets=size.sockets,
                subscriptions=[self._subscription],
                headers=server.headers,
                settle=size.settle,
                seconds=size.seconds,
                # At full load reading every age would cost the client as much as the server's sending.
                ages_of_one_in=16 if name == BATCH and load == "saturated" else 1,
            ),
            begun=lambda: before.extend(map(machine.cpu_seconds, pids)),
        )
        used = [machine.cpu_seconds(pid) - cpu for pid, cpu in zip(pids, before, strict=True)]
        web, feed = (cpu / reading.seconds for cpu in used)
        return Measurement(name, load, rate * size.sockets * size.symbols, reading, web, feed)


if __name__ == "__main__":
    main()
