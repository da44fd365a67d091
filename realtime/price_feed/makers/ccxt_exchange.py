"""An exchange that ccxt speaks to as a source."""

from django.conf import settings

from realtime.feeds.ccxt_exchange import LIBRARY, CcxtFeed, is_installed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.makers.extras import expect_library
from realtime.price_feed.sources import Options, Source, SourceError


def ccxt(options: Options) -> Source:
    expect_library("ccxt", LIBRARY, is_installed=is_installed(), extra="ccxt")
    exchange = settings.CCXT_EXCHANGE
    if not exchange:
        raise SourceError("ccxt: expected CCXT_EXCHANGE, such as kraken")
    assets = tuple(_asset(symbol.upper(), exchange) for symbol in dict.fromkeys(settings.CCXT_SYMBOLS))
    feed = CcxtFeed(exchange, [asset.source_symbol for asset in assets], url=settings.CCXT_URL)
    return Source(
        name="ccxt",
        feed=feed,
        assets=assets,
        quotes_are_trades=False,
        collect=feed.poll,
        history=feed.history,
        fills_history=True,
    )


def _asset(symbol: str, exchange: str) -> NewAsset:
    """Reads `BTC/USDT`, or `BTC/USDT:USDT` of a derivative that is settled in USDT."""
    base, _, rest = symbol.partition("/")
    quote = rest.partition(":")[0]
    if not base or not quote.isalnum():
        raise SourceError(f"CCXT_SYMBOLS: expected a market such as BTC/USDT, was {symbol[:40]!r}")
    return NewAsset(symbol, symbol, f"{base} in {quote} on {exchange}", quote, "crypto")
