"""Small things that several real-time tests build, with plain values for what a test does not care about."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from realtime.bus import FeedStatus
from realtime.protocol import QuoteRecord, now

WITHIN = 10.0


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self, moment: float = 1000.0) -> None:
        self.moment = moment

    def __call__(self) -> float:
        return self.moment


def make_record(symbol: str = "AAPL", seq: int = 1, epoch: int = 1, **changes: Any) -> QuoteRecord:
    values: dict[str, Any] = {
        "price": Decimal("150.25"),
        "as_of": now(),
        "received_at": now(),
        "source": "simulator",
        "currency": "USD",
        "previous_close": Decimal("147.75"),
    }
    return QuoteRecord(symbol=symbol, seq=seq, epoch=epoch, **{**values, **changes})


def make_status(**changes: Any) -> FeedStatus:
    values: dict[str, Any] = {
        "source": "simulator",
        "state": "live",
        "since": now(),
        "reason": "",
        "epoch": 1,
        "at": now(),
    }
    return FeedStatus(**{**values, **changes})


async def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Waits for what other tasks and the network bring about, and no longer than it takes."""
    async with asyncio.timeout(WITHIN):
        try:
            while not condition():
                await asyncio.sleep(0.002)
        except asyncio.CancelledError as error:
            raise AssertionError(f"expected {what} within {WITHIN:g} s") from error
