"""Prices set by hand: stored as last values and sent to every dashboard, like any tick.

No process leads them. They share one epoch, and one count in Redis serves as `seq` and as the batch's number.
"""

import time
from datetime import datetime
from decimal import Decimal
from typing import Any

import redis

from assets.market import change_since
from assets.snapshots import LAST_KEY, connection
from realtime.bus import MANUAL, MANUAL_KEY, Batch, Update, announce, batch_message
from realtime.protocol import Mode, QuoteRecord, encode_quote, now, wire_time


def publish_manual_price(
    symbol: str, price: Decimal, as_of: datetime, currency: str, previous_close: Decimal | None
) -> QuoteRecord:
    """Stores a price set by hand as the last value and sends it to every dashboard, like any tick.

    Raises:
        redis.RedisError: it was not stored.
    """
    client = connection()
    seq: Any = client.hincrby(MANUAL_KEY, "number", 1)
    epoch = manual_epoch(client)
    change, percent = change_since(price, previous_close)
    record = QuoteRecord(
        symbol=symbol,
        price=price,
        as_of=wire_time(as_of),
        source=MANUAL,
        seq=seq,
        epoch=epoch,
        received_at=now(),
        currency=currency,
        change=change,
        change_percent=percent,
        previous_close=previous_close,
    )
    client.hset(LAST_KEY, symbol, encode_quote(record, Mode.FULL))
    modes = (Mode.LTPC, Mode.QUOTE)
    update = Update(symbol, seq, {mode: encode_quote(record, mode) for mode in modes})
    announce(batch_message(Batch(MANUAL, epoch, seq, [update])))
    return record


def manual_epoch(client: "redis.Redis") -> int:
    """Prices by hand share one epoch for as long as Redis remembers it."""
    client.hsetnx(MANUAL_KEY, "epoch", str(int(time.time())))
    epoch: Any = client.hget(MANUAL_KEY, "epoch")
    return int(epoch)
