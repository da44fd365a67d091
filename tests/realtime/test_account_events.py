"""Events of the account behind a source's key: to its owner in order, and to nobody else."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User

from assets.redistribution import owner_id
from realtime.account_events import KEEP_SECONDS
from realtime.database import in_database
from realtime.handshake import Identity
from tests.portfolio.builders import in_thread
from tests.realtime.builders import Client, Clock, eventually
from tests.realtime.conftest import NewClient, NewHub, NewSource

pytestmark = pytest.mark.asyncio


def event(key: str) -> dict[str, Any]:
    details = {"price": Decimal("10.50"), "status": "open"}
    return {
        "kind": "order",
        "key": key,
        "as_of": "2026-11-20T14:30:00.000000Z",
        "symbol": "AAPL",
        "details": details,
    }


def keys(client: Client) -> list[str]:
    client.read()
    return [event["data"]["key"] for event in client.events if event["type"] == "account_event"]


@pytest.mark.django_db(transaction=True)
async def test_account_events_reach_their_owner_in_order_and_nobody_else(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    owner = await in_database(User.objects.create_superuser, "owner")
    other = await in_database(User.objects.create_user, "other")
    source = await new_source("upstox")
    clock = Clock()
    hubs = [await new_hub(clock) for _ in range(2)]
    own = [new_client(hub, Identity(user_id=owner.pk)) for hub in hubs]
    others = [new_client(hubs[0], Identity(user_id=other.pk)), new_client(hubs[0])]
    for number in range(5):
        await source.bus.publish_account(event(str(number)))
    for client in own:
        await eventually(lambda: keys(client) == ["0", "1", "2", "3", "4"], "the events")  # noqa: B023

    data = next(found["data"] for found in own[0].events if found["type"] == "account_event")
    assert data == {"source": "upstox", **event("0"), "details": {"price": "10.50", "status": "open"}}
    await in_database(User.objects.create_superuser, "second")  # now it can't be told whose it is
    await source.bus.publish_account(event("5"))
    await eventually(lambda: len(keys(own[0])) == 6, "an event within half a minute")
    clock.moment += KEEP_SECONDS
    await source.bus.publish_account(event("6"))
    await eventually(lambda: hubs[0].account_events._owners["upstox"].user_id is None, "the question")
    assert len(keys(own[0])) == 6
    assert keys(others[0]) == keys(others[1]) == []


@pytest.mark.django_db(transaction=True)
async def test_the_owner_is_the_named_user_else_the_only_superuser(settings: Any) -> None:
    assert await in_database(owner_id) is None
    admin = await in_database(User.objects.create_superuser, "admin")
    trader = await in_database(User.objects.create_user, "trader")
    assert await in_database(owner_id) == admin.pk
    settings.FEED_OWNER = "trader"
    assert await in_database(owner_id) == trader.pk
    settings.FEED_OWNER = "nobody"
    assert await in_database(owner_id) is None


@pytest.mark.django_db(transaction=True)
async def test_rest_lists_the_last_account_events_to_their_owner_alone(
    new_source: NewSource, client: Any, settings: Any
) -> None:
    source = await new_source("upstox")
    for number in range(3):
        await source.bus.publish_account(event(str(number)))

    def ask() -> list[Any]:
        found = []
        for name, is_owner in (("admin", True), ("other", False)):
            make = User.objects.create_superuser if is_owner else User.objects.create_user
            client.force_login(make(name))
            found.append(client.get("/api/account-events/", {"source": "upstox"}).json())
        found.append(client.get("/api/account-events/").status_code)
        return found

    own, others, without = await in_thread(ask)
    assert [found["key"] for found in own] == ["2", "1", "0"]
    assert own[0]["source"] == "upstox" and own[0]["details"]["price"] == "10.50"
    assert others == [] and without == 400
