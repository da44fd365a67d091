"""Trading sessions in the database: reading those of a calendar, and making them what they should be.

Which sessions there should be is for `manage.py update_calendars` to find out.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from django.db import transaction

from assets.models import TradingSession
from assets.sessions import Session

# SQLite takes 32,766 variables in a statement; a session has six.
CHUNK = 2000


class Changes(NamedTuple):
    """How many sessions were stored, had other times, or are none any more."""

    added: int = 0
    changed: int = 0
    removed: int = 0


def read_sessions(calendar: str) -> list[Session]:
    """Returns all that is stored, oldest first."""
    rows = TradingSession.objects.filter(calendar=calendar).order_by("open")
    return [
        Session(day, opened.astimezone(UTC), closed.astimezone(UTC), _breaks(breaks))
        for day, opened, closed, breaks in rows.values_list("date", "open", "close", "breaks")
    ]


def _breaks(stored: Iterable[Sequence[str]]) -> tuple[tuple[datetime, datetime], ...]:
    return tuple((datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in stored)


def store_sessions(
    calendar: str, sessions: Iterable[Session], first: date, *, dry_run: bool = False
) -> Changes:
    """Makes the calendar's stored sessions from the date `first` on equal `sessions`; earlier ones stay.

    Rows that are right already are not touched, so that nobody reads them again.
    """
    wanted = {session.date: session for session in sessions}
    stored = {session.date: session for session in read_sessions(calendar) if session.date >= first}
    gone = stored.keys() - wanted.keys()
    different = {day for day, session in wanted.items() if stored.get(day) != session}
    changes = Changes(len(different - stored.keys()), len(different & stored.keys()), len(gone))
    if not dry_run and any(changes):
        with transaction.atomic():
            rows = TradingSession.objects.filter(calendar=calendar)
            for some in _chunks(sorted(gone)):
                rows.filter(date__in=some).delete()
            TradingSession.objects.bulk_create(
                [_row(calendar, wanted[day]) for day in sorted(different)],
                batch_size=CHUNK,
                update_conflicts=True,
                unique_fields=["calendar", "date"],
                update_fields=["open", "close", "breaks", "updated_at"],
            )
    return changes


def _chunks(days: Sequence[date]) -> Iterable[Sequence[date]]:
    return (days[start : start + CHUNK] for start in range(0, len(days), CHUNK))


def _row(calendar: str, session: Session) -> TradingSession:
    return TradingSession(
        calendar=calendar,
        date=session.date,
        open=session.open,
        close=session.close,
        breaks=[[start.isoformat(), end.isoformat()] for start, end in session.breaks],
    )
