""".env.example and the settings that are read name the same things."""

import json
import os
import re
import subprocess
import sys

from tests.live import ROOT

# Read by docker-compose.yml and manage.py, not by the settings.
FOR_OTHERS = {"POSTGRES_PASSWORD", "DJANGO_SETTINGS_MODULE"}


def declared() -> set[str]:
    """Returns what demo and production settings read from the environment."""
    names: set[str] = set()
    for purpose in ("demo", "production"):
        required = dict.fromkeys(("SECRET_KEY", "ALLOWED_HOSTS", "REDIS_URL"), "x") | {
            "DATABASE_URL": "sqlite://:memory:"
        }
        program = (
            f"import json, config.settings.{purpose}; from config.settings.environment import DECLARED; "
            "print(json.dumps(DECLARED))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **required},
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        names |= set(json.loads(done.stdout))
    return names


def test_every_setting_is_in_the_example_once_and_nothing_else_is() -> None:
    example = re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert len(example) == len(set(example))
    assert set(example) == declared() | FOR_OTHERS


def test_production_lists_everything_that_is_missing() -> None:
    environment = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME")}
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings.production"], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode != 0
    for name in ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"):
        assert name in done.stderr
