"""Orders, fills and balances of the account behind a source's key, on their way to its owner, in their order."""

import logging
from collections import deque

from assets.market import AccountEvent
from realtime.bus import FeedBus
from realtime.price_feed.batcher import Batcher
from realtime.protocol import wire_time

log = logging.getLogger("personal_finance.realtime.feed")

# That wait for Redis; of more the oldest are given up, with a log line.
MOST_WAITING = 10_000


class AccountEvents:
    """What one source has told of its account and Redis has not taken yet."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._waiting: deque[AccountEvent] = deque()

    def put(self, event: AccountEvent) -> None:
        self._waiting.append(event)
        if len(self._waiting) > MOST_WAITING:
            lost = self._waiting.popleft()
            log.error(
                "account event lost", extra={"source": self._source, "kind": lost.kind, "key": lost.key}
            )

    async def publish(self, bus: FeedBus, batcher: Batcher) -> None:
        """Sends them under our own symbols; one that could not be sent waits, and may have been sent all the same."""
        while self._waiting:
            event = self._waiting[0]
            line = batcher.line_of(event.symbol)
            await bus.publish_account(
                {
                    "kind": event.kind,
                    "key": event.key,
                    "as_of": wire_time(event.as_of),
                    "symbol": event.symbol if line is None else line.listing.symbol,
                    "details": event.details,
                }
            )
            if self._waiting and self._waiting[0] is event:
                self._waiting.popleft()
