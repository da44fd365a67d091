"""Starts the programs of a measurement, waits for them, and ends them by their process ids when their block ends."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from config.http import status_of
from config.process import die_with_parent

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 60.0
STOP_WITHIN = 5.0
Process = subprocess.Popen[bytes]


class ServerError(Exception):
    """A program did not start, or ended while it was measured; the message's first line says so in short."""


class Programs:
    """Programs that write their output into one directory.

    Args:
        directory: an empty one; its owner removes it.
        environment: of each program, besides this process's own.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = {**os.environ, **environment}

    @contextmanager
    def python(
        self,
        name: str,
        *words: str,
        environment: Mapping[str, str] = {},
        fd: int | None = None,
        cores: frozenset[int] = frozenset(),
    ) -> Iterator[Process]:
        """Runs Python with these words, with one descriptor passed on."""
        with self.any(name, sys.executable, *words, environment=environment, fd=fd, cores=cores) as process:
            yield process

    @contextmanager
    def any(
        self,
        name: str,
        *words: str,
        environment: Mapping[str, str] = {},
        fd: int | None = None,
        cores: frozenset[int] = frozenset(),
    ) -> Iterator[Process]:
        """Runs a command; `cores` are those it shall use, none is this process's own."""
        with (self._directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                words,
                cwd=ROOT,
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=() if fd is None else (fd,),
                preexec_fn=before_exec(cores),
            )
        try:
            yield process
        finally:
            end(process)

    def once(self, *words: str, environment: Mapping[str, str] = {}, timeout: float | None = None) -> str:
        """Runs Python with these words until it ends and returns what it printed; raises ServerError."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env={**self._environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            preexec_fn=before_exec(),
        )
        if done.returncode:
            said = done.stderr.strip()[-2000:]
            raise ServerError(f"{' '.join(words)} ended with status {done.returncode}\n{said}")
        return done.stdout

    def wait(self, condition: Callable[[], bool], *processes: Process) -> None:
        """Waits until the condition holds while all of these run; raises ServerError."""
        deadline = time.monotonic() + READY_WITHIN
        while not condition():
            self.check(*processes)
            if time.monotonic() > deadline:
                self._fail(f"expected the server to be ready within {READY_WITHIN:g} s")
            time.sleep(0.05)

    def check(self, *processes: Process) -> None:
        """Raises ServerError when one of them has ended."""
        for process in processes:
            if process.poll() is not None:
                self._fail(f"expected all programs to run, but one ended with status {process.returncode}")

    def _fail(self, message: str) -> NoReturn:
        lines = [message]
        for log in sorted(self._directory.glob("*.log")):
            lines += [f"--- {log.stem}", log.read_text(errors="replace")[-2000:]]
        raise ServerError("\n".join(lines))


def before_exec(cores: frozenset[int] = frozenset()) -> Callable[[], None]:
    """Returns what a child runs before it becomes another program."""
    prepare = die_with_parent()

    def prepare_and_pin() -> None:
        prepare()
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare_and_pin


def is_answered(url: str) -> bool:
    """Says whether the server answers well, or at all where the page is not named."""
    status = asyncio.run(status_of(url))
    return status == 200 if url.endswith("/readyz") else status is not None


def end(process: Process) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
