"""Whose data a source's prices are: each source is for its owner, for every user, or for anybody.

A vendor sells prices to one person; showing them to another is redistribution. Whoever reads a price for somebody
passes that person's `Viewer` on, and what a viewer may not see is as if it were not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

LEVELS = ("owner", "users", "public")
# What no vendor has a claim to. An empty name is that of prices from before sources were kept.
OURS = ("", "manual", "replay", "simulator")


@dataclass(frozen=True, slots=True)
class Viewer:
    """What somebody may see; `sources` is None for who sees everything."""

    sources: frozenset[str] | None

    def sees(self, source: str) -> bool:
        return self.sources is None or source in self.sources

    def __str__(self) -> str:
        return "everything" if self.sources is None else " ".join(sorted(self.sources))

    def covers(self, other: "Viewer") -> bool:
        """Whether this one sees all that another sees."""
        return self.sources is None or (other.sources is not None and other.sources <= self.sources)


EVERYTHING = Viewer(None)


def _levels() -> Mapping[str, str]:
    return dict.fromkeys(OURS, "public") | settings.FEED_REDISTRIBUTION


def anybody() -> Viewer:
    """Returns what one sees without signing in."""
    return Viewer(frozenset(source for source, level in _levels().items() if level == "public"))


def any_user() -> Viewer:
    """Returns what every user sees."""
    return Viewer(frozenset(source for source, level in _levels().items() if level != "owner"))


def viewer_like(source: str) -> Viewer:
    """Returns what everybody sees who may see a source: what may be worked into its prices."""
    level = _levels().get(source, "owner")
    return {"owner": EVERYTHING, "users": any_user(), "public": anybody()}[level]


def viewer_of(user: Any) -> Viewer:
    """Returns what a user sees; of a superuser it may ask the database whether there is another one."""
    if not user.is_authenticated:
        return anybody()
    return EVERYTHING if is_owner(user) else any_user()


def viewer_of_id(user_id: int, owner: int | None) -> Viewer:
    """Returns what a user sees, for who asks for many and has asked for `owner_id` once."""
    return EVERYTHING if user_id == owner else any_user()


def is_owner(user: Any) -> bool:
    """Whether the keys in the settings are this user's, as `owner_id` says, mostly without asking the database."""
    if settings.FEED_OWNER:
        return bool(user.get_username() == settings.FEED_OWNER)
    return bool(user.is_superuser) and owner_id() == user.pk


def owner_id() -> int | None:
    """Returns the user whose keys the settings hold: FEED_OWNER, else the only superuser.

    Of several superusers none is taken for the owner, since a guess would show one what is another's.
    """
    from django.contrib.auth.models import User

    users = User.objects.filter(is_active=True)
    owner = {"username": settings.FEED_OWNER} if settings.FEED_OWNER else {"is_superuser": True}
    found = list(users.filter(**owner).values_list("pk", flat=True)[:2])
    return found[0] if len(found) == 1 else None
