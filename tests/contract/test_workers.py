"""Two web processes are one server: limits, statistics, prices and the end of sessions reach over both."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.contract.client import Closed, Http, ServerClosed, Socket
from tests.contract.conftest import System, ok
from tests.contract.test_delivery import still_asset
from tests.contract.test_frames import growth
from tests.live import PATIENCE, wait_until
from tests.live import is_alive as process_is_alive

MOST = 8


@pytest.fixture(scope="module")
def both_workers(start_system: Callable[..., System]) -> System:
    return start_system("--workers", "2", MAX_CONNECTIONS_PER_USER=str(MOST))


@pytest.fixture
def system(both_workers: System) -> Iterator[System]:
    yield both_workers
    both_workers.close_sockets()
    wait_until(lambda: connections(both_workers) == {}, PATIENCE, "all connections to be forgotten")


def connections(system: System) -> dict[str, int]:
    """Open connections by process, without those that have none."""
    found: dict[str, int] = {}
    for line in Http(system.url).get("/metrics").body.decode().splitlines():
        if line.startswith("ws_connections{"):
            found[line.partition('process="')[2].partition('"')[0]] = int(float(line.rsplit(" ", 1)[1]))
    return {process: count for process, count in found.items() if count}


def spread(system: System, browser: Http | None = None) -> list[Socket]:
    """As many connections as a user may have, on both processes; the kernel deals them out."""
    for _ in range(20):
        sockets = [
            system.connect() if browser is None else system.connect_browser(browser) for _ in range(MOST)
        ]
        wait_until(
            lambda: sum(connections(system).values()) == MOST, PATIENCE, f"{MOST} connections to be counted"
        )
        if len(connections(system)) == 2:
            return sockets
        system.close_sockets()
        wait_until(lambda: connections(system) == {}, PATIENCE, "the connections to be forgotten")
    raise AssertionError("expected the kernel to use both processes")


def refused(system: System) -> Closed | None:
    try:
        system.connect()
    except ServerClosed as closed:
        system.sockets.pop()
        return Closed(closed.code, closed.reason)
    return None


def test_the_limit_of_a_user_is_counted_over_both(system: System) -> None:
    for socket in spread(system):
        socket.catch_up()
    for _ in range(6):  # whichever process gets them
        assert refused(system) == Closed(4503, "connection_limit")


def test_status_is_the_same_from_both(system: System) -> None:
    sockets = spread(system)
    for socket, symbol in zip(
        sockets, ("AAPL", "MSFT", "NVDA", "AMZN", "META", "TSLA", "JPM", "V"), strict=True
    ):
        socket.subscribe(symbol)
    sockets[0].request("subscribe_portfolio", {"portfolio_id": growth(system)})
    wanted = {
        "connection_count": MOST,
        "subscriptions": {
            "portfolios": [growth(system)],
            "assets": ["AAPL", "AMZN", "JPM", "META", "MSFT", "NVDA", "TSLA", "V"],
        },
    }

    def shown() -> bool:
        stats = ok(system.session().get("/realtime/status/")).json["user_stats"]
        return bool(stats.items() >= wanted.items())

    def all_shown() -> bool:
        stats = ok(system.session("admin").get("/realtime/status/")).json["global_stats"]
        return bool(stats == {
            "total_connections": MOST, "authenticated_users": 1, "portfolio_subscriptions": 1,
            "asset_subscriptions": MOST,
        })  # fmt: skip

    wait_until(shown, PATIENCE, "the whole of the user's statistics")
    wait_until(all_shown, PATIENCE, "the whole of everybody's, which each process writes once a second")
    for _ in range(10):
        assert shown() and all_shown()
        assert ok(system.session().get("/realtime/health/")).json["active_connections"] == MOST


def test_prices_and_transactions_reach_the_clients_of_both(system: System) -> None:
    symbol, portfolio_id = still_asset(system, "BOTH", "1"), growth(system)
    sockets = spread(system)
    for socket in sockets:
        socket.subscribe(symbol)
        socket.update(symbol)
        socket.request("subscribe_portfolio", {"portfolio_id": portfolio_id})
        socket.expect("portfolio_update")
    ok(system.session().post(f"/api/assets/{symbol}/prices/", {"price": "2"}), 201)
    for socket in sockets:
        socket.update(symbol, where=lambda data: data["price"] == 2)
    cash = ok(system.session().get(f"/api/portfolios/{portfolio_id}/")).json["valuation"]["cash"]
    body = {"type": "deposit", "amount": "77"}
    ok(system.session().post(f"/api/portfolios/{portfolio_id}/transactions/", body), 201)
    for socket in sockets:
        socket.expect("portfolio_update", lambda frame: frame["data"]["cash"] == cash + 77)


def test_logging_out_closes_the_sockets_of_both(system: System) -> None:
    browser = system.new_session()
    sockets = spread(system, browser)
    browser.post_form("/accounts/logout/", {})
    for socket in sockets:
        assert socket.closed().code == 4500


def test_a_killed_worker_frees_its_places_within_fifteen_seconds_and_harms_no_other(system: System) -> None:
    symbol = still_asset(system, "SURVIVOR", "1")
    sockets = spread(system)
    for socket in sockets:
        socket.subscribe(symbol)
        socket.update(symbol)
    counts = connections(system)
    victim, count = next(iter(counts.items()))
    pid = int(victim.split(":")[1])
    assert pid in system.worker_pids()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not process_is_alive(pid), PATIENCE, "the worker to be dead, and its sockets with it")
    ok(system.session().post(f"/api/assets/{symbol}/prices/", {"price": "2"}), 201)
    dead = [socket for socket in sockets if not is_alive(socket)]
    assert len(dead) == count
    for socket in sockets:
        if socket not in dead:
            socket.update(symbol, where=lambda data: data["price"] == 2)
    # Leases live for fifteen seconds; it may take a busy machine as long again to look.
    wait_until(lambda: refused(system) is None, PATIENCE, "a place to be free again")
    wait_until(lambda: victim not in connections(system), PATIENCE, "the dead process to be forgotten")
    wait_until(lambda: len(system.worker_pids()) == 2, PATIENCE, "a new worker")


def is_alive(socket: Socket) -> bool:
    try:
        socket.catch_up()
    except ServerClosed:
        return False
    return True
