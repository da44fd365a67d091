"""The files that browsers load: vendored ones are untouched, and hashed names reach into every import."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "static" / "vendor"
PACKAGES = json.loads((VENDOR / "vendor.lock.json").read_text())["packages"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_a_vendored_file_is_what_its_lock_says(package: dict[str, object]) -> None:
    files = package["files"]
    assert isinstance(files, dict)
    for name, expected in files.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == expected, name
    assert any(name.endswith("LICENSE") for name in files)


def test_every_vendored_file_is_locked() -> None:
    locked = {name for package in PACKAGES for name in package["files"]}
    found = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    assert found - locked == {"vendor.lock.json"}


def test_collected_modules_import_hashed_names_only(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "config.storage.StaticStorage"}}
    finders.get_finder.cache_clear()
    call_command("collectstatic", interactive=False, verbosity=0)
    hashed = [path for path in tmp_path.glob("pages/*.js") if re.search(r"\.[0-9a-f]{12}\.js$", path.name)]
    assert hashed
    for path in hashed:
        for name in re.findall(r'^import\b[^;]*?from "([^"]+)"', path.read_text(), re.MULTILINE):
            assert re.search(r"\.[0-9a-f]{12}\.m?js$", name), f"{path.name} imports {name}"
            assert (path.parent / name).resolve().is_file()
