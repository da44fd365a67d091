"""What is written of a firing, once whoever tries, and what is claimed of it for delivery."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from assets.models import PriceBar
from realtime.alerts.models import AlertFiring, PriceAlert, WebhookDelivery
from realtime.alerts.rules import Standing, Step
from realtime.alerts.store import (
    ANNOUNCE_AGAIN,
    FIRINGS_KEPT,
    claim_announcements,
    load,
    note_announced,
    prune,
    watched_assets,
    write,
)
from tests.realtime.alerts.builders import DONE, NOW, change_of, make_alert, make_user, make_webhook

pytestmark = pytest.mark.django_db


def test_of_two_processes_that_saw_the_same_tick_one_writes_the_firing() -> None:
    alert = make_alert()
    change = change_of(alert)
    assert write([change]).fired == 1
    again = write([change])
    assert (again.fired, again.outdated) == (0, {alert.asset_id})
    firing = AlertFiring.objects.get()
    assert (firing.price, firing.threshold, firing.arming, firing.fired_at) == (101, 100, 1, NOW)
    alert.refresh_from_db()
    assert (alert.state, alert.last_fired_at) == ("waiting", NOW)


def test_an_alert_that_was_changed_or_deleted_meanwhile_does_not_fire() -> None:
    changed, deleted = make_alert(), make_alert()
    changes = [change_of(changed), change_of(deleted)]
    changed.arm(NOW)
    changed.save()
    deleted.delete()
    assert write(changes).fired == 0
    assert not AlertFiring.objects.exists()


def test_it_is_armed_again_under_a_new_number_and_fires_under_that() -> None:
    alert = make_alert()
    fired = change_of(alert)
    rearmed = fired._replace(before=fired.step.standing, step=Step(Standing(2)))
    again = fired._replace(
        before=Standing(2), step=Step(Standing(2, "waiting"), True), seen_at=NOW + timedelta(1)
    )
    assert write([fired, rearmed, again]).fired == 2
    assert sorted(AlertFiring.objects.values_list("arming", flat=True)) == [1, 2]


def test_an_alert_that_is_done_is_watched_no_longer() -> None:
    alert, other = make_alert(once=True), make_alert(symbol="OTHER")
    write([change_of(alert, step=DONE)])
    assert watched_assets() == {other.asset_id}
    assert load([alert.asset_id], NOW) == {}


def test_a_price_that_no_column_can_hold_harms_no_other_alert() -> None:
    broken, sound = make_alert(), make_alert()
    written = write([change_of(broken, "1e-25"), change_of(sound)])
    assert written.fired == 1
    assert AlertFiring.objects.get().alert == sound
    broken.refresh_from_db()
    assert broken.state == "armed"


def test_a_window_is_read_from_the_minutes_since_the_arming() -> None:
    alert = make_alert(
        kind="percent_move", threshold=5, window_minutes=10, armed_at=NOW - timedelta(minutes=3)
    )
    for minutes in (12, 4, 2, 1):
        start = NOW - timedelta(minutes=minutes)
        values = dict.fromkeys(("open", "high", "close"), Decimal(100 + minutes)) | {"low": Decimal(90)}
        PriceBar.objects.create(asset=alert.asset, interval="1m", start=start, **values)
    (stored,) = load([alert.asset_id], NOW)[alert.asset_id]
    assert [high for _, _, high in stored.recent] == [102, 101]


def test_a_window_begins_with_the_minutes_that_its_user_may_see(settings: Any) -> None:
    settings.FEED_OWNER, settings.FEED_REDISTRIBUTION = "olivia", {"upstox": "users"}
    values = {"kind": "percent_move", "threshold": 5, "window_minutes": 10, "armed_at": NOW - timedelta(1)}
    alerts = [make_alert(make_user(name), **values) for name in ("olivia", "bob")]
    for minutes, source in ((2, "polygon"), (1, "upstox")):
        prices = dict.fromkeys(("open", "high", "low", "close"), Decimal(minutes))
        start = NOW - timedelta(minutes=minutes)
        PriceBar.objects.create(asset=alerts[0].asset, interval="1m", start=start, source=source, **prices)
    found = load([alerts[0].asset_id], NOW)[alerts[0].asset_id]
    assert [[high for _, _, high in one.recent] for one in found] == [[2, 1], [1]]


def test_the_alerts_of_a_disabled_account_are_not_watched() -> None:
    alert = make_alert()
    alert.user.is_active = False
    alert.user.save()
    assert (watched_assets(), load([alert.asset_id], NOW)) == (set(), {})


def test_a_firing_is_claimed_by_one_and_again_only_if_it_was_not_announced() -> None:
    alert = make_alert()
    write([change_of(alert)])
    (claimed,) = claim_announcements(NOW)
    assert (claimed.user_id, claimed.alert["symbol"], claimed.alert["price"]) == (alert.user_id, "ACME", 101)
    assert claim_announcements(NOW) == []
    assert len(claim_announcements(NOW + ANNOUNCE_AGAIN)) == 1  # it was killed before it had told anybody
    note_announced([claimed.firing_id], NOW)
    assert claim_announcements(NOW + 3 * ANNOUNCE_AGAIN) == []


def test_only_a_user_with_a_webhook_has_deliveries() -> None:
    alert, other = make_alert(), make_alert()
    write([change_of(alert)])
    make_webhook(alert.user, "https://example.com/hook")
    write([change_of(other)])
    assert WebhookDelivery.objects.get().firing.alert == other


def test_old_firings_are_pruned_and_their_alerts_are_not() -> None:
    write([change_of(make_alert()), change_of(make_alert(), seen_at=NOW - FIRINGS_KEPT - timedelta(1))])
    assert prune(NOW) == 1
    assert (AlertFiring.objects.count(), PriceAlert.objects.count()) == (1, 2)
