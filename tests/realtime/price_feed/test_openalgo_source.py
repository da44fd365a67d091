"""OpenAlgo as a source: its key, and what is listed for it."""

from pathlib import Path
from typing import Any

import pytest

from assets.calendar_names import known_names
from realtime.feeds.openalgo import OpenAlgoFeed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.makers.openalgo import EXCHANGES, instruments
from realtime.price_feed.sources import Options, SourceError, open_source
from tests.vendors.frames import write_frames


def test_without_its_key_the_setting_is_named(settings: Any) -> None:
    settings.OPENALGO_API_KEY = ""
    with pytest.raises(SourceError, match=r"^openalgo: expected OPENALGO_API_KEY$"):
        open_source("openalgo")


def test_it_follows_what_is_listed_where_the_setting_says(settings: Any) -> None:
    settings.OPENALGO_API_KEY, settings.OPENALGO_WEBSOCKET_URL = "key", "ws://127.0.0.1:1"
    settings.OPENALGO_SYMBOLS = ["NSE:RELIANCE", "NSE_INDEX:NIFTY"]
    source = open_source("openalgo")
    assert isinstance(source.feed, OpenAlgoFeed)
    assert (source.feed.symbols, source.feed.url) == (("NSE:RELIANCE", "NSE_INDEX:NIFTY"), "ws://127.0.0.1:1")
    assert source.modes == ("full", "ltpc", "quote") and not source.quotes_are_trades


def test_an_instrument_has_the_currency_the_calendar_and_the_class_of_its_exchange() -> None:
    assert instruments(["NSE:RELIANCE", "NSE_INDEX:NIFTY", "MCX:CRUDEOIL20MAY26FUT", "NSE:M&M=MAHINDRA"]) == (
        NewAsset("NSE:RELIANCE", "RELIANCE", "", "INR", "equity", calendar="XNSE"),
        NewAsset("NSE_INDEX:NIFTY", "NIFTY", "", "INR", "index", calendar="XNSE"),
        NewAsset("MCX:CRUDEOIL20MAY26FUT", "CRUDEOIL20MAY26FUT", "", "INR", "commodity", calendar="MCX"),
        NewAsset("NSE:M&M", "MAHINDRA", "", "INR", "equity", calendar="XNSE"),
    )
    assert len(instruments(["NSE:SBIN", "NSE:SBIN"])) == 1


def test_every_exchange_has_a_calendar_that_there_is() -> None:
    assert {calendar for calendar, _ in EXCHANGES.values()} <= set(known_names())


@pytest.mark.parametrize("word", ["RELIANCE", "NSE:", "CRYPTO:BTCUSD", "nse:RELIANCE", "NSE:M&M"])
def test_what_cannot_be_listed_is_named(word: str) -> None:
    with pytest.raises(SourceError, match=r"^OPENALGO_SYMBOLS: .*" + word):
        instruments([word])


def test_a_symbol_that_does_not_tell_its_asset_stops_no_replay_of_the_others(
    settings: Any, tmp_path: Path
) -> None:
    settings.REPLAY_VENDOR = "openalgo"
    frames = [
        (
            float(number),
            f'{{"type":"market_data","symbol":"{name}","exchange":"{exchange}","mode":1,"data":{{"ltp":1}}}}',
        )
        for number, (exchange, name) in enumerate([("CRYPTO", "BTCUSD"), ("NSE", "SBIN"), ("NSE", "M&M")])
    ]
    source = open_source("replay", Options(recording=str(write_frames(tmp_path / "frames.tsv", frames))))
    assert [asset.symbol for asset in source.assets] == ["SBIN"]
    assert source.only_symbols == {"CRYPTO:BTCUSD", "NSE:SBIN", "NSE:M&M"}
