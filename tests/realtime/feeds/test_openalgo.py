"""OpenAlgo: what its frames say, to the digit; what it is asked; how its refusals fare; and a served session."""

import asyncio
import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from assets.market import AccountEvent, Depth, Quote
from realtime.feeds.base import Event, FeedError, FrameError, Mode, Ready, Refused, Send, Subscribed
from realtime.feeds.openalgo import PING, OpenAlgoFeed
from realtime.feeds.pinging import PingingWire
from realtime.feeds.replay import ReplayFeed
from realtime.feeds.runner import FeedRunner
from tests.realtime.feeds.fakes import START, JumpingClock, ScriptedWire, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.frames import Frames, write_frames
from tests.vendors.openalgo import OpenAlgoProxy, made_up_ticks

FAST = float("inf")
SYMBOL = "NSE:RELIANCE"
AUTH = {
    "type": "auth",
    "status": "success",
    "message": "Authentication successful",
    "broker": "upstox",
    "user_id": "u",
    "supported_features": {"ltp": True, "quote": True, "depth": True},
}
QUOTE = {
    "type": "market_data",
    "symbol": "RELIANCE",
    "exchange": "NSE",
    "mode": 2,
    "broker": "upstox",
    "data": {
        "ltp": 1424.0,
        "change": 6.0,
        "change_percent": 0.42,
        "volume": 100000,
        "open": 1415.0,
        "high": 1432.5,
        "low": 1408.05,
        "close": 1418.0,
        "last_trade_quantity": 50,
        "avg_trade_price": 1419.35,
        "timestamp": 1748353824355,
    },
}
LEVELS = {
    "buy": [{"price": 1423.9, "quantity": 50, "orders": 3}, {"price": 1423.5, "quantity": 35, "orders": 2}],
    "sell": [{"price": 1424.1, "quantity": 47, "orders": 2}, {"price": 0, "quantity": 0, "orders": 0}],
}
DEPTH = {**QUOTE, "mode": 3, "data": {"ltp": 1424.0, "timestamp": 1748353824355, "depth": LEVELS}}
ORDER = {
    "type": "order_update",
    "user_id": "u",
    "mode": "live",
    "broker": "upstox",
    "orderid": "240221025997024",
    "symbol": "RELIANCE",
    "exchange": "NSE",
    "action": "BUY",
    "quantity": 10,
    "price": 1424.05,
    "trigger_price": 0,
    "pricetype": "LIMIT",
    "product": "MIS",
    "order_status": "complete",
    "filled_quantity": 10,
    "pending_quantity": 0,
    "average_price": 1423.85,
    "rejection_reason": "",
}
AT = datetime(2025, 5, 27, 13, 50, 24, 355000, tzinfo=UTC)


def told(feed: OpenAlgoFeed, message: dict[str, Any], **fields: Any) -> list[Event]:
    return feed.decode(json.dumps({**message, **fields}).encode())


def tick(**data: Any) -> list[Event]:
    """What a quote says with these figures."""
    return told(let_in(), {**QUOTE, "data": {**QUOTE["data"], **data}})  # type: ignore[dict-item]


def quoted(**data: Any) -> Quote:
    (quote,) = tick(**data)
    assert isinstance(quote, Quote)
    return quote


def sent(events: Iterable[Event]) -> list[dict[str, Any]]:
    return [json.loads(event.frame) for event in events if isinstance(event, Send)]


def let_in(*symbols: str, **features: bool) -> OpenAlgoFeed:
    feed = OpenAlgoFeed(symbols, key="key", clock=JumpingClock())
    feed.opened(dict.fromkeys(symbols, "quote"))
    told(feed, AUTH, supported_features={"ltp": True, "quote": True, "depth": True, **features})
    return feed


def asked(frames: Iterable[str | bytes]) -> list[tuple[str, int, list[str]]]:
    """What frames subscribe to: action, mode, symbols."""
    found = []
    for frame in map(json.loads, frames):
        for mode in sorted({entry.get("mode", frame.get("mode")) for entry in frame["symbols"]}):
            entries = [entry for entry in frame["symbols"] if entry.get("mode", mode) == mode]
            names = [f"{entry['exchange']}:{entry['symbol']}" for entry in entries]
            found.append((frame["action"], mode, names))
    return found


def answer(request_id: str | None, *entries: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "subscribe",
        "status": "partial",
        "subscriptions": list(entries),
        "request_id": request_id,
    }


def entry(symbol: str, problem: str = "") -> dict[str, str]:
    exchange, _, name = symbol.partition(":")
    shown = {"symbol": name, "exchange": exchange, "status": "error" if problem else "success"}
    return {**shown, "message": problem} if problem else shown


# -- what its frames say


def test_a_quote_has_every_figure_and_no_bid_or_ask() -> None:
    assert quoted() == Quote(
        symbol=SYMBOL,
        price=Decimal(1424),
        as_of=AT,
        last_quantity=Decimal(50),
        open=Decimal(1415),
        high=Decimal("1432.5"),
        low=Decimal("1408.05"),
        volume=Decimal(100000),
        previous_close=Decimal(1418),
        average_price=Decimal("1419.35"),
    )
    assert [str(quoted(ltp=price).price) for price in (190.55, 1424.0, 43000.01)] == [
        "190.55",
        "1424",
        "43000.01",
    ]


def test_depth_is_a_price_and_the_levels_that_there_are_best_first() -> None:
    quote, depth = told(let_in(), DEPTH)
    assert isinstance(quote, Quote) and (quote.price, quote.as_of) == (Decimal(1424), AT)
    assert depth == Depth(
        symbol=SYMBOL,
        bids=((Decimal("1423.9"), Decimal(50)), (Decimal("1423.5"), Decimal(35))),
        asks=((Decimal("1424.1"), Decimal(47)),),
        as_of=AT,
    )
    upside_down = {"buy": LEVELS["buy"][::-1], "sell": LEVELS["sell"]}
    assert told(let_in(), {**DEPTH, "data": {"depth": upside_down, "timestamp": 1748353824355}}) == [depth]


def test_a_price_alone_is_a_quote_of_a_price() -> None:
    bare = {**QUOTE, "mode": 1, "data": {"ltp": 1424.5, "timestamp": 1748353824355, "ltt": 1748353658000}}
    assert told(let_in(), bare) == [Quote(symbol=SYMBOL, price=Decimal("1424.5"), as_of=AT)]


def test_what_the_broker_does_not_have_is_none_and_a_volume_of_zero_is_one() -> None:
    missing = dict.fromkeys(("open", "high", "low", "close", "last_trade_quantity", "avg_trade_price"), 0)
    quote = quoted(**missing, volume=0)
    assert (quote.open, quote.high, quote.low, quote.previous_close) == (None, None, None, None)
    assert (quote.last_quantity, quote.average_price, quote.volume) == (None, None, Decimal(0))
    assert quoted(**dict.fromkeys((*missing, "volume"))).volume is None
    assert tick(ltp=None) == []


@pytest.mark.parametrize(
    ("figures", "close"),
    [
        ({"close": 1418.0, "change": 6.0}, "1418"),
        ({"close": 1418.0, "change": 0, "change_percent": 0.42}, "1418"),
        ({"close": 1424.0, "change": 6.0}, None),  # that of this session
        ({"close": 1418.0, "change": 0, "change_percent": 0}, None),  # the client's defaults: nobody knows
        ({"close": 1418.0, "change": None, "change_percent": None}, None),
        ({"close": 0, "change": 1424.0}, None),
        ({"close": None, "change": 6.0}, None),
    ],
)
def test_a_close_is_the_previous_one_only_where_the_change_says_so(figures: Any, close: str | None) -> None:
    assert quoted(**figures).previous_close == (None if close is None else Decimal(close))


@pytest.mark.parametrize(
    ("timestamp", "as_of"),
    [
        (1748353824355, AT),
        ("2025-05-27T13:50:24.355Z", AT),
        ("2025-05-27T19:20:24.355+05:30", AT),
        (1748353824, AT.replace(microsecond=0)),
        ("1748353824355", AT),
        ("", START),
        ("2025-05-27T13:50:24.355", START),  # of which zone?
        (None, START),
        (0, START),
    ],
)
def test_a_time_is_milliseconds_or_text_with_a_zone_and_else_ours(timestamp: Any, as_of: datetime) -> None:
    assert quoted(timestamp=timestamp).as_of == as_of


def test_numbers_that_arrive_as_text_are_numbers() -> None:
    assert quoted(ltp="1424.05", volume="1000").price == Decimal("1424.05")


def test_an_order_update_is_an_event_of_the_account_and_told_once() -> None:
    feed = let_in()
    (event,) = told(feed, ORDER)
    details = {
        name: Decimal(str(value)) if isinstance(value, int | float) else value
        for name, value in ORDER.items()
        if name not in {"type", "user_id"}
    }
    assert event == AccountEvent(
        kind="order", key="240221025997024", as_of=START, symbol=SYMBOL, details=details
    )
    assert told(feed, ORDER) == [] and told(feed, ORDER, average_price=1) == []
    assert len(told(feed, ORDER, filled_quantity=4)) == len(told(feed, ORDER, order_status="open")) == 1


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"market_data","topic":"RELIANCE.NSE","mode":1,"data":{"symbol":"RELIANCE","ltp":1}}',
        b'{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":"ltp","data":{"ltp":1}}',
        b'{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":1,"data":{"ltp":"N/A"}}',
        b'{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":1,"data":{"ltp":1e999}}',
        b'{"type":"market_data","symbol":"R","exchange":"NSE","mode":1,"data":{"ltp":1,"timestamp":"soon"}}',
        b'{"type":"market_data","symbol":"R","exchange":"NSE","mode":1,"data":{"ltp":1,"timestamp":1e300}}',
        b'{"type":"market_data","symbol":"R","exchange":"N","mode":3,"data":{"depth":{"buy":[{"price":1,"quantity":-1}]}}}',
        b'{"type":"order_update"}',
        b'{"hello":1}',
    ],
)
def test_frames_as_documented_and_not_as_sent_are_bad_frames(frame: bytes) -> None:
    with pytest.raises(FrameError):
        let_in().decode(frame)


@pytest.mark.parametrize(
    "kind", ["ltp", "pong", "unsubscribe", "broker_info", "subscribe_orders", "error", "new"]
)
def test_a_kind_of_frame_that_says_nothing_to_us_is_ignored(kind: str) -> None:
    assert let_in().decode(json.dumps({"type": kind, "status": "success"}).encode()) == []


# -- what it asks


def test_it_says_nothing_but_its_key_until_it_is_let_in() -> None:
    feed = OpenAlgoFeed([SYMBOL], key="secret", clock=JumpingClock())
    assert [json.loads(frame) for frame in feed.opened({SYMBOL: "quote"})] == [
        {"action": "authenticate", "api_key": "secret"}
    ]
    wants: dict[str, Mode] = {"NSE:SBIN": "full"}
    assert feed.subscribe(wants) == [] and feed.change_mode({SYMBOL: "full"}) == []
    assert feed.unsubscribe(["NSE:SBIN"]) == []
    ready, *rest = told(feed, AUTH)
    assert ready == Ready()
    *subscribes, orders = sent(rest)
    assert asked(json.dumps(frame) for frame in subscribes) == [
        ("subscribe", 2, [SYMBOL]),
        ("subscribe", 3, [SYMBOL]),
    ]
    assert subscribes[1]["depth"] == 5 and orders["action"] == "subscribe_orders"
    assert len({frame["request_id"] for frame in (*subscribes, orders)}) == 3


@pytest.mark.parametrize(("mode", "modes"), [("ltpc", [2]), ("quote", [2]), ("full", [2, 3])])
def test_each_mode_asks_for_what_fills_it(mode: Mode, modes: list[int]) -> None:
    assert [number for _, number, _ in asked(let_in().subscribe({SYMBOL: mode}))] == modes


def test_a_change_of_mode_asks_for_the_difference() -> None:
    feed = let_in(SYMBOL)
    assert asked(feed.change_mode({SYMBOL: "full"})) == [("subscribe", 3, [SYMBOL])]
    assert feed.change_mode({SYMBOL: "full"}) == []
    assert asked(feed.change_mode({SYMBOL: "ltpc"})) == [("unsubscribe", 3, [SYMBOL])]
    assert feed.change_mode({SYMBOL: "quote"}) == [] and feed.change_mode({"NSE:OTHER": "full"}) == []
    feed.change_mode({SYMBOL: "full"})
    assert asked(feed.unsubscribe([SYMBOL])) == [("unsubscribe", 2, [SYMBOL]), ("unsubscribe", 3, [SYMBOL])]


def test_a_broker_that_cannot_is_not_asked_and_its_modes_are_fewer() -> None:
    feed = let_in(SYMBOL, depth=False)
    assert feed.modes == {"ltpc", "quote"}
    assert asked(feed.subscribe({"NSE:SBIN": "full"})) == [("subscribe", 2, ["NSE:SBIN"])]
    feed = let_in(SYMBOL, quote=False)
    assert feed.modes == {"ltpc"}
    assert asked(feed.subscribe({"NSE:SBIN": "quote"})) == [("subscribe", 1, ["NSE:SBIN"])]


def test_many_symbols_go_in_several_frames() -> None:
    symbols = [f"NSE:S{number}" for number in range(250)]
    frames = asked(let_in().subscribe(symbols))
    assert [len(names) for _, _, names in frames] == [100, 100, 50]
    assert [name for _, _, names in frames for name in names] == symbols


# -- refusals


def test_one_bad_symbol_is_refused_alone_and_with_its_reason() -> None:
    feed = let_in()
    (frame,) = map(json.loads, feed.subscribe([SYMBOL, "NSE:NOPE"]))
    reason = "Symbol NOPE not found for exchange NSE"
    assert told(feed, answer(frame["request_id"], entry(SYMBOL), entry("NSE:NOPE", reason))) == [
        Subscribed((SYMBOL,)),
        Refused(("NSE:NOPE",), reason),
    ]


def test_a_symbol_without_depth_keeps_its_price() -> None:
    feed = let_in(SYMBOL)
    (frame,) = map(json.loads, feed.change_mode({SYMBOL: "full"}))
    assert told(feed, answer(frame["request_id"], entry(SYMBOL, "no depth"))) == [Subscribed(())]
    assert told(feed, answer(None, entry(SYMBOL))) == [Subscribed((SYMBOL,))]


@pytest.mark.parametrize("code", ["PROCESSING_ERROR", "INVALID_PARAMETERS", "INVALID_MODE"])
def test_a_subscribe_that_is_refused_whole_is_halved_until_the_bad_one_is_alone(code: str) -> None:
    feed = let_in()
    symbols, bad = [f"NSE:S{number}" for number in range(7)], "NSE:S5"
    waiting = [json.loads(frame) for frame in feed.subscribe(symbols)]
    refused: list[Event] = []
    accepted: set[str] = set()
    while waiting:
        frame = waiting.pop()
        names = [f"NSE:{one['symbol']}" for one in frame["symbols"]]
        if bad not in names:
            accepted |= set(names)
            continue
        error = {"status": "error", "code": code, "message": "no", "request_id": frame["request_id"]}
        events = told(feed, error)
        waiting += sent(events)
        refused += [event for event in events if isinstance(event, Refused)]
    assert refused == [Refused((bad,), f"{code} no")]
    assert accepted == set(symbols) - {bad}


@pytest.mark.parametrize(
    ("message", "permanent"),
    [
        ({"status": "error", "code": "AUTHENTICATION_ERROR", "message": "Invalid API key"}, True),
        ({"status": "error", "code": "NOT_AUTHENTICATED", "message": "You must authenticate first"}, True),
        ({"type": "auth", "status": "error", "message": "Invalid API key"}, True),
        ({"status": "error", "code": "BROKER_CONNECTION_ERROR", "message": "lost"}, False),
        ({"status": "error", "code": "BROKER_INIT_ERROR", "message": "lost"}, False),
        ({"status": "error", "code": "SERVER_ERROR", "message": "oops"}, False),
        ({"status": "error", "message": "oops"}, False),
    ],
)
def test_a_refusal_of_us_ends_the_connection_and_says_whether_for_good(
    message: dict[str, str], permanent: bool
) -> None:
    with pytest.raises(FeedError, match=message["message"]) as caught:
        told(let_in(), message)
    assert caught.value.permanent is permanent and not isinstance(caught.value, FrameError)


@pytest.mark.parametrize("has_ids", [True, False])
def test_an_unsubscribe_that_is_refused_is_not_taken_for_the_subscribe_behind_it(has_ids: bool) -> None:
    feed = let_in("NSE:SBIN")
    told(feed, answer(None, entry("NSE:SBIN")))
    told(feed, {"type": "subscribe_orders", "status": "success"})
    first, wrong = (json.loads(feed.unsubscribe([symbol])[0]) for symbol in ("NSE:SBIN", "NSE:TCS"))
    (frame,) = map(json.loads, feed.subscribe([SYMBOL]))
    for sent_frame, kind in (
        (first, {"type": "unsubscribe", "status": "success"}),
        (wrong, {"status": "error"}),
    ):
        error = {**kind, "code": "PROCESSING_ERROR", "message": "no"}
        if has_ids:
            error["request_id"] = sent_frame["request_id"]
        if "type" in kind:
            assert told(feed, error) == []
        else:
            with pytest.raises(FrameError, match="expected unsubscribe, was: PROCESSING_ERROR no"):
                told(feed, error)
    done = answer(frame["request_id"] if has_ids else None, entry(SYMBOL, "no such symbol"))
    assert told(feed, done)[1:] == [Refused((SYMBOL,), "no such symbol")]


def test_a_proxy_without_order_updates_is_a_counted_frame_and_the_prices_go_on() -> None:
    feed = OpenAlgoFeed(key="key", clock=JumpingClock())
    feed.opened({})
    (orders,) = sent(told(feed, AUTH))
    error = {"status": "error", "code": "INVALID_ACTION", "message": "Invalid action: subscribe_orders"}
    with pytest.raises(FrameError, match="expected subscribe_orders"):
        told(feed, error, request_id=orders["request_id"])
    assert len(told(feed, QUOTE)) == 1


# -- against the loopback proxy


def follow(proxy: OpenAlgoProxy, *symbols: str, key: str = "key") -> tuple[FeedRunner, WaitingSink]:
    sink = WaitingSink()
    feed = OpenAlgoFeed(symbols or (SYMBOL, "NSE:SBIN", "NSE_INDEX:NIFTY"), url=proxy.url, key=key)
    return FeedRunner(feed, sink, clock=JumpingClock(), random=random.Random(1)), sink


def prices(session: Frames) -> dict[str, list[Decimal]]:
    found: dict[str, list[Decimal]] = {}
    for _, text in session:
        event = json.loads(text, parse_float=Decimal)
        if "data" in event:
            found.setdefault(f"{event['exchange']}:{event['symbol']}", []).append(event["data"]["ltp"])
    return found


def heard_its_end(sink: WaitingSink, session: Frames) -> bool:
    """Whether the last prices of each symbol and the last order have been told."""
    own = {symbol: [q.price for q in sink.quotes() if q.symbol == symbol] for symbol in prices(session)}
    orders = [event.key for event in sink.all_events if isinstance(event, AccountEvent)]
    last = [json.loads(text)["orderid"] for _, text in session if "orderid" in text][-1:]
    return orders[-1:] == last and all(
        own[symbol][-10:] == whole[-10:] for symbol, whole in prices(session).items()
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "connections"),
    [
        ("", 1),
        ("garbage:7", 1),
        ("disconnect:60", 2),
        ("close:1011:60", 2),
        ("broker-lost:30", 2),
        ("repeat-orders", 1),
    ],
)
async def test_a_served_session_is_told_to_its_end(fault: str, connections: int) -> None:
    session = made_up_ticks(count=300)
    async with OpenAlgoProxy(session, speed=20, fault=fault) as proxy:
        runner, sink = follow(proxy)
        async with running(runner):
            await proxy.finished.wait()
            await sink.until(lambda: heard_its_end(sink, session))
        assert proxy.connections == connections
    assert sink.states[-1][0] == "live"
    orders = [event for event in sink.all_events if isinstance(event, AccountEvent)]
    assert len(orders) == len({(order.key, order.details["order_status"]) for order in orders})
    if connections == 1:
        assert len(orders) == sum('"order_update"' in text for _, text in session)


@pytest.mark.asyncio
async def test_a_richer_mode_brings_depth_and_a_poorer_one_ends_it() -> None:
    async with OpenAlgoProxy(made_up_ticks(count=5000), speed=20) as proxy:
        runner, sink = follow(proxy, SYMBOL)
        async with running(runner):
            await sink.until(sink.quotes)
            runner.set_modes({SYMBOL: "full"})
            (client,) = proxy.clients.values()
            await sink.until(lambda: client.modes == {("NSE", "RELIANCE"): {2, 3}})
            sink.all_events.clear()
            await sink.until(lambda: any(isinstance(event, Depth) for event in sink.all_events))
            runner.set_modes({})
            await sink.until(lambda: client.modes == {("NSE", "RELIANCE"): {2}})
            runner.add_symbols(["NSE:SBIN", "NSE:NOPE"])
            await sink.until(lambda: "NSE:NOPE" in runner.refused)
            await sink.until(lambda: any(quote.symbol == "NSE:SBIN" for quote in sink.quotes()))
    assert runner.refused == {"NSE:NOPE": "Symbol NOPE not found for exchange NSE"}


@pytest.mark.asyncio
async def test_one_bad_symbol_harms_no_other_where_it_is_refused_with_them() -> None:
    async with OpenAlgoProxy(made_up_ticks(), speed=20, fault="refuse-whole") as proxy:
        runner, sink = follow(proxy, SYMBOL, "NSE:NOPE", "NSE:SBIN")
        async with running(runner):
            await sink.until(lambda: {quote.symbol for quote in sink.quotes()} == {SYMBOL, "NSE:SBIN"})
    assert list(runner.refused) == ["NSE:NOPE"]


@pytest.mark.asyncio
async def test_a_wrong_key_stops_the_feed_for_good() -> None:
    async with OpenAlgoProxy(made_up_ticks()) as proxy:
        runner, sink = follow(proxy, key="wrong")
        await runner.run()
        assert proxy.connections == 1
    assert sink.states[-1] == ("failed", "the vendor refuses us: AUTHENTICATION_ERROR Invalid API key")
    assert "wrong" not in sink.states[-1][1]


@pytest.mark.asyncio
async def test_who_is_not_let_in_in_time_is_left_and_comes_again() -> None:
    async with OpenAlgoProxy(made_up_ticks(), auth_seconds=0.05) as proxy:
        sink = WaitingSink()
        feed = OpenAlgoFeed([SYMBOL], url=proxy.url, key="key")
        feed.opened = lambda wants: []  # type: ignore[method-assign, assignment]
        runner = FeedRunner(feed, sink, clock=JumpingClock(), random=random.Random(1))
        async with running(runner):
            left = ("recovering", "the vendor closed the connection: 4401 auth timeout")
            await sink.until(lambda: left in sink.states)


@pytest.mark.asyncio
async def test_a_silent_proxy_is_left_and_a_slow_one_is_heard_out() -> None:
    async with OpenAlgoProxy(made_up_ticks(), speed=FAST, fault="silent") as proxy:
        runner, sink = follow(proxy)
        runner.feed.silence_after = 0.1  # type: ignore[union-attr]
        async with running(runner):
            await sink.until(lambda: "silent" in sink.state_names)
    session = made_up_ticks(count=60)
    async with OpenAlgoProxy(session, speed=5, fault="slow:100") as proxy:
        runner, sink = follow(proxy)
        async with running(runner):
            await sink.until(lambda: heard_its_end(sink, session))
    assert sink.state_names == ["connecting", "live"]


@pytest.mark.asyncio
async def test_it_is_live_although_its_market_is_shut() -> None:
    async with OpenAlgoProxy(made_up_ticks(), speed=0.000001) as proxy:
        runner, sink = follow(proxy, "NSE_INDEX:NIFTY")
        async with running(runner):
            await sink.until(lambda: sink.state_names == ["connecting", "live"])
    assert not sink.quotes()


@pytest.mark.asyncio
async def test_pings_go_out_until_the_connection_ends() -> None:
    wire = ScriptedWire([[]])
    async with asyncio.timeout(30), PingingWire(wire, PING, 0.01).open():
        await wire.until_sent(2)
    assert set(wire.sent[0]) == {'{"action":"ping"}'}


@pytest.mark.asyncio
async def test_what_was_recorded_replays_to_the_same_values(tmp_path: Any) -> None:
    kept: Frames = []

    class Keeper:
        def write(self, frame: bytes, received_at: datetime) -> None:
            kept.append((received_at.timestamp(), frame.decode()))

    session = made_up_ticks(count=100)
    async with OpenAlgoProxy(session, speed=20) as proxy:
        sink = WaitingSink()
        feed = OpenAlgoFeed([SYMBOL, "NSE:SBIN", "NSE_INDEX:NIFTY"], url=proxy.url, key="key")
        async with running(FeedRunner(feed, sink, recorder=Keeper())):
            await proxy.finished.wait()
            await sink.until(lambda: len(sink.quotes()) >= 0.9 * sum(map(len, prices(session).values())))
    again, clock = WaitingSink(), JumpingClock()
    replay = ReplayFeed(write_frames(tmp_path / "kept.tsv", kept), OpenAlgoFeed(key="unused"), clock=clock)
    await FeedRunner(replay, again, clock=clock).run()
    assert again.quotes()[: len(sink.quotes())] == sink.quotes()
