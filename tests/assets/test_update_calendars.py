"""The command that stores sessions: what exchange_calendars and the overrides give, checked against known days."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest
from django.core.management import CommandError, call_command
from exchange_calendars import calendar_utils

from assets.calendars import calendar_named
from assets.exchanges import ALIASES, ZONES
from assets.management.commands.update_calendars import sessions_between
from assets.models import TradingSession
from assets.overrides import read_overrides, stored_overrides
from assets.session_store import read_sessions
from assets.sessions import Session, StoredCalendar, window
from tests.assets.builders import at, make_asset

FIRST, LAST = date(2025, 1, 1), date(2027, 6, 1)
ROOT = Path(__file__).parents[2]


def calendar(name: str) -> StoredCalendar:
    return StoredCalendar(name, sessions_between(name, FIRST, LAST, stored_overrides())[0])


def session(day: str, opened: str, closed: str) -> Session:
    return Session(date.fromisoformat(day), at(f"{day}T{opened}"), at(f"{day}T{closed}"))


# -- the list of exchanges


def test_the_list_of_exchanges_is_the_librarys() -> None:
    names = set(exchange_calendars.get_calendar_names(include_aliases=False)) - {"24/5", "24/7"}
    assert set(ZONES) == names
    assert calendar_utils._default_calendar_aliases == ALIASES


@pytest.mark.parametrize("name", ["CMES", "XASX", "XBOM", "XHKG", "XLON", "XNYS", "XTKS", "us_futures"])
def test_an_exchanges_time_zone_is_the_librarys(name: str) -> None:
    assert str(exchange_calendars.get_calendar(name).tz) == ZONES[name]


# Athens to Tel Aviv need a pandas that is old enough; the others have breaks, nights or their own weekend.
@pytest.mark.parametrize("name", ["ASEX", "XBEL", "XBSE", "XCYS", "XTAE", "CMES", "XSAU", "XTKS", "XNZE"])
def test_an_exchanges_sessions_follow_each_other(name: str) -> None:
    sessions, _ = sessions_between(name, date(2026, 1, 1), LAST, stored_overrides())
    assert len(StoredCalendar(name, sessions)) > 300


def test_every_exchanges_time_zone_exists() -> None:
    assert all(ZoneInfo(zone) for zone in ZONES.values())


# -- known days


def test_new_york_has_half_a_day_after_thanksgiving() -> None:
    new_york = calendar("XNYS")
    assert new_york.of_date(date(2026, 11, 26)) is None
    assert new_york.of_date(date(2026, 11, 27)) == session("2026-11-27", "14:30", "18:00")
    # Golden case 5, and the shares of case 1.
    assert window(new_york, at("2026-11-30T12:00")).at == at("2026-11-25T21:00")
    assert window(new_york, at("2026-11-30T15:00")).at == at("2026-11-27T18:00")
    assert window(new_york, at("2026-11-19T16:00")).at == at("2026-11-18T21:00")
    assert window(calendar("XLON"), at("2026-11-19T12:00")).at == at("2026-11-18T16:30")


def test_new_york_and_london_change_their_clocks_in_different_weeks() -> None:
    new_york, london = calendar("XNYS"), calendar("XLON")
    opens = {
        day: tuple(one.of_date(date.fromisoformat(day)).open.strftime("%H:%M") for one in (new_york, london))  # type: ignore[union-attr]
        for day in ("2026-03-06", "2026-03-09", "2026-03-30", "2026-10-23", "2026-10-26", "2026-11-02")
    }
    assert opens == {
        "2026-03-06": ("14:30", "08:00"),
        "2026-03-09": ("13:30", "08:00"),
        "2026-03-30": ("13:30", "07:00"),
        "2026-10-23": ("13:30", "07:00"),
        "2026-10-26": ("13:30", "08:00"),
        "2026-11-02": ("14:30", "08:00"),
    }


def test_hong_kong_has_lunch() -> None:
    found = calendar("XHKG").of_date(date(2026, 11, 19))
    breaks = ((at("2026-11-19T04:00"), at("2026-11-19T05:00")),)
    assert found == session("2026-11-19", "01:30", "08:00")._replace(breaks=breaks)


@pytest.mark.parametrize("name", ["XBOM", "XNSE"])
def test_india_trades_for_an_hour_on_the_sunday_of_diwali(name: str) -> None:
    india = calendar(name)
    assert india.of_date(date(2026, 11, 8)) == session("2026-11-08", "12:30", "13:30")
    # Monday's change is measured from that hour, and not from Friday.
    assert window(india, at("2026-11-09T05:00")).at == at("2026-11-08T13:30")
    assert india.of_date(date(2026, 11, 10)) is None


def test_sydneys_session_is_dated_by_its_own_day() -> None:
    found = calendar("XASX").of_date(date(2026, 11, 20))
    assert found is not None and found.open == at("2026-11-19T23:00")


def test_beyond_its_last_known_holiday_a_calendar_goes_on_with_its_usual_days() -> None:
    sessions, known_until = sessions_between("XBOM", FIRST, LAST, stored_overrides())
    assert known_until == date(2026, 12, 31)
    january = [one for one in sessions if date(2027, 1, 1) <= one.date <= date(2027, 1, 10)]
    assert [one.date.day for one in january] == [1, 4, 5, 6, 7, 8]
    assert january[0] == session("2027-01-01", "03:45", "10:00")
    assert sessions[-1].date == LAST


def test_what_the_overrides_say_of_a_year_is_no_guess() -> None:
    hours = "hours = [{first = 2027-01-01, last = 2027-12-31, open = 10:00:00, close = 11:00:00}]"
    overrides = read_overrides(f"[XBOM]\nclosed = [2027-01-26]\n{hours}")
    sessions, known_until = sessions_between("XBOM", FIRST, LAST, overrides)
    assert known_until == LAST
    by_date = {one.date: one for one in sessions}
    assert date(2027, 1, 26) not in by_date
    assert by_date[date(2027, 1, 27)] == session("2027-01-27", "04:30", "05:30")


# -- the command


@pytest.mark.django_db
def test_the_calendars_of_assets_are_stored_once(capsys: pytest.CaptureFixture[str]) -> None:
    make_asset("ACME", calendar="XNAS")
    make_asset("BTC-USD")
    call_command("update_calendars", years_back=1)
    stored = read_sessions("XNYS")
    today = datetime.now(UTC).date()
    assert set(TradingSession.objects.values_list("calendar", flat=True)) == {"XNYS"}
    assert stored[0].date >= today - timedelta(days=366) and stored[-1].date > today + timedelta(days=355)
    assert calendar_named("XNAS").of_date(stored[0].date) == stored[0]
    assert f"XNYS: {len(stored)} sessions from" in capsys.readouterr().out
    call_command("update_calendars", years_back=1)
    assert "0 added, 0 changed, 0 removed" in capsys.readouterr().out


@pytest.mark.django_db
def test_a_dry_run_stores_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("update_calendars", calendars=["MCX", "XLON"], years_back=1, dry_run=True)
    out = capsys.readouterr().out
    assert "MCX: " in out and "would be" in out
    assert not TradingSession.objects.exists()


@pytest.mark.django_db
def test_where_no_asset_names_an_exchange_nothing_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    make_asset("BTC-USD")
    call_command("update_calendars")
    assert "nothing to store" in capsys.readouterr().out


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calendars": ["XNYS", "NOPE"]}, "expected names of .*XNYS.*; was NOPE"),
        ({"calendars": ["24/7"]}, "expected exchanges, was 24/7"),
        ({"calendars": ["FX", "XNYS"]}, "expected exchanges, was FX"),
        ({"years_back": 0}, "--years-back: expected 1 to 20, was 0"),
        ({"years_back": 21}, "--years-back: expected 1 to 20, was 21"),
    ],
)
def test_a_wrong_name_or_number_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("update_calendars", **options)
    assert not TradingSession.objects.exists()


@pytest.mark.django_db
def test_one_calendar_that_fails_is_named_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    library = exchange_calendars.get_calendar

    def broken(name: str) -> object:
        if name == "XLON":
            raise RuntimeError("no holidays found")
        return library(name)

    monkeypatch.setattr(exchange_calendars, "get_calendar", broken)
    with pytest.raises(CommandError, match="not stored: XLON"):
        call_command("update_calendars", calendars=["XLON", "XNYS"], years_back=1)
    assert "XLON: RuntimeError: no holidays found" in capsys.readouterr().err
    assert set(TradingSession.objects.values_list("calendar", flat=True)) == {"XNYS"}


def test_what_serves_pages_does_not_load_the_library() -> None:
    """It costs 60 MB in every process."""
    program = (
        "import sys, django; django.setup(); import config.asgi, config.urls, config.api; "
        "sys.exit('pandas' in sys.modules or 'exchange_calendars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0
