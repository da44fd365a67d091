"""Keeps a few child processes running: starts them in order, restarts what dies, stops them in reverse.

It knows nothing of what they are. Children stay in our process group and die with us even on SIGKILL
(`config.process`), which is why everything here must run in the main thread.
"""

import asyncio
import random
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from config.process import die_with_parent

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
# So many failures of one program in so many seconds are a fault that restarting will not mend.
MOST_FAILURES = 5
FAILURE_WINDOW = 60.0
POLL_INTERVAL = 0.05
# A program that never ends its line must not fill our memory.
LONGEST_LINE = 1_000_000


class ProgramFailed(Exception):
    """A program could not be started, or failed too often; the message names it."""


async def at_once() -> bool:
    return True


@dataclass(frozen=True)
class Program:
    """One command to keep running.

    Attributes:
        grace: how long it may take to stop after SIGTERM.
        is_quiet: its last lines are told only when it has died.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], Awaitable[bool]] = at_once
    ready_within: float = 60.0
    grace: float = 1.0
    pass_fds: tuple[int, ...] = ()
    is_quiet: bool = False


@dataclass
class _Child:
    program: Program
    process: asyncio.subprocess.Process
    keeper: asyncio.Task[None] | None = None
    failures: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_FAILURES))


class Supervisor:
    """Runs programs until `stop`. `echo(name, line)` gets their output, or None lets them write to ours."""

    def __init__(
        self,
        *,
        say: Callable[[str], None],
        echo: Callable[[str, str], None] | None = None,
        changed: Callable[[Mapping[str, int]], None] = lambda pids: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._say = say
        self._echo = echo
        self._changed = changed
        self._jitter = jitter
        self._children: dict[str, _Child] = {}
        self._relays: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._spawning = asyncio.Lock()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, *programs: Program) -> None:
        """Starts programs side by side, waits until all are ready, and keeps them running from then on.

        Raises:
            ProgramFailed: One ended or was not ready in time; nothing is restarted in that case.
        """
        children = [_Child(program, await self._spawn(program)) for program in programs]
        for child in children:
            self._children[child.program.name] = child
        self._tell()
        for child in children:
            await self._until_ready(child, children)
        for child in children:
            child.keeper = asyncio.create_task(self._keep(child), name=f"keep {child.program.name}")

    async def run_once(self, program: Program) -> None:
        """Runs a program to its end; stopped like the others when `stop` comes first."""
        child = _Child(program, await self._spawn(program))
        self._children[program.name] = child
        status = await child.process.wait()
        del self._children[program.name]
        if status != 0 and not self._stopping.is_set():
            raise ProgramFailed(f"{program.name} {_ending(status)}")

    async def failure(self) -> None:
        """Waits until a program has failed too often, which raises ProgramFailed."""
        await self._failed

    async def stop(self) -> None:
        """Stops everything in the reverse order of its start: SIGTERM, the program's grace, SIGKILL."""
        self._stopping.set()
        async with self._spawning:  # what is being started right now is in the list then
            children = list(self._children.values())
        for child in reversed(children):
            await self._end(child)
            if child.keeper is not None:
                child.keeper.cancel()
        await asyncio.gather(*(child.keeper for child in children if child.keeper), return_exceptions=True)
        if self._relays:
            await asyncio.wait(self._relays, timeout=0.2)  # last lines; a grandchild may hold a pipe open
        for relay in self._relays:
            relay.cancel()
        self._failed.cancel()

    async def _spawn(self, program: Program) -> asyncio.subprocess.Process:
        async with self._spawning:
            if self._stopping.is_set():
                raise ProgramFailed(f"{program.name} was not started: stopping")
            pipe = None if self._echo is None else asyncio.subprocess.PIPE
            try:
                process = await asyncio.create_subprocess_exec(
                    *program.argv,
                    env=dict(program.environment),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=pipe,
                    stderr=pipe and asyncio.subprocess.STDOUT,
                    pass_fds=program.pass_fds,
                    preexec_fn=die_with_parent(),
                )
            except OSError as error:
                raise ProgramFailed(
                    f"{program.name}: cannot run {program.argv[0]}: {error.strerror}"
                ) from error
        if process.stdout is not None:
            relay = asyncio.create_task(self._relay(program, process.stdout), name=f"relay {program.name}")
            self._relays.add(relay)
            relay.add_done_callback(self._relays.discard)
        return process

    async def _until_ready(self, child: _Child, together: Sequence[_Child]) -> None:
        program = child.program
        deadline = time.monotonic() + program.ready_within
        while True:
            is_ready = await program.is_ready()
            for one in together:
                if one.process.returncode is not None:
                    ending = _ending(one.process.returncode)
                    raise ProgramFailed(f"{one.program.name} {ending} while starting")
            if is_ready:
                return
            if time.monotonic() > deadline:
                raise ProgramFailed(f"{program.name} was not ready within {program.ready_within:g} s")
            await asyncio.sleep(POLL_INTERVAL)

    async def _keep(self, child: _Child) -> None:
        name = child.program.name
        while True:
            status = await child.process.wait()
            if self._stopping.is_set():
                return
            delay = self._delay_after_failure(child)
            if delay is None:
                self._give_up(f"{name} failed {MOST_FAILURES} times within {FAILURE_WINDOW:g} s")
                return
            self._say(f"{name} {_ending(status)}; starting it again in {delay:.1f} s")
            await asyncio.sleep(delay)
            try:
                child.process = await self._spawn(child.program)
            except ProgramFailed as error:
                self._give_up(str(error))
                return
            self._tell()

    def _delay_after_failure(self, child: _Child) -> float | None:
        """Returns how long to wait before the next start, or None when there were too many failures."""
        now = time.monotonic()
        child.failures.append(now)
        recent = sum(1 for at in child.failures if now - at <= FAILURE_WINDOW)
        if recent >= MOST_FAILURES:
            return None
        delay: float = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (recent - 1))
        return delay * (0.5 + self._jitter() / 2)

    def _give_up(self, message: str) -> None:
        if not self._failed.done():
            self._failed.set_exception(ProgramFailed(message))

    async def _end(self, child: _Child) -> None:
        process = child.process
        for sign, patience in ((signal.SIGTERM, child.program.grace), (signal.SIGKILL, 1.0)):
            if process.returncode is None:
                try:
                    process.send_signal(sign)
                    await asyncio.wait_for(process.wait(), patience)
                except (ProcessLookupError, TimeoutError):
                    continue

    async def _relay(self, program: Program, output: asyncio.StreamReader) -> None:
        assert self._echo is not None
        held_back: deque[str] = deque(maxlen=20)
        async for line in _lines(output):
            if program.is_quiet:
                held_back.append(line)
            else:
                self._echo(program.name, line)
        if not self._stopping.is_set():
            for line in held_back:
                self._echo(program.name, line)

    def _tell(self) -> None:
        self._changed({name: child.process.pid for name, child in self._children.items()})


async def _lines(output: asyncio.StreamReader) -> AsyncIterator[str]:
    rest = b""
    while chunk := await output.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def _ending(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
