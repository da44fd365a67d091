"""The database threads under a crowd and under a database that hangs."""

import asyncio
import threading
import time

import pytest

from realtime import database
from realtime.database import THREADS, in_database

pytestmark = pytest.mark.asyncio

TIMEOUT = 0.4


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "TIMEOUT", TIMEOUT)


def slowly(number: int) -> int:
    time.sleep(0.1)  # what a query costs
    return number


async def test_a_crowd_that_waits_its_turn_is_answered() -> None:
    count = 10 * THREADS
    begun = time.monotonic()
    answers = await asyncio.gather(*(in_database(slowly, number) for number in range(count)))
    assert answers == list(range(count))
    assert time.monotonic() - begun > 2 * TIMEOUT


async def test_a_database_that_hangs_answers_nobody() -> None:
    gate = threading.Event()
    try:
        asked = [in_database(gate.wait, 60) for _ in range(2 * THREADS)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [TimeoutError] * len(asked)
    finally:
        gate.set()


async def test_a_call_that_hangs_is_given_up_while_others_go_on() -> None:
    gate = threading.Event()
    try:
        hanging = asyncio.create_task(in_database(gate.wait, 60))
        while not hanging.done():
            assert await in_database(slowly, 1) == 1
        with pytest.raises(TimeoutError):
            await hanging
    finally:
        gate.set()


async def test_what_nobody_waits_for_is_not_begun() -> None:
    gate, begun = threading.Event(), threading.Event()
    try:
        busy = [asyncio.create_task(in_database(gate.wait, 60)) for _ in range(THREADS)]
        late = asyncio.create_task(in_database(begun.set))
        await asyncio.sleep(0)
        late.cancel()
        await asyncio.gather(*busy, late, return_exceptions=True)
    finally:
        gate.set()
    await in_database(slowly, 1)
    assert not begun.is_set()


async def test_an_error_is_the_callers() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await in_database(fail)
