"""Whose data a source's prices are, at every address there is: to whom they are not shown they make no difference.

The addresses are those of the URL configuration, so that a new one is walked over as soon as it exists. Each is asked
twice, with other prices of the hidden source in between: so is found what is only worked out of a price, too.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import redis
from django.apps import apps
from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern

from assets.models import Asset, AssetClass, PriceBar, Tick
from assets.open_bars import BARS_KEY
from assets.snapshots import LAST_KEY
from portfolio.booking import complete
from portfolio.history import days_of
from portfolio.models import Portfolio, Transaction, WatchlistItem
from portfolio.valued import with_receipt
from realtime.alerts.models import AlertFiring, PriceAlert
from realtime.bus import BOOKS_KEY, account_key
from realtime.models import AccessToken
from tests.realtime.alerts.builders import make_webhook

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime.now(UTC).replace(microsecond=0)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
HIDDEN = "polygon"

# What a part of an address may be; keys are those of the rows of what stands before them.
WORDS = {"symbol": ["ACME", "EURUSD"], "job_id": ["0" * 32], "app_label": ["assets"], "url": ["nothing"]}
ROWS: dict[str, type[models.Model]] = {
    "portfolios": Portfolio,
    "transactions": Transaction,
    "watchlist": WatchlistItem,
    "alerts": PriceAlert,
    "tokens": AccessToken,
}
QUERIES: dict[str, list[dict[str, str]]] = {
    "/api/account-events/": [{"source": HIDDEN}],
    "/api/assets/<symbol>/bars/": [{}, {"interval": "1m"}],
}
# What is not for reading. An address gets in here when somebody has looked at what it answers to a POST.
NOT_READ = {
    "/accounts/demo/",
    "/accounts/logout/",
    "/admin/logout/",
    "/admin/r/<content_type_id>/<object_id>/",  # leads elsewhere
    "/api/alerts/<pk>/rearm/",
    "/api/assets/<symbol>/prices/",
    "/api/portfolios/<portfolio_id>/imports/",
    "/api/realtime/force_price_update/",
    "/api/tokens/<pk>/",
    "/api/watchlist/<pk>/",
}
# Where the source's owner does see it: there was something to hide.
SHOWN = {
    "/admin/assets/asset/",
    "/admin/assets/asset/<object_id>/change/",
    "/admin/assets/pricebar/",
    "/admin/assets/pricebar/<object_id>/change/",
    "/api/account-events/",
    "/api/alerts/",
    "/api/alerts/<pk>/firings/",
    "/api/alerts/firings/",
    "/api/assets/",
    "/api/assets/<symbol>/",
    "/api/assets/<symbol>/bars/",
    "/api/assets/<symbol>/ticks.csv",
    "/api/assets/<symbol>/ticks/",
    "/api/portfolios/<portfolio_id>/allocation/",
    "/api/portfolios/<portfolio_id>/history/",
    "/api/portfolios/<portfolio_id>/lots/",
    "/api/portfolios/<portfolio_id>/positions.csv",
    "/api/portfolios/<portfolio_id>/positions/",
    "/api/portfolios/<portfolio_id>/receipts/<receipt>/",
    "/api/portfolios/<portfolio_id>/returns/",
    "/api/portfolios/<pk>/",
}
# What is another one each time.
CHANGING = re.compile(r'"csrfmiddlewaretoken" value="\w+"|\d\d:\d\d:\d\d(\.\d+)?|[0-9a-f]{16}-\d+')


@pytest.fixture(autouse=True)
def only_for_olivia(settings: Any) -> None:
    settings.FEED_OWNER = "olivia"
    settings.FEED_REDISTRIBUTION = {}


# -- what there is to be seen


def make_people() -> None:
    """Each has a portfolio, an alert that has fired, and all else that an address may be about."""
    Asset.objects.create(symbol="ACME", currency="EUR")
    Asset.objects.create(symbol="EURUSD", asset_class=AssetClass.FX, base_currency="EUR", currency="USD")
    acme = Asset.objects.get(symbol="ACME")
    for name in ("olivia", "bob"):
        user = User.objects.create_superuser(name)
        portfolio = Portfolio.objects.create(user=user, name="p", currency="USD")
        bought = {"asset": acme, "quantity": D(2), "price": D(9), "rate": D(1)}
        for kind, values in (
            ("deposit", {"amount": D(1000), "currency": "EUR", "rate": D(1)}),
            ("buy", bought),
        ):
            row = Transaction(portfolio=portfolio, type=kind, time=NOW - timedelta(days=3), **values)
            complete(row)
            row.save()
        WatchlistItem.objects.create(user=user, asset=acme)
        AccessToken.objects.create(user=user, name="script", digest=name, prefix=name)
        PriceAlert.objects.create(user=user, asset=acme, kind="percent_move", threshold=D(5))
        make_webhook(user, "https://example.com/hook")


def make_market(price: Decimal) -> None:
    """Everything that is kept of a price, in the database and in Redis, as the hidden source's."""
    AlertFiring.objects.all().delete()
    PriceBar.objects.all().delete()
    Tick.objects.all().delete()
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        for symbol, now in (("ACME", price), ("EURUSD", price / 16)):
            asset = Asset.objects.get(symbol=symbol)
            Asset.objects.filter(pk=asset.pk).update(
                current_price=now, price_as_of=NOW, price_source=HIDDEN, last_updated=NOW
            )
            keep_rows(asset, now)
            keep_in_redis(client, symbol, now)
        details = {"price": f"{price}"}
        event = {"kind": "fill", "key": "1", "as_of": NOW.isoformat(), "symbol": "ACME", "details": details}
        client.delete(account_key(HIDDEN))
        client.lpush(account_key(HIDDEN), msgspec.json.encode(event))
    alert = PriceAlert.objects.get(user__username="olivia")
    alert.reference = price
    alert.save()
    told = {"price": price, "reference": price, "source": HIDDEN, "kind": alert.kind, "threshold": 5}
    AlertFiring.objects.create(
        alert=alert, arming=1, as_of=NOW, fired_at=NOW, announce_after=NOW, announced_at=NOW, **told
    )


def keep_rows(asset: Asset, price: Decimal) -> None:
    prices = dict.fromkeys(("open", "high", "low", "close"), price) | {"volume": price}
    days = [("1d", MIDNIGHT - timedelta(days=days)) for days in range(4)]
    for key, (interval, start) in enumerate([*days, ("1m", NOW - timedelta(minutes=5))], 10 * asset.pk):
        PriceBar.objects.create(pk=key, asset=asset, interval=interval, start=start, source=HIDDEN, **prices)
    Tick.objects.create(asset=asset, source=HIDDEN, price=price, bid=price, as_of=NOW, received_at=NOW)


def keep_in_redis(client: "redis.Redis", symbol: str, price: Decimal) -> None:
    moment = NOW.isoformat()
    record = {"symbol": symbol, "price": price, "as_of": moment, "source": HIDDEN, "received_at": moment}
    bar = dict.fromkeys(("open", "high", "low", "close", "volume"), str(price)) | {"source": HIDDEN}
    bars = [bar | {"interval": i, "start": NOW.replace(second=0).isoformat()} for i in ("1d", "1m")]
    encode = msgspec.json.Encoder(decimal_format="number").encode
    client.hset(LAST_KEY, symbol, encode(record | {"currency": "EUR", "previous_close": price, "bid": price}))
    client.hset(BARS_KEY, symbol, encode({"at": moment, "bars": bars}))
    client.hset(BOOKS_KEY, symbol, encode({"symbol": symbol, "bids": [[price, price]], "source": HIDDEN}))


# -- who asks, and where


def routes(resolver: URLResolver, before: str = "/") -> Iterator[str]:
    for entry in resolver.url_patterns:
        text = str(entry.pattern)
        if isinstance(entry.pattern, RegexPattern):
            text = simplify_regex(text)[1:].replace("\\", "")
        route = before + re.sub(r"<\w+:", "<", text)
        if isinstance(entry, URLResolver):
            yield from routes(entry, route)
        else:
            assert isinstance(entry, URLPattern)
            yield route


def addresses(route: str, name: str) -> list[str]:
    """Returns what a route means for the rows that there are."""
    found = [route]
    for part in re.findall(r"<\w+>", route):
        found = [one.replace(part, value, 1) for one in found for value in values(part[1:-1], one, name)]
    return found


def values(part: str, address: str, name: str) -> list[str]:
    if part in WORDS:
        return WORDS[part]
    if part == "receipt":
        portfolio = Portfolio.objects.filter(user__username=name).first()
        return [with_receipt(portfolio)[1]] if portfolio else []
    before = address.split(f"/<{part}>")[0].split("/")
    is_listed = before[1] == "admin" and len(before) == 4
    assert is_listed or before[-1] in ROWS, f"say in WORDS or ROWS what {part} is in {address}"
    model = apps.get_model(before[2], before[3]) if is_listed else ROWS[before[-1]]
    return [str(key) for key in model._default_manager.order_by("pk").values_list("pk", flat=True)[:3]]


def read_everything(client: Client, name: str) -> dict[tuple[str, str], str]:
    """Returns what somebody is answered at each address, by its route; without what differs each time."""
    found = {}
    for route in routes(get_resolver()):
        for address in addresses(route, name) if route not in NOT_READ else ():
            for query in QUERIES.get(route, [{}]):
                # A receipt is a new one each time.
                found[route, CHANGING.sub("", f"{address}{query}")] = answer_to(client, address, query)
    return found


def answer_to(client: Client, address: str, query: dict[str, str]) -> str:
    answer = client.get(address, query)
    assert answer.status_code != 405, f"look at what {address} answers to a POST, and name it in NOT_READ"
    assert answer.status_code < 500 or address == "/readyz", address
    content = b"".join(answer) if answer.streaming else answer.content
    return CHANGING.sub("", content.decode())


def differing(name: str) -> set[str]:
    """Returns the routes where other prices of the hidden source make a difference to somebody."""
    make_people()
    make_market(D(16))
    client = Client()
    if name:
        client.force_login(User.objects.get(username=name))
        days_of(Portfolio.objects.get(user__username=name))  # which stores those that are over
    before = read_everything(client, name)
    make_market(D(48))
    after = read_everything(client, name)
    assert before.keys() == after.keys()
    return {route for route, address in before if before[route, address] != after[route, address]}


@pytest.mark.parametrize("name", ["bob", ""])
def test_whoever_may_not_see_a_source_is_answered_the_same_whatever_it_says(name: str) -> None:
    assert differing(name) == set()


def test_its_owner_is_shown_what_there_was_to_hide() -> None:
    assert SHOWN - differing("olivia") == set()
