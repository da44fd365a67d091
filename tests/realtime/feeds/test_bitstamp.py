"""What is special about Bitstamp: errors that name nothing, books without a symbol's mark, a request to come back."""

import json
from typing import Any

import pytest

from assets.market import Depth
from realtime.feeds.base import FeedError, FrameError, Refused
from realtime.feeds.runner import FeedRunner
from realtime.price_feed.sources import SourceError, open_source
from tests.realtime.feeds.entries.bitstamp import WRONG, bitstamp
from tests.realtime.feeds.fakes import JumpingClock, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.bitstamp import (
    LARGEST_FRAME_BYTES,
    RECONNECT,
    BitstampServer,
    book,
    error,
    trade,
    whole_book,
)


def test_errors_are_of_the_names_that_can_be_no_pair_and_each_is_refused_once() -> None:
    feed = bitstamp()
    feed.opened({"BTCUSD": "quote", "btcusd": "quote", "ETH/EUR": "quote"})
    assert [feed.decode(error(WRONG).encode()) for _ in range(2)] == [
        [Refused(("BTCUSD",), WRONG)],
        [Refused(("ETH/EUR",), WRONG)],
    ]
    with pytest.raises(FeedError, match="the vendor refuses a request: Invalid channel provided") as raised:
        feed.decode(error(WRONG).encode())
    assert not raised.value.permanent and raised.value.retry_after == 5


def test_a_new_connection_knows_no_wrong_names_of_the_last() -> None:
    feed = bitstamp()
    feed.opened({"BTCUSD": "quote"})
    feed.opened({"btcusd": "quote"})
    with pytest.raises(FeedError, match="refuses a request"):
        feed.decode(error(WRONG).encode())


def test_of_a_book_as_many_levels_are_told_as_anybody_is_shown() -> None:
    (depth,) = bitstamp().decode(whole_book("btcusd", 0).encode())
    assert isinstance(depth, Depth)
    assert (len(depth.bids), len(depth.asks)) == (50, 50)
    assert str(depth.bids[49][0]) == "83945.51" and depth.bids[0][0] < depth.asks[0][0]


@pytest.mark.parametrize("number", ["0", "-1", "NaN", "1e400", "", "x", "1" * 41])
def test_a_number_that_is_none_is_one_bad_frame(number: str) -> None:
    for frame in (book("btcusd", [[number, "1"]], []), book("btcusd", [], [["1", number]])):
        with pytest.raises(FrameError):
            bitstamp().decode(frame.encode())
    wrong = json.loads(trade("btcusd", "1", 1))
    wrong["data"]["price_str"] = number
    with pytest.raises(FrameError):
        bitstamp().decode(json.dumps(wrong).encode())


@pytest.mark.parametrize("at", ["", "-1", "1_000", "\u0661", "9" * 18])
def test_a_time_that_is_none_is_one_bad_frame(at: str) -> None:
    wrong = json.loads(trade("btcusd", "1", 1))
    wrong["data"]["microtimestamp"] = at
    with pytest.raises(FrameError, match="microtimestamp") as raised:
        bitstamp().decode(json.dumps(wrong).encode())
    assert raised.value.kind == "bad_trade"


def test_no_request_is_longer_than_the_vendor_reads() -> None:
    requests = bitstamp().opened(dict.fromkeys(["a" * 40, *(f"p{n}usd" for n in range(200))], "quote"))
    assert max(map(len, requests)) < LARGEST_FRAME_BYTES


@pytest.mark.asyncio
async def test_who_is_asked_to_come_back_comes_back_and_subscribes_again() -> None:
    async with BitstampServer() as server:
        sink = WaitingSink()
        async with running(FeedRunner(bitstamp(server.url), sink, clock=JumpingClock())):
            await sink.until(lambda: "live" in sink.state_names)
            for client in server.clients.values():
                client.put(RECONNECT)
            await server.until(lambda: [len(one) for one in server.conversations] == [4, 4])
    assert ("recovering", "the vendor asks us to connect anew") in [state[:2] for state in sink.states]


def test_a_pair_is_the_asset_that_other_exchanges_price(settings: Any) -> None:
    settings.BITSTAMP_PAIRS = ["btcusd", "usdtusd", "xrpusdt", "ethbtc", "eurusd"]
    made = [(one.source_symbol, one.symbol, one.currency) for one in open_source("bitstamp").assets]
    assert made == [
        ("btcusd", "BTC-USD", "USD"),
        ("usdtusd", "USDT-USD", "USD"),
        ("xrpusdt", "XRP-USDT", "USDT"),
        ("ethbtc", "ETH-BTC", "BTC"),
        ("eurusd", "EUR-USD", "USD"),
    ]
    for pair in ("BTC/USD", "BTCUSD", "usd", "btcjpy", "btcusd-perp"):
        settings.BITSTAMP_PAIRS = [pair]
        with pytest.raises(SourceError, match="expected a pair such as btcusd"):
            open_source("bitstamp")
