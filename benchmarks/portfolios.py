"""Makes portfolios to be watched and prints their ids: `python -m benchmarks.portfolios 1000 50 500`.

One for each of so many users of `benchmarks.sessions`, in their order, with so many positions in so many assets of
the simulator, each bought once. Thousands of rows, so they are inserted in bulk, and their positions beside them.
"""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.demo")

import django

django.setup()

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TypeVar

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from assets.models import Asset
from portfolio.models import Portfolio, Position, Transaction
from realtime.feeds.simulated_market import Instrument, symbols
from realtime.price_feed.feed_store import NewAsset, ensure_assets

T = TypeVar("T")

BEGAN = timedelta(days=30)
FEE = Decimal("1.00")


def make_portfolios(count: int, positions: int, market: int) -> list[int]:
    """Returns the ids of new portfolios, one for each of the first `count` readers."""
    instruments = symbols(market)
    wanted = [
        NewAsset(one.symbol, one.symbol, one.name, one.currency, one.asset_class) for one in instruments
    ]
    ensure_assets("simulator", wanted)
    assets = {asset.symbol: asset for asset in Asset.objects.all()}
    began = datetime.now(UTC) - BEGAN
    owners = User.objects.filter(username__startswith="reader").order_by("pk")[:count]
    with transaction.atomic():
        portfolios = Portfolio.objects.bulk_create(
            Portfolio(user=owner, name="Watched", currency="USD") for owner in owners
        )
        rows: list[Transaction] = []
        for number, portfolio in enumerate(portfolios):
            dice = Random(number)
            rows += rows_of(portfolio, spread(instruments, positions, dice), assets, began, dice)
        # Not our own: that rebuilds one portfolio after the other and tells viewers, which takes as long again.
        QuerySet.bulk_create(Transaction.objects.all(), rows)
        Position.objects.bulk_create(
            Position(portfolio_id=row.portfolio_id, asset_id=row.asset_id, quantity=row.quantity)
            for row in rows
            if row.asset_id is not None
        )
    return [portfolio.pk for portfolio in portfolios]


def spread(items: Sequence[T], count: int, dice: Random) -> list[T]:
    """Chooses one of each run of neighbours: the simulator's symbols tick in turns, so each flush moves some of all."""
    run = len(items) // count
    return [items[start + dice.randrange(run)] for start in range(0, run * count, run)]


def rows_of(
    portfolio: Portfolio, held: Sequence[Instrument], assets: dict[str, Asset], began: datetime, dice: Random
) -> list[Transaction]:
    """Returns a deposit and a purchase of each, one minute after the other."""
    bought = [(one, Decimal(dice.randint(1, 10_000)).scaleb(-2)) for one in held]
    spent = sum((quantity * one.base_price + FEE for one, quantity in bought), Decimal(0))
    deposit = Transaction(
        portfolio=portfolio,
        type="deposit",
        amount=spent + dice.randint(1, 10_000),
        currency="USD",
        time=began,
    )
    return [deposit] + [
        Transaction(
            portfolio=portfolio,
            type="buy",
            asset=assets[one.symbol],
            quantity=quantity,
            price=one.base_price,
            fee=FEE,
            currency=one.currency,
            time=began + timedelta(minutes=minute),
        )
        for minute, (one, quantity) in enumerate(bought, 1)
    ]


if __name__ == "__main__":
    print("\n".join(map(str, make_portfolios(*map(int, sys.argv[1:])))))
