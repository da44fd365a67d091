"""Yahoo and ccxt from their settings alone: the assets they make, what is missing, and the past in the database."""

import json
import subprocess
import sys
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.test import override_settings

from realtime.price_feed.makers.yahoo import symbol_assets
from realtime.price_feed.sources import SourceError, open_source, open_sources
from tests.vendors.real_clients import python_of

ROOT = Path(__file__).resolve().parents[3]


def test_a_symbol_tells_its_currency_its_kind_and_its_calendar() -> None:
    found = {
        asset.symbol: (
            asset.asset_class,
            asset.currency,
            asset.base_currency,
            asset.calendar,
            asset.multiplier,
        )
        for asset in symbol_assets(
            [
                "aapl",
                "BRK-B",
                "RELIANCE.NS",
                "^NSEI",
                "BTC-USD",
                "EURUSD=X",
                "INR=X",
                "VOD.L:GBp",
                "ES=F:USD",
                "AAPL",
            ]
        )
    }
    assert found == {
        "AAPL": ("equity", "USD", "", "XNYS", 1),
        "BRK-B": ("equity", "USD", "", "XNYS", 1),
        "RELIANCE.NS": ("equity", "INR", "", "XNSE", 1),
        "^NSEI": ("index", "INR", "", "XNSE", 1),
        "BTC-USD": ("crypto", "USD", "", "24/7", 1),
        "EURUSD=X": ("fx", "USD", "EUR", "FX", 1),
        "INR=X": ("fx", "INR", "USD", "FX", 1),
        "VOD.L": ("equity", "GBP", "", "XLON", Decimal("0.01")),
        "ES=F": ("other", "USD", "", "us_futures", 1),
    }


@pytest.mark.parametrize("word", ["VOD.L", "ES=F", "^SOMETHING", "X.NOWHERE", "AAPL:DOLLARS", ":USD"])
def test_a_symbol_that_does_not_tell_its_currency_is_asked_for_it(word: str) -> None:
    with pytest.raises(SourceError, match=r"YAHOO_SYMBOLS: expected a currency, as in VOD\.L:GBp"):
        symbol_assets([word])


@pytest.mark.skipif(find_spec("yfinance") is not None, reason="yfinance is installed here")
def test_without_the_library_one_source_says_what_to_install_and_the_others_go_on() -> None:
    with pytest.raises(SourceError) as raised:
        open_source("yahoo")
    assert str(raised.value) == (
        "yahoo: expected the package yfinance; "
        ".venv/bin/python -m pip install --no-deps -r requirements-yahoo.txt installs it"
    )
    failed, streamed = open_sources(["ccxt", "yahoo_stream"])
    assert failed.modes == () and streamed.modes == ("ltpc", "quote")
    assert streamed.history is None
    assert (ROOT / "requirements-yahoo.txt").exists() and (ROOT / "requirements-ccxt.txt").exists()


@override_settings(YAHOO_SYMBOLS=["VOD.L"])
def test_a_setting_that_cannot_be_right_is_named() -> None:
    with pytest.raises(SourceError, match="YAHOO_SYMBOLS"):
        open_source("yahoo_stream")


@pytest.mark.real_client("yfinance")
def test_history_from_yahoo_is_stored_once_and_leaves_the_price_alone(tmp_path: Path) -> None:
    """A whole `update_asset_prices --historical`, with yfinance beside what is installed here."""
    packages = python_of("yfinance").parent.parent / "lib"
    script = ROOT / "tests" / "realtime" / "price_feed" / "yahoo_history.py"
    done = subprocess.run(
        [sys.executable, str(script), str(next(packages.glob("python3.*/site-packages"))), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert "7 bars" in told["first"] and "AAPL: 7 daily bars" in told["first"]
    assert "; 0 bars" in told["second"]
    assert told["closes"] == ["500.24", "500.2", "125.04", "125.03", "125.02", "125.01", "125"]
    assert told["price"] is None
