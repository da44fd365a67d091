"""Coinbase as a source: its channels, and the key that some of them need."""

from typing import Any

import pytest

from realtime.feeds.coinbase import CoinbaseFeed
from realtime.price_feed.sources import SourceError, open_source

KEY = {
    "COINBASE_API_KEY": "key",
    "COINBASE_API_SECRET": "bm90IGEgcmVhbCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc=",
    "COINBASE_API_PASSPHRASE": "phrase",
}


def channels(settings: Any, *wanted: str, **given: str) -> tuple[str, ...]:
    settings.COINBASE_CHANNELS = list(wanted)
    for name in KEY:
        setattr(settings, name, given.get(name, ""))
    feed = open_source("coinbase").feed
    assert isinstance(feed, CoinbaseFeed)
    return feed.vendor_channels


def test_without_a_key_it_follows_what_needs_none(settings: Any) -> None:
    assert channels(settings) == ("ticker", "matches", "level2_batch", "heartbeat")
    assert channels(settings, "ticker_batch") == ("ticker_batch",)


def test_it_gives_what_its_channels_fill(settings: Any) -> None:
    settings.COINBASE_CHANNELS = ["ticker_batch"]
    feed = open_source("coinbase").feed
    assert (feed.modes, feed.channels) == ({"ltpc", "quote"}, {"bars"})
    settings.COINBASE_CHANNELS = ["ticker", "matches"]
    assert open_source("coinbase").feed.channels == {"bars", "trades"}
    settings.COINBASE_CHANNELS = []
    feed = open_source("coinbase").feed
    assert (feed.modes, feed.channels) == ({"ltpc", "quote", "full", "full_d30"}, {"bars", "trades", "book"})


def test_with_a_key_it_follows_what_is_asked_for(settings: Any) -> None:
    assert channels(settings, **KEY) == ("ticker", "matches", "level2", "heartbeat")
    assert channels(settings, "ticker", "full", "user", **KEY) == ("ticker", "full", "user", "heartbeat")


@pytest.mark.parametrize("channel", ["full", "user", "level2"])
def test_a_channel_that_needs_a_key_names_the_settings_that_are_missing(settings: Any, channel: str) -> None:
    with pytest.raises(SourceError, match=f"^coinbase: expected {', '.join(KEY)} for the channel {channel}"):
        channels(settings, "ticker", channel)


def test_half_a_key_names_the_other_half(settings: Any) -> None:
    with pytest.raises(SourceError, match=r"^coinbase: expected COINBASE_API_SECRET beside"):
        channels(settings, **{**KEY, "COINBASE_API_SECRET": ""})


def test_a_channel_that_is_none_is_named(settings: Any) -> None:
    with pytest.raises(SourceError, match=r"^coinbase: expected channels of .*, was 'tickers'"):
        channels(settings, "tickers")
