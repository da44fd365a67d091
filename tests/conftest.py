"""What tests share: a real Redis for each test process, and whole systems started the way a person starts one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings

from config import embedded_redis
from tests.live import ROOT, LiveSystem


def pytest_configure() -> None:
    settings.STATE_DIR.mkdir(mode=0o700, exist_ok=True)


def pytest_unconfigure() -> None:
    shutil.rmtree(settings.STATE_DIR, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def redis_url() -> Iterator[str]:
    """The address of this process's own Redis, which `settings.REDIS_URL` names too."""
    if settings.REDIS_URL != embedded_redis.url(settings.STATE_DIR):
        yield settings.REDIS_URL
        return
    with embedded_redis.running(settings.STATE_DIR) as url:
        yield url


@pytest.fixture(autouse=True)
def empty_redis(redis_url: str) -> None:
    """Every test begins with nothing in Redis."""
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        client.flushdb()


@pytest.fixture(scope="module")
def live_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LiveSystem]]:
    """Starts whole systems through `manage.py rundemo`, each with a state directory of its own.

    `live_system(env={...}, args=[...])` returns a running one; asked again with the same words in the same
    module, the same one. `fresh=True` starts another. All are stopped when the module ends.
    """
    with ExitStack() as stack:
        running: dict[Any, LiveSystem] = {}

        def start(
            env: dict[str, str] | None = None, args: list[str] | None = None, fresh: bool = False
        ) -> LiveSystem:
            key = (tuple(sorted((env or {}).items())), tuple(args or ()))
            if fresh or key not in running or not running[key].is_running:
                state_dir = tmp_path_factory.mktemp("live")
                system = LiveSystem(state_dir, {**_database(stack, state_dir), **(env or {})}, args or [])
                stack.callback(system.stop)
                system.wait_until_ready()
                if fresh:
                    return system
                running[key] = system
            return running[key]

        yield start


def _database(stack: ExitStack, state_dir: Path) -> dict[str, str]:
    """Prepares a new system's database: on PostgreSQL one of its own, on SQLite a copy of a seeded one."""
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        shutil.copy(_seeded_database(), state_dir / "db.sqlite3")
        return {}
    import psycopg

    server = os.environ["DATABASE_URL"].rsplit("/", 1)[0]
    name = f"livefolio_live_{os.urandom(4).hex()}"

    def administer(statement: str) -> None:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    administer(f"CREATE DATABASE {name}")
    stack.callback(administer, f"DROP DATABASE {name} WITH (FORCE)")
    return {"DATABASE_URL": f"{server}/{name}"}


@cache
def _seeded_database() -> Path:
    """Seeds once a process what every system would seed for itself in seconds."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.demo"}
    environment["STATE_DIR"] = str(settings.STATE_DIR / "seeded")
    environment.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, ROOT / "manage.py", "seed_demo"], env=environment, check=True, timeout=60)
    return settings.STATE_DIR / "seeded" / "db.sqlite3"


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"
