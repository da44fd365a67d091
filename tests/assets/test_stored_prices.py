"""What is stored of a price, shown in today's units and hours."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from assets.models import Asset, PriceBar, Split
from assets.redistribution import EVERYTHING
from assets.stored_prices import StoredPrice, previous_bars, stored_prices
from tests.exchanges import NEW_YORK, store_exchange, utc

pytestmark = pytest.mark.django_db

LAST = utc("2026-11-18T20:59")
NIGHT, SPLIT, OPEN = utc("2026-11-19T04:59"), utc("2026-11-19T05:00"), utc("2026-11-19T14:30")


@pytest.fixture(autouse=True)
def exchange() -> None:
    store_exchange(NEW_YORK)


def make_asset(**more: Any) -> Asset:
    values = {
        "calendar": "XNYS",
        "current_price": Decimal(1200),
        "price_as_of": LAST,
        "last_updated": LAST,
        "price_source": "simulator",
    }
    return Asset.objects.create(symbol=f"A{Asset.objects.count()}", **{**values, **more})


def add_closes(asset: Asset, **closes: str) -> None:
    for name, close in closes.items():
        price = Decimal(close)
        start = utc(f"2026-11-{name[1:]}T14:30")
        if asset.calendar == "24/7":
            start = start.replace(hour=0, minute=0)
        PriceBar.objects.create(
            asset=asset, interval="1d", start=start, open=price, high=price, low=price, close=price
        )


def shown(asset: Asset, now: datetime) -> StoredPrice:
    return stored_prices([asset], now, EVERYTHING)[asset.pk]


def test_each_asset_goes_by_its_own_calendar() -> None:
    share, coin = make_asset(), make_asset(calendar="24/7")
    for asset in (share, coin):
        add_closes(asset, _17="17", _18="18", _19="19")
    assert previous_bars([share, coin], utc("2026-11-19T14:29"), EVERYTHING) == {
        share.pk: (utc("2026-11-17T14:30"), Decimal(17)),
        coin.pk: (utc("2026-11-18"), Decimal(18)),
    }
    assert previous_bars([share], OPEN, EVERYTHING)[share.pk][1] == 18
    found = stored_prices([share, coin], utc("2026-11-19T14:29"), EVERYTHING)
    assert [found[asset.pk].phase for asset in (share, coin)] == ["closed", "always"]


def test_from_a_splits_moment_on_price_and_close_are_divided() -> None:
    asset = make_asset()
    add_closes(asset, _17="1190", _18="1200")
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=10)
    before, after, opened = shown(asset, NIGHT), shown(asset, SPLIT), shown(asset, OPEN)
    assert (before.price, before.previous_close, before.units_at) == (Decimal(1200), Decimal(1190), None)
    assert (after.price, after.previous_close) == (Decimal(120), Decimal(119))
    assert (after.raw_price, after.units_at) == (Decimal(1200), SPLIT)
    assert (opened.price, opened.previous_close) == (Decimal(120), Decimal(120))


def test_a_close_that_a_vendor_has_divided_is_recognised_by_the_price_of_that_time() -> None:
    asset = make_asset()
    add_closes(asset, _18="119.9")
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=10)
    assert shown(asset, OPEN).previous_close == Decimal("119.9")


def test_a_day_stored_under_another_calendar_is_of_the_session_that_followed() -> None:
    asset = make_asset(price_as_of=utc("2026-11-20T15:00"))
    price = Decimal(123)
    PriceBar.objects.create(
        asset=asset, interval="1d", start=utc("2026-11-19"), open=price, high=price, low=price, close=price
    )
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=10)
    assert shown(asset, utc("2026-11-20T15:00")).previous_close == 123


@pytest.mark.parametrize(
    ("source", "heard", "now", "stale"),
    [
        ("simulator", "2026-11-18T20:59", "2026-11-18T21:20", False),
        ("simulator", "2026-11-18T20:59", "2026-11-18T21:31", True),
        ("simulator", "2026-11-18T21:00", "2026-11-19T14:00", False),
        ("simulator", "2026-11-18T21:00", "2026-11-19T15:00", True),
        ("manual", "2026-11-01T12:00", "2026-11-19T15:00", False),
    ],
)
def test_a_closed_market_is_not_stale_unless_its_close_is_missing(
    source: str, heard: str, now: str, stale: bool
) -> None:
    asset = make_asset(price_source=source, last_updated=utc(heard))
    assert shown(asset, utc(now)).stale is stale


def test_an_asset_without_a_price_has_hours_all_the_same() -> None:
    asset = make_asset(current_price=None, price_as_of=None, last_updated=None)
    assert shown(asset, OPEN) == StoredPrice(None, None, "open", False, None, None)
