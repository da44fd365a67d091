"""The specification's command lines, and wrong ones: a clear line, a status that is not 0, and nothing changed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.contract.client import Socket
from tests.contract.conftest import System, ok
from tests.live import PATIENCE, ROOT, wait_until


class Running:
    """A command that goes on until it is told to stop."""

    def __init__(self, system: System, *words: str) -> None:
        self.log = system.live.state_dir / f"{words[0]}-{len(words)}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), *words],
                env=system.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT,
            )  # fmt: skip

    def says(self, text: str, within: float = 60) -> None:
        wait_until(lambda: text in self.log.read_text() or self.process.poll() is not None, within, text)
        assert text in self.log.read_text(), self.log.read_text()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--interval", "15", "--batch-size", "100", "--verbose"],
        ["--interval", "30", "--batch-size", "50"],
    ],
)
def test_a_second_price_feed_says_that_it_stands_by_and_stops_cleanly(
    system: System, flags: list[str]
) -> None:
    socket = system.connect()
    socket.subscribe("AAPL")
    epoch = socket.update("AAPL")["epoch"]
    running = Running(system, "start_price_feed", *flags)
    try:
        running.says("standing by")
    finally:
        status = running.stop()
    assert status == 0
    socket.skip()
    assert socket.update("AAPL")["epoch"] == epoch


def test_prices_are_updated_by_command(system: System) -> None:
    for words in ([], ["--symbols", "AAPL", "MSFT", "GOOGL"], ["--historical", "--days", "30"]):
        done = system.manage("update_asset_prices", *words, within=120)
        assert done.returncode == 0, done.stderr
        assert "0 failed" in done.stdout


@pytest.fixture
def frozen_feed(system: System) -> Iterator[None]:
    """Holds the feed still, so that nothing but the command under test could change anything."""
    pid = system.live.pids["feed"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, PATIENCE, "it to stand still")
    yield
    with system.redis() as client:
        frozen_at = client.hget("lf:last", "AAPL")
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: client.hget("lf:last", "AAPL") != frozen_at, PATIENCE, "the feed to go on")
    wait_until(lambda: system.metric("feed_live") > 0, PATIENCE, "the feed to be live again")
    # Whoever connects next finds a web process that has heard of it, too.
    system.connect().expect("feed_status", lambda frame: frame["data"]["state"] == "live")


def test_a_dry_run_changes_nothing_and_tells_nobody(
    system: System, bystander_of_aapl: Socket, frozen_feed: None
) -> None:
    before = state(system)
    bystander_of_aapl.catch_up()
    known = bystander_of_aapl.updates("AAPL")[-1]
    done = system.manage("update_asset_prices", "--symbols", "AAPL", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "AAPL" in done.stdout and "nothing was written" in done.stdout
    assert state(system) == before
    bystander_of_aapl.catch_up()
    # Told again it may be, as a price that grows stale.
    last = bystander_of_aapl.updates("AAPL")[-1]
    assert (last["epoch"], last["seq"], last["price"]) == (known["epoch"], known["seq"], known["price"])


@pytest.fixture
def bystander_of_aapl(system: System) -> Socket:
    socket = system.connect("olga")
    socket.subscribe("AAPL")
    socket.update("AAPL")
    return socket


def state(system: System) -> object:
    """What the product shows of AAPL, and what Redis has of all."""
    session = system.session()
    shown = [
        ok(session.get(path)).json["results" if "bars" in path else "price"]
        for path in ("/api/assets/AAPL/", "/api/assets/AAPL/bars/?page_size=1000")
    ]
    with system.redis() as client:
        return shown, client.hgetall("lf:last")


WRONG = {
    "update_asset_prices --symbols NOPE AAPL": "NOPE",
    "update_asset_prices --symbols": "--symbols",
    "update_asset_prices --historical --days 0": "'0'",
    "update_asset_prices --historical --days x": "'x'",
    "update_asset_prices --days 5": "--historical",
    "update_asset_prices --nope": "--nope",
    "start_price_feed --interval 0": "'0'",
    "start_price_feed --interval nan": "'nan'",
    "start_price_feed --batch-size -1": "'-1'",
    "start_price_feed --batch-size 1.5": "'1.5'",
    "start_price_feed --source nope": "nope",
    "start_price_feed --source replay --recording /nowhere/at.all": "/nowhere/at.all",
    "start_price_feed --record /nowhere/at.all --source coinbase": "/nowhere/at.all",
    "serve --port 99999": "'99999'",
    "serve --workers 0": "'0'",
    "rundemo --source nope": "nope",
    "rundemo --port 0": "already",  # a second instance in the same state directory
}


def test_wrong_command_lines_say_what_is_wrong_and_change_nothing(system: System) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = dict(
            zip(WRONG, pool.map(lambda line: system.manage(*line.split(), within=120), WRONG), strict=True)
        )
    for line, result in done.items():
        assert result.returncode != 0, line
        assert WRONG[line] in result.stderr, (line, result.stderr)
        assert "Traceback" not in result.stderr, (line, result.stderr)
    assert system.live.is_running
    wait_until(lambda: system.metric("feed_live") > 0, PATIENCE, "a feed that is live")


WRONG_SETTINGS = {
    "REALTIME_FLUSH_INTERVAL_MS": "0",
    "WEBSOCKET_TIMEOUT": "soon",
    "MAX_CONNECTIONS_PER_USER": "-1",
    "WEBSOCKET_ALLOW_ANONYMOUS": "perhaps",
    "SIMULATOR_RATE": "nan",
}


def test_a_setting_that_makes_no_sense_is_named(system: System) -> None:
    def check(name: str) -> "subprocess.CompletedProcess[str]":
        environment = {**system.environment, name: WRONG_SETTINGS[name]}
        command = [sys.executable, str(ROOT / "manage.py"), "check"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT)

    with ThreadPoolExecutor(4) as pool:
        for name, result in zip(WRONG_SETTINGS, pool.map(check, WRONG_SETTINGS), strict=True):
            assert result.returncode != 0
            last = result.stderr.strip().splitlines()[-1]
            assert name in last and WRONG_SETTINGS[name] in last
