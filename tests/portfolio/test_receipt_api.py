import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from assets.models import Asset, PriceBar
from portfolio.models import Portfolio, ReceiptSegment
from tests.portfolio.test_api import client_of

pytestmark = pytest.mark.django_db

D = Decimal
DAY = timedelta(days=1)


@pytest.fixture
def client() -> APIClient:
    return client_of(User.objects.create_user("alice", password="alice"))


def priced(symbol: str, price: str, close: str, **values: Any) -> Asset:
    """An asset with a last price of now and a close of each of the last days."""
    asset = Asset.objects.create(
        symbol=symbol,
        current_price=D(price),
        price_as_of=timezone.now(),
        last_updated=timezone.now(),
        price_source="manual",
        **values,
    )
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(1, 6):
        PriceBar.objects.create(
            asset=asset, interval="1d", start=today - days * DAY, open=D(close), high=D(close), low=D(close),
            close=D(close),
        )  # fmt: skip
    return asset


@pytest.fixture
def portfolio(client: APIClient) -> Portfolio:
    """Ten shares in dollars in a portfolio of euros, and some cash of both."""
    priced("EURUSD", "1.25", "1.28", asset_class="fx", base_currency="EUR", currency="USD")
    priced("ACME", "110", "100", name="Acme Corporation", currency="USD")
    portfolio = Portfolio.objects.create(user=User.objects.get(), name="Europe", currency="EUR")
    url = f"/api/portfolios/{portfolio.pk}/transactions/"
    for row in (
        {"type": "deposit", "amount": 5000, "time": (timezone.now() - 4 * DAY).isoformat()},
        {
            "type": "convert", "amount": 4000, "to_amount": 5000, "to_currency": "USD",
            "time": (timezone.now() - 3.9 * DAY).isoformat(),
        },
        {
            "type": "buy", "symbol": "ACME", "quantity": 10, "price": 90, "fee": 1,
            "time": (timezone.now() - 3 * DAY).isoformat(),
        },
    ):  # fmt: skip
        answer = client.post(url, row, format="json")
        assert answer.status_code == 201, answer.content
    return portfolio


def valuation(client: APIClient, portfolio: Portfolio, receipt: str = "") -> Any:
    answer = client.get(f"/api/portfolios/{portfolio.pk}/", {"receipt": receipt} if receipt else {})
    assert answer.status_code == 200, answer.content
    return answer.json()["valuation"]


def test_a_receipt_gives_the_same_numbers_again(client: APIClient, portfolio: Portfolio) -> None:
    first = valuation(client, portfolio)
    Asset.objects.filter(symbol="ACME").update(current_price=D(500))
    Asset.objects.filter(symbol="EURUSD").update(current_price=D(2))
    url = f"/api/portfolios/{portfolio.pk}/transactions/"
    assert client.post(url, {"type": "deposit", "amount": 77}, format="json").status_code == 201
    assert valuation(client, portfolio)["total_value"] != first["total_value"]
    assert valuation(client, portfolio, first["receipt"]) == first
    told = client.get(f"/api/portfolios/{portfolio.pk}/receipts/{first['receipt']}/").json()
    assert told["valuation"] == first
    assert told["ledger_row"] == first["ledger_row"]
    assert [(p["symbol"], p["price"], p["source"]) for p in told["prices"]] == [("ACME", 110, "manual")]
    [rate] = told["rates"]
    assert (rate["currency"], rate["rate"], rate["legs"]) == ("USD", 0.8, ["EURUSD"])


def test_a_receipt_in_another_currency_than_the_portfolios_is_none_any_more(
    client: APIClient, portfolio: Portfolio
) -> None:
    url = f"/api/portfolios/{portfolio.pk}/"
    receipt = valuation(client, portfolio)["receipt"]
    assert client.patch(url, {"currency": "USD"}, format="json").status_code == 200
    for address in (f"{url}receipts/{receipt}/", f"{url}?receipt={receipt}"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert answer.json()["detail"] == (
            "expected a receipt in USD, was one in EUR: the portfolio's currency was changed since"
        )


def test_the_numbers_follow_from_the_receipt(client: APIClient, portfolio: Portfolio) -> None:
    found = valuation(client, portfolio)
    # 10 shares at 110 and 5,000 - 901 dollars of cash at 0.8, and 1,000 euros.
    assert found["total_value"] == 5159.2
    assert found["cash"] == 4279.2
    [position] = found["positions"]
    assert (position["value"], position["rate"], position["previous_close"]) == (880, 0.8, 100)
    # Price 10 * 10 at the rate of the baseline, 1/1.28; currency 1,100 * (0.8 - 0.78125).
    assert position["explain"]["price"] == 78.12
    assert position["explain"]["currency"] == pytest.approx(20.63, abs=0.01)
    parts = found["explain"]
    assert sum(D(str(part)) for part in parts.values()) == D(str(found["daily_change"]))
    assert {one["currency"] for one in found["cash_positions"]} == {"EUR", "USD"}


def test_positions_as_csv_are_those_of_the_receipt_unrounded(client: APIClient, portfolio: Portfolio) -> None:
    found = valuation(client, portfolio)
    answer = client.get(f"/api/portfolios/{portfolio.pk}/positions.csv", {"receipt": found["receipt"]})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]
    assert {row["receipt"] for row in rows} == {found["receipt"]}
    values = {row["position"]: D(row["value"]) for row in rows}
    assert values == {"ACME": 880, "cash:EUR": 1000, "cash:USD": D("3279.2")}
    assert sum(values.values()) == D(str(found["total_value"]))
    share = next(row for row in rows if row["position"] == "ACME")
    assert D(share["explain.price"]) == D("78.125")


def test_positions_and_lots_over_rest(client: APIClient, portfolio: Portfolio) -> None:
    found = valuation(client, portfolio)
    url = f"/api/portfolios/{portfolio.pk}/"
    assert (
        client.get(f"{url}positions/", {"receipt": found["receipt"]}).json()["results"] == found["positions"]
    )
    [lot] = client.get(f"{url}lots/", {"symbol": "acme"}).json()["results"]
    assert (lot["quantity"], lot["cost"], lot["value"], lot["unrealized"], lot["days"]) == (
        10,
        901,
        1100,
        199,
        3,
    )
    assert lot["cost_base"] == pytest.approx(703.91, abs=0.01)
    assert client.get(f"{url}lots/", {"symbol": "NOPE"}).json()["results"] == []


def test_receipts_are_their_owners_alone(client: APIClient, portfolio: Portfolio) -> None:
    receipt = valuation(client, portfolio)["receipt"]
    url = f"/api/portfolios/{portfolio.pk}/receipts/"
    bob = client_of(User.objects.create_user("bob"))
    other = Portfolio.objects.create(user=User.objects.get(username="bob"), name="Other")
    assert bob.get(f"{url}{receipt}/").status_code == 404
    assert bob.get(f"/api/portfolios/{other.pk}/receipts/{receipt}/").status_code == 404
    assert client.get(f"{url}nonsense/").status_code == 404
    assert APIClient().get(f"{url}{receipt}/").status_code == 401
    ReceiptSegment.objects.all().delete()
    assert client.get(f"/api/portfolios/{portfolio.pk}/?receipt=0").status_code == 404


def test_income_and_gains_by_year(client: APIClient, portfolio: Portfolio) -> None:
    url = f"/api/portfolios/{portfolio.pk}/"
    rows = f"{url}transactions/"
    dividend = {"type": "dividend", "symbol": "ACME", "amount": 10, "tax": "1.5", "rate": "0.8"}
    assert client.post(rows, dividend, format="json").status_code == 201
    sale = {"type": "sell", "symbol": "ACME", "quantity": 4, "price": 100, "rate": "0.8"}
    assert client.post(rows, sale, format="json").status_code == 201
    found = client.get(f"{url}reports/dividends/").json()
    [row] = found["rows"]
    assert (row["symbol"], row["gross"], row["withheld"], row["net"], row["net_base"]) == (
        "ACME",
        10,
        1.5,
        8.5,
        6.8,
    )
    assert found["years"][0]["net"] == 6.8
    found = client.get(f"{url}reports/gains/").json()
    [gain] = found["rows"]
    assert (gain["quantity"], gain["cost"], gain["proceeds"], gain["gain"]) == (4, 360.4, 400, 39.6)
    assert found["years"][0]["realized"] == gain["gain_base"]
    assert client.get(f"{url}reports/gains/?year=1999").json()["rows"] == []
    assert client.get(f"{url}reports/gains/?year=x").status_code == 400
    assert client.get(f"{url}reports/dividends/?by=x").status_code == 400
