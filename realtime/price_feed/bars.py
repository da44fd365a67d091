"""Minute and daily bars of one symbol, built from every regular tick before conflation.

Owns only the arithmetic: it stores nothing and reads no clock. A daily bar begins with its session and ends where the
next one opens. Ticks must come in order of their own time; a tick from before the open bar is left out of the bars,
because the bar it belongs to has been handed over already.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from assets.market import Bar
from assets.sessions import AROUND_THE_CLOCK, Calendar, Session
from assets.splits import Ratio, restated

Interval = Literal["1m", "1d"]
MINUTE = timedelta(minutes=1)


def minute_start(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(second=0, microsecond=0)


class OpenBar:
    """One bar that still grows.

    `fresh` says that the bar may have begun before we listened, so that what is stored of it must be kept.
    """

    __slots__ = (
        "close",
        "end",
        "first_quantity",
        "fresh",
        "high",
        "interval",
        "low",
        "open",
        "start",
        "volume",
    )

    def __init__(
        self, interval: Interval, start: datetime, end: datetime, price: Decimal, *, fresh: bool = False
    ) -> None:
        self.interval: Interval = interval
        self.start = start
        self.end = end
        self.open = self.high = self.low = self.close = price
        self.volume: Decimal | None = None
        self.first_quantity: Decimal | None = None
        self.fresh = fresh

    @classmethod
    def resume(cls, bar: Bar, end: datetime) -> "OpenBar":
        """Goes on with a bar that was stored before it was over."""
        resumed = cls(bar.interval, bar.start, end, bar.open)
        resumed.high, resumed.low, resumed.close, resumed.volume = bar.high, bar.low, bar.close, bar.volume
        return resumed

    def add(self, price: Decimal, quantity: Decimal | None) -> None:
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        if quantity is not None:
            if self.volume is None:
                self.volume = self.first_quantity = quantity
            else:
                self.volume += quantity

    def adopt(
        self, opened: Decimal | None, high: Decimal | None, low: Decimal | None, volume: Decimal | None
    ) -> None:
        """Takes what the source says of the same interval: it has seen all of it, and we perhaps not."""
        if opened is not None:
            self.open = opened
        if high is not None and high > self.high:
            self.high = high
        if low is not None and low < self.low:
            self.low = low
        if volume is not None:
            self.volume = volume

    def close_at(self, price: Decimal) -> None:
        """Takes the official close, which may be that of an auction we have not seen."""
        self.close, self.high, self.low = price, max(self.high, price), min(self.low, price)

    def restate(self, ratio: Ratio) -> None:
        """Goes on in new units."""
        self.open, self.high = restated(self.open, ratio), restated(self.high, ratio)
        self.low, self.close = restated(self.low, ratio), restated(self.close, ratio)

    def bar(self, symbol: str) -> Bar:
        return Bar(
            symbol=symbol,
            interval=self.interval,
            start=self.start,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            volume=self.volume,
        )


class BuiltBar(NamedTuple):
    """A bar to be stored; a `fresh` one joins what is stored of it, any other replaces it."""

    bar: Bar
    fresh: bool = False
    first_quantity: Decimal | None = None

    def joined(self, stored: Bar) -> Bar:
        """Returns both as one bar.

        The first tick after a connection repeats the source's last trade, which the stored bar has counted.
        """
        bar, volume = self.bar, self.bar.volume
        if volume is not None and stored.volume is not None:
            volume += stored.volume - (self.first_quantity or 0)
        return msgspec.structs.replace(
            bar,
            open=stored.open,
            high=max(bar.high, stored.high),
            low=min(bar.low, stored.low),
            volume=stored.volume if volume is None else volume,
        )


class BarBuilder:
    """The open minute and the open day of one symbol."""

    __slots__ = ("_floors", "calendar", "day", "minute", "symbol")

    def __init__(self, symbol: str, calendar: Calendar = AROUND_THE_CLOCK) -> None:
        self.symbol = symbol
        self.calendar = calendar
        self.minute: OpenBar | None = None
        self.day: OpenBar | None = None
        # Where each interval's last handed-over bar ended: a straggler must not open that bar again.
        self._floors: dict[Interval, datetime] = {}

    def add(self, price: Decimal, quantity: Decimal | None, time: datetime) -> list[BuiltBar]:
        """Takes one tick and returns the bars that it closed."""
        minute, day = self.minute, self.day
        # Nearly every tick falls into the open minute, hence also into the open day.
        if minute is not None and day is not None and minute.start <= time < minute.end <= day.end:
            minute.add(price, quantity)
            day.add(price, quantity)
            return []
        closed = self.close_until(time)
        if self.minute is None and self._is_new("1m", time):
            start = minute_start(time)
            self.minute = OpenBar("1m", start, start + MINUTE, price, fresh="1m" not in self._floors)
        if self.day is None and self._is_new("1d", time):
            self.day = self._new_day(self.calendar.session_at(time), price, fresh="1d" not in self._floors)
        for bar in (self.minute, self.day):
            if bar is not None and time >= bar.start and self._is_new(bar.interval, time):
                bar.add(price, quantity)
        return closed

    def _is_new(self, interval: Interval, time: datetime) -> bool:
        floor = self._floors.get(interval)
        return floor is None or time >= floor

    def _new_day(self, session: Session, price: Decimal, *, fresh: bool) -> OpenBar:
        return OpenBar("1d", session.open, self.calendar.after(session).open, price, fresh=fresh)

    def settle(self, session: Session, price: Decimal) -> BuiltBar:
        """Takes a session's official close and returns its daily bar."""
        if self.day is None or self.day.start != session.open:
            self.day = self._new_day(session, price, fresh=False)
        self.day.close_at(price)
        return self._built(self.day)

    def close_until(self, time: datetime) -> list[BuiltBar]:
        """Returns and forgets the bars that are over at `time`."""
        closed = []
        if self.minute is not None and self.minute.end <= time:
            closed.append(self._built(self.minute))
            self._floors["1m"] = self.minute.end
            self.minute = None
        if self.day is not None and self.day.end <= time:
            closed.append(self._built(self.day))
            self._floors["1d"] = self.day.end
            self.day = None
        return closed

    def _built(self, bar: OpenBar) -> BuiltBar:
        return BuiltBar(bar.bar(self.symbol), bar.fresh, bar.first_quantity)

    def open_bars(self) -> list[BuiltBar]:
        return [self._built(bar) for bar in (self.minute, self.day) if bar is not None]

    def resume(self, bar: Bar) -> None:
        """Goes on with a stored bar, unless one is open already."""
        if bar.interval == "1m" and self.minute is None:
            self.minute = OpenBar.resume(bar, bar.start + MINUTE)
        elif bar.interval == "1d" and self.day is None:
            end = self.calendar.after(self.calendar.session_at(bar.start)).open
            self.day = OpenBar.resume(bar, end)

    def restart(self) -> list[BuiltBar]:
        """Returns and forgets what is open: the next tick may be of any time."""
        left = self.open_bars()
        self.minute = self.day = None
        self._floors.clear()
        return left
