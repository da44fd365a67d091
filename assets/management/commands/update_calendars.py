"""Stores the sessions of exchanges, from exchange_calendars and `assets/session_overrides.toml`.

The only module that may import that library, which brings pandas: 60 MB and a second to whoever imports it. Run
again, it changes only what has changed.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
from django.core.management.base import BaseCommand, CommandError

from assets.calendar_names import COMPUTED, known_names, stored_name, zone_of
from assets.calendars import calendars_in_use, forget_calendars
from assets.exchanges import ZONES
from assets.overrides import Override, Special, local_session, stored_overrides
from assets.session_store import store_sessions
from assets.sessions import Session, StoredCalendar

# What the library gives unasked; a year ahead is as far as exchanges announce.
MOST_YEARS_BACK = 20
AHEAD = timedelta(days=365)
# Enough to see which weekdays trade at which hours, a change of the clocks included.
TYPICAL_SESSIONS = 40


class Command(BaseCommand):
    help = (
        "Stores the trading sessions of exchanges: of those that assets name, or of --calendars. From 20 years "
        "back to one year ahead, from exchange_calendars and assets/session_overrides.toml."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--calendars",
            nargs="+",
            metavar="NAME",
            help="such as XNYS XLON; default: those that assets name",
        )
        parser.add_argument(
            "--years-back",
            type=int,
            default=MOST_YEARS_BACK,
            metavar="N",
            help=f"1 to {MOST_YEARS_BACK}, the default",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change, and change nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        years = options["years_back"]
        if not 1 <= years <= MOST_YEARS_BACK:
            raise CommandError(f"--years-back: expected 1 to {MOST_YEARS_BACK}, was {years}")
        names = _wanted(options["calendars"])
        if not names:
            self.stdout.write("no asset names an exchange's calendar: nothing to store")
        today = datetime.now(UTC).date()
        first, last = today - timedelta(days=round(365.25 * years)), today + AHEAD
        failed = [name for name in names if not self._update(name, first, last, options["dry_run"])]
        forget_calendars()
        if failed:
            raise CommandError(f"not stored: {', '.join(failed)}")

    def _update(self, name: str, first: date, last: date, dry_run: bool) -> bool:
        try:
            sessions, known_until = sessions_between(name, first, last, stored_overrides())
            StoredCalendar(name, sessions)  # refuses what overlaps
        except (
            Exception
        ) as error:  # the library's own are of any kind; the other calendars must not miss theirs
            self.stderr.write(self.style.ERROR(f"{name}: {type(error).__name__}: {str(error)[:300]}"))
            return False
        changes = store_sessions(name, sessions, first, dry_run=dry_run)
        self.stdout.write(
            f"{name}: {len(sessions)} sessions from {sessions[0].date} to {sessions[-1].date}; "
            + ("would be " if dry_run else "")
            + f"{changes.added} added, {changes.changed} changed, {changes.removed} removed"
        )
        if known_until < last - timedelta(days=14):
            self.stdout.write(
                self.style.WARNING(
                    f"{name}: nobody knows its holidays after {known_until}; its usual days fill up"
                )
            )
        return True


def _wanted(given: list[str] | None) -> list[str]:
    if given is None:
        return calendars_in_use()
    unknown = [name for name in given if name not in known_names()]
    if unknown:
        raise CommandError(f"expected names of {', '.join(known_names())}; was {', '.join(unknown)}")
    computed = [name for name in given if name in COMPUTED]
    if computed:
        raise CommandError(f"expected exchanges, was {', '.join(computed)}, which needs no stored sessions")
    return sorted({stored_name(name) for name in given})


def sessions_between(
    name: str, first: date, last: date, overrides: Mapping[str, Override]
) -> tuple[list[Session], date]:
    """Returns the sessions of a calendar, and the last date of which its holidays are known.

    Beyond that date the days of the week that usually trade do so at their usual hours: an exchange publishes next
    year's holidays in December, and until then most days are right and a few holidays are not.

    Raises:
        ValueError: the library or the overrides have no session there.
    """
    override = overrides.get(name)
    origin = override.copy_of if override and override.copy_of else name
    known, known_until = _library_sessions(origin, last)
    for layer in dict.fromkeys((origin, name)):
        if layer in overrides:
            known = overrides[layer].applied(known)
            known_until = max([known_until, *(hours.last for hours in overrides[layer].hours)])
    known = [session for session in known if first <= session.date <= last]
    if not known:
        raise ValueError(f"expected sessions between {first} and {last}")
    return known + _usual_sessions(known, known_until, last, zone_of(name)), min(known_until, last)


def _library_sessions(name: str, last: date) -> tuple[list[Session], date]:
    """Returns the library's sessions, and up to which date it knows the holidays."""
    if name not in ZONES:
        return [], date.min
    calendar = exchange_calendars.get_calendar(name)
    end, schedule = calendar.bound_max(), calendar.schedule
    columns = [schedule[column] for column in ("open", "break_start", "break_end", "close")]
    sessions = [
        Session(
            label.date(),
            opened.to_pydatetime().astimezone(UTC),
            closed.to_pydatetime().astimezone(UTC),
            # Not a time where there is none, which alone of all times differs from itself.
            ((start.to_pydatetime().astimezone(UTC), end.to_pydatetime().astimezone(UTC)),)
            if start == start
            else (),
        )
        for label, opened, start, end, closed in zip(schedule.index, *columns, strict=True)
    ]
    return sessions, last if end is None else min(end.date(), last)


def _usual_sessions(known: list[Session], until: date, last: date, zone: ZoneInfo) -> list[Session]:
    """Returns sessions for the days after `until` like those that are known."""
    recent = known[-TYPICAL_SESSIONS:]
    local = [
        (
            session.open.astimezone(zone),
            session.close.astimezone(zone),
            tuple(
                (start.astimezone(zone).time(), end.astimezone(zone).time()) for start, end in session.breaks
            ),
        )
        for session in recent
    ]
    clocks = Counter((opened.time(), closed.time(), breaks) for opened, closed, breaks in local)
    opened, closed, breaks = clocks.most_common(1)[0][0]
    if opened >= closed:  # it runs over midnight: no guessing
        return []
    weekdays = Counter(session.date.weekday() for session in recent)
    usual = {weekday for weekday, count in weekdays.items() if count > 2}
    days = (until + timedelta(number) for number in range(1, (last - until).days + 1))
    return [
        local_session(zone, Special(day, opened, closed, breaks)) for day in days if day.weekday() in usual
    ]
