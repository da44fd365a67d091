"""The server's end of a WebSocket: uvicorn's, which also takes ready frames and bounds what a client leaves unread.

uvicorn frames each message anew and buffers 64 KB a connection before it pushes back. Here a run of frames that the
application made once is handed to the kernel in one call, and whatever the kernel does not take at once makes the
socket unwritable, so that values wait in the outbox, where newer ones replace them, and not in a buffer.
"""

from asyncio import BaseTransport
from collections.abc import Callable
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from realtime.writer import EXTENSION, nothing

# For so long a client that broke the protocol may go on sending what nobody reads any more.
LINGER_SECONDS = 1.0


class FramesProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol as a `realtime.writer.Socket`; the scope's extensions name it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_writable: Callable[[], None] = nothing
        self._pong = b""  # owed to a client that does not read
        self._lingers = False

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

    # --- what the application calls ----------------------------------------------------------------------------------

    def write(self, run: bytes) -> bool:
        """Writes whole frames; False when nothing more should be written before `on_writable` is called."""
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(run)
        return self.writable.is_set()

    def abort(self) -> None:
        self.transport.abort()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            # By a refusal, which uvicorn would log as an error of the application.
            self.handshake_complete = True
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(self.close_timeout, self._give_up)

    def _give_up(self) -> None:
        """Ends a connection whose client answered no close frame; closing alone would wait for the unsent for ever."""
        if self.transport.get_write_buffer_size():
            self.abort()
        else:
            self.transport.close()

    # --- what the transport calls ------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if not self._lingers:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """Closes so that the reason arrives: a socket that is closed with unread data is reset, and the reason lost."""
        sent = self.conn.close_sent
        assert sent is not None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": sent.code, "reason": sent.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._lingers = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pong:
            pong, self._pong = self._pong, b""
            self.transport.write(pong)
        if self.writable.is_set():
            self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._pong = b""

    def handle_ping(self) -> None:
        """Answers at once, or owes the newest pong alone: a client that sends pings and reads nothing costs one."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            # Of all pings that came together, each whole; RFC 6455, section 5.5.3, allows to skip all but the last.
            if pongs := [*filter(None, self.conn.data_to_send())]:
                self._pong = pongs[-1]
