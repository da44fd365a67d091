"""Coinbase Exchange's channels: which go together, what they fill of ours, and how a subscribe is signed."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from realtime.feeds.base import Channel

# Who has a key gets the book unbatched.
CHANNELS = ("ticker", "matches", "level2_batch", "heartbeat")
BOOK_CHANNELS = frozenset({"level2", "level2_batch", "full"})
SIGNED_CHANNELS = frozenset({"level2", "full", "user"})
KNOWN_CHANNELS = frozenset({"ticker_batch", *CHANNELS, *SIGNED_CHANNELS})


def vendor_channels(wanted: Iterable[str] | None, *, is_signed: bool) -> tuple[str, ...]:
    if not wanted:
        return ("ticker", "matches", "level2", "heartbeat") if is_signed else CHANNELS
    channels = dict.fromkeys(wanted)
    for channel in channels:
        if channel not in KNOWN_CHANNELS:
            raise ValueError(
                f"expected channels of {', '.join(sorted(KNOWN_CHANNELS))}, was {channel[:40]!r}"
            )
    books = channels.keys() & BOOK_CHANNELS
    if len(books) > 1 or channels.keys() >= {"full", "matches"}:
        raise ValueError("expected one channel of the book, and `full` without matches, which it holds")
    if not is_signed and (signed := SIGNED_CHANNELS & channels.keys()):
        raise ValueError(f"expected a key, its secret and its passphrase for {', '.join(sorted(signed))}")
    if "full" in channels:  # its heartbeats tell when to ask for orders again
        channels["heartbeat"] = None
    return tuple(channels)


def filled_by(channels: Iterable[str]) -> frozenset[Channel]:
    """Returns which of our channels the vendor's fill."""
    filled: set[Channel] = {"bars"}
    if not {"matches", "full"}.isdisjoint(channels):
        filled.add("trades")
    if not BOOK_CHANNELS.isdisjoint(channels):
        filled.add("book")
    return frozenset(filled)


def signed(key: str, secret: bytes, passphrase: str, timestamp: str) -> dict[str, str]:
    """Returns the fields that sign a subscribe frame.

    Args:
        secret: the API secret, decoded from base64.
        timestamp: seconds since the epoch, as text.
    """
    message = f"{timestamp}GET/users/self/verify".encode()
    signature = base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode()
    return {"key": key, "passphrase": passphrase, "timestamp": timestamp, "signature": signature}


def secret_key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret, validate=True)
    except binascii.Error as error:
        raise ValueError("expected an API secret in base64") from error
