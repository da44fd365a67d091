"""What is told of a line beside its quote: only what somebody wants, in order, and whole where it is state."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from assets.market import Book, Depth, Level, MarketNotice, Quote, Trade
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.channels import BOOK_LEVELS, TRADES_AT_ONCE, TRADES_KEPT
from realtime.price_feed.listing import Listing

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
EVERYTHING = {"quote", "trades", "book", "bars", "notices"}


def make_batcher(**options: Any) -> Batcher:
    batcher = Batcher("coinbase", **{"stale_after": 300.0, "quotes_are_trades": False, **options})
    batcher.follow([Listing(1, "BTC", "USD", "btc", ("coinbase",))], NOON, 0.0)
    batcher.begin(7)
    return batcher


def make_trade(number: int, **more: Any) -> Trade:
    values: dict[str, Any] = {
        "price": Decimal(100 + number), "quantity": Decimal("0.5"), "as_of": NOON + number * SECOND, "side": "buy",
        "trade_id": f"t{number}",
    }  # fmt: skip
    return Trade(symbol="btc", **{**values, **more})


def trades(batcher: Batcher, *numbers: int) -> None:
    for number in numbers:
        batcher.take([make_trade(number)], NOON + number * SECOND, 0.0)


def flushed(batcher: Batcher) -> dict[str, Any]:
    """What goes along with BTC's record, read back exactly."""
    batcher.changed()
    decode = msgspec.json.Decoder(dict[str, Any] | list[Any], float_hook=Decimal).decode
    return {channel: decode(text) for channel, text in batcher.news.get("BTC", {}).items()}


def numbers(told: dict[str, Any]) -> list[int]:
    return [trade["number"] for trade in told.get("trades", [])]


def wanted(batcher: Batcher, *wants: str) -> dict[str, Any]:
    """What the want itself brings."""
    batcher.changed()
    batcher.want({"BTC": set(wants)})
    return flushed(batcher)


# -- trades


def test_of_a_line_that_nobody_wants_nothing_is_told() -> None:
    batcher = make_batcher()
    trades(batcher, 1)
    assert flushed(batcher) == {}
    assert wanted(batcher, "quote", "full") == {}


def test_a_trade_is_told_as_it_was_under_a_number_of_its_own() -> None:
    batcher = make_batcher()
    trades(batcher, 1)
    wanted(batcher, "trades")
    trades(batcher, 2, 3)
    first, second = flushed(batcher)["trades"]
    assert first == {
        "symbol": "BTC", "price": 102, "quantity": Decimal("0.5"), "side": "buy", "trade_id": "t2",
        "as_of": "2026-11-20T12:00:02.000000Z", "source": "coinbase", "number": 2, "epoch": 7,
    }  # fmt: skip
    assert (second["number"], second["trade_id"]) == (3, "t3")
    assert flushed(batcher) == {}


def test_a_process_that_comes_late_is_told_what_the_others_have_had() -> None:
    batcher = make_batcher()
    wanted(batcher, "quote", "trades", "bars", "book")
    trades(batcher, *range(1, TRADES_KEPT + 11))
    batcher.take([Depth(symbol="btc", bids=((Decimal(9), Decimal(1)),), asks=())], NOON + 99 * SECOND, 0.0)
    flushed(batcher)
    batcher.tell_again({"BTC", "UNKNOWN"})
    told = flushed(batcher)
    assert numbers(told) == list(range(11, TRADES_KEPT + 11))
    assert told["book"]["bids"] == [[9, 1]]
    assert {bar["interval"] for bar in told["bars"]} == {"1m", "1d"}
    assert flushed(batcher) == {}


def test_a_newcomer_gets_the_last_fifty_and_is_news_by_the_lines_number() -> None:
    batcher = make_batcher()
    trades(batcher, *range(1, TRADES_KEPT + 11))
    before = batcher.changed()["BTC"].seq
    batcher.want({"BTC": {"trades"}})
    assert batcher.changed()["BTC"].seq == before + 1
    batcher.put_back(["BTC"])
    assert numbers(flushed(batcher)) == list(range(11, TRADES_KEPT + 11))


def test_a_flush_tells_the_newest_and_the_numbers_show_what_was_left_out() -> None:
    batcher = make_batcher()
    wanted(batcher, "trades")
    trades(batcher, *range(1, TRADES_AT_ONCE + 6))
    told = numbers(flushed(batcher))
    assert told == list(range(6, TRADES_AT_ONCE + 6))


def test_trades_that_could_not_be_sent_are_told_again_with_those_that_came_since() -> None:
    batcher = make_batcher()
    wanted(batcher, "trades")
    trades(batcher, 1, 2)
    batcher.put_back(batcher.changed())
    trades(batcher, 3)
    assert numbers(flushed(batcher)) == [1, 2, 3]


def test_an_epoch_numbers_from_one_and_loses_no_trade_that_waits() -> None:
    batcher = make_batcher()
    wanted(batcher, "trades")
    trades(batcher, 1, 2)
    flushed(batcher)
    trades(batcher, 3)
    batcher.begin(8)
    (told,) = flushed(batcher)["trades"]
    assert (told["trade_id"], told["number"], told["epoch"]) == ("t3", 1, 8)


def test_a_newcomer_of_a_new_epoch_gets_no_trade_of_the_one_before() -> None:
    batcher = make_batcher()
    trades(batcher, 1, 2)
    batcher.begin(8)
    trades(batcher, 3)
    assert numbers(wanted(batcher, "trades")) == [1]


def test_a_trade_of_the_night_or_too_late_is_told_and_moves_nothing() -> None:
    batcher = make_batcher()
    wanted(batcher, "trades")
    trades(batcher, 1000)
    batcher.take([make_trade(1)], NOON + 1001 * SECOND, 0.0)
    assert [trade["trade_id"] for trade in flushed(batcher)["trades"]] == ["t1000", "t1"]
    assert batcher.rejected == {"too_late": 1}
    assert batcher.last("BTC").price == 1100  # type: ignore[union-attr]


def test_a_quote_stands_for_its_trade_where_the_source_tells_none() -> None:
    batcher = make_batcher(quotes_are_trades=True, tells_trades=True)
    wanted(batcher, "trades")
    for price, bid, ask, number in (("10", "9", "10", 1), ("9", "9", "10", 2), ("9", "9", "10", 2)):
        quote = Quote(
            symbol="btc", price=Decimal(price), as_of=NOON + number * SECOND, last_quantity=Decimal(number),
            bid=Decimal(bid), ask=Decimal(ask),
        )  # fmt: skip
        batcher.take([quote], NOON + 3 * SECOND, 0.0)
    told = flushed(batcher)["trades"]
    assert [(trade["side"], trade["quantity"]) for trade in told] == [("buy", 1), ("sell", 2)]


def test_who_becomes_an_assets_publisher_tells_nothing_of_before() -> None:
    batcher = make_batcher()
    batcher.follow([Listing(1, "BTC", "USD", "btc", ("polygon", "coinbase"))], NOON, 0.0)
    batcher.begin(7)
    live = frozenset[str]()
    batcher.arbitrate({"polygon": live, "coinbase": live})
    batcher.want({"BTC": {"trades", "bars"}})
    trades(batcher, 1, 2)
    assert flushed(batcher) == {}
    batcher.arbitrate({"coinbase": live})
    told = flushed(batcher)
    assert set(told) == {"bars"}
    trades(batcher, 3)
    assert [trade["trade_id"] for trade in flushed(batcher)["trades"]] == ["t3"]


# -- book


def levels(count: int, first: int, step: int) -> tuple[Level, ...]:
    return tuple((Decimal(first + step * number), Decimal(1)) for number in range(count))


def make_book(count: int = 60) -> Book:
    book = Book("btc")
    book.replace(
        [(str(price), "1") for price, _ in levels(count, 100, -1)],
        [(str(price), "1") for price, _ in levels(count, 101, 1)],
    )
    return book


def test_a_book_is_its_best_fifty_levels_whenever_one_of_them_changes() -> None:
    batcher, book = make_batcher(), make_book()
    trades(batcher, 1)
    batcher.take([book], NOON, 0.0)
    told = wanted(batcher, "quote", "book")["book"]
    assert (len(told["bids"]), len(told["asks"])) == (BOOK_LEVELS, BOOK_LEVELS)
    assert (told["bids"][0], told["asks"][0]) == ([100, 1], [101, 1])
    assert {key: told[key] for key in ("symbol", "source", "epoch", "seq", "as_of")} == {
        "symbol": "BTC", "source": "coinbase", "epoch": 7, "seq": batcher.last("BTC").seq,  # type: ignore[union-attr]
        "as_of": "2026-11-20T12:00:00.000000Z",
    }  # fmt: skip
    assert book.change([("buy", "61", "7")])  # the fortieth
    batcher.take([book], NOON, 0.0)
    assert flushed(batcher)["book"]["bids"][39] == [61, 7]
    assert not book.change([("buy", "45", "7")])  # beyond what anybody looks at
    trades(batcher, 2)
    assert "book" not in flushed(batcher)


def test_the_record_shows_five_levels_and_thirty_where_they_are_wanted() -> None:
    batcher = make_batcher()
    trades(batcher, 1)
    batcher.take([make_book()], NOON, 0.0)
    shown = []
    for wants in ({"full"}, {"full_d30"}, {"full", "book"}, {"quote"}):
        batcher.want({"BTC": wants})
        batcher.touch(["BTC"])
        record = batcher.changed()["BTC"]
        assert record.bids is not None and record.asks is not None
        shown.append((len(record.bids), len(record.asks)))
    assert shown == [(5, 5), (30, 30), (5, 5), (5, 5)]


def test_a_book_that_only_a_quote_is_wanted_of_is_read_five_levels_deep_again() -> None:
    batcher, book = make_batcher(), make_book()
    trades(batcher, 1)
    batcher.take([book], NOON, 0.0)
    wanted(batcher, "book")
    batcher.want({})
    batcher.touch(["BTC"])
    batcher.changed()
    assert not book.change([("buy", "61", "7")])


def test_best_levels_are_a_book_too_and_their_own_time_is_told() -> None:
    batcher = make_batcher()
    trades(batcher, 1)
    wanted(batcher, "book")
    depth = Depth(symbol="btc", bids=levels(3, 9, -1), asks=levels(3, 10, 1), as_of=NOON - SECOND)
    batcher.take([depth], NOON, 0.0)
    told = flushed(batcher)["book"]
    assert (len(told["bids"]), told["as_of"]) == (3, "2026-11-20T11:59:59.000000Z")
    batcher.put_back(["BTC"])
    assert flushed(batcher)["book"]["bids"] == told["bids"]


# -- bars


def test_a_newcomer_gets_the_open_bars_and_then_those_that_change() -> None:
    batcher = make_batcher()
    trades(batcher, 1, 5)
    told = wanted(batcher, "bars")["bars"]
    assert told[0] == {
        "symbol": "BTC", "interval": "1m", "start": "2026-11-20T12:00:00.000000Z", "open": 101, "high": 105,
        "low": 101, "close": 105, "volume": 1, "complete": False, "revised": False, "source": "coinbase",
    }  # fmt: skip
    assert [bar["interval"] for bar in told] == ["1m", "1d"]
    batcher.touch(["BTC"])
    assert "bars" not in flushed(batcher)


def test_a_bar_that_is_over_is_told_once_as_complete_and_again_when_a_late_trade_revises_it() -> None:
    batcher = make_batcher()
    wanted(batcher, "bars")
    trades(batcher, 1, 61)
    assert [(bar["interval"], bar["complete"]) for bar in flushed(batcher)["bars"]] == [
        ("1m", True), ("1m", False), ("1d", False),
    ]  # fmt: skip
    batcher.take([make_trade(59, price=Decimal(500))], NOON + 62 * SECOND, 0.0)
    late = flushed(batcher)["bars"][0]
    assert (late["start"], late["high"], late["close"]) == ("2026-11-20T12:00:00.000000Z", 500, 500)
    assert (late["complete"], late["revised"]) == (True, True)


def test_the_clock_tells_that_a_bar_is_over() -> None:
    batcher = make_batcher()
    trades(batcher, 1)
    wanted(batcher, "bars")
    batcher.tick(NOON + 63 * SECOND, 1.0)
    assert [(bar["interval"], bar["complete"]) for bar in flushed(batcher)["bars"]] == [
        ("1m", True),
        ("1d", False),
    ]


def test_bars_for_redis_are_the_open_ones_and_those_that_may_not_be_stored() -> None:
    batcher = make_batcher()
    trades(batcher, 1, 61, 121, 181)
    (text,) = batcher.take_shown_bars(NOON + 182 * SECOND).values()
    shown = msgspec.json.decode(text)
    assert shown["at"] == "2026-11-20T12:03:02.000000Z"
    assert [(bar["interval"], bar["start"][14:16], bar["complete"]) for bar in shown["bars"]] == [
        ("1m", "01", True), ("1m", "02", True), ("1m", "03", False), ("1d", "00", False),
    ]  # fmt: skip
    assert batcher.take_shown_bars(NOON) == {}
    batcher.put_back_bars(["BTC", "GONE"])
    assert set(batcher.take_shown_bars(NOON)) == {"BTC"}


# -- notices


def make_notice(high: int, kind: Any = "price_bands") -> MarketNotice:
    return MarketNotice(symbol="btc", kind=kind, as_of=NOON, figures={"high": Decimal(high), "side": "buy"})


def test_notices_are_told_in_order_and_a_newcomer_gets_the_last_of_each_kind() -> None:
    batcher = make_batcher()
    trades(batcher, 1)
    batcher.take([make_notice(1), make_notice(2), make_notice(3, "imbalance")], NOON, 0.0)
    told = wanted(batcher, "notices")["notices"]
    assert [(notice["kind"], notice["high"]) for notice in told] == [("price_bands", 2), ("imbalance", 3)]
    assert told[0] == {
        "symbol": "BTC", "kind": "price_bands", "as_of": "2026-11-20T12:00:00.000000Z", "source": "coinbase", "high": 2,
        "side": "buy",
    }  # fmt: skip
    batcher.take([make_notice(4), make_notice(5)], NOON, 0.0)
    batcher.put_back(batcher.changed())
    assert [notice["high"] for notice in flushed(batcher)["notices"]] == [4, 5]
    assert flushed(batcher) == {}


@pytest.mark.parametrize("channel", ["trades", "book", "bars", "notices"])
def test_each_channel_is_told_alone(channel: str) -> None:
    batcher = make_batcher()
    trades(batcher, 1)
    batcher.take([make_book(), make_notice(1)], NOON, 0.0)
    assert set(wanted(batcher, channel)) == {channel}
    assert wanted(batcher, "quote", channel) == {}
    trades(batcher, 2)
    batcher.take([make_book(), make_notice(1)], NOON, 0.0)
    assert set(flushed(batcher)) == {channel}
    assert set(wanted(batcher, *EVERYTHING)) == EVERYTHING - {"quote", channel}
