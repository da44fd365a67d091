"""A file on its way into the ledger: what that costs, and what happens when somebody is faster."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from assets.models import Asset
from portfolio.importing import Import, run
from portfolio.imports.drafts import Parsed, RowDraft
from portfolio.imports.parsing import parse
from portfolio.models import Portfolio, Position, Transaction

pytestmark = pytest.mark.django_db

HEADER = "time,kind,symbol,quantity,price,amount,currency,fee,row,lots,reverses\n"


@pytest.fixture
def portfolio() -> Portfolio:
    return Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth")


@pytest.fixture
def acme() -> Asset:
    return Asset.objects.create(symbol="ACME", currency="USD")


def read(rows: str) -> Parsed:
    return parse((HEADER + rows).encode())


def trades(count: int) -> str:
    """Triples over seven symbols: two buys, and a sale that chooses the second one's lot."""
    lines = []
    for number in range(1, count + 1):
        kind, lots = ("sell", f"{number - 1}:1") if number % 3 == 0 else ("buy", "")
        when = f"2025-01-01T{number // 60:02}:{number % 60:02}:00Z"
        lines.append(f"{when},{kind},S{(number - 1) // 3 % 7},1,10.5,,USD,0.10,{number},{lots},")
    return "\n".join(lines) + "\n"


def queries(work: Callable[[], Import], *, books: bool = True) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        found = work()
    assert (found.problems, found.is_booked) == ([], books)
    return [str(query["sql"]) for query in captured.captured_queries]


# --- what it costs -----------------------------------------------------------------------------------------------


def test_the_number_of_queries_does_not_grow_with_the_rows(portfolio: Portfolio) -> None:
    counts = []
    for number, rows in enumerate((21, 210)):
        target = Portfolio.objects.create(user=portfolio.user, name=f"Portfolio {number}")
        Asset.objects.bulk_create(Asset(symbol=f"S{n}") for n in range(7 * (1 - number)))
        for book in (False, True, True):
            found = queries(lambda t=target, n=rows, b=book: run(t, read(trades(n)), book=b), books=book)  # type: ignore[misc]
            counts.append(len(found))
        assert target.transactions.count() == rows
    assert counts[:3] == counts[3:]
    assert max(counts) < 40


def test_a_preview_writes_nothing_and_locks_nobody_out(portfolio: Portfolio) -> None:
    found = queries(lambda: run(portfolio, read(trades(30)), create_assets=True), books=False)
    assert {statement.split()[0] for statement in found} - {"DECLARE"} == {"SELECT"}
    assert not any("FOR NO KEY UPDATE" in statement for statement in found)
    run(portfolio, read(trades(30)), create_assets=True, book=True)
    assert Asset.objects.count() == 7


def test_positions_are_those_that_the_stored_rows_come_to(portfolio: Portfolio) -> None:
    run(portfolio, read(trades(100)), create_assets=True, book=True)
    stored = dict(Position.objects.values_list("asset_id", "quantity"))
    assert stored == portfolio.booked_positions() and len(stored) == 7
    account = portfolio.replay(portfolio.rows()).accounts["S0"]
    assert {lot.cost for lot in account.lots} == {Decimal("10.6")}


# --- what speaks of other rows -----------------------------------------------------------------------------------


def test_a_row_that_the_file_takes_back_itself_may_be_any(portfolio: Portfolio, acme: Asset) -> None:
    """Without its reversal the first sale would leave nothing for the second one."""
    rows = """2025-01-01T00:00:00Z,buy,ACME,10,1,,USD,,1,,
2025-01-02T00:00:00Z,sell,ACME,10,7,,USD,,2,,
2025-01-02T00:00:00Z,reversal,,,,,USD,,3,,2
2025-01-03T00:00:00Z,sell,ACME,4,2,,USD,,4,1:4,
"""
    found = run(portfolio, read(rows), book=True)
    assert (found.problems, found.is_booked) == ([], True)
    assert Position.objects.get().quantity == 6
    first, wrong, sale, reversal = portfolio.transactions.order_by("pk")
    assert (reversal.reverses_id, reversal.time, reversal.currency) == (wrong.pk, wrong.time, "USD")
    assert sale.lots == [[first.pk, "4"]]


# --- when somebody is faster ------------------------------------------------------------------------------------


class Meddled(list[RowDraft]):
    """A file's rows; when they are compared with the stored ones, somebody does something to the portfolio."""

    def __init__(self, drafts: list[RowDraft], meddle: Callable[[], object]) -> None:
        super().__init__(drafts)
        self._meddle, self._looks = meddle, 0

    def __iter__(self) -> Iterator[RowDraft]:
        self._looks += 1
        if self._looks == 2:
            self._meddle()
        return super().__iter__()


def meddled(rows: str, meddle: Callable[[], object]) -> Parsed:
    parsed = read(rows)
    return replace(parsed, drafts=Meddled(parsed.drafts, meddle))


def trade(portfolio: Portfolio, asset: Asset, kind: str, quantity: int, days: int) -> None:
    Transaction.objects.create(
        portfolio=portfolio, type=kind, asset=asset, currency="USD", quantity=Decimal(quantity), price=Decimal(1),
        rate=Decimal(1), time=timezone.now() - timedelta(days=days),
    )  # fmt: skip


SALE = "2026-01-01T00:00:00Z,sell,ACME,6,1,,USD,,,,\n"


def test_what_is_sold_while_a_file_is_checked_is_not_sold_again(portfolio: Portfolio, acme: Asset) -> None:
    trade(portfolio, acme, "buy", 10, 3000)
    parsed = meddled(SALE, lambda: trade(portfolio, acme, "sell", 5, 2000))
    found = run(portfolio, parsed, book=True)
    assert not found.is_booked
    [problem] = found.problems
    assert (problem.line, problem.column) == (2, "quantity")
    assert "at most 5 ACME" in problem.message
    assert portfolio.transactions.count() == 2


def test_a_row_that_comes_in_between_is_in_the_positions(portfolio: Portfolio, acme: Asset) -> None:
    trade(portfolio, acme, "buy", 10, 3000)
    found = run(portfolio, meddled(SALE, lambda: trade(portfolio, acme, "buy", 5, 2000)), book=True)
    assert found.is_booked and portfolio.transactions.count() == 3
    assert Position.objects.get().quantity == 9


def test_the_same_file_twice_at_once_is_booked_once(portfolio: Portfolio, acme: Asset) -> None:
    trade(portfolio, acme, "buy", 10, 3000)
    found = run(portfolio, meddled(SALE, lambda: run(portfolio, read(SALE), book=True)), book=True)
    assert found.is_booked and not found.new
    assert Position.objects.get().quantity == 4


def test_an_asset_that_is_added_in_between_is_taken(portfolio: Portfolio) -> None:
    rows = "2026-01-01T00:00:00Z,buy,NEW,6,1,,USD,,,,\n"
    parsed = meddled(rows, lambda: Asset.objects.create(symbol="NEW", name="Theirs", currency="USD"))
    found = run(portfolio, parsed, create_assets=True, book=True)
    assert found.is_booked
    assert Position.objects.get().asset.name == "Theirs"


def test_a_portfolio_that_is_deleted_in_between_takes_nothing(portfolio: Portfolio, acme: Asset) -> None:
    rows = "2026-01-01T00:00:00Z,buy,ACME,6,1,,USD,,,,\n"
    with pytest.raises(Portfolio.DoesNotExist):
        run(portfolio, meddled(rows, lambda: Portfolio.objects.all().delete()), book=True)
    assert not Transaction.objects.exists()
