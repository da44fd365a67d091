from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from threading import Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from assets.models import Asset, FeedSymbol, PriceBar
from assets.sessions import AROUND_THE_CLOCK, FX_DAYS, Session, StoredCalendar
from portfolio.history import close_of, days_of, store_finished_days
from portfolio.models import Portfolio, PortfolioHistory, PortfolioSnapshot, Transaction
from portfolio.returns import DayValue
from portfolio.snapshots import invalidate, store

pytestmark = pytest.mark.django_db

D = Decimal
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


@pytest.fixture
def portfolio() -> Portfolio:
    return Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth", currency="USD")


@pytest.fixture
def acme() -> Asset:
    return Asset.objects.create(symbol="ACME", currency="USD")


def book(portfolio: Portfolio, kind: str, time: datetime, **values: Any) -> Transaction:
    values = {"currency": "USD", "rate": D(1), **values}
    return Transaction.objects.create(portfolio=portfolio, type=kind, time=time, **values)


def buy(portfolio: Portfolio, asset: Asset, time: datetime, quantity: int, price: int) -> Transaction:
    return book(portfolio, "buy", time, asset=asset, quantity=D(quantity), price=D(price))


def make_bar(asset: Asset, day: int, close: str, interval: str = "1d") -> PriceBar:
    price = D(close)
    return PriceBar.objects.create(
        asset=asset, interval=interval, start=at(day), open=price, high=price, low=price, close=price
    )


def settle() -> None:
    """Lets all that was written until now be long ago."""
    PriceBar.objects.update(updated_at=timezone.now() - timedelta(days=1))


def values(portfolio: Portfolio, now: datetime = NOON) -> dict[int, Decimal | None]:
    return {day.date.day: day.value for day in days_of(portfolio, now)}


def stored(portfolio: Portfolio) -> dict[int, Decimal]:
    return {snapshot.date.day: snapshot.value for snapshot in portfolio.snapshots.all()}


@pytest.fixture
def invested(portfolio: Portfolio, acme: Asset) -> Portfolio:
    """100 on the 16th, of which 5 shares at 10; closes of 10, 11, 12 and 13 on the 16th to 19th."""
    book(portfolio, "deposit", at(16, 9), amount=D(100))
    buy(portfolio, acme, at(16, 10), 5, 10)
    for day, close in {16: "10", 17: "11", 18: "12", 19: "13"}.items():
        make_bar(acme, day, close)
    settle()
    return portfolio


def test_days_are_valued_from_stored_rows_and_bars(invested: Portfolio) -> None:
    assert values(invested) == {16: 100, 17: 105, 18: 110, 19: 115, 20: 115}
    first, second, *_ = days_of(invested, NOON)
    assert (first.inflow, second.inflow) == (100, 0)
    assert first.is_complete


def test_finished_days_are_kept_and_the_running_one_is_not(invested: Portfolio) -> None:
    days = days_of(invested, NOON)
    assert stored(invested) == {16: 100, 17: 105, 18: 110, 19: 115}
    assert days_of(invested, NOON) == days
    # What is kept is what is shown, and nothing is looked up for it again.
    PortfolioSnapshot.objects.filter(date=date(2026, 11, 17)).update(value=D("0.5"))
    assert values(invested)[17] == D("0.5")


def test_the_running_day_is_valued_at_the_last_price(invested: Portfolio, acme: Asset) -> None:
    Asset.objects.filter(pk=acme.pk).update(
        current_price=D("20"), price_as_of=at(20, 11), price_source="manual", last_updated=timezone.now()
    )
    # An open day's bar is no close yet.
    make_bar(acme, 20, "19")
    assert values(invested) == {16: 100, 17: 105, 18: 110, 19: 115, 20: 150}


def test_a_new_day_adds_to_what_is_kept(invested: Portfolio, acme: Asset) -> None:
    days_of(invested, NOON)
    make_bar(acme, 20, "14")
    assert values(invested, NOON + timedelta(days=2)) == {
        16: 100,
        17: 105,
        18: 110,
        19: 115,
        20: 120,
        21: 120,
        22: 120,
    }
    assert stored(invested) == {16: 100, 17: 105, 18: 110, 19: 115, 20: 120, 21: 120}


def test_a_back_dated_row_empties_the_cache_from_its_day_on(invested: Portfolio) -> None:
    days_of(invested, NOON)
    book(invested, "deposit", at(18, 15), amount=D(7))
    assert stored(invested) == {16: 100, 17: 105}
    assert values(invested) == {16: 100, 17: 105, 18: 117, 19: 122, 20: 122}
    assert stored(invested) == {16: 100, 17: 105, 18: 117, 19: 122}


def test_a_row_before_all_others_begins_the_history_anew(invested: Portfolio) -> None:
    days_of(invested, NOON)
    row = book(invested, "deposit", at(14, 9), amount=D(1))
    assert values(invested) == {14: 1, 15: 1, 16: 101, 17: 106, 18: 111, 19: 116, 20: 116}
    row.delete()
    assert values(invested) == {16: 100, 17: 105, 18: 110, 19: 115, 20: 115}


@pytest.mark.parametrize("way", ["moved", "updated", "deleted", "bulk"])
def test_every_way_of_changing_a_row_is_noticed(invested: Portfolio, way: str) -> None:
    row = book(invested, "deposit", at(19, 9), amount=D(7))
    days_of(invested, NOON)
    match way:
        case "moved":
            row.time = at(17, 9)
            row.save()
        case "updated":
            invested.transactions.filter(pk=row.pk).update(time=at(17, 9))
        case "deleted":
            row.delete()
        case "bulk":
            Transaction.objects.bulk_create(
                [
                    Transaction(
                        portfolio=invested,
                        type="deposit",
                        time=at(17, 9),
                        amount=D(7),
                        currency="USD",
                        rate=D(1),
                    )
                ]
            )
    added = {"moved": [0, 7, 7, 7], "updated": [0, 7, 7, 7], "deleted": [0] * 4, "bulk": [0, 7, 7, 14]}[way]
    expected = [value + more for value, more in zip([100, 105, 110, 115], added, strict=True)]
    assert list(values(invested).values())[:4] == expected
    assert list(stored(invested).values()) == expected


def test_a_bar_that_is_corrected_recomputes_from_its_day_on(invested: Portfolio, acme: Asset) -> None:
    days_of(invested, NOON)
    bar = PriceBar.objects.get(start=at(18))
    bar.close = D("12.5")
    bar.save(update_fields=["close"])
    PortfolioSnapshot.objects.filter(date=date(2026, 11, 17)).update(value=D("0.5"))
    # The day before is not touched.
    assert values(invested) == {16: 100, 17: D("0.5"), 18: D("112.5"), 19: 115, 20: 115}
    assert stored(invested)[18] == D("112.5")


@pytest.mark.parametrize("way", ["update", "upsert", "filled"])
def test_every_way_of_writing_a_bar_is_noticed(invested: Portfolio, acme: Asset, way: str) -> None:
    if way == "filled":
        PriceBar.objects.filter(start=at(18)).delete()
    days_of(invested, NOON)
    bar = PriceBar(
        asset=acme, interval="1d", start=at(18), open=D(9), high=D(9), low=D(9), close=D(9), source="manual"
    )
    match way:
        case "update":
            PriceBar.objects.filter(start=at(18)).update(close=D(9))
        case "upsert":
            PriceBar.objects.bulk_create(
                [bar],
                update_conflicts=True,
                unique_fields=["asset", "interval", "start"],
                update_fields=["close"],
            )
        case "filled":
            PriceBar.objects.bulk_create([bar])
    assert values(invested)[18] == 95


def test_a_rate_that_is_corrected_recomputes_too(portfolio: Portfolio) -> None:
    pair = Asset.objects.create(
        symbol="EURUSD", asset_class="fx", base_currency="EUR", currency="USD", calendar="FX"
    )
    book(portfolio, "deposit", at(16, 9), amount=D(100), currency="EUR", rate=D("1.2"))
    for day in (16, 17, 18, 19):
        make_bar(pair, day, "1.1")
    settle()
    assert values(portfolio) == {16: 110, 17: 110, 18: 110, 19: 110, 20: 110}
    PriceBar.objects.filter(start=at(18)).update(close=D("1.3"))
    assert values(portfolio) == {16: 110, 17: 110, 18: 130, 19: 110, 20: 110}


def test_bars_of_minutes_and_of_others_change_nothing(invested: Portfolio, acme: Asset) -> None:
    days_of(invested, NOON)
    PortfolioSnapshot.objects.update(value=D(1))
    make_bar(acme, 17, "99", interval="1m")
    make_bar(Asset.objects.create(symbol="OTHER"), 17, "99")
    assert values(invested) == {16: 1, 17: 1, 18: 1, 19: 1, 20: 115}


def test_another_time_zone_or_currency_is_another_history(invested: Portfolio) -> None:
    days_of(invested, NOON)
    Portfolio.objects.filter(pk=invested.pk).update(time_zone="Asia/Tokyo")
    invested.refresh_from_db()
    # In Tokyo the 17th ends at 15:00 UTC, when the last close is that of the 16th at 24:00.
    assert values(invested) == {16: 50, 17: 100, 18: 105, 19: 110, 20: 115}
    Portfolio.objects.filter(pk=invested.pk).update(time_zone="UTC")
    invested.refresh_from_db()
    assert values(invested) == {16: 100, 17: 105, 18: 110, 19: 115, 20: 115}


def test_without_bars_the_days_are_incomplete_and_not_drawn_through(
    portfolio: Portfolio, acme: Asset
) -> None:
    FeedSymbol.objects.create(asset=acme, source="vendor", symbol="ACME")
    buy(portfolio, acme, at(1, 10), 5, 10)
    make_bar(acme, 3, "10")
    days = {day.date.day: day.is_complete for day in days_of(portfolio, NOON)}
    assert [day for day, is_complete in days.items() if not is_complete] == [1, 2, 18, 19, 20]
    assert list(portfolio.snapshots.filter(is_complete=False).values_list("date__day", flat=True)) == [
        1,
        2,
        18,
        19,
    ]


def test_a_price_by_hand_counts_until_it_is_replaced(portfolio: Portfolio, acme: Asset) -> None:
    buy(portfolio, acme, datetime(2026, 9, 1, tzinfo=UTC), 5, 10)
    bar = make_bar(acme, 1, "12")
    PriceBar.objects.filter(pk=bar.pk).update(start=datetime(2026, 9, 1, tzinfo=UTC))
    assert {day.value for day in days_of(portfolio, NOON)} == {D(10)}
    # And so it does when only the last days are computed.
    PortfolioSnapshot.objects.filter(date__gte=date(2026, 11, 1)).delete()
    assert {day.value for day in days_of(portfolio, NOON)} == {D(10)}


def test_an_expired_option_has_no_price(invested: Portfolio, acme: Asset) -> None:
    Asset.objects.filter(pk=acme.pk).update(expires_on=date(2026, 11, 18))
    days = days_of(invested, NOON)
    assert [day.is_complete for day in days] == [True, True, False, False, False]


def test_a_portfolio_without_rows_has_only_today(portfolio: Portfolio) -> None:
    assert days_of(portfolio, NOON) == [DayValue(date(2026, 11, 20), D(0))]
    assert not PortfolioSnapshot.objects.exists()


def test_nothing_is_stored_that_was_computed_from_older_rows(invested: Portfolio) -> None:
    days = days_of(invested, NOON)
    read = PortfolioHistory.objects.get(portfolio=invested)
    book(invested, "deposit", at(17, 9), amount=D(7))
    options: dict[str, Any] = {
        "checked_at": timezone.now(),
        "currency": "USD",
        "time_zone": "UTC",
        "viewer": "",
    }
    assert store(invested.pk, days, version=read.version, **options) is False
    assert stored(invested) == {16: 100}
    assert store(invested.pk, days, version=read.version + 1, **options) is True


@pytest.mark.django_db(transaction=True)
def test_readers_beside_writers_leave_no_old_value_behind() -> None:
    portfolio = Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth")
    book(portfolio, "deposit", at(16, 9), amount=D(100))

    def run(work: Callable[[], object]) -> None:
        try:
            for _ in range(4):
                work()
        finally:
            connection.close()

    write = partial(book, portfolio, "deposit", at(17, 9), amount=D(1))
    threads = [Thread(target=run, args=(work,)) for work in (write, partial(days_of, portfolio, NOON)) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert values(portfolio) == {16: 100, 17: 112, 18: 112, 19: 112, 20: 112}
    assert stored(portfolio) == {16: 100, 17: 112, 18: 112, 19: 112}


def test_a_gap_in_what_is_kept_is_computed_again(invested: Portfolio) -> None:
    days_of(invested, NOON)
    PortfolioSnapshot.objects.filter(date=date(2026, 11, 17)).delete()
    assert values(invested) == {16: 100, 17: 105, 18: 110, 19: 115, 20: 115}
    assert len(stored(invested)) == 4


def test_a_value_too_long_to_be_stored_is_shown_all_the_same(portfolio: Portfolio, acme: Asset) -> None:
    buy(portfolio, acme, at(18, 9), 10**15, 0)
    make_bar(acme, 18, "1000000000")
    settle()
    assert values(portfolio) == {18: D(10) ** 24, 19: D(10) ** 24, 20: D(10) ** 24}
    assert stored(portfolio) == {}


def test_snapshots_are_brought_up_to_date_for_everybody(invested: Portfolio) -> None:
    other = Portfolio.objects.create(user=invested.user, name="Other")
    book(other, "deposit", at(18, 9), amount=D(1))
    assert store_finished_days(NOON) == 2
    assert (len(stored(invested)), len(stored(other))) == (4, 2)


def test_a_ledger_that_contradicts_itself_harms_no_other(invested: Portfolio, acme: Asset) -> None:
    broken = Portfolio.objects.create(user=invested.user, name="Broken")
    row = buy(broken, acme, at(18, 9), 1, 1)
    QuerySet.update(Transaction.objects.filter(pk=row.pk), type="sell")  # past the ledger
    assert store_finished_days(NOON) == 1


def test_a_deleted_portfolio_takes_its_history_along(invested: Portfolio) -> None:
    days_of(invested, NOON)
    key = invested.pk
    invested.delete()
    assert not PortfolioSnapshot.objects.exists() and not PortfolioHistory.objects.exists()
    day = DayValue(date(2026, 11, 16), D(1))
    options: dict[str, Any] = {"checked_at": NOON, "currency": "USD", "time_zone": "UTC", "viewer": ""}
    assert store(key, [day], version=0, **options) is False


def test_invalidating_counts_the_version_up(invested: Portfolio) -> None:
    before = PortfolioHistory.objects.get(portfolio=invested).version
    invested.invalidate_history(date(2026, 11, 18))
    invalidate(invested.pk, None)
    assert PortfolioHistory.objects.get(portfolio=invested).version == before + 2


def test_a_daily_bar_closes_with_its_session() -> None:
    assert close_of(AROUND_THE_CLOCK, at(18)) == at(19)
    assert close_of(FX_DAYS, at(17, 22)) == at(18, 22)
    assert close_of(FX_DAYS, at(18)) == at(18, 22)
    sessions = [Session(date(2026, 11, day), at(day, 14), at(day, 21)) for day in (18, 19)]
    exchange = StoredCalendar("XNYS", sessions)
    assert close_of(exchange, at(18, 14)) == at(18, 21)
    # A vendor's day that begins before the open is the day of that open.
    assert close_of(exchange, at(19)) == at(19, 21)
