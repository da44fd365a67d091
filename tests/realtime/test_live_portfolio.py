"""Watched portfolios over a real database, Redis and layer: who may see them, and that no change falls between."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from django.contrib.auth.models import User
from django.utils import timezone

from assets.models import Asset
from assets.redistribution import EVERYTHING, any_user
from assets.snapshots import connection as sync_redis
from portfolio.models import Portfolio, Transaction
from realtime.bus import WEB_GROUP, new_layer
from realtime.handshake import Identity
from realtime.hub import Hub
from realtime.live_portfolio import LivePortfolios, Loaded, load_holdings
from realtime.protocol import ProtocolError
from tests.portfolio.builders import in_thread
from tests.realtime.builders import Client, Source, eventually
from tests.realtime.conftest import NewClient, NewHub, NewSource

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]

SYMBOLS = ("AAPL", "GOOGL", "MSFT")


class Owner:
    """A user in the database with portfolios; each holds ten of some assets at a cost of 100."""

    def __init__(self, name: str = "alice") -> None:
        self.user = User.objects.create_user(name)
        self.identity = Identity(user_id=self.user.pk)

    def portfolio(self, *symbols: str) -> int:
        portfolio = Portfolio.objects.create(user=self.user, name=f"holds {' '.join(symbols)}")
        when = timezone.now() - timedelta(days=3)
        rows = [Transaction(portfolio=portfolio, type="deposit", amount=5000, currency="USD", time=when)]
        for symbol in symbols:
            rows.append(self.purchase(portfolio.pk, symbol, when))
        Transaction.objects.bulk_create(rows)
        return portfolio.pk

    @staticmethod
    def purchase(portfolio_id: int, symbol: str, when: datetime | None = None) -> Transaction:
        asset, _ = Asset.objects.get_or_create(symbol=symbol)
        return Transaction(
            portfolio_id=portfolio_id,
            type="buy",
            asset=asset,
            quantity=10,
            price=100,
            currency="USD",
            time=when or timezone.now(),
        )


@pytest_asyncio.fixture
async def alice() -> Owner:
    return await in_thread(Owner)


@pytest_asyncio.fixture
async def source(new_source: NewSource) -> AsyncIterator[Source]:
    source = await new_source()
    await source.tick(*SYMBOLS, price=Decimal(100), previous_close=Decimal(90))
    yield source


async def watch(live: LivePortfolios, client: Client, portfolio_id: int) -> None:
    await live.join(client.connection, portfolio_id)
    live.show(client.connection, portfolio_id)


def positions(update: dict[str, Any]) -> dict[str, Any]:
    return {position["symbol"]: position["price"] for position in update["positions"]}


def last(client: Client) -> dict[str, Any]:
    client.read()
    return client.portfolios[-1] if client.portfolios else {}


async def wanting(hub: Hub, symbols: Iterable[str]) -> None:
    """Waits until ticks of the symbols are sent to this process."""
    wants = {f"quote {symbol}".encode() for symbol in symbols}
    key = f"lf:wanted:{hub.process}"
    await eventually(lambda: sync_redis().smembers(key) == wants, f"the wants {wants}")


def is_empty(hub: Hub, live: LivePortfolios) -> bool:
    return not (live._watched or live._by_symbol or live._prices or len(hub.topics) or hub._tasks)


# --- values ----------------------------------------------------------------------------------------------------------


async def test_a_viewer_gets_the_whole_value_first(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL", "MSFT"))
    hub = await new_hub()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)

    await watch(live, client, portfolio_id)

    value = last(client)
    assert (value["portfolio_id"], value["complete"]) == (portfolio_id, True)
    assert positions(value) == {"AAPL": 100, "MSFT": 100}
    assert (value["cash"], value["total_value"], value["daily_change"]) == (3000, 5000, 200)
    assert client.connection.portfolios == {portfolio_id}
    await wanting(hub, ["AAPL", "MSFT"])


async def test_what_its_user_may_not_see_is_missing_and_goes_missing(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient, alice: Owner, settings: Any
) -> None:
    settings.FEED_OWNER = "alice"
    source = await new_source("polygon")
    await source.tick("AAPL", price=Decimal(120))
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub = await new_hub()
    live = LivePortfolios(hub)
    older, newer = (
        new_client(hub, Identity(user_id=alice.user.pk, viewer=viewer)) for viewer in (EVERYTHING, any_user())
    )
    await watch(live, older, portfolio_id)
    assert (positions(last(older)), last(older)["total_value"]) == ({"AAPL": 120}, 5200)

    settings.FEED_OWNER = "another"
    await watch(live, newer, portfolio_id)
    assert (positions(last(newer)), last(newer)["total_value"]) == ({"AAPL": None}, 4000)
    await wanting(hub, ["AAPL"])
    older.portfolios.clear()
    await source.tick("AAPL", price=Decimal(130))
    await eventually(lambda: last(older), "a value")
    assert {last(client)["total_value"] for client in (older, newer)} == {4000}


async def test_a_tick_pushes_the_positions_that_changed_and_the_new_sums(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio(*SYMBOLS))
    hub = await new_hub()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)
    await wanting(hub, SYMBOLS)
    client.read()

    await source.tick("AAPL", price=Decimal("100.50"), previous_close=Decimal(90))
    await eventually(lambda: not last(client)["complete"], "a partial value")

    assert positions(last(client)) == {"AAPL": 100.5}
    assert last(client)["total_value"] == 5005
    assert last(client)["daily_change"] == 305


async def test_one_valuation_a_flush_serves_all_viewers(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio(*SYMBOLS))
    hub = await new_hub()
    live = LivePortfolios(hub)
    clients = [new_client(hub, alice.identity) for _ in range(10)]
    strings = new_client(hub, alice.identity, numbers="string")
    for client in (*clients, strings):
        await watch(live, client, portfolio_id)
    await wanting(hub, SYMBOLS)
    for client in clients:
        client.read()
    before, positions_before = hub.counters["valuations"], hub.counters["positions_revalued"]

    await source.tick("AAPL", "MSFT", price=Decimal(101))
    await eventually(
        lambda: all(positions(last(c)) == {"AAPL": 101, "MSFT": 101} for c in clients), "the value for all"
    )

    assert hub.counters["valuations"] == before + 1
    assert 2 <= hub.counters["positions_revalued"] - positions_before <= len(SYMBOLS)
    assert positions(last(strings))["AAPL"] == "101"
    assert last(strings)["total_value"] == "5020.00"


async def test_only_portfolios_that_hold_what_moved_are_valued(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    ids = await in_thread(lambda: [alice.portfolio("AAPL"), alice.portfolio("MSFT", "GOOGL")])
    hub = await new_hub()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)
    for portfolio_id in ids:
        await watch(live, client, portfolio_id)
    await wanting(hub, SYMBOLS)
    client.read()
    client.portfolios.clear()

    await source.tick("MSFT", price=Decimal(50))
    await eventually(lambda: last(client), "a value")

    assert [update["portfolio_id"] for update in client.portfolios] == [ids[1]]


async def test_a_slow_viewer_gets_all_positions_once_and_nothing_is_lost(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio(*SYMBOLS))
    hub = await new_hub()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)
    await wanting(hub, SYMBOLS)
    client.read()
    before = hub.counters["valuations"]

    await source.tick("AAPL", price=Decimal(120))
    await eventually(lambda: hub.counters["valuations"] == before + 1, "a valuation")
    await source.tick("MSFT", price=Decimal(120))
    await eventually(lambda: hub.counters["valuations"] == before + 2, "another valuation")

    assert last(client)["complete"]
    assert positions(last(client)) == {"AAPL": 120, "GOOGL": 100, "MSFT": 120}


async def test_partial_values_add_up_to_the_whole_one(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    chance = random.Random(20261120)
    portfolio_id = await in_thread(lambda: alice.portfolio(*SYMBOLS))
    hub = await new_hub()
    live = LivePortfolios(hub)
    clients = [new_client(hub, alice.identity) for _ in range(3)]
    for client in clients:
        await watch(live, client, portfolio_id)
    await wanting(hub, SYMBOLS)
    for step in range(60):
        moved = chance.sample(SYMBOLS, chance.randint(1, 2))
        await source.tick(*moved, price=Decimal(100 + step), previous_close=Decimal(90))
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        for client in chance.sample(clients, 2):
            client.read()
    seqs = {symbol: source.records[symbol].seq for symbol in SYMBOLS}
    await eventually(lambda: all(hub.topics[s].seq == seqs[s] for s in SYMBOLS), "the last ticks")
    await eventually(lambda: not live._moved, "their valuation")
    fresh = new_client(hub, alice.identity)
    await watch(live, fresh, portfolio_id)

    def merged(client: Client) -> dict[str, Any]:
        client.read()
        known: dict[str, Any] = {}
        newest: dict[str, Any] = {}
        for update in client.portfolios:
            known |= {position["symbol"]: position for position in update["positions"]}
            newest |= update  # cash comes only where a rate moved
        for position in known.values():
            del position["weight_percent"]  # of the others; it changes with the sums
        return {**newest, "positions": known, "complete": True, "valued_at": "", "receipt": ""}

    assert merged(clients[0]) == merged(clients[1]) == merged(clients[2]) == merged(fresh)


# --- who may see it --------------------------------------------------------------------------------------------------


async def refusal(live: LivePortfolios, client: Client, portfolio_id: int) -> tuple[str, str]:
    with pytest.raises(ProtocolError) as caught:
        await live.join(client.connection, portfolio_id)
    return caught.value.code.value, caught.value.message


async def test_missing_and_foreign_portfolios_are_refused_alike(
    new_hub: NewHub, new_client: NewClient, alice: Owner
) -> None:
    foreign = await in_thread(lambda: Owner("bob").portfolio("AAPL"))
    hub = await new_hub()
    live, client, anonymous = LivePortfolios(hub), new_client(hub, alice.identity), new_client(hub)

    assert await refusal(live, client, foreign) == await refusal(live, client, 999_999)
    assert (await refusal(live, client, foreign))[0] == "portfolio_not_found"
    assert (await refusal(live, anonymous, foreign))[0] == "auth_required"
    await eventually(lambda: is_empty(hub, live), "nothing to be left")


async def test_rows_that_contradict_each_other_are_an_internal_error_and_logged(
    new_hub: NewHub, new_client: NewClient, alice: Owner, errors_logged: list[str]
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))

    def spoil() -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("UPDATE portfolio_transaction SET type = 'sell' WHERE type = 'buy'")

    await in_thread(spoil)
    hub = await new_hub()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)

    assert (await refusal(live, client, portfolio_id))[0] == "internal_error"
    assert len(errors_logged) == 1
    await eventually(lambda: is_empty(hub, live), "nothing to be left")


# --- changes ---------------------------------------------------------------------------------------------------------


async def test_a_transaction_saved_anywhere_reaches_the_viewer(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub = await new_hub()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)

    await in_thread(lambda: alice.purchase(portfolio_id, "MSFT").save())

    await eventually(lambda: positions(last(client)) == {"AAPL": 100, "MSFT": 100}, "the new position")
    assert last(client)["complete"]
    await wanting(hub, ["AAPL", "MSFT"])
    await source.tick("MSFT", price=Decimal(7))
    await eventually(lambda: positions(last(client)).get("MSFT") == 7, "its ticks")


async def test_a_sold_position_is_not_watched_any_more(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL", "MSFT"))
    hub = await new_hub()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)

    await in_thread(lambda: Transaction.objects.get(asset__symbol="MSFT").delete())

    await eventually(lambda: positions(last(client)) == {"AAPL": 100}, "the position to go")
    await wanting(hub, ["AAPL"])


class Gate:
    """Loads holdings as ever, but only when it is let, and counts."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.loads = 0

    def load(self, portfolio_id: int) -> Loaded:
        holdings = load_holdings(portfolio_id)
        self.loads += 1
        assert self.is_open.wait(30)
        return holdings


async def test_a_change_announced_while_holdings_are_loaded_is_not_lost(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub, gate = await new_hub(), Gate()
    live, client = LivePortfolios(hub, load=gate.load), new_client(hub, alice.identity)
    joining = asyncio.create_task(watch(live, client, portfolio_id))
    await eventually(lambda: gate.loads == 1, "the first load, which has read its rows")

    await in_thread(lambda: alice.purchase(portfolio_id, "MSFT").save())
    await eventually(lambda: live._watched[portfolio_id].version, "the announcement")
    gate.is_open.set()
    await joining

    assert positions(last(client)) == {"AAPL": 100, "MSFT": 100}
    assert len(client.portfolios) == 1


async def test_a_change_announced_while_prices_are_read_is_not_lost(
    new_client: NewClient, source: Source, alice: Owner
) -> None:
    class SlowHub(Hub):
        """Reads prices only when it is let."""

        may_read = asyncio.Event()
        is_reading = asyncio.Event()

        async def watch(self, symbols: Iterable[str]) -> None:
            self.is_reading.set()
            await self.may_read.wait()
            await super().watch(symbols)

    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub = SlowHub()
    await hub.start()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)
    joining = asyncio.create_task(watch(live, client, portfolio_id))
    await hub.is_reading.wait()

    await in_thread(lambda: alice.purchase(portfolio_id, "MSFT").save())
    await eventually(lambda: live._watched[portfolio_id].version, "the announcement")
    hub.may_read.set()
    await joining

    await eventually(lambda: positions(last(client)) == {"AAPL": 100, "MSFT": 100}, "the new position")
    await hub.stop()


async def test_many_changes_at_once_are_few_loads(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub, gate = await new_hub(), Gate()
    live, client = LivePortfolios(hub, load=gate.load), new_client(hub, alice.identity)
    gate.is_open.set()
    await watch(live, client, portfolio_id)
    gate.is_open.clear()
    layer = new_layer()

    for _ in range(50):
        await layer.group_send(WEB_GROUP, {"type": "portfolio.changed", "portfolio_id": portfolio_id})
    await eventually(lambda: live._watched[portfolio_id].version == 50, "the announcements")
    gate.is_open.set()
    await eventually(lambda: not hub._tasks, "them to be done")

    assert gate.loads <= 3
    await layer.flush()


async def test_what_was_announced_while_the_process_was_deaf_is_caught_up(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub = await new_hub()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)
    await hub.bus.deafen()
    await in_thread(lambda: alice.purchase(portfolio_id, "MSFT").save())

    await hub._join()

    await eventually(lambda: positions(last(client)) == {"AAPL": 100, "MSFT": 100}, "the new position")


# --- the end of it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["deleted", "owner_changed"])
async def test_a_portfolio_that_is_gone_is_told_and_its_values_end(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner, reason: str
) -> None:
    portfolio_id, bob = await in_thread(lambda: (alice.portfolio("AAPL"), Owner("bob")))
    hub = await new_hub()
    live, client = LivePortfolios(hub), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)
    client.read()

    def end() -> None:
        portfolio = Portfolio.objects.get(pk=portfolio_id)
        if reason == "deleted":
            portfolio.delete()
        else:
            portfolio.user = bob.user
            portfolio.save()

    await in_thread(end)
    await eventually(lambda: last(client) and client.events, "to be told")

    assert [event["type"] for event in client.events] == ["portfolio_removed"]
    assert client.events[0]["data"] == {"portfolio_id": portfolio_id, "reason": reason}
    assert client.connection.portfolios == set()
    await eventually(lambda: is_empty(hub, live), "nothing to be left")
    assert len(client.portfolios) == 1


async def test_an_owner_that_changes_while_somebody_joins_is_noticed(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id, bob = await in_thread(lambda: (alice.portfolio("AAPL"), Owner("bob")))
    hub, gate = await new_hub(), Gate()
    live, client = LivePortfolios(hub, load=gate.load), new_client(hub, alice.identity)
    joining = asyncio.create_task(watch(live, client, portfolio_id))
    await eventually(lambda: gate.loads == 1, "the ownership to be checked")

    def give_away() -> None:
        portfolio = Portfolio.objects.get(pk=portfolio_id)
        portfolio.user = bob.user
        portfolio.save()

    await in_thread(give_away)
    await eventually(lambda: portfolio_id not in live._watched, "the announcement")
    gate.is_open.set()

    with pytest.raises(ProtocolError, match="no such portfolio"):
        await joining
    assert last(client) == {}
    await eventually(lambda: is_empty(hub, live), "nothing to be left")


async def test_the_last_viewer_takes_everything_with_it(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    ids = await in_thread(lambda: [alice.portfolio("AAPL", "MSFT"), alice.portfolio("MSFT")])
    hub = await new_hub()
    live = LivePortfolios(hub)
    first, second = new_client(hub, alice.identity), new_client(hub, alice.identity)
    for client in (first, second):
        for portfolio_id in ids:
            await watch(live, client, portfolio_id)

    live.leave(first.connection, ids)
    live.leave(second.connection, ids[:1])
    await wanting(hub, ["MSFT"])
    assert second.connection.portfolios == {ids[1]}
    live.leave(second.connection, second.connection.portfolios)
    live.leave(second.connection, [999])

    await wanting(hub, [])
    await eventually(lambda: is_empty(hub, live), "nothing to be left")


async def test_a_viewer_that_goes_while_it_joins_leaves_nothing(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub, gate = await new_hub(), Gate()
    live, gone, cancelled = (
        LivePortfolios(hub, load=gate.load),
        new_client(hub, alice.identity),
        new_client(hub, alice.identity),
    )
    joining = [asyncio.create_task(watch(live, client, portfolio_id)) for client in (gone, cancelled)]
    await eventually(lambda: gate.loads == 1, "the load")
    hub.close(gone.connection, 1006)
    hub.close(cancelled.connection, 1006)
    for task in joining[1:]:
        task.cancel()
    gate.is_open.set()
    await asyncio.gather(*joining, return_exceptions=True)

    await eventually(lambda: is_empty(hub, live), "nothing to be left")
    await wanting(hub, [])


async def test_a_join_that_nobody_waits_for_any_more_leaves_nothing(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub, gate = await new_hub(), Gate()
    live, client = LivePortfolios(hub, load=gate.load), new_client(hub, alice.identity)
    joining = asyncio.create_task(watch(live, client, portfolio_id))
    await eventually(lambda: gate.loads == 1, "the load")
    loading = live._watched[portfolio_id].loading
    assert loading is not None

    joining.cancel()
    await asyncio.gather(joining, return_exceptions=True)
    gate.is_open.set()
    await loading

    assert is_empty(hub, live)


# --- the clock -------------------------------------------------------------------------------------------------------


class Calendar:
    """The wall clock, and holdings as of its time."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment
        self.loads: list[datetime] = []

    def now(self) -> datetime:
        return self.moment

    def load(self, portfolio_id: int) -> Loaded:
        self.loads.append(self.moment)
        return Loaded(Portfolio.objects.get(pk=portfolio_id).holdings(self.moment))


def baseline(client: Client) -> str:
    """Of what trades around the clock; cash has a day of its own."""
    at: str = last(client)["positions"][0]["baseline_at"]
    return at


async def test_the_day_rolls_at_midnight_without_a_tick(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    calendar = Calendar(midnight - timedelta(seconds=1))
    hub = await new_hub()
    live = LivePortfolios(hub, utc_now=calendar.now, load=calendar.load)
    client = new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)
    before = baseline(client)
    await asyncio.sleep(0.3)  # more than one pulse, in which nothing may happen
    assert len(calendar.loads) == 1

    calendar.moment = midnight
    await eventually(lambda: baseline(client) != before, "the new day")

    assert datetime.fromisoformat(baseline(client)) == midnight
    assert last(client)["complete"]
    await asyncio.sleep(0.3)
    assert len(calendar.loads) == 2
