"""Where Redis is, as REDIS_URL says: one server's address, or a group of Sentinels that know which one is the master.

Behind Sentinels every connection asks them anew when it is made, so that all clients follow a failover by themselves.
redis-py's own Sentinel pools would do, but cannot wait for a free connection, and keep clients of one event loop.
"""

from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

SCHEME = "redis+sentinel"
EXPECTED = f"expected {SCHEME}://[user:password@]host:26379,host:26379,…/master[/database]"
# Of each Sentinel; three dead ones cost less than a command may take.
ASK_SECONDS = 0.5
_PATIENCE = {"socket_timeout": ASK_SECONDS, "socket_connect_timeout": ASK_SECONDS}

Pool = TypeVar("Pool", "redis.ConnectionPool", "redis.asyncio.ConnectionPool")


@dataclass(frozen=True)
class Sentinels:
    """A group of Sentinels, and the master that is asked for."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    # What the master's connections are made with.
    options: dict[str, Any] = field(repr=False)


def parse(url: str) -> Sentinels | None:
    """Returns the Sentinels in an address, None for the address of one server.

    Raises:
        ValueError: it begins like the former and does not go on so; nothing secret is told.
    """
    if not url.startswith(f"{SCHEME}://"):
        return None
    split = urlsplit(url)
    login, _, hosts = split.netloc.rpartition("@")
    username, _, password = login.partition(":")
    service, _, database = split.path.strip("/").partition("/")
    found = tuple(_host(text) for text in hosts.split(","))
    if not service or not (database or "0").isdecimal() or split.query:
        raise ValueError(EXPECTED)
    given = {"username": unquote(username), "password": unquote(password), "db": int(database or 0)}
    return Sentinels(found, unquote(service), {name: value for name, value in given.items() if value})


def _host(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise ValueError(EXPECTED)
    return host.strip("[]"), int(port)


class _Master:
    """Finds the master; stands where redis-py's Sentinel connections expect their pool."""

    is_master = True
    check_connection = False

    def __init__(self, sentinels: Sentinels) -> None:
        self.hosts = sentinels.hosts
        self.service_name = sentinels.service

    def get_master_address(self) -> tuple[str, int]:
        """Asks one Sentinel after the other; raises a redis.ConnectionError when none knows a master that lives."""
        options = {**_PATIENCE, "retry": Retry(NoBackoff(), 0)}
        ask = redis.sentinel.Sentinel(self.hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        with ask as sentinel:
            host, port = sentinel.discover_master(self.service_name)
        return host, port


class _AsyncMaster(_Master):
    async def get_master_address(self) -> tuple[str, int]:  # type: ignore[override]
        options = {**_PATIENCE, "retry": AsyncRetry(NoBackoff(), 0)}
        ask = redis.asyncio.sentinel.Sentinel(self.hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        async with ask as sentinel:
            host, port = await sentinel.discover_master(self.service_name)
        return host, port


def new_pool(kind: type[Pool], url: str, **options: Any) -> Pool:
    """Returns a connection pool, of ordinary or of asynchronous connections as its kind has it."""
    sentinels = parse(url)
    if sentinels is None:
        return kind.from_url(url, **options)
    is_async = issubclass(kind, redis.asyncio.ConnectionPool)
    return kind(**(_async_options(sentinels) if is_async else _options(sentinels)), **options)


def layer_host(url: str) -> dict[str, Any]:
    """Returns what a channel layer's `hosts` say of the address."""
    sentinels = parse(url)
    return {"address": url} if sentinels is None else _async_options(sentinels)


def cache_location(url: str) -> tuple[str, dict[str, Any]]:
    """Returns a cache's LOCATION and CONNECTION_POOL_KWARGS."""
    sentinels = parse(url)
    # The location's host is never connected to.
    return (url, {}) if sentinels is None else (f"redis:///{sentinels.service}", _options(sentinels))


def _options(sentinels: Sentinels) -> dict[str, Any]:
    kind = redis.sentinel.SentinelManagedConnection
    return {"connection_class": kind, "connection_pool": _Master(sentinels), **sentinels.options}


def _async_options(sentinels: Sentinels) -> dict[str, Any]:
    kind = redis.asyncio.sentinel.SentinelManagedConnection
    return {"connection_class": kind, "connection_pool": _AsyncMaster(sentinels), **sentinels.options}
