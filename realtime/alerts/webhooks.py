"""The outbox of webhooks: which firing is to be posted where and when, with its secret and its body.

Plain functions for a database thread. An attempt is counted, and the next one's time set, before it is made: a crash in
the middle makes another attempt under the same key, and two processes never make the same one.
"""

import base64
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils.crypto import salted_hmac

from realtime.alerts.models import WebhookDelivery, WebhookEndpoint
from realtime.protocol import encode, wire_time

# Doubling from the first to the last; the first is longer than an attempt may take.
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=15), timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(hours=24)
DOUBLINGS = 8
SUCCESSES = range(200, 300)


class Attempt(NamedTuple):
    """One delivery to be tried now."""

    delivery_id: int
    user_id: int
    url: str
    secret: str
    key: str
    body: bytes


def new_nonce() -> str:
    return secrets.token_urlsafe(32)


def secret_of(endpoint: WebhookEndpoint) -> str:
    """Returns the secret that signs what is posted to an address; it changes with its nonce or with SECRET_KEY."""
    digest = salted_hmac("livefolio.alert.webhook", endpoint.nonce, algorithm="sha256").digest()
    return "whsec_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def body_of(delivery: WebhookDelivery) -> bytes:
    data: dict[str, Any] = delivery.firing.as_wire()
    data |= {name: wire_time(data[name]) for name in ("as_of", "fired_at")}
    return encode({"id": str(delivery.key), "type": "alert", "data": data}).encode()


def delay_after(attempts: int) -> timedelta:
    doublings: int = 2 ** min(attempts - 1, DOUBLINGS)
    return min(FIRST_DELAY * doublings, LONGEST_DELAY)


def claim_attempts(now: datetime, busy: Collection[int], most: int) -> list[Attempt]:
    """Returns attempts that are due, one a user at the most and none for those who have one under way."""
    due = WebhookDelivery.objects.filter(state=WebhookDelivery.State.PENDING, next_attempt_at__lte=now)
    rows = due.exclude(firing__alert__user__in=busy).select_related("firing__alert__asset")
    claimed: dict[int, Attempt] = {}
    for delivery in rows.order_by("next_attempt_at", "id")[: 20 * most]:
        user_id = delivery.firing.alert.user_id
        if len(claimed) >= most:
            break
        if user_id in claimed:
            continue
        endpoint = WebhookEndpoint.objects.filter(user_id=user_id, user__is_active=True).first()
        if endpoint is None:
            finish(delivery.pk, now, "the webhook was taken away", give_up=True)
        elif _is_mine(delivery, now):
            secret = secret_of(endpoint)
            claimed[user_id] = Attempt(
                delivery.pk, user_id, endpoint.url, secret, str(delivery.key), body_of(delivery)
            )
    return list(claimed.values())


def _is_mine(delivery: WebhookDelivery, now: datetime) -> bool:
    attempts = delivery.attempts + 1
    same = WebhookDelivery.objects.filter(
        pk=delivery.pk, state=WebhookDelivery.State.PENDING, attempts=delivery.attempts
    )
    return bool(same.update(attempts=attempts, next_attempt_at=now + delay_after(attempts)))


def finish(delivery_id: int, now: datetime, problem: str = "", *, give_up: bool = False) -> None:
    """Notes how an attempt went; a failed one has its next time already, unless it has gone on for a day."""
    pending = WebhookDelivery.objects.filter(pk=delivery_id, state=WebhookDelivery.State.PENDING)
    if not problem:
        pending.update(state=WebhookDelivery.State.DELIVERED, finished_at=now, problem="")
        return
    pending.update(problem=problem[:200])
    over = pending if give_up else pending.filter(firing__fired_at__lte=now - GIVEN_UP_AFTER)
    over.update(state=WebhookDelivery.State.FAILED, finished_at=now)
