"""What the stream guarantees: a snapshot first, then numbered news in order, conflated but never reordered."""

import time
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import pytest

from tests.contract.client import Frame, Socket
from tests.contract.conftest import System, ok
from tests.contract.test_frames import growth

DEMO = ("AAPL", "MSFT", "GOOGL", "NVDA", "BTC-USD", "ETH-USD")


def assert_ordered(updates: Sequence[Frame]) -> None:
    """Per symbol, source and epoch `seq` never falls, and a number that comes again says the same."""
    last: dict[str, Frame] = {}
    for data in updates:
        before = last.get(data["symbol"])
        if before is not None and (before["source"], before["epoch"]) == (data["source"], data["epoch"]):
            assert data["seq"] >= before["seq"], (before, data)
            if data["seq"] == before["seq"]:
                assert data["price"] == before["price"]
            assert data["as_of"] >= before["as_of"]
        last[data["symbol"]] = data


def test_seq_strictly_increases_per_symbol_and_epoch(system: System) -> None:
    socket = system.connect()
    socket.subscribe(*DEMO)
    for _ in range(10):
        for symbol in DEMO:
            socket.update(symbol)
    numbers = defaultdict(list)
    for data in socket.updates():
        numbers[data["symbol"], data["epoch"]].append(data["seq"])
    for seqs in numbers.values():
        assert seqs == sorted(set(seqs)), "a seq fell or came twice"
    assert_ordered(socket.updates())


def test_snapshot_comes_for_a_symbol_that_does_not_move(system: System) -> None:
    symbol = still_asset(system, "STILL", "12.5")
    for _ in range(2):  # the first reads it from Redis, and the second may not depend on that
        socket = system.connect()
        socket.subscribe(symbol)
        assert socket.update(symbol)["price"] == Decimal("12.5")


def test_every_resubscribe_starts_with_a_snapshot(system: System) -> None:
    symbol = still_asset(system, "STILL", "12.5")
    socket = system.connect()
    for _ in range(3):
        socket.subscribe(symbol)
        socket.update(symbol)
        socket.request("unsubscribe_asset", {"symbol": symbol})
    for _ in range(3):
        socket.subscribe(symbol)
        socket.update(symbol)


def test_subscriptions_of_two_connections_see_the_same_numbers(system: System) -> None:
    first, second = system.connect(), system.connect()
    first.subscribe("AAPL")
    second.subscribe("AAPL")
    for _ in range(5):
        first.update("AAPL")
        second.update("AAPL")
    prices = {(data["epoch"], data["seq"]): data["price"] for data in first.updates("AAPL")}
    common = [data for data in second.updates("AAPL") if (data["epoch"], data["seq"]) in prices]
    assert common
    assert all(prices[data["epoch"], data["seq"]] == data["price"] for data in common)


def test_update_tells_the_last_price_that_rest_tells(system: System) -> None:
    symbol = still_asset(system, "REST", "7.75")
    socket = system.connect()
    socket.subscribe(symbol)
    data = socket.update(symbol)
    asset = ok(system.session().get(f"/api/assets/{symbol}/")).json
    assert asset["price"] == data["price"] == Decimal("7.75")
    assert asset["price_as_of"] == data["as_of"]


def test_price_set_by_hand_moves_every_dashboard_like_a_tick(system: System) -> None:
    symbol = still_asset(system, "FUND", "100")
    watchers = [system.connect(), system.connect("olga", "batch=1")]
    for watcher in watchers:
        watcher.subscribe(symbol)
        watcher.update(symbol)
    ok(system.session().post(f"/api/assets/{symbol}/prices/", {"price": "101.25"}), 201)
    for watcher in watchers:
        data = watcher.update(symbol, where=lambda data: data["price"] == Decimal("101.25"))
        assert data["source"] == "manual"
        assert_ordered(watcher.updates(symbol))


def test_prices_set_by_hand_arrive_in_order_and_the_last_always(system: System) -> None:
    symbol = still_asset(system, "ORDER", "1")
    socket = system.connect()
    socket.subscribe(symbol)
    for price in range(2, 12):
        ok(system.session().post(f"/api/assets/{symbol}/prices/", {"price": str(price)}), 201)
    socket.update(symbol, where=lambda data: data["price"] == 11)
    prices = [data["price"] for data in socket.updates(symbol)]
    assert prices == sorted(prices)
    assert_ordered(socket.updates(symbol))


def still_asset(system: System, symbol: str, price: str) -> str:
    """An asset that nobody but a person prices."""
    session = system.session()
    added = session.post("/api/assets/", {"symbol": symbol, "name": symbol, "currency": "USD"})
    assert added.status in (201, 400), added.body
    ok(session.post(f"/api/assets/{symbol}/prices/", {"price": price}), 201)
    return symbol


# --- options of a connection -----------------------------------------------------------------------------------------


def test_batch_puts_a_flush_into_one_frame_and_snapshots_too(system: System) -> None:
    socket = system.connect(options="batch=1")
    socket.subscribe(*DEMO)
    first = socket.expect("asset_updates")
    assert {data["symbol"] for data in first["data"]} <= set(DEMO)
    for symbol in DEMO:
        socket.update(symbol)
    assert "asset_update" not in {frame["type"] for frame in socket.seen}
    for frame in socket.seen:
        if frame["type"] == "asset_updates":
            symbols = [data["symbol"] for data in frame["data"]]
            assert len(symbols) == len(set(symbols)), "a symbol stands twice in one flush"
    assert_ordered(socket.updates())


def test_max_rate_limits_flushes_and_keeps_the_newest(system: System) -> None:
    slow, fast = system.connect(options="batch=1&max_rate=2"), system.connect(options="batch=1")
    begun = time.monotonic()
    slow.subscribe("AAPL", "MSFT")
    fast.subscribe("AAPL", "MSFT")
    for _ in range(5):
        slow.expect("asset_updates")
    # More flushes came meanwhile; of these, two a second were sent, so that five took two seconds.
    assert time.monotonic() - begun > 1.99
    assert_shows_the_newest(slow, fast, "AAPL")


def assert_shows_the_newest(slow: Socket, fast: Socket, symbol: str) -> None:
    """What a slow connection is sent from now on is not older than what a fast one has got by now."""
    fast.catch_up()
    newest = max((data["epoch"], data["seq"]) for data in fast.updates(symbol))
    slow.catch_up()
    slow.skip()
    after = slow.update(symbol)
    assert (after["epoch"], after["seq"]) >= newest, "a backlog came instead of the newest value"


def test_numbers_as_strings_keep_every_digit(system: System) -> None:
    socket = system.connect(options="numbers=string")
    socket.subscribe("AAPL", mode="full")
    data = socket.update("AAPL", where=lambda data: data["bids"])
    decimals = (
        "price",
        "change",
        "change_percent",
        "volume",
        "high",
        "low",
        "previous_close",
        "open",
        "bid",
        "ask",
    )
    for name in decimals:
        assert isinstance(data[name], str), name
        assert "e" not in data[name].lower()
    assert all(isinstance(text, str) for level in data["bids"] for text in level)
    assert isinstance(data["seq"], int) and isinstance(data["delayed_by"], int)
    socket.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    assert isinstance(socket.expect("portfolio_update")["data"]["total_value"], str)


def test_strings_and_numbers_say_the_same(system: System) -> None:
    symbol = still_asset(system, "EXACT", "43000.010")
    for options, price in (("numbers=string", "43000.010"), ("numbers=number", Decimal("43000.010"))):
        socket = system.connect(options=options)
        socket.subscribe(symbol)
        assert Decimal(socket.update(symbol)["price"]) == Decimal(price)


def test_at_most_two_frames_stand_unconfirmed_and_the_newest_follows_a_pause(system: System) -> None:
    socket, clock = system.connect(options="acks=1&batch=1"), system.connect()
    socket.subscribe("AAPL")
    clock.subscribe("AAPL")
    assert [socket.expect("asset_updates")["frame"] for _ in range(2)] == [1, 2]
    newest = [clock.update("AAPL") for _ in range(8)][-1]
    socket.catch_up()
    assert data_frames(socket) == [1, 2], "sent more than two unconfirmed frames"
    socket.send("ack", {"frame": 2})
    after = socket.expect("asset_updates")
    assert after["frame"] == 3
    assert after["data"][0]["seq"] >= newest["seq"], "a backlog came instead of the newest value"


def test_an_ack_confirms_all_up_to_its_frame_and_old_ones_do_no_harm(system: System) -> None:
    socket = system.connect(options="acks=1&batch=1")
    socket.subscribe("AAPL")
    for frame in range(1, 7):
        assert socket.expect("asset_updates")["frame"] == frame
        if frame % 2 == 0:
            socket.send("ack", {"frame": frame})
            socket.send("ack", {"frame": 1})
    assert "error" not in {frame["type"] for frame in socket.seen}


def test_acks_number_single_frames_and_portfolios_too_but_no_answers(system: System) -> None:
    socket = system.connect(options="acks=1")
    socket.request("subscribe_portfolio", {"portfolio_id": growth(system)})
    socket.subscribe("AAPL")
    data = [frame for frame in socket.seen if frame["type"] in ("asset_update", "portfolio_update")]
    while len(data) < 12:
        socket.send("ack", {"frame": max(len(data), 1)})
        socket.expect(where=lambda frame: frame["type"] in ("asset_update", "portfolio_update"))
        data = [frame for frame in socket.seen if frame["type"] in ("asset_update", "portfolio_update")]
    assert [frame["frame"] for frame in data] == list(range(1, len(data) + 1))
    assert {frame["type"] for frame in data} == {"asset_update", "portfolio_update"}
    assert not [frame for frame in socket.seen if "frame" in frame and frame not in data]


def data_frames(socket: Socket) -> list[int]:
    return [frame["frame"] for frame in socket.seen if "frame" in frame]


def test_connections_without_acks_have_no_frame_numbers(system: System) -> None:
    socket = system.connect()
    socket.subscribe("AAPL")
    socket.update("AAPL")
    assert data_frames(socket) == []


def test_options_may_be_combined_in_any_order(system: System) -> None:
    socket = system.connect(options="numbers=string&acks=1&max_rate=50&batch=1")
    socket.subscribe("AAPL")
    frame = socket.expect("asset_updates")
    assert frame["frame"] == 1 and isinstance(frame["data"][0]["price"], str)


@pytest.mark.parametrize(
    "options",
    ["batch=2", "batch=yes", "batch=", "max_rate=0", "max_rate=-1", "max_rate=nan", "max_rate=inf", "max_rate=1e9",
     "max_rate=x", "numbers=float", "acks=true", "acks=2"],
)  # fmt: skip
def test_a_wrong_option_is_complained_of_by_name_and_the_rest_works(system: System, options: str) -> None:
    socket = system.connect(options=options)
    if options == "batch=":  # an empty value is no value
        socket.catch_up()
    else:
        error = socket.expect("error")["data"]
        assert error["code"] == "invalid_message"
        assert options.partition("=")[0] in error["message"]
    socket.subscribe("AAPL")
    assert "frame" not in socket.expect("asset_update")


def test_an_unknown_option_is_ignored(system: System) -> None:
    socket = system.connect(options="colour=blue&%FF=%00&batch=1&=&&")
    socket.subscribe("AAPL")
    socket.expect("asset_updates")
    assert "error" not in {frame["type"] for frame in socket.seen}
