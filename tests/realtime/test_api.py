import asyncio
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.test import override_settings
from rest_framework.test import APIClient

from assets import snapshots
from assets.calendars import forget_calendars
from assets.models import Asset, FeedSymbol, PriceBar, Split
from assets.session_store import store_sessions
from assets.sessions import Session
from portfolio.events import GROUP
from realtime.models import AccessToken
from tests.portfolio.builders import in_thread

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def client(alice: User) -> APIClient:
    client = APIClient()
    client.force_login(alice)
    return client


def bearer(text: str) -> APIClient:
    client = APIClient(enforce_csrf_checks=True)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def make_token(client: APIClient, **values: Any) -> str:
    answer = client.post("/api/tokens/", {"name": "script", **values})
    assert answer.status_code == 201, answer.content
    return str(answer.json()["token"])


# --- tokens ------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_stored_as_a_digest(client: APIClient) -> None:
    text = make_token(client)
    assert text.startswith("lf_")
    listed = client.get("/api/tokens/").json()["results"]
    assert set(listed[0]) == {"id", "name", "prefix", "scopes", "created_at", "last_used_at", "expires_at"}
    assert text.startswith(listed[0]["prefix"])
    assert text not in str(AccessToken.objects.values())


def test_a_script_uses_rest_without_session_and_csrf(client: APIClient) -> None:
    script = bearer(make_token(client))
    assert script.post("/api/portfolios/", {"name": "From a script"}).status_code == 201
    assert script.get("/api/portfolios/").json()["count"] == 1
    assert AccessToken.objects.get().last_used_at is not None


def test_scopes_say_what_a_token_may_do(client: APIClient) -> None:
    reader = bearer(make_token(client, scopes=["read"]))
    assert reader.get("/api/portfolios/").status_code == 200
    refused = reader.post("/api/portfolios/", {"name": "x"})
    assert (refused.status_code, refused.json()) == (403, {"detail": "expected a token with the scope write"})
    writer = bearer(make_token(client, scopes=["write"]))
    assert writer.get("/api/portfolios/").status_code == 403
    assert bearer(make_token(client, scopes=["stream"])).get("/api/assets/").status_code == 403


def test_a_bad_token_is_401_even_beside_a_session(client: APIClient, alice: User) -> None:
    text = make_token(client)
    client.credentials(HTTP_AUTHORIZATION="Bearer lf_wrong")
    answer = client.get("/api/portfolios/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    for bad in ("", "lf_", text + "x", "ünïcode", "lf_" + "x" * 5000):
        assert bearer(bad.encode().decode("latin-1")).get("/api/portfolios/").status_code == 401
    script = bearer(text)
    AccessToken.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert script.get("/api/portfolios/").status_code == 401
    AccessToken.objects.update(expires_at=None)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert script.get("/api/portfolios/").status_code == 401


def test_a_revoked_token_ends_at_once_and_only_its_owner_revokes(client: APIClient) -> None:
    script = bearer(make_token(client))
    key = AccessToken.objects.get().pk
    bob = APIClient()
    bob.force_login(User.objects.create_user("bob"))
    foreign, missing = bob.delete(f"/api/tokens/{key}/"), bob.delete("/api/tokens/987654/")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content
    assert client.delete(f"/api/tokens/{key}/").status_code == 204
    assert script.get("/api/portfolios/").status_code == 401


def test_a_token_makes_none_that_may_do_more_or_lives_longer(client: APIClient) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    script = bearer(make_token(client, scopes=["read", "write"], expires_at=tomorrow))
    assert "scopes" in script.post("/api/tokens/", {"name": "x", "scopes": ["stream"]}).json()
    assert "expires_at" in script.post("/api/tokens/", {"name": "x", "expires_at": later}).json()
    assert "expires_at" in script.post("/api/tokens/", {"name": "x", "expires_at": None}).json()
    child = script.post("/api/tokens/", {"name": "x"}).json()
    assert child["scopes"] == ["read", "write"]
    assert child["expires_at"] is not None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"expires_at": "2020-01-01"}, "expires_at"),
    ],
)
def test_a_wrong_token_says_which_field_is_wrong(
    client: APIClient, change: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/tokens/", {"name": "script", **change})
    assert answer.status_code == 400
    assert field in answer.json()


# --- prices by hand ----------------------------------------------------------------------------------------


@pytest.fixture
def fund() -> Asset:
    return Asset.objects.create(symbol="FUND", currency="USD")


def test_a_price_by_hand_becomes_the_last_price(client: APIClient, fund: Asset) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    first = client.post("/api/assets/FUND/prices/", {"price": "101.5", "time": yesterday.isoformat()})
    assert first.status_code == 201
    assert first.json()["current"] is True
    answer = client.post("/api/assets/FUND/prices/", {"price": "103.25"})
    assert set(answer.json()) == {"symbol", "price", "as_of", "current"}
    shown = client.get("/api/assets/FUND/").json()
    assert (shown["price"], shown["previous_close"]) == (103.25, 101.5)
    assert shown["price_as_of"] == answer.json()["as_of"]
    assert shown["quote"]["source"] == "manual"
    assert shown["quote"]["change"] == 1.75
    fund.refresh_from_db()
    assert (fund.current_price, fund.price_source) == (Decimal("103.25"), "manual")
    assert PriceBar.objects.filter(asset=fund, interval="1d").count() == 2


def test_an_older_price_is_history_and_does_not_move_the_current_one(client: APIClient, fund: Asset) -> None:
    client.post("/api/assets/FUND/prices/", {"price": 103})
    answer = client.post("/api/assets/FUND/prices/", {"price": 90, "time": "2026-01-05"})
    assert answer.json() == {
        "symbol": "FUND",
        "price": 90,
        "as_of": "2026-01-05T00:00:00.000000Z",
        "current": False,
    }
    assert client.get("/api/assets/FUND/").json()["price"] == 103
    assert client.get("/api/assets/FUND/bars/").json()["results"][0]["close"] == 90


def test_a_price_by_hand_goes_by_the_sessions_of_its_asset(client: APIClient) -> None:
    today = datetime.now(UTC).replace(microsecond=0)
    opens = [today - timedelta(hours=hours) for hours in (50, 26, 2)]
    closes = [opens[0] + timedelta(hours=1), opens[1] + timedelta(hours=1), today + timedelta(hours=2)]
    sessions = [Session(opened.date(), opened, close) for opened, close in zip(opens, closes, strict=True)]
    store_sessions("XNYS", sessions, opens[0].date())
    forget_calendars()
    asset = Asset.objects.create(symbol="SHARE", currency="USD", calendar="XNYS")
    for price, moment in (("10", opens[0]), ("11", closes[1] + timedelta(hours=1)), ("12", today)):
        body = {"price": price, "time": moment.isoformat()}
        assert client.post("/api/assets/SHARE/prices/", body).json()["current"]
    # The one of the night is the last word on the session before it.
    bars = PriceBar.objects.filter(asset=asset).order_by("start").values_list("start", "close")
    assert list(bars) == list(zip(opens, map(Decimal, (10, 11, 12)), strict=True))
    quote = client.get("/api/assets/SHARE/").json()["quote"]
    assert (quote["previous_close"], quote["change"], quote["session"]) == (11, 1, "open")


def test_a_price_by_hand_of_before_a_split_is_sent_in_todays_units(client: APIClient, fund: Asset) -> None:
    today = datetime.now(UTC).date()
    Split.objects.create(asset=fund, ex_date=today, numerator=10)
    before = datetime.combine(today, time(), UTC) - timedelta(hours=1)
    client.post("/api/assets/FUND/prices/", {"price": "1200", "time": before.isoformat()})
    shown = client.get("/api/assets/FUND/").json()
    assert (shown["price"], shown["quote"]["price"], shown["quote"]["raw_price"]) == (120, 120, 1200)
    fund.refresh_from_db()
    assert fund.current_price == 1200
    bars = client.get("/api/assets/FUND/bars/").json()["results"]
    assert [(bar["close"], bar["volume"]) for bar in bars] == [(120, None)]
    assert PriceBar.objects.get().close == 1200


def test_only_what_may_be_negative_has_a_negative_price(client: APIClient, fund: Asset) -> None:
    Asset.objects.filter(pk=fund.pk).update(may_be_negative=True)
    assert client.post("/api/assets/FUND/prices/", {"price": "-37.63"}).status_code == 201
    assert client.get("/api/assets/FUND/").json()["price"] == -37.63


def test_only_staff_sets_the_price_of_what_a_feed_prices(client: APIClient, alice: User, fund: Asset) -> None:
    FeedSymbol.objects.create(asset=fund, source="simulator", symbol="FUND")
    refused = client.post("/api/assets/FUND/prices/", {"price": 1})
    assert refused.status_code == 403
    assert "priced by a feed" in refused.json()["detail"]
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert client.post("/api/assets/FUND/prices/", {"price": 1}).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"price": 0}, "price"),
        ({"price": -1}, "price"),
        ({"price": "1e25"}, "price"),
        ({"price": "0.0000000000000000001"}, "price"),
        ({"price": None}, "price"),
        ({}, "price"),
        ({"price": 1, "time": "2999-01-01"}, "time"),
    ],
)
def test_a_wrong_price_is_refused(client: APIClient, fund: Asset, body: dict[str, Any], field: str) -> None:
    answer = client.post("/api/assets/FUND/prices/", body)
    assert answer.status_code == 400
    assert field in answer.json()
    assert not PriceBar.objects.exists()


def test_a_price_is_kept_while_redis_is_away(client: APIClient, fund: Asset) -> None:
    snapshots.connection.cache_clear()
    try:
        with override_settings(REDIS_URL="redis://127.0.0.1:1"):
            answer = client.post("/api/assets/FUND/prices/", {"price": 5})
    finally:
        snapshots.connection.cache_clear()
    assert answer.status_code == 201
    fund.refresh_from_db()
    assert fund.current_price == 5


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_price_by_hand_is_sent_to_every_web_process() -> None:
    def prepare() -> APIClient:
        Asset.objects.create(symbol="FUND", currency="USD")
        client = APIClient()
        client.force_login(User.objects.create_user("alice"))
        return client

    client = await in_thread(prepare)
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    await in_thread(lambda: client.post("/api/assets/FUND/prices/", {"price": "103.25"}))
    message = await asyncio.wait_for(layer.receive(channel), 30)
    while message["type"] != "feed.batch":
        message = await asyncio.wait_for(layer.receive(channel), 30)
    assert "103.25" in str(message)
