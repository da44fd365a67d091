"""The catalog of assets, with a clock of our own and a count of how often the database is asked."""

import asyncio
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError

from assets.models import Asset, FeedSymbol, PriceBar
from assets.sessions import AROUND_THE_CLOCK
from realtime.catalog import KEEP_SECONDS, Catalog, KnownAsset, load_assets


class Database:
    """Knows every symbol but GONE, answers when it is let, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.is_away = False

    def load(self, symbols: Iterable[str]) -> dict[str, KnownAsset]:
        self.asked.append(set(symbols))
        assert self.may_answer.wait(30)
        if self.is_away:
            raise DatabaseError("away")
        return {symbol: KnownAsset(symbol, "USD", (), None) for symbol in symbols if symbol != "GONE"}


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.mark.asyncio
async def test_many_that_ask_at_once_share_one_lookup(database: Database) -> None:
    catalog = Catalog(lambda: 0.0, database.load)
    database.may_answer.clear()
    lookups = [asyncio.create_task(catalog.find(["AAPL", "MSFT"])) for _ in range(50)]
    more = asyncio.create_task(catalog.find(["MSFT", "GOOGL"]))
    await asyncio.sleep(0)
    database.may_answer.set()
    found = await asyncio.gather(*lookups)
    assert all(set(assets) == {"AAPL", "MSFT"} for assets in found)
    assert set(await more) == {"MSFT", "GOOGL"}
    # Each look-up has a thread of its own, and either may be first.
    assert sorted(map(sorted, database.asked)) == [["AAPL", "MSFT"], ["GOOGL"]]


@pytest.mark.asyncio
async def test_one_that_goes_away_does_not_take_the_answer_from_the_others(database: Database) -> None:
    catalog = Catalog(lambda: 0.0, database.load)
    database.may_answer.clear()
    first, second = (asyncio.create_task(catalog.find(["AAPL"])) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    database.may_answer.set()
    assert set(await second) == {"AAPL"}
    assert len(database.asked) == 1


@pytest.mark.asyncio
async def test_an_answer_is_kept_for_a_while_and_what_does_not_exist_is_asked_again(
    database: Database,
) -> None:
    moments = [0.0]
    catalog = Catalog(lambda: moments[-1], database.load)
    assert set(await catalog.find(["AAPL", "GONE"])) == {"AAPL"}
    assert set(await catalog.find(["AAPL", "GONE"])) == {"AAPL"}
    moments.append(KEEP_SECONDS)
    await catalog.find(["AAPL"])
    assert database.asked == [{"AAPL", "GONE"}, {"GONE"}, {"AAPL"}]


@pytest.mark.asyncio
async def test_an_old_answer_serves_while_the_database_is_away(database: Database) -> None:
    moments = [0.0]
    catalog = Catalog(lambda: moments[-1], database.load)
    await catalog.find(["AAPL"])
    database.is_away = True
    moments.append(KEEP_SECONDS)
    assert set(await catalog.find(["AAPL"])) == {"AAPL"}
    with pytest.raises(DatabaseError):
        await catalog.find(["AAPL", "MSFT"])


@pytest.mark.django_db
def test_assets_come_with_sources_and_the_close_of_the_last_session(
    django_assert_num_queries: pytest.FixtureRequest,
) -> None:
    now = datetime.now(UTC)
    today = AROUND_THE_CLOCK.session_at(now).open
    for symbol in ("AAPL", "MSFT"):
        asset = Asset.objects.create(
            symbol=symbol, name=symbol, currency="USD", current_price=Decimal("101.5"), price_as_of=now
        )
        FeedSymbol.objects.create(asset=asset, source="simulator", symbol=symbol)
        for days, close in ((0, "103"), (1, "100.25"), (2, "99")):
            price = Decimal(close)
            PriceBar.objects.create(
                asset=asset, interval="1d", start=today - timedelta(days=days),
                open=price, high=price, low=price, close=price,
            )  # fmt: skip
    with django_assert_num_queries(4):  # type: ignore[operator]
        found = load_assets(["AAPL", "MSFT", "NOPE"])
    assert found.keys() == {"AAPL", "MSFT"}
    stored = found["AAPL"].stored
    assert found["AAPL"].sources == ("simulator",)
    assert stored is not None and stored.previous_close == Decimal("100.25")
    assert stored.change == Decimal("1.25")
