"""What a measurement needs from the machine: which cores there are, what a process cost, and a name for it all.

Reads /proc and pins with sched_setaffinity, so that it works on Linux; elsewhere nothing is pinned.
"""

import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from config import embedded_redis
from config.process import die_with_parent

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


@dataclass(frozen=True)
class Cores:
    """Which cores the web process has to itself, and which all others share; both empty where there is only one."""

    web: frozenset[int]
    others: frozenset[int]

    @property
    def are_apart(self) -> bool:
        return bool(self.web)

    def keep_web_free(self) -> None:
        """Moves this process, and every child it starts from now on, off the web process's core."""
        if self.others:
            os.sched_setaffinity(0, self.others)

    def child(self, *, is_web: bool) -> Callable[[], None]:
        """Returns what a child runs before it becomes another program."""
        prepare = die_with_parent()

        def prepare_and_pin() -> None:
            prepare()
            if is_web and self.web:
                os.sched_setaffinity(0, self.web)

        return prepare_and_pin


def split_cores() -> Cores:
    """Gives the last core to the web process."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(frozenset(), frozenset())
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return Cores(frozenset(), frozenset())
    return Cores(frozenset(available[-1:]), frozenset(available[:-1]))


def cpu_seconds(pid: int) -> float:
    """Returns what a process has used so far, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
