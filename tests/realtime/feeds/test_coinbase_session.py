"""Whole sessions of Coinbase: books, prices and trades to the digit, served, cut, added to, and replayed.

The made-up session always runs; the recorded one where the setting COINBASE_RECORDING names it.
"""

import json
import os
import random
from decimal import Decimal
from pathlib import Path

import pytest

from assets.market import Book, Depth, Quote, Trade
from realtime.feeds.base import SystemClock
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.replay import ReplayFeed
from realtime.feeds.runner import FeedRunner
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
async def test_a_replayed_session_equals_the_served_one(session: Frames, tmp_path: Path) -> None:
    path = write_frames(tmp_path / "session.tsv", session)
    sink, clock = WaitingSink(), JumpingClock()
    runner = FeedRunner(ReplayFeed(path, CoinbaseFeed(), clock=clock), sink, clock=clock)
    await runner.run()
    assert sink.state_names == ["connecting", "live", "ended"]
    assert sink.last_prices() == last_prices(session)
    assert sum(clock.sleeps) == pytest.approx(session[-1][0] - session[0][0], abs=0.01)
