"""Limits: message buckets on a clock of their own, connections as leases in a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio as redis

from realtime.bus import new_redis
from realtime.limits import LEASE_SECONDS, Admission, ConnectionLimits, TokenBucket

ADMITTED, TOO_FAST, TOO_MANY = Admission.ADMITTED, Admission.TOO_FAST, Admission.TOO_MANY


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

    assert [await limits.admit_user(7, name) for name in "abc"] == [ADMITTED, ADMITTED, TOO_MANY]
    assert await limits.admit_user(8, "d") == ADMITTED
    await limits.release(7, "10.0.0.1", "a")
    assert await limits.admit_user(7, "e") == ADMITTED


@pytest.mark.asyncio
async def test_a_place_is_counted_once_over_all_processes(client: "redis.Redis") -> None:
    other_client = new_redis()
    here, there = make_limits(client, per_user=5), make_limits(other_client, per_user=5)

    admissions = await asyncio.gather(*((here if n % 2 else there).admit_user(7, f"c{n}") for n in range(20)))

    assert admissions.count(ADMITTED) == 5
    await other_client.aclose()


@pytest.mark.asyncio
async def test_leases_of_a_dead_process_lapse(client: "redis.Redis") -> None:
    limits = make_limits(client)
    await limits.admit_user(7, "a")
    await limits.admit_user(7, "b")
    assert await limits.admit_user(7, "c") == TOO_MANY
    ends = [await client.zscore("lf:user:7", name) or 0 for name in "ab"]
    assert all(0 < end - time.time() <= 15 for end in ends)

    await lapse(client, "lf:user:7")

    assert await limits.admit_user(7, "c") == ADMITTED
    assert await client.zrange("lf:user:7", 0, -1) == [b"c"]


@pytest.mark.asyncio
async def test_a_renewed_lease_does_not_lapse(client: "redis.Redis") -> None:
    limits = make_limits(client, per_address=1)
    await limits.admit_user(7, "a")
    await limits.admit_address("10.0.0.1", "a")
    await lapse(client, "lf:user:7")
    await lapse(client, "lf:address:10.0.0.1")

    await limits.renew({7: ["a"]}, {"10.0.0.1": ["a"]})

    assert await limits.admit_user(7, "b") == ADMITTED
    assert await limits.admit_user(7, "c") == TOO_MANY
    assert await limits.admit_address("10.0.0.1", "b") == TOO_MANY


@pytest.mark.asyncio
async def test_renewing_restores_what_redis_forgot(client: "redis.Redis") -> None:
    limits = make_limits(client)
    await limits.admit_user(7, "a")
    await client.flushdb()

    await limits.renew({7: ["a", "b"]}, {})
    await limits.renew({}, {})

    assert await limits.admit_user(7, "c") == TOO_MANY


@pytest.mark.asyncio
async def test_an_address_has_its_own_number_of_places(client: "redis.Redis") -> None:
    limits = make_limits(client)

    admissions = [await limits.admit_address("10.0.0.1", str(n)) for n in range(4)]

    assert admissions == [ADMITTED] * 3 + [TOO_MANY]
    assert await limits.admit_address("10.0.0.2", "x") == ADMITTED
    await limits.release(None, "10.0.0.1", "0")
    assert await limits.admit_address("10.0.0.1", "y") == ADMITTED


@pytest.mark.asyncio
async def test_limits_of_zero_are_switched_off_and_have_no_hidden_successor(client: "redis.Redis") -> None:
    limits = make_limits(client, per_user=0, per_address=0, handshake_rate=0)

    for n in range(300):
        assert await limits.admit_user(7, str(n)) == ADMITTED
        assert await limits.admit_address("10.0.0.1", str(n)) == ADMITTED


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [3, 10, 20])
async def test_handshakes_beyond_a_second_of_the_rate_are_too_fast(client: "redis.Redis", rate: int) -> None:
    limits = make_limits(client, handshake_rate=rate, per_address=0)
    began = time.monotonic()

    admitted = sum([await limits.admit_address("10.0.0.1", str(n)) == ADMITTED for n in range(60)])

    took = time.monotonic() - began
    assert rate <= admitted <= rate * (1 + took)
    assert await limits.admit_address("10.0.0.2", "other") == ADMITTED


@pytest.mark.asyncio
async def test_a_refused_handshake_takes_no_place_and_the_rate_recovers(client: "redis.Redis") -> None:
    limits = make_limits(client, handshake_rate=0.01, per_address=5)
    assert await limits.admit_address("10.0.0.1", "a") == ADMITTED
    assert await limits.admit_address("10.0.0.1", "b") == TOO_FAST
    assert await client.zrange("lf:address:10.0.0.1", 0, -1) == [b"a"]

    # The time at which the next is due, moved into the past as waiting would.
    await client.set("lf:handshakes:10.0.0.1", time.time() - 1)

    assert await limits.admit_address("10.0.0.1", "b") == ADMITTED


@pytest.mark.asyncio
async def test_nothing_is_left_in_redis_for_ever(client: "redis.Redis") -> None:
    limits = make_limits(client, handshake_rate=5)
    await limits.admit_address("10.0.0.1", "a")
    await limits.admit_user(7, "a")

    keys = await client.keys("lf:*")

    assert len(keys) == 3
    assert all([0 < await client.ttl(key) <= 60 for key in keys])
