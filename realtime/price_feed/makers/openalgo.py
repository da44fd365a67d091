"""OpenAlgo as a source: the exchanges of India behind one key."""

from collections.abc import Iterable

from django.conf import settings

from assets.models import normal_symbol
from realtime.feeds.openalgo import OpenAlgoFeed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.sources import Decoder, Options, Source, SourceError

# An exchange → the calendar and the class of what trades there. All are in rupees; of what trades elsewhere (crypto,
# indices of the world) only the one who lists it knows the currency.
EXCHANGES = {
    "NSE": ("XNSE", "equity"),
    "BSE": ("XBOM", "equity"),
    "NSE_INDEX": ("XNSE", "index"),
    "BSE_INDEX": ("XBOM", "index"),
    "NFO": ("XNSE", "other"),
    "BFO": ("XBOM", "other"),
    "CDS": ("24/7", "other"),
    "BCD": ("24/7", "other"),
    "MCX": ("MCX", "commodity"),
    "MCX_INDEX": ("MCX", "index"),
}


def openalgo(options: Options) -> Source:
    if not settings.OPENALGO_API_KEY:
        raise SourceError("openalgo: expected OPENALGO_API_KEY")
    assets = instruments(settings.OPENALGO_SYMBOLS)
    feed = OpenAlgoFeed(
        [asset.source_symbol for asset in assets],
        url=settings.OPENALGO_WEBSOCKET_URL,
        key=settings.OPENALGO_API_KEY,
    )
    # A quote repeats what was traded last, so that its quantities do not add up to a volume.
    return Source(name="openalgo", feed=feed, assets=assets, quotes_are_trades=False)


def instruments(words: Iterable[str]) -> tuple[NewAsset, ...]:
    """Reads `NSE:RELIANCE` and, where the asset is called something else, `NSE:M&M=MAHINDRA`."""
    return tuple({asset.source_symbol: asset for asset in map(_instrument, words)}.values())


def _instrument(word: str) -> NewAsset:
    source_symbol, _, wanted = word.partition("=")
    exchange, _, name = source_symbol.partition(":")
    if exchange not in EXCHANGES or not name:
        known = ", ".join(EXCHANGES)
        raise SourceError(f"OPENALGO_SYMBOLS: expected NSE:RELIANCE or alike ({known}), was {word[:40]!r}")
    try:
        symbol = normal_symbol(wanted or name)
    except ValueError as error:
        raise SourceError(
            f"OPENALGO_SYMBOLS: {word[:40]!r}: {error}; {source_symbol}=NAME gives one"
        ) from error
    calendar, asset_class = EXCHANGES[exchange]
    return NewAsset(source_symbol, symbol, "", "INR", asset_class, calendar=calendar)


DECODERS = {"openalgo": Decoder(lambda: OpenAlgoFeed(key=""), instruments, quotes_are_trades=False)}
