"""Sessions: the clock alone says which one is current, on every calendar and in every time zone."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from assets.sessions import AROUND_THE_CLOCK, FX_DAYS, Calendar, Session, StoredCalendar, next_change, window

DAY = timedelta(days=1)
INSTANT = timedelta.resolution
moments = st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_session(day: str, opened: str, closed: str, *breaks: tuple[str, str]) -> Session:
    return Session(
        date.fromisoformat(day),
        at(f"{day}T{opened}"),
        at(f"{day}T{closed}"),
        tuple((at(f"{day}T{start}"), at(f"{day}T{end}")) for start, end in breaks),
    )


WEDNESDAY = make_session("2026-11-25", "14:30", "21:00")
HALF_FRIDAY = make_session("2026-11-27", "14:30", "18:00")
MONDAY = make_session("2026-11-30", "14:30", "21:00")
NEW_YORK = StoredCalendar("XNYS", [MONDAY, WEDNESDAY, HALF_FRIDAY])
LUNCH = make_session("2026-11-19", "01:30", "08:00", ("04:00", "05:00"))
HONG_KONG = StoredCalendar("XHKG", [LUNCH, make_session("2026-11-20", "01:30", "08:00", ("04:00", "05:00"))])


# -- around the clock


def test_a_day_around_the_clock_is_the_utc_day() -> None:
    sunday = AROUND_THE_CLOCK.session_at(at("2026-11-29T23:59:59.999999"))
    assert sunday == Session(date(2026, 11, 29), at("2026-11-29"), at("2026-11-30"))
    assert AROUND_THE_CLOCK.session_at(at("2026-11-30")).date == date(2026, 11, 30)
    assert AROUND_THE_CLOCK.phase(sunday.open) == "always"
    assert AROUND_THE_CLOCK.of_date(date(2026, 11, 29)) == sunday


# -- currencies


@pytest.mark.parametrize(
    ("moment", "day", "opened", "closed", "phase"),
    [
        ("2026-11-19T15:05", "2026-11-19", "2026-11-18T22:00", "2026-11-19T22:00", "open"),
        ("2026-11-19T21:59:59.999999", "2026-11-19", "2026-11-18T22:00", "2026-11-19T22:00", "open"),
        # The hour at which one ends and the next begins belongs to the next.
        ("2026-11-19T22:00", "2026-11-20", "2026-11-19T22:00", "2026-11-20T22:00", "open"),
        # Friday's stays current through the weekend, and is closed.
        ("2026-11-20T22:00", "2026-11-20", "2026-11-19T22:00", "2026-11-20T22:00", "closed"),
        ("2026-11-21T12:00", "2026-11-20", "2026-11-19T22:00", "2026-11-20T22:00", "closed"),
        ("2026-11-22T21:59:59", "2026-11-20", "2026-11-19T22:00", "2026-11-20T22:00", "closed"),
        ("2026-11-22T22:00", "2026-11-23", "2026-11-22T22:00", "2026-11-23T22:00", "open"),
        # New York puts its clocks back on Sunday 1 November 2026: that weekend is an hour longer.
        ("2026-10-30T20:59", "2026-10-30", "2026-10-29T21:00", "2026-10-30T21:00", "open"),
        ("2026-11-01T21:30", "2026-10-30", "2026-10-29T21:00", "2026-10-30T21:00", "closed"),
        ("2026-11-01T22:00", "2026-11-02", "2026-11-01T22:00", "2026-11-02T22:00", "open"),
        # ... and forward on Sunday 14 March 2027, two weeks before Europe does.
        ("2027-03-12T21:30", "2027-03-12", "2027-03-11T22:00", "2027-03-12T22:00", "open"),
        ("2027-03-14T20:59", "2027-03-12", "2027-03-11T22:00", "2027-03-12T22:00", "closed"),
        ("2027-03-14T21:00", "2027-03-15", "2027-03-14T21:00", "2027-03-15T21:00", "open"),
    ],
)
def test_a_day_of_currencies_ends_at_five_in_new_york(
    moment: str, day: str, opened: str, closed: str, phase: str
) -> None:
    found = FX_DAYS.session_at(at(moment))
    assert found == Session(date.fromisoformat(day), at(opened), at(closed))
    assert FX_DAYS.phase(at(moment)) == phase


def test_currencies_have_no_session_of_a_saturday_or_a_sunday() -> None:
    assert FX_DAYS.of_date(date(2026, 11, 21)) is None
    assert FX_DAYS.of_date(date(2026, 11, 22)) is None
    assert FX_DAYS.of_date(date(2026, 11, 23)) == FX_DAYS.session_at(at("2026-11-23T12:00"))


@given(moments)
def test_currencies_agree_with_walking_from_close_to_close(moment: datetime) -> None:
    zone = ZoneInfo("America/New_York")
    closes = [
        datetime(day.year, day.month, day.day, 17, tzinfo=zone).astimezone(UTC)
        for day in (moment.date() + DAY * offset for offset in range(-8, 9))
    ]
    spans = [
        (start, end)
        for start, end in pairwise(closes)
        if end.astimezone(zone).strftime("%a") not in ("Sat", "Sun")
    ]
    start, end = [span for span in spans if span[0] <= moment][-1]
    found = FX_DAYS.session_at(moment)
    assert (found.open, found.close) == (start, end)
    assert FX_DAYS.phase(moment) == ("open" if moment < end else "closed")


# -- exchanges


@pytest.mark.parametrize(
    ("moment", "current", "phase"),
    [
        ("2026-11-25T14:30", WEDNESDAY, "open"),
        ("2026-11-25T21:00", WEDNESDAY, "closed"),
        ("2026-11-26T17:00", WEDNESDAY, "closed"),  # Thanksgiving
        ("2026-11-27T14:29:59.999999", WEDNESDAY, "closed"),
        ("2026-11-27T14:30", HALF_FRIDAY, "open"),
        ("2026-11-27T18:00", HALF_FRIDAY, "closed"),
        ("2026-11-30T12:00", HALF_FRIDAY, "closed"),
        ("2026-11-30T15:00", MONDAY, "open"),
    ],
)
def test_a_session_is_current_until_the_next_one_opens(moment: str, current: Session, phase: str) -> None:
    assert NEW_YORK.session_at(at(moment)) == current
    assert NEW_YORK.phase(at(moment)) == phase


def test_a_lunch_break_is_closed_and_ends_no_session() -> None:
    phases = {
        hour: HONG_KONG.phase(at(f"2026-11-19T{hour}"))
        for hour in ("03:59:59", "04:00", "04:59:59", "05:00", "08:00")
    }
    assert phases == {
        "03:59:59": "open",
        "04:00": "closed",
        "04:59:59": "closed",
        "05:00": "open",
        "08:00": "closed",
    }
    assert HONG_KONG.session_at(at("2026-11-19T04:30")) == LUNCH


def test_a_holiday_has_no_session() -> None:
    assert NEW_YORK.of_date(date(2026, 11, 26)) is None
    assert NEW_YORK.of_date(date(2026, 11, 27)) == HALF_FRIDAY


def test_beyond_what_is_stored_a_calendar_goes_by_utc_days() -> None:
    assert NEW_YORK.before(WEDNESDAY) == AROUND_THE_CLOCK.of_date(date(2026, 11, 24))
    assert NEW_YORK.session_at(at("2026-11-25T14:29")) == AROUND_THE_CLOCK.of_date(date(2026, 11, 24))
    assert NEW_YORK.after(AROUND_THE_CLOCK.of_date(date(2026, 11, 24))) == WEDNESDAY
    assert NEW_YORK.after(AROUND_THE_CLOCK.of_date(date(2026, 11, 23))).date == date(2026, 11, 24)
    # Monday's stays current for the rest of its own day only.
    assert NEW_YORK.session_at(at("2026-11-30T23:59")) == MONDAY
    assert NEW_YORK.after(MONDAY) == NEW_YORK.session_at(at("2026-12-01"))
    assert NEW_YORK.before(NEW_YORK.after(MONDAY)) == MONDAY
    assert NEW_YORK.session_at(at("2026-12-05T12:00")) == AROUND_THE_CLOCK.of_date(date(2026, 12, 5))
    assert NEW_YORK.phase(at("2026-12-05T12:00")) == "always"
    assert NEW_YORK.of_date(date(2026, 12, 5)) == AROUND_THE_CLOCK.of_date(date(2026, 12, 5))
    assert NEW_YORK.of_date(date(1990, 1, 6)) == AROUND_THE_CLOCK.of_date(date(1990, 1, 6))


def test_without_stored_sessions_an_exchange_trades_around_the_clock() -> None:
    empty = StoredCalendar("XNYS", [])
    moment = at("2026-11-28T12:00")
    assert empty.session_at(moment) == AROUND_THE_CLOCK.session_at(moment)
    assert empty.after(empty.session_at(moment)).date == date(2026, 11, 29)
    assert empty.before(empty.session_at(moment)).date == date(2026, 11, 27)
    assert empty.of_date(date(2026, 11, 28)) == empty.session_at(moment)
    assert empty.phase(moment) == "always"
    assert empty.last is None and NEW_YORK.last == MONDAY


def test_a_session_that_opens_the_evening_before_keeps_its_date() -> None:
    """Sydney opens at 23:00 UTC; its date is that of the day after."""
    opened = Session(date(2026, 11, 20), at("2026-11-19T23:00"), at("2026-11-20T05:00"))
    sydney = StoredCalendar("XASX", [opened])
    assert sydney.session_at(at("2026-11-19T23:30")).date == date(2026, 11, 20)
    assert sydney.before(opened) == AROUND_THE_CLOCK.of_date(date(2026, 11, 18))
    assert sydney.of_date(date(2026, 11, 19)) is None


@pytest.mark.parametrize(
    "sessions",
    [
        [make_session("2026-11-25", "21:00", "14:30")],
        [make_session("2026-11-25", "14:30", "14:30")],
        [WEDNESDAY, make_session("2026-11-25", "20:00", "22:00")],
        [WEDNESDAY, make_session("2026-11-25", "21:00", "22:00")],
        [make_session("2026-11-25", "14:30", "21:00", ("13:00", "15:00"))],
        [make_session("2026-11-25", "14:30", "21:00", ("16:00", "15:00"))],
    ],
    ids=["backwards", "empty", "overlapping", "two of a date", "break outside", "break backwards"],
)
def test_sessions_that_cannot_be_are_refused(sessions: list[Session]) -> None:
    with pytest.raises(ValueError, match=r"expected .*sessions? of XNYS"):
        StoredCalendar("XNYS", sessions)


# -- the window of a day's change


def test_the_golden_cases_have_their_baselines() -> None:
    """NUMBERS.md cases 1 and 5."""
    sessions = [make_session(f"2026-11-{day}", "14:30", "21:00") for day in (17, 18, 19, 20)]
    case_1 = StoredCalendar("XNYS", sessions)
    now = at("2026-11-19T16:00")
    assert window(case_1, now) == (at("2026-11-18T21:00"), at("2026-11-20T14:30"))
    assert window(FX_DAYS, now) == (at("2026-11-18T22:00"), at("2026-11-19T22:00"))
    before, after = at("2026-11-30T12:00"), at("2026-11-30T15:00")
    assert window(NEW_YORK, before) == (at("2026-11-25T21:00"), at("2026-11-30T14:30"))
    assert window(NEW_YORK, after) == (at("2026-11-27T18:00"), at("2026-12-01"))
    for now in (before, after):
        assert window(AROUND_THE_CLOCK, now) == (at("2026-11-30"), at("2026-12-01"))
        assert window(FX_DAYS, now) == (at("2026-11-27T22:00"), at("2026-11-30T22:00"))


def test_the_next_change_is_an_open_a_close_or_an_edge_of_a_break() -> None:
    moment, found = at("2026-11-19T00:30"), []
    while moment < at("2026-11-21"):
        moment = next_change(HONG_KONG, moment)
        found.append(moment)
    hours = ["01:30", "04:00", "05:00", "08:00"]
    assert found == [at(f"2026-11-{day}T{hour}") for day in (19, 20) for hour in hours] + [at("2026-11-21")]


# -- what holds for all


@st.composite
def stored(draw: st.DrawFn) -> StoredCalendar:
    """An exchange anywhere on earth, with holidays, half days and lunch breaks."""
    first = draw(st.dates(date(2000, 1, 1), date(2040, 1, 1)))
    offset = timedelta(hours=draw(st.integers(-10, 12)))
    sessions = []
    for number in draw(st.sets(st.integers(0, 30), max_size=20)):
        day = first + DAY * number
        opened = datetime(day.year, day.month, day.day, 9, 30, tzinfo=UTC) - offset
        closed = opened + timedelta(minutes=draw(st.integers(180, 400)))
        breaks = ((opened + DAY / 24, opened + DAY / 12),) if draw(st.booleans()) else ()
        sessions.append(Session(day, opened, closed, breaks))
    return StoredCalendar("XXXX", sessions)


@st.composite
def calendars_and_moments(draw: st.DrawFn) -> tuple[Calendar, datetime]:
    calendar: Calendar = draw(st.one_of(st.just(AROUND_THE_CLOCK), st.just(FX_DAYS), stored()))
    if isinstance(calendar, StoredCalendar) and calendar.last is not None:
        near = calendar.last.open - timedelta(minutes=draw(st.integers(-5 * 1440, 40 * 1440)))
        return calendar, near
    return calendar, draw(moments)


@given(calendars_and_moments())
def test_sessions_follow_each_other_without_gap_or_overlap(drawn: tuple[Calendar, datetime]) -> None:
    calendar, moment = drawn
    session = calendar.session_at(moment)
    earlier, later = calendar.before(session), calendar.after(session)
    assert earlier.open < earlier.close <= session.open <= moment < later.open
    assert session.open < session.close <= later.open
    assert calendar.after(earlier) == session == calendar.before(later)
    assert earlier.date < session.date < later.date


@given(calendars_and_moments())
def test_a_session_is_found_by_any_of_its_moments_and_by_its_date(drawn: tuple[Calendar, datetime]) -> None:
    calendar, moment = drawn
    session = calendar.session_at(moment)
    last = calendar.after(session).open - INSTANT
    for inside in (session.open, session.close - INSTANT, last):
        assert calendar.session_at(inside) == session
    assert calendar.of_date(session.date) == session
    local = moment.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert calendar.session_at(local) == session and calendar.phase(local) == calendar.phase(moment)


@given(calendars_and_moments())
def test_neither_session_nor_phase_moves_before_the_next_change(drawn: tuple[Calendar, datetime]) -> None:
    calendar, moment = drawn
    change = next_change(calendar, moment)
    assert change > moment
    before = change - INSTANT
    assert calendar.session_at(before) == calendar.session_at(moment)
    assert calendar.phase(before) == calendar.phase(moment)


@given(calendars_and_moments())
def test_the_window_reaches_back_to_the_close_before(drawn: tuple[Calendar, datetime]) -> None:
    calendar, now = drawn
    found = window(calendar, now)
    assert found.at <= now < found.until
    assert window(calendar, found.until - INSTANT) == found
    assert window(calendar, found.until) != found


@pytest.fixture(params=["Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata"])
def machine_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("machine_zone")
def test_the_machines_time_zone_plays_no_part() -> None:
    assert FX_DAYS.session_at(at("2026-11-19T22:00")).open == at("2026-11-19T22:00")
    assert AROUND_THE_CLOCK.session_at(at("2026-11-19T23:59")).open == at("2026-11-19")
    assert NEW_YORK.session_at(at("2026-11-27T14:30")) == HALF_FRIDAY


@pytest.mark.parametrize("calendar", [AROUND_THE_CLOCK, FX_DAYS, StoredCalendar("XNYS", [])])
def test_a_time_without_its_zone_is_refused(calendar: Calendar) -> None:
    with pytest.raises(ValueError, match="expected a time with its zone"):
        calendar.session_at(datetime(2026, 11, 19))


@given(moments)
def test_a_stored_copy_of_the_currencies_days_behaves_as_they_do(moment: datetime) -> None:
    """Two implementations of one calendar: computed, and by search over a list."""
    days = (moment.date() + DAY * offset for offset in range(-10, 10))
    copy = StoredCalendar("FX", [one for day in days if (one := FX_DAYS.of_date(day))])
    assert copy.session_at(moment) == FX_DAYS.session_at(moment)
    assert copy.phase(moment) == FX_DAYS.phase(moment)
    assert next_change(copy, moment) == next_change(FX_DAYS, moment)
    session = copy.session_at(moment)
    assume(copy.last is not None and session.date < copy.last.date)
    assert copy.after(session) == FX_DAYS.after(session) and copy.before(session) == FX_DAYS.before(session)
