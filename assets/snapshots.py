"""The last value of every asset, in Redis: one hash from our symbol to the record's JSON.

A last price is never thrown away: the hash has no expiry, and freshness is told by the record itself. Writing
is the bus's work, fenced by the source's epoch; this module owns the key and the reading.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from assets.redis_address import new_pool

LAST_KEY = "lf:last"

# Without the hook an untyped decoder makes floats of prices.
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


@cache
def connection() -> "redis.Redis":
    """Returns this process's Redis client for ordinary, synchronous code."""
    pool = new_pool(
        redis.ConnectionPool,
        settings.REDIS_URL,
        socket_timeout=settings.REDIS_COMMAND_TIMEOUT,
        socket_connect_timeout=settings.REDIS_COMMAND_TIMEOUT,
        retry=Retry(NoBackoff(), 1),
    )
    return redis.Redis.from_pool(pool)


def read_quotes(symbols: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Returns the last record of each symbol that has one, decimals exact.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    if not symbols:
        return {}
    found: list[bytes | None] = connection().hmget(LAST_KEY, list(symbols))  # type: ignore[assignment]
    return {symbol: _decode(text) for symbol, text in zip(symbols, found, strict=True) if text is not None}
