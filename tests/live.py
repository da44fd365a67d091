"""One whole running system in a test: `manage.py rundemo` with a free port and a state directory of its own."""

import http.cookiejar
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from config.process import die_with_parent

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 120.0
# The longest wait for what normally takes milliseconds, on a machine that is busy with other things.
PATIENCE = 30.0
BANNER = "Livefolio is running"
# What belongs to the test process and must not leak into the system under test.
OURS = ("DJANGO_SETTINGS_MODULE", "REDIS_URL", "STATE_DIR", "DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS")


def wait_until(condition: Callable[[], object], within: float, what: str) -> None:
    """Waits for something that another process does, which no event of ours can tell.

    It looks once more after its time is over: whoever was not given the processor for so long has seen nothing yet.
    """
    deadline = time.monotonic() + within
    while True:
        is_over = time.monotonic() > deadline
        if condition():
            return
        if is_over:
            raise AssertionError(f"expected {what} within {within:g} s")
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Says whether the process runs; a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter when it goes while it is read
        return False


class LiveSystem:
    """Redis, feed and web as children of one `rundemo`; `pids` tells them apart for whoever kills one."""

    def __init__(self, state_dir: Path, env: Mapping[str, str], args: list[str]) -> None:
        self.state_dir = state_dir
        self.env = dict(env)
        self.log_path = state_dir / "rundemo.log"
        environment = {key: value for key, value in os.environ.items() if key not in OURS}
        environment |= {"STATE_DIR": str(state_dir), "DJANGO_SETTINGS_MODULE": "config.settings.demo", **env}
        port = [] if "--port" in args else ["--port", "0"]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "rundemo", *port, *args],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(hears_interrupt=True),
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by role: rundemo, redis, feed, web."""
        return {role: pid for role, pid in self._pids_file().items() if isinstance(pid, int)}

    @property
    def url(self) -> str:
        return str(self._pids_file()["url"])

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/ws/realtime/"

    def _pids_file(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.state_dir / "pids.json").read_text())
        return found

    def wait_until_ready(self) -> None:
        wait_until(lambda: BANNER in self.log or not self.is_running, READY_WITHIN, "the banner")
        if not self.is_running:
            raise AssertionError(f"expected a running system, but it ended:\n{self.log}")

    def kill(self, role: str, sign: signal.Signals = signal.SIGKILL) -> int:
        """Kills one child and returns the process id that it had."""
        pid = self.pids[role]
        os.kill(pid, sign)
        return pid

    def wait_until_restarted(self, role: str, old_pid: int, within: float = PATIENCE) -> None:
        wait_until(lambda: self.pids.get(role) != old_pid, within, f"{role} to be started again")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Ends the system and returns its exit status."""
        if self.is_running:
            self.process.send_signal(sign)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def login(self, username: str = "demo", password: str = "demo") -> dict[str, str]:
        """Logs in as a person does and returns the cookies."""
        return self._sign_in("/accounts/login/", username=username, password=password, next="/healthz")

    def login_without_password(self) -> dict[str, str]:
        """Goes the demo user's short way in, which spares the system the third of a second of a password."""
        return self._sign_in("/accounts/demo/")

    def _sign_in(self, path: str, **form: str) -> dict[str, str]:
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        page = f"{self.url}/accounts/login/"
        browser.open(page, timeout=PATIENCE).read()
        form["csrfmiddlewaretoken"] = {cookie.name: cookie.value or "" for cookie in jar}["csrftoken"]
        data = urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.url + path, data, {"Referer": page})
        browser.open(request, timeout=PATIENCE).read()
        cookies = {cookie.name: cookie.value or "" for cookie in jar}
        if "sessionid" not in cookies:
            raise AssertionError(f"expected to be logged in at {path}")
        return cookies

    def cookie_header(self, username: str = "demo", password: str = "demo") -> str:
        return "; ".join(f"{name}={value}" for name, value in self.login(username, password).items())
