"""What all living web processes together want of each symbol, as a source's leader reads it from Redis.

A process leases a set of `mode symbol` and `channel symbol`, and every change of one moves a version on.
"""

import time
from typing import Any

import redis.asyncio as redis

WANTED_VERSION_KEY = "lf:wanted:version"
PROCESSES_KEY = "lf:processes"
# What can be wanted of a symbol beside the modes of its quote.
CHANNELS = frozenset({"trades", "book", "bars", "notices"})


def wanted_key(process: str) -> str:
    return f"lf:wanted:{process}"


class Wants:
    """The union of all wants; a version of -1 is never theirs."""

    def __init__(self) -> None:
        self.by_symbol: dict[str, set[str]] = {}
        self.version = -1
        # Books that are wanted no more, and still in Redis.
        self.dropped_books: set[str] = set()

    async def read(self, client: "redis.Redis", version: int) -> set[str]:
        """Reads the wants unless they are of this version; returns the symbols of which more is wanted than before."""
        if version == self.version:
            return set()
        alive: Any = await client.zrangebyscore(PROCESSES_KEY, time.time(), "+inf")
        members: Any = ()
        if alive:
            members = await client.sunion([wanted_key(process.decode()) for process in alive])
        wanted: dict[str, set[str]] = {}
        for member in members:
            want, _, symbol = member.decode().partition(" ")
            wanted.setdefault(symbol, set()).add(want)
        before = self.by_symbol
        self.by_symbol, self.version = wanted, version
        self.dropped_books = (self.dropped_books | _books(before)) - _books(wanted)
        return {symbol for symbol, wants in wanted.items() if not wants <= before.get(symbol, set())}


def _books(wanted: dict[str, set[str]]) -> set[str]:
    return {symbol for symbol, wants in wanted.items() if "book" in wants}
