"""Alerts at a price that is set by hand, which no feed publishes: looked at where it is stored, in its transaction.

Delivered from the outbox like any other, by whichever feed process comes first.
"""

from datetime import datetime
from decimal import Decimal

from assets.models import Asset
from assets.redistribution import owner_id, viewer_of_id
from assets.splits import ratio_between, restated
from assets.stored_prices import MANUAL, last_price, read_splits
from realtime.alerts.changes import note_change
from realtime.alerts.rules import Change, seeded, step
from realtime.alerts.store import load, write


def take_price(asset: Asset, price: Decimal, as_of: datetime, now: datetime) -> None:
    """Takes a price as the asset's newest; `asset` still has the one before."""
    alerts = load([asset.pk], now).get(asset.pk, ())
    if not alerts:
        return
    splits = read_splits([asset.pk]).get(asset.pk, ())
    owner, changes = owner_id(), []
    for one in alerts:
        # What a percent move is measured from is shown to its user.
        before, since = last_price(asset, viewer_of_id(one.user_id, owner))
        if before is not None and since is not None and (ratio := ratio_between(splits, since, now)):
            before = restated(before, ratio)
        rule = one.rule.in_units(ratio_between(splits, one.units_at, now))
        standing = one.standing if before is None else seeded(rule, one.standing, before, now)
        after = step(rule, standing, price, now)
        if after.fired or after.standing != one.standing:
            changes.append(Change(one.id, asset.pk, rule, one.standing, after, price, as_of, now, MANUAL))
    write(changes)
    note_change(asset.pk)  # a feed of the same asset knows them as they were
