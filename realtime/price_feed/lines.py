"""One asset as one source sees it: its last price, its session, and the record that both make.

Owns the arithmetic of a single line; the batcher decides what a line takes, numbers it and sends it. A quote's open,
high, low and volume go before our own, which are those of the open day bar.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from assets.market import Bar, Book, Depth, Quote, Trade, change_since
from assets.market import session_start as session_start_of
from realtime.price_feed.bars import BarBuilder
from realtime.protocol import QuoteRecord, wire_time

Window = Literal["session", "24h"]

DEPTH_LEVELS = 5
DAY = timedelta(days=1)


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
        "_as_of",
        "_as_of_text",
        "_change",
        "_change_from",
        "_change_to",
        "_percent",
        "as_of",
        "ask",
        "asks",
        "average_price",
        "bars",
        "bid",
        "bids",
        "close",
        "confirmed_at",
        "depth",
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
        # What came last and has not been read yet; it goes before bid, ask, bids and asks.
        self.depth: Book | Depth | None = None
        # Depth changes more often than prices: the last time as text, the last change with what it leads from and to.
        self._as_of: datetime | None = None
        self._as_of_text = ""
        self._change: Decimal | None = None
        self._percent: Decimal | None = None
        self._change_from: Decimal | None = None
        self._change_to: Decimal | None = None
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

    def restore(self, last: LastPrice) -> None:
        """Takes a price from before this process, and the rest of its record."""
        self.price, self.as_of, self.received_at = last.price, last.as_of, last.received_at
        if last.record is not None:
            self._restore_record(last.record)
        self.learn_from_price()

    def _restore_record(self, record: QuoteRecord) -> None:
        self.bid, self.ask, self.last_quantity = record.bid, record.ask, record.last_quantity
        self.bids, self.asks = record.bids, record.asks
        self.average_price, self.open_interest = record.average_price, record.open_interest
        if record.window == "24h":
            self.window = "24h"
            self.open, self.high, self.low, self.volume = record.open, record.high, record.low, record.volume
        elif self.as_of >= self.session_start and None not in (record.open, record.high, record.low):
            # Fresher than the stored bar, and a derived high must go on growing.
            assert record.open is not None and record.high is not None and record.low is not None
            self.bars.resume(
                Bar(
                    symbol=record.symbol,
                    interval="1d",
                    start=self.session_start,
                    open=record.open,
                    high=record.high,
                    low=record.low,
                    close=record.price,
                    volume=record.volume,
                )
            )

    def learn_from_price(self) -> None:
        """A last trade from before this session is the last regular trade before it, hence its previous close."""
        if self.price is not None and self.as_of < self.session_start:
            start = session_start_of(self.as_of)
            if self.close is None or start >= self.close.start:
                self.close = Close(start, self.price)

    # -- what comes beside a price

    def keep_quote(self, quote: Quote) -> None:
        if self.depth is not None:  # came before it
            self._read_depth()
        if quote.last_quantity is not None:
            self.last_quantity = quote.last_quantity
        if quote.bid is not None:
            self.bid = quote.bid
        if quote.ask is not None:
            self.ask = quote.ask
        if (
            quote.high is not None
            or quote.low is not None
            or quote.open is not None
            or quote.volume is not None
        ):
            self.window = quote.window
            self.open, self.high, self.low, self.volume = quote.open, quote.high, quote.low, quote.volume
            if quote.window == "session" and self.bars.day is not None:
                self.bars.day.adopt(quote.open, quote.high, quote.low, quote.volume)
        if quote.average_price is not None:
            self.average_price = quote.average_price
        if quote.open_interest is not None:
            self.open_interest = quote.open_interest

    def keep_trade(self, trade: Trade) -> None:
        self.last_quantity = trade.quantity
        if self.high is not None and trade.price > self.high:
            self.high = trade.price
        if self.low is not None and trade.price < self.low:
            self.low = trade.price

    def _read_depth(self) -> None:
        """Takes what shows of the last depth: of a book only now, when it is wanted."""
        depth, self.depth = self.depth, None
        if depth is None:
            return
        if isinstance(depth, Book):
            depth = depth.top(DEPTH_LEVELS)
        self.bids, self.asks = depth.bids[:DEPTH_LEVELS], depth.asks[:DEPTH_LEVELS]
        self.bid = self.bids[0][0] if self.bids else None
        self.ask = self.asks[0][0] if self.asks else None

    # -- its session

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

    # -- what is sent of it

    def record(self, source: str, epoch: int) -> QuoteRecord:
        price, close = self.price, self.previous_close()
        assert price is not None
        if self.depth is not None:
            self._read_depth()
        if price is not self._change_to or close is not self._change_from:
            self._change, self._percent = _change(price, close)
            self._change_to, self._change_from = price, close
        if self.as_of is not self._as_of:
            self._as_of, self._as_of_text = self.as_of, wire_time(self.as_of)
        opened, high, low, volume = self._window()
        # By position: naming 25 fields costs five times what the record does.
        return QuoteRecord(
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
            "always",
            self.is_stale,
            0,
            self.window,
            self.bids,
            self.asks,
            self.average_price,
            self.open_interest,
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
