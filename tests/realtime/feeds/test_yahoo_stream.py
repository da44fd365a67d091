"""Yahoo's streaming socket: frames into exact values, and a vendor that never answers."""

import json
import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from assets.market import BidAsk, Quote
from realtime.feeds.base import FrameError, Ready
from realtime.feeds.runner import FeedRunner
from realtime.feeds.yahoo_stream import YahooStreamFeed
from tests.realtime.feeds.fakes import JumpingClock, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.yahoo import (
    CRYPTOCURRENCY,
    CURRENCY,
    EQUITY,
    POST_MARKET,
    PRE_MARKET,
    REGULAR_MARKET,
    YahooServer,
    pricing,
)

FAST = float("inf")
# What one of the day looks like; the time is that of the documentation's sample.
SAMPLE = {
    "id": "AAPL",
    "price": 190.55,
    "time": 1795204017711,
    "exchange": "NMS",
    "quote_type": EQUITY,
    "market_hours": REGULAR_MARKET,
    "change_percent": 0.8255,
    "day_volume": 31234567,
    "day_high": 191.05,
    "day_low": 188.1,
    "change": 1.56,
    "open_price": 189.01,
    "previous_close": 3.14,
    "last_size": 100,
    "price_hint": 2,
}


def opened() -> YahooStreamFeed:
    feed = YahooStreamFeed(["AAPL"])
    feed.opened({"AAPL": "quote"})
    return feed


def quote(**fields: object) -> Quote:
    (event,) = opened().decode(pricing(**{**SAMPLE, **fields}).encode())
    assert isinstance(event, Quote)
    return event


# -- one frame


@pytest.mark.parametrize("bare", [False, True])
def test_a_price_of_the_regular_market_is_a_quote_to_the_digit(bare: bool) -> None:
    assert opened().decode(pricing(bare=bare, **SAMPLE).encode()) == [
        Quote(
            symbol="AAPL",
            price=Decimal("190.55"),
            as_of=datetime(2026, 11, 20, 19, 46, 57, 711000, tzinfo=UTC),
            last_quantity=Decimal(100),
            open=Decimal("189.01"),
            high=Decimal("191.05"),
            low=Decimal("188.1"),
            volume=Decimal(31234567),
        )
    ]


def test_a_previous_close_of_a_frame_is_never_taken() -> None:
    assert quote().previous_close is None


def test_what_is_bid_and_asked_goes_along_and_zero_is_nobody() -> None:
    found = quote(bid=190.54, bid_size=3, ask_size=2)
    assert (found.bid, found.bid_quantity, found.ask, found.ask_quantity) == (
        Decimal("190.54"),
        Decimal(3),
        None,
        None,
    )


@pytest.mark.parametrize("hours", [PRE_MARKET, POST_MARKET, 3, 4])
def test_a_price_from_outside_the_regular_market_never_moves_the_price(hours: int) -> None:
    feed = opened()
    off_hours = pricing(**{**SAMPLE, "market_hours": hours, "price": 250.0}).encode()
    assert feed.decode(off_hours) == [Ready()]
    assert feed.decode(off_hours) == []
    sides = pricing(**{**SAMPLE, "market_hours": hours, "bid": 249.9, "ask": 250.1}).encode()
    (event,) = feed.decode(sides)
    assert isinstance(event, BidAsk)
    assert (event.bid, event.ask) == (Decimal("249.9"), Decimal("250.1"))


@pytest.mark.parametrize("kind", [CURRENCY, CRYPTOCURRENCY])
def test_what_trades_around_the_clock_has_a_price_whatever_the_hours_say(kind: int) -> None:
    assert quote(quote_type=kind, market_hours=PRE_MARKET).price == Decimal("190.55")


def test_the_volume_of_a_coin_is_money_and_the_day_of_a_pair_is_londons_so_neither_is_taken() -> None:
    coin = quote(quote_type=CRYPTOCURRENCY)
    assert (coin.volume, coin.high) == (None, Decimal("191.05"))
    pair = quote(quote_type=CURRENCY)
    assert (pair.volume, pair.open, pair.high, pair.low) == (None, None, None, None)


def test_a_price_may_be_negative_for_those_who_allow_it() -> None:
    assert quote(price=-37.63).price == Decimal("-37.63")


@pytest.mark.parametrize("frame", ["{}", '{"type":"heartbeat","message":"x"}', '{"type":"auction"}'])
def test_a_kind_of_frame_that_it_does_not_know_says_nothing(frame: str) -> None:
    assert opened().decode(frame.encode()) == []


def test_fields_that_it_does_not_know_are_passed_over() -> None:
    assert quote(short_name="Apple", market_cap=2.9e12, vol_24hr=7).price == Decimal("190.55")


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ('{"type":"pricing","message":7}', "not_json"),
        ('{"type":"pricing","message":"a"}', "not_base64"),
        ('{"type":"pricing","message":"é==="}', "bad_number"),
        ('{"type":"pricing","message":""}', "bad_number"),
        ('{"type":"pricing","message":"////////"}', "bad_record"),
        (pricing(id="AAPL", price=1.5, market_hours=1), "bad_number"),
        (pricing(price=1.5, time=1, market_hours=1), "bad_number"),
        (pricing(id="AAPL", price=float("inf"), time=1, market_hours=1), "bad_number"),
        (pricing(id="AAPL", price=1e35, time=1, market_hours=1), "bad_number"),
        (pricing(id="AAPL", price=1.5, time=2**62, market_hours=1), "bad_number"),
    ],
)
def test_a_frame_that_cannot_be_a_price_is_a_frame_error(frame: str, kind: str) -> None:
    with pytest.raises(FrameError) as raised:
        opened().decode(frame.encode())
    assert raised.value.kind == kind


def test_a_record_cut_anywhere_is_never_a_price_it_was_not() -> None:
    whole = pricing(bare=True, **SAMPLE)
    for end in range(len(whole)):
        try:
            events = opened().decode(whole[:end].encode())
        except FrameError:
            continue
        assert all(isinstance(event, Quote) and event.price == Decimal("190.55") for event in events) or (
            events == [Ready()]
        )


def test_bytes_of_no_protocol_are_only_frame_errors() -> None:
    dice = random.Random(7)
    for _ in range(2000):
        message = pricing(bare=True, **SAMPLE)
        at = dice.randrange(len(message))
        broken = message[:at] + dice.choice("ABCDEFabcdef0189+/") + message[at + 1 :]
        try:
            opened().decode(broken.encode())
        except FrameError:
            continue


# -- what we ask


def test_each_subscription_names_the_whole_set() -> None:
    feed = YahooStreamFeed(["AAPL", "MSFT"])
    assert [json.loads(frame) for frame in feed.opened(dict.fromkeys(feed.symbols, "quote"))] == [
        {"subscribe": ["AAPL", "MSFT"]}
    ]
    assert [json.loads(frame) for frame in feed.subscribe(["BTC-USD"])] == [
        {"subscribe": ["AAPL", "MSFT", "BTC-USD"]}
    ]
    assert [json.loads(frame) for frame in feed.unsubscribe(["MSFT"])] == [{"unsubscribe": ["MSFT"]}]
    assert [json.loads(frame) for frame in feed.opened({"AAPL": "quote"})] == [{"subscribe": ["AAPL"]}]


# -- against the loopback server


def script(count: int = 60) -> list[tuple[float, object]]:
    fields = [
        {**SAMPLE, "id": ("AAPL", "MSFT")[number % 2], "price": 190 + number / 100, "time": 10**12 + number}
        for number in range(count)
    ]
    return [(number / 100, one) for number, one in enumerate(fields)]


def follow(server: YahooServer, *symbols: str) -> tuple[FeedRunner, WaitingSink]:
    sink = WaitingSink()
    feed = YahooStreamFeed(symbols or ("AAPL", "MSFT"), url=server.url)
    return FeedRunner(feed, sink, clock=JumpingClock(), random=random.Random(1)), sink


LAST = {"AAPL": "190.58", "MSFT": "190.59"}


@pytest.mark.asyncio
async def test_every_price_of_a_session_arrives_in_order_also_in_the_old_form() -> None:
    for fault in ("", "bare"):
        async with YahooServer(script=script(), speed=FAST, fault=fault) as server:
            runner, sink = follow(server)
            async with running(runner):
                await sink.until(lambda sink=sink: sink.last_prices() == LAST)
        assert [one.price for one in sink.quotes()] == [190 + Decimal(number) / 100 for number in range(60)]
        assert sink.state_names == ["connecting", "live"]
        assert server.requests == [{"subscribe": ["AAPL", "MSFT"]}]


@pytest.mark.asyncio
async def test_a_night_without_a_frame_is_no_reason_to_connect_again() -> None:
    async with YahooServer() as server:
        runner, sink = follow(server)
        async with running(runner):
            await sink.until(lambda: len(sink.states) > 1)
            await server.finished.wait()
            assert server.connections == 1
    assert sink.states == [
        ("connecting", ""),
        ("connecting", "connected; nothing was sent yet"),
    ]
