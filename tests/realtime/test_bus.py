"""The bus over a real Redis: who leads a source, what a former leader may still do, and what is wanted by whom."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from assets.snapshots import connection, read_quotes
from realtime.bus import (
    ACCOUNT_EVENTS_KEPT,
    BOOKS_KEY,
    LEASE_SECONDS,
    PROCESS_SECONDS,
    REDIS_CONNECTIONS,
    FeedBus,
    Fenced,
    StateLost,
    account_key,
    decode_status,
    is_live,
    new_redis,
    read_feeds,
    read_feeds_sync,
)
from realtime.protocol import Mode, QuoteRecord, decode_quote, encode_quote
from realtime.topics import Topics
from realtime.wants import PROCESSES_KEY, wanted_key
from tests.realtime.builders import WITHIN, make_record, make_status, next_batch
from tests.realtime.conftest import MakeFeed, MakeWeb

pytestmark = pytest.mark.asyncio


def lapse_lease(bus: FeedBus) -> None:
    """What Redis does when a leader has been silent for LEASE_SECONDS."""
    assert 0 < connection().pttl(f"lf:lease:{bus.source}") <= LEASE_SECONDS * 1000
    connection().delete(f"lf:lease:{bus.source}")


def lapse_process(process: str) -> None:
    """What time does to a web process that died."""
    connection().zadd(PROCESSES_KEY, {process: time.time() - 0.001})


def of(records: Mapping[str, QuoteRecord]) -> Callable[[str], QuoteRecord | None]:
    return records.get


# --- who leads -------------------------------------------------------------------------------------------------------


async def test_one_process_leads_a_source_and_others_stand_by(feed: MakeFeed) -> None:
    first, second, other = feed("first"), feed("second"), feed("second", source="coinbase")

    assert await first.acquire()
    assert not await second.acquire()
    assert await other.acquire()
    assert second.epoch == 0


async def test_a_release_lets_the_next_one_lead_at_once_under_a_later_epoch(feed: MakeFeed) -> None:
    first, second = feed("first"), feed("second")
    await first.acquire()
    await second.release()
    assert not await second.acquire()

    await first.release()

    assert await second.acquire()
    assert second.epoch > first.epoch


async def test_a_leader_that_renews_keeps_its_lead_and_its_epoch(feed: MakeFeed) -> None:
    leader = feed()
    await leader.acquire()
    epoch = leader.epoch
    connection().pexpire("lf:lease:simulator", 50)

    await leader.renew()

    assert connection().pttl("lf:lease:simulator") > 1000
    assert leader.epoch == epoch


async def test_a_new_epoch_begins_its_numbers_anew(feed: MakeFeed, web: MakeWeb) -> None:
    leader = feed()
    await leader.acquire()
    await web("w").want(["quote AAPL"])
    await leader.publish({"AAPL": make_record(epoch=leader.epoch)}, of({}))
    epoch = leader.epoch
    assert leader.number == 1

    await leader.new_epoch()

    assert leader.epoch > epoch
    assert leader.number == 0


async def test_a_former_leader_can_neither_publish_nor_renew(feed: MakeFeed) -> None:
    zombie, leader = feed("first"), feed("second")
    await zombie.acquire()
    lapse_lease(zombie)
    await leader.acquire()
    await leader.publish({"AAPL": make_record(seq=9, epoch=leader.epoch)}, of({}))

    with pytest.raises(Fenced):
        await zombie.publish({"AAPL": make_record(seq=3, epoch=zombie.epoch)}, of({}))
    with pytest.raises(Fenced):
        await zombie.renew()
    with pytest.raises(Fenced):
        await zombie.new_epoch()
    await zombie.release()

    assert read_quotes(["AAPL"])["AAPL"]["seq"] == 9
    await leader.renew()
    assert not await feed("third").acquire()


async def test_a_lapsed_lease_that_nobody_took_is_still_the_leaders(feed: MakeFeed) -> None:
    leader = feed()
    await leader.acquire()
    lapse_lease(leader)

    await leader.publish({"AAPL": make_record(epoch=leader.epoch)}, of({}))
    await leader.renew()

    assert not await feed("second").acquire()


async def test_a_redis_that_forgot_says_so_and_never_hands_out_an_old_epoch(feed: MakeFeed) -> None:
    leader, standby = feed("first"), feed("second")
    await leader.acquire()
    for _ in range(5):
        await leader.new_epoch()
    before = leader.epoch
    connection().flushdb()

    with pytest.raises(StateLost):
        await leader.publish({"AAPL": make_record(epoch=leader.epoch)}, of({}))
    with pytest.raises(StateLost):
        await leader.renew()
    assert read_quotes(["AAPL"]) == {}

    await leader.new_epoch()
    assert leader.epoch > before
    again, moment = leader.epoch, int(time.time())
    connection().flushdb()
    assert await standby.acquire()
    # The standby never knew an epoch; the clock keeps it from going back far, and the next change forward.
    assert standby.epoch >= moment
    assert again >= moment - 60


async def test_a_replica_that_lacks_the_last_writes_has_lost_state(feed: MakeFeed) -> None:
    leader = feed()
    await leader.acquire()
    await leader.publish({"AAPL": make_record(seq=1, epoch=leader.epoch)}, of({}))
    await leader.publish({"AAPL": make_record(seq=2, epoch=leader.epoch)}, of({}))
    await leader.renew()
    replicated = {key: connection().dump(key) for key in connection().scan_iter("lf:*")}
    await leader.publish({"MSFT": make_record("MSFT", epoch=leader.epoch)}, of({}))
    await leader.renew()
    connection().flushdb()
    for key, value in replicated.items():
        assert isinstance(value, bytes)
        connection().restore(key, 0, value)

    with pytest.raises(StateLost):
        await leader.renew()

    epoch = leader.epoch
    await leader.new_epoch()
    assert leader.epoch > epoch
    await leader.renew()


async def test_a_replica_that_missed_the_last_epochs_hands_out_a_later_one(feed: MakeFeed) -> None:
    leader, standby = feed("first"), feed("second")
    await leader.acquire()
    leader.epoch -= 60  # a minute ago
    connection().set("lf:epoch:simulator", leader.epoch - 3)
    lapse_lease(leader)

    assert await standby.acquire()

    assert standby.epoch > leader.epoch
    with pytest.raises(Fenced):
        await leader.renew()


# --- publishing ------------------------------------------------------------------------------------------------------


async def test_last_values_of_all_symbols_are_stored_and_only_wanted_ones_sent(
    feed: MakeFeed, web: MakeWeb
) -> None:
    leader, listener = feed(), web("w")
    await leader.acquire()
    await listener.listen()
    await listener.want(["quote AAPL"])
    records = {
        symbol: make_record(symbol, epoch=leader.epoch, price=Decimal("43000.0100"))
        for symbol in ("AAPL", "MSFT")
    }

    assert await leader.publish(records, of(records)) == 1

    batch = await next_batch(listener)
    assert (batch.source, batch.epoch, batch.number) == ("simulator", leader.epoch, 1)
    assert [(update.symbol, update.seq) for update in batch.updates] == [("AAPL", 1)]
    assert batch.updates[0].payloads == {"quote": encode_quote(records["AAPL"], Mode.QUOTE)}
    stored = await listener.read_records(["AAPL", "MSFT", "NONE"])
    assert {symbol: decode_quote(text) for symbol, text in stored.items()} == records
    assert read_quotes(["MSFT"])["MSFT"]["price"] == Decimal("43000.0100")
    assert await listener.read_records([]) == {}


async def test_what_nobody_wants_is_no_message(feed: MakeFeed, web: MakeWeb) -> None:
    leader = feed()
    await leader.acquire()

    assert await leader.publish({"AAPL": make_record(epoch=leader.epoch)}, of({})) == 0
    assert leader.number == 0


async def test_each_update_is_encoded_once_for_each_mode_that_anyone_wants(
    feed: MakeFeed, web: MakeWeb
) -> None:
    leader, first, second = feed(), web("a"), web("b")
    await leader.acquire()
    await first.listen()
    await first.want(["quote AAPL", "ltpc MSFT"])
    await second.want(["full AAPL", "ltpc AAPL", "quote BTC-USD"])
    records = {symbol: make_record(symbol, epoch=leader.epoch) for symbol in ("AAPL", "MSFT", "BTC-USD", "X")}

    await leader.publish(records, of(records))

    updates = {update.symbol: set(update.payloads) for update in (await next_batch(first)).updates}
    assert updates == {"AAPL": {"quote", "full", "ltpc"}, "MSFT": {"ltpc"}, "BTC-USD": {"quote"}}


async def test_a_newly_wanted_symbol_is_sent_again_without_having_changed(
    feed: MakeFeed, web: MakeWeb
) -> None:
    leader, listener = feed(), web("w")
    await leader.acquire()
    await listener.listen()
    records = {symbol: make_record(symbol, epoch=leader.epoch) for symbol in ("AAPL", "MSFT")}
    await leader.publish(records, of(records))

    await listener.want(["quote AAPL", "quote UNKNOWN"])
    assert await leader.publish({}, of(records)) == 1
    assert [update.symbol for update in (await next_batch(listener)).updates] == ["AAPL"]

    assert await leader.publish({}, of(records)) == 0
    await listener.want(["full AAPL"])
    assert await leader.publish({"MSFT": records["MSFT"]}, of(records)) == 1
    assert set((await next_batch(listener)).updates[0].payloads) == {"quote", "full"}


async def test_wants_of_a_process_that_died_lapse(feed: MakeFeed, web: MakeWeb) -> None:
    leader, living, dead = feed(), web("living"), web("dead")
    await leader.acquire()
    await living.want(["quote AAPL"])
    await dead.want(["quote MSFT", "full AAPL"])
    assert 0 < connection().ttl(wanted_key("dead")) <= PROCESS_SECONDS
    await leader.publish({}, of({}))
    assert leader.wanted == {"AAPL": {"quote", "full"}, "MSFT": {"quote"}}

    lapse_process("dead")
    leader.forget_wanted()
    await leader.publish({}, of({}))

    assert leader.wanted == {"AAPL": {"quote"}}


async def test_what_is_not_wanted_any_more_is_not_sent(feed: MakeFeed, web: MakeWeb) -> None:
    leader, listener = feed(), web("w")
    await leader.acquire()
    await listener.want(["quote AAPL", "quote MSFT"])
    records = {symbol: make_record(symbol, epoch=leader.epoch) for symbol in ("AAPL", "MSFT")}
    assert await leader.publish(records, of(records)) == 2

    await listener.want([], ["quote MSFT"])
    assert await leader.publish(records, of(records)) == 1
    await listener.leave()
    assert await leader.publish(records, of(records)) == 0


async def test_a_renewal_writes_again_what_redis_forgot(feed: MakeFeed, web: MakeWeb) -> None:
    leader, listener = feed(), web("w")
    await listener.want(["quote AAPL"])
    assert not (await listener.renew(["quote AAPL"], {})).is_new
    connection().flushdb()

    renewal = await listener.renew(["quote AAPL"], {"total_connections": 1})

    assert renewal.is_new
    await leader.acquire()
    await leader.publish({}, of({}))
    assert leader.wanted == {"AAPL": {"quote"}}


async def test_a_renewal_replaces_wants_that_differ(feed: MakeFeed, web: MakeWeb) -> None:
    leader, listener = feed(), web("w")
    await listener.want(["quote AAPL", "quote MSFT"])

    await listener.renew(["quote MSFT"], {})

    await leader.acquire()
    await leader.publish({}, of({}))
    assert leader.wanted == {"MSFT": {"quote"}}


async def test_nothing_of_a_process_stays_when_it_leaves(web: MakeWeb) -> None:
    bus = web("w")
    await bus.want(["quote AAPL"])
    await bus.renew(["quote AAPL"], {"total_connections": 0})

    await bus.leave()

    assert connection().keys("*") == [b"lf:wanted:version"]


# --- channels --------------------------------------------------------------------------------------------------------

NEWS = {"trades": "[1]", "book": '{"bids":[]}', "bars": "[2]"}


async def test_a_channel_goes_along_with_the_quote_to_those_who_want_it(feed: MakeFeed, web: MakeWeb) -> None:
    leader, listener = feed(), web("w")
    await leader.acquire()
    await listener.listen()
    await listener.want(["quote AAPL", "trades AAPL", "book AAPL", "ltpc MSFT", "bars V"])
    records = {symbol: make_record(symbol, epoch=leader.epoch) for symbol in ("AAPL", "MSFT")}

    await leader.publish(records, of(records), {"AAPL": NEWS, "MSFT": NEWS})

    updates = {update.symbol: update.payloads for update in (await next_batch(listener)).updates}
    assert set(updates) == {"AAPL", "MSFT"}
    assert updates["AAPL"] == {
        "quote": encode_quote(records["AAPL"], Mode.QUOTE), "trades": "[1]", "book": '{"bids":[]}'
    }  # fmt: skip
    assert set(updates["MSFT"]) == {"ltpc"}


async def test_a_wanted_book_is_in_redis_until_nobody_wants_it(feed: MakeFeed, web: MakeWeb) -> None:
    leader, listener = feed(), web("w")
    await leader.acquire()
    await listener.want(["quote AAPL", "book AAPL", "book MSFT"])
    record = make_record(epoch=leader.epoch)
    await leader.publish({"AAPL": record}, of({}), {"AAPL": NEWS, "MSFT": NEWS})
    assert connection().hgetall(BOOKS_KEY) == {b"AAPL": b'{"bids":[]}', b"MSFT": b'{"bids":[]}'}

    await listener.want([], ["book AAPL"])
    await leader.read_wanted()
    await leader.publish({"AAPL": record}, of({}))

    assert connection().hgetall(BOOKS_KEY) == {b"MSFT": b'{"bids":[]}'}


async def test_a_former_leader_writes_no_book_no_bar_and_no_account_event(feed: MakeFeed) -> None:
    zombie, leader = feed("first"), feed("second")
    await zombie.acquire()
    lapse_lease(zombie)
    await leader.acquire()

    with pytest.raises(Fenced):
        await zombie.publish({}, of({}), {"AAPL": NEWS})
    with pytest.raises(Fenced):
        await zombie.keep("lf:bars", {"AAPL": "[]"})
    with pytest.raises(Fenced):
        await zombie.publish_account({"kind": "order"})

    await leader.keep("lf:bars", {"AAPL": "[1]"})
    assert connection().hgetall("lf:bars") == {b"AAPL": b"[1]"}
    assert not connection().exists(BOOKS_KEY, account_key("simulator"))
    connection().flushdb()
    with pytest.raises(StateLost):
        await leader.keep("lf:bars", {"AAPL": "[1]"})


async def test_wants_can_be_read_while_nothing_is_published(feed: MakeFeed, web: MakeWeb) -> None:
    leader, listener = feed(), web("w")
    await leader.acquire()
    await listener.want(["quote AAPL", "trades AAPL"])

    assert await leader.read_wanted() == {"AAPL"}
    assert leader.wanted == {"AAPL": {"quote", "trades"}}
    assert await leader.read_wanted() == set()


async def test_who_comes_late_to_a_channel_is_seen_once(feed: MakeFeed, web: MakeWeb) -> None:
    leader, first, second = feed(), web("first"), web("second")
    await leader.acquire()
    await first.want(["quote AAPL", "trades AAPL"])
    await leader.read_wanted()
    assert leader.take_joined() == set()

    await second.want(["quote AAPL", "quote MSFT"])
    await leader.read_wanted()
    assert leader.take_joined() == set()
    await second.want(["trades AAPL", "bars AAPL"])
    assert await leader.read_wanted() == {"AAPL"}
    assert leader.take_joined() == {"AAPL"}
    assert leader.take_joined() == set()


async def test_who_leaves_a_channel_and_comes_back_before_anybody_looks_is_seen_too(
    feed: MakeFeed, web: MakeWeb
) -> None:
    leader, listener, topics = feed(), web("w"), Topics()
    await leader.acquire()
    topics.count("AAPL", "trades", 1)
    topics.count("AAPL", "quote", 1)
    wants = topics.wants()
    await listener.want(wants)
    await leader.read_wanted()
    assert leader.take_joined() == set()

    topics.count("AAPL", "trades", -1)
    topics.count("AAPL", "trades", 1)
    await listener.want(topics.wants() - wants, wants - topics.wants())

    assert await leader.read_wanted() == set()
    assert leader.take_joined() == {"AAPL"}


async def test_account_events_are_sent_and_the_newest_are_kept(feed: MakeFeed, web: MakeWeb) -> None:
    leader, listener = feed(), web("w")
    await leader.acquire()
    await listener.listen()

    for number in range(ACCOUNT_EVENTS_KEPT + 1):
        await leader.publish_account(
            {"kind": "order", "key": str(number), "details": {"price": Decimal("1.50")}}
        )

    async with asyncio.timeout(WITHIN):
        message = await listener.receive()
    assert message == {
        "type": "feed.account", "source": "simulator",
        "event": {"kind": "order", "key": "0", "details": {"price": "1.50"}},
    }  # fmt: skip
    kept: Any = connection().lrange(account_key("simulator"), 0, -1)
    assert [msgspec.json.decode(text)["key"] for text in kept] == [
        str(number) for number in range(ACCOUNT_EVENTS_KEPT, 0, -1)
    ]


# --- heartbeats ------------------------------------------------------------------------------------------------------


async def test_a_heartbeat_reaches_who_listens_and_who_asks(feed: MakeFeed, web: MakeWeb) -> None:
    leader, listener = feed("me"), web("w")
    await leader.acquire()
    await listener.listen()

    await leader.heartbeat(make_status(epoch=0, number=99, state="recovering", reason="reconnected"))

    async with asyncio.timeout(WITHIN):
        status = decode_status(await listener.receive())
    assert (status.epoch, status.number, status.owner) == (leader.epoch, 0, "me")
    assert (status.state, status.reason) == ("recovering", "reconnected")
    client = new_redis()
    assert await read_feeds(client) == read_feeds_sync() == {"simulator": status}
    await client.aclose()


async def test_a_status_that_another_version_wrote_is_left_out(feed: MakeFeed) -> None:
    leader = feed()
    await leader.acquire()
    await leader.heartbeat(make_status(refused={"NOPE": "no such product"}, markets={"NSE_EQ": "open"}))
    connection().hset("lf:feeds", "old", b'{"source":"old","state":"live","refused":["A"]}')

    statuses = read_feeds_sync()

    assert set(statuses) == {"simulator"}
    assert statuses["simulator"].refused == {"NOPE": "no such product"}
    assert statuses["simulator"].markets == {"NSE_EQ": "open"}


async def test_a_source_is_live_if_it_said_so_within_three_seconds() -> None:
    moment = datetime.now(UTC)

    def status(age: float, state: str = "live") -> Any:
        return make_status(state=state, at=(moment - timedelta(seconds=age)).isoformat())

    assert is_live(status(2.9), moment)
    assert not is_live(status(3.1), moment)
    assert not is_live(status(0, "recovering"), moment)


# --- the layer -------------------------------------------------------------------------------------------------------


async def test_a_process_that_listens_anew_hears_once(feed: MakeFeed, web: MakeWeb) -> None:
    leader, listener = feed(), web("w")
    await leader.acquire()
    await listener.listen()
    await listener.listen()
    await listener.want(["quote AAPL"])

    for seq in (1, 2):
        await leader.publish({"AAPL": make_record(seq=seq, epoch=leader.epoch)}, of({}))

    assert [(await next_batch(listener)).number for _ in range(2)] == [1, 2]
    await listener.deafen()
    await listener.deafen()


async def test_batches_survive_the_layer_unchanged(web: MakeWeb, feed: MakeFeed) -> None:
    leader, listener = feed(), web("w")
    await leader.acquire()
    await listener.listen()
    symbols = ["A.B", "X:Y|Z", "^GSPC", "BTC/USD", "EURUSD=X"]
    await listener.want([f"full {symbol}" for symbol in symbols])
    records = {symbol: make_record(symbol, epoch=leader.epoch) for symbol in symbols}
    records["^GSPC"] = msgspec.structs.replace(
        records["^GSPC"], bids=((Decimal("1E-8"), Decimal("2.50")),), asks=()
    )

    await leader.publish(records, of(records))

    batch = await next_batch(listener)
    found = {update.symbol: decode_quote(update.payloads["full"]) for update in batch.updates}
    assert found == records


async def test_many_commands_at_once_wait_for_a_connection_and_do_not_look_like_a_lost_redis() -> None:
    client = new_redis()
    answers = await asyncio.gather(*(client.ping() for _ in range(20 * REDIS_CONNECTIONS)))
    assert all(answers)
    await client.aclose()
