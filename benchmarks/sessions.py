"""Makes users with a session each, as logging in would, and prints the keys: `python -m benchmarks.sessions 200`."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.demo")

import django

django.setup()

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.module_loading import import_string


def make_sessions(count: int) -> list[str]:
    """Returns the keys of `count` new sessions, each of its own user."""
    store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    keys: list[str] = []
    with transaction.atomic():
        for number in range(count):
            user = User.objects.create_user(f"reader{number}")
            session = store()
            session[SESSION_KEY] = str(user.pk)
            session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
            session[HASH_SESSION_KEY] = user.get_session_auth_hash()
            session.save()
            keys.append(session.session_key)
    return keys


if __name__ == "__main__":
    print("\n".join(make_sessions(int(sys.argv[1]))))
