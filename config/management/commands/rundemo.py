"""Runs the whole product on this machine: Redis, tables, demo data, feed and web, until Ctrl-C.

This is what `./run` starts. The parts are the ones production runs; only their supervisor is ours.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import embedded_redis, logins
from config.embedded_redis import EmbeddedRedisError
from config.http import ask
from config.instance import AlreadyRunning, only_instance
from config.listening import ListenError, base_url, is_loopback, listen
from config.management.commands.serve import port_number, until, worker_count
from config.supervisor import Program, ProgramFailed, Supervisor
from realtime.price_feed.sources import SourceError, open_sources

# Together within the 5 s that a stop may take.
WEB_GRACE, FEED_GRACE, REDIS_GRACE = 2.8, 1.2, 0.5
COLOURS = {"redis": 35, "setup": 36, "feed": 33, "web": 32}


@dataclass(frozen=True)
class Plan:
    """What was asked for, checked; nothing has been started yet."""

    listener: socket.socket
    redis: embedded_redis.RedisServer | None
    sources: tuple[str, ...]
    workers: int
    open_browser: bool


class Command(BaseCommand):
    help = "Runs everything on this machine: Redis, demo data, the price feed and the web server."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument(
            "--port", type=port_number, default=8000, help="port (default: %(default)s; 0: any free)"
        )
        parser.add_argument(
            "--source", action="append", dest="sources", metavar="NAME",
            help="where prices come from; may be given several times (default: PRICE_FEED_SOURCES)",
        )  # fmt: skip
        parser.add_argument("--workers", type=worker_count, help="web processes (default: WEB_CONCURRENCY)")
        parser.add_argument(
            "--reset", action="store_true", help="forget the demo's database first, without asking"
        )
        parser.add_argument("--open", action="store_true", help="open the dashboard in a browser")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.SETTINGS_MODULE != "config.settings.demo":
            raise CommandError("rundemo runs with config.settings.demo only; see README.md for production")
        state_dir = settings.STATE_DIR.resolve()
        sources = checked_sources(options["sources"] or settings.PRICE_FEED_SOURCES)
        note = f"process {os.getpid()}, asked for {options['host']} port {options['port']}"
        try:
            with only_instance(state_dir / "run.lock", note):
                plan = Plan(
                    listener=listen(options["host"], options["port"]),
                    redis=find_redis(state_dir),
                    sources=sources,
                    workers=options["workers"] or settings.WEB_CONCURRENCY,
                    open_browser=options["open"],
                )
                if options["reset"]:
                    reset(state_dir)
                asyncio.run(Demo(plan, state_dir).run())
        except AlreadyRunning as error:
            raise CommandError(
                f"Livefolio runs already in {state_dir} ({error}); stop it first, or set STATE_DIR to another folder"
            ) from error
        except (ListenError, EmbeddedRedisError, ProgramFailed) as error:
            raise CommandError(str(error)) from error


class Demo:
    """The running system: which programs it is made of, and what it tells the person who started it."""

    def __init__(self, plan: Plan, state_dir: Path) -> None:
        self._plan = plan
        self._state_dir = state_dir
        self._url = base_url(plan.listener)
        self._environment = self._child_environment()

    async def run(self) -> None:
        """Runs until SIGTERM, SIGINT or SIGHUP.

        Raises:
            ProgramFailed: A part could not be started, or failed too often.
        """
        stop = asyncio.Event()
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(sign, stop.set)
        supervisor = Supervisor(say=say, echo=echo, changed=self._write_pids)
        try:
            await until(stop, self._start(supervisor))
            if not stop.is_set():
                self._welcome()
                if self._plan.open_browser:
                    await open_browser(f"{self._url}/realtime/dashboard/")
                await until(stop, supervisor.failure())
        finally:
            self._plan.listener.close()
            say("stopping")
            await supervisor.stop()
            if self._plan.redis is not None:
                embedded_redis.release_socket(self._state_dir)
            self._pids_file.unlink(missing_ok=True)

    async def _start(self, supervisor: Supervisor) -> None:
        if self._plan.redis is None:
            say("using the Redis that REDIS_URL names")
        else:
            version = ".".join(map(str, self._plan.redis.version))
            say(f"starting Redis {version} ({self._plan.redis.binary}), in memory only")
            await supervisor.start(self._redis(self._plan.redis))
        await supervisor.run_once(self._manage("setup", "seed_demo"))
        await supervisor.start(self._feed(), self._web())

    def _redis(self, server: embedded_redis.RedisServer) -> Program:
        path = embedded_redis.claim_socket(self._state_dir)

        async def is_ready() -> bool:
            return embedded_redis.answers(path)

        command = embedded_redis.command(server, path)
        return Program(
            "redis", command, os.environ, is_ready, ready_within=5, grace=REDIS_GRACE, is_quiet=True
        )

    def _feed(self) -> Program:
        async def is_ready() -> bool:
            answer = await self._readyz()
            return answer is not None and set(self._plan.sources) <= set(json.loads(answer[1])["feeds"])

        flags = [flag for source in self._plan.sources for flag in ("--source", source)]
        return self._manage("feed", "start_price_feed", *flags, is_ready=is_ready, grace=FEED_GRACE)

    def _web(self) -> Program:
        async def is_ready() -> bool:
            answer = await self._readyz()
            return answer is not None and answer[0] == 200

        fd = self._plan.listener.fileno()
        flags = ("--fd", str(fd), "--workers", str(self._plan.workers), "--drain", "1.8")
        return self._manage("web", "serve", *flags, is_ready=is_ready, grace=WEB_GRACE, pass_fds=(fd,))

    async def _readyz(self) -> tuple[int, bytes] | None:
        hosts = self._environment["ALLOWED_HOSTS"].replace(",", " ").split()
        answer = await ask(f"{self._url}/readyz", hosts)
        return answer if answer and answer[0] in (200, 503) else None

    def _manage(self, name: str, *words: str, **options: Any) -> Program:
        argv = [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]
        return Program(name, argv, self._environment, **options)

    def _child_environment(self) -> dict[str, str]:
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "STATE_DIR": str(self._state_dir),
            "REDIS_URL": settings.REDIS_URL,
            # The seed must know: it makes up no past for what a real source prices.
            "PRICE_FEED_SOURCES": ",".join(self._plan.sources),
        }
        if is_loopback(self._plan.listener):
            environment["ALLOWED_HOSTS"] = ",".join(settings.ALLOWED_HOSTS)
        else:
            environment["DEMO_LOGIN"] = "false"
            environment.setdefault("ALLOWED_HOSTS", "*")
        return environment

    @property
    def _pids_file(self) -> Path:
        return self._state_dir / "pids.json"

    def _write_pids(self, pids: Mapping[str, int]) -> None:
        """Says which process is which; who stops or watches one by hand need not guess."""
        draft = self._pids_file.with_suffix(".new")
        draft.write_text(json.dumps({"rundemo": os.getpid(), **pids, "url": self._url}))
        draft.replace(self._pids_file)

    def _welcome(self) -> None:
        rows = {
            "Dashboard": f"{self._url}/realtime/dashboard/",
            "Log in": "   ".join(
                f"{name} / {word}" for name, word in logins.current(self._state_dir).items()
            ),
            "Admin": f"{self._url}/admin/",
            "API docs": f"{self._url}/api/docs/",
            "Prices": ", ".join(self._plan.sources),
            "Stop": "Ctrl-C",
        }
        rule = "-" * 72
        lines = [f"  {label:<11}{value}" for label, value in rows.items()]
        say_plainly("\n".join(["", rule, "  Livefolio is running", "", *lines, rule, ""]))


async def open_browser(url: str) -> None:
    """Opens the page; without a desktop the choice would fall on a text browser that takes over the terminal."""
    if sys.platform != "darwin" and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
        say(f"--open: there is no desktop here; open {url} yourself")
        return
    await asyncio.to_thread(webbrowser.open, url)


def checked_sources(names: list[str]) -> tuple[str, ...]:
    """Returns the sources by the names that the feed will report, of which at least one can be had."""
    try:
        return tuple(source.name for source in open_sources(names))
    except SourceError as error:
        raise CommandError(f"--source: {error}") from error


def find_redis(state_dir: Path) -> embedded_redis.RedisServer | None:
    """Returns the server to embed, or None when REDIS_URL names one that runs elsewhere."""
    if settings.REDIS_URL != embedded_redis.url(state_dir):
        return None
    return embedded_redis.find_server()


def reset(state_dir: Path) -> None:
    """Removes what a demo left behind; a database elsewhere belongs to somebody and is refused."""
    database = state_dir / "db.sqlite3"
    if settings.DATABASE_URL != f"sqlite:///{settings.STATE_DIR / 'db.sqlite3'}":
        raise CommandError("--reset forgets only the demo's own database, but DATABASE_URL names another")
    for leftover in (database, *state_dir.glob("db.sqlite3-*"), state_dir / "logins.json"):
        leftover.unlink(missing_ok=True)


def say(text: str) -> None:
    say_plainly(f"livefolio | {text}")


def echo(name: str, line: str) -> None:
    prefix = f"{name:<9} |"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        prefix = f"\033[{COLOURS[name]}m{prefix}\033[0m"
    say_plainly(f"{prefix} {line}")


def say_plainly(text: str) -> None:
    encoding = sys.stdout.encoding or "ascii"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:  # nobody reads any more (`./run | head`); the system runs on
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
