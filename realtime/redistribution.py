"""Who may see what a source's key gives access to."""

from django.conf import settings
from django.contrib.auth.models import User


def owner_id(source: str) -> int | None:
    """Returns the user whose account is behind a source's key: FEED_OWNER, else the only superuser.

    Of several superusers none is taken for the owner, since a guess would show one an account of another.
    """
    users = User.objects.filter(is_active=True)
    owners = (
        users.filter(username=settings.FEED_OWNER) if settings.FEED_OWNER else users.filter(is_superuser=True)
    )
    found = list(owners.values_list("pk", flat=True)[:2])
    return found[0] if len(found) == 1 else None
