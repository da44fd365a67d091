"""Channels from an update to each connection: events whole and in order, states newest, each encoded once for all."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.backlog import MAX_BARS, MAX_TRADES
from realtime.bus import Update
from realtime.frames import texts
from realtime.json_numbers import with_strings
from realtime.protocol import Mode, encode_quote
from realtime.streams import KEPT_TRADES, BookState, Streams
from realtime.topics import WITH_QUOTE, Topic, Topics
from tests.realtime.builders import make_record
from tests.realtime.channels import Reader, bar_json, book_json, make_connection, notice_json, trades_json
from tests.realtime.test_fan_out import calls

ALL = frozenset({"trades", "book", "bars", "notices"})
KINDS: list[dict[str, Any]] = [{}, {"batch": True}, {"acks": True}, {"batch": True, "acks": True}]


class Market:
    """Topics and their viewers, fed as the hub feeds them."""

    def __init__(self) -> None:
        self.topics = Topics()
        self.seq = 0
        self.number = 0

    def viewer(self, symbol: str = "A", channels: frozenset[str] = ALL, **options: Any) -> Reader:
        reader = Reader(make_connection(**options))
        self.subscribe(reader, symbol, channels)
        return reader

    def subscribe(self, reader: Reader, symbol: str, channels: frozenset[str]) -> set[str]:
        connection = reader.connection
        before = connection.channels
        modes = {**connection.subscriptions, symbol: "quote"}
        self.topics.regroup(connection, modes, {**before, symbol: channels})
        return self.topics.begin_streams(connection, before, [symbol])

    def say(self, symbol: str = "A", epoch: int = 1, **payloads: str) -> None:
        self.seq += 1
        self.topics.take_streams("simulator", epoch, [Update(symbol, self.seq, payloads)])

    def trade(self, count: int = 1, symbol: str = "A") -> None:
        numbers = range(self.number + 1, self.number + count + 1)
        self.number += count
        self.say(symbol, trades=trades_json(symbol, numbers))


# --- trades ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", KINDS)
def test_trades_come_one_by_one_in_order_and_in_one_frame_to_who_asked_for_batches(
    options: dict[str, Any],
) -> None:
    market = Market()
    reader = market.viewer(**options)
    for count in (1, 3, 2):
        market.trade(count)
        reader.read()

    assert reader.numbers("A") == [1, 2, 3, 4, 5, 6]
    assert reader.types == (["trades"] * 3 if options.get("batch") else ["trade"] * 6)
    assert reader.frame == (len(reader.types) if options.get("acks") else 0)


def test_who_wants_no_channel_is_sent_none() -> None:
    market = Market()
    quiet, other = market.viewer(channels=frozenset()), market.viewer(channels=frozenset({"bars"}))
    market.viewer()
    market.trade(3)
    market.say(book=book_json("A", 2, [("1", "2")], []))

    assert quiet.read() == other.read() == []


def test_a_new_subscriber_begins_with_the_last_fifty_trades_and_goes_on_from_there() -> None:
    market = Market()
    first = market.viewer()
    market.trade(120)
    market.trade(5)
    late = market.viewer()
    late.read()
    market.trade(2)
    for reader in (first, late):
        reader.read()

    assert late.numbers("A") == list(range(126 - KEPT_TRADES, 128))
    assert first.numbers("A") == list(range(1, 128))


def test_subscribing_again_sends_no_trade_twice() -> None:
    market = Market()
    reader = market.viewer()
    market.trade(3)
    market.subscribe(reader, "A", ALL)
    market.trade()
    reader.read()

    assert reader.numbers("A") == [1, 2, 3, 4]


def test_trades_that_are_sent_again_for_another_process_are_known_here() -> None:
    market = Market()
    reader = market.viewer()
    market.trade(5)
    market.say(trades=trades_json("A", range(1, 8)))
    reader.read()

    assert reader.numbers("A") == [1, 2, 3, 4, 5, 6, 7]


def test_a_channel_that_is_newly_wanted_comes_with_a_number_that_others_have_had() -> None:
    market = Market()
    market.viewer(channels=frozenset({"bars"}))
    market.say(bars=f"[{bar_json('A', 't1', 2)}]")
    reader = market.viewer(channels=frozenset({"trades"}))
    market.seq -= 1
    market.trade(3)
    reader.read()

    assert reader.numbers("A") == [1, 2, 3]


def test_the_trade_after_a_lost_batch_says_how_many_were_missed() -> None:
    market = Market()
    reader = market.viewer()
    market.trade(2)
    market.number += 4
    market.trade(2)
    reader.read()

    assert [trade.get("missed") for trade in reader.trades["A"]] == [None, None, "4", None]


def test_a_new_epoch_counts_anew_and_misses_nothing_that_could_be_known() -> None:
    market = Market()
    reader = market.viewer()
    market.trade(5)
    market.say(epoch=2, trades=trades_json("A", [1, 2], epoch=2))
    market.say(epoch=1, trades=trades_json("A", [6], epoch=1))  # a former leader's
    reader.read()

    assert reader.numbers("A") == [1, 2, 3, 4, 5, 1, 2]


def test_the_first_trade_of_a_new_epoch_says_how_many_of_it_were_missed() -> None:
    market = Market()
    reader = market.viewer()
    market.trade(5)
    market.say(epoch=2, trades=trades_json("A", [4, 5], epoch=2))
    reader.read()

    assert [trade.get("missed") for trade in reader.trades["A"][5:]] == ["3", None]


@pytest.mark.parametrize("options", KINDS)
def test_a_slow_reader_loses_the_oldest_trades_and_is_told_how_many(options: dict[str, Any]) -> None:
    market = Market()
    reader = market.viewer(**options)
    market.trade(1)
    reader.read()
    for _ in range(20):
        market.trade(100)
    reader.read()

    trades = reader.trades["A"]
    assert len(trades) == 1 + MAX_TRADES
    assert trades[-1]["number"] == str(market.number)
    assert [int(trade.get("missed", 0)) for trade in trades[:3]] == [0, 2000 - MAX_TRADES, 0]
    assert reader.connection.outbox.conflated == 2000 - MAX_TRADES


def test_a_drop_that_follows_another_is_counted_with_it() -> None:
    market = Market()
    reader = market.viewer()
    market.trade(1)
    reader.read()
    market.number += 10
    for _ in range(7):
        market.trade(100)
    reader.read()

    assert int(reader.trades["A"][1]["missed"]) == 10 + 700 - MAX_TRADES


# --- books -----------------------------------------------------------------------------------------------------------


def sides(bids: dict[str, str], asks: dict[str, str]) -> dict[str, dict[str, str]]:
    return {"bid": bids, "ask": asks}


def test_a_book_begins_with_a_snapshot_and_goes_on_with_what_changes() -> None:
    market = Market()
    reader = market.viewer()
    market.say(book=book_json("A", 5, [("10.0", "1"), ("9.5", "2")], [("11", "3")]))
    assert reader.read() == ["book_snapshot"]
    market.say(book=book_json("A", 8, [("10.0", "4"), ("9.0", "1.50")], [("11", "3")]))
    assert reader.read() == ["book_update"]

    assert reader.books["A"] == sides({"10.0": "4", "9.0": "1.50"}, {"11": "3"})
    assert reader.book_seqs["A"] == 8


def test_a_price_written_in_another_way_is_removed_before_it_is_set() -> None:
    before = BookState(book_json("A", 1, [("10.0", "1")], []))
    after = BookState(book_json("A", 2, [("10", "1")], []))

    assert after.changes_from(before) == ['["bid",10.0,0]', '["bid",10,1]']


def test_a_book_without_a_change_is_no_news_and_keeps_the_number_that_all_have() -> None:
    market = Market()
    reader = market.viewer()
    market.say(book=book_json("A", 5, [("10", "1")], []))
    market.say(book=book_json("A", 6, [("10", "1")], []))
    late = market.viewer()
    market.say(book=book_json("A", 7, [("10", "2"), ("9", "1")], []))
    for one in (reader, late):
        one.read()

    assert reader.books == late.books == {"A": sides({"10": "2", "9": "1"}, {})}


@pytest.mark.parametrize("options", KINDS)
def test_a_reader_that_has_not_taken_the_last_book_is_sent_the_whole_newest_one(
    options: dict[str, Any],
) -> None:
    market = Market()
    reader = market.viewer(**options)
    market.say(book=book_json("A", 1, [("10", "1"), ("8", "1")], []))
    reader.read()
    for seq in (2, 3, 4):
        market.say(book=book_json("A", seq, [("10", str(seq)), ("8", "1")], []))

    assert reader.read() == ["book_snapshot"]
    assert reader.books["A"] == sides({"10": "4", "8": "1"}, {})
    market.say(book=book_json("A", 5, [("10", "5"), ("8", "1")], []))
    assert reader.read() == ["book_update"]


def test_a_new_epoch_and_another_source_begin_with_a_snapshot() -> None:
    market = Market()
    reader = market.viewer()
    market.say(book=book_json("A", 9, [("10", "1")], []))
    market.say(epoch=2, book=book_json("A", 1, [("10", "1")], [], epoch=2))
    reader.read()
    market.say(epoch=2, book=book_json("A", 1, [("10", "1")], [], epoch=2, source="coinbase"))

    assert reader.read() == ["book_snapshot"]
    market.topics.take_books([BookState(book_json("A", 99, [("7", "1")], [], epoch=1, source="coinbase"))])
    assert reader.read() == []


def test_a_book_is_wanted_again_after_nobody_did_and_is_not_the_old_one() -> None:
    market = Market()
    reader = market.viewer()
    market.say(book=book_json("A", 9, [("10", "1")], []))
    reader.read()
    market.subscribe(reader, "A", frozenset({"bars"}))

    assert market.subscribe(reader, "A", ALL) == {"A"}  # to be read
    assert reader.read() == []


books = st.dictionaries(st.integers(1, 12).map(str), st.integers(1, 3).map(str), max_size=6)
book_steps = st.one_of(
    st.tuples(st.just("move"), books, books),
    st.tuples(st.just("move"), books, books),
    st.tuples(st.just("read"), st.integers(0, 3), st.none()),
    st.tuples(st.just("join"), st.integers(0, 3), st.none()),
    st.tuples(st.just("store"), books, books),
)


@given(st.lists(book_steps, max_size=40))
@settings(max_examples=150)
def test_whoever_reads_when_it_likes_has_the_same_book_as_the_vendor(
    steps: list[tuple[str, Any, Any]],
) -> None:
    market, last = Market(), None
    readers = [market.viewer(**KINDS[place]) for place in range(4)]
    for seq, (kind, one, other) in enumerate(steps, 1):
        if kind in ("move", "store"):
            book = book_json("A", seq, list(one.items()), list(other.items()))
            if kind == "move":
                market.say(book=book)
            else:  # a lost batch, read again from Redis
                market.topics.take_books([BookState(book)])
            last = sides(one, other)
        elif kind == "read":
            readers[one].read()
        else:
            market.subscribe(readers[one], "A", ALL)
    for reader in readers:
        reader.read()
        assert reader.books.get("A") == last


# --- bars and notices ------------------------------------------------------------------------------------------------


def test_of_a_bar_the_newest_state_waits_and_a_complete_one_is_not_lost_by_its_successor() -> None:
    market = Market()
    reader = market.viewer()
    for bar in (bar_json("A", "t1", 2), bar_json("A", "t1", 3), bar_json("A", "t1", 4, complete=True)):
        market.say(bars=f"[{bar}]")
    market.say(bars=f"[{bar_json('A', 't2', 5)},{bar_json('A', 'd', 5, interval='1d')}]")
    reader.read()

    assert reader.closes() == [("t1", "4"), ("t2", "5"), ("d", "5")]
    assert reader.connection.outbox.conflated == 2


def test_a_subscription_begins_with_the_open_minute_and_day() -> None:
    market = Market()
    market.viewer()
    market.say(bars=f"[{bar_json('A', 't1', 2)},{bar_json('A', 'd', 2, interval='1d')}]")
    market.say(bars=f"[{bar_json('A', 't2', 3)}]")
    market.say(bars=f"[{bar_json('A', 't1', 9)}]")  # revised late
    late = market.viewer()
    late.read()

    assert late.closes() == [("t2", "3"), ("d", "2")]


def test_a_reader_that_never_takes_its_bars_is_closed_in_the_end() -> None:
    market = Market()
    reader = market.viewer(acks=True)
    for minute in range(MAX_BARS + 5):
        market.say(bars=f"[{bar_json('A', f't{minute:04}', 2)}]")

    assert reader.connection.closing == (4000, "slow_consumer")


def test_notices_are_events_in_their_order_whatever_the_rate() -> None:
    market = Market()
    reader = market.viewer(max_rate=0.01, acks=True)
    for high in (1, 2, 2, 3):
        market.say(notices=f"[{notice_json('A', high)}]")
    reader.read()

    assert [event["type"] for event in reader.events] == ["market_notice"] * 4
    assert [event["data"]["high"] for event in reader.events] == ["1", "2", "2", "3"]


# --- what is shared --------------------------------------------------------------------------------------------------


def everything(market: Market, seq: int) -> dict[str, Callable[[], str]]:
    start = market.number
    market.number += 3
    return {
        "trades": trades_json("A", range(start + 1, start + 4)),
        "book": book_json("A", seq, [("10", str(seq)), ("9", "1")], [("11", "1")]),
        "bars": f"[{bar_json('A', 't', seq)}]",
    }


@pytest.mark.parametrize("batch", [False, True])
def test_a_flush_is_worked_out_and_joined_once_for_all_who_take_it(batch: bool) -> None:
    market = Market()
    readers = [market.viewer(batch=batch) for _ in range(50)]
    market.say(**everything(market, 1))
    for reader in readers:
        reader.read()
    with calls(BookState.changes_from, Streams._take_trades) as counted:
        market.say(**everything(market, 2))
        runs = [reader.connection.outbox.take() for reader in readers]

    assert counted == {"changes_from": 1, "_take_trades": 1}
    assert runs[0] and all(run is runs[0] for run in runs)


def test_decimals_are_strings_for_who_wants_them_and_counts_stay_numbers() -> None:
    market = Market()
    reader = market.viewer(numbers="string")
    for seq in (1, 2):
        market.say(**everything(market, seq), notices=f"[{notice_json('A', '7.50')}]")
        run = list(market_frames(reader))
        kinds = {frame["type"] for frame in run}
    assert kinds == {"trade", "book_update", "bar", "market_notice"}
    found = {frame["type"]: frame["data"] for frame in run}
    assert (found["trade"]["price"], found["trade"]["quantity"], found["trade"]["number"]) == (
        "106.50",
        "0.10",
        6,
    )
    assert found["book_update"]["changes"] == [["bid", "10", "2"]]
    assert (found["book_update"]["seq"], found["book_update"]["previous_seq"]) == (2, 1)
    assert (found["bar"]["close"], found["bar"]["volume"], found["bar"]["complete"]) == ("2", "10.0", False)
    assert found["market_notice"]["high"] == "7.50"


def market_frames(reader: Reader) -> Any:
    return (json.loads(text) for text in texts(reader.connection.outbox.take()))


def test_strings_keep_every_digit_and_all_that_is_no_decimal() -> None:
    given = '{"a":-1.50,"b":[1,"2",[3.0]],"c":{"seq":4,"d\\"":"1"},"e":null,"f":true,"number":5}'

    assert json.loads(with_strings(given)) == {
        "a": "-1.50", "b": ["1", "2", ["3.0"]], "c": {"seq": 4, 'd"': "1"}, "e": None, "f": True, "number": 5,
    }  # fmt: skip


# --- leaving ---------------------------------------------------------------------------------------------------------


def test_what_is_not_wanted_any_more_is_neither_sent_nor_kept() -> None:
    market = Market()
    reader = market.viewer()
    market.say(**everything(market, 1))
    market.subscribe(reader, "A", frozenset({"bars"}))

    assert reader.read() == ["bar"]
    assert {want.split(" ")[0] for want in market.topics.wants()} == {"quote", "bars"}
    market.say(**everything(market, 2))
    assert reader.read() == ["bar"]
    market.say(**everything(market, 3))
    market.topics.regroup(reader.connection, {})
    reader.connection.outbox.forget({"A"})
    assert reader.read() == []
    assert market.topics.wants() == set()
    assert not market.topics._topics and not market.topics._audiences


def test_a_change_of_mode_leaves_the_channels() -> None:
    market = Market()
    reader = market.viewer()
    market.topics.regroup(reader.connection, {"A": "full"})

    assert {want.split(" ")[0] for want in market.topics.wants()} == {"full", *ALL}
    market.trade()
    assert reader.read() == ["trade"]


def test_no_busy_channel_holds_up_another_where_frames_are_confirmed() -> None:
    market = Market()
    reader = market.viewer(acks=True)
    seen: list[str] = []
    for seq in range(1, 12):
        market.say(**everything(market, seq))
        seen += [frame["type"] for frame in market_frames(reader)]
        reader.connection.outbox.acknowledge(len(seen))

    assert min(seen.count(kind) for kind in ("trade", "book_snapshot", "bar")) >= 4


# --- modes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", WITH_QUOTE)
def test_a_value_known_in_any_fuller_mode_is_known_in_ltpc_and_as_strings(mode: Mode) -> None:
    topic, record = Topic(), make_record(bids=((Decimal("1.5"), Decimal(2)),), delta=Decimal("0.25"))
    topic.take("simulator", 1, Update("AAPL", 1, {mode: encode_quote(record, mode)}))

    smaller, strings = topic.payload(Mode.LTPC), topic.payload(mode, "string")
    assert smaller is not None and smaller.json == encode_quote(record, Mode.LTPC)
    assert strings is not None and strings.json == encode_quote(record, mode, "string")
