"""The passwords of the demo's users: known to everybody on a loopback address, made up for any other.

`logins.json` lies in the state directory while the made-up ones are in force. A password that somebody has
changed by hand is never touched.
"""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from django.contrib.auth import get_user_model

WELL_KNOWN: Mapping[str, str] = {"demo": "demo", "admin": "admin"}


def _file(state_dir: Path) -> Path:
    return state_dir / "logins.json"


def current(state_dir: Path) -> Mapping[str, str]:
    """Returns name and password of each demo user, as they were last set."""
    path = _file(state_dir)
    return json.loads(path.read_text()) if path.exists() else WELL_KNOWN


def settle(state_dir: Path, well_known: bool) -> None:
    """Gives the users the passwords that suit the address about to be served."""
    before = current(state_dir)
    if well_known and before is WELL_KNOWN:
        return  # so that an ordinary start costs no password hashing
    after = WELL_KNOWN
    if not well_known:
        after = (
            before if before is not WELL_KNOWN else {name: secrets.token_urlsafe(9) for name in WELL_KNOWN}
        )
        with os.fdopen(os.open(_file(state_dir), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(after, file)
    for user in get_user_model().objects.filter(username__in=WELL_KNOWN):
        name = user.get_username()
        if any(user.check_password(ours[name]) for ours in (before, WELL_KNOWN)):
            user.set_password(after[name])
            user.save(update_fields=["password"])
    if well_known:
        _file(state_dir).unlink(missing_ok=True)
