"""Firings of alerts on their way to a user's connections: an event, ordered and never conflated."""

from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from realtime.hub import Hub
from realtime.protocol import Numbers, encode, envelope

_DECIMALS = ("threshold", "price", "reference")


def listen(hub: Hub) -> None:
    """Makes a hub pass firings on."""
    hub.message_listeners["alert.fired"] = partial(_on_fired, hub)


def _on_fired(hub: Hub, message: Mapping[str, Any]) -> None:
    alert = dict(message["alert"])
    for name in _DECIMALS:
        alert[name] = None if alert[name] is None else Decimal(alert[name])
    frames: dict[Numbers, str] = {}
    for connection in hub.presence.of_user(message["user_id"]):
        numbers = connection.outbox.options.numbers
        if numbers not in frames:
            frames[numbers] = envelope("alert", encode(alert, numbers))
        connection.put_event(frames[numbers])
