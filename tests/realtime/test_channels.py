"""Channels over the real Redis and layer: wants, losses, late joiners, and which a source says that it has."""

from collections.abc import Callable

import pytest

from assets.snapshots import connection as sync_redis
from realtime.hub import Hub
from tests.realtime.builders import Client, Source, eventually
from tests.realtime.channels import Reader, book_json, trades_json
from tests.realtime.conftest import NewClient, NewHub, NewSource
from tests.realtime.test_hub import wanting

pytestmark = pytest.mark.asyncio

BOOK, TRADES = frozenset({"book"}), frozenset({"trades"})
BOTH = BOOK | TRADES


async def say(source: Source, *, trades: range | None = None, bids: tuple[tuple[str, str], ...] = ()) -> None:
    """One flush of AAPL with trades, a book or both."""
    news, epoch = {}, source.bus.epoch
    if trades is not None:
        news["trades"] = trades_json("AAPL", trades, epoch)
    if bids:
        news["book"] = book_json("AAPL", source.next_seq("AAPL"), bids, (), epoch)
    await source.tick("AAPL", news={"AAPL": news})


def subscribed(hub: Hub, client: Client, channels: frozenset[str] = BOTH) -> Reader:
    hub.subscribe(client.connection, {"AAPL": "quote"}, {"AAPL": channels})
    return Reader(client.connection)


def has_book(reader: Reader, bids: dict[str, str]) -> Callable[[], bool]:
    def has() -> bool:
        reader.read()
        return reader.books.get("AAPL", {}).get("bid") == bids

    return has


def has_trades(reader: Reader, count: int) -> Callable[[], bool]:
    def has() -> bool:
        reader.read()
        return len(reader.numbers("AAPL")) == count

    return has


async def test_channels_are_wanted_once_for_all_and_come_with_the_quotes(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    readers = [subscribed(hub, new_client(hub, batch=bool(number % 2))) for number in range(4)]
    plain = new_client(hub)
    hub.subscribe(plain.connection, {"AAPL": "quote"})
    await wanting(hub, "quote AAPL", "trades AAPL", "book AAPL")

    await say(source, trades=range(1, 4), bids=(("10", "1"),))
    await say(source, trades=range(4, 6), bids=(("10", "2"),))
    for reader in readers:
        await eventually(has_book(reader, {"10": "2"}), "the second book")
        await eventually(has_trades(reader, 5), "all trades")
    await eventually(lambda: plain.has("AAPL", 3), "the quote")
    assert not plain.events

    for reader in readers:
        hub.close(reader.connection, 1000)
    await wanting(hub, "quote AAPL")
    assert hub.topics["AAPL"].streams is None


async def test_a_lost_batch_shows_in_trades_and_its_book_is_read_again(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    hub = await new_hub()
    reader = subscribed(hub, new_client(hub))
    await wanting(hub, "quote AAPL", "trades AAPL", "book AAPL")
    await say(source, trades=range(1, 3), bids=(("10", "1"), ("9", "1")))
    await eventually(has_book(reader, {"10": "1", "9": "1"}), "the book before the loss")

    source.layer.loses = True
    await say(source, trades=range(3, 8), bids=(("10", "5"), ("9", "1")))
    source.layer.loses = False
    await source.heartbeat()
    await eventually(has_book(reader, {"10": "5", "9": "1"}), "the lost book")
    await say(source, trades=range(8, 10))

    await eventually(has_trades(reader, 4), "the trades after the loss")
    assert [trade.get("missed") for trade in reader.trades["AAPL"]] == [None, None, "5", None]
    assert reader.types.count("book_snapshot") == 1


async def test_a_process_that_comes_later_reads_the_book_that_others_have(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    first, second = await new_hub(), await new_hub()
    early = subscribed(first, new_client(first))
    await wanting(first, "quote AAPL", "trades AAPL", "book AAPL")
    await say(source, bids=(("10", "1"),))
    await say(source, bids=(("10", "1"), ("9", "3")))

    late = subscribed(second, new_client(second))

    for reader in (early, late):
        await eventually(has_book(reader, {"10": "1", "9": "3"}), "the book")
    await say(source, bids=(("9", "3"),))
    for reader in (early, late):
        await eventually(has_book(reader, {"9": "3"}), "the book after that")


async def test_a_book_from_before_its_sources_epoch_is_no_book(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    sync_redis().hset("lf:books", "AAPL", book_json("AAPL", 7, (("1", "1"),), (), source.bus.epoch - 1))
    hub = await new_hub()
    reader = subscribed(hub, new_client(hub))
    await wanting(hub, "quote AAPL", "trades AAPL", "book AAPL")
    await eventually(lambda: not hub._tasks, "the reading")
    assert "book_snapshot" not in reader.read()

    await say(source, bids=(("10", "1"),))
    await eventually(has_book(reader, {"10": "1"}), "the book of this epoch")


async def test_a_book_that_redis_refuses_to_tell_comes_with_its_next_change(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient, errors_logged: list[str]
) -> None:
    source = await new_source()
    await source.tick("AAPL")
    sync_redis().set("lf:books", "not a hash")
    hub = await new_hub()
    reader = subscribed(hub, new_client(hub))
    await eventually(lambda: errors_logged, "the error")
    sync_redis().delete("lf:books")
    await say(source, bids=(("10", "1"),))

    await eventually(has_book(reader, {"10": "1"}), "the book")


async def test_a_channel_that_makes_no_sense_takes_no_quote_with_it(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient, errors_logged: list[str]
) -> None:
    source = await new_source()
    await source.tick("AAPL", "MSFT")
    hub = await new_hub()
    client = new_client(hub)
    hub.subscribe(client.connection, {"AAPL": "quote", "MSFT": "quote"}, {"AAPL": BOTH})
    await wanting(hub, "quote AAPL", "quote MSFT", "trades AAPL", "book AAPL")
    await source.tick("AAPL", "MSFT", news={"AAPL": {"trades": "?"}})

    await eventually(lambda: client.has("AAPL", 2) and client.has("MSFT", 2), "the quotes")
    await eventually(lambda: errors_logged, "the error")
    assert len(errors_logged) == 1


# --- a source's status -----------------------------------------------------------------------------------------------


async def test_what_a_source_says_of_markets_and_channels_is_told_when_it_changes(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    hub = await new_hub()
    client = new_client(hub)
    for phase in ("pre_open", "open", "open"):
        await source.heartbeat(markets={"NSE_EQ": phase}, channels=("bars", "trades"))
    await eventually(
        lambda: hub.feeds.views["simulator"].shown["markets"] == {"NSE_EQ": "open"}, "the open market"
    )

    assert hub.feeds.channels(["simulator"]) == {"bars", "trades"}
    assert hub.feeds.channels(["nobody"]) == {"bars"}
    frame = hub.feeds.views["simulator"].frame()
    assert '"channels":["bars","trades"],"markets":{"NSE_EQ":"open"}' in frame
    client.read()
    assert client.statuses
