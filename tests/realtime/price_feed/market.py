"""One asset of an exchange at one source, with a clock that tests move."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from assets.market import Bar, Quote, Trade
from assets.sessions import Calendar
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.listing import Close, LastPrice, Listing
from realtime.protocol import QuoteRecord
from tests.exchanges import NEW_YORK, utc

SECOND = timedelta(seconds=1)
TIMEOUT = 300.0
EPOCH = utc("2026-11-01")
# Of Thursday 19 November in New York.
OPEN, CLOSE = utc("2026-11-19T14:30"), utc("2026-11-19T21:00")
WEDNESDAY = utc("2026-11-18T14:30")


def make_listing(**changes: Any) -> Listing:
    return Listing(1, "ACME", "USD", "acme", ("simulator",), NEW_YORK)._replace(**changes)


class Market:
    """One line with a clock: monotonic time goes with the wall's."""

    def __init__(
        self,
        calendar: Calendar = NEW_YORK,
        now: datetime = OPEN,
        listing: Listing | None = None,
        **options: Any,
    ) -> None:
        self.listing = listing or Listing(1, "ACME", "USD", "acme", ("simulator",), calendar)
        self.batcher = Batcher("simulator", **{"stale_after": TIMEOUT, **options})
        self.batcher.follow([self.listing], now, self.seconds(now))
        self.batcher.begin(1)

    @staticmethod
    def seconds(moment: datetime) -> float:
        return (moment - EPOCH).total_seconds()

    def at(self, now: datetime) -> QuoteRecord | None:
        """What the clock alone changes."""
        self.batcher.tick(now, self.seconds(now))
        return self.flushed()

    def quote(
        self, price: str, as_of: datetime, heard: datetime | None = None, **more: Any
    ) -> QuoteRecord | None:
        return self.take(Quote(symbol="acme", price=Decimal(price), as_of=as_of, **more), heard or as_of)

    def trade(self, price: str, as_of: datetime, heard: datetime | None = None) -> QuoteRecord | None:
        trade = Trade(symbol="acme", price=Decimal(price), quantity=Decimal(1), as_of=as_of)
        return self.take(trade, heard or as_of)

    def take(self, event: Any, heard: datetime) -> QuoteRecord | None:
        self.batcher.take([event], heard, self.seconds(heard))
        return self.flushed()

    def confirm(self, heard: datetime) -> QuoteRecord | None:
        self.batcher.confirm(None, heard, self.seconds(heard))
        return self.flushed()

    def flushed(self) -> QuoteRecord | None:
        return self.batcher.changed().get("ACME")

    def knows(self, start: datetime, close: str) -> None:
        self.batcher.learn_closes({"ACME": Close(start, Decimal(close))})
        self.flushed()

    @property
    def last(self) -> QuoteRecord:
        record = self.batcher.last("ACME")
        assert record is not None
        return record

    @property
    def rejected(self) -> dict[str, int]:
        return dict(self.batcher.rejected)

    def daily_bars(self) -> list[Bar]:
        bars = [*self.batcher.take_bars(), *self.batcher.open_bars()]
        return [built.bar for _, built in bars if built.bar.interval == "1d"]


def restarted(before: Market, now: datetime, listing: Listing | None = None, **options: Any) -> Market:
    """The same line in a process that begins with the last record, as Redis has it."""
    record = before.last
    after = Market(now=now, listing=listing or before.listing, **options)
    raw = (
        record.price
        if record.raw_price is None or not isinstance(record.raw_price, Decimal)
        else record.raw_price
    )
    last = LastPrice(
        raw, datetime.fromisoformat(record.as_of), datetime.fromisoformat(record.received_at), record
    )
    after.batcher.restore("ACME", last, now, Market.seconds(now))
    after.batcher.begin(2)
    after.flushed()
    return after


def money(*texts: str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, texts))
