"""Rates from stored bars and last prices: of any moment of the past, and of now."""

from datetime import timedelta
from decimal import Decimal

import pytest
import redis
from django.conf import settings
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets import snapshots
from assets.models import PriceBar
from assets.rates import RatePoint
from assets.rates_store import PastRates, live_rates, rate_at, rate_symbols
from assets.redistribution import EVERYTHING
from tests.assets.builders import at, make_asset, make_bar, make_pair

pytestmark = pytest.mark.django_db
D = Decimal
NOW = at("2026-11-19T16:00")


def set_quote(symbol: str, price: str, as_of: str) -> None:
    record = f'{{"symbol":"{symbol}","price":{price},"as_of":"{as_of}Z"}}'
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        server.hset(snapshots.LAST_KEY, symbol, record)


def value(currency: str, base: str, moment: str) -> Decimal | None:
    point = rate_at(currency, base, at(moment), EVERYTHING)
    return point.value if point else None


# -- of the past


def test_a_past_rate_is_that_of_the_last_minute_that_had_ended() -> None:
    pair = make_pair("EURUSD")
    make_bar(pair, "2026-11-19T15:04", "1.10", "1m")
    make_bar(pair, "2026-11-19T15:06", "1.20", "1m")
    assert rate_at("EUR", "USD", at("2026-11-19T15:06:59"), EVERYTHING) == RatePoint(
        D("1.10"), at("2026-11-19T15:05"), ("EURUSD",)
    )
    assert value("EUR", "USD", "2026-11-19T15:07") == D("1.20")
    assert value("EUR", "USD", "2026-11-19T15:04:59") is None


def test_where_minutes_are_gone_it_is_the_close_of_the_session_before() -> None:
    pair = make_pair("EURUSD")
    make_bar(pair, "2026-10-06T21:00", "1.10")  # Wednesday's day of currencies, 17:00 to 17:00 in New York
    make_bar(pair, "2026-10-07T21:00", "1.20")
    # Wednesday's close is known from 21:00 UTC on; Thursday's day is running.
    assert value("EUR", "USD", "2026-10-07T20:59") is None
    assert value("EUR", "USD", "2026-10-07T21:00") == D("1.10")
    assert value("EUR", "USD", "2026-10-08T20:59") == D("1.10")
    assert value("EUR", "USD", "2026-10-08T21:00") == D("1.20")
    assert value("EUR", "USD", "2026-10-12T21:00") == D("1.20")
    assert value("EUR", "USD", "2026-10-12T21:01") is None


def test_of_one_moment_the_close_of_the_session_counts() -> None:
    pair = make_pair("EURUSD")
    make_bar(pair, "2026-11-17T22:00", "1.10")
    make_bar(pair, "2026-11-18T21:59", "1.09", "1m")
    assert value("EUR", "USD", "2026-11-18T22:00") == D("1.10")


def test_the_last_price_serves_from_its_own_time_on() -> None:
    make_pair("EURUSD", "1.10", "2026-11-19T15:00")
    assert value("EUR", "USD", "2026-11-19T15:00") == D("1.10")
    assert value("EUR", "USD", "2026-11-19T14:59:59") is None


def test_inverses_crosses_and_minor_units_are_made_of_stored_pairs() -> None:
    make_pair("GBPUSD", "1.25", "2026-11-19T15:00")
    make_pair("USDINR", "84", "2026-11-18T15:00")
    assert rate_at("GBP", "INR", NOW, EVERYTHING) == RatePoint(
        D("105.00"), at("2026-11-18T15:00"), ("GBPUSD", "USDINR")
    )
    assert value("USD", "GBP", "2026-11-19T16:00") == D("0.8")
    assert value("GBX", "USD", "2026-11-19T16:00") == D("0.0125")
    assert value("INR", "CHF", "2026-11-19T16:00") is None


def test_pairs_are_known_by_their_columns_and_not_by_their_symbols() -> None:
    make_asset("EURUSD", "1.10", "2026-11-19T15:00")
    make_pair("X:E/U", "1.20", "2026-11-19T15:00", base_currency="EUR", currency="USD")
    assert value("EUR", "USD", "2026-11-19T16:00") == D("1.20")


def test_the_base_currency_needs_no_database() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert rate_at("USD", "USD", NOW, EVERYTHING) == RatePoint(D(1), NOW)
        assert live_rates(["USD"], "USD", EVERYTHING, NOW) == {"USD": RatePoint(D(1), NOW)}
    assert len(queries) == 0


def test_many_moments_cost_no_more_queries_than_one() -> None:
    pair = make_pair("EURUSD")
    moments = [at("2026-11-16") + timedelta(minutes=7 * number) for number in range(400)]
    for moment in moments:
        make_bar(pair, moment.replace(tzinfo=None).isoformat(), "1.1", "1m")
    past = PastRates(moments[0], moments[-1], EVERYTHING)
    with CaptureQueriesContext(connection) as queries:
        found = [past.rate("EUR", "USD", moment) for moment in moments]
    assert len(queries) <= 4
    assert found[0] is None and all(found[1:])


@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.integers(0, 12), st.integers(1, 99), max_size=6),
    st.dictionaries(st.integers(0, 17_000), st.integers(1, 99), max_size=12),
    st.lists(st.integers(-100, 18_000), min_size=1, max_size=8),
)
def test_a_past_rate_is_the_newest_price_before(
    days: dict[int, int], minutes: dict[int, int], moments: list[int]
) -> None:
    """One by one and many at once, against looking at every bar."""
    begin, minute = at("2026-11-01"), timedelta(minutes=1)
    PriceBar.objects.all().delete()
    pair = make_pair("EURUSD", calendar="24/7")
    known = []
    for number, price in days.items():
        start = begin + timedelta(days=number)
        make_bar(pair, start.replace(tzinfo=None).isoformat(), f"1.{price:02d}")
        known.append((start + timedelta(days=1), 1, D(f"1.{price:02d}")))
    for number, price in minutes.items():
        start = begin + minute * number
        make_bar(pair, start.replace(tzinfo=None).isoformat(), f"2.{price:02d}", "1m")
        known.append((start + minute, 0, D(f"2.{price:02d}")))
    times = [begin + minute * number for number in moments]
    past = PastRates(min(times), max(times), EVERYTHING)
    for moment in times:
        fresh = [one for one in known if moment - timedelta(days=4) <= one[0] <= moment]
        expected = max(fresh)[2] if fresh else None
        for found in (rate_at("EUR", "USD", moment, EVERYTHING), past.rate("EUR", "USD", moment)):
            assert (found.value if found else None) == expected
    pair.delete()


# -- of now


def test_live_rates_are_those_of_redis_else_the_stored_ones() -> None:
    make_pair("EURUSD", "1.10", "2026-11-19T15:00")
    make_pair("GBPUSD", "1.25", "2026-11-19T15:00")
    set_quote("EURUSD", "1.1200000000000000001", "2026-11-19T15:59")
    assert live_rates(["EUR", "GBP", "USD", "JPY"], "USD", EVERYTHING, NOW) == {
        "EUR": RatePoint(D("1.1200000000000000001"), at("2026-11-19T15:59"), ("EURUSD",)),
        "GBP": RatePoint(D("1.25"), at("2026-11-19T15:00"), ("GBPUSD",)),
        "USD": RatePoint(D(1), NOW),
    }


def test_a_live_rate_that_is_too_old_is_none() -> None:
    make_pair("EURUSD", "1.10", "2026-11-15T15:00")
    assert live_rates(["EUR"], "USD", EVERYTHING, NOW) == {}


def test_stored_prices_serve_while_redis_is_away() -> None:
    make_pair("EURUSD", "1.10", "2026-11-19T15:00")
    snapshots.connection.cache_clear()
    try:
        with override_settings(REDIS_URL="redis://127.0.0.1:1"):
            found = live_rates(["EUR"], "USD", EVERYTHING, NOW)
    finally:
        snapshots.connection.cache_clear()
    assert found["EUR"].value == D("1.10")


def test_all_pairs_that_a_rate_may_need_are_to_be_watched() -> None:
    for symbol in ("EURUSD", "GBPUSD", "USDJPY", "USDCHF"):
        make_pair(symbol)
    assert rate_symbols(["GBP", "JPY", "USD"], "USD") == {"GBPUSD", "USDJPY"}
    assert rate_symbols(["GBP", "EUR"], "EUR") == {"GBPUSD", "EURUSD"}
    assert rate_symbols(["EUR"], "EUR") == frozenset()
