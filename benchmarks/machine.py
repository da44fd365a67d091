"""What a measurement needs from the machine: which cores there are, what a process costs, and a name for it all.

Reads /proc and pins with sched_setaffinity, so that it works on Linux; with one core nothing is pinned.
"""

import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from config import embedded_redis

PACKAGES = (
    "django",
    "channels",
    "channels-redis",
    "uvicorn",
    "uvloop",
    "websockets",
    "redis",
    "hiredis",
    "msgspec",
)


class MachineError(Exception):
    """This machine does not let us do what was asked; the message says what to change."""


@dataclass(frozen=True)
class Cores:
    """Which cores web processes are pinned to, and which all others use; both empty where there is only one."""

    web: frozenset[int]
    others: frozenset[int]

    @property
    def are_apart(self) -> bool:
        return bool(self.web) and not self.web & self.others

    @contextmanager
    def kept_free(self) -> Iterator[None]:
        """Moves this process, and every child it starts meanwhile, to the cores of the others."""
        if not self.others:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.others)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def split_cores(web: int = 1) -> Cores:
    """Gives the last `web` cores to web processes; the others share them when nothing else is left."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(frozenset(), frozenset())
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return Cores(frozenset(), frozenset())
    return Cores(frozenset(available[-web:]), frozenset(available[:-web] or available))


def pin(pid: int, core: int) -> None:
    """Moves a process with all its threads to one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def allow_open_files(least: int) -> None:
    """Raises the limit of open files for this process and its children; raises MachineError where it is too low."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < least:
        raise MachineError(f"expected a hard limit of at least {least} open files, was {hard} (ulimit -Hn)")
    soft = least if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- processes -------------------------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """Returns what a process has used so far, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Returns how much memory a process has in the machine now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> tuple[int, ...]:
    """Returns the processes that `pid` started itself, in their order."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rsplit(")", 1)[1].split()[1]
        except OSError:  # ended meanwhile
            continue
        if int(parent) == pid:
            found.append(int(stat.parent.name))
    return tuple(sorted(found))


def connections_to(port: int) -> set[int]:
    """Returns the clients' ports of the TCP connections that the server at `port` still holds."""
    return peers_of(port, Path("/proc/net/tcp").read_text())


def peers_of(port: int, table: str) -> set[int]:
    """Reads the kernel's table: `1: 0100007F:1F90 0100007F:D2F0 01 …`, our own end, the peer's, the state.

    One in TIME_WAIT (06) holds no memory but its number, and one that listens has no peer.
    """
    rows = (line.split()[1:4] for line in table.splitlines()[1:])
    ends = ((own[-4:], peer[-4:]) for own, peer, state in rows if state != "06")
    return {int(peer, 16) for own, peer in ends if int(own, 16) == port and int(peer, 16)}


# --- all of it -------------------------------------------------------------------------------------------------------


class Others:
    """How much of the machine went to programs that are not ours, from here until `cores_used`."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._busy, self._own = _busy_seconds(), _own_seconds()

    def cores_used(self) -> float:
        """Asked when all our children have ended and been waited for."""
        elapsed = time.monotonic() - self._begun
        others = _busy_seconds() - self._busy - (_own_seconds() - self._own)
        return max(0.0, others / elapsed)


def _busy_seconds() -> float:
    """All CPU time of the machine but idling and waiting for disks; other guests of its host count too."""
    user, nice, system, _, _, irq, softirq, steal = _cpu_ticks()
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _cpu_ticks() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def _own_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def description(cores: Cores, others: float) -> list[str]:
    """Returns lines that say what this ran on."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    pinned = "the web process alone on one core" if cores.are_apart else "nothing pinned: only one core"
    return [
        f"{os.cpu_count()} cores, {_processor()}; {pinned}",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, Redis {_redis()}",
        packages,
        f"other programs used {others:.1f} cores meanwhile",
    ]


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def _redis() -> str:
    return ".".join(str(part) for part in embedded_redis.find_server().version)


def revision(root: Path) -> str:
    """Returns the commit that is measured, or nothing outside a repository."""
    try:
        said = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip()
