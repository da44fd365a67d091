"""Assets, what each source calls them, their stored bars and splits, and the sessions of exchanges.

The hot price lives in Redis (`assets.snapshots`); the columns here are a throttled copy that survives its loss.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from assets.calendar_names import validate_calendar, zone_of
from assets.fields import ExactDecimalField, validate_currency
from assets.rates import MINOR_UNITS
from assets.redistribution import Viewer

SYMBOL = re.compile(r"[A-Z0-9._:|/^=-]{1,64}")


def normal_symbol(text: str) -> str:
    """Returns the symbol upper-cased; raises ValueError unless it is 1 to 64 of the allowed characters."""
    symbol = text.upper() if text.isascii() else text
    if not SYMBOL.fullmatch(symbol):
        raise ValueError("expected 1 to 64 of A-Z a-z 0-9 . _ : | / ^ = -")
    return symbol


def validate_symbol(text: str) -> None:
    try:
        if normal_symbol(text) != text:
            raise ValueError("expected upper case")
    except ValueError as error:
        raise ValidationError(str(error)) from error


class AssetClass(models.TextChoices):
    EQUITY = "equity", "Equity"
    CRYPTO = "crypto", "Crypto"
    FUND = "fund", "Fund"
    FX = "fx", "Currency pair"
    OPTION = "option", "Option"
    BOND = "bond", "Bond"
    INDEX = "index", "Index"
    COMMODITY = "commodity", "Commodity or metal"
    OTHER = "other", "Other"


class Asset(models.Model):
    """An instrument that can be priced, under one symbol for everybody."""

    symbol = models.CharField(max_length=64, unique=True, validators=[validate_symbol])
    name = models.CharField(max_length=200, blank=True)
    asset_class = models.CharField(max_length=16, choices=AssetClass, default=AssetClass.OTHER)
    # Of a currency pair: what its price is for one unit of, in `currency`. Rates are found by these two columns.
    base_currency = models.CharField(max_length=10, blank=True, validators=[validate_currency])
    # Always the major one, pounds and not pence.
    currency = models.CharField(max_length=10, default="USD", validators=[validate_currency])
    # Contract multiplier times price unit; 1 for whatever is quoted per piece in its major currency.
    multiplier = ExactDecimalField(default=1)
    calendar = models.CharField(max_length=16, default="24/7", validators=[validate_calendar])
    may_be_negative = models.BooleanField(default=False, help_text="Prices of zero and below are real.")
    # The first and the last day of its life; nothing can be booked before the first.
    listed_on = models.DateField(null=True, blank=True)
    expires_on = models.DateField(null=True, blank=True)
    current_price = ExactDecimalField(null=True, blank=True, editable=False)
    price_as_of = models.DateTimeField(null=True, blank=True, editable=False)
    price_source = models.CharField(max_length=32, blank=True, editable=False)
    # When the stored price was last written or confirmed; not `auto_now`, so that a rename is no fresh price.
    last_updated = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["symbol"]
        constraints = [
            models.CheckConstraint(condition=~models.Q(symbol=""), name="asset_symbol_not_empty"),
            models.CheckConstraint(
                condition=(models.Q(asset_class="fx") & ~models.Q(base_currency=""))
                | (~models.Q(asset_class="fx") & models.Q(base_currency="")),
                name="asset_base_currency_of_pairs",
            ),
            models.CheckConstraint(
                condition=~models.Q(base_currency=models.F("currency")), name="asset_pair_of_two_currencies"
            ),
            models.UniqueConstraint(
                fields=["base_currency", "currency"],
                condition=~models.Q(base_currency=""),
                name="one_asset_per_currency_pair",
            ),
            models.CheckConstraint(
                condition=models.Q(listed_on__isnull=True)
                | models.Q(expires_on__isnull=True)
                | models.Q(expires_on__gte=models.F("listed_on")),
                name="asset_expires_after_it_is_listed",
            ),
        ]

    def __str__(self) -> str:
        return self.symbol

    def clean(self) -> None:
        problems = {}
        for column in ("currency", "base_currency"):
            if major := MINOR_UNITS.get(getattr(self, column)):
                problems[column] = f"expected {major} with a multiplier of 0.01, was {getattr(self, column)}"
        is_pair = self.asset_class == AssetClass.FX
        if is_pair != bool(self.base_currency):
            problems["base_currency"] = f"expected {'a' if is_pair else 'no'} currency with this asset class"
        elif is_pair and self.base_currency == self.currency:
            problems["base_currency"] = f"expected another currency than {self.currency}"
        if self.multiplier is not None and self.multiplier <= 0:
            problems["multiplier"] = f"expected more than 0, was {self.multiplier:f}"
        if self.listed_on and self.expires_on and self.expires_on < self.listed_on:
            problems["expires_on"] = f"expected {self.listed_on} or later, was {self.expires_on}"
        if problems:
            raise ValidationError(problems)


class FeedSymbol(models.Model):
    """What a source calls an asset; the lowest `priority` that is live gives the price."""

    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="feed_symbols")
    source = models.CharField(max_length=32)
    symbol = models.CharField(max_length=128)
    priority = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["asset_id", "priority", "id"]
        constraints = [
            models.UniqueConstraint(fields=["source", "symbol"], name="one_asset_per_source_symbol"),
            models.UniqueConstraint(fields=["asset", "source"], name="one_symbol_per_asset_and_source"),
        ]

    def __str__(self) -> str:
        return f"{self.source}:{self.symbol}"


class Split(models.Model):
    """From `ex_date` on, `denominator` old units are `numerator` new ones.

    Prices from before `effective_at` are divided where they are read; nothing that is stored is rewritten. What
    a portfolio holds is multiplied by a row of its own ledger.
    """

    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="splits")
    ex_date = models.DateField()
    numerator = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    denominator = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1)])
    # 00:00 of the ex-date in the exchange's time zone: a trade before the open is in new units already.
    effective_at = models.DateTimeField(blank=True)

    class Meta:
        ordering = ["asset_id", "ex_date"]
        constraints = [
            models.UniqueConstraint(fields=["asset", "ex_date"], name="one_split_per_asset_and_date"),
            models.CheckConstraint(
                condition=models.Q(numerator__gt=0, denominator__gt=0), name="split_of_positive_numbers"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asset} {self.numerator}:{self.denominator} on {self.ex_date}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.effective_at is None:
            self.effective_at = midnight_of(self.asset.calendar, self.ex_date)
        super().save(*args, **kwargs)


def midnight_of(calendar: str, day: date) -> datetime:
    """Returns when a date begins where an exchange is."""
    return datetime.combine(day, time(), zone_of(calendar)).astimezone(UTC)


class TradingSession(models.Model):
    """A session of an exchange, as `manage.py update_calendars` stores it; times in UTC."""

    calendar = models.CharField(max_length=16)
    date = models.DateField()
    open = models.DateTimeField()
    close = models.DateTimeField()
    # Pairs of times; the session goes on after each.
    breaks = models.JSONField(default=list, blank=True)
    # Tells other processes that what they remember is old.
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["calendar", "date"]
        indexes = [models.Index(fields=["calendar", "updated_at"], name="session_by_change")]
        constraints = [
            models.UniqueConstraint(fields=["calendar", "date"], name="one_session_per_calendar_and_date"),
            models.CheckConstraint(
                condition=models.Q(close__gt=models.F("open")), name="session_closes_after_its_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.calendar} {self.date}"


class PriceBarQuerySet(models.QuerySet["PriceBar"]):
    def daily(self) -> "PriceBarQuerySet":
        return self.filter(interval=PriceBar.Interval.DAY)

    def last_closed_before(self, session_start: datetime) -> "PriceBarQuerySet":
        """Daily bars of sessions that began before `session_start`, newest first."""
        return self.daily().filter(start__lt=session_start).order_by("-start")

    def visible_to(self, viewer: Viewer) -> "PriceBarQuerySet":
        return self if viewer.sources is None else self.filter(source__in=viewer.sources)

    def bulk_create(self, objs: Iterable["PriceBar"], *args: Any, **kwargs: Any) -> list["PriceBar"]:
        if kwargs.get("update_fields"):
            kwargs["update_fields"] = [*kwargs["update_fields"], "updated_at"]
        return super().bulk_create(objs, *args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        return super().update(**{"updated_at": timezone.now(), **kwargs})


class PriceBar(models.Model):
    """Open, high, low and close of an interval, raw (never adjusted), in the asset's price unit."""

    class Interval(models.TextChoices):
        MINUTE = "1m", "1 minute"
        DAY = "1d", "1 day"

    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="bars")
    interval = models.CharField(max_length=2, choices=Interval)
    start = models.DateTimeField()
    open = ExactDecimalField()
    high = ExactDecimalField()
    low = ExactDecimalField()
    close = ExactDecimalField()
    volume = ExactDecimalField(null=True, blank=True)
    source = models.CharField(max_length=32, blank=True)
    # Changed by a trade that came late, or by its source, after it had been shown.
    revised = models.BooleanField(default=False, db_default=False)
    # Tells what was computed from an older version of the bar, whoever wrote it; null is long ago.
    updated_at = models.DateTimeField(auto_now=True, null=True)

    objects = PriceBarQuerySet.as_manager()

    class Meta:
        ordering = ["start"]
        indexes = [
            models.Index(fields=["updated_at"], condition=models.Q(interval="1d"), name="daily_bar_by_update")
        ]
        constraints = [
            models.UniqueConstraint(fields=["asset", "interval", "start"], name="one_bar_per_interval_start")
        ]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.interval} {self.start:%Y-%m-%d %H:%M}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("update_fields"):
            kwargs["update_fields"] = {*kwargs["update_fields"], "updated_at"}
        super().save(*args, **kwargs)


class TickQuerySet(models.QuerySet["Tick"]):
    def visible_to(self, viewer: Viewer) -> "TickQuerySet":
        return self if viewer.sources is None else self.filter(source__in=viewer.sources)

    def between(self, start: datetime | None, end: datetime | None) -> "TickQuerySet":
        """Those with a time of their own from `start` (inclusive) to `end` (exclusive), oldest first."""
        found = self
        if start is not None:
            found = found.filter(as_of__gte=start)
        if end is not None:
            found = found.filter(as_of__lt=end)
        return found.order_by("as_of", "id")


class Tick(models.Model):
    """What a source said of an asset at a moment, in the units of that time: a trade, or a quote.

    A quote's quantity is that of the last trade; one without a price tells what is bid and asked only.
    """

    class Kind(models.TextChoices):
        TRADE = "trade", "Trade"
        QUOTE = "quote", "Quote"

    id = models.BigAutoField(primary_key=True)
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="ticks", db_index=False)
    source = models.CharField(max_length=32)
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.QUOTE)
    price = ExactDecimalField(null=True)
    quantity = ExactDecimalField(null=True)
    side = models.CharField(max_length=4, blank=True)
    trade_id = models.CharField(max_length=64, blank=True)
    bid = ExactDecimalField(null=True)
    ask = ExactDecimalField(null=True)
    as_of = models.DateTimeField()
    received_at = models.DateTimeField()

    objects = TickQuerySet.as_manager()

    class Meta:
        ordering = ["as_of", "id"]
        indexes = [
            models.Index(fields=["asset", "as_of", "id"], name="tick_by_asset_and_time"),
            models.Index(fields=["received_at"], name="tick_by_arrival"),
        ]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.kind} {self.as_of:%Y-%m-%d %H:%M:%S}"
