"""Waiting for the tasks of one owner: until the first of them fails, and until all of them have ended.

No TaskGroup: before Python 3.13 it leaves its parent marked as cancelled when a child fails late.
"""

import asyncio
from collections.abc import Iterable

CANCEL_AGAIN_SECONDS = 0.5


async def end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancels tasks until they have ended.

    Once is not enough: where redis-py's own time-out and a cancellation meet in one turn of the loop, as when a
    frozen process wakes up, the call returns as if neither had been.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)


async def first_failure(
    tasks: Iterable["asyncio.Task[None]"], until: "asyncio.Task[None] | None" = None
) -> None:
    """Waits until one of them fails, and raises that; or until `until` is done, when it is given."""
    waiting = set(tasks)
    while waiting and (until is None or not until.done()):
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
