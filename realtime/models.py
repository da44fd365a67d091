"""Access tokens: what a script shows instead of a session. Alerts have a module of their own."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from realtime.alerts.models import AlertFiring, PriceAlert, WebhookDelivery, WebhookEndpoint

__all__ = ["SCOPES", "AccessToken", "AlertFiring", "PriceAlert", "WebhookDelivery", "WebhookEndpoint"]

SCOPES = ("read", "write", "stream")


def default_scopes() -> list[str]:
    return list(SCOPES)


def validate_scopes(scopes: Any) -> None:
    if not isinstance(scopes, list) or not scopes or not all(scope in SCOPES for scope in scopes):
        raise ValidationError(f"expected a list of {', '.join(SCOPES)}")


class AccessToken(models.Model):
    """A user's bearer token: `read` and `write` for REST, `stream` for the WebSocket."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=12, editable=False)
    scopes = models.JSONField(default=default_scopes, validators=[validate_scopes])
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()
