"""A recording as a source, through the decoder of the vendor that it came from."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from realtime.feeds.base import FeedError
from realtime.feeds.replay import ReplayFeed, survey
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.sources import Decoder, Options, Source, SourceError, decoder_of, streamed


def replay(options: Options) -> Source:
    path = options.recording or settings.REPLAY_FILE
    if not path:
        raise SourceError("replay: expected --recording FILE or REPLAY_FILE")
    vendor = decoder_of(settings.REPLAY_VENDOR)
    if vendor is None:
        known = ", ".join(streamed())
        raise SourceError(f"REPLAY_VENDOR: expected one of {known}, was {settings.REPLAY_VENDOR[:40]!r}")
    try:
        found = survey(Path(path), vendor.feed())
    except FeedError as error:
        raise SourceError(f"replay: {error}") from error
    if not found.symbols:
        raise SourceError(f"replay: expected quotes, trades or books in {path}, was none")
    return Source(
        name="replay",
        feed=ReplayFeed(
            path,
            vendor.feed(),
            speed=settings.REPLAY_SPEED if options.speed is None else options.speed,
            loop=settings.REPLAY_LOOP if options.loop is None else options.loop,
        ),
        assets=_assets(vendor, found.symbols),
        only_symbols=frozenset(found.symbols),
        quotes_are_trades=vendor.quotes_are_trades,
        delayed_by=vendor.delayed_by,
        has_own_clock=True,
    )


def _assets(vendor: Decoder, symbols: Iterable[str]) -> tuple[NewAsset, ...]:
    """Returns those that a symbol alone tells all about; any other is followed where an asset lists it."""
    found: list[NewAsset] = []
    for symbol in symbols:
        with suppress(SourceError):
            found += vendor.assets([symbol])
    return tuple(found)
