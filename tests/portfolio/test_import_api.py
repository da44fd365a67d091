import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from assets.models import Asset, Split
from portfolio.models import Portfolio, Position, Transaction
from tests.portfolio.test_api import client_of

pytestmark = pytest.mark.django_db

ROWS = """time,kind,symbol,quantity,price,amount,currency,fee,trade_id
2026-01-02,deposit,,,,5000.00,USD,,
2026-01-05T15:00:00Z,buy,ACME,10,100.25,,USD,1.00,t-1
2026-01-06T15:00:00Z,buy,ACME,10,100.25,,USD,1.00,
2026-01-06T15:00:00Z,buy,ACME,10,100.25,,USD,1.00,
2026-02-05T15:00:00Z,sell,ACME,4,110.50,,USD,1.00,t-2
"""


@pytest.fixture
def client() -> APIClient:
    return client_of(User.objects.create_user("alice", password="alice"))


@pytest.fixture
def portfolio(client: APIClient) -> Portfolio:
    return Portfolio.objects.create(user=User.objects.get(), name="Growth", currency="USD")


@pytest.fixture
def acme() -> Asset:
    return Asset.objects.create(symbol="ACME", name="Acme Corporation", currency="USD")


def send(client: APIClient, portfolio: Portfolio, content: str | bytes, **fields: Any) -> Any:
    data = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile("rows.csv", data)
    url = f"/api/portfolios/{portfolio.pk}/imports/"
    return client.post(url, {"file": file, **fields}, format="multipart")


def exported(client: APIClient, portfolio: Portfolio) -> str:
    answer = client.get(f"/api/portfolios/{portfolio.pk}/transactions.csv")
    assert answer["Content-Type"].startswith("text/csv")
    return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]


def test_a_preview_says_everything_and_stores_nothing(
    client: APIClient, portfolio: Portfolio, acme: Asset
) -> None:
    answer = send(client, portfolio, ROWS, dry_run="true")
    assert answer.status_code == 200, answer.content
    found = answer.json()
    assert (found["rows"], found["new"], found["duplicates"], found["problems"]) == (5, 5, 0, [])
    assert (found["booked"], found["preset"], found["delimiter"]) == (False, "livefolio", ",")
    assert found["symbols"] == [
        {"symbol": "ACME", "isin": "", "name": "", "currency": "USD", "rows": 4, "asset": "ACME"}
    ]
    assert found["sample"][1] == {
        "line": 3, "type": "buy", "time": "2026-01-05T15:00:00+00:00", "symbol": "ACME", "quantity": 10,
        "price": 100.25, "amount": None, "currency": "USD", "fee": 1, "status": "new",
    }  # fmt: skip
    assert not Transaction.objects.exists()


def test_all_rows_are_booked_and_the_second_time_none(
    client: APIClient, portfolio: Portfolio, acme: Asset
) -> None:
    assert send(client, portfolio, ROWS).status_code == 201
    assert Position.objects.get().quantity == 26
    again = send(client, portfolio, ROWS)
    assert again.status_code == 201
    assert (again.json()["new"], again.json()["duplicates"]) == (0, 5)
    assert portfolio.transactions.count() == 5
    more = ROWS + "2026-01-06T15:00:00Z,buy,ACME,10,100.25,,USD,1.00,\n"
    assert send(client, portfolio, more).json()["new"] == 1
    assert Position.objects.get().quantity == 36


def test_one_bad_row_keeps_all_out(client: APIClient, portfolio: Portfolio, acme: Asset) -> None:
    oversold = ROWS + "2026-02-06T15:00:00Z,sell,ACME,400,110.50,,USD,1.00,\n"
    answer = send(client, portfolio, oversold)
    assert answer.status_code == 400
    [problem] = answer.json()["problems"]
    assert (problem["line"], problem["column"]) == (7, "quantity")
    assert "expected a sale of at most 26 ACME" in problem["message"]
    assert not Transaction.objects.exists()


@pytest.mark.parametrize(
    ("row", "line", "column", "message"),
    [
        ("20/11/26,buy,ACME,1,1,,USD,,", 7, "time", "expected a date"),
        ("2026-01-06,buy,ACME,NaN,1,,USD,,", 7, "quantity", "expected"),
        ("2026-01-06,buy,ACME,1e99,1,,USD,,", 7, "quantity", "expected"),
        ("2026-01-06,buy,NOPE,1,1,,USD,,", 7, "symbol", "unknown symbol NOPE"),
        ("2030-01-06,buy,ACME,1,1,,USD,,", 7, "time", "not in the future"),
        ("2026-01-06,buy,ACME,1,1,,EUR,,", 7, "currency", "no rate from EUR to USD"),
        ("2026-01-06,gift,ACME,1,1,,USD,,", 7, "kind", "expected"),
    ],
)
def test_a_problem_is_named_at_its_line_and_column(
    client: APIClient, portfolio: Portfolio, acme: Asset, row: str, line: int, column: str, message: str
) -> None:
    answer = send(client, portfolio, f"{ROWS}{row}\n")
    assert answer.status_code == 400
    problems = answer.json()["problems"]
    assert any(
        (one["line"], one["column"]) == (line, column) and message in one["message"] for one in problems
    ), problems
    assert not Transaction.objects.exists()


def test_unknown_symbols_are_mapped_or_added(client: APIClient, portfolio: Portfolio, acme: Asset) -> None:
    rows = "time,kind,symbol,quantity,price,currency\n2026-01-05,buy,ACME CORP,1,1,USD\n2026-01-05,buy,NEW,2,1,USD\n"
    refused = send(client, portfolio, rows).json()
    assert [one["message"].split(":")[0] for one in refused["problems"]] == [
        "unknown symbol ACME CORP",
        "unknown symbol NEW",
    ]
    mapping = json.dumps({"ACME CORP": "ACME"})
    assert send(client, portfolio, rows, mapping=mapping, create_assets="1", dry_run="1").status_code == 200
    assert not Asset.objects.filter(symbol="NEW").exists()
    assert send(client, portfolio, rows, mapping=mapping, create_assets="1").status_code == 201
    assert {p.asset.symbol: p.quantity for p in Position.objects.all()} == {"ACME": 1, "NEW": 2}


def test_rows_from_before_a_split_bring_it_along(
    client: APIClient, portfolio: Portfolio, acme: Asset
) -> None:
    moment = datetime(2026, 2, 1, tzinfo=UTC)
    Split.objects.create(asset=acme, ex_date=moment.date(), numerator=10, denominator=1, effective_at=moment)
    rows = (
        "time,kind,symbol,quantity,price,currency\n"
        "2026-01-05,buy,ACME,10,800,USD\n2026-02-05,sell,ACME,30,82,USD\n"
    )
    assert send(client, portfolio, rows, dry_run="1").json()["problems"] == []
    assert send(client, portfolio, rows).status_code == 201
    assert Position.objects.get().quantity == 70
    told = Portfolio.objects.create(user=portfolio.user, name="Told")
    own = "time,kind,symbol,quantity,price,currency,numerator,denominator\n"
    lines = "2026-01-05,buy,ACME,10,800,USD,,\n2026-02-01,split,ACME,,,USD,10,1\n"
    assert send(client, told, own + lines).status_code == 201
    assert told.positions.get().quantity == 100


def test_the_export_is_read_back_to_the_same_ledger(
    client: APIClient, portfolio: Portfolio, acme: Asset
) -> None:
    assert send(client, portfolio, ROWS).status_code == 201
    rows = f"/api/portfolios/{portfolio.pk}/transactions/"
    wrong = client.post(rows, {"type": "buy", "symbol": "ACME", "quantity": 1, "price": 1}).json()["id"]
    assert client.delete(f"{rows}{wrong}/").status_code == 204
    first = client.get(f"{rows}?page_size=1").json()["results"][0]
    assert first["type"] == "reversal"
    opened = portfolio.transactions.filter(type="buy").earliest("time").pk
    chosen = {
        "type": "sell",
        "symbol": "ACME",
        "quantity": 2,
        "price": 9,
        "lots": [{"row": opened, "quantity": 2}],
    }
    assert client.post(rows, {**chosen, "note": "=1+1"}, format="json").status_code == 201
    text = exported(client, portfolio)
    assert "'=1+1" in text
    copy = Portfolio.objects.create(user=portfolio.user, name="Copy")
    answer = send(client, copy, text)
    assert answer.status_code == 201, answer.content
    before, after = (one.replay(one.rows()).accounts["ACME"] for one in (portfolio, copy))
    assert (after.quantity, after.cost, after.realized) == (before.quantity, before.cost, before.realized)
    assert copy.transactions.filter(note="=1+1").count() == 1
    assert send(client, portfolio, text).json()["new"] == 0


def test_a_file_that_is_none_is_told_apart(client: APIClient, portfolio: Portfolio) -> None:
    url = f"/api/portfolios/{portfolio.pk}/imports/"
    assert "file" in client.post(url, {}, format="multipart").json()
    assert send(client, portfolio, b"").status_code == 400
    assert send(client, portfolio, b"\xff\xfe\x00").status_code == 400
    assert "preset" in send(client, portfolio, ROWS, preset="nope").json()
    assert "expected one of" in send(client, portfolio, ROWS, delimiter="x").json()["detail"]
    assert "mapping" in send(client, portfolio, ROWS, mapping="[]").json()
    assert client.post(url, {"file": "x"}, format="json").status_code == 415


def test_somebody_elses_portfolio_takes_and_gives_nothing(portfolio: Portfolio, acme: Asset) -> None:
    bob = client_of(User.objects.create_user("bob"))
    assert send(bob, portfolio, ROWS).status_code == 404
    assert bob.get(f"/api/portfolios/{portfolio.pk}/transactions.csv").status_code == 404
    assert APIClient().get(f"/api/portfolios/{portfolio.pk}/transactions.csv").status_code == 401
