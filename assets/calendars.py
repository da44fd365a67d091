"""The calendars that assets name: computed, or read from the stored sessions and remembered by this process.

What is remembered is looked at again after a minute, for `manage.py update_calendars` runs in another process. A
calendar of which nothing is stored yet goes by UTC days, as 24/7 does. Synchronous: it may read the database.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Max
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from assets.calendar_names import COMPUTED, stored_name
from assets.models import Asset, TradingSession
from assets.session_store import read_sessions
from assets.sessions import AROUND_THE_CLOCK, FX_DAYS, Calendar, StoredCalendar

log = logging.getLogger("personal_finance.realtime.assets")

LOOK_AGAIN_SECONDS = 60.0
# An exchange's holidays and half days must be known before they come.
SHORTEST_OUTLOOK = timedelta(days=30)

Stamp = tuple[int, datetime | None]


class _Remembered(NamedTuple):
    calendar: StoredCalendar
    stamp: Stamp
    looked_at: float


class Calendars:
    """The calendars of this process.

    Args:
        monotonic: replaced by tests.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._remembered: dict[str, _Remembered] = {}
        self._missed: set[str] = set()

    def named(self, name: str) -> Calendar:
        """Returns the calendar of that name, which an asset's `calendar` holds; reads the database at most a minute."""
        if name == AROUND_THE_CLOCK.name:
            return AROUND_THE_CLOCK
        if name == FX_DAYS.name:
            return FX_DAYS
        name, now = stored_name(name), self._monotonic()
        known = self._remembered.get(name)
        if known is not None and now - known.looked_at < LOOK_AGAIN_SECONDS:
            return known.calendar
        stamp = _stamp(name)
        calendar = known.calendar if known is not None and known.stamp == stamp else _read_calendar(name)
        self._remembered[name] = _Remembered(calendar, stamp, now)
        self._say_if_missing(name, calendar)
        return calendar

    def forget(self) -> None:
        """Has the database looked at again by whoever asks next."""
        self._remembered.clear()

    def _say_if_missing(self, name: str, calendar: StoredCalendar) -> None:
        if len(calendar):
            self._missed.discard(name)
        elif name not in self._missed:
            self._missed.add(name)
            log.warning(
                "no stored sessions, days are those of UTC until `manage.py update_calendars` has run",
                extra={"calendar": name},
            )


_calendars = Calendars()
calendar_named = _calendars.named
forget_calendars = _calendars.forget


@receiver([post_save, post_delete], sender=TradingSession)
def _session_changed(**_: Any) -> None:
    forget_calendars()


def _stamp(name: str) -> Stamp:
    found = TradingSession.objects.filter(calendar=name).aggregate(
        count=Count("pk"), newest=Max("updated_at")
    )
    return found["count"], found["newest"]


def _read_calendar(name: str) -> StoredCalendar:
    try:
        return StoredCalendar(name, read_sessions(name))
    except ValueError as error:  # edited by hand
        log.error("stored sessions contradict each other", extra={"calendar": name, "error": str(error)})
        return StoredCalendar(name, [])


def calendars_in_use() -> list[str]:
    """Returns the names under which sessions of some asset's exchange are, or should be, stored."""
    names = Asset.objects.order_by().values_list("calendar", flat=True).distinct()
    return sorted({stored_name(name) for name in names} - set(COMPUTED))


def calendars_due(now: datetime) -> list[str]:
    """Returns the calendars in use whose stored sessions end within a month, or that have none."""
    names = calendars_in_use()
    rows = TradingSession.objects.filter(calendar__in=names).order_by().values("calendar")
    last = dict(rows.annotate(last=Max("close")).values_list("calendar", "last"))
    return [name for name in names if name not in last or last[name] < now + SHORTEST_OUTLOOK]
