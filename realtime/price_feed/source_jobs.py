"""What a source's leader does when it is asked for symbols: a polled source is asked afresh, a stream repeats itself.

Owns what becomes of each symbol and why; taking the request from Redis, sending the records and handing back the
answer are its lead's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from realtime.feeds.base import Event, FeedError, PolledFeed
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.sources import Source

POLL_TIMEOUT = 30.0


class Answer(NamedTuple):
    """The symbols that are sent again, and why the others are not."""

    updated: list[str]
    failed: dict[str, str]


class SourceJobs:
    """The requests to one source for as long as it is led.

    Args:
        refused: the source's symbols that the vendor refuses, with its reasons.
        take: takes freshly polled events, as those of the runner.
    """

    def __init__(
        self,
        source: Source,
        batcher: Batcher,
        refused: Mapping[str, str],
        take: Callable[[list[Event]], None],
    ) -> None:
        self._source = source
        self._batcher = batcher
        self._refused = refused
        self._take = take

    async def answer(self, symbols: Sequence[str]) -> Answer:
        """Marks what is asked for as changed, so that the next flush sends it."""
        failed: dict[str, str] = {}
        if isinstance(self._source.feed, PolledFeed):
            failed = await self._poll(self._source.feed, symbols)
        touched = self._batcher.touch(symbol for symbol in symbols if symbol not in failed)
        for symbol in symbols:
            if symbol not in touched and symbol not in failed:
                failed[symbol] = self._why_not(symbol)
        return Answer(touched, failed)

    def _why_not(self, symbol: str) -> str:
        name, line = self._source.name, self._batcher.lines.get(symbol)
        if line is None:
            return f"{name} does not follow this symbol"
        if reason := self._refused.get(line.listing.source_symbol):
            return f"{name} refused this symbol: {reason}"
        return "no price yet" if line.price is None else "another source publishes this symbol"

    async def _poll(self, feed: PolledFeed, symbols: Sequence[str]) -> dict[str, str]:
        lines = [self._batcher.lines[symbol] for symbol in symbols if symbol in self._batcher.lines]
        try:
            async with asyncio.timeout(POLL_TIMEOUT):
                events = await feed.poll([line.listing.source_symbol for line in lines])
        except (FeedError, TimeoutError) as error:
            return dict.fromkeys(symbols, str(error) or "the vendor did not answer in time")
        self._take(events)
        return {}
