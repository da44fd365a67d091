"""What we are compared with: a live-price consumer as the Channels tutorial teaches it, and a loop that feeds it.

Each socket joins a group for each symbol, and each update is sent to its group. It has no login, no limits, no
snapshot and no conflation, all of which is in its favour; layer, Redis and uvicorn options are the product's.
"""

import asyncio
import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.demo")

import django

django.setup()

import msgspec
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path
from uvicorn import Config, Server

from assets.market import Quote, change_since
from config.listening import adopt
from realtime.feeds.simulator import SimulatorFeed, symbols
from realtime.protocol import Mode, QuoteRecord, encode_quote, now, wire_time


def group_of(symbol: str) -> str:
    return f"asset.{symbol}"


class PlainConsumer(AsyncJsonWebsocketConsumer):
    """Understands `subscribe_asset` with symbols, and nothing else."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        for symbol in content["data"]["symbols"]:
            await self.channel_layer.group_add(group_of(symbol), self.channel_name)

    async def asset_update(self, event: dict[str, Any]) -> None:
        await self.send_json({"type": "asset_update", "data": event["data"], "timestamp": now()})


application = ProtocolTypeRouter({"websocket": URLRouter([path("ws/plain/", PlainConsumer.as_asgi())])})


def serve(fd: int) -> None:
    """Serves with the options of `manage.py serve`."""
    config = Config(
        application,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    Server(config).run(sockets=[adopt(fd)])


async def publish(count: int, rate: float) -> None:
    """Sends the simulator's ticks, the ones our own feed gets, to their groups as they come."""
    layer = get_channel_layer()
    feed = SimulatorFeed(symbols(count), rate=rate, depth=False)
    feed.opened(feed.symbols)
    async with feed.wire().open() as wire:
        while True:
            for number, event in enumerate(feed.decode(await wire.receive())):
                if isinstance(event, Quote):
                    data = update_of(event, number)
                    await layer.group_send(group_of(event.symbol), {"type": "asset.update", "data": data})


def update_of(quote: Quote, seq: int) -> dict[str, Any]:
    """Returns the fields of our own `asset_update`, so that the frames are of one size."""
    change, percent = change_since(quote.price, quote.previous_close)
    record = QuoteRecord(
        symbol=quote.symbol,
        price=quote.price,
        as_of=wire_time(quote.as_of),
        source="simulator",
        seq=seq,
        epoch=1,
        currency="USD",
        received_at=now(),
        change=change,
        change_percent=percent,
        volume=quote.volume,
        high=quote.high,
        low=quote.low,
        previous_close=quote.previous_close,
        open=quote.open,
        bid=quote.bid,
        ask=quote.ask,
        last_quantity=quote.last_quantity,
    )
    data: dict[str, Any] = msgspec.json.decode(encode_quote(record, Mode.QUOTE))
    return data


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", fd]:
            serve(int(fd))
        case ["publish", count, rate]:
            asyncio.run(publish(int(count), float(rate)))
        case _:
            sys.exit("usage: python -m benchmarks.plain_channels serve FD | publish SYMBOLS RATE")
