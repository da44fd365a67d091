"""Trading sessions: which one a moment belongs to, and what came before it.

A session is current from its open until the NEXT one's open, through nights, weekends and holidays; a lunch break
does not end it. Everything goes by the time that is asked about: no clock, no machine's time zone, no database.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol
from zoneinfo import ZoneInfo

Phase = Literal["always", "open", "closed"]

DAY = timedelta(days=1)
SATURDAY = 5
_NEW_YORK = ZoneInfo("America/New_York")
_FX_HOUR = time(17)
# Two of them serve every tick of a day; a chart of years asks for a few thousand.
_FX_SESSIONS_KEPT = 1024


class Session(NamedTuple):
    """From its open (inclusive) to its close (exclusive), in UTC; closed for the breaks in between."""

    date: date
    open: datetime
    close: datetime
    breaks: tuple[tuple[datetime, datetime], ...] = ()


class Calendar(Protocol):
    """The sessions of a market. There is one before and after every other, without end."""

    @property
    def name(self) -> str: ...

    def session_at(self, moment: datetime) -> Session:
        """Returns the current session: the latest one that has opened."""

    def before(self, session: Session) -> Session: ...

    def after(self, session: Session) -> Session: ...

    def of_date(self, day: date) -> Session | None:
        """Returns the session of a date; None on a holiday."""

    def phase(self, moment: datetime) -> Phase: ...


class Window(NamedTuple):
    """What today's change is measured over: since the close `at` of the session before the current one.

    It is good until the next session opens.
    """

    at: datetime
    until: datetime


def window(calendar: Calendar, now: datetime) -> Window:
    current = calendar.session_at(now)
    return Window(calendar.before(current).close, calendar.after(current).open)


def next_change(calendar: Calendar, moment: datetime) -> datetime:
    """Returns when the session or its phase changes next: an open, a close, or an edge of a break."""
    current = calendar.session_at(moment)
    edges = (*(edge for pause in current.breaks for edge in pause), current.close)
    return min((edge for edge in edges if edge > moment), default=calendar.after(current).open)


class AroundTheClock:
    """One session each UTC day, always open."""

    name = "24/7"

    def session_at(self, moment: datetime) -> Session:
        return self.of_date(_utc(moment).date())

    def before(self, session: Session) -> Session:
        return self.session_at(session.open - timedelta.resolution)

    def after(self, session: Session) -> Session:
        return self.session_at(session.open + DAY)

    def of_date(self, day: date) -> Session:
        start = datetime.combine(day, time(), UTC)
        return Session(day, start, start + DAY)

    def phase(self, moment: datetime) -> Phase:
        return "always"


class ForeignExchange:
    """Currencies and metals: 17:00 to 17:00 in New York from Sunday to Friday, dated by the close."""

    name = "FX"

    def session_at(self, moment: datetime) -> Session:
        local = _utc(moment).astimezone(_NEW_YORK)
        day = local.date() + DAY if local.time() >= _FX_HOUR else local.date()
        return _fx_session(day - DAY * max(0, day.weekday() - SATURDAY + 1))

    def before(self, session: Session) -> Session:
        return self.session_at(session.open - timedelta.resolution)

    def after(self, session: Session) -> Session:
        day = session.date + DAY
        return _fx_session(day if day.weekday() < SATURDAY else day + DAY * (7 - day.weekday()))

    def of_date(self, day: date) -> Session | None:
        return _fx_session(day) if day.weekday() < SATURDAY else None

    def phase(self, moment: datetime) -> Phase:
        return _phase(self.session_at(moment), moment)


class StoredCalendar:
    """An exchange's sessions as they are stored.

    Before the first and after the last of them it is a 24/7 calendar, whole UTC days: an exchange whose future
    nobody has stored must not keep an old baseline for ever.

    Args:
        name: as an asset names it.
        sessions: in any order; no two may overlap or have one date.

    Raises:
        ValueError: a session ends before it begins, overlaps another or has a break outside itself.
    """

    def __init__(self, name: str, sessions: Iterable[Session]) -> None:
        self.name = name
        self._sessions = sorted(sessions, key=lambda session: session.open)
        self._opens = [session.open for session in self._sessions]
        self._dates = {session.date: session for session in self._sessions}
        _check(name, self._sessions)
        if self._sessions:
            first, last = self._sessions[0].open, self._sessions[-1].close
            # The last whole day before all sessions, and the first one after them.
            self._day_before = AROUND_THE_CLOCK.session_at(AROUND_THE_CLOCK.session_at(first).open - DAY)
            self._day_after = AROUND_THE_CLOCK.session_at(last + DAY - timedelta.resolution)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def last(self) -> Session | None:
        return self._sessions[-1] if self._sessions else None

    def session_at(self, moment: datetime) -> Session:
        if not self._sessions or moment >= self._day_after.open:
            return AROUND_THE_CLOCK.session_at(moment)
        index = bisect_right(self._opens, _utc(moment))
        if index:
            return self._sessions[index - 1]
        return min(AROUND_THE_CLOCK.session_at(moment), self._day_before)

    def before(self, session: Session) -> Session:
        return self.session_at(session.open - timedelta.resolution)

    def after(self, session: Session) -> Session:
        if not self._sessions or session.open >= self._day_after.open:
            return AROUND_THE_CLOCK.after(session)
        index = bisect_right(self._opens, session.open)
        if index == len(self._opens):
            return self._day_after
        if index or session.open >= self._day_before.open:
            return self._sessions[index]
        return AROUND_THE_CLOCK.after(session)

    def of_date(self, day: date) -> Session | None:
        if self._sessions and self._day_before.date < day < self._day_after.date:
            return self._dates.get(day)
        return AROUND_THE_CLOCK.of_date(day)

    def phase(self, moment: datetime) -> Phase:
        session = self.session_at(moment)
        return _phase(session, moment) if self._dates.get(session.date) is session else "always"


def _utc(moment: datetime) -> datetime:
    """Refuses a time without its zone, which Python would take for one of this machine's."""
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with its zone, was {moment.isoformat()}")
    return moment.astimezone(UTC)


@lru_cache(_FX_SESSIONS_KEPT)
def _fx_session(day: date) -> Session:
    opened = datetime.combine(day - DAY, _FX_HOUR, _NEW_YORK)
    return Session(day, opened.astimezone(UTC), datetime.combine(day, _FX_HOUR, _NEW_YORK).astimezone(UTC))


def _phase(session: Session, moment: datetime) -> Phase:
    if moment >= session.close or any(start <= moment < end for start, end in session.breaks):
        return "closed"
    return "open"


def _check(name: str, sessions: list[Session]) -> None:
    end = None
    for session in sessions:
        edges = [session.open, *(edge for pause in session.breaks for edge in pause), session.close]
        if edges != sorted(edges) or session.open == session.close or (end and session.open < end):
            raise ValueError(f"expected sessions of {name} one after another, was {session}")
        end = session.close
    if len({session.date for session in sessions}) < len(sessions):
        raise ValueError(f"expected one session of {name} a date")


AROUND_THE_CLOCK = AroundTheClock()
FX_DAYS = ForeignExchange()
