"""Builds and runs `load_client.c`, the reader of many sockets; a Python one would be measured instead of the server."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.process import die_with_parent

SOURCE = Path(__file__).with_name("load_client.c")


class LoadClientError(Exception):
    """The load client could not be built, or what it read was not what was asked for."""


@dataclass(frozen=True)
class Load:
    """What the client shall read.

    Attributes:
        headers: one for each socket; fewer are used again from the start.
        settle: seconds between the last handshake and the first count.
        ages_of_one_in: of each so many frames, the age of one is read, which costs the client most.
    """

    port: int
    path: str
    sockets: int
    subscriptions: Sequence[str]
    headers: Sequence[str] = ()
    settle: float = 2.0
    seconds: float = 10.0
    ages_of_one_in: int = 1


@dataclass(frozen=True)
class Reading:
    """What the client counted."""

    seconds: float
    frames: int
    updates: int
    bytes: int
    aged: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_seconds: float
    fewest: int
    most: int

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds

    @property
    def updates_per_second(self) -> float:
        return self.updates / self.seconds


class LoadClient:
    """The built program, in a directory that its owner removes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._binary = build(directory)

    def read(self, load: Load, begun: Callable[[], None] = lambda: None) -> Reading:
        """Opens the sockets and counts; `begun` is called when counting begins, and this returns when it ends.

        Raises:
            LoadClientError: A socket was refused or closed, a subscription was refused, or the client got stuck.
        """
        with subprocess.Popen(
            self._command(load),
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        ) as process:
            try:
                return self._follow(process, begun)
            finally:
                process.kill()

    def _command(self, load: Load) -> list[str]:
        subscriptions, headers = self._directory / "subscriptions", self._directory / "headers"
        subscriptions.write_text("".join(f"{line}\n" for line in load.subscriptions))
        headers.write_text("".join(f"{line}\n" for line in load.headers))
        numbers = (load.settle, load.seconds, load.ages_of_one_in)
        return [
            str(self._binary),
            str(load.port),
            load.path,
            str(load.sockets),
            *map(str, numbers),
            str(subscriptions),
            str(headers),
        ]

    def _follow(self, process: subprocess.Popen[bytes], begun: Callable[[], None]) -> Reading:
        assert process.stdout is not None
        for line in process.stdout:
            told: dict[str, Any] = json.loads(line)
            match told.pop("event"):
                case "measuring":
                    begun()
                case "result":
                    return reading_of(told)
        raise LoadClientError(f"the load client ended with status {process.wait()} and no result")


def reading_of(told: dict[str, Any]) -> Reading:
    """Returns the result as a value; raises LoadClientError when something went wrong on the way."""
    if told["errors"] or told["closed"]:
        raise LoadClientError(
            f"expected every socket to stay open and be answered, was {told['closed']} closed, {told['errors']} errors"
        )
    if not told["updates"]:
        raise LoadClientError("expected updates, was none")
    fields = Reading.__dataclass_fields__
    return Reading(**{name: value for name, value in told.items() if name in fields})


def build(directory: Path) -> Path:
    """Compiles the client into `directory`; raises LoadClientError where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise LoadClientError(
            "expected a C compiler (cc, gcc or clang), was none; install one (Debian: apt install gcc libc6-dev)"
        )
    binary = directory / "load_client"
    built = subprocess.run(
        [compiler, "-O3", "-Wall", "-o", str(binary), str(SOURCE)], capture_output=True, text=True
    )
    if built.returncode:
        raise LoadClientError(f"{compiler} could not build the load client (it needs Linux):\n{built.stderr}")
    return binary
