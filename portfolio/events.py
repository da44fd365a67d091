"""Tells every web process that a portfolio changed, once the change is committed, wherever it was made.

Owns the receivers that keep positions in step with transactions. A message says only which portfolio to look
at again; one that gets lost costs a viewer freshness, so a failure is logged and never breaks the save.
"""

import asyncio
import logging
from functools import partial
from typing import Any

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from assets.models import Asset, Split
from portfolio.models import Portfolio, Transaction, rebuild
from portfolio.snapshots import invalidate

log = logging.getLogger("personal_finance.realtime.portfolio")

GROUP = "livefolio.web"
SEND_TIMEOUT_SECONDS = 3.0


def portfolio_changed(portfolio_id: int) -> None:
    """On commit, asks every process that shows the portfolio to load it again."""
    _on_commit({"type": "portfolio.changed", "portfolio_id": portfolio_id})


def portfolio_removed(portfolio_id: int, reason: str) -> None:
    """On commit, ends every view of the portfolio: it is gone, or somebody else's now."""
    _on_commit({"type": "portfolio.removed", "portfolio_id": portfolio_id, "reason": reason})


def _on_commit(message: dict[str, Any]) -> None:
    transaction.on_commit(partial(_send, message))


def _send(message: dict[str, Any]) -> None:
    try:
        async_to_sync(_group_send)(message)
    except (redis.RedisError, OSError, TimeoutError) as error:
        # The row is stored: viewers catch up at their next subscription.
        log.warning("portfolio event not sent", extra={**message, "error": str(error)})
    except Exception:
        log.exception("portfolio event not sent", extra=message)


async def _group_send(message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    if layer is not None:
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            await layer.group_send(GROUP, message)


@receiver(post_save, sender=Transaction)
def _transaction_saved(instance: Transaction, raw: bool = False, **_: Any) -> None:
    touched = {instance.portfolio_id, getattr(instance, "_moved_from", instance.portfolio_id)}
    if not raw:  # a fixture brings its own positions, and its rows may come in any order
        rebuild(touched, min(instance.time, getattr(instance, "_was_at", instance.time)))


@receiver(pre_save, sender=Transaction)
def _transaction_moves(instance: Transaction, **_: Any) -> None:
    before = Transaction.objects.filter(pk=instance.pk).values_list("portfolio_id", "time").first()
    moved = before or (instance.portfolio_id, instance.time)
    instance._moved_from, instance._was_at = moved  # type: ignore[attr-defined]


@receiver(post_delete, sender=Transaction)
def _transaction_deleted(instance: Transaction, origin: Any = None, **_: Any) -> None:
    # Rows that fall with their portfolio or its owner have no positions left to keep.
    model = origin.model if isinstance(origin, QuerySet) else type(origin)
    if model is Transaction:
        rebuild({instance.portfolio_id}, instance.time)


@receiver(pre_save, sender=Portfolio)
def _owner_changes(instance: Portfolio, **_: Any) -> None:
    before = Portfolio.objects.filter(pk=instance.pk).values_list("user_id", flat=True).first()
    if before is not None and before != instance.user_id:
        portfolio_removed(instance.pk, "owner_changed")


@receiver(post_save, sender=Portfolio)
def _portfolio_saved(instance: Portfolio, created: bool, **_: Any) -> None:
    if not created:
        portfolio_changed(instance.pk)


@receiver(post_delete, sender=Portfolio)
def _portfolio_deleted(instance: Portfolio, **_: Any) -> None:
    portfolio_removed(instance.pk, "deleted")


@receiver(post_save, sender=Asset)
def _asset_saved(instance: Asset, created: bool, **_: Any) -> None:
    """A new name, currency or multiplier changes what its holders see; a price is not saved this way."""
    if not created:
        _holders_changed(instance.pk)


@receiver([post_save, post_delete], sender=Split)
def _split_changed(instance: Split, **_: Any) -> None:
    """What was priced before it is in other units now."""
    _holders_changed(instance.asset_id)


def _holders_changed(asset_id: int) -> None:
    # A spin-off's child may be in no row as the asset itself.
    holders = Transaction.objects.filter(Q(asset_id=asset_id) | Q(other_asset_id=asset_id))
    for portfolio_id in holders.order_by("portfolio_id").values_list("portfolio_id", flat=True).distinct():
        invalidate(portfolio_id, None)
        portfolio_changed(portfolio_id)
