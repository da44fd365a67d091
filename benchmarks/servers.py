"""The servers that are measured, each started for a while with a state directory of the benchmark's own.

The product's are those of `rundemo` (its Redis, seed, `serve` and `start_price_feed`) with the limits switched off
that many sockets from one address would meet. Whatever was started here has ended when its block ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from assets.snapshots import LAST_KEY
from benchmarks import machine
from benchmarks.machine import Cores
from benchmarks.programs import Process, Programs, is_answered
from config.listening import base_url, listen

LIMITS_OFF = {
    "MAX_CONNECTIONS_PER_USER": "0",
    "MAX_CONNECTIONS_PER_ADDRESS": "0",
    "WEBSOCKET_HANDSHAKE_RATE": "0",
}


@dataclass(frozen=True)
class Market:
    """What ticks, and how often it is flushed.

    Attributes:
        rate: ticks a second of each symbol.
        symbols: the simulator's first ones.
        flush_ms: milliseconds for which updates are conflated.
    """

    rate: float
    symbols: int = 50
    flush_ms: int = 5


@dataclass(frozen=True)
class Running:
    """A server with what feeds it, while both run; a supervisor of web processes is none of them."""

    port: int
    path: str
    web: tuple[int, ...]
    feeds: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    greets: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Servers:
    """Starts the product and the plain consumer.

    Args:
        state_dir: an empty directory; its owner removes it.
        redis_url: a Redis that is ours alone, and is emptied at each start.
    """

    def __init__(self, state_dir: Path, redis_url: str) -> None:
        self.redis_url = redis_url
        self.state_dir = state_dir
        self._headers: tuple[str, ...] = ()
        self.programs = Programs(
            state_dir,
            {
                **LIMITS_OFF,
                "DJANGO_SETTINGS_MODULE": "config.settings.demo",
                "STATE_DIR": str(state_dir),
                "DATABASE_URL": f"sqlite:///{state_dir / 'db.sqlite3'}",
                "REDIS_URL": redis_url,
                "ALLOWED_HOSTS": "127.0.0.1",
                "PRICE_FEED_SOURCES": "simulator",
                "REALTIME_LOG_FILE": "",
            },
        )

    def seed(self, sessions: int) -> None:
        """Makes the database and so many users with a session each."""
        self.programs.once("manage.py", "seed_demo")
        keys = self.programs.once("-m", "benchmarks.sessions", str(sessions)).split()
        self._headers = tuple(f"Cookie: sessionid={key}" for key in keys)

    def portfolios(self, count: int, positions: int, symbols: int) -> list[int]:
        """Makes a portfolio for each of the first so many users and returns their ids, in the order of the sessions."""
        words = map(str, (count, positions, symbols))
        return [int(id) for id in self.programs.once("-m", "benchmarks.portfolios", *words).split()]

    @contextmanager
    def livefolio(self, market: Market, cores: Cores, workers: int = 1) -> Iterator[Running]:
        """Runs the product with so many web processes, each on a core of its own where there are enough."""
        self._forget()
        environment = {
            "SIMULATOR_SYMBOLS": str(market.symbols),
            "SIMULATOR_RATE": f"{market.rate:.6f}",
            "REALTIME_FLUSH_INTERVAL_MS": str(market.flush_ms),
        }
        programs = self.programs
        with listen("127.0.0.1", 0) as listener:
            fd, port = listener.fileno(), listener.getsockname()[1]
            serve = ("manage.py", "serve", "--fd", str(fd), "--workers", str(workers), "--drain", "0.2")
            with (
                programs.python("web", *serve, environment=environment, fd=fd, cores=cores.web) as web,
                programs.python("feed", "manage.py", "start_price_feed", environment=environment) as feed,
            ):
                programs.wait(lambda: is_answered(f"{base_url(listener)}/readyz"), web, feed)
                programs.wait(lambda: self._knows_prices(market.symbols), web, feed)
                pids = self._web_processes(web, feed, workers, cores)
                yield Running(port, "/ws/realtime/", pids, (feed.pid,), self._headers, greets=True)
                programs.check(web, feed)
                web.terminate()  # while the feed stops, which is waited for first

    def _web_processes(self, web: Process, feed: Process, workers: int, cores: Cores) -> tuple[int, ...]:
        if workers == 1:
            return (web.pid,)
        self.programs.wait(lambda: len(machine.children(web.pid)) == workers, web, feed)
        pids = machine.children(web.pid)
        for pid, core in zip(pids, sorted(cores.web), strict=False):
            machine.pin(pid, core)
        return pids

    @contextmanager
    def plain_channels(self, market: Market, cores: Cores) -> Iterator[Running]:
        """Runs the plain consumer, which knows no flushes."""
        self._forget()
        programs, module = self.programs, ("-m", "benchmarks.plain_channels")
        with listen("127.0.0.1", 0) as listener:
            fd, port = listener.fileno(), listener.getsockname()[1]
            publish = (*module, "publish", str(market.symbols), f"{market.rate:.6f}")
            with (
                programs.python("plain-web", *module, "serve", str(fd), fd=fd, cores=cores.web) as web,
                programs.python("plain-feed", *publish) as feed,
            ):
                programs.wait(lambda: is_answered(base_url(listener)), web, feed)
                yield Running(port, "/ws/plain/", (web.pid,), (feed.pid,))
                programs.check(web, feed)

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.redis_url, socket_timeout=5)

    def _forget(self) -> None:
        with self.redis() as client:
            client.flushdb()

    def _knows_prices(self, symbols: int) -> bool:
        with self.redis() as client:
            known: int = client.hlen(LAST_KEY)
        return known >= symbols
