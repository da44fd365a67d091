"""The database behind the stream: what waits, what wins, and what a bad row may not harm."""

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import redis
from django.conf import settings

from assets.market import Bar
from assets.models import Asset, FeedSymbol, PriceBar, Split
from assets.open_bars import BARS_KEY
from assets.splits import SplitEvent
from realtime.price_feed.feed_store import (
    BarRow,
    NewAsset,
    PriceRow,
    ensure_assets,
    prune_minute_bars,
    read_closes,
    read_last_prices,
    read_listings,
    read_open_bars,
    store_shown_bars,
    write,
)
from realtime.price_feed.open_bar import BuiltBar
from realtime.price_feed.write_behind import WriteBehind
from tests.exchanges import NEW_YORK, store_exchange, utc

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MIDNIGHT = NOON.replace(hour=0)
SECOND = timedelta(seconds=1)


def make_asset(symbol: str = "AAPL", **more: Any) -> Asset:
    return Asset.objects.create(symbol=symbol, currency="USD", **more)


def make_row(asset: Asset, price: str, at: datetime = NOON) -> PriceRow:
    return PriceRow(asset.pk, Decimal(price), at - SECOND, "simulator", at)


def make_bar(
    asset: Asset, start: datetime = NOON, close: str = "5", interval: Any = "1m", **built: Any
) -> BarRow:
    bar = Bar(
        symbol=asset.symbol,
        interval=interval,
        start=start,
        open=Decimal(4),
        high=Decimal(6),
        low=Decimal(3),
        close=Decimal(close),
        volume=Decimal(10),
    )
    return BarRow(asset.pk, BuiltBar(bar, **built), "simulator")


@pytest.mark.django_db
class TestWriting:
    def test_a_price_is_stored_exactly_with_its_times_and_source(self) -> None:
        asset = make_asset()
        assert write([make_row(asset, "43000.010000000000000001")], []) == 0
        asset.refresh_from_db()
        assert asset.current_price == Decimal("43000.010000000000000001")
        assert (asset.price_as_of, asset.price_source) == (NOON - SECOND, "simulator")
        assert asset.last_updated == NOON

    def test_an_older_price_never_replaces_a_newer_one(self) -> None:
        asset = make_asset()
        write([make_row(asset, "2", NOON)], [])
        write([make_row(asset, "1", NOON - SECOND)], [])
        asset.refresh_from_db()
        assert asset.current_price == 2

    def test_a_time_written_by_a_broken_clock_does_not_lock_the_row(self) -> None:
        asset = make_asset(last_updated=datetime.now(UTC) + timedelta(days=2))
        write([make_row(asset, "1")], [])
        asset.refresh_from_db()
        assert asset.current_price == 1

    def test_a_bar_written_twice_is_one_bar(self) -> None:
        asset = make_asset()
        write([], [make_bar(asset, close="5"), make_bar(asset, close="6")])
        write([], [make_bar(asset, close="4")])
        assert [bar.close for bar in PriceBar.objects.all()] == [Decimal(4)]

    def test_a_fresh_bar_joins_what_is_stored_of_it(self) -> None:
        asset = make_asset()
        write([], [make_bar(asset)])
        fresh = make_bar(asset, close="4.5", fresh=True, first_quantity=Decimal(1))
        wide = fresh.built.bar.__class__(
            **{name: getattr(fresh.built.bar, name) for name in fresh.built.bar.__struct_fields__}
            | {"open": Decimal(9), "high": Decimal(9)}
        )
        write([], [fresh._replace(built=fresh.built._replace(bar=wide))])
        bar = PriceBar.objects.get()
        assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == tuple(
            map(Decimal, ("4", "9", "3", "4.5", "19"))
        )

    def test_a_bar_joins_nothing_that_not_all_may_see_who_will_see_it(self, settings: Any) -> None:
        settings.FEED_REDISTRIBUTION = {"polygon": "owner", "upstox": "users"}
        asset = make_asset()
        for stored, new, is_joined in (("polygon", "upstox", False), ("upstox", "polygon", True)):
            write([], [make_bar(asset)._replace(source=stored)])
            write([], [make_bar(asset, fresh=True)._replace(source=new)])
            bar = PriceBar.objects.get()
            assert (bar.source, bar.volume) == (new, 20 if is_joined else 10)

    def test_a_fresh_bar_that_is_revised_before_it_was_written_joins_what_is_stored_once(self) -> None:
        asset = make_asset()
        write([], [make_bar(asset)])
        waiting = make_bar(asset, close="7", fresh=True, first_quantity=Decimal(1))
        revised = make_bar(asset, close="8", fresh=True, first_quantity=Decimal(10), revised=True)
        row = revised.after(waiting)
        write([], [row])
        bar = PriceBar.objects.get()
        assert (bar.close, bar.volume, bar.revised) == (8, 19, True)
        write([], [revised])  # its volume was counted
        assert PriceBar.objects.get().volume == 19
        assert revised.after(None) is revised
        whole = make_bar(asset)._replace(source="coinbase")
        assert whole.after(waiting) is whole

    def test_minute_bars_are_kept_for_a_week_and_daily_ones_for_ever(self) -> None:
        asset = make_asset()
        old = NOON - timedelta(days=8)
        write(
            [], [make_bar(asset, old), make_bar(asset, old.replace(hour=0), interval="1d"), make_bar(asset)]
        )
        assert prune_minute_bars(NOON) == 1
        assert set(PriceBar.objects.values_list("interval", flat=True)) == {"1d", "1m"}


@pytest.mark.django_db
class TestReading:
    def test_missing_assets_are_made_once_with_their_source(self) -> None:
        make_asset("BTC-USD", name="Mine")
        wanted = [
            NewAsset("BTC-USD", "BTC-USD", "Bitcoin", "USD", "crypto"),
            NewAsset("BAND-GBP", "BAND-GBP", "Band", "GBP", "crypto"),
        ]
        assert ensure_assets("coinbase", wanted) == 2
        assert ensure_assets("coinbase", wanted) == 0
        assert dict(Asset.objects.values_list("symbol", "currency")) == {"BTC-USD": "USD", "BAND-GBP": "GBP"}
        assert Asset.objects.get(symbol="BTC-USD").name == "Mine"

    def test_an_asset_in_another_currency_gets_no_prices_of_this_one(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        Asset.objects.create(symbol="VOD", name="Vodafone", currency="GBP")
        wanted = [
            NewAsset("VOD", "VOD", "Vodafone", "USD", "stock"),
            NewAsset("AAPL", "AAPL", "", "USD", "stock"),
        ]
        assert ensure_assets("polygon_stocks", wanted) == 1
        assert [listing.symbol for listing in read_listings("polygon_stocks")] == ["AAPL"]
        assert "asset VOD is in GBP and not in USD: not followed" in caplog.text

    def test_a_currency_pair_that_goes_by_another_symbol_is_followed_as_well(self) -> None:
        pair = make_asset("EURUSD", asset_class="fx", base_currency="EUR")
        assert ensure_assets("yahoo", [NewAsset("EURUSD=X", "EURUSD=X", "", "USD", "fx", "EUR", "FX")]) == 1
        assert Asset.objects.get() == pair
        assert [listing.source_symbol for listing in read_listings("yahoo")] == ["EURUSD=X"]

    def test_a_listing_names_all_sources_by_priority(self) -> None:
        asset = make_asset()
        FeedSymbol.objects.create(asset=asset, source="simulator", symbol="AAPL", priority=5)
        FeedSymbol.objects.create(asset=asset, source="coinbase", symbol="AAPL-USD", priority=1)
        (listing,) = read_listings("simulator")
        assert (listing.symbol, listing.source_symbol, listing.sources) == (
            "AAPL",
            "AAPL",
            ("coinbase", "simulator"),
        )

    def test_the_previous_close_is_the_last_day_before_the_session(self) -> None:
        asset = make_asset()
        days = [(3, "30"), (1, "10"), (0, "1")]
        write([], [make_bar(asset, MIDNIGHT - timedelta(days=n), c, "1d") for n, c in days])
        close = read_closes("simulator", [asset.pk], NOON)["AAPL"]
        assert (close.start, close.price) == (MIDNIGHT - timedelta(days=1), Decimal(10))

    def test_open_bars_are_those_of_this_minute_and_this_day(self) -> None:
        asset = make_asset()
        rows = [make_bar(asset), make_bar(asset, NOON - 60 * SECOND), make_bar(asset, MIDNIGHT, "7", "1d")]
        write([], rows)
        PriceBar.objects.daily().update(revised=True)
        FeedSymbol.objects.create(asset=asset, source="simulator", symbol="AAPL")
        bars = read_open_bars("simulator", read_listings("simulator"), NOON + 30 * SECOND)["AAPL"]
        assert {(built.bar.interval, built.bar.start, built.revised) for built in bars} == {
            ("1d", MIDNIGHT, True),
            ("1m", NOON, False),
        }

    def test_a_source_goes_on_with_no_bar_that_not_all_may_see_who_see_the_source(self) -> None:
        asset = make_asset()
        write([], [make_bar(asset)._replace(source="polygon")])
        FeedSymbol.objects.create(asset=asset, source="simulator", symbol="AAPL")
        listings = read_listings("simulator")
        assert read_open_bars("simulator", listings, NOON) == {}
        assert read_open_bars("polygon", listings, NOON).keys() == {"AAPL"}

    def test_what_a_killed_leader_showed_of_bars_is_stored_unless_a_row_is_newer(self) -> None:
        asset = make_asset()
        FeedSymbol.objects.create(asset=asset, source="simulator", symbol="AAPL")
        listings, now = read_listings("simulator"), datetime.now(UTC)
        starts = [NOON + n * 60 * SECOND for n in range(4)]
        write([], [make_bar(asset, starts[1], "1"), make_bar(asset, starts[2], "2")])
        PriceBar.objects.filter(start=starts[1]).update(updated_at=now - 60 * SECOND)
        shown = {"interval": "1m", "open": 4, "high": 6, "low": 3, "volume": 10, "source": "simulator"}
        bars = [
            {**shown, "start": start.isoformat(), "close": 5, "revised": n == 0}
            for n, start in enumerate(starts)
        ]
        bars[3]["source"] = "another"
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            client.hset(BARS_KEY, "AAPL", msgspec.json.encode({"at": now - 30 * SECOND, "bars": bars}))
        assert store_shown_bars("simulator", listings) == 2
        rows = PriceBar.objects.order_by("start").values_list("start", "close", "revised")
        assert list(rows) == [(starts[0], 5, True), (starts[1], 5, False), (starts[2], 2, False)]
        assert store_shown_bars("simulator", listings) == 0
        assert store_shown_bars("simulator", []) == 0

    def test_an_exchange_has_its_own_sessions_splits_and_open_day(
        self, django_assert_num_queries: Any
    ) -> None:
        store_exchange(NEW_YORK)
        asset = make_asset(calendar="XNAS", may_be_negative=True)  # an alias
        FeedSymbol.objects.create(asset=asset, source="simulator", symbol="AAPL")
        Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=10)
        (listing,) = read_listings("simulator")
        assert listing.splits == (SplitEvent(utc("2026-11-19T05:00"), 10, 1),)
        assert (listing.calendar.name, listing.may_be_negative) == ("XNYS", True)
        with django_assert_num_queries(2):  # of all listings, and of all splits; read every few seconds
            assert read_listings("simulator")[0].calendar is listing.calendar
        opens = [utc(f"2026-11-{day}T14:30") for day in (18, 19, 20)]
        write([], [make_bar(asset, start, str(number), "1d") for number, start in enumerate(opens, 1)])
        # Before Friday's open, Thursday's is the current session, and Wednesday's the close before it.
        for hour, close, start in ((12, 1, opens[1]), (15, 2, opens[2])):
            now = NOON.replace(hour=hour)
            assert read_closes("simulator", [asset.pk], now)["AAPL"].price == close
            assert [built.bar.start for built in read_open_bars("simulator", [listing], now)["AAPL"]] == [
                start
            ]

    def test_a_day_stored_while_the_calendar_was_another_is_no_earlier_session(self) -> None:
        store_exchange(NEW_YORK)
        asset = make_asset(calendar="XNYS")
        write([], [make_bar(asset, MIDNIGHT - timedelta(days=n), c, "1d") for n, c in ((1, "10"), (0, "1"))])
        assert read_closes("simulator", [asset.pk], NOON.replace(hour=15))["AAPL"].price == 10

    def test_only_prices_of_the_same_source_are_taken_up_again(self) -> None:
        ours, other = make_asset("OURS"), make_asset("OTHER")
        write([make_row(ours, "1"), make_row(other, "2")._replace(source="manual")], [])
        assert set(read_last_prices("simulator", [ours.pk, other.pk])) == {"OURS"}


@pytest.mark.django_db(transaction=True)
class TestForReal:
    def test_a_row_that_the_database_refuses_harms_no_other(self) -> None:
        good, bad = make_asset("GOOD"), make_asset("BAD")
        gone = PriceRow(10**6, Decimal(1), NOON, "simulator", NOON)
        rows = [make_row(bad, "1" + "0" * 25), make_row(good, "1"), gone]
        bars = [make_bar(good), make_bar(bad)._replace(asset_id=10**6)]
        assert write(rows, bars) >= 1
        good.refresh_from_db()
        assert good.current_price == 1
        assert PriceBar.objects.filter(asset=good).count() == 1

    def test_the_newest_price_is_what_is_stored_at_the_end(self) -> None:
        asset = make_asset()
        store = WriteBehind(interval=60)
        store.start()
        for price in range(1, 1000):
            store.put([make_row(asset, str(price), NOON + price * SECOND)])
        assert store.close(30) == 0
        asset.refresh_from_db()
        assert (asset.current_price, store.written) == (Decimal(999), 1)

    def test_what_could_not_be_written_waits_and_is_written_later(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asset = make_asset()
        failed, mended = threading.Event(), threading.Event()

        def flaky(prices: Any, bars: Any) -> int:
            if not mended.is_set():
                failed.set()
                raise ConnectionError("the database is away")
            return write(prices, bars)

        # The database itself is taken away in the process tests; here it is the moment that matters.
        monkeypatch.setattr("realtime.price_feed.write_behind.write", flaky)
        store = WriteBehind(interval=0.01)
        store.start()
        store.put([make_row(asset, "1")], [make_bar(asset, fresh=True)])
        assert failed.wait(30)
        store.put([make_row(asset, "2", NOON + SECOND)], [make_bar(asset, close="6")])
        mended.set()
        assert store.close(30) == 0
        asset.refresh_from_db()
        assert asset.current_price == 2
        assert PriceBar.objects.get().close == 6
