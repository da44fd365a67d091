"""Looking again whether connections are still welcome: after an announcement, and each minute in case it was lost."""

import contextlib
from collections.abc import Awaitable, Callable, Iterable

from realtime.connections import RECHECK_SECONDS, Connection
from realtime.database import UNAVAILABLE, in_database
from realtime.handshake import verdicts

RECHECKED_TOGETHER = 50  # some 20 ms of a database thread; thousands at once would meet its time-out


class Welcome:
    """Closes connections whose session, token or account has ended.

    Args:
        clock: monotonic seconds.
        spawn: runs work that outlives its caller.
    """

    def __init__(self, clock: Callable[[], float], spawn: Callable[[Awaitable[None]], None]) -> None:
        self._clock = clock
        self._spawn = spawn

    def recheck(self, connections: Iterable[Connection]) -> None:
        checked = list(connections)
        for connection in checked:
            connection.recheck_at = self._clock() + RECHECK_SECONDS
        if checked:
            self._spawn(self._close_unwelcome(checked))

    async def _close_unwelcome(self, connections: list[Connection]) -> None:
        for start in range(0, len(connections), RECHECKED_TOGETHER):
            some = connections[start : start + RECHECKED_TOGETHER]
            with contextlib.suppress(*UNAVAILABLE):
                found = await in_database(verdicts, [connection.identity for connection in some])
                for connection in some:
                    if (code := found.get(connection.identity)) is not None:
                        connection.close(code)
