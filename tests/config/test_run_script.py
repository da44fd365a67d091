"""./run's set-up: when it installs, when it does not, and what it says when it cannot."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.live import ROOT

# Does what ./run asks of a Python, and writes down what that was. OLD and BARE make it lack something.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >>"$LOG"
case "$1 $2" in
    "-c import sys; sys.exit(sys.version_info < (3, 11))") [ -z "$OLD" ] ;;
    "-c import ensurepip, venv") [ -z "$BARE" ] ;;
    "-c import sys; print("*) echo 3.11 ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip") [ -z "$CUT_SHORT" ] || [ "$3" != install ] || kill -KILL $PPID ;;
esac
"""


class Checkout:
    """A folder with what ./run needs for its set-up and a Python that only pretends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "python.log"
        (folder / "requirements.txt").write_text("django==5.2\n")
        programs = folder / "programs"
        programs.mkdir()
        (programs / "python3").write_text(FAKE_PYTHON)
        (programs / "python3").chmod(0o755)
        for name in ("sh", "cat", "cksum", "rm", "mkdir", "cp", "flock", "dirname"):
            for place in ("/usr/bin", "/bin"):
                if Path(place, name).exists() and not (programs / name).exists():
                    (programs / name).symlink_to(Path(place, name))

    def set_up(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        self.log.write_text("")
        return subprocess.run(
            ["/bin/sh", "-euc", f". {ROOT}/deploy/venv.sh; make_venv requirements.txt"],
            cwd=self.folder, capture_output=True, text=True, check=False, timeout=60,
            env={"PATH": str(self.folder / "programs"), "LOG": str(self.log), **environment},
        )  # fmt: skip

    @property
    def installed(self) -> bool:
        return "-m pip install" in self.log.read_text()

    @property
    def made_venv(self) -> bool:
        return "-m venv .venv" in self.log.read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_installs_once_and_again_only_when_the_requirements_change(checkout: Checkout) -> None:
    assert checkout.set_up().returncode == 0
    assert checkout.made_venv and checkout.installed

    assert checkout.set_up().returncode == 0
    assert not checkout.made_venv and not checkout.installed

    (checkout.folder / "requirements.txt").write_text("django==5.3\n")
    assert checkout.set_up().returncode == 0
    assert not checkout.made_venv and checkout.installed


def test_an_install_that_was_cut_short_begins_from_nothing(checkout: Checkout) -> None:
    assert checkout.set_up(CUT_SHORT="yes").returncode != 0

    assert checkout.set_up().returncode == 0
    assert checkout.made_venv and checkout.installed


def test_a_venv_whose_python_is_gone_is_made_again(checkout: Checkout) -> None:
    checkout.set_up()
    (checkout.folder / ".venv" / "bin" / "python").unlink()

    assert checkout.set_up().returncode == 0
    assert checkout.made_venv and checkout.installed


def test_without_a_new_enough_python_it_says_what_to_install(checkout: Checkout) -> None:
    done = checkout.set_up(OLD="yes")

    assert done.returncode == 3
    assert "needs Python 3.11 or newer" in done.stderr and "apt install python3" in done.stderr


def test_without_debians_venv_package_it_names_it(checkout: Checkout) -> None:
    done = checkout.set_up(BARE="yes")

    assert done.returncode == 3
    assert "apt install python3.11-venv" in done.stderr


@pytest.mark.parametrize("script", ["run", "test", ".ci/run"])
def test_the_scripts_can_be_executed_and_parsed(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    shell = "bash" if script.startswith(".ci") else "sh"
    assert subprocess.run([shell, "-n", ROOT / script], check=False).returncode == 0
