"""What waits in one connection's channels when it could not be written at once.

Trades wait in their order, the oldest are dropped when they are too many, and the next one says how many. Of a book
that moved on only the whole newest one waits, of each bar its newest state.
"""

from collections import deque
from collections.abc import Iterator

from realtime.frames import Payload
from realtime.protocol import Channel, Numbers
from realtime.streams import BarKey, News, Print, Text, batched, joined

# Of one symbol: more than a flush brings at most, and a minute of a busy market.
MAX_TRADES = 500
MAX_BARS = 500  # of one symbol: a whole session of minutes


class Overflow(Exception):
    """The client leaves more unread than it may."""


class Backlog:
    """One connection's waiting trades, books and bars."""

    __slots__ = ("_bars", "_books", "_dropped", "_kinds", "_numbers", "_trades")

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._trades: dict[str, deque[Print]] = {}
        self._dropped: dict[str, int] = {}  # before the oldest one that waits
        self._books: dict[str, Payload] = {}
        self._bars: dict[str, dict[BarKey, Text]] = {}
        self._kinds = deque([Channel.TRADES, Channel.BOOK, Channel.BARS])

    def __bool__(self) -> bool:
        return bool(self._trades or self._books or self._bars)

    def add(self, news: News) -> int:
        """Takes what comes after; returns how much was replaced or dropped. Raises Overflow."""
        lost = sum(map(self._add_trade, news.prints))
        for symbol, book in news.books.items():
            is_behind = symbol in self._books
            text = book.snapshot if is_behind or book.update is None else book.update
            self._books[symbol] = text.payload(self._numbers)
            lost += is_behind
        for symbol, bars in news.bars.items():
            waiting = self._bars.setdefault(symbol, {})
            lost += len(waiting.keys() & bars.keys())
            waiting |= bars
            if len(waiting) > MAX_BARS:
                raise Overflow
        return lost

    def _add_trade(self, trade: Print) -> int:
        waiting = self._trades.setdefault(trade.symbol, deque())
        waiting.append(trade)
        if len(waiting) <= MAX_TRADES:
            return 0
        self._dropped[trade.symbol] = self._dropped.get(trade.symbol, 0) + 1 + waiting.popleft().missed
        return 1

    def forget(self, symbol: str, channels: "frozenset[str] | None" = None) -> None:
        """Drops what waits of a symbol's channels; of all of them, if none are named."""
        if channels is None or Channel.TRADES in channels:
            self._trades.pop(symbol, None)
            self._dropped.pop(symbol, None)
        if channels is None or Channel.BOOK in channels:
            self._books.pop(symbol, None)
        if channels is None or Channel.BARS in channels:
            self._bars.pop(symbol, None)

    # --- taking ------------------------------------------------------------------------------------------------------

    def run(self, batch: bool) -> bytes:
        """Returns the frames of everything."""
        trades = [payload for symbol in list(self._trades) for payload in self._take_trades(symbol)]
        bars = [bar.payload(self._numbers) for bars in self._bars.values() for bar in bars.values()]
        run = joined(trades, [*self._books.values(), *bars], batch)
        self._books.clear()
        self._bars.clear()
        return run

    def _take_trades(self, symbol: str) -> Iterator[Payload]:
        waiting = self._trades.pop(symbol)
        if dropped := self._dropped.pop(symbol, 0):
            yield waiting.popleft().after(dropped, self._numbers)
        for trade in waiting:
            yield trade.payload(self._numbers)

    def pop(self, batch: bool) -> Payload:
        """Takes what goes into one data frame; each kind in its turn, so that no busy one holds up the others."""
        while True:
            kind = self._kinds[0]
            self._kinds.rotate(-1)
            if kind == Channel.TRADES and self._trades:
                return self._pop_trades() if batch else self._pop_trade()
            if kind == Channel.BOOK and self._books:
                return self._books.pop(next(iter(self._books)))
            if kind == Channel.BARS and self._bars:
                return self._pop_bar()

    def _pop_trades(self) -> Payload:
        trades = [payload for symbol in list(self._trades) for payload in self._take_trades(symbol)]
        return Payload("trades", batched(trades))

    def _pop_trade(self) -> Payload:
        symbol, waiting = next(iter(self._trades.items()))
        trade = waiting.popleft()
        del self._trades[symbol]
        if waiting:
            self._trades[symbol] = waiting  # behind the other symbols
        dropped = self._dropped.pop(symbol, 0)
        return trade.after(dropped, self._numbers) if dropped else trade.payload(self._numbers)

    def _pop_bar(self) -> Payload:
        symbol, bars = next(iter(self._bars.items()))
        bar = bars.pop(next(iter(bars)))
        del self._bars[symbol]
        if bars:
            self._bars[symbol] = bars
        return bar.payload(self._numbers)
