"""Hours: what holds until when, which moments are regular, and since when a price must have been confirmed."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.hours import confirmed_since, hours_at, is_regular, is_stale
from assets.sessions import AROUND_THE_CLOCK, FX_DAYS, Calendar
from tests.exchanges import HONG_KONG, LONDON, MUMBAI, NEW_YORK, utc

TIMEOUT, NO_DELAY = timedelta(minutes=5), timedelta(0)
INSTANT = timedelta.resolution
moments = st.integers(0, 40 * 24 * 60).map(lambda minutes: utc("2026-10-26") + timedelta(minutes=minutes))
calendars = st.sampled_from([AROUND_THE_CLOCK, FX_DAYS, NEW_YORK, LONDON, HONG_KONG, MUMBAI])


@given(calendars, moments)
def test_hours_hold_until_they_change(calendar: Calendar, moment: datetime) -> None:
    hours = hours_at(calendar, moment)
    assert hours.asked_at <= moment < hours.changes_at <= hours.next_open
    later = hours_at(calendar, hours.changes_at - INSTANT)
    assert later._replace(asked_at=moment) == hours
    then = hours_at(calendar, hours.changes_at)
    assert (then.session, then.phase) != (hours.session, hours.phase)
    assert hours.since <= moment and hours.since < hours.until
    assert is_regular(calendar, hours.since) and is_regular(calendar, hours.until - INSTANT)
    if hours.phase != "closed":
        assert hours.since <= moment < hours.until
    else:
        assert moment >= hours.until


def test_the_moment_of_the_close_is_regular_and_the_next_is_not() -> None:
    close = utc("2026-11-19T21:00")
    assert is_regular(NEW_YORK, close) and not is_regular(NEW_YORK, close + INSTANT)
    assert not is_regular(NEW_YORK, utc("2026-11-19T14:30") - INSTANT)
    assert is_regular(AROUND_THE_CLOCK, close + INSTANT)


def test_only_the_end_of_a_session_is_its_end() -> None:
    assert not hours_at(HONG_KONG, utc("2026-11-19T04:30")).is_over  # lunch
    assert hours_at(HONG_KONG, utc("2026-11-19T08:00")).is_over
    assert not hours_at(FX_DAYS, utc("2026-11-19T22:00")).is_over
    assert not hours_at(AROUND_THE_CLOCK, utc("2026-11-19T22:00")).is_over


@pytest.mark.parametrize(
    ("now", "since"),
    [
        ("2026-11-19T15:00", "2026-11-19T14:55"),
        ("2026-11-19T14:35", None),  # as much patience as the market has been open
        ("2026-11-19T14:35:01", "2026-11-19T14:30:01"),
        ("2026-11-19T21:30", None),
        ("2026-11-19T21:30:01", "2026-11-19T21:00"),
        ("2026-11-20T14:29", "2026-11-19T21:00"),
        ("2026-11-22T12:00", "2026-11-20T21:00"),
    ],
)
def test_when_a_price_must_have_been_confirmed(now: str, since: str | None) -> None:
    found = confirmed_since(hours_at(NEW_YORK, utc(now)), utc(now), TIMEOUT, NO_DELAY)
    assert found == (None if since is None else utc(since))


def test_around_the_clock_there_is_never_more_patience() -> None:
    midnight = utc("2026-11-19")
    hours = hours_at(AROUND_THE_CLOCK, midnight)
    assert is_stale(hours, midnight - timedelta(seconds=301), midnight, TIMEOUT)
    assert not is_stale(hours, midnight - timedelta(seconds=300), midnight, TIMEOUT)


def test_a_delay_moves_what_is_expected() -> None:
    delay = timedelta(minutes=15)
    for now, stale in (("2026-11-19T21:45", False), ("2026-11-19T21:45:01", True)):
        hours = hours_at(NEW_YORK, utc(now))
        assert is_stale(hours, utc("2026-11-19T21:14"), utc(now), TIMEOUT, delay) is stale
    assert not is_stale(hours, utc("2026-11-19T21:15"), utc("2026-11-19T21:45:01"), TIMEOUT, delay)
