"""Order books that this process has not heard of or has missed, read from Redis until it answers.

The feed keeps the last book of every wanted symbol there. What is read is news only where it is newer than what came
meanwhile; a book from before its source's epoch is no book any more.
"""

import asyncio
import logging
from typing import Any

import redis.exceptions

from realtime.bus import BOOKS_KEY, UNREACHABLE, WebBus
from realtime.feed_watch import FeedWatch
from realtime.streams import BookState
from realtime.topics import Topics

log = logging.getLogger("personal_finance.realtime.hub")

RETRY_SECONDS = 0.4


class StoredBooks:
    """Fills books from what is stored."""

    def __init__(self, bus: WebBus, topics: Topics, feeds: FeedWatch) -> None:
        self._bus = bus
        self._topics = topics
        self._feeds = feeds

    async def fetch(self, symbols: set[str]) -> None:
        """Reads books and sends those that are news to whoever wants them."""
        while symbols := symbols & self._topics.booked():
            try:
                texts: Any = await self._bus.redis.hmget(BOOKS_KEY, list(symbols))
            except UNREACHABLE:
                await asyncio.sleep(RETRY_SECONDS)
            except redis.exceptions.RedisError as error:
                # The next change brings a whole book, so that nobody is left with an old one for long.
                log.error("books not read", extra={"error": repr(error)})
                return
            else:
                books = [BookState(text.decode()) for text in texts if text is not None]
                self._topics.take_books(filter(self._is_current, books))
                return

    def _is_current(self, book: BookState) -> bool:
        view = self._feeds.views.get(book.source)
        return view is not None and view.epoch == book.epoch
