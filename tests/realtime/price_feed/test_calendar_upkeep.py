"""Stored sessions are kept a month ahead, by a command in a process of its own."""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import pytest

from realtime.price_feed import calendar_upkeep
from realtime.price_feed.calendar_upkeep import LOOK_SECONDS, command, keep_calendars, update_calendars
from realtime.price_feed.tasks import end
from tests.realtime.feeds.fakes import JumpingClock

DAY = 86_400


class FakeStore:
    """Answers which calendars are due, as a function of the time."""

    def __init__(self, due: Callable[[datetime], list[str]]) -> None:
        self._due = due

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._due(*arguments)


async def asked_for(due: Callable[[datetime], list[str]], looks: int) -> list[tuple[float, list[str]]]:
    """Returns when, in seconds from the start, which calendars were asked for."""
    clock, asked = JumpingClock(), []

    async def update(names: Sequence[str]) -> bool:
        asked.append((clock.monotonic(), list(names)))
        return True

    store: Any = FakeStore(due)
    task = asyncio.create_task(keep_calendars(store, clock, update))
    await clock.until_slept(looks)
    await end([task])
    return asked


@pytest.mark.asyncio
async def test_what_is_due_is_asked_for_at_once_and_again_a_day_later() -> None:
    looks = int(2.5 * DAY / LOOK_SECONDS)
    assert await asked_for(lambda now: ["XNYS"], looks) == [
        (0.0, ["XNYS"]),
        (DAY, ["XNYS"]),
        (2 * DAY, ["XNYS"]),
    ]


@pytest.mark.asyncio
async def test_a_calendar_that_is_named_later_does_not_wait_for_tomorrow() -> None:
    begin = JumpingClock().now()

    def due(now: datetime) -> list[str]:
        return ["XNYS"] if (now - begin).total_seconds() < 100 else ["XLON", "XNYS"]

    assert await asked_for(due, 10) == [(0.0, ["XNYS"]), (4 * LOOK_SECONDS, ["XLON"])]


@pytest.mark.asyncio
async def test_where_nothing_is_due_nothing_is_asked_for() -> None:
    assert await asked_for(lambda now: [], 5) == []


@pytest.mark.asyncio
async def test_a_database_that_is_away_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    answers: Iterable[Any] = iter([OSError("away"), ["XNYS"]])

    def due(now: datetime) -> list[str]:
        answer = next(answers, [])  # type: ignore[call-overload]
        if isinstance(answer, OSError):
            raise answer
        found: list[str] = answer
        return found

    assert await asked_for(due, 4) == [(LOOK_SECONDS, ["XNYS"])]
    assert "calendars not looked at" in caplog.messages


def test_the_command_is_that_of_this_installation() -> None:
    python, manage, *words = command(["XNYS", "XLON"])
    assert python == sys.executable and manage.endswith("/manage.py")
    assert words == ["update_calendars", "--calendars", "XNYS", "XLON"]


def runs(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(calendar_upkeep, "command", lambda names: [sys.executable, "-c", program])


@pytest.mark.asyncio
async def test_what_the_command_said_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    runs(monkeypatch, "print('XNYS: 5 sessions')")
    assert await update_calendars(["XNYS"])
    runs(monkeypatch, "import sys; sys.exit('no such exchange')")
    assert not await update_calendars(["XNYS"])
    said: list[Any] = list(caplog.records)
    assert (said[-2].message, said[-2].result) == ("sessions stored", "XNYS: 5 sessions")
    assert (said[-1].message, said[-1].error) == ("sessions not stored", "no such exchange")


@pytest.mark.asyncio
async def test_a_command_that_never_ends_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calendar_upkeep, "PATIENCE_SECONDS", 0.2)
    runs(monkeypatch, "import time; time.sleep(600)")
    assert not await update_calendars(["XNYS"])
    assert "sessions not stored in time" in caplog.messages


@pytest.mark.asyncio
async def test_a_feed_that_stops_takes_the_command_along(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = []
    start = asyncio.create_subprocess_exec

    async def remembered(*args: Any, **options: Any) -> asyncio.subprocess.Process:
        processes.append(await start(*args, **options))
        return processes[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remembered)
    runs(monkeypatch, "import time; time.sleep(600)")
    task = asyncio.create_task(update_calendars(["XNYS"]))
    while not processes:
        await asyncio.sleep(0)
    await end([task])  # type: ignore[list-item]
    assert processes[0].returncode is not None
