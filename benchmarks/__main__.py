"""`python -m benchmarks [--short] [--rows 1 4 …]`: measures every row of the targets in one run, writes README.md.

Every load runs by itself, one after the other, on servers that have just been started. A row that fails shows its
error in its line, and the others go on.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from subprocess import SubprocessError
from typing import NoReturn

import redis

from benchmarks import machine, report
from benchmarks.bench import Bench, say
from benchmarks.load_client import LoadClient, LoadClientError
from benchmarks.machine import MachineError
from benchmarks.outcome import Outcome, Row, failed
from benchmarks.programs import ROOT, ServerError
from benchmarks.rows import ROWS
from benchmarks.servers import Servers
from benchmarks.slow_reader import SlowReaderError
from config import embedded_redis
from config.embedded_redis import EmbeddedRedisError

# Of row 6, whose handshakes shall be of sessions that no process has seen.
SESSIONS = 3000
OPEN_FILES = 1024
STOPPING = (signal.SIGINT, signal.SIGTERM)
FAILURES = (
    LoadClientError, MachineError, ServerError, SlowReaderError, OSError, SubprocessError, ValueError, redis.RedisError,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    rows = [row for row in ROWS if not options.rows or row.key in options.rows]
    for number in STOPPING:
        signal.signal(number, stop)
    try:
        results = run(rows, short=options.short)
    except KeyboardInterrupt:
        sys.exit(130)
    except (EmbeddedRedisError, LoadClientError, MachineError, ServerError) as error:
        sys.exit(f"benchmarks: {error}")
    print(f"\n{results}")
    path = options.write or (None if options.no_write or options.rows else report.README)
    if path:
        report.write(results, path)
        print(f"\nwritten to {path}")


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    words.add_argument("--short", action="store_true", help="at most five minutes in all")
    words.add_argument(
        "--rows", nargs="+", choices=[row.key for row in ROWS], metavar="ROW", help="only these, not written"
    )
    where = words.add_mutually_exclusive_group()
    where.add_argument(
        "--write", type=Path, metavar="FILE", help=f"default: {report.README}, when all rows are measured"
    )
    where.add_argument("--no-write", action="store_true", help="only print")
    return words


def stop(*_: object) -> NoReturn:
    for number in STOPPING:
        signal.signal(
            number, signal.SIG_IGN
        )  # once is enough; a second one must not cut the clearing up short
    raise KeyboardInterrupt  # the way out that ends every child


def run(rows: Sequence[Row], *, short: bool) -> str:
    """Measures these rows and returns the results as Markdown."""
    begun, others = datetime.now(UTC), machine.Others()
    machine.allow_open_files(OPEN_FILES)
    cores, cores_for_two = machine.split_cores(), machine.split_cores(2)
    outcomes: dict[str, tuple[Row, Outcome]] = {}
    with ExitStack() as stack:
        stack.enter_context(cores.kept_free())
        state_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livefolio-benchmark-")))
        client = LoadClient(state_dir)
        redis_url = stack.enter_context(embedded_redis.running(state_dir))
        servers = Servers(state_dir, redis_url)
        say("making the database and the sessions")
        servers.seed(SESSIONS)
        bench = Bench(client, servers, cores, cores_for_two, short=short)
        for row in rows:
            outcomes[row.key] = row, outcome_of(row, bench)
    minutes, commit = (datetime.now(UTC) - begun).total_seconds() / 60, machine.revision(ROOT) or "unknown"
    form = "the short form" if short else "the whole form"
    heading = f"{begun:%Y-%m-%d %H:%M} UTC, commit {commit}, {form}, {minutes:.1f} minutes."
    lines = [f"* {line}" for line in machine.description(cores, others.cores_used())]
    parts = (heading, "\n".join(lines), report.targets(outcomes), report.baselines(outcomes))
    return "\n\n".join(part for part in (*parts, report.loads(bench.measurements)) if part)


def outcome_of(row: Row, bench: Bench) -> Outcome:
    say(f"{row.key}: {row.what}")
    begun = time.monotonic()
    try:
        outcome = row.measure(bench)
    except FAILURES as error:
        say(str(error))
        outcome = failed(error)
    said = "; ".join(part for part in (outcome.reached, outcome.ratio, outcome.met) if part)
    say(f"  = {said} [{time.monotonic() - begun:.0f} s]")
    return outcome


if __name__ == "__main__":
    main()
