"""What every feed must do, asked of each of them; and of those with a socket, against a real server.

The made-up session always runs; the recorded one where the setting COINBASE_RECORDING names it.
"""

import json
import os
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from assets.market import Book, Depth, Quote, Trade
from realtime.feeds.base import Feed, FeedError, FrameError, Refused, SystemClock
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.replay import ReplayFeed
from realtime.feeds.runner import FeedRunner
from realtime.feeds.simulator import SimulatorFeed, symbols
from tests.realtime.feeds.fakes import JumpingClock, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.coinbase import GARBAGE, CoinbaseExchange
from tests.vendors.frames import Frames, last_prices, made_up, read_frames, rebuilt_books, write_frames

RECORDING = os.environ.get("COINBASE_RECORDING", "")
FAST = float("inf")


@pytest.fixture(params=["made up", "recorded"])
def session(request: pytest.FixtureRequest) -> Frames:
    """A whole session of Coinbase."""
    if request.param == "made up":
        return made_up(["ABC-USD", "DEF-EUR", "GHI-GBP"], 1000)
    if not RECORDING:
        pytest.skip("left out: COINBASE_RECORDING names no recording")
    return read_frames(Path(RECORDING))


def coinbase() -> CoinbaseFeed:
    return CoinbaseFeed(["ABC-USD", "DEF-EUR"])


FEEDS: dict[str, Callable[[], Feed]] = {
    "coinbase": coinbase,
    "replay": lambda: ReplayFeed("unused", coinbase()),
    "simulator": lambda: SimulatorFeed(symbols(3)),
}
SESSIONS: dict[str, list[bytes]] = {
    "coinbase": [frame.encode() for _, frame in made_up(count=100)],
    "replay": [frame.encode() for _, frame in made_up(count=100)],
    "simulator": [
        b"%d %d" % (second * 10**6, (second + 1) * 10**6) for second in range(200_000_000, 200_000_050)
    ],
}
every_feed = pytest.mark.parametrize("name", FEEDS)


def opened(name: str) -> Feed:
    feed = FEEDS[name]()
    feed.opened(feed.symbols)
    return feed


# -- every feed


@every_feed
def test_its_frames_give_positive_prices_with_times_for_its_symbols(name: str) -> None:
    feed = opened(name)
    events = [event for frame in SESSIONS[name] for event in feed.decode(frame)]
    quotes = [event for event in events if isinstance(event, Quote)]
    assert quotes
    assert all(quote.price > 0 and quote.as_of.tzinfo is not None for quote in quotes)
    assert {event.symbol for event in events if isinstance(event, Quote | Trade | Depth | Book)} <= set(
        feed.symbols or coinbase().symbols
    )


def told(feed: Feed, frame: bytes) -> list[object]:
    """What a frame says, a living book as it is now."""
    return [event.top(5) if isinstance(event, Book) else event for event in feed.decode(frame)]


@every_feed
def test_the_same_frames_give_the_same_values(name: str) -> None:
    first, second = opened(name), opened(name)
    assert [told(first, frame) for frame in SESSIONS[name]] == [
        told(second, frame) for frame in SESSIONS[name]
    ]


@every_feed
def test_a_new_connection_begins_with_nothing_of_the_last(name: str) -> None:
    feed = opened(name)
    once = [told(feed, frame) for frame in SESSIONS[name]]
    feed.opened(feed.symbols)
    assert [told(feed, frame) for frame in SESSIONS[name]] == once


@every_feed
@pytest.mark.parametrize(
    "frame", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b"<html>502</html>", b'{"type":']
)
def test_a_frame_of_nonsense_is_a_frame_error_and_the_next_one_is_read(name: str, frame: bytes) -> None:
    feed = opened(name)
    with pytest.raises(FrameError):
        feed.decode(frame)
    assert any(feed.decode(good) for good in SESSIONS[name])


@every_feed
def test_a_truncated_frame_never_gives_a_value_or_another_error(name: str) -> None:
    frames = SESSIONS[name]
    dice = random.Random(5)
    feed = opened(name)
    for frame in frames[:100]:
        cut = frame[: dice.randrange(len(frame))]
        try:
            events = feed.decode(cut)
        except FrameError:
            continue
        assert name == "simulator" or events == []


@every_feed
def test_symbols_are_added_and_taken_away_without_a_connection_of_their_own(name: str) -> None:
    feed = opened(name)
    symbol = (feed.symbols or ("ABC-USD",))[0]
    frames = feed.unsubscribe([symbol]) + feed.subscribe([symbol])
    assert all(isinstance(frame, str) for frame in frames)
    assert feed.unsubscribe([]) == [] and feed.subscribe([]) == []


@pytest.mark.parametrize("name", ["coinbase", "replay"])
def test_a_kind_of_frame_that_it_does_not_know_says_nothing(name: str) -> None:
    for frame in (
        b'{"type":"auction","product_id":"ABC-USD"}',
        b'{"type":"status","products":[],"currencies":[]}',
    ):
        assert opened(name).decode(frame) == []


def test_what_refused_the_one_who_recorded_is_only_a_bad_frame_of_a_replay() -> None:
    with pytest.raises(FrameError):
        opened("replay").decode(b'{"type":"error","message":"invalid signature"}')


# -- whole sessions


def test_rebuilt_books_equal_the_books_of_an_independent_rebuild(session: Frames) -> None:
    feed = CoinbaseFeed()
    feed.opened(())
    depths: dict[str, Depth] = {}
    for _, frame in session:
        depths.update(
            (event.symbol, event.top(5)) for event in feed.decode(frame.encode()) if isinstance(event, Book)
        )
    expected = rebuilt_books(session)
    assert set(depths) == set(expected)
    for product, naive in expected.items():
        book = feed.book(product)
        assert book is not None
        whole = book.top(10**6)
        assert list(whole.bids) == naive.levels("buy")
        assert list(whole.asks) == naive.levels("sell")
        # What was told last is what is there now: a change that was not told did not show.
        assert list(depths[product].bids) == naive.levels("buy")[:5]
        assert list(depths[product].asks) == naive.levels("sell")[:5]


def test_every_ticker_of_a_session_is_a_quote_to_the_digit_and_in_order(session: Frames) -> None:
    feed = CoinbaseFeed()
    feed.opened(())
    events = [event for _, frame in session for event in feed.decode(frame.encode())]
    tickers = [message for _, frame in session if (message := json.loads(frame))["type"] == "ticker"]
    quotes = [event for event in events if isinstance(event, Quote)]
    assert [(q.symbol, str(q.price), str(q.volume)) for q in quotes] == [
        (t["product_id"], t["price"], t["volume_24h"]) for t in tickers
    ]
    matches = [message for _, frame in session if "match" in (message := json.loads(frame))["type"]]
    trades = [event for event in events if isinstance(event, Trade)]
    assert [(t.symbol, t.price, t.quantity, t.trade_id) for t in trades] == [
        (m["product_id"], Decimal(m["price"]), Decimal(m["size"]), str(m["trade_id"])) for m in matches
    ]


# -- against the loopback exchange


def follow(exchange: CoinbaseExchange, *products: str) -> tuple[FeedRunner, WaitingSink]:
    sink = WaitingSink()
    feed = CoinbaseFeed(products or exchange.products, url=exchange.url)
    runner = FeedRunner(feed, sink, clock=JumpingClock(), random=random.Random(1))
    return runner, sink


@pytest.mark.asyncio
async def test_a_served_session_ends_with_its_last_prices_and_books(session: Frames) -> None:
    expected = last_prices(session)
    async with CoinbaseExchange(session, speed=FAST) as exchange:
        runner, sink = follow(exchange)
        async with running(runner):
            await exchange.finished.wait()
            await sink.until(lambda: sink.last_prices() == expected)
            feed = runner.feed
            assert isinstance(feed, CoinbaseFeed)
            naive = rebuilt_books(session)

            def is_rebuilt(product: str) -> bool:
                book = feed.book(product)
                return book is not None and list(book.top(10**6).bids) == naive[product].levels("buy")

            await sink.until(lambda: all(map(is_rebuilt, naive)))
    assert sink.state_names == ["connecting", "live"]
    assert not runner.bad_frames
    tickers = [json.loads(frame) for _, frame in session if '"ticker"' in frame]
    for product in expected:
        own = [str(quote.price) for quote in sink.quotes() if quote.symbol == product]
        assert own == [ticker["price"] for ticker in tickers if ticker["product_id"] == product]


@pytest.mark.asyncio
async def test_a_cut_connection_recovers_with_fresh_books_and_ends_at_the_same_prices(
    session: Frames,
) -> None:
    expected = last_prices(session)
    async with CoinbaseExchange(session, speed=FAST, fault="disconnect:100") as exchange:
        runner, sink = follow(exchange)
        async with running(runner):
            await sink.until(lambda: sink.last_prices() == expected)
            await exchange.finished.wait()
            feed = runner.feed
            assert isinstance(feed, CoinbaseFeed)
            naive = rebuilt_books(session)

            def is_rebuilt(product: str) -> bool:
                book = feed.book(product)
                return book is not None and list(book.top(10**6).asks) == naive[product].levels("sell")

            await sink.until(lambda: all(map(is_rebuilt, naive)))
    assert sink.state_names == ["connecting", "live", "recovering", "live"]
    assert exchange.connections == 2
    assert [request["product_ids"] for request in exchange.requests] == [list(exchange.products)] * 2


@pytest.mark.asyncio
async def test_garbage_between_frames_is_skipped() -> None:
    session = made_up(["ABC-USD", "DEF-EUR"], 300)
    async with CoinbaseExchange(session, speed=FAST, fault="garbage:7") as exchange:
        runner, sink = follow(exchange)
        async with running(runner):
            await sink.until(lambda: sink.last_prices() == last_prices(session))
    assert sink.state_names == ["connecting", "live"]
    assert runner.bad_frames["not_json"] > 0 and runner.bad_frames["bad_number"] > 0
    assert sum(runner.bad_frames.values()) >= len(GARBAGE) - 1


@pytest.mark.asyncio
async def test_one_bad_product_harms_no_other() -> None:
    async with CoinbaseExchange(made_up(), speed=FAST) as exchange:
        runner, sink = follow(exchange, "NOPE-USD", "ABC-USD", "WRONG", "DEF-EUR")
        async with running(runner):
            await sink.until(lambda: {quote.symbol for quote in sink.quotes()} == {"ABC-USD", "DEF-EUR"})
    refusals = [event for event in sink.all_events if isinstance(event, Refused)]
    assert {refusal.symbols[0]: refusal.reason for refusal in refusals} == {
        "NOPE-USD": "NOPE-USD is not a valid product",
        "WRONG": "WRONG is not a valid product",
    }
    assert runner.symbols == ("ABC-USD", "DEF-EUR")


@pytest.mark.asyncio
async def test_a_product_added_later_comes_with_its_book() -> None:
    async with CoinbaseExchange(made_up(count=2000), speed=20) as exchange:
        runner, sink = follow(exchange, "ABC-USD")
        async with running(runner):
            await sink.until(sink.quotes)
            runner.add_symbols(["DEF-EUR"])
            await sink.until(lambda: any(q.symbol == "DEF-EUR" for q in sink.quotes()))
            runner.remove_symbols(["ABC-USD"])
            await sink.until(lambda: any(request["type"] == "unsubscribe" for request in exchange.requests))
    assert any(isinstance(event, Book) and event.symbol == "DEF-EUR" for event in sink.all_events)


@pytest.mark.asyncio
async def test_a_mute_exchange_is_left_and_tried_again() -> None:
    async with CoinbaseExchange(made_up(), speed=FAST, fault="mute:1") as exchange:
        runner, sink = follow(exchange)
        runner.feed.silence_after = 1.0  # type: ignore[union-attr]
        async with running(runner):
            await sink.until(sink.quotes)
    assert sink.state_names == ["connecting", "silent", "recovering", "live"]


@pytest.mark.asyncio
async def test_a_refused_signature_stops_the_feed_for_good() -> None:
    async with CoinbaseExchange(made_up(), fault="refuse-auth") as exchange:
        runner, sink = follow(exchange)
        await runner.run()
        assert exchange.connections == 1
    assert sink.states[-1][0] == "failed"
    assert "could not be authenticated" in sink.states[-1][1]


@pytest.mark.asyncio
async def test_signed_channels_open_with_the_right_key_only() -> None:
    account = ("key", "bm90IGEgcmVhbCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc=", "phrase")
    async with CoinbaseExchange(made_up(), speed=FAST, credentials=account) as exchange:
        feed = CoinbaseFeed(
            exchange.products, url=exchange.url, key="key", secret=account[1], passphrase="phrase"
        )
        sink = WaitingSink()
        async with running(FeedRunner(feed, sink, clock=SystemClock())):
            await sink.until(sink.quotes)
        assert "level2" in exchange.requests[0]["channels"]
        wrong = CoinbaseFeed(
            exchange.products, url=exchange.url, key="key", secret="AAAA", passphrase="phrase"
        )
        await FeedRunner(wrong, sink, clock=SystemClock()).run()
    assert sink.states[-1] == ("failed", "the vendor refuses us: invalid signature")


@pytest.mark.asyncio
async def test_a_vendor_that_says_429_is_left_alone_for_as_long_as_it_says() -> None:
    async with CoinbaseExchange(made_up(), fault="http:429") as exchange:
        sink, clock = WaitingSink(), JumpingClock()
        runner = FeedRunner(CoinbaseFeed(["ABC-USD"], url=exchange.url), sink, clock=clock)
        async with running(runner):
            await clock.until_slept(2)
    assert all(seconds >= 1 for seconds in clock.sleeps)
    assert ("recovering", "the vendor answered the handshake with 429") in sink.states


@pytest.mark.asyncio
@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "nonsense", "ws://"])
async def test_an_address_that_is_none_stops_the_feed_for_good(url: str) -> None:
    sink = WaitingSink()
    await FeedRunner(CoinbaseFeed(["ABC-USD"], url=url), sink, clock=JumpingClock()).run()
    assert sink.states[-1][0] == "failed"
    assert "expected a ws:// or wss:// address" in sink.states[-1][1]


@pytest.mark.asyncio
async def test_a_vendor_that_is_not_there_is_tried_again() -> None:
    sink, clock = WaitingSink(), JumpingClock()
    runner = FeedRunner(CoinbaseFeed(["ABC-USD"], url="ws://127.0.0.1:1"), sink, clock=clock)
    async with running(runner):
        await clock.until_slept(3)
    assert sink.state_names == ["connecting", "recovering"]


@pytest.mark.asyncio
async def test_a_replayed_session_equals_the_served_one(session: Frames, tmp_path: Path) -> None:
    path = write_frames(tmp_path / "session.tsv", session)
    sink, clock = WaitingSink(), JumpingClock()
    runner = FeedRunner(ReplayFeed(path, CoinbaseFeed(), clock=clock), sink, clock=clock)
    await runner.run()
    assert sink.state_names == ["connecting", "live", "ended"]
    assert sink.last_prices() == last_prices(session)
    assert sum(clock.sleeps) == pytest.approx(session[-1][0] - session[0][0], abs=0.01)


def test_a_feed_error_is_temporary_unless_it_says_otherwise() -> None:
    assert not FeedError("lost").permanent
