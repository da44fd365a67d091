"""Prices set by hand: stored as last values and sent to every dashboard, like any tick.

No process leads them. They share one epoch, and one count in Redis serves as `seq` and as the batch's number.
"""

import time
from typing import Any

import msgspec
import redis

from assets.snapshots import LAST_KEY, connection
from realtime.bus import MANUAL, MANUAL_KEY, Batch, Update, announce, batch_message
from realtime.protocol import Mode, QuoteRecord, encode_quote, now


def publish_manual_price(record: QuoteRecord) -> QuoteRecord:
    """Numbers the record of a price set by hand, stores it as the last value and sends it like any tick.

    Raises:
        redis.RedisError: it was not stored.
    """
    client = connection()
    seq: Any = client.hincrby(MANUAL_KEY, "number", 1)
    epoch = manual_epoch(client)
    record = msgspec.structs.replace(record, source=MANUAL, seq=seq, epoch=epoch, received_at=now())
    client.hset(LAST_KEY, record.symbol, encode_quote(record, Mode.FULL_D30))
    modes = (Mode.LTPC, Mode.QUOTE)
    update = Update(record.symbol, seq, {mode: encode_quote(record, mode) for mode in modes})
    announce(batch_message(Batch(MANUAL, epoch, seq, [update])))
    return record


def manual_epoch(client: "redis.Redis") -> int:
    """Prices by hand share one epoch for as long as Redis remembers it."""
    client.hsetnx(MANUAL_KEY, "epoch", str(int(time.time())))
    epoch: Any = client.hget(MANUAL_KEY, "epoch")
    return int(epoch)
