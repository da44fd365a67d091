"""Redis behind Sentinels: its master dies and the replica takes over; two web processes and the feed follow it."""

import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.contract.client import Frame, Http, Socket
from tests.contract.conftest import System, ok
from tests.contract.test_delivery import assert_ordered, still_asset
from tests.contract.test_faults import is_whole, told
from tests.contract.test_frames import growth
from tests.contract.test_workers import connections, spread
from tests.live import LiveSystem, wait_until
from tests.replicas import Replicated, replicated

BUSY = {"SIMULATOR_RATE": "5", "MAX_CONNECTIONS_PER_USER": "8", "WEBSOCKET_HANDSHAKE_RATE": "0"}


@pytest.fixture(scope="module")
def servers() -> Iterator[Replicated]:
    with tempfile.TemporaryDirectory(prefix="lf-", dir="/tmp") as folder, replicated(Path(folder)) as servers:
        yield servers


@pytest.fixture(scope="module")
def system(
    servers: Replicated,
    new_database: Callable[[Path], dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("failover")
    env = {**new_database(folder), **BUSY, "REDIS_URL": servers.start_sentinels()}
    live = LiveSystem(folder, env, ["--workers", "2"])
    try:
        live.wait_until_ready()
        system = System(live, env)
        wait_until(lambda: is_whole(system), 60, "a live source")
        yield system
        system.close_sockets()
    finally:
        live.stop()


def test_a_killed_master_is_told_and_its_replica_serves_all_without_a_reconnect(
    system: System, servers: Replicated
) -> None:
    still_asset(system, "STILL", "12.5")
    sockets = spread(system)
    for socket in sockets:
        socket.subscribe("AAPL", "STILL")
        socket.update("AAPL")
        socket.update("STILL")
    epoch = sockets[0].updates("AAPL")[-1]["epoch"]

    servers.kill(servers.first)

    for socket in sockets:
        first = told(socket)
        # What the replica may have missed is a new epoch.
        if not is_live_after(first, epoch):
            socket.expect("feed_status", lambda frame: is_live_after(frame["data"], epoch), within=60)
        socket.skip()
        socket.update("AAPL", where=lambda data: data["epoch"] > epoch)
    assert sum(connections(system).values()) == len(sockets)
    ok(system.session().post("/api/assets/STILL/prices/", {"price": "13"}), 201)
    for socket in sockets:
        socket.update("STILL", where=lambda data: data["price"] == Decimal(13))
        assert_shows_what_rest_shows(system, socket)
    ready = Http(system.url).get("/readyz")
    assert ready.status == 200, ready.body


def is_live_after(status: Frame, epoch: int) -> bool:
    return bool(status["state"] == "live" and status["epoch"] > epoch)


def assert_shows_what_rest_shows(system: System, socket: Socket) -> None:
    shown = ok(system.session().get("/api/assets/AAPL/")).json["quote"]
    number = (shown["epoch"], shown["seq"])
    socket.skip()
    socket.update("AAPL", where=lambda data: (data["epoch"], data["seq"]) >= number)
    assert_ordered(socket.updates())
    socket.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    assert socket.expect("portfolio_update")["data"]["coverage"] == 1
