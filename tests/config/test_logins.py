"""The demo's passwords: well known on loopback, made up elsewhere, and never one that a person has chosen."""

import json
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from config import logins

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def users() -> None:
    for name in logins.WELL_KNOWN:
        get_user_model().objects.create_user(name, password=name)


def opens(name: str, password: str) -> bool:
    return bool(get_user_model().objects.get(username=name).check_password(password))


def test_an_open_address_gets_passwords_of_its_own_that_last(tmp_path: Path) -> None:
    logins.settle(tmp_path, well_known=False)
    made_up = logins.current(tmp_path)
    logins.settle(tmp_path, well_known=False)

    assert logins.current(tmp_path) == made_up == json.loads((tmp_path / "logins.json").read_text())
    assert len(set(made_up.values())) == 2 and min(map(len, made_up.values())) >= 12
    assert all(opens(name, password) and not opens(name, name) for name, password in made_up.items())


def test_back_on_loopback_the_well_known_ones_are_in_force_again(tmp_path: Path) -> None:
    logins.settle(tmp_path, well_known=False)
    logins.settle(tmp_path, well_known=True)

    assert opens("demo", "demo") and opens("admin", "admin")
    assert logins.current(tmp_path) == logins.WELL_KNOWN and list(tmp_path.iterdir()) == []


def test_a_password_that_somebody_chose_is_not_touched(tmp_path: Path) -> None:
    admin = get_user_model().objects.get(username="admin")
    admin.set_password("mine")
    admin.save()

    logins.settle(tmp_path, well_known=False)
    logins.settle(tmp_path, well_known=True)

    assert opens("admin", "mine")


def test_a_start_that_died_half_way_is_completed_by_the_next(tmp_path: Path) -> None:
    logins.settle(tmp_path, well_known=False)
    demo = get_user_model().objects.get(username="demo")
    demo.set_password("demo")
    demo.save()

    logins.settle(tmp_path, well_known=False)

    assert not opens("demo", "demo")
    assert opens("demo", logins.current(tmp_path)["demo"])
