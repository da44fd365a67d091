from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.test import override_settings
from rest_framework.test import APIClient

from assets import snapshots
from assets.models import Asset, FeedSymbol, PriceBar, Split
from assets.sessions import AROUND_THE_CLOCK

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def client() -> APIClient:
    client = APIClient()
    client.force_login(User.objects.create_user("alice"))
    return client


def make_bar(asset: Asset, start: datetime, close: str, interval: str = "1d") -> PriceBar:
    price = D(close)
    return PriceBar.objects.create(
        asset=asset, interval=interval, start=start, open=price, high=price, low=price, close=price
    )


def session_began() -> datetime:
    """Midnight; asked for in each test, for a run of all of them may well see two."""
    return AROUND_THE_CLOCK.session_at(datetime.now(UTC)).open


def test_an_asset_is_added_once(client: APIClient) -> None:
    answer = client.post("/api/assets/", {"symbol": "brk/b", "name": "Berkshire", "currency": "USD"})
    assert answer.status_code == 201
    assert answer.json() == {
        "id": Asset.objects.get().pk,
        "symbol": "BRK/B",
        "name": "Berkshire",
        "asset_class": "other",
        "base_currency": "",
        "currency": "USD",
        "multiplier": 1,
        "calendar": "24/7",
        "may_be_negative": False,
        "listed_on": None,
        "expires_on": None,
        "sources": [],
        "price": None,
        "price_as_of": None,
        "previous_close": None,
        "quote": None,
    }
    again = client.post("/api/assets/", {"symbol": "BRK/B", "name": "Other", "currency": "EUR"})
    assert (again.status_code, set(again.json())) == (400, {"symbol"})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"symbol": "two words"}, "symbol"),
        ({"symbol": "X" * 65}, "symbol"),
        ({"symbol": "\u017f"}, "symbol"),
        ({"symbol": ""}, "symbol"),
        ({"symbol": 5}, "symbol"),
        ({"currency": "dollars"}, "currency"),
        ({"asset_class": "dream"}, "asset_class"),
        ({"asset_class": "future"}, "asset_class"),
        ({"asset_class": "fx"}, "base_currency"),
        ({"base_currency": "EUR"}, "base_currency"),
        ({"asset_class": "fx", "base_currency": "USD"}, "base_currency"),
        ({"asset_class": "fx", "base_currency": "GBX"}, "base_currency"),
        ({"asset_class": "fx", "base_currency": "euro"}, "base_currency"),
        ({"calendar": "24/5"}, "calendar"),
        ({"multiplier": 0}, "multiplier"),
        ({"multiplier": "much"}, "multiplier"),
        ({"multiplier": "0.00000000000000001", "currency": "GBX"}, "multiplier"),
        ({"may_be_negative": "perhaps"}, "may_be_negative"),
        ({"expires_on": "soon"}, "expires_on"),
        ({"listed_on": "2026-02-30"}, "listed_on"),
        ({"listed_on": "2026-12-18", "expires_on": "2026-12-17"}, "expires_on"),
    ],
)
def test_a_wrong_asset_says_which_field_is_wrong(
    client: APIClient, change: dict[str, object], field: str
) -> None:
    answer = client.post("/api/assets/", {"symbol": "A", "name": "A", "currency": "USD", **change})
    assert answer.status_code == 400
    assert field in answer.json()
    assert not Asset.objects.exists()


@pytest.mark.parametrize(
    ("quoted", "given", "currency", "multiplier"),
    [
        ("GBp", {}, "GBP", "0.01"),
        ("GBX", {}, "GBP", "0.01"),
        ("ZAc", {}, "ZAR", "0.01"),
        ("ILA", {"multiplier": "0.5"}, "ILS", "0.005"),
        ("GBP", {}, "GBP", "1"),
        ("USD", {"multiplier": 100}, "USD", "100"),
    ],
)
def test_what_is_quoted_in_pence_is_kept_in_pounds(
    client: APIClient, quoted: str, given: dict[str, object], currency: str, multiplier: str
) -> None:
    answer = client.post("/api/assets/", {"symbol": "A", "name": "A", "currency": quoted, **given})
    assert answer.status_code == 201
    stored = Asset.objects.get()
    assert (stored.currency, stored.multiplier) == (currency, D(multiplier))
    assert (answer.json()["currency"], D(str(answer.json()["multiplier"]))) == (currency, D(multiplier))


def test_a_currency_pair_names_both_and_exists_once(client: APIClient) -> None:
    pair = {"name": "Euro", "asset_class": "fx", "base_currency": "EUR", "currency": "USD"}
    answer = client.post("/api/assets/", {"symbol": "EURUSD", **pair})
    assert (answer.status_code, answer.json()["calendar"]) == (201, "FX")
    again = client.post("/api/assets/", {"symbol": "EUR/USD", **pair})
    assert (again.status_code, again.json()) == (400, {"base_currency": ["EURUSD is this pair already"]})


def test_an_option_has_its_multiplier_its_calendar_and_an_end(client: APIClient) -> None:
    option = {
        "symbol": "ACME261218C00100000",
        "name": "Acme Dec 100 call",
        "asset_class": "option",
        "currency": "USD",
        "multiplier": 100,
        "calendar": "XNYS",
        "may_be_negative": True,
        "listed_on": "2026-03-02",
        "expires_on": "2026-12-18",
    }
    assert client.post("/api/assets/", option).status_code == 201
    shown = client.get("/api/assets/ACME261218C00100000/").json()
    assert {name: shown[name] for name in option} == option


@pytest.mark.parametrize("symbol", ["BRK/B", "X:BTC-USD", "NSE_EQ|INE002A01018", "^GSPC", "EURUSD=X", "A.B"])
def test_a_symbol_of_any_shape_has_an_address(client: APIClient, symbol: str) -> None:
    asset = Asset.objects.create(symbol=symbol)
    make_bar(asset, session_began(), "1")
    for address in (
        symbol,
        symbol.lower(),
        symbol.replace("/", "%2F").replace("|", "%7C").replace("^", "%5E"),
    ):
        assert client.get(f"/api/assets/{address}/").json()["symbol"] == symbol
        assert client.get(f"/api/assets/{address}/bars/").json()["count"] == 1
    assert client.post(f"/api/assets/{symbol}/prices/", {"price": 5}).status_code == 201


def test_an_unknown_symbol_is_404(client: APIClient) -> None:
    for address in ("NOPE/", "NOPE/bars/", "no such/", "A%00B/"):
        answer = client.get(f"/api/assets/{address}")
        assert answer.status_code == 404
        assert answer["Content-Type"] == "application/json"


def test_search_finds_symbols_and_names_best_match_first(client: APIClient) -> None:
    for symbol, name in (
        ("AAPL", "Apple Inc."),
        ("BAAP", "Bakery"),
        ("AAP", "Advance Auto"),
        ("Z", "Ze aap"),
    ):
        Asset.objects.create(symbol=symbol, name=name)
    found = client.get("/api/assets/?search=aap").json()["results"]
    assert [asset["symbol"] for asset in found] == ["AAP", "AAPL", "BAAP", "Z"]
    assert client.get("/api/assets/?search=%25").json()["count"] == 0
    assert client.get("/api/assets/").json()["count"] == 4


def test_the_last_price_is_that_of_redis(client: APIClient) -> None:
    asset = Asset.objects.create(symbol="BTC-USD", current_price=D(1), price_as_of=session_began())
    FeedSymbol.objects.create(asset=asset, source="coinbase", symbol="BTC-USD")
    record = (
        '{"symbol":"BTC-USD","price":43000.123456789012345678,'
        '"as_of":"2026-11-20T10:00:00.000000Z","previous_close":42000}'
    )
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        server.hset(snapshots.LAST_KEY, "BTC-USD", record)
    text = client.get("/api/assets/BTC-USD/").content.decode()
    assert '"price":43000.123456789012345678,"price_as_of":"2026-11-20T10:00:00.000000Z"' in text
    listed = client.get("/api/assets/?search=btc").json()["results"][0]
    assert listed["previous_close"] == 42000
    assert listed["sources"] == ["coinbase"]
    assert listed["quote"]["symbol"] == "BTC-USD"


def test_the_stored_price_serves_while_redis_is_away(client: APIClient) -> None:
    today = session_began()
    asset = Asset.objects.create(symbol="ACME", current_price=D("1.10"), price_as_of=today)
    make_bar(asset, today - timedelta(days=3), "0.95")
    make_bar(asset, today - timedelta(days=4), "0.90")
    make_bar(asset, today, "1.10")
    snapshots.connection.cache_clear()
    try:
        with override_settings(REDIS_URL="redis://127.0.0.1:1"):
            shown = client.get("/api/assets/ACME/").json()
    finally:
        snapshots.connection.cache_clear()
    assert (shown["price"], shown["previous_close"], shown["quote"]) == (1.10, 0.95, None)


def test_a_record_that_nobody_published_since_a_split_is_shown_in_todays_units(client: APIClient) -> None:
    asset = Asset.objects.create(symbol="ACME")
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=10)
    record = '{"symbol":"ACME","price":1200,"as_of":"2026-11-18T21:00:00.000000Z","previous_close":1190,"bid":1199}'
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        server.hset(snapshots.LAST_KEY, "ACME", record)
    shown = client.get("/api/assets/ACME/").json()
    assert (shown["price"], shown["previous_close"], shown["quote"]["bid"]) == (120, 119, None)


def test_bars_of_before_a_split_are_divided_and_their_volume_multiplied(client: APIClient) -> None:
    asset = Asset.objects.create(symbol="ACME")
    for day, close in ((18, "1200"), (19, "123")):
        make_bar(asset, datetime(2026, 11, day, tzinfo=UTC), close)
    PriceBar.objects.update(volume=D(7))
    Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=10)
    found = client.get("/api/assets/ACME/bars/").json()["results"]
    assert [(bar["open"], bar["close"], bar["volume"]) for bar in found] == [(120, 120, 70), (123, 123, 7)]
    for address in ("?raw=1", "?raw=true&interval=1d"):
        raw = client.get(f"/api/assets/ACME/bars/{address}").json()["results"]
        assert [(bar["open"], bar["close"], bar["volume"]) for bar in raw] == [(1200, 1200, 7), (123, 123, 7)]


def test_bars_are_given_oldest_first_within_bounds(client: APIClient) -> None:
    asset = Asset.objects.create(symbol="ACME")
    for day in range(5):
        make_bar(asset, datetime(2026, 3, 1 + day, tzinfo=UTC), str(day))
    make_bar(asset, datetime(2026, 3, 1, 0, 1, tzinfo=UTC), "9", interval="1m")
    every = client.get("/api/assets/ACME/bars/").json()["results"]
    assert [bar["close"] for bar in every] == [0, 1, 2, 3, 4]
    assert every[0]["start"] == "2026-03-01T00:00:00.000000Z"
    some = client.get("/api/assets/ACME/bars/?start=2026-03-02&end=2026-03-04T00:00:00Z").json()["results"]
    assert [bar["close"] for bar in some] == [1, 2]
    minutes = client.get("/api/assets/ACME/bars/?interval=1m&start=2026-03-01T00:00:00+00:00").json()[
        "results"
    ]
    assert [bar["close"] for bar in minutes] == [9]
    assert set(client.get("/api/assets/ACME/bars/?interval=5m").json()) == {"interval"}
    assert set(client.get("/api/assets/ACME/bars/?start=never").json()) == {"start"}
