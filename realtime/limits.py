"""How much one client may use: messages a second, connections for a user, connections and handshakes for an address.

Connections are counted in Redis as leases that lapse within 15 s of their process's death, so that no crash uses
up a user's places. A limit of 0 is switched off; what is allowed has no other bound.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum

import redis.asyncio as redis

LEASE_SECONDS = 15


class TokenBucket:
    """Allows `rate` a second on average and `burst` at once; a rate of 0 allows everything."""

    __slots__ = ("_burst", "_clock", "_level", "_rate", "_updated_at")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._level = burst
        self._updated_at = clock()

    def take(self) -> bool:
        if not self._rate:
            return True
        moment = self._clock()
        self._level = min(self._burst, self._level + (moment - self._updated_at) * self._rate)
        self._updated_at = moment
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def seconds_until_next(self) -> float:
        return max(0.0, (1 - self._level) / self._rate) if self._rate else 0.0


class Admission(IntEnum):
    ADMITTED = 0
    TOO_FAST = 1
    TOO_MANY = 2


# KEYS rate, leases · ARGV now, rate, most, lease name, lease end → Admission.
# The rate is GCRA with a burst of one second: the key holds when the next arrival would be on time.
_ADMIT = """
    local now, rate, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    if rate > 0 then
        local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
        -- The tenth of a millisecond is for what rounding adds to a burst's steps.
        if due - now > math.max(1, 1 / rate) - 1 / rate + 0.0001 then return 1 end
        redis.call('SET', KEYS[1], string.format('%.6f', due + 1 / rate), 'PX', math.ceil(2000 + 1000 / rate))
    end
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
    if most > 0 and redis.call('ZCARD', KEYS[2]) >= most then return 2 end
    redis.call('ZADD', KEYS[2], ARGV[5], ARGV[4])
    redis.call('EXPIRE', KEYS[2], 60)
    return 0
"""


class ConnectionLimits:
    """Counts connections over all processes.

    Args:
        client: answers or raises redis.RedisError within its time-out.
        per_user, per_address: the most at a time; 0 for no limit.
        handshake_rate: handshakes a second for an address; 0 for no limit.
    """

    def __init__(
        self, client: "redis.Redis", *, per_user: int, per_address: int, handshake_rate: float
    ) -> None:
        self._redis = client
        self._admit = client.register_script(_ADMIT)
        self._per_user = per_user
        self._per_address = per_address
        self._handshake_rate = handshake_rate

    async def admit_address(self, address: str, connection_id: str) -> Admission:
        keys = [f"lf:handshakes:{address}", f"lf:address:{address}"]
        return await self._run(keys, self._handshake_rate, self._per_address, connection_id)

    async def admit_user(self, user_id: int, connection_id: str) -> Admission:
        return await self._run(["", f"lf:user:{user_id}"], 0, self._per_user, connection_id)

    async def _run(self, keys: list[str], rate: float, most: int, connection_id: str) -> Admission:
        moment = time.time()
        arguments: list[str | float] = [f"{moment:.6f}", rate, most, connection_id, moment + LEASE_SECONDS]
        return Admission(int(await self._admit(keys=keys, args=arguments)))

    async def renew(self, users: Mapping[int, Iterable[str]], addresses: Mapping[str, Iterable[str]]) -> None:
        """Keeps the leases of this process's connections, by user and by address."""
        end = time.time() + LEASE_SECONDS
        async with self._redis.pipeline(transaction=False) as pipe:
            for key, ids in [
                *((f"lf:user:{user_id}", ids) for user_id, ids in users.items()),
                *((f"lf:address:{address}", ids) for address, ids in addresses.items()),
            ]:
                pipe.zadd(key, dict.fromkeys(ids, end))
                pipe.expire(key, 60)
            if len(pipe):
                await pipe.execute()

    async def release(self, user_id: int | None, address: str, connection_id: str) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            if user_id is not None:
                pipe.zrem(f"lf:user:{user_id}", connection_id)
            pipe.zrem(f"lf:address:{address}", connection_id)
            await pipe.execute()
