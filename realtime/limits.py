"""How much one client may use: messages a second, connections for a user, connections and handshakes for an address.

Connections are counted in Redis as leases that lapse within 15 s of their process's death, so that no crash uses
up a user's places. A limit of 0 is switched off; what is allowed has no other bound.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

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
    ADDRESS_FULL = 2
    USER_FULL = 3


# KEYS leases to renew, leases to release, then for each admission its rate, address's and user's leases ('': none)
# ARGV now, lease end, handshake rate, most of an address, most of a user, renewals, releases, then as many lease names
# → Admission of each.
_EXCHANGE = """
    local now, lease_end, rate = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
    local most_of_address, most_of_user = tonumber(ARGV[4]), tonumber(ARGV[5])
    local renewals, releases, answers = tonumber(ARGV[6]), tonumber(ARGV[7]), {}
    local leases = renewals + releases

    -- GCRA with a burst of one second: the key holds when the next arrival would be on time.
    local function is_early(key)
        if rate <= 0 then return false end
        local due = math.max(tonumber(redis.call('GET', key) or '0'), now)
        -- The tenth of a millisecond is for what rounding adds to a burst's steps.
        if due - now > math.max(1, 1 / rate) - 1 / rate + 0.0001 then return true end
        redis.call('SET', key, string.format('%.6f', due + 1 / rate), 'PX', math.ceil(2000 + 1000 / rate))
        return false
    end

    local function is_full(key, most, name)
        redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
        if most > 0 and redis.call('ZCARD', key) >= most then return true end
        redis.call('ZADD', key, lease_end, name)
        redis.call('EXPIRE', key, 60)
        return false
    end

    for i = 1, renewals do
        redis.call('ZADD', KEYS[i], lease_end, ARGV[7 + i])
        if KEYS[i] ~= KEYS[i - 1] then redis.call('EXPIRE', KEYS[i], 60) end
    end
    for i = renewals + 1, leases do redis.call('ZREM', KEYS[i], ARGV[7 + i]) end
    for i = 1, (#KEYS - leases) / 3 do
        local name, at = ARGV[7 + leases + i], leases + 3 * i
        local address, user = KEYS[at - 1], KEYS[at]
        answers[i] = 0
        if address ~= '' then
            if is_early(KEYS[at - 2]) then answers[i] = 1
            elseif is_full(address, most_of_address, name) then answers[i] = 2 end
        end
        if answers[i] == 0 and user ~= '' and is_full(user, most_of_user, name) then answers[i] = 3 end
    end
    return answers
"""
# What one script takes on: a millisecond of Redis and of this process, so that neither keeps others waiting.
MOST_TOGETHER = 250


class Lease(NamedTuple):
    """One connection's place under a user or an address."""

    key: str
    name: str


class _Asked(NamedTuple):
    """Admissions that wait for an answer; without any, renewals that do."""

    leases: Sequence[Lease]
    keys: Sequence[str]
    name: str
    answer: "asyncio.Future[Admission]"


class ConnectionLimits:
    """Counts connections over all processes.

    What many sockets ask at the same time goes to Redis together: a round trip costs a quarter of a millisecond of
    this process, and a connection of the pool each would make hundreds that arrive or leave wait for one another.
    One exchange at a time also keeps the order: a lease that was given up is never renewed behind it.

    Args:
        client: answers or raises redis.RedisError within its time-out.
        per_user, per_address: the most at a time; 0 for no limit.
        handshake_rate: handshakes a second for an address; 0 for no limit.
    """

    def __init__(
        self, client: "redis.Redis", *, per_user: int, per_address: int, handshake_rate: float
    ) -> None:
        self._exchange = client.register_script(_EXCHANGE)
        self._limits = (handshake_rate, per_address, per_user)
        self._asked: deque[_Asked] = deque()
        self._released: list[Lease] = []
        self._work: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Gives up what is still to be given up, and no longer than Redis may take to answer."""
        if self._work is not None:
            await asyncio.gather(self._work, return_exceptions=True)

    async def admit(self, connection_id: str, address: str | None, user_id: int | None) -> Admission:
        """Takes a connection's places, of its address before its user's; raises redis.RedisError.

        A place of the address that was taken stays so where the user's are full.
        """
        keys = ["", "", ""]
        if address is not None:
            keys[:2] = f"lf:handshakes:{address}", _address_key(address)
        if user_id is not None:
            keys[2] = _user_key(user_id)
        return await self._ask((), keys, connection_id)

    async def renew(self, leases: Sequence[Lease]) -> None:
        """Keeps at most MOST_TOGETHER leases; raises redis.RedisError."""
        await self._ask(leases, (), "")

    def release(self, leases: Iterable[Lease]) -> None:
        """Gives up leases soon; those that Redis does not hear of lapse."""
        self._released += leases
        self._start()

    async def _ask(self, leases: Sequence[Lease], keys: Sequence[str], name: str) -> Admission:
        answer: asyncio.Future[Admission] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(leases, keys, name, answer))
        self._start()
        return await answer

    def _start(self) -> None:
        if self._work is None:
            self._work = asyncio.create_task(self._run(), name="connection limits")

    async def _run(self) -> None:
        try:
            while self._asked or self._released:
                released, self._released = self._released[:MOST_TOGETHER], self._released[MOST_TOGETHER:]
                await self._answer(released, self._next())
        finally:
            self._work = None

    def _next(self) -> list[_Asked]:
        """Takes what fits into one exchange, in the order asked."""
        asked: list[_Asked] = []
        room = MOST_TOGETHER
        while self._asked and room > 0:
            one = self._asked.popleft()
            if not one.answer.done():  # whoever asked may have gone away
                asked.append(one)
                room -= max(1, len(one.leases))
        return asked

    async def _answer(self, released: Sequence[Lease], asked: Sequence[_Asked]) -> None:
        renewed = [lease for one in asked for lease in one.leases]
        admitted = [one for one in asked if one.keys]
        leases = [*renewed, *released]
        moment = time.time()
        try:
            answers = await self._exchange(
                keys=[*(lease.key for lease in leases), *(key for one in admitted for key in one.keys)],
                args=[
                    f"{moment:.6f}", moment + LEASE_SECONDS, *self._limits, len(renewed), len(released),
                    *(lease.name for lease in leases), *(one.name for one in admitted),
                ],
            )  # fmt: skip
        except Exception as error:
            # All who wait hear of it now: they would wait for a time-out each otherwise.
            for one in [*asked, *self._asked]:
                if not one.answer.done():
                    one.answer.set_exception(error)
            self._asked.clear()
            self._released.clear()
            return
        verdicts = iter(answers)
        for one in asked:
            verdict = Admission(next(verdicts)) if one.keys else Admission.ADMITTED
            if not one.answer.done():
                one.answer.set_result(verdict)


def leases_of(connection_id: str, address: str, user_id: int | None) -> list[Lease]:
    """Returns every place that a connection takes."""
    leases = [Lease(_address_key(address), connection_id)]
    return leases if user_id is None else [*leases, Lease(_user_key(user_id), connection_id)]


def _address_key(address: str) -> str:
    return f"lf:address:{address}"


def _user_key(user_id: int) -> str:
    return f"lf:user:{user_id}"
