"""What is special about Kraken: numbers as they are written, a book that its checksum proves, answers one by one."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from assets.market import Book, Quote
from realtime.feeds.base import Event, FeedError, FrameError, Gap, Send
from realtime.feeds.kraken import KrakenFeed
from realtime.feeds.runner import FeedRunner
from realtime.price_feed.sources import SourceError, open_source
from tests.realtime.feeds.entries.kraken import ABC, frame_of, kraken
from tests.realtime.feeds.fakes import JumpingClock, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.kraken import SESSIONS, KrakenServer, Market, book_frame, checksum, refused

# The example of their documentation, with the sum that it comes to.
DOCUMENTED_BIDS = [
    ("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"), ("45281.0", "0.10000000"),
    ("45280.3", "1.54592586"), ("45279.0", "0.07990000"), ("45277.6", "0.03310103"), ("45277.5", "0.30000000"),
    ("45277.3", "1.54602737"), ("45276.6", "0.15445238"),
]  # fmt: skip
DOCUMENTED_ASKS = [
    ("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"), ("45289.6", "1.54560911"),
    ("45290.2", "0.15890660"), ("45291.8", "1.54553491"), ("45294.7", "0.04454749"), ("45296.1", "0.35380000"),
    ("45297.5", "0.09945542"), ("45299.5", "0.18772827"),
]  # fmt: skip
DOCUMENTED_SUM = 3310070434


def opened(*pairs: str) -> KrakenFeed:
    feed = kraken(symbols=pairs or (ABC,))
    feed.opened(dict.fromkeys(feed.symbols, feed.base_mode))
    return feed


def all_of(feed: KrakenFeed, frames: Iterable[str]) -> list[Event]:
    return [event for frame in frames for event in feed.decode(frame.encode())]


def requests_in(events: Iterable[Event]) -> list[tuple[Any, Any, Any]]:
    asked = [msgspec.json.decode(event.frame) for event in events if isinstance(event, Send)]
    return [(one["method"], one["params"]["channel"], one["params"]["symbol"]) for one in asked]


ASKED_ANEW = [("unsubscribe", "book", [ABC]), ("subscribe", "book", [ABC])]


def wrong(second: int, kind: str = "update") -> bytes:
    return book_frame(kind, ABC, [("1.5", "2")], [], 1, second * 1000).encode()


# -- the book


def test_the_documented_book_has_the_documented_checksum() -> None:
    assert checksum(DOCUMENTED_BIDS, DOCUMENTED_ASKS) == DOCUMENTED_SUM
    feed = opened()
    frame = book_frame("snapshot", ABC, DOCUMENTED_BIDS, DOCUMENTED_ASKS, DOCUMENTED_SUM)
    (book,) = feed.decode(frame.encode())
    assert isinstance(book, Book)
    assert [str(number) for number in book.top(1).asks[0]] == ["45285.2", "0.00100000"]


def test_a_long_market_is_the_vendors_own_ten_levels_at_every_step() -> None:
    """Levels that fall out of the ten are never taken back by the vendor, and quantities are as little as 1e-8."""
    market, feed = Market(ABC, seed=7), opened()
    feed.decode(market.snapshot().encode())
    for frame in market.changes(2000):
        (book,) = feed.decode(frame.encode())
        assert isinstance(book, Book)
        shown = book.top(1000)
        for side, levels in (("bids", shown.bids), ("asks", shown.asks)):
            assert [(str(price), f"{quantity:f}") for price, quantity in levels] == market.best(side)


def test_a_missed_change_is_a_gap_and_the_book_is_asked_for_anew() -> None:
    feed, frames = opened(), SESSIONS[ABC]["book"]
    told = all_of(feed, [*frames[:5], *frames[6:]])
    assert [event for event in told if isinstance(event, Gap)] == [Gap(ABC, "the book's checksum was wrong")]
    assert requests_in(told) == ASKED_ANEW
    assert (
        len([event for event in told if isinstance(event, Book)]) < len(frames) - 1
    )  # none that is wrong is shown
    assert len(all_of(feed, frames)) == len(frames)


def test_a_book_that_was_told_never_shows_what_its_checksum_did_not_vouch_for() -> None:
    """Whoever is told of a living book looks at it later."""
    feed, frames = opened(), SESSIONS[ABC]["book"]
    *_, book = all_of(feed, frames[:5])
    assert isinstance(book, Book)
    before = book.top(10)
    broken = book_frame("update", ABC, [(str(before.bids[0][0]), "0")], [("99.99", "7")], 1)
    assert isinstance(feed.decode(broken.encode())[0], Gap)
    assert book.top(10) == before
    assert [[str(n) for n in level] for level in book.top(10).bids] == [
        [str(n) for n in level] for level in before.bids
    ]


def test_a_book_that_is_never_right_is_asked_for_every_ten_seconds_and_no_oftener() -> None:
    feed = opened()
    asked = [requests_in(feed.decode(wrong(second, "snapshot"))) for second in (0, 1, 9, 10, 11)]
    assert asked == [ASKED_ANEW, [], [], ASKED_ANEW, []]
    assert [requests_in(feed.decode(wrong(second))) for second in (12, 20)] == [[], ASKED_ANEW]


def test_what_is_still_on_its_way_of_a_pair_that_nobody_wants_asks_for_nothing() -> None:
    feed = opened(ABC, "DEF/EUR")
    all_of(feed, SESSIONS[ABC]["book"])
    feed.unsubscribe([ABC])
    assert feed.decode(wrong(1)) == []


def test_a_level_that_is_no_number_changes_nothing() -> None:
    feed, frames = opened(), SESSIONS[ABC]["book"]
    all_of(feed, frames[:3])
    for price in ("-1", '"1"', "[1]", "null", "1" * 50, "1e99"):
        with pytest.raises(FrameError, match="expected"):
            feed.decode(book_frame("update", ABC, [("1.5", "1"), (price, "1")], [], 1).encode())
    assert all(isinstance(event, Book) for event in all_of(feed, frames[3:]))


@pytest.mark.asyncio
async def test_a_wrong_book_is_right_again_on_the_same_connection_and_harms_no_other_pair() -> None:
    async with KrakenServer(fault="wrong-checksum:1") as server:
        feed, sink = kraken(server.url), WaitingSink()
        async with running(FeedRunner(feed, sink, clock=JumpingClock())):
            await sink.until(lambda: len([e for e in sink.all_events if isinstance(e, Gap)]) == 1)
            await server.until(lambda: len(server.requests) == 5)
            gap = next(i for i, event in enumerate(sink.all_events) if isinstance(event, Gap))
            await sink.until(lambda: {ABC, "DEF/EUR"} <= books(sink.all_events[gap:]))
    assert server.connections == 1
    assert [one["method"] for one in server.requests[3:]] == ["unsubscribe", "subscribe"]


def books(events: Iterable[Event]) -> set[str]:
    return {event.symbol for event in events if isinstance(event, Book)}


# -- numbers, answers


@pytest.mark.parametrize("text", ["1234567.123456789012345", "0.10", "100", "0.00000001"])
def test_every_digit_of_a_number_is_kept(text: str) -> None:
    (quote,) = opened().decode(frame_of("ticker", f'"last":{text}'))
    assert isinstance(quote, Quote) and f"{quote.price:f}" == text


@pytest.mark.parametrize("text", ["-1", "1e99", "true", '"1"', "{}", "9" * 41])
def test_what_is_no_price_is_a_bad_frame(text: str) -> None:
    for channel, rest in (
        ("ticker", f'"last":{text}'),
        ("trade", f'"side":"buy","price":{text},"qty":1,"trade_id":1'),
    ):
        with pytest.raises(FrameError, match="expected"):
            opened().decode(frame_of(channel, rest))


def test_a_trade_at_zero_and_a_time_without_a_zone_are_bad_frames() -> None:
    trade = frame_of("trade", '"side":"buy","price":0,"qty":1,"trade_id":1')
    with pytest.raises(FrameError, match="expected a price above zero"):
        opened().decode(trade)
    with pytest.raises(FrameError, match="timezone"):
        opened().decode(trade.replace(b"Z", b""))


def test_one_frame_may_hold_trades_of_several_pairs() -> None:
    one = SESSIONS[ABC]["trade"][0]
    other = SESSIONS["DEF/EUR"]["trade"][0].partition("[")[2]
    both = one.replace("]}", f",{other}")
    assert [event.symbol for event in opened().decode(both.encode())] == [ABC, "DEF/EUR"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("reason", "pair"),
    [("Exceeded msg rate", None), ("Subscription depth not supported", None), ("Exceeded msg rate", ABC)],
)
def test_a_refusal_that_is_not_about_a_pair_ends_the_connection_for_now(
    reason: str, pair: str | None
) -> None:
    """Heartbeats go on, so that whatever was not granted would look alive for ever."""
    with pytest.raises(FeedError, match=reason) as caught:
        opened().decode(refused("subscribe", reason, pair).encode())
    assert not caught.value.permanent and not isinstance(caught.value, FrameError)
    assert caught.value.retry_after == 5


@pytest.mark.asyncio
async def test_a_busy_vendor_is_returned_to_but_not_at_once() -> None:
    async with KrakenServer(fault="busy") as server:
        sink, clock = WaitingSink(), JumpingClock()
        async with running(FeedRunner(kraken(server.url), sink, clock=clock)):
            await clock.until_slept(3)
    assert any("Exceeded msg rate" in reason for _, reason in sink.states)
    assert all(seconds >= 5 for seconds in clock.sleeps)


# -- as a source


def test_a_pair_is_the_asset_that_other_exchanges_price_as_well(settings: Any) -> None:
    settings.KRAKEN_PAIRS = ["BTC/USD", "AAPLx/EUR", "BTC/USD"]
    made = [(one.source_symbol, one.symbol, one.currency) for one in open_source("kraken").assets]
    assert made == [("BTC/USD", "BTC-USD", "USD"), ("AAPLx/EUR", "AAPLX-EUR", "EUR")]
    for pair in ("BTCUSD", "/USD", "BTC/", "BTC/USD/EUR"):
        settings.KRAKEN_PAIRS = [pair]
        with pytest.raises(SourceError, match="expected a pair such as BTC/USD"):
            open_source("kraken")


def test_a_quantity_of_a_trade_keeps_its_zeros() -> None:
    (trade,) = opened().decode(SESSIONS[ABC]["trade"][0].encode())
    assert trade.quantity == Decimal("0.00044780") and str(trade.quantity) == "0.00044780"  # type: ignore[union-attr]
