"""The lines of one source: which there are, which session each is in, who publishes them, and their bars.

What the source says of them is the batcher's to take; here is what surrounds that, without the database and Redis.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from assets.hours import Hours, confirmed_since, hours_at
from assets.sessions import Calendar
from realtime.price_feed.channels import shown_bars
from realtime.price_feed.lines import NO_PRICE, Line
from realtime.price_feed.listing import Close, LastPrice, Listing, publisher
from realtime.price_feed.open_bar import BuiltBar
from realtime.protocol import FULL_LEVELS


class Followed:
    """The lines of one source.

    Args:
        source: the source's name.
        stale_after: seconds without a confirmation after which a price is stale.
        delayed_by: seconds that the source is behind the market.
        quotes_are_trades: whether a quote's last quantity is traded volume that no `Trade` repeats.
        tells_trades: whether its trades can be wanted, be they quotes.
        has_own_clock: the source's time is the time of its ticks, as in a recording, and not ours.
    """

    def __init__(
        self,
        source: str,
        *,
        stale_after: float,
        delayed_by: int = 0,
        quotes_are_trades: bool = True,
        tells_trades: bool = False,
        has_own_clock: bool = False,
    ) -> None:
        self.source = source
        self.epoch = 0
        self.lines: dict[str, Line] = {}
        self.ticks = 0
        self.rejected: Counter[str] = Counter()
        # Symbol to the JSON of each channel that had news when the last records were made.
        self.news: dict[str, dict[str, str]] = {}
        self.bars: list[tuple[int, BuiltBar]] = []
        self.last_tick_at: float | None = None
        self._by_source_symbol: dict[str, Line] = {}
        self._dirty: list[Line] = []
        # Symbols of which anybody wants more than a quote with five levels.
        self._wanting: set[str] = set()
        self._stale_after = timedelta(seconds=stale_after)
        self._delayed_by = delayed_by
        self._hours: dict[Calendar, Hours] = {}
        self._quotes_are_trades = quotes_are_trades
        self._tapes_quotes = quotes_are_trades and tells_trades
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
                line.bars.continues_stored = not self._has_own_clock
                self.lines[symbol] = line
                added.append(line)
        for line in added:
            self._by_source_symbol[line.listing.source_symbol] = line
        calendars = {line.listing.calendar for line in self.lines.values()}
        self._hours = {calendar: hours for calendar, hours in self._hours.items() if calendar in calendars}
        return added, gone

    def line_of(self, source_symbol: str | None) -> Line | None:
        return None if source_symbol is None else self._by_source_symbol.get(source_symbol)

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

    def resume_bars(self, bars: Mapping[str, Iterable[BuiltBar]]) -> None:
        """Goes on with bars that were stored before they were over.

        Where nothing else is known of the price, a session that is over gives its close.
        """
        for symbol, stored in bars.items():
            line = self.lines.get(symbol)
            for built in stored if line is not None else ():
                assert line is not None
                bar = built.bar
                line.bars.resume(bar, built.revised)
                if line.price is None and line.hours.is_over and bar.start == line.hours.session.open:
                    line.as_of = line.received_at = line.hours.session.close
                    line.keep_raw(bar.close)

    # -- who wants and who publishes

    def want(self, wanted: Mapping[str, Collection[str]]) -> None:
        """Takes what anybody wants of each symbol now; what that brings to tell is sent."""
        for symbol in self._wanting - wanted.keys():
            if symbol in self.lines:
                self.lines[symbol].want(())
        self._wanting = set()
        for symbol, wants in wanted.items():
            line = self.lines.get(symbol)
            if line is None:
                continue
            if line.want(wants):
                self._changed(line)
            if line.news is not None or line.levels > FULL_LEVELS:
                self._wanting.add(symbol)

    def tell_again(self, symbols: Iterable[str]) -> None:
        """Tells what channels begin with once more, for a process that has come late; the others know it already."""
        for symbol in symbols:
            line = self.lines.get(symbol)
            if line is not None and line.news is not None and line.tape is not None:
                line.news.tell_all_again(line.tape)
                self._changed(line)

    def arbitrate(self, live: Mapping[str, Collection[str]]) -> None:
        """Publishes only assets of which this is the first live source; without any, whoever was goes on."""
        for symbol, line in self.lines.items():
            first = publisher(symbol, line.listing.sources, live)
            owned = line.is_owned if first is None else first == self.source
            if owned and not line.is_owned and line.floor is not None:
                line.seq += 1
                line.is_owned = True
                line.tell_from_now()
                self._mark(line)
            line.is_owned = owned

    # -- bars

    def _built(self, line: Line, built: BuiltBar) -> None:
        if line.is_owned:
            self.bars.append((line.listing.asset_id, built))
            if line.news is not None:
                line.news.hand_over(built)
                self._changed(line)
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

    def take_shown_bars(self, now: datetime) -> dict[str, str]:
        """Returns the JSON of every line's bars that changed since the last call."""
        texts = {}
        for symbol, line in self.lines.items():
            if line.bars_kept != line.bars.changes and line.is_owned:
                line.bars_kept = line.bars.changes
                texts[symbol] = shown_bars(line.bars, self.source, now)
        return texts

    def put_back_bars(self, symbols: Iterable[str]) -> None:
        """Makes the next call return these again, as they are then."""
        for symbol in symbols:
            if (line := self.lines.get(symbol)) is not None:
                line.bars_kept = -1

    # -- what is to be sent

    def _changed(self, line: Line) -> None:
        line.seq += 1
        self._mark(line)

    def _mark(self, line: Line) -> None:
        if not line.is_dirty and line.is_owned and line.price is not None:
            line.is_dirty = True
            self._dirty.append(line)

    def _confirmed_since(self, hours: Hours, now: datetime, monotonic: float) -> float:
        """Returns the monotonic time since which a price that is not stale has been confirmed."""
        since: datetime | None
        if self._has_own_clock:  # whose times are not those of `now`
            since = None if hours.phase == "closed" else now - self._stale_after
        else:
            since = confirmed_since(hours, now, self._stale_after, timedelta(seconds=self._delayed_by))
        return float("-inf") if since is None else monotonic - (now - since).total_seconds()
