"""What this process shows of itself in Redis: that it lives, who is connected to it, and what they want.

All of it is leased: a process that dies loses its connections, counts and wants within 15 s, so that no crash
uses up a user's places or keeps symbols wanted.
"""

from collections import Counter, defaultdict
from typing import Any

import msgspec
import redis.exceptions

from realtime.bus import PROCESS_SECONDS, UNREACHABLE, WebBus
from realtime.connections import Connection, user_counts
from realtime.limits import ConnectionLimits
from realtime.topics import Topics


class Presence:
    """This process's leases and statistics.

    Args:
        connections: this process's, by id; read at each renewal.
        counters: what has happened so far.
    """

    def __init__(
        self,
        bus: WebBus,
        limits: ConnectionLimits,
        topics: Topics,
        connections: dict[str, Connection],
        counters: Counter[str],
    ) -> None:
        self._bus = bus
        self._limits = limits
        self._topics = topics
        self._connections = connections
        self._counters = counters
        self._by_user: defaultdict[int, set[Connection]] = defaultdict(set)
        self._touched: set[int] = set()
        self._written_wants: set[str] = set()
        self._is_writing_wants = False

    # --- users -------------------------------------------------------------------------------------------------------

    def of_user(self, user_id: int) -> set[Connection]:
        return self._by_user.get(user_id, set())

    def add(self, connection: Connection) -> None:
        if connection.identity.user_id is not None:
            self._by_user[connection.identity.user_id].add(connection)
        self.touch(connection)

    def remove(self, connection: Connection) -> None:
        user_id = connection.identity.user_id
        if user_id is not None:
            self._by_user[user_id].discard(connection)
            if not self._by_user[user_id]:
                del self._by_user[user_id]
        self.touch(connection)

    def touch(self, connection: Connection) -> None:
        """Notes that a user's statistics in Redis are out of date."""
        if connection.identity.user_id is not None:
            self._touched.add(connection.identity.user_id)

    async def write_users(self) -> None:
        """Writes the statistics of users whose connections changed; raises redis.RedisError."""
        users, self._touched = self._touched, set()
        if not users:
            return
        key = f"lf:users:{self._bus.process}"
        async with self._bus.redis.pipeline(transaction=False) as pipe:
            for user_id in users:
                if connections := self.of_user(user_id):
                    pipe.hset(key, str(user_id), msgspec.json.encode(user_counts(connections)))
                else:
                    pipe.hdel(key, str(user_id))
            pipe.expire(key, PROCESS_SECONDS)
            pipe.set(
                f"lf:process:{self._bus.process}", msgspec.json.encode(self.counts()), ex=PROCESS_SECONDS
            )
            await pipe.execute()

    def counts(self) -> dict[str, Any]:
        """This process's part of the global statistics."""
        connections = self._connections.values()
        conflated = self._counters["conflated"] + sum(
            connection.outbox.conflated for connection in connections
        )
        return {
            "total_connections": len(connections),
            "portfolio_subscriptions": sum(len(connection.portfolios) for connection in connections),
            "asset_subscriptions": sum(len(connection.subscriptions) for connection in connections),
            "counters": {**self._counters, "conflated": conflated},
        }

    # --- leases ------------------------------------------------------------------------------------------------------

    async def renew(self) -> int:
        """Renews everything leased; returns the number of the last price set by hand. Raises redis.RedisError."""
        users: defaultdict[int, list[str]] = defaultdict(list)
        addresses: defaultdict[str, list[str]] = defaultdict(list)
        for connection in self._connections.values():
            if connection.identity.user_id is not None:
                users[connection.identity.user_id].append(connection.id)
            addresses[connection.address].append(connection.id)
        await self._limits.renew(users, addresses)
        wants = self._topics.wants()
        renewal = await self._bus.renew(wants, self.counts())
        self._written_wants = wants
        if renewal.is_new:
            self._touched |= users.keys()  # Redis forgot this process, or is a new one
        return renewal.manual_number

    async def release(self, connection: Connection) -> None:
        await self._limits.release(connection.identity.user_id, connection.address, connection.id)

    async def write_wants(self) -> None:
        """Brings the wants in Redis up to date; one writer at a time, so that two can't change places."""
        if self._is_writing_wants:
            return
        self._is_writing_wants = True
        try:
            while (wants := self._topics.wants()) != self._written_wants:
                await self._bus.want(wants - self._written_wants, self._written_wants - wants)
                self._written_wants = wants
        except (redis.exceptions.RedisError, *UNREACHABLE):
            self._written_wants = set()  # the next renewal compares and writes them all
        finally:
            self._is_writing_wants = False
