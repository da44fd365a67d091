"""Reads each setting once from the environment or `.env`, and refuses nonsense by name.

Every variable is declared through these functions, so that `DECLARED` is the list the documentation is held to.
"""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent.parent
DECLARED: list[str] = []

_env = environ.Env()
# `.env` never overrides what the process was given.
_env.read_env(str(BASE_DIR / ".env"), overwrite=False)


def _raw(name: str) -> str | None:
    if name not in DECLARED:
        DECLARED.append(name)
    value: str | None = _env.str(name, default=None)
    if value is None and (file := _env.str(f"{name}_FILE", default=None)):
        try:
            value = Path(file).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE: cannot read {file}: {error.strerror}") from error
    return value.strip() if value is not None and value.strip() else None


def text(name: str, default: str = "") -> str:
    value = _raw(name)
    return default if value is None else value


def words(name: str, default: str = "") -> list[str]:
    """A list separated by commas or white space."""
    return text(name, default).replace(",", " ").split()


def boolean(name: str, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise ImproperlyConfigured(f"{name}: expected true or false, was {value[:40]!r}")


def integer(name: str, default: int, least: int = 0) -> int:
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        raise ImproperlyConfigured(f"{name}: expected a whole number of at least {least}, was {value[:40]!r}")
    return number


def number(name: str, default: float, least: float = 0.0) -> float:
    value = text(name, str(default))
    try:
        result = float(value)
    except ValueError:
        result = float("nan")
    if not least <= result < float("inf"):
        raise ImproperlyConfigured(f"{name}: expected a number of at least {least:g}, was {value[:40]!r}")
    return result


def redistribution(name: str) -> dict[str, str]:
    """Who may see each source: `coinbase=users polygon_stocks=owner`."""
    found = {}
    for word in words(name):
        source, _, level = word.partition("=")
        if not source or level not in ("owner", "users", "public"):
            raise ImproperlyConfigured(f"{name}: expected source=owner, users or public, was {word[:60]!r}")
        found[source] = level
    return found
