"""Upstox V2, which the vendor has discontinued: what its frames say, and that it is a codec of its own."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from assets.market import Bar, Depth, Greeks, Quote
from realtime.feeds.base import Event, FrameError, Refused
from realtime.feeds.upstox_v2 import MOST_INSTRUMENTS, UpstoxV2Feed
from realtime.feeds.upstox_v2_pb2 import FeedResponse

KEY = "NSE_FO|45450"
LAST = {"ltp": 212.35, "ltt": "1740729552723", "ltq": "75", "cp": 240.9}
LEVELS = [
    {"bq": 150, "bp": 212.1, "bno": 3, "aq": 75, "ap": 212.6, "ano": 1},
    {"bp": 212.05, "bidQ": "3000000000", "ap": 212.65, "askQ": "1"},
    {"bq": 75, "bp": 212},
]
GREEKS = {"iv": 0.1437, "delta": 0.5121, "theta": -11.0432, "gamma": 0.0007, "vega": 12.08, "rho": 1.9}
DETAILS = {"atp": 220.11, "cp": 240.9, "vtt": "8961750", "oi": 1725075.0, "yh": 500.0, "yl": 1.0}
DAY = {"interval": "1d", "open": 230, "high": 238.5, "low": 208.05, "close": 212.35, "volume": 8961750}
HALF_HOUR = {"interval": "I30", "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}
MINUTE = {"interval": "I1", "open": 212, "high": 213, "low": 211.95, "close": 212.35, "vol": "7021"}
START = {"ts": "1740729540000"}
OHLC = {"ohlc": [DAY | {"ts": "1740681000000"}, HALF_HOUR | START, MINUTE | START]}
MARKET = {
    "ltpc": LAST,
    "marketLevel": {"bidAskQuote": LEVELS},
    "optionGreeks": GREEKS,
    "marketOHLC": OHLC,
    "eFeedDetails": DETAILS,
}
QUOTE = Quote(
    symbol=KEY,
    price=Decimal("212.35"),
    as_of=datetime(2025, 2, 28, 7, 59, 12, 723000, UTC),
    last_quantity=Decimal(75),
    open=Decimal(230),
    high=Decimal("238.5"),
    low=Decimal("208.05"),
    volume=Decimal(8961750),
    average_price=Decimal("220.11"),
    open_interest=Decimal(1725075),
    greeks=Greeks(**{name: Decimal(str(value)) for name, value in GREEKS.items()}),
)


def frame(feed: dict[str, Any]) -> bytes:
    message = {"type": "live_feed", "feeds": {KEY: feed}, "currentTs": 1740729566039}
    return ParseDict(message, FeedResponse()).SerializeToString()


def told(feed: dict[str, Any]) -> list[Event]:
    opened = UpstoxV2Feed([KEY])
    opened.opened({KEY: "full"})
    return opened.decode(frame(feed))


def test_a_full_frame_is_a_quote_depth_and_a_bar_to_the_digit() -> None:
    quote, depth, bar = told({"ff": {"marketFF": MARKET}})
    assert quote == QUOTE
    assert isinstance(depth, Depth) and isinstance(bar, Bar)
    assert depth.bids == (
        (Decimal("212.1"), Decimal(150)),
        (Decimal("212.05"), Decimal(3_000_000_000)),
        (Decimal(212), Decimal(75)),
    )
    assert depth.asks == ((Decimal("212.6"), Decimal(75)), (Decimal("212.65"), Decimal(1)))
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (
        Decimal(212),
        Decimal(213),
        Decimal("211.95"),
        Decimal("212.35"),
        Decimal(7021),
    )


def test_an_option_chain_has_one_level_and_no_open_high_and_low() -> None:
    chain = {"ltpc": LAST, "bidAskQuote": LEVELS[0], "optionGreeks": GREEKS, "eFeedDetails": DETAILS}
    quote, depth = told({"oc": chain})
    assert isinstance(quote, Quote) and isinstance(depth, Depth)
    assert (quote.open, quote.high, quote.volume, quote.greeks) == (None, None, QUOTE.volume, QUOTE.greeks)
    assert (len(depth.bids), len(depth.asks)) == (1, 1)


def test_an_index_has_neither_depth_nor_volume() -> None:
    quote, bar = told({"ff": {"indexFF": {"ltpc": LAST, "marketOHLC": OHLC, "yh": 500.0}}})
    assert isinstance(quote, Quote) and isinstance(bar, Bar)
    assert (quote.high, quote.volume, bar.volume) == (Decimal("238.5"), None, None)


def test_the_last_trade_alone_is_a_quote_and_a_price_left_out_is_none() -> None:
    [quote] = told({"ltpc": LAST})
    assert isinstance(quote, Quote) and (quote.price, quote.volume) == (Decimal("212.35"), None)
    assert told({"ltpc": {"cp": 240.9}}) == []


def test_the_figures_of_another_day_are_not_those_of_the_last_trade() -> None:
    tomorrow = {"ohlc": [DAY | {"ts": "1740767400000"}]}
    quote, _ = told({"ff": {"marketFF": MARKET | {"marketOHLC": tomorrow}}})
    assert isinstance(quote, Quote) and quote.open_interest == QUOTE.open_interest
    assert {quote.open, quote.high, quote.low, quote.volume, quote.average_price} == {None}


def test_a_frame_that_was_cut_gives_no_value() -> None:
    whole = frame({"ff": {"marketFF": MARKET}})
    feed = UpstoxV2Feed([KEY])
    feed.opened({KEY: "full"})
    for end in range(len(whole)):
        with pytest.raises(FrameError):
            feed.decode(whole[:end])


def test_it_is_asked_in_its_two_modes_for_a_hundred_instruments_at_most() -> None:
    keys = [f"NSE_EQ|{number}" for number in range(MOST_INSTRUMENTS + 1)]
    feed = UpstoxV2Feed()
    first, second = map(json.loads, feed.opened({keys[0]: "ltpc"} | dict.fromkeys(keys[1:], "option_greeks")))
    assert (first["data"]["mode"], second["data"]["mode"]) == ("ltpc", "full")
    assert second["data"]["instrumentKeys"] == keys[1:MOST_INSTRUMENTS]
    [refused] = [event for event in feed.decode(frame({"ltpc": LAST})) if isinstance(event, Refused)]
    assert refused.symbols == (keys[-1],)
