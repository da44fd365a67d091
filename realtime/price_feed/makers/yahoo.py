"""Yahoo Finance as a source, asked or streamed. For personal use only, and never part of the demo."""

import re
from collections.abc import Iterable
from decimal import Decimal

from django.conf import settings

from assets.rates import HUNDREDTH, MINOR_UNITS
from realtime.feeds.yahoo import LIBRARY, YahooFeed, is_installed
from realtime.feeds.yahoo_stream import URL, YahooStreamFeed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.makers.extras import expect_library
from realtime.price_feed.sources import Decoder, Options, Source, SourceError

# Of what follows the point: the currency that (nearly) everything there trades in, and the calendar. In London some
# trade in pence and some in pounds or dollars.
_SUFFIXES = {
    "": ("USD", "XNYS"),
    "AS": ("EUR", "XAMS"),
    "AX": ("AUD", "XASX"),
    "BO": ("INR", "XBOM"),
    "BR": ("EUR", "XBRU"),
    "CO": ("DKK", "XCSE"),
    "DE": ("EUR", "XETR"),
    "F": ("EUR", "XFRA"),
    "HE": ("EUR", "XHEL"),
    "HK": ("HKD", "XHKG"),
    "L": ("", "XLON"),
    "LS": ("EUR", "XLIS"),
    "MC": ("EUR", "XMAD"),
    "MI": ("EUR", "XMIL"),
    "NS": ("INR", "XNSE"),
    "OL": ("NOK", "XOSL"),
    "PA": ("EUR", "XPAR"),
    "SI": ("SGD", "XSES"),
    "ST": ("SEK", "XSTO"),
    "SW": ("CHF", "XSWX"),
    "T": ("JPY", "XTKS"),
    "TO": ("CAD", "XTSE"),
    "VI": ("EUR", "XWBO"),
}
_INDICES = {
    "^GSPC": ("USD", "XNYS"),
    "^DJI": ("USD", "XNYS"),
    "^IXIC": ("USD", "XNYS"),
    "^RUT": ("USD", "XNYS"),
    "^VIX": ("USD", "XNYS"),
    "^NSEI": ("INR", "XNSE"),
    "^NSEBANK": ("INR", "XNSE"),
    "^BSESN": ("INR", "XBOM"),
    "^GDAXI": ("EUR", "XETR"),
    "^FCHI": ("EUR", "XPAR"),
    "^FTSE": ("GBP", "XLON"),
    "^N225": ("JPY", "XTKS"),
    "^HSI": ("HKD", "XHKG"),
}
_PAIR = re.compile(r"([A-Z]{3})?([A-Z]{3})=X")
_COIN = re.compile(r"([A-Z0-9]+)-([A-Z]{3,4})")


def yahoo(options: Options) -> Source:
    expect_library("yahoo", LIBRARY, is_installed=is_installed(), extra="yahoo")
    assets = symbol_assets(settings.YAHOO_SYMBOLS)
    feed = YahooFeed([asset.source_symbol for asset in assets], url=settings.YAHOO_URL)
    return Source(
        name="yahoo",
        feed=feed,
        assets=assets,
        quotes_are_trades=False,
        collect=feed.collect,
        history=feed.history,
        fills_history=True,
    )


def yahoo_stream(options: Options) -> Source:
    """Streams without the library; with it, the past is asked for as well."""
    assets = symbol_assets(settings.YAHOO_SYMBOLS)
    symbols = [asset.source_symbol for asset in assets]
    pages = YahooFeed(symbols, url=settings.YAHOO_URL) if is_installed() else None
    # A stand-in's prices have nothing to do with the real past.
    is_one_market = (settings.YAHOO_WEBSOCKET_URL == URL) == (not settings.YAHOO_URL)
    return Source(
        name="yahoo_stream",
        feed=YahooStreamFeed(symbols, url=settings.YAHOO_WEBSOCKET_URL),
        assets=assets,
        # A frame is the newest trade, not each of them: quantities do not add up to a volume.
        quotes_are_trades=False,
        collect=pages.collect if pages else None,
        history=pages.history if pages else None,
        fills_history=pages is not None and is_one_market,
    )


def symbol_assets(words: Iterable[str]) -> tuple[NewAsset, ...]:
    assets = [_asset(word) for word in words]
    return tuple({asset.source_symbol: asset for asset in assets}.values())


def _asset(word: str) -> NewAsset:
    """Reads `AAPL`, `BTC-USD`, `EURUSD=X`, `^NSEI`, or `VOD.L:GBp` with the currency of its price."""
    symbol, _, currency = word.partition(":")
    symbol = symbol.upper()
    if pair := _PAIR.fullmatch(symbol):
        base = pair[1] or "USD"
        return NewAsset(symbol, symbol, f"{base} in {pair[2]}", pair[2], "fx", base, "FX")
    if coin := _COIN.fullmatch(symbol):
        return NewAsset(symbol, symbol, f"{coin[1]} in {coin[2]}", coin[2], "crypto")
    is_index, is_future = symbol.startswith("^"), symbol.endswith("=F")
    known = _INDICES.get(symbol) if is_index else _SUFFIXES.get(symbol.partition(".")[2])
    known = ("", "us_futures") if is_future else known
    currency = currency or (known[0] if known else "")
    if not symbol or not currency.isalpha() or len(currency) != 3:
        raise SourceError(f"YAHOO_SYMBOLS: expected a currency, as in VOD.L:GBp, was {word[:40]!r}")
    major = MINOR_UNITS.get(currency)
    return NewAsset(
        source_symbol=symbol,
        symbol=symbol,
        name="",
        currency=major or currency.upper(),
        asset_class="index" if is_index else "other" if is_future else "equity",
        calendar=known[1] if known else "24/7",
        multiplier=HUNDREDTH if major else Decimal(1),
    )


DECODERS = {"yahoo_stream": Decoder(YahooStreamFeed, symbol_assets, quotes_are_trades=False)}
