"""Symbols that somebody in this process wants: their last values, and who gets the next.

Connections with the same subscriptions form an audience: a flush is put together once for all of them, and they
share one joined frame.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from assets.redistribution import Viewer
from realtime.bus import Update
from realtime.connections import NOTHING, Connection
from realtime.frames import Payload
from realtime.outbox import Changes
from realtime.protocol import Channel, Mode, Numbers, QuoteRecord, decode_quote, encode_quote
from realtime.streams import NO_CHANNELS, BookState, Channels, Flush, News, Streams

AudienceKey = tuple[frozenset[tuple[str, str]], Numbers, frozenset[tuple[str, Channels]], Viewer]
CHANNELS = frozenset(Channel)
WITH_QUOTE = (Mode.QUOTE, Mode.FULL, Mode.FULL_D30, Mode.OPTION_GREEKS)  # those with all fields of a quote


class Audience:
    """The connections that subscribe to the same and may see the same, so that one joined frame serves them all."""

    __slots__ = ("connections", "key", "numbers", "viewer")

    def __init__(self, key: AudienceKey) -> None:
        self.key = key
        self.numbers: Numbers = key[1]
        self.viewer = key[3]
        self.connections: set[Connection] = set()


class Topic:
    """One symbol that somebody here wants: its last value and who gets the next."""

    __slots__ = (
        "_payloads", "_quote", "audiences", "epoch", "modes", "owed", "record", "seq", "source", "streams",
    )  # fmt: skip

    def __init__(self) -> None:
        self.source = ""
        self.epoch = -1
        self.seq = -1
        self.record: QuoteRecord | None = None  # known in full only after a read from Redis
        self.audiences: dict[Audience, str] = {}
        self.modes: Counter[str] = Counter()  # how many want it in which mode, and which channels
        self.streams: Streams | None = None  # as long as somebody wants a channel
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

    def is_shown_to(self, viewer: Viewer) -> bool:
        return self.has_value and viewer.sees(self.source)

    def is_hidden_from(self, viewer: Viewer) -> bool:
        """Whether there is a value that somebody may not see, to whom it is as if there were none."""
        return self.has_value and not viewer.sees(self.source)

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
            self._quote = self.record or next(filter(None, map(self._decoded, WITH_QUOTE)), None)
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
        self._channel_wants: dict[tuple[str, str], str] = {}

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
        """What the feeds are asked for: `mode symbol` and `channel symbol number`."""
        topics, channels = self._topics.items(), self._channel_wants.values()
        modes = {
            f"{mode} {symbol}" for symbol, topic in topics for mode in topic.modes if mode not in CHANNELS
        }
        return modes.union(channels)

    def count(self, symbol: str, mode: str, by: int) -> None:
        """Counts who wants a symbol in a mode, or a channel of it; a topic lives as long as somebody does."""
        topic = self._topics.get(symbol)
        if topic is None:
            topic = self._topics[symbol] = Topic()
        was_wanted = mode in topic.modes
        topic.modes[mode] += by
        if not topic.modes[mode]:
            del topic.modes[mode]
            if topic.streams is not None:
                topic.streams.forget(mode)
                topic.streams = topic.streams if CHANNELS & topic.modes.keys() else None
        if was_wanted != (mode in topic.modes):
            self.wants_version += 1
            if mode in CHANNELS:
                self._count_want(mode, symbol, is_wanted=not was_wanted)
        if not topic.modes:
            del self._topics[symbol]

    def _count_want(self, channel: str, symbol: str, *, is_wanted: bool) -> None:
        # Numbered, for what is wanted again at once begins again, and a feed may not have seen that it ended.
        if is_wanted:
            self._channel_wants[channel, symbol] = f"{channel} {symbol} {self.wants_version}"
        else:
            del self._channel_wants[channel, symbol]

    def regroup(
        self,
        connection: Connection,
        subscriptions: dict[str, str],
        channels: Mapping[str, Channels] | None = None,
    ) -> None:
        """Moves a connection to the audience of its new subscriptions.

        Args:
            channels: of each symbol; None leaves those that there are.
        """
        before, streamed = connection.subscriptions, connection.channels
        channels = streamed if channels is None else channels
        if channels:
            channels = {
                symbol: names for symbol, names in channels.items() if names and symbol in subscriptions
            }
        for symbol, mode in subscriptions.items():
            if before.get(symbol) != mode:
                self.count(symbol, mode, 1)
        self._count_channels(channels, streamed, 1)
        self._leave_audience(connection)
        connection.subscriptions, connection.channels = subscriptions, channels or NOTHING
        if subscriptions:
            self._join_audience(connection)
        self._count_channels(streamed, channels, -1)
        for symbol, mode in before.items():
            if subscriptions.get(symbol) != mode:
                self.count(symbol, mode, -1)

    def _count_channels(self, these: Mapping[str, Channels], others: Mapping[str, Channels], by: int) -> None:
        for symbol, names in these.items():
            for name in names - others.get(symbol, NO_CHANNELS):
                self.count(symbol, name, by)

    def _join_audience(self, connection: Connection) -> None:
        key = (
            frozenset(connection.subscriptions.items()),
            connection.outbox.options.numbers,
            frozenset(connection.channels.items()),
            connection.identity.viewer,
        )
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(key)
            for symbol, mode in connection.subscriptions.items():
                self._topics[symbol].audiences[audience] = mode
            for symbol, names in connection.channels.items():
                topic = self._topics[symbol]
                if topic.streams is None:
                    topic.streams = Streams(symbol)
                topic.streams.audiences[audience] = names
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
            for symbol, _ in audience.key[2]:
                streams = self._topics[symbol].streams
                assert streams is not None
                del streams.audiences[audience]

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

    def subscribers(self, symbol: str) -> list[Connection]:
        """Returns the connections that are subscribed to a symbol."""
        topic = self._topics.get(symbol)
        audiences = topic.audiences if topic is not None else ()
        return [connection for audience in audiences for connection in audience.connections]

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
                if not audience.viewer.sees(topic.source):
                    continue
                payload = topic.payload(mode, audience.numbers)
                if payload is None:
                    missing.add(symbol)
                    topic.owed |= audience.connections
                else:
                    touched.setdefault(audience, {})[symbol] = payload
                    if topic.owed:
                        topic.owed -= audience.connections
            if topic.owed and symbol not in missing:
                topic.owed.clear()  # all who are there have it now, and who has left is owed nothing
        for audience, payloads in touched.items():
            changes = Changes(payloads)
            for connection in audience.connections:
                connection.outbox.put(changes)
                if connection.asked_at:
                    self._answer_with(connection, payloads)
            changes.settle()
        return missing

    @staticmethod
    def _answer_with(connection: Connection, payloads: Mapping[str, Payload]) -> None:
        """Takes what everybody is sent for a snapshot, where one is awaited."""
        for symbol, payload in payloads.items():
            connection.asked_at.pop(symbol, None)
            if symbol in connection.daily_bars:
                send_snapshots(connection, {symbol: payload})

    def pay(self, symbol: str) -> None:
        """Sends the last value, now that it is known in full, to those whom `deliver` could not send it."""
        topic = self._topics[symbol]
        for connection in topic.owed:
            mode = connection.subscriptions.get(symbol)
            if mode is None or topic.is_hidden_from(connection.identity.viewer):
                continue
            if (payload := topic.payload(mode, connection.outbox.options.numbers)) is not None:
                send_snapshots(connection, {symbol: payload})
        topic.owed.clear()

    # --- channels ----------------------------------------------------------------------------------------------------

    def take_streams(self, source: str, epoch: int, updates: Iterable[Update]) -> None:
        """Takes what updates say in channels that somebody here wants, and sends what is news."""
        flushes: dict[str, Flush] = {}
        for update in updates:
            streams = self._topics[update.symbol].streams
            if streams is not None and (flush := streams.take(source, epoch, update)):
                flushes[update.symbol] = flush
        self._deliver_streams(flushes)

    def _deliver_streams(self, flushes: Mapping[str, Flush]) -> None:
        """Hands what is new in channels to everyone who wants them."""
        touched: dict[Audience, News] = {}
        for symbol, flush in flushes.items():
            streams = self._topics[symbol].streams
            assert streams is not None
            for audience, names in streams.audiences.items():
                if not audience.viewer.sees(flush.source):
                    continue
                news = touched.setdefault(audience, News(audience.numbers))
                news.add(symbol, flush, names)
                if flush.notices and Channel.NOTICES in names:
                    frames = [notice.event(audience.numbers) for notice in flush.notices]
                    for connection in audience.connections:
                        for frame in frames:
                            connection.put_event(frame)
        for audience, news in touched.items():
            for connection in audience.connections if news else ():
                connection.put_news(news)

    def begin_streams(
        self, connection: Connection, before: Mapping[str, Channels], symbols: Iterable[str]
    ) -> set[str]:
        """Sends what the channels of symbols begin with.

        Args:
            before: the channels that the connection had; it has had the trades of those.

        Returns:
            symbols whose book is not known here.
        """
        news, missing = News(connection.outbox.options.numbers), set()
        for symbol in symbols:
            names, streams = connection.channels.get(symbol, NO_CHANNELS), self._topics[symbol].streams
            connection.outbox.forget_channels(symbol, (CHANNELS - names) | {Channel.BOOK})
            if streams is None or not names:
                continue
            if Channel.BOOK in names and streams.book is None:
                missing.add(symbol)
            first = streams.beginning(names, names - before.get(symbol, NO_CHANNELS))
            if connection.identity.viewer.sees(first.source):
                news.add(symbol, first, names)
        if news:
            connection.put_news(news)
        return missing

    def booked(self, source: str | None = None) -> set[str]:
        """Returns the symbols whose book is wanted: all, or those whose book is the source's or not known."""
        return {
            symbol
            for symbol, topic in self._topics.items()
            if topic.streams is not None
            and Channel.BOOK in topic.modes
            and (source is None or topic.streams.book is None or topic.streams.book.source == source)
        }

    def take_books(self, books: Iterable[BookState]) -> None:
        """Takes books that were read again, and sends those that are news."""
        flushes: dict[str, Flush] = {}
        for book in books:
            topic = self._topics.get(book.symbol)
            if topic is None or topic.streams is None or Channel.BOOK not in topic.modes:
                continue
            if (frame := topic.streams.take_book(book)) is not None:
                flushes[book.symbol] = Flush(book.source, frame)
        self._deliver_streams(flushes)


def send_snapshots(connection: Connection, values: Mapping[str, Payload]) -> None:
    """Sends the values that subscriptions begin with; in mode full_d30 alone these have daily bars.

    Such a one waits beside later values instead of being replaced by them, which don't have the bars.
    """
    if connection.daily_bars:
        begun = {symbol: fields for symbol, fields in connection.daily_bars.items() if symbol in values}
        connection.forget_daily_bars(begun)
        connection.outbox.forget_quotes(begun)
        values = {
            f"{symbol} begun" if symbol in begun else symbol: with_fields(payload, begun.get(symbol))
            for symbol, payload in values.items()
        }
    if values:
        connection.outbox.put(Changes(values))


def with_fields(payload: Payload, fields: str | None) -> Payload:
    return payload if fields is None else Payload("asset_update", f"{payload.json[:-1]},{fields}}}")
