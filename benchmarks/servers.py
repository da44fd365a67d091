"""The programs that are measured, each started for a while with a state directory of the benchmark's own.

The product's are those of `rundemo` (its Redis, seed, `serve` and `start_price_feed`) with the limits switched off
that 200 sockets from one address would meet. Whatever was started here has ended when its block ends.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import redis

from assets.snapshots import LAST_KEY
from benchmarks.machine import Cores
from config.http import status_of
from config.listening import base_url, listen

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 60.0
STOP_WITHIN = 5.0
FLUSH_INTERVAL_MS = 5
LIMITS_OFF = {
    "MAX_CONNECTIONS_PER_USER": "0",
    "MAX_CONNECTIONS_PER_ADDRESS": "0",
    "WEBSOCKET_HANDSHAKE_RATE": "0",
}


class ServerError(Exception):
    """A program did not start, or ended while it was measured; the message holds its last lines."""


@dataclass(frozen=True)
class Running:
    """A server with its feed, while both run."""

    port: int
    path: str
    web: int
    feed: int
    headers: tuple[str, ...] = ()


class Servers:
    """Starts what is measured.

    Args:
        state_dir: an empty directory; its owner removes it.
        redis_url: a Redis that is ours alone, and is emptied at each start.
        symbols: how many instruments tick.
    """

    def __init__(self, state_dir: Path, redis_url: str, cores: Cores, symbols: int) -> None:
        self._state_dir = state_dir
        self._redis_url = redis_url
        self._cores = cores
        self._symbols = symbols
        self._headers: tuple[str, ...] = ()

    def seed(self, sessions: int) -> None:
        """Makes the database and so many users with a session each."""
        self._run_once("manage.py", "seed_demo")
        keys = self._run_once("-m", "benchmarks.sessions", str(sessions)).split()
        self._headers = tuple(f"Cookie: sessionid={key}" for key in keys)

    @contextmanager
    def livefolio(self, rate: float) -> Iterator[Running]:
        """Runs the product, each symbol ticking `rate` times a second."""
        self._forget()
        feed_environment = {"SIMULATOR_RATE": f"{rate:.6f}"}
        with listen("127.0.0.1", 0) as listener:
            fd, port = listener.fileno(), listener.getsockname()[1]
            serve = ("manage.py", "serve", "--fd", str(fd), "--workers", "1", "--drain", "0.2")
            with (
                self._program("web", *serve, pass_fds=(fd,)) as web,
                self._program("feed", "manage.py", "start_price_feed", environment=feed_environment) as feed,
            ):
                self._wait(lambda: is_answered(f"{base_url(listener)}/readyz"), web, feed)
                self._wait(self._has_prices, web, feed)
                yield Running(port, "/ws/realtime/", web.pid, feed.pid, self._headers)
                self._check(web, feed)

    @contextmanager
    def plain_channels(self, rate: float) -> Iterator[Running]:
        """Runs the plain consumer, each symbol ticking `rate` times a second."""
        self._forget()
        module = ("-m", "benchmarks.plain_channels")
        with listen("127.0.0.1", 0) as listener:
            fd, port = listener.fileno(), listener.getsockname()[1]
            publish = (*module, "publish", str(self._symbols), f"{rate:.6f}")
            with (
                self._program("plain-web", *module, "serve", str(fd), pass_fds=(fd,)) as web,
                self._program("plain-feed", *publish) as feed,
            ):
                self._wait(lambda: is_answered(base_url(listener)), web, feed)
                yield Running(port, "/ws/plain/", web.pid, feed.pid)
                self._check(web, feed)

    # --- programs ----------------------------------------------------------------------------------------------------

    def _environment(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        return {
            **os.environ,
            **LIMITS_OFF,
            "DJANGO_SETTINGS_MODULE": "config.settings.demo",
            "STATE_DIR": str(self._state_dir),
            "DATABASE_URL": f"sqlite:///{self._state_dir / 'db.sqlite3'}",
            "REDIS_URL": self._redis_url,
            "ALLOWED_HOSTS": "127.0.0.1",
            "PRICE_FEED_SOURCES": "simulator",
            "SIMULATOR_SYMBOLS": str(self._symbols),
            "REALTIME_FLUSH_INTERVAL_MS": str(FLUSH_INTERVAL_MS),
            "REALTIME_LOG_FILE": "",
            **more,
        }

    def _log(self, name: str) -> Path:
        return self._state_dir / f"{name}.log"

    @contextmanager
    def _program(
        self, name: str, *words: str, environment: Mapping[str, str] = {}, pass_fds: tuple[int, ...] = ()
    ) -> Iterator["subprocess.Popen[bytes]"]:
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env=self._environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                preexec_fn=self._cores.child(is_web=bool(pass_fds)),
            )
        try:
            yield process
        finally:
            end(process)

    def _run_once(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            preexec_fn=self._cores.child(is_web=False),
        )
        if done.returncode:
            raise ServerError(
                f"{' '.join(words)} ended with status {done.returncode}:\n{done.stderr[-2000:]}"
            )
        return done.stdout

    # --- waiting -----------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        with redis.Redis.from_url(self._redis_url, socket_timeout=5) as client:
            client.flushdb()

    def _has_prices(self) -> bool:
        with redis.Redis.from_url(self._redis_url, socket_timeout=5) as client:
            known: int = client.hlen(LAST_KEY)
        return known >= self._symbols

    def _wait(self, condition: Callable[[], bool], *processes: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not condition():
            self._check(*processes)
            if time.monotonic() > deadline:
                self._fail(f"expected the server to be ready within {READY_WITHIN:g} s")
            time.sleep(0.05)

    def _check(self, *processes: "subprocess.Popen[bytes]") -> None:
        for process in processes:
            if process.poll() is not None:
                self._fail(f"expected all to run, but one ended with status {process.returncode}")

    def _fail(self, message: str) -> NoReturn:
        lines = [message]
        for log in sorted(self._state_dir.glob("*.log")):
            lines += [f"--- {log.stem}", log.read_text(errors="replace")[-2000:]]
        raise ServerError("\n".join(lines))


def is_answered(url: str) -> bool:
    """Says whether the server answers well, or at all where the page is not named."""
    status = asyncio.run(status_of(url))
    return status == 200 if url.endswith("/readyz") else status is not None


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
