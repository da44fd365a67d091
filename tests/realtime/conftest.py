"""Hubs and sources of prices in this process, over the real Redis and the real layer."""

import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from realtime.bus import FeedBus, WebBus, new_layer, new_redis
from realtime.handshake import Identity
from realtime.hub import Hub
from realtime.outbox import Options
from tests.realtime.builders import Client, Clock, LossyLayer, Source, slow_clock

NewHub = Callable[..., Awaitable[Hub]]
NewSource = Callable[..., Awaitable[Source]]
NewClient = Callable[..., Client]
MakeFeed = Callable[..., FeedBus]
MakeWeb = Callable[[str], WebBus]


@pytest_asyncio.fixture
async def feed() -> AsyncIterator[MakeFeed]:
    """Makes the bus of one source in one feed process, named by its owner."""
    client, layer = new_redis(), new_layer()

    def make(owner: str = "first", source: str = "simulator") -> FeedBus:
        return FeedBus(source, owner, client, layer)

    yield make
    await layer.flush()
    await client.aclose()


@pytest_asyncio.fixture
async def web() -> AsyncIterator[MakeWeb]:
    """Makes the bus of a web process."""
    made: list[WebBus] = []

    def make(process: str) -> WebBus:
        made.append(WebBus(process))
        return made[-1]

    yield make
    for bus in made:
        await bus.close()


@pytest_asyncio.fixture
async def new_hub(empty_redis: None) -> AsyncIterator[NewHub]:
    """Starts the centre of a web process; `clock` makes its time our own."""
    hubs: list[Hub] = []

    async def start(clock: Clock | None = None) -> Hub:
        hub = Hub(clock or slow_clock)
        hubs.append(hub)
        await hub.start()
        return hub

    yield start
    for hub in hubs:
        await hub.stop()


@pytest_asyncio.fixture
async def new_source(empty_redis: None) -> AsyncIterator[NewSource]:
    """Makes a feed process that leads a source and has said so."""
    client, layer = new_redis(), new_layer()
    owners = itertools.count()

    async def lead(name: str = "simulator") -> Source:
        lossy = LossyLayer(layer)
        source = Source(FeedBus(name, f"feed {next(owners)}", client, lossy), lossy)
        await source.lead()
        return source

    yield lead
    await layer.flush()
    await client.aclose()


@pytest.fixture
def new_client() -> NewClient:
    """Opens a connection at a hub, as the consumer does after the handshake."""
    ids = itertools.count(1)

    def open(hub: Hub, identity: Identity | None = None, **options: Any) -> Client:
        return Client(hub.open(f"c{next(ids)}", identity or Identity(), "10.0.0.1", Options(**options)))

    return open


@pytest.fixture
def errors_logged() -> Iterator[list[str]]:
    """What the real-time part logs as an error; its loggers don't propagate, so that caplog does not hear them."""
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")

    listener, logger = Listener(logging.ERROR), logging.getLogger("personal_finance.realtime")
    logger.addHandler(listener)
    yield found
    logger.removeHandler(listener)
