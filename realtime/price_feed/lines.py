"""One asset as one source sees it: its last price, its session, and the record that both make.

Owns the arithmetic of a single line; the batcher decides what a line takes, numbers it and sends it. A quote's open,
high, low and volume go before our own, which are those of the open day bar. Whatever is sent is in the units of now:
a price from before a split is divided at the split's moment, and kept as it was traded beside.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET

from assets.hours import Hours, is_regular, session_of_day
from assets.market import Bar, Greeks, Quote, Trade, change_since
from assets.splits import (
    NEVER,
    Ratio,
    as_traded,
    is_restated,
    newest_until,
    ratio_between,
    restated,
    shown_close,
)
from realtime.price_feed.bars import BarBuilder
from realtime.price_feed.channels import Identity
from realtime.price_feed.listing import Close, LastPrice, Listing
from realtime.price_feed.sides import Sides
from realtime.protocol import QuoteRecord, wire_time

Window = Literal["session", "24h"]

FOREVER = datetime.max.replace(tzinfo=UTC)
INSTANT = timedelta.resolution
# A price that jumps by more is a unit mixed up, pence for pounds, until the next one says the same.
LARGEST_JUMP = 50
# So far from where it was last looked at a price may be without being looked at again.
SMALL_JUMP = 7
ANY_PRICE = Decimal("-Infinity"), Decimal("Infinity")
NO_PRICE = Decimal(0), Decimal(0)
_NO_GREEKS = (UNSET,) * len(Greeks.__struct_fields__)


class Suspect(NamedTuple):
    """A price too far from the last one; the next one that says the same, and nothing else before it, proves it."""

    price: Decimal
    as_of: datetime
    floor: datetime | None


def _is_near(price: Decimal, other: Decimal) -> bool:
    return price <= other * LARGEST_JUMP and other <= price * LARGEST_JUMP


def _in(price: Decimal | None, ratio: Ratio | None) -> Decimal | None:
    return price if price is None or ratio is None else restated(price, ratio)


class Line(Sides):
    """The state of one asset at one source."""

    __slots__ = (
        "_as_of",
        "_as_of_text",
        "_bar_ratio",
        "_change",
        "_change_from",
        "_change_to",
        "_percent",
        "as_of",
        "average_price",
        "awaits_close",
        "bars",
        "bars_kept",
        "close",
        "confirmed_at",
        "delayed_by",
        "due_at",
        "floor",
        "high",
        "hours",
        "in_step",
        "is_dirty",
        "is_owned",
        "is_settled",
        "is_stale",
        "last_quantity",
        "least",
        "listing",
        "low",
        "most",
        "open",
        "open_interest",
        "previous_close",
        "price",
        "quote",
        "raw_price",
        "received_at",
        "restored",
        "seq",
        "since",
        "suspect",
        "trade",
        "units_at",
        "until",
        "volume",
        "watcher",
        "window",
    )

    def __init__(self, listing: Listing, hours: Hours, confirmed_at: float, delayed_by: int = 0) -> None:
        super().__init__()
        self.listing = listing
        self.bars = BarBuilder(listing.symbol, listing.calendar)
        self.price: Decimal | None = None
        self.as_of = self.received_at = NEVER
        # The time of the last split so far; a price from before it is divided, and was traded at `raw_price`.
        self.units_at = NEVER
        self.raw_price: Decimal | None = None
        # A price between these needs no second look, nor does a tick between those.
        self.least, self.most = NO_PRICE
        self.since = self.until = NEVER
        self.suspect: Suspect | None = None
        self.last_quantity: Decimal | None = None
        # Of the source's own window; the session's own ones are those of the open day bar.
        self.open: Decimal | None = None
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.volume: Decimal | None = None
        self.window: Window = "session"
        self.average_price: Decimal | None = None
        self.open_interest: Decimal | None = None
        # The builder's count of changes when the bars were last put into Redis.
        self.bars_kept = 0
        # Depth changes more often than prices: the last time as text, the last change with what it leads from and to.
        self._as_of: datetime | None = None
        self._as_of_text = ""
        self._change: Decimal | None = None
        self._percent: Decimal | None = None
        self._change_from: Decimal | None = None
        self._change_to: Decimal | None = None
        self.hours = hours
        self.due_at = NEVER
        self.is_settled = False  # the official close is known, and nothing of this session goes before it
        self.awaits_close = False  # the session is over, and the source has not been heard since
        self.delayed_by = delayed_by
        self.close: Close | None = None
        self.previous_close: Decimal | None = None
        self.seq = 0
        self.floor: datetime | None = None
        self.quote: Quote | None = None
        self.trade: Trade | None = None
        self.restored: tuple[datetime, Decimal, Decimal | None] | None = None
        self.confirmed_at = confirmed_at
        self.is_stale = False
        self.is_dirty = False
        self.is_owned = True
        self.in_step = False
        # Is called with each price that is taken; of a line that nobody has an alert on, nobody.
        self.watcher: Callable[[Line], None] | None = None
        self._bar_ratio: Ratio | None = None
        self.enter(hours, hours.asked_at)

    def restore(self, last: LastPrice) -> None:
        """Takes a price from before this process, and the rest of its record."""
        self.as_of, self.received_at = last.as_of, last.received_at
        self.keep_raw(last.price)
        if last.record is not None:
            self._restore_record(last.record)
            self.restored = last.as_of, last.price, self.last_quantity
            self.bars.repeats_are_known = True
        hours = self.hours
        if hours.is_over and self.as_of == hours.session.close:
            self.settle(last.price)
        self.awaits_close = hours.is_over and not self.knows_close()
        self.learn_from_price()

    def _restore_record(self, record: QuoteRecord) -> None:
        units_at = self.as_of if record.units_at is UNSET else datetime.fromisoformat(record.units_at)
        ratio = ratio_between(self.listing.splits, units_at, self.units_at)
        self.last_quantity, self.open_interest = record.last_quantity, record.open_interest
        self.average_price = _in(record.average_price, ratio)
        if record.delta is not UNSET:
            greeks = (getattr(record, name) for name in Greeks.__struct_fields__)
            self.greeks = Greeks(**dict(zip(Greeks.__struct_fields__, greeks, strict=True)))
        if ratio is None:
            self.bid, self.ask, self.bids, self.asks = record.bid, record.ask, record.bids, record.asks
        if record.window == "24h":
            self.window = "24h"
            self.open, self.high, self.low = (_in(p, ratio) for p in (record.open, record.high, record.low))
            self.volume = record.volume
        elif (
            self.as_of >= self.hours.session.open
            and units_at < self.hours.session.close + INSTANT
            and None not in (record.open, record.high, record.low)
        ):
            # Fresher than the stored bar, and a derived high must go on growing.
            assert record.open is not None and record.high is not None and record.low is not None
            self.bars.resume(
                Bar(
                    symbol=record.symbol,
                    interval="1d",
                    start=self.hours.session.open,
                    open=record.open,
                    high=record.high,
                    low=record.low,
                    close=record.price,
                    volume=record.volume,
                )
            )

    def learn_from_price(self) -> None:
        """A last trade from before this session is the last regular trade before it, hence its previous close."""
        calendar = self.listing.calendar
        is_earlier = self.price is not None and self.as_of < self.hours.session.open
        if is_earlier and is_regular(calendar, self.as_of):
            self._keep_close(calendar.session_at(self.as_of).open)

    def _keep_close(self, start: datetime) -> None:
        """Takes the last price for the close of a session, unless a stored or a later one is known."""
        known = self.close
        if known is None or start > known.start or (start == known.start and known.is_ours):
            price = self.price_as_traded()
            assert price is not None
            self.close = Close(start, price, is_ours=True)
            self.previous_close = self._shown_close()

    # -- its units

    def price_as_traded(self) -> Decimal | None:
        """Returns the last price in the units of its own time, which is how it is stored."""
        return self.raw_price if self.as_of < self.units_at else self.price

    def keep_raw(self, price: Decimal) -> None:
        """Takes the price of `as_of` as it was traded then."""
        self.raw_price, self.price = price, self.in_units(price, self.as_of)

    def in_units(self, price: Decimal, as_of: datetime) -> Decimal:
        """Returns a price as it was traded at a time in the units of now."""
        ratio = ratio_between(self.listing.splits, as_of, self.units_at)
        return price if ratio is None else restated(price, ratio)

    def as_it_was(self, price: Decimal, as_of: datetime) -> Decimal:
        """Returns a source's late price of before a split as it was traded then; the source may have divided it."""
        ratio = ratio_between(self.listing.splits, as_of, self.units_at)
        known = self.price_as_traded()
        if ratio is None or known is None or self.as_of >= self.units_at:
            return price
        return as_traded(price, ratio) if is_restated(price, known, ratio) else price

    def _restate(self, moment: datetime) -> None:
        """Divides what is older than the splits that have taken effect."""
        splits, before = self.listing.splits, self.units_at
        newest = newest_until(splits, moment)
        price, session = self.price_as_traded(), self.hours.session
        self.units_at = newest
        self._bar_ratio = ratio_between(splits, session.close - INSTANT, newest)
        if price is None or newest == before == NEVER:
            return
        self.keep_raw(price)
        self.least, self.most = NO_PRICE
        ratio = ratio_between(splits, max(self.as_of, before), newest)
        if ratio is not None:
            self.depth = self.book = self.deep = self.bid = self.ask = self.bids = self.asks = self.greeks = (
                None
            )
            self.open, self.high, self.low = (_in(p, ratio) for p in (self.open, self.high, self.low))
            self.average_price = _in(self.average_price, ratio)
        within = ratio_between(splits, max(before, session.open), min(newest, session.close - INSTANT))
        for bar in (self.bars.minute, self.bars.day):
            if within is not None and bar is not None and bar.start < newest:
                bar.restate(within)

    # -- which prices can be

    def doubt(self, price: Decimal, as_of: datetime) -> str:
        """Returns why a price that is not between `least` and `most` is refused; empty if it is not."""
        if not price.is_finite() or (price <= 0 and not self.listing.may_be_negative):
            return "price"
        if self.listing.may_be_negative:
            self.least, self.most = ANY_PRICE
            return ""
        price = self.in_units(price, as_of)
        if self.price is not None and not _is_near(price, self.price):
            suspect, self.suspect = self.suspect, Suspect(price, as_of, self.floor)
            if (
                suspect is None
                or suspect.floor != self.floor
                or suspect.as_of == as_of
                or not _is_near(price, suspect.price)
            ):
                return "outlier"
        self.suspect = None
        self.least, self.most = price / SMALL_JUMP, price * SMALL_JUMP
        return ""

    # -- what comes beside a price

    def keep_sides(self, quote: Quote) -> None:
        if self.depth is not None:  # came before it
            self.read_depth()
        if quote.bid is not None:
            self.bid = quote.bid
        if quote.ask is not None:
            self.ask = quote.ask

    def keep_quote(self, quote: Quote) -> None:
        if self.depth is not None:
            self.read_depth()
        if quote.bid is not None:  # as `keep_sides`, without a call for each tick
            self.bid = quote.bid
        if quote.ask is not None:
            self.ask = quote.ask
        if quote.last_quantity is not None:
            self.last_quantity = quote.last_quantity
        if (
            quote.high is not None
            or quote.low is not None
            or quote.open is not None
            or quote.volume is not None
        ):
            self.window = quote.window
            self.open, self.high, self.low, self.volume = quote.open, quote.high, quote.low, quote.volume
            if quote.window == "session" and self.bars.day is not None:
                self.bars.day.adopt(quote.open, quote.high, quote.low, quote.volume, quote.as_of)
        elif self.high is not None:  # told before, in a fuller mode or by another message
            self.keep_range(quote.price)
        if quote.average_price is not None:
            self.average_price = quote.average_price
        if quote.open_interest is not None:
            self.open_interest = quote.open_interest
        if quote.greeks is not None:
            self.greeks = quote.greeks

    def covers(self, quote: Quote) -> bool:
        """Whether what a quote says of high and low is of this line's window, and not of an earlier session."""
        return quote.window == "24h" or quote.as_of >= self.hours.session.open

    def keep_trade(self, trade: Trade) -> None:
        self.last_quantity = trade.quantity
        self.keep_range(trade.price)

    def was_restored_with(self, trade: Trade) -> bool:
        """Whether a trade is the one that gave the price from before this process."""
        return self.restored == (trade.as_of, trade.price, trade.quantity)

    def keep_range(self, price: Decimal) -> None:
        if self.high is not None and price > self.high:
            self.high = price
        if self.low is not None and price < self.low:
            self.low = price

    # -- its session

    def enter(self, hours: Hours, moment: datetime) -> None:
        """Goes by the hours and the units of a moment; a session that has opened rolls."""
        if hours.session.open > self.hours.session.open:
            self._roll(hours)
        self.hours = hours
        self._restate(moment)
        next_split = min(
            (split.effective_at for split in self.listing.splits if split.effective_at > moment),
            default=FOREVER,
        )
        self.due_at = min(hours.changes_at, next_split)
        self.since, self.until = max(hours.since, self.units_at), min(hours.until, next_split)
        if self.is_settled:
            self.until = self.since
        self.awaits_close = hours.is_over and not self.knows_close()
        self.previous_close = self._shown_close()

    def _roll(self, hours: Hours) -> None:
        """The last price at or before the new session's start becomes the previous close."""
        if self.price is not None and self.as_of <= hours.session.open:
            last = self.listing.calendar.session_at(self.as_of)
            self._keep_close(min(last.open, hours.before.open))
        self.is_settled = False
        if self.window == "session":
            self.open = self.high = self.low = self.volume = None

    def begin_again(self) -> None:
        """Forgets what came later: the source's own clock goes back."""
        self.close = None
        self.is_settled = False

    def settle(self, official_close: Decimal) -> None:
        """Takes the official close of the session that is over; no tick of it goes before that."""
        self.as_of = self.floor = self.hours.session.close
        self.keep_raw(official_close)
        self.is_settled = True
        self.until = self.since

    def knows_close(self) -> bool:
        """Whether the source was heard when its last price was the session's close."""
        return self.received_at >= self.hours.session.close + timedelta(seconds=self.delayed_by)

    def learn_close(self, close: Close) -> bool:
        """Takes the close of an earlier session, unless a later one is known; returns whether it changed anything."""
        known = self.close
        if close.start >= self.hours.session.open:
            return False
        if known is not None and (close == known or close.start < known.start):
            return False
        before, self.close = self.previous_close, close
        self.previous_close = self._shown_close()
        return self.previous_close != before

    def _shown_close(self) -> Decimal | None:
        """Returns the previous close in the units of now, which it may be in already if a vendor divided it."""
        close, splits = self.close, self.listing.splits
        if close is None or close.start >= self.hours.session.open:
            return None
        if not splits:
            return close.price
        known = self.raw_price if self.as_of < self.units_at and not close.is_ours else None
        ended = session_of_day(self.listing.calendar, close.start).close
        return shown_close(close.price, ended, splits, self.units_at, known)

    # -- what is sent of it

    def record(self, source: str, epoch: int) -> QuoteRecord:
        price, close = self.price, self.previous_close
        assert price is not None
        if self.depth is not None:
            self.read_depth()
        if price is not self._change_to or close is not self._change_from:
            self._change, self._percent = change_since(price, close)
            self._change_to, self._change_from = price, close
        if self.as_of is not self._as_of:
            self._as_of, self._as_of_text = self.as_of, wire_time(self.as_of)
        opened, high, low, volume = self._window()
        is_divided, greeks = self.as_of < self.units_at, self.greeks
        # By position: naming 25 fields costs five times what the record does.
        shown = (
            self.listing.symbol,
            price,
            self._as_of_text,
            source,
            self.seq,
            epoch,
            self.listing.currency,
            wire_time(self.received_at),
            self._change,
            self._percent,
            volume,
            high,
            low,
            close,
            opened,
            self.bid,
            self.ask,
            self.last_quantity,
            self.hours.phase,
            self.is_stale,
            self.delayed_by,
            self.window,
            self.bids,
            self.asks,
            self.average_price,
            self.open_interest,
        )
        if greeks is None and not is_divided:
            return QuoteRecord(*shown)
        return QuoteRecord(  # type: ignore[call-arg]
            *shown,
            *(_NO_GREEKS if greeks is None else msgspec.structs.astuple(greeks)),
            wire_time(self.units_at) if is_divided else UNSET,
            self.raw_price if is_divided and self.raw_price is not None else UNSET,
        )

    def news_texts(self, source: str, epoch: int) -> dict[str, str]:
        """Returns the JSON of each channel that has something new; to be asked after the record."""
        if self.news is None or self.tape is None:
            return {}
        told = Identity(self.listing.symbol, source, self.seq, epoch)
        return self.news.texts(told, self.tape, self.deep, self.received_at, self.bars)

    def _window(self) -> tuple[Decimal | None, Decimal | None, Decimal | None, Decimal | None]:
        """Returns open, high, low and volume: the source's where it gives them, else our own of the session."""
        if self.window == "24h":
            return self.open, self.high, self.low, self.volume
        day, ratio = self.bars.day, self._bar_ratio
        if day is None or day.start != self.hours.session.open:
            return self.open, self.high, self.low, self.volume
        opened, high, low = day.open, day.high, day.low
        if ratio is not None:
            opened, high, low = restated(opened, ratio), restated(high, ratio), restated(low, ratio)
        return (
            opened if self.open is None else self.open,
            high if self.high is None else self.high,
            low if self.low is None else self.low,
            day.volume if self.volume is None else self.volume,
        )
