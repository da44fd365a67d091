"""A real `start_price_feed` as a child of the test, on the test's own database and Redis."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import connection

from config.process import die_with_parent
from tests.live import PATIENCE, ROOT, wait_until


def database_url() -> str:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return f"{os.environ['DATABASE_URL'].rsplit('/', 1)[0]}/{name}"


class FeedProcess:
    def __init__(self, log: Path, *args: str, **env: str) -> None:
        self.log_path = log
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings.demo",
            "LOG_FORMAT": "plain",
            "STATE_DIR": str(log.parent),
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.REDIS_URL,
            **env,
        }
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "start_price_feed", *args],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for(self, text: str, within: float = 60.0) -> None:
        with suppress(AssertionError):
            wait_until(lambda: text in self.log or self.process.poll() is not None, within, text)
        assert text in self.log, self.log

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(PATIENCE)


@contextmanager
def feed_process(log: Path, *args: str, **env: str) -> Iterator[FeedProcess]:
    """Yields a price feed; it is killed if the test leaves it running."""
    feed = FeedProcess(log, *args, **env)
    try:
        yield feed
    finally:
        feed.kill()
