"""What one symbol's channels carry beside its quotes: trades, its book, bars and notices.

Trades and notices are events, a book and bars are state. Every text is made once for everybody: the feed sends whole
books, and what changed between two of them is worked out here, once a flush.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from realtime.bus import Update
from realtime.frames import Payload, frame
from realtime.json_numbers import with_strings
from realtime.protocol import Channel, Numbers, encode, envelope

KEPT_TRADES = 50  # what a new subscriber is sent first

BarKey = tuple[str, str]  # interval and start
Channels = frozenset[str]
NO_CHANNELS: Channels = frozenset()
BEFORE_ALL = -1, -1  # epoch and number


class Text:
    """One value as JSON, and its frames for whoever wants numbers or strings."""

    __slots__ = ("_payloads", "_type", "json")

    def __init__(self, type: str, json: str) -> None:
        self.json = json
        self._type = type
        self._payloads: dict[Numbers, Payload] = {}

    def payload(self, numbers: Numbers) -> Payload:
        payload = self._payloads.get(numbers)
        if payload is None:
            json = self.json if numbers == "number" else with_strings(self.json)
            payload = self._payloads[numbers] = Payload(self._type, json)
        return payload

    def event(self, numbers: Numbers) -> str:
        """Returns it as an event, which waits in no one's state."""
        return envelope(self._type, self.payload(numbers).json)


class Print(Text):
    """One trade, with how many before it nobody here was told of."""

    __slots__ = ("missed", "symbol")

    def __init__(self, symbol: str, json: str, missed: int) -> None:
        super().__init__("trade", json if not missed else f'{json[:-1]},"missed":{missed}}}')
        self.symbol = symbol
        self.missed = missed

    def after(self, dropped: int, numbers: Numbers) -> Payload:
        """Returns it for a connection that was not sent all of those before it."""
        json = self.payload(numbers).json
        if self.missed:
            json = json[: json.rindex(',"missed":')] + "}"
        return Payload("trade", f'{json[:-1]},"missed":{self.missed + dropped}}}')


class BookFrame:
    """A book as it is now, and what that changes for whoever has the one before; None where that can't be told."""

    __slots__ = ("snapshot", "update")

    def __init__(self, snapshot: Text, update: Text | None) -> None:
        self.snapshot = snapshot
        self.update = update


class Flush:
    """What is new of one symbol's channels, all of it of one source."""

    __slots__ = ("bars", "book", "notices", "prints", "source")

    def __init__(self, source: str, book: BookFrame | None = None) -> None:
        self.source = source
        self.prints: list[Print] = []
        self.book = book
        self.bars: dict[BarKey, Text] = {}
        self.notices: list[Text] = []

    def __bool__(self) -> bool:
        return bool(self.prints or self.book or self.bars or self.notices)


class News:
    """What one flush says in channels to connections with the same subscriptions: shared, joined at most once."""

    __slots__ = ("_runs", "bars", "books", "numbers", "prints")

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.prints: list[Print] = []
        self.books: dict[str, BookFrame] = {}
        self.bars: dict[str, dict[BarKey, Text]] = {}
        self._runs: dict[bool, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self.prints or self.books or self.bars)

    def add(self, symbol: str, flush: Flush, channels: Channels) -> None:
        if Channel.TRADES in channels:
            self.prints += flush.prints
        if Channel.BOOK in channels and flush.book is not None:
            self.books[symbol] = flush.book
        if Channel.BARS in channels and flush.bars:
            self.bars[symbol] = flush.bars

    def run(self, batch: bool) -> bytes:
        """Returns the frames of all of it, trades in one frame for who asked for batches."""
        run = self._runs.get(batch)
        if run is None:
            books = (book.update or book.snapshot for book in self.books.values())
            bars = (bar for bars in self.bars.values() for bar in bars.values())
            trades = [print_.payload(self.numbers) for print_ in self.prints]
            states = [text.payload(self.numbers) for texts in (books, bars) for text in texts]
            run = self._runs[batch] = joined(trades, states, batch)
        return run


def joined(trades: Iterable[Payload], states: Iterable[Payload], batch: bool) -> bytes:
    """Returns a run of frames, trades first."""
    trades = list(trades)
    together = frame(envelope("trades", batched(trades))) if batch and trades else b""
    singles = states if together else (*trades, *states)
    return together + b"".join([payload.alone() for payload in singles])


def batched(trades: Iterable[Payload]) -> str:
    return "[" + ",".join([trade.json for trade in trades]) + "]"


# --- what the feed sends ---------------------------------------------------------------------------------------------


class _Mark(msgspec.Struct, gc=False):
    epoch: int
    number: int


class _BarStart(msgspec.Struct, gc=False):
    interval: str
    start: str


class _Book(msgspec.Struct, gc=False):
    symbol: str
    bids: list[tuple[msgspec.Raw, msgspec.Raw]]
    asks: list[tuple[msgspec.Raw, msgspec.Raw]]
    as_of: str | None
    source: str
    seq: int
    epoch: int


_decode_items: Callable[[str], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_marks: Callable[[str], list[_Mark]] = msgspec.json.Decoder(list[_Mark]).decode
_decode_starts: Callable[[str], list[_BarStart]] = msgspec.json.Decoder(list[_BarStart]).decode
_decode_book: Callable[[str], _Book] = msgspec.json.Decoder(_Book).decode


def _items(json: str) -> list[str]:
    return [bytes(raw).decode() for raw in _decode_items(json)]


Levels = dict[str, str]  # price to quantity, as the feed writes them, best first


def _levels(pairs: Iterable[tuple[msgspec.Raw, msgspec.Raw]]) -> Levels:
    return {bytes(price).decode(): bytes(quantity).decode() for price, quantity in pairs}


class BookState:
    """A book as the feed sent it last."""

    __slots__ = ("as_of", "asks", "bids", "epoch", "seq", "snapshot", "source", "symbol")

    def __init__(self, json: str) -> None:
        book = _decode_book(json)
        self.symbol, self.source, self.as_of = book.symbol, book.source, book.as_of
        self.epoch, self.seq = book.epoch, book.seq
        self.bids, self.asks = _levels(book.bids), _levels(book.asks)
        self.snapshot = Text("book_snapshot", json)

    def is_after(self, before: "BookState") -> bool:
        """Whether it is newer; numbers of two sources can't be compared, and what is sent last holds."""
        return before.source != self.source or (self.epoch, self.seq) > (before.epoch, before.seq)

    def continues(self, before: "BookState") -> bool:
        return (self.source, self.epoch) == (before.source, before.epoch)

    def changes_from(self, before: "BookState") -> list[str]:
        """Returns what is to be set, removals first: a price that is written in another way now is the same price."""
        sides = (("bid", before.bids, self.bids), ("ask", before.asks, self.asks))
        gone = [f'["{side}",{price},0]' for side, old, new in sides for price in old if price not in new]
        set_ = [
            f'["{side}",{price},{quantity}]'
            for side, old, new in sides
            for price, quantity in new.items()
            if old.get(price) != quantity
        ]
        return gone + set_

    def update_from(self, before: "BookState", changes: list[str]) -> Text | None:
        """Returns the update from another book; None where a snapshot is better."""
        if len(changes) > len(self.bids) + len(self.asks) or not self.continues(before):
            return None
        return Text(
            "book_update",
            f'{{"symbol":{encode(self.symbol)},"changes":[{",".join(changes)}],"as_of":{encode(self.as_of)},'
            f'"seq":{self.seq},"previous_seq":{before.seq},"epoch":{self.epoch}}}',
        )


class Streams:
    """One symbol's channels in this process: who wants which, and what is known of them.

    Each channel is judged for itself, since one that is newly wanted comes with a number that others have had.
    """

    __slots__ = (
        "_bars_at",
        "_last_trade",
        "_noticed_at",
        "_source",
        "audiences",
        "bars",
        "book",
        "recent",
        "symbol",
    )

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.audiences: dict[Any, Channels] = {}  # the topics' own
        self.recent: deque[Print] = deque(maxlen=KEPT_TRADES)
        self.book: BookState | None = None
        self.bars: dict[str, tuple[str, Text]] = {}  # interval to the newest one's start and itself
        self._source = ""
        self._last_trade = self._bars_at = self._noticed_at = BEFORE_ALL

    def take(self, source: str, epoch: int, update: Update) -> Flush:
        """Returns what is new in an update."""
        payloads = update.payloads
        if source != self._source:
            self._source = source
            self._last_trade = self._bars_at = self._noticed_at = BEFORE_ALL
            self.recent.clear()
            self.bars.clear()
        flush, number = Flush(source), (epoch, update.seq)
        if (json := payloads.get(Channel.TRADES)) is not None:
            flush.prints = self._take_trades(json)
        if (json := payloads.get(Channel.BOOK)) is not None:
            flush.book = self.take_book(BookState(json))
        if (json := payloads.get(Channel.BARS)) is not None and number >= self._bars_at:
            self._bars_at = number
            flush.bars = self._take_bars(json)
        if (json := payloads.get(Channel.NOTICES)) is not None and number > self._noticed_at:
            self._noticed_at = number
            flush.notices = [Text("market_notice", item) for item in _items(json)]
        return flush

    def _take_trades(self, json: str) -> list[Print]:
        fresh: list[Print] = []
        for item, mark in zip(_items(json), _decode_marks(json), strict=True):
            number, last = (mark.epoch, mark.number), self._last_trade
            # Else known: all are sent the last ones again when one process newly wants them.
            if number > last:
                first = mark.number if last == BEFORE_ALL else last[1] + 1 if mark.epoch == last[0] else 1
                fresh.append(Print(self.symbol, item, mark.number - first))
                self._last_trade = number
        self.recent += fresh
        return fresh

    def take_book(self, book: BookState) -> BookFrame | None:
        """Takes a book from a batch or from Redis; None when it is no news."""
        before = self.book
        if before is None:
            self.book = book
            return BookFrame(book.snapshot, None)
        if not book.is_after(before):
            return None
        changes = book.changes_from(before)
        if not changes and book.continues(before):
            return None  # and the one before stays, whose number is what everybody has
        self.book = book
        return BookFrame(book.snapshot, book.update_from(before, changes))

    def _take_bars(self, json: str) -> dict[BarKey, Text]:
        bars: dict[BarKey, Text] = {}
        for item, key in zip(_items(json), _decode_starts(json), strict=True):
            start, known = self.bars.get(key.interval, ("", None))
            if known is not None and known.json == item:
                continue
            text = bars[key.interval, key.start] = Text("bar", item)
            if key.start >= start:
                self.bars[key.interval] = key.start, text
        return bars

    def beginning(self, channels: Channels, added: Channels) -> Flush:
        """Returns what a subscription begins with; recent trades only where trades are `added` to it."""
        first = Flush(self._source if self._source or self.book is None else self.book.source)
        if Channel.TRADES in added:
            first.prints = list(self.recent)
        if Channel.BOOK in channels and self.book is not None and self.book.source == first.source:
            first.book = BookFrame(self.book.snapshot, None)
        if Channel.BARS in channels:
            first.bars = {(interval, start): bar for interval, (start, bar) in self.bars.items()}
        return first

    def forget(self, channel: str) -> None:
        """Drops what nobody here wants any more, and what therefore is not kept up to date."""
        if channel == Channel.TRADES:
            self.recent.clear()
            self._last_trade = BEFORE_ALL
        elif channel == Channel.BOOK:
            self.book = None
        elif channel == Channel.BARS:
            self.bars.clear()
