"""Bearer tokens for scripts: made once, shown once, kept only as a SHA-256.

A token is 256 random bits behind a prefix that secret scanners can find; a plain hash is enough for such a secret.
"""

import hashlib
import secrets
from datetime import timedelta

from django.utils import timezone

from realtime.models import AccessToken

PREFIX = "lf_"
LAST_USED_RESOLUTION = timedelta(minutes=1)  # one write a minute at most, however busy the script


def new_token() -> tuple[str, str]:
    """Returns a token's text and the hash to store."""
    text = PREFIX + secrets.token_urlsafe(32)
    return text, token_hash(text)


def token_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def find_token(text: str) -> AccessToken | None:
    """Returns the valid token of an active user, or None; looks up by hash, so timing tells nothing."""
    if not text.startswith(PREFIX) or len(text) > 100:
        return None
    token = AccessToken.objects.select_related("user").filter(digest=token_hash(text)).first()
    if token is None or token.is_expired or not token.user.is_active:
        return None
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > LAST_USED_RESOLUTION:
        AccessToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token
