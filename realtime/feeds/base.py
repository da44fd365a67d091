"""What a feed is: one vendor's stream as frames in and values out, the wire it comes over, and its errors.

A `Feed` is sans-I/O and its only vocabulary is here: a vendor's file imports this and `assets.market`,
nothing else. What keeps a feed alive is `realtime.feeds.runner`. Symbols here are the vendor's own.
"""

import asyncio
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)
from websockets.uri import parse_uri

from assets.market import (
    AccountEvent,
    Bar,
    BidAsk,
    Book,
    Depth,
    MarketNotice,
    MarketStatus,
    Quote,
    Trade,
)

# A whole Coinbase book is 0.5 to 1 MB of JSON, a busy one 2 MB; beyond this a frame is an attack.
MAX_FRAME_BYTES = 32 * 1024 * 1024
# A vendor that says "not before an hour" has a point, but one that says "a year" must not stop us for good.
RETRY_AFTER_LIMIT_SECONDS = 3600.0

# This close code says that we broke a rule, such as one connection too many; who returns at once breaks it again.
POLICY_VIOLATION, POLICY_PAUSE_SECONDS = 1008, 30.0
# A vendor that is too busy for one request may send data for others, and data begins the back-off anew.
BUSY_PAUSE_SECONDS = 5.0
# Handshakes that are answered so need a person: no key, or not the right one.
REFUSALS = frozenset({401, 403})

Mode = Literal["ltpc", "quote", "full", "full_d30", "option_greeks"]
# What a source can fill beside quotes; bars are built of whatever it gives.
Channel = Literal["trades", "book", "bars", "notices"]
# A text frame, or a binary one.
Frame = str | bytes
FeedState = Literal["connecting", "live", "recovering", "silent", "failed", "ended"]


# -- errors ------------------------------------------------------------------------------------------------


class FeedError(Exception):
    """Something upstream went wrong.

    FeedError            the connection is lost or useless; `permanent` says whether trying again makes sense
    ├── FrameError       one bad frame: counted, logged once per kind, skipped
    └── RecordingEnded   a recording has been played to its end

    Args:
        permanent: True when only a person can help (wrong key, wrong address, no such file).
        retry_after: seconds that the vendor asked us to wait.
    """

    def __init__(self, message: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after


class FrameError(FeedError):
    """One frame that cannot be used. `kind` is a short constant: it names a counter and a log line."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


# What reading a frame raises that is not as it should be. Of the first, a `msgspec.ValidationError` is good JSON.
UNREADABLE = (msgspec.DecodeError, RecursionError, ValueError, ArithmeticError)


def frame_error(error: Exception) -> FrameError:
    """Returns what is wrong with a frame, of which reading it raised one of UNREADABLE."""
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        return FrameError("not_json", f"expected JSON: {error}")
    if isinstance(error, RecursionError):
        return FrameError("too_deep", "expected less nested JSON")
    # The text of an ArithmeticError is the name of its class.
    return FrameError("bad_number", str(error) if isinstance(error, ValueError) else "expected a decimal")


class RecordingEnded(FeedError):
    """A recording was played to its end; `again` says that it is to be played once more, as a new epoch."""

    def __init__(self, *, again: bool) -> None:
        super().__init__("the recording begins again" if again else "the recording has ended")
        self.again = again


# -- what a feed says --------------------------------------------------------------------------------------


class Confirmed(msgspec.Struct, frozen=True):
    """The source says that its last prices still hold; None stands for all of its symbols."""

    symbols: tuple[str, ...] | None


class Gap(msgspec.Struct, frozen=True):
    """A hole that we know of: something of `symbol` (None: of anything) was missed."""

    symbol: str | None
    reason: str


class Refused(msgspec.Struct, frozen=True):
    """The vendor refuses these symbols, and no others."""

    symbols: tuple[str, ...]
    reason: str


class Lowered(msgspec.Struct, frozen=True):
    """The symbols that the vendor's limits leave with less than is wanted, each with the mode that it has.

    It names all there are; one that is named no more has what is wanted.
    """

    modes: Mapping[str, Mode]


class Subscribed(msgspec.Struct, frozen=True):
    """The vendor says that these are the symbols it sends now."""

    symbols: tuple[str, ...]


class Ready(msgspec.Struct, frozen=True):
    """The vendor has let us in; there may be nothing to say for now, as in a night without trades.

    Makes the feed live. Only data begins the back-off anew, so that a vendor who lets us in and drops us is spared.
    """


class NewEpoch(msgspec.Struct, frozen=True):
    """What follows does not continue what came before, although the connection is the same."""

    reason: str


class Send(msgspec.Struct, frozen=True):
    """A frame that the feed wants to answer with. The runner sends it; no sink ever sees it."""

    frame: Frame


# A `Book` is the living one, which goes on changing: whoever wants its best levels asks it for them.
Market = Quote | Trade | BidAsk | Depth | Book | Bar | MarketNotice | MarketStatus | AccountEvent
Event = Market | Confirmed | Gap | Refused | Lowered | Subscribed | Ready | NewEpoch | Send
# What proves that data flows. A vendor that answers every subscribe and then drops us gives none of these.
DATA_EVENTS = (Quote, Trade, BidAsk, Depth, Book, Bar, MarketNotice, AccountEvent, Confirmed)


# -- clock and wires ---------------------------------------------------------------------------------------


class Clock(Protocol):
    """Wall time, monotonic time and waiting, in one thing that a test can replace."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Connection(Protocol):
    """One open connection of a wire. Both methods raise FeedError when it is over."""

    async def receive(self) -> bytes: ...

    async def send(self, frame: Frame) -> None: ...


class Wire(Protocol):
    """Where a feed's frames come from; opened anew for each attempt."""

    def open(self) -> AbstractAsyncContextManager[Connection]: ...


class SocketConnection:
    """An open WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        try:
            return await self._socket.recv(decode=False)
        except ConnectionClosed as error:
            raise _closed(error) from error

    async def send(self, frame: Frame) -> None:
        try:
            await self._socket.send(frame)
        except ConnectionClosed as error:
            raise _closed(error) from error


def _closed(error: ConnectionClosed) -> FeedError:
    if error.rcvd is None:
        return FeedError("the connection was lost")
    reason = f" {error.rcvd.reason[:200]}" if error.rcvd.reason else ""
    return FeedError(
        f"the vendor closed the connection: {error.rcvd.code}{reason}",
        retry_after=POLICY_PAUSE_SECONDS if error.rcvd.code == POLICY_VIOLATION else None,
    )


class SocketWire:
    """A WebSocket to a vendor.

    Args:
        url: ws:// or wss://; a wrong one is a permanent error. A function is asked for a new one at each opening, and
            raises FeedError if there is none: the one-time addresses of a vendor that authorises over HTTP.
        headers: sent with the handshake. A redirect is followed, but takes Authorization along only within `domain`.
        domain: the vendor's own ("vendor.com"), to which all of its servers belong; None: the same server only.
        permanent: handshakes that are answered so are not tried again.
        advice: what to do about an answer, for whoever reads of it.
        open_timeout: for DNS, TCP, TLS and the handshake together.
        ping_interval: a half-open connection is found within this plus `ping_timeout`.
    """

    def __init__(
        self,
        url: str | Callable[[], Awaitable[str]],
        *,
        headers: Mapping[str, str] | None = None,
        domain: str | None = None,
        permanent: Collection[int] = REFUSALS,
        advice: Mapping[int, str] | None = None,
        open_timeout: float = 10.0,
        close_timeout: float = 1.0,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        max_size: int = MAX_FRAME_BYTES,
    ) -> None:
        self.url = url
        self._headers = headers
        self._domain = domain
        self._permanent = frozenset(permanent)
        self._advice = advice or {}
        self._open_timeout = open_timeout
        self._close_timeout = close_timeout
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._max_size = max_size

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connection]:
        url = self.url if isinstance(self.url, str) else await self.url()
        _check_address(url)
        try:
            socket = await _Connect(
                url,
                self._domain,
                additional_headers=self._headers,
                open_timeout=self._open_timeout,
                close_timeout=self._close_timeout,
                ping_interval=self._ping_interval,
                ping_timeout=self._ping_timeout,
                max_size=self._max_size,
                # A stand-in on this machine is never behind the proxy of the environment.
                proxy=None if _is_loopback(url) else True,
            )
        except InvalidStatus as error:
            raise self._refused(error) from error
        except InvalidProxy:  # its text is the address, and that may hold a password
            raise FeedError("expected a proxy's address in the environment, was another text") from None
        except InvalidHandshake as error:
            raise FeedError(f"the handshake failed: {error}") from error
        except TimeoutError as error:
            raise FeedError("the vendor did not answer in time") from error
        except (OSError, EOFError, UnicodeError) as error:  # a name that can be none is no Unicode to them
            raise FeedError(f"the vendor cannot be reached: {error}") from error
        try:
            yield SocketConnection(socket)
        finally:
            await socket.close()

    def _refused(self, error: InvalidStatus) -> FeedError:
        status = error.response.status_code
        advice = self._advice.get(status)
        return FeedError(
            f"the vendor answered the handshake with {status}{f': {advice}' if advice else ''}",
            permanent=status in self._permanent,
            retry_after=retry_after_seconds(error.response.headers.get("Retry-After")),
        )


class _Connect(connect):
    """An opening handshake that keeps its credentials, and the one-time address it is sent to, within the vendor."""

    def __init__(self, uri: str, domain: str | None, **options: Any) -> None:
        super().__init__(uri, **options)
        self._domain = domain

    def process_redirect(self, exc: Exception) -> Exception | str:
        headers, before = self.additional_headers, self.ws_uri
        try:
            target = super().process_redirect(exc)
        except (InvalidURI, ValueError):
            return InvalidHandshake("expected a redirect to a WebSocket")
        if isinstance(target, str):
            if self._is_own(before.host) and self._is_own(urlsplit(target).hostname or ""):
                self.additional_headers = headers
        elif target is not exc:  # its text names the address
            return InvalidHandshake("expected a redirect to a secure address")
        return target

    def _is_own(self, host: str) -> bool:
        return self._domain is not None and (host == self._domain or host.endswith(f".{self._domain}"))


def _check_address(url: str) -> None:
    """Refuses what is no address of a WebSocket, without what may be a secret in it."""
    try:
        parse_uri(url)
    except (InvalidURI, ValueError):
        scheme, separator, rest = url.partition("://")
        shown = scheme + separator + re.split(r"[?#]", rest)[0].rpartition("@")[2]
        raise FeedError(f"expected a ws:// or wss:// address, was {shown!r}", permanent=True) from None


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in {"localhost", "127.0.0.1", "::1"}


def retry_after_seconds(header: str | None) -> float | None:
    """Reads a Retry-After header in seconds; its other form, a date, counts as not given."""
    try:
        return min(max(float(header or "-"), 0.0), RETRY_AFTER_LIMIT_SECONDS)
    except ValueError:
        return None


# -- feeds -------------------------------------------------------------------------------------------------


class Feed(ABC):
    """One vendor's stream, without its socket: frames in, values out.

    `wants` are symbols with the richest mode that anybody wants of them now, which is at least `base_mode`. A mapping
    of symbols to modes is also an iterable of symbols, so a feed that sends the same in all modes need not look.

    Attributes:
        source: the name under which its prices are stored and shown.
        modes: what it can fill.
        channels: what else it can fill: `trades` if it tells single ones, `book` if it tells depth, `notices`.
        base_mode: what every symbol is followed in when nobody wants more; enough for prices, bars and alerts.
        symbols: what it follows when nobody asks for others.
        needs_symbols: False for one that sends what it has, whatever is asked.
        silence_after: seconds without a usable frame after which the connection counts as dead; None: never. It may
            change while a connection is open.
        is_ready_when_open: the vendor lets nobody in whom it refuses, and may then say nothing for hours.
    """

    source: str
    modes: frozenset[Mode]
    channels: frozenset[Channel] = frozenset({"bars"})
    base_mode: Mode = "quote"
    symbols: tuple[str, ...] = ()
    needs_symbols: bool = True
    silence_after: float | None = 30.0
    is_ready_when_open: bool = False

    @abstractmethod
    def wire(self) -> Wire:
        """Returns where its frames come from."""

    @abstractmethod
    def opened(self, wants: Mapping[str, Mode]) -> Sequence[Frame]:
        """Forgets the last connection and returns the frames that begin this one."""

    @abstractmethod
    def subscribe(self, wants: Mapping[str, Mode]) -> Sequence[Frame]:
        """Returns the frames that add symbols to an open connection."""

    def change_mode(self, wants: Mapping[str, Mode]) -> Sequence[Frame]:
        """Returns the frames that ask for more or less of symbols that are subscribed."""
        return []

    @abstractmethod
    def unsubscribe(self, symbols: Iterable[str]) -> Sequence[Frame]:
        """Returns the frames that take symbols from an open connection."""

    @abstractmethod
    def decode(self, frame: bytes) -> list[Event]:
        """Returns what one frame says; unknown kinds of frame say nothing.

        Raises:
            FrameError: this frame cannot be used; the next one may.
            FeedError: the vendor refuses us; this connection is over.
        """


class PolledFeed(ABC):
    """A vendor that is asked rather than listened to. The runner asks every interval, a batch at a time."""

    source: str
    modes: frozenset[Mode]
    channels: frozenset[Channel] = frozenset({"bars"})
    symbols: tuple[str, ...] = ()

    @abstractmethod
    async def poll(self, symbols: Iterable[str]) -> list[Event]:
        """Asks once for each symbol's quote; one that the vendor refuses gives a `Refused`.

        Raises:
            FeedError: nothing can be had now; `retry_after` when the vendor said so.
        """


class Sink(Protocol):
    """Who takes what a feed says. Both methods are called in the event loop and must never block."""

    def events(self, source: str, events: list[Event], received_at: datetime) -> None: ...

    def state(self, source: str, state: FeedState, reason: str) -> None: ...


class FrameRecorder(Protocol):
    """Who keeps frames as they arrive, text and binary ones alike."""

    def write(self, frame: bytes, received_at: datetime) -> None: ...
