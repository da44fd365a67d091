"""Makes users with a session each, as logging in would, and prints the keys: `python -m benchmarks.sessions 200`."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.demo")

import django

django.setup()

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils.crypto import get_random_string
from django.utils.module_loading import import_string


def make_sessions(count: int) -> list[str]:
    """Returns the keys of `count` new sessions, each of its own user; thousands, so they are inserted in bulk."""
    store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")()
    with transaction.atomic():
        users = User.objects.bulk_create(
            User(username=f"reader{number}", password=make_password(None)) for number in range(count)
        )
        sessions = Session.objects.bulk_create(
            Session(
                session_key=get_random_string(32, VALID_KEY_CHARS),
                session_data=store.encode(login_of(user)),
                expire_date=store.get_expiry_date(),
            )
            for user in users
        )
    return [session.session_key for session in sessions]


def login_of(user: User) -> dict[str, str]:
    return {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }


if __name__ == "__main__":
    print("\n".join(make_sessions(int(sys.argv[1]))))
