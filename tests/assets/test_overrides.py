"""The overrides file: what it lays over the library's sessions, and what it refuses."""

from datetime import UTC, date, datetime, timedelta

import pytest

from assets.overrides import FILE, OverridesError, read_overrides, stored_overrides
from assets.sessions import Session

DAY = timedelta(days=1)


def library(*days: str) -> list[Session]:
    """Sessions from 03:45 to 10:00 UTC, as in Bombay."""
    opens = [datetime.fromisoformat(f"{day}T03:45+00:00") for day in days]
    return [Session(opened.date(), opened, opened + timedelta(hours=6, minutes=15)) for opened in opens]


def test_a_special_session_is_added_or_replaces_the_usual_one() -> None:
    text = """
        [[XBOM.sessions]]
        date = 2026-11-08
        open = 18:00:00
        close = 19:00:00
        breaks = [[18:20:00, 18:30:00]]
        [[XBOM.sessions]]
        date = 2026-11-09
        open = 09:15:00
        close = 12:00:00
    """
    found = read_overrides(text)["XBOM"].applied(library("2026-11-06", "2026-11-09"))
    assert [session.date.day for session in found] == [6, 8, 9]
    assert found[1].open == datetime(2026, 11, 8, 12, 30, tzinfo=UTC)
    assert found[1].close == datetime(2026, 11, 8, 13, 30, tzinfo=UTC)
    assert found[1].breaks == (
        (found[1].open + timedelta(minutes=20), found[1].open + timedelta(minutes=30)),
    )
    assert found[2].close == datetime(2026, 11, 9, 6, 30, tzinfo=UTC)


def test_a_date_can_be_closed() -> None:
    override = read_overrides("XBOM.closed = [2026-11-09]")["XBOM"]
    assert [one.date.day for one in override.applied(library("2026-11-06", "2026-11-09"))] == [6]


def test_hours_fill_the_weekdays_that_the_library_does_not_know() -> None:
    text = """
        [[XBOM.hours]]
        first = 2026-11-01
        last = 2026-11-13
        open = 09:15:00
        close = 15:30:00
    """
    found = read_overrides(text)["XBOM"].applied(library("2026-11-05", "2026-11-09"))
    # The 6th stays a holiday, for the library knows the 9th.
    assert [session.date.day for session in found] == [5, 9, 10, 11, 12, 13]
    assert found[-1] == library("2026-11-13")[0]


def test_hours_follow_the_zones_clock() -> None:
    text = """
        [X]
        zone = "Europe/Berlin"
        hours = [{first = 2026-10-23, last = 2026-10-26, open = 09:00:00, close = 17:30:00}]
    """
    assert [one.open.hour for one in read_overrides(text)["X"].applied([])] == [7, 8]


def test_a_copy_has_the_zone_of_its_original() -> None:
    overrides = read_overrides('[A]\nzone = "Asia/Kolkata"\n[B]\ncopy_of = "A"\n[C]\ncopy_of = "XTKS"')
    assert str(overrides["B"].zone) == "Asia/Kolkata"
    assert str(overrides["C"].zone) == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[XBOM", "expected TOML"),
        ("XBOM = 5", "XBOM: expected a table, was 5"),
        ("[NEW]", "NEW: expected a zone"),
        ('[NEW]\nzone = "Mars/Olympus"', "NEW: .*Mars/Olympus"),
        ('[NEW]\ncopy_of = "NOPE"', "NEW: expected copy_of to name a calendar, was 'NOPE'"),
        (
            '[A]\ncopy_of = "B"\n[B]\ncopy_of = "XBOM"',
            "A: expected a copy of a calendar that is none itself, was B",
        ),
        ("[XBOM]\nclose = 5", "XBOM: expected closed, .*, was close"),
        ('XBOM.closed = ["2026-11-08"]', "XBOM: expected a date, was '2026-11-08'"),
        ("XBOM.sessions = [{date = 2026-11-08, open = 18:00:00}]", "XBOM: expected close in"),
        (
            "XBOM.sessions = [{date = 2026-11-08, open = 19:00:00, close = 18:00:00}]",
            "expected times in order",
        ),
        (
            "XBOM.sessions = [{date = 2026-11-08T18:00:00, open = 18:00:00, close = 19:00:00}]",
            "expected a date",
        ),
        (
            "XBOM.sessions = [{date = 2026-11-08, open = 18:00:00, close = 19:00:00, lunch = 1}]",
            "expected .*, was lunch",
        ),
        (
            "XBOM.hours = [{first = 2026-11-09, last = 2026-11-08, open = 09:00:00, close = 17:00:00}]",
            "expected hours that end after they begin",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(OverridesError, match=message):
        read_overrides(text)


def test_the_file_of_this_installation_is_in_order() -> None:
    overrides = stored_overrides()
    assert {"XBOM", "XNSE", "MCX"} <= set(overrides)
    assert overrides["XNSE"].copy_of == "XBOM"
    for override in overrides.values():
        dates = [special.date for special in override.specials]
        assert len(set(dates)) == len(dates) and not set(dates) & override.closed
        for period in override.hours:
            assert all(date.weekday(day) < 5 for day in (period.first, period.last))
    assert "copy_of" in FILE.read_text().split("[XBOM]", 1)[0]


def test_metals_in_india_close_with_the_american_clock() -> None:
    metals = {session.date: session for session in stored_overrides()["MCX"].applied([])}
    assert metals[date(2026, 10, 30)].close == datetime(2026, 10, 30, 18, 0, tzinfo=UTC)
    assert metals[date(2026, 11, 2)].close == datetime(2026, 11, 2, 18, 25, tzinfo=UTC)
    assert metals[date(2026, 11, 24)].open == datetime(2026, 11, 24, 11, 30, tzinfo=UTC)
    assert date(2026, 12, 25) not in metals
