"""What a user owns: portfolios, the positions that follow from their transactions, and a watchlist.

Transactions are the truth. Positions are rebuilt from them in the database transaction that changes a row,
under a lock on the portfolio: concurrent edits lose nothing, and a row that cannot be booked is never stored.
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.db import models, transaction

from assets.fields import ExactDecimalField, validate_currency
from assets.models import Asset
from assets.redistribution import Viewer, viewer_of
from portfolio.daily import day_of
from portfolio.ledger import Books, Row, replay
from portfolio.receipt_store import ReceiptSegment
from portfolio.snapshots import PortfolioHistory, PortfolioSnapshot, invalidate
from portfolio.transaction import WRITTEN_AT_ONCE, Transaction, TransactionQuerySet, of_portfolio, rebuild
from portfolio.windows import Holdings

__all__ = [
    "Portfolio",
    "PortfolioHistory",
    "PortfolioSnapshot",
    "Position",
    "ReceiptSegment",
    "Transaction",
    "TransactionQuerySet",
    "WatchlistItem",
    "rebuild",
]


def validate_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(f"expected a time zone like Europe/Berlin, was '{name[:40]}'")


class PortfolioQuerySet(models.QuerySet["Portfolio"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> "PortfolioQuerySet":
        return self.filter(user_id=user.pk) if user.pk else self.none()

    def locked(self) -> "PortfolioQuerySet":
        """Takes the lock that every change of transactions holds.

        `no_key`, because an inserted transaction already shares a lock on its portfolio's key: two writers
        that both wanted the full lock would wait for each other for ever.
        """
        return self.select_for_update(no_key=True)


class LotMethod(models.TextChoices):
    """Which lots a sale closes, where the row does not choose them itself."""

    FIFO = "fifo", "First in, first out"
    LIFO = "lifo", "Last in, first out"
    HIGHEST = "highest", "Highest cost"
    AVERAGE = "average", "Average cost"


class Portfolio(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="portfolios")
    name = models.CharField(max_length=100)
    currency = models.CharField(max_length=10, default="USD", validators=[validate_currency])
    lot_method = models.CharField(max_length=8, choices=LotMethod, default=LotMethod.FIFO)
    # Where its days begin and end, and what the midnight of a cash row's date is.
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    short_sales = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PortfolioQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="one_portfolio_per_user_and_name"),
            models.CheckConstraint(condition=~models.Q(name=""), name="portfolio_name_not_empty"),
        ]

    def __str__(self) -> str:
        return self.name

    def rows(self) -> list[Row]:
        """The ledger's rows, oldest first."""
        return of_portfolio(self)

    def replay(self, rows: Iterable[Row], until: datetime | None = None) -> Books:
        """Books rows by this portfolio's rules; raises LedgerError."""
        method: Any = self.lot_method
        return replay(rows, short_sales=self.short_sales, method=method, base=self.currency, until=until)

    def holdings(self, now: datetime | None = None) -> Holdings:
        """Everything but the prices, as of `now`; raises LedgerError if stored rows contradict each other."""
        from portfolio.holdings import load

        return load(self, now)

    @property
    def viewer(self) -> Viewer:
        """What its owner may see; it is valued by nothing else, whoever asks."""
        return viewer_of(self.user)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def invalidate_history(self, from_date: date | None = None) -> None:
        """Forgets the stored values of the days from `from_date` on, or all; whoever writes rows has to call it."""
        invalidate(self.pk, from_date)

    def tell(self, since: datetime | None) -> None:
        """Forgets the history from `since` on (or all) and tells the viewers; for whoever has changed rows."""
        from portfolio import events

        self.invalidate_history(day_of(since, self.zone) if since else None)
        events.portfolio_changed(self.pk)

    def rebuild(self) -> None:
        """Writes the positions anew from the transactions; raises LedgerError, and then nothing is stored."""
        with transaction.atomic():
            Portfolio.objects.locked().get(pk=self.pk)
            self.store_positions(self.replay(self.rows()))

    def booked_positions(self) -> dict[int, Decimal]:
        """Returns how much the rows say is held, by the asset's id."""
        return _held(self.replay(self.rows()))

    def store_positions(self, books: Books) -> None:
        """Writes the positions of books that all rows were replayed to, by whoever holds the lock."""
        booked = _held(books)
        stored = {position.asset_id: position for position in self.positions.all()}
        gone = [position.pk for asset_id, position in stored.items() if asset_id not in booked]
        Position.objects.filter(pk__in=gone).delete()
        Position.objects.bulk_create(
            Position(portfolio=self, asset_id=asset_id, quantity=quantity)
            for asset_id, quantity in booked.items()
            if asset_id not in stored
        )
        changed = []
        for asset_id, position in stored.items():
            if asset_id in booked and position.quantity != booked[asset_id]:
                position.quantity = booked[asset_id]
                changed.append(position)
        Position.objects.bulk_update(changed, ["quantity"], batch_size=WRITTEN_AT_ONCE)


def _held(books: Books) -> dict[int, Decimal]:
    held = {symbol: account.quantity for symbol, account in books.accounts.items() if account.quantity}
    keys = dict(Asset.objects.filter(symbol__in=held).values_list("symbol", "pk"))
    return {keys[symbol]: quantity for symbol, quantity in held.items()}


class Position(models.Model):
    """How much of an asset a portfolio holds. Follows from the transactions; nobody else writes it."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="positions")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="positions")
    quantity = ExactDecimalField()

    class Meta:
        ordering = ["portfolio_id", "asset__symbol"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(quantity__is_not_zero=True), name="position_quantity_is_not_zero"
            ),
            models.UniqueConstraint(
                fields=["portfolio", "asset"], name="one_position_per_portfolio_and_asset"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity:f} {self.asset}"


class WatchlistQuerySet(models.QuerySet["WatchlistItem"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> "WatchlistQuerySet":
        return self.filter(user_id=user.pk) if user.pk else self.none()


class WatchlistItem(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="watchlist")
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="watched_by")
    position = models.PositiveIntegerField(default=0)

    objects = WatchlistQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "asset"], name="one_watchlist_item_per_user_and_asset")
        ]

    def __str__(self) -> str:
        return f"{self.user} watches {self.asset}"
