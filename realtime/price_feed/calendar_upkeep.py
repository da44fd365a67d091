"""Keeps the stored sessions of exchanges a month ahead, for as long as the price feed runs.

The sessions come from `manage.py update_calendars`, in a process of its own: what it imports would cost this one 60 MB
for ever. A calendar is asked for once a day; of one that cannot be had there is only that line in the log.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from django.conf import settings

from assets.calendars import calendars_due, forget_calendars
from realtime.feeds.base import Clock
from realtime.price_feed.write_behind import WriteBehind

log = logging.getLogger("personal_finance.realtime.feed")

# How soon the sessions of an exchange that nobody has named before are there.
LOOK_SECONDS = 30.0
ASK_AGAIN = timedelta(days=1)
# It takes a second an exchange, on a slow machine ten.
PATIENCE_SECONDS = 900.0

Update = Callable[[Sequence[str]], Awaitable[bool]]


async def keep_calendars(store: WriteBehind, clock: Clock, update: Update | None = None) -> None:
    """Runs until it is cancelled.

    Args:
        update: stores the sessions of calendars by name and returns whether it could; replaced by tests.
    """
    asked: dict[str, datetime] = {}
    while True:
        now = clock.now()
        try:
            due = await store.call(calendars_due, now)
        except Exception as error:  # the database will be back
            log.warning("calendars not looked at", extra={"error": repr(error)})
            due = []
        names = [name for name in due if name not in asked or now - asked[name] >= ASK_AGAIN]
        if names:
            asked |= dict.fromkeys(names, now)
            if await (update or update_calendars)(names):
                forget_calendars()
        await clock.sleep(LOOK_SECONDS)


def command(names: Sequence[str]) -> list[str]:
    manage = str(settings.BASE_DIR / "manage.py")
    return [sys.executable, manage, "update_calendars", "--calendars", *names]


async def update_calendars(names: Sequence[str]) -> bool:
    """Runs the command for these calendars; returns whether all of them are stored now."""
    process = await asyncio.create_subprocess_exec(
        *command(names), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        log.error("sessions not stored in time", extra={"calendars": list(names)})
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = out.decode(errors="replace").strip()
    if process.returncode:
        log.error("sessions not stored", extra={"calendars": list(names), "error": said[-2000:]})
    else:
        log.info("sessions stored", extra={"calendars": list(names), "result": said[-2000:]})
    return process.returncode == 0
