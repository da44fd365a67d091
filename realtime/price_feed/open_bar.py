"""A bar that still grows, what makes it grow, and the bar that is handed over to be stored."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from assets.market import Bar
from assets.splits import Ratio, restated

Interval = Literal["1m", "1d"]
MINUTE = timedelta(minutes=1)
# Early enough, and a time from which one can still subtract.
LONG_AGO = datetime(2, 1, 1, tzinfo=UTC)
FOREVER = datetime.max.replace(tzinfo=UTC)


def minute_start(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(second=0, microsecond=0)


class Tick(NamedTuple):
    """One price at a time, and what it may do to a bar; `moves_last` covers open and close."""

    price: Decimal
    quantity: Decimal | None
    time: datetime
    moves_last: bool = True
    moves_range: bool = True


class OpenBar:
    """One bar that may still change.

    `fresh` says that the bar may have begun before we listened, so that what is stored of it must be kept; `is_told`
    that its source has told it whole, and knows better. Its volume is the source's up to `told_until`.
    """

    __slots__ = (
        "close",
        "closed_at",
        "end",
        "first_quantity",
        "fresh",
        "high",
        "interval",
        "is_told",
        "low",
        "open",
        "opened_at",
        "revised",
        "start",
        "told_until",
        "volume",
    )

    def __init__(
        self, interval: Interval, start: datetime, end: datetime, price: Decimal, opened_at: datetime
    ) -> None:
        self.interval: Interval = interval
        self.start = start
        self.end = end
        self.open = self.high = self.low = self.close = price
        self.volume: Decimal | None = None
        self.first_quantity: Decimal | None = None
        self.fresh = False
        self.is_told = False
        self.told_until = LONG_AGO
        self.revised = False
        # When the open was traded; when the close was, as far as it is known once the bar is over.
        self.opened_at = self.closed_at = opened_at

    @classmethod
    def of(cls, bar: Bar, end: datetime) -> "OpenBar":
        """Goes on with a bar whose trades we have not seen: none of ours can be its open, nor a late one its close."""
        made = cls(bar.interval, bar.start, end, bar.open, bar.start)
        made.high, made.low, made.close, made.volume = bar.high, bar.low, bar.close, bar.volume
        made.closed_at = end
        return made

    def add(self, price: Decimal, quantity: Decimal | None) -> None:
        """Takes a tick that is the newest."""
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

    def revise(self, tick: Tick, closed_at: datetime) -> bool:
        """Takes a tick that is late or does not count for everything; returns whether that changed the bar.

        Args:
            closed_at: when the close was traded.
        """
        if self.is_told:
            return False
        before = self.open, self.high, self.low, self.close, self.volume
        if tick.moves_last and tick.time < self.opened_at:
            self.open, self.opened_at = tick.price, tick.time
        if tick.moves_last and tick.time >= closed_at:
            self.close, self.closed_at = tick.price, tick.time
        if tick.moves_range:
            self.high, self.low = max(self.high, tick.price), min(self.low, tick.price)
        if tick.quantity is not None and tick.time > self.told_until:
            self.volume = tick.quantity if self.volume is None else self.volume + tick.quantity
        return before != (self.open, self.high, self.low, self.close, self.volume)

    def tell(self, bar: Bar) -> bool:
        """Takes what the source says of the whole bar; returns whether that changed it."""
        before = self.bar(bar.symbol)
        self.open, self.high, self.low, self.close = bar.open, bar.high, bar.low, bar.close
        if bar.volume is not None:
            self.volume, self.told_until = bar.volume, FOREVER
        self.fresh, self.is_told = False, True
        return before != self.bar(bar.symbol)

    def adopt(
        self,
        opened: Decimal | None,
        high: Decimal | None,
        low: Decimal | None,
        volume: Decimal | None,
        as_of: datetime,
    ) -> None:
        """Takes what the source says of the same interval: it has seen all of it, and we perhaps not."""
        if opened is not None:
            self.open = opened
        if high is not None and high > self.high:
            self.high = high
        if low is not None and low < self.low:
            self.low = low
        if volume is not None:
            self.volume, self.told_until = volume, max(as_of, self.told_until)

    def settle_at(self, price: Decimal) -> None:
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
    revised: bool = False

    def joined(self, stored: Bar) -> Bar:
        """Returns both as one bar.

        The first tick after a connection repeats the source's last trade, which the stored bar has counted; a bar that
        was joined before has counted all of its former volume.
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


class Unpriced:
    """What ticks that make no price have done to an interval that has no bar yet."""

    __slots__ = ("high", "low", "volume")

    def __init__(self) -> None:
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.volume: Decimal | None = None

    def take(self, tick: Tick) -> None:
        if tick.moves_range:
            self.high = tick.price if self.high is None else max(self.high, tick.price)
            self.low = tick.price if self.low is None else min(self.low, tick.price)
        if tick.quantity is not None:
            self.volume = tick.quantity if self.volume is None else self.volume + tick.quantity
