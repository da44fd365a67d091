"""Every frame that the server sends has the fields and types of the specification's samples and of DESIGN 1.1."""

import re
from decimal import Decimal
from typing import Any

from tests.contract.client import Frame
from tests.contract.conftest import System
from tests.live import PATIENCE

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NUMBER = (int, Decimal)
QUOTE = {
    "symbol": str, "price": NUMBER, "change": NUMBER, "change_percent": NUMBER, "volume": NUMBER, "high": NUMBER,
    "low": NUMBER, "previous_close": NUMBER, "open": NUMBER, "bid": NUMBER, "ask": NUMBER, "last_quantity": NUMBER,
    "currency": str, "as_of": TIME, "source": str, "session": str, "stale": bool, "delayed_by": NUMBER, "seq": int,
}  # fmt: skip
VALUATION = {
    "portfolio_id": int, "name": str, "total_value": NUMBER, "daily_change": NUMBER, "daily_change_percent": NUMBER,
    "currency": str, "cash": NUMBER, "invested": NUMBER, "unrealized": NUMBER, "realized": NUMBER, "income": NUMBER,
    "coverage": NUMBER, "unpriced": list, "oldest_price_at": TIME, "baseline_at": TIME, "positions": list,
    "complete": bool, "explain": dict, "fees": NUMBER, "taxes": NUMBER, "cash_fx": NUMBER, "realized_today": NUMBER,
    "income_today": NUMBER, "external_flows": NUMBER, "cash_positions": list, "ledger_row": int, "valued_at": TIME,
}  # fmt: skip
EXPLAIN = {
    "price": NUMBER, "currency": NUMBER, "trades": NUMBER, "income": NUMBER, "fees": NUMBER, "rounding": NUMBER,
}  # fmt: skip
FEED_STATUS = {"source": str, "state": str, "since": TIME, "reason": str, "epoch": int}


def assert_shape(data: Frame, shape: dict[str, Any]) -> None:
    """Every field of `shape` is there and of its type; others may be there too."""
    for name, wanted in shape.items():
        assert name in data, f"{name} is missing in {data}"
        value = data[name]
        if isinstance(wanted, re.Pattern):
            assert wanted.fullmatch(value), f"{name}: {value!r}"
        else:
            assert isinstance(value, wanted), f"{name}: {value!r}"
            assert wanted is bool or not isinstance(value, bool), f"{name}: {value!r}"


def assert_envelope(frame: Frame) -> None:
    assert set(frame) <= {"type", "data", "timestamp", "id", "frame"}
    assert_shape(frame, {"type": str, "data": (dict, list), "timestamp": TIME})


def test_first_frame_is_the_connection_with_who_and_which_limits(system: System) -> None:
    socket = system.connect()
    frame = socket.seen[0]
    assert frame["type"] == "connection"
    assert_shape(
        frame["data"],
        {
            "status": str, "connection_id": str, "authenticated": bool, "user_id": int, "epoch": dict, "limits": dict,
            "heartbeat_interval": int, "server_time": TIME,
        },
    )  # fmt: skip
    data = frame["data"]
    assert data["status"] == "connected" and data["authenticated"] is True
    assert re.fullmatch(r"[0-9a-f-]{36}", data["connection_id"])
    assert data["limits"] == {"subscriptions": 50, "message_bytes": 65536}
    assert data["heartbeat_interval"] == 15
    assert isinstance(data["epoch"]["simulator"], int)


def test_the_state_of_each_source_follows_the_connection(system: System) -> None:
    socket = system.connect()
    frame = socket.expect("feed_status")
    assert_shape(frame["data"], FEED_STATUS)
    assert frame["data"]["source"] == "simulator"
    # A loaded feed may well have missed three heartbeats just now.
    assert frame["data"]["state"] == "live" or socket.expect(
        "feed_status", lambda frame: frame["data"]["state"] == "live"
    )


def test_connections_have_names_of_their_own(system: System) -> None:
    first, second = system.connect(), system.connect()
    assert first.seen[0]["data"]["connection_id"] != second.seen[0]["data"]["connection_id"]


def test_asset_update_has_every_field_of_the_specification(system: System) -> None:
    socket = system.connect()
    socket.subscribe("AAPL")
    frame = socket.expect("asset_update")
    assert_envelope(frame)
    assert_shape(frame["data"], QUOTE)
    data = frame["data"]
    assert data["symbol"] == "AAPL" and data["source"] == "simulator" and data["currency"] == "USD"
    assert data["low"] <= data["price"] <= data["high"]
    assert data["bid"] <= data["ask"]
    assert data["change"] == data["price"] - data["previous_close"]
    assert abs(data["change_percent"] - 100 * data["change"] / data["previous_close"]) < Decimal("0.01")
    assert data["stale"] is False and data["delayed_by"] == 0


def test_portfolio_update_has_every_field_of_the_specification(system: System) -> None:
    socket = system.connect()
    socket.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    frame = socket.expect("portfolio_update")
    assert_envelope(frame)
    data = frame["data"]
    assert_shape(data, VALUATION)
    assert data["name"] == "Growth Portfolio" and data["complete"] is True
    assert_shape(
        data["positions"][0],
        {
            "symbol": str, "name": str, "currency": str, "quantity": NUMBER, "price": NUMBER, "value": NUMBER,
            "average_cost": NUMBER, "cost": NUMBER, "daily_change": NUMBER, "daily_change_percent": NUMBER,
            "unrealized": NUMBER, "unrealized_percent": NUMBER, "realized": NUMBER, "weight_percent": NUMBER,
            "as_of": TIME, "source": str, "session": str, "stale": bool, "baseline_at": TIME, "rate": NUMBER,
            "cost_base": NUMBER, "realized_base": NUMBER, "unrealized_price": NUMBER, "unrealized_currency": NUMBER,
            "income": NUMBER, "fees": NUMBER, "explain": dict,
        },
    )  # fmt: skip
    assert_shape(
        data["cash_positions"][0],
        {
            "currency": str, "amount": NUMBER, "rate": NUMBER, "value": NUMBER, "daily_change": NUMBER,
            "explain": dict, "baseline_at": TIME, "receivable": bool,
        },
    )  # fmt: skip
    for one in (data, data["positions"][0], data["cash_positions"][0]):
        assert_shape(one["explain"], EXPLAIN)
        assert sum(one["explain"].values()) == one["daily_change"]


def test_portfolio_adds_up(system: System) -> None:
    socket = system.connect()
    socket.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    data = socket.expect("portfolio_update")["data"]
    cent = Decimal("0.01") * (len(data["positions"]) + 1)
    assert (
        abs(sum(position["value"] for position in data["positions"]) + data["cash"] - data["total_value"])
        <= cent
    )
    assert abs(sum(position["daily_change"] for position in data["positions"]) - data["daily_change"]) <= cent
    assert data["coverage"] == 1 and data["unpriced"] == []


def test_heartbeat_comes_within_its_interval(system: System) -> None:
    socket = system.connect()
    # Fifteen seconds; twice as long for a busy machine, which the connection must then still have been told of once.
    frame = socket.expect("heartbeat", within=PATIENCE)
    assert_envelope(frame)


def test_every_frame_is_compact_json_with_exact_times_and_plain_numbers(system: System) -> None:
    socket = system.connect()
    socket.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    socket.subscribe("AAPL", "BTC-USD", mode="full")
    socket.request("ping")
    socket.request("nope")
    for symbol in ("AAPL", "BTC-USD"):
        socket.update(symbol)
        socket.update(symbol)
    for frame in socket.seen:
        assert_envelope(frame)
        assert_plain(frame)
    assert not any(re.search(r"[,:] ", re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)) for text in socket.texts)
    assert not any(
        re.search(r"[\[,:]-?\d[\d.]*[eE]", re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)) for text in socket.texts
    )


def assert_plain(value: Any, name: str = "") -> None:
    """Times as the contract writes them, wherever they stand."""
    match value:
        case dict():
            for key, item in value.items():
                assert_plain(item, key)
        case list():
            for item in value:
                assert_plain(item, name)
        case str() if name.endswith(("_at", "_of", "_time")) or name in ("timestamp", "since"):
            assert TIME.fullmatch(value), f"{name}: {value!r}"


def test_tiny_and_huge_prices_are_written_out(system: System) -> None:
    admin = system.session("admin")
    for symbol, price in (("TINY", "0.000000000123"), ("HUGE", "98765432100000000000")):
        admin.post("/api/assets/", {"symbol": symbol, "name": symbol, "currency": "USD"})
        assert admin.post(f"/api/assets/{symbol}/prices/", {"price": price}).status == 201
        socket = system.connect()
        socket.subscribe(symbol)
        socket.update(symbol)
        assert f'"price":{price},' in socket.texts[-1]


def growth(system: System) -> int:
    """The demo user's first portfolio."""
    found = system.session().get("/api/portfolios/").json["results"]
    return int(next(portfolio["id"] for portfolio in found if portfolio["name"] == "Growth Portfolio"))
