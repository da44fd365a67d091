"""Assets, what each source calls them, and their stored bars.

The hot price lives in Redis (`assets.snapshots`); the columns here are a throttled copy that survives its loss.
"""

import re
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models

from assets.fields import ExactDecimalField

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
    OTHER = "other", "Other"


class Asset(models.Model):
    """An instrument that can be priced, under one symbol for everybody."""

    symbol = models.CharField(max_length=64, unique=True, validators=[validate_symbol])
    name = models.CharField(max_length=200, blank=True)
    asset_class = models.CharField(max_length=16, choices=AssetClass, default=AssetClass.OTHER)
    currency = models.CharField(max_length=10, default="USD")
    # Contract multiplier times price unit; 1 for whatever is quoted per piece in its major currency.
    multiplier = ExactDecimalField(default=1)
    calendar = models.CharField(max_length=16, default="24/7")
    current_price = ExactDecimalField(null=True, blank=True, editable=False)
    price_as_of = models.DateTimeField(null=True, blank=True, editable=False)
    price_source = models.CharField(max_length=32, blank=True, editable=False)
    # When the stored price was last written or confirmed; not `auto_now`, so that a rename is no fresh price.
    last_updated = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["symbol"]
        constraints = [models.CheckConstraint(condition=~models.Q(symbol=""), name="asset_symbol_not_empty")]

    def __str__(self) -> str:
        return self.symbol


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


class PriceBarQuerySet(models.QuerySet["PriceBar"]):
    def daily(self) -> "PriceBarQuerySet":
        return self.filter(interval=PriceBar.Interval.DAY)

    def last_closed_before(self, session_start: datetime) -> "PriceBarQuerySet":
        """Daily bars of sessions that began before `session_start`, newest first."""
        return self.daily().filter(start__lt=session_start).order_by("-start")


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

    objects = PriceBarQuerySet.as_manager()

    class Meta:
        ordering = ["start"]
        constraints = [
            models.UniqueConstraint(fields=["asset", "interval", "start"], name="one_bar_per_interval_start")
        ]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.interval} {self.start:%Y-%m-%d %H:%M}"
