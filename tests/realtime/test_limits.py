"""Limits: message buckets on a clock of their own, connections as leases in a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio as redis

from realtime.bus import new_redis
from realtime.limits import (
    LEASE_SECONDS,
    MOST_TOGETHER,
    Admission,
    ConnectionLimits,
    Lease,
    TokenBucket,
    leases_of,
)

ADMITTED, TOO_FAST = Admission.ADMITTED, Admission.TOO_FAST
ADDRESS_FULL, USER_FULL = Admission.ADDRESS_FULL, Admission.USER_FULL


class Clock:
    def __init__(self) -> None:
        self.moment = 50.0

    def __call__(self) -> float:
        return self.moment


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=2, burst=5, clock=clock)

    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
    clock.moment += 0.49
    assert not bucket.take()
    clock.moment += 0.01
    assert bucket.take()
    assert not bucket.take()


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=2, burst=3, clock=clock)
    clock.moment += 3600

    assert sum(bucket.take() for _ in range(10)) == 3


def test_a_bucket_tells_when_the_next_is_due() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=4, burst=1, clock=clock)
    assert bucket.seconds_until_next() == 0
    bucket.take()

    assert bucket.seconds_until_next() == 0.25
    bucket.take()
    assert bucket.seconds_until_next() == 0.25


def test_a_rate_of_zero_is_no_limit() -> None:
    bucket = TokenBucket(rate=0, burst=1, clock=Clock())

    assert all(bucket.take() for _ in range(1000))
    assert bucket.seconds_until_next() == 0


@pytest_asyncio.fixture
async def client(empty_redis: None) -> AsyncIterator["redis.Redis"]:
    client = new_redis()
    yield client
    await client.aclose()


def make_limits(client: "redis.Redis", **changes: Any) -> ConnectionLimits:
    return ConnectionLimits(client, **{"per_user": 2, "per_address": 3, "handshake_rate": 0, **changes})


async def lapse(client: "redis.Redis", key: str) -> None:
    """Lets every lease under `key` be of a process that died as long ago as a lease lives."""
    names: list[bytes] = await client.zrange(key, 0, -1)  # type: ignore[assignment]
    for name in names:
        await client.zincrby(key, -LEASE_SECONDS - 0.001, name)


@pytest.mark.asyncio
async def test_the_newest_connection_of_a_user_is_the_one_refused(client: "redis.Redis") -> None:
    limits = make_limits(client)

    assert [await limits.admit(name, None, 7) for name in "abc"] == [ADMITTED, ADMITTED, USER_FULL]
    assert await limits.admit("d", None, 8) == ADMITTED
    limits.release(leases_of("a", "10.0.0.1", 7))
    assert await limits.admit("e", None, 7) == ADMITTED


@pytest.mark.asyncio
async def test_a_place_is_counted_once_over_all_processes(client: "redis.Redis") -> None:
    other_client = new_redis()
    here, there = make_limits(client, per_user=5), make_limits(other_client, per_user=5)

    admissions = await asyncio.gather(
        *((here if n % 2 else there).admit(f"c{n}", None, 7) for n in range(20))
    )

    assert admissions.count(ADMITTED) == 5
    await other_client.aclose()


@pytest.mark.asyncio
async def test_leases_of_a_dead_process_lapse(client: "redis.Redis") -> None:
    limits = make_limits(client)
    await limits.admit("a", None, 7)
    await limits.admit("b", None, 7)
    assert await limits.admit("c", None, 7) == USER_FULL
    ends = [await client.zscore("lf:user:7", name) or 0 for name in "ab"]
    assert all(0 < end - time.time() <= 15 for end in ends)

    await lapse(client, "lf:user:7")

    assert await limits.admit("c", None, 7) == ADMITTED
    assert await client.zrange("lf:user:7", 0, -1) == [b"c"]


@pytest.mark.asyncio
async def test_a_renewed_lease_does_not_lapse(client: "redis.Redis") -> None:
    limits = make_limits(client, per_address=1)
    await limits.admit("a", None, 7)
    await limits.admit("a", "10.0.0.1", None)
    await lapse(client, "lf:user:7")
    await lapse(client, "lf:address:10.0.0.1")

    await limits.renew(leases_of("a", "10.0.0.1", 7))

    assert await limits.admit("b", None, 7) == ADMITTED
    assert await limits.admit("c", None, 7) == USER_FULL
    assert await limits.admit("b", "10.0.0.1", None) == ADDRESS_FULL


@pytest.mark.asyncio
async def test_renewing_restores_what_redis_forgot(client: "redis.Redis") -> None:
    limits = make_limits(client)
    await limits.admit("a", None, 7)
    await client.flushdb()

    await limits.renew([Lease("lf:user:7", "a"), Lease("lf:user:7", "b")])

    assert await limits.admit("c", None, 7) == USER_FULL


@pytest.mark.asyncio
async def test_an_address_has_its_own_number_of_places(client: "redis.Redis") -> None:
    limits = make_limits(client)

    admissions = [await limits.admit(str(n), "10.0.0.1", None) for n in range(4)]

    assert admissions == [ADMITTED] * 3 + [ADDRESS_FULL]
    assert await limits.admit("x", "10.0.0.2", None) == ADMITTED
    limits.release(leases_of("0", "10.0.0.1", None))
    assert await limits.admit("y", "10.0.0.1", None) == ADMITTED


@pytest.mark.asyncio
async def test_limits_of_zero_are_switched_off_and_have_no_hidden_successor(client: "redis.Redis") -> None:
    limits = make_limits(client, per_user=0, per_address=0, handshake_rate=0)

    for n in range(300):
        assert await limits.admit(str(n), None, 7) == ADMITTED
        assert await limits.admit(str(n), "10.0.0.1", None) == ADMITTED


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [3, 10, 20])
async def test_handshakes_beyond_a_second_of_the_rate_are_too_fast(client: "redis.Redis", rate: int) -> None:
    limits = make_limits(client, handshake_rate=rate, per_address=0)
    began = time.monotonic()

    admitted = sum([await limits.admit(str(n), "10.0.0.1", None) == ADMITTED for n in range(60)])

    took = time.monotonic() - began
    assert rate <= admitted <= rate * (1 + took)
    assert await limits.admit("other", "10.0.0.2", None) == ADMITTED


@pytest.mark.asyncio
async def test_a_refused_handshake_takes_no_place_and_the_rate_recovers(client: "redis.Redis") -> None:
    limits = make_limits(client, handshake_rate=0.01, per_address=5)
    assert await limits.admit("a", "10.0.0.1", None) == ADMITTED
    assert await limits.admit("b", "10.0.0.1", None) == TOO_FAST
    assert await client.zrange("lf:address:10.0.0.1", 0, -1) == [b"a"]

    # The time at which the next is due, moved into the past as waiting would.
    await client.set("lf:handshakes:10.0.0.1", time.time() - 1)

    assert await limits.admit("b", "10.0.0.1", None) == ADMITTED


@pytest.mark.asyncio
async def test_nothing_is_left_in_redis_for_ever(client: "redis.Redis") -> None:
    limits = make_limits(client, handshake_rate=0.05)
    await limits.admit("a", "10.0.0.1", None)
    await limits.admit("a", None, 7)

    keys = await client.keys("lf:*")

    assert len(keys) == 3
    assert all([0 < await client.ttl(key) <= 60 for key in keys])


@pytest.mark.asyncio
async def test_the_places_of_an_address_and_a_user_are_taken_at_once(client: "redis.Redis") -> None:
    limits = make_limits(client, per_user=1, per_address=2)

    admissions = [
        await limits.admit(*who) for who in [("a", "x", 7), ("b", "x", 7), ("c", "x", 8), ("d", "y", 8)]
    ]

    assert admissions == [ADMITTED, USER_FULL, ADDRESS_FULL, ADMITTED]
    assert await client.zrange("lf:address:x", 0, -1) == [b"a", b"b"]  # until whoever was refused gives it up
    assert await client.zrange("lf:user:8", 0, -1) == [b"d"]


@pytest.mark.asyncio
async def test_what_many_ask_at_once_is_answered_in_their_order_and_in_few_round_trips(
    client: "redis.Redis",
) -> None:
    limits = make_limits(client, per_user=3, per_address=0)
    before: Any = await client.info("commandstats")

    admissions = await asyncio.gather(*(limits.admit(f"c{n}", f"10.0.0.{n}", n % 100) for n in range(1000)))

    assert admissions == [ADMITTED] * 300 + [USER_FULL] * 700
    after: Any = await client.info("commandstats")
    calls = [
        stats["cmdstat_evalsha"]["calls"] if "cmdstat_evalsha" in stats else 0 for stats in (before, after)
    ]
    assert (
        calls[1] - calls[0] <= 1000 / MOST_TOGETHER + 2
    )  # one that only finds that the script is not known yet


@pytest.mark.asyncio
async def test_a_lease_that_was_given_up_is_not_renewed_behind_it(client: "redis.Redis") -> None:
    limits = make_limits(client)
    for name in "ab":
        await limits.admit(name, "10.0.0.1", 7)
    renewing = asyncio.create_task(
        limits.renew([*leases_of("a", "10.0.0.1", 7), *leases_of("b", "10.0.0.1", 7)])
    )
    await asyncio.sleep(0)

    limits.release(leases_of("a", "10.0.0.1", 7))
    await renewing
    await limits.stop()

    assert (
        await client.zrange("lf:user:7", 0, -1) == await client.zrange("lf:address:10.0.0.1", 0, -1) == [b"b"]
    )


@pytest.mark.asyncio
async def test_whoever_gave_up_waiting_takes_no_place(client: "redis.Redis") -> None:
    limits = make_limits(client)
    first = asyncio.create_task(limits.admit("a", None, 7))
    await asyncio.sleep(0)
    gone = asyncio.create_task(limits.admit("b", None, 7))
    await asyncio.sleep(0)

    gone.cancel()
    await asyncio.gather(first, gone, return_exceptions=True)
    await limits.stop()

    assert await client.zrange("lf:user:7", 0, -1) == [b"a"]


@pytest.mark.asyncio
async def test_all_who_wait_hear_at_once_that_redis_is_away(client: "redis.Redis") -> None:
    nowhere = redis.Redis(unix_socket_path="/nowhere.sock")
    limits = make_limits(nowhere)

    answers = await asyncio.gather(
        *(limits.admit(str(n), None, n) for n in range(600)), return_exceptions=True
    )
    limits.release(leases_of("0", "10.0.0.1", 0))
    await limits.stop()

    assert {type(answer) for answer in answers} == {redis.ConnectionError}
