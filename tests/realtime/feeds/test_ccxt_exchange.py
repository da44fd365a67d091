"""The real ccxt, in an environment of its own, against one exchange's pages on loopback."""

import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from assets.market import Bar
from realtime.feeds.base import FeedError
from realtime.feeds.ccxt_exchange import daily_bar
from tests.vendors.kraken_rest import TICKER, KrakenServer, days
from tests.vendors.real_clients import run_client

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)


async def asked(servers: dict[str, KrakenServer], *questions: list[str]) -> dict[str, list[Any]]:
    """Returns what each server's feed said."""
    async with AsyncExitStack() as stack:
        for server in servers.values():
            await stack.enter_async_context(server)
        feeds = [(name, "kraken", server.http_url, questions) for name, server in servers.items()]
        words = json.dumps([*feeds, ("nobody", "krakatoa", "", questions)])
        lines = await run_client("ccxt", "ccxt_feed.py", words, env={"PYTHONPATH": str(ROOT)})
    said: dict[str, list[Any]] = {}
    for name, *what in lines:
        said.setdefault(name, []).append(what)
    return said


@pytest.mark.real_client("ccxt")
@pytest.mark.asyncio
async def test_prices_are_the_exchanges_own_texts_and_one_bad_market_harms_no_other() -> None:
    tickers = {"XXBTZUSD": TICKER, "ADAUSDT": {**TICKER, "c": []}}
    before = datetime.now(UTC)
    question = ["poll", "BTC/USD", "NOPE/USD", "ADA/USDT"]
    said = await asked(
        {"kraken": KrakenServer(tickers, days(NOW, 40))},
        question,
        question,
        ["poll", "GONE/USD", "BTC/USD"],
        ["history", "3", NOW.isoformat(), "BTC/USD"],
    )
    kinds = [what for what, _ in said["kraken"]]
    assert kinds[:6] == ["Refused", "Quote", "BidAsk"] * 2
    (_, refused), (_, quote), (_, sides) = said["kraken"][:3]
    assert refused == {"symbols": ["NOPE/USD"], "reason": "Kraken has no market NOPE/USD"}
    assert datetime.fromisoformat(quote.pop("as_of")) > before
    assert {name: value for name, value in quote.items() if value is not None} == {
        "symbol": "BTC/USD",
        "price": "43000.12345",
        "bid": "43000.10000",
        "ask": "43000.20000",
        "bid_quantity": "2.000",
        "ask_quantity": "1.000",
        "high": "43860.01000",
        "low": "42301.18000",
        "volume": "8896.96086304",
        "average_price": "42900.63032",
        "window": "24h",
    }
    # Without a last trade there is no price.
    assert (sides["bid"], sides["ask"]) == ("43000.10000", "43000.20000")
    assert kinds[6:8] == ["Refused", "Quote"]
    assert "Invalid asset pair" in said["kraken"][6][1]["reason"]
    bars = [bar for what, bar in said["kraken"] if what == "Bar"]
    assert [(bar["start"][:10], bar["close"]) for bar in bars] == [
        ("2026-11-18", "43002.12345"),
        ("2026-11-19", "43001.12345"),
        ("2026-11-20", "43000.12345"),
    ]
    prices = [bars[0][name] for name in ("open", "high", "low", "volume")]
    assert prices == ["43000.1", "43500.0", "42500.5", "12.01200100"]


@pytest.mark.real_client("ccxt")
@pytest.mark.asyncio
async def test_what_goes_wrong_says_whether_and_when_to_try_again() -> None:
    expected = {
        "too-many": ("too many requests", False, 60.0),
        "busy": ("the exchange cannot be reached", False, None),
        "wrong-key": ("the exchange refuses us", True, None),
        "http:429": ("too many requests", False, 60.0),
        "http:503": ("the exchange cannot be reached", False, None),
    }
    servers = {fault: KrakenServer({"XXBTZUSD": TICKER}, fault=fault) for fault in expected}
    said = await asked(servers, ["poll", "BTC/USD"])
    assert said.pop("nobody") == [
        ["FeedError", ["expected an exchange that ccxt knows, was 'krakatoa'", True, None]]
    ]
    assert set(said) == set(expected)
    for fault, ((what, (message, permanent, retry_after)),) in said.items():
        words, *decision = expected[fault]
        assert what == "FeedError" and words in message and "http://" not in message, fault
        assert [permanent, retry_after] == decision, fault


def test_a_daily_bar_keeps_its_digits() -> None:
    assert daily_bar("X", [1504483200000, "4235.40", "4240.6", "4230.0", "4230.7", None]) == Bar(
        symbol="X",
        interval="1d",
        start=datetime(2017, 9, 4, tzinfo=UTC),
        open=Decimal("4235.40"),
        high=Decimal("4240.6"),
        low=Decimal("4230.0"),
        close=Decimal("4230.7"),
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([1504540800000, "2", "3", "1", "2", "9"], "from midnight UTC, was one from 16:00"),
        ([1504483200000, "2", "3", "1", None, "9"], "expected the daily bars of X, was"),
        ([1504483200000, "2", "3", "0", "2", "9"], "expected the daily bars of X, was"),
        ([1504483200000, "2", "1.5", "1", "2", "9"], "expected the daily bars of X, was"),
    ],
)
def test_what_is_no_day_of_utc_is_no_daily_bar(row: list[Any], words: str) -> None:
    with pytest.raises(FeedError, match=words):
        daily_bar("X", row)
