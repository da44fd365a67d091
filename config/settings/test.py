"""`./test`: nothing is left to chance, and every test process has a directory and a Redis of its own.

`tests/conftest.py` makes the directory and runs the server; loading this does neither.
"""

import os
from pathlib import Path

from config import embedded_redis

# Not $TMPDIR, which may be too deep for a socket.
_PREFIX = "/tmp/livefolio-test-"
_STATE_DIR = Path(f"{_PREFIX}{os.getpid()}")

# A value with our prefix is another test process's, handed down through the environment.
if os.environ.get("REDIS_URL", f"unix://{_PREFIX}").startswith(f"unix://{_PREFIX}"):
    os.environ["REDIS_URL"] = embedded_redis.url(_STATE_DIR)

from config.settings.base import *

STATE_DIR = _STATE_DIR
SECRET_KEY = "only for tests, and long enough that nothing complains about it"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver", "[::1]"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file: the shared in-memory database has no WAL, and its threads lock each other out.
    DATABASES["default"]["TEST"] = {"NAME": str(STATE_DIR / "test.sqlite3")}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
# Most tests ask what users see of a vendor; those of redistribution say who may.
FEED_REDISTRIBUTION = {"coinbase": "users", "coinbase_rest": "users"} | FEED_REDISTRIBUTION
