"""What tests share: a real Redis for each test process, and whole systems started the way a person starts one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from config import embedded_redis
from tests.live import ROOT, LiveSystem
from tests.vendors.real_clients import build_marked

# A busy machine is no reason to fail: how long an example takes is nobody's promise. New examples are looked for at
# home; a build is to say the same of the same commit each time.
hypothesis_settings.register_profile(
    "suite",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("suite")


def pytest_configure() -> None:
    settings.STATE_DIR.mkdir(mode=0o700, exist_ok=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Before any test runs: building takes both cores, which would show in what tests measure."""
    if not session.config.option.collectonly:
        build_marked(getattr(session, "items", ()))  # the one that leads pytest-xdist's processes has none


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


@pytest.fixture(scope="session")
def redis_client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        yield client


@pytest.fixture(autouse=True)
def empty_redis(redis_client: "redis.Redis") -> None:
    """Every test begins with nothing in Redis."""
    redis_client.flushdb()


@pytest.fixture(autouse=True)
def no_remembered_calendars() -> None:
    """What a test stored of sessions is rolled back, and must not be remembered either."""
    from assets.calendars import forget_calendars

    forget_calendars()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Lets the test database be dropped although a thread that has ended may not have closed its connection."""
    yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT pg_terminate_backend(pid) FROM ({others}) AS others")


@pytest.fixture(scope="module")
def live_system(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[Path], dict[str, str]]
) -> Iterator[Callable[..., LiveSystem]]:
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
            if not fresh and key in running and running[key].is_running:
                return running[key]
            state_dir = tmp_path_factory.mktemp("live")
            system = LiveSystem(state_dir, {**new_database(state_dir), **(env or {})}, args or [])
            stack.callback(system.stop)
            system.wait_until_ready()
            if not fresh:
                running[key] = system
            return system

        yield start


@pytest.fixture(scope="session")
def new_database() -> Iterator[Callable[[Path], dict[str, str]]]:
    """Gives each new system a seeded database: a file in its directory, or one of the server's.

    Every system would seed itself in seconds; here it is done once a process and copied.
    """
    with ExitStack() as stack:
        if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
            yield partial(_copy_file, cache(_seeded_file))
        else:
            yield partial(_copy_database, cache(partial(_seeded_database, stack)), stack)


def _seed(**environment: str) -> None:
    purpose = {"DJANGO_SETTINGS_MODULE": "config.settings.demo"}
    inherited = {key: value for key, value in os.environ.items() if key != "REDIS_URL"}
    command = [sys.executable, ROOT / "manage.py", "seed_demo"]
    subprocess.run(command, env=inherited | purpose | environment, check=True, timeout=120)


def _seeded_file() -> Path:
    state_dir = settings.STATE_DIR / "seeded"
    _seed(STATE_DIR=str(state_dir), DATABASE_URL="")
    return state_dir / "db.sqlite3"


def _copy_file(seeded: Callable[[], Path], state_dir: Path) -> dict[str, str]:
    shutil.copy(seeded(), state_dir / "db.sqlite3")
    return {}


def _seeded_database(stack: ExitStack) -> str:
    name = _create_database(stack, "template0")
    _seed(STATE_DIR=str(settings.STATE_DIR / "seeded"), DATABASE_URL=_database_url(name))
    return name


def _copy_database(seeded: Callable[[], str], stack: ExitStack, state_dir: Path) -> dict[str, str]:
    return {"DATABASE_URL": _database_url(_create_database(stack, seeded()))}


def _create_database(stack: ExitStack, template: str) -> str:
    name = f"livefolio_live_{os.urandom(4).hex()}"
    _administer(f"CREATE DATABASE {name} TEMPLATE {template}")
    stack.callback(_administer, f"DROP DATABASE {name} WITH (FORCE)")
    return name


def _database_url(name: str) -> str:
    return f"{os.environ['DATABASE_URL'].rsplit('/', 1)[0]}/{name}"


def _administer(statement: str) -> None:
    import psycopg

    with psycopg.connect(_database_url("postgres"), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]
