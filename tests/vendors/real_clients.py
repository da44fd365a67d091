"""Runs the vendors' own released clients against our loopback servers, each in an environment of its own.

A test marked `@pytest.mark.real_client("massive")` has its environment built, side by side with the others, before
the first test runs; `clients/massive.txt` pins it. `run_client` runs `clients/massive_client.py` there, which connects
to the address it is given and prints one line of JSON for each callback (`say`, in `clients/saying.py`); a script must
not be called what it imports. Where an environment cannot be built the test is left out, and the summary says so; with
CI=true it fails.
"""

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests import environments

CLIENTS = Path(__file__).parent / "clients"
SECONDS = 60.0
# A whole frame of depth, printed.
LONGEST_LINE_BYTES = 16 * 2**20


def pins_of(name: str) -> Path:
    pins = CLIENTS / f"{name}.txt"
    if not pins.exists():
        known = sorted(path.stem for path in CLIENTS.glob("*.txt"))
        raise ValueError(f"expected a client of {', '.join(known)}, was {name!r}")
    return pins


def python_of(name: str) -> Path:
    """Returns the interpreter that has this client; leaves the test out, or with CI=true fails it, if there is none."""
    try:
        return environments.python_of(pins_of(name))
    except environments.CannotBuild as error:
        reason = f"the vendor's own client {name} cannot be installed here\n{error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(f"left out: {reason}")


def build_marked(items: Iterable[pytest.Item]) -> None:
    """Builds what the selected tests will ask for."""
    marks = (mark for item in items for mark in item.iter_markers("real_client"))
    environments.build_all({pins_of(name): None for mark in marks for name in mark.args})


class RealClient:
    """A client that runs; `lines` grows as it speaks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[Any] = []
        self._grew = asyncio.Condition()
        self._ended = False
        self.noise = ""

    async def until(self, condition: Callable[[list[Any]], object], seconds: float = SECONDS) -> list[Any]:
        """Waits until its lines are as `condition` wants them, and returns them.

        Raises:
            AssertionError: it ended before, or the time is over; with all that it said.
        """
        try:
            async with asyncio.timeout(seconds), self._grew:
                await self._grew.wait_for(lambda: self._ended or condition(self.lines))
        except TimeoutError:
            raise AssertionError(f"the client did not say it in {seconds:g} s: {self._account()}") from None
        assert condition(self.lines), f"the client ended before it said it: {self._account()}"
        return self.lines

    async def until_ended(self, seconds: float = SECONDS) -> int:
        """Waits for its end and returns its exit status, negative for a signal."""
        try:
            async with asyncio.timeout(seconds), self._grew:
                await self._grew.wait_for(lambda: self._ended)
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"the client did not end in {seconds:g} s: {self._account()}") from None

    def say(self, line: str) -> None:
        """Writes a line to its standard input, for a script that waits for one."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _account(self) -> str:
        return f"{len(self.lines)} lines, the last {self.lines[-5:]}; standard error: {self.noise[-3000:]}"

    async def listen(self) -> None:
        assert self._process.stdout is not None and self._process.stderr is not None
        await asyncio.gather(self._lines(self._process.stdout), self._complaints(self._process.stderr))
        await self._process.wait()
        async with self._grew:
            self._ended = True
            self._grew.notify_all()

    async def _lines(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            async with self._grew:
                self.lines.append(_parsed(line))
                self._grew.notify_all()

    async def _complaints(self, stream: asyncio.StreamReader) -> None:
        while part := await stream.read(4096):
            self.noise = (self.noise + part.decode(errors="replace"))[-20_000:]


def _parsed(line: bytes) -> Any:
    """Reads a line; what a library prints beside ours is kept as its text."""
    try:
        return json.loads(line)
    except ValueError:
        return line.decode(errors="replace").rstrip("\n")


@asynccontextmanager
async def client_running(
    name: str, script: str, *args: object, env: Mapping[str, str] | None = None
) -> AsyncIterator[RealClient]:
    """Runs `clients/SCRIPT` with this client until the block ends.

    It has a home folder of its own, and no proxy but that in `env`.
    """
    python = python_of(name)
    with tempfile.TemporaryDirectory(prefix="livefolio-client-") as home:
        process = await asyncio.create_subprocess_exec(
            python,
            CLIENTS / script,
            *map(str, args),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE_BYTES,
            env=_surroundings(home) | dict(env or {}),
            start_new_session=True,
        )
        client = RealClient(process)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            client.stop()
            await listening


async def run_client(
    name: str,
    script: str,
    *args: object,
    lines: int | None = None,
    env: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> list[Any]:
    """Returns the first `lines` that a client says, or all until it ends by itself, each parsed.

    Raises:
        AssertionError: it does not say them in time; it ends with a failure.
    """
    async with client_running(name, script, *args, env=env) as client:
        if lines is not None:
            return (await client.until(lambda said: len(said) >= lines, seconds))[:lines]
        status = await client.until_ended(seconds)
        assert status == 0, f"the client ended with {status}: {client.noise[-3000:]}"
        return client.lines


def _surroundings(home: str) -> dict[str, str]:
    ours = environments.outside_ours(HOME=home, XDG_CACHE_HOME=home, PYTHONUNBUFFERED="1")
    return {key: value for key, value in ours.items() if not key.lower().endswith("_proxy")}
