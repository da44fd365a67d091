"""A small Coinbase Exchange on loopback: the real protocol, fed with recorded frames.

There is one market for all connections: it begins at the first subscribe and goes on while a client is away. Who
comes late gets the whole book as it is by then, as from the real one. With `loop` the market begins again when
its frames are at their end, and says so by closing all connections. Of a session order by order (`orders`) it also
serves the channels `full` and `user`, and over HTTP on the same port the orders as they are by then.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.vendors.frames import NaiveBook, made_up, read_frames
from tests.vendors.orders import KINDS, NaiveOrders, for_others, made_up_orders
from tests.vendors.server import (
    Client,
    Fault,
    Frame,
    VendorServer,
    add_server_options,
    reply,
    server_options,
)

SUBSCRIBE_SECONDS = 5.0
CLOCK_SKEW_SECONDS = 30.0

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


class _Product:
    """What the market knows of one product, so that a late subscriber can be told."""

    def __init__(self, snapshot: str | None, orders: dict[str, Any] | None) -> None:
        self.orders: NaiveOrders | None = None
        if orders is not None:
            self.orders = NaiveOrders()
            self.orders.load(orders)
        self.book = NaiveBook()
        self.snapshot = snapshot
        if snapshot is not None:
            self.book.apply(json.loads(snapshot))
        self.ticker: str | None = None
        self.match: dict[str, Any] | None = None
        self.sequence = 0

    def take(self, message: dict[str, Any], frame: str) -> None:
        self.sequence = message.get("sequence", self.sequence)
        if self.orders is not None and message["type"] in KINDS:
            self.orders.apply(message)
        match message["type"]:
            case "ticker":
                self.ticker = frame
            case "match" | "last_match":
                self.match = for_others(message)
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


class ExchangeClient(Client):
    """One connection and what it subscribed to."""

    def __init__(self, socket: ServerConnection, fault: Fault) -> None:
        super().__init__(socket, fault, GARBAGE)
        self.channels: dict[str, set[str]] = {}

    def follows(self, channel: str, product: str) -> bool:
        return product in self.channels.get(channel, ())

    def wants(self, kind: str, product: str) -> bool:
        return any(self.follows(channel, product) for channel in CHANNELS_OF.get(kind, ()))


class CoinbaseExchange(VendorServer[ExchangeClient]):
    """The server.

    Args:
        frames: (arrival seconds, frame), as of a recording.
        credentials: key, secret (base64) and passphrase of the one account.
        subscribe_seconds: who has not subscribed by then is left.
        options: those of every vendor's server.
    """

    faults = {
        "gap:NUMBER": "the NUMBERth trade of the market is left out",
        "lose:NUMBER": "the NUMBERth message of the channel full is left out",
        "stale-book:NUMBER": "the first so many answers with orders hold those of the session's beginning",
        "no-book:NUMBER": "the first so many requests for orders are answered with 503",
    }

    def __init__(
        self,
        frames: Sequence[tuple[float, str]],
        *,
        credentials: Credentials | None = None,
        subscribe_seconds: float = SUBSCRIBE_SECONDS,
        heartbeat_seconds: float = 1.0,
        **options: Any,
    ) -> None:
        self._credentials = credentials
        self._heartbeat_seconds = heartbeat_seconds
        self._matches = self._order_messages = 0
        self._books_asked = 0
        self._first_orders: dict[str, dict[str, Any]] = {}
        self._firsts: dict[str, str | None] = {}
        super().__init__(script=self._sorted(frames), let_in_seconds=subscribe_seconds, **options)
        self._products: dict[str, _Product] = {}
        self.begins()

    @property
    def products(self) -> tuple[str, ...]:
        return tuple(self._products)

    def new_client(self, socket: ServerConnection, fault: Fault) -> ExchangeClient:
        return ExchangeClient(socket, fault)

    # -- the market

    def _sorted(self, frames: Sequence[tuple[float, str]]) -> list[tuple[float, Any]]:
        """Keeps the first snapshot of each product for its subscribers, and returns the rest."""
        script: list[tuple[float, Any]] = []
        for seconds, frame in frames:
            message = json.loads(frame)
            product = message.get("product_id")
            if message["type"] == "orders":
                self._first_orders.setdefault(product, message["book"])
                self._firsts.setdefault(product, None)
            elif message["type"] == "snapshot" and self._firsts.get(product) is None:
                self._firsts[product] = frame
            elif product is not None:
                self._firsts.setdefault(product, None)
                script.append((seconds, (message, frame)))
        return script

    def begins(self) -> None:
        self._products = {
            product: _Product(snapshot, self._first_orders.get(product))
            for product, snapshot in self._firsts.items()
        }
        self._matches = self._order_messages = 0

    def happens(self, event: tuple[dict[str, Any], str]) -> None:
        message, frame = event
        product = message["product_id"]
        self._products[product].take(message, frame)
        is_match = message["type"] == "match"
        self._matches += is_match
        if self.fault.kind == "gap" and is_match and self._matches == self.fault.number:
            return
        public = _json(for_others(message)) if "user_id" in message else frame
        for client in self.clients.values():
            if client.wants(message["type"], product):
                client.put(public)
        if message["type"] in KINDS or message["type"] == "activate":
            self._tell_of_orders(message, frame)

    def _tell_of_orders(self, message: dict[str, Any], frame: str) -> None:
        """An own order's message comes on each of both channels; the real one promises neither one nor two."""
        self._order_messages += message["type"] in KINDS
        is_lost = self.fault.kind == "lose" and self._order_messages == self.fault.number
        for client in self.clients.values():
            if message["type"] in KINDS and client.follows("full", message["product_id"]) and not is_lost:
                client.put(frame)
            if "user_id" in message and client.follows("user", message["product_id"]):
                client.put(frame)

    def answer(self, request: Request) -> Response | None:
        """Answers /products/ABC-USD/book?level=3"""
        parts = urlsplit(request.path)
        match parts.path.strip("/").split("/"):
            case ["products", product, "book"] if parse_qs(parts.query).get("level") == ["3"]:
                return self._orders_of(product)
        return None

    def _orders_of(self, product: str) -> Response:
        known = self._products.get(product)
        if known is None or known.orders is None:
            return reply(404, '{"message":"NotFound"}')
        self._books_asked += 1
        is_early = self._books_asked <= self.fault.number
        if self.fault.kind == "no-book" and is_early:
            return reply(503, '{"message":"not now"}')
        book = known.orders.listed()
        if self.fault.kind == "stale-book" and is_early:
            book = self._first_orders[product]
        return reply(200, _json({**book, "auction_mode": False, "auction": None}))

    def jobs(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._beat(),)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            for client in self.clients.values():
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

    def parsed(self, frame: Frame) -> Any:
        request = json.loads(frame)
        request["type"]  # KeyError, TypeError: not a request
        return request

    async def not_understood(self, client: ExchangeClient, frame: Frame) -> None:
        client.put(_error("Malformed JSON", ""))

    async def asked(self, client: ExchangeClient, request: Any) -> None:
        kind = request["type"]
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
        if self.fault.kind == "refuse-auth":
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

    def _subscribe(self, client: ExchangeClient, wanted: dict[str, set[str]]) -> None:
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
        self.let_in(client)

    def _unsubscribe(self, client: ExchangeClient, wanted: dict[str, set[str]]) -> None:
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


def _subscriptions(client: ExchangeClient) -> str:
    channels = [
        {"name": name, "product_ids": sorted(products), "account_ids": None}
        for name, products in client.channels.items()
    ]
    return _json({"type": "subscriptions", "channels": channels})


def _error(message: str, reason: str) -> str:
    return _json({"type": "error", "message": message, **({"reason": reason} if reason else {})})


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def add_options(parser: argparse.ArgumentParser) -> None:
    add_server_options(parser, CoinbaseExchange)
    parser.add_argument("--key", default="", help="accept an account with this API key")
    parser.add_argument("--secret", default="", help="its secret, base64")
    parser.add_argument("--passphrase", default="")
    parser.add_argument("--orders", action="store_true", help="a made-up session order by order")


def server_of(options: argparse.Namespace) -> CoinbaseExchange:
    account = (options.key, options.secret, options.passphrase)
    session = made_up_orders() if options.orders else made_up()
    return CoinbaseExchange(
        read_frames(options.recording) if options.recording else session,
        credentials=account if options.key else None,
        **server_options(options),
    )
