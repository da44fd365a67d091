"""How feeds hear of changed alerts: what is newer than they have seen, and when Redis cannot tell."""

from functools import partial

import pytest
import redis
from django.db import transaction

from realtime.alerts.changes import note_change, read_changes
from realtime.bus import new_redis
from tests.portfolio.builders import in_thread


class Undone(Exception):
    pass


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_a_feed_reads_what_is_newer_than_it_has_seen(redis_url: str) -> None:
    client = new_redis()
    assert await read_changes(client, -1) == (0, set())
    for asset_id in (7, 8, 7):
        await in_thread(partial(note_change, asset_id))
    assert await read_changes(client, 0) == (3, {7, 8})
    assert await read_changes(client, 2) == (3, {7})
    assert await read_changes(client, 3) == (3, set())
    with redis.Redis.from_url(redis_url) as server:
        server.flushdb()
    assert await read_changes(client, 3) == (0, None)  # everything is to be read anew
    await client.aclose()


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_undone_is_not_told(redis_url: str) -> None:
    with pytest.raises(Undone), transaction.atomic():
        note_change(7)
        raise Undone
    with redis.Redis.from_url(redis_url) as server:
        assert server.get("lf:alerts:version") is None
