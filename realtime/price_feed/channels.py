"""What a line has to tell beside its quote, as JSON and for as long as somebody wants it: trades, book, bars, notices.

Trades are numbered in order and only left out where the numbers show it; a book and a bar are state, sent whole when
they have changed. Of a line that nobody wants the last trades are kept for newcomers, and nothing else is done.
"""

from collections import deque
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from assets.market import Depth, MarketNotice, Quote, Trade
from realtime.price_feed.bars import BarBuilder
from realtime.price_feed.open_bar import BuiltBar
from realtime.protocol import encode, wire_time

# How many a newcomer gets, and how many a flush tells at most.
TRADES_KEPT = 50
TRADES_AT_ONCE = 200
NOTICES_AT_ONCE = 50
BARS_AT_ONCE = 50
BOOK_LEVELS = 50


class Identity(NamedTuple):
    """Of which asset at which source something is told, and under which number."""

    symbol: str
    source: str
    seq: int
    epoch: int


class TradeText(msgspec.Struct, frozen=True, gc=False):
    """One trade on the wire."""

    symbol: str
    price: Decimal
    quantity: Decimal | None
    side: str | None
    trade_id: str
    as_of: str
    source: str
    number: int
    epoch: int


class BarText(msgspec.Struct, frozen=True, gc=False):
    """One bar on the wire and in Redis."""

    symbol: str
    interval: str
    start: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    complete: bool
    revised: bool
    source: str


def bar_text(built: BuiltBar, source: str, complete: bool) -> BarText:
    bar = built.bar
    return BarText(
        bar.symbol,
        bar.interval,
        wire_time(bar.start),
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        complete,
        built.revised,
        source,
    )


def shown_bars(bars: BarBuilder, source: str, at: datetime) -> str:
    """Returns what is known of a symbol's bars that the database may not have yet."""
    texts = [bar_text(built, source, complete) for built, complete in bars.shown()]
    return encode({"at": wire_time(at), "bars": texts})


class Tape:
    """A line's last trades; `count` is the number of the newest in this epoch.

    A quote stands for the trade that it tells of where its source tells no trades.
    """

    __slots__ = ("count", "trades")

    def __init__(self) -> None:
        self.count = 0
        self.trades: deque[Trade | Quote] = deque(maxlen=TRADES_KEPT)

    def keep(self, most: int) -> None:
        if self.trades.maxlen != most:
            self.trades = deque(self.trades, maxlen=most)

    def has(self, trade: Trade) -> bool:
        """Whether a trade was told before: by its id, or the very same where it has none."""
        if trade.trade_id:
            return any(isinstance(one, Trade) and one.trade_id == trade.trade_id for one in self.trades)
        return trade in self.trades

    def after(self, number: int, source: Identity) -> list[TradeText]:
        """Returns those after a number, as far as they are kept."""
        number = max(number, self.count - len(self.trades))
        kept = islice(self.trades, len(self.trades) - (self.count - number), None)
        return [_trade_text(trade, source, number + n) for n, trade in enumerate(kept, 1)]


def _trade_text(trade: Trade | Quote, told: Identity, number: int) -> TradeText:
    quantity: Decimal | None
    side: str | None
    if isinstance(trade, Trade):
        quantity, side, trade_id = trade.quantity, trade.side, trade.trade_id
    else:
        quantity, trade_id = trade.last_quantity, ""
        # Whoever paid what was asked has bought.
        side = "buy" if trade.price == trade.ask else "sell" if trade.price == trade.bid else None
    as_of = wire_time(trade.as_of)
    return TradeText(
        told.symbol, trade.price, quantity, side, trade_id, as_of, told.source, number, told.epoch
    )


class News:
    """What is to be told of one line that somebody wants more of than its quote."""

    __slots__ = ("_before", "bars_told", "book_is_due", "built", "channels", "notices", "trades_told")

    def __init__(self) -> None:
        self.channels: frozenset[str] = frozenset()
        self.trades_told = 0  # the number of the last one
        self.book_is_due = False
        self.bars_told = -1  # the builder's count of changes when they were told last
        self.built: list[BuiltBar] = []  # handed over since then
        self.notices: list[MarketNotice] = []
        # What was to be told when it was told last, should that fail.
        self._before: tuple[int, list[BuiltBar], list[MarketNotice]] = (0, [], [])

    def want(self, channels: frozenset[str], tape: Tape, notices: Collection[MarketNotice]) -> bool:
        """Takes what is wanted now; returns whether any of it is new, and has therefore to be told."""
        new = channels - self.channels
        self.channels = channels
        tape.keep(TRADES_AT_ONCE if "trades" in channels else TRADES_KEPT)
        if "trades" in new:
            self.trades_told = max(0, tape.count - TRADES_KEPT)
        if "bars" in new:
            self.bars_told = -1
        self.book_is_due |= "book" in new
        if "notices" in new:
            self.notices = list(notices)
        return bool(new)

    def begin(self, tape: Tape) -> None:
        """Numbers the trades anew; those that have not been told are the first."""
        waiting = min(tape.count - self.trades_told, len(tape.trades)) if "trades" in self.channels else 0
        tape.count, self.trades_told = waiting, 0
        self.tell_state_again()

    def tell_all_again(self, tape: Tape) -> None:
        """What a newcomer is told first: its last trades, the book and the open bars."""
        self.trades_told = min(self.trades_told, max(0, tape.count - TRADES_KEPT))
        self.tell_state_again()

    def tell_state_again(self) -> None:
        self.book_is_due, self.bars_told = True, -1

    def notice(self, notice: MarketNotice) -> None:
        if "notices" in self.channels:
            self.notices.append(notice)
            del self.notices[:-NOTICES_AT_ONCE]

    def hand_over(self, built: BuiltBar) -> None:
        if "bars" in self.channels:
            self.built.append(built)
            del self.built[:-BARS_AT_ONCE]

    def texts(
        self, told: Identity, tape: Tape, book: Depth | None, book_at: datetime, bars: BarBuilder
    ) -> dict[str, str]:
        """Returns the JSON of each channel that has news."""
        self._before = self.trades_told, self.built, self.notices
        texts = {}
        if "trades" in self.channels and tape.count > self.trades_told:
            texts["trades"] = encode(tape.after(self.trades_told, told))
            self.trades_told = tape.count
        if self.book_is_due and "book" in self.channels and book is not None:
            texts["book"] = encode(_book(book, told, book_at))
            self.book_is_due = False
        if bars.changes != self.bars_told and "bars" in self.channels:
            texts["bars"] = encode(self._bars(bars, told.source))
            self.bars_told = bars.changes
        if self.notices:
            texts["notices"] = encode([_notice(notice, told) for notice in self.notices])
        self.built, self.notices = [], []
        return texts

    def _bars(self, bars: BarBuilder, source: str) -> list[BarText]:
        over = [bar_text(built, source, True) for built in self.built]
        return over + [bar_text(built, source, False) for built in bars.open_bars()]

    def untell(self) -> None:
        """What was told last has reached nobody."""
        self.trades_told, built, notices = self._before
        self.built = (built + self.built)[-BARS_AT_ONCE:]
        self.notices = (notices + self.notices)[-NOTICES_AT_ONCE:]
        self._before = self.trades_told, [], []
        self.tell_state_again()


def _book(book: Depth, told: Identity, at: datetime) -> dict[str, Any]:
    return {
        "symbol": told.symbol,
        "bids": book.bids[:BOOK_LEVELS],
        "asks": book.asks[:BOOK_LEVELS],
        "as_of": wire_time(book.as_of or at),
        "source": told.source,
        "seq": told.seq,
        "epoch": told.epoch,
    }


def _notice(notice: MarketNotice, told: Identity) -> dict[str, Any]:
    head = {
        "symbol": told.symbol,
        "kind": notice.kind,
        "as_of": wire_time(notice.as_of),
        "source": told.source,
    }
    return {**head, **notice.figures}
