"""Upstox as two sources: its market data, and what happens to the account."""

import logging
import re
from collections.abc import Iterable
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.conf import settings

from realtime.feeds.upstox import UpstoxFeed
from realtime.feeds.upstox_portfolio import UPDATES, UpstoxPortfolioFeed
from realtime.feeds.upstox_v2 import UpstoxV2Feed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.sources import Decoder, Options, Source, SourceError

log = logging.getLogger("personal_finance.realtime.feed")

# `SEGMENT|rest=SYMBOL`; the key of an index has spaces.
_ENTRY = re.compile(r"\s*([A-Z]+_[A-Z]+\|[^=,|]+)=([^\s,=]+)(?:[\s,]+|$)")
_CALENDARS = {"NSE_EQ": "XNSE", "NSE_FO": "XNSE", "NSE_INDEX": "XNSE"}
_CALENDARS |= {"BSE_EQ": "XBOM", "BSE_FO": "XBOM", "BSE_INDEX": "XBOM"}
_CALENDARS |= {"MCX_FO": "MCX", "MCX_INDEX": "MCX"}
_CLASSES = {"EQ": "equity", "INDEX": "index", "COM": "commodity"}


def upstox(options: Options) -> Source:
    token, assets = _token("upstox"), instruments(settings.UPSTOX_INSTRUMENTS)
    make = {"3": UpstoxFeed, "2": UpstoxV2Feed}.get(settings.UPSTOX_API_VERSION)
    if make is None:
        raise SourceError(f"UPSTOX_API_VERSION: expected 3 or 2, was {settings.UPSTOX_API_VERSION[:40]!r}")
    if make is UpstoxV2Feed:
        log.warning("upstox has discontinued version 2 of its market data; UPSTOX_API_VERSION=3 is served")
    feed = make(
        [asset.source_symbol for asset in assets],
        token=token,
        authorize_url=settings.UPSTOX_AUTHORIZE_URL,
        **({"url": settings.UPSTOX_WEBSOCKET_URL} if settings.UPSTOX_WEBSOCKET_URL else {}),
    )
    # What was traded last is told now and then, not each trade: its quantities do not add up to a volume.
    return Source(name="upstox", feed=feed, assets=assets, quotes_are_trades=False)


def upstox_portfolio(options: Options) -> Source:
    url = settings.UPSTOX_PORTFOLIO_WEBSOCKET_URL
    feed = UpstoxPortfolioFeed(
        url=_with_updates(url),
        token=_token("upstox_portfolio"),
        authorize_url=_with_updates(_authorize_url(url)) if settings.UPSTOX_AUTHORIZE_URL else "",
    )
    return Source(name="upstox_portfolio", feed=feed, only_symbols=frozenset())


def _token(source: str) -> str:
    token: str = settings.UPSTOX_ACCESS_TOKEN
    if not token:
        raise SourceError(f"{source}: expected UPSTOX_ACCESS_TOKEN")
    return token


def instruments(text: str) -> tuple[NewAsset, ...]:
    """Reads `NSE_EQ|INE002A01018=RELIANCE, NSE_INDEX|Nifty 50=NIFTY50`."""
    assets, at = [], 0
    while at < len(text.rstrip()):
        entry = _ENTRY.match(text, at)
        if entry is None:
            raise SourceError(
                f"UPSTOX_INSTRUMENTS: expected NSE_EQ|INE002A01018=RELIANCE or alike, was {text[at:].strip()[:40]!r}"
            )
        assets.append(_asset(*entry.groups()))
        at = entry.end()
    return tuple({asset.source_symbol: asset for asset in assets}.values())


def _asset(key: str, symbol: str) -> NewAsset:
    segment = key.partition("|")[0]
    return NewAsset(
        source_symbol=key,
        symbol=symbol.upper(),
        name="",
        currency="INR",
        asset_class=_CLASSES.get(segment.rpartition("_")[2], "other"),
        calendar=_CALENDARS.get(segment, "24/7"),
    )


def _authorize_url(url: str) -> str:
    """Upstox asks for each stream's one-time address below the stream's own."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, f"{parts.path}/authorize", parts.query, ""))


def _with_updates(url: str) -> str:
    if urlsplit(url).query:
        return url
    return f"{url}?{urlencode({'update_types': UPDATES})}"


def _recorded(keys: Iterable[str]) -> tuple[NewAsset, ...]:
    """A recording names instruments by their keys; ours are those of the settings, as far as it lists them."""
    listed = {asset.source_symbol: asset for asset in instruments(settings.UPSTOX_INSTRUMENTS)}
    return tuple(listed.get(key) or _asset(key, key.replace(" ", "_")) for key in keys)


DECODERS = {"upstox": Decoder(UpstoxFeed, _recorded, quotes_are_trades=False)}
