"""Coinbase Exchange as a source, streamed or asked."""

from collections.abc import Iterable

from django.conf import settings

from realtime.feeds.coinbase import URL, CoinbaseFeed
from realtime.feeds.coinbase_channels import SIGNED_CHANNELS
from realtime.feeds.coinbase_rest import URL as REST_URL
from realtime.feeds.coinbase_rest import CoinbaseRestFeed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.sources import Decoder, Options, Source, SourceError


def product_assets(products: Iterable[str]) -> tuple[NewAsset, ...]:
    return tuple(_product(product) for product in dict.fromkeys(products))


def _product(product: str) -> NewAsset:
    """A Coinbase product is `base-quote`; the quote is its currency."""
    base, _, quote = product.partition("-")
    if not base or not quote or not quote.isalnum():
        raise SourceError(f"expected a product such as BTC-USD, was {product[:40]!r}")
    return NewAsset(product, product.upper(), f"{base} in {quote}", quote.upper(), "crypto")


def _coinbase_feed(products: Iterable[str]) -> CoinbaseFeed:
    _check_credentials()
    return CoinbaseFeed(
        products,
        url=settings.COINBASE_WEBSOCKET_URL,
        rest_url=settings.COINBASE_REST_URL,
        key=settings.COINBASE_API_KEY,
        secret=settings.COINBASE_API_SECRET,
        passphrase=settings.COINBASE_API_PASSPHRASE,
        channels=settings.COINBASE_CHANNELS,
    )


def _check_credentials() -> None:
    """The vendor would refuse a channel that needs a key, and us with it."""
    names = ("COINBASE_API_KEY", "COINBASE_API_SECRET", "COINBASE_API_PASSPHRASE")
    missing = [name for name in names if not getattr(settings, name)]
    signed = [channel for channel in settings.COINBASE_CHANNELS if channel in SIGNED_CHANNELS]
    if missing and signed:
        raise SourceError(f"coinbase: expected {', '.join(missing)} for the channel {signed[0]}")
    if 0 < len(missing) < len(names):
        raise SourceError(f"coinbase: expected {', '.join(missing)} beside the others of its key")


def _has_its_own_past() -> bool:
    """Whether socket and REST speak of the same market; a stand-in's prices have nothing to do with the real past."""
    return settings.COINBASE_WEBSOCKET_URL == URL or settings.COINBASE_REST_URL != REST_URL


def coinbase(options: Options) -> Source:
    products = [product.upper() for product in settings.COINBASE_PRODUCTS]
    rest = CoinbaseRestFeed(products, url=settings.COINBASE_REST_URL)
    return Source(
        name="coinbase",
        feed=_coinbase_feed(products),
        assets=product_assets(products),
        quotes_are_trades=False,
        collect=rest.collect,
        history=rest.history,
        fills_history=_has_its_own_past(),
    )


def coinbase_rest(options: Options) -> Source:
    products = [product.upper() for product in settings.COINBASE_PRODUCTS]
    rest = CoinbaseRestFeed(products, url=settings.COINBASE_REST_URL)
    return Source(
        name="coinbase_rest",
        feed=rest,
        assets=product_assets(products),
        quotes_are_trades=False,
        collect=rest.collect,
        history=rest.history,
        fills_history=True,
    )


DECODERS = {"coinbase": Decoder(CoinbaseFeed, product_assets, quotes_are_trades=False)}
