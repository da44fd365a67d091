"""Kraken as a source."""

from collections.abc import Iterable

from django.conf import settings

from realtime.feeds.kraken import KrakenFeed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.sources import Decoder, Options, Source, SourceError


def pair_assets(pairs: Iterable[str]) -> tuple[NewAsset, ...]:
    return tuple(_pair(pair) for pair in dict.fromkeys(pairs))


def _pair(pair: str) -> NewAsset:
    """A pair is `base/quote`; the quote is its currency. It is the asset that other exchanges price as `base-quote`."""
    base, _, quote = pair.partition("/")
    if not base or not quote.isalnum():
        raise SourceError(f"KRAKEN_PAIRS: expected a pair such as BTC/USD, was {pair[:40]!r}")
    return NewAsset(pair, f"{base}-{quote}".upper(), f"{base} in {quote}", quote.upper(), "crypto")


def kraken(options: Options) -> Source:
    return Source(
        name="kraken",
        feed=KrakenFeed(settings.KRAKEN_PAIRS, url=settings.KRAKEN_WEBSOCKET_URL),
        assets=pair_assets(settings.KRAKEN_PAIRS),
        quotes_are_trades=False,
    )


DECODERS = {"kraken": Decoder(KrakenFeed, pair_assets, quotes_are_trades=False)}
