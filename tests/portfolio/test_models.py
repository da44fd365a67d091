import threading
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from assets.models import Asset
from portfolio.ledger import EXACT, LedgerError, Oversold
from portfolio.models import Portfolio, Transaction, WatchlistItem

D = Decimal


@pytest.fixture
def portfolio(db: None) -> Portfolio:
    return Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth", currency="USD")


@pytest.fixture
def acme(db: None) -> Asset:
    return Asset.objects.create(symbol="ACME", name="Acme Corporation", currency="USD")


def trade(
    portfolio: Portfolio, asset: Asset, kind: str, quantity: str, days: int = 0, **values: Any
) -> Transaction:
    values = {"price": D(100), "currency": asset.currency, **values}
    moment = timezone.now() - timedelta(days=days)
    return Transaction.objects.create(
        portfolio=portfolio, asset=asset, type=kind, quantity=D(quantity), time=moment, **values
    )


def quantities(portfolio: Portfolio) -> dict[str, Decimal]:
    return {position.asset.symbol: position.quantity for position in portfolio.positions.all()}


def test_positions_follow_every_way_of_changing_a_row(portfolio: Portfolio, acme: Asset) -> None:
    row = trade(portfolio, acme, "buy", "10", days=3)
    assert quantities(portfolio) == {"ACME": 10}
    row.quantity = D("12.5")
    row.save()
    assert quantities(portfolio) == {"ACME": D("12.5")}
    portfolio.transactions.update(quantity=D(4))
    assert quantities(portfolio) == {"ACME": 4}
    row.refresh_from_db()
    row.quantity = D(5)
    Transaction.objects.bulk_update([row], ["quantity"])
    assert quantities(portfolio) == {"ACME": 5}
    Transaction.objects.bulk_create(
        [Transaction(portfolio=portfolio, asset=acme, type="sell", quantity=D(2), price=D(1), currency="USD")]
    )
    assert quantities(portfolio) == {"ACME": 3}
    portfolio.transactions.filter(type="sell").delete()
    assert quantities(portfolio) == {"ACME": 5}
    row.delete()
    assert quantities(portfolio) == {}


def test_rows_read_as_columns_are_those_of_their_instances(portfolio: Portfolio, acme: Asset) -> None:
    pence = Asset.objects.create(symbol="PENNY", currency="GBP", multiplier=D("0.01"))
    bought = trade(portfolio, acme, "buy", "10", days=9, fee=D("1.5"), fee_currency="CHF", fee_rate=D("1.1"))
    trade(portfolio, acme, "sell", "4", days=8, lots=[[bought.pk, "4"]], tax=D(2), row_order=3)
    trade(
        portfolio, pence, "buy", "10", days=7, rate=D("1.25"), base_value=D("12.5"), settlement_currency="EUR",
        settlement_rate=D("1.15"), note="settled elsewhere",
    )  # fmt: skip
    trade(
        portfolio, acme, "transfer_in", "5", days=6, cost=D(400), base_cost=D(400),
        opened=timezone.now() - timedelta(days=99),
    )  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"type": "deposit", "amount": D(50)},
        {"type": "convert", "amount": D(5), "to_amount": D(4), "to_currency": "EUR"},
        {"type": "dividend", "asset": acme, "amount": D(3), "pay_time": timezone.now() + timedelta(days=5)},
        {"type": "spinoff", "asset": acme, "other_asset": pence, "numerator": 1, "denominator": 4,
         "cost_share": D("0.1"), "settlement_rate": D("0.8")},
    ]  # fmt: skip
    wrong = Transaction.objects.create(portfolio=portfolio, type="fee", amount=D(1), currency="USD")
    rows.append({"type": "reversal", "reverses": wrong})
    for values in rows:
        Transaction.objects.create(portfolio=portfolio, currency="USD", **values)
    stored = portfolio.transactions.in_order().with_assets()
    assert portfolio.rows() == [entry.as_row() for entry in stored]
    assert len(portfolio.rows()) == 10


def test_a_row_moved_to_another_portfolio_changes_both(portfolio: Portfolio, acme: Asset) -> None:
    other = Portfolio.objects.create(user=portfolio.user, name="Other")
    row = trade(portfolio, acme, "buy", "10")
    row.portfolio = other
    row.save()
    assert quantities(portfolio) == {}
    assert quantities(other) == {"ACME": 10}


def test_a_position_sold_out_disappears(portfolio: Portfolio, acme: Asset) -> None:
    trade(portfolio, acme, "buy", "10", days=1)
    trade(portfolio, acme, "sell", "10")
    assert quantities(portfolio) == {}


def test_a_refused_row_leaves_nothing_behind(portfolio: Portfolio, acme: Asset) -> None:
    bought = trade(portfolio, acme, "buy", "10", days=2)
    trade(portfolio, acme, "sell", "8", days=1)
    for attempt in (
        lambda: trade(portfolio, acme, "sell", "3"),
        bought.delete,
        portfolio.transactions.filter(type="buy").delete,
        lambda: portfolio.transactions.filter(type="buy").update(quantity=D(7)),
    ):
        with pytest.raises(Oversold), transaction.atomic():
            attempt()
    assert portfolio.transactions.count() == 2
    assert quantities(portfolio) == {"ACME": 2}


@pytest.mark.django_db(transaction=True)
def test_a_refused_row_is_taken_back_without_a_transaction_around_it() -> None:
    portfolio = Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth")
    acme = Asset.objects.create(symbol="ACME")
    with pytest.raises(LedgerError):
        trade(portfolio, acme, "sell", "3")
    assert not portfolio.transactions.exists()


def test_clean_says_which_column_is_wrong(portfolio: Portfolio, acme: Asset) -> None:
    def problems(**values: Any) -> set[str]:
        with pytest.raises(ValidationError) as caught:
            Transaction(portfolio=portfolio, **values).full_clean()
        return set(caught.value.message_dict)

    good = {"type": "buy", "asset": acme, "quantity": D(1), "price": D(1), "currency": "USD"}
    Transaction(portfolio=portfolio, **good).full_clean()
    assert problems(**{**good, "currency": "EUR"}) == {"currency"}
    assert problems(**{**good, "time": timezone.now() + timedelta(minutes=1)}) == {"time"}
    assert "quantity" in problems(**{**good, "quantity": D(0)})
    assert "amount" in problems(**{**good, "amount": D(1)})
    assert "quantity" in problems(**{**good, "type": "sell", "quantity": D(2)})
    assert {"asset", "quantity", "price"} <= problems(type="buy", currency="USD")
    assert "amount" in problems(type="deposit", currency="USD")
    assert "type" in problems(**{**good, "type": "gift"})


def test_the_database_refuses_a_trade_without_an_asset(portfolio: Portfolio) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Transaction.objects.create(portfolio=portfolio, type="deposit", price=D(1), currency="USD")


def test_a_portfolios_name_is_the_users_own(portfolio: Portfolio) -> None:
    Portfolio.objects.create(user=User.objects.create_user("bob"), name="Growth")
    with pytest.raises(IntegrityError), transaction.atomic():
        Portfolio.objects.create(user=portfolio.user, name="Growth")


def test_users_see_only_their_own(portfolio: Portfolio, acme: Asset) -> None:
    bob = User.objects.create_user("bob")
    WatchlistItem.objects.create(user=portfolio.user, asset=acme)
    assert list(Portfolio.objects.visible_to(portfolio.user)) == [portfolio]
    assert not Portfolio.objects.visible_to(bob).exists()
    assert not WatchlistItem.objects.visible_to(bob).exists()


def test_quantities_keep_all_their_digits(portfolio: Portfolio, acme: Asset) -> None:
    wei = D("1234567.123456789012345678")
    trade(portfolio, acme, "buy", str(wei), price=D("43000.123456789012345678"))
    held = Portfolio.objects.get().holdings().positions[0]
    assert held.quantity == wei
    with localcontext(EXACT):
        assert held.moved.value == wei * D("43000.123456789012345678")
    assert str(quantities(portfolio)["ACME"]) == str(wei)


def test_a_deleted_user_takes_everything_along(portfolio: Portfolio, acme: Asset) -> None:
    trade(portfolio, acme, "buy", "10", days=1)
    trade(portfolio, acme, "sell", "10")
    portfolio.user.delete()
    assert not Transaction.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_concurrent_edits_lose_nothing() -> None:
    portfolio = Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth")
    acme = Asset.objects.create(symbol="ACME")
    trade(portfolio, acme, "buy", "4", days=1)
    outcomes: list[str] = []

    def edit(kind: str) -> None:
        try:
            trade(portfolio, acme, kind, "1")
            outcomes.append(kind)
        except Oversold:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=edit, args=(kind,)) for kind in ["buy", "sell"] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 16
    sold = outcomes.count("sell")
    assert quantities(portfolio).get("ACME", 0) == 4 + 8 - sold
    assert portfolio.transactions.count() == 1 + 8 + sold
