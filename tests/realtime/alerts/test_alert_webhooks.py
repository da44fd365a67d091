"""Webhooks against a real server on loopback: what arrives, what is tried again, and who waits for nobody."""

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from django.contrib.auth.models import User
from django.test import override_settings

from realtime.alerts.models import WebhookDelivery, WebhookEndpoint
from realtime.alerts.store import write
from realtime.alerts.webhooks import FIRST_DELAY, GIVEN_UP_AFTER, claim_attempts, delay_after, secret_of
from realtime.feeds.base import FeedError
from realtime.feeds.fetch import post
from realtime.price_feed.alert_webhooks import WebhookSender
from realtime.price_feed.write_behind import WriteBehind
from tests.portfolio.builders import in_thread
from tests.realtime.alerts.builders import NOW, change_of, make_alert, make_user, make_webhook
from tests.realtime.builders import eventually

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """A receiver of webhooks: it keeps what it gets, and answers what it is told to."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.holds = asyncio.Event()
        self.holds.set()
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name
        }
        self.got.append((head[0], headers, await reader.readexactly(int(headers["content-length"]))))
        await self.holds.wait()
        status = self.statuses.pop(0) if self.statuses else "204 No Content"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?token=hush"
    try:
        yield found
    finally:
        found.holds.set()
        server.close()


class Time:
    """A wall clock that tests set; it sleeps for real, which nothing here does."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest_asyncio.fixture
async def clock() -> AsyncIterator[Time]:
    """The clock of a sender that runs, and whom private addresses are allowed."""
    clock, store = Time(), WriteBehind()
    store.start()
    sender = WebhookSender(store, clock)
    clock.wake = sender.wake  # type: ignore[attr-defined]
    with override_settings(ALERT_WEBHOOK_ALLOW_PRIVATE=True):
        task = asyncio.create_task(sender.run())
        yield clock
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.to_thread(store.close, 5)


async def fire(user_name: str, url: str) -> None:
    def work() -> None:
        user = make_user(user_name)
        if not WebhookEndpoint.objects.filter(user=user).exists():
            make_webhook(user, url)
        write([change_of(make_alert(user))])

    await in_thread(work)


async def states() -> list[tuple[str, int, str]]:
    deliveries = WebhookDelivery.objects.values_list("state", "attempts", "problem")
    return await in_thread(lambda: list(deliveries.all()))


async def until_states(*expected: tuple[str, int, str]) -> None:
    async with asyncio.timeout(20):
        while await states() != list(expected):
            await asyncio.sleep(0.01)


async def test_a_firing_is_posted_with_a_signature_that_its_receiver_can_check(clock: Any) -> None:
    async with receiver() as server:
        await fire("alice", server.url)
        clock.wake()
        await until_states(("delivered", 1, ""))
    ((line, headers, body),) = server.got
    assert line == "POST /hook?token=hush HTTP/1.1"
    endpoint = await in_thread(WebhookEndpoint.objects.get)
    signed = f"{headers['livefolio-timestamp']}.".encode() + body
    expected = hmac.digest(secret_of(endpoint).encode(), signed, hashlib.sha256).hex()
    assert headers["livefolio-signature"] == f"v1={expected}"
    sent = json.loads(body)
    assert sent["id"] == headers["livefolio-delivery"]
    assert sent["data"]["symbol"] == "ACME"
    assert (sent["data"]["price"], sent["data"]["fired_at"]) == (101, "2026-11-20T12:00:00.000000Z")


async def test_what_fails_is_tried_again_later_under_the_same_id_and_given_up_after_a_day(clock: Any) -> None:
    async with receiver() as server:
        server.statuses = ["500 Oops", "302 Found\r\nLocation: http://127.0.0.1:1/", "404 Not Found"]
        await fire("alice", server.url)
        clock.wake()
        await until_states(("pending", 1, "the receiver answered 500"))
        clock.moment += FIRST_DELAY
        clock.wake()
        await until_states(("pending", 2, "the receiver answered 302"))
        clock.moment += GIVEN_UP_AFTER
        clock.wake()
        await until_states(("failed", 3, "the receiver answered 404"))
    assert len({headers["livefolio-delivery"] for _, headers, _ in server.got}) == 1


async def test_a_slow_receiver_delays_no_other_user_and_gets_one_at_a_time(clock: Any) -> None:
    async with receiver() as slow, receiver() as quick:
        slow.holds.clear()
        for _ in range(3):
            await fire("slow", slow.url)
        await fire("quick", quick.url)
        clock.wake()
        await eventually(lambda: quick.got and slow.got, "both to hear")
        await until_states(("pending", 1, ""), ("pending", 0, ""), ("pending", 0, ""), ("delivered", 1, ""))
        assert len(slow.got) == 1
        slow.holds.set()
        await until_states(*[("delivered", 1, "")] * 4)


async def test_two_processes_never_make_the_same_attempt(clock: Any) -> None:
    async def claim(moment: datetime) -> int:
        return len(await in_thread(lambda: claim_attempts(moment, (), 10)))

    await fire("alice", "http://127.0.0.1:9/")
    assert [await claim(NOW), await claim(NOW), await claim(NOW + FIRST_DELAY)] == [1, 0, 1]


async def test_nothing_is_posted_for_an_account_that_has_been_disabled(clock: Any) -> None:
    async with receiver() as server:
        await fire("alice", server.url)
        await in_thread(lambda: User.objects.update(is_active=False))
        clock.wake()
        await until_states(("failed", 0, "the webhook was taken away"))
    assert server.got == []


async def test_a_receiver_that_nobody_hears_is_told_without_its_address(clock: Any) -> None:
    async with receiver() as server:
        url = server.url
    await fire("alice", url)
    clock.wake()
    async with asyncio.timeout(20):
        while not (problem := (await states())[0][2]):
            await asyncio.sleep(0.01)
    assert problem.startswith("the receiver cannot be reached")
    assert "hush" not in problem


async def test_a_name_of_a_private_address_is_not_connected_to_where_that_is_not_allowed(clock: Any) -> None:
    async with receiver() as server:
        with override_settings(ALERT_WEBHOOK_ALLOW_PRIVATE=False):
            await fire("alice", server.url)
            clock.wake()
            await until_states(("pending", 1, "expected an https:// address"))
        threads = ThreadPoolExecutor(1)
        with pytest.raises(FeedError, match="may not be reached"):
            url = server.url.replace("127.0.0.1", "localhost")
            await post(url, b"", {}, threads=threads, may_reach=lambda address: False)
        threads.shutdown()
    assert server.got == []


async def test_a_receiver_that_never_answers_is_given_up_within_the_deadline() -> None:
    async with receiver() as server:
        server.holds.clear()
        threads = ThreadPoolExecutor(1)
        with pytest.raises(FeedError, match=r"did not answer within 0\.2 s"):
            await post(
                server.url, b"", {}, threads=threads, may_reach=lambda address: True, total_seconds=0.2
            )
        threads.shutdown()


async def test_what_was_given_up_while_its_name_was_looked_up_is_not_posted_any_more() -> None:
    looked_up, threads = threading.Event(), ThreadPoolExecutor(1)
    async with receiver() as server:
        with pytest.raises(FeedError, match="did not answer"):
            await post(
                server.url, b"", {}, threads=threads, may_reach=lambda _: looked_up.wait(), total_seconds=0.1
            )
        looked_up.set()
        await asyncio.to_thread(threads.shutdown)
        assert server.connections == 0


async def test_the_delays_double_up_to_an_hour() -> None:
    assert [delay_after(n) for n in (1, 2, 3, 50)] == [
        FIRST_DELAY,
        2 * FIRST_DELAY,
        4 * FIRST_DELAY,
        timedelta(hours=1),
    ]
