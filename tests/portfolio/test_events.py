import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.db import transaction
from django.test import override_settings

from assets.models import Asset, Split
from portfolio.events import GROUP
from portfolio.models import Portfolio, Transaction
from tests.portfolio.builders import in_thread

Messages = list[dict[str, Any]]


async def messages_of(work: Callable[[], Any], count: int) -> Messages:
    """Returns the first `count` messages that web processes get while `work` runs."""
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    await in_thread(work)
    found: Messages = []
    while len(found) < count:
        message = await asyncio.wait_for(layer.receive(channel), 30)
        if message["type"].startswith("portfolio."):
            found.append(message)
    return found


def make_portfolio() -> Portfolio:
    return Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth")


def deposit(portfolio: Portfolio, amount: int = 1) -> Transaction:
    return Transaction.objects.create(portfolio=portfolio, type="deposit", amount=amount, currency="USD")


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_every_change_of_a_row_is_told() -> None:
    portfolio = await in_thread(make_portfolio)

    def work() -> None:
        row = deposit(portfolio)
        row.delete()

    changed = {"type": "portfolio.changed", "portfolio_id": portfolio.pk}
    assert await messages_of(work, 2) == [changed, changed]


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_what_is_rolled_back_is_not_told() -> None:
    portfolio = await in_thread(make_portfolio)

    def work() -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            deposit(portfolio)
            raise RuntimeError
        portfolio.delete()

    key = portfolio.pk
    assert await messages_of(work, 1) == [
        {"type": "portfolio.removed", "portfolio_id": key, "reason": "deleted"}
    ]


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_portfolio_that_changes_hands_is_gone_for_its_viewers() -> None:
    portfolio = await in_thread(make_portfolio)

    def work() -> None:
        portfolio.user = User.objects.create_user("bob")
        portfolio.save()

    messages = await messages_of(work, 2)
    assert {"type": "portfolio.removed", "portfolio_id": portfolio.pk, "reason": "owner_changed"} in messages


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_renamed_portfolio_and_a_renamed_asset_are_told() -> None:
    portfolio = await in_thread(make_portfolio)

    def work() -> None:
        asset = Asset.objects.create(symbol="ACME")
        Transaction.objects.create(
            portfolio=portfolio, type="buy", asset=asset, quantity=1, price=1, currency="USD"
        )
        portfolio.name = "Value"
        portfolio.save()
        asset.name = "Acme Corporation"
        asset.save()

    assert len(await messages_of(work, 3)) == 3


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_split_is_told_to_those_who_hold_the_asset() -> None:
    portfolio = await in_thread(make_portfolio)

    def work() -> None:
        asset, other = Asset.objects.create(symbol="ACME"), Asset.objects.create(symbol="OTHER")
        Transaction.objects.create(
            portfolio=portfolio, type="buy", asset=asset, quantity=1, price=1, currency="USD"
        )
        Split.objects.create(asset=other, ex_date=date(2026, 11, 19), numerator=2)
        split = Split.objects.create(asset=asset, ex_date=date(2026, 11, 19), numerator=10)
        split.delete()
        portfolio.delete()

    changed = {"type": "portfolio.changed", "portfolio_id": portfolio.pk}
    told = await messages_of(work, 4)
    assert told[:3] == [changed] * 3
    assert told[3]["type"] == "portfolio.removed"


@pytest.mark.django_db(transaction=True)
def test_a_row_is_stored_while_redis_is_away() -> None:
    portfolio = make_portfolio()
    away = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": "redis://127.0.0.1:1", "socket_connect_timeout": 1}]},
        }
    }
    with override_settings(CHANNEL_LAYERS=away):
        deposit(portfolio)
    assert portfolio.transactions.count() == 1
