"""Production: nothing has a convenient default, and a start without what it needs lists all that is missing."""

from django.core.exceptions import ImproperlyConfigured

from config.settings import environment
from config.settings.base import *

_REQUIRED = {
    "SECRET_KEY": "a long random string",
    "ALLOWED_HOSTS": "the host names that users type, separated by commas",
    "DATABASE_URL": "postgres://user:password@host:5432/name",
    "REDIS_URL": "redis://host:6379/0",
}
_missing = [f"  {name}: {hint}" for name, hint in _REQUIRED.items() if not environment.text(name)]
if _missing:
    raise ImproperlyConfigured("set these in the environment or .env:\n" + "\n".join(_missing))

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = environment.boolean("SECURE_SSL_REDIRECT", True)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = environment.integer("SECURE_HSTS_SECONDS", 31536000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
