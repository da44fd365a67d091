"""What a feed process knows of alerts while they are read and written beside its ticks."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio as redis

from realtime.alerts.models import AlertFiring
from realtime.price_feed.alert_desk import AlertDesk
from realtime.price_feed.write_behind import WriteBehind
from tests.portfolio.builders import in_thread
from tests.realtime.alerts.builders import make_alert, make_user
from tests.realtime.price_feed.market import OPEN, SECOND, Market, make_listing

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]


class Time:
    def now(self) -> datetime:
        return OPEN

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest_asyncio.fixture
async def new_desk(redis_url: str) -> AsyncIterator[Callable[[], tuple[AlertDesk, WriteBehind]]]:
    store = WriteBehind()
    store.start()
    client: Any = redis.Redis.from_url(redis_url)
    yield lambda: (AlertDesk(client, None, store, Time()), store)
    await client.aclose()
    await asyncio.to_thread(store.close, 5)


async def written(desk: AlertDesk) -> list[AlertFiring]:
    while desk._changes:
        await desk._write()
    firings = AlertFiring.objects.select_related("alert__user").order_by("id")
    return await in_thread(lambda: list(firings))


async def test_a_price_fires_the_alerts_of_those_who_may_see_it(new_desk: Any, settings: Any) -> None:
    settings.FEED_OWNER, settings.FEED_REDISTRIBUTION = "olivia", {"simulator": "owner"}
    for name in ("olivia", "bob"):
        user = await in_thread(partial(make_user, name))
        alert = await in_thread(partial(make_alert, user, threshold=Decimal(100), armed_at=OPEN))
    market = Market(listing=make_listing(asset_id=alert.asset_id))
    desk, _ = new_desk()
    await desk.enter(market.batcher)
    market.quote("101", OPEN + SECOND)
    assert [one.alert.user.username for one in await written(desk)] == ["olivia"]


async def test_what_is_written_while_alerts_are_read_again_is_not_forgotten(new_desk: Any) -> None:
    alert = await in_thread(partial(make_alert, threshold=Decimal(100), armed_at=OPEN))
    market = Market(listing=make_listing(asset_id=alert.asset_id))
    (desk, store), gate = new_desk(), threading.Event()
    await desk.enter(market.batcher)
    market.quote("99", OPEN + SECOND)

    closed = asyncio.create_task(store.call(gate.wait))
    desk._outdated.add(alert.asset_id)
    reading = asyncio.create_task(desk._attach())
    await asyncio.sleep(0)  # it waits for the database
    market.quote("101", OPEN + 2 * SECOND)
    market.quote("99.8", OPEN + 2 * SECOND)  # not far enough to arm it again
    writing = asyncio.create_task(desk._write())
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(closed, reading, writing)

    market.quote("98", OPEN + 3 * SECOND)
    market.quote("102", OPEN + 4 * SECOND)
    assert [one.price for one in await written(desk)] == [101, 102]
