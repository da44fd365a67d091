"""What a user owns: portfolios, their transactions, the positions that follow from them, and a watchlist.

Transactions are the truth. Positions are rebuilt from them in the database transaction that changes a row,
under a lock on the portfolio: concurrent edits lose nothing, and a row that cannot be booked is never stored.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone

from assets.fields import ExactDecimalField, validate_currency
from assets.models import Asset
from portfolio.ledger import CASH_KINDS, ZERO, Kind, LedgerError, Row, check, replay
from portfolio.valuation import Holdings, hold

# A browser's clock may be a little ahead of ours.
CLOCK_TOLERANCE = timedelta(seconds=5)


class PortfolioQuerySet(models.QuerySet["Portfolio"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> "PortfolioQuerySet":
        return self.filter(user_id=user.pk) if user.pk else self.none()

    def locked(self) -> "PortfolioQuerySet":
        """Takes the lock that every change of transactions holds.

        `no_key`, because an inserted transaction already shares a lock on its portfolio's key: two writers
        that both wanted the full lock would wait for each other for ever.
        """
        return self.select_for_update(no_key=True)


class Portfolio(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="portfolios")
    name = models.CharField(max_length=100)
    currency = models.CharField(max_length=10, default="USD", validators=[validate_currency])
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
        return [entry.as_row() for entry in self.transactions.in_order().select_related("asset")]

    def holdings(self, now: datetime | None = None) -> Holdings:
        """Everything but the prices, as of `now`; raises LedgerError if stored rows contradict each other."""
        names = dict(Asset.objects.filter(transactions__portfolio=self).values_list("symbol", "name"))
        return hold(self.pk, self.name, self.currency, self.rows(), names, now or timezone.now())

    def rebuild(self) -> None:
        """Writes the positions anew from the transactions; raises LedgerError, and then nothing is stored."""
        with transaction.atomic():
            Portfolio.objects.locked().get(pk=self.pk)
            accounts = replay(self.rows()).accounts
            assets = {a.symbol: a for a in Asset.objects.filter(transactions__portfolio=self).distinct()}
            wanted = {assets[s].pk: account.quantity for s, account in accounts.items() if account.quantity}
            self._store_positions(wanted)

    def _store_positions(self, wanted: dict[int, Decimal]) -> None:
        stored = {position.asset_id: position for position in self.positions.all()}
        gone = [position.pk for asset_id, position in stored.items() if asset_id not in wanted]
        Position.objects.filter(pk__in=gone).delete()
        Position.objects.bulk_create(
            Position(portfolio=self, asset_id=asset_id, quantity=quantity)
            for asset_id, quantity in wanted.items()
            if asset_id not in stored
        )
        for asset_id, position in stored.items():
            if asset_id in wanted and position.quantity != wanted[asset_id]:
                position.quantity = wanted[asset_id]
                position.save(update_fields=["quantity"])


class TransactionQuerySet(models.QuerySet["Transaction"]):
    """Bulk changes send no signals, so they rebuild the portfolios they touch themselves."""

    def in_order(self) -> "TransactionQuerySet":
        return self.order_by("time", "row_order", "id")

    def bulk_create(self, objs: Iterable["Transaction"], *args: Any, **kwargs: Any) -> list["Transaction"]:
        with transaction.atomic():
            created = super().bulk_create(objs, *args, **kwargs)
            rebuild({entry.portfolio_id for entry in created})
        return created

    def bulk_update(self, objs: Iterable["Transaction"], *args: Any, **kwargs: Any) -> int:
        objs = list(objs)
        with transaction.atomic():
            count = super().bulk_update(objs, *args, **kwargs)
            rebuild({entry.portfolio_id for entry in objs})
        return count

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic():
            touched = set(self.values_list("portfolio_id", flat=True))
            keys = list(self.values_list("pk", flat=True))
            count = super().update(**kwargs)
            touched |= set(Transaction.objects.filter(pk__in=keys).values_list("portfolio_id", flat=True))
            rebuild(touched)
        return count


def rebuild(portfolio_ids: Collection[int]) -> None:
    """Rebuilds positions and tells their viewers; in the order of ids, so that two calls never deadlock."""
    from portfolio import events

    for portfolio in Portfolio.objects.filter(pk__in=portfolio_ids).order_by("pk"):
        portfolio.rebuild()
        events.portfolio_changed(portfolio.pk)


class Transaction(models.Model):
    """A row of the ledger. Trades have an asset, a quantity and a price; cash rows have an amount."""

    class Type(models.TextChoices):
        BUY = "buy", "Buy"
        SELL = "sell", "Sell"
        DEPOSIT = "deposit", "Deposit"
        WITHDRAWAL = "withdrawal", "Withdrawal"

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="transactions")
    type = models.CharField(max_length=16, choices=Type)
    asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="transactions"
    )
    quantity = ExactDecimalField(null=True, blank=True)
    price = ExactDecimalField(null=True, blank=True)
    fee = ExactDecimalField(default=ZERO)
    amount = ExactDecimalField(null=True, blank=True)
    currency = models.CharField(max_length=10, validators=[validate_currency])
    time = models.DateTimeField(default=timezone.now)
    # Among rows of one moment; rows of equal order follow each other as they were entered.
    row_order = models.IntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TransactionQuerySet.as_manager()

    class Meta:
        ordering = ["-time", "-row_order", "-id"]
        indexes = [models.Index(fields=["portfolio", "time"], name="transaction_by_time")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    type__in=("buy", "sell"),
                    asset__isnull=False,
                    quantity__isnull=False,
                    price__isnull=False,
                    amount__isnull=True,
                )
                | models.Q(
                    type__in=("deposit", "withdrawal"),
                    asset__isnull=True,
                    quantity__isnull=True,
                    price__isnull=True,
                    amount__isnull=False,
                ),
                name="transaction_has_its_own_columns",
            )
        ]

    def __str__(self) -> str:
        return str(self.as_row())

    @property
    def is_cash(self) -> bool:
        return self.type in CASH_KINDS

    def as_row(self) -> Row:
        asset = self.asset
        return Row(
            id=self.pk,
            order=(self.row_order, self.pk or 2**63),
            time=self.time,
            kind=cast(Kind, self.type),
            currency=self.currency,
            symbol=asset.symbol if asset else None,
            quantity=self.quantity or ZERO,
            price=self.price or ZERO,
            amount=self.amount or ZERO,
            fee=self.fee or ZERO,
            multiplier=asset.multiplier if asset else Decimal(1),
        )

    def clean(self) -> None:
        """Refuses a row that the ledger could not book, and says which column or which other row is why."""
        if not self.currency and self.portfolio_id:
            self.currency = self.asset.currency if self.asset else self.portfolio.currency
        self._clean_columns()
        if self.asset and self.currency != self.asset.currency:
            raise ValidationError({"currency": f"expected {self.asset.currency}, was {self.currency}"})
        if self.time and self.time > timezone.now() + CLOCK_TOLERANCE:
            raise ValidationError({"time": "expected a time that is not in the future"})
        try:
            check(self.as_row())
            if self.portfolio_id:
                others = self.portfolio.transactions.exclude(pk=self.pk).select_related("asset")
                replay([*(entry.as_row() for entry in others), self.as_row()])
        except LedgerError as error:
            raise ValidationError(
                {"asset" if error.field == "symbol" else error.field: str(error)}
            ) from error

    def _clean_columns(self) -> None:
        trade, cash = ["asset", "quantity", "price"], ["amount"]
        needed, unused = (cash, trade) if self.is_cash else (trade, cash)
        problems = {name: f"expected with a {self.type}" for name in needed if getattr(self, name) is None}
        problems |= {
            name: f"not expected with a {self.type}" for name in unused if getattr(self, name) is not None
        }
        if problems:
            raise ValidationError(problems)

    def save(self, *args: Any, **kwargs: Any) -> None:
        # The rebuild that follows (portfolio.events) may refuse the row, and must then take it back.
        with transaction.atomic():
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            return super().delete(*args, **kwargs)


class Position(models.Model):
    """How much of an asset a portfolio holds. Follows from the transactions; nobody else writes it."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="positions")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="positions")
    quantity = ExactDecimalField()

    class Meta:
        ordering = ["portfolio_id", "asset__symbol"]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "asset"], name="one_position_per_portfolio_and_asset"
            )
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
