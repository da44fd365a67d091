"""What production does with static files and settings before it serves anything."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from django.core.management import call_command
from django.test import override_settings

from tests.live import ROOT

HASHED = re.compile(r"\.[0-9a-f]{12}\.m?js$")


def test_every_static_file_gets_a_hashed_name_and_modules_import_each_other_by_it(tmp_path: Path) -> None:
    storages = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "config.storage.StaticStorage"},
    }
    with override_settings(STATIC_ROOT=tmp_path, STORAGES=storages):
        call_command("collectstatic", interactive=False, verbosity=0)

    paths: dict[str, str] = json.loads((tmp_path / "staticfiles.json").read_text())["paths"]
    ours = [
        hashed for path, hashed in paths.items() if path.endswith(".js") and (ROOT / "static" / path).exists()
    ]
    assert ours
    for hashed in ours:
        text = (tmp_path / hashed).read_text()
        for imported in re.findall(
            r"""^\s*(?:import|export)\b[^;]*?["'](\.{1,2}/[^"']+)["']""", text, re.MULTILINE
        ):
            assert HASHED.search(imported), f"{hashed} imports {imported}"


def test_production_settings_pass_djangos_deployment_checks() -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "SECRET_KEY": "Xq7-long-enough-and-random-enough-for-the-check-0123456789abcdefgh",
        "ALLOWED_HOSTS": "folio.example.com",
        "DATABASE_URL": "sqlite:////tmp/never-opened",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
