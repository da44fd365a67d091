"""Every message type a client may send, its answer, and the echo of its id."""

from typing import Any

import pytest

from tests.contract.client import Frame, Socket
from tests.contract.conftest import System
from tests.contract.test_frames import TIME, growth
from tests.live import PATIENCE, wait_until

REQUESTS: dict[str, dict[str, Any]] = {
    "ping": {},
    "subscribe_asset": {"symbol": "AAPL"},
    "change_mode": {"symbol": "AAPL", "mode": "full"},
    "unsubscribe_asset": {"symbol": "AAPL"},
    "subscribe_portfolio": {"portfolio_id": 0},
    "unsubscribe_portfolio": {"portfolio_id": 0},
    "clear_subscriptions": {},
}
ANSWERS = {
    "ping": "pong",
    "subscribe_asset": "subscribed",
    "change_mode": "subscribed",
    "unsubscribe_asset": "unsubscribed",
    "subscribe_portfolio": "subscribed",
    "unsubscribe_portfolio": "unsubscribed",
    "clear_subscriptions": "unsubscribed",
}


def test_every_message_type_has_its_answer_and_the_answer_its_id(system: System) -> None:
    socket = system.connect()
    for type, data in REQUESTS.items():
        data = {**data, "portfolio_id": growth(system)} if "portfolio_id" in data else data
        assert socket.request(type, data)["type"] == ANSWERS[type]


def test_a_message_without_id_is_answered_without_one(system: System) -> None:
    socket = system.connect()
    socket.send("ping")
    assert "id" not in socket.expect("pong")


@pytest.mark.parametrize("id", ["", "x", 'ä\u2028"\\/\u0000', "i" * 64, "</script>"])
def test_any_text_of_at_most_64_characters_is_an_id(system: System, id: str) -> None:
    socket = system.connect()
    socket.send("ping", id=id)
    assert socket.expect("pong")["id"] == id


def test_pong_tells_the_time_of_the_server(system: System) -> None:
    answer = system.connect().request("ping")
    assert TIME.fullmatch(answer["data"]["server_time"])


def test_a_timestamp_of_any_kind_and_unknown_fields_are_ignored(system: System) -> None:
    socket = system.connect()
    timestamps: list[Any] = ["2024-01-15T10:30:00Z", "not a time", 17, None, {"a": []}]
    for timestamp in timestamps:
        socket.send("ping", {"more": 1}, timestamp=timestamp, beside=True)
        socket.expect("pong")


def test_data_may_be_left_out_where_nothing_is_needed(system: System) -> None:
    socket = system.connect()
    socket.send_text('{"type":"ping"}')
    socket.expect("pong")
    socket.send_text('{"type":"clear_subscriptions","id":"c"}')
    assert socket.expect("unsubscribed")["data"]["results"] == []


def test_subscribing_to_one_symbol_gives_its_result_then_its_snapshot(system: System) -> None:
    socket = system.connect()
    answer = socket.request("subscribe_asset", {"symbol": "AAPL"})
    assert answer["data"]["results"] == [{"symbol": "AAPL", "status": "ok", "mode": "quote"}]
    socket.update("AAPL")
    types = [frame["type"] for frame in socket.seen if frame["type"] in ("subscribed", "asset_update")]
    assert types[:2] == ["subscribed", "asset_update"]


def test_symbols_of_one_message_are_answered_in_their_order_each_for_itself(system: System) -> None:
    socket = system.connect()
    results = socket.results("subscribe_asset", {"symbols": ["MSFT", "NOPE", "aapl", "not one!", "MSFT"]})
    assert [(result["symbol"], result["status"], result.get("code")) for result in results] == [
        ("MSFT", "ok", None),
        ("NOPE", "error", "unknown_symbol"),
        ("AAPL", "ok", None),
        ("not one!", "error", "invalid_symbol"),
    ]
    assert all(result["message"] for result in results if result["status"] == "error")
    socket.update("MSFT")
    socket.update("AAPL")


def test_symbol_and_symbols_may_stand_together(system: System) -> None:
    results = system.connect().results("subscribe_asset", {"symbol": "AAPL", "symbols": ["MSFT"]})
    assert [result["symbol"] for result in results] == ["AAPL", "MSFT"]


def test_symbols_are_upper_cased_on_the_way_in(system: System) -> None:
    socket = system.connect()
    assert socket.results("subscribe_asset", {"symbol": "btc-usd"})[0]["symbol"] == "BTC-USD"
    assert socket.update("BTC-USD")["symbol"] == "BTC-USD"
    assert socket.results("unsubscribe_asset", {"symbol": "Btc-Usd"}) == [
        {"symbol": "BTC-USD", "status": "ok"}
    ]


def test_subscribing_again_changes_nothing_but_brings_a_snapshot(system: System) -> None:
    socket = system.connect()
    socket.subscribe("AAPL")
    socket.update("AAPL")
    socket.subscribe("AAPL")
    socket.update("AAPL")

    def followed() -> object:
        return system.session().get("/realtime/status/").json["user_stats"]["subscriptions"]["assets"]

    wait_until(lambda: followed() == ["AAPL"], PATIENCE, "one subscription in the status")
    assert socket.results("clear_subscriptions", {}) == [{"symbol": "AAPL", "status": "ok"}]


def test_unsubscribing_what_was_not_subscribed_is_no_error(system: System) -> None:
    socket = system.connect()
    assert socket.results("unsubscribe_asset", {"symbols": ["AAPL", "NOPE"]}) == [
        {"symbol": "AAPL", "status": "ok"},
        {"symbol": "NOPE", "status": "ok"},
    ]
    answer = socket.request("unsubscribe_portfolio", {"portfolio_id": growth(system)})
    assert answer["type"] == "unsubscribed"


def test_unsubscribing_really_stops_updates(system: System) -> None:
    socket = system.connect()
    socket.subscribe("AAPL", "MSFT")
    socket.update("AAPL")
    socket.request("unsubscribe_asset", {"symbol": "AAPL"})
    assert_silent(socket, "AAPL", clock="MSFT")


def test_clear_subscriptions_ends_assets_and_portfolios_and_names_them(system: System) -> None:
    portfolio_id = growth(system)
    socket = system.connect()
    socket.subscribe("AAPL")
    socket.request("subscribe_portfolio", {"portfolio_id": portfolio_id})
    socket.expect("portfolio_update")
    results = socket.results("clear_subscriptions", {})
    assert results == [{"symbol": "AAPL", "status": "ok"}, {"portfolio_id": portfolio_id, "status": "ok"}]
    socket.subscribe("MSFT")
    assert_silent(socket, "AAPL", clock="MSFT")
    assert not [frame for frame in after_last(socket, "unsubscribed") if frame["type"] == "portfolio_update"]


def assert_silent(socket: Socket, symbol: str, clock: str) -> None:
    """No update of `symbol` came after the last `unsubscribed`, although `clock` ticked three times since."""
    socket.skip()
    for _ in range(3):
        socket.update(clock)
    late = [frame for frame in after_last(socket, "unsubscribed") if frame["type"] == "asset_update"]
    assert symbol not in {frame["data"]["symbol"] for frame in late}


def after_last(socket: Socket, type: str) -> list[Frame]:
    places = [place for place, frame in enumerate(socket.seen) if frame["type"] == type]
    return socket.seen[places[-1] + 1 :]


# --- modes -----------------------------------------------------------------------------------------------------------

LTPC = {"symbol", "price", "change", "previous_close", "last_quantity"}
QUOTE = LTPC | {"change_percent", "volume", "high", "low", "open", "bid", "ask"}
FULL = QUOTE | {"bids", "asks", "average_price", "open_interest"}
COMMON = {"currency", "as_of", "source", "session", "stale", "delayed_by", "seq"}


@pytest.mark.parametrize(
    ("mode", "fields", "others"),
    [("ltpc", LTPC, FULL - LTPC), ("quote", QUOTE, FULL - QUOTE), ("full", FULL, set())],
)
def test_modes_nest_and_hold_what_they_promise(
    system: System, mode: str, fields: set[str], others: set[str]
) -> None:
    socket = system.connect()
    result = socket.results("subscribe_asset", {"symbol": "AAPL", "mode": mode})[0]
    assert result == {"symbol": "AAPL", "status": "ok", "mode": mode}
    for _ in range(2):
        data = socket.update("AAPL")
        assert fields | COMMON <= set(data)
        assert not others & set(data)


def test_mode_full_has_five_levels_of_depth_best_first(system: System) -> None:
    socket = system.connect()
    socket.subscribe("AAPL", mode="full")
    data = socket.update("AAPL", where=lambda data: data["bids"])
    assert len(data["bids"]) == len(data["asks"]) == 5
    bids, asks = [level[0] for level in data["bids"]], [level[0] for level in data["asks"]]
    assert bids == sorted(bids, reverse=True) and asks == sorted(asks) and bids[0] < asks[0]
    assert all(len(level) == 2 and level[1] > 0 for level in data["bids"] + data["asks"])


def test_change_mode_takes_effect_with_a_snapshot_and_for_that_symbol_only(system: System) -> None:
    socket = system.connect()
    socket.subscribe("AAPL", "MSFT")
    answer = socket.request("change_mode", {"symbols": ["AAPL"], "mode": "ltpc"})
    assert answer["type"] == "subscribed"
    assert answer["data"]["results"] == [{"symbol": "AAPL", "status": "ok", "mode": "ltpc"}]
    socket.skip()
    assert "bid" not in socket.update("AAPL")
    assert "bid" in socket.update("MSFT")
    socket.results("change_mode", {"symbol": "AAPL", "mode": "full"})
    socket.skip()
    assert "bids" in socket.update("AAPL")


def test_subscribing_in_another_mode_changes_the_mode(system: System) -> None:
    socket = system.connect()
    socket.subscribe("AAPL", mode="full")
    socket.subscribe("AAPL", mode="ltpc")
    socket.skip()
    assert "bid" not in socket.update("AAPL")


def test_two_connections_have_their_own_modes_of_one_symbol(system: System) -> None:
    small, large = system.connect(), system.connect()
    small.subscribe("AAPL", mode="ltpc")
    large.subscribe("AAPL", mode="full")
    for _ in range(3):
        assert "bid" not in small.update("AAPL")
        assert "bids" in large.update("AAPL")
