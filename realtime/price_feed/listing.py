"""What a source is to follow, and what is known of it from before: plain values between database, Redis and batcher."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from assets.sessions import AROUND_THE_CLOCK, Calendar
from assets.splits import SplitEvent
from realtime.protocol import QuoteRecord


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
    calendar: Calendar = AROUND_THE_CLOCK
    may_be_negative: bool = False
    splits: tuple[SplitEvent, ...] = ()


class LastPrice(NamedTuple):
    """A price from before this process, of Redis or the database, as it was traded."""

    price: Decimal
    as_of: datetime
    received_at: datetime
    record: QuoteRecord | None = None


class Close(NamedTuple):
    """The close of the session that began at `start`, as it was traded.

    `is_ours` until it is stored: a source's own last trade, which must not go before the stored row of that session.
    """

    start: datetime
    price: Decimal
    is_ours: bool = False
