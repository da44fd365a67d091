"""What every vendor on loopback stands on: a socket, its clients, a market that goes on without them, and faults.

A vendor's own server says what it sends (`arrived`, `asked`, `happens`), what it answers over HTTP (`answer`), and
adds its own faults; whatever goes wrong in the same way with all of them is here. `python -m tests.vendors VENDOR`
runs it if its module offers `add_options(parser)` and `server_of(options)`.
"""

import argparse
import asyncio
import http
import json
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

Frame = str | bytes

QUEUED_FRAMES = 100_000
LARGEST_REQUEST_BYTES = 2**20
LOOP_PAUSE_SECONDS = 1.0
# A market that is played as fast as its readers read lets them read after so many frames.
FRAMES_WITHOUT_PAUSE = 50

# What goes wrong with any vendor: `kind`, `kind:number`, `kind:number:number`.
FAULTS: dict[str, str] = {
    "disconnect:NUMBER": "the first connection is cut, without a close frame, after so many frames",
    "close:CODE[:NUMBER]": "the first connection is closed with this code after so many frames",
    "mute:NUMBER": "the first connection hears nothing more after so many frames",
    "silent": "every connection is accepted and hears nothing at all",
    "garbage:NUMBER": "each NUMBERth frame is preceded by one that is of no use",
    "slow:NUMBER": "no connection gets more than so many frames a second",
    "refuse-auth": "every credential is refused, in the vendor's own words",
    "http:STATUS[:SECONDS]": "every HTTP request is answered so, 429 and 503 with Retry-After (1)",
    "drop-older": "one connection only: a new one ends the one before",
    "refuse-newer": "one connection only: a new one is sent away",
}
FIRST_ONLY = {"disconnect", "close", "mute"}
# One of each kind that a client of any vendor must survive; a vendor's server adds those of its own shapes.
GARBAGE: tuple[Frame, ...] = (
    "<html>502 Bad Gateway</html>",
    '{"half":',
    "null",
    "",
    "[" * 5000,
    b"\xff\xfe\x00binary",
    b"",
)


class Fault:
    """What goes wrong, as text; its kinds are those of `FAULTS` and of the vendor.

    Raises:
        ValueError: no such kind, or not a number where one is expected.
    """

    def __init__(self, text: str = "", more: Mapping[str, str] | None = None) -> None:
        usages = {usage.partition(":")[0]: usage for usage in (*FAULTS, *(more or {}))}
        self.kind, _, rest = text.partition(":")
        if text and self.kind not in usages:
            raise ValueError(f"expected a fault of {', '.join(usages)}, was {text!r}")
        numbers = rest.split(":") if rest else []
        wanted = usages.get(self.kind, "").partition(":")[2]
        least = wanted.partition("[")[0].count(":") + 1 if wanted else 0
        if not least <= len(numbers) <= wanted.count(":") + bool(wanted) or not all(
            number.isascii() and number.isdigit() for number in numbers
        ):
            raise ValueError(f"expected {usages[self.kind]}, was {text!r}")
        self.number = int(numbers[0]) if numbers else 0
        self.second = int(numbers[1]) if len(numbers) > 1 else None
        if self.kind == "http" and self.number not in {*http.HTTPStatus}:
            raise ValueError(f"expected an HTTP status, was {text!r}")


class Client:
    """One connection. A vendor may put what it knows of it (a key, the subscriptions) into a class of its own."""

    def __init__(self, socket: ServerConnection, fault: Fault, garbage: Sequence[Frame]) -> None:
        self.socket = socket
        self.fault = fault
        self.requests: list[Any] = []
        self.sent = 0
        self._garbage = garbage
        self._outgoing: asyncio.Queue[Frame] = asyncio.Queue(QUEUED_FRAMES)

    @property
    def path(self) -> str:
        """What it asked for, with its query."""
        assert self.socket.request is not None
        return self.socket.request.path

    @property
    def headers(self) -> Headers:
        assert self.socket.request is not None
        return self.socket.request.headers

    @property
    def is_open(self) -> bool:
        return self.socket.state is State.OPEN

    def put(self, frame: Frame) -> None:
        """Sends text as a text frame and bytes as a binary one, after all that was put before."""
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            self.cut()

    def cut(self) -> None:
        """Ends it as a lost network does."""
        self.socket.transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """Sends what was put, as far as it can be sent at once, and a close frame."""
        while not self._outgoing.empty() and self.fault.kind not in {"silent", "mute", "slow"}:
            await self.socket.send(self._outgoing.get_nowait())
        await self.socket.close(code, reason)

    async def send_all(self) -> None:
        while True:
            frame = await self._outgoing.get()
            if await self._goes_wrong():
                continue
            await self.socket.send(frame)
            self.sent += 1

    async def _goes_wrong(self) -> bool:
        """Does what the fault says before a frame; returns whether the frame is swallowed."""
        fault = self.fault
        match fault.kind:
            case "silent":
                return True
            case "mute":
                return self.sent >= fault.number
            case "disconnect" if self.sent >= fault.number:
                self.cut()
                return True
            case "close" if self.sent >= (fault.second or 0):
                await self.socket.close(fault.number, "as asked for")
                return True
            case "slow":
                await asyncio.sleep(1 / max(1, fault.number))
            case "garbage" if self.sent % max(1, fault.number) == 0:
                await self.socket.send(self._garbage[self.sent // max(1, fault.number) % len(self._garbage)])
        return False


C = TypeVar("C", bound=Client)


class VendorServer(Generic[C]):
    """A vendor on loopback; an async context manager.

    Args:
        port: 0: any free one.
        fault: what goes wrong; see FAULTS and the vendor's own.
        script: what the market does, as (seconds, anything); `happens` is told each in its time.
        speed: 2 plays twice as fast; infinity as fast as the clients read.
        loop: begin again at the end, and say so by closing all connections.
        sessions: frames for the first connection that is let in, for the second ...; the last one for all others too.
        let_in_seconds: who is not let in by then is left; None: whenever.

    Attributes:
        requests: what clients sent, parsed; `received`: the same as it came, text or bytes.
        conversations: the requests of each connection that was let through the handshake, in their order.
        http_requests: what was asked for without a WebSocket: path and query.
        connections: how many WebSockets were asked for, whether or not they were let in.
        most_open: how many were open at once at most.
        finished: the script is at its end.
    """

    # What else may go wrong here, and what is of no use to a client of this vendor.
    faults: ClassVar[Mapping[str, str]] = {}
    garbage: ClassVar[Sequence[Frame]] = GARBAGE

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        fault: str = "",
        script: Sequence[tuple[float, Any]] = (),
        speed: float = 1.0,
        loop: bool = False,
        sessions: Sequence[Sequence[Frame]] = (),
        let_in_seconds: float | None = None,
    ) -> None:
        self.host, self.port = host, port
        self.fault = Fault(fault, self.faults)
        self.requests: list[Any] = []
        self.received: list[Frame] = []
        self.conversations: list[list[Any]] = []
        self.http_requests: list[str] = []
        self.connections = 0
        self.most_open = 0
        self.finished = asyncio.Event()
        self.clients: dict[ServerConnection, C] = {}
        self._script = script
        self._speed = speed
        self._loop = loop
        self._sessions = [list(session) for session in sessions]
        self._let_in_seconds = let_in_seconds
        self._begun = asyncio.Event()
        self._let_in: set[ServerConnection] = set()
        self._changed = asyncio.Event()
        self._server: Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # -- what a vendor's own server says

    def new_client(self, socket: ServerConnection, fault: Fault) -> C:
        return cast(C, Client(socket, fault, self.garbage))

    def parsed(self, frame: Frame) -> Any:
        """Reads a client's frame; raises ValueError, TypeError or KeyError for one that means nothing."""
        return json.loads(frame)

    async def arrived(self, client: C) -> None:
        """A connection is open: the place for a greeting."""

    async def asked(self, client: C, request: Any) -> None:
        """A client sent this. Whoever may have data now is let in by `let_in`."""

    async def not_understood(self, client: C, frame: Frame) -> None:
        """A client sent what cannot be parsed."""

    def happens(self, event: Any) -> None:
        """The market does what the script says; the base sends a frame to all who are let in."""
        for client in self.clients.values():
            if self.is_let_in(client):
                client.put(event)

    def begins(self) -> None:
        """The market begins, for the first time or again."""

    def answer(self, request: Request) -> Response | None:
        """Answers an HTTP request (`reply`, `redirect`); None: it may become a WebSocket, or there is no such page.

        The library reads no HTTP body, so only GET can be asked for.
        """
        return None

    def account_of(self, client: C) -> str:
        """Connections of one account share the allowance of `drop-older` and `refuse-newer`."""
        return ""

    async def one_too_many(self, client: C) -> None:
        """Ends a connection for which there is no room."""
        await client.close(1008, "one connection too many")

    # -- the server

    @property
    def url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    @property
    def http_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def open_connections(self) -> int:
        return sum(client.is_open for client in self.clients.values())

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            self.host,
            self.port,
            process_request=self._handshake,
            max_size=LARGEST_REQUEST_BYTES,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self._tasks = [asyncio.create_task(self._play()), *map(asyncio.create_task, self.jobs())]
        return self

    def jobs(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What goes on beside the market for as long as the server lives, such as heartbeats."""
        return ()

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._server is not None:
            self.disconnect_all()
            self._server.close()
            await self._server.wait_closed()

    async def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Waits for what connections and requests make true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def disconnect_all(self) -> None:
        """Cuts every connection, as a lost network does."""
        for client in self.clients.values():
            client.cut()

    # -- the market

    def let_in(self, client: C) -> None:
        """Lets a client have data: its session if there is one, and the market, which begins with the first one."""
        if not self.is_let_in(client):
            self._let_in.add(client.socket)
            if self._sessions:
                for frame in self._sessions.pop(0) if len(self._sessions) > 1 else self._sessions[0]:
                    client.put(frame)
        self._begun.set()

    def is_let_in(self, client: C) -> bool:
        return client.socket in self._let_in

    async def _play(self) -> None:
        while True:
            self.begins()
            await self._begun.wait()
            await self._play_once()
            self.finished.set()
            if not self._loop:
                return
            await asyncio.sleep(LOOP_PAUSE_SECONDS)
            self._begun.clear()
            for client in list(self.clients.values()):
                await client.socket.close(1012, "the market begins again")

    async def _play_once(self) -> None:
        begun = time.monotonic()
        for index, (seconds, event) in enumerate(self._script):
            if math.isfinite(self._speed):
                due = begun + (seconds - self._script[0][0]) / self._speed
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            elif index % FRAMES_WITHOUT_PAUSE == 0:
                await asyncio.sleep(0)
            self.happens(event)

    # -- a connection

    def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        is_socket = "upgrade" in request.headers.get("Connection", "").lower()
        if is_socket:
            self.connections += 1
        else:
            self.http_requests.append(request.path)
        self._changed.set()
        if self.fault.kind == "http":
            status = self.fault.number
            wait = 1 if self.fault.second is None else self.fault.second
            return reply(status, "not now\n", {"Retry-After": str(wait)} if status in {429, 503} else {})
        response = self.answer(request)
        return reply(404, "no such page\n") if response is None and not is_socket else response

    async def _serve(self, socket: ServerConnection) -> None:
        first_only = self.fault.kind in FIRST_ONLY and self.connections > 1
        client = self.new_client(socket, Fault() if first_only else self.fault)
        others = [one for one in self.clients.values() if one.is_open]
        self.clients[socket] = client
        self.most_open = max(self.most_open, self.open_connections)
        self.conversations.append(client.requests)
        self._changed.set()
        sender = asyncio.create_task(client.send_all())
        try:
            with suppress(ConnectionClosed):
                if await self._has_room(client, others):
                    await self.arrived(client)
                    await self._listen(client)
        finally:
            self.clients.pop(socket, None)
            self._let_in.discard(socket)
            self._changed.set()
            sender.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await sender

    async def _has_room(self, client: C, others: Sequence[C]) -> bool:
        rivals = [one for one in others if self.account_of(one) == self.account_of(client)]
        if self.fault.kind == "refuse-newer" and rivals:
            await self.one_too_many(client)
            return False
        if self.fault.kind == "drop-older":
            for rival in rivals:
                with suppress(ConnectionClosed):
                    await self.one_too_many(rival)
        return True

    async def _listen(self, client: C) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._let_in_seconds):
                while not self.is_let_in(client):
                    await self._read(client, await client.socket.recv())
            while True:
                await self._read(client, await client.socket.recv())

    async def _read(self, client: C, frame: Frame) -> None:
        self.received.append(frame)
        try:
            request = self.parsed(frame)
        except (ValueError, TypeError, KeyError):
            await self.not_understood(client, frame)
            return
        self.requests.append(request)
        client.requests.append(request)
        self._changed.set()
        await self.asked(client, request)


# -- answers over HTTP


def reply(status: int, body: object = "", headers: Mapping[str, str] | None = None) -> Response:
    """An HTTP answer: text as it is, anything else as JSON."""
    is_text = isinstance(body, str)
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    sent = Headers(
        {
            "Content-Type": "text/plain; charset=utf-8" if is_text else "application/json",
            "Content-Length": str(len(content)),
            "Connection": "close",
            **(headers or {}),
        }
    )
    return Response(status, http.HTTPStatus(status).phrase, sent, content)


def redirect(url: str) -> Response:
    return reply(302, "", {"Location": url})


# -- the command line


def add_server_options(parser: argparse.ArgumentParser, server: type[VendorServer[Any]]) -> None:
    """Adds what every vendor's server takes, and explains its faults below."""
    faults = {**FAULTS, **server.faults}
    width = max(map(len, faults))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "faults:\n" + "\n".join(f"  {usage:<{width}}  {what}" for usage, what in faults.items())
    parser.add_argument("--port", type=int, default=0, help="0: any free one; it is printed")
    parser.add_argument("--fault", default="", metavar="KIND[:NUMBER]", help="what goes wrong; see below")
    parser.add_argument("--recording", type=Path, help="what to play; made-up frames when left out")
    parser.add_argument("--speed", type=_speed, default=1.0, help="2: twice as fast; inf: at once")
    parser.add_argument("--loop", action="store_true", help="begin again at the end")


def server_options(options: argparse.Namespace) -> dict[str, Any]:
    """Returns what those options are to a server's constructor, all but the recording."""
    return {name: getattr(options, name) for name in ("port", "fault", "speed", "loop")}


def _speed(text: str) -> float:
    speed = float(text)
    if not speed > 0 or math.isnan(speed):
        raise argparse.ArgumentTypeError(f"expected a speed above 0, was {text}")
    return speed
