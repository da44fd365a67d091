"""Redis, the feed, a web process and the database fail in turn: clients are told within 5 s and need do nothing.

Each test leaves the system whole again. Order matters to nobody, but one system serves all: no more than four
deaths a minute of one program, or its supervisor gives up, as it should.
"""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from http.client import HTTPException
from typing import Any

import psycopg
import pytest

from tests.contract.client import Closed, Frame, Http, Refused, ServerClosed, Socket
from tests.contract.conftest import System, ok
from tests.contract.test_commands import Running
from tests.contract.test_delivery import assert_ordered, still_asset
from tests.contract.test_frames import growth
from tests.live import PATIENCE, wait_until

# Five seconds are promised, of which three are a heartbeat's absence; a busy machine may add what it likes.
TOLD_WITHIN = 20.0
WELL_WITHIN = 60.0
ALIVE = "live"


@pytest.fixture(scope="module")
def fragile_system(start_system: Callable[..., System]) -> System:
    system = start_system(SIMULATOR_RATE="5", MAX_CONNECTIONS_PER_USER="0", WEBSOCKET_HANDSHAKE_RATE="0")
    still_asset(system, "STILL", "12.5")
    return system


@pytest.fixture
def system(fragile_system: System) -> Iterator[System]:
    settle(fragile_system)
    yield fragile_system
    fragile_system.close_sockets()
    wait_until(lambda: is_whole(fragile_system), WELL_WITHIN, "the system to be whole again")


def is_whole(system: System) -> bool:
    with suppress(OSError, HTTPException):
        ready = Http(system.url).get("/readyz")
        return ready.status == 200 and ready.json["feeds"].get("simulator", {}).get("state") == ALIVE
    return False


def settle(system: System) -> None:
    """Waits for three heartbeats of one epoch, when a fault of before brings no new one about any more.

    A feed that finds Redis again begins one epoch for what was lost and, a heartbeat later, one for the absence; the
    second would be taken for the next test's.
    """
    heard: dict[str, int] = {}

    def is_settled() -> bool:
        with system.redis() as client:
            status = json.loads(client.hget("lf:feeds", "simulator") or "{}")
        if status.get("state") == ALIVE:
            heard[status["at"]] = status["epoch"]
        last = list(heard.values())[-3:]
        return len(last) == 3 and len(set(last)) == 1

    wait_until(is_settled, WELL_WITHIN, "an epoch that stays")


@pytest.fixture
def watcher(system: System) -> Socket:
    """A connection as a dashboard has it: prices, one that stands still, and a portfolio."""
    socket = system.connect()
    socket.subscribe("AAPL", "BTC-USD", "STILL")
    socket.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    for symbol in ("AAPL", "BTC-USD", "STILL"):
        socket.update(symbol)
    socket.expect("portfolio_update")
    socket.catch_up()
    socket.skip()
    return socket


def told(socket: Socket, within: float = TOLD_WITHIN) -> Frame:
    """The first word that the simulator is not live, or that it is in a new epoch: then the fault is over already."""
    epoch = socket.updates("AAPL")[-1]["epoch"]
    found = socket.expect("feed_status", lambda frame: is_news(frame["data"], epoch), within)
    data: Frame = found["data"]
    return data


def is_news(status: Frame, epoch: int) -> bool:
    return bool(status["state"] != ALIVE or status["epoch"] > epoch)


def well_again(socket: Socket, first: Frame | None = None, within: float = WELL_WITHIN) -> Frame:
    """The word that it is live, which may have been the first word, and news after it."""
    if first is None or first["state"] != ALIVE:
        first = socket.expect("feed_status", lambda frame: frame["data"]["state"] == ALIVE, within)["data"]
    socket.skip()
    socket.update("AAPL", where=lambda data: not data["stale"])
    return first


def assert_shows_the_truth(system: System, socket: Socket) -> None:
    """What the connection was told last is what REST says, and a new connection is told the same."""
    assert_ordered(socket.updates())
    fresh = reconnected(system)
    fresh.subscribe("STILL", "AAPL")
    assert fresh.update("STILL")["price"] == Decimal("12.5")
    assert socket.updates("STILL")[-1]["price"] == Decimal("12.5")
    assert fresh.update("AAPL")["seq"] > 0
    shown = ok(system.session().get("/api/assets/AAPL/")).json["quote"]
    number = (shown["epoch"], shown["seq"])
    caught_up = fresh.update("AAPL", where=lambda data: (data["epoch"], data["seq"]) >= number)
    assert caught_up["price"] == shown["price"] or (caught_up["epoch"], caught_up["seq"]) > number
    fresh.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    first = fresh.expect("portfolio_update")["data"]
    watched = [frame["data"] for frame in socket.seen if frame["type"] == "portfolio_update"][-1]
    assert watched["cash"] == first["cash"] and first["coverage"] == 1


class Prober:
    """Asks pages over and over while something is broken, and keeps what they answered."""

    PATHS = (
        "/api/assets/",
        "/api/portfolios/",
        "/realtime/status/",
        "/realtime/health/",
        "/readyz",
        "/healthz",
    )

    def __init__(self, system: System) -> None:
        self.statuses: dict[str, list[int]] = {path: [] for path in self.PATHS}
        self.slowest = 0.0
        self._cookies = system.session().cookie_header
        self._url = system.url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._over.is_set():
            for path in self.PATHS:
                started = time.monotonic()
                answer = Http(self._url, {"Cookie": self._cookies}).get(path, within=60)
                self.slowest = max(self.slowest, time.monotonic() - started)
                self.statuses[path].append(answer.status)

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        self._thread.join()
        if error == (None, None, None):
            assert all(self.statuses.values())
            for path, statuses in self.statuses.items():
                assert set(statuses) <= {200, 503}, (path, statuses)
            assert set(self.statuses["/healthz"]) == {200}
            assert self.slowest < 20  # seven seconds, for Redis and then the database, and a busy machine


# --- Redis -----------------------------------------------------------------------------------------------------------


def test_killed_redis_is_told_and_everything_comes_back_by_itself(system: System, watcher: Socket) -> None:
    epoch = watcher.updates("AAPL")[-1]["epoch"]
    with Prober(system):
        pid = system.live.kill("redis")
        first = told(watcher)
        system.live.wait_until_restarted("redis", pid)
        status = well_again(watcher, first)
    assert status["epoch"] > epoch, "what Redis lost must be a new epoch"
    assert watcher.updates("AAPL")[-1]["epoch"] > epoch
    assert_shows_the_truth(system, watcher)


def test_frozen_redis_is_told_and_costs_no_connection(system: System, watcher: Socket) -> None:
    pid = system.live.pids["redis"]
    with Prober(system):
        os.kill(pid, signal.SIGSTOP)
        try:
            first = told(watcher)
            watcher.request("ping")
            assert system.nobody().get("/readyz").status == 503
            with pytest.raises(Refused) as refused:
                system.connect()
            assert refused.value.status == 503
            assert "retry-after" in refused.value.headers
        finally:
            os.kill(pid, signal.SIGCONT)
        well_again(watcher, first)
    assert_shows_the_truth(system, watcher)


def test_a_lost_subscription_of_redis_is_noticed_and_what_was_missed_comes_after(
    system: System, watcher: Socket
) -> None:
    session = system.session()
    with system.redis() as client:
        for price in ("13", "14", "12.5"):
            client.client_kill_filter(_type="pubsub")
            ok(session.post("/api/assets/STILL/prices/", {"price": price}), 201)

    last = ok(session.get("/api/assets/STILL/")).json["quote"]

    def caught_up() -> bool:
        watcher.catch_up()
        return bool(watcher.updates("STILL")[-1]["seq"] == last["seq"])

    wait_until(caught_up, WELL_WITHIN, "the last price set by hand")
    assert_shows_the_truth(system, watcher)


def test_values_that_redis_cannot_give_close_with_4001_and_a_reconnect_finds_them_again(
    system: System,
) -> None:
    unwatched = still_asset(system, "UNWATCHED", "1")  # so that its value must be read
    socket = system.connect()
    with system.redis() as client:
        client.delete("lf:last")
        client.set("lf:last", "no hash")  # somebody else uses our Redis
        try:
            socket.request("subscribe_asset", {"symbol": unwatched})
            assert socket.closed(within=TOLD_WITHIN) == Closed(4001, "state_lost")
        finally:
            client.delete("lf:last")
    again = system.connect()
    again.subscribe("MSFT", "STILL")
    again.update("MSFT", where=lambda data: not data["stale"], within=WELL_WITHIN)
    assert again.update("STILL")["price"] == Decimal("12.5")


# --- the feed --------------------------------------------------------------------------------------------------------


def test_killed_feed_is_told_and_a_new_one_begins_a_new_epoch(system: System, watcher: Socket) -> None:
    epoch = watcher.updates("AAPL")[-1]["epoch"]
    system.live.kill("feed")
    first = told(watcher)
    watcher.request("ping")
    status = well_again(watcher, first)
    assert status["epoch"] > epoch
    assert_shows_the_truth(system, watcher)


def test_a_frozen_leader_loses_its_source_and_is_refused_when_it_wakes(
    system: System, watcher: Socket
) -> None:
    epoch = watcher.updates("AAPL")[-1]["epoch"]
    pid = system.live.pids["feed"]
    standby = Running(system, "start_price_feed")
    try:
        standby.says("standing by")
        os.kill(pid, signal.SIGSTOP)
        try:
            second = well_again(watcher, told(watcher))["epoch"]
            assert second > epoch
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(
            lambda: system.live.log.count("standing by") or "leads" in system.live.log,
            PATIENCE,
            "it to stand by",
        )
        watcher.skip()
        for _ in range(5):
            assert watcher.update("AAPL")["epoch"] == second
    finally:
        standby.stop()
    watcher.update(
        "AAPL", where=lambda data: data["epoch"] > second and not data["stale"], within=WELL_WITHIN
    )
    assert_shows_the_truth(system, watcher)


# --- web -------------------------------------------------------------------------------------------------------------


def test_a_killed_web_process_drops_its_sockets_and_a_reconnect_finds_everything(
    system: System, watcher: Socket
) -> None:
    before = watcher.updates("AAPL")[-1]
    pid = system.live.kill("web")
    assert watcher.closed().code == 1006
    system.live.wait_until_restarted("web", pid)
    again = reconnected(system)
    again.subscribe("AAPL", "STILL")
    after = again.update("AAPL")
    assert (after["epoch"], after["seq"]) > (before["epoch"], before["seq"]), "the feed went on meanwhile"
    assert again.update("STILL")["price"] == Decimal("12.5")
    ok(system.session().get("/api/portfolios/"))  # the login outlived it


def test_a_stopping_web_process_says_goodbye_with_4004(system: System, watcher: Socket) -> None:
    others = [system.connect() for _ in range(10)]
    pid = system.live.kill("web", signal.SIGTERM)
    for socket in (watcher, *others):
        assert socket.closed(within=TOLD_WITHIN) == Closed(4004, "draining")
    system.live.wait_until_restarted("web", pid)
    again = reconnected(system)
    again.subscribe("AAPL")
    again.update("AAPL")


def reconnected(system: System) -> Socket:
    """A new connection as soon as there is somebody to connect to; only refusals that mean "later" are allowed."""
    deadline = time.monotonic() + WELL_WITHIN
    while True:
        try:
            return system.connect()
        except Refused as refused:
            assert refused.status == 503
        except (OSError, ServerClosed, EOFError):
            pass
        assert time.monotonic() < deadline, "expected to be let in again"


# --- the database ----------------------------------------------------------------------------------------------------


@contextmanager
def database_away(system: System) -> Iterator[None]:
    """Takes the database away from everybody who has it open or opens it."""
    if url := system.live.env.get("DATABASE_URL"):
        server, _, name = url.rpartition("/")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as operator:
            operator.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false".encode())
            operator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            try:
                yield
            finally:
                operator.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true".encode())
        return
    file = system.live.state_dir / "db.sqlite3"
    hidden = file.with_name("hidden.sqlite3")
    file.rename(hidden)
    file.mkdir()  # so that nobody creates an empty one
    try:
        yield
    finally:
        shutil.rmtree(file)
        hidden.rename(file)


def test_without_a_database_prices_flow_and_requests_that_need_it_are_service_degraded(
    system: System, watcher: Socket
) -> None:
    portfolio_id, unused_token = growth(system), system.new_token()["token"]
    with database_away(system):
        error = watcher.request("subscribe_portfolio", {"portfolio_id": portfolio_id})
        assert (error["type"], error["data"]["code"]) == ("error", "service_degraded")
        assert error["data"]["request_type"] == "subscribe_portfolio"
        error = watcher.request("subscribe_asset", {"symbol": "META"})
        assert (error["type"], error["data"]["code"]) == ("error", "service_degraded")
        watcher.request("ping")
        watcher.skip()
        watcher.update("AAPL")
        watcher.expect("portfolio_update")
        answer = system.nobody().get("/readyz")
        assert (answer.status, answer.json["database"], answer.json["redis"]) == (503, False, True)
        cookies = {"Cookie": system.session().cookie_header}
        for path in ("/api/assets/", "/api/portfolios/", f"/api/portfolios/{portfolio_id}/"):
            answer = Http(system.url, cookies).get(path, headers={"Accept": "application/json"})
            assert answer.status == 503 and answer.json["detail"], (path, answer.status, answer.body[:200])
        with pytest.raises(Refused) as refused:
            Socket.open(system.ws, headers={"Authorization": f"Bearer {unused_token}"})
        assert refused.value.status == 503
    watcher.subscribe("META")
    watcher.update("META")
    assert_shows_the_truth(system, watcher)
