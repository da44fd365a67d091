"""The receipts of this process's valuations: issued as frames are made, written to the database behind them.

Owns one `ReceiptLog` and what waits to be stored. A database that is away costs receipts, the oldest first, and never
a frame.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

import msgspec

from assets.redistribution import Viewer
from portfolio import receipt_store
from portfolio.receipts import Cut, ReceiptLog, Segment
from portfolio.recomputation import basis_of, microseconds, rate_key
from portfolio.valuation import PricePoint, RatePoint, Valuation
from portfolio.windows import Holdings
from realtime.database import UNAVAILABLE, in_database

log = logging.getLogger("personal_finance.realtime.portfolio")

# Half a minute of them; then the database has been away for too long.
SEGMENTS_WAITING = 15

_encode = msgspec.msgpack.Encoder().encode


class LiveReceipts:
    """What this process issues.

    Args:
        save: stores one segment.
    """

    def __init__(self, save: Callable[[Segment], None] = receipt_store.save) -> None:
        self._save = save
        self._log = ReceiptLog()
        self._waiting: deque[Cut] = deque(maxlen=SEGMENTS_WAITING)
        self._rates: dict[str, RatePoint] = {}
        self._next_write = 0.0
        self._writing = asyncio.Lock()

    def price(self, symbol: str, point: PricePoint) -> None:
        """Every later receipt is at this price, until the next one."""
        self._log.price(symbol, _encode(point))

    def forget_price(self, symbol: str) -> None:
        self._log.forget_price(symbol)

    def basis(self, holdings: Holdings, viewer: Viewer) -> int:
        return self._log.basis(basis_of(holdings, viewer.sources))

    def forget_basis(self, basis: int) -> None:
        self._log.forget_basis(basis)

    def issue(self, valuation: Valuation, basis: int) -> str:
        """Returns the id of a valuation's receipt."""
        holdings, facts = valuation.holdings, valuation.holdings.facts
        for currency in holdings.currencies:
            key, point = rate_key(currency, facts.currency), valuation.rates.get(currency)
            if self._rates.get(key) == point:
                continue
            if point is None:
                del self._rates[key]
                self._log.forget_price(key)
            else:
                self._rates[key] = point
                self._log.price(key, _encode(point))
        return self._log.issue(facts.id, basis, microseconds(valuation.valued_at))

    # --- to the database ---------------------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        return (
            not self._writing.locked()
            and monotonic() >= self._next_write
            and bool(self._waiting or not self._log.is_empty)
        )

    async def write(self) -> None:
        """Stores what was issued; what cannot be stored waits for the next time."""
        async with self._writing:
            self._next_write = monotonic() + receipt_store.WRITE_INTERVAL_SECONDS
            if (cut := self._log.cut()) is not None:
                self._queue(cut)
            try:
                while self._waiting:
                    await in_database(self._store, self._waiting[0])
                    self._waiting.popleft()
            except UNAVAILABLE as error:
                log.warning(
                    "receipts not stored yet", extra={"error": str(error), "segments": len(self._waiting)}
                )

    def _store(self, cut: Cut) -> None:
        """On a database thread."""
        self._save(cut.segment())

    def _queue(self, cut: Cut) -> None:
        if self._waiting:
            # The oldest may have to be given up, and then the others must be of use without it.
            self._log.begin_chain()
        if len(self._waiting) == SEGMENTS_WAITING:
            log.error("receipts given up: the database is away for too long")
        self._waiting.append(cut)
