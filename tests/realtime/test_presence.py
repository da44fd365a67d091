"""What a process leases in Redis: its wants are there whatever a failed write or another one at the same time did."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from assets.snapshots import connection
from realtime.limits import ConnectionLimits
from realtime.presence import Presence
from realtime.topics import Topics
from realtime.wants import wanted_key
from tests.realtime.conftest import MakeWeb

pytestmark = pytest.mark.asyncio


@pytest.fixture
def redis_memory(empty_redis: None) -> Iterator[Any]:
    """How much memory Redis may use; 0 is any amount, and with 1 it refuses whatever needs more."""
    yield lambda size: connection().config_set("maxmemory", size)
    connection().config_set("maxmemory", 0)


class Process:
    """The wants of one web process, and what Redis has of them."""

    def __init__(self, web: MakeWeb) -> None:
        self.bus = web("w")
        limits = ConnectionLimits(self.bus.redis, per_user=5, per_address=0, handshake_rate=0)
        self.topics = Topics()
        self.presence = Presence(self.bus, limits, self.topics, {}, Counter())

    async def want(self, *symbols: str, no_more: tuple[str, ...] = ()) -> None:
        for symbol in symbols:
            self.topics.count(symbol, "quote", 1)
        for symbol in no_more:
            self.topics.count(symbol, "quote", -1)
        await self.presence.write_wants()

    @staticmethod
    def stored() -> set[str]:
        members: Any = connection().smembers(wanted_key("w"))
        return {member.decode() for member in members}


async def test_a_renewal_writes_what_a_full_redis_refused_although_as_many_are_there(
    web: MakeWeb, redis_memory: Any
) -> None:
    process = Process(web)
    await process.want("AAPL")
    redis_memory(1)
    await process.want("MSFT", no_more=("AAPL",))
    assert process.stored() == {"quote AAPL"}

    redis_memory(0)
    await process.presence.renew()

    assert process.stored() == {"quote MSFT"}


async def test_what_is_newly_wanted_during_a_renewal_stays_wanted(web: MakeWeb, empty_redis: None) -> None:
    process = Process(web)
    await process.want("AAPL")
    await asyncio.gather(*(process.bus.redis.ping() for _ in range(2)))  # opens a connection for each
    connection().flushdb()

    await asyncio.gather(process.presence.renew(), process.want("MSFT"))

    assert process.stored() == {"quote AAPL", "quote MSFT"}
