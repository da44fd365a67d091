"""Makes the oracles' Python environment once, under var/oracles/, and names its interpreter."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / "requirements.txt"
TIMEOUT = 240


def oracle_python() -> Path:
    """The interpreter of an environment that holds the pinned requirements; fails the test if there can be none."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = ROOT / "var" / "oracles" / wanted
    python = home / "bin" / "python"
    home.parent.mkdir(parents=True, exist_ok=True)
    # Two runs at once install one after the other.
    with (home.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "installed").exists():
            shutil.rmtree(home, ignore_errors=True)
            _install(home, python)
            (home / "installed").touch()
    return python


def _install(home: Path, python: Path) -> None:
    uv = shutil.which("uv")
    if uv:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(home)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(REQUIREMENTS)])
    else:
        _run([sys.executable, "-m", "venv", str(home)])
        quietly = ["-qq", "--disable-pip-version-check", "--no-input"]
        _run([str(python), "-m", "pip", "install", *quietly, "-r", str(REQUIREMENTS)])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=_environment())
        said, failed = done.stderr or done.stdout, done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = f"no answer within {TIMEOUT} s", True
    if failed:
        pytest.fail(
            f"the oracle cannot be installed: `{' '.join(command)}` failed. It needs the packages of"
            f" {REQUIREMENTS.relative_to(ROOT)} from a package index, once.\n{said.strip()[-2000:]}",
            pytrace=False,
        )


def _environment() -> dict[str, str]:
    """Ours, less what would point another interpreter at our packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
