"""The whole system as a person starts, stops, breaks and starts it again."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from config.listening import listen
from tests.live import PATIENCE, LiveSystem, is_alive, wait_until

Start = Callable[..., LiveSystem]


@pytest.fixture
def system(live_system: Start) -> LiveSystem:
    return live_system()


@pytest.fixture
def rundemo(tmp_path: Path) -> Iterator[Callable[..., LiveSystem]]:
    """Starts `rundemo` without expecting it to come up."""
    started: list[LiveSystem] = []

    def start(*args: str, state_dir: Path = tmp_path, **env: str) -> LiveSystem:
        started.append(LiveSystem(state_dir, env, list(args)))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def family(system: LiveSystem) -> list[int]:
    parent = psutil.Process(system.process.pid)
    return [parent.pid, *(child.pid for child in parent.children(recursive=True))]


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return int(answer.status)


def test_the_banner_says_where_to_go_and_how_to_log_in(system: LiveSystem) -> None:
    banner = system.log[system.log.index("Livefolio is running") :]

    assert f"{system.url}/realtime/dashboard/" in banner
    assert f"{system.url}/api/docs/" in banner
    assert "demo / demo" in banner and "admin / admin" in banner
    assert "Ctrl-C" in banner
    assert system.log.count("Livefolio is running") == 1
    assert status(f"{system.url}/readyz") == 200
    assert system.login("demo", "demo") and system.login("admin", "admin")


def test_children_stay_in_the_process_group_and_their_lines_carry_their_names(system: LiveSystem) -> None:
    assert {os.getpgid(pid) for pid in family(system)} == {os.getpgid(system.process.pid)}
    names = {"redis", "setup", "feed", "web", "livefolio"}
    before_banner = system.log[: system.log.index("-----")]
    assert all(line.split("|")[0].strip() in names for line in before_banner.splitlines() if line.strip())


@pytest.mark.parametrize("role", ["web", "feed", "redis"])
def test_a_child_that_is_killed_is_started_again(system: LiveSystem, role: str) -> None:
    old = system.kill(role)

    system.wait_until_restarted(role, old)

    wait_until(lambda: _is_ready(system), PATIENCE, "a system that is ready again")
    assert f"{role} was ended by SIGKILL" in system.log
    assert system.is_running


def _is_ready(system: LiveSystem) -> bool:
    try:
        return status(f"{system.url}/readyz") == 200
    except OSError:
        return False


def test_a_second_instance_is_an_error_that_names_the_first(system: LiveSystem, rundemo: Start) -> None:
    environment = {**os.environ, "STATE_DIR": str(system.state_dir)}
    environment |= {"DJANGO_SETTINGS_MODULE": "config.settings.demo"}
    environment.pop("REDIS_URL", None)
    done = subprocess.run(
        [sys.executable, "manage.py", "rundemo", "--port", "0", "--reset"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "runs already" in done.stderr and f"process {system.process.pid}" in done.stderr
    assert (system.state_dir / "db.sqlite3").exists() or "DATABASE_URL" in os.environ
    assert _is_ready(system)


def test_sigterm_stops_everything_within_five_seconds(live_system: Start) -> None:
    system = live_system(args=["--workers", "2"], fresh=True)
    # Itself, Redis, the feed, and the web server's parent with two workers.
    wait_until(lambda: len(family(system)) >= 6, PATIENCE, "all of the family")
    everyone = family(system)

    started = time.monotonic()
    exit_status = system.stop()

    assert time.monotonic() - started < 20  # five seconds, and what a busy machine adds
    assert exit_status == 0
    wait_until(lambda: not [pid for pid in everyone if is_alive(pid)], PATIENCE, "all children to be gone")
    left = {path.name for path in system.state_dir.iterdir()} - {"rundemo.log", "secret_key"}
    assert {name for name in left if not name.startswith("db.sqlite3")} == set()


def test_ctrl_c_in_a_terminal_reaches_the_whole_group_and_still_stops_in_order(live_system: Start) -> None:
    system = live_system(fresh=True)
    everyone = family(system)

    os.killpg(system.process.pid, signal.SIGINT)

    assert system.process.wait(PATIENCE) == 0
    wait_until(lambda: not [pid for pid in everyone if is_alive(pid)], PATIENCE, "all children to be gone")
    assert "was ended by" not in system.log and "Traceback" not in system.log


def test_sigkill_leaves_no_child(live_system: Start) -> None:
    system = live_system(args=["--workers", "2"], fresh=True)
    everyone = family(system)

    system.stop(signal.SIGKILL)

    wait_until(lambda: not [pid for pid in everyone if is_alive(pid)], PATIENCE, "all children to be gone")


def test_a_system_that_was_killed_starts_again_with_what_it_had(live_system: Start, rundemo: Start) -> None:
    first = live_system(fresh=True)
    first.stop(signal.SIGKILL)

    again = rundemo(state_dir=first.state_dir, **_database(first))
    again.wait_until_ready()

    assert again.login("demo", "demo")


def _database(system: LiveSystem) -> dict[str, str]:
    return {"DATABASE_URL": system.env["DATABASE_URL"]} if "DATABASE_URL" in system.env else {}


def test_a_program_that_keeps_failing_ends_the_system_with_an_error(live_system: Start) -> None:
    system = live_system(fresh=True)
    pid = 0
    for _ in range(5):
        system.wait_until_restarted("feed", pid)
        pid = system.kill("feed")

    assert system.process.wait(PATIENCE) != 0
    assert "feed failed 5 times within 60 s" in system.log


def test_a_taken_port_is_an_error_before_anything_starts(rundemo: Start, tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        system = rundemo("--port", port, "--reset")
        assert system.process.wait(PATIENCE) != 0

    assert f"port {port} on 127.0.0.1 is taken" in system.log and "--port" in system.log
    assert "Traceback" not in system.log
    assert not (tmp_path / "db.sqlite3").exists() and not (tmp_path / "run.lock").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "http"], "expected a port from 0 to 65535, was 'http'"),
        (["--port", "70000"], "expected a port from 0 to 65535, was '70000'"),
        (["--workers", "0"], "expected a number of processes from 1 to 64, was '0'"),
        (["--source", "nope"], "expected a source of simulator, coinbase"),
        (["--host", "192.0.2.1"], "expected an address of this machine, was '192.0.2.1'"),
        (["--sorce", "simulator"], "unrecognized arguments: --sorce"),
    ],
)
def test_a_wrong_option_says_what_was_wrong(
    rundemo: Start, tmp_path: Path, words: list[str], said: str
) -> None:
    system = rundemo(*words)

    assert system.process.wait(PATIENCE) != 0
    assert said in system.log
    assert "Traceback" not in system.log
    assert {path.name for path in tmp_path.iterdir()} <= {"rundemo.log", "secret_key"}


def test_reset_forgets_the_demo_and_does_no_harm_where_nothing_exists(
    live_system: Start, rundemo: Start
) -> None:
    if "DATABASE_URL" in os.environ:
        return  # only the demo's own database is ever reset; see the next test
    first = live_system(args=["--reset"], fresh=True)
    kept = first.state_dir / "a file of somebody's"
    kept.touch()
    first.stop()
    inode = (first.state_dir / "db.sqlite3").stat().st_ino

    again = rundemo("--reset", state_dir=first.state_dir)
    again.wait_until_ready()

    assert (first.state_dir / "db.sqlite3").stat().st_ino != inode
    assert kept.exists()
    assert again.login("demo", "demo")


def test_reset_refuses_a_database_that_is_not_the_demos(rundemo: Start, tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious.sqlite3"
    elsewhere.write_bytes(b"")
    system = rundemo("--reset", DATABASE_URL=f"sqlite:///{elsewhere}")

    assert system.process.wait(PATIENCE) != 0
    assert "DATABASE_URL" in system.log
    assert elsewhere.exists()


def test_on_an_open_address_nobody_gets_in_with_the_well_known_passwords(live_system: Start) -> None:
    system = live_system(args=["--host", "0.0.0.0"], fresh=True)
    shown = dict(re.findall(r"(demo|admin) / (\S+)", system.log))

    with pytest.raises(AssertionError, match="expected to be logged in"):
        system.login("demo", "demo")

    assert set(shown) == {"demo", "admin"} and not set(shown.values()) & set(shown)
    assert system.login("demo", shown["demo"])
    assert (system.state_dir / "logins.json").stat().st_mode & 0o777 == 0o600


def test_a_redis_that_is_named_is_used_and_left_alone(rundemo: Start, redis_url: str) -> None:
    system = rundemo(REDIS_URL=redis_url)
    system.wait_until_ready()

    assert set(system.pids) == {"rundemo", "feed", "web"}


def test_the_port_is_not_moved_and_not_lost_while_web_restarts(system: LiveSystem) -> None:
    old = system.kill("web")
    address = system.url.removeprefix("http://").split(":")

    with socket.create_connection((address[0], int(address[1])), timeout=PATIENCE):
        pass  # refused would raise

    system.wait_until_restarted("web", old)


def test_a_checkout_deeper_than_a_sockets_name_may_be_works(rundemo: Start, tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    system = rundemo(state_dir=deep)
    system.wait_until_ready()

    assert system.login()
    shutil.rmtree(deep, ignore_errors=True)


def test_a_source_that_cannot_be_reached_stops_nothing(rundemo: Start) -> None:
    system = rundemo(
        "--source", "coinbase", "--source", "simulator", COINBASE_WEBSOCKET_URL="ws://127.0.0.1:1"
    )
    system.wait_until_ready()

    assert re.search(r"Prices +coinbase, simulator", system.log)
    with urllib.request.urlopen(f"{system.url}/readyz", timeout=PATIENCE) as answer:
        assert set(json.load(answer)["feeds"]) == {"coinbase", "simulator"}


def test_a_source_that_stands_for_several_is_ready_when_each_of_them_is(rundemo: Start) -> None:
    system = rundemo(
        "--source",
        "polygon",
        POLYGON_API_KEY="secret",
        POLYGON_CLUSTERS="stocks crypto",
        POLYGON_WEBSOCKET_URL="ws://127.0.0.1:1",
        POLYGON_REST_URL="http://127.0.0.1:1",
    )
    system.wait_until_ready()

    assert re.search(r"Prices +polygon_stocks, polygon_crypto", system.log)
