"""A source that cannot be had, so that it is seen to have failed and why, while the others go on."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from realtime.feeds.base import Channel, Connection, Event, Feed, FeedError, Mode, Wire


class UnavailableFeed(Feed):
    """Fails for good as soon as it is opened.

    Args:
        source: the name of what cannot be had.
        reason: what is missing, without any secret.
    """

    modes: frozenset[Mode] = frozenset()
    channels: frozenset[Channel] = frozenset()
    needs_symbols = False

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self._reason = reason

    def wire(self) -> Wire:
        return self

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connection]:
        raise FeedError(self._reason, permanent=True)
        yield

    def opened(self, wants: Mapping[str, Mode]) -> list[str]:
        return []

    def subscribe(self, wants: Mapping[str, Mode]) -> list[str]:
        return []

    def unsubscribe(self, symbols: Iterable[str]) -> list[str]:
        return []

    def decode(self, frame: bytes) -> list[Event]:
        return []
