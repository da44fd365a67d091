"""Reads `session_overrides.toml`, whose header describes it: sessions that exchange_calendars lacks.

Pure. What it says is laid over the sessions that the library knows; nothing is stored here.
"""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from assets.exchanges import ZONES
from assets.sessions import DAY, SATURDAY, Session

FILE = Path(__file__).with_name("session_overrides.toml")


class OverridesError(ValueError):
    """The file says something that cannot be; the message names the calendar and the entry."""


class Hours(NamedTuple):
    """A session each weekday of a period, at these local times."""

    first: date
    last: date
    open: time
    close: time


class Special(NamedTuple):
    """The session of one date, at these local times."""

    date: date
    open: time
    close: time
    breaks: tuple[tuple[time, time], ...] = ()


class Override(NamedTuple):
    """What the file says of one calendar."""

    name: str
    zone: ZoneInfo
    copy_of: str = ""
    closed: frozenset[date] = frozenset()
    hours: tuple[Hours, ...] = ()
    specials: tuple[Special, ...] = ()

    def applied(self, sessions: Iterable[Session]) -> list[Session]:
        """Returns `sessions` with this laid over them, oldest first."""
        by_date = {session.date: session for session in sessions}
        known_until = max(by_date, default=date.min)
        for period in self.hours:
            for day in _weekdays(max(period.first, known_until + DAY), period.last):
                by_date[day] = local_session(self.zone, Special(day, period.open, period.close))
        for day in self.closed:
            by_date.pop(day, None)
        for special in self.specials:
            by_date[special.date] = local_session(self.zone, special)
        return sorted(by_date.values(), key=lambda session: session.open)


def local_session(zone: ZoneInfo, special: Special) -> Session:
    def moment(clock: time) -> datetime:
        return datetime.combine(special.date, clock, zone).astimezone(UTC)

    breaks = tuple((moment(start), moment(end)) for start, end in special.breaks)
    return Session(special.date, moment(special.open), moment(special.close), breaks)


def _weekdays(first: date, last: date) -> list[date]:
    days = [first + timedelta(number) for number in range((last - first).days + 1)]
    return [day for day in days if day.weekday() < SATURDAY]


@cache
def stored_overrides() -> Mapping[str, Override]:
    """Returns what the file of this installation says; it is read once."""
    return read_overrides(FILE.read_text())


def read_overrides(text: str) -> Mapping[str, Override]:
    """Returns the overrides by calendar.

    Raises:
        OverridesError: the text is no TOML, or an entry of it makes no sense.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OverridesError(f"expected TOML: {error}") from error
    return {name: _override(name, entry, document) for name, entry in document.items()}


def _override(name: str, entry: Any, document: Mapping[str, Any]) -> Override:
    if not isinstance(entry, dict):
        raise OverridesError(f"{name}: expected a table, was {entry!r}")
    _refuse_unknown(name, entry, {"zone", "copy_of", "closed", "hours", "sessions"})
    copy_of = entry.get("copy_of", "")
    if copy_of and copy_of not in ZONES and copy_of not in document:
        raise OverridesError(f"{name}: expected copy_of to name a calendar, was {copy_of!r}")
    source = document.get(copy_of) if copy_of else None
    source = source if isinstance(source, dict) else {}
    if "copy_of" in source:
        raise OverridesError(f"{name}: expected a copy of a calendar that is none itself, was {copy_of}")
    zone = entry.get("zone") or ZONES.get(name) or source.get("zone") or ZONES.get(copy_of)
    if zone is None:
        raise OverridesError(f"{name}: expected a zone")
    try:
        return Override(
            name,
            ZoneInfo(zone),
            copy_of,
            frozenset(_checked(one, date) for one in entry.get("closed", [])),
            tuple(_hours(one) for one in entry.get("hours", [])),
            tuple(_special(one) for one in entry.get("sessions", [])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise OverridesError(f"{name}: {error}") from error


def _hours(entry: Mapping[str, Any]) -> Hours:
    _refuse_unknown("hours", entry, {"first", "last", "open", "close"})
    hours = Hours(
        _checked(_given(entry, "first"), date),
        _checked(_given(entry, "last"), date),
        _checked(_given(entry, "open"), time),
        _checked(_given(entry, "close"), time),
    )
    if hours.first > hours.last or hours.open >= hours.close:
        raise ValueError(f"expected hours that end after they begin, was {dict(entry)}")
    return hours


def _special(entry: Mapping[str, Any]) -> Special:
    _refuse_unknown("sessions", entry, {"date", "open", "close", "breaks"})
    breaks = tuple((_checked(start, time), _checked(end, time)) for start, end in entry.get("breaks", []))
    special = Special(
        _checked(_given(entry, "date"), date),
        _checked(_given(entry, "open"), time),
        _checked(_given(entry, "close"), time),
        breaks,
    )
    edges = [special.open, *(edge for pause in breaks for edge in pause), special.close]
    if edges != sorted(edges) or special.open == special.close:
        raise ValueError(f"expected times in order, was the session of {special.date}")
    return special


def _given(entry: Mapping[str, Any], name: str) -> Any:
    if name not in entry:
        raise ValueError(f"expected {name} in {dict(entry)}")
    return entry[name]


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected a {kind.__name__}, was {value!r}")
    return value


def _refuse_unknown(what: str, entry: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(entry) - known):
        raise OverridesError(f"{what}: expected {', '.join(sorted(known))}, was {unknown[0]}")
