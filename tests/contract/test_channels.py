"""Trades, books and bars at the running server: a recorded market in, and what clients of every pace make of it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from tests.contract.client import Frame, Socket
from tests.contract.conftest import System, ok
from tests.contract.test_delivery import still_asset
from tests.vendors.frames import Frames, NaiveBook, made_up, write_frames
from tests.vendors.process import exchange, reserved_port

LEVELS = 50

# --- requests --------------------------------------------------------------------------------------------------------


def test_channels_are_echoed_and_a_later_subscription_replaces_them(system: System) -> None:
    symbol = still_asset(system, "STILL", "12.5")
    socket = system.connect()
    asked = {"symbol": symbol, "channels": ["bars", "bars"]}
    (result,) = socket.results("subscribe_asset", asked)
    assert result == {"symbol": symbol, "status": "ok", "mode": "quote", "channels": ["bars"]}
    (result,) = socket.results("change_mode", {"symbol": symbol, "mode": "ltpc"})
    assert (result["mode"], result["channels"]) == ("ltpc", ["bars"])
    (result,) = socket.results("subscribe_asset", {"symbol": symbol})
    assert "channels" not in result


@pytest.mark.parametrize("channel", ["trades", "book", "notices"])
def test_a_channel_that_no_source_gives_refuses_its_symbol_alone(system: System, channel: str) -> None:
    symbol = still_asset(system, "STILL", "12.5")
    socket = system.connect()
    refused, other = socket.results("subscribe_asset", {"symbols": [symbol, "NOPE"], "channels": [channel]})
    assert (refused["status"], refused["code"]) == ("error", "unsupported_mode")
    assert channel in refused["message"]
    assert other["code"] == "unknown_symbol"


@pytest.mark.parametrize("channels", [["candles"], ["trades", 1], "trades", [None], {"trades": True}])
def test_channels_that_make_no_sense_are_an_invalid_message(system: System, channels: object) -> None:
    socket = system.connect()
    answer = socket.request("subscribe_asset", {"symbol": "AAPL", "channels": channels})
    assert (answer["type"], answer["data"]["code"]) == ("error", "invalid_message")


def test_a_subscription_without_a_known_price_is_pending_until_there_is_one(system: System) -> None:
    session = system.session()
    session.post("/api/assets/", {"symbol": "PENDING", "name": "not priced yet", "currency": "USD"})
    socket = system.connect()
    asked = {"symbols": ["PENDING", "AAPL"]}
    assert [result["status"] for result in socket.results("subscribe_asset", asked)] == ["pending", "ok"]
    ok(session.post("/api/assets/PENDING/prices/", {"price": "3"}), 201)
    assert socket.update("PENDING")["price"] == 3
    assert [result["status"] for result in socket.results("subscribe_asset", asked)] == ["ok", "ok"]


def test_nobody_elses_account_events_are_listed(system: System) -> None:
    assert ok(system.session("olga").get("/api/account-events/?source=upstox")).json == []
    assert system.session("olga").get("/api/account-events/").status == 400


# --- a market --------------------------------------------------------------------------------------------------------

Side = tuple[tuple[Decimal, Decimal], ...]
BookLevels = tuple[Side, Side]


class Market:
    """What the vendor sends of one product, worked out without any of our code."""

    def __init__(self, frames: Frames, product: str) -> None:
        self.product = product
        self.trades: list[Frame] = []
        self.books: list[BookLevels] = []
        book = NaiveBook()
        for _, frame in frames:
            message = json.loads(frame)
            if message.get("product_id") != product:
                continue
            if message["type"] == "match":
                self.trades.append(message)
            elif message["type"] in ("snapshot", "l2update"):
                book.apply(message)
                self.books.append((best(book, "buy"), best(book, "sell")))


def best(book: NaiveBook, side: str) -> Side:
    return tuple(book.levels(side)[:LEVELS])


class Watcher:
    """A client that keeps the trades and rebuilds the book from what it is sent."""

    def __init__(self, socket: Socket, product: str) -> None:
        self.socket = socket
        self.product = product
        self.trades: list[Frame] = []
        self.books: list[BookLevels] = []
        self.bars: list[Frame] = []
        self._sides: dict[str, dict[Decimal, Decimal]] = {}
        self._seq: tuple[int, int] | None = None
        self._looked_at = 0
        self.kinds: list[str] = []

    def look(self) -> None:
        for frame in self.socket.seen[self._looked_at :]:
            self._take(frame["type"], frame["data"])
        self._looked_at = len(self.socket.seen)

    def _take(self, kind: str, data: Any) -> None:
        if kind in ("trade", "trades"):
            self.trades += [data] if kind == "trade" else data
        elif kind == "bar":
            self.bars.append(data)
        elif kind == "book_snapshot":
            self._sides = {"bid": levels(data["bids"]), "ask": levels(data["asks"])}
            self._show(kind, data)
        elif kind == "book_update":
            assert self._seq == (data["epoch"], data["previous_seq"]), "a hole that nobody told of"
            for side, price, quantity in data["changes"]:
                self._sides[side][Decimal(price)] = Decimal(quantity)
                if not Decimal(quantity):
                    del self._sides[side][Decimal(price)]
            self._show(kind, data)

    def _show(self, kind: str, data: Frame) -> None:
        self.kinds.append(kind)
        self._seq = data["epoch"], data["seq"]
        bids = sorted(self._sides["bid"].items(), reverse=True)
        self.books.append((tuple(bids), tuple(sorted(self._sides["ask"].items()))))


def levels(pairs: Any) -> dict[Decimal, Decimal]:
    found = [(Decimal(price), Decimal(quantity)) for price, quantity in pairs]
    assert len(found) <= LEVELS
    return dict(found)


@pytest.fixture(scope="module")
def played(
    start_system: Callable[..., System], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Market, dict[str, Watcher]]]:
    """A session of a vendor that came up after its clients, as each of them has seen it by its end."""
    frames = made_up(["ABC-USD", "DEF-EUR"], 400)
    market = Market(frames, "ABC-USD")
    path = write_frames(tmp_path_factory.mktemp("market") / "session.tsv", frames)
    with reserved_port() as port:
        system = start_system(
            "--source",
            "coinbase",
            "--source",
            "simulator",
            COINBASE_WEBSOCKET_URL=f"ws://127.0.0.1:{port}",
            COINBASE_PRODUCTS="ABC-USD,DEF-EUR",
        )
        kinds = {
            "plain": "",
            "batch": "batch=1",
            "strings": "numbers=string&batch=1",
            "acks": "acks=1&batch=1",
        }
        watchers = {
            name: Watcher(system.connect(options=options), "ABC-USD") for name, options in kinds.items()
        }
        for watcher in watchers.values():
            asked = {"symbol": "ABC-USD", "channels": ["trades", "book", "bars"]}
            (result,) = watcher.socket.results("subscribe_asset", asked)
            assert result["channels"] == ["trades", "book", "bars"]
        with exchange(port, path):
            read_to_the_end(watchers["plain"], market)
            for name in ("batch", "strings"):
                read_to_the_end(watchers[name], market)
            drain(watchers["acks"], market)
            yield market, watchers
        system.close_sockets()


def read_to_the_end(watcher: Watcher, market: Market, within: float = 100.0) -> None:
    deadline = time.monotonic() + within
    while not is_at_the_end(watcher, market):
        assert time.monotonic() < deadline, (watcher.trades[-1:], watcher.books[-1:])
        with suppress(TimeoutError):
            watcher.socket.receive(0.5)
        watcher.look()


def is_at_the_end(watcher: Watcher, market: Market) -> bool:
    """Whether the last trade, the bar that it closes, and the last book are there: each has frames of its own."""
    last = market.trades[-1]
    traded = bool(watcher.trades) and watcher.trades[-1]["trade_id"] == str(last["trade_id"])
    minutes = [bar for bar in watcher.bars if bar["interval"] == "1m"]
    barred = bool(minutes) and Decimal(minutes[-1]["close"]) == Decimal(last["price"])
    return traded and barred and watcher.books[-1:] == market.books[-1:]


def drain(watcher: Watcher, market: Market) -> None:
    """Reads what little a client was sent that has confirmed nothing, and then all by confirming."""
    watcher.socket.catch_up()
    watcher.look()
    assert len([frame for frame in watcher.socket.seen if "frame" in frame]) == 2
    while not is_at_the_end(watcher, market):
        newest = max(frame.get("frame", 0) for frame in watcher.socket.seen)
        watcher.socket.send("ack", {"frame": newest})
        watcher.socket.expect(where=lambda frame: frame.get("frame", 0) > newest)  # noqa: B023
        watcher.look()


@pytest.mark.parametrize("name", ["plain", "batch", "strings"])
def test_trades_are_those_of_the_vendor_contiguous_and_exact(
    played: tuple[Market, dict[str, Watcher]], name: str
) -> None:
    market, watchers = played
    trades = watchers[name].trades
    assert [trade["number"] for trade in trades] == list(
        range(trades[0]["number"], trades[0]["number"] + len(trades))
    )
    assert not any("missed" in trade for trade in trades)
    theirs = [(str(match["trade_id"]), match["price"], match["size"]) for match in market.trades]
    ours = [(trade["trade_id"], str(trade["price"]), str(trade["quantity"])) for trade in trades]
    # The last trade from before the subscription comes first.
    assert ours[-len(theirs) :] == theirs
    assert {trade["source"] for trade in trades} == {"coinbase"}
    types = {frame["type"] for frame in watchers[name].socket.seen}
    assert ("trades" in types, "trade" in types) == (name != "plain", name == "plain")
    assert all(isinstance(trade["price"], str) == (name == "strings") for trade in trades)


@pytest.mark.parametrize("name", ["plain", "batch", "strings"])
def test_a_rebuilt_book_is_the_vendors_at_every_step(
    played: tuple[Market, dict[str, Watcher]], name: str
) -> None:
    market, watchers = played
    watcher = watchers[name]
    steps = iter(market.books)
    assert all(book in steps for book in watcher.books), "a book that the vendor never had, or not then"
    assert watcher.books[-1] == market.books[-1]
    assert watcher.kinds.count("book_update") > 10 and watcher.kinds[0] == "book_snapshot"


def test_a_slow_reader_is_sent_the_newest_book_whole_and_told_what_it_missed(
    played: tuple[Market, dict[str, Watcher]],
) -> None:
    watcher = played[1]["acks"]
    assert watcher.kinds[-1] == "book_snapshot" and len(watcher.books) < 5
    numbers = [trade["number"] for trade in watcher.trades]
    missed = [trade.get("missed", 0) for trade in watcher.trades]
    steps = [later - sooner - 1 for sooner, later in pairwise(numbers)]
    assert steps == missed[1:]


def test_bars_add_up_to_the_trades(played: tuple[Market, dict[str, Watcher]]) -> None:
    market, watchers = played
    newest = {(bar["interval"], bar["start"]): bar for bar in watchers["plain"].bars}
    minutes = [bar for (interval, _), bar in sorted(newest.items()) if interval == "1m"]
    assert minutes[-1]["close"] == Decimal(market.trades[-1]["price"])
    assert not any(bar["complete"] for bar in minutes[-1:])
    assert all(bar["low"] <= bar["open"] <= bar["high"] for bar in newest.values())


def test_a_resubscription_begins_with_the_whole_book_and_repeats_no_trade(
    played: tuple[Market, dict[str, Watcher]],
) -> None:
    market, watchers = played
    watcher = watchers["batch"]
    known, books = len(watcher.trades), len(watcher.books)
    asked = {"symbol": "ABC-USD", "channels": ["trades", "book"]}
    watcher.socket.results("subscribe_asset", asked)
    watcher.socket.catch_up()
    watcher.look()
    assert watcher.kinds[books:] == ["book_snapshot"]
    assert watcher.books[-1] == market.books[-1]
    assert len(watcher.trades) == known
