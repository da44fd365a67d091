"""Sessions of exchanges for tests, from their local hours: a few weeks around November 2026."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from assets.calendars import forget_calendars
from assets.session_store import store_sessions
from assets.sessions import Session, StoredCalendar

FIRST, LAST = date(2026, 10, 19), date(2026, 12, 11)
DAY = timedelta(days=1)
# Local hours of one day that are not the usual ones; None: closed.
Exceptions = Mapping[date, "tuple[str, str] | None"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def exchange(
    name: str,
    zone: str,
    opened: str,
    closed: str,
    *breaks: tuple[str, str],
    exceptions: Exceptions | None = None,
) -> StoredCalendar:
    sessions = []
    for number in range((LAST - FIRST).days + 1):
        day = FIRST + number * DAY
        usual = (opened, closed) if day.weekday() < 5 else None
        hours = (exceptions or {}).get(day, usual)
        if hours is not None:
            start, end = (_moment(day, text, zone) for text in hours)
            pauses = tuple((_moment(day, one, zone), _moment(day, other, zone)) for one, other in breaks)
            sessions.append(Session(day, start, end, pauses if hours == usual else ()))
    return StoredCalendar(name, sessions)


def store_exchange(calendar: StoredCalendar) -> None:
    """Puts an exchange's sessions where assets find them."""
    days = (FIRST + number * DAY for number in range((LAST - FIRST).days + 1))
    store_sessions(calendar.name, filter(None, map(calendar.of_date, days)), FIRST)
    forget_calendars()


def _moment(day: date, text: str, zone: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(text), ZoneInfo(zone)).astimezone(UTC)


NEW_YORK = exchange(
    "XNYS",
    "America/New_York",
    "09:30",
    "16:00",
    exceptions={date(2026, 11, 26): None, date(2026, 11, 27): ("09:30", "13:00")},
)
LONDON = exchange("XLON", "Europe/London", "08:00", "16:30")
HONG_KONG = exchange("XHKG", "Asia/Hong_Kong", "09:30", "16:00", ("12:00", "13:00"))
# Diwali: an hour in the evening of Sunday 8 November, and a holiday on Tuesday.
MUMBAI = exchange(
    "XNSE",
    "Asia/Kolkata",
    "09:15",
    "15:30",
    exceptions={date(2026, 11, 8): ("18:15", "19:15"), date(2026, 11, 10): None},
)
