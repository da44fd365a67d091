"""Every error code, what brings it about, and that the socket and everybody else live on."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.contract.client import Frame, Refused, Socket
from tests.contract.conftest import System, ok
from tests.contract.test_frames import assert_envelope, growth

pytestmark = pytest.mark.usefixtures("bystander")


def assert_error(frame: Frame, code: str, request_type: str | None = None) -> Frame:
    assert_envelope(frame)
    assert frame["type"] == "error", frame
    data: Frame = frame["data"]
    assert data["code"] == code, data
    assert isinstance(data["message"], str) and data["message"]
    assert data.get("request_type") == request_type
    return data


@pytest.fixture
def socket(system: System) -> Iterator[Socket]:
    """A connection that must still answer when the test is over."""
    socket = system.connect()
    yield socket
    socket.catch_up()


# --- invalid_json, invalid_message, unknown_type ---------------------------------------------------------------------

NOT_JSON = {
    "nothing": "",
    "blanks": "   ",
    "a word": "hello",
    "half an object": '{"type":"ping"',
    "two objects": '{"type":"ping"}{"type":"ping"}',
    "a comment": '{"type":"ping"} // now',
    "single quotes": "{'type':'ping'}",
    "a trailing comma": '{"type":"ping","data":{},}',
    "NaN": '{"type":"ping","data":{"x":NaN}}',
    "Infinity": '{"type":"ping","data":{"x":-Infinity}}',
    "a bare control character": '{"type":"pi\nng"}',
    "a lone surrogate": '{"type":"\\ud800"}',
    "deep lists": '{"type":"ping","data":' + "[" * 100 + "]" * 100 + "}",
    "very deep lists": '{"type":"ping","data":' + "[" * 30_000 + "]" * 30_000 + "}",
    "deep objects": '{"type":"ping","data":' + '{"a":' * 5_000 + "1" + "}" * 5_000 + "}",
    "open lists": "[" * 60_000,
    "a byte order mark": '\ufeff{"type":"ping"}',
}


@pytest.mark.parametrize("text", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_strict_json_is_invalid_json(socket: Socket, text: str) -> None:
    socket.send_text(text)
    assert_error(socket.expect("error"), "invalid_json")


WRONG_SHAPE = {
    "null": "null",
    "a number": "17",
    "a list": '[{"type":"ping"}]',
    "a text": '"ping"',
    "no type": '{"data":{}}',
    "type null": '{"type":null}',
    "type a number": '{"type":1}',
    "type a list": '{"type":["ping"]}',
    "data a list": '{"type":"ping","data":[]}',
    "data null": '{"type":"subscribe_asset","data":null}',
    "data a text": '{"type":"subscribe_asset","data":"AAPL"}',
    "id a number": '{"type":"ping","id":5}',
    "id a list": '{"type":"ping","id":[]}',
    "id of 65 characters": json.dumps({"type": "ping", "id": "i" * 65}),
    "no symbol": '{"type":"subscribe_asset","data":{}}',
    "no data": '{"type":"subscribe_asset"}',
    "no symbols": '{"type":"subscribe_asset","data":{"symbols":[]}}',
    "symbol a number": '{"type":"subscribe_asset","data":{"symbol":1}}',
    "symbol true": '{"type":"subscribe_asset","data":{"symbol":true}}',
    "symbol a list": '{"type":"subscribe_asset","data":{"symbol":["AAPL"]}}',
    "symbols a text": '{"type":"subscribe_asset","data":{"symbols":"AAPL"}}',
    "symbols with a number": '{"type":"subscribe_asset","data":{"symbols":["AAPL",1]}}',
    "symbols with null": '{"type":"unsubscribe_asset","data":{"symbols":[null]}}',
    "mode a number": '{"type":"subscribe_asset","data":{"symbol":"AAPL","mode":3}}',
    "no mode": '{"type":"change_mode","data":{"symbol":"AAPL"}}',
    "no portfolio": '{"type":"subscribe_portfolio","data":{}}',
    "portfolio a text": '{"type":"subscribe_portfolio","data":{"portfolio_id":"1"}}',
    "portfolio true": '{"type":"subscribe_portfolio","data":{"portfolio_id":true}}',
    "portfolio a fraction": '{"type":"subscribe_portfolio","data":{"portfolio_id":1.5}}',
    "portfolio 0": '{"type":"subscribe_portfolio","data":{"portfolio_id":0}}',
    "portfolio -1": '{"type":"unsubscribe_portfolio","data":{"portfolio_id":-1}}',
    "portfolio 2^64": '{"type":"subscribe_portfolio","data":{"portfolio_id":18446744073709551616}}',
    "portfolio of 4000 digits": '{"type":"subscribe_portfolio","data":{"portfolio_id":' + "9" * 4000 + "}}",
    "portfolio 1e400": '{"type":"subscribe_portfolio","data":{"portfolio_id":1e400}}',
    "portfolio null": '{"type":"subscribe_portfolio","data":{"portfolio_id":null}}',
    "frame a text": '{"type":"ack","data":{"frame":"1"}}',
    "frame 0": '{"type":"ack","data":{"frame":0}}',
    "ack without acks": '{"type":"ack","data":{"frame":1}}',
}


@pytest.mark.parametrize("text", WRONG_SHAPE.values(), ids=WRONG_SHAPE.keys())
def test_json_of_the_wrong_shape_is_invalid_message(socket: Socket, text: str) -> None:
    socket.send_text(text)
    frame = socket.expect("error")
    assert frame["data"]["code"] == "invalid_message", frame
    assert_error(frame, "invalid_message", frame["data"].get("request_type"))


def test_an_error_in_the_data_names_the_request_and_echoes_its_id(socket: Socket) -> None:
    frame = socket.request("subscribe_asset", {"symbol": 1})
    assert_error(frame, "invalid_message", "subscribe_asset")


@pytest.mark.parametrize("data", [b"", b"\x00", b'{"type":"ping"}', b"\xff\xfe" * 100])
def test_a_binary_frame_is_invalid_message(socket: Socket, data: bytes) -> None:
    socket.send_bytes(data)
    assert_error(socket.expect("error"), "invalid_message")


def test_confirming_a_frame_that_was_never_sent_is_invalid_message(system: System) -> None:
    socket = system.connect(options="acks=1")
    assert_error(socket.request("ack", {"frame": 1000}), "invalid_message", "ack")


@pytest.mark.parametrize(
    "type",
    [
        "nope", "", "PING", "ping ", "pong", "connection", "asset_update", "heartbeat", "error", "subscribed",
        # what a Channels consumer would dispatch on
        "websocket.connect", "websocket.receive", "websocket.disconnect", "websocket.send", "websocket.close",
        "feed.batch", "feed.status", "session.ended", "user.changed", "portfolio.changed", "portfolio_changed",
        "__init__", "dispatch", "close", "send", "x" * 5000, "\u0000", "type\r\nlevel=error",
    ],
)  # fmt: skip
def test_a_type_that_clients_do_not_send_is_unknown_type(socket: Socket, type: str) -> None:
    frame = socket.request(type)
    assert_error(frame, "unknown_type", type[:64])


# --- symbols and modes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "symbol",
    ["", " ", "AAPL ", "A A", "A,B", "A;DROP TABLE", "A*", "<b>", "\u0000", "AAPL\n", "ÄÖ", "\uff21\uff22", "ß",
     "A" * 65, "'", "{}"],
)  # fmt: skip
def test_a_malformed_symbol_is_invalid_symbol(socket: Socket, symbol: str) -> None:
    result = socket.results("subscribe_asset", {"symbol": symbol})[0]
    assert (result["status"], result["code"], result["symbol"]) == ("error", "invalid_symbol", symbol[:64])
    assert result["message"]
    if symbol:
        assert socket.results("unsubscribe_asset", {"symbol": symbol})[0]["code"] == "invalid_symbol"


@pytest.mark.parametrize(
    "symbol", ["NOPE", "A" * 64, "NSE_EQ|INE002A01018", "^GSPC", "BRK/B", "A.B:C=D-E_F", "AAPL--", "0"]
)
def test_a_well_formed_symbol_that_nobody_has_is_unknown_symbol(socket: Socket, symbol: str) -> None:
    result = socket.results("subscribe_asset", {"symbol": symbol})[0]
    assert (result["status"], result["code"], result["symbol"]) == ("error", "unknown_symbol", symbol)


@pytest.mark.parametrize("mode", ["", "QUOTE", "depth", "option_greeks", "full_d31", "x" * 5000, "quote "])
def test_a_mode_that_no_source_fills_is_unsupported_mode(socket: Socket, mode: str) -> None:
    result = socket.results("subscribe_asset", {"symbol": "AAPL", "mode": mode})[0]
    assert (result["status"], result["code"]) == ("error", "unsupported_mode")
    assert len(result["message"]) < 200


@pytest.mark.parametrize("mode", ["full_d30", "option_greeks"])
def test_a_mode_is_filled_or_refused_and_never_quietly_degraded(socket: Socket, mode: str) -> None:
    result = socket.results("subscribe_asset", {"symbol": "AAPL", "mode": mode})[0]
    if result["status"] == "error":
        assert result["code"] == "unsupported_mode"
        return
    data = socket.update("AAPL")
    assert len(data["bids"]) == 30 if mode == "full_d30" else data["delta"] is not None


def test_depth_of_an_asset_without_a_source_is_unsupported_mode(system: System, socket: Socket) -> None:
    system.session().post("/api/assets/", {"symbol": "NODEPTH", "name": "n", "currency": "USD"})
    result = socket.results("subscribe_asset", {"symbol": "NODEPTH", "mode": "full"})[0]
    assert result["code"] == "unsupported_mode"


def test_a_refused_mode_leaves_the_subscription_as_it_was(socket: Socket) -> None:
    socket.subscribe("AAPL", mode="ltpc")
    assert socket.results("change_mode", {"symbol": "AAPL", "mode": "nope"})[0]["code"] == "unsupported_mode"
    socket.skip()
    assert "bid" not in socket.update("AAPL")


def test_changing_the_mode_of_what_is_not_subscribed_is_refused(socket: Socket) -> None:
    result = socket.results("change_mode", {"symbol": "AAPL", "mode": "ltpc"})[0]
    assert (result["status"], result["code"]) == ("error", "invalid_message")
    socket.subscribe("MSFT")
    socket.update("MSFT")
    assert not socket.updates("AAPL")


# --- portfolios ------------------------------------------------------------------------------------------------------


def test_missing_and_foreign_portfolios_are_refused_in_the_same_words(system: System) -> None:
    stranger = system.connect("olga")
    foreign = stranger.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    missing = stranger.request("subscribe_portfolio", {"portfolio_id": 999_999_999})
    huge = stranger.request("subscribe_portfolio", {"portfolio_id": 2**63 - 1})
    assert_error(foreign, "portfolio_not_found", "subscribe_portfolio")
    assert foreign["data"] == missing["data"] == huge["data"]
    stranger.subscribe("AAPL")
    stranger.update("AAPL")
    assert "portfolio_update" not in {frame["type"] for frame in stranger.seen}


def test_even_staff_sees_no_portfolio_of_others(system: System) -> None:
    frame = system.connect("admin").request("subscribe_portfolio", {"portfolio_id": growth(system)})
    assert_error(frame, "portfolio_not_found", "subscribe_portfolio")


def test_rows_that_contradict_each_other_are_an_internal_error_of_that_portfolio_alone(
    system: System, socket: Socket
) -> None:
    session = system.session()
    made = ok(session.post("/api/portfolios/", {"name": "Broken", "currency": "USD"}), 201).json["id"]
    rows = f"/api/portfolios/{made}/transactions/"
    ok(session.post(rows, {"type": "deposit", "amount": "1000"}), 201)
    bought = {"type": "buy", "symbol": "AAPL", "quantity": "1", "price": "10"}
    row = ok(session.post(rows, bought), 201).json["id"]
    # Nothing that the product offers can do this, so the database is changed behind its back.
    system.run_python(
        "from django.db import connection\n"
        f"connection.cursor().execute(\"UPDATE portfolio_transaction SET type = 'sell' WHERE id = {row}\")"
    )
    assert_error(
        socket.request("subscribe_portfolio", {"portfolio_id": made}), "internal_error", "subscribe_portfolio"
    )
    assert socket.request("subscribe_portfolio", {"portfolio_id": growth(system)})["type"] == "subscribed"
    socket.expect("portfolio_update")


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_symbols(shared_system: System) -> list[str]:
    session = shared_system.session()
    symbols = [f"MANY{number}" for number in range(52)]
    for symbol in symbols:
        ok(session.post("/api/assets/", {"symbol": symbol, "name": symbol, "currency": "USD"}), 201)
        ok(session.post(f"/api/assets/{symbol}/prices/", {"price": "1.5"}), 201)
    return symbols


def test_the_51st_subscription_is_refused_and_the_fifty_stay(socket: Socket, many_symbols: list[str]) -> None:
    socket.subscribe(*many_symbols[:50])
    result = socket.results("subscribe_asset", {"symbol": many_symbols[50]})[0]
    assert (result["symbol"], result["status"], result["code"]) == (
        many_symbols[50],
        "error",
        "subscription_limit",
    )
    assert "50" in result["message"]
    socket.subscribe(many_symbols[0])  # one that it has already
    for symbol in many_symbols[:50]:
        socket.update(symbol)
    assert not socket.updates(many_symbols[50])


def test_one_message_over_the_limit_is_filled_up_to_it(socket: Socket, many_symbols: list[str]) -> None:
    results = socket.results("subscribe_asset", {"symbols": many_symbols})
    assert [result.get("code") for result in results] == [None] * 50 + ["subscription_limit"] * 2


def test_a_place_that_is_given_up_can_be_taken_again(socket: Socket, many_symbols: list[str]) -> None:
    socket.subscribe(*many_symbols[:50])
    socket.request("unsubscribe_asset", {"symbol": many_symbols[0]})
    socket.subscribe(many_symbols[50])
    socket.request("clear_subscriptions")
    socket.subscribe(*many_symbols[:50])


def test_more_messages_than_the_burst_are_rate_limited_until_the_time_it_says(system: System) -> None:
    socket = system.connect()
    for number in range(100):
        socket.send("ping", id=f"{number}")
    refused: list[Frame] = []
    # The rate fills the bucket again while these are on their way; on a slow machine it takes a few of them more.
    for ten in range(100):
        for number in range(10):
            socket.send("ping", id=f"{ten}.{number}")
        answers = [socket.expect(where=lambda frame: "id" in frame) for _ in range(100 * (ten == 0) + 10)]
        refused = [frame for frame in answers if frame["type"] == "error"]
        if refused:
            break
    assert_error(refused[0], "rate_limited", "ping")
    assert 0 < refused[0]["data"]["retry_after_ms"] <= 1000
    assert len([frame for frame in socket.seen if frame["type"] == "pong"]) >= 100


def test_acks_are_not_counted_as_messages(system: System) -> None:
    socket = system.connect(options="acks=1&batch=1")
    socket.subscribe("AAPL")
    socket.expect("asset_updates")
    for _ in range(300):
        socket.send("ack", {"frame": 1})
    socket.catch_up()
    assert "error" not in {frame["type"] for frame in socket.seen}


def test_many_symbols_are_one_message(socket: Socket, many_symbols: list[str]) -> None:
    for _ in range(20):
        socket.subscribe(*many_symbols[:50])
    assert "error" not in {frame["type"] for frame in socket.seen}


# --- no_data ---------------------------------------------------------------------------------------------------------


def test_an_asset_that_never_had_a_price_is_told_with_no_data(system: System, socket: Socket) -> None:
    session = system.session()
    session.post("/api/assets/", {"symbol": "UNPRICED", "name": "never priced", "currency": "USD"})
    assert socket.results("subscribe_asset", {"symbol": "UNPRICED"})[0]["status"] == "pending"
    data = assert_error(socket.expect("error"), "no_data", "subscribe_asset")
    assert data["symbol"] == "UNPRICED"
    ok(session.post("/api/assets/UNPRICED/prices/", {"price": "3"}), 201)
    assert socket.update("UNPRICED")["price"] == 3


# --- REST answers hostile input in kind ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda http: http.post("/api/assets/", b"{"),
        lambda http: http.post("/api/assets/", b'{"symbol": NaN}'),
        lambda http: http.post("/api/assets/", b"[" * 50_000),
        lambda http: http.post("/api/assets/", {"symbol": "a b", "name": "x", "currency": "USD"}),
        lambda http: http.post("/api/assets/AAPL/prices/", {"price": "NaN"}),
        lambda http: http.post("/api/assets/AAPL/prices/", {"price": "-1"}),
        lambda http: http.post("/api/assets/AAPL/prices/", {"price": "1e999999"}),
        lambda http: http.post("/api/realtime/force_price_update/", b"\xff\xfe"),
        lambda http: http.get("/api/assets/AAPL/bars/?interval=5m"),
        lambda http: http.get("/api/assets/AAPL/bars/?start=yesterday"),
    ],
)
def test_rest_refuses_bad_input_with_400_and_json(system: System, make: Callable[..., object]) -> None:
    answer = make(system.session("admin"))
    assert answer.status == 400 and isinstance(answer.json, dict), answer  # type: ignore[attr-defined]


def test_a_refused_handshake_is_no_upgrade(system: System) -> None:
    with pytest.raises(Refused):
        Socket.open(system.ws, origin=system.url)
