"""The loopback exchange as a process of its own, the way a system that is under test meets a vendor."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The recorded session lasts 30 s; at this speed 20 flushes a second show nearly every price.
SPEED = 3


@contextmanager
def reserved_port() -> Iterator[int]:
    """Keeps a free port for whoever is going to listen on it, within the block and with SO_REUSEADDR.

    A port that is only known to be free may be anybody's by then, and be it as one end of a connection.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


@contextmanager
def exchange(port: int, recording: Path, speed: float = SPEED) -> Iterator[Callable[[], None]]:
    """Runs it until the block ends; what it yields waits for the session's last frame."""
    command = [sys.executable, "-m", "tests.vendors", "coinbase", "--port", str(port), "--speed", str(speed)]
    command += ["--recording", str(recording)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"ready port={port}\n"
            yield lambda: _wait_for_the_end(process)
        finally:
            process.terminate()


def _wait_for_the_end(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "finished\n"
