from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.test import override_settings

from assets.models import Asset, FeedSymbol, PriceBar
from assets.rates_store import live_rates, rate_at
from assets.redistribution import EVERYTHING
from assets.sessions import AROUND_THE_CLOCK
from config import demo
from portfolio.ledger import in_order
from portfolio.models import Portfolio, Transaction, WatchlistItem
from portfolio.prices import price_points
from portfolio.valuation import value

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 15, 30, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def few_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minute bars are most of the work and all alike."""
    monkeypatch.setattr(demo, "MINUTES", 20)


def counts() -> tuple[int, ...]:
    models = (User, Asset, FeedSymbol, PriceBar, Portfolio, Transaction, WatchlistItem)
    return tuple(model.objects.count() for model in models)


def test_everything_is_there_after_the_first_time_and_the_same_after_the_second() -> None:
    demo.seed(NOW)
    before = counts()
    assert authenticate(username="demo", password="demo") is not None
    admin = authenticate(username="admin", password="admin")
    assert admin is not None and admin.is_staff and admin.is_superuser
    growth = Portfolio.objects.get(user__username="demo", name="Growth Portfolio")
    assert {"AAPL", "MSFT", "GOOGL", "BTC-USD"} <= {p.asset.symbol for p in growth.positions.all()}
    assert growth.positions.count() == 12
    for asset in Asset.objects.all():
        assert asset.bars.filter(interval="1d", start__lt=AROUND_THE_CLOCK.session_at(NOW).open).count() == 90
        assert asset.current_price is not None
    demo.seed(NOW)
    assert counts() == before


def test_currency_pairs_have_a_past_and_make_rates() -> None:
    demo.seed(NOW)
    pairs = Asset.objects.filter(asset_class="fx")
    assert {(pair.base_currency, pair.currency) for pair in pairs} == {
        ("EUR", "USD"),
        ("GBP", "USD"),
        ("USD", "JPY"),
        ("USD", "INR"),
        ("USD", "CHF"),
    }
    assert set(live_rates(["USD", "GBP", "INR", "JPY", "CHF"], "EUR", EVERYTHING, NOW)) == {
        "USD",
        "GBP",
        "INR",
        "JPY",
        "CHF",
    }
    for days in (1, 30, 89):
        assert rate_at("INR", "EUR", NOW - timedelta(days=days), EVERYTHING) is not None


def test_somebodys_own_currency_pair_is_used_and_not_doubled() -> None:
    own = Asset.objects.create(
        symbol="EUR/USD", asset_class="fx", base_currency="EUR", currency="USD", calendar="FX"
    )
    demo.seed(NOW)
    assert Asset.objects.get(base_currency="EUR", currency="USD") == own
    assert not Asset.objects.filter(symbol="EURUSD").exists()


def test_the_charts_join_the_live_price() -> None:
    demo.seed(NOW)
    aapl = Asset.objects.get(symbol="AAPL")
    today = aapl.bars.get(interval="1d", start=AROUND_THE_CLOCK.session_at(NOW).open)
    assert today.close == aapl.current_price
    last_minute = aapl.bars.filter(interval="1m").latest("start")
    assert last_minute.start == NOW.replace(minute=29, second=0)
    assert abs(last_minute.close - today.close) / today.close < Decimal("0.01")


def test_the_demo_owns_what_it_can_pay_for() -> None:
    demo.seed(NOW)
    for portfolio in Portfolio.objects.all():
        rows = in_order(portfolio.rows())
        for count in range(1, len(rows) + 1):
            for cash in portfolio.replay(rows[:count]).cash.values():
                assert cash.balance >= 0, str(rows[count - 1])
    for portfolio in Portfolio.objects.filter(currency="USD"):
        holdings = portfolio.holdings(NOW)
        valuation = value(holdings, price_points(holdings.symbols, EVERYTHING))
        assert valuation.coverage == 1
        assert valuation.total_value > 1000


def test_one_portfolio_is_in_euros_and_its_rows_know_their_rates() -> None:
    demo.seed(NOW)
    europe = Portfolio.objects.get(name="Europe")
    assert europe.currency == "EUR"
    assert {position.asset.symbol for position in europe.positions.all()} == {"AAPL", "BTC-USD"}
    assert set(europe.replay(europe.rows()).cash) == {"EUR", "USD"}
    for row in europe.transactions.all():
        assert row.rate is not None and (row.rate == 1) == (row.currency == "EUR")
    conversion = europe.transactions.get(type="convert")
    assert conversion.to_amount is not None and conversion.amount is not None
    assert Decimal("1.0") < conversion.to_amount / conversion.amount < Decimal("1.2")


def test_a_later_start_fills_the_days_between() -> None:
    demo.seed(NOW)
    later = NOW + timedelta(days=3)
    demo.seed(later)
    starts = list(
        PriceBar.objects.filter(asset__symbol="MSFT", interval="1d")
        .order_by("start")
        .values_list("start", flat=True)
    )
    assert starts[-1] == AROUND_THE_CLOCK.session_at(later).open
    assert {b - a for a, b in pairwise(starts)} == {timedelta(days=1)}


def test_what_somebody_changed_stays_changed() -> None:
    demo.seed(NOW)
    Portfolio.objects.get(name="Crypto").delete()
    WatchlistItem.objects.all().delete()
    user = User.objects.get(username="demo")
    user.set_password("mine")
    user.save()
    demo.seed(NOW)
    assert not Portfolio.objects.filter(name="Crypto").exists()
    assert not WatchlistItem.objects.exists()
    assert authenticate(username="demo", password="mine") is not None


def test_what_a_real_source_prices_gets_no_made_up_history() -> None:
    demo.seed(NOW)
    with override_settings(PRICE_FEED_SOURCES=["coinbase"]):
        demo.seed(NOW)
    bitcoin = Asset.objects.get(symbol="BTC-USD")
    assert bitcoin.current_price is None
    assert not bitcoin.bars.exists()
    assert Asset.objects.get(symbol="AAPL").bars.exists()
