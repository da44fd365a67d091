"""What one source last said of each of its assets: numbered, conflated, and with the session it belongs to.

Pure: events and clocks in, records and bars out. It knows no Redis, no database and no event loop, and holds one
line an asset whatever the load. A line's `seq` counts every accepted tick, so a jump in what is sent shows what was
conflated. The session is the calendar's: a 24/7 asset rolls at 00:00 UTC by the clock, with or without a tick.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from assets.market import Bar, Depth, Quote, Trade, change_since
from assets.market import session_start as session_start_of
from realtime.bars import BarBuilder, BuiltBar
from realtime.feeds.base import Event
from realtime.protocol import QuoteRecord, wire_time

Window = Literal["session", "24h"]

DEPTH_LEVELS = 5
DAY = timedelta(days=1)
# A tick from further ahead is a broken clock, and would shut out every right one after it.
FUTURE_LIMIT = timedelta(seconds=5)
# A bar is closed by the clock this long after its end, so that ticks on their way still count.
BAR_GRACE = timedelta(seconds=2)


def publisher(symbol: str, sources: Iterable[str], live: Mapping[str, Collection[str]]) -> str | None:
    """Returns the asset's first source, by priority, that is live and does not refuse the asset.

    Args:
        live: the live sources, each with the symbols that it refuses.
    """
    return next((source for source in sources if source in live and symbol not in live[source]), None)


class Listing(NamedTuple):
    """One asset as one source follows it; `sources` are all of the asset's, in order of priority."""

    asset_id: int
    symbol: str
    currency: str
    source_symbol: str
    sources: tuple[str, ...]


class LastPrice(NamedTuple):
    """A price from before this process: of Redis or the database."""

    price: Decimal
    as_of: datetime
    received_at: datetime
    record: QuoteRecord | None = None


class Close(NamedTuple):
    """The close of the session that began at `start`."""

    start: datetime
    price: Decimal


def _change(price: Decimal, previous_close: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    try:
        return change_since(price, previous_close)
    except ArithmeticError:  # more digits than a percentage can have
        return price - previous_close if previous_close is not None else None, None


class Line:
    """The state of one asset at one source."""

    __slots__ = (
        "as_of",
        "ask",
        "asks",
        "average_price",
        "bars",
        "bid",
        "bids",
        "close",
        "confirmed_at",
        "floor",
        "high",
        "in_step",
        "is_dirty",
        "is_owned",
        "is_stale",
        "last_quantity",
        "listing",
        "low",
        "open",
        "open_interest",
        "price",
        "quote",
        "received_at",
        "seq",
        "session_start",
        "trade",
        "volume",
        "window",
    )

    def __init__(self, listing: Listing, session_start: datetime, confirmed_at: float) -> None:
        self.listing = listing
        self.bars = BarBuilder(listing.symbol)
        self.price: Decimal | None = None
        self.as_of = self.received_at = datetime.min.replace(tzinfo=UTC)
        self.last_quantity: Decimal | None = None
        self.bid: Decimal | None = None
        self.ask: Decimal | None = None
        # Of the source's own window; the session's own ones are those of the open day bar.
        self.open: Decimal | None = None
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.volume: Decimal | None = None
        self.window: Window = "session"
        self.average_price: Decimal | None = None
        self.open_interest: Decimal | None = None
        self.bids: tuple[tuple[Decimal, Decimal], ...] | None = None
        self.asks: tuple[tuple[Decimal, Decimal], ...] | None = None
        self.session_start = session_start
        self.close: Close | None = None
        self.seq = 0
        self.floor: datetime | None = None
        self.quote: Quote | None = None
        self.trade: Trade | None = None
        self.confirmed_at = confirmed_at
        self.is_stale = False
        self.is_dirty = False
        self.is_owned = True
        self.in_step = False

    def previous_close(self) -> Decimal | None:
        return self.close.price if self.close is not None and self.close.start < self.session_start else None

    def learn_close(self, close: Close) -> bool:
        """Takes the close of an earlier session, unless a later one is known; returns whether it changed anything."""
        if close.start >= self.session_start or (self.close is not None and close.start < self.close.start):
            return False
        changed = self.close is None or self.close.price != close.price
        self.close = close
        return changed

    def roll(self, session_start: datetime) -> None:
        """Begins a new session; the last price at or before its start becomes the previous close."""
        if self.price is not None and self.as_of <= session_start:
            last_session = min(session_start_of(self.as_of), session_start - DAY)
            if self.close is None or last_session >= self.close.start:
                self.close = Close(last_session, self.price)
        self.session_start = session_start
        if self.window == "session":
            self.open = self.high = self.low = self.volume = None

    def record(self, source: str, epoch: int) -> QuoteRecord:
        price, close = self.price, self.previous_close()
        assert price is not None
        change, percent = _change(price, close)
        opened, high, low, volume = self._window()
        return QuoteRecord(
            symbol=self.listing.symbol,
            price=price,
            as_of=wire_time(self.as_of),
            source=source,
            seq=self.seq,
            epoch=epoch,
            received_at=wire_time(self.received_at),
            currency=self.listing.currency,
            change=change,
            change_percent=percent,
            volume=volume,
            high=high,
            low=low,
            previous_close=close,
            open=opened,
            bid=self.bid,
            ask=self.ask,
            last_quantity=self.last_quantity,
            stale=self.is_stale,
            window=self.window,
            bids=self.bids,
            asks=self.asks,
            average_price=self.average_price,
            open_interest=self.open_interest,
        )

    def _window(self) -> tuple[Decimal | None, Decimal | None, Decimal | None, Decimal | None]:
        """Returns open, high, low and volume: the source's where it gives them, else our own of the session."""
        if self.window == "24h":
            return self.open, self.high, self.low, self.volume
        day = self.bars.day
        if day is None or day.start != self.session_start:
            return self.open, self.high, self.low, self.volume
        return (
            day.open if self.open is None else self.open,
            day.high if self.high is None else self.high,
            day.low if self.low is None else self.low,
            day.volume if self.volume is None else self.volume,
        )


class Batcher:
    """All lines of one source.

    Args:
        source: the source's name.
        stale_after: seconds without a confirmation after which a price is stale.
        quotes_are_trades: whether a quote's last quantity is traded volume that no `Trade` repeats.
        has_own_clock: the source's time is the time of its ticks, as in a recording, and not ours.
    """

    def __init__(
        self,
        source: str,
        *,
        stale_after: float,
        quotes_are_trades: bool = True,
        has_own_clock: bool = False,
    ) -> None:
        self.source = source
        self.epoch = 0
        self.lines: dict[str, Line] = {}
        self.ticks = 0
        self.rejected: Counter[str] = Counter()
        self.bars: list[tuple[int, BuiltBar]] = []
        self.last_tick_at: float | None = None
        self._by_source_symbol: dict[str, Line] = {}
        self._dirty: list[Line] = []
        self._stale_after = stale_after
        self._quotes_are_trades = quotes_are_trades
        self._has_own_clock = has_own_clock

    @property
    def has_changes(self) -> bool:
        return bool(self._dirty)

    # -- what it follows

    def follow(
        self, listings: Iterable[Listing], now: datetime, monotonic: float
    ) -> tuple[list[Line], list[Line]]:
        """Follows exactly these; returns the lines that are new and those that are gone."""
        wanted = {listing.symbol: listing for listing in listings}
        added, gone = [], []
        for symbol, line in list(self.lines.items()):
            listing = wanted.get(symbol)
            if listing is None or listing[:4] != line.listing[:4]:
                del self.lines[symbol]
                self._by_source_symbol.pop(line.listing.source_symbol, None)
                line.is_owned = False
                gone.append(line)
            else:
                line.listing = listing
        for symbol, listing in wanted.items():
            if symbol not in self.lines:
                line = Line(listing, session_start_of(now), monotonic)
                self.lines[symbol] = line
                added.append(line)
        for line in added:
            self._by_source_symbol[line.listing.source_symbol] = line
        return added, gone

    def restore(self, symbol: str, last: LastPrice, now: datetime, monotonic: float) -> None:
        """Gives a line that has none yet its last known price, and the rest of its record."""
        line = self.lines[symbol]
        if line.price is not None:
            return
        line.price, line.as_of, line.received_at = last.price, last.as_of, last.received_at
        age = max(0.0, (now - last.received_at).total_seconds())
        line.confirmed_at = monotonic - age
        line.is_stale = age > self._stale_after
        if self._has_own_clock:
            line.session_start = session_start_of(last.as_of)
        if last.record is not None:
            self._restore_record(line, last.record, last.as_of)
        self._learn_from_price(line)

    def _restore_record(self, line: Line, record: QuoteRecord, as_of: datetime) -> None:
        line.bid, line.ask, line.last_quantity = record.bid, record.ask, record.last_quantity
        line.bids, line.asks = record.bids, record.asks
        line.average_price, line.open_interest = record.average_price, record.open_interest
        if record.window == "24h":
            line.window = "24h"
            line.open, line.high, line.low, line.volume = record.open, record.high, record.low, record.volume
        elif as_of >= line.session_start and None not in (record.open, record.high, record.low):
            # Fresher than the stored bar, and a derived high must go on growing.
            assert record.open is not None and record.high is not None and record.low is not None
            line.bars.resume(
                Bar(
                    symbol=record.symbol,
                    interval="1d",
                    start=line.session_start,
                    open=record.open,
                    high=record.high,
                    low=record.low,
                    close=record.price,
                    volume=record.volume,
                )
            )

    def _learn_from_price(self, line: Line) -> None:
        """A last trade from before this session is the last regular trade before it, hence its previous close."""
        if line.price is not None and line.as_of < line.session_start:
            start = session_start_of(line.as_of)
            if line.close is None or start >= line.close.start:
                line.close = Close(start, line.price)

    def learn_closes(self, closes: Mapping[str, Close]) -> None:
        """Takes stored closes; what they change is sent."""
        for symbol, close in closes.items():
            line = self.lines.get(symbol)
            if line is not None and line.learn_close(close) and line.price is not None and line.seq:
                self._changed(line)

    def resume_bars(self, bars: Mapping[str, Iterable[Bar]]) -> None:
        """Goes on with bars that were stored before they were over."""
        for symbol, stored in bars.items():
            line = self.lines.get(symbol)
            for bar in stored if line is not None else ():
                assert line is not None
                line.bars.resume(bar)

    # -- who publishes

    def arbitrate(self, live: Mapping[str, Collection[str]]) -> None:
        """Publishes only assets of which this is the first live source; without any, whoever was goes on."""
        for symbol, line in self.lines.items():
            first = publisher(symbol, line.listing.sources, live)
            owned = line.is_owned if first is None else first == self.source
            if owned and not line.is_owned and line.floor is not None:
                line.seq += 1
                line.is_owned = True
                self._mark(line)
            line.is_owned = owned

    # -- what the source says

    def take(self, events: Iterable[Event], received_at: datetime, monotonic: float) -> list[Event]:
        """Takes what the market did and returns the other events; one that cannot be used is counted."""
        latest = received_at + FUTURE_LIMIT
        others: list[Event] = []
        for event in events:
            try:
                if isinstance(event, Quote):
                    self._quote(event, received_at, latest, monotonic)
                elif isinstance(event, Trade):
                    self._trade(event, received_at, latest, monotonic)
                elif isinstance(event, Depth):
                    self._depth(event, received_at, monotonic)
                else:
                    others.append(event)
            except (ArithmeticError, TypeError, ValueError):
                self.rejected["malformed"] += 1
        return others

    def confirm(self, source_symbols: Iterable[str] | None, received_at: datetime, monotonic: float) -> None:
        """The source says that its last prices still hold."""
        found = self._by_source_symbol
        lines = found.values() if source_symbols is None else [found[s] for s in source_symbols if s in found]
        for line in lines:
            self._confirm(line, received_at, monotonic)

    def _confirm(self, line: Line, received_at: datetime, monotonic: float) -> None:
        line.confirmed_at = monotonic
        line.received_at = received_at
        if line.is_stale:
            line.is_stale = False
            self._changed(line)

    def _accepts(self, line: Line, price: Decimal, as_of: datetime, latest: datetime) -> bool:
        if not price > 0 or not price.is_finite():
            self.rejected["price"] += 1
        elif line.floor is not None and as_of < line.floor:
            self.rejected["older"] += 1
        elif as_of > latest:
            self.rejected["future"] += 1
        else:
            return True
        return False

    def _line(self, source_symbol: str) -> Line | None:
        line = self._by_source_symbol.get(source_symbol)
        if line is None:
            self.rejected["unknown"] += 1
        return line

    def _quote(self, quote: Quote, received_at: datetime, latest: datetime, monotonic: float) -> None:
        line = self._line(quote.symbol)
        if line is None or not self._accepts(line, quote.price, quote.as_of, latest):
            return
        if quote.as_of == line.floor and quote == line.quote:
            self.rejected["duplicate"] += 1
            self._confirm(line, received_at, monotonic)
            return
        line.quote = quote
        quantity = quote.last_quantity if self._quotes_are_trades else None
        # A source that connects repeats its last trade, and a ticker repeats the trade it tells of.
        is_repeated = quote.as_of == line.as_of and quote.price == line.price
        self._price(line, quote.price, quote.as_of, received_at, monotonic, quantity, is_repeated)
        if quote.last_quantity is not None:
            line.last_quantity = quote.last_quantity
        if quote.bid is not None:
            line.bid = quote.bid
        if quote.ask is not None:
            line.ask = quote.ask
        if (
            quote.high is not None
            or quote.low is not None
            or quote.open is not None
            or quote.volume is not None
        ):
            line.window = quote.window
            line.open, line.high, line.low, line.volume = quote.open, quote.high, quote.low, quote.volume
            if quote.window == "session" and line.bars.day is not None:
                line.bars.day.adopt(quote.open, quote.high, quote.low, quote.volume)
        if quote.average_price is not None:
            line.average_price = quote.average_price
        if quote.open_interest is not None:
            line.open_interest = quote.open_interest

    def _trade(self, trade: Trade, received_at: datetime, latest: datetime, monotonic: float) -> None:
        line = self._line(trade.symbol)
        if line is None or not self._accepts(line, trade.price, trade.as_of, latest):
            return
        known = line.trade
        if known is not None and (trade == known or (trade.trade_id and trade.trade_id == known.trade_id)):
            self.rejected["duplicate"] += 1
            self._confirm(line, received_at, monotonic)
            return
        line.trade = trade
        self._price(line, trade.price, trade.as_of, received_at, monotonic, trade.quantity, False)
        line.last_quantity = trade.quantity
        if line.high is not None and trade.price > line.high:
            line.high = trade.price
        if line.low is not None and trade.price < line.low:
            line.low = trade.price

    def _price(
        self,
        line: Line,
        price: Decimal,
        as_of: datetime,
        received_at: datetime,
        monotonic: float,
        quantity: Decimal | None,
        is_repeated: bool,
    ) -> None:
        if (
            self._has_own_clock or received_at >= line.session_start + DAY
        ) and as_of >= line.session_start + DAY:
            line.roll(session_start_of(as_of))
        elif self._has_own_clock and line.floor is None and as_of < line.session_start:
            line.session_start = session_start_of(as_of)
            line.close = None
        if not is_repeated:
            for built in line.bars.add(price, quantity, as_of):
                self._built(line, built)
        line.price, line.as_of, line.floor = price, as_of, as_of
        line.received_at = received_at
        line.confirmed_at = monotonic
        line.is_stale = False
        line.in_step = received_at - as_of < FUTURE_LIMIT
        if as_of < line.session_start:
            self._learn_from_price(line)
        self.ticks += 1
        self.last_tick_at = monotonic
        self._changed(line)

    def _depth(self, depth: Depth, received_at: datetime, monotonic: float) -> None:
        line = self._line(depth.symbol)
        if line is None:
            return
        line.bids, line.asks = depth.bids[:DEPTH_LEVELS], depth.asks[:DEPTH_LEVELS]
        line.bid = line.bids[0][0] if line.bids else None
        line.ask = line.asks[0][0] if line.asks else None
        line.received_at = received_at
        line.confirmed_at = monotonic
        line.is_stale = False
        self.ticks += 1
        self.last_tick_at = monotonic
        if not line.is_dirty:  # else it goes along with what changed already
            self._changed(line)

    # -- what the clock says

    def tick(self, now: datetime, monotonic: float) -> None:
        """Rolls sessions, marks what is stale and closes bars; to be called about every second."""
        today, close_until = session_start_of(now), now - BAR_GRACE
        stale_before = monotonic - self._stale_after
        for line in self.lines.values():
            if line.session_start < today and not self._has_own_clock:
                line.roll(today)
                if line.price is not None:
                    self._changed(line)
            if line.confirmed_at < stale_before and not line.is_stale and line.price is not None:
                line.is_stale = True
                self._changed(line)
            if line.in_step:
                for built in line.bars.close_until(close_until):
                    self._built(line, built)

    def _built(self, line: Line, built: BuiltBar) -> None:
        if line.is_owned:
            self.bars.append((line.listing.asset_id, built))
            if built.bar.interval == "1m" and line.in_step and line.bars.day is not None:
                # The open day goes along once a minute, so that a killed process loses little of it.
                self.bars.append((line.listing.asset_id, line.bars.open_bars()[-1]))
                line.bars.day.fresh = False

    def take_bars(self) -> list[tuple[int, BuiltBar]]:
        """Returns the bars to be stored since the last call, with their asset's id."""
        bars, self.bars = self.bars, []
        return bars

    def open_bars(self) -> list[tuple[int, BuiltBar]]:
        """Returns what is still open, for a process that stops."""
        lines = [line for line in self.lines.values() if line.is_owned]
        return [(line.listing.asset_id, built) for line in lines for built in line.bars.open_bars()]

    # -- epochs

    def restart(self) -> None:
        """Lets times go back: what follows does not continue what came before."""
        for line in self.lines.values():
            line.floor = None
            line.quote = None
            if self._has_own_clock:
                line.trade = None
                for built in line.bars.restart():
                    self._built(line, built._replace(fresh=False))

    def begin(self, epoch: int, superseded: Collection[str] = ()) -> None:
        """Numbers anew; every last value is sent again, except those that another source has overtaken."""
        self.epoch = epoch
        for symbol, line in self.lines.items():
            line.seq = 0
            if line.price is not None and symbol not in superseded:
                self._changed(line)

    # -- what is sent

    def _changed(self, line: Line) -> None:
        line.seq += 1
        self._mark(line)

    def _mark(self, line: Line) -> None:
        if not line.is_dirty and line.is_owned and line.price is not None:
            line.is_dirty = True
            self._dirty.append(line)

    def touch(self, symbols: Iterable[str]) -> list[str]:
        """Sends these again under a new number; returns those that have a price of this source."""
        touched = []
        for symbol in symbols:
            line = self.lines.get(symbol)
            if line is not None and line.price is not None and line.is_owned:
                self._changed(line)
                touched.append(symbol)
        return touched

    def changed(self) -> dict[str, QuoteRecord]:
        """Returns the newest record of every asset that changed since the last call."""
        dirty, self._dirty = self._dirty, []
        records = {}
        for line in dirty:
            line.is_dirty = False
            if line.is_owned:
                records[line.listing.symbol] = line.record(self.source, self.epoch)
        return records

    def put_back(self, symbols: Iterable[str]) -> None:
        """Marks records that could not be sent, so that whatever is newest then is sent later."""
        for symbol in symbols:
            if (line := self.lines.get(symbol)) is not None:
                self._mark(line)

    def last(self, symbol: str) -> QuoteRecord | None:
        """Returns an asset's last record, if this source publishes it and has numbered it."""
        line = self.lines.get(symbol)
        if line is None or line.price is None or not line.is_owned or not line.seq:
            return None
        return line.record(self.source, self.epoch)
