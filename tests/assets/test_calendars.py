"""Calendars by name: computed ones, stored ones remembered for a minute, and what serves while nothing is stored."""

import logging
from datetime import date, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assets.calendar_names import known_names, stored_name, validate_calendar, zone_of
from assets.calendars import Calendars, calendar_named, calendars_due, calendars_in_use
from assets.models import TradingSession
from assets.session_store import Changes, read_sessions, store_sessions
from assets.sessions import AROUND_THE_CLOCK, FX_DAYS, Session, window
from tests.assets.builders import at, make_asset, store_session

pytestmark = pytest.mark.django_db


class FakeTime:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def hong_kong(day: str) -> Session:
    breaks = ((at(f"{day}T04:00"), at(f"{day}T05:00")),)
    return Session(date.fromisoformat(day), at(f"{day}T01:30"), at(f"{day}T08:00"), breaks)


# -- names


def test_an_asset_may_name_a_computed_a_known_or_an_overrides_calendar() -> None:
    for name in ("24/7", "FX", "XNYS", "XNAS", "us_futures", "XNSE", "MCX"):
        validate_calendar(name)
    for name in ("24/5", "xnys", "", "NOPE"):
        with pytest.raises(ValidationError, match="expected 24/7, FX or an exchange's code"):
            validate_calendar(name)
    assert max(map(len, known_names())) <= 16


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("24/7", "UTC"),
        ("FX", "America/New_York"),
        ("XNAS", "America/New_York"),
        ("XLON", "Europe/London"),
        ("XNSE", "Asia/Kolkata"),
        ("MCX", "Asia/Kolkata"),
        ("never heard of", "UTC"),
    ],
)
def test_every_calendar_has_a_time_zone(name: str, zone: str) -> None:
    assert str(zone_of(name)) == zone


# -- looking them up


def test_computed_calendars_need_no_database() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert calendar_named("24/7") is AROUND_THE_CLOCK
        assert calendar_named("FX") is FX_DAYS
    assert len(queries) == 0


def test_stored_sessions_make_a_calendar() -> None:
    for day, closed in (("2026-11-25", "21:00"), ("2026-11-27", "18:00"), ("2026-11-30", "21:00")):
        store_session(day, "14:30", closed)
    store_session("2026-11-26", "08:00", "16:30", calendar="XLON")
    for name in ("XNYS", "XNAS"):
        found = window(calendar_named(name), at("2026-11-30T12:00"))
        assert found == (at("2026-11-25T21:00"), at("2026-11-30T14:30"))
    assert window(calendar_named("XNYS"), at("2026-11-30T15:00")).at == at("2026-11-27T18:00")


def test_without_stored_sessions_days_are_those_of_utc_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calendars = Calendars(clock := FakeTime())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            moment = at("2026-11-28T12:00")
            assert calendars.named("XTKS").session_at(moment) == AROUND_THE_CLOCK.session_at(moment)
            clock.now += 100
    assert [(record.levelname, record.calendar) for record in caplog.records] == [("WARNING", "XTKS")]  # type: ignore[attr-defined]


def test_a_calendar_is_read_once_and_looked_at_again_after_a_minute() -> None:
    calendars = Calendars(clock := FakeTime())
    store_sessions("XHKG", [hong_kong("2026-11-19")], date(2026, 1, 1))
    first = calendars.named("XHKG")
    # Another process stores one more: this one hears nothing of it.
    store_sessions("XHKG", [hong_kong("2026-11-19"), hong_kong("2026-11-20")], date(2026, 1, 1))
    clock.now += 59
    with CaptureQueriesContext(connection) as queries:
        assert calendars.named("XHKG") is first
    assert len(queries) == 0
    clock.now += 2
    later = calendars.named("XHKG")
    assert later.of_date(date(2026, 11, 20)) == hong_kong("2026-11-20")
    clock.now += 61
    with CaptureQueriesContext(connection) as queries:
        assert calendars.named("XHKG") is later
    assert len(queries) == 1


def test_a_session_saved_or_deleted_here_counts_at_once() -> None:
    store_session("2026-11-25", "14:30", "21:00")
    session = store_session("2026-11-27", "14:30", "21:00")
    assert calendar_named("XNYS").of_date(session.date) is not None
    session.close -= timedelta(hours=3)
    session.save()
    assert calendar_named("XNYS").phase(at("2026-11-27T18:00")) == "closed"
    assert calendar_named("XNYS").of_date(date(2026, 11, 26)) is None
    session.delete()
    assert calendar_named("XNYS").phase(at("2026-11-27T15:00")) == "always"


def test_stored_sessions_that_contradict_each_other_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store_session("2026-11-25", "14:30", "21:00")
    TradingSession.objects.create(
        calendar="XNYS", date=date(2026, 11, 26), open=at("2026-11-25T20:00"), close=at("2026-11-26T21:00")
    )
    assert calendar_named("XNYS").phase(at("2026-11-25T15:00")) == "always"
    assert "stored sessions contradict each other" in caplog.messages


# -- storing


def test_storing_touches_only_what_is_different() -> None:
    november = [hong_kong(f"2026-11-{day}") for day in (17, 18, 19, 20)]
    first = date(2026, 1, 1)
    assert store_sessions("XHKG", november, first) == Changes(added=4)
    assert read_sessions("XHKG") == november
    touched = set(TradingSession.objects.values_list("pk", "updated_at"))
    assert store_sessions("XHKG", november, first) == Changes()
    assert set(TradingSession.objects.values_list("pk", "updated_at")) == touched
    moved = november[1]._replace(close=at("2026-11-18T04:00"), breaks=())
    wanted = [november[0], moved, november[3], hong_kong("2026-11-23")]
    assert store_sessions("XHKG", wanted, first, dry_run=True) == Changes(1, 1, 1)
    assert read_sessions("XHKG") == november
    assert store_sessions("XHKG", wanted, first) == Changes(1, 1, 1)
    assert read_sessions("XHKG") == wanted
    assert len(touched & set(TradingSession.objects.values_list("pk", "updated_at"))) == 2


def test_sessions_from_before_the_period_stay() -> None:
    old, new = hong_kong("2020-11-19"), hong_kong("2026-11-19")
    store_sessions("XHKG", [old, new], date(2020, 1, 1))
    assert store_sessions("XHKG", [], date(2026, 1, 1)) == Changes(removed=1)
    assert read_sessions("XHKG") == [old]


# -- which to update


def test_calendars_in_use_are_those_that_assets_name() -> None:
    for number, name in enumerate(("24/7", "FX", "XNAS", "XNYS", "XLON")):
        make_asset(f"A{number}", calendar=name)
    assert calendars_in_use() == ["XLON", "XNYS"]
    assert stored_name("XNAS") == "XNYS"


def test_a_calendar_is_due_a_month_before_its_sessions_end() -> None:
    for name in ("XNYS", "XLON", "XTKS"):
        make_asset(name, calendar=name)
    store_session("2026-11-30", "14:30", "21:00")
    store_session("2026-12-30", "08:00", "16:30", calendar="XLON")
    store_session("2026-12-30", "08:00", "16:30", calendar="XPAR")
    assert calendars_due(at("2026-11-21")) == ["XNYS", "XTKS"]
    assert calendars_due(at("2026-12-01")) == ["XLON", "XNYS", "XTKS"]
    assert calendars_due(at("2026-10-01")) == ["XTKS"]
