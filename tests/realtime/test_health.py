"""What the system says of itself, from a real Redis and database."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from prometheus_client.parser import text_string_to_metric_families

from assets.snapshots import connection
from realtime.handshake import Identity
from realtime.hub import running_hub, stop_hub
from realtime.outbox import Options
from realtime.protocol import wire_time
from realtime.wants import PROCESSES_KEY
from tests.portfolio.builders import in_thread
from tests.realtime.builders import Client, eventually, make_status

PAGES = {
    "websocket-info": "/realtime/websocket-info/",
    "status": "/realtime/status/",
    "health": "/realtime/health/",
}


def store_feed(source: str, age: float = -60.0, **changes: Any) -> None:
    """A heartbeat as a feed process leaves it, `age` seconds ago.

    Three seconds make it an old one, which a busy machine may take for the next line: what is to be fresh is of a
    process whose clock is ahead. The three seconds themselves are in test_bus.py.
    """
    at = wire_time(datetime.now(UTC) - timedelta(seconds=age))
    status = make_status(source=source, at=at, epoch=7, symbols=12, **changes)
    connection().hset("lf:feeds", source, msgspec.json.encode(status))


def store_process(name: str, users: dict[int, dict[str, Any]], lives: float = 60, **counts: Any) -> None:
    """Counts as a web process leaves them."""
    record = {
        "total_connections": 0,
        "portfolio_subscriptions": 0,
        "asset_subscriptions": 0,
        "counters": {},
        **counts,
    }
    connection().zadd(PROCESSES_KEY, {name: datetime.now(UTC).timestamp() + lives})
    connection().set(f"lf:process:{name}", msgspec.json.encode(record))
    for user_id, stats in users.items():
        connection().hset(f"lf:users:{name}", str(user_id), msgspec.json.encode(stats))


def user_record(connections: int, assets: list[str], portfolios: list[int]) -> dict[str, Any]:
    return {
        "connection_count": connections,
        "subscriptions": {"portfolios": portfolios, "assets": assets},
        "conflated": {f"{connections}-{n}": n for n in range(connections)},
    }


@pytest.fixture
def no_redis(settings: Any) -> Iterator[None]:
    """A Redis that refuses connections."""
    url = settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    connection.cache_clear()
    yield
    settings.REDIS_URL = url
    connection.cache_clear()


@pytest.fixture
def user() -> User:
    return User.objects.create_user("alice")


def browser(user: User | None = None) -> Browser:
    browser = Browser()
    if user is not None:
        browser.force_login(user)
    return browser


def metrics(response: Any) -> dict[str, dict[tuple[str, ...], float]]:
    """Returns the samples of each metric, by their labels' values in order."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(response.content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.values()))] = sample.value
    return found


def test_healthz_needs_nothing_at_all(no_redis: None) -> None:
    response = browser().get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert browser().post("/healthz").status_code == 405


# --- readiness -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_process_without_a_hub_is_not_ready() -> None:
    response = browser().get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"ready": False, "database": True, "redis": True, "hub": False, "feeds": {}}


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_process_is_ready_whatever_its_feeds_do_and_not_while_it_drains() -> None:
    hub = await running_hub()
    store_feed("simulator", state="failed", reason="wrong key")
    try:
        response = await in_thread(lambda: browser().get("/readyz"))
        assert response.status_code == 200
        assert response.json()["ready"] is True
        assert response.json()["feeds"]["simulator"]["state"] == "failed"

        hub.draining = True
        response = await in_thread(lambda: browser().get("/readyz"))
        assert (response.status_code, response.json()["hub"]) == (503, False)
    finally:
        await stop_hub()


@pytest.mark.django_db
def test_a_process_without_redis_is_not_ready(no_redis: None) -> None:
    response = browser().get("/readyz")

    assert response.status_code == 503
    assert (response.json()["redis"], response.json()["database"]) == (False, True)


# --- where the socket is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("secure", "protocol"), [(False, "ws"), (True, "wss")])
def test_websocket_info_is_the_address_as_the_client_reaches_it(secure: bool, protocol: str) -> None:
    response = browser().get(PAGES["websocket-info"], secure=secure, headers={"host": "localhost:9443"})

    info = response.json()
    assert info["websocket_url"] == f"{protocol}://localhost:9443/ws/realtime/"
    assert info["connection_info"] == {
        "protocol": protocol,
        "host": "localhost:9443",
        "path": "/ws/realtime/",
        "authentication": "session-based",
    }
    assert {"ping", "subscribe_asset", "subscribe_portfolio", "ack"} <= info["message_types"].keys()


def test_a_forged_host_gets_no_address() -> None:
    response = browser().get(PAGES["websocket-info"], headers={"host": "evil.com"})

    assert response.status_code == 400


# --- health ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_health_counts_connections_over_all_living_processes(user: User) -> None:
    store_process("a", {}, total_connections=3)
    store_process("b", {}, total_connections=4)
    store_process("dead", {}, lives=-1, total_connections=50)
    store_feed("simulator")

    health = browser(user).get(PAGES["health"]).json()

    assert health["active_connections"] == 7
    assert health["price_feed_running"] is True
    assert health["timestamp"].endswith("Z")
    feed = health["feeds"]["simulator"]
    assert (feed["state"], feed["epoch"], feed["symbols"], feed["reason"]) == ("live", 7, 12, "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("age", "state", "shown"),
    [
        (-60, "live", "live"),
        (4, "live", "down"),
        (4, "recovering", "down"),
        (-60, "recovering", "recovering"),
        (3600, "stopped", "stopped"),
        (3600, "ended", "ended"),
        (3600, "failed", "failed"),
    ],
)
def test_a_feed_that_stopped_speaking_is_down_unless_it_said_goodbye(
    user: User, age: float, state: str, shown: str
) -> None:
    store_feed("simulator", age=age, state=state)

    health = browser(user).get(PAGES["health"]).json()

    assert health["feeds"]["simulator"]["state"] == shown
    assert health["price_feed_running"] is (shown == "live")


# --- status ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["status", "health"])
def test_nobody_is_told_anything(page: str) -> None:
    response = browser().get(PAGES[page])

    assert response.status_code == 401
    assert "detail" in response.json()


@pytest.mark.django_db
def test_a_user_sees_its_own_connections_of_all_processes_and_nobody_elses(user: User) -> None:
    other = User.objects.create_user("bob")
    store_process("a", {user.pk: user_record(2, ["AAPL"], [1]), other.pk: user_record(1, ["SECRET"], [66])})
    store_process("b", {user.pk: user_record(1, ["AAPL", "MSFT"], [2])})
    store_process("dead", {user.pk: user_record(9, ["OLD"], [])}, lives=-1)
    store_feed("simulator")

    response = browser(user).get(PAGES["status"])

    status = response.json()
    assert status["service_status"] == "running"
    assert status["global_stats"] is None
    assert status["user_stats"]["connection_count"] == 3
    assert status["user_stats"]["subscriptions"] == {"portfolios": [1, 2], "assets": ["AAPL", "MSFT"]}
    assert "SECRET" not in response.content.decode()


@pytest.mark.django_db
def test_staff_see_the_whole_system() -> None:
    admin = User.objects.create_user("admin", is_staff=True)
    record = user_record(1, [], [])
    store_process("a", {901: record}, total_connections=2, asset_subscriptions=5)
    store_process("b", {901: record, 902: record}, total_connections=3)

    status = browser(admin).get(PAGES["status"]).json()

    assert status["global_stats"] == {
        "total_connections": 5,
        "authenticated_users": 2,
        "portfolio_subscriptions": 0,
        "asset_subscriptions": 5,
    }
    assert status["user_stats"]["connection_count"] == 0
    assert status["service_status"] == "degraded"


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["status", "health"])
def test_without_redis_the_answer_is_503_and_not_a_crash(
    user: User, page: str, request: pytest.FixtureRequest
) -> None:
    signed_in = browser(user)
    request.getfixturevalue("no_redis")

    assert signed_in.get(PAGES[page]).status_code == 503


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_running_hub_fills_what_is_shown() -> None:
    user = await in_thread(lambda: User.objects.create_user("alice", is_staff=True))
    hub = await running_hub()
    try:
        client = Client(hub.open("c1", Identity(user_id=user.pk), "10.0.0.1", Options()))
        hub.topics.regroup(client.connection, {"AAPL": "quote"})
        hub.presence.touch(client.connection)
        await eventually(lambda: connection().hexists(f"lf:users:{hub.process}", str(user.pk)), "its counts")
        await eventually(lambda: connection().exists(f"lf:process:{hub.process}"), "the process's counts")

        status = (await in_thread(lambda: browser(user).get(PAGES["status"]))).json()

        assert status["user_stats"]["subscriptions"]["assets"] == ["AAPL"]
        assert status["global_stats"]["total_connections"] == 1
    finally:
        await asyncio.wait_for(stop_hub(), 30)


# --- metrics ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_metrics_are_those_of_all_processes_and_sources() -> None:
    counters = {"closed_4000": 2, "error_rate_limited": 3, "refused_403": 4, "gaps": 5, "conflated": 6}
    store_process("a", {}, total_connections=3, asset_subscriptions=7, counters=counters)
    store_feed("simulator", ticks=100, updates=90, rejected=1)
    store_feed("coinbase", age=60)

    response = browser().get("/metrics")

    assert response.headers["Content-Type"].startswith("text/plain")
    found = metrics(response)
    assert found["redis_up"][()] == 1
    assert found["ws_connections"][("a",)] == 3
    assert found["ws_subscriptions"][("a", "asset")] == 7
    assert found["ws_closed_total"][("4000", "a")] == 2
    assert found["ws_errors_total"][("a", "rate_limited")] == 3
    assert found["ws_refused_total"][("403", "a")] == 4
    assert found["hub_events_total"][("a", "gaps")] == 5
    assert found["ws_conflated_total"][("a",)] == 6
    assert found["feed_ticks_total"][("simulator",)] == 100
    assert (found["feed_live"][("simulator",)], found["feed_live"][("coinbase",)]) == (1, 0)
    assert found["feed_age_seconds"][("coinbase",)] >= 60


def test_metrics_say_so_when_redis_is_away(no_redis: None) -> None:
    assert metrics(browser().get("/metrics")) == {"redis_up": {(): 0}}
