"""What Redis is asked while a load is counted, from its own statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.servers import Running, Servers

# What connections cost whether anything is flushed or not: two commands a user each 5 s for leases, and a snapshot
# at a subscription. And our own.
APART = ("zadd", "zrem", "expire", "hmget", "info")


@dataclass(frozen=True)
class Commands:
    """How many commands there were, leases and snapshots apart, and how many of them published a message."""

    all: int
    published: int

    def since(self, earlier: "Commands") -> "Commands":
        return Commands(self.all - earlier.all, self.published - earlier.published)

    @property
    def per_message(self) -> float:
        return self.all / self.published


def commands_of(calls: Mapping[str, int]) -> Commands:
    """Sums what Redis counted by command."""
    counted = sum(count for name, count in calls.items() if name not in APART)
    return Commands(counted, calls.get("publish", 0))


class RedisCommands:
    """Observes a measurement; `total` is what was asked in it, up to its last tick."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._first = self._last = Commands(0, 0)

    def hear(self, event: str, told: Mapping[str, Any], server: Running) -> None:
        self._last = self._now()
        if event == "measuring":
            self._first = self._last

    @property
    def total(self) -> Commands:
        return self._last.since(self._first)

    def _now(self) -> Commands:
        with self._servers.redis() as client:
            commands: dict[str, dict[str, int]] = client.info("commandstats")
        return commands_of(
            {name.removeprefix("cmdstat_"): calls["calls"] for name, calls in commands.items()}
        )
