"""What this process shows of itself in Redis: that it lives, who is connected to it, and what they want.

All of it is leased: a process that dies loses its connections, counts and wants within 15 s, so that no crash
uses up a user's places or keeps symbols wanted.
"""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
import redis.exceptions

from realtime.bus import PROCESS_SECONDS, UNREACHABLE, WebBus
from realtime.connections import Connection, user_counts
from realtime.handshake import session_digest
from realtime.limits import MOST_TOGETHER, ConnectionLimits, Lease, leases_of
from realtime.topics import Topics

USERS_TOGETHER = 250  # documents of 50 subscriptions each: a few milliseconds
RENEWED_TOGETHER = MOST_TOGETHER // 2  # connections, of two leases each


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
        self._by_session: defaultdict[str, set[Connection]] = defaultdict(set)  # by its digest
        self._touched: set[int] = set()
        self._shown_conflated: dict[int, int] = {}
        self._written_wants: set[str] = set()
        self._written_version = -1
        self._writing_wants = asyncio.Lock()

    # --- users -------------------------------------------------------------------------------------------------------

    def of_user(self, user_id: int) -> set[Connection]:
        return self._by_user.get(user_id, set())

    def of_session(self, digest: str) -> set[Connection]:
        return self._by_session.get(digest, set())

    def add(self, connection: Connection) -> None:
        for index, key in self._places(connection):
            index[key].add(connection)
        self.touch(connection)

    def remove(self, connection: Connection) -> None:
        """Forgets a connection and gives up its leases."""
        for index, key in self._places(connection):
            index[key].discard(connection)
            if not index[key]:
                del index[key]
        self.touch(connection)
        self._limits.release(leases_at(connection))

    def _places(self, connection: Connection) -> Iterator[tuple[defaultdict[Any, set[Connection]], Any]]:
        identity = connection.identity
        if identity.user_id is not None:
            yield self._by_user, identity.user_id
        if identity.session_key is not None:
            yield self._by_session, session_digest(identity.session_key)

    def touch(self, connection: Connection) -> None:
        """Notes that a user's statistics in Redis are out of date."""
        if connection.identity.user_id is not None:
            self._touched.add(connection.identity.user_id)

    async def write_users(self) -> None:
        """Writes the statistics of users whose connections changed; raises redis.RedisError."""
        if not self._touched:
            return
        # Some at a time: a thousand users that come at once are a thousand small documents to encode.
        users = set(itertools.islice(self._touched, USERS_TOGETHER))
        self._touched -= users
        key = f"lf:users:{self._bus.process}"
        present: dict[Any, Any] = {
            str(user_id): msgspec.json.encode(user_counts(connections))
            for user_id in users
            if (connections := self.of_user(user_id))
        }
        absent = [str(user_id) for user_id in users if str(user_id) not in present]
        async with self._bus.redis.pipeline(transaction=False) as pipe:
            if present:
                pipe.hset(key, mapping=present)
            if absent:
                pipe.hdel(key, *absent)
            pipe.expire(key, PROCESS_SECONDS)
            await pipe.execute()

    async def write_counts(self) -> None:
        """Writes this process's part of the global statistics; raises redis.RedisError."""
        counts = msgspec.json.encode(self.counts())
        await self._bus.redis.set(f"lf:process:{self._bus.process}", counts, ex=PROCESS_SECONDS)

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
        ids = list(self._connections)
        for start in range(0, len(ids), RENEWED_TOGETHER):
            alive = (self._connections.get(id) for id in ids[start : start + RENEWED_TOGETHER])
            leases = [
                lease for connection in alive if connection is not None for lease in leases_at(connection)
            ]
            if leases:
                await self._limits.renew(leases)
        async with self._writing_wants:  # else what is newly wanted meanwhile would be written over
            wants, version = self._topics.wants(), self._topics.wants_version
            is_unsure = self._written_version < 0
            renewal = await self._bus.renew(wants, self.counts(), rewrite=is_unsure)
            self._written_wants, self._written_version = wants, version
        if renewal.is_new:
            self._touched |= self._by_user.keys()  # Redis forgot this process, or is a new one
        self._touch_conflated()
        return renewal.manual_number

    def _touch_conflated(self) -> None:
        """Notes whose connections were sent fewer updates than there were; too often to be noted when it happens."""
        conflated = {
            user_id: sum(connection.outbox.conflated for connection in connections)
            for user_id, connections in self._by_user.items()
        }
        self._touched |= {
            user for user, count in conflated.items() if count != self._shown_conflated.get(user, 0)
        }
        self._shown_conflated = conflated

    async def write_wants(self) -> None:
        """Brings the wants in Redis up to date; one writer at a time, so that two can't change places."""
        async with self._writing_wants:
            try:
                # By a number first: each of a crowd that wants what is wanted already would compare large sets.
                while (version := self._topics.wants_version) != self._written_version:
                    wants = self._topics.wants()
                    if wants != self._written_wants:
                        await self._bus.want(wants - self._written_wants, self._written_wants - wants)
                    self._written_wants, self._written_version = wants, version
            except (redis.exceptions.RedisError, *UNREACHABLE):
                self._written_wants = set()  # the next renewal compares and writes them all
                self._written_version = -1


def leases_at(connection: Connection) -> list[Lease]:
    return leases_of(connection.id, connection.address, connection.identity.user_id)
