"""A split of an asset becomes a row in the ledger of everyone who held it then.

The asset's `Split` divides its prices; these rows multiply the lots. A row that is booked later for a time before
the split brings it along.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from assets.models import Asset, Split
from portfolio.booking import reverse
from portfolio.models import Portfolio
from portfolio.transaction import Transaction

SPLITS = ("split", "bonus")
DAY = timedelta(days=1)


def book_for_all(split: Split) -> int:
    """Books the split for every portfolio that holds the asset at its moment; returns how many rows that made."""
    holders = Portfolio.objects.filter(
        transactions__asset=split.asset, transactions__time__lt=split.effective_at
    )
    return sum(book(portfolio, split) for portfolio in holders.distinct().order_by("pk"))


@transaction.atomic
def book(portfolio: Portfolio, split: Split) -> bool:
    """Books the split unless the portfolio held nothing then or has it already; returns whether it did."""
    portfolio = Portfolio.objects.locked().get(pk=portfolio.pk)
    if is_booked(portfolio, split):
        return False
    account = portfolio.replay(portfolio.rows(), until=split.effective_at).accounts.get(split.asset.symbol)
    if account is None or not account.quantity:
        return False
    row_of(portfolio, split).save()
    return True


def row_of(portfolio: Portfolio, split: Split) -> Transaction:
    """The ledger's row of a split, not stored yet."""
    return Transaction(
        portfolio=portfolio,
        type="split",
        asset=split.asset,
        currency=split.asset.currency,
        numerator=split.numerator,
        denominator=split.denominator,
        time=split.effective_at,
        # Before every trade of the same moment, which is in new units.
        row_order=-1,
        note=f"split {split.numerator}:{split.denominator}",
    )


def is_booked(portfolio: Portfolio, split: Split) -> bool:
    """Whether a split of the asset is booked for that day, by us or by an import."""
    rows = portfolio.transactions.filter(type__in=SPLITS, asset=split.asset, reversal=None)
    return any(tells_of(row, split) for row in rows)


def tells_of(row: Transaction, split: Split) -> bool:
    """Whether a row is that split: brokers date it within a day."""
    same_asset = row.type in SPLITS and row.asset_id == split.asset_id
    return same_asset and abs(row.time - split.effective_at) < DAY


def brought_by(portfolio: Portfolio, rows: Sequence[Transaction]) -> list[Transaction]:
    """Returns a row for each split that comes with rows from before it and that nobody has booked."""
    earliest: dict[int, datetime] = {}
    for row in rows:
        for key in (row.asset_id, row.other_asset_id):
            if key is not None and (key not in earliest or row.time < earliest[key]):
                earliest[key] = row.time
    told = [row for row in rows if row.type in SPLITS]
    return [
        row_of(portfolio, split)
        for split in Split.objects.filter(asset__in=earliest).select_related("asset").order_by("effective_at")
        if earliest[split.asset_id] < split.effective_at
        and not any(tells_of(row, split) for row in told)
        and not is_booked(portfolio, split)
    ]


def complete(row: Transaction) -> None:
    """Books the splits that a back-dated row brings with it."""
    assets = [key for key in (row.asset_id, row.other_asset_id) if key is not None]
    if assets and row.type != "reversal":
        for split in Split.objects.filter(asset__in=assets, effective_at__gt=row.time).order_by(
            "effective_at"
        ):
            book(row.portfolio, split)


def take_back(split: Split) -> None:
    """Reverses the rows of a split that never was; a portfolio that cannot do without keeps its row."""
    rows = Transaction.objects.filter(
        type="split", asset=split.asset, time=split.effective_at, row_order=-1, reversal=None
    )
    for row in rows.select_related("portfolio"):
        with suppress(ValidationError):
            reverse(row, note="the asset's split was taken back")


@receiver(post_save, sender=Split)
def _split_saved(instance: Split, raw: bool = False, **_: Any) -> None:
    if not raw:
        book_for_all(instance)


@receiver(post_delete, sender=Split)
def _split_deleted(instance: Split, origin: Any = None, **_: Any) -> None:
    if not isinstance(origin, Asset):  # an asset that is deleted has no holders
        take_back(instance)


@receiver(post_save, sender=Transaction)
def _transaction_saved(instance: Transaction, created: bool, raw: bool = False, **_: Any) -> None:
    if created and not raw:
        complete(instance)
