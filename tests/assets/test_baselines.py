"""Where an asset's day began, and what it was worth then."""

from datetime import date
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assets.baselines import StoredBaseline, closes_before
from assets.models import Asset, Split
from assets.redistribution import EVERYTHING
from tests.assets.builders import at, make_asset, make_bar, store_session

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture(autouse=True)
def new_york() -> None:
    """Golden case 5: Thanksgiving, half a Friday, and Monday."""
    for day, closed in (("24", "21:00"), ("25", "21:00"), ("27", "18:00"), ("30", "21:00")):
        store_session(f"2026-11-{day}", "14:30", closed)
    store_session("2026-12-01", "14:30", "21:00")


def share(symbol: str = "ACME", *columns: str) -> Asset:
    return make_asset(symbol, *columns, calendar="XNYS")


def baseline(asset: Asset, now: str) -> StoredBaseline:
    return closes_before([asset], at(now), EVERYTHING)[asset.pk]


def test_golden_case_5_has_its_baselines() -> None:
    asset, bitcoin = share(), make_asset("BTC-USD")
    make_bar(asset, "2026-11-25T14:30", "200.00")
    make_bar(asset, "2026-11-27T14:30", "206.00")
    make_bar(bitcoin, "2026-11-28", "90500")
    make_bar(bitcoin, "2026-11-29", "91000")
    make_bar(bitcoin, "2026-11-30", "91500")
    midnight = StoredBaseline(at("2026-11-30"), at("2026-12-01"), D(91000))
    assert closes_before([asset, bitcoin], at("2026-11-30T12:00"), EVERYTHING) == {
        asset.pk: StoredBaseline(at("2026-11-25T21:00"), at("2026-11-30T14:30"), D("200.00")),
        bitcoin.pk: midnight,
    }
    assert closes_before([asset, bitcoin], at("2026-11-30T15:00"), EVERYTHING) == {
        asset.pk: StoredBaseline(at("2026-11-27T18:00"), at("2026-12-01T14:30"), D("206.00")),
        bitcoin.pk: midnight,
    }


def test_where_the_session_before_has_no_bar_an_earlier_one_serves() -> None:
    asset = share()
    make_bar(asset, "2026-11-24T14:30", "198")
    make_bar(asset, "2026-11-30T14:30", "205")
    assert baseline(asset, "2026-11-30T15:00") == StoredBaseline(
        at("2026-11-27T18:00"), at("2026-12-01T14:30"), D(198)
    )


@pytest.mark.parametrize(
    ("as_of", "price"),
    [
        ("2026-11-24T20:59", "198"),  # older than the close of its day
        ("2026-11-24T21:00", "198"),
        ("2026-11-27T17:59", "206"),
        ("2026-11-27T18:00", "206"),
        ("2026-11-30T14:31", "198"),  # today's
    ],
)
def test_a_last_price_serves_where_it_is_the_newest_before(as_of: str, price: str) -> None:
    asset = share("ACME", "206", as_of)
    make_bar(asset, "2026-11-24T14:30", "198")
    assert baseline(asset, "2026-11-30T15:00").price == D(price)


def test_without_anything_from_before_there_is_no_price() -> None:
    asset = share("NEW", "206", "2026-11-30T14:31")
    assert baseline(asset, "2026-11-30T15:00") == StoredBaseline(
        at("2026-11-27T18:00"), at("2026-12-01T14:30"), None
    )
    assert closes_before([], at("2026-11-30"), EVERYTHING) == {}


def test_a_split_since_the_baseline_leaves_it_as_it_was() -> None:
    """Golden case 3: a holding of 15 at 1,200.00 is not one of 150."""
    asset = share()
    make_bar(asset, "2026-11-27T14:30", "1200.00")
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 30), numerator=10)
    assert baseline(asset, "2026-11-30T15:00").price == D("1200.00")


def test_a_split_between_an_older_close_and_the_baseline_divides_the_close() -> None:
    asset = share()
    make_bar(asset, "2026-11-25T14:30", "1200.00")
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 27), numerator=10)
    assert baseline(asset, "2026-11-30T12:00").price == D("1200.00")
    assert baseline(asset, "2026-11-30T15:00").price == D(120)


def test_a_split_at_the_very_baseline_is_in_what_was_held_then_and_so_in_the_price() -> None:
    """Around the clock a day begins at midnight, and so does a split."""
    asset = make_asset("COIN")
    make_bar(asset, "2026-11-29", "1200")
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 30), numerator=10)
    assert baseline(asset, "2026-11-30T12:00").price == D(120)


def test_a_hundred_assets_cost_no_more_queries_than_two() -> None:
    def queries(assets: list[Asset]) -> int:
        with CaptureQueriesContext(connection) as found:
            assert len(closes_before(assets, at("2026-11-30T15:00"), EVERYTHING)) == len(assets)
        return len(found)

    assets = [make_asset(f"A{number}", calendar="XNYS" if number % 2 else "24/7") for number in range(100)]
    queries(assets[:2])  # reads the calendar
    assert queries(assets) == queries(assets[:2]) <= 4
