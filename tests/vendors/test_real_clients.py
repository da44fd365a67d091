"""The vendors' own clients: pinned to the last package, built once, and left out only where they cannot be had."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import environments
from tests.vendors import real_clients
from tests.vendors.real_clients import client_running, run_client

CLIENTS = {
    "cbpro": ("cbpro", "cbpro", "1.1.4"),
    "ccxt": ("ccxt", "ccxt", "4.5.90"),
    "massive": ("massive", "massive", "2.9.1"),
    "openalgo": ("openalgo", "openalgo", "1.0.47"),
    "polygon": ("polygon", "polygon", "1.2.8"),
    "polygon_async": ("polygon", "polygon", "1.2.8"),
    "upstox": ("upstox_client", "upstox-python-sdk", "2.30.0"),
    "upstox_v2": ("upstox_client", "upstox-python-sdk", "2.17.0"),
    "yfinance": ("yfinance", "yfinance", "1.7.0"),
}
NOTHING = "# nothing\n"
NOWHERE = "no-such-package-of-livefolio==1.0\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, and pins that lie in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setattr(environments, "_failures", {})
    monkeypatch.setattr(real_clients, "CLIENTS", tmp_path)
    return tmp_path


def pins(folder: Path, text: str, name: str = "some") -> Path:
    path = folder / f"{name}.txt"
    path.write_text(text)
    return path


def test_every_pin_is_exact() -> None:
    assert {path.stem for path in real_clients.CLIENTS.glob("*.txt")} == set(CLIENTS)
    for name, (_, package, version) in CLIENTS.items():
        lines = real_clients.pins_of(name).read_text().splitlines()
        wanted = [line for line in lines if not line.startswith("#")]
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line) for line in wanted)
        assert f"{package}=={version}" in wanted


@pytest.mark.real_client(*CLIENTS)
@pytest.mark.asyncio
async def test_every_client_is_the_released_one() -> None:
    said = await asyncio.gather(
        *(run_client(name, "import_client.py", *which[:2]) for name, which in CLIENTS.items())
    )
    assert said == [[[package, version]] for _, package, version in CLIENTS.values()]


# -- environments


def test_an_environment_is_built_once_and_knows_nothing_of_ours(folder: Path) -> None:
    wanted = pins(folder, NOTHING)
    python = environments.python_of(wanted)
    built = python.lstat().st_ino
    assert environments.python_of(wanted) == python and python.lstat().st_ino == built
    assert python.is_relative_to(folder / "cache" / "livefolio" / "clients")
    asked = [str(python), "-c", "import sys; print(sys.prefix); import django"]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.stdout.strip() == str(python.parent.parent) and "No module named 'django'" in done.stderr


def test_other_pins_are_another_environment_and_the_forgotten_one_goes(folder: Path) -> None:
    forgotten, kept = (environments.cache_folder() / name for name in ("some-0123", "some-4567"))
    for home in (forgotten, kept, other := environments.cache_folder() / "other-0123"):
        home.mkdir(parents=True)
    for home in (forgotten, other):
        os.utime(home, (0, 0))
    environments.python_of(pins(folder, NOTHING))
    assert [home.exists() for home in (forgotten, kept, other)] == [False, True, True]


def test_two_who_build_at_once_build_one(folder: Path) -> None:
    wanted, found = pins(folder, NOTHING), []
    threads = [threading.Thread(target=lambda: found.append(environments.python_of(wanted))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert [path.suffix for path in sorted((folder / "cache/livefolio/clients").iterdir())] == ["", ".lock"]


def test_a_half_built_one_is_thrown_away(folder: Path) -> None:
    wanted = pins(folder, NOTHING)
    half = environments.cache_folder() / f"some-{environments.fingerprint(wanted)}.part"
    (half / "bin" / "python").mkdir(parents=True)
    assert environments.python_of(wanted).is_file() and not half.exists()


def test_what_cannot_be_built_is_said_without_addresses_and_asked_for_only_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "https://user:secret@127.0.0.1:9/wheels")
    wanted = pins(folder, NOWHERE)
    environments.build_all([wanted])
    with pytest.raises(environments.CannotBuild, match=r"the packages of some\.txt") as first:
        environments.python_of(wanted)
    assert "secret" not in str(first.value) and "no-such-package-of-livefolio" in str(first.value)
    monkeypatch.setattr(environments, "_build_once", None)
    with pytest.raises(environments.CannotBuild):
        environments.python_of(wanted)
    assert not list((folder / "cache/livefolio/clients").glob("some-*.part"))


def test_a_client_that_cannot_be_had_is_left_out_loudly_and_fails_a_build(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins(folder, NOWHERE)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="left out: the vendor's own client some cannot be"):
        real_clients.python_of("some")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="cannot be installed"):
        real_clients.python_of("some")
    with pytest.raises(ValueError, match="expected a client of some, was 'other'"):
        real_clients.python_of("other")


# -- clients that run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Clients are scripts of this folder, run by our own Python."""
    monkeypatch.setattr(real_clients, "python_of", lambda name: Path(sys.executable))
    monkeypatch.setattr(real_clients, "CLIENTS", tmp_path)
    return tmp_path


@pytest.mark.asyncio
async def test_a_client_is_heard_line_by_line_and_told_things(here: Path) -> None:
    (here / "c.py").write_text(
        "import sys, os\nprint('[1, \"a\"]', flush=True)\nprint('plain', flush=True)\n"
        "print(repr(sys.stdin.readline()), os.environ.get('https_proxy'), os.environ['HOME'], flush=True)\n"
    )
    async with client_running("any", "c.py", env={"https_proxy": "http://127.0.0.1:1"}) as client:
        assert await client.until(lambda said: len(said) == 2) == [[1, "a"], "plain"]
        client.say("go on")
        await client.until(lambda said: len(said) == 3)
        assert (
            client.lines[2].startswith("'go on\\n' http://127.0.0.1:1 /") and await client.until_ended() == 0
        )
        assert not Path(client.lines[2].split()[-1]).samefile(Path.home())


@pytest.mark.asyncio
async def test_a_client_that_fails_or_hangs_is_an_error_with_its_words(here: Path) -> None:
    (here / "fails.py").write_text("import sys; print(1, flush=True); sys.exit('no such luck')")
    (here / "hangs.py").write_text("import time; print(1, flush=True); time.sleep(1000)")
    with pytest.raises(AssertionError, match="ended with 1: no such luck"):
        await run_client("any", "fails.py")
    with pytest.raises(AssertionError, match=r"ended before it said it: 1 lines.*no such luck"):
        await run_client("any", "fails.py", lines=2)
    with pytest.raises(AssertionError, match=r"did not end in 0\.5 s"):
        await run_client("any", "hangs.py", seconds=0.5)
    assert await run_client("any", "hangs.py", lines=1) == [1]
