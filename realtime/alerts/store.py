"""Alerts between the database and the price feed: what to watch, what has changed, and what is to be announced.

Plain functions for a database thread. Every change names the arming that it was made in and is refused under any
other: so no firing is written twice, whoever else watched the same alert, and whatever was changed meanwhile.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import DatabaseError, OperationalError, transaction

from assets.models import PriceBar
from assets.redistribution import Viewer, owner_id, viewer_of_id
from realtime.alerts.models import AlertFiring, PriceAlert, WebhookDelivery, WebhookEndpoint
from realtime.alerts.rules import Change, StoredAlert

log = logging.getLogger("personal_finance.realtime.alerts")

# SQLite takes 32,766 variables in a statement.
CHUNK = 500
# A crash between sending and noting it is made good after this long, by whichever process comes first.
ANNOUNCE_AGAIN = timedelta(seconds=5)
FIRINGS_KEPT = timedelta(days=90)


class Written(NamedTuple):
    """How many firings were written, and of which assets an alert was not as it was thought to be."""

    fired: int
    outdated: set[int]


class Announcement(NamedTuple):
    """A firing to be told to its user's connections."""

    firing_id: int
    user_id: int
    alert: dict[str, Any]


# -- what to watch -----------------------------------------------------------------------------------------


def watched_assets() -> set[int]:
    """Returns the ids of all assets that have an alert which a price may change."""
    return set(PriceAlert.objects.active().order_by().values_list("asset_id", flat=True).distinct())


def load(asset_ids: Sequence[int], now: datetime) -> dict[int, list[StoredAlert]]:
    """Returns the alerts of each asset that a price may change."""
    found: dict[int, list[StoredAlert]] = defaultdict(list)
    for start in range(0, len(asset_ids), CHUNK):
        some = asset_ids[start : start + CHUNK]
        alerts = list(PriceAlert.objects.active().filter(asset_id__in=some).order_by("id"))
        owner = owner_id() if alerts else None
        for alert in alerts:
            found[alert.asset_id].append(_stored(alert, now, viewer_of_id(alert.user_id, owner)))
    return found


def _stored(alert: PriceAlert, now: datetime, viewer: Viewer) -> StoredAlert:
    return StoredAlert(
        alert.pk,
        alert.user_id,
        alert.asset_id,
        alert.rule(),
        alert.units_at.astimezone(UTC),
        alert.armed_at.astimezone(UTC),
        alert.standing,
        _recent(alert, now, viewer) if alert.window_minutes else (),
    )


def _recent(
    alert: PriceAlert, now: datetime, viewer: Viewer
) -> tuple[tuple[datetime, Decimal, Decimal], ...]:
    """What stored bars tell its user of a window that has begun before this process."""
    since = max(alert.armed_at, now - timedelta(minutes=alert.window_minutes or 0))
    bars = PriceBar.objects.filter(
        asset_id=alert.asset_id, interval=PriceBar.Interval.MINUTE, start__gte=since
    )
    rows = bars.visible_to(viewer).order_by("start").values_list("start", "low", "high")
    return tuple((start.astimezone(UTC), low, high) for start, low, high in rows)


# -- what has changed --------------------------------------------------------------------------------------


def write(changes: Iterable[Change]) -> Written:
    """Writes changes in their order, each with what is to be delivered of it in one transaction.

    Raises:
        OperationalError: the database is away or locked; to be called again with the same changes.
    """
    fired, outdated = 0, set()
    for change in changes:
        try:
            with transaction.atomic():
                is_written = _write(change)
        except OperationalError:
            raise
        except (DatabaseError, ValidationError, OverflowError) as error:
            log.error("an alert's change was refused", extra={"alert": change.alert_id, "error": str(error)})
            is_written = False
        if not is_written:
            outdated.add(change.asset_id)
        elif change.step.fired:
            fired += 1
            log.info("alert fired", extra={"alert": change.alert_id, "arming": change.before.arming})
    return Written(fired, outdated)


def _write(change: Change) -> bool:
    before, after = change.before, change.step.standing
    values: dict[str, Any] = {
        "state": after.phase,
        "arming": after.arming,
        "side": after.side,
        "reference": after.reference,
        "reference_at": after.reference_at,
    }
    if after.arming != before.arming:
        values["armed_at"] = change.seen_at
    if change.step.fired:
        values["last_fired_at"] = change.seen_at
    same = PriceAlert.objects.filter(pk=change.alert_id, arming=before.arming, state=before.phase)
    if same.update(**values) != 1:
        return False  # fired, changed or deleted elsewhere
    if change.step.fired:
        _store_firing(change)
    return True


def _store_firing(change: Change) -> None:
    firing = AlertFiring.objects.create(
        alert_id=change.alert_id,
        arming=change.before.arming,
        kind=change.rule.kind,
        threshold=change.rule.threshold,
        price=change.price,
        reference=change.step.measured_from,
        as_of=change.as_of,
        source=change.source,
        fired_at=change.seen_at,
        announce_after=change.seen_at,
    )
    if WebhookEndpoint.objects.filter(user__price_alerts=change.alert_id).exists():
        WebhookDelivery.objects.create(firing=firing, next_attempt_at=change.seen_at)


# -- what is to be announced -------------------------------------------------------------------------------


def claim_announcements(now: datetime, most: int = 200) -> list[Announcement]:
    """Returns firings that nobody has announced, and keeps them from every other process for a while."""
    due = AlertFiring.objects.filter(announced_at=None, announce_after__lte=now)
    claimed = []
    for firing in due.select_related("alert__asset").order_by("id")[:most]:
        mine = AlertFiring.objects.filter(
            pk=firing.pk, announced_at=None, announce_after=firing.announce_after
        )
        if mine.update(announce_after=now + ANNOUNCE_AGAIN):
            claimed.append(Announcement(firing.pk, firing.alert.user_id, firing.as_wire()))
    return claimed


def note_announced(firing_ids: Sequence[int], now: datetime) -> None:
    AlertFiring.objects.filter(pk__in=firing_ids).update(announced_at=now)


def prune(now: datetime) -> int:
    """Deletes firings older than 90 days; returns how many."""
    old = AlertFiring.objects.filter(fired_at__lt=now - FIRINGS_KEPT)
    count = old.count()
    old.delete()
    return count
