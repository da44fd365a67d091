from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from assets.models import Asset, PriceBar
from portfolio.models import Portfolio
from portfolio.performance_api import MOST_DAYS

pytestmark = pytest.mark.django_db

D = Decimal


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password="alice")


@pytest.fixture
def client(alice: User) -> APIClient:
    return client_of(alice)


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    return Portfolio.objects.create(user=alice, name="Growth", currency="USD")


@pytest.fixture
def acme() -> Asset:
    return Asset.objects.create(symbol="ACME", name="Acme Corporation", asset_class="equity", currency="USD")


def days_ago(days: int) -> datetime:
    """Noon UTC of a day: never a moment of the next or the last one."""
    today = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days)


def day(days: int) -> str:
    return days_ago(days).date().isoformat()


def book(portfolio: Portfolio, kind: str, time: datetime, **values: Any) -> None:
    values = {"currency": "USD", "rate": D(1), **values}
    portfolio.transactions.create(type=kind, time=time, **values)


def make_bar(asset: Asset, days: int, close: str) -> None:
    price = D(close)
    start = days_ago(days).replace(hour=0)
    PriceBar.objects.create(
        asset=asset, interval="1d", start=start, open=price, high=price, low=price, close=price
    )


def url(portfolio: Portfolio, what: str) -> str:
    return f"/api/portfolios/{portfolio.pk}/{what}/"


@pytest.fixture
def invested(portfolio: Portfolio, acme: Asset) -> Portfolio:
    """1000 deposited ten days ago, all of it in 100 shares, and 200 more in cash since five days ago."""
    book(portfolio, "deposit", days_ago(10), amount=D(1000))
    book(portfolio, "buy", days_ago(10), asset=acme, quantity=D(100), price=D(10))
    book(portfolio, "deposit", days_ago(5), amount=D(200))
    make_bar(acme, 10, "10")
    make_bar(acme, 8, "10.50")
    make_bar(acme, 3, "11")
    return portfolio


def test_the_history_is_a_value_and_the_flows_of_each_day(client: APIClient, invested: Portfolio) -> None:
    answer = client.get(url(invested, "history"))
    assert answer.status_code == 200
    days = answer.json()
    assert [found["date"] for found in days] == [day(days) for days in range(10, -1, -1)]
    assert [found["value"] for found in days] == [
        1000,
        1000,
        1050,
        1050,
        1050,
        1250,
        1250,
        1300,
        1300,
        1300,
        1300,
    ]
    assert days[0] == {"date": day(10), "value": 1000, "inflow": 1000, "outflow": 0, "complete": True}
    assert days[5]["inflow"] == 200


def test_the_history_is_cut_to_what_is_asked_for(client: APIClient, invested: Portfolio) -> None:
    def dates(**query: str) -> list[str]:
        return [found["date"] for found in client.get(url(invested, "history"), query).json()]

    assert dates(start=day(2)) == [day(2), day(1), day(0)]
    assert dates(end=day(9)) == [day(10), day(9)]
    assert dates(start=day(9), end=day(9)) == [day(9)]
    assert dates(start=day(9), end="2999-12-31")[-1] == day(0)
    assert dates(start=day(300), end=day(200)) == []


def test_a_day_without_a_price_is_incomplete(client: APIClient, portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "deposit", days_ago(1), amount=D(100))
    book(portfolio, "buy", days_ago(1), asset=acme, quantity=D(1), price=D(10))
    found = client.get(url(portfolio, "history")).json()
    assert [(one["value"], one["complete"]) for one in found] == [(90, False), (90, False)]


def test_money_is_rounded_to_the_currencys_minor_unit(client: APIClient, alice: User) -> None:
    yen = Portfolio.objects.create(user=alice, name="Yen", currency="JPY")
    book(yen, "deposit", days_ago(0), amount=D("100.5"), currency="JPY")
    [found] = client.get(url(yen, "history")).json()
    assert (str(found["value"]), str(found["inflow"])) == ("100", "100")


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ({"start": "yesterday"}, "start", "expected a date like 2026-11-20, was 'yesterday'"),
        ({"end": "20261120"}, "end", "expected a date like 2026-11-20, was '20261120'"),
        ({"end": "2026-02-30"}, "end", "expected a date like 2026-11-20, was '2026-02-30'"),
        (
            {"start": "2026-01-02", "end": "2026-01-01"},
            "start",
            "expected 2026-01-01 or earlier, was 2026-01-02",
        ),
        (
            {"start": "2000-01-01", "end": "2026-01-01"},
            "start",
            f"expected at most {MOST_DAYS} days, was 9498",
        ),
        ({"end": "0001-01-01"}, "end", "expected 1970-01-01 or later, was 0001-01-01"),
    ],
)
def test_dates_that_cannot_be_are_refused(
    client: APIClient, portfolio: Portfolio, query: dict[str, str], field: str, message: str
) -> None:
    answer = client.get(url(portfolio, "history"), query)
    assert answer.status_code == 400
    assert answer.json() == {field: [message]}


def test_the_five_returns(client: APIClient, invested: Portfolio) -> None:
    answer = client.get(url(invested, "returns"))
    assert answer.status_code == 200
    found = answer.json()
    assert (found["portfolio_id"], found["currency"]) == (invested.pk, "USD")
    periods = {period.pop("period"): period for period in found["periods"]}
    assert list(periods) == ["1w", "1m", "ytd", "1y", "all"]
    # 1050 -> 1250 / (1050 + 200) -> 1300 / 1250 = 1.04
    assert periods["1w"] == {
        "start": day(7),
        "end": day(0),
        "start_value": 1050,
        "end_value": 1300,
        "inflow": 200,
        "outflow": 0,
        "twr_percent": 4,
        # 1050 x^7 + 200 x^5 = 1300 for x^7 = 1.0413...: 1093.42 + 200 * 1.0294 = 1299.3
        "mwr_percent": pytest.approx(4.19, abs=0.005),
        "mwr_is_yearly": False,
        "incomplete": False,
    }
    # 1.05 * 1.04 = 1.092
    assert periods["all"]["twr_percent"] == 9.2
    assert (periods["all"]["start"], periods["all"]["start_value"]) == (day(10), 0)
    assert periods["1y"] == periods["all"]


def test_returns_of_an_empty_portfolio_are_unknown(client: APIClient, portfolio: Portfolio) -> None:
    for period in client.get(url(portfolio, "returns")).json()["periods"]:
        assert (period["twr_percent"], period["mwr_percent"]) == (None, None)
        assert (period["start"], period["end"], period["end_value"]) == (day(0), day(0), 0)
        assert not period["incomplete"]


def test_a_portfolio_is_divided_by_asset_currency_and_class(
    client: APIClient, invested: Portfolio, acme: Asset
) -> None:
    bitcoin = Asset.objects.create(symbol="BTC-USD", name="Bitcoin", asset_class="crypto", currency="USD")
    book(invested, "buy", days_ago(1), asset=bitcoin, quantity=D(1), price=D(50))
    for asset, price in ((acme, 11), (bitcoin, 60)):
        client.post(f"/api/assets/{asset.symbol}/prices/", {"price": price})
    by_asset = client.get(url(invested, "allocation")).json()
    # 1100 + 60 + 150 = 1310
    assert by_asset == {
        "portfolio_id": invested.pk,
        "currency": "USD",
        "by": "asset",
        "total_value": 1310,
        "coverage": 1,
        "shares": [
            {
                "key": "ACME",
                "label": "Acme Corporation",
                "value": 1100,
                "share_percent": pytest.approx(83.97),
            },
            {"key": "cash:USD", "label": "Cash in USD", "value": 150, "share_percent": pytest.approx(11.45)},
            {"key": "BTC-USD", "label": "Bitcoin", "value": 60, "share_percent": pytest.approx(4.58)},
        ],
    }
    by_currency = client.get(url(invested, "allocation"), {"by": "currency"}).json()["shares"]
    assert by_currency == [{"key": "USD", "label": "USD", "value": 1310, "share_percent": 100}]
    by_class = client.get(url(invested, "allocation"), {"by": "class"}).json()["shares"]
    assert [(share["key"], share["label"], share["value"]) for share in by_class] == [
        ("equity", "Equity", 1100),
        ("cash", "Cash", 150),
        ("crypto", "Crypto", 60),
    ]
    refused = client.get(url(invested, "allocation"), {"by": "colour"})
    assert (refused.status_code, refused.json()) == (
        400,
        {"by": ["expected asset, currency, class, was 'colour'"]},
    )


def test_an_empty_portfolio_is_not_divided(client: APIClient, portfolio: Portfolio) -> None:
    assert client.get(url(portfolio, "allocation")).json()["shares"] == []


def test_missing_and_foreign_are_the_same(invested: Portfolio) -> None:
    bob = client_of(User.objects.create_user("bob"))
    for what in ("history", "returns", "allocation"):
        foreign = bob.get(url(invested, what))
        absent = bob.get(f"/api/portfolios/987654/{what}/")
        assert foreign.status_code == absent.status_code == 404
        assert foreign.content == absent.content
        assert APIClient().get(url(invested, what)).status_code == 401


def test_today_is_that_of_the_portfolio(client: APIClient, portfolio: Portfolio) -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Niue"):
        Portfolio.objects.filter(pk=portfolio.pk).update(time_zone=zone)
        [found] = client.get(url(portfolio, "history")).json()
        assert found["date"] == timezone.now().astimezone(ZoneInfo(zone)).date().isoformat()
