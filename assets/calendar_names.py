"""The names that an asset's calendar may have, and the time zone behind each.

Pure but for the error that Django's forms expect. Which sessions a name stands for is `assets.calendars`' to know.
"""

from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError

from assets.exchanges import ALIASES, ZONES
from assets.overrides import stored_overrides
from assets.sessions import AROUND_THE_CLOCK, FX_DAYS

COMPUTED = {AROUND_THE_CLOCK.name: ZoneInfo("UTC"), FX_DAYS.name: ZoneInfo("America/New_York")}


def known_names() -> list[str]:
    """Returns every name that an asset's calendar may have."""
    return sorted({*COMPUTED, *ZONES, *ALIASES, *stored_overrides()})


def stored_name(name: str) -> str:
    """Returns the name under which a calendar's sessions are stored."""
    return ALIASES.get(name, name)


def zone_of(name: str) -> ZoneInfo:
    """Returns the time zone of a calendar; UTC for a name that nobody knows."""
    name = stored_name(name)
    if name in COMPUTED:
        return COMPUTED[name]
    if name in ZONES:
        return ZoneInfo(ZONES[name])
    override = stored_overrides().get(name)
    return override.zone if override else ZoneInfo("UTC")


def validate_calendar(name: str) -> None:
    if name not in known_names():
        raise ValidationError(f"expected 24/7, FX or an exchange's code such as XNYS, was '{name[:40]}'")
