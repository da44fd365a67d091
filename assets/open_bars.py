"""Bars that the database may not have yet, in Redis: one hash from our symbol to the JSON of its last few.

Written once a second by whoever publishes the asset, fenced by the bus. Here is the key, the reading, and how such bars
go together with the stored ones.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import overload

import msgspec
from django.db.models import QuerySet

from assets.models import PriceBar
from assets.snapshots import connection

BARS_KEY = "lf:bars"
# A row reaches the database so much later than Redis; one written later yet was written by somebody else.
WRITTEN_WITHIN = timedelta(seconds=15)


class _Shown(msgspec.Struct, frozen=True):
    interval: str
    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    revised: bool = False
    source: str = ""


class _Entry(msgspec.Struct, frozen=True):
    at: datetime
    bars: list[_Shown]


_decode = msgspec.json.Decoder(_Entry).decode


def read_open_bars(asset_id: int, symbol: str, interval: str) -> list[PriceBar]:
    """Returns a symbol's newest bars, oldest first, each with the time when it was so as `updated_at`.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    text: bytes | None = connection().hget(BARS_KEY, symbol)  # type: ignore[assignment]
    bars = [] if text is None else _bars_of(asset_id, text)
    return sorted((bar for bar in bars if bar.interval == interval), key=lambda bar: bar.start)


def read_all_open_bars(asset_ids: Mapping[str, int]) -> dict[str, list[PriceBar]]:
    """Returns the newest bars of symbols, given with their asset's id; as `read_open_bars`, but of both intervals."""
    symbols = list(asset_ids)
    texts: list[bytes | None] = connection().hmget(BARS_KEY, symbols) if symbols else []  # type: ignore[assignment]
    found = zip(symbols, texts, strict=True)
    return {symbol: _bars_of(asset_ids[symbol], text) for symbol, text in found if text is not None}


def _bars_of(asset_id: int, text: bytes) -> list[PriceBar]:
    entry = _decode(text)
    return [
        PriceBar(
            asset_id=asset_id,
            updated_at=entry.at,
            **{name: getattr(bar, name) for name in _Shown.__struct_fields__},
        )
        for bar in entry.bars
    ]


class BarsTogether(Sequence[PriceBar]):
    """Stored bars, oldest first, and after them those that may not be stored yet or are stored as they were.

    Args:
        stored: the rows, in any order of their own.
        newer: bars, oldest first; where both know an interval they go before the row, unless somebody wrote that later.
    """

    def __init__(self, stored: "QuerySet[PriceBar]", newer: Sequence[PriceBar]) -> None:
        self._head, self._tail = stored, list[PriceBar]()
        if newer:
            self._head = stored.filter(start__lt=newer[0].start)
            self._tail = _merged(stored.filter(start__gte=newer[0].start), newer)
        self._count: int | None = None

    def __len__(self) -> int:
        if self._count is None:
            self._count = self._head.count()
        return self._count + len(self._tail)

    @overload
    def __getitem__(self, index: int) -> PriceBar: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[PriceBar]: ...

    def __getitem__(self, index: int | slice) -> PriceBar | Sequence[PriceBar]:
        if isinstance(index, int):
            return self[index : index + 1][0]
        start, stop, _ = index.indices(len(self))
        count = len(self) - len(self._tail)
        head: Sequence[PriceBar] = list(self._head[start : min(stop, count)]) if start < count else []
        return [*head, *self._tail[max(0, start - count) : max(0, stop - count)]]


def _was_written_later(row: PriceBar, shown: PriceBar) -> bool:
    written, at = row.updated_at, shown.updated_at
    return written is not None and at is not None and written > at + WRITTEN_WITHIN


def _merged(stored: "QuerySet[PriceBar]", newer: Sequence[PriceBar]) -> list[PriceBar]:
    bars = {bar.start: bar for bar in newer}
    for row in stored:
        shown = bars.get(row.start)
        if shown is None or _was_written_later(row, shown):
            bars[row.start] = row
    return [bars[start] for start in sorted(bars)]
