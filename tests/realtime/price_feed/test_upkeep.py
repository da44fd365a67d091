"""What the price feed does once a day, by a clock whose days take no time."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from assets.models import Asset, PriceBar
from portfolio import receipt_store
from portfolio.models import Portfolio, PortfolioSnapshot, ReceiptSegment, Transaction
from portfolio.receipts import issue_alone
from realtime.price_feed.tasks import end
from realtime.price_feed.upkeep import DAY_SECONDS, FIRST_SECONDS, JOBS, Job, keep_up
from tests.portfolio.builders import in_thread
from tests.realtime.feeds.fakes import START, JumpingClock

pytestmark = pytest.mark.asyncio
FIRST, DAY = timedelta(seconds=FIRST_SECONDS), timedelta(seconds=DAY_SECONDS)


class Done:
    """Jobs that write down when they were done; those in `failing` raise."""

    def __init__(self, *failing: str) -> None:
        self.calls: list[tuple[str, datetime]] = []
        self._failing = failing

    def job(self, name: str) -> tuple[str, Job]:
        def done(now: datetime) -> int:
            self.calls.append((name, now))
            if name in self._failing:
                raise OSError("the disk is full")
            return 1

        return name, done


async def days(jobs: tuple[tuple[str, Job], ...], count: int) -> None:
    """Lets the jobs be done `count` times."""
    clock = JumpingClock()
    task = asyncio.create_task(keep_up(clock, jobs))
    await clock.until_slept(count + 1)
    await end([task])


async def test_the_jobs_are_done_soon_after_the_start_and_then_each_day() -> None:
    done = Done()
    await days((done.job("a"), done.job("b")), 3)
    first = START + FIRST
    assert done.calls == [
        (name, moment) for moment in (first, first + DAY, first + 2 * DAY) for name in ("a", "b")
    ]


async def test_a_job_that_fails_stops_neither_the_others_nor_the_next_day() -> None:
    done = Done("a")
    await days((done.job("a"), done.job("b")), 2)
    assert [name for name, _ in done.calls] == ["a", "b", "a", "b"]


@pytest.mark.django_db(transaction=True)
async def test_what_is_old_goes_and_the_days_that_are_over_are_valued() -> None:
    def prepare() -> None:
        acme = Asset.objects.create(symbol="ACME")
        price = {name: Decimal(5) for name in ("open", "high", "low", "close")}
        for interval, age in (("1m", 8), ("1m", 6), ("1d", 300), ("1d", 1)):
            start = (START - age * timedelta(days=1)).replace(hour=0, minute=0, second=0)
            PriceBar.objects.create(asset=acme, interval=interval, start=start, **price)
        portfolio = Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth")
        Transaction.objects.create(
            portfolio=portfolio, type="buy", asset=acme, currency="USD", quantity=Decimal(2), price=Decimal(5),
            rate=Decimal(1), time=START - 2 * DAY,
        )  # fmt: skip
        for hours in (26, 24):
            receipt_store.save(issue_alone(portfolio.pk, b"", 0, {}))
            newest = ReceiptSegment.objects.latest("pk")
            ReceiptSegment.objects.filter(pk=newest.pk).update(created_at=START - timedelta(hours=hours))

    await in_thread(prepare)
    await days(JOBS, 1)

    def found() -> tuple[list[tuple[str, int]], int, list[int]]:
        bars = PriceBar.objects.order_by("start").values_list("interval", "start")
        ages = [(interval, (START - start).days) for interval, start in bars]
        return ages, ReceiptSegment.objects.count(), [row.date.day for row in PortfolioSnapshot.objects.all()]

    bars, receipts, dates = await in_thread(found)
    assert bars == [("1d", 300), ("1m", 6), ("1d", 1)]
    assert receipts == 1
    assert dates == [START.day - 2, START.day - 1]
