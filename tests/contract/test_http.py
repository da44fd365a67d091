"""What a page, a script, a load balancer or Prometheus asks over HTTP, to the fields of the specification's samples."""

import re
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.client import Http
from tests.contract.conftest import System, ok
from tests.contract.test_frames import NUMBER, TIME, assert_shape, growth
from tests.live import PATIENCE, wait_until

# --- websocket-info --------------------------------------------------------------------------------------------------


def test_websocket_info_has_the_fields_of_the_specification(system: System) -> None:
    data = ok(system.nobody().get("/realtime/websocket-info/")).json
    host = system.url[7:]
    assert data["websocket_url"] == system.ws == f"ws://{host}/ws/realtime/"
    info = data["connection_info"]
    assert (info["protocol"], info["host"], info["path"]) == ("ws", host, "/ws/realtime/")
    assert info["authentication"] == "session-based"
    assert data["message_types"]["ping"] == "Health check message"
    assert data["message_types"]["subscribe_asset"] == "Subscribe to asset price updates"
    assert len(data["message_types"]) == 8


def test_websocket_info_gives_the_address_that_the_outside_sees(system: System) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.18.0.1"}
    data = ok(system.nobody().get("/realtime/websocket-info/", headers=headers)).json
    assert data["websocket_url"] == f"wss://{system.url[7:]}/ws/realtime/"
    assert data["connection_info"]["protocol"] == "wss"


# --- health ----------------------------------------------------------------------------------------------------------


def test_healthz_answers_anybody(system: System) -> None:
    assert ok(system.nobody().get("/healthz")).json["status"] == "ok"


def test_readyz_tells_database_redis_and_hub_and_the_feeds_beside(system: System) -> None:
    data = ok(system.nobody().get("/readyz")).json
    assert (data["ready"], data["database"], data["redis"], data["hub"]) == (True, True, True, True)
    wait_until(lambda: feed_state(system) == "live", PATIENCE, "a feed that is live")


def feed_state(system: System) -> object:
    """A loaded feed may well miss three heartbeats, and is then shown as down until the next."""
    return ok(system.nobody().get("/readyz")).json["feeds"]["simulator"]["state"]


def test_health_has_the_fields_of_the_specification(system: System) -> None:
    socket = system.connect()
    socket.catch_up()
    wait_until(lambda: system.metric("ws_connections") >= 1, PATIENCE, "the connection to be counted")
    data = ok(system.session().get("/realtime/health/")).json
    assert_shape(data, {"price_feed_running": bool, "active_connections": int, "timestamp": TIME})
    assert data["active_connections"] >= 1
    wait_until(
        lambda: ok(system.session().get("/realtime/health/")).json["price_feed_running"] is True,
        PATIENCE,
        "a price feed that runs",
    )


@pytest.mark.parametrize("path", ["/realtime/status/", "/realtime/health/", "/api/assets/", "/api/nope/"])
def test_what_needs_a_login_is_answered_401_in_json(system: System, path: str) -> None:
    answer = system.nobody().get(path)
    assert answer.status == 401 and answer.json["detail"]
    assert answer.headers["www-authenticate"].startswith("Bearer")


# --- status ----------------------------------------------------------------------------------------------------------


def test_status_shows_a_user_its_own_connections_and_nothing_of_others(system: System) -> None:
    portfolio_id = growth(system)
    mine, others = system.connect(), system.connect("olga")
    mine.subscribe("AAPL", "MSFT")
    mine.request("subscribe_portfolio", {"portfolio_id": portfolio_id})
    others.subscribe("NVDA")
    wanted = {"portfolios": [portfolio_id], "assets": ["AAPL", "MSFT"]}

    def shown() -> bool:
        status = ok(system.session().get("/realtime/status/")).json
        stats, is_running = status["user_stats"], status["service_status"] == "running"
        return bool(is_running and stats["connection_count"] == 1 and stats["subscriptions"] == wanted)

    wait_until(shown, PATIENCE, f"{wanted} in user_stats")
    data = ok(system.session().get("/realtime/status/")).json
    assert "global_stats" in data and data["global_stats"] is None
    assert "NVDA" not in str(data)


def test_status_shows_staff_the_whole_system(system: System) -> None:
    mine, others = system.connect(), system.connect("olga")
    mine.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    mine.subscribe("AAPL")
    others.subscribe("AAPL", "MSFT")
    wanted = {
        "total_connections": 2,
        "authenticated_users": 2,
        "portfolio_subscriptions": 1,
        "asset_subscriptions": 3,
    }

    def shown() -> bool:
        return bool(ok(system.session("admin").get("/realtime/status/")).json["global_stats"] == wanted)

    wait_until(shown, PATIENCE, f"{wanted} in global_stats")
    assert ok(system.session("admin").get("/realtime/status/")).json["user_stats"]["connection_count"] == 0


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_are_prometheus_text_and_count(system: System) -> None:
    socket = system.connect()
    socket.subscribe("AAPL")
    socket.request("nope")
    wait_until(
        lambda: system.metric("ws_subscriptions", kind="asset") >= 1,
        PATIENCE,
        "the subscription to be counted",
    )
    answer = ok(system.nobody().get("/metrics"))
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    assert {
        "ws_connections",
        "ws_subscriptions",
        "ws_closed",
        "ws_errors",
        "feed_age_seconds",
        "feed_live",
    } <= set(families)
    assert families["redis_up"].samples[0].value == 1
    assert families["feed_live"].samples[0].labels == {"source": "simulator"}
    assert "demo" not in answer.body.decode()


# --- REST ------------------------------------------------------------------------------------------------------------


def test_lists_are_pages_that_name_their_neighbours(system: System) -> None:
    first = ok(system.session().get("/api/assets/?page_size=5")).json
    assert set(first) == {"count", "next", "previous", "results"}
    assert len(first["results"]) == 5 and first["previous"] is None and first["count"] >= 12
    second = ok(system.session().get(first["next"].removeprefix(system.url))).json
    assert second["previous"] is not None
    assert not {asset["id"] for asset in first["results"]} & {asset["id"] for asset in second["results"]}
    assert len(ok(system.session().get("/api/assets/?page_size=1000")).json["results"]) == first["count"]
    assert ok(system.session().get("/api/assets/?page_size=100000")).json["results"]
    assert system.session().get("/api/assets/?page=999").status == 404


def test_every_path_of_the_contract_answers(system: System) -> None:
    portfolio_id = growth(system)
    for path in (
        "assets/", "assets/AAPL/", "assets/AAPL/bars/", "portfolios/", f"portfolios/{portfolio_id}/",
        f"portfolios/{portfolio_id}/transactions/", f"portfolios/{portfolio_id}/positions/", "watchlist/", "tokens/",
        "docs/", "schema/",
    ):  # fmt: skip
        ok(system.session().get(f"/api/{path}"))
    for page in ("/realtime/dashboard/", "/realtime/test/", "/portfolios/"):
        ok(system.session().get(page))
    ok(system.nobody().get("/accounts/login/"))
    assert system.nobody().get("/").status == 302


def test_asset_tells_its_last_value_and_bars_come_oldest_first(system: System) -> None:
    asset = ok(system.session().get("/api/assets/AAPL/")).json
    assert_shape(
        asset, {"id": int, "symbol": str, "name": str, "currency": str, "sources": list, "price": NUMBER}
    )
    assert asset["sources"] == ["simulator"] and asset["quote"]["symbol"] == "AAPL"
    bars = ok(system.session().get("/api/assets/AAPL/bars/?page_size=1000")).json["results"]
    assert len(bars) >= 90
    starts = [bar["start"] for bar in bars]
    assert starts == sorted(set(starts))
    for bar in bars:
        assert bar["low"] <= min(bar["open"], bar["close"]) <= max(bar["open"], bar["close"]) <= bar["high"]
    minutes = ok(system.session().get("/api/assets/aapl/bars/?interval=1m&page_size=5")).json["results"]
    assert minutes and all(bar["start"].endswith(":00.000000Z") for bar in minutes)


def test_missing_and_foreign_rows_are_the_same_404(system: System) -> None:
    portfolio_id = growth(system)
    stranger = system.session("olga")
    for suffix in ("", "transactions/", "positions/"):
        foreign = stranger.get(f"/api/portfolios/{portfolio_id}/{suffix}")
        missing = stranger.get(f"/api/portfolios/999999999/{suffix}")
        assert (foreign.status, foreign.body) == (missing.status, missing.body)
        assert foreign.status == 404
    assert portfolio_id not in [row["id"] for row in ok(stranger.get("/api/portfolios/")).json["results"]]


def test_a_watchlist_is_kept_for_each_user(system: System) -> None:
    session = system.session("olga")
    added = ok(session.post("/api/watchlist/", {"symbol": "btc-usd"}), 201).json
    assert added["symbol"] == "BTC-USD"
    assert [row["symbol"] for row in ok(session.get("/api/watchlist/")).json["results"]] == ["BTC-USD"]
    assert session.post("/api/watchlist/", {"symbol": "NOPE"}).status == 400
    assert system.session().delete(f"/api/watchlist/{added['id']}/").status == 404
    ok(session.delete(f"/api/watchlist/{added['id']}/"), 204)


def test_a_token_is_shown_once_and_serves_rest_within_its_scopes(system: System) -> None:
    made = system.new_token("olga", scopes=["read"])
    assert str(made["token"]) not in str(ok(system.session("olga").get("/api/tokens/")).json)
    script = Http(system.url, {"Authorization": f"Bearer {made['token']}"})
    ok(script.get("/api/assets/"))
    assert script.post("/api/watchlist/", {"symbol": "AAPL"}).status == 403
    ok(system.session("olga").delete(f"/api/tokens/{made['id']}/"), 204)
    assert script.get("/api/assets/").status == 401


def test_a_session_needs_its_csrf_token_and_a_script_does_not(system: System) -> None:
    browser = system.new_session("olga")
    forged = Http(system.url, {"Cookie": browser.cookie_header})
    for path in ("/api/watchlist/", "/api/realtime/force_price_update/"):
        assert forged.post(path, {"symbol": "AAPL", "symbols": ["AAPL"]}).status == 403
    script = Http(system.url, {"Authorization": f"Bearer {system.token('olga')}"})
    row = ok(script.post("/api/watchlist/", {"symbol": "AAPL"}), 201).json
    ok(script.delete(f"/api/watchlist/{row['id']}/"), 204)


# --- force_price_update ----------------------------------------------------------------------------------------------


def test_force_price_update_is_handed_to_the_feed_and_its_result_can_be_read(system: System) -> None:
    session = system.session()
    answer = session.post("/api/realtime/force_price_update/", {"symbols": ["AAPL", "GOOGL", "MSFT"]})
    job = ok(answer, 202).json
    assert_shape(job, {"job": str, "status_url": str})
    path = re.sub(r"^https?://[^/]+", "", job["status_url"])
    wait_until(lambda: ok(session.get(path)).json["status"] == "done", PATIENCE, "the job to be done")
    result = ok(session.get(path)).json
    assert sorted(result["updated"]) == ["AAPL", "GOOGL", "MSFT"] and result["failed"] == {}
    assert system.session("olga").get(path).status == 404


def test_force_price_update_publishes_the_last_values_again(system: System) -> None:
    socket = system.connect()
    socket.subscribe("AAPL")
    socket.update("AAPL")
    ok(system.session("admin").post("/api/realtime/force_price_update/", {"symbols": ["aapl"]}), 202)
    socket.skip()
    socket.update("AAPL")
    assert "error" not in {frame["type"] for frame in socket.seen}


def test_one_unknown_symbol_refuses_the_whole_update_by_name(system: System) -> None:
    answer = system.session("admin").post("/api/realtime/force_price_update/", {"symbols": ["AAPL", "NOPE"]})
    assert answer.status == 400 and "NOPE" in answer.body.decode()


@pytest.mark.parametrize(
    "body", [{}, {"symbols": []}, {"symbols": "AAPL"}, {"symbols": [1]}, {"symbols": ["a b"]}, []]
)
def test_force_price_update_refuses_other_shapes_with_400(system: System, body: object) -> None:
    assert system.session("admin").request("POST", "/api/realtime/force_price_update/", body).status in (
        400,
        429,
    )


def test_force_price_update_is_not_for_get_nor_for_nobody(system: System) -> None:
    assert system.session().get("/api/realtime/force_price_update/").status == 405
    assert system.nobody().post("/api/realtime/force_price_update/", {"symbols": ["AAPL"]}).status == 401


def test_force_price_update_is_throttled_for_each_user(system: System) -> None:
    statuses = [
        system.session("olga").post("/api/realtime/force_price_update/", {"symbols": ["AAPL"]}).status
        for _ in range(12)
    ]
    assert statuses[0] == 202 and statuses[-1] == 429


def test_numbers_of_rest_are_exact_and_plain(system: System) -> None:
    session = system.session()
    session.post("/api/assets/", {"symbol": "PLAIN", "name": "p", "currency": "USD"})
    ok(session.post("/api/assets/PLAIN/prices/", b'{"price": 0.000000012345678901}'), 201)
    answer = ok(session.get("/api/assets/PLAIN/"))
    assert b'"price":0.000000012345678901' in answer.body
    assert answer.json["price"] == Decimal("0.000000012345678901")
