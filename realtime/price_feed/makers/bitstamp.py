"""Bitstamp as a source."""

import re
from collections.abc import Iterable

from django.conf import settings

from realtime.feeds.bitstamp import BitstampFeed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.sources import Decoder, Options, Source, SourceError

# Nothing stands between the two halves, so a pair is read by what Bitstamp quotes in.
_PAIR = re.compile(r"([a-z0-9]+?)(usdt|usdc|usd|eurc|eur|gbp|btc|eth)")


def pair_assets(pairs: Iterable[str]) -> tuple[NewAsset, ...]:
    return tuple(_pair(pair) for pair in dict.fromkeys(pairs))


def _pair(pair: str) -> NewAsset:
    """The quote is its currency. It is the asset that other exchanges price as `BASE-QUOTE`."""
    if not (found := _PAIR.fullmatch(pair)):
        raise SourceError(f"BITSTAMP_PAIRS: expected a pair such as btcusd, was {pair[:40]!r}")
    base, quote = found[1].upper(), found[2].upper()
    return NewAsset(pair, f"{base}-{quote}", f"{base} in {quote}", quote, "crypto")


def bitstamp(options: Options) -> Source:
    return Source(
        name="bitstamp",
        feed=BitstampFeed(settings.BITSTAMP_PAIRS, url=settings.BITSTAMP_WEBSOCKET_URL),
        assets=pair_assets(settings.BITSTAMP_PAIRS),
        quotes_are_trades=False,
    )


DECODERS = {"bitstamp": Decoder(BitstampFeed, pair_assets, quotes_are_trades=False)}
