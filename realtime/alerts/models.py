"""What is stored of alerts: the rule and where it stands, each firing, and each webhook's way out.

A firing and what is to be delivered of it are written in one transaction, before anything is delivered, so that a
crash in between delivers later. Thresholds are in the units of `units_at`; a split divides them where they are read.
"""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.utils import timezone

from assets.fields import ExactDecimalField
from assets.models import Asset
from assets.splits import Ratio
from realtime.alerts.rules import Kind, Phase, Rule, Standing, Unit

DEFAULT_HYSTERESIS = Decimal("0.5")


class AlertQuerySet(models.QuerySet["PriceAlert"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> "AlertQuerySet":
        return self.filter(user_id=user.pk) if user.pk else self.none()

    def active(self) -> "AlertQuerySet":
        """Those that a price may change; not those of an account that has been disabled."""
        return self.exclude(state=PriceAlert.State.DONE).filter(user__is_active=True)


class PriceAlert(models.Model):
    """A user's wish to be told of a price."""

    class AlertKind(models.TextChoices):
        ABOVE = "above", "Rises to"
        BELOW = "below", "Falls to"
        CROSSING = "crossing", "Crosses"
        PERCENT_MOVE = "percent_move", "Moves by percent"

    class State(models.TextChoices):
        ARMED = "armed", "Armed"
        WAITING = "waiting", "Has fired, waits for the price to go back"
        DONE = "done", "Has fired, once and for all"

    class HysteresisUnit(models.TextChoices):
        PERCENT = "percent", "Percent of the threshold"
        PRICE = "price", "Amount of price"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="price_alerts")
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=16, choices=AlertKind)
    # A price; of a percent move the percentage.
    threshold = ExactDecimalField()
    units_at = models.DateTimeField(default=timezone.now)
    window_minutes = models.PositiveSmallIntegerField(null=True, blank=True)
    hysteresis = ExactDecimalField(default=DEFAULT_HYSTERESIS)
    hysteresis_unit = models.CharField(max_length=8, choices=HysteresisUnit, default=HysteresisUnit.PERCENT)
    once = models.BooleanField(default=False)
    state = models.CharField(max_length=8, choices=State, default=State.ARMED)
    # Counts how often it has been armed; a firing belongs to one arming, and each arming has one at most.
    arming = models.PositiveIntegerField(default=1)
    armed_at = models.DateTimeField(default=timezone.now)
    side = models.SmallIntegerField(default=0)
    reference = ExactDecimalField(null=True, blank=True)
    reference_at = models.DateTimeField(null=True, blank=True)
    last_fired_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["asset"], condition=~models.Q(state="done"), name="active_alerts_by_asset")
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(window_minutes__isnull=True) | models.Q(kind="percent_move"),
                name="alert_window_of_percent_moves",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["armed", "waiting", "done"]), name="alert_state_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asset} {self.kind} {self.threshold:f}"

    def rule(self, ratio: Ratio | None = None) -> Rule:
        """What the user asked for; `ratio` leads from the units of `units_at` to others."""
        rule = Rule(
            kind=cast(Kind, self.kind),
            threshold=self.threshold,
            once=self.once,
            hysteresis=self.hysteresis,
            hysteresis_unit=cast(Unit, self.hysteresis_unit),
            window_minutes=self.window_minutes,
        )
        return rule.in_units(ratio)

    @property
    def standing(self) -> Standing:
        phase = cast(Phase, str(self.state))
        return Standing(self.arming, phase, self.side, self.reference, self.reference_at)

    def arm(self, moment: datetime) -> None:
        """Begins a new arming, which the one before cannot fire any more; to be saved by whoever has the row locked."""
        self.arming += 1
        self.state, self.armed_at = self.State.ARMED, moment
        self.side, self.reference, self.reference_at = 0, None, None


class AlertFiring(models.Model):
    """That an alert has fired: once an arming. The rule and the prices are those of then."""

    alert = models.ForeignKey(PriceAlert, on_delete=models.CASCADE, related_name="firings")
    arming = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=PriceAlert.AlertKind)
    threshold = ExactDecimalField()
    price = ExactDecimalField()
    # What a percent move was measured from.
    reference = ExactDecimalField(null=True, blank=True)
    as_of = models.DateTimeField()
    source = models.CharField(max_length=32)
    fired_at = models.DateTimeField()
    # The outbox of frames: not before `announce_after`, and until it has been done.
    announce_after = models.DateTimeField()
    announced_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-fired_at", "-id"]
        indexes = [
            models.Index(
                fields=["announce_after"],
                condition=models.Q(announced_at__isnull=True),
                name="firings_to_announce",
            )
        ]
        constraints = [
            models.UniqueConstraint(fields=["alert", "arming"], name="one_firing_per_alert_and_arming")
        ]

    def __str__(self) -> str:
        return f"{self.alert_id}, arming {self.arming}"  # not its price, which may be only its user's to see

    def as_wire(self) -> dict[str, Any]:
        """The firing as the frame `alert` and the webhook carry it."""
        return {
            "alert_id": self.alert_id,
            "firing_id": self.pk,
            "symbol": self.alert.asset.symbol,
            "kind": self.kind,
            "threshold": self.threshold,
            "price": self.price,
            "reference": self.reference,
            "source": self.source,
            "as_of": self.as_of,
            "fired_at": self.fired_at,
        }


class WebhookEndpoint(models.Model):
    """Where a user's firings are posted. The secret follows from `nonce` and SECRET_KEY, and is stored nowhere."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="alert_webhook"
    )
    url = models.CharField(max_length=500)
    nonce = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"webhook of {self.user_id}"  # not its address, which may hold a secret


class WebhookDelivery(models.Model):
    """One firing's way to its user's webhook; `key` is the same in every attempt."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Given up"

    firing = models.OneToOneField(AlertFiring, on_delete=models.CASCADE, related_name="delivery")
    key = models.UUIDField(default=uuid.uuid4, unique=True)
    state = models.CharField(max_length=9, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    # Why the last attempt failed, in a few words without the address.
    problem = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(state="pending"),
                name="deliveries_that_are_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.state}"
