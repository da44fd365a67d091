"""The price feed's only way to the database: one thread of its own, and what waits there to be written.

Owns the waiting rows and the retrying. A tick costs a dict assignment; the database may be slow, locked or gone
for hours without stopping a tick: the newest price of each asset and the closed bars wait for it.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from django.db import DatabaseError, connection

from realtime.price_feed.feed_store import BarRow, PriceRow, write

log = logging.getLogger("personal_finance.realtime.feed")

T = TypeVar("T")

# A throttle: a price in the database may be this much older than the one in Redis.
WRITE_INTERVAL_SECONDS = 3.0
# Ten hours of a thousand symbols' minute bars, 0.5 GB; beyond this the oldest ones are given up, with a log line.
BARS_KEPT_WAITING = 600_000
ROWS_AT_ONCE = 5000
# SQLite's patience within one attempt; the next attempt follows anyway, and a stop must not wait for 20 s.
BUSY_MS = 1500
STATEMENT_TIMEOUT_MS = 10_000
LOG_AGAIN_SECONDS = 10.0


class WriteBehind:
    """A database thread with the rows that wait for it.

    Args:
        interval: seconds between two writes.
    """

    def __init__(self, interval: float = WRITE_INTERVAL_SECONDS) -> None:
        self.written = 0
        self.refused = 0
        self.error = ""
        self._interval = interval
        self._condition = threading.Condition()
        self._prices: dict[int, PriceRow] = {}
        self._bars: dict[tuple[int, str, datetime], BarRow] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._closing = False
        self._next_write = time.monotonic() + interval
        self._logged_at = float("-inf")
        # A daemon: a database that hangs must not keep a stopped process alive.
        self._thread = threading.Thread(target=self._run, name="price feed database", daemon=True)

    def start(self) -> None:
        self._thread.start()

    # -- from the event loop

    def put(self, prices: Iterable[PriceRow], bars: Iterable[BarRow] = ()) -> None:
        """Leaves rows to be written; a newer price of an asset replaces the one that waits."""
        with self._condition:
            for row in prices:
                self._prices[row.asset_id] = row
            for bar in bars:
                self._bars[bar.key] = bar.after(self._bars.get(bar.key))
            dropped = max(0, len(self._bars) - BARS_KEPT_WAITING)
            for oldest in list(self._bars)[:dropped]:
                del self._bars[oldest]
        if dropped:
            log.error("bars given up: the database is away for too long", extra={"bars": dropped})

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a function in the database thread; raises what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def deliver(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        def work() -> None:
            try:
                result, error = function(*arguments), None
            except Exception as raised:
                result, error = None, raised
                _disconnect()
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(deliver, result, error)

        with self._condition:
            self._calls.append(work)
            self._condition.notify()
        return await future

    def close(self, timeout: float) -> int:
        """Writes what waits and ends the thread; returns how many rows could not be written in time."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout)
        with self._condition:
            left = len(self._prices) + len(self._bars)
        if left:
            log.error("stopped with rows unwritten", extra={"rows": left, "error": self.error})
        return left

    # -- in the thread

    def _run(self) -> None:
        while True:
            with self._condition:
                while (
                    not self._calls
                    and not self._closing
                    and (wait := self._next_write - time.monotonic()) > 0
                ):
                    self._condition.wait(wait)
                call = self._calls.popleft() if self._calls else None
                closing = self._closing
            try:
                _connect()
            except Exception as error:
                self._failed(error)
            if call is not None:
                call()
            elif closing or time.monotonic() >= self._next_write:
                done = self._write()
                self._next_write = time.monotonic() + self._interval
                if closing and done:
                    _disconnect()
                    return
                if closing:
                    time.sleep(0.1)

    def _write(self) -> bool:
        """Writes what waits; returns whether nothing is left."""
        while True:
            with self._condition:
                prices = [self._prices.pop(key) for key in list(self._prices)[:ROWS_AT_ONCE]]
                bars = [self._bars.pop(key) for key in list(self._bars)[:ROWS_AT_ONCE]]
            if not prices and not bars:
                return True
            try:
                self.refused += write(prices, bars)
            except Exception as error:
                self._put_back(prices, bars)
                self._failed(error)
                return False
            self.written += len(prices) + len(bars)
            if self.error:
                log.info("the database answers again")
                self.error = ""

    def _put_back(self, prices: list[PriceRow], bars: list[BarRow]) -> None:
        with self._condition:
            for row in prices:
                self._prices.setdefault(row.asset_id, row)
            waiting = self._bars
            self._bars = {bar.key: bar for bar in bars}
            for key, newer in waiting.items():
                self._bars[key] = newer.after(self._bars.get(key))

    def _failed(self, error: Exception) -> None:
        _disconnect()
        self.error = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        if now - self._logged_at > LOG_AGAIN_SECONDS:
            self._logged_at = now
            log.error(
                "the database does not answer; rows wait",
                extra={"error": self.error, "rows": len(self._prices)},
            )


def _connect() -> None:
    if connection.connection is not None:
        return
    connection.ensure_connection()
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        elif connection.vendor == "postgresql":
            cursor.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")


def _disconnect() -> None:
    try:
        connection.close()
    except DatabaseError:
        connection.connection = None
