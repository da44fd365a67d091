"""A small Coinbase Exchange on loopback: the real protocol, fed with recorded frames.

There is one market for all connections: it begins at the first subscribe and goes on while a client is away. Who
comes late gets the whole book as it is by then, as from the real one. With `loop` the market begins again when
its frames are at their end, and says so by closing all connections.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.vendors.frames import NaiveBook

SUBSCRIBE_SECONDS = 5.0
CLOCK_SKEW_SECONDS = 30.0
QUEUED_FRAMES = 100_000

TICKERS = {"ticker", "ticker_batch", "ticker_1000"}
BOOKS = {"level2", "level2_batch", "level2_50"}
CHANNELS = TICKERS | BOOKS | {"matches", "heartbeat", "status", "full", "user"}
SIGNED_CHANNELS = {"level2", "level3", "full", "user"}
CHANNELS_OF = {
    "ticker": TICKERS,
    "match": {"matches"},
    "last_match": {"matches"},
    "snapshot": BOOKS,
    "l2update": BOOKS,
}
# One of each kind that a client must survive.
GARBAGE: tuple[str | bytes, ...] = (
    '{"type":"ticker","product_id":',
    "<html>502 Bad Gateway</html>",
    '{"type":"ticker","product_id":"ABC-USD","price":"N/A"}',
    '{"type":"ticker","product_id":"ABC-USD","price":"-1"}',
    '{"type":"ticker","product_id":"ABC-USD","price":"1e308"}',
    '{"type":"ticker","product_id":["ABC-USD"],"price":7}',
    '{"type":"l2update","product_id":"ABC-USD","changes":[["up","1","1"]]}',
    "[" * 5000,
    b"\xff\xfe\x00binary",
    '{"type":"auction","product_id":"ABC-USD"}',
)

Credentials = tuple[str, str, str]


class Fault:
    """What goes wrong: `kind` or `kind:number`.

    disconnect:N   the first connection is cut, without a close frame, after N frames
    mute:N         the first connection hears nothing more after N frames
    garbage:N      each N-th frame is preceded by one that is of no use
    gap:N          the N-th trade of the market is left out
    refuse-auth    every subscribe is refused for its signature
    http:STATUS    every handshake is answered so (429 with Retry-After: 1)
    """

    KINDS = ("disconnect", "mute", "garbage", "gap", "refuse-auth", "http")

    def __init__(self, text: str = "") -> None:
        self.kind, _, number = text.partition(":")
        if text and self.kind not in self.KINDS:
            raise ValueError(f"expected a fault of {', '.join(self.KINDS)}, was {text!r}")
        if number and not number.isdecimal():
            raise ValueError(f"expected {self.kind}:NUMBER, was {text!r}")
        self.number = int(number) if number else 0


class _Product:
    """What the market knows of one product, so that a late subscriber can be told."""

    def __init__(self, snapshot: str | None) -> None:
        self.book = NaiveBook()
        self.snapshot = snapshot
        if snapshot is not None:
            self.book.apply(json.loads(snapshot))
        self.ticker: str | None = None
        self.match: dict[str, Any] | None = None
        self.sequence = 0

    def take(self, message: dict[str, Any], frame: str) -> None:
        self.sequence = message.get("sequence", self.sequence)
        match message["type"]:
            case "ticker":
                self.ticker = frame
            case "match" | "last_match":
                self.match = message
            case "snapshot" | "l2update":
                self.book.apply(message)
                self.snapshot = None

    def opening(self, product: str, channels: set[str]) -> list[str]:
        """What a new subscriber of these channels is told first."""
        frames = []
        if channels & BOOKS:
            frames.append(self.snapshot or self._whole_book(product))
        if channels & TICKERS and self.ticker is not None:
            frames.append(self.ticker)
        if "matches" in channels and self.match is not None:
            frames.append(_json({**self.match, "type": "last_match"}))
        return frames

    def _whole_book(self, product: str) -> str:
        bids, asks = ([[str(p), str(q)] for p, q in self.book.levels(side)] for side in ("buy", "sell"))
        return _json({"type": "snapshot", "product_id": product, "asks": asks, "bids": bids})


class _Client:
    """One connection and what it subscribed to."""

    def __init__(self, socket: ServerConnection, fault: Fault) -> None:
        self.socket = socket
        self.fault = fault
        self.channels: dict[str, set[str]] = {}
        self.outgoing: asyncio.Queue[str | bytes] = asyncio.Queue(QUEUED_FRAMES)
        self.sent = 0

    def wants(self, kind: str, product: str) -> bool:
        return any(product in self.channels.get(channel, ()) for channel in CHANNELS_OF.get(kind, ()))

    def put(self, frame: str | bytes) -> None:
        try:
            self.outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            self.socket.transport.abort()  # ErrSlowConsume

    async def send_all(self) -> None:
        while True:
            frame = await self.outgoing.get()
            if self.fault.kind == "mute" and self.sent >= self.fault.number:
                continue
            if self.fault.kind == "disconnect" and self.sent >= self.fault.number:
                self.socket.transport.abort()
                return
            if self.fault.kind == "garbage" and self.sent % max(1, self.fault.number) == 0:
                await self.socket.send(GARBAGE[self.sent // max(1, self.fault.number) % len(GARBAGE)])
            await self.socket.send(frame)
            self.sent += 1


class CoinbaseExchange:
    """The server; an async context manager.

    Args:
        frames: (arrival seconds, frame), as of a recording.
        speed: 2 plays twice as fast; infinity as fast as the clients read.
        fault: what goes wrong.
        credentials: key, secret (base64) and passphrase of the one account.
    """

    def __init__(
        self,
        frames: Sequence[tuple[float, str]],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        loop: bool = False,
        fault: str = "",
        credentials: Credentials | None = None,
        subscribe_seconds: float = SUBSCRIBE_SECONDS,
        heartbeat_seconds: float = 1.0,
    ) -> None:
        self.host, self.port = host, port
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        # The market has no more frames.
        self.finished = asyncio.Event()
        self._frames = list(frames)
        self._speed = speed
        self._loop = loop
        self._fault = Fault(fault)
        self._credentials = credentials
        self._subscribe_seconds = subscribe_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._clients: set[_Client] = set()
        self._subscribed = asyncio.Event()
        self._server: Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._products: dict[str, _Product] = {}
        self._begin()

    @property
    def url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    @property
    def products(self) -> tuple[str, ...]:
        return tuple(self._products)

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve, self.host, self.port, process_request=self._handshake, max_size=2**20
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self._tasks = [asyncio.create_task(self._play()), asyncio.create_task(self._beat())]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._server is not None:
            for client in self._clients:
                client.socket.transport.abort()
            self._server.close()
            await self._server.wait_closed()

    def disconnect_all(self) -> None:
        """Cuts every connection, as a lost network does."""
        for client in self._clients:
            client.socket.transport.abort()

    # -- the market

    def _begin(self) -> None:
        messages = [(seconds, json.loads(frame), frame) for seconds, frame in self._frames]
        firsts: dict[str, str | None] = {}
        self._stream: list[tuple[float, dict[str, Any], str]] = []
        for seconds, message, frame in messages:
            product = message.get("product_id")
            if message["type"] == "snapshot" and firsts.get(product) is None:
                firsts[product] = frame
            elif product is not None:
                firsts.setdefault(product, None)
                self._stream.append((seconds, message, frame))
        self._products = {product: _Product(snapshot) for product, snapshot in firsts.items()}

    async def _play(self) -> None:
        while True:
            await self._subscribed.wait()
            await self._play_once()
            self.finished.set()
            if not self._loop:
                return
            await asyncio.sleep(1.0)
            self._subscribed.clear()
            self._begin()
            for client in list(self._clients):
                await client.socket.close(1012, "the market begins again")

    async def _play_once(self) -> None:
        begun = time.monotonic()
        matches = 0
        for index, (seconds, message, frame) in enumerate(self._stream):
            if math.isfinite(self._speed):
                due = begun + (seconds - self._stream[0][0]) / self._speed
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            elif index % 50 == 0:
                await asyncio.sleep(0)
            product = message["product_id"]
            self._products[product].take(message, frame)
            matches += message["type"] == "match"
            if self._fault.kind == "gap" and message["type"] == "match" and matches == self._fault.number:
                continue
            for client in self._clients:
                if client.wants(message["type"], product):
                    client.put(frame)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            for client in self._clients:
                for product in sorted(client.channels.get("heartbeat", ())):
                    client.put(self._heartbeat(product))

    def _heartbeat(self, product: str) -> str:
        known = self._products[product]
        return _json(
            {
                "type": "heartbeat",
                "sequence": known.sequence,
                "last_trade_id": known.match["trade_id"] if known.match else 0,
                "product_id": product,
                "time": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            }
        )

    # -- a connection

    def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._fault.kind != "http":
            return None
        self.connections += 1
        response = connection.respond(self._fault.number or 503, "not now\n")
        if self._fault.number == 429:
            response.headers["Retry-After"] = "1"
        return response

    async def _serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        first_only = self._fault.kind in {"disconnect", "mute"} and self.connections > 1
        client = _Client(socket, Fault() if first_only else self._fault)
        self._clients.add(client)
        sender = asyncio.create_task(client.send_all())
        try:
            with suppress(ConnectionClosed, TimeoutError):
                async with asyncio.timeout(self._subscribe_seconds):
                    while not client.channels:
                        self._read(client, await socket.recv())
                while True:
                    self._read(client, await socket.recv())
        finally:
            self._clients.discard(client)
            sender.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await sender

    def _read(self, client: _Client, frame: str | bytes) -> None:
        try:
            request = json.loads(frame)
            kind = request["type"]
        except (ValueError, TypeError, KeyError):
            client.put(_error("Malformed JSON", ""))
            return
        self.requests.append(request)
        if kind not in {"subscribe", "unsubscribe"}:
            client.put(_error("Type has to be either subscribe or unsubscribe", ""))
            return
        wanted = _channels(request)
        reason = self._refusal(request, wanted)
        if reason:
            client.put(_error(f"Failed to {kind}", reason))
        elif kind == "subscribe":
            self._subscribe(client, wanted)
        else:
            self._unsubscribe(client, wanted)

    def _refusal(self, request: dict[str, Any], wanted: dict[str, set[str]]) -> str:
        if self._fault.kind == "refuse-auth":
            return "Sorry, you could not be authenticated: Bad Request"
        if not wanted:
            return "No channels provided"
        for channel, products in wanted.items():
            if channel not in CHANNELS:
                return f"{channel} is not a valid channel"
            if not products and request["type"] == "subscribe":
                return f"You need to specify at least one product ID for channel {channel}"
            for product in sorted(products):
                if product not in self._products:
                    return f"{product} is not a valid product"
        if "signature" in request:
            return self._wrong_signature(request)
        if request["type"] == "subscribe" and SIGNED_CHANNELS & wanted.keys():
            return "authentication required for this channel"
        return ""

    def _wrong_signature(self, request: dict[str, Any]) -> str:
        if self._credentials is None:
            return "invalid api key"
        key, secret, passphrase = self._credentials
        if (request.get("key"), request.get("passphrase")) != (key, passphrase):
            return "invalid api key"
        timestamp = str(request.get("timestamp"))
        message = f"{timestamp}GET/users/self/verify".encode()
        digest = hmac.new(base64.b64decode(secret), message, hashlib.sha256).digest()
        if not hmac.compare_digest(base64.b64encode(digest).decode(), str(request["signature"])):
            return "invalid signature"
        if abs(float(timestamp) - time.time()) > CLOCK_SKEW_SECONDS:
            return "request timestamp expired"
        return ""

    def _subscribe(self, client: _Client, wanted: dict[str, set[str]]) -> None:
        new: dict[str, set[str]] = {}
        for channel, products in wanted.items():
            known = client.channels.setdefault(channel, set())
            for product in products - known:
                new.setdefault(product, set()).add(channel)
            known |= products
        client.put(_subscriptions(client))
        for product in self._products:
            if product in new:
                for frame in self._products[product].opening(product, new[product]):
                    client.put(frame)
        self._subscribed.set()

    def _unsubscribe(self, client: _Client, wanted: dict[str, set[str]]) -> None:
        for channel, products in wanted.items():
            left = client.channels.get(channel, set()) - products if products else set()
            client.channels[channel] = left
            if not left:
                del client.channels[channel]
        client.put(_subscriptions(client))


def _channels(request: dict[str, Any]) -> dict[str, set[str]]:
    roots = set(request.get("product_ids") or ())
    wanted: dict[str, set[str]] = {}
    for channel in request.get("channels") or ():
        name, products = (
            (channel, ()) if isinstance(channel, str) else (channel["name"], channel.get("product_ids", ()))
        )
        wanted.setdefault(name, set()).update(roots, products)
    return wanted


def _subscriptions(client: _Client) -> str:
    channels = [
        {"name": name, "product_ids": sorted(products), "account_ids": None}
        for name, products in client.channels.items()
    ]
    return _json({"type": "subscriptions", "channels": channels})


def _error(message: str, reason: str) -> str:
    return _json({"type": "error", "message": message, **({"reason": reason} if reason else {})})


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
