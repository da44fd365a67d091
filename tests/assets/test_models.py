"""What the database and the forms refuse of assets, currency pairs, splits and sessions."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from assets.models import Asset, AssetClass, PriceBar, Split, TradingSession
from tests.assets.builders import at, make_asset, make_pair, store_session

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"asset_class": "fx"}, "base_currency"),
        ({"base_currency": "EUR"}, "base_currency"),
        ({"asset_class": "fx", "base_currency": "USD"}, "base_currency"),
        ({"asset_class": "fx", "base_currency": "GBX"}, "base_currency"),
        ({"asset_class": "fx", "base_currency": "euro"}, "base_currency"),
        ({"asset_class": "future"}, "asset_class"),
        ({"currency": "GBX"}, "currency"),
        ({"currency": "GBp"}, "currency"),
        ({"currency": "dollars"}, "currency"),
        ({"calendar": "Wall Street"}, "calendar"),
        ({"multiplier": D(0)}, "multiplier"),
        ({"multiplier": D(-1)}, "multiplier"),
        ({"listed_on": date(2026, 12, 18), "expires_on": date(2026, 12, 17)}, "expires_on"),
    ],
)
def test_a_form_names_the_column_that_is_wrong(columns: dict[str, Any], field: str) -> None:
    asset = Asset(**{"symbol": "A", "currency": "USD", **columns})
    with pytest.raises(ValidationError) as caught:
        asset.full_clean()
    assert set(caught.value.message_dict) == {field}


def test_options_bonds_indices_and_metals_are_assets_and_futures_are_not() -> None:
    for asset_class in ("option", "bond", "index", "commodity", "equity", "crypto", "fund", "other"):
        Asset(symbol="A", asset_class=asset_class, expires_on=date(2026, 12, 18)).full_clean()
    assert "future" not in AssetClass.values


@pytest.mark.parametrize(
    "columns",
    [
        {"asset_class": "fx"},
        {"base_currency": "EUR"},
        {"asset_class": "fx", "base_currency": "USD"},
    ],
)
def test_the_database_knows_what_a_currency_pair_is(columns: dict[str, str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_asset("A", **columns)


def test_the_database_lets_nothing_expire_before_it_is_listed() -> None:
    day = date(2026, 12, 18)
    make_asset("A", listed_on=day, expires_on=day)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_asset("B", listed_on=day, expires_on=day - timedelta(days=1))


def test_there_is_one_asset_for_a_currency_pair() -> None:
    make_pair("EURUSD")
    make_pair("USDEUR")
    make_asset("A")
    make_asset("B")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_pair("X", base_currency="EUR", currency="USD")


@pytest.mark.parametrize(
    ("calendar", "effective_at"),
    [
        ("XNYS", "2026-11-19T05:00"),
        ("XNSE", "2026-11-18T18:30"),
        ("XLON", "2026-11-19T00:00"),
        ("24/7", "2026-11-19T00:00"),
    ],
)
def test_a_split_is_effective_at_midnight_where_its_exchange_is(calendar: str, effective_at: str) -> None:
    split = Split(asset=make_asset(calendar=calendar), ex_date=date(2026, 11, 19), numerator=10)
    split.full_clean()
    split.save()
    assert split.effective_at == at(effective_at)


def test_a_split_may_say_itself_when_it_is_effective() -> None:
    moment = at("2026-11-19T14:30")
    made = Split.objects.create(
        asset=make_asset(), ex_date=date(2026, 11, 19), numerator=3, effective_at=moment
    )
    assert made.effective_at == moment


@pytest.mark.parametrize("numbers", [{"numerator": 0}, {"numerator": 1, "denominator": 0}])
def test_a_split_of_nothing_is_refused(numbers: dict[str, int]) -> None:
    split = Split(asset=make_asset(), ex_date=date(2026, 11, 19), **numbers)
    with pytest.raises(ValidationError):
        split.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        split.save()


def test_an_asset_splits_once_a_day() -> None:
    asset = make_asset()
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=2)
    with pytest.raises(IntegrityError), transaction.atomic():
        Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=3)


def test_a_calendar_has_one_session_a_date_that_closes_after_its_open() -> None:
    store_session("2026-11-19", "14:30", "21:00")
    with pytest.raises(IntegrityError), transaction.atomic():
        store_session("2026-11-19", "15:30", "21:00")
    with pytest.raises(IntegrityError), transaction.atomic():
        store_session("2026-11-20", "14:30", "14:30")
    assert str(TradingSession.objects.get()) == "XNYS 2026-11-19"


@pytest.mark.django_db(transaction=True)
def make_bar(asset: Asset, close: str) -> PriceBar:
    price = D(close)
    return PriceBar(
        asset=asset, interval="1d", start=at("2026-11-19"), open=price, high=price, low=price, close=price
    )


def test_a_bar_tells_when_it_was_last_written_whoever_wrote_it() -> None:
    asset = make_asset()
    make_bar(asset, "1").save()

    def write(how: str) -> None:
        bar = PriceBar.objects.get()
        bar.close = D(2)
        match how:
            case "save":
                bar.save()
            case "save some":
                bar.save(update_fields=["close"])
            case "update":
                PriceBar.objects.update(close=D(2))
            case "bulk":
                PriceBar.objects.bulk_update([bar], ["close"])
            case "upsert":
                PriceBar.objects.bulk_create(
                    [make_bar(asset, "2")],
                    update_conflicts=True,
                    unique_fields=["asset", "interval", "start"],
                    update_fields=["close"],
                )

    long_ago = timezone.now() - timedelta(days=1)
    for how in ("save", "save some", "update", "bulk", "upsert"):
        PriceBar.objects.update(close=D(1), updated_at=long_ago)
        write(how)
        bar = PriceBar.objects.get()
        assert (bar.close, bar.updated_at > long_ago) == (2, True), how


@pytest.mark.django_db(transaction=True)  # SQLite cannot take a column back inside of a transaction
def test_half_a_pair_from_before_becomes_an_asset_of_another_class() -> None:
    before = ("assets", "0002_sessions_splits_and_pairs")
    executor = MigrationExecutor(connection)
    latest = executor.loader.graph.leaf_nodes()
    executor.migrate([before])
    try:
        old = executor.loader.project_state([before]).apps
        old.get_model("assets", "Asset").objects.create(symbol="EURUSD", asset_class="fx", base_currency="")
    finally:
        MigrationExecutor(connection).migrate(latest)
    assert Asset.objects.get(symbol="EURUSD").asset_class == "other"
