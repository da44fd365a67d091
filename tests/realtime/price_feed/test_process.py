"""The price feed as a process: leading, taking over, losing Redis or the database, and stopping."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser

from assets.models import Asset, FeedSymbol, PriceBar, TradingSession
from assets.snapshots import LAST_KEY
from config import embedded_redis
from realtime.bus import BOOKS_KEY, WebBus
from realtime.feeds.simulated_market import DEMO, PAIRS
from realtime.jobs import read_job, request_update
from realtime.protocol import QuoteRecord, decode_quote, wire_time
from tests.live import PATIENCE, wait_until
from tests.realtime.builders import next_batch
from tests.realtime.feed_process import feed_process
from tests.vendors.frames import Frames, made_up, read_frames, write_frames

pytestmark = pytest.mark.django_db(transaction=True)

LEADING = "feed simulator is live"
STANDBY = "standing by: another process leads"
# The fewest ticks a second for each symbol that there may be: one when it begins, and hardly one after.
STILL = "0.001"
# The demo's symbols and the currencies.
EVERY = len(DEMO) + len(PAIRS)


@pytest.fixture
def store(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        yield client


def records(store: Any) -> dict[str, QuoteRecord]:
    return {symbol.decode(): decode_quote(text) for symbol, text in store.hgetall(LAST_KEY).items()}


def number(store: Any, symbol: str = "AAPL") -> tuple[int, int]:
    text = store.hget(LAST_KEY, symbol)
    record = decode_quote(text) if text else None
    return (record.epoch, record.seq) if record else (0, 0)


def status(store: Any, source: str = "simulator") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.hget("lf:feeds", source) or b"{}")
    return found


def is_led_by(store: Any, owner: str) -> bool:
    found = status(store)
    return (found["owner"], found["state"]) == (owner, "live")


def moves(store: Any, symbol: str = "AAPL") -> Callable[[], bool]:
    before = number(store, symbol)
    return lambda: number(store, symbol) > before


def stored() -> dict[str, tuple[Decimal | None, datetime | None, str]]:
    rows = Asset.objects.exclude(current_price=None)
    return {row.symbol: (row.current_price, row.price_as_of, row.price_source) for row in rows}


def as_stored(found: dict[str, QuoteRecord]) -> dict[str, tuple[Decimal, datetime, str]]:
    return {
        symbol: (record.price, datetime.fromisoformat(record.as_of), record.source)
        for symbol, record in found.items()
    }


# -- one process


def test_a_stopped_feed_leaves_nothing_unwritten_and_no_lease(tmp_path: Path, store: Any) -> None:
    with feed_process(tmp_path / "log", SIMULATOR_RATE="20") as feed:
        feed.wait_for(LEADING)
        wait_until(lambda: number(store)[1] > 20, PATIENCE, "ticks")
        begun = time.monotonic()
        assert feed.stop() == 0
        assert time.monotonic() - begun < 20  # four seconds, and what a busy machine adds
    assert store.get("lf:lease:simulator") is None
    assert status(store)["state"] == "stopped"
    assert len(records(store)) == EVERY
    assert stored() == as_stored(records(store))
    last = records(store)["AAPL"]
    today = datetime.fromisoformat(last.as_of).replace(hour=0, minute=0, second=0, microsecond=0)
    bar = PriceBar.objects.get(asset__symbol="AAPL", interval="1d", start=today)
    assert (bar.close, bar.open) == (last.price, last.open)
    yesterday = PriceBar.objects.daily().last_closed_before(today).filter(asset__symbol="AAPL").first()
    assert yesterday is not None and yesterday.close == last.previous_close
    assert last.change == last.price - yesterday.close


def test_a_started_feed_goes_on_with_the_last_prices_of_the_database(tmp_path: Path, store: Any) -> None:
    asset = Asset.objects.create(symbol="OLD-USD", currency="USD")
    FeedSymbol.objects.create(asset=asset, source="coinbase", symbol="OLD-USD")
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    Asset.objects.update(
        current_price="7.5", price_as_of=moment, price_source="coinbase", last_updated=moment
    )
    # Nobody listens there, so that nothing but what is known can be shown.
    unreachable = {"COINBASE_WEBSOCKET_URL": "ws://127.0.0.1:9", "COINBASE_PRODUCTS": "OLD-USD"}
    with feed_process(tmp_path / "log", "--source", "coinbase", **unreachable) as feed:
        wait_until(lambda: "OLD-USD" in records(store), 30, "the restored price")
        record = records(store)["OLD-USD"]
        assert (record.price, record.stale, record.source) == (Decimal("7.5"), True, "coinbase")
        wait_until(lambda: status(store, "coinbase").get("state") == "recovering", PATIENCE, "a state")
        assert "cannot be reached" in status(store, "coinbase")["reason"]
        assert feed.stop() == 0


def test_an_asset_added_while_it_runs_is_picked_up(tmp_path: Path, store: Any) -> None:
    with feed_process(tmp_path / "log", SIMULATOR_SYMBOLS="13") as feed:
        feed.wait_for(LEADING)
        Asset.objects.filter(symbol="SIM0013").delete()
        feed.wait_for("removed=1")
        asset = Asset.objects.create(symbol="MINE", currency="USD")
        FeedSymbol.objects.create(asset=asset, source="simulator", symbol="SIM0013")
        wait_until(lambda: number(store, "MINE")[1] > 1, PATIENCE, "ticks of the new asset")
        assert feed.stop() == 0


def test_the_sessions_of_an_exchange_that_an_asset_names_are_stored(tmp_path: Path) -> None:
    Asset.objects.create(symbol="GOLD", currency="INR", calendar="MCX")
    with feed_process(tmp_path / "log", SIMULATOR_RATE=STILL) as feed:
        feed.wait_for("sessions stored")
        assert feed.stop() == 0
    stored = TradingSession.objects.filter(calendar="MCX")
    assert stored.count() > 300
    assert stored.get(date=date(2026, 11, 9)).close == datetime(2026, 11, 9, 18, 25, tzinfo=UTC)


def test_a_job_publishes_the_last_values_again(tmp_path: Path, store: Any) -> None:
    with feed_process(tmp_path / "log", SIMULATOR_RATE=STILL) as feed:
        feed.wait_for(LEADING)
        wait_until(lambda: number(store)[1] > 0, PATIENCE, "a first tick")
        # If a tick comes in between, which its time tells, then the next attempt must do.
        assert any(is_published_again(store) for _ in range(5))
        feed.stop()


def is_published_again(store: Any) -> bool:
    before = records(store)["AAPL"]
    job = request_update({"simulator": ["AAPL", "NOPE"]}, user_id=1)
    wait_until(lambda: (found := read_job(job)) is not None and found.results, PATIENCE, "the job's result")
    found = read_job(job)
    assert found is not None
    result = found.results["simulator"]
    assert result["updated"] == ["AAPL"]
    assert result["failed"] == {"NOPE": "simulator does not follow this symbol"}
    after = records(store)["AAPL"]
    if after.as_of != before.as_of:
        return False
    assert (after.epoch, after.seq, after.price) == (before.epoch, before.seq + 1, before.price)
    return True


# -- two processes


def test_a_second_feed_stands_by_and_a_frozen_leader_is_refused(tmp_path: Path, store: Any) -> None:
    with feed_process(tmp_path / "first", SIMULATOR_RATE="20") as first:
        first.wait_for(LEADING)
        with feed_process(tmp_path / "second", SIMULATOR_RATE="20") as second:
            second.wait_for(STANDBY)
            wait_until(lambda: number(store)[1] > 0, PATIENCE, "a tick")
            epoch, leader = status(store)["epoch"], status(store)["owner"]
            first.signal(signal.SIGSTOP)
            second.wait_for(LEADING)
            wait_until(lambda: number(store)[0] > epoch, PATIENCE, "the new epoch")
            wait_until(lambda: status(store)["owner"] != leader, PATIENCE, "the new leader's heartbeat")
            seen = [number(store)]
            first.signal(signal.SIGCONT)
            first.wait_for("another process leads now")
            wait_until(lambda: seen.append(number(store)) or len(set(seen)) > 20, PATIENCE, "more ticks")  # type: ignore[func-returns-value]
            assert seen == sorted(seen), "numbers went back"
            assert {epoch for epoch, _ in seen} == {status(store)["epoch"]}
            # What the frozen one had left to write is older than what the second has written.
            assert second.stop() == 0
            wait_until(lambda: is_led_by(store, leader), PATIENCE, "the way back")
        assert first.stop() == 0
    assert stored() == as_stored(records(store))


def test_two_hosts_lead_a_source_each_and_stand_by_for_the_others(tmp_path: Path, store: Any) -> None:
    recording = write_frames(tmp_path / "frames.tsv", made_up(count=50))
    replay = ("--source", "replay", "--recording", str(recording), "--speed", "1000", "--loop")
    with (
        feed_process(tmp_path / "1", "--source", "simulator") as one,
        feed_process(tmp_path / "2", *replay) as two,
    ):
        one.wait_for(LEADING)
        two.wait_for("feed replay is live")
        wait_until(lambda: len(records(store)) >= 14, PATIENCE, "the values of both")
        with feed_process(tmp_path / "3", *replay, "--source", "simulator") as standby:
            wait_until(lambda: standby.log.count(STANDBY) == 2, PATIENCE, "it to stand by for both")
            assert one.stop() == two.stop() == 0
            standby.wait_for(LEADING)
            standby.wait_for("feed replay is live")
            assert standby.stop() == 0
        assert status(store)["owner"] == status(store, "replay")["owner"]


def test_a_killed_leader_is_replaced_within_the_lease(tmp_path: Path, store: Any) -> None:
    with feed_process(tmp_path / "first") as first, feed_process(tmp_path / "second") as second:
        wait_until(lambda: LEADING in first.log + second.log, 60, "a leader")
        wait_until(lambda: STANDBY in first.log + second.log, 60, "a standby")
        leader, other = (first, second) if LEADING in first.log else (second, first)
        leader.kill()
        other.wait_for(LEADING)  # how long a lease lives is a matter of Redis, in test_bus.py
        wait_until(moves(store), PATIENCE, "ticks")
        assert other.stop() == 0


# -- losses


def test_every_last_value_is_written_again_after_redis_lost_them(tmp_path: Path, store: Any) -> None:
    with feed_process(tmp_path / "log", SIMULATOR_RATE=STILL) as feed:
        feed.wait_for(LEADING)
        wait_until(lambda: len(records(store)) == EVERY, PATIENCE, "all values")
        before = records(store)
        store.flushdb()
        wait_until(lambda: len(records(store)) == EVERY, PATIENCE, "all values again")
        after = records(store)
        assert all(record.epoch > before[symbol].epoch for symbol, record in after.items())
        # A tick that came in between carries another time; whatever did not tick is as it was.
        untouched = {symbol for symbol, record in after.items() if record.as_of == before[symbol].as_of}
        assert len(untouched) > 6, "expected hardly a tick in between"
        assert {symbol: after[symbol].price for symbol in untouched} == {
            symbol: before[symbol].price for symbol in untouched
        }
        assert feed.stop() == 0


def test_a_restart_of_redis_is_survived_and_shown(tmp_path: Path) -> None:
    server = embedded_redis.find_server()
    path = tmp_path / "r.sock"
    url = f"unix://{path}"

    def start() -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [server.binary, "--port", "0", "--unixsocket", str(path), "--save", "", "--daemonize", "no"],
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: embedded_redis.answers(path), PATIENCE, "Redis")
        return process

    process = start()
    try:
        with redis.Redis.from_url(url) as client, feed_process(tmp_path / "log", REDIS_URL=url) as feed:
            feed.wait_for(LEADING)
            wait_until(lambda: len(records(client)) == EVERY, PATIENCE, "all values")
            epoch = status(client)["epoch"]
            process.kill()
            process.wait(PATIENCE)
            feed.wait_for("Redis does not answer")
            process = start()
            wait_until(lambda: len(records(client)) == EVERY, PATIENCE, "all values again")
            wait_until(
                lambda: status(client).get("epoch", 0) > epoch, PATIENCE, "the heartbeat that tells it"
            )
            wait_until(moves(client), PATIENCE, "ticks")
            process.send_signal(signal.SIGSTOP)
            time.sleep(3)  # longer than a command may take
            process.send_signal(signal.SIGCONT)
            wait_until(moves(client), PATIENCE, "ticks after the stall")
            assert feed.stop() == 0
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_a_feed_that_starts_before_redis_waits_for_it_and_stops_when_asked(tmp_path: Path) -> None:
    with feed_process(tmp_path / "log", REDIS_URL=f"unix://{tmp_path}/none.sock") as feed:
        feed.wait_for("Redis does not answer")
        assert feed.stop() == 0


@pytest.mark.skipif("postgres" in os.environ.get("DATABASE_URL", ""), reason="locks an SQLite file")
def test_a_locked_database_stops_no_tick_and_loses_no_price(tmp_path: Path, store: Any) -> None:
    with feed_process(tmp_path / "log", SIMULATOR_RATE="5") as feed:
        feed.wait_for(LEADING)
        connection.close()
        with sqlite3.connect(str(connection.settings_dict["NAME"]), PATIENCE, isolation_level=None) as locker:
            locker.execute("BEGIN EXCLUSIVE")
            feed.wait_for("the database does not answer")
            for _ in range(3):
                wait_until(moves(store), PATIENCE, "ticks while the database is locked")
            locker.execute("ROLLBACK")
        locker.close()
        feed.wait_for("the database answers again")
        assert feed.stop() == 0
    assert stored() == as_stored(records(store))


# -- what is wanted beside quotes


class Listener:
    """A web process's lease on what it wants, and its ear, without a web process."""

    def __init__(self, *wants: str) -> None:
        self._wants = wants

    async def first(self, symbol: str, channels: set[str]) -> dict[str, Any]:
        """Returns the first of what is told of a symbol in each channel, read back."""
        bus, told = WebBus("listener"), dict[str, Any]()
        try:
            await bus.listen()
            await bus.want(self._wants)
            async with asyncio.timeout(PATIENCE):
                while not channels <= told.keys():
                    for update in (await next_batch(bus)).updates:
                        if update.symbol == symbol:
                            for name, text in update.payloads.items():
                                told.setdefault(name, json.loads(text))
            return told
        finally:
            await bus.leave()
            await bus.close()


def bars_over_rest(interval: str) -> list[dict[str, Any]]:
    browser = Browser()
    browser.force_login(User.objects.get_or_create(username="alice")[0])
    answer = browser.get(f"/api/assets/AAPL/bars/?interval={interval}&page_size=1000")
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def test_trades_book_and_bars_are_told_even_while_nothing_moves(tmp_path: Path, store: Any) -> None:
    with feed_process(tmp_path / "log", SIMULATOR_RATE=STILL) as feed:
        feed.wait_for(LEADING)
        wait_until(lambda: len(records(store)) == EVERY, PATIENCE, "a price of each")
        assert {"bars", "book", "trades"} == set(status(store)["channels"])
        listener = Listener("quote AAPL", "trades AAPL", "book AAPL", "bars AAPL")
        told = asyncio.run(listener.first("AAPL", {"quote", "trades", "book", "bars"}))
        assert [trade["number"] for trade in told["trades"]] == [*range(1, len(told["trades"]) + 1)]
        assert told["book"]["bids"][0][0] < told["book"]["asks"][0][0]
        assert told["bars"][-1]["interval"] == "1d"
        assert json.loads(store.hget(BOOKS_KEY, "AAPL"))["symbol"] == "AAPL"
        assert store.hlen(BOOKS_KEY) == 1

        wait_until(lambda: bars_over_rest("1m"), PATIENCE, "a minute over REST")
        assert bars_over_rest("1d")[-1]["close"] == float(records(store)["AAPL"].price)
        assert feed.stop() == 0
    shown = bars_over_rest("1m")
    kept = PriceBar.objects.filter(asset__symbol="AAPL", interval="1m").order_by("start")
    assert [(bar["start"], bar["close"], bar["revised"]) for bar in shown] == [
        (wire_time(bar.start), float(bar.close), False) for bar in kept
    ]


# -- recordings


def expected_last(frames: Frames) -> dict[str, Decimal]:
    """The price of the newest trade or ticker of each product, read without any of our decoding."""
    newest: dict[str, tuple[str, Decimal]] = {}
    for _, text in frames:
        frame = json.loads(text)
        if frame["type"] in ("ticker", "match", "last_match"):
            known = newest.get(frame["product_id"])
            if known is None or frame["time"] >= known[0]:
                newest[frame["product_id"]] = (frame["time"], Decimal(frame["price"]))
    return {product: price for product, (_, price) in newest.items()}


def expected_minutes(frames: Frames) -> dict[tuple[str, str], list[Decimal]]:
    """Open, high, low, close and volume of each product's minutes, from its trades and tickers by their own time.

    A ticker from before the last price says nothing; a trade always counts. Only trades are volume.
    """
    ticks: list[tuple[str, str, Decimal, Decimal]] = []
    newest: dict[str, str] = {}
    seen: set[tuple[str, int]] = set()
    for _, text in frames:
        frame = json.loads(text)
        if frame["type"] not in ("ticker", "match", "last_match"):
            continue
        product, moment, is_trade = frame["product_id"], frame["time"], frame["type"] != "ticker"
        if not is_trade and moment < newest.get(product, ""):
            continue
        if is_trade and (product, frame["trade_id"]) in seen:
            continue
        if is_trade:
            seen.add((product, frame["trade_id"]))
        newest[product] = max(newest.get(product, ""), moment)
        ticks.append((product, moment, Decimal(frame["price"]), Decimal(frame["size"] if is_trade else 0)))
    minutes: dict[tuple[str, str], list[Decimal]] = {}
    for product, moment, price, size in sorted(ticks, key=lambda tick: tick[1]):
        bar = minutes.setdefault((product, moment[:16]), [price, price, price, price, Decimal(0)])
        bar[1:] = [max(bar[1], price), min(bar[2], price), price, bar[4] + size]
    return minutes


def check_replay(tmp_path: Path, store: Any, frames: Frames) -> None:
    recording = write_frames(tmp_path / "frames.tsv", frames)
    args = ("--source", "replay", "--recording", str(recording), "--speed", "1000")
    with feed_process(tmp_path / "log", *args) as feed:
        feed.wait_for("feed replay is ended")
        wait_until(lambda: status(store, "replay").get("state") == "ended", PATIENCE, "the state")
        assert feed.stop() == 0
    last = expected_last(frames)
    assert {symbol: record.price for symbol, record in records(store).items()} == last
    assert {symbol: price for symbol, (price, _, _) in stored().items()} == last
    bars = {
        (bar.asset.symbol, f"{bar.start:%Y-%m-%dT%H:%M}"): [
            *(bar.open, bar.high, bar.low, bar.close, bar.volume or Decimal(0))
        ]
        for bar in PriceBar.objects.filter(interval="1m").select_related("asset")
    }
    assert bars == expected_minutes(frames)
    assert {asset.symbol: asset.currency for asset in Asset.objects.all()} == {
        s: s.split("-")[1] for s in last
    }


def test_a_made_up_recording_ends_with_its_last_prices(tmp_path: Path, store: Any) -> None:
    check_replay(tmp_path, store, made_up(count=2000))


def test_the_recorded_session_ends_with_its_last_prices(tmp_path: Path, store: Any) -> None:
    path = os.environ.get("COINBASE_RECORDING", "")
    if not path:
        pytest.skip("left out: COINBASE_RECORDING names no recording")
    check_replay(tmp_path, store, read_frames(Path(path)))


def test_each_round_of_a_loop_is_a_new_epoch(tmp_path: Path, store: Any) -> None:
    recording = write_frames(tmp_path / "frames.tsv", made_up(count=50))
    args = ("--source", "replay", "--recording", str(recording), "--speed", "1000", "--loop")
    with feed_process(tmp_path / "log", *args) as feed:
        wait_until(lambda: feed.log.count("new epoch") >= 2, 60, "two rounds")
        wait_until(lambda: len(records(store)) == 2, PATIENCE, "values")
        assert feed.stop() == 0
    # It stopped in some round: a value is of that one, or of the one before if its product had not come yet.
    epochs = {record.epoch for record in records(store).values()}
    assert len(epochs) <= 2 and max(epochs) <= status(store, "replay")["epoch"]
