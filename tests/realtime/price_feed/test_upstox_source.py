"""Upstox as a source: what its settings make, and which of them it misses."""

import logging

import pytest
from django.test import override_settings

from realtime.feeds.upstox import UpstoxFeed
from realtime.feeds.upstox_portfolio import UpstoxPortfolioFeed
from realtime.feeds.upstox_v2 import UpstoxV2Feed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.makers.upstox import instruments
from realtime.price_feed.sources import SourceError, open_source, open_sources

INSTRUMENTS = "NSE_EQ|INE002A01018=RELIANCE, NSE_INDEX|Nifty 50=NIFTY50 MCX_FO|445=gold-dec"


def where(feed: object) -> tuple[str, ...]:
    found: tuple[str, ...] = feed._where  # type: ignore[attr-defined]
    return found


def test_instruments_are_listed_with_our_symbols_in_rupees_and_in_their_exchanges_sessions() -> None:
    assert instruments(INSTRUMENTS) == (
        NewAsset("NSE_EQ|INE002A01018", "RELIANCE", "", "INR", "equity", calendar="XNSE"),
        NewAsset("NSE_INDEX|Nifty 50", "NIFTY50", "", "INR", "index", calendar="XNSE"),
        NewAsset("MCX_FO|445", "GOLD-DEC", "", "INR", "other", calendar="MCX"),
    )
    assert instruments("") == instruments("  ") == ()
    assert len(instruments("BSE_EQ|A=A,BSE_EQ|A=B")) == 1


@pytest.mark.parametrize("text", ["RELIANCE", "NSE_EQ|A", "NSE_EQ|A=", "=A", "NSE_EQ|A=B x", "nse|A=B"])
def test_instruments_that_cannot_be_read_are_named(text: str) -> None:
    with pytest.raises(SourceError, match="UPSTOX_INSTRUMENTS: expected NSE_EQ"):
        instruments(text)


@pytest.mark.parametrize("name", ["upstox", "upstox_portfolio"])
def test_without_a_token_it_says_which_setting_is_missing_and_the_others_go_on(name: str) -> None:
    with pytest.raises(SourceError, match=f"^{name}: expected UPSTOX_ACCESS_TOKEN$"):
        open_source(name)
    assert [source.name for source in open_sources(["simulator", name])] == ["simulator", name]


@override_settings(UPSTOX_ACCESS_TOKEN="secret", UPSTOX_INSTRUMENTS=INSTRUMENTS)
def test_a_token_and_instruments_are_all_it_needs(caplog: pytest.LogCaptureFixture) -> None:
    source = open_source("upstox")
    assert isinstance(source.feed, UpstoxFeed)
    assert source.feed.symbols == ("NSE_EQ|INE002A01018", "NSE_INDEX|Nifty 50", "MCX_FO|445")
    assert where(source.feed) == ("wss://api.upstox.com/v3/feed/market-data-feed", "secret", "")
    assert source.modes == ("full", "full_d30", "ltpc", "option_greeks", "quote")
    assert not source.quotes_are_trades and "secret" not in repr(source) and not caplog.records


@override_settings(UPSTOX_ACCESS_TOKEN="secret", UPSTOX_API_VERSION="2")
def test_the_discontinued_version_is_chosen_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    feed = open_source("upstox").feed
    assert isinstance(feed, UpstoxV2Feed)
    assert where(feed)[0] == "wss://api.upstox.com/v2/feed/market-data-feed"
    assert "discontinued version 2" in caplog.text


@override_settings(UPSTOX_ACCESS_TOKEN="secret", UPSTOX_API_VERSION="4")
def test_no_other_version_can_be_chosen() -> None:
    with pytest.raises(SourceError, match="UPSTOX_API_VERSION: expected 3 or 2, was '4'"):
        open_source("upstox")


@override_settings(
    UPSTOX_ACCESS_TOKEN="secret",
    UPSTOX_WEBSOCKET_URL="ws://127.0.0.1:9/v3/feed/market-data-feed",
    UPSTOX_AUTHORIZE_URL="http://127.0.0.1:9/v3/feed/market-data-feed/authorize",
    UPSTOX_PORTFOLIO_WEBSOCKET_URL="ws://127.0.0.1:9/v2/feed/portfolio-stream-feed",
)
def test_other_servers_may_be_named_and_asked_for_an_address_that_serves_once() -> None:
    market, account = open_source("upstox").feed, open_source("upstox_portfolio")
    assert where(market) == (
        "ws://127.0.0.1:9/v3/feed/market-data-feed",
        "secret",
        "http://127.0.0.1:9/v3/feed/market-data-feed/authorize",
    )
    updates = "?update_types=order%2Cposition%2Cholding%2Cgtt_order"
    assert isinstance(account.feed, UpstoxPortfolioFeed) and account.only_symbols == frozenset()
    assert where(account.feed) == (
        f"ws://127.0.0.1:9/v2/feed/portfolio-stream-feed{updates}",
        "secret",
        f"http://127.0.0.1:9/v2/feed/portfolio-stream-feed/authorize{updates}",
    )


@override_settings(
    UPSTOX_ACCESS_TOKEN="secret",
    UPSTOX_PORTFOLIO_WEBSOCKET_URL="wss://api.upstox.com/v2/feed/portfolio-stream-feed?update_types=order",
)
def test_fewer_updates_may_be_asked_for() -> None:
    feed = open_source("upstox_portfolio").feed
    assert where(feed)[0].endswith("?update_types=order")
