"""Starts the web server: uvicorn on a listening socket of our own, one process or several.

uvicorn's own supervisor is not used: its workers outlive a killed parent and start again without back-off.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from uvicorn import Config, Server

from config.http import status_of
from config.listening import ListenError, adopt, base_url, listen
from config.supervisor import Program, ProgramFailed, Supervisor
from config.websocket import FramesProtocol
from realtime.price_feed.notify import notify


class DrainingServer(Server):
    """Lets the application say goodbye to its sockets before uvicorn closes them all at once with 1012."""

    def __init__(self, config: Config, drain: float) -> None:
        super().__init__(config)
        self._drain = drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1")
        started = time.monotonic()
        for server in self.servers:
            server.close()
        await self._drain_application()
        left = self._drain - (time.monotonic() - started)
        self.config.timeout_graceful_shutdown = max(1, int(left))
        await super().shutdown(sockets)
        self._captured_signals.clear()  # a clean stop ends with status 0, not by the signal that asked for it

    async def _drain_application(self) -> None:
        from realtime.hub import drain_all

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain):
                await drain_all(self._drain / 2)  # it waits a second more for the last ones


def server(drain: float) -> DrainingServer:
    """Returns a server that has all the protections of the product and waits to be given its sockets."""
    return DrainingServer(
        Config(
            "config.asgi:application",
            loop="uvloop",
            http="httptools",
            ws=FramesProtocol,
            ws_max_size=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
            ws_ping_interval=20,
            ws_ping_timeout=20,
            # Compressing small frames costs more than it saves, and a bomb is one frame away.
            ws_per_message_deflate=False,
            proxy_headers=True,
            forwarded_allow_ips=settings.FORWARDED_ALLOW_IPS,
            access_log=False,
            server_header=False,
            log_config=None,  # Django has set logging up
        ),
        drain,
    )


class Command(BaseCommand):
    help = "Serves the pages, the REST API and the WebSocket."
    requires_system_checks: list[str] = []  # a worker that starts again should do so fast

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument(
            "--port", type=port_number, default=8000, help="port to listen on (default: %(default)s)"
        )
        parser.add_argument(
            "--fd", type=int, help="listen on this open descriptor instead (socket activation: 3)"
        )
        parser.add_argument("--workers", type=worker_count, help="processes (default: WEB_CONCURRENCY)")
        parser.add_argument(
            "--drain",
            type=seconds,
            default=4.0,
            help="seconds for open connections at a stop (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            listener = (
                listen(options["host"], options["port"]) if options["fd"] is None else adopt(options["fd"])
            )
        except ListenError as error:
            raise CommandError(str(error)) from error
        workers = options["workers"] or settings.WEB_CONCURRENCY
        if workers == 1:
            server(options["drain"]).run(sockets=[listener])
            return
        try:
            asyncio.run(serve_with_workers(listener, workers, options["drain"]))
        except ProgramFailed as error:
            raise CommandError(str(error)) from error


async def serve_with_workers(listener: socket.socket, workers: int, drain: float) -> None:
    """Runs `workers` processes that share the listening socket, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    supervisor = Supervisor(say=lambda text: print(text, file=sys.stderr, flush=True))
    try:
        await until(
            stop, supervisor.start(*(_worker(number, listener, drain) for number in range(1, workers + 1)))
        )
        notify("READY=1")
        await until(stop, supervisor.failure())
    finally:
        notify("STOPPING=1")
        await supervisor.stop()


async def until(stop: asyncio.Event, work: Any) -> None:
    """Awaits `work`, but no longer than until `stop` is set."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        task.result()
    else:
        task.cancel()


def _worker(number: int, listener: socket.socket, drain: float) -> Program:
    fd = listener.fileno()
    argv = [sys.executable, str(settings.BASE_DIR / "manage.py"), "serve", "--workers", "1"]

    async def is_ready() -> bool:
        return await status_of(f"{base_url(listener)}/healthz") is not None

    return Program(
        name=f"web {number}",
        argv=[*argv, "--fd", str(fd), "--drain", str(drain)],
        environment={key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"},
        is_ready=is_ready,
        grace=drain + 1,
        pass_fds=(fd,),
    )


def port_number(text: str) -> int:
    if not (text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, was {text!r}")
    return int(text)


def worker_count(text: str) -> int:
    if not (text.isdigit() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError(f"expected a number of processes from 1 to 64, was {text!r}")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 600:
        raise argparse.ArgumentTypeError(f"expected seconds from above 0 to 600, was {text!r}")
    return value
