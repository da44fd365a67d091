"""The systems under test, one of them shared by all modules, and the connections and people that tests use."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from config import embedded_redis
from tests.contract.client import Http, Response, Socket
from tests.live import OURS, PATIENCE, ROOT, LiveSystem, wait_until

PASSWORD = "correct horse battery"

NewDatabase = Callable[[Path], dict[str, str]]


class System:
    """A running product, its people and the sockets that a test opens."""

    def __init__(self, live: LiveSystem, env: Mapping[str, str]) -> None:
        self.live = live
        self.url = live.url
        self.ws = live.websocket_url
        self._env = env
        self._sessions: dict[str, Http] = {}
        self._tokens: dict[str, str] = {}
        self.sockets: list[Socket] = []

    # --- people ------------------------------------------------------------------------------------------------------

    def session(self, username: str = "demo", password: str = "") -> Http:
        """A logged-in browser; the same one for the same name."""
        if username not in self._sessions:
            self._sessions[username] = self.new_session(username, password)
        return self._sessions[username]

    def new_session(self, username: str = "demo", password: str = "") -> Http:
        known = {"demo": "demo", "admin": "admin"}
        return Http(self.url).login(username, password or known.get(username, PASSWORD))

    def nobody(self) -> Http:
        return Http(self.url)

    def token(self, username: str = "demo") -> str:
        if username not in self._tokens:
            self._tokens[username] = str(self.new_token(username)["token"])
        return self._tokens[username]

    def new_token(self, username: str = "demo", **fields: object) -> dict[str, object]:
        made = self.session(username).post("/api/tokens/", {"name": "contract", **fields})
        assert made.status == 201, made.body
        answer: dict[str, object] = made.json
        return answer

    def add_users(self, *usernames: str, **fields: object) -> None:
        """Adds people in a process of its own, as an operator does."""
        self.run_python(
            "from django.contrib.auth.models import User\n"
            f"for name in {usernames!r}: User.objects.create_user(name, password={PASSWORD!r}, **{fields!r})"
        )

    # --- connections -------------------------------------------------------------------------------------------------

    def connect(self, username: str = "demo", options: str = "", **given: object) -> Socket:
        """A script's connection, by token; the connection frame is read already."""
        headers = {"Authorization": f"Bearer {self.token(username)}", **_headers(given)}
        return self.greeted(Socket.open(self.ws, options=options, headers=headers))

    def connect_browser(self, browser: Http, options: str = "", **given: object) -> Socket:
        """A page's connection, by session cookie and Origin."""
        headers = {"Cookie": browser.cookie_header, **_headers(given)}
        return self.greeted(Socket.open(self.ws, options=options, origin=self.url, headers=headers))

    def greeted(self, opened: Socket) -> Socket:
        self.sockets.append(opened)
        opened.expect("connection")
        return opened

    def close_sockets(self) -> None:
        while self.sockets:
            self.sockets.pop().close()

    # --- what an operator has ----------------------------------------------------------------------------------------

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all processes."""
        total = 0.0
        for line in Http(self.url).get("/metrics").body.decode().splitlines():
            if line.startswith(name) and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(
            embedded_redis.url(self.live.state_dir), socket_timeout=PATIENCE, decode_responses=True
        )

    def worker_pids(self) -> list[int]:
        """The web processes; with one worker the web server itself."""
        web = self.live.pids["web"]
        return sorted(child.pid for child in psutil.Process(web).children()) or [web]

    def manage(self, *words: str, within: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """Runs a command beside the running system, with its settings."""
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *words],
            env=self.environment, capture_output=True, text=True, timeout=within, cwd=ROOT,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if key not in OURS}
        own |= {"STATE_DIR": str(self.live.state_dir), "DJANGO_SETTINGS_MODULE": "config.settings.demo"}
        return {**own, **self._env}

    def run_python(self, code: str) -> None:
        done = self.manage("shell", "-c", code)
        assert done.returncode == 0, done.stderr


def _headers(given: Mapping[str, object]) -> dict[str, str]:
    return {name.replace("_", "-"): str(value) for name, value in given.items()}


@contextmanager
def started(new_database: NewDatabase) -> Iterator[Callable[..., System]]:
    """Starts systems and stops them at the end of the block."""
    with ExitStack() as stack:

        def start(*args: str, **env: str) -> System:
            # Not pytest's own folder, which may be too deep for a Unix socket.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lf-", dir="/tmp"))
            given = {**new_database(Path(folder)), **env}
            live = LiveSystem(Path(folder), given, list(args))
            stack.callback(live.stop)
            live.wait_until_ready()
            system = System(live, given)
            wait_until(lambda: system.metric("feed_live") > 0, 60, "a live source")
            return system

        yield start


@pytest.fixture(scope="module")
def start_system(new_database: NewDatabase) -> Iterator[Callable[..., System]]:
    """Starts systems of one module; their markets would go on and take the processor from all tests after it."""
    with started(new_database) as start:
        yield start


@pytest.fixture(scope="session")
def shared_system(new_database: NewDatabase) -> Iterator[System]:
    """The product with its own limits, a livelier market, and little patience for missing prices."""
    with started(new_database) as start:
        system = start(SIMULATOR_RATE="5", REALTIME_NO_DATA_TIMEOUT="1")
        system.add_users("olga")
        yield system


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    yield shared_system
    shared_system.close_sockets()


@pytest.fixture
def bystander(system: System) -> Iterator[Socket]:
    """Somebody else's connection, which must not notice what the test does."""
    watcher = Socket.open(system.ws, headers={"Authorization": f"Bearer {system.token('olga')}"})
    with watcher:
        watcher.expect("connection")
        watcher.subscribe("MSFT")
        watcher.update("MSFT")
        yield watcher
        watcher.catch_up()
        watcher.update("MSFT")
        assert not [frame for frame in watcher.seen if frame["type"] == "error"]


def ok(response: Response, status: int = 200) -> Response:
    assert response.status == status, (response.status, response.body[:500])
    return response
