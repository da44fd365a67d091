"""`start_price_feed`: what it refuses, and what it tells a service manager."""

import re
import socket
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from assets.models import Asset
from realtime.management.commands.start_price_feed import recordings
from realtime.price_feed.feed_store import read_listings
from realtime.price_feed.notify import notify
from realtime.price_feed.sources import (
    NAMES,
    Options,
    SourceError,
    decoder_of,
    open_source,
    open_sources,
    streamed,
)
from tests.realtime.feed_process import feed_process
from tests.vendors.frames import made_up, write_frames
from tests.vendors.process import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--source", "nope"], "expected a source of simulator, coinbase"),
        (["--interval", "0"], "expected a number above 0, was '0'"),
        (["--interval", "nan"], "expected a number above 0, was 'nan'"),
        (["--batch-size", "-1"], "expected a whole number above 0, was '-1'"),
        (["--batch-size", "1.5"], "expected a whole number above 0, was '1.5'"),
        (["--source", "replay"], "expected --recording FILE or REPLAY_FILE"),
        (["--source", "replay", "--recording", "/nowhere/x.tsv"], "No such file"),
        (["--source", "replay", "--speed", "0"], "expected a number above 0"),
        (["--loop"], "belong to --source replay"),
        (["--record", "x.tsv"], "--record takes a streamed source, such as --source coinbase"),
        (["--record", "/nowhere/x.tsv", "--source", "coinbase"], "cannot write /nowhere/x.tsv"),
        (["--record", "/nowhere/x/", "--source", "coinbase"], "cannot write /nowhere/x/: No such file"),
    ],
)
def test_a_wrong_word_says_what_was_wrong_and_changes_nothing(args: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("start_price_feed", *args, stdout=StringIO(), stderr=StringIO())
    assert not Asset.objects.exists()


def test_a_redistribution_of_no_source_is_refused(settings: Any) -> None:
    settings.FEED_REDISTRIBUTION = {"coinbase": "users", "manual": "users", "polygon": "users"}
    message = "FEED_REDISTRIBUTION: expected a source of .*polygon_stocks.*, was 'polygon'"
    with pytest.raises(SourceError, match=message):
        open_sources(["simulator"])


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tsv"
    wrong.write_text("hello\n")
    with pytest.raises(SourceError, match=r"wrong\.tsv line 1"):
        open_source("replay", Options(recording=str(wrong)))


def test_a_product_without_a_currency_is_refused(settings: Any) -> None:
    settings.COINBASE_PRODUCTS = ["BTCUSD"]
    with pytest.raises(SourceError, match="expected a product such as BTC-USD, was 'BTCUSD'"):
        open_source("coinbase")


def test_every_source_can_be_opened_from_the_settings(tmp_path: Path, settings: Any) -> None:
    settings.POLYGON_API_KEY = settings.UPSTOX_ACCESS_TOKEN = settings.OPENALGO_API_KEY = "key"
    recording = write_frames(tmp_path / "frames.tsv", made_up(count=5))
    settings.CCXT_EXCHANGE = "kraken"
    for name in NAMES:
        options = Options(recording=str(recording)) if name == "replay" else Options()
        try:
            assert open_source(name, options).name == name
        except SourceError as error:  # its library is an extra, as it says
            assert name in ("yahoo", "ccxt") and f"-r requirements-{name}.txt installs it" in str(error)


def test_a_source_that_lacks_something_fails_alone_and_says_what() -> None:
    missing, simulator = open_sources(["replay", "simulator"])
    assert (missing.name, simulator.name) == ("replay", "simulator")
    with pytest.raises(SourceError, match="expected --recording FILE or REPLAY_FILE"):
        open_sources(["replay"])
    with pytest.raises(SourceError, match="expected a source of"):
        open_sources(["simulator", "nope"])


def test_a_source_that_lacks_something_is_seen_to_fail_while_the_other_is_live(tmp_path: Path) -> None:
    with feed_process(tmp_path / "log", "--source", "replay", "--source", "simulator") as feed:
        feed.wait_for("feed replay is failed: replay: expected --recording FILE or REPLAY_FILE")
        feed.wait_for("feed simulator is live")
        assert feed.stop() == 0


def test_polygon_is_run_from_its_settings_alone_and_says_which_one_is_missing(tmp_path: Path) -> None:
    with feed_process(tmp_path / "without", "--source", "polygon") as feed:
        assert feed.process.wait(30) == 1
        assert "polygon_stocks: expected POLYGON_API_KEY" in feed.log
    command = [sys.executable, "-m", "tests.vendors", "polygon", "--key", "secret", "--count", "50"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as vendor:
        assert vendor.stdout is not None
        port = vendor.stdout.readline().strip().removeprefix("ready port=")
        env = {
            "POLYGON_API_KEY": "secret",
            "POLYGON_WEBSOCKET_URL": f"ws://127.0.0.1:{port}",
            "POLYGON_REST_URL": f"http://127.0.0.1:{port}",
            "POLYGON_CLUSTERS": "crypto forex",
        }
        with feed_process(tmp_path / "log", "--source", "polygon", **env) as feed:
            feed.wait_for("feed polygon_crypto is live")
            feed.wait_for("feed polygon_forex is live")
            assert feed.stop() == 0
            assert '"secret"' not in feed.log
        vendor.terminate()
    assert [one.symbol for one in read_listings("polygon_crypto")] == ["BTC-USD", "ETH-USD"]


def test_a_source_that_failed_for_good_is_shown_so_and_not_started_again_and_again(tmp_path: Path) -> None:
    env = {"COINBASE_WEBSOCKET_URL": "http://127.0.0.1:9", "COINBASE_PRODUCTS": "ABC-USD"}
    with feed_process(tmp_path / "log", "--source", "coinbase", "--interval", "0.2", **env) as feed:
        feed.wait_for("feed coinbase is failed: expected")
        feed.wait_for("coinbase: failed, 1 symbols")  # the line of a process that goes on
        assert feed.log.count("feed coinbase is failed") == 1
        assert feed.stop() == 0
    # What it needs was made nonetheless, so that it can be priced by hand.
    assert [(one.symbol, one.currency) for one in read_listings("coinbase")] == [("ABC-USD", "USD")]


def test_what_arrives_is_recorded_as_it_came(tmp_path: Path) -> None:
    frames = made_up(count=50)
    recording = write_frames(tmp_path / "frames.tsv", frames)
    copy = tmp_path / "copy.tsv"
    args = ("--source", "replay", "--recording", str(recording), "--speed", "1000", "--record", str(copy))
    with feed_process(tmp_path / "log", *args) as feed:
        feed.wait_for("feed replay is ended")
        assert feed.stop() == 0
    assert [line.partition("\t")[2] for line in copy.read_text().splitlines()] == [text for _, text in frames]


def test_several_sources_are_recorded_into_a_folder(tmp_path: Path) -> None:
    recording = write_frames(tmp_path / "frames.tsv", made_up(count=50))
    args = ("--source", "replay", "--source", "simulator", "--recording", str(recording), "--speed", "1000")
    args += ("--record", f"{tmp_path}/kept/")
    with feed_process(tmp_path / "log", *args, RECORD_MAX_BYTES="5000", RECORD_FILES="3") as feed:
        feed.wait_for("feed replay is ended")
        assert feed.stop() == 0
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 3 and all(path.stat().st_size <= 5000 for path in kept)
    assert all(re.fullmatch(r"replay-20\d{6}T\d{12}Z\.tsv", path.name) for path in kept[:2])
    assert kept[2].name == "replay.tsv" and kept[2].stat().st_mode & 0o777 == 0o600


def test_which_file_a_source_is_recorded_into(tmp_path: Path) -> None:
    one, several = str(tmp_path / "r.tsv"), str(tmp_path / "some")
    assert recordings(one, ["coinbase"]) == {"coinbase": tmp_path / "r.tsv"}
    files = {name: tmp_path / "some" / f"{name}.tsv" for name in ("coinbase", "replay")}
    assert recordings(several, ["coinbase", "replay"]) == files
    assert recordings(several, ["coinbase"]) == {"coinbase": files["coinbase"]}
    (tmp_path / "r.tsv").write_text("")
    with pytest.raises(FileExistsError):
        recordings(one, ["coinbase", "replay"])


def test_a_recording_of_any_streamed_source_can_be_replayed_and_of_no_other(
    settings: Any, tmp_path: Path
) -> None:
    assert {"coinbase"} <= set(streamed()) <= set(NAMES)
    for name in streamed():
        decoder = decoder_of(name)
        assert decoder is not None and decoder.feed().modes
    settings.REPLAY_VENDOR = "simulator"
    with pytest.raises(SourceError, match=r"REPLAY_VENDOR: expected one of coinbase.*, was 'simulator'"):
        open_source("replay", Options(recording=str(tmp_path / "r.tsv")))


def test_the_service_manager_is_told_when_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(30)
        with feed_process(tmp_path / "log", "--interval", "0.5", NOTIFY_SOCKET=path) as feed:
            told: list[str] = []
            while not {"READY=1", "WATCHDOG=1"} <= set(told) or not any(
                text.startswith("STATUS=simulator: live") for text in told
            ):
                told.append(manager.recv(4096).decode())
            assert told[0] == "READY=1"
            assert feed.stop() == 0
        while told[-1] != "STOPPING=1":
            told.append(manager.recv(4096).decode())
