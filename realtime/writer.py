"""The one writer of a connection: takes a run of frames out of its outbox whenever the socket takes more.

Where the server lends us its socket (`config.websocket`), a run is written by a plain call: no task wakes up and
nothing is awaited, which would cost as much as the writing. Any other ASGI server is sent message by message.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from realtime.connections import Connection
from realtime.frames import texts

EXTENSION = "livefolio.frames"  # of the scope: the server's socket, if it takes ready frames
CLOSE_SECONDS = 5.0  # how long a socket that takes nothing may need to accept its close frame

Send = Callable[[Any], Awaitable[None]]


class Socket(Protocol):
    """An open WebSocket that takes ready frames.

    Attributes:
        on_writable: called when it takes frames again, after `write` said that it does not.
    """

    on_writable: Callable[[], None]

    def write(self, run: bytes) -> bool:
        """Takes whole frames, always; False when it must be left alone until `on_writable`."""
        ...

    def abort(self) -> None:
        """Ends the connection without waiting for what is unsent."""
        ...


class MessageSocket:
    """A Socket over ASGI's `send`, for servers that frame messages themselves."""

    def __init__(self, send: Send) -> None:
        self.on_writable: Callable[[], None] = nothing
        self._send = send
        self._task: asyncio.Task[None] | None = None

    def write(self, run: bytes) -> bool:
        self._task = asyncio.create_task(self._send_all(run), name="writer")
        return False

    def abort(self) -> None:
        """Stops sending; the server ends the connection when the application has returned."""
        if self._task is not None:
            self._task.cancel()

    async def _send_all(self, run: bytes) -> None:
        with contextlib.suppress(OSError):  # the client is gone, which the reader sees as well
            for text in texts(run):
                await self._send({"type": "websocket.send", "text": text})
            self.on_writable()


class Writer:
    """Writes one connection's frames.

    Args:
        connection: whose outbox is emptied.
        socket: where frames go.
        clock: monotonic seconds.
        stop_reading: called when the connection is to be closed, which `end` then does.
    """

    __slots__ = (
        "_clock", "_connection", "_is_blocked", "_is_due", "_is_over", "_loop", "_socket", "_stop_reading", "_timer",
        "_writable",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        socket: Socket,
        clock: Callable[[], float],
        stop_reading: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._socket = socket
        self._clock = clock
        self._stop_reading = stop_reading
        self._loop = asyncio.get_running_loop()
        self._is_due = False
        self._is_blocked = False
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Event | None = None  # for the end alone
        socket.on_writable = self._unblock
        connection.outbox.wake = self.wake
        self.wake()

    def wake(self) -> None:
        """Writes what waits once the caller is done, so that an answer and its snapshots go out together."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._run)

    def _unblock(self) -> None:
        self._is_blocked = False
        self._connection.sending_since = None
        if self._writable is not None:
            self._writable.set()
        else:
            self.wake()

    def _run(self) -> None:
        self._is_due = False
        if self._is_over:
            return
        if self._connection.closing is not None:
            self._stop_reading()
        elif not self._is_blocked:
            self._write()

    def _write(self) -> None:
        outbox = self._connection.outbox
        while (delay := outbox.delay()) == 0:
            if not self._socket.write(outbox.take()):
                self._is_blocked = True
                self._connection.sending_since = self._clock()
                return
        if delay is not None and self._timer is None:
            self._timer = self._loop.call_later(delay, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.wake()

    def stop(self) -> None:
        """Writes no more states; what is still owed to the client is `end`'s."""
        self._is_over = True
        self._connection.outbox.wake = nothing
        if self._timer is not None:
            self._timer.cancel()

    async def end(self, send: Send, code: int, reason: str) -> None:
        """Closes as soon as the socket takes the close frame, and gives up on one that does not."""
        self._writable = asyncio.Event()
        if not self._is_blocked:
            self._writable.set()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writable.wait()
                for text in self._connection.outbox.events:  # what led to this may stand in them
                    await send({"type": "websocket.send", "text": text})
                await send({"type": "websocket.close", "code": code, "reason": reason})
        except TimeoutError:
            self._socket.abort()
        except OSError:
            pass  # the client is gone


def nothing() -> None:
    """What is called where nobody waits."""
