"""What one source last said of all of its assets: numbered, conflated, and each in the session it belongs to.

Pure: events and clocks in, records and bars out. It knows no Redis, no database and no event loop, and holds one
line an asset whatever the load. A line's `seq` counts every accepted tick, so a jump in what is sent shows what was
conflated. The session is the calendar's and rolls by the clock, with or without a tick; a tick outside regular hours
moves no price. Nearly every tick lies between four values of its line, and asks no calendar.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from assets.hours import Hours, confirmed_since, hours_at, is_regular
from assets.market import Bar, Book, Depth, Quote, Trade
from assets.sessions import Calendar
from realtime.feeds.base import Event
from realtime.price_feed.lines import NO_PRICE, Line
from realtime.price_feed.listing import Close, LastPrice, Listing, publisher
from realtime.price_feed.open_bar import BuiltBar
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
        delayed_by: seconds that the source is behind the market.
        quotes_are_trades: whether a quote's last quantity is traded volume that no `Trade` repeats.
        has_own_clock: the source's time is the time of its ticks, as in a recording, and not ours.
    """

    def __init__(
        self,
        source: str,
        *,
        stale_after: float,
        delayed_by: int = 0,
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
        self._stale_after = timedelta(seconds=stale_after)
        self._delayed_by = delayed_by
        self._hours: dict[Calendar, Hours] = {}
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
                self._relist(line, listing, now)
        for symbol, listing in wanted.items():
            if symbol not in self.lines:
                hours = self._hours_at(listing.calendar, now)
                line = Line(listing, hours, monotonic, self._delayed_by)
                self.lines[symbol] = line
                added.append(line)
        for line in added:
            self._by_source_symbol[line.listing.source_symbol] = line
        calendars = {line.listing.calendar for line in self.lines.values()}
        self._hours = {calendar: hours for calendar, hours in self._hours.items() if calendar in calendars}
        return added, gone

    def _relist(self, line: Line, listing: Listing, now: datetime) -> None:
        """Takes what has changed of an asset: its calendar, its splits."""
        is_same = listing[5:] == line.listing[5:]
        line.listing = listing
        if not is_same:
            line.bars.calendar = listing.calendar
            line.least, line.most = NO_PRICE
            self._enter(line, line.as_of if self._has_own_clock and line.price is not None else now)

    def _hours_at(self, calendar: Calendar, moment: datetime) -> Hours:
        hours = self._hours.get(calendar)
        if hours is None or not hours.asked_at <= moment < hours.changes_at:
            hours = self._hours[calendar] = hours_at(calendar, moment)
        return hours

    def _enter(self, line: Line, moment: datetime) -> None:
        """Brings a line up to a moment; what changes by it is sent."""
        line.enter(self._hours_at(line.listing.calendar, moment), moment)
        if line.hours.is_over:
            self._store_day(line)
        if line.price is not None:
            self._changed(line)

    def restore(self, symbol: str, last: LastPrice, now: datetime, monotonic: float) -> None:
        """Gives a line that has none yet its last known price, and the rest of its record."""
        line = self.lines[symbol]
        if line.price is not None:
            return
        age = max(0.0, (now - last.received_at).total_seconds())
        line.confirmed_at = monotonic - age
        if self._has_own_clock:
            line.enter(self._hours_at(line.listing.calendar, last.as_of), last.as_of)
        line.restore(last)
        line.is_stale = line.confirmed_at < self._confirmed_since(line.hours, now, monotonic)

    def learn_closes(self, closes: Mapping[str, Close]) -> None:
        """Takes stored closes; what they change is sent."""
        for symbol, close in closes.items():
            line = self.lines.get(symbol)
            if line is not None and line.learn_close(close) and line.price is not None and line.seq:
                self._changed(line)

    def resume_bars(self, bars: Mapping[str, Iterable[Bar]]) -> None:
        """Goes on with bars that were stored before they were over.

        Where nothing else is known of the price, a session that is over gives its close.
        """
        for symbol, stored in bars.items():
            line = self.lines.get(symbol)
            for bar in stored if line is not None else ():
                assert line is not None
                line.bars.resume(bar)
                if line.price is None and line.hours.is_over and bar.start == line.hours.session.open:
                    line.as_of = line.received_at = line.hours.session.close
                    line.keep_raw(bar.close)

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
        if not line.least < price < line.most and (reason := line.doubt(price, as_of)):
            self.rejected[reason] += 1
        elif line.floor is not None and as_of < line.floor:
            self.rejected["older"] += 1
        elif as_of > received_at and as_of > received_at + FUTURE_LIMIT:
            self.rejected["future"] += 1
        else:
            return True
        return False

    def _counts(self, line: Line, as_of: datetime, received_at: datetime) -> bool:
        """Whether a tick that is none of the present stretch of trading moves the price; it may roll the session."""
        calendar = line.listing.calendar
        if self._has_own_clock:
            if line.floor is None and as_of < line.hours.session.open:
                line.begin_again()
                self._enter(line, as_of)
            elif as_of >= line.due_at:
                self._enter(line, as_of)
        elif as_of >= line.due_at and received_at >= line.due_at:
            self._enter(line, received_at)
        if line.hours.phase == "always":
            return True
        return not line.is_settled and as_of < line.hours.next_open and is_regular(calendar, as_of)

    def _line(self, source_symbol: str) -> Line | None:
        line = self._by_source_symbol.get(source_symbol)
        if line is None:
            self.rejected["unknown"] += 1
        return line

    def _quote(self, quote: Quote, received_at: datetime, monotonic: float) -> None:
        line, as_of = self._line(quote.symbol), quote.as_of
        if line is None or not self._accepts(line, quote.price, as_of, received_at):
            return
        is_usual = line.since <= as_of < line.until
        if not is_usual:
            counts = self._counts(line, as_of, received_at)
            if self._settles(line, quote, received_at, monotonic):
                return
            if not counts:
                self._off_hours(line, quote, received_at, monotonic)
                return
        if as_of == line.floor and quote == line.quote:
            self.rejected["duplicate"] += 1
            self._confirm(line, received_at, monotonic)
            return
        line.quote = quote
        quantity = quote.last_quantity if self._quotes_are_trades else None
        # A source that connects repeats its last trade, and a ticker repeats the trade it tells of.
        is_repeated = as_of == line.as_of and quote.price == line.price
        take = self._price if is_usual else self._late_price
        take(line, quote.price, as_of, received_at, monotonic, quantity, is_repeated)
        if is_usual or (as_of >= line.units_at and line.covers(quote)):
            line.keep_quote(quote)
        elif as_of >= line.units_at:
            line.keep_sides(quote)

    def _trade(self, trade: Trade, received_at: datetime, monotonic: float) -> None:
        line, as_of = self._line(trade.symbol), trade.as_of
        if line is None or not self._accepts(line, trade.price, as_of, received_at):
            return
        is_usual = line.since <= as_of < line.until
        if not is_usual and not self._counts(line, as_of, received_at):
            self.rejected["off_hours"] += 1
            self._confirm(line, received_at, monotonic)
            return
        known = line.trade
        if known is not None and (trade == known or (trade.trade_id and trade.trade_id == known.trade_id)):
            self.rejected["duplicate"] += 1
            self._confirm(line, received_at, monotonic)
            return
        line.trade = trade
        take = self._price if is_usual else self._late_price
        take(line, trade.price, as_of, received_at, monotonic, trade.quantity, False)
        if is_usual or as_of >= line.units_at:
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
        if not is_repeated:
            for built in line.bars.add(price, quantity, as_of):
                self._built(line, built)
        line.price, line.as_of, line.floor = price, as_of, as_of
        line.received_at = received_at
        line.confirmed_at = monotonic
        line.is_stale = False
        line.in_step = received_at - as_of < FUTURE_LIMIT
        self.ticks += 1
        self.last_tick_at = monotonic
        if line.watcher is not None:
            line.watcher(line)
        self._changed(line)

    def _late_price(
        self,
        line: Line,
        price: Decimal,
        as_of: datetime,
        received_at: datetime,
        monotonic: float,
        quantity: Decimal | None,
        is_repeated: bool,
    ) -> None:
        """A price that counts although it is none of the present stretch of trading: from before a break or a split."""
        raw, is_old = price, as_of < line.units_at
        if is_old:
            raw = line.as_it_was(price, as_of)
            price = line.in_units(raw, as_of)
        self._price(line, price, as_of, received_at, monotonic, quantity, is_repeated or is_old)
        line.raw_price = raw
        line.learn_from_price()

    def _off_hours(self, line: Line, quote: Quote, received_at: datetime, monotonic: float) -> None:
        """A quote of the night: what is bid and asked, and that the source is there."""
        self.rejected["off_hours"] += 1
        bid, ask = line.bid, line.ask
        if quote.as_of >= line.units_at:
            line.keep_sides(quote)
        self._confirm(line, received_at, monotonic)
        if (line.bid, line.ask) != (bid, ask):
            self._changed(line)

    def _settles(self, line: Line, quote: Quote, received_at: datetime, monotonic: float) -> bool:
        """Takes the official close of the session that is over; returns whether the quote tells one."""
        close, hours = quote.official_close, line.hours
        if close is None or not hours.is_over or not hours.session.close <= quote.as_of < hours.next_open:
            return False
        if reason := line.doubt(close, hours.session.close):
            self.rejected[reason] += 1
        elif line.is_settled and close == line.price_as_traded():
            self._off_hours(line, quote, received_at, monotonic)
        else:
            self._built(line, line.bars.settle(hours.session, close))
            line.settle(close)
            line.keep_sides(quote)
            self._confirm(line, received_at, monotonic)
            self.ticks += 1
            self.last_tick_at = monotonic
            if line.watcher is not None:
                line.watcher(line)
            self._changed(line)
        return True

    # -- what the clock says

    def tick(self, now: datetime, monotonic: float) -> None:
        """Rolls sessions, marks what is stale and closes bars; to be called about every second."""
        close_until = now - BAR_GRACE
        oldest: dict[Calendar, float] = {}
        for line in self.lines.values():
            if now >= line.due_at and not self._has_own_clock:
                self._enter(line, now)
            if line.awaits_close and line.knows_close():
                line.awaits_close = False
                self._store_day(line)
                self._changed(line)  # the time of its confirmation tells that it is the close
            calendar = line.listing.calendar
            limit = oldest.get(calendar)
            if limit is None or self._has_own_clock:
                limit = oldest[calendar] = self._confirmed_since(line.hours, now, monotonic)
            if line.confirmed_at < limit and not line.is_stale and line.price is not None:
                line.is_stale = True
                self._changed(line)
            if line.in_step:
                for built in line.bars.close_until(close_until):
                    self._built(line, built)

    def _confirmed_since(self, hours: Hours, now: datetime, monotonic: float) -> float:
        """Returns the monotonic time since which a price that is not stale has been confirmed."""
        since: datetime | None
        if self._has_own_clock:  # whose times are not those of `now`
            since = None if hours.phase == "closed" else now - self._stale_after
        else:
            since = confirmed_since(hours, now, self._stale_after, timedelta(seconds=self._delayed_by))
        return float("-inf") if since is None else monotonic - (now - since).total_seconds()

    def _built(self, line: Line, built: BuiltBar) -> None:
        if line.is_owned:
            self.bars.append((line.listing.asset_id, built))
            if built.bar.interval == "1m" and line.in_step:
                # The open day goes along once a minute, so that a killed process loses little of it.
                self._store_day(line)

    def _store_day(self, line: Line) -> None:
        """Stores the open day; a market that has closed is not asked for its close before it opens again."""
        day = line.bars.day
        if day is not None and line.is_owned:
            self.bars.append((line.listing.asset_id, line.bars.open_bars()[-1]))
            day.fresh = False

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
