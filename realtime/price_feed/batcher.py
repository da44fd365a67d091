"""What one source last said of all of its assets: numbered, conflated, and each in the session it belongs to.

Pure: events and clocks in, records and bars out. It knows no Redis, no database and no event loop, and holds one
line an asset whatever the load. A line's `seq` counts every accepted tick, so a jump in what is sent shows what was
conflated. The session is the calendar's: a 24/7 asset rolls at 00:00 UTC by the clock, with or without a tick.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from assets.market import Bar, Book, Depth, Quote, Trade
from assets.market import session_start as session_start_of
from realtime.feeds.base import Event
from realtime.price_feed.bars import BuiltBar
from realtime.price_feed.lines import DAY, Close, LastPrice, Line, Listing, publisher
from realtime.protocol import QuoteRecord

# A tick from further ahead is a broken clock, and would shut out every right one after it.
FUTURE_LIMIT = timedelta(seconds=5)
# A bar is closed by the clock this long after its end, so that ticks on their way still count.
BAR_GRACE = timedelta(seconds=2)


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
        age = max(0.0, (now - last.received_at).total_seconds())
        line.confirmed_at = monotonic - age
        line.is_stale = age > self._stale_after
        if self._has_own_clock:
            line.session_start = session_start_of(last.as_of)
        line.restore(last)

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
        others: list[Event] = []
        for event in events:
            if isinstance(event, (Book, Depth)):  # most of all events, hence not a call
                line = self._by_source_symbol.get(event.symbol)
                if line is None:
                    self.rejected["unknown"] += 1
                    continue
                line.depth = event
                line.received_at = received_at
                line.confirmed_at = self.last_tick_at = monotonic
                line.is_stale = False
                self.ticks += 1
                if not line.is_dirty:  # else it goes along with what changed already
                    self._changed(line)
                continue
            try:
                if isinstance(event, Quote):
                    self._quote(event, received_at, monotonic)
                elif isinstance(event, Trade):
                    self._trade(event, received_at, monotonic)
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

    def _accepts(self, line: Line, price: Decimal, as_of: datetime, received_at: datetime) -> bool:
        if not price > 0 or not price.is_finite():
            self.rejected["price"] += 1
        elif line.floor is not None and as_of < line.floor:
            self.rejected["older"] += 1
        elif as_of > received_at and as_of > received_at + FUTURE_LIMIT:
            self.rejected["future"] += 1
        else:
            return True
        return False

    def _line(self, source_symbol: str) -> Line | None:
        line = self._by_source_symbol.get(source_symbol)
        if line is None:
            self.rejected["unknown"] += 1
        return line

    def _quote(self, quote: Quote, received_at: datetime, monotonic: float) -> None:
        line = self._line(quote.symbol)
        if line is None or not self._accepts(line, quote.price, quote.as_of, received_at):
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
        line.keep_quote(quote)

    def _trade(self, trade: Trade, received_at: datetime, monotonic: float) -> None:
        line = self._line(trade.symbol)
        if line is None or not self._accepts(line, trade.price, trade.as_of, received_at):
            return
        known = line.trade
        if known is not None and (trade == known or (trade.trade_id and trade.trade_id == known.trade_id)):
            self.rejected["duplicate"] += 1
            self._confirm(line, received_at, monotonic)
            return
        line.trade = trade
        self._price(line, trade.price, trade.as_of, received_at, monotonic, trade.quantity, False)
        line.keep_trade(trade)

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
            line.learn_from_price()
        self.ticks += 1
        self.last_tick_at = monotonic
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
