from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from assets.models import Asset, Split
from portfolio.models import Portfolio, Position, Transaction
from tests.portfolio.test_booking import book

pytestmark = pytest.mark.django_db

D = Decimal
DAY = timedelta(days=1)


@pytest.fixture
def acme() -> Asset:
    return Asset.objects.create(symbol="ACME")


@pytest.fixture
def portfolio() -> Portfolio:
    return Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth")


def split(asset: Asset, days: int, numerator: int = 10) -> Split:
    moment = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) - days * DAY
    return Split.objects.create(
        asset=asset, ex_date=moment.date(), numerator=numerator, denominator=1, effective_at=moment
    )


def held(portfolio: Portfolio) -> Decimal:
    return Position.objects.get(portfolio=portfolio).quantity


def test_a_split_is_booked_for_everyone_who_held_the_asset(portfolio: Portfolio, acme: Asset) -> None:
    other = Portfolio.objects.create(user=User.objects.create_user("bob"), name="Value")
    late = Portfolio.objects.create(user=portfolio.user, name="Late")
    book(portfolio, "buy", 9, asset=acme, quantity="10", price="800")
    book(other, "buy", 9, asset=acme, quantity="3", price="800")
    book(late, "buy", 1, asset=acme, quantity="5", price="80")
    split(acme, days=4)
    assert (held(portfolio), held(other), held(late)) == (100, 30, 5)
    row = Transaction.objects.filter(portfolio=portfolio, type="split").get()
    assert (row.numerator, row.denominator, row.rate) == (10, 1, None)


def test_saving_it_again_books_nothing_more(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", 9, asset=acme, quantity="10", price="800")
    split(acme, days=4).save()
    assert held(portfolio) == 100


def test_who_booked_it_before_keeps_that_row(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", 9, asset=acme, quantity="10", price="800")
    book(portfolio, "split", 4, asset=acme, numerator=10, denominator=1)
    split(acme, days=4)
    assert held(portfolio) == 100


def test_a_back_dated_purchase_is_split_too(portfolio: Portfolio, acme: Asset) -> None:
    split(acme, days=4)
    book(portfolio, "buy", 9, asset=acme, quantity="10", price="800")
    assert held(portfolio) == 100
    book(portfolio, "buy", 8, asset=acme, quantity="1", price="800")
    assert held(portfolio) == 110


def test_a_split_that_never_was_is_taken_back(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", 9, asset=acme, quantity="10", price="800")
    split(acme, days=4).delete()
    assert held(portfolio) == 10
    assert Transaction.objects.filter(portfolio=portfolio).count() == 3
