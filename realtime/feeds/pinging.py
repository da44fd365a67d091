"""A wire that asks now and then whether anybody is there, for a vendor with a ping of its own.

The pings of the WebSocket are `SocketWire`'s; this is for who wants another one, or says nothing else in a shut market.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from realtime.feeds.base import Connection, FeedError, Frame, Wire


class PingingWire:
    """Sends the same frame again and again while a connection is open.

    Args:
        wire: what everything comes over.
        frame: the vendor's ping.
        seconds: between two pings; the first one comes after as long.
    """

    def __init__(self, wire: Wire, frame: Frame, seconds: float) -> None:
        self.wire = wire
        self._frame = frame
        self._seconds = seconds

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connection]:
        async with self.wire.open() as connection:
            pings = asyncio.create_task(self._ping(connection))
            try:
                yield connection
            finally:
                pings.cancel()
                with suppress(asyncio.CancelledError):
                    await pings

    async def _ping(self, connection: Connection) -> None:
        with suppress(FeedError):  # who reads is told too
            while True:
                await asyncio.sleep(self._seconds)
                await connection.send(self._frame)
