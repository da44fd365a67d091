"""Tells every web process when a session, token or account ends, so that its sockets close within seconds."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from realtime.bus import announce
from realtime.handshake import session_digest
from realtime.models import AccessToken


def _announce(message: dict[str, Any]) -> None:
    transaction.on_commit(lambda: announce(message))


@receiver(user_logged_out)
def _logged_out(request: HttpRequest | None, **_: Any) -> None:
    key = getattr(getattr(request, "session", None), "session_key", None)
    if key:
        _announce({"type": "session.ended", "session": session_digest(key)})


@receiver(post_delete, sender=Session)
def _session_deleted(instance: Session, **_: Any) -> None:
    _announce({"type": "session.ended", "session": session_digest(instance.session_key)})


@receiver(post_save, sender=get_user_model())
@receiver(post_delete, sender=get_user_model())
def _user_changed(instance: Any, created: bool = False, update_fields: Any = None, **_: Any) -> None:
    # A login writes `last_login` alone, which ends nothing.
    if not created and set(update_fields or ()) != {"last_login"}:
        _announce({"type": "user.changed", "user_id": instance.pk})


@receiver(post_save, sender=AccessToken)
@receiver(post_delete, sender=AccessToken)
def _token_changed(instance: AccessToken, created: bool = False, **_: Any) -> None:
    if not created:
        _announce({"type": "user.changed", "user_id": instance.user_id})
