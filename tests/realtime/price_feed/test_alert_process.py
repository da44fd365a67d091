"""Alerts in real feed processes: killed between writing and delivering, and two of them at once."""

import asyncio
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from config import embedded_redis
from realtime.alerts.changes import note_change
from realtime.alerts.models import AlertFiring, PriceAlert, WebhookDelivery
from realtime.bus import WebBus
from tests.live import PATIENCE, wait_until
from tests.realtime.alerts.builders import make_alert, make_user, make_webhook
from tests.realtime.feed_process import FeedProcess, feed_process

pytestmark = pytest.mark.django_db(transaction=True)

LEADING, STANDBY = "feed coinbase is live", "standing by: another process leads"
LONG_AGO = timedelta(hours=1)


class Vendor:
    """A Coinbase of one product, whose price is said by the test; who comes late hears the last one."""

    def __init__(self) -> None:
        self.url = ""
        self._last = ""
        self._sockets: list[ServerConnection] = []

    def serve(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            socket.recv()
            socket.send('{"type":"subscriptions","channels":[{"name":"ticker","product_ids":["ACME-USD"]}]}')
            if self._last:
                socket.send(self._last)
            self._sockets.append(socket)
            for _ in socket:
                pass

    def say(self, price: str) -> None:
        time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._last = json.dumps(
            {"type": "ticker", "product_id": "ACME-USD", "price": price, "time": time, "last_size": "1"}
        )
        for socket in self._sockets:
            with suppress(ConnectionClosed):
                socket.send(self._last)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    found = Vendor()
    with serve(found.serve, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        yield found
        server.shutdown()
    thread.join(PATIENCE)


@contextmanager
def webhook_receiver() -> Iterator[tuple[str, list[str], threading.Event]]:
    """Yields an address, the ids that came in, and what must be set before anything is answered."""
    got: list[str] = []
    answers = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.headers["Livefolio-Delivery"])
            answers.wait(PATIENCE)
            with suppress(OSError):
                self.send_response(204)
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", got, answers
    finally:
        answers.set()
        server.shutdown()
        server.server_close()


@contextmanager
def web_process() -> Iterator[list[dict[str, Any]]]:
    """Yields the firings that a web process hears of."""
    heard: list[dict[str, Any]] = []
    is_listening = threading.Event()
    loop = asyncio.new_event_loop()

    async def listen() -> None:
        bus = WebBus("ear")
        try:
            await bus.listen()
            is_listening.set()
            while True:
                message = await bus.receive()
                if message["type"] == "alert.fired":
                    heard.append(dict(message))
        finally:
            await bus.close()

    task = loop.create_task(listen())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    assert is_listening.wait(PATIENCE)
    yield heard
    loop.call_soon_threadsafe(task.cancel)
    thread.join(PATIENCE)
    loop.close()


@contextmanager
def own_redis(folder: Path) -> Iterator["tuple[str, subprocess.Popen[bytes]]"]:
    path = folder / "r.sock"
    binary = embedded_redis.find_server().binary
    command = [binary, "--port", "0", "--unixsocket", str(path), "--save", "", "--daemonize", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: embedded_redis.answers(path), PATIENCE, "Redis")
        yield f"unix://{path}", process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(PATIENCE)


@contextmanager
def coinbase(log: Path, vendor: Vendor, **env: str) -> Iterator[FeedProcess]:
    shown = {"FEED_REDISTRIBUTION": "coinbase=users"}
    address = {"COINBASE_WEBSOCKET_URL": vendor.url, "COINBASE_PRODUCTS": "ACME-USD", **shown}
    with feed_process(
        log, "--source", "coinbase", ALERT_WEBHOOK_ALLOW_PRIVATE="true", **address, **env
    ) as feed:
        yield feed


def until_fired(count: int) -> None:
    wait_until(lambda: AlertFiring.objects.count() == count, PATIENCE, f"{count} firings")


def stands(alert: PriceAlert, **values: Any) -> bool:
    return PriceAlert.objects.filter(pk=alert.pk, **values).exists()


def test_a_firing_that_was_written_is_delivered_once_by_the_next_process(
    tmp_path: Path, vendor: Vendor
) -> None:
    """Killed with -9 when the row is there, while Redis hangs and the receiver has not answered."""
    alice = make_user()
    alert = make_alert(alice, "ACME-USD", kind="crossing", threshold=100)
    vendor.say("99")
    with own_redis(tmp_path) as (url, server), webhook_receiver() as (hook, posted, answers):
        make_webhook(alice, hook)
        with coinbase(tmp_path / "first", vendor, REDIS_URL=url) as first:
            wait_until(lambda: stands(alert, side=-1), PATIENCE, "its side to be known")
            server.send_signal(signal.SIGSTOP)
            vendor.say("101")
            until_fired(1)
            wait_until(lambda: posted, PATIENCE, "the webhook to be called")
            first.kill()
        assert not AlertFiring.objects.exclude(announced_at=None).exists()
        vendor.say("95")  # it goes back while nobody looks
        server.send_signal(signal.SIGCONT)
        answers.set()
        # What the dead one had claimed lapses.
        AlertFiring.objects.update(announce_after=datetime.now(UTC) - LONG_AGO)
        WebhookDelivery.objects.update(next_attempt_at=datetime.now(UTC) - LONG_AGO)
        with (
            override_settings(REDIS_URL=url, CHANNEL_LAYERS=layers_at(url)),
            web_process() as heard,
            coinbase(tmp_path / "second", vendor, REDIS_URL=url) as second,
        ):
            wait_until(lambda: stands(alert, arming=2, side=-1), PATIENCE, "it to be armed again")
            vendor.say("102")
            wait_until(lambda: len(heard) == 2, PATIENCE, "two frames")
            done = WebhookDelivery.objects.filter(state="delivered")
            wait_until(lambda: done.count() == 2, PATIENCE, "two webhooks")
            assert second.stop() == 0
        assert [message["alert"]["price"] for message in heard] == ["101", "102"]
        assert {message["user_id"] for message in heard} == {alice.pk}
    first_key, again, next_key = posted
    assert first_key == again != next_key  # at least once, under one id


def layers_at(url: str) -> dict[str, Any]:
    return {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": url}], "prefix": "lf"},
        }
    }


def test_of_two_processes_the_leader_fires_and_the_other_goes_on_after_it(
    tmp_path: Path, vendor: Vendor
) -> None:
    vendor.say("99")
    with (
        web_process() as heard,
        coinbase(tmp_path / "1", vendor) as one,
        coinbase(tmp_path / "2", vendor) as two,
    ):
        wait_until(lambda: LEADING in one.log + two.log, 60, "a leader")
        wait_until(lambda: STANDBY in one.log + two.log, 60, "a standby")
        # Made while both run: they hear of it.
        alert = make_alert(symbol="ACME-USD", threshold=100)
        note_change(alert.asset_id)
        wait_until(lambda: "alerts watched" in one.log + two.log, PATIENCE, "it to be watched")
        for price in ("100", "101", "98", "100.5"):
            vendor.say(price)
        announced = AlertFiring.objects.exclude(announced_at=None)
        wait_until(lambda: announced.count() == 2, PATIENCE, "two firings that are told")
        leader, other = (one, two) if LEADING in one.log else (two, one)
        leader.kill()
        vendor.say("98")
        wait_until(lambda: stands(alert, arming=3, state="armed"), PATIENCE, "the other to arm it again")
        vendor.say("103")
        until_fired(3)
        wait_until(lambda: len(heard) == 3, PATIENCE, "three frames")
        assert other.stop() == 0
    assert sorted(AlertFiring.objects.values_list("arming", flat=True)) == [1, 2, 3]
    assert [message["alert"]["price"] for message in heard] == ["100", "100.5", "103"]
