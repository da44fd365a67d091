import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

pytestmark = pytest.mark.django_db
DEMO = override_settings(DEMO_LOGIN=True)


@pytest.fixture
def demo() -> User:
    return User.objects.create_user("demo", password="demo")


@DEMO
def test_the_demo_user_comes_in_with_one_press(client: Client, demo: User) -> None:
    answer = client.post("/accounts/demo/", SERVER_NAME="127.0.0.1")
    assert (answer.status_code, answer["Location"]) == (302, "/realtime/dashboard/")
    assert client.session["_auth_user_id"] == str(demo.pk)
    assert client.get("/accounts/demo/").status_code == 405


def test_there_is_no_such_way_in_outside_the_demo(client: Client, demo: User) -> None:
    assert client.post("/accounts/demo/", SERVER_NAME="127.0.0.1").status_code == 404


@DEMO
@pytest.mark.parametrize(
    "origin", [{"SERVER_NAME": "testserver"}, {"SERVER_NAME": "localhost", "REMOTE_ADDR": "192.0.2.7"}]
)
def test_nor_from_another_machine(client: Client, demo: User, origin: dict[str, str]) -> None:
    assert client.post("/accounts/demo/", **origin).status_code == 404  # type: ignore[arg-type]


@DEMO
def test_it_needs_the_csrf_token(demo: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/accounts/demo/", SERVER_NAME="127.0.0.1").status_code == 403


@DEMO
def test_the_login_page_knows_whether_to_offer_it(client: Client) -> None:
    assert client.get("/accounts/login/", SERVER_NAME="127.0.0.1").context["demo_login"] is True
    assert client.get("/accounts/login/", SERVER_NAME="testserver").context["demo_login"] is False
