"""What the settings make of Polygon: which sources, which assets, and what is missing."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import TestCase

from assets.models import Asset, FeedSymbol
from realtime.feeds.polygon import PolygonFeed
from realtime.price_feed.feed_store import ensure_assets
from realtime.price_feed.sources import Options, SourceError, open_source, open_sources
from tests.vendors.frames import write_frames
from tests.vendors.polygon import made_up


@pytest.fixture(autouse=True)
def key(settings: Any) -> None:
    settings.POLYGON_API_KEY = "secret"


def test_without_a_key_each_cluster_says_which_setting_is_missing(settings: Any) -> None:
    settings.POLYGON_API_KEY = ""
    with pytest.raises(SourceError, match="polygon_forex: expected POLYGON_API_KEY"):
        open_source("polygon_forex")
    failed, simulator = open_sources(["polygon_forex", "simulator"])
    assert (failed.name, simulator.name) == ("polygon_forex", "simulator")


def test_polygon_stands_for_the_clusters_of_the_settings(settings: Any) -> None:
    settings.POLYGON_CLUSTERS = ["stocks", "crypto"]
    sources = open_sources(["polygon", "simulator", "polygon_crypto"])
    assert [source.name for source in sources] == ["polygon_stocks", "polygon_crypto", "simulator"]
    settings.POLYGON_CLUSTERS = ["bonds"]
    with pytest.raises(SourceError, match=r"POLYGON_CLUSTERS: expected some of stocks, .*, was 'bonds'"):
        open_sources(["polygon"])


def test_a_topic_that_no_cluster_has_is_named(settings: Any) -> None:
    settings.POLYGON_TOPICS = ["FMV", "LV"]
    assert "notices" in open_source("polygon_forex").channels
    settings.POLYGON_TOPICS = ["FMV", "fmv"]
    with pytest.raises(SourceError, match="POLYGON_TOPICS: expected some of AM, FMV, LV, was 'fmv'"):
        open_source("polygon_forex")


def test_each_cluster_makes_its_own_kind_of_asset(settings: Any) -> None:
    settings.POLYGON_OPTIONS = ["O:AAPL240119C00150500"]
    made = {
        name: open_source(f"polygon_{name}").assets[0]
        for name in ("stocks", "options", "forex", "crypto", "indices")
    }
    shown = {name: (new.symbol, new.asset_class, new.currency, new.calendar) for name, new in made.items()}
    assert shown == {
        "stocks": ("AAPL", "equity", "USD", "XNYS"),
        "options": ("O:AAPL240119C00150500", "option", "USD", "XNYS"),
        "forex": ("EURUSD", "fx", "USD", "FX"),
        "crypto": ("BTC-USD", "crypto", "USD", "24/7"),
        "indices": ("I:SPX", "index", "USD", "XNYS"),
    }
    assert (made["options"].multiplier, made["options"].name) == (Decimal(100), "AAPL 2024-01-19 150.5 call")
    assert (made["forex"].base_currency, made["forex"].source_symbol) == ("EUR", "EUR/USD")


@pytest.mark.parametrize("ticker", ["O:AAPL1240119C00150000", "AAPL", "O:AAPL249919C00150000"])
def test_a_contract_whose_size_is_not_certain_is_not_made(settings: Any, ticker: str) -> None:
    settings.POLYGON_OPTIONS = [ticker]
    with pytest.raises(SourceError, match="POLYGON_OPTIONS"):
        open_source("polygon_options")


def test_all_tickers_create_nothing_and_a_list_only_so_many(settings: Any) -> None:
    settings.POLYGON_STOCKS = ["*"]
    assert open_source("polygon_stocks").assets == ()
    settings.POLYGON_STOCKS = [f"S{number}" for number in range(1001)]
    with pytest.raises(SourceError, match="POLYGON_STOCKS: expected at most 1000 tickers, was 1001"):
        open_source("polygon_stocks")


def test_the_delay_the_past_and_the_address_follow_from_the_settings(settings: Any) -> None:
    settings.POLYGON_WEBSOCKET_URL = "ws://127.0.0.1:9"
    settings.POLYGON_DELAYED_BY = 900
    source = open_source("polygon_crypto")
    assert isinstance(source.feed, PolygonFeed)
    assert (source.feed.url, source.delayed_by, source.fills_history) == (
        "ws://127.0.0.1:9/crypto",
        900,
        False,
    )
    settings.POLYGON_REST_URL = "http://127.0.0.1:9"
    assert open_source("polygon_crypto").fills_history
    assert "full" in source.modes and "full" not in open_source("polygon_stocks").modes


def test_a_recording_is_played_without_a_key(settings: Any, tmp_path: Path) -> None:
    settings.POLYGON_API_KEY = ""
    settings.REPLAY_VENDOR = "polygon_crypto"
    script = made_up("crypto", ["BTC-USD", "ETH-EUR"], 4)
    frames = [(seconds, json.dumps(events)) for seconds, (_, events) in script]
    greeting = (0.0, '[{"ev":"status","status":"connected","message":"Connected Successfully"}]')
    source = open_source(
        "replay", Options(recording=str(write_frames(tmp_path / "frames.tsv", [greeting, *frames])))
    )
    assert [(new.symbol, new.currency) for new in source.assets] == [("BTC-USD", "USD"), ("ETH-EUR", "EUR")]
    assert not source.quotes_are_trades


class NewAssetTests(TestCase):
    def test_what_a_source_makes_keeps_its_calendar_and_its_multiplier(self) -> None:
        with self.settings(POLYGON_API_KEY="secret", POLYGON_OPTIONS=["O:AAPL240119C00150000"]):
            source = open_source("polygon_options")
        assert ensure_assets(source.name, source.assets) == 1
        asset = Asset.objects.get(symbol="O:AAPL240119C00150000")
        assert (asset.calendar, asset.multiplier) == ("XNYS", 100)
        assert FeedSymbol.objects.get(asset=asset).source == "polygon_options"
