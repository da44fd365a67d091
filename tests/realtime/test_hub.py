"""The hub over a real Redis and layer: what a flush costs, what a loss looks like, and that nothing stays behind."""

import asyncio
import random
import time
from collections.abc import Sized
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from assets.snapshots import connection as sync_redis
from realtime.bus import (
    WEB_GROUP,
    Batch,
    Update,
    batch_message,
    new_layer,
    wanted_key,
)
from realtime.frames import texts
from realtime.handshake import Identity, session_digest
from realtime.hub import Hub
from realtime.manual_price import publish_manual_price
from realtime.protocol import Mode, encode_quote
from tests.realtime.builders import WITHIN, Client, Clock, eventually, make_record
from tests.realtime.conftest import NewClient, NewHub, NewSource

pytestmark = pytest.mark.asyncio


def group_members() -> int:
    """How many channels are in the group of web processes."""
    ((_, members),) = sync_redis().pubsub_numsub(f"lf__group__{WEB_GROUP}")
    return int(members)


def wanted(hub: Hub) -> set[str]:
    """What the process wants; of a channel without its number."""
    members: Any = sync_redis().smembers(wanted_key(hub.process))
    return {" ".join(member.decode().split(" ")[:2]) for member in members}


def wants_written() -> int:
    version: Any = sync_redis().get("lf:wanted:version")
    return int(version or 0)


async def wanting(hub: Hub, *wants: str) -> None:
    await eventually(lambda: wanted(hub) == set(wants), f"the wants {wants} in Redis")


def is_empty(hub: Hub) -> bool:
    """Whether nothing of any connection is left."""
    presence, topics = hub.presence, hub.topics
    left: list[Sized] = [
        hub.connections,
        topics._topics,
        topics._audiences,
        presence._by_user,
        hub.last_values._repairing,
    ]
    return not any(map(len, left)) and not hub._tasks


# --- what a flush costs ----------------------------------------------------------------------------------------------


async def test_a_process_is_one_member_of_the_group_whatever_its_sockets(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    channels = len(sync_redis().pubsub_channels())

    clients = [new_client(hub) for _ in range(100)]
    for client in clients:
        hub.subscribe(client.connection, {"AAPL": "quote"})
    await eventually(lambda: all(client.has("AAPL", 1) for client in clients), "a snapshot for all")

    assert group_members() == 1
    assert len(sync_redis().pubsub_channels()) == channels
    await new_hub()
    assert group_members() == 2


async def test_a_flush_is_one_message_of_the_layer_and_reaches_everyone(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    symbols = [f"S{n}" for n in range(50)]
    await source.tick(*symbols)
    hub = await new_hub()
    clients = [new_client(hub, batch=bool(n % 2)) for n in range(20)]
    for client in clients:
        hub.subscribe(client.connection, dict.fromkeys(symbols, "quote"))
    await wanting(hub, *(f"quote {symbol}" for symbol in symbols))
    source.layer.sent.clear()

    await source.tick(*symbols)
    await eventually(
        lambda: all(client.has(symbol, 2) for client in clients for symbol in symbols), "the second tick"
    )

    assert source.layer.sent == ["feed.batch"]
    assert hub.counters["gaps"] == 0


async def test_connections_with_the_same_subscriptions_share_one_joined_frame(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    hub = await new_hub()
    await source.tick("AAPL", "MSFT")
    clients = [new_client(hub, batch=True) for _ in range(10)]
    for number, client in enumerate(clients):
        # The order in which they came to it does not matter.
        for symbol in ("AAPL", "MSFT") if number % 2 else ("MSFT", "AAPL"):
            hub.subscribe(client.connection, {symbol: "quote"})
    await wanting(hub, "quote AAPL", "quote MSFT")
    await eventually(lambda: not hub._tasks, "all snapshots to be on their way")
    assert all(client.has("MSFT", 1) and client.has("AAPL", 1) for client in clients)

    await source.tick("AAPL", "MSFT")
    await eventually(lambda: hub.topics["AAPL"].seq == 2, "the flush")

    runs = [client.connection.outbox.take() for client in clients]
    assert len(list(texts(runs[0]))) == 1
    assert all(run is runs[0] for run in runs)


async def test_an_update_is_encoded_once_for_each_mode_whoever_takes_it(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    hub = await new_hub()
    await source.tick("AAPL", "MSFT", bids=(), asks=())
    kinds = [("ltpc", "number"), ("quote", "number"), ("full", "number"), ("quote", "string")]
    for mode, numbers in kinds:
        for extra in ({}, {"MSFT": "quote"}):
            hub.subscribe(new_client(hub, numbers=numbers).connection, {"AAPL": mode, **extra})
    await wanting(hub, "ltpc AAPL", "quote AAPL", "full AAPL", "quote MSFT")
    await source.tick("AAPL", bids=(), asks=())
    await eventually(lambda: hub.topics["AAPL"].seq == 2, "the flush")

    topic = hub.topics["AAPL"]
    for mode, numbers in kinds:
        payload = topic.payload(mode, numbers)  # type: ignore[arg-type]
        assert payload is not None
        assert payload is topic.payload(mode, numbers)  # type: ignore[arg-type]
        assert payload.json == encode_quote(source.records["AAPL"], mode, numbers)  # type: ignore[arg-type]


# --- snapshots -------------------------------------------------------------------------------------------------------


async def test_a_subscription_begins_with_the_last_value_and_goes_on_from_there(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    first = new_client(hub)
    hub.subscribe(first.connection, {"AAPL": "quote"})
    await eventually(lambda: first.has("AAPL", 1), "the snapshot from Redis")
    await wanting(hub, "quote AAPL")
    await source.tick("AAPL")
    await eventually(lambda: first.has("AAPL", 2), "the next tick")

    second = new_client(hub)
    hub.subscribe(second.connection, {"AAPL": "ltpc"})

    assert second.has("AAPL", 2)  # at once: this process knows it already
    assert "bid" not in second.quotes["AAPL"]
    assert first.seqs["AAPL"] == sorted(set(first.seqs["AAPL"]))


async def test_a_tick_before_its_want_is_known_comes_with_the_snapshot(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    client = new_client(hub)

    async with hub.presence._writing_wants:  # as while others' wants are written
        hub.subscribe(client.connection, {"AAPL": "quote"})
        await source.tick("AAPL")
        assert "feed.batch" not in source.layer.sent

    await eventually(lambda: client.has("AAPL", 2), "the tick that nobody was sent")


async def test_a_tick_that_came_without_a_wanted_mode_is_read_for_who_wants_it(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    first, second = new_client(hub), new_client(hub)
    hub.subscribe(first.connection, {"AAPL": "ltpc"})
    await eventually(lambda: first.has("AAPL", 1), "the snapshot, which is read in full")
    await wanting(hub, "ltpc AAPL")

    async with hub.presence._writing_wants:  # as while others' wants are written
        hub.subscribe(second.connection, {"AAPL": "quote"})
        assert second.has("AAPL", 1)
        await source.tick("AAPL")
        await eventually(lambda: first.has("AAPL", 2), "the tick in the mode that was known to be wanted")

    await eventually(lambda: second.has("AAPL", 2), "the same tick in its own mode")
    assert first.seqs["AAPL"] == second.seqs["AAPL"] == [1, 2]


async def test_a_snapshot_that_many_wait_for_comes_once_to_each(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL", "MSFT")
    hub = await new_hub()
    clients = [new_client(hub, numbers="string" if number % 2 else "number") for number in range(20)]
    for number, client in enumerate(clients):
        hub.subscribe(client.connection, {"AAPL": "quote"} | ({"MSFT": "ltpc"} if number % 3 else {}))
    await eventually(lambda: all(client.has("AAPL", 1) for client in clients), "the snapshots")
    await eventually(lambda: not hub._tasks, "all that is on its way")

    for client in clients:
        client.read()
        assert client.seqs["AAPL"] == [1]
        hub.subscribe(client.connection, {"AAPL": "quote"})
        client.read()
        assert client.seqs["AAPL"] == [1, 1]  # asked for again


async def test_a_fuller_mode_is_read_when_it_is_asked_for(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    depth: Any = {"bids": ((Decimal("1.5"), Decimal(2)),), "asks": ()}
    await source.tick("AAPL", **depth)
    hub = await new_hub()
    client = new_client(hub)
    hub.subscribe(client.connection, {"AAPL": "quote"})
    await wanting(hub, "quote AAPL")
    await source.tick("AAPL", **depth)
    await eventually(lambda: client.has("AAPL", 2), "a tick known in mode quote only")

    hub.subscribe(client.connection, {"AAPL": "full"})
    await eventually(lambda: client.shows("AAPL", "bids", [[1.5, 2]]), "the fuller snapshot")

    await wanting(hub, "full AAPL")
    await source.tick("AAPL", **depth)
    await eventually(lambda: client.has("AAPL", 3) and "bids" in client.quotes["AAPL"], "ticks in mode full")


@pytest.mark.django_db(transaction=True)
async def test_a_subscriber_while_redis_refuses_to_read_still_gets_its_snapshot(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    clock = Clock()
    hub = await new_hub(clock)
    first, second = new_client(hub), new_client(hub)
    hub.subscribe(first.connection, {"AAPL": "quote"})
    await eventually(lambda: first.has("AAPL", 1), "the snapshot")
    clock.moment += 4
    await eventually(lambda: first.was_told("down"), "that the source is down, so that memory is not trusted")

    sync_redis().acl_setuser("default", enabled=True, commands=["-hmget"])
    try:
        hub.subscribe(second.connection, {"AAPL": "quote"})
        await eventually(lambda: hub.last_values._repairing, "a failed read")
    finally:
        sync_redis().acl_setuser("default", enabled=True, commands=["+hmget"])

    await eventually(lambda: second.has("AAPL", 1), "the snapshot after all")
    assert second.connection.closing is None


@pytest.mark.django_db(transaction=True)
async def test_values_that_cannot_be_had_again_close_their_subscribers_with_state_lost(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    await new_source()
    hub = await new_hub()
    client, bystander = new_client(hub), new_client(hub)

    sync_redis().acl_setuser("default", enabled=True, commands=["-hmget"])
    try:
        hub.subscribe(client.connection, {"AAPL": "quote"})
        await eventually(lambda: client.connection.closing, "to be closed")
    finally:
        sync_redis().acl_setuser("default", enabled=True, commands=["+hmget"])

    assert client.connection.closing == (4001, "state_lost")
    assert bystander.connection.closing is None


# --- losses ----------------------------------------------------------------------------------------------------------


async def test_a_batch_lost_in_the_layer_is_read_again_and_shown(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL", "MSFT")
    hub = await new_hub()
    client = new_client(hub)
    hub.subscribe(client.connection, {"AAPL": "quote", "MSFT": "quote"})
    await wanting(hub, "quote AAPL", "quote MSFT")
    await source.tick("AAPL", "MSFT")
    await eventually(lambda: client.has("AAPL", 2) and client.has("MSFT", 2), "the values before the loss")
    client.statuses.clear()

    source.layer.loses = True
    await source.tick("AAPL", "MSFT")
    source.layer.loses = False
    await source.tick("MSFT")

    await eventually(lambda: client.has("AAPL", 3), "the lost value")
    await eventually(lambda: client.has("MSFT", 4), "the value after it")
    await eventually(lambda: client.was_told("live"), "that the source is live again")
    assert hub.counters["gaps"] == 1
    assert all(seqs == sorted(set(seqs)) for seqs in client.seqs.values())


async def test_a_gap_is_told_before_it_is_repaired(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    hub = await new_hub()
    client = new_client(hub)
    await source.tick("AAPL")
    hub.subscribe(client.connection, {"AAPL": "quote"})
    await wanting(hub, "quote AAPL")
    await source.tick("AAPL")
    await eventually(lambda: client.has("AAPL", 2), "the value before the loss")

    sync_redis().acl_setuser("default", enabled=True, commands=["-hmget"])
    try:
        source.layer.loses = True
        await source.tick("AAPL")
        source.layer.loses = False
        await source.tick("AAPL")
        await eventually(lambda: client.was_told("recovering"), "to be told of the gap")
    finally:
        sync_redis().acl_setuser("default", enabled=True, commands=["+hmget"])

    await eventually(lambda: client.was_told("recovering", "live"), "to be told of the repair")
    assert client.has("AAPL", 4)


async def test_a_lost_last_batch_is_noticed_by_the_next_heartbeat(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    client = new_client(hub)
    hub.subscribe(client.connection, {"AAPL": "quote"})
    await wanting(hub, "quote AAPL")
    await source.tick("AAPL")
    await eventually(lambda: client.has("AAPL", 2), "the value before the loss")

    source.layer.loses = True
    await source.tick("AAPL")
    source.layer.loses = False
    await source.heartbeat()

    await eventually(lambda: client.has("AAPL", 3), "the lost value")
    assert hub.counters["gaps"] == 1


async def test_a_subscription_to_the_layer_that_redis_cut_is_made_good(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    client = new_client(hub)
    hub.subscribe(client.connection, {"AAPL": "quote"})
    await wanting(hub, "quote AAPL")

    assert sync_redis().client_kill_filter(_type="pubsub") >= 1
    await source.tick("AAPL")

    async def heard() -> None:
        while not client.has("AAPL", source.records["AAPL"].seq):
            await source.heartbeat()
            await asyncio.sleep(0.05)

    await asyncio.wait_for(heard(), WITHIN)
    await source.tick("AAPL")
    await asyncio.wait_for(heard(), WITHIN)


async def test_a_new_leaders_epoch_replaces_the_old_one_and_former_leaders_are_not_heard(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    former = await new_source()
    await former.tick("AAPL", "AAPL", "AAPL")
    hub = await new_hub()
    client = new_client(hub)
    hub.subscribe(client.connection, {"AAPL": "quote"})
    await wanting(hub, "quote AAPL")
    old_epoch = former.bus.epoch
    sync_redis().delete("lf:lease:simulator")
    leader = await new_source()
    await leader.tick("AAPL", price=Decimal("7.5"))
    await eventually(lambda: client.shows("AAPL", "price", 7.5), "the new leader's value")
    assert client.quotes["AAPL"]["epoch"] == leader.bus.epoch > old_epoch

    zombie = make_record(seq=99, epoch=old_epoch, price=Decimal(1))
    update = Update("AAPL", 99, {"quote": encode_quote(zombie, Mode.QUOTE)})
    await send_batch(Batch("simulator", old_epoch, 50, [update]))
    await eventually(lambda: hub.counters["fenced_batches"] == 1, "the zombie's batch to be refused")
    await leader.tick("AAPL")

    await eventually(lambda: client.has("AAPL", 2), "the leader's next value")
    assert 99 not in client.seqs["AAPL"]
    assert hub.counters["gaps"] == 0


async def send_batch(batch: Batch) -> None:
    """Sends a batch past the bus, and with that past its fence."""
    layer = new_layer()
    await layer.group_send(WEB_GROUP, batch_message(batch))
    await layer.flush()


async def test_older_and_repeated_updates_are_not_delivered(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    hub = await new_hub()
    client = new_client(hub)
    await source.tick("AAPL")
    hub.subscribe(client.connection, {"AAPL": "quote"})
    await eventually(lambda: client.has("AAPL", 1), "the snapshot")

    def update(seq: int) -> Update:
        record = make_record(seq=seq, epoch=source.bus.epoch)
        return Update("AAPL", seq, {"quote": encode_quote(record, Mode.QUOTE)})

    for number, seq in enumerate((5, 5, 4, 6), start=1):
        await send_batch(Batch("simulator", source.bus.epoch, number, [update(seq)]))
    await eventually(lambda: client.has("AAPL", 6), "the newest")

    assert [seq for seq in client.seqs["AAPL"] if seq > 1] in ([5, 6], [6])


async def test_three_seconds_of_silence_are_shown_as_down_and_a_heartbeat_ends_them(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    clock = Clock()
    source = await new_source()
    hub = await new_hub(clock)
    client = new_client(hub)
    clock.moment += 1
    await source.heartbeat()
    await eventually(lambda: hub.feeds.views["simulator"].heard_at == clock(), "the heartbeat")
    clock.moment += 2.9
    await asyncio.sleep(0.3)  # more than one pulse, in which nothing may happen
    assert not client.was_told("down")

    clock.moment += 0.2
    await eventually(lambda: client.was_told("down"), "to be told that the source is down")
    assert not hub.feeds.is_live("simulator")

    await source.heartbeat()
    await eventually(lambda: client.was_told("down", "live"), "to be told that it is back")


async def test_a_source_that_ended_is_not_called_down(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    clock = Clock()
    source = await new_source()
    hub = await new_hub(clock)
    client = new_client(hub)
    await source.heartbeat("ended", "the recording is over")
    await eventually(lambda: client.was_told("ended"), "the end")

    clock.moment += 60
    await asyncio.sleep(0.3)  # more than one pulse, in which nothing may happen

    assert client.was_told("ended")


async def test_what_a_source_says_of_itself_is_told_once(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    hub = await new_hub()
    client = new_client(hub)
    for _ in range(3):
        await source.heartbeat("recovering", "reconnected")
    await source.heartbeat("live")
    await eventually(lambda: client.was_told("live"), "the last state")

    assert len(client.statuses) <= 2


# --- prices by hand --------------------------------------------------------------------------------------------------


async def publish_by_hand(price: int) -> None:
    await asyncio.to_thread(publish_manual_price, make_record("FUND", price=Decimal(price)))


async def lose_by_hand(price: int, symbol: str = "FUND") -> None:
    """Stores a price by hand whose message the layer then loses."""
    number: Any = sync_redis().hincrby("lf:manual", "number", 1)
    sync_redis().hsetnx("lf:manual", "epoch", str(int(time.time())))
    epoch: Any = sync_redis().hget("lf:manual", "epoch")
    record = make_record(symbol, number, int(epoch), source="manual", price=Decimal(price))
    sync_redis().hset("lf:last", symbol, encode_quote(record, Mode.FULL))


async def test_a_lost_price_by_hand_is_noticed_at_the_next_one(
    new_hub: NewHub, new_client: NewClient
) -> None:
    await publish_by_hand(1)
    await lose_by_hand(2, "HOUSE")
    hub = await new_hub()
    client = new_client(hub)
    hub.subscribe(client.connection, {"FUND": "quote", "HOUSE": "quote"})
    await eventually(lambda: client.has("FUND", 1) and client.has("HOUSE", 2), "the first prices")
    await publish_by_hand(3)
    await eventually(lambda: client.has("FUND", 3), "the next price")

    await lose_by_hand(4, "HOUSE")
    await publish_by_hand(5)

    await eventually(lambda: client.has("HOUSE", 4), "the lost price")
    assert client.has("FUND", 5)


@pytest.mark.parametrize("published_before", [0, 1])
async def test_a_lost_price_by_hand_is_noticed_at_the_next_renewal(
    new_hub: NewHub, new_client: NewClient, published_before: int
) -> None:
    clock = Clock()
    for price in range(published_before):
        await publish_by_hand(price)
    hub = await new_hub(clock)
    # The process is in Redis a little before its hub has the answer, with the number of the last price.
    await eventually(lambda: hub._manual_number >= 0, "the first renewal")
    client = new_client(hub)
    # Known to this process, so that nobody would look it up again.
    hub.topics.count("FUND", "quote", 1)
    hub.topics.regroup(client.connection, {"FUND": "quote"})

    await lose_by_hand(9)
    clock.moment += 6

    await eventually(lambda: client.has("FUND", published_before + 1), "the lost price")


# --- wants -----------------------------------------------------------------------------------------------------------


async def test_a_want_is_written_once_for_all_sockets_and_removed_with_the_last(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub(Clock())  # a renewal in between would be one that the clock brings
    await eventually(lambda: sync_redis().exists(f"lf:process:{hub.process}"), "the first renewal")
    written = wants_written()
    clients = [new_client(hub) for _ in range(20)]
    for client in clients:
        hub.subscribe(client.connection, {"AAPL": "quote"})
    await wanting(hub, "quote AAPL")
    assert wants_written() == written + 1

    for client in clients[:-1]:
        hub.close(client.connection, 1000)
    assert wanted(hub) == {"quote AAPL"}
    hub.unsubscribe(clients[-1].connection, ["AAPL"])

    await wanting(hub)
    assert wants_written() == written + 2


async def test_a_process_wants_what_it_watches_itself(new_hub: NewHub, new_source: NewSource) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    heard: list[set[str]] = []
    hub.price_listeners.append(heard.append)

    await hub.watch(["AAPL"])
    assert hub.topics["AAPL"].quote() == source.records["AAPL"]
    await wanting(hub, "quote AAPL")
    heard.clear()
    await source.tick("AAPL")
    await eventually(lambda: heard == [{"AAPL"}], "the tick")

    hub.unwatch(["AAPL"])
    await wanting(hub)
    await eventually(lambda: is_empty(hub), "nothing to be left")


async def test_a_hub_that_stops_leaves_nothing_in_redis(new_source: NewSource, new_client: NewClient) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = Hub()
    await hub.start()
    client = new_client(hub, Identity(user_id=7))
    hub.subscribe(client.connection, {"AAPL": "quote"})
    await wanting(hub, "quote AAPL")
    await eventually(lambda: sync_redis().exists(f"lf:users:{hub.process}"), "the statistics")

    await hub.stop()

    assert [key for key in sync_redis().keys("*") if hub.process.encode() in key] == []
    assert sync_redis().zscore("lf:processes", hub.process) is None
    assert group_members() == 0


# --- connections by the clock ----------------------------------------------------------------------------------------


async def test_a_connection_without_subscriptions_that_says_nothing_is_idle(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient, settings: Any
) -> None:
    settings.WEBSOCKET_TIMEOUT = 20
    source = await new_source()
    await source.tick("AAPL")
    clock = Clock()
    hub = await new_hub(clock)
    idle, talking, subscribed = new_client(hub), new_client(hub), new_client(hub)
    hub.subscribe(subscribed.connection, {"AAPL": "quote"})
    clock.moment += 15
    talking.connection.heard_at = clock()
    clock.moment += 6

    await eventually(lambda: idle.connection.closing, "to be closed")

    assert idle.connection.closing == (4002, "idle")
    assert talking.connection.closing is subscribed.connection.closing is None


async def test_every_connection_gets_a_heartbeat_every_15_seconds(
    new_hub: NewHub, new_client: NewClient
) -> None:
    clock = Clock()
    hub = await new_hub(clock)
    client = new_client(hub)

    def heartbeats() -> int:
        client.read()
        return sum(event["type"] == "heartbeat" for event in client.events)

    clock.moment += 14.9
    await asyncio.sleep(0.3)  # more than one pulse, in which nothing may happen
    assert heartbeats() == 0
    clock.moment += 0.1
    await eventually(lambda: heartbeats() == 1, "the first heartbeat")
    clock.moment += 15
    await eventually(lambda: heartbeats() == 2, "the second heartbeat")


async def test_a_socket_that_takes_nothing_for_ten_seconds_is_a_slow_consumer(
    new_hub: NewHub, new_client: NewClient
) -> None:
    clock = Clock()
    hub = await new_hub(clock)
    stuck, busy = new_client(hub), new_client(hub)
    stuck.connection.sending_since = clock()
    clock.moment += 5
    busy.connection.sending_since = clock()
    clock.moment += 5.1

    await eventually(lambda: stuck.connection.closing, "to be closed")

    assert stuck.connection.closing == (4000, "slow_consumer")
    assert busy.connection.closing is None


async def test_unread_answers_without_end_are_a_slow_consumer_too(
    new_hub: NewHub, new_client: NewClient
) -> None:
    hub = await new_hub()
    client = new_client(hub)
    for _ in range(1001):
        client.connection.put_event("{}")

    assert client.connection.closing == (4000, "slow_consumer")


async def test_draining_closes_everyone_with_4004(new_hub: NewHub, new_client: NewClient) -> None:
    hub = await new_hub()
    clients = [new_client(hub) for _ in range(20)]

    draining = asyncio.create_task(hub.drain(0.1))
    await eventually(lambda: all(client.connection.closing for client in clients), "all to be closed")
    for client in clients:
        hub.close(client.connection, 4004)
    await draining

    assert {client.connection.closing for client in clients} == {(4004, "draining")}
    assert hub.draining


async def test_draining_many_is_spread_over_the_time_that_there_is(
    new_hub: NewHub, new_client: NewClient
) -> None:
    hub = await new_hub()
    clients = [new_client(hub) for _ in range(5000)]

    draining = asyncio.create_task(hub.drain(2.5))
    await eventually(lambda: clients[0].connection.closing, "the first to be closed")
    closed = sum(client.connection.closing is not None for client in clients)
    draining.cancel()

    assert closed < 100


# --- sessions --------------------------------------------------------------------------------------------------------


async def test_the_end_of_a_session_closes_its_connections_in_every_process(
    new_hub: NewHub, new_client: NewClient
) -> None:
    hubs = [await new_hub(), await new_hub()]
    ending = [new_client(hub, Identity(user_id=1, session_key="abc")) for hub in hubs]
    others = [
        new_client(hubs[0], Identity(user_id=1, session_key="other")),
        new_client(hubs[0], Identity(user_id=1, token_id=3)),
        new_client(hubs[1]),
    ]
    layer = new_layer()

    await layer.group_send(WEB_GROUP, {"type": "session.ended", "session": session_digest("abc")})
    await eventually(lambda: all(client.connection.closing for client in ending), "them to be closed")

    assert {client.connection.closing for client in ending} == {(4500, "session_ended")}
    assert not any(client.connection.closing for client in others)
    await layer.flush()


async def test_a_message_that_makes_no_sense_harms_nothing(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient, errors_logged: list[str]
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    client = new_client(hub)
    hub.subscribe(client.connection, {"AAPL": "quote"})
    await wanting(hub, "quote AAPL")
    layer = new_layer()
    broken: list[dict[str, Any]] = [
        {"type": "feed.batch", "batch": {"source": 1}},
        {"type": "feed.batch", "batch": b"?"},
        {"type": "feed.status"},
        {"type": "session.ended"},
        {"type": "who.knows"},
        {},
    ]
    for message in broken:
        await layer.group_send(WEB_GROUP, message)
    await source.tick("AAPL")

    await eventually(lambda: client.has("AAPL", 2), "the tick after them")
    assert len(errors_logged) == 4
    await layer.flush()


# --- statistics ------------------------------------------------------------------------------------------------------


async def test_a_users_statistics_are_in_redis_and_go_with_its_last_connection(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL", "MSFT")
    hub = await new_hub()
    clients = [new_client(hub, Identity(user_id=7)) for _ in range(2)]
    hub.subscribe(clients[0].connection, {"AAPL": "quote"})
    hub.subscribe(clients[1].connection, {"AAPL": "ltpc", "MSFT": "quote"})

    def stored() -> Any:
        text: Any = sync_redis().hget(f"lf:users:{hub.process}", "7")
        return msgspec.json.decode(text) if text else None

    wanted_stats = {"portfolios": [], "assets": ["AAPL", "MSFT"]}
    await eventually(lambda: stored() and stored()["subscriptions"] == wanted_stats, "the statistics")
    assert stored()["connection_count"] == 2
    for client in clients:
        hub.close(client.connection, 1000)
    await eventually(lambda: stored() is None, "them to be gone")


# --- races -----------------------------------------------------------------------------------------------------------


async def test_a_thousand_races_leave_nothing_behind_and_nobody_with_an_old_value(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient, errors_logged: list[str]
) -> None:
    chance = random.Random(20261120)
    source = await new_source()
    symbols = [f"S{n}" for n in range(12)]
    await source.tick(*symbols, bids=(), asks=())
    hub = await new_hub()
    clients: list[Client] = []

    def step() -> None:
        if not clients or (len(clients) < 30 and chance.random() < 0.2):
            identity = Identity(user_id=chance.choice([1, 2, 3]))
            options = {"batch": chance.random() < 0.5, "numbers": chance.choice(["number", "string"])}
            clients.append(new_client(hub, identity, **options))
            return
        client = chance.choice(clients)
        some = chance.sample(symbols, chance.randint(1, 6))
        match chance.choice(["subscribe", "subscribe", "unsubscribe", "read", "close"]):
            case "subscribe":
                hub.subscribe(client.connection, {s: chance.choice(["ltpc", "quote", "full"]) for s in some})
            case "unsubscribe":
                hub.unsubscribe(client.connection, some)
            case "read":
                client.read()
            case "close":
                clients.remove(client)
                hub.close(client.connection, 1000)

    for number in range(1000):
        step()
        if number % 10 == 0:
            source.layer.loses = chance.random() < 0.2
            await source.tick(*chance.sample(symbols, 4), bids=(), asks=())
        elif chance.random() < 0.3:
            await asyncio.sleep(0)
    source.layer.loses = False
    await source.heartbeat()

    def is_current(client: Client) -> bool:
        return all(client.has(s, source.records[s].seq) for s in client.connection.subscriptions)

    await eventually(
        lambda: all(is_current(client) for client in clients), "everyone to have the last values"
    )
    assert all(client.connection.closing is None for client in clients)
    for client in clients:
        hub.close(client.connection, 1000)
    await eventually(lambda: is_empty(hub), "the hub to be empty")
    await wanting(hub)
    await eventually(lambda: not sync_redis().exists(f"lf:users:{hub.process}"), "no statistics of anyone")
    assert errors_logged == []
