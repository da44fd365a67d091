"""Text frames as they go over the wire, ready to be written by any server that takes bytes.

A server's frames carry no mask (RFC 6455, section 5.1), so frames of one content are the same bytes for everyone:
they are made once, and a run of them is written at once. Compression is off, which this relies on.
"""

from collections.abc import Iterator

from realtime.protocol import envelope

TEXT = 0x81  # FIN and the opcode of a text frame


def frame(text: str) -> bytes:
    """Returns the unmasked text frame of a message (RFC 6455, section 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (TEXT, size, payload)
    if size < 65536:
        return b"%c\x7e%b%b" % (TEXT, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (TEXT, size.to_bytes(8, "big"), payload)


def texts(run: bytes) -> Iterator[str]:
    """Returns the messages in a run of frames made here, for a server that frames them itself."""
    at = 0
    while at < len(run):
        size, at = run[at + 1], at + 2
        if size >= 126:
            extended = 2 if size == 126 else 8
            size, at = int.from_bytes(run[at : at + extended], "big"), at + extended
        yield run[at : at + size].decode()
        at += size


class Payload:
    """One value as it is sent: its JSON, and the frame that carries it alone, made at most once for everybody."""

    __slots__ = ("_alone", "_type", "json")

    def __init__(self, type: str, json: str) -> None:
        self.json = json
        self._type = type
        self._alone: bytes | None = None

    def alone(self) -> bytes:
        if self._alone is None:
            self._alone = frame(envelope(self._type, self.json))
        return self._alone

    def numbered(self, number: int) -> bytes:
        """Returns the frame for one connection that counts its frames."""
        return frame(envelope(self._type, self.json, frame=number))
