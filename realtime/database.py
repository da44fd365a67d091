"""The threads on which the event loop's side reads the database.

A pool of our own: Channels' single shared thread would let one slow query freeze every socket of the process.
Its threads keep their connections: to open one for each handshake cost a third of it on SQLite, more on PostgreSQL.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

P = ParamSpec("P")
T = TypeVar("T")

FileId = tuple[int, int]

THREADS = 4
TIMEOUT = 5.0
UNAVAILABLE = (DatabaseError, TimeoutError)

_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="database")
_kept: dict[BaseDatabaseWrapper, FileId | None] = {}


class _Pace:
    """When a thread last was done with a call: a long queue that moves is no database that hangs."""

    done_at = 0.0


async def in_database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs ordinary, synchronous code on a database thread.

    Raises:
        TimeoutError: no answer within 5 s of its beginning, or it waits behind calls of which none has ended for 5 s;
            the thread goes on, its result is dropped.
    """
    begun: list[float] = []

    def call() -> T:
        begun.append(monotonic())
        _leave_broken()
        try:
            return function(*args, **kwargs)
        finally:
            _keep()
            _Pace.done_at = monotonic()

    asked = monotonic()
    deadline = asked + TIMEOUT
    future = asyncio.get_running_loop().run_in_executor(_pool, call)
    try:
        while not (await asyncio.wait((future,), timeout=deadline - monotonic()))[0]:
            deadline = (begun[0] if begun else max(asked, _Pace.done_at)) + TIMEOUT
            if deadline <= monotonic():
                raise TimeoutError("the database does not answer")
        return future.result()
    finally:
        future.cancel()  # what waits in the queue is not wanted any more


def _leave_broken() -> None:
    """Closes this thread's connections that failed; with CONN_HEALTH_CHECKS the others are tried before their use."""
    for connection in connections.all(initialized_only=True):
        if _kept.get(connection) != _file_of(connection):
            connection.close()
        connection.close_if_unusable_or_obsolete()


def _keep() -> None:
    """Lets this thread's connections live on, whatever CONN_MAX_AGE says for a request's."""
    for connection in connections.all(initialized_only=True):
        connection.close_at = None
        if connection not in _kept:
            connection.inc_thread_sharing()  # for `disconnect`, which comes from one thread
        _kept[connection] = _file_of(connection)


def _file_of(connection: BaseDatabaseWrapper) -> FileId | None:
    """Returns which file an SQLite database is: an operator may put a backup in its place."""
    if connection.vendor != "sqlite":
        return None
    try:
        file = os.stat(connection.settings_dict["NAME"])
    except OSError:
        return None
    return file.st_dev, file.st_ino


async def disconnect() -> None:
    """Closes what the threads keep, once nothing is asked of them any more; the next call opens anew."""
    with contextlib.suppress(TimeoutError):  # every thread may hang in a query
        async with asyncio.timeout(1):
            await asyncio.get_running_loop().run_in_executor(_pool, _close_kept)


def _close_kept() -> None:
    for connection in _kept:
        connection.close()
