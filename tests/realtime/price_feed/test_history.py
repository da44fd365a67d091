"""Past days, by the sessions of each asset."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from assets.market import Bar
from assets.models import Asset, FeedSymbol, PriceBar, Split
from assets.sessions import AROUND_THE_CLOCK, FX_DAYS, Calendar
from realtime.price_feed.feed_store import read_listings
from realtime.price_feed.history import MOST_DAYS, MissingDays, in_sessions, missing_days, store_days
from tests.exchanges import HONG_KONG, LONDON, MUMBAI, NEW_YORK, store_exchange, utc

SATURDAY = utc("2026-11-21T12:00")
DAY = timedelta(days=1)


def make_bar(start: datetime, close: str = "5") -> Bar:
    price = Decimal(close)
    return Bar(symbol="acme", interval="1d", start=start, open=price, high=price, low=price, close=price)


@pytest.mark.parametrize(
    ("calendar", "start", "opened"),
    [
        (AROUND_THE_CLOCK, "2026-11-19T00:00", "2026-11-19T00:00"),
        (NEW_YORK, "2026-11-19T00:00", "2026-11-19T14:30"),  # midnight of UTC, of New York, the open itself
        (NEW_YORK, "2026-11-19T05:00", "2026-11-19T14:30"),
        (NEW_YORK, "2026-11-19T14:30", "2026-11-19T14:30"),
        (LONDON, "2026-11-19T00:00", "2026-11-19T08:00"),
        (MUMBAI, "2026-11-18T18:30", "2026-11-19T03:45"),  # midnight in Mumbai
        (HONG_KONG, "2026-11-18T16:00", "2026-11-19T01:30"),
        (FX_DAYS, "2026-11-19T00:00", "2026-11-18T22:00"),
        (NEW_YORK, "2026-11-26T00:00", "2026-11-27T14:30"),  # a holiday has none
    ],
)
def test_a_day_begins_where_its_session_opened(calendar: Calendar, start: str, opened: str) -> None:
    assert [bar.start for bar in in_sessions(calendar, [make_bar(utc(start))])] == [utc(opened)]


def test_a_weekends_days_give_way_to_mondays() -> None:
    days = [make_bar(utc("2026-11-20") + n * DAY, str(n + 1)) for n in range(4)]
    found = in_sessions(NEW_YORK, days)
    assert [(bar.start, bar.close) for bar in found] == [
        (utc("2026-11-20T14:30"), Decimal(1)),
        (utc("2026-11-23T14:30"), Decimal(4)),
    ]


@pytest.mark.django_db
class TestMissing:
    def make_asset(self, calendar: str, *starts: str, close: str = "1") -> Asset:
        store_exchange(NEW_YORK)
        asset = Asset.objects.create(symbol="ACME", calendar=calendar)
        FeedSymbol.objects.create(asset=asset, source="vendor", symbol="acme")
        price = Decimal(close)
        for start in starts:
            PriceBar.objects.create(
                asset=asset, interval="1d", start=utc(start), open=price, high=price, low=price, close=price
            )
        return asset

    def missing(self, now: datetime = SATURDAY) -> list[MissingDays]:
        return missing_days(read_listings("vendor"), now)

    def closes(self) -> Sequence[tuple[datetime, Decimal]]:
        return list(PriceBar.objects.order_by("start").values_list("start", "close"))

    @pytest.mark.parametrize(
        ("calendar", "start", "days"),
        [
            ("24/7", "2026-11-20T00:00", None),
            ("24/7", "2026-11-19T00:00", 2),
            ("24/7", "2026-11-15T00:00", 6),
            # On a Saturday Friday's session is the current one, so that Thursday's close is what matters.
            ("XNYS", "2026-11-19T14:30", None),
            ("XNYS", "2026-11-18T14:30", 3),
        ],
    )
    def test_days_are_asked_for_when_the_session_before_is_missing(
        self, calendar: str, start: str, days: int | None
    ) -> None:
        self.make_asset(calendar, start)
        assert [missing.days for missing in self.missing()] == ([] if days is None else [days])

    def test_an_asset_without_any_day_asks_for_a_quarter(self) -> None:
        self.make_asset("XNYS")
        assert [(missing.days, missing.newest) for missing in self.missing()] == [(MOST_DAYS + 1, None)]

    def test_sessions_before_the_current_one_are_stored_by_their_open(self) -> None:
        self.make_asset("XNYS", "2026-11-17T14:30")
        (missing,) = self.missing()
        bars = [make_bar(utc(f"2026-11-{day}"), str(day)) for day in range(16, 22)]
        assert store_days("vendor", missing, bars, SATURDAY) == 2
        assert self.closes()[1:] == [
            (utc("2026-11-18T14:30"), Decimal(18)),
            (utc("2026-11-19T14:30"), Decimal(19)),
        ]

    @pytest.mark.parametrize("told", ["1200", "120"])
    def test_a_past_that_its_vendor_has_divided_is_stored_as_it_was_traded(self, told: str) -> None:
        asset = self.make_asset("XNYS", "2026-11-17T14:30", close="1190")
        Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=10)
        (missing,) = self.missing()
        bars = [make_bar(utc("2026-11-18"), told), make_bar(utc("2026-11-19"), "123")]
        assert store_days("vendor", missing, bars, SATURDAY) == 2
        assert [close for _, close in self.closes()] == [1190, 1200, 123]
