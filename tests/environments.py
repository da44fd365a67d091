"""Python environments of their own, for programs that must not share ours: an oracle's, a vendor's own client's.

Each is made of a file of exact pins and kept in the user's cache folder under a hash of that file and of the Python
version, so that it is built once a machine. Whoever builds holds a lock, and the finished one appears by a rename:
there is never half of one. Every builder obeys pip's ordinary configuration.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

SECONDS = 280
# Unpacking takes a core, downloading takes none.
AT_ONCE = 4
# One that nobody has asked for in so long was made of pins that are no more.
FORGOTTEN_SECONDS = 30 * 86400


class CannotBuild(Exception):
    """The environment cannot be made here; says what failed, and pip's last words."""


_failures: dict[Path, CannotBuild] = {}


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "livefolio" / "clients"


def python_of(pins: Path, name: str | None = None) -> Path:
    """Returns the interpreter of the environment that holds these pins; builds it if it is not there.

    Args:
        pins: as of `pip freeze`; with `# --no-deps` as its first line nothing else is installed, whatever they ask for.
        name: what the environment is called; the file's own when left out.

    Raises:
        CannotBuild: as it was the first time in this process, at once.
    """
    if pins in _failures:
        raise _failures[pins]
    home = cache_folder() / f"{name or pins.stem}-{fingerprint(pins)}"
    try:
        if not home.exists():
            _build_once(home, pins)
        os.utime(home)
    except OSError as error:
        _failures[pins] = CannotBuild(f"cannot write to {home.parent}: {error.strerror}")
        raise _failures[pins] from error
    except CannotBuild as error:
        _failures[pins] = error
        raise
    return home / "bin" / "python"


def build_all(wanted: Iterable[Path]) -> None:
    """Builds what is missing, side by side; whoever asks for one that failed hears why."""

    def build(pins: Path) -> None:
        with suppress(CannotBuild):
            python_of(pins)

    with ThreadPoolExecutor(AT_ONCE) as builders:
        list(builders.map(build, wanted))


def outside_ours(**more: str) -> dict[str, str]:
    """Returns our process's variables less what would point another interpreter at our packages."""
    return {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    } | more


def fingerprint(pins: Path) -> str:
    """Returns what tells environments of the same name apart."""
    return hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:16]


def _build_once(home: Path, pins: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{home}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.exists():
            return
        part = Path(f"{home}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            _install(part, pins)
            part.rename(home)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    _forget_others(home)


def _install(folder: Path, pins: Path) -> None:
    only = ["--no-deps"] if pins.read_text().startswith("# --no-deps") else []
    python = folder / "bin" / "python"
    if _succeeds([sys.executable, "-m", "pip", "--version"]):
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], pins)
        _run([sys.executable, "-m", "pip", "--python", str(python), *_INSTALL, *only, "-r", str(pins)], pins)
    elif _succeeds([sys.executable, "-c", "import ensurepip"]):
        _run([sys.executable, "-m", "venv", str(folder)], pins)
        _run([str(python), "-m", "pip", *_INSTALL, *only, "-r", str(pins)], pins)
    else:
        _run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], pins)
        _run(["uv", "pip", "install", "--quiet", "--python", str(python), *only, "-r", str(pins)], pins)


_INSTALL = ("install", "-qq", "--disable-pip-version-check", "--no-input")


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, env=outside_ours()).returncode == 0


def _run(command: list[str], pins: Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=outside_ours())
        said, failed = done.stderr or done.stdout, done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = f"no answer within {SECONDS} s", True
    except OSError as error:
        said, failed = str(error), True
    if failed:
        raise CannotBuild(
            f"`{' '.join(command)}` failed. It needs the packages of {pins.name} from a package"
            f" index, once.\n{_without_addresses(said).strip()[-2000:]}"
        )


def _without_addresses(text: str) -> str:
    """Takes the addresses out of pip's words: an index's may hold a password."""
    return re.sub(r"\b(https?|file)://\S+", r"\1://…", text)


def _forget_others(home: Path) -> None:
    stem = home.name.rpartition("-")[0]
    for other in home.parent.iterdir():
        is_old = other != home and other.is_dir() and other.name.rpartition("-")[0] == stem
        if is_old and time.time() - other.stat().st_mtime > FORGOTTEN_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
