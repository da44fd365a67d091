"""What is done once a day: old minute bars, receipts and firings go, and the values of past days are worked out.

Each job has a thread and a connection of its own for as long as it takes, so that last prices and bars do not wait.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from django.db import connection

from portfolio import receipt_store
from portfolio.history import store_finished_days
from realtime.alerts import store as alerts
from realtime.feeds.base import Clock
from realtime.price_feed.feed_store import prune_minute_bars

log = logging.getLogger("personal_finance.realtime.feed")

FIRST_SECONDS = 600.0
DAY_SECONDS = 86_400.0

Job = Callable[[datetime], int]
JOBS: tuple[tuple[str, Job], ...] = (
    ("minute bars pruned", prune_minute_bars),
    ("receipts pruned", receipt_store.prune),
    ("firings of alerts pruned", alerts.prune),
    ("days of portfolios valued", store_finished_days),
)


async def keep_up(clock: Clock, jobs: tuple[tuple[str, Job], ...] = JOBS) -> None:
    """Does the jobs every day until it is cancelled; one that fails is tried again the next day."""
    delay = FIRST_SECONDS
    while True:
        await clock.sleep(delay)
        delay = DAY_SECONDS
        for name, job in jobs:
            try:
                count = await asyncio.to_thread(_done, job, clock.now())
                log.info(name, extra={"count": count})
            except Exception as error:  # tomorrow is another day
                log.warning("daily job failed", extra={"job": name, "error": repr(error)})


def _done(job: Job, now: datetime) -> int:
    try:
        return job(now)
    finally:
        connection.close()
