"""Prices set by hand: stored and sent like any tick."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from assets.snapshots import LAST_KEY, connection
from realtime.bus import MANUAL
from realtime.manual_price import publish_manual_price
from realtime.protocol import QuoteRecord, decode_quote, wire_time
from tests.realtime.builders import make_record, next_batch
from tests.realtime.conftest import MakeWeb

pytestmark = pytest.mark.asyncio


async def publish_by_hand(price: str, change: str | None = None) -> QuoteRecord:
    record = make_record(
        "FUND",
        seq=0,
        epoch=0,
        price=Decimal(price),
        as_of=wire_time(datetime(2026, 11, 20, tzinfo=UTC)),
        change=None if change is None else Decimal(change),
        session="closed",
    )
    return await asyncio.to_thread(publish_manual_price, record)


async def test_a_price_by_hand_is_the_last_value_and_travels_like_a_tick(web: MakeWeb) -> None:
    listener = web("w")
    await listener.listen()

    first = await publish_by_hand("99.5", "-0.5")
    second = await publish_by_hand("101")

    batches = [await next_batch(listener), await next_batch(listener)]
    assert [(batch.source, batch.number) for batch in batches] == [(MANUAL, 1), (MANUAL, 2)]
    assert batches[0].epoch == batches[1].epoch
    assert set(batches[0].updates[0].payloads) == {"ltpc", "quote"}
    assert (first.change, first.session, first.source) == (Decimal("-0.5"), "closed", MANUAL)
    assert (second.change, second.seq) == (None, 2)
    text: Any = connection().hget(LAST_KEY, "FUND")
    assert decode_quote(text) == second
    assert second.as_of == "2026-11-20T00:00:00.000000Z"
    assert (await listener.renew([], {})).manual_number == 2


async def test_prices_by_hand_begin_a_later_epoch_when_redis_forgot() -> None:
    first = await publish_by_hand("1")
    connection().flushdb()
    connection().hset("lf:manual", "epoch", first.epoch + 1)

    second = await publish_by_hand("2")

    assert (second.epoch, second.seq) == (first.epoch + 1, 1)
