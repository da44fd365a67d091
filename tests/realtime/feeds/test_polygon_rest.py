"""Polygon's daily bars over REST: exact, not adjusted, with the key in a header and patience where it is busy."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from assets.market import Bar
from realtime.feeds.base import FeedError
from realtime.feeds.fetch import HttpError
from realtime.feeds.polygon_rest import TRIES, PolygonRest, daily_bars
from realtime.feeds.polygon_symbols import Cluster
from tests.realtime.feeds.fakes import JumpingClock
from tests.vendors.polygon import PolygonServer

UNTIL = datetime(2026, 3, 13, 15, tzinfo=UTC)
DAY = {
    "v": 135647456,
    "vw": 74.6099,
    "o": 74.06,
    "c": 75.0875,
    "h": 75.15,
    "l": 73.7975,
    "t": 1773374400000,
    "n": 1,
}


@pytest.mark.asyncio
async def test_days_come_as_they_were_traded_and_the_key_is_in_no_address() -> None:
    async with PolygonServer(keys=["secret"], days={"AAPL": [DAY]}) as server:
        bars = await PolygonRest("stocks", "secret", url=server.http_url).history("AAPL", 3, UNTIL)
    assert bars == [
        Bar(
            symbol="AAPL",
            interval="1d",
            start=datetime(2026, 3, 13, 4, tzinfo=UTC),
            open=Decimal("74.06"),
            high=Decimal("75.15"),
            low=Decimal("73.7975"),
            close=Decimal("75.0875"),
            volume=Decimal(135647456),
        )
    ]
    assert server.http_requests == [
        "/v2/aggs/ticker/AAPL/range/1/day/2026-03-11/2026-03-13?adjusted=false&sort=asc&limit=50000"
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("cluster", "symbol", "ticker"),
    [("options", "O:SPY251219C00650000", "O%3ASPY251219C00650000"), ("forex", "EUR/USD", "C%3AEURUSD"),
     ("crypto", "BTC-USD", "X%3ABTCUSD"), ("indices", "SPX", "I%3ASPX")],
)  # fmt: skip
async def test_each_cluster_has_its_own_way_to_name_a_ticker(
    cluster: Cluster, symbol: str, ticker: str
) -> None:
    async with PolygonServer() as server:
        bars = await PolygonRest(cluster, "key", url=server.http_url).history(symbol, 5, UNTIL)
    assert bars and all(bar.symbol == symbol for bar in bars)
    # A count of quotes is no volume.
    assert all((bar.volume is None) is (cluster == "forex") for bar in bars)
    assert server.http_requests[0].startswith(f"/v2/aggs/ticker/{ticker}/range/1/day/")


@pytest.mark.asyncio
async def test_a_wrong_key_is_said_without_showing_it() -> None:
    async with PolygonServer(keys=["another"]) as server:
        with pytest.raises(HttpError, match="401") as refused:
            await PolygonRest("stocks", "secret", url=server.http_url).history("AAPL", 3, UNTIL)
    assert refused.value.permanent and "secret" not in str(refused.value)


@pytest.mark.asyncio
async def test_a_busy_vendor_is_asked_again_as_often_as_is_decent() -> None:
    clock = JumpingClock()
    async with PolygonServer(fault="http:429:7") as server:
        with pytest.raises(HttpError, match="429"):
            await PolygonRest("stocks", "key", url=server.http_url, clock=clock).history("AAPL", 3, UNTIL)
    assert len(server.http_requests) == TRIES and clock.sleeps == [7, 7]


@pytest.mark.asyncio
async def test_a_pair_that_is_none_has_no_history() -> None:
    with pytest.raises(FeedError, match="expected a pair"):
        await PolygonRest("crypto", "key", url="http://127.0.0.1:9").history("WRONG", 3, UNTIL)


def test_no_results_are_no_bars() -> None:
    assert daily_bars("AAPL", b'{"status":"OK","resultsCount":0}') == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"results":[{"t":1}]}',
        b'{"results":[{"t":1,"o":2,"h":1,"l":1,"c":1}]}',
        b"[" * 9999,
    ],
)
def test_an_answer_that_is_none_is_an_error_and_not_a_bar(body: bytes) -> None:
    with pytest.raises(FeedError, match="expected the daily bars of AAPL"):
        daily_bars("AAPL", body)
