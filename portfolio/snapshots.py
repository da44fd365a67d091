"""The stored values of a portfolio's past days: a cache, which every change of the past empties from its day on.

Nothing here computes. A portfolio's ledger is written under its lock, and so are snapshots: whoever computed from
rows that have changed meanwhile finds another version and stores nothing.
"""

from collections.abc import Sequence
from datetime import date, datetime

from django.db import models, transaction
from django.db.models import F

from assets.fields import ExactDecimalField
from portfolio.returns import DayValue

BATCH = 500


class PortfolioHistory(models.Model):
    """What the snapshots of a portfolio were computed from."""

    portfolio = models.OneToOneField(
        "portfolio.Portfolio", on_delete=models.CASCADE, primary_key=True, related_name="history"
    )
    # Of the ledger: one more with every change of rows.
    version = models.PositiveBigIntegerField(default=0)
    # Bars that were written later than this may not be in the snapshots.
    checked_at = models.DateTimeField(null=True)
    currency = models.CharField(max_length=10, default="")
    time_zone = models.CharField(max_length=64, default="")
    # Whose prices were to be seen.
    viewer = models.TextField(default="")

    class Meta:
        verbose_name_plural = "portfolio histories"

    def __str__(self) -> str:
        return f"history of {self.portfolio_id}, version {self.version}"


class PortfolioSnapshot(models.Model):
    """A portfolio at the end of a day in its time zone."""

    portfolio = models.ForeignKey(
        "portfolio.Portfolio", on_delete=models.CASCADE, related_name="snapshots", db_index=False
    )
    date = models.DateField()
    value = ExactDecimalField()
    inflow = ExactDecimalField()
    outflow = ExactDecimalField()
    is_complete = models.BooleanField()

    class Meta:
        ordering = ["portfolio_id", "date"]
        constraints = [
            models.UniqueConstraint(fields=["portfolio", "date"], name="one_snapshot_per_portfolio_and_date")
        ]

    def __str__(self) -> str:
        return f"{self.portfolio_id} on {self.date}"


def stored_days(portfolio_id: int, first: date) -> list[DayValue]:
    rows = PortfolioSnapshot.objects.filter(portfolio_id=portfolio_id, date__gte=first).order_by("date")
    return [
        DayValue(*columns)
        for columns in rows.values_list("date", "value", "inflow", "outflow", "is_complete").iterator()
    ]


@transaction.atomic
def invalidate(portfolio_id: int, from_date: date | None) -> None:
    """Forgets the days from `from_date` on, all of them if it is None."""
    _lock(portfolio_id)
    PortfolioHistory.objects.get_or_create(portfolio_id=portfolio_id)
    PortfolioHistory.objects.filter(portfolio_id=portfolio_id).update(version=F("version") + 1)
    snapshots = PortfolioSnapshot.objects.filter(portfolio_id=portfolio_id)
    (snapshots if from_date is None else snapshots.filter(date__gte=from_date)).delete()


@transaction.atomic
def store(
    portfolio_id: int,
    days: Sequence[DayValue],
    *,
    version: int,
    checked_at: datetime,
    currency: str,
    time_zone: str,
    viewer: str,
) -> bool:
    """Puts `days` in place of what is stored from the first of them on; False if the ledger has changed since."""
    if not _lock(portfolio_id):
        return False
    history, _ = PortfolioHistory.objects.get_or_create(portfolio_id=portfolio_id)
    if history.version != version:
        return False
    PortfolioSnapshot.objects.filter(portfolio_id=portfolio_id, date__gte=days[0].date).delete()
    PortfolioSnapshot.objects.bulk_create(
        [
            PortfolioSnapshot(
                portfolio_id=portfolio_id,
                date=day.date,
                value=day.value,
                inflow=day.inflow,
                outflow=day.outflow,
                is_complete=day.is_complete,
            )
            for day in days
        ],
        batch_size=BATCH,
    )
    history.checked_at, history.currency, history.time_zone = checked_at, currency, time_zone
    history.viewer = viewer
    history.save()
    return True


def _lock(portfolio_id: int) -> bool:
    """Takes the lock under which transactions are written; False if the portfolio is gone."""
    from portfolio.models import Portfolio

    return Portfolio.objects.locked().filter(pk=portfolio_id).first() is not None
