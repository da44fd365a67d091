"""What a line knows beside its price: who bids and asks, its last trades, and which of it somebody wants.

A book is read only when a record is made, and only as deep as anybody looks.
"""

from collections.abc import Collection
from decimal import Decimal

from assets.market import BidAsk, Book, Depth, Greeks, MarketNotice, Quote, Trade
from realtime.price_feed.channels import BOOK_LEVELS, News, Tape
from realtime.protocol import FULL_LEVELS, Mode
from realtime.wants import CHANNELS

D30_LEVELS = 30


class Sides:
    """The sides of one line's market."""

    __slots__ = (
        "ask",
        "asks",
        "bid",
        "bids",
        "book",
        "deep",
        "depth",
        "greeks",
        "levels",
        "news",
        "notices",
        "reads",
        "tape",
    )

    def __init__(self) -> None:
        self.bid: Decimal | None = None
        self.ask: Decimal | None = None
        self.bids: tuple[tuple[Decimal, Decimal], ...] | None = None
        self.asks: tuple[tuple[Decimal, Decimal], ...] | None = None
        # What came last and has not been read yet; it goes before bid, ask, bids and asks.
        self.depth: Book | Depth | None = None
        # What was read last, how many levels are, how many the record shows, and all of them where the book is wanted.
        self.book: Book | Depth | None = None
        self.reads = self.levels = FULL_LEVELS
        self.deep: Depth | None = None
        self.greeks: Greeks | None = None
        self.tape: Tape | None = None
        self.notices: dict[str, MarketNotice] = {}
        self.news: News | None = None

    def keep_bid_ask(self, sides: BidAsk) -> bool:
        """Takes the best bid and ask, none of which may be there; returns whether they have moved."""
        if self.depth is not None:
            self.read_depth()
        before = self.bid, self.ask
        self.bid, self.ask = sides.bid or None, sides.ask or None
        return before != (self.bid, self.ask)

    def read_depth(self) -> None:
        """Takes what shows of the last depth: of a book only now, when it is wanted."""
        self.book, self.depth = self.depth, None
        depth, levels = self.book, self.levels
        if isinstance(depth, Book):
            depth = depth.top(self.reads)
        if depth is None:
            return
        self.bids, self.asks = depth.bids[:levels], depth.asks[:levels]
        self.bid = self.bids[0][0] if self.bids else None
        self.ask = self.asks[0][0] if self.asks else None
        if self.news is not None and self.reads == BOOK_LEVELS:
            self.deep, self.news.book_is_due = depth, True

    # -- what is wanted of it

    def want(self, wants: Collection[str]) -> bool:
        """Takes what anybody wants of it now; returns whether it has more to tell by that."""
        channels = CHANNELS.intersection(wants)
        before = self.reads, self.levels
        self.levels = D30_LEVELS if Mode.FULL_D30 in wants else FULL_LEVELS
        self.reads = BOOK_LEVELS if "book" in channels else self.levels
        has_news = bool(channels or self.news is not None) and self._want_news(channels)
        if before != (self.reads, self.levels) and self.depth is None:
            self.depth = self.book  # read again, to another depth
        return has_news or self.levels > before[1]

    def _want_news(self, channels: frozenset[str]) -> bool:
        if self.news is None:
            self.news = News()
        if self.tape is None:
            self.tape = Tape()
        has_news = self.news.want(channels, self.tape, self.notices.values())
        if not channels:
            self.news = self.deep = None
        return has_news

    def tell_from_now(self) -> None:
        """Somebody else has told what was before."""
        if self.news is not None and self.tape is not None:
            self.news.trades_told = self.tape.count
            self.news.tell_state_again()

    def keep_on_tape(self, trade: Trade | Quote) -> None:
        if self.tape is None:
            self.tape = Tape()
        self.tape.trades.append(trade)
        self.tape.count += 1

    def begin_tape(self) -> None:
        """Numbers the trades of a new epoch."""
        if self.news is not None and self.tape is not None:
            self.news.begin(self.tape)
        elif self.tape is not None:
            self.tape.count = 0

    def was_told(self, trade: Trade) -> bool:
        return self.tape is not None and self.tape.has(trade)
