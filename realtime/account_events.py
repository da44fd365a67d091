"""What happens in the account behind a source's key, sent to the connections of its owner and to nobody else.

Events keep their order while the database is asked who that is. The answer is remembered for half a minute. Numbers in
them are text, since the layer knows no decimals.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from assets.redistribution import owner_id
from realtime.connections import Connection
from realtime.database import UNAVAILABLE, in_database
from realtime.protocol import encode, envelope

log = logging.getLogger("personal_finance.realtime.hub")

KEEP_SECONDS = 30.0
MAX_WAITING = 1000  # of one source, while the database is asked


class Owner(NamedTuple):
    user_id: int | None
    found_at: float


class AccountEvents:
    """Sends account events.

    Args:
        clock: monotonic seconds.
        connections_of: a user's connections at this process.
        spawn: runs work that outlives its caller.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        connections_of: Callable[[int], set[Connection]],
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        self._clock = clock
        self._connections_of = connections_of
        self._spawn = spawn
        self._owners: dict[str, Owner] = {}
        self._waiting: dict[str, deque[str]] = {}

    def on_message(self, message: Mapping[str, Any]) -> None:
        source = message["source"]
        text = encode({"source": source, **message["event"]})
        waiting, owner = self._waiting.get(source), self._owners.get(source)
        if waiting is not None:
            waiting.append(text)
        elif owner is not None and self._clock() - owner.found_at < KEEP_SECONDS:
            self._send(owner, text)
        else:
            self._waiting[source] = deque([text], maxlen=MAX_WAITING)
            self._spawn(self._find_owner(source))

    async def _find_owner(self, source: str) -> None:
        owner = Owner(None, self._clock())
        try:
            owner = self._owners[source] = Owner(await in_database(owner_id), self._clock())
        except UNAVAILABLE as error:
            # Never to whom it belonged before; the list over REST still has them.
            log.error("account events not sent", extra={"source": source, "error": repr(error)})
        finally:
            for text in self._waiting.pop(source):
                self._send(owner, text)

    def _send(self, owner: Owner, text: str) -> None:
        for connection in self._connections_of(owner.user_id) if owner.user_id is not None else ():
            connection.put_event(envelope("account_event", text))
