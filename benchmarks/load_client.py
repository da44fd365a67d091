"""Builds and runs `load_client.c`, the reader of many sockets; a Python one would be measured instead of the server."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from config.process import die_with_parent

SOURCE = Path(__file__).with_name("load_client.c")
STOP_WITHIN = 5.0
AGES = ("age", "newest", "sent", "flush")
# An event's name and what it carries; true ends the counting early.
Listener = Callable[[str, Mapping[str, Any]], bool | None]


class LoadClientError(Exception):
    """The load client could not be built, or what it read was not what was asked for."""


@dataclass(frozen=True)
class Load:
    """What the client shall read.

    Attributes:
        subscriptions: what each socket sends, all of them or, with `own_subscription`, only its own one in their order.
        headers: one for each socket; fewer are used again from the start.
        in_flight: handshakes that may be under way at a time; own subscriptions likewise.
        greeted: the server speaks first, and only then a handshake is done.
        settle: seconds between the moment when every socket has had data and the first count.
        seconds: how long to count; 0 ends with the last handshake.
        ages_of_one_in: of each so many frames, the age of one is read, which costs the client most. A number that
            divides the sockets' would read the same ones again and again, so take a prime.
        stuck: of the sockets, so many stop reading when counting begins, and are not counted.
        stuck_receive_buffer: bytes of their SO_RCVBUF, 0 for the machine's own.
    """

    port: int
    path: str
    sockets: int
    subscriptions: Sequence[str] = ()
    own_subscription: bool = False
    headers: Sequence[str] = ()
    in_flight: int = 32
    greeted: bool = True
    settle: float = 2.0
    seconds: float = 10.0
    ages_of_one_in: int = 1
    stuck: int = 0
    stuck_receive_buffer: int = 0


@dataclass(frozen=True)
class Ages:
    """How old what arrived was."""

    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What the client counted.

    Attributes:
        connect_seconds: from the first handshake's begin to the last one's end.
        subscribe_seconds: from the first subscription to the first data of the last socket.
        updates: quotes, or positions of portfolios.
        closed: sockets that were closed while they should be read; those that read nothing are in `stuck_ended`.
        fewest: frames of the socket that got the fewest; `most` likewise.
        age: of each update's `as_of`; `newest` of the newest one in each frame, `sent` of the envelope's `timestamp`,
            `flush`, for each frame, of the newest that any frame had by then.
    """

    connect_seconds: float
    seconds: float
    frames: int
    updates: int
    bytes: int
    closed: int
    errors: int
    fewest: int
    most: int
    aged: int
    cpu_seconds: float
    stuck_ended: int = 0
    subscribe_seconds: float = 0.0
    age: Ages = Ages()
    newest: Ages = Ages()
    sent: Ages = Ages()
    flush: Ages = Ages()
    codes: Mapping[str, int] = field(default_factory=dict)

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

    def read(self, load: Load, listener: Listener = lambda event, told: None) -> Reading:
        """Opens the sockets and counts; `listener` hears `connected`, `answered`, `measuring`, four `tick` a second.

        Raises:
            LoadClientError: A socket was refused or closed, a subscription was refused, or the client got stuck.
        """
        with (self._directory / "load_client.errors").open("wb") as errors:
            process = subprocess.Popen(
                self._command(load),
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent(),
            )
        with process:
            try:
                return check(self._follow(process, listener), load, self._complaints)
            finally:
                process.kill()

    @property
    def _complaints(self) -> str:
        return (self._directory / "load_client.errors").read_text(errors="replace").strip()[-400:]

    def _command(self, load: Load) -> list[str]:
        subscriptions, headers = self._directory / "subscriptions", self._directory / "headers"
        subscriptions.write_text("".join(f"{line}\n" for line in load.subscriptions))
        headers.write_text("".join(f"{line}\n" for line in load.headers))
        values: dict[str, Any] = {item.name: getattr(load, item.name) for item in fields(load)}
        values |= {"subscriptions": subscriptions, "headers": headers, "greeting": int(values.pop("greeted"))}
        values["own_subscription"] = int(load.own_subscription)
        return [str(self._binary), *(f"{name}={value}" for name, value in values.items())]

    def _follow(self, process: subprocess.Popen[bytes], listener: Listener) -> Reading:
        assert process.stdout is not None
        for line in process.stdout:
            told: dict[str, Any] = json.loads(line)
            event = told.pop("event")
            if event == "result":
                return reading_of(told)
            if listener(event, told):
                process.terminate()  # it tells its result at once
        status = process.wait()
        raise LoadClientError(self._complaints or f"the load client ended with status {status} and no result")


def reading_of(told: Mapping[str, Any]) -> Reading:
    values: dict[str, Any] = {item.name: told[item.name] for item in fields(Reading)}
    return Reading(**values | {name: Ages(**told[name]) for name in AGES})


def check(reading: Reading, load: Load, complaints: str = "") -> Reading:
    """Returns the reading; raises LoadClientError when something went wrong on the way."""
    if reading.errors or reading.closed:
        codes = ", ".join(f"{count} x {code}" for code, count in reading.codes.items()) or "none"
        raise LoadClientError(
            f"expected every socket to stay open and be answered, was {reading.closed} closed (codes: {codes}), "
            f"{reading.errors} errors {complaints}".rstrip()
        )
    if load.seconds and not reading.updates:
        raise LoadClientError("expected updates, was none")
    return reading


def build(directory: Path) -> Path:
    """Compiles the client into `directory`; raises LoadClientError where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise LoadClientError(
            "expected a C compiler (cc, gcc or clang), was none; install one (Debian: apt install gcc libc6-dev)"
        )
    binary = directory / "load_client"
    built = subprocess.run(
        [compiler, "-O3", "-march=native", "-Wall", "-o", str(binary), str(SOURCE)],
        capture_output=True,
        text=True,
    )
    if built.returncode:
        raise LoadClientError(f"{compiler} could not build the load client (it needs Linux):\n{built.stderr}")
    return binary
