"""Dockerfile and docker-compose.yml say nothing that the project does not have."""

import re
from typing import Any

import pytest
import yaml

from tests.deploy.commands import assert_command_parses
from tests.live import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = [name for name, service in COMPOSE["services"].items() if "build" in service]


def test_the_services_are_those_of_the_product() -> None:
    assert set(COMPOSE["services"]) == {"nginx", "web", "feed", "migrate", "redis", "postgres"}
    assert set(OURS) == {"web", "feed", "migrate"}


@pytest.mark.parametrize("name", OURS)
def test_each_command_of_ours_exists(name: str) -> None:
    python, *words = COMPOSE["services"][name]["command"]
    assert python == "python"
    assert_command_parses(words)


def test_the_image_starts_the_web_server_by_default() -> None:
    words = re.findall(r'"([^"]+)"', DOCKERFILE.rsplit("\nCMD ", 1)[1])
    assert words == COMPOSE["services"]["web"]["command"]


def test_files_that_the_compose_file_mounts_exist() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists()


def test_only_nginx_can_be_reached_from_outside() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["nginx"]


def test_secrets_and_state_stay_out_of_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", "var", ".git", ".venv"} <= set(ignored)
