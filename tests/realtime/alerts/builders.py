"""Alerts of users in the database, with plain values for what a test does not care about."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User

from assets.models import Asset
from realtime.alerts.models import PriceAlert, WebhookEndpoint
from realtime.alerts.rules import Change, Standing, Step
from realtime.alerts.store import load
from realtime.alerts.webhooks import new_nonce

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DONE = Step(Standing(phase="done"), True)


def make_user(name: str = "alice") -> User:
    return User.objects.get_or_create(username=name)[0]


def make_alert(user: User | None = None, symbol: str = "ACME", **values: Any) -> PriceAlert:
    asset, _ = Asset.objects.get_or_create(symbol=symbol)
    values = {"kind": "above", "threshold": Decimal(100), **values}
    return PriceAlert.objects.create(user=user or make_user(), asset=asset, **values)


def make_webhook(user: User, url: str) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(user=user, url=url, nonce=new_nonce())


def change_of(alert: PriceAlert, price: str = "101", seen_at: datetime = NOW, **values: Any) -> Change:
    """What a process that has just read the alert makes of a price."""
    (stored,) = [one for one in load([alert.asset_id], NOW)[alert.asset_id] if one.id == alert.pk]
    after = Step(stored.standing._replace(phase="waiting"), True)
    return Change(
        alert.pk,
        alert.asset_id,
        stored.rule,
        stored.standing,
        values.get("step", after),
        Decimal(price),
        seen_at,
        seen_at,
        "simulator",
    )
