"""`./run`: everything works with nothing configured, on this machine only."""

import os
import secrets
from pathlib import Path

from config import embedded_redis
from config.settings import environment

# Before base reads it: any command in another terminal finds the Redis of a running demo.
if not environment.text("REDIS_URL"):
    os.environ["REDIS_URL"] = embedded_redis.url(
        Path(environment.text("STATE_DIR", str(environment.BASE_DIR / "var")))
    )

from config.settings.base import *
from config.settings.base import ALLOWED_HOSTS, FEED_OWNER, REALTIME_LOG_FILE, STATE_DIR, logging_config


def _secret_key() -> str:
    """Returns the key kept under STATE_DIR, made at the first start."""
    path = STATE_DIR / "secret_key"
    STATE_DIR.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text()


SECRET_KEY = environment.text("SECRET_KEY") or _secret_key()
ALLOWED_HOSTS = ALLOWED_HOSTS or ["127.0.0.1", "localhost", "[::1]"]
DEMO_LOGIN = environment.boolean("DEMO_LOGIN", True)
# Whoever starts it on this machine signs in as the demo user, and the keys are theirs.
FEED_OWNER = FEED_OWNER or "demo"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
LOGGING = logging_config(environment.text("LOG_FORMAT", "plain"), REALTIME_LOG_FILE)
