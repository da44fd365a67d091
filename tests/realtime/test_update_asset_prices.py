"""`update_asset_prices`: one round, its summary, its exit code, and a dry run that touches nothing."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command

from assets.calendars import forget_calendars
from assets.models import Asset, FeedSymbol, PriceBar
from assets.session_store import store_sessions
from assets.sessions import Session
from assets.snapshots import LAST_KEY, read_quotes
from tests.live import PATIENCE, wait_until
from tests.realtime.feed_process import feed_process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def assets() -> list[Asset]:
    found = [Asset.objects.create(symbol=symbol, currency="USD") for symbol in ("AAPL", "MSFT", "FUND")]
    for asset in found[:2]:
        FeedSymbol.objects.create(asset=asset, source="simulator", symbol=asset.symbol)
    return found


@pytest.fixture
def store(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        yield client


def run(*args: str) -> str:
    out = StringIO()
    call_command("update_asset_prices", *args, stdout=out, stderr=out)
    return out.getvalue()


def code_of(*args: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as raised:
        run(*args)
    return raised.value.returncode, str(raised.value)


def everything(store: Any) -> tuple[Any, ...]:
    rows = list(
        Asset.objects.order_by("id").values_list("id", "current_price", "price_as_of", "last_updated")
    )
    return rows, PriceBar.objects.count(), sorted(store.keys()), store.hgetall(LAST_KEY)


def test_every_asset_with_a_source_is_priced_stored_and_shown(store: Any) -> None:
    out = run()
    assert "2 updated, 0 failed, 1 skipped" in out
    assert "FUND: skipped" in out
    asset = Asset.objects.get(symbol="AAPL")
    quote = read_quotes(["AAPL"])["AAPL"]
    assert asset.current_price == quote["price"]
    assert (asset.price_source, quote["source"], quote["seq"]) == ("simulator", "simulator", 1)
    assert store.get("lf:lease:simulator") is None


def test_symbols_may_stand_apart_or_with_commas_in_any_case() -> None:
    assert "2 updated, 0 failed, 0 skipped" in run("--symbols", "aapl,MSFT")
    assert "2 updated, 0 failed, 0 skipped" in run("--symbols", "AAPL", "msft")


def test_an_asset_asked_for_by_name_that_nobody_prices_has_failed() -> None:
    code, message = code_of("--symbols", "AAPL", "FUND")
    assert (code, message) == (1, "1 of 2 assets failed")
    assert Asset.objects.get(symbol="AAPL").current_price is not None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--symbols", "AAPL", "NOPE", "é"), "unknown symbols: NOPE, é"),
        (("--symbols", ","), "expected at least one symbol"),
        (("--days", "3"), "--days belongs to --historical"),
    ],
)
def test_wrong_usage_changes_nothing(store: Any, args: tuple[str, ...], message: str) -> None:
    before = everything(store)
    code, text = code_of(*args)
    assert code == 2
    assert message in text
    assert everything(store) == before


@pytest.mark.parametrize("days", ["0", "3651", "-1", "x", "1.5"])
def test_a_number_of_days_out_of_range_is_refused(days: str) -> None:
    with pytest.raises(CommandError, match="expected 1 to 3650"):
        run("--historical", "--days", days)


@pytest.mark.parametrize("args", [("--dry-run",), ("--dry-run", "--historical", "--days", "5")])
def test_a_dry_run_shows_and_touches_nothing(store: Any, args: tuple[str, ...]) -> None:
    before = everything(store)
    out = run(*args)
    assert "2 would be updated" in out
    assert "AAPL: " in out
    assert everything(store) == before


def test_history_fills_closed_days_once_and_leaves_the_price_alone() -> None:
    assert "10 bars" in run("--historical", "--days", "5")
    assert "; 0 bars" in run("--historical", "--days", "5")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = PriceBar.objects.filter(asset__symbol="AAPL", interval="1d").values_list("start", flat=True)
    assert list(starts) == [today - timedelta(days=n) for n in (5, 4, 3, 2, 1)]
    assert not Asset.objects.exclude(current_price=None).exists()


def test_a_price_of_the_night_is_no_price_and_no_failure(assets: list[Asset]) -> None:
    store_sessions_around(datetime.now(UTC))
    Asset.objects.filter(symbol="AAPL").update(calendar="XNYS")
    out = run()
    assert "1 updated, 0 failed, 2 skipped" in out
    assert "AAPL: skipped: its market is closed" in out
    assert Asset.objects.get(symbol="AAPL").current_price is None


def test_history_of_an_exchange_is_of_its_sessions() -> None:
    opens = store_sessions_around(datetime.now(UTC))
    Asset.objects.filter(symbol="AAPL").update(calendar="XNYS")
    assert "AAPL: 2 daily bars" in run("--historical", "--days", "2", "--symbols", "AAPL")
    starts = PriceBar.objects.order_by("start").values_list("start", flat=True)
    assert list(starts) == opens[:2]


def store_sessions_around(now: datetime) -> list[datetime]:
    """Sessions of an hour on the three last days, and on the next: now it is closed."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    hour = (now.hour + 12) % 24
    opens = [midnight + timedelta(days=days, hours=hour) for days in (-4, -3, -2, 1)]
    sessions = [Session(opened.date(), opened, opened + timedelta(hours=1)) for opened in opens]
    store_sessions("XNYS", sessions, opens[0].date())
    forget_calendars()
    return opens


def test_history_mends_a_day_that_differs() -> None:
    run("--historical", "--days", "3")
    bar = PriceBar.objects.filter(asset__symbol="AAPL").first()
    assert bar is not None
    right = bar.close
    PriceBar.objects.filter(pk=bar.pk).update(close=Decimal(1))
    assert "AAPL: 1 daily bars" in run("--historical", "--days", "3")
    bar.refresh_from_db()
    assert bar.close == right


def test_the_summary_can_be_json() -> None:
    summary = json.loads(run("--json", "--dry-run"))
    assert [change["symbol"] for change in summary["updated"]] == ["AAPL", "MSFT"]
    assert (summary["dry_run"], summary["failed"], list(summary["skipped"])) == (True, {}, ["FUND"])


def test_a_vendor_that_is_away_fails_its_assets_and_no_other(settings: Any) -> None:
    settings.COINBASE_REST_URL = "http://127.0.0.1:9"
    asset = Asset.objects.create(symbol="BTC-USD", currency="USD")
    FeedSymbol.objects.create(asset=asset, source="coinbase", symbol="BTC-USD")
    assert code_of() == (1, "1 of 4 assets failed")
    assert Asset.objects.exclude(current_price=None).count() == 2


def test_without_redis_prices_are_stored_and_the_failure_is_named(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    code, message = code_of("--symbols", "AAPL")
    assert code == 1, message
    assert Asset.objects.get(symbol="AAPL").current_price is not None


def test_a_feed_that_leads_is_asked_and_its_values_are_copied(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with feed_process(tmp_path / "log", SIMULATOR_RATE="0.001") as feed:
        feed.wait_for("feed simulator is live")
        wait_until(lambda: len(read_quotes(["AAPL", "MSFT"])) == 2, PATIENCE, "prices")
        # If a tick comes in between, which its time tells, then the next attempt must do.
        assert any(is_copied_without_a_tick(store) for _ in range(5))
        monkeypatch.setattr("realtime.price_feed.price_update.SYMBOLS_A_JOB", 1)
        assert "2 updated, 0 failed" in run("--symbols", "AAPL", "MSFT")
        assert feed.stop() == 0


def is_copied_without_a_tick(store: Any) -> bool:
    before = read_quotes(["AAPL"])["AAPL"]
    shown = store.hget(LAST_KEY, "AAPL")
    run("--dry-run", "--symbols", "AAPL")
    between = store.hget(LAST_KEY, "AAPL")
    assert "1 updated, 0 failed" in run("--symbols", "AAPL")
    copied = Asset.objects.get(symbol="AAPL").current_price
    after = read_quotes(["AAPL"])["AAPL"]
    if after["as_of"] != before["as_of"]:
        return False
    assert between == shown, "a dry run published"
    assert (after["epoch"], after["price"]) == (before["epoch"], before["price"])
    assert after["seq"] > before["seq"]
    assert copied == after["price"]
    return True
