"""Minute and daily bars of one symbol, built from every regular tick before conflation.

Owns only the arithmetic: it stores nothing and reads no clock. A daily bar begins with its session and ends where the
next one opens. Whatever the order in which ticks come, the bars are those of their order in time: one that is late by
less than a quarter of an hour revises the bar it belongs to, handed over or not. What a source says of an interval
itself goes before what we have built.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from assets.hours import session_of_day
from assets.market import Bar
from assets.sessions import AROUND_THE_CLOCK, Calendar, Session
from realtime.price_feed.open_bar import (
    LONG_AGO,
    MINUTE,
    BuiltBar,
    Interval,
    OpenBar,
    Tick,
    Unpriced,
    minute_start,
)

# So late a trade may be and still revise its bar; until then the bar is kept after it was handed over.
REVISABLE = timedelta(minutes=15)
# Handed over bars that may not have reached the database yet.
RECENT_MINUTES = 2
INTERVALS: tuple[Interval, ...] = ("1m", "1d")


class BarBuilder:
    """The minutes and the days of one symbol: the open ones, and those handed over that may yet be revised."""

    __slots__ = (
        "_began",
        "_closed",
        "_closed_day",
        "_due",
        "_floors",
        "_last",
        "_unpriced",
        "calendar",
        "changes",
        "continues_stored",
        "day",
        "minute",
        "repeats_are_known",
        "symbol",
    )

    def __init__(self, symbol: str, calendar: Calendar = AROUND_THE_CLOCK) -> None:
        self.symbol = symbol
        self.calendar = calendar
        # Whether the first bar of each interval may have begun before we listened. A recording is heard from its
        # beginning: what is stored of it are the same trades, and to join those would count them twice.
        self.continues_stored = True
        # Whether a first trade that its source repeats comes without its quantity: else it is stored already.
        self.repeats_are_known = False
        self.minute: OpenBar | None = None
        self.day: OpenBar | None = None
        # Grows with everything that changes a bar, so that who shows bars sees that there is something new.
        self.changes = 0
        # The newest tick's time, or the open minute's start if that is later; the newest tick's time; the first minute
        # of which we know all.
        self._due = self._last = LONG_AGO
        self._began: datetime | None = None
        # Where each interval's last handed-over bar ended: no tick opens that bar again.
        self._floors: dict[Interval, datetime] = {}
        self._closed: dict[datetime, OpenBar] = {}
        self._closed_day: OpenBar | None = None
        self._unpriced: dict[tuple[Interval, datetime], Unpriced] = {}

    # -- ticks

    def add(self, price: Decimal, quantity: Decimal | None, time: datetime) -> list[BuiltBar]:
        """Takes the tick that makes the price and returns the bars that it closed or revised."""
        minute, day = self.minute, self.day
        # Nearly every tick is the newest of the open minute, hence also of the open day.
        if minute is not None and day is not None and self._due <= time < minute.end <= day.end:
            if quantity is None:
                minute.add(price, None)
                day.add(price, None)
            else:
                minute.add(price, quantity if time > minute.told_until else None)
                day.add(price, quantity if time > day.told_until else None)
            self._due = self._last = time
            self.changes += 1
            return []
        left = self._go_back(time) if time < self._last - REVISABLE else []
        return left + self._take(Tick(price, quantity, time))

    def add_beside(self, tick: Tick) -> list[BuiltBar] | None:
        """Takes a tick that is late, or counts for only a part; None when it is too late to revise anything."""
        if tick.time < self._last and not self._is_revisable(tick.time):
            return None
        return self._take(tick)

    def _is_revisable(self, time: datetime) -> bool:
        began = self._began
        return time >= self._last - REVISABLE and began is not None and minute_start(time) >= began

    def _go_back(self, time: datetime) -> list[BuiltBar]:
        """The source's own time has gone back: what is handed over stays, and what is over by now will not return."""
        left = []
        if self.minute is not None and time < self.minute.start:
            left = [self._hand_over(self.minute)]
            self._floors["1m"] = self.minute.end
            self.minute = None
        self._began = self._floors.get("1m", self._began)
        self._closed.clear()
        self._due = self._last = time
        return left

    def _take(self, tick: Tick) -> list[BuiltBar]:
        is_late = tick.time < self._last
        built = [] if is_late else self.close_until(tick.time)
        if self._began is None:
            self._began = minute_start(tick.time)
        for interval in INTERVALS:
            bar = self._bar_at(interval, tick.time)
            if bar is not None:
                built += self._change(bar, tick, is_late)
            elif not tick.moves_last:
                self._wait(interval, tick)
            elif (bar := self._new(interval, tick, is_late)) is not None:
                built += self._change(bar, tick, is_late, is_new=True)
                if bar.fresh and self.repeats_are_known:
                    bar.first_quantity = None
        if tick.moves_last and not is_late:
            self._last = tick.time
            self._due = max(self._due, tick.time)
        self.changes += 1
        return built

    def _change(self, bar: OpenBar, tick: Tick, is_late: bool, is_new: bool = False) -> list[BuiltBar]:
        """Takes a tick into its bar; returns the bar if it was over already and is another now."""
        is_open = bar is self.minute or bar is self.day
        if is_open and not is_late and tick.moves_last and tick.moves_range:
            bar.add(tick.price, tick.quantity if tick.time > bar.told_until else None)
            return []
        has_changed = bar.revise(tick, self._last if is_open else bar.closed_at)
        if (has_changed or is_new) and (is_late or not is_open):
            bar.revised = True
        return [self._hand_over(bar)] if (has_changed or is_new) and not is_open else []

    def _bar_at(self, interval: Interval, time: datetime) -> OpenBar | None:
        opened, over = (self.minute, None) if interval == "1m" else (self.day, self._closed_day)
        if opened is not None and opened.start <= time < opened.end:
            return opened
        if interval == "1m":
            return self._closed.get(minute_start(time)) if self._closed else None
        return over if over is not None and over.start <= time < over.end else None

    def _new(self, interval: Interval, tick: Tick, is_late: bool) -> OpenBar | None:
        """Begins the bar of a tick; None where it was handed over so long ago that it is known no more."""
        time, floor = tick.time, self._floors.get(interval)
        opened = self.minute if interval == "1m" else self.day
        may_open = opened is None and not is_late and (floor is None or time >= floor)
        if interval == "1d":
            if may_open:
                self.day = self._new_day(self.calendar.session_at(time), tick.price, time)
                self.day.fresh = self.continues_stored and floor is None
                self._price(self.day)
            return self.day if may_open else None
        start = minute_start(time)
        if not may_open and (self._began is None or start < self._began):
            return None
        bar = OpenBar("1m", start, start + MINUTE, tick.price, time)
        self._price(bar)
        if may_open:
            self.minute, bar.fresh = bar, self.continues_stored and floor is None
        else:  # the first tick of a minute that is over
            self._closed[start] = bar
        return bar

    def _new_day(self, session: Session, price: Decimal, opened_at: datetime) -> OpenBar:
        return OpenBar("1d", session.open, self.calendar.after(session).open, price, opened_at)

    # -- ticks without a price of their own

    def _wait(self, interval: Interval, tick: Tick) -> None:
        start = minute_start(tick.time) if interval == "1m" else self.calendar.session_at(tick.time).open
        if (interval, start) not in self._unpriced:
            self._forget_unpriced(tick.time - REVISABLE - MINUTE)  # a price to wait for may never come
            self._unpriced[interval, start] = Unpriced()
        self._unpriced[interval, start].take(tick)

    def _forget_unpriced(self, oldest: datetime) -> None:
        days = oldest - timedelta(days=7)
        self._unpriced = {
            key: left
            for key, left in self._unpriced.items()
            if key[1] >= (oldest if key[0] == "1m" else days)
        }

    def _price(self, bar: OpenBar) -> None:
        """Gives a new bar what has waited for its first price."""
        waiting = self._unpriced.pop((bar.interval, bar.start), None) if self._unpriced else None
        if waiting is not None:
            bar.volume = waiting.volume
            if waiting.high is not None and waiting.low is not None:
                bar.high, bar.low = max(bar.high, waiting.high), min(bar.low, waiting.low)

    # -- what the source says of whole bars

    def tell(self, bar: Bar, now: datetime) -> list[BuiltBar]:
        """Takes a source's own bar, as far as it has come at `now`; returns those that are to be stored by it."""
        end = bar.start + MINUTE
        if bar.interval == "1d":
            session = session_of_day(self.calendar, bar.start)
            bar, end = msgspec.structs.replace(bar, start=session.open), self.calendar.after(session).open
        bar = msgspec.structs.replace(bar, symbol=self.symbol)
        self.changes += 1
        known = self._bar_at(bar.interval, bar.start)
        if known is not None:
            return self._tell_known(known, bar)
        opened, floor = self.minute if bar.interval == "1m" else self.day, self._floors.get(bar.interval)
        made = OpenBar.of(bar, end)
        made.tell(bar)
        if (
            end > now
            and (floor is None or bar.start >= floor)
            and (opened is None or opened.end <= bar.start)
        ):
            built = self.close_until(bar.start)
            self._open(made)
            return built
        self._keep(made)
        return [self._hand_over(made)]

    def _tell_known(self, known: OpenBar, bar: Bar) -> list[BuiltBar]:
        was_told = known.is_told
        if not known.tell(bar) or known is self.minute or known is self.day:
            return []
        known.revised = was_told  # a correction; what we had built was no more than a guess
        return [self._hand_over(known)]

    def _open(self, bar: OpenBar) -> None:
        if bar.interval == "1m":
            self.minute = bar
            self._due = max(self._due, bar.start)
            self._began = bar.start if self._began is None else self._began
        else:
            self.day = bar

    def settle(self, session: Session, price: Decimal) -> BuiltBar:
        """Takes a session's official close and returns its daily bar; no late tick goes before that close."""
        if self.day is None or self.day.start != session.open:
            self.day = self._new_day(session, price, session.open)
        self.day.settle_at(price)
        self._last = max(self._last, session.close)
        self._due = max(self._due, session.close)
        self.changes += 1
        return self._built(self.day)

    # -- over

    def close_until(self, time: datetime) -> list[BuiltBar]:
        """Hands over the bars that are over at `time`."""
        closed = []
        if self.minute is not None and self.minute.end <= time:
            closed.append(self._close(self.minute))
            self.minute = None
        if self.day is not None and self.day.end <= time:
            closed.append(self._close(self.day))
            self.day = None
        return closed

    def _close(self, bar: OpenBar) -> BuiltBar:
        if self._last >= bar.start:
            bar.closed_at = self._last
        self._floors[bar.interval] = bar.end
        self._keep(bar)
        self.changes += 1
        return self._hand_over(bar)

    def _keep(self, bar: OpenBar) -> None:
        """Keeps a bar that is over for as long as it may be revised."""
        if bar.interval == "1d":
            if self._closed_day is None or bar.start > self._closed_day.start:
                self._closed_day = bar
            return
        self._closed[bar.start] = bar
        oldest = max(self._last, bar.end) - REVISABLE - MINUTE
        for start in [start for start in self._closed if start < oldest]:
            del self._closed[start]
        if self._unpriced:
            self._forget_unpriced(oldest)

    def _hand_over(self, bar: OpenBar) -> BuiltBar:
        built = self._built(bar)
        if bar.fresh:  # what is stored then has counted all of it
            bar.first_quantity = bar.volume
        return built

    def _built(self, bar: OpenBar) -> BuiltBar:
        return BuiltBar(bar.bar(self.symbol), bar.fresh, bar.first_quantity, bar.revised)

    def open_bars(self) -> list[BuiltBar]:
        return [self._built(bar) for bar in (self.minute, self.day) if bar is not None]

    def shown(self) -> Iterator[tuple[BuiltBar, bool]]:
        """Gives the open bars and those just handed over, each with whether it is over."""
        for start in sorted(self._closed)[-RECENT_MINUTES:]:
            yield self._built(self._closed[start]), True
        if self._closed_day is not None and self._last < self._closed_day.end + REVISABLE:
            yield self._built(self._closed_day), True
        for built in self.open_bars():
            yield built, False

    def resume(self, bar: Bar, revised: bool = False) -> None:
        """Goes on with a stored bar, unless one is open already; what was revised stays so."""
        if not self.continues_stored:
            return
        if bar.interval == "1m" and self.minute is None:
            self._open(OpenBar.of(bar, bar.start + MINUTE))
        elif bar.interval == "1d" and self.day is None:
            self._open(OpenBar.of(bar, self.calendar.after(self.calendar.session_at(bar.start)).open))
        if revised and (known := self._bar_at(bar.interval, bar.start)) is not None:
            known.revised = True
        self.changes += 1

    def restart(self) -> list[BuiltBar]:
        """Returns and forgets what is open: the next tick may be of any time."""
        left = self.open_bars()
        self.minute = self.day = self._began = self._closed_day = None
        self._due = self._last = LONG_AGO
        for known in (self._floors, self._closed, self._unpriced):
            known.clear()
        self.changes += 1
        return left
