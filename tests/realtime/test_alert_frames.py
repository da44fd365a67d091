"""A firing goes to all connections of its user, and to nobody else's."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from realtime import alert_frames
from realtime.alerts.store import Announcement
from realtime.bus import new_layer, tell_web
from realtime.handshake import Identity
from realtime.price_feed.alert_desk import message_of
from tests.realtime.builders import eventually
from tests.realtime.conftest import NewClient, NewHub

pytestmark = pytest.mark.asyncio

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ALERT: dict[str, Any] = {
    "alert_id": 3,
    "firing_id": 9,
    "symbol": "ACME",
    "kind": "above",
    "threshold": Decimal("43000.10"),
    "price": Decimal("1E-8"),
    "reference": None,
    "source": "simulator",
    "as_of": NOON,
    "fired_at": NOON,
}


async def test_a_firing_goes_to_all_connections_of_its_user(new_hub: NewHub, new_client: NewClient) -> None:
    hub = await new_hub()
    alert_frames.listen(hub)
    alice = [new_client(hub, Identity(user_id=1)), new_client(hub, Identity(user_id=1), numbers="string")]
    bob, anonymous = new_client(hub, Identity(user_id=2)), new_client(hub)
    layer = new_layer()
    await tell_web(layer, message_of(Announcement(9, 1, ALERT)))
    await eventually(lambda: [client.read() for client in alice] and all(client.events for client in alice))
    await layer.flush()
    numbers, strings = (client.events[-1]["data"] for client in alice)
    assert alice[0].events[-1]["type"] == "alert"
    assert (strings["threshold"], strings["price"], strings["reference"]) == ("43000.10", "0.00000001", None)
    assert (numbers["threshold"], numbers["alert_id"]) == (43000.10, 3)
    assert numbers["fired_at"] == "2026-11-20T12:00:00.000000Z"
    for other in (bob, anonymous):
        other.read()
        assert other.events == []
