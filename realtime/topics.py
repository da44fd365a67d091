"""Symbols that somebody in this process wants: their last values, and who gets the next.

Connections with the same subscriptions form an audience: a flush is put together once for all of them, and they
share one joined frame.
"""

from collections import Counter
from collections.abc import Iterable

from realtime.bus import Update
from realtime.connections import Connection
from realtime.frames import Payload
from realtime.outbox import Changes
from realtime.protocol import Mode, Numbers, QuoteRecord, decode_quote, encode_quote

AudienceKey = tuple[frozenset[tuple[str, str]], Numbers]


class Audience:
    """The connections whose subscriptions are the same, so that one joined frame serves them all."""

    __slots__ = ("connections", "key", "numbers")

    def __init__(self, key: AudienceKey) -> None:
        self.key = key
        self.numbers = key[1]
        self.connections: set[Connection] = set()


class Topic:
    """One symbol that somebody here wants: its last value and who gets the next."""

    __slots__ = ("_payloads", "_quote", "audiences", "epoch", "modes", "owed", "record", "seq", "source")

    def __init__(self) -> None:
        self.source = ""
        self.epoch = -1
        self.seq = -1
        self.record: QuoteRecord | None = None  # known in full only after a read from Redis
        self.audiences: dict[Audience, str] = {}
        self.modes: Counter[str] = Counter()  # how many want it in which mode
        self.owed: set[Connection] = set()  # those in whose mode the last value is not known yet
        self._quote: QuoteRecord | None = None
        self._payloads: dict[tuple[str, Numbers], Payload] = {}

    @property
    def has_value(self) -> bool:
        return self.seq >= 0

    def is_news(self, source: str, epoch: int, seq: int) -> bool:
        return source != self.source or (epoch, seq) > (self.epoch, self.seq)

    def take(self, source: str, epoch: int, update: Update) -> None:
        self.source, self.epoch, self.seq = source, epoch, update.seq
        self.record = self._quote = None
        self._payloads = {
            (mode, "number"): Payload("asset_update", json) for mode, json in update.payloads.items()
        }

    def take_record(self, record: QuoteRecord) -> None:
        self.source, self.epoch, self.seq = record.source, record.epoch, record.seq
        self.record = self._quote = record
        self._payloads = {}

    def payload(self, mode: str, numbers: Numbers = "number") -> Payload | None:
        """Returns the last value for a subscriber, encoded at most once for each mode; None if not known so fully."""
        payload = self._payloads.get((mode, numbers))
        if payload is not None:
            return payload
        record = self.record or self._decoded(mode) or (self.quote() if mode == Mode.LTPC else None)
        if record is None:
            return None
        payload = Payload("asset_update", encode_quote(record, mode, numbers))
        self._payloads[mode, numbers] = payload
        return payload

    def quote(self) -> QuoteRecord | None:
        """Returns the last value as a record, with at least the fields of mode `quote`."""
        if self._quote is None:
            self._quote = self.record or self._decoded(Mode.QUOTE) or self._decoded(Mode.FULL)
        return self._quote

    def _decoded(self, mode: str) -> QuoteRecord | None:
        payload = self._payloads.get((mode, "number"))
        return None if payload is None else decode_quote(payload.json)


class Topics:
    """Every symbol that somebody in this process wants, and the audiences that share its frames."""

    def __init__(self) -> None:
        self.wants_version = 0  # grows whenever `wants` changes
        self._topics: dict[str, Topic] = {}
        self._audiences: dict[AudienceKey, Audience] = {}

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._topics

    def __getitem__(self, symbol: str) -> Topic:
        return self._topics[symbol]

    def __len__(self) -> int:
        return len(self._topics)

    def get(self, symbol: str) -> Topic | None:
        return self._topics.get(symbol)

    def symbols(self, source: str | None = None) -> set[str]:
        """Returns all symbols, or those whose value is the source's or not known."""
        return {
            symbol for symbol, topic in self._topics.items() if source is None or topic.source in (source, "")
        }

    def wants(self) -> set[str]:
        """What the feeds are asked for: `mode symbol`."""
        return {f"{mode} {symbol}" for symbol, topic in self._topics.items() for mode in topic.modes}

    def count(self, symbol: str, mode: str, by: int) -> None:
        """Counts who wants a symbol in a mode; a topic lives as long as somebody does."""
        topic = self._topics.get(symbol)
        if topic is None:
            topic = self._topics[symbol] = Topic()
        was_wanted = mode in topic.modes
        topic.modes[mode] += by
        if not topic.modes[mode]:
            del topic.modes[mode]
        self.wants_version += was_wanted != (mode in topic.modes)
        if not topic.modes:
            del self._topics[symbol]

    def regroup(self, connection: Connection, subscriptions: dict[str, str]) -> None:
        """Moves a connection to the audience of its new subscriptions."""
        before = connection.subscriptions
        for symbol, mode in subscriptions.items():
            if before.get(symbol) != mode:
                self.count(symbol, mode, 1)
        self._leave_audience(connection)
        connection.subscriptions = subscriptions
        if subscriptions:
            self._join_audience(connection)
        for symbol, mode in before.items():
            if subscriptions.get(symbol) != mode:
                self.count(symbol, mode, -1)

    def _join_audience(self, connection: Connection) -> None:
        key = (frozenset(connection.subscriptions.items()), connection.outbox.options.numbers)
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(key)
            for symbol, mode in connection.subscriptions.items():
                self._topics[symbol].audiences[audience] = mode
        audience.connections.add(connection)
        connection.audience = audience

    def _leave_audience(self, connection: Connection) -> None:
        audience, connection.audience = connection.audience, None
        if not isinstance(audience, Audience):
            return
        audience.connections.discard(connection)
        if not audience.connections:
            del self._audiences[audience.key]
            for symbol, _ in audience.key[0]:
                self._topics[symbol].audiences.pop(audience, None)

    def awaiting(self, symbols: Iterable[str]) -> set[Connection]:
        """Returns the connections that wait for a snapshot of any of the symbols."""
        return {
            connection
            for symbol in symbols
            if (topic := self._topics.get(symbol)) is not None
            for audience in topic.audiences
            for connection in audience.connections
            if symbol in connection.asked_at
        }

    def deliver(self, symbols: Iterable[str]) -> set[str]:
        """Hands the new values to everyone who wants them: one assignment a connection, nothing awaited.

        Returns:
            symbols that somebody wants in a mode which is not known of their last value.
        """
        touched: dict[Audience, dict[str, Payload]] = {}
        missing: set[str] = set()
        for symbol in symbols:
            topic = self._topics[symbol]
            for audience, mode in topic.audiences.items():
                payload = topic.payload(mode, audience.numbers)
                if payload is None:
                    missing.add(symbol)
                    topic.owed |= audience.connections
                else:
                    touched.setdefault(audience, {})[symbol] = payload
                    if topic.owed:
                        topic.owed -= audience.connections
        for audience, payloads in touched.items():
            changes = Changes(payloads)
            for connection in audience.connections:
                connection.outbox.put(changes)
                if connection.asked_at:
                    for symbol in payloads:
                        connection.asked_at.pop(symbol, None)
            changes.settle()
        return missing

    def pay(self, symbol: str) -> None:
        """Sends the last value, now that it is known in full, to those whom `deliver` could not send it."""
        topic = self._topics[symbol]
        for connection in topic.owed:
            mode = connection.subscriptions.get(symbol)
            if mode is None:
                continue
            if (payload := topic.payload(mode, connection.outbox.options.numbers)) is not None:
                connection.outbox.put(Changes({symbol: payload}))
        topic.owed.clear()
