import json
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from rest_framework.test import APIClient

from assets.models import Asset
from portfolio.models import Portfolio, Position

pytestmark = pytest.mark.django_db


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
    return Asset.objects.create(symbol="ACME", name="Acme Corporation", currency="USD")


def rows_url(portfolio: Portfolio) -> str:
    return f"/api/portfolios/{portfolio.pk}/transactions/"


def buy(client: APIClient, portfolio: Portfolio, **values: Any) -> Any:
    row = {"type": "buy", "symbol": "ACME", "quantity": 10, "price": 100, "time": "2026-01-05T10:00:00Z"}
    return client.post(rows_url(portfolio), {**row, **values})


def test_a_portfolio_is_opened_renamed_and_deleted(client: APIClient) -> None:
    made = client.post("/api/portfolios/", {"name": "Growth", "currency": "EUR"})
    assert made.status_code == 201
    assert {"id", "name", "currency", "created_at"} < set(made.json())
    assert (made.json()["lot_method"], made.json()["time_zone"], made.json()["short_sales"]) == (
        "fifo",
        "UTC",
        False,
    )
    assert made.json()["created_at"].endswith("Z")
    url = f"/api/portfolios/{made.json()['id']}/"
    assert client.patch(url, {"name": "Value"}).json()["name"] == "Value"
    assert client.patch(url, {"currency": "usd"}).status_code == 400
    assert client.patch(url, {"currency": "USD"}).json()["currency"] == "USD"
    assert client.put(url, {"name": "x", "currency": "EUR"}).status_code == 405
    assert client.delete(url).status_code == 204
    assert client.get("/api/portfolios/").json() == {
        "count": 0,
        "next": None,
        "previous": None,
        "results": [],
    }


def test_a_name_is_used_once_a_user(client: APIClient, portfolio: Portfolio) -> None:
    assert "name" in client.post("/api/portfolios/", {"name": "Growth"}).json()
    bob = client_of(User.objects.create_user("bob"))
    assert bob.post("/api/portfolios/", {"name": "Growth"}).status_code == 201
    assert client.patch(f"/api/portfolios/{portfolio.pk}/", {"name": "Growth"}).status_code == 200


def test_missing_and_foreign_are_the_same(portfolio: Portfolio, client: APIClient, acme: Asset) -> None:
    row = buy(client, portfolio).json()["id"]
    item = client.post("/api/watchlist/", {"symbol": "ACME"}).json()["id"]
    bob = client_of(User.objects.create_user("bob"))
    for method, address, missing in [
        ("get", "/api/portfolios/{}/", portfolio.pk),
        ("patch", "/api/portfolios/{}/", portfolio.pk),
        ("delete", "/api/portfolios/{}/", portfolio.pk),
        ("get", "/api/portfolios/{}/positions/", portfolio.pk),
        ("get", "/api/portfolios/{}/transactions/", portfolio.pk),
        ("post", "/api/portfolios/{}/transactions/", portfolio.pk),
        ("get", f"/api/portfolios/{{}}/transactions/{row}/", portfolio.pk),
        ("get", f"/api/portfolios/{portfolio.pk}/transactions/{{}}/", row),
        ("delete", f"/api/portfolios/{portfolio.pk}/transactions/{{}}/", row),
        ("delete", "/api/watchlist/{}/", item),
    ]:
        foreign = getattr(bob, method)(address.format(missing))
        absent = getattr(bob, method)(address.format(987654))
        assert foreign.status_code == absent.status_code == 404, (method, address)
        assert foreign.content == absent.content
    assert client.get("/api/portfolios/99999999999999999999999/").status_code == 404
    assert bob.get("/api/portfolios/").json()["count"] == 0
    assert bob.get("/api/watchlist/").json()["count"] == 0


def test_without_a_session_everything_is_401_in_json(portfolio: Portfolio) -> None:
    for address in (
        "/api/portfolios/",
        f"/api/portfolios/{portfolio.pk}/",
        f"/api/portfolios/{portfolio.pk}/positions/",
        rows_url(portfolio),
        "/api/watchlist/",
        "/api/tokens/",
        "/api/assets/",
        "/api/assets/ACME/",
        "/api/assets/ACME/bars/",
        "/api/no/such/thing/",
    ):
        answer = APIClient().get(address)
        assert answer.status_code == 401, address
        assert answer["Content-Type"] == "application/json"
        assert "detail" in answer.json()


def test_a_session_needs_the_csrf_token(alice: User, portfolio: Portfolio) -> None:
    strict = APIClient(enforce_csrf_checks=True)
    strict.force_login(alice)
    answer = strict.post("/api/portfolios/", {"name": "Forged"})
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["detail"]
    assert not Portfolio.objects.filter(name="Forged").exists()


def test_rows_are_booked_and_valued(client: APIClient, portfolio: Portfolio, acme: Asset) -> None:
    deposit = {"type": "deposit", "quantity": 5000, "currency": "USD", "time": "2026-01-02"}
    answer = client.post(rows_url(portfolio), deposit)
    assert answer.status_code == 201, answer.content
    assert answer.json()["amount"] == answer.json()["quantity"] == 5000
    assert answer.json()["time"] == "2026-01-02T00:00:00.000000Z"
    assert buy(client, portfolio, fee=5).status_code == 201
    sold = buy(client, portfolio, type="sell", quantity=4, price=110, fee=1, time="2026-02-05T10:00:00+02:00")
    assert sold.json()["time"] == "2026-02-05T08:00:00.000000Z"
    assert client.post("/api/assets/ACME/prices/", {"price": 120}).status_code == 201
    whole = client.get(f"/api/portfolios/{portfolio.pk}/").json()
    valuation = whole["valuation"]
    assert valuation["cash"] == 4434  # 5000 - 1005 + 439
    assert valuation["total_value"] == 5154
    assert valuation["realized"] == 37  # 439 - 402
    assert valuation["invested"] == 603
    assert valuation["unrealized"] == 117
    assert valuation["complete"] is True
    [position] = valuation["positions"]
    assert (position["symbol"], position["quantity"], position["source"]) == ("ACME", 6, "manual")
    assert client.get(f"/api/portfolios/{portfolio.pk}/positions/").json()["results"] == [position]
    assert Position.objects.get().quantity == 6
    kinds = [row["type"] for row in client.get(rows_url(portfolio)).json()["results"]]
    assert kinds == ["sell", "buy", "deposit"]


def test_decimals_make_the_round_trip_exactly(client: APIClient, portfolio: Portfolio, acme: Asset) -> None:
    exact = "43000.123456789012345678"
    body = f'{{"type":"buy","symbol":"acme","quantity":0.000000000000000001,"price":{exact},"fee":1e-3}}'
    answer = client.post(rows_url(portfolio), data=body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    for text in (answer.content.decode(), client.get(rows_url(portfolio)).content.decode()):
        assert f'"price":{exact}' in text
        assert '"quantity":0.000000000000000001' in text
        assert '"fee":0.001' in text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quantity": 11, "type": "sell", "time": "2026-01-06"}, "quantity"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": "-1"}, "quantity"),
        ({"quantity": "1e-19"}, "quantity"),
        ({"quantity": "NaN"}, "quantity"),
        ({"quantity": "1e30"}, "quantity"),
        ({"quantity": None}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"quantity": [1]}, "quantity"),
        ({"price": -1}, "price"),
        ({"fee": -1}, "fee"),
        ({"amount": 5}, "amount"),
        ({"symbol": "NOPE"}, "symbol"),
        ({"symbol": "not a symbol"}, "symbol"),
        ({"symbol": None}, "symbol"),
        ({"currency": "EUR"}, "currency"),
        ({"currency": "usd"}, "currency"),
        ({"time": "2999-01-01T00:00:00Z"}, "time"),
        ({"time": "yesterday"}, "time"),
        ({"time": 5}, "time"),
        ({"type": "gift"}, "type"),
    ],
)
def test_a_wrong_row_says_which_field_is_wrong(
    client: APIClient, portfolio: Portfolio, acme: Asset, change: dict[str, Any], field: str
) -> None:
    assert buy(client, portfolio).status_code == 201
    answer = buy(client, portfolio, **change)
    assert answer.status_code == 400, answer.content
    assert field in answer.json()
    assert portfolio.transactions.count() == 1


def test_a_row_that_a_later_sale_needs_stays(client: APIClient, portfolio: Portfolio, acme: Asset) -> None:
    bought = buy(client, portfolio).json()["id"]
    sold = buy(client, portfolio, type="sell", time="2026-03-01").json()["id"]
    refused = client.delete(f"{rows_url(portfolio)}{bought}/")
    assert refused.status_code == 400
    assert f"row {sold}: sell 10 ACME" in refused.json()["detail"]
    assert client.delete(f"{rows_url(portfolio)}{sold}/").status_code == 204
    assert client.delete(f"{rows_url(portfolio)}{bought}/").status_code == 204
    assert not Position.objects.exists()


def test_a_reversed_row_stays_and_says_by_which(client: APIClient, portfolio: Portfolio, acme: Asset) -> None:
    bought = buy(client, portfolio).json()
    url = f"{rows_url(portfolio)}{bought['id']}/"
    assert client.delete(url).status_code == 204
    reversal = client.get(rows_url(portfolio)).json()["results"][0]
    assert (reversal["type"], reversal["reverses"], reversal["time"]) == (
        "reversal",
        bought["id"],
        bought["time"],
    )
    assert client.get(url).json() == {**bought, "reversed_by": reversal["id"]}
    assert client.get(f"{rows_url(portfolio)}?reversed=0").json()["count"] == 0
    again = client.delete(url)
    assert again.status_code == 400 and "has not been reversed already" in again.json()["detail"]
    undo = client.delete(f"{rows_url(portfolio)}{reversal['id']}/")
    assert undo.status_code == 400 and "no reversal itself" in undo.json()["detail"]
    assert buy(client, portfolio, type="reversal").status_code == 400


def test_lists_come_in_pages(client: APIClient, portfolio: Portfolio) -> None:
    for amount in range(1, 6):
        client.post(rows_url(portfolio), {"type": "deposit", "amount": amount, "time": "2026-01-02"})
    page = client.get(f"{rows_url(portfolio)}?page_size=2&page=2").json()
    assert [row["amount"] for row in page["results"]] == [3, 2]
    assert page["count"] == 5
    assert "page=3" in page["next"]
    assert "page_size=2" in page["previous"]
    assert client.get(f"{rows_url(portfolio)}?page=9").status_code == 404
    assert len(client.get(f"{rows_url(portfolio)}?page_size=1000").json()["results"]) == 5


def test_a_watchlist_keeps_its_order_and_an_asset_once(client: APIClient, acme: Asset) -> None:
    Asset.objects.create(symbol="BRK/B", currency="USD")
    first = client.post("/api/watchlist/", {"symbol": "acme"})
    assert first.status_code == 201
    assert set(first.json()) == {"id", "symbol", "name", "currency", "position"}
    assert client.post("/api/watchlist/", {"symbol": "BRK/B"}).json()["position"] == 1
    again = client.post("/api/watchlist/", {"symbol": "ACME"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert client.post("/api/watchlist/", {"symbol": "NOPE"}).status_code == 400
    assert client.delete(f"/api/watchlist/{first.json()['id']}/").status_code == 204
    assert [item["symbol"] for item in client.get("/api/watchlist/").json()["results"]] == ["BRK/B"]


@pytest.mark.django_db(transaction=True)
def test_sales_at_the_same_moment_cannot_sell_more_than_there_is(
    alice: User, client: APIClient, portfolio: Portfolio, acme: Asset
) -> None:
    buy(client, portfolio, quantity=3)
    statuses: list[int] = []
    sellers = [client_of(alice) for _ in range(6)]

    def sell(seller: APIClient) -> None:
        try:
            statuses.append(buy(seller, portfolio, type="sell", quantity=1, time="2026-03-01").status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=sell, args=(seller,)) for seller in sellers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(statuses) == [201] * 3 + [400] * 3
    assert not Position.objects.exists()


def test_the_body_must_be_strict_json(client: APIClient, portfolio: Portfolio) -> None:
    for body in (b'{"amount": NaN}', b"[" * 100_000, b"\xff", b"{", b'{"amount":' + b"9" * 5000 + b"}"):
        answer = client.post(rows_url(portfolio), data=body, content_type="application/json")
        assert answer.status_code == 400, body[:20]
        assert set(answer.json()) == {"detail"}
    huge = json.dumps({"type": "x" * 3_000_000}).encode()
    assert client.post(rows_url(portfolio), data=huge, content_type="application/json").status_code == 413
    form = client.post(
        rows_url(portfolio), data="type=deposit", content_type="application/x-www-form-urlencoded"
    )
    assert form.status_code == 415


def test_a_value_that_no_column_holds_is_shown_all_the_same(
    client: APIClient, portfolio: Portfolio, acme: Asset
) -> None:
    row = buy(client, portfolio, quantity="0.000000000000000003", price="0.5").json()

    assert str(row["base_value"]) == "1.5e-18"
    shown = client.get(rows_url(portfolio)).content.decode()
    assert '"base_value":0.0000000000000000015' in shown
