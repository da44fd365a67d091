"""A recording as a source, through the decoder of the vendor that it came from."""

from pathlib import Path

from django.conf import settings

from realtime.feeds.base import FeedError
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.replay import ReplayFeed, survey
from realtime.price_feed.makers.coinbase import product_assets
from realtime.price_feed.sources import Options, Source, SourceError


def replay(options: Options) -> Source:
    path = options.recording or settings.REPLAY_FILE
    if not path:
        raise SourceError("replay: expected --recording FILE or REPLAY_FILE")
    if settings.REPLAY_VENDOR != "coinbase":
        raise SourceError(f"REPLAY_VENDOR: expected coinbase, was {settings.REPLAY_VENDOR[:40]!r}")
    try:
        found = survey(Path(path), CoinbaseFeed())
    except FeedError as error:
        raise SourceError(f"replay: {error}") from error
    if not found.symbols:
        raise SourceError(f"replay: expected quotes, trades or books in {path}, was none")
    return Source(
        name="replay",
        feed=ReplayFeed(
            path,
            CoinbaseFeed(),
            speed=settings.REPLAY_SPEED if options.speed is None else options.speed,
            loop=settings.REPLAY_LOOP if options.loop is None else options.loop,
        ),
        assets=product_assets(found.symbols),
        only_symbols=frozenset(found.symbols),
        quotes_are_trades=False,
        has_own_clock=True,
    )
