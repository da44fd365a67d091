"""Posts firings to their users' webhooks, each user's one after another and those of several users side by side.

In threads of its own: a receiver that is slow delays neither a price nor another user's word. What fails is tried again
by the outbox in the database, in whichever process comes first.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from realtime.alerts.signing import check_url, headers_of, is_public
from realtime.alerts.webhooks import SUCCESSES, Attempt, claim_attempts, finish
from realtime.feeds.base import Clock, FeedError
from realtime.feeds.fetch import post
from realtime.price_feed.tasks import end
from realtime.price_feed.write_behind import WriteBehind

log = logging.getLogger("personal_finance.realtime.alerts")

AT_ONCE = 16
POST_SECONDS = 10.0
# How late an attempt may begin that another process left, or that failed before.
LOOK_SECONDS = 5.0


class WebhookSender:
    """The sender of one feed process.

    Args:
        store: its database thread.
    """

    def __init__(self, store: WriteBehind, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._due = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}  # by user
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")

    def wake(self) -> None:
        """Something may be due."""
        self._due.set()

    async def run(self) -> None:
        """Sends what is due until it is cancelled."""
        try:
            while True:
                self._due.clear()
                await self._start_attempts()
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._due.wait()
                except TimeoutError:
                    pass
        finally:
            await end(list(self._running.values()))
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _start_attempts(self) -> None:
        """Starts what is due, until there is nothing more or all places are taken: whoever ends then wakes us."""
        while (free := AT_ONCE - len(self._running)) > 0:
            try:
                attempts = await self._store.call(
                    claim_attempts, self._clock.now(), list(self._running), free
                )
            except Exception as error:  # a database that is away is asked again
                log.warning("webhooks not read", extra={"error": repr(error)})
                return
            if not attempts:
                return
            for attempt in attempts:
                task = asyncio.create_task(self._make(attempt), name="webhook")
                self._running[attempt.user_id] = task
                task.add_done_callback(self._ended(attempt.user_id))

    def _ended(self, user_id: int) -> Callable[["asyncio.Task[None]"], None]:
        def forget(task: "asyncio.Task[None]") -> None:
            self._running.pop(user_id, None)
            self.wake()  # the next one of this user may wait
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("a webhook's attempt was not noted", extra={"error": repr(error)})

        return forget

    async def _make(self, attempt: Attempt) -> None:
        problem = await self._post(attempt)
        await self._store.call(finish, attempt.delivery_id, self._clock.now(), problem)
        log.info("webhook", extra={"delivery": attempt.key, "problem": problem})

    async def _post(self, attempt: Attempt) -> str:
        """Returns why it is not delivered; empty if it is."""
        allow_private = settings.ALERT_WEBHOOK_ALLOW_PRIVATE
        timestamp = int(self._clock.now().timestamp())
        try:
            check_url(attempt.url, allow_private=allow_private)
            status = await post(
                attempt.url,
                attempt.body,
                headers_of(attempt.secret, timestamp, attempt.key, attempt.body),
                threads=self._threads,
                may_reach=(lambda _: True) if allow_private else is_public,
                total_seconds=POST_SECONDS,
            )
        except (FeedError, ValueError) as error:
            return str(error)
        return "" if status in SUCCESSES else f"the receiver answered {status}"
