"""Whose data a source's prices are: over REST and in valuations, what one may not see is not there."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from rest_framework.test import APIClient

from assets.models import Asset, AssetClass, PriceBar, Tick
from assets.rates_store import live_rates, rate_at
from assets.redistribution import EVERYTHING, any_user, anybody, viewer_like, viewer_of
from assets.snapshots import LAST_KEY
from config.settings import environment
from portfolio.booking import complete
from portfolio.history import days_of
from portfolio.holdings import valuation_now
from portfolio.models import Portfolio, Transaction
from portfolio.valued import of_receipt, with_receipt

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def only_for_its_owner(settings: Any) -> None:
    settings.FEED_REDISTRIBUTION = {"polygon": "owner", "upstox": "users", "exchange": "public"}
    settings.FEED_OWNER = "olivia"


def make_priced(symbol: str, source: str, price: str = "10", **more: Any) -> Asset:
    """An asset with a stored price, a record in Redis, yesterday's bar and a minute bar, all of one source."""
    asset = Asset.objects.create(
        symbol=symbol, current_price=D(price), price_as_of=NOW, price_source=source, last_updated=NOW, **more
    )
    prices = dict.fromkeys(("open", "high", "low", "close"), D(price))
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    for interval, start in (("1d", midnight - timedelta(days=1)), ("1m", NOW - timedelta(minutes=5))):
        PriceBar.objects.create(asset=asset, interval=interval, start=start, source=source, **prices)
    return asset


def keep_record(symbol: str, source: str, price: float) -> None:
    record = {"symbol": symbol, "price": price, "as_of": NOW.isoformat(), "source": source, "currency": "USD"}
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.hset(LAST_KEY, symbol, msgspec.json.encode(record))


def signed_in(name: str) -> APIClient:
    user, _ = User.objects.get_or_create(username=name)
    client = APIClient()
    client.force_login(user)
    return client


# -- who is who


def test_a_source_is_its_owners_unless_a_setting_says_more() -> None:
    olivia, bob = User(username="olivia"), User(username="bob")
    assert [viewer_of(user).sees("polygon") for user in (olivia, bob, AnonymousUser())] == [
        True,
        False,
        False,
    ]
    assert [viewer_of(user).sees("unheard_of") for user in (olivia, bob, AnonymousUser())] == [
        True,
        False,
        False,
    ]
    assert [viewer_of(user).sees("upstox") for user in (olivia, bob, AnonymousUser())] == [True, True, False]
    for ours in ("exchange", "simulator", "replay", "manual", ""):
        assert viewer_of(AnonymousUser()).sees(ours)


def test_without_a_named_owner_it_is_the_only_superuser(settings: Any) -> None:
    settings.FEED_OWNER = ""
    one = User.objects.create_superuser("one")
    assert viewer_of(one) == EVERYTHING
    assert viewer_of(User.objects.create_user("somebody")) == any_user()
    two = User.objects.create_superuser("two")
    assert viewer_of(one) == viewer_of(two) == any_user()
    two.is_active = False
    two.save()
    assert viewer_of(one) == EVERYTHING


def test_what_is_worked_into_a_price_may_be_seen_by_all_who_see_the_price() -> None:
    assert viewer_like("polygon") == EVERYTHING
    assert viewer_like("upstox") == any_user()
    assert viewer_like("simulator") == anybody()


@pytest.mark.parametrize("text", ["coinbase", "coinbase=", "=users", "coinbase=everybody"])
def test_a_level_that_is_none_is_refused_by_name(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEED_REDISTRIBUTION", text)
    with pytest.raises(
        ImproperlyConfigured, match=r"FEED_REDISTRIBUTION: expected source=owner, users or public"
    ):
        environment.redistribution("FEED_REDISTRIBUTION")
    monkeypatch.setenv("FEED_REDISTRIBUTION", "coinbase=users, polygon=public")
    assert environment.redistribution("FEED_REDISTRIBUTION") == {"coinbase": "users", "polygon": "public"}


# -- over REST


def test_another_user_sees_the_asset_and_none_of_its_prices() -> None:
    make_priced("ACME", "polygon")
    keep_record("ACME", "polygon", 11)
    found = {}
    for name in ("olivia", "bob"):
        client = signed_in(name)
        found[name] = client.get("/api/assets/ACME/").json(), client.get("/api/assets/").json()["results"][0]
        bars = [client.get("/api/assets/ACME/bars/", {"interval": i}).json()["count"] for i in ("1d", "1m")]
        assert bars == ([1, 1] if name == "olivia" else [0, 0])
    for shown in found["olivia"]:
        assert (shown["price"], shown["previous_close"]) == (11, 10)
    for shown in found["bob"]:
        assert [shown[key] for key in ("price", "price_as_of", "previous_close", "quote")] == [None] * 4


def test_kept_ticks_are_for_those_who_may_see_their_source() -> None:
    asset = make_priced("ACME", "polygon")
    for source in ("polygon", "upstox"):
        Tick.objects.create(asset=asset, source=source, price=D(1), as_of=NOW, received_at=NOW)
    counts = {}
    for name in ("olivia", "bob"):
        client = signed_in(name)
        listed = client.get("/api/assets/ACME/ticks/").json()["results"]
        lines = b"".join(client.get("/api/assets/ACME/ticks.csv")).decode().splitlines()[1:]
        counts[name] = sorted(tick["source"] for tick in listed), sorted(line.split(",")[2] for line in lines)
    assert counts == {"olivia": (["polygon", "upstox"],) * 2, "bob": (["upstox"],) * 2}


def test_a_price_that_users_may_see_does_not_bring_the_close_of_one_that_they_may_not() -> None:
    asset = make_priced("ACME", "polygon")
    Asset.objects.filter(pk=asset.pk).update(price_source="upstox", current_price=D(12))
    shown = signed_in("bob").get("/api/assets/ACME/").json()
    assert (shown["price"], shown["previous_close"]) == (12, None)


# -- in valuations


def portfolio_of(name: str) -> Portfolio:
    user, _ = User.objects.get_or_create(username=name)
    portfolio = Portfolio.objects.create(user=user, name="p", currency="USD")
    bought = {"asset": Asset.objects.get(symbol="ACME"), "quantity": D(2), "price": D(9)}
    for kind, values in (("deposit", {"amount": D(1000), "currency": "USD"}), ("buy", bought)):
        entry = Transaction(portfolio=portfolio, type=kind, time=NOW - timedelta(days=2), **values)
        complete(entry)
        entry.save()
    return portfolio


def test_a_portfolio_is_valued_by_what_its_owner_may_see_and_so_is_its_receipt() -> None:
    make_priced("ACME", "polygon")
    keep_record("ACME", "polygon", 11)
    seen, unseen = portfolio_of("olivia"), portfolio_of("bob")
    assert valuation_now(seen).total_value == D(1000) - 18 + 22
    hidden, receipt = with_receipt(unseen)
    assert hidden.total_value == D(982)
    assert hidden.unpriced == (("ACME", "no_price"),)
    again, _ = of_receipt(unseen, receipt)
    assert again.total_value == hidden.total_value


def test_past_days_are_valued_again_when_more_may_be_seen_or_less(settings: Any) -> None:
    make_priced("ACME", "polygon")
    portfolio = portfolio_of("bob")

    def value_of_yesterday() -> Decimal:
        return days_of(portfolio)[-2].value

    assert value_of_yesterday() == D(982)
    settings.FEED_REDISTRIBUTION = {"polygon": "users"}
    assert value_of_yesterday() == D(1002)
    settings.FEED_REDISTRIBUTION = {}
    assert value_of_yesterday() == D(982)


def test_rates_are_those_that_one_may_see() -> None:
    make_priced("EURUSD", "polygon", "1.1", asset_class=AssetClass.FX, base_currency="EUR", currency="USD")
    keep_record("EURUSD", "polygon", 1.2)
    assert live_rates(["EUR"], "USD", EVERYTHING)["EUR"].value == D("1.2")
    assert live_rates(["EUR"], "USD", any_user()) == {}
    assert rate_at("EUR", "USD", NOW, any_user()) is None
    found = rate_at("EUR", "USD", NOW, EVERYTHING)
    assert found is not None and found.value == D("1.1")
