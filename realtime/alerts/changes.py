"""How a price feed hears that somebody's alerts have changed: a number in Redis, and which assets' had which.

A feed asks for what is newer than it has seen. What Redis forgets, or never heard, is found by reading all alerts anew
now and then, which is the feed's.
"""

import logging
from functools import partial

import redis
import redis.asyncio
from django.db import transaction

from assets.snapshots import connection

log = logging.getLogger("personal_finance.realtime.alerts")

VERSION_KEY = "lf:alerts:version"
CHANGED_KEY = "lf:alerts:changed"

# KEYS version, changed · ARGV asset → in one step, so that nobody sees a number before what it stands for
_NOTE = """
    local version = redis.call('INCR', KEYS[1])
    redis.call('ZADD', KEYS[2], version, ARGV[1])
    return version
"""


def note_change(asset_id: int) -> None:
    """Tells every feed, on commit, that alerts of an asset were made, changed or deleted."""
    transaction.on_commit(partial(_note, asset_id))


def _note(asset_id: int) -> None:
    try:
        connection().eval(_NOTE, 2, VERSION_KEY, CHANGED_KEY, asset_id)
    except redis.RedisError as error:  # the row is stored, and will be found
        log.warning("feeds were not told of an alert", extra={"error": str(error)})


async def read_changes(client: "redis.asyncio.Redis", seen: int) -> tuple[int, set[int] | None]:
    """Returns the number now and the assets changed since another; None if Redis does not know.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    async with client.pipeline(transaction=True) as pipe:
        pipe.get(VERSION_KEY)
        pipe.zrangebyscore(CHANGED_KEY, f"({seen}", "+inf")
        text, changed = await pipe.execute()
    version = int(text or 0)
    return version, {int(asset_id) for asset_id in changed} if version >= seen else None
