"""What all living web processes together want of each symbol, as a source's leader reads it from Redis.

A process leases a set of `mode symbol` and `channel symbol number`, and every change of one moves a version on. The
number is another one whenever the process has come to want the channel.
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
        # Symbols of which a process has come to want a channel that others want already: it has not had what they had.
        self.joined: set[str] = set()
        self._by_process: dict[str, frozenset[str]] = {}

    async def read(self, client: "redis.Redis", version: int) -> set[str]:
        """Reads the wants unless they are of this version; returns the symbols of which more is wanted than before."""
        if version == self.version:
            return set()
        processes = await _read(client)
        wanted: dict[str, set[str]] = {}
        for member in frozenset[str]().union(*processes.values()):
            want, symbol, *_ = member.split(" ")
            wanted.setdefault(symbol, set()).add(want)
        before = self.by_symbol
        for name, members in processes.items():
            for member in members - self._by_process.get(name, frozenset()):
                want, symbol, *_ = member.split(" ")
                if want in CHANNELS and want in before.get(symbol, ()):
                    self.joined.add(symbol)
        self.by_symbol, self.version, self._by_process = wanted, version, processes
        self.dropped_books = (self.dropped_books | _books(before)) - _books(wanted)
        return {symbol for symbol, wants in wanted.items() if not wants <= before.get(symbol, set())}


async def _read(client: "redis.Redis") -> dict[str, frozenset[str]]:
    """Returns what each living process wants."""
    alive: Any = await client.zrangebyscore(PROCESSES_KEY, time.time(), "+inf")
    names = [process.decode() for process in alive]
    answers: Any = []
    if names:
        async with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.smembers(wanted_key(name))
            answers = await pipe.execute()
    return {
        name: frozenset(member.decode() for member in members)
        for name, members in zip(names, answers, strict=True)
    }


def _books(wanted: dict[str, set[str]]) -> set[str]:
    return {symbol for symbol, wants in wanted.items() if "book" in wants}
