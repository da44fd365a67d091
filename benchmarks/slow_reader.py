"""A client that takes data frames one by one, whenever it likes: a phone on a train.

What it does not take stays in TCP. Libraries read ahead into buffers of their own, so this one is a bare socket.
"""

import json
import socket
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

TIMEOUT = 10.0
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class SlowReaderError(Exception):
    """The server refused or closed the connection."""


@dataclass
class SlowReader:
    """One open connection.

    Args:
        receive_buffer: bytes asked for with SO_RCVBUF.
        acks: confirm each data frame as it is taken.
    """

    port: int
    path: str
    header: str
    receive_buffer: int
    acks: bool
    _socket: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))

    def __enter__(self) -> "SlowReader":
        self._socket.settimeout(TIMEOUT)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self._socket.connect(("127.0.0.1", self.port))
        host = f"127.0.0.1:{self.port}"
        lines = (
            f"GET {self.path} HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: c2xvdyByZWFkZXIgaGVyZQ==",
            self.header, "", "",
        )  # fmt: skip
        self._socket.sendall("\r\n".join(lines).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):  # byte by byte: the first frame may follow at once
            answer += self._exactly(1)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise SlowReaderError(f"expected an upgrade, was {answer[:60]!r}")
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, text: str) -> None:
        self._send(TEXT, text.encode())

    def take(self) -> float:
        """Takes the next data frame, confirms it, and returns the age of its newest value in seconds."""
        while True:
            message = self._next_text()
            if message["type"] == "error":
                raise SlowReaderError(f"refused: {message['data']}")
            if message["type"] == "asset_updates":
                break
        newest = max(datetime.fromisoformat(quote["as_of"]) for quote in message["data"])
        age = (datetime.now(UTC) - newest).total_seconds()
        if self.acks:
            self.send(json.dumps({"type": "ack", "data": {"frame": message["frame"]}}))
        return age

    def _next_text(self) -> dict[str, Any]:
        while True:
            opcode, payload = self._next_frame()
            if opcode == TEXT:
                message: dict[str, Any] = json.loads(payload)
                return message
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE:
                raise SlowReaderError(f"closed with {int.from_bytes(payload[:2])}")

    def _next_frame(self) -> tuple[int, bytes]:
        first, length = self._exactly(2)
        if length == 126:
            length = int.from_bytes(self._exactly(2))
        elif length == 127:
            length = int.from_bytes(self._exactly(8))
        return first & 15, self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise SlowReaderError("the server ended the connection")
            data += part
        return bytes(data)

    def _send(self, opcode: int, payload: bytes) -> None:
        if len(payload) < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload))
        else:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload))
        self._socket.sendall(head + bytes(4) + payload)  # a mask of zeros leaves the payload as it is
