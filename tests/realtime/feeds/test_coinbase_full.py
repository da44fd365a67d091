"""Coinbase order by order: documented frames to the digit, the recipe of the book, holes, and the wire that asks."""

import asyncio
import json
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from assets.market import AccountEvent, Book, Depth, Trade
from realtime.feeds.base import Event, FeedError, FrameError, FrameRecorder, Gap, Send, SystemClock
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.coinbase_full import QUEUED_MESSAGES, AskingWire, BookRequest
from realtime.feeds.replay import ReplayFeed
from realtime.feeds.runner import FeedRunner
from tests.realtime.feeds.fakes import JumpingClock, ScriptedWire, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.coinbase import CoinbaseExchange
from tests.vendors.frames import Frames, write_frames
from tests.vendors.orders import for_others, made_up_orders, own, rebuilt_orders

KEY = {"key": "key", "secret": "bm90IGEgcmVhbCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc=", "passphrase": "phrase"}
ACCOUNT = (KEY["key"], KEY["secret"], KEY["passphrase"])
CHANNELS = ["ticker", "full", "user"]
SUBSCRIPTIONS = {"type": "subscriptions", "channels": [{"name": "full", "product_ids": ["BTC-USD"]}]}
ORDERS = {
    "bids": [
        ["295.96", "4.39088265", "3b0f1225-7f84-490b-a29f-0faef9de823a"],
        ["295.960", "0.1", "2b0f1225-7f84-490b-a29f-0faef9de823a"],
        ["295.5", "3", "1b0f1225-7f84-490b-a29f-0faef9de823a"],
    ],
    "asks": [["296.12", "5.25542635", "d50ec984-77a8-460a-b958-66f114b0de9b"]],
    "sequence": 9,
}
RECEIVED = {
    "type": "received",
    "time": "2014-11-07T08:19:27.028459Z",
    "product_id": "BTC-USD",
    "sequence": 10,
    "order_id": "f50ec984-77a8-460a-b958-66f114b0de9b",
    "size": "1.34",
    "price": "502.1",
    "side": "buy",
    "order_type": "limit",
}
OPEN = {
    "type": "open",
    "time": "2014-11-07T08:19:27.028459Z",
    "product_id": "BTC-USD",
    "sequence": 10,
    "order_id": "a50ec984-77a8-460a-b958-66f114b0de9b",
    "price": "296.00",
    "remaining_size": "1.00",
    "side": "sell",
}
DONE = {
    "type": "done",
    "time": "2014-11-07T08:19:27.028459Z",
    "product_id": "BTC-USD",
    "sequence": 10,
    "price": "295.96",
    "order_id": "3b0f1225-7f84-490b-a29f-0faef9de823a",
    "reason": "canceled",
    "side": "buy",
    "remaining_size": "4.39088265",
}
MATCH = {
    "type": "match",
    "trade_id": 10,
    "sequence": 10,
    "maker_order_id": "3b0f1225-7f84-490b-a29f-0faef9de823a",
    "taker_order_id": "132fb6ae-456b-4654-b4e0-d681ac05cea1",
    "time": "2014-11-07T08:19:27.028459Z",
    "product_id": "BTC-USD",
    "size": "1.39088265",
    "price": "295.96",
    "side": "buy",
}
CHANGE = {
    "type": "change",
    "reason": "STP",
    "time": "2014-11-07T08:19:27.028459Z",
    "sequence": 10,
    "order_id": "3b0f1225-7f84-490b-a29f-0faef9de823a",
    "side": "buy",
    "product_id": "BTC-USD",
    "old_size": "4.39088265",
    "new_size": "0.2",
    "price": "295.96",
}
ACTIVATE = {
    "type": "activate",
    "product_id": "BTC-USD",
    "timestamp": "1483736448.299000",
    "user_id": "12",
    "profile_id": "30000727-d308-cf50-7b1c-c06deb1934fc",
    "order_id": "7b52009b-64fd-0a2a-49e6-d8a939753077",
    "stop_type": "entry",
    "side": "buy",
    "stop_price": "80",
    "size": "2",
    "funds": "50",
    "private": True,
}
AT = datetime(2014, 11, 7, 8, 19, 27, 28459, tzinfo=UTC)
OWN = {"user_id": "5844eceecf7e803e259d0365", "profile_id": "765d1549-9660-4be2-97d4-fa2d65fa3352"}
ASK = [Send(BookRequest("BTC-USD"))]


def told(feed: CoinbaseFeed, message: dict[str, Any], **fields: Any) -> list[Event]:
    return feed.decode(json.dumps({**message, **fields}).encode())


def followed() -> CoinbaseFeed:
    """Its subscription is confirmed, so that it has asked for the orders."""
    feed = CoinbaseFeed(["BTC-USD"], channels=CHANNELS, clock=JumpingClock(), **KEY)
    feed.opened(["BTC-USD"])
    assert told(feed, SUBSCRIPTIONS)[1:] == ASK
    return feed


def loaded() -> CoinbaseFeed:
    feed = followed()
    told(feed, orders())
    return feed


def orders(**fields: Any) -> dict[str, Any]:
    return {"type": "orders", "product_id": "BTC-USD", "book": {**ORDERS, **fields}}


def beat(feed: CoinbaseFeed) -> list[Event]:
    return told(feed, {"type": "heartbeat", "product_id": "BTC-USD", "last_trade_id": 10, "sequence": 1})[1:]


def beats_until_asked(feed: CoinbaseFeed) -> int:
    count = 1
    while beat(feed) != ASK:
        count += 1
    return count


def levels(*pairs: tuple[str, str]) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(price), Decimal(size)) for price, size in pairs)


def shown(events: list[Event]) -> Depth:
    book = events[-1]
    assert isinstance(book, Book)
    return book.top(5)


def bids_after(message: dict[str, Any], **fields: Any) -> tuple[tuple[Decimal, Decimal], ...]:
    return shown(told(loaded(), message, **fields)).bids


def test_the_orders_of_rest_are_summed_up_to_levels() -> None:
    depth = shown(told(followed(), orders()))
    assert depth.bids == levels(("295.96", "4.49088265"), ("295.5", "3"))
    assert depth.asks == levels(("296.12", "5.25542635"))


def test_a_received_order_rests_nowhere() -> None:
    assert told(loaded(), RECEIVED) == []


def test_an_open_order_is_added_to_its_level() -> None:
    feed = loaded()
    assert shown(told(feed, OPEN)).asks == levels(("296", "1"), ("296.12", "5.25542635"))
    more = {"sequence": 11, "order_id": "b", "remaining_size": "0.5", "price": "296.0"}
    assert shown(told(feed, OPEN, **more)).asks[0] == (Decimal(296), Decimal("1.5"))


def test_a_done_order_is_taken_from_its_level() -> None:
    assert bids_after(DONE) == levels(("295.96", "0.1"), ("295.5", "3"))


def test_a_match_takes_from_its_maker_and_is_a_trade_of_its_takers_side() -> None:
    feed = loaded()
    trade, *rest = told(feed, MATCH)
    assert trade == Trade(
        symbol="BTC-USD",
        price=Decimal("295.96"),
        quantity=Decimal("1.39088265"),
        as_of=AT,
        side="sell",
        trade_id="10",
    )
    assert shown(rest).bids[0] == (Decimal("295.96"), Decimal("3.1"))
    # All of it: its `done`, which comes next, is of an order that is no more there.
    events = told(feed, MATCH, sequence=11, trade_id=11, size="3")
    assert shown(events).bids[0] == (Decimal("295.96"), Decimal("0.1"))
    assert told(feed, DONE, sequence=12, reason="filled", remaining_size="0") == []


def test_a_changed_order_has_its_new_size_and_its_new_price() -> None:
    assert bids_after(CHANGE) == levels(("295.96", "0.3"), ("295.5", "3"))
    moved = {"reason": "modify_order", "old_price": "295.96", "new_price": "295.5"}
    assert bids_after(CHANGE, **moved) == levels(("295.96", "0.1"), ("295.5", "3.2"))
    assert bids_after(CHANGE, new_size="0") == levels(("295.96", "0.1"), ("295.5", "3"))


@pytest.mark.parametrize("message", [DONE, CHANGE, {**CHANGE, "new_size": None}, {**CHANGE, "price": None}])
def test_orders_that_are_not_in_the_book_are_none_of_its_business(message: dict[str, Any]) -> None:
    feed = loaded()
    assert told(feed, message, order_id="unknown") == []
    assert len(told(feed, OPEN, sequence=11)) == 1, "the sequence went on"


def test_a_market_order_has_no_price_and_harms_nothing() -> None:
    feed = loaded()
    market = {name: value for name, value in RECEIVED.items() if name not in {"price", "size"}}
    assert told(feed, market, order_type="market", funds="3000.234") == []
    done = {name: value for name, value in DONE.items() if name not in {"price", "remaining_size"}}
    assert told(feed, done, sequence=11, order_id=RECEIVED["order_id"], reason="filled") == []


# -- the recipe


def test_what_came_before_the_orders_is_dropped_and_what_came_since_is_played() -> None:
    feed = followed()
    assert told(feed, OPEN, sequence=9) == [] and told(feed, DONE) == []
    assert told(feed, OPEN, sequence=11) == []
    depth = shown(told(feed, orders()))
    assert depth.bids == levels(("295.96", "0.1"), ("295.5", "3"))
    assert depth.asks[0] == (Decimal(296), Decimal(1))


def test_trades_are_told_before_there_is_a_book() -> None:
    assert [type(event) for event in told(followed(), MATCH)] == [Trade]


def test_messages_seen_before_are_ignored() -> None:
    feed = loaded()
    told(feed, DONE)
    assert told(feed, DONE) == [] and told(feed, OPEN, sequence=4) == []
    assert told(feed, orders(sequence=99)) == [], "nobody asked for these"


def test_a_hole_is_a_gap_and_a_new_snapshot() -> None:
    feed = loaded()
    events = told(feed, OPEN, sequence=12)
    assert events == [Gap("BTC-USD", "messages 10 to 11 were missed"), *ASK]
    assert feed.book("BTC-USD") is None
    assert told(feed, DONE, sequence=13) == []
    depth = shown(told(feed, orders(sequence=11)))
    assert depth.asks[0] == (Decimal(296), Decimal(1))
    assert depth.bids[0] == (Decimal("295.96"), Decimal("0.1"))
    assert told(loaded(), OPEN, sequence=11)[0] == Gap("BTC-USD", "message 10 was missed")


def test_a_hole_among_the_queued_messages_is_found_when_they_are_played() -> None:
    feed = followed()
    told(feed, OPEN)
    told(feed, DONE, sequence=13)
    assert told(feed, orders()) == [Gap("BTC-USD", "messages 11 to 12 were missed"), *ASK]


def test_orders_from_before_the_queue_are_asked_for_again_less_and_less_often() -> None:
    feed = followed()
    told(feed, OPEN, sequence=12)
    waits = []
    for _ in range(7):
        assert told(feed, orders()) == []
        waits.append(beats_until_asked(feed))
    assert waits == [2, 4, 8, 16, 32, 60, 60]
    assert shown(told(feed, orders(sequence=11))).asks[0] == (Decimal(296), Decimal(1))


def test_orders_that_cannot_be_had_are_a_counted_frame_and_are_asked_for_again() -> None:
    feed = followed()
    with pytest.raises(FrameError, match="expected the orders of BTC-USD, was: the vendor answered 503"):
        told(feed, {"type": "orders", "product_id": "BTC-USD", "error": "the vendor answered 503"})
    assert beats_until_asked(feed) == 2


def test_orders_that_never_come_are_asked_for_again_after_a_minute() -> None:
    feed = followed()
    with pytest.raises(FrameError):
        feed.decode(b'{"type":"orders","product_id":"BTC-USD","book":<html>}')
    assert beats_until_asked(feed) == 60


def test_a_feed_that_loses_again_and_again_does_not_ask_again_and_again() -> None:
    feed = loaded()
    assert told(feed, OPEN, sequence=12)[1:] == ASK
    told(feed, orders(sequence=11))
    assert told(feed, OPEN, sequence=22)[1:] == []
    assert beats_until_asked(feed) == 4
    told(feed, orders(sequence=22))
    beat(feed)
    assert told(feed, OPEN, sequence=32)[1:] == ASK, "it was whole in between"


def test_a_book_that_does_not_come_ends_the_connection_before_the_memory_does() -> None:
    feed = followed()
    frame = json.dumps(RECEIVED).encode()
    with pytest.raises(FeedError, match="did not come in time") as caught:
        for _ in range(QUEUED_MESSAGES + 1):
            feed.decode(frame)
    assert not caught.value.permanent


@pytest.mark.parametrize(
    "fields",
    [{"price": "0"}, {"price": "-1"}, {"price": "NaN"}, {"remaining_size": "-1"}, {"remaining_size": "x"}],
)
def test_a_number_that_is_none_changes_nothing_and_shows_as_a_gap(fields: dict[str, str]) -> None:
    feed = loaded()
    with pytest.raises(FrameError):
        told(feed, OPEN, **fields)
    book = feed.book("BTC-USD")
    assert book is not None and book.top(5).asks == levels(("296.12", "5.25542635"))
    assert told(feed, OPEN, sequence=11)[0] == Gap("BTC-USD", "message 10 was missed")


def test_sums_are_exact_whatever_their_digits() -> None:
    feed = loaded()
    told(feed, OPEN, remaining_size="1000000000000000000000000000000")
    told(feed, OPEN, sequence=11, order_id="b", remaining_size="0.000000000000000000000000000001")
    depth = shown(told(feed, DONE, sequence=12, order_id=OPEN["order_id"]))
    assert depth.asks[0] == (Decimal(296), Decimal("1e-30"))


def test_without_the_channel_full_no_orders_are_kept_or_asked_for() -> None:
    feed = CoinbaseFeed(["BTC-USD"], channels=["ticker", "matches", "user"], **KEY)
    feed.opened(["BTC-USD"])
    answer = {"type": "subscriptions", "channels": [{"name": "user", "product_ids": ["BTC-USD"]}]}
    assert told(feed, answer)[1:] == []
    assert told(feed, OPEN) == [] and told(feed, orders()) == []
    assert feed.book("BTC-USD") is None


def test_a_product_taken_away_takes_its_orders_along() -> None:
    feed = loaded()
    feed.unsubscribe(["BTC-USD"])
    assert feed.book("BTC-USD") is None
    assert told(feed, OPEN, sequence=99) == []


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        (["ticker", "full"], "expected a key, its secret and its passphrase for full"),
        (["user"], "expected a key, its secret and its passphrase for user"),
        (["ticker", "nope"], "was 'nope'"),
        (["full", "level2"], "expected one channel of the book"),
        (["full", "matches"], "expected one channel of the book"),
    ],
)
def test_channels_that_cannot_be_are_refused(channels: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CoinbaseFeed(channels=channels)


def test_it_subscribes_to_full_and_user_signed_and_with_heartbeats() -> None:
    frame = json.loads(CoinbaseFeed(channels=CHANNELS, **KEY).opened(["BTC-USD"])[0])
    assert frame["channels"] == ["ticker", "full", "user", "heartbeat"]
    assert frame["key"] == "key" and "signature" in frame


def test_the_slow_ticker_needs_no_key() -> None:
    (frame,) = CoinbaseFeed(channels=["ticker_batch", "matches"]).opened(["BTC-USD"])
    assert json.loads(frame)["channels"] == ["ticker_batch", "matches"]


# -- our own orders


def test_own_orders_and_fills_are_events_of_the_account() -> None:
    feed = loaded()
    (event,) = told(feed, RECEIVED, **OWN, **{"client-oid": "mine"})
    assert event == AccountEvent(
        kind="order",
        key="f50ec984-77a8-460a-b958-66f114b0de9b",
        as_of=AT,
        symbol="BTC-USD",
        details={
            "type": "received",
            "order_id": "f50ec984-77a8-460a-b958-66f114b0de9b",
            "size": Decimal("1.34"),
            "price": Decimal("502.1"),
            "side": "buy",
            "order_type": "limit",
            "client-oid": "mine",
        },
    )
    taker = {"taker_user_id": "5844", "taker_profile_id": "765d", "taker_fee_rate": "0.005"}
    *_, fill = told(feed, MATCH, sequence=11, **OWN, **taker)
    assert isinstance(fill, AccountEvent)
    assert (fill.kind, fill.key, fill.as_of) == ("fill", MATCH["taker_order_id"], AT)
    assert fill.details["taker_fee_rate"] == Decimal("0.005") and fill.details["trade_id"] == "10"
    assert not {"user_id", "profile_id", "taker_user_id"} & fill.details.keys()
    *_, made = told(feed, MATCH, sequence=12, trade_id=11, **OWN, maker_user_id="5844")
    assert isinstance(made, AccountEvent) and made.key == MATCH["maker_order_id"]


def test_an_activated_stop_has_no_sequence_and_its_time_is_a_number() -> None:
    assert told(loaded(), ACTIVATE) == [
        AccountEvent(
            kind="order",
            key="7b52009b-64fd-0a2a-49e6-d8a939753077",
            as_of=datetime(2017, 1, 6, 21, 0, 48, 299000, tzinfo=UTC),
            symbol="BTC-USD",
            details={
                "type": "activate",
                "order_id": "7b52009b-64fd-0a2a-49e6-d8a939753077",
                "stop_type": "entry",
                "side": "buy",
                "stop_price": Decimal(80),
                "size": Decimal(2),
                "funds": Decimal(50),
                "private": True,
            },
        )
    ]


def test_the_second_copy_of_an_own_message_says_nothing() -> None:
    feed = loaded()
    assert len(told(feed, OPEN, **OWN)) == 2
    assert told(feed, OPEN, **OWN) == []


def test_a_copy_that_is_ahead_of_the_full_channel_moves_no_book_and_is_no_gap() -> None:
    feed = loaded()
    (event,) = told(feed, {**MATCH, **OWN, "maker_user_id": "5844"}, sequence=11)
    assert isinstance(event, AccountEvent)
    assert len(told(feed, DONE, order_id="1b0f1225-7f84-490b-a29f-0faef9de823a")) == 1
    trade, book = told(feed, {**MATCH, **OWN, "maker_user_id": "5844"}, sequence=11)
    assert isinstance(trade, Trade) and isinstance(book, Book)


def test_a_copy_that_is_ahead_while_the_orders_are_waited_for_hides_no_trade() -> None:
    feed = followed()
    told(feed, MATCH)
    ahead = {**MATCH, **OWN, "maker_user_id": "5844"}
    assert [type(event) for event in told(feed, ahead, sequence=12, trade_id=12)] == [AccountEvent]
    for number in (11, 12):
        (trade,) = told(feed, MATCH, sequence=number, trade_id=number)
        assert isinstance(trade, Trade) and trade.trade_id == str(number)


def test_a_product_that_is_about_to_be_left_is_not_asked_for_its_orders() -> None:
    feed = loaded()
    feed.subscribe(["ETH-USD"])
    assert feed.unsubscribe(["BTC-USD"]) == [], "one request at a time"
    both = {"type": "subscriptions", "channels": [{"name": "full", "product_ids": ["BTC-USD", "ETH-USD"]}]}
    asked = [event.frame for event in told(feed, both) if isinstance(event, Send)]
    assert [frame for frame in asked if isinstance(frame, BookRequest)] == [BookRequest("ETH-USD")]
    assert told(feed, OPEN) == [], "on its way before the vendor heard of it"


@pytest.mark.parametrize(
    "message",
    [{**ACTIVATE, "time": "2017-01-06T21:00:48"}, {**OPEN, "time": "2017-01-06T21:00:48"}],
)
def test_an_own_message_whose_time_has_no_zone_is_a_bad_frame(message: dict[str, Any]) -> None:
    with pytest.raises(FrameError, match="timezone"):
        told(loaded(), message, **OWN)


@pytest.mark.parametrize(
    "message",
    [{**OPEN, "order_id": None}, {**MATCH, "maker_order_id": None}, {**ACTIVATE, "timestamp": "soon"}],
)
def test_an_own_message_without_its_order_or_time_is_a_bad_frame(message: dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        told(loaded(), message, **OWN)


# -- the wire


class Answers:
    """Stands in for REST: each request waits until it is answered."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.given: asyncio.Queue[bytes | FeedError] = asyncio.Queue()

    async def __call__(self, url: str) -> bytes:
        self.asked.put_nowait(url)
        answer = await self.given.get()
        if isinstance(answer, FeedError):
            raise answer
        return answer


@pytest.mark.asyncio
async def test_an_answer_arrives_among_the_frames_while_those_go_on() -> None:
    rest, socket = Answers(), ScriptedWire([[b"one", b"two"]])
    async with asyncio.timeout(30), AskingWire(socket, "http://rest/", rest).open() as connection:
        await connection.send(BookRequest("BTC/USD"))
        await connection.send("hello")
        assert [await connection.receive(), await connection.receive()] == [b"one", b"two"]
        assert await rest.asked.get() == "http://rest/products/BTC%2FUSD/book?level=3"
        rest.given.put_nowait(b'{"sequence":1}')
        assert await connection.receive() == b'{"type":"orders","product_id":"BTC/USD","book":{"sequence":1}}'
        await connection.send(BookRequest("A"))
        rest.given.put_nowait(FeedError('the vendor answered 429: "later"'))
        error = json.loads(await connection.receive())
        assert error == {"type": "orders", "product_id": "A", "error": 'the vendor answered 429: "later"'}
        socket.drop(FeedError("the connection was lost"))
        with pytest.raises(FeedError, match="lost"):
            await connection.receive()
    assert socket.sent == [["hello"]]


# -- against the loopback exchange


def follow(
    exchange: CoinbaseExchange, recorder: FrameRecorder | None = None
) -> tuple[FeedRunner, WaitingSink]:
    feed = CoinbaseFeed(
        exchange.products, url=exchange.url, rest_url=exchange.http_url, channels=CHANNELS, **KEY
    )
    sink = WaitingSink()
    runner = FeedRunner(feed, sink, clock=SystemClock(), random=random.Random(1), recorder=recorder)
    return runner, sink


def is_rebuilt(feed: object, session: Frames) -> bool:
    assert isinstance(feed, CoinbaseFeed)
    for product, naive in rebuilt_orders(session).items():
        book = feed.book(product)
        whole = None if book is None else book.top(10**6)
        if whole is None or [list(whole.bids), list(whole.asks)] != [
            naive.levels("buy"),
            naive.levels("sell"),
        ]:
            return False
    return True


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault", ["", "lose:150", "disconnect:200", "stale-book:1", "no-book:1", "garbage:9"]
)
async def test_a_served_session_ends_with_the_books_of_an_independent_rebuild(fault: str) -> None:
    session = made_up_orders(count=400)
    exchange = CoinbaseExchange(session, speed=20, fault=fault, credentials=ACCOUNT, heartbeat_seconds=0.02)
    async with exchange:
        runner, sink = follow(exchange)
        async with running(runner):
            await exchange.finished.wait()
            await sink.until(lambda: is_rebuilt(runner.feed, session))
    gaps = [event for event in sink.all_events if isinstance(event, Gap)]
    assert bool(gaps) == (fault == "lose:150")
    asked_again = len(exchange.http_requests) - len(exchange.products)
    # How often depends on what had happened when the orders of the first connection were asked for.
    if fault not in {"disconnect:200", "stale-book:1"}:
        assert asked_again == (fault in {"lose:150", "no-book:1"})
    if fault in {"", "garbage:9"}:
        check_events(session, sink)


def check_events(session: Frames, sink: WaitingSink) -> None:
    """Every trade and every own message of the session was told once, in its order."""
    messages = [json.loads(frame) for _, frame in session]
    trades = [event for event in sink.all_events if isinstance(event, Trade)]
    assert [(trade.symbol, trade.price, trade.quantity, trade.trade_id) for trade in trades] == [
        (m["product_id"], Decimal(m["price"]), Decimal(m["size"]), str(m["trade_id"]))
        for m in messages
        if m["type"] == "match"
    ]
    events = [event for event in sink.all_events if isinstance(event, AccountEvent)]
    assert [(event.details["type"], event.symbol) for event in events] == [
        (m["type"], m["product_id"]) for m in own(session)
    ]
    assert {event.kind for event in events} == {"order", "fill"}


@pytest.mark.asyncio
async def test_full_without_a_key_is_refused_for_good() -> None:
    async with CoinbaseExchange(made_up_orders(count=10)) as exchange:
        runner, sink = follow(exchange)
        await runner.run()
    assert sink.states[-1] == ("failed", "the vendor refuses us: invalid api key")


@pytest.mark.asyncio
async def test_what_was_recorded_replays_to_the_same_books(tmp_path: Any) -> None:
    session = made_up_orders(count=200)
    kept: Frames = []

    class Keeper:
        def write(self, frame: bytes, received_at: datetime) -> None:
            kept.append((received_at.timestamp(), frame.decode()))

    async with CoinbaseExchange(session, speed=20, credentials=ACCOUNT) as exchange:
        runner, sink = follow(exchange, Keeper())
        async with running(runner):
            await exchange.finished.wait()
            await sink.until(lambda: is_rebuilt(runner.feed, session))
    vendor, clock = CoinbaseFeed(), JumpingClock()
    replay = ReplayFeed(write_frames(tmp_path / "kept.tsv", kept), vendor, clock=clock)
    await FeedRunner(replay, WaitingSink(), clock=clock).run()
    assert is_rebuilt(vendor, session)


def test_others_see_of_an_order_what_is_not_its_owners_alone() -> None:
    (message, *_) = own(made_up_orders(count=100))
    assert not {"user_id", "profile_id", "client-oid"} & for_others(message).keys()
