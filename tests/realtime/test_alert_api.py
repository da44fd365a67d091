"""REST of alerts and their webhook: what is accepted, what is refused, and that nobody sees another's."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from rest_framework.test import APIClient

from assets.models import Asset, Split
from realtime.alerts.models import AlertFiring, PriceAlert, WebhookEndpoint
from realtime.alerts.store import write
from realtime.alerts.webhooks import secret_of
from tests.realtime.alerts.builders import change_of, make_alert, make_user

pytestmark = pytest.mark.django_db

URL = "/api/alerts/"


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def acme() -> Asset:
    return Asset.objects.create(symbol="ACME")


@pytest.fixture
def client(acme: Asset) -> APIClient:
    return client_of(make_user())


def make(client: APIClient, **values: Any) -> Any:
    return client.post(URL, {"symbol": "ACME", "kind": "above", "threshold": 100, **values})


def test_an_alert_is_made_with_sensible_defaults_listed_changed_and_deleted(client: APIClient) -> None:
    made = make(client, symbol="acme", threshold="100.10")
    assert made.status_code == 201
    found = made.json()
    assert (found["symbol"], found["threshold"], found["state"], found["arming"]) == (
        "ACME",
        100.1,
        "armed",
        1,
    )
    assert (found["hysteresis"], found["hysteresis_unit"], found["once"]) == (0.5, "percent", False)
    assert client.get(URL).json()["count"] == client.get(f"{URL}?symbol=acme").json()["count"] == 1
    assert client.get(f"{URL}?symbol=NOPE").json()["count"] == 0
    one = f"{URL}{found['id']}/"
    assert client.patch(one, {"threshold": 120, "once": True}).json()["threshold"] == 120
    assert client.get(one).json()["once"] is True
    assert client.delete(one).status_code == 204
    assert client.get(one).status_code == 404


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"symbol": "NOPE"}, "symbol"),
        ({"kind": "sideways"}, "kind"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": -1}, "threshold"),
        ({"threshold": "NaN"}, "threshold"),
        ({"threshold": 1e-30}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"kind": "percent_move", "threshold": 1001}, "threshold"),
        ({"window_minutes": 5}, "window_minutes"),
        ({"kind": "percent_move", "threshold": 5, "window_minutes": 0}, "window_minutes"),
        ({"kind": "percent_move", "threshold": 5, "window_minutes": 1441}, "window_minutes"),
        ({"hysteresis": -1}, "hysteresis"),
        ({"hysteresis": 100}, "hysteresis"),
        ({"hysteresis_unit": "parsec"}, "hysteresis_unit"),
    ],
)
def test_what_cannot_be_an_alert_is_refused_at_its_field(
    client: APIClient, values: dict[str, Any], field: str
) -> None:
    answer = make(client, **values)
    assert (answer.status_code, set(answer.json())) == (400, {field})
    assert not PriceAlert.objects.exists()


def test_a_price_below_zero_is_a_threshold_of_what_may_be_negative(client: APIClient, acme: Asset) -> None:
    acme.may_be_negative = True
    acme.save()
    assert make(client, threshold=-5).status_code == 201


def test_a_user_has_so_many_alerts_and_no_more(client: APIClient) -> None:
    with override_settings(MAX_ALERTS_PER_USER=2):
        answers = [make(client).status_code for _ in range(3)]
    assert answers == [201, 201, 400]
    with override_settings(MAX_ALERTS_PER_USER=0):
        assert make(client).status_code == 201


def test_nobody_sees_or_changes_what_is_somebody_elses(client: APIClient) -> None:
    theirs = make_alert(make_user("bob"))
    write([change_of(theirs)])
    one = f"{URL}{theirs.pk}/"
    assert client.get(URL).json()["results"] == []
    assert client.get(f"{URL}firings/").json()["results"] == []
    missing = client.get(f"{URL}999999/")
    for answer in (
        client.get(one),
        client.patch(one, {"threshold": 1}),
        client.delete(one),
        client.post(f"{one}rearm/"),
        client.get(f"{one}firings/"),
    ):
        assert (answer.status_code, answer.content) == (404, missing.content)
    assert PriceAlert.objects.get() == theirs
    assert APIClient().get(URL).status_code == 401


def test_a_change_and_a_rearming_begin_a_new_arming_that_old_news_cannot_fire(client: APIClient) -> None:
    alert = make_alert(state="done", kind="crossing", side=1)
    rearmed = client.post(f"{URL}{alert.pk}/rearm/")
    assert (rearmed.json()["state"], rearmed.json()["arming"]) == ("armed", 2)
    alert.refresh_from_db()
    old = change_of(alert)
    assert client.patch(f"{URL}{alert.pk}/", {"hysteresis": 2}).json()["arming"] == 3
    assert write([old]).fired == 0


def test_an_alert_keeps_its_symbol(client: APIClient) -> None:
    Asset.objects.create(symbol="OTHER")
    id = make(client).json()["id"]
    assert client.patch(f"{URL}{id}/", {"symbol": "OTHER"}).status_code == 400
    assert client.patch(f"{URL}{id}/", {"symbol": "ACME"}).status_code == 200
    # A rule is looked at as a whole.
    assert client.patch(f"{URL}{id}/", {"window_minutes": 5}).status_code == 400


def test_firings_are_listed_newest_first_with_what_became_of_their_webhook(client: APIClient) -> None:
    alert = make_alert()
    WebhookEndpoint.objects.create(user=alert.user, url="https://example.com/", nonce="n")
    write([change_of(alert, "101.50")])
    (firing,) = client.get(f"{URL}{alert.pk}/firings/").json()["results"]
    assert (firing["symbol"], firing["price"], firing["threshold"]) == ("ACME", 101.5, 100)
    assert (firing["webhook"], firing["source"]) == ("pending", "simulator")
    assert client.get(f"{URL}firings/").json()["results"] == [firing]


def test_a_threshold_is_shown_in_todays_units_and_a_change_goes_on_in_them(
    client: APIClient, acme: Asset
) -> None:
    week_ago = datetime.now(UTC) - timedelta(days=7)
    alert = make_alert(units_at=week_ago, hysteresis=Decimal(2), hysteresis_unit="price")
    Split.objects.create(asset=acme, ex_date=(week_ago + timedelta(days=3)).date(), numerator=4)
    one = f"{URL}{alert.pk}/"
    assert [client.get(one).json()[name] for name in ("threshold", "hysteresis")] == [25, 0.5]
    assert client.get(URL).json()["results"][0]["threshold"] == 25
    changed = client.patch(one, {"threshold": 30}).json()
    assert (changed["threshold"], changed["hysteresis"]) == (30, 0.5)
    assert client.get(one).json()["threshold"] == 30


def test_the_secret_of_a_webhook_is_shown_once_and_stored_nowhere(client: APIClient) -> None:
    url = "https://hooks.example.com/x?token=1"
    assert client.get(f"{URL}webhook/").json() == {"url": "", "created_at": None}
    made = client.put(f"{URL}webhook/", {"url": url}).json()
    endpoint = WebhookEndpoint.objects.get()
    assert made["secret"] == secret_of(endpoint)
    assert made["secret"] not in json.dumps(WebhookEndpoint.objects.values()[0], default=str)
    assert set(client.get(f"{URL}webhook/").json()) == {"url", "created_at"}
    assert client.put(f"{URL}webhook/", {"url": url}).json()["secret"] != made["secret"]
    assert client_of(make_user("bob")).delete(f"{URL}webhook/").status_code == 204
    assert client.get(f"{URL}webhook/").json()["url"] == url
    assert client.delete(f"{URL}webhook/").status_code == 204
    assert not WebhookEndpoint.objects.exists()


def test_a_webhook_in_a_private_network_is_refused(client: APIClient) -> None:
    answer = client.put(f"{URL}webhook/", {"url": "http://169.254.169.254/latest/"})
    assert (answer.status_code, set(answer.json())) == (400, {"url"})
    with override_settings(ALERT_WEBHOOK_ALLOW_PRIVATE=True):
        assert client.put(f"{URL}webhook/", {"url": "http://127.0.0.1:9000/"}).status_code == 200


def test_a_move_is_not_measured_from_a_price_that_its_user_may_not_see(
    client: APIClient, acme: Asset, settings: Any
) -> None:
    settings.FEED_OWNER = "olivia"
    now = datetime.now(UTC)
    Asset.objects.filter(pk=acme.pk).update(current_price=80, price_as_of=now, price_source="polygon")
    make(client, kind="percent_move", threshold=1)
    client_of(make_user("olivia")).post(URL, {"symbol": "ACME", "kind": "percent_move", "threshold": 1})
    assert client.post("/api/assets/ACME/prices/", {"price": 99}).status_code == 201
    assert client.get(f"{URL}firings/").json()["results"] == []
    assert client.get(URL).json()["results"][0]["reference"] == 99
    assert AlertFiring.objects.get().reference == 80  # olivia's


def test_a_price_set_by_hand_fires_the_alerts_of_what_no_feed_prices(client: APIClient) -> None:
    def set_price(price: str) -> None:
        answer = client.post("/api/assets/ACME/prices/", {"price": price})
        assert answer.status_code == 201

    set_price("99")
    make(client, kind="crossing", once=True)
    make(client, kind="percent_move", threshold=1)
    set_price("99.5")
    assert client.get(f"{URL}firings/").json()["count"] == 0
    set_price("101")
    set_price("99")
    fired = [
        (one["kind"], one["price"], one["source"]) for one in client.get(f"{URL}firings/").json()["results"]
    ]
    assert sorted(fired) == [
        ("crossing", 101, "manual"),
        ("percent_move", 99, "manual"),
        ("percent_move", 101, "manual"),
    ]
