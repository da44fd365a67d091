"""Reading last values again, with a Redis that answers when it is told to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import pytest
import redis.exceptions

from assets.redistribution import EVERYTHING
from assets.splits import SplitEvent
from realtime.bus import WebBus
from realtime.catalog import KEEP_SECONDS, Catalog, KnownAsset
from realtime.connections import Connection
from realtime.feed_watch import FeedWatch, SourceView
from realtime.handshake import Identity
from realtime.last_values import REPAIR_ATTEMPTS, LastValues
from realtime.outbox import Options, Outbox
from realtime.protocol import Mode, QuoteRecord, encode_quote
from realtime.topics import Topics
from tests.exchanges import NEW_YORK, utc
from tests.realtime.builders import Client, Clock, eventually, make_record, make_status

pytestmark = pytest.mark.asyncio


UNREACHABLE = redis.exceptions.ConnectionError("gone")
REFUSED = redis.exceptions.NoPermissionError("no")


class Redis:
    """Answers each read with the next answer it is given: records, or an error to raise."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.answers: asyncio.Queue[dict[str, QuoteRecord] | Exception] = asyncio.Queue()

    async def read_records(self, symbols: Sequence[str]) -> dict[str, str]:
        self.asked.append(sorted(symbols))
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return {symbol: encode_quote(answer[symbol], Mode.FULL) for symbol in symbols if symbol in answer}

    def answer(self, *answers: Exception | list[QuoteRecord]) -> None:
        for answer in answers:
            if isinstance(answer, list):
                self.answers.put_nowait({record.symbol: record for record in answer})
            else:
                self.answers.put_nowait(answer)


class World:
    """Topics with last values behind them, and one client."""

    def __init__(self, stored: dict[str, QuoteRecord] | None = None) -> None:
        self.clock = Clock()
        self.redis = Redis()
        self.topics = Topics()
        self.told: list[str] = []
        self.lost: list[set[str]] = []
        self.errors: list[BaseException] = []
        self.tasks: set[asyncio.Future[None]] = set()
        self.feeds = FeedWatch(self.clock, self._tell)
        self.feeds.on_status(make_status())
        self.known = {s: KnownAsset(s, "USD", (), record) for s, record in (stored or {}).items()}
        self.catalog = Catalog(
            self.clock, lambda symbols: {s: self.known[s] for s in symbols if s in self.known}
        )
        self.values = LastValues(
            cast(WebBus, self.redis),
            self.catalog,
            self.topics,
            self.feeds,
            spawn=self._spawn,
            deliver=self._deliver,
            lose=self.lost.append,
        )
        outbox = Outbox(Options(), self.clock)
        identity = Identity(viewer=EVERYTHING)
        self.client = Client(Connection("c", identity, "10.0.0.1", outbox, self.clock()))

    @property
    def view(self) -> SourceView:
        return self.feeds.views["simulator"]

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Future[None]) -> None:
        self.tasks.discard(task)
        if (error := task.exception()) is not None:
            self.errors.append(error)

    def _deliver(self, symbols: set[str]) -> None:
        assert not self.topics.deliver(symbols)

    def _tell(self, view: SourceView) -> None:
        self.told.append(view.shown["state"])

    def subscribe(self, *symbols: str, mode: str = "quote") -> None:
        connection = self.client.connection
        self.topics.regroup(connection, connection.subscriptions | dict.fromkeys(symbols, mode))
        for symbol in symbols:
            connection.asked_at[symbol] = self.clock()
        self._spawn(self.values.fetch(connection, set(symbols)))

    async def until(self, condition: Callable[[], object]) -> None:
        await eventually(condition)
        assert not self.errors


async def test_a_gap_that_comes_while_another_is_read_is_read_as_well() -> None:
    world = World()
    world.subscribe("AAPL")
    world.redis.answer([make_record(seq=1)])
    await world.until(lambda: world.client.has("AAPL", 1))

    world.feeds.show(world.view, "recovering", "a batch was lost")
    world.values.repair({"AAPL"}, world.view)
    await world.until(lambda: len(world.redis.asked) == 2)
    world.values.repair({"AAPL"}, world.view)  # what it reads may be from before this loss
    world.redis.answer([make_record(seq=2)])
    await world.until(lambda: world.client.has("AAPL", 2))
    assert world.told[-1] == "recovering"
    world.redis.answer([make_record(seq=3)])

    await world.until(lambda: world.client.has("AAPL", 3))
    await world.until(lambda: not world.tasks)
    assert world.told[-1] == "live"
    assert len(world.redis.asked) == 3


@pytest.mark.parametrize("failure", [UNREACHABLE, REFUSED])
async def test_a_read_that_fails_is_tried_again_without_losing_who_waits(failure: Exception) -> None:
    world = World()
    world.redis.answer(failure, failure, [make_record(seq=1)])

    world.subscribe("AAPL")

    await world.until(lambda: world.client.has("AAPL", 1))
    assert not world.client.connection.asked_at
    assert not world.lost


async def test_a_repair_answers_who_waits_for_what_is_no_news_to_others() -> None:
    world = World()
    world.topics.count("AAPL", "quote", 1)  # somebody has it already
    world.topics["AAPL"].take_record(make_record(seq=1))
    world.redis.answer(UNREACHABLE, [make_record(seq=1)])

    world.subscribe("AAPL")

    await world.until(lambda: world.client.has("AAPL", 1))
    assert world.client.seqs["AAPL"] == [1]


async def test_while_redis_is_away_the_databases_copy_is_shown_until_the_real_one_comes() -> None:
    world = World(stored={"AAPL": make_record(seq=0, epoch=0, price=Decimal("9.5"))})
    world.redis.answer(UNREACHABLE)
    world.subscribe("AAPL")
    await world.until(lambda: world.client.shows("AAPL", "price", 9.5))

    world.redis.answer([make_record(seq=7, price=Decimal(10))])

    await world.until(lambda: world.client.shows("AAPL", "price", 10))


async def test_a_gap_is_not_called_repaired_before_redis_answered() -> None:
    world = World()
    world.subscribe("AAPL")
    world.redis.answer([make_record(seq=1)])
    await world.until(lambda: world.client.has("AAPL", 1))
    world.feeds.show(world.view, "recovering", "a batch was lost")

    world.redis.answer(UNREACHABLE)
    world.values.repair({"AAPL"}, world.view)
    await world.until(lambda: len(world.redis.asked) == 3)
    assert world.told[-1] == "recovering"
    world.redis.answer([make_record(seq=2)])

    await world.until(lambda: world.client.has("AAPL", 2))
    await world.until(lambda: world.told[-1] == "live")


async def test_refusals_of_one_symbol_are_not_counted_against_another() -> None:
    world = World()
    symbols = [f"S{n}" for n in range(REPAIR_ATTEMPTS + 1)]
    world.redis.answer(*[REFUSED] * len(symbols), *[[]] * len(symbols))

    for symbol in symbols:
        world.values.repair({symbol})
    await world.until(lambda: not world.tasks)

    assert not world.lost


async def test_a_state_that_redis_will_not_give_is_lost() -> None:
    world = World()
    world.redis.answer(*[REFUSED] * REPAIR_ATTEMPTS)

    world.values.repair({"AAPL"})
    await world.until(lambda: world.lost)

    assert world.lost == [{"AAPL"}]
    assert len(world.redis.asked) == REPAIR_ATTEMPTS


async def test_what_redis_forgot_is_taken_from_the_database() -> None:
    world = World(stored={"AAPL": make_record(seq=0, epoch=0, price=Decimal("9.5"))})
    world.redis.answer([])

    world.subscribe("AAPL", "NEVER")

    await world.until(lambda: world.client.shows("AAPL", "price", 9.5))
    await world.until(lambda: not world.tasks)
    assert world.client.connection.asked_at.keys() == {"NEVER"}


async def test_the_databases_copy_never_replaces_a_feeds_word() -> None:
    world = World(stored={"AAPL": make_record(seq=0, epoch=0, price=Decimal(1), source="coinbase")})
    world.subscribe("AAPL")
    world.redis.answer([make_record(seq=5)])
    await world.until(lambda: world.client.has("AAPL", 5))

    world.redis.answer([])
    world.values.repair({"AAPL"})
    await world.until(lambda: not world.tasks)

    assert world.topics["AAPL"].seq == 5


async def test_a_stored_value_that_is_older_than_the_known_one_is_not_news() -> None:
    world = World()
    world.subscribe("AAPL")
    world.redis.answer([make_record(seq=5, epoch=2)])
    await world.until(lambda: world.client.has("AAPL", 5))

    for record in (make_record(seq=4, epoch=2), make_record(seq=9, epoch=1)):
        world.redis.answer([record])
        world.values.repair({"AAPL"})
        await world.until(lambda: not world.tasks)

    world.client.read()
    assert world.client.seqs["AAPL"] == [5]


async def test_a_value_that_was_delivered_while_it_was_read_is_not_sent_twice() -> None:
    world = World()
    world.subscribe("AAPL")
    await world.until(lambda: world.redis.asked)
    world.topics["AAPL"].take_record(make_record(seq=2))
    world.topics.deliver(["AAPL"])
    world.redis.answer([make_record(seq=2)])
    await world.until(lambda: not world.tasks)

    world.client.read()
    assert world.client.seqs["AAPL"] == [2]


async def test_a_record_that_nobody_confirms_any_more_is_marked_stale(settings: Any) -> None:
    settings.REALTIME_CACHE_TIMEOUT = 300
    world = World()
    old: dict[str, Any] = {"received_at": "2026-01-01T00:00:00.000000Z"}
    confirmed = make_record("AAPL", **old)
    unconfirmed = make_record("MSFT", source="coinbase", **old)
    fresh = make_record("BTC-USD", source="coinbase")
    world.redis.answer([confirmed, unconfirmed, fresh])

    world.subscribe("AAPL", "MSFT", "BTC-USD")
    await world.until(lambda: world.client.has("BTC-USD", 1))

    stale = {symbol: quote["stale"] for symbol, quote in world.client.quotes.items()}
    assert stale == {"AAPL": False, "MSFT": True, "BTC-USD": False}


async def test_a_record_that_nobody_publishes_goes_by_its_markets_hours_and_splits() -> None:
    world = World()
    thursday = utc("2026-11-19T14:00")
    long_ago: dict[str, Any] = {
        "as_of": "2026-11-18T20:59:00.000000Z",
        "session": "open",
        "price": Decimal(1200),
    }
    world.known["SHARE"] = KnownAsset("SHARE", "USD", (), None, NEW_YORK, (SplitEvent(thursday, 10, 1),))
    await world.catalog.find(["SHARE"])
    share = make_record("SHARE", source="coinbase", **long_ago)
    live = make_record("AAPL", **long_ago)
    fund = make_record("FUND", source="manual", received_at="2026-01-01T00:00:00.000000Z")
    world.redis.answer([share, live, fund])

    world.subscribe("SHARE", "AAPL", "FUND", mode="full")
    await world.until(lambda: all(world.client.has(symbol, 1) for symbol in ("SHARE", "AAPL", "FUND")))

    quotes = world.client.quotes
    assert (quotes["SHARE"]["price"], quotes["SHARE"]["raw_price"]) == (120, 1200)
    assert quotes["SHARE"]["session"] == NEW_YORK.phase(datetime.now(UTC))
    assert (quotes["AAPL"]["price"], quotes["AAPL"]["session"]) == (1200, "open")  # its source says so itself
    assert quotes["FUND"]["stale"] is False


async def test_what_nobody_publishes_is_sent_again_when_the_clock_has_changed_it() -> None:
    world = World()
    world.known["FUND"] = KnownAsset("FUND", "USD", (), None)
    fund = make_record("FUND", source="manual", as_of="2026-01-01T00:00:00.000000Z", price=Decimal(1200))
    live = make_record("AAPL")
    world.redis.answer([fund, live])
    world.subscribe("FUND", "AAPL")
    await world.until(lambda: all(world.client.has(symbol, 1) for symbol in ("FUND", "AAPL")))

    world.redis.answer([fund])
    await world.values.refresh()
    world.client.read()
    assert world.client.seqs["FUND"] == [1]  # nothing has changed

    world.clock.moment += KEEP_SECONDS
    split = SplitEvent(utc("2026-01-02"), 10, 1)
    world.known["FUND"] = KnownAsset("FUND", "USD", (), None, splits=(split,))
    for _ in range(2):
        world.redis.answer([fund])
        await world.values.refresh()
    world.client.read()
    assert world.client.seqs["FUND"] == [1, 1]
    assert world.client.quotes["FUND"]["price"] == 120
    assert world.redis.asked[-1] == ["FUND"]

    world.redis.answer(UNREACHABLE)
    await world.values.refresh()


async def test_somebody_who_left_meanwhile_gets_nothing() -> None:
    world = World()
    world.subscribe("AAPL")
    await world.until(lambda: world.redis.asked)
    world.topics.regroup(world.client.connection, {})
    world.client.connection.asked_at.clear()
    world.redis.answer([make_record()])
    await world.until(lambda: not world.tasks)

    assert world.client.read() == []
    assert "AAPL" not in world.topics
