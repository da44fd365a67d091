"""What both versions of Upstox's market data have in common: requests, refusals, numbers, and what is news.

A frame repeats all that the vendor knows of an instrument, whichever part of it has changed; only what differs from
the frame before is told. Requests are JSON in binary frames and are not answered. `cp` is never taken for the
previous close: which session's close it is changes at a time of the vendor's own choosing.
"""

import logging
import re
import uuid
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from assets.market import Bar, BidAsk, Conversions, Depth, Quote, from_float
from realtime.feeds.base import (
    Channel,
    Clock,
    Confirmed,
    Event,
    Feed,
    FeedError,
    Frame,
    FrameError,
    Lowered,
    Mode,
    Refused,
    Send,
    SystemClock,
    Wire,
)
from realtime.feeds.upstox_limits import UPSTREAM, Allotment, Upstream
from realtime.feeds.upstox_wire import RENEW, upstox_wire

logger = logging.getLogger("personal_finance.realtime.feeds")

# A frame is then some 15 KB; servers are known to take no more than 64.
KEYS_A_FRAME = 500
# Of 2,000 instruments some fifteen figures are known; each takes about 200 bytes here.
# The year 2100: what is beyond is a broken frame.
LATEST_MS = 4_102_444_800_000
DAY_MS = 86_400_000
# Only changes are sent: while anything arrives, what has been heard of before and says nothing has not changed.
CONFIRM_EVERY = timedelta(seconds=10)
LONG_AGO = datetime.min.replace(tzinfo=UTC)
# Of a vendor's reason, whatever it holds.
REASON_CHARACTERS = 200

_TOKEN = re.compile(r"(?<!instrument )\btoken\b|unauthori[sz]ed|authenticat|login", re.IGNORECASE)
_PLUS = re.compile(r"full_d30|\bplus\b", re.IGNORECASE)


def _moment(milliseconds: int) -> datetime:
    if not 0 < milliseconds < LATEST_MS:
        raise ValueError(f"expected milliseconds since 1970, was {milliseconds}")
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class _Told:
    """What was last told of an instrument."""

    __slots__ = ("bar", "depth", "quote")

    def __init__(self) -> None:
        self.quote: Quote | BidAsk | None = None
        self.depth: Depth | None = None
        self.bar: Bar | None = None


class UpstoxMarket(Feed):
    """Market data of Upstox; its symbols are instrument keys ("NSE_EQ|INE002A01018").

    Args:
        instruments: what to follow.
        token: the access token of the day.
        url, authorize_url: other servers that speak this protocol; see `upstox_wire`.
        new_guid: names each request.

    Attributes:
        bad_instruments: how many were left out of frames because they held no numbers.
    """

    source = "upstox"
    channels: frozenset[Channel] = frozenset({"bars", "book"})
    # Enough for a price, and the vendor allows the most of it.
    base_mode: Mode = "ltpc"

    def __init__(
        self,
        instruments: Iterable[str] = (),
        *,
        url: str,
        token: str = "",
        authorize_url: str = "",
        clock: Clock | None = None,
        new_guid: Callable[[], object] = uuid.uuid4,
    ) -> None:
        self.symbols = tuple(dict.fromkeys(instruments))
        self._where = (url, token, authorize_url)
        self._clock = clock or SystemClock()
        self._new_guid = new_guid
        self.floats = Conversions(from_float)
        self.integers = Conversions[int, Decimal](Decimal)
        self.moments = Conversions(_moment)
        self._wants: dict[str, Mode] = {}
        # What somebody wanted more of than its price, on this connection or before.
        self._watched: set[str] = set()
        self._asked: dict[str, Upstream] = {}
        self._told: dict[str, _Told] = {}
        # Those with less than is wanted, as it was said last; None: something else was said of another connection.
        self._lowered: dict[str, Mode] | None = {}
        self._confirm_at = LONG_AGO
        self.bad_instruments = 0
        # What could not be asked for; said with the next frame.
        self._unsaid: list[Event] = []

    def wire(self) -> Wire:
        return upstox_wire(*self._where)

    @abstractmethod
    def allot(self, wants: Mapping[str, Mode]) -> Allotment:
        """Shares out what one connection may carry."""

    @abstractmethod
    def read(self, frame: bytes) -> list[Event]:
        """Reads a binary frame; raises FrameError, or DecodeError where it is no message at all."""

    # -- what we ask

    def opened(self, wants: Mapping[str, Mode]) -> list[Frame]:
        self._wants, self._asked, self._told = {}, {}, {}
        self._unsaid.clear()
        self._lowered = None if self._lowered else {}
        self._confirm_at = LONG_AGO
        return self.subscribe(wants)

    def subscribe(self, wants: Mapping[str, Mode]) -> list[Frame]:
        for symbol in wants:
            self._told.pop(symbol, None)
        return self.change_mode(wants)

    def change_mode(self, wants: Mapping[str, Mode]) -> list[Frame]:
        self._wants.update(wants)
        self._watched.update(symbol for symbol, mode in wants.items() if mode != self.base_mode)
        return self._ask()

    def unsubscribe(self, symbols: Iterable[str]) -> list[Frame]:
        for symbol in symbols:
            self._wants.pop(symbol, None)
            self._watched.discard(symbol)
            self._told.pop(symbol, None)
        return self._ask()

    def _ask(self) -> list[Frame]:
        """Returns the frames that make what is asked for what is wanted, as far as the vendor lets us."""
        allotment = self._allotment()
        if allotment.refused:
            self._unsaid.append(Refused(allotment.refused, "the vendor's limit of instruments is reached"))
            for symbol in allotment.refused:
                del self._wants[symbol]
        self._say_lowered(allotment)
        before, after = self._asked, allotment.modes
        self._asked = after
        frames = self._frames("unsub", (symbol for symbol in before if symbol not in after))
        changed = {s: mode for s, mode in after.items() if before.get(s, mode) != mode}
        new = {s: mode for s, mode in after.items() if s not in before}
        for method, some in (("change_mode", changed), ("sub", new)):
            for mode in UPSTREAM:
                frames += self._frames(method, (s for s, wanted in some.items() if wanted == mode), mode)
        return frames

    def _allotment(self) -> Allotment:
        """Leaves what was watched in its mode while there is room, or the figures of its day would stand still."""
        kept: dict[str, Mode] = {s: "quote" for s in self._watched if self._wants.get(s) == self.base_mode}
        if kept:
            allotment = self.allot(self._wants | kept)
            if not (allotment.lowered or allotment.refused):
                return allotment
        return self.allot(self._wants)

    def _frames(self, method: str, symbols: Iterable[str], mode: Upstream | None = None) -> list[Frame]:
        frames: list[Frame] = []
        left = iter(symbols)
        while keys := list(islice(left, KEYS_A_FRAME)):
            data = {"instrumentKeys": keys} if mode is None else {"instrumentKeys": keys, "mode": mode}
            request = {"guid": str(self._new_guid()), "method": method, "data": data}
            frames.append(msgspec.json.encode(request))
        return frames

    def _say_lowered(self, allotment: Allotment) -> None:
        # A mode may have turned out not to be in the account's plan.
        lacking = (symbol for symbol, mode in self._wants.items() if mode not in self.modes)
        lowered: dict[str, Mode] = {s: allotment.modes[s] for s in (*allotment.lowered, *lacking)}
        if lowered == self._lowered:
            return
        if len(lowered) > len(self._lowered or ()):
            logger.warning("feed %s: no room for all that is wanted: %d with less", self.source, len(lowered))
        self._lowered = lowered
        self._unsaid.append(Lowered(lowered))

    # -- what we are told

    def decode(self, frame: bytes) -> list[Event]:
        if frame[:1] == b"{":
            return self._read_text(frame)
        if not frame:
            raise FrameError("empty", "expected a message, was nothing")
        try:
            events = self.read(frame)
        except DecodeError as error:
            raise FrameError("not_protobuf", "expected a FeedResponse") from error
        except (ValueError, ArithmeticError) as error:
            raise FrameError("bad_number", str(error)) from error
        if self._unsaid:
            events += self._unsaid
            self._unsaid.clear()
        return events

    def read_each(self, feeds: Mapping[str, Any], now: datetime) -> list[Event]:
        """Reads the instruments of a frame; one that holds no numbers harms no other."""
        events: list[Event] = []
        bad: Exception | None = None
        for symbol in feeds:  # `items` of such a map takes twice as long
            try:
                self.read_feed(symbol, feeds[symbol], now, events)
            except (ValueError, ArithmeticError) as error:
                bad = error
                self.bad_instruments += 1
                if self.bad_instruments == 1:
                    logger.warning("feed %s: left %s out of a frame: %s", self.source, symbol, error)
        if bad is not None and not events:
            raise FrameError("bad_number", str(bad)) from bad
        if now >= self._confirm_at and (quiet := tuple(one for one in self._told if one not in feeds)):
            self._confirm_at = now + CONFIRM_EVERY
            events.append(Confirmed(quiet))
        return events

    @abstractmethod
    def read_feed(self, symbol: str, feed: Any, now: datetime, events: list[Event]) -> None:
        """Adds what a frame says of one instrument; raises ValueError or ArithmeticError."""

    def tell(
        self,
        events: list[Event],
        symbol: str,
        quote: Quote | BidAsk | None,
        depth: Depth | None = None,
        bar: Bar | None = None,
    ) -> None:
        """Adds what is new of an instrument, or that nothing is."""
        told = self._told.get(symbol)
        if told is None:
            told = self._told[symbol] = _Told()
        count = len(events)
        if quote is not None and quote != told.quote:
            told.quote = quote
            events.append(quote)
        if depth is not None:
            last = told.depth
            if last is None or depth.bids != last.bids or depth.asks != last.asks:
                told.depth = depth
                events.append(depth)
        if bar is not None and bar != told.bar:
            told.bar = bar
            events.append(bar)
        if len(events) == count and quote is not None:
            events.append(Confirmed((symbol,)))

    def _read_text(self, frame: bytes) -> list[Event]:
        """Reads {"status":"failed","method":"sub","error":"NSE_EQ|NOPE is not a valid instrument key"}"""
        try:
            message = msgspec.json.decode(frame, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FrameError("not_json", "expected a message in JSON") from error
        if message.get("status") not in {"failed", "error", "failure"}:
            return []
        words = " ".join(_words(message.get(name)) for name in ("error", "errors", "message")).strip()
        reason = words[:REASON_CHARACTERS]
        if blamed := _named(words, self._asked):
            for symbol in blamed:
                del self._wants[symbol], self._asked[symbol]
            return [Refused(blamed, reason)]
        if _TOKEN.search(reason):
            raise FeedError(f"the vendor refuses us ({reason}): {RENEW}", permanent=True)
        if _PLUS.search(reason) and "full_d30" in self._asked.values():
            return self._without_d30(reason)
        raise FrameError("vendor_error", reason or "expected a reason, was none")

    def _without_d30(self, reason: str) -> list[Event]:
        logger.warning("feed %s: 5 levels of depth instead of 30: %s", self.source, reason)
        self.modes = self.modes - {"full_d30"}
        return [Send(frame) for frame in self._ask()]


def same_day(midnight: int, time: int) -> bool:
    """Returns whether a time is of the day that began then, in milliseconds; of any day if that is not told."""
    return not midnight or 0 <= time - midnight < DAY_MS


def _named(text: str, symbols: Collection[str]) -> tuple[str, ...]:
    """Returns the symbols that a text names: of `Nifty 50` and `Nifty 500` the one that is there."""
    found = set()
    for symbol in sorted((one for one in symbols if one in text), key=len, reverse=True):
        text, count = re.subn(rf"{re.escape(symbol)}(?!\w)", " ", text)
        if count:
            found.add(symbol)
    return tuple(symbol for symbol in symbols if symbol in found)


def _words(value: object) -> str:
    """Returns all text in an error, whose shape is not published."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return " ".join(filter(None, map(_words, value.values())))
    if isinstance(value, list):
        return " ".join(filter(None, map(_words, value)))
    return ""
