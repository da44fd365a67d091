"""Coinbase Exchange order by order: the channel `full`, summed up to a book of price levels.

The channel has no snapshot of its own: the orders come over REST, each with its sequence number, and what was queued
meanwhile is played after them. Sequence numbers are contiguous, so that a hole is seen, and ends a book until the next
snapshot. The feed does no I/O: it sends a `BookRequest`, and its wire brings the answer as one more frame.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from decimal import Context, Decimal
from urllib.parse import quote as quoted

import msgspec

from assets.market import Book, Conversions, Side, parse_decimal
from realtime.feeds.base import (
    MAX_FRAME_BYTES,
    Connection,
    Event,
    FeedError,
    Frame,
    Gap,
    Send,
    Wire,
)
from realtime.feeds.coinbase_messages import Change, Done, Match, Opened, OrderList, OrderMessage
from realtime.feeds.fetch import fetch

# A busy product's minute; a book that takes longer than that is better begun anew with its connection.
QUEUED_MESSAGES = 100_000
# Heartbeats, of which there is one a second: an answer comes within SNAPSHOT_SECONDS, or never.
PATIENCE_BEATS, PAUSE_LIMIT_BEATS = 60, 60
# Seventy thousand orders are some 5 MB, and every product's come one after the other.
SNAPSHOT_SECONDS = 30.0
# The documented public limit is ten a second.
REQUEST_INTERVAL_SECONDS = 0.125
# Frames that were read and not yet taken; the socket waits beyond.
INBOX_FRAMES = 64
# Sums of any sizes that can be are exact, whatever the context of the process.
_EXACT = Context(prec=200)
_ZERO = Decimal(0)


class BookRequest(str):
    """A frame for our own wire: the product whose orders are wanted."""


def _size(text: str) -> Decimal:
    size = parse_decimal(text)
    if size < 0:
        raise ValueError(f"expected a size of at least zero, was {text}")
    return size


def _price(text: str) -> str:
    """Returns the one text of a price: "100.00" and "100" are one level."""
    price = parse_decimal(text)
    if price <= 0:
        raise ValueError(f"expected a price above zero, was {text}")
    plain = f"{price:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


class FullBook:
    """One product's orders on one connection, and in `book` their sums at each price.

    `book` is None until the orders have come, and again after a hole.
    """

    __slots__ = (
        "_beats",
        "_failures",
        "_levels",
        "_orders",
        "_prices",
        "_queue",
        "_sizes",
        "book",
        "product",
        "sequence",
    )

    def __init__(self, product: str) -> None:
        self.product = product
        self.book: Book | None = None
        self.sequence = 0
        self._orders: dict[str, tuple[Side, str, Decimal]] = {}
        self._levels: dict[Side, dict[str, Decimal]] = {"buy": {}, "sell": {}}
        self._sizes, self._prices = Conversions(_size), Conversions(_price)
        # While there is no book: what is to be played after its orders, and heartbeats until those are asked for again.
        self._queue: list[OrderMessage] = []
        self._beats = 0
        # Books that failed or broke one after the other.
        self._failures = 0

    # -- the orders of REST

    def request(self) -> Send:
        self._beats = PATIENCE_BEATS
        return Send(BookRequest(self.product))

    def beat(self) -> list[Event]:
        """Takes a heartbeat, the clock by which orders that did not come are asked for again."""
        if self.book is not None:
            self._failures = 0
            return []
        self._beats -= 1
        return [self.request()] if self._beats <= 0 else []

    def refused(self) -> None:
        """The orders cannot be had now."""
        self._failures += 1
        self._beats = min(2**self._failures, PAUSE_LIMIT_BEATS)

    def load(self, listed: OrderList) -> list[Event]:
        """Takes all orders and plays what came since; orders from before the queue are of no use."""
        if self.book is not None:
            return []
        queue = [message for message in self._queue if message.sequence > listed.sequence]
        if queue and queue[0].user_id is None and queue[0].sequence > listed.sequence + 1:
            self.refused()
            return []
        self._fill(listed)
        self._queue = []
        events: list[Event] = []
        for message in queue:
            events += [event for event in self.take(message) if not isinstance(event, Book)]
        return [*events, self.book] if self.book is not None else events

    def _fill(self, listed: OrderList) -> None:
        orders: dict[str, tuple[Side, str, Decimal]] = {}
        levels: dict[Side, dict[str, Decimal]] = {"buy": {}, "sell": {}}
        sides: tuple[tuple[Side, list[tuple[str, str, str]]], ...] = (
            ("buy", listed.bids),
            ("sell", listed.asks),
        )
        for side, entries in sides:
            sums = levels[side]
            for price_text, size_text, order_id in entries:
                price, size = self._prices[price_text], self._sizes[size_text]
                orders[order_id] = (side, price, size)
                sums[price] = _EXACT.add(sums.get(price, _ZERO), size)
        book = Book(self.product)
        book.replace(*(_texts(levels[side]) for side in ("buy", "sell")))
        self._orders, self._levels, self.book, self.sequence = orders, levels, book, listed.sequence

    # -- what happens to them

    def take(self, message: OrderMessage) -> list[Event]:
        """Takes the next message of the product; one that was seen before says nothing."""
        book = self.book
        if book is None:
            return self._wait(message)
        expected = self.sequence + 1
        if message.sequence != expected:
            if message.sequence < expected or self.is_early(message):
                return []
            return self._missed(expected, message)
        changes = self._changes(message)
        self.sequence = expected
        return [book] if changes and book.change(changes) else []

    def is_early(self, message: OrderMessage) -> bool:
        """Whether it is our own order's copy on the channel `user`, which may be ahead of this one."""
        return message.user_id is not None and self.book is not None and message.sequence > self.sequence + 1

    def _wait(self, message: OrderMessage) -> list[Event]:
        if len(self._queue) >= QUEUED_MESSAGES:
            raise FeedError(f"the orders of {self.product} did not come in time")
        self._queue.append(message)
        return []

    def _missed(self, expected: int, message: OrderMessage) -> list[Event]:
        last = message.sequence - 1
        missed = f"message {last} was" if last == expected else f"messages {expected} to {last} were"
        self.book, self._queue = None, [message]
        self._orders, self._levels = {}, {"buy": {}, "sell": {}}
        gap = Gap(self.product, f"{missed} missed")
        self.refused()
        # The first time at once; a feed that loses again and again must not become one that asks again and again.
        return [gap] if self._failures > 1 else [gap, self.request()]

    def _changes(self, message: OrderMessage) -> list[tuple[Side, str, str]]:
        kind = type(message)
        if kind is Opened:
            return self._open(message)  # type: ignore[arg-type]
        if kind is Done:
            return self._resize(message.order_id, _ZERO)  # type: ignore[union-attr]
        if kind is Match:
            return self._match(message)  # type: ignore[arg-type]
        if kind is Change:
            return self._change(message)  # type: ignore[arg-type]
        return []  # received: it rests nowhere yet

    def _open(self, message: Opened) -> list[tuple[Side, str, str]]:
        price, size = self._prices[message.price], self._sizes[message.remaining_size]
        if message.order_id in self._orders or not size:
            return []
        self._orders[message.order_id] = (message.side, price, size)
        return [self._add(message.side, price, size)]

    def _match(self, message: Match) -> list[tuple[Side, str, str]]:
        size = self._sizes[message.size]
        order = self._orders.get(message.maker_order_id)
        return [] if order is None else self._resize(message.maker_order_id, max(order[2] - size, _ZERO))

    def _change(self, message: Change) -> list[tuple[Side, str, str]]:
        if message.new_size is None:
            return []
        size = self._sizes[message.new_size]
        order = self._orders.get(message.order_id)
        if order is None:
            return []
        side, price, _ = order
        new_price = self._prices[message.new_price] if message.new_price else price
        if new_price == price:
            return self._resize(message.order_id, size)
        changes = self._resize(message.order_id, _ZERO)
        if size:
            self._orders[message.order_id] = (side, new_price, size)
            changes.append(self._add(side, new_price, size))
        return changes

    def _resize(self, order_id: str, size: Decimal) -> list[tuple[Side, str, str]]:
        """Sets what is left of an order; one that is not in the book is nobody's business here."""
        order = self._orders.get(order_id)
        if order is None:
            return []
        side, price, before = order
        if size:
            self._orders[order_id] = (side, price, size)
        else:
            del self._orders[order_id]
        return [self._add(side, price, _EXACT.subtract(size, before))]

    def _add(self, side: Side, price: str, size: Decimal) -> tuple[Side, str, str]:
        sums = self._levels[side]
        total = sums[price] = _EXACT.add(sums.get(price, _ZERO), size)
        if not total:
            del sums[price]
        return side, price, str(total)


def _texts(sums: dict[str, Decimal]) -> list[tuple[str, str]]:
    return [(price, str(total)) for price, total in sums.items()]


# -- the wire ----------------------------------------------------------------------------------------------


class AskingWire:
    """A wire that also asks for the orders of products, and brings each answer as a frame of kind `orders`.

    Args:
        wire: what everything else comes over.
        url: of the REST interface.
        get: replaced by tests.
    """

    def __init__(
        self,
        wire: Wire,
        url: str,
        get: Callable[[str], Coroutine[None, None, bytes]] | None = None,
    ) -> None:
        self.wire = wire
        self._url = url.rstrip("/")
        self._get = get or _get

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connection]:
        async with self.wire.open() as connection:
            merged = _MergedConnection(connection, self._url, self._get)
            jobs = [asyncio.create_task(merged.read_all()), asyncio.create_task(merged.ask_all())]
            try:
                yield merged
            finally:
                await _cancelled(jobs)


async def _get(url: str) -> bytes:
    return await fetch(url, total_seconds=SNAPSHOT_SECONDS, largest_bytes=MAX_FRAME_BYTES)


async def _cancelled(jobs: Iterable["asyncio.Task[None]"]) -> None:
    for job in jobs:
        job.cancel()
    for job in jobs:
        with suppress(asyncio.CancelledError):
            await job


class _MergedConnection:
    """Frames of a connection and answers to requests, in the order in which they arrive."""

    def __init__(
        self, connection: Connection, url: str, get: Callable[[str], Coroutine[None, None, bytes]]
    ) -> None:
        self._connection = connection
        self._url = url
        self._get = get
        self._inbox: asyncio.Queue[bytes | Exception] = asyncio.Queue(INBOX_FRAMES)
        self._products: asyncio.Queue[str] = asyncio.Queue()

    async def receive(self) -> bytes:
        arrived = await self._inbox.get()
        if isinstance(arrived, Exception):
            raise arrived
        return arrived

    async def send(self, frame: Frame) -> None:
        if isinstance(frame, BookRequest):
            self._products.put_nowait(str(frame))
        else:
            await self._connection.send(frame)

    async def read_all(self) -> None:
        try:
            while True:
                await self._inbox.put(await self._connection.receive())
        except Exception as error:
            await self._inbox.put(error)

    async def ask_all(self) -> None:
        try:
            while True:
                await self._inbox.put(await self._ask(await self._products.get()))
                await asyncio.sleep(REQUEST_INTERVAL_SECONDS)
        except Exception as error:
            await self._inbox.put(error)

    async def _ask(self, product: str) -> bytes:
        head = b'{"type":"orders","product_id":' + msgspec.json.encode(product)
        try:
            body = await self._get(f"{self._url}/products/{quoted(product, safe='')}/book?level=3")
        except FeedError as error:
            return head + b',"error":' + msgspec.json.encode(str(error)) + b"}"
        return head + b',"book":' + body + b"}"
