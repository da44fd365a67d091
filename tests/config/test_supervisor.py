"""Children are started in order, restarted with back-off, given up on, and stopped in reverse."""

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.supervisor import Program, ProgramFailed, Supervisor
from tests.live import PATIENCE, is_alive, wait_until

pytestmark = pytest.mark.asyncio

FOREVER = "import signal; print('up', flush=True); signal.pause()"


class Witness:
    """Hears everything that a supervisor says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.lines: list[tuple[str, str]] = []
        self.pids: Mapping[str, int] = {}
        self._news = asyncio.Event()

    def supervisor(self, **options: Any) -> Supervisor:
        return Supervisor(
            say=self._heard(self.said.append),
            echo=self._heard(lambda *line: self.lines.append(line)),
            changed=self._heard(lambda pids: setattr(self, "pids", dict(pids))),
            **options,
        )

    def _heard(self, note: Callable[..., object]) -> Callable[..., None]:
        def hear(*words: Any) -> None:
            note(*words)
            self._news.set()

        return hear

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()


def python(name: str, program: str, **options: Any) -> Program:
    return Program(name, [sys.executable, "-c", program], os.environ, **options)


async def test_output_is_told_line_by_line_with_the_name_of_its_program() -> None:
    witness = Witness()
    supervisor = witness.supervisor()
    await supervisor.run_once(python("teller", "print('one'); print('two'); print('no end', end='')"))
    await witness.until(lambda: len(witness.lines) == 3)
    await supervisor.stop()

    assert witness.lines == [("teller", "one"), ("teller", "two"), ("teller", "no end")]


async def test_a_program_that_dies_is_started_again() -> None:
    witness = Witness()
    supervisor = witness.supervisor(jitter=lambda: 0.0)
    await supervisor.start(python("web", FOREVER))
    first = witness.pids["web"]

    os.kill(first, 9)
    await witness.until(lambda: witness.pids["web"] != first)
    await supervisor.stop()

    assert witness.said == ["web was ended by SIGKILL; starting it again in 0.2 s"]
    assert not is_alive(witness.pids["web"])


async def test_a_program_that_goes_on_failing_is_given_up_after_five_times(tmp_path: Path) -> None:
    # It fails once it may, for one that ends while it is started is another matter.
    may_fail = tmp_path / "may fail"
    program = f"""
import os, time
while not os.path.exists({str(may_fail)!r}): time.sleep(0.01)
raise SystemExit(3)
"""
    witness = Witness()
    supervisor = witness.supervisor(jitter=lambda: -0.9)  # a tenth of a back-off's half
    await supervisor.start(python("feed", program))
    may_fail.touch()

    with pytest.raises(ProgramFailed, match="feed failed 5 times within 60 s"):
        async with asyncio.timeout(50):
            await supervisor.failure()
    await supervisor.stop()

    delays = [float(found) for said in witness.said for found in re.findall(r"in ([\d.]+) s$", said)]
    assert len(delays) == 4 and delays == sorted(delays)


async def test_a_program_that_fails_before_it_is_ready_is_not_tried_again() -> None:
    async def never() -> bool:
        return False

    witness = Witness()
    supervisor = witness.supervisor()
    with pytest.raises(ProgramFailed, match="web ended with status 7 while starting"):
        await supervisor.start(python("web", "raise SystemExit(7)", is_ready=never))
    await supervisor.stop()

    assert witness.said == []


async def test_a_program_that_cannot_be_run_is_named() -> None:
    supervisor = Witness().supervisor()
    with pytest.raises(ProgramFailed, match="redis: cannot run /nonexistent"):
        await supervisor.start(Program("redis", ["/nonexistent"], {}))
    await supervisor.stop()


async def test_programs_stop_in_reverse_and_one_that_will_not_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ends = f"""
import signal, sys
def end(*_):
    open({str(log)!r}, "a").write(sys.argv[1] + " "); sys.exit()
signal.signal(signal.SIGTERM, end); print("up", flush=True)
while True: signal.pause()
"""
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    witness = Witness()
    supervisor = witness.supervisor()
    for name, argument in (("redis", "first"), ("feed", "second")):
        await supervisor.start(
            Program(name, [sys.executable, "-c", ends, argument], os.environ, grace=PATIENCE)
        )
    await supervisor.start(python("web", stubborn, grace=0.3))
    await witness.until(lambda: len(witness.lines) == 3)
    pids = list(witness.pids.values())

    started = time.monotonic()
    await supervisor.stop()

    assert log.read_text() == "second first "
    assert time.monotonic() - started < 20  # a third of a second, but for a busy machine
    wait_until(lambda: not any(is_alive(pid) for pid in pids), PATIENCE, "all of them to be gone")


async def test_nothing_is_started_once_stopping_has_begun() -> None:
    witness = Witness()
    supervisor = witness.supervisor(jitter=lambda: 0.0)
    await supervisor.start(python("web", FOREVER))
    os.kill(witness.pids["web"], 9)
    await witness.until(lambda: witness.said)

    await supervisor.stop()

    with pytest.raises(ProgramFailed, match="stopping"):
        await supervisor.start(python("late", FOREVER))
