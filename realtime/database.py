"""The threads on which the event loop's side reads the database.

A pool of our own: Channels' single shared thread would let one slow query freeze every socket of the process.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, close_old_connections

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
TIMEOUT = 5.0
UNAVAILABLE = (DatabaseError, TimeoutError)

_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="database")


async def in_database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs ordinary, synchronous code on a database thread.

    Raises:
        TimeoutError: no answer within 5 s; the thread goes on, its result is dropped.
    """

    def call() -> T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    async with asyncio.timeout(TIMEOUT):
        return await asyncio.get_running_loop().run_in_executor(_pool, call)
