"""A replica that takes over through the address that everybody uses, and lacks what the master did last."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from assets import redis_address
from realtime.bus import UNREACHABLE, FeedBus, StateLost
from tests.realtime.builders import WITHIN, Client, eventually
from tests.realtime.conftest import NewClient, NewHub, NewSource
from tests.replicas import MovingAddress, Replicated, replicated

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def servers() -> Iterator[Replicated]:
    # Not pytest's own folder, which may be too deep.
    with tempfile.TemporaryDirectory(prefix="lf-", dir="/tmp") as folder, replicated(Path(folder)) as servers:
        yield servers


@pytest_asyncio.fixture
async def address(servers: Replicated, settings: Any) -> AsyncIterator[MovingAddress]:
    """The address of the master, which the settings name."""
    address = MovingAddress()
    await address.start(servers.first)
    settings.REDIS_URL = f"redis://127.0.0.1:{address.port}/0"
    layer = settings.CHANNEL_LAYERS["default"]
    host = {**layer["CONFIG"]["hosts"][0], **redis_address.layer_host(settings.REDIS_URL)}
    settings.CHANNEL_LAYERS = {"default": {**layer, "CONFIG": {**layer["CONFIG"], "hosts": [host]}}}
    yield address
    await address.stop()


async def test_writes_that_the_replica_never_saw_are_a_new_epoch_and_everybody_gets_them_again(
    servers: Replicated,
    address: MovingAddress,
    new_hub: NewHub,
    new_source: NewSource,
    new_client: NewClient,
) -> None:
    source = await new_source()
    await source.tick("AAPL", "MSFT")
    hub = await new_hub()
    client = new_client(hub)
    hub.subscribe(client.connection, {"AAPL": "quote", "MSFT": "quote"})
    await eventually(lambda: client.has("AAPL", 1) and client.has("MSFT", 1), "the snapshots")
    with servers.client(servers.first) as master, servers.client(servers.second) as replica:
        await eventually(lambda: bool(replica.smembers(f"lf:wanted:{hub.process}")), "the wants on both")
        replica.replicaof("NO", "ONE")
        await source.tick("AAPL")
        await eventually(lambda: client.has("AAPL", 2), "the last words of the old master")
        epoch = source.bus.epoch
        assert '"seq":2' in str(master.hget("lf:last", "AAPL"))
        assert '"seq":1' in str(replica.hget("lf:last", "AAPL"))

        address.move(servers.second)

        # A connection that was cut between two commands is made anew before the next, and nothing else tells of it.
        with pytest.raises(StateLost):
            await renew_when_connected(source.bus)
        await source.bus.new_epoch()
        await source.heartbeat()
        await source.tick("AAPL", "MSFT")
        await eventually(lambda: is_in_later_epoch(client, epoch), "both again, in the new epoch")
        assert f'"epoch":{source.bus.epoch}' in str(replica.hget("lf:last", "AAPL"))


async def renew_when_connected(bus: FeedBus) -> None:
    async with asyncio.timeout(WITHIN):
        while True:
            with suppress(*UNREACHABLE):
                return await bus.renew()


def is_in_later_epoch(client: Client, epoch: int) -> bool:
    client.read()
    return all(quote["epoch"] > epoch for quote in client.quotes.values())
