"""What one source last said of all of its assets: numbered, conflated, and each in the session it belongs to.

Pure: events and clocks in, records and bars out. It knows no Redis, no database and no event loop, and holds one
line an asset whatever the load. A line's `seq` counts every accepted tick, so a jump in what is sent shows what was
conflated. The session is the calendar's and rolls by the clock, with or without a tick; a tick outside regular hours
moves no price. Nearly every tick lies between four values of its line, and asks no calendar.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from assets.hours import is_regular, session_of_day
from assets.market import Bar, BidAsk, Book, Depth, MarketNotice, Quote, Trade
from assets.sessions import Calendar
from realtime.feeds.base import Event
from realtime.price_feed.followed import Followed
from realtime.price_feed.lines import Line
from realtime.price_feed.open_bar import Tick
from realtime.protocol import QuoteRecord

# A tick from further ahead is a broken clock, and would shut out every right one after it.
FUTURE_LIMIT = timedelta(seconds=5)
# A bar is closed by the clock this long after its end, so that ticks on their way still count.
BAR_GRACE = timedelta(seconds=2)
NOTHING = Decimal(0)


class Batcher(Followed):
    """All lines of one source, and what it says of them."""

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
                elif isinstance(event, BidAsk):
                    self._bid_ask(event, received_at, monotonic)
                elif isinstance(event, Bar):
                    self._bar(event, received_at, monotonic)
                elif isinstance(event, MarketNotice):
                    self._notice(event, received_at, monotonic)
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
        if self._tapes_quotes and quantity is not None and not is_repeated:
            line.keep_on_tape(quote)

    def _trade(self, trade: Trade, received_at: datetime, monotonic: float) -> None:
        line, as_of = self._line(trade.symbol), trade.as_of
        if line is None:
            return
        if line.floor is not None and as_of < line.floor:
            self._late_trade(line, trade, received_at, monotonic)
            return
        is_whole = trade.updates_last and trade.updates_high_low
        if not is_whole and not trade.updates_last and not trade.updates_high_low:
            # Its price is no price of the market, and only has to be a number.
            if not self._is_possible(line, trade, received_at):
                return
        elif not self._accepts(line, trade.price, as_of, received_at):
            return
        is_usual = line.since <= as_of < line.until
        if not is_usual and not self._counts(line, as_of, received_at):
            self._off_hours_trade(line, trade, received_at, monotonic)
            return
        if self._is_known(line, trade):
            self.rejected["duplicate"] += 1
            self._confirm(line, received_at, monotonic)
            return
        quantity = trade.quantity if trade.updates_volume else None
        if line.trade is None and quantity is not None and line.was_restored_with(trade):
            quantity = NOTHING  # was counted before this process, or by another
        line.trade = trade
        line.keep_on_tape(trade)
        if not is_whole:
            self._partial_trade(line, trade, received_at, monotonic)
            return
        take = self._price if is_usual else self._late_price
        take(line, trade.price, as_of, received_at, monotonic, quantity, False)
        if is_usual or as_of >= line.units_at:
            line.keep_trade(trade)

    def _is_known(self, line: Line, trade: Trade) -> bool:
        known = line.trade
        if known is not None and (trade == known or (trade.trade_id and trade.trade_id == known.trade_id)):
            return True
        # A new connection may begin with trades of the last one.
        return line.floor is None and bool(trade.trade_id) and line.was_told(trade)

    def _is_possible(self, line: Line, trade: Trade, received_at: datetime) -> bool:
        price = trade.price
        if not price.is_finite() or (price <= 0 and not line.listing.may_be_negative):
            self.rejected["price"] += 1
        elif trade.as_of > received_at + FUTURE_LIMIT:
            self.rejected["future"] += 1
        else:
            return True
        return False

    def _off_hours_trade(self, line: Line, trade: Trade, received_at: datetime, monotonic: float) -> None:
        """A print of the night, or of a market that is settled: it is told, and moves nothing."""
        self.rejected["off_hours"] += 1
        self._confirm(line, received_at, monotonic)
        if not line.was_told(trade):
            line.keep_on_tape(trade)
            if line.news is not None:
                self._changed(line)

    def _partial_trade(self, line: Line, trade: Trade, received_at: datetime, monotonic: float) -> None:
        """A trade that its conditions keep from the price, or from the range of the day."""
        if not self._revise(line, trade):
            self.rejected["too_late"] += 1
        if trade.updates_high_low:
            line.keep_range(trade.price)
        if trade.updates_last:
            line.last_quantity = trade.quantity
            self._price(line, trade.price, trade.as_of, received_at, monotonic, None, True)
            return
        self._heard(line, received_at, monotonic)

    def _late_trade(self, line: Line, trade: Trade, received_at: datetime, monotonic: float) -> None:
        """A trade from before the last price: it never moves that, but may revise the bar it belongs to."""
        price, as_of = trade.price, trade.as_of
        if not line.least < price < line.most and (reason := line.doubt(price, as_of)):
            self.rejected[reason] += 1
            return
        if line.was_told(trade):
            self.rejected["duplicate"] += 1
            self._confirm(line, received_at, monotonic)
            return
        if line.hours.phase != "always" and not is_regular(line.listing.calendar, as_of):
            self._off_hours_trade(line, trade, received_at, monotonic)
            return
        line.keep_on_tape(trade)
        if as_of < line.units_at or not self._revise(line, trade):
            self.rejected["too_late"] += 1
            self._confirm(line, received_at, monotonic)
            if line.news is not None:
                self._changed(line)
            return
        if trade.updates_high_low and as_of >= line.hours.session.open:
            line.keep_range(price)
        self._heard(line, received_at, monotonic)

    def _revise(self, line: Line, trade: Trade) -> bool:
        """Gives a bar what a trade may do to it; returns False when it is too late for that."""
        quantity = trade.quantity if trade.updates_volume else None
        tick = Tick(trade.price, quantity, trade.as_of, trade.updates_last, trade.updates_high_low)
        revised = line.bars.add_beside(tick)
        for built in revised or ():
            self._built(line, built)
        return revised is not None

    def _heard(self, line: Line, received_at: datetime, monotonic: float) -> None:
        """Something has changed that is neither price nor depth."""
        self._confirm(line, received_at, monotonic)
        self.ticks += 1
        self.last_tick_at = monotonic
        self._changed(line)

    def _bid_ask(self, sides: BidAsk, received_at: datetime, monotonic: float) -> None:
        line = self._line(sides.symbol)
        if line is None:
            return
        if sides.as_of > received_at and sides.as_of > received_at + FUTURE_LIMIT:
            self.rejected["future"] += 1
            return
        self.ticks += 1
        self.last_tick_at = monotonic
        self._confirm(line, received_at, monotonic)
        if sides.as_of >= line.units_at and line.keep_bid_ask(sides):
            self._changed(line)

    def _bar(self, bar: Bar, received_at: datetime, monotonic: float) -> None:
        """What the source says of a whole interval goes before what we have built of it."""
        line = self._line(bar.symbol)
        if line is None:
            return
        for price in (bar.low, bar.high, bar.open, bar.close):
            if not line.least < price < line.most and (reason := line.doubt(price, bar.start)):
                self.rejected[reason] += 1
                return
        if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
            self.rejected["malformed"] += 1
            return
        is_day = bar.interval == "1d"
        start = session_of_day(line.listing.calendar, bar.start).open if is_day else bar.start
        if start > received_at + FUTURE_LIMIT:
            self.rejected["future"] += 1
            return
        is_usual = is_day or line.since <= start < line.until
        if not is_usual and line.listing.calendar.phase(start) == "closed":
            self.rejected["off_hours"] += 1
            self._confirm(line, received_at, monotonic)
            return
        for built in line.bars.tell(bar, received_at):
            self._built(line, built)
        self._heard(line, received_at, monotonic)

    def _notice(self, notice: MarketNotice, received_at: datetime, monotonic: float) -> None:
        line = self._line(notice.symbol)
        if line is None:
            return
        line.notices[notice.kind] = notice
        self._confirm(line, received_at, monotonic)
        if line.news is not None:
            line.news.notice(notice)
            self._changed(line)

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

    # -- epochs

    def restart(self) -> None:
        """Lets times go back: what follows does not continue what came before."""
        for line in self.lines.values():
            line.floor = None
            line.quote = None
            if self._has_own_clock:
                line.trade = None
                if line.tape is not None:
                    line.tape.trades.clear()
                for built in line.bars.restart():
                    self._built(line, built)

    def begin(self, epoch: int, superseded: Collection[str] = ()) -> None:
        """Numbers anew; every last value is sent again, except those that another source has overtaken."""
        self.epoch = epoch
        for symbol, line in self.lines.items():
            line.seq = 0
            line.begin_tape()
            if line.price is not None and symbol not in superseded:
                self._changed(line)

    # -- what is sent

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
        """Returns the newest record of every asset that changed since the last call; `news` is what else did."""
        dirty, self._dirty = self._dirty, []
        records = {}
        self.news = {}
        for line in dirty:
            line.is_dirty = False
            if line.is_owned:
                records[line.listing.symbol] = line.record(self.source, self.epoch)
                if line.news is not None and (texts := line.news_texts(self.source, self.epoch)):
                    self.news[line.listing.symbol] = texts
        return records

    def put_back(self, symbols: Iterable[str]) -> None:
        """Marks records that could not be sent, so that whatever is newest then is sent later."""
        for symbol in symbols:
            if (line := self.lines.get(symbol)) is not None:
                if line.news is not None:
                    line.news.untell()
                self._mark(line)

    def send_again(self, symbols: Iterable[str]) -> None:
        """Marks records that somebody has come to want, under the number that they have."""
        for symbol in symbols:
            if (line := self.lines.get(symbol)) is not None:
                self._mark(line)

    def last(self, symbol: str) -> QuoteRecord | None:
        """Returns an asset's last record, if this source publishes it and has numbered it."""
        line = self.lines.get(symbol)
        if line is None or line.price is None or not line.is_owned or not line.seq:
            return None
        return line.record(self.source, self.epoch)
