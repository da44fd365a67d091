"""Receipts of live frames: written behind them, lost only when they must be, and good for the same frame again."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from django.db import OperationalError
from django.utils import timezone

from assets.models import Asset, PriceBar
from assets.rates import RatePoint
from assets.redistribution import EVERYTHING
from portfolio.ledger import replay
from portfolio.models import Portfolio, Transaction
from portfolio.receipts import Receipt, Segment, find, parse_id
from portfolio.recomputation import rate_key, read
from portfolio.valuation import PricePoint, Valuation, value
from portfolio.valued import of_receipt
from portfolio.windows import PortfolioFacts, default_baselines, hold
from realtime.live_portfolio import LivePortfolios
from realtime.live_receipts import SEGMENTS_WAITING, LiveReceipts
from realtime.protocol import encode, wire_time
from tests.portfolio.builders import NOW, days_ago, in_thread, make_row
from tests.realtime.builders import Source, eventually
from tests.realtime.conftest import NewClient, NewHub, NewSource
from tests.realtime.test_live_portfolio import Owner, last, wanting, watch

pytestmark = pytest.mark.asyncio

D = Decimal


class Store:
    """Keeps segments, or is away; `loses_answer` stores what it says it has not."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.is_away = False
        self.loses_answer = False

    def save(self, segment: Segment) -> None:
        if self.is_away:
            raise OperationalError("connection refused")
        self.segments.append(segment)
        if self.loses_answer:
            raise TimeoutError

    def receipt(self, id: str) -> Receipt:
        _, number = parse_id(id)
        [own] = [segment for segment in self.segments if segment.first <= number <= segment.last]
        return find((one for one in self.segments if one.chain == own.chain), number)


def dollars_in_euros(rate: str | None = "0.8", price: str = "100") -> Valuation:
    """Ten shares in dollars, seen from euros."""
    rows = [make_row("transfer_in", days_ago(3), quantity=10, price=90, rate="0.8", id=1)]
    books = replay(rows, base="EUR")
    facts = PortfolioFacts(id=7, name="Europe", currency="EUR")
    holdings = hold(facts, books, {}, default_baselines(books, NOW), NOW)
    rates = {} if rate is None else {"USD": RatePoint(D(rate), NOW, ("EURUSD",))}
    return value(holdings, {"ACME": PricePoint(price=D(price), as_of=NOW)}, rates)


def issue(receipts: LiveReceipts, valuation: Valuation) -> str:
    receipts.price("ACME", valuation.inputs().prices["ACME"])
    return receipts.issue(valuation, receipts.basis(valuation.holdings, EVERYTHING))


# --- to the database -------------------------------------------------------------------------------------------------


async def test_what_was_issued_is_written_as_one_segment() -> None:
    store = Store()
    receipts = LiveReceipts(store.save)
    assert not receipts.is_due
    ids = [issue(receipts, dollars_in_euros(price=str(price))) for price in (100, 101, 102)]
    assert receipts.is_due
    await receipts.write()
    assert [(segment.first, segment.last) for segment in store.segments] == [(1, 3)]
    for id, price in zip(ids, (100, 101, 102), strict=True):
        _, inputs = read(store.receipt(id))
        assert (inputs.prices["ACME"].price, inputs.rates["USD"].value) == (price, D("0.8"))
    assert not receipts.is_due


async def test_what_cannot_be_stored_is_kept_and_written_later() -> None:
    store = Store()
    receipts = LiveReceipts(store.save)
    store.is_away = True
    ids = []
    for price in (100, 101, 102):
        ids.append(issue(receipts, dollars_in_euros(price=str(price))))
        await receipts.write()
    assert store.segments == []
    store.is_away = False
    await receipts.write()
    prices = [read(store.receipt(id))[1].prices["ACME"].price for id in ids]
    assert prices == [100, 101, 102]


async def test_a_database_that_is_away_for_too_long_costs_the_oldest_receipts() -> None:
    store = Store()
    receipts = LiveReceipts(store.save)
    before = issue(receipts, dollars_in_euros(price="99"))
    await receipts.write()
    store.is_away = True
    ids = []
    for number in range(SEGMENTS_WAITING + 5):
        ids.append(issue(receipts, dollars_in_euros(price=str(100 + number))))
        await receipts.write()
    store.is_away = False
    ids.append(issue(receipts, dollars_in_euros(price="999")))
    await receipts.write()
    # What is left begins after a hole, and is of use nevertheless.
    kept = [before, *ids[-SEGMENTS_WAITING:]]
    assert len(store.segments) == len(kept)
    prices = [read(store.receipt(id))[1].prices["ACME"].price for id in kept]
    assert prices == [99, *range(100 + 6, 100 + SEGMENTS_WAITING + 5), 999]


async def test_an_answer_that_came_too_late_does_not_store_twice_nor_block() -> None:
    store = Store()
    receipts = LiveReceipts(store.save)
    issue(receipts, dollars_in_euros())
    store.loses_answer = True
    await receipts.write()
    store.loses_answer = False
    issue(receipts, dollars_in_euros())
    await receipts.write()
    assert [segment.first for segment in store.segments] == [1, 1, 2]


async def test_a_segment_is_written_by_one_at_a_time() -> None:
    saving, may_save = threading.Event(), threading.Event()
    saved: list[Segment] = []

    def save(segment: Segment) -> None:
        saving.set()
        assert may_save.wait(30)
        saved.append(segment)

    receipts = LiveReceipts(save)
    issue(receipts, dollars_in_euros())
    first = asyncio.create_task(receipts.write())
    await eventually(saving.is_set, "the first to be written")
    issue(receipts, dollars_in_euros())
    assert not receipts.is_due
    second = asyncio.create_task(receipts.write())
    may_save.set()
    await asyncio.gather(first, second)
    assert [segment.first for segment in saved] == [1, 2]


async def test_a_rate_that_is_gone_is_gone_in_the_receipt() -> None:
    store = Store()
    receipts = LiveReceipts(store.save)
    ids = [issue(receipts, dollars_in_euros(rate)) for rate in ("0.8", "0.9", None, "0.7")]
    await receipts.write()
    found = [read(store.receipt(id))[1].rates for id in ids]
    values = [rates["USD"].value if rates else None for rates in found]
    assert values == [D("0.8"), D("0.9"), None, D("0.7")]
    assert rate_key("USD", "EUR") in store.receipt(ids[0]).prices


# --- of frames -------------------------------------------------------------------------------------------------------


def in_euros(alice: Owner, *currencies: str) -> Portfolio:
    """Ten shares in each currency and some of its cash, in a portfolio of euros; with the pairs and their closes."""
    portfolio = Portfolio.objects.create(user=alice.user, name="Europe", currency="EUR")
    when = timezone.now() - timedelta(days=3)
    rows = []
    for currency in currencies:
        asset = Asset.objects.create(symbol=f"IN-{currency}", currency=currency)
        values: dict[str, Any] = {
            "portfolio": portfolio,
            "currency": currency,
            "time": when,
            "rate": D("0.5"),
        }
        rows.append(Transaction(type="deposit", amount=D(5000), **values))
        rows.append(Transaction(type="buy", asset=asset, quantity=D(10), price=D(90), **values))
    for base in ("EUR", "GBP"):
        pair = Asset.objects.create(
            symbol=f"{base}USD", asset_class="fx", base_currency=base, currency="USD", calendar="FX"
        )
        closed = D("1.28")
        start = timezone.now() - timedelta(days=3)
        PriceBar.objects.create(
            asset=pair, interval="1d", start=start, open=closed, high=closed, low=closed, close=closed
        )
    Transaction.objects.bulk_create(rows)
    return portfolio


@pytest_asyncio.fixture
async def alice() -> Owner:
    return await in_thread(Owner)


@pytest_asyncio.fixture
async def source(new_source: NewSource) -> AsyncIterator[Source]:
    source = await new_source()
    await source.tick("AAPL", "MSFT", "IN-USD", "IN-GBP", price=D(100), previous_close=D(90))
    await source.tick("EURUSD", price=D("1.25"))
    await source.tick("GBPUSD", price=D("1.5"))
    yield source


def found_again(portfolio_id: int, frames: list[dict[str, Any]]) -> None:
    """Each frame follows from its receipt, to the last digit that was sent."""
    for frame in frames:
        valuation, _ = of_receipt(Portfolio.objects.get(pk=portfolio_id), frame["receipt"])
        whole = msgspec.json.decode(encode(valuation.as_struct(True, frame["receipt"])))
        positions = {position["symbol"]: position for position in whole["positions"]}
        for position in frame["positions"]:
            assert position == positions[position["symbol"]]
        assert {**whole, **frame, "positions": []} == {
            **whole,
            "complete": frame["complete"],
            "positions": [],
        }


@pytest.mark.django_db(transaction=True)
async def test_every_frame_is_computed_again_from_its_receipt(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL", "MSFT"))
    hub, receipts = await new_hub(), LiveReceipts()
    live, client = LivePortfolios(hub, receipts=receipts), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)
    await wanting(hub, ["AAPL", "MSFT"])
    for step in range(40):
        moved = ("AAPL", "MSFT") if step % 2 else ("AAPL",)
        await source.tick(*moved, price=D(100 + step))
        await eventually(lambda step=step: last(client)["positions"][0]["price"] == 100 + step, "its frame")
        if step == 20:
            await in_thread(lambda: alice.purchase(portfolio_id, "AAPL").save())
            await eventually(lambda: last(client)["positions"][0]["quantity"] == 20, "the purchase")
    await receipts.write()
    assert len({frame["receipt"] for frame in client.portfolios}) == len(client.portfolios) > 10
    await in_thread(lambda: found_again(portfolio_id, client.portfolios))


@pytest.mark.django_db(transaction=True)
async def test_a_reload_in_the_turn_of_a_tick_has_its_price_in_frame_and_receipt(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub, receipts = await new_hub(), LiveReceipts()
    live, client = LivePortfolios(hub, receipts=receipts), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)
    await wanting(hub, ["AAPL"])
    assert last(client)["total_value"] == 5000
    # It comes after the price is noted, and before the portfolio is valued for it.
    hub.price_listeners.append(lambda _: live._send(live._watched[portfolio_id], None))
    hub.price_listeners.append(lambda _: client.read() and None)
    await source.tick("AAPL", price=D(110))
    await eventually(
        lambda: last(client)["total_value"] == 5100 and len(client.portfolios) == 3, "both frames"
    )
    await receipts.write()
    await in_thread(lambda: found_again(portfolio_id, client.portfolios))


@pytest.mark.django_db(transaction=True)
async def test_a_rate_that_moves_pushes_a_frame_and_its_receipt_names_it(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio = await in_thread(lambda: in_euros(alice, "USD"))
    hub, receipts = await new_hub(), LiveReceipts()
    live, client = LivePortfolios(hub, receipts=receipts), new_client(hub, alice.identity)
    await watch(live, client, portfolio.pk)
    await wanting(hub, ["IN-USD", "EURUSD"])
    first = last(client)
    # 10 shares at 100, and 4,100 dollars of cash, at 1/1.25.
    assert (first["total_value"], first["cash"], first["positions"][0]["rate"]) == (4080, 3280, 0.8)

    await source.tick("EURUSD", price=D("1.6"))
    await eventually(lambda: last(client)["total_value"] == 3187.5, "the new rate")

    frame = last(client)
    assert (frame["positions"][0]["value"], frame["cash_positions"][-1]["value"]) == (625, 2562.5)
    assert frame["positions"][0]["rate"] == 0.625
    await receipts.write()
    await in_thread(lambda: found_again(portfolio.pk, client.portfolios))
    valuation, _ = await in_thread(lambda: of_receipt(portfolio, frame["receipt"]))
    assert valuation.rates["USD"].legs == ("EURUSD",)


@pytest.mark.django_db(transaction=True)
async def test_a_rate_is_crossed_and_moves_with_both_legs(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio = await in_thread(lambda: in_euros(alice, "GBP"))
    hub, receipts = await new_hub(), LiveReceipts()
    live, client = LivePortfolios(hub, receipts=receipts), new_client(hub, alice.identity)
    await watch(live, client, portfolio.pk)
    await wanting(hub, ["IN-GBP", "EURUSD", "GBPUSD"])
    assert last(client)["positions"][0]["rate"] == 1.2  # 1.5 / 1.25
    await source.tick("GBPUSD", price=D("1.25"))
    await eventually(lambda: last(client)["positions"][0]["rate"] == 1, "one leg")
    await source.tick("EURUSD", price=D(2))
    await eventually(lambda: last(client)["positions"][0]["rate"] == 0.625, "the other leg")
    await receipts.write()
    await in_thread(lambda: found_again(portfolio.pk, client.portfolios))


@pytest.mark.django_db(transaction=True)
async def test_a_rate_that_is_too_old_prices_nothing(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio = await in_thread(lambda: in_euros(alice, "USD"))
    hub, receipts = await new_hub(), LiveReceipts()
    live, client = LivePortfolios(hub, receipts=receipts), new_client(hub, alice.identity)
    await watch(live, client, portfolio.pk)
    await wanting(hub, ["IN-USD", "EURUSD"])

    old = wire_time(datetime.now(UTC) - timedelta(days=4, minutes=1))
    await source.tick("EURUSD", price=D("1.25"), as_of=old)
    await eventually(lambda: last(client)["unpriced"], "the rate to be gone")

    frame = last(client)
    reasons = {one["symbol"]: one["reason"] for one in frame["unpriced"]}
    assert reasons == {"IN-USD": "no_rate", "USD": "no_rate"}
    assert (frame["total_value"], frame["coverage"], frame["positions"][0]["value"]) == (0, 0, None)
    await source.tick("EURUSD", price=D("1.25"))
    await eventually(lambda: last(client)["total_value"] == 4080, "a new rate")
    await receipts.write()
    await in_thread(lambda: found_again(portfolio.pk, client.portfolios))


class NeverDue(LiveReceipts):
    """Written only when somebody says so."""

    @property
    def is_due(self) -> bool:
        return False


@pytest.mark.django_db(transaction=True)
async def test_what_was_issued_last_is_written_when_the_hub_stops(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub = await new_hub()
    live, client = LivePortfolios(hub, receipts=NeverDue()), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)
    last(client)
    await hub.stop()
    await in_thread(lambda: found_again(portfolio_id, client.portfolios))


@pytest.mark.django_db(transaction=True)
async def test_a_database_that_is_away_costs_no_frame(
    new_hub: NewHub, new_client: NewClient, source: Source, alice: Owner
) -> None:
    portfolio_id = await in_thread(lambda: alice.portfolio("AAPL"))
    hub, store = await new_hub(), Store()
    store.is_away = True
    receipts = LiveReceipts(store.save)
    live, client = LivePortfolios(hub, receipts=receipts), new_client(hub, alice.identity)
    await watch(live, client, portfolio_id)
    await wanting(hub, ["AAPL"])
    for price in (101, 102, 103):
        await source.tick("AAPL", price=D(price))
        await eventually(lambda price=price: last(client)["positions"][0]["price"] == price, "its frame")
        await receipts.write()
    store.is_away = False
    await receipts.write()
    assert all(store.receipt(frame["receipt"]).portfolio_id == portfolio_id for frame in client.portfolios)
