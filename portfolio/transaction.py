"""The stored rows of the ledger: append-only, each with its rate and value in the portfolio's currency frozen.

Owns the columns, their constraints and the way to the pure `Row`. A row is never edited: a reversal takes it back.
What a booking fills in and checks is `portfolio.booking`'s.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import reduce
from operator import and_, attrgetter
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.utils import timezone

from assets.fields import ExactDecimalField, validate_currency
from assets.models import Asset
from portfolio.columns import ALL, kinds_needing, kinds_with
from portfolio.ledger import KINDS, ONE, ZERO, Row

if TYPE_CHECKING:
    from portfolio.models import Portfolio

POSITIVE = ("quantity", "to_amount", "rate", "fee_rate", "settlement_rate")
NOT_NEGATIVE = ("price", "fee", "tax", "cost_share", "cost", "base_cost", "base_value")
TEXTS = ("fee_currency", "settlement_currency", "to_currency", "option_right")
WRITTEN_AT_ONCE = 500
READ_AT_ONCE = 2000
LABELS = {
    "transfer_in": "Transfer in",
    "transfer_out": "Transfer out",
    "cash_in_lieu": "Cash in lieu",
    "return_of_capital": "Return of capital",
    "spinoff": "Spin-off",
    "symbol_change": "Symbol change",
}


class TransactionQuerySet(models.QuerySet["Transaction"]):
    """Bulk changes send no signals, so they rebuild the portfolios they touch themselves."""

    def in_order(self) -> "TransactionQuerySet":
        return self.order_by("time", "row_order", "id")

    def with_assets(self) -> "TransactionQuerySet":
        return self.select_related("asset", "other_asset")

    def insert(self, rows: Sequence[Sequence[Any]]) -> None:
        """Stores rows that `columns_of` has written down, and nothing else.

        The caller holds the lock, and stores the positions that follow. For 100,000 rows that takes 5 s on SQLite,
        which is a third of what Django's own way takes, and 2 s on PostgreSQL.
        """
        connection = connections[self.db]
        table = connection.ops.quote_name(self.model._meta.db_table)
        names = ", ".join(connection.ops.quote_name(str(field.column)) for field in STORED)
        with connection.cursor() as cursor, connection.wrap_database_errors:
            if connection.vendor == "sqlite":
                places = ", ".join(["%s"] * len(STORED))
                cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)
                return
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)

    def choose_lots(self, entries: Iterable["Transaction"]) -> None:
        """Stores which lots rows close, and nothing else, as `insert` does."""
        # Not by way of `update`, which rebuilds the positions: a row may be stored by now without its reversal.
        plain: models.QuerySet[Transaction] = models.QuerySet(self.model, using=self.db)
        plain.bulk_update(entries, ["lots"], batch_size=WRITTEN_AT_ONCE)

    def bulk_create(self, objs: Iterable["Transaction"], *args: Any, **kwargs: Any) -> list["Transaction"]:
        with transaction.atomic():
            created = super().bulk_create(objs, *args, **kwargs)
            since = min((entry.time for entry in created), default=None)
            rebuild({entry.portfolio_id for entry in created}, since)
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


def rebuild(portfolio_ids: Collection[int], since: datetime | None = None) -> None:
    """Rebuilds positions, forgets the history from `since` on (or all) and tells the portfolios' viewers.

    In the order of ids, so that two calls never deadlock.
    """
    from portfolio.models import Portfolio

    for portfolio in Portfolio.objects.filter(pk__in=portfolio_ids).order_by("pk"):
        portfolio.rebuild()
        portfolio.tell(since)


def _fits(column: str) -> models.Q:
    """The column is filled in the kinds that need it, and empty in those that do not have it."""
    is_empty = models.Q(**({column: ""} if column in TEXTS else {f"{column}__isnull": True}))
    missing_is_fine = ~models.Q(type__in=kinds_needing(column))
    return (is_empty & missing_is_fine) | (~is_empty & models.Q(type__in=kinds_with(column)))


def _has_sign(column: str, lookup: str) -> models.Q:
    return models.Q(**{f"{column}__isnull": True}) | models.Q(**{f"{column}__{lookup}": True})


def _constraints() -> list[models.BaseConstraint]:
    fee = models.Q(fee=ZERO) | models.Q(type__in=kinds_with("fee"))
    signs = [_has_sign(name, "is_positive") for name in POSITIVE]
    signs += [_has_sign(name, "is_not_negative") for name in NOT_NEGATIVE]
    conditions = {
        "transaction_has_its_own_columns": reduce(and_, map(_fits, ALL), fee),
        "transaction_numbers_have_their_sign": reduce(and_, signs),
    }
    return [models.CheckConstraint(condition=one, name=name) for name, one in conditions.items()]


class Transaction(models.Model):
    """A row of the ledger. Which columns a type has is `portfolio.columns`'s table; numbers are positive."""

    portfolio = models.ForeignKey(
        "portfolio.Portfolio", on_delete=models.CASCADE, related_name="transactions"
    )
    type = models.CharField(
        max_length=20, choices=[(kind, LABELS.get(kind, kind.capitalize())) for kind in KINDS]
    )
    asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="transactions"
    )
    quantity = ExactDecimalField(null=True, blank=True)
    # In the asset's own unit: pence, or percent of par.
    price = ExactDecimalField(null=True, blank=True)
    amount = ExactDecimalField(null=True, blank=True)
    currency = models.CharField(max_length=10, validators=[validate_currency])
    fee = ExactDecimalField(default=ZERO)
    fee_currency = models.CharField(max_length=10, blank=True, validators=[validate_currency])
    fee_rate = ExactDecimalField(null=True, blank=True)
    tax = ExactDecimalField(null=True, blank=True)
    # Units of the portfolio's currency for one of `currency`, and what the row is worth at it; frozen at booking.
    rate = ExactDecimalField(null=True, blank=True)
    base_value = ExactDecimalField(null=True, blank=True, editable=False)
    settlement_currency = models.CharField(max_length=10, blank=True, validators=[validate_currency])
    settlement_rate = ExactDecimalField(null=True, blank=True)
    to_currency = models.CharField(max_length=10, blank=True, validators=[validate_currency])
    to_amount = ExactDecimalField(null=True, blank=True)
    pay_time = models.DateTimeField(null=True, blank=True)
    numerator = models.PositiveIntegerField(null=True, blank=True)
    denominator = models.PositiveIntegerField(null=True, blank=True)
    other_asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, null=True, blank=True, related_name="other_transactions"
    )
    cost_share = ExactDecimalField(null=True, blank=True)
    cost = ExactDecimalField(null=True, blank=True)
    base_cost = ExactDecimalField(null=True, blank=True)
    opened = models.DateTimeField(null=True, blank=True)
    # Chosen lots: [[id of the opening row, quantity as text], …].
    lots = models.JSONField(null=True, blank=True)
    option_right = models.CharField(max_length=4, blank=True, choices=[("call", "Call"), ("put", "Put")])
    reverses = models.OneToOneField(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="reversal"
    )
    time = models.DateTimeField(default=timezone.now)
    # The time was given as a date: `time` is the open of the asset's session of that date.
    date_only = models.BooleanField(default=False)
    row_order = models.IntegerField(default=0)
    # The broker's own number of the row, and what an import recognises it by if there is none.
    trade_id = models.CharField(max_length=200, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    note = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TransactionQuerySet.as_manager()

    class Meta:
        ordering = ["-time", "-row_order", "-id"]
        indexes = [
            models.Index(fields=["portfolio", "time"], name="transaction_by_time"),
            models.Index(fields=["portfolio", "fingerprint"], name="transaction_by_fingerprint"),
        ]
        constraints = _constraints()

    def __str__(self) -> str:
        return str(self.as_row())

    def as_row(self, id: int | None = None) -> Row:
        """Returns the ledger's row; one that is not stored yet goes by `id`, if it is given."""
        own, asset, other = _of_row(self), self.asset, self.other_asset
        return _row(
            own if id is None else (id, *own[1:]),
            (asset.symbol, asset.multiplier) if asset else NO_ASSET,
            (other.symbol, other.multiplier, other.currency) if other else NO_OTHER,
        )

    def clean(self) -> None:
        from portfolio.booking import clean

        clean(self)

    def save(self, *args: Any, **kwargs: Any) -> None:
        # The rebuild that follows (portfolio.events) may refuse the row, and must then take it back.
        with transaction.atomic():
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            return super().delete(*args, **kwargs)


STORED = [field for field in Transaction._meta.concrete_fields if not field.primary_key]
AS_THEY_ARE = frozenset({type(None), str, int, bool})
_stored: Callable[[Transaction], tuple[Any, ...]] = attrgetter(*(field.attname for field in STORED))


def columns_of(entry: Transaction) -> list[Any]:
    """Returns what `insert` writes of a row, in the order of STORED: a third of the room that an instance takes."""
    connection = connections[DEFAULT_DB_ALIAS]
    entry.created_at = timezone.now()
    return [
        value if type(value) in AS_THEY_ARE else field.get_db_prep_save(value, connection)
        for field, value in zip(STORED, _stored(entry), strict=True)
    ]


# What a row is made of: columns of its own, and of its assets.
OF_ROW = (
    "pk", "row_order", "time", "type", "currency", "quantity", "price", "amount", "fee", "tax", "rate", "base_value",
    "fee_currency", "fee_rate", "settlement_currency", "settlement_rate", "to_currency", "to_amount", "pay_time",
    "numerator", "denominator", "cost_share", "cost", "base_cost", "opened", "lots", "option_right", "reverses_id",
)  # fmt: skip
OF_ASSETS = (
    "asset__symbol", "asset__multiplier", "other_asset__symbol", "other_asset__multiplier", "other_asset__currency",
)  # fmt: skip
NO_ASSET, NO_OTHER = (None, None), (None, None, None)
_of_row: Callable[[Transaction], tuple[Any, ...]] = attrgetter(*OF_ROW)


def of_portfolio(portfolio: "Portfolio") -> list[Row]:
    """Returns the ledger's rows, oldest first; not by way of instances, which take twice the time to make."""
    columns = portfolio.transactions.in_order().values_list(*OF_ROW, *OF_ASSETS)
    size = len(OF_ROW)
    return [_row(found[:size], found[size : size + 2], found[size + 2 :]) for found in columns]


def _row(own: tuple[Any, ...], asset: tuple[Any, ...], other: tuple[Any, ...]) -> Row:
    (
        id, row_order, time, kind, currency, quantity, price, amount, fee, tax, rate, base_value,
        fee_currency, fee_rate, settlement_currency, settlement_rate, to_currency, to_amount, pay_time,
        numerator, denominator, cost_share, cost, base_cost, opened, lots, option_right, reverses,
    ) = own  # fmt: skip
    symbol, multiplier = asset
    other_symbol, other_multiplier, other_currency = other
    return Row(
        id=id,
        order=(row_order, id or 2**63),
        time=time,
        kind=kind,
        currency=currency,
        symbol=symbol,
        multiplier=multiplier or ONE,
        quantity=quantity or ZERO,
        price=price or ZERO,
        amount=amount or ZERO,
        fee=fee or ZERO,
        tax=tax or ZERO,
        rate=ONE if rate is None else rate,
        base_value=base_value,
        fee_currency=fee_currency or None,
        fee_rate=fee_rate,
        settlement_currency=settlement_currency or None,
        settlement_rate=settlement_rate,
        to_currency=to_currency or None,
        to_amount=to_amount or ZERO,
        pay_time=pay_time,
        numerator=numerator or 0,
        denominator=denominator or 0,
        other_symbol=other_symbol,
        other_currency=other_currency,
        other_multiplier=other_multiplier or ONE,
        cost_share=cost_share or ZERO,
        cost=cost or ZERO,
        base_cost=base_cost,
        opened=opened,
        lots=tuple((int(key), Decimal(quantity)) for key, quantity in lots or ()),
        option_right=option_right or None,
        reverses=reverses,
    )
