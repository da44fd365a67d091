"""The feed against a Polygon on loopback: all that it carries, and all that goes wrong with it."""

import asyncio
import json
import random
from decimal import Decimal

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from assets.market import Bar, BidAsk, Depth, MarketNotice, Quote, Trade
from realtime.feeds.base import Mode, Refused
from realtime.feeds.polygon import PolygonFeed
from realtime.feeds.polygon_symbols import CLUSTERS, Cluster
from realtime.feeds.runner import FeedRunner
from tests.realtime.feeds.fakes import JumpingClock, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.polygon import FRAMES_A_SECOND, NOT_LAST, TICKERS, PolygonServer, Script, made_up

FAST = float("inf")
# What is asked for last.
LAST_TOPICS = {"stocks": "Q", "options": "Q", "forex": "CA", "crypto": "XQ", "indices": "AM"}
RICHEST: dict[Cluster, Mode] = {"crypto": "full"}


def follow(
    server: PolygonServer, cluster: Cluster = "stocks", *tickers: str, mode: Mode | None = None
) -> tuple[FeedRunner, WaitingSink, JumpingClock]:
    sink, clock = WaitingSink(), JumpingClock()
    feed = PolygonFeed(cluster, "secret", tickers or TICKERS[cluster], url=server.url)
    runner = FeedRunner(feed, sink, clock=clock, random=random.Random(1))
    runner.set_modes(dict.fromkeys(feed.symbols, mode or RICHEST.get(cluster, "quote")))
    return runner, sink, clock


def last_prices(script: Script, topic: str, *, key: str, price: str = "p") -> dict[str, Decimal]:
    """The last price of each ticker, by the rules and from the frames alone."""
    return {
        event[key]: Decimal(str(event[price]))
        for _, (_, events) in script
        for event in events
        if event["ev"] == topic and not (topic == "T" and NOT_LAST & set(event["c"]))
    }


def priced(sink: WaitingSink) -> dict[str, Decimal]:
    prices = {}
    for event in sink.all_events:
        if isinstance(event, Quote) or (isinstance(event, Trade) and event.updates_last):
            prices[event.symbol] = event.price
    return prices


@pytest.mark.asyncio
@pytest.mark.parametrize("cluster", CLUSTERS)
async def test_a_served_market_arrives_whole(cluster: Cluster) -> None:
    script = made_up(cluster, TICKERS[cluster])
    kinds = {
        "stocks": {Trade, BidAsk, Quote, Bar, MarketNotice},
        "options": {Trade, BidAsk, Quote, Bar},
        "forex": {Quote, Bar},
        "crypto": {Trade, BidAsk, Depth, Bar},
        "indices": {Quote, Bar},
    }[cluster]
    expected = {
        "stocks": lambda: last_prices(script, "T", key="sym"),
        "options": lambda: last_prices(script, "T", key="sym"),
        "forex": lambda: last_prices(
            script, "CAS", key="pair", price="c"
        ),  # the middle is what the rest is made around
        "crypto": lambda: last_prices(script, "XT", key="pair"),
        "indices": lambda: last_prices(script, "V", key="T", price="val"),
    }[cluster]()
    async with PolygonServer(script, speed=FAST, keys=["secret"], begins_with=LAST_TOPICS[cluster]) as server:
        runner, sink, _ = follow(server, cluster)
        async with running(runner):
            await sink.until(lambda: priced(sink) == expected)
            assert server.clients and next(iter(server.clients.values())).path == f"/{cluster}"
    assert {type(event) for event in sink.all_events} >= kinds
    assert sink.state_names == ["connecting", "live"]
    assert not runner.bad_frames
    # The key was in the first frame, and nowhere else.
    assert server.requests[0] == {"action": "auth", "params": "secret"}
    assert "secret" not in json.dumps(server.requests[1:])


@pytest.mark.asyncio
async def test_a_night_without_data_is_live_and_calm() -> None:
    async with PolygonServer() as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await sink.until(lambda: sink.state_names == ["connecting", "live"])
            assert runner.feed.silence_after is None  # type: ignore[union-attr]
    assert server.connections == 1


@pytest.mark.asyncio
async def test_a_vendor_that_never_greets_is_left() -> None:
    async with PolygonServer(fault="silent") as server:
        runner, sink, _ = follow(server)
        runner.feed.silence_after = 0.2  # type: ignore[union-attr]
        async with running(runner):
            await sink.until(lambda: "silent" in sink.state_names)
            await sink.until(lambda: server.connections > 1)
    assert server.requests == []


@pytest.mark.asyncio
async def test_a_cut_connection_subscribes_to_everything_again() -> None:
    script = made_up("stocks", TICKERS["stocks"])
    async with PolygonServer(script, speed=FAST, fault="disconnect:60") as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await sink.until(lambda: sink.state_names == ["connecting", "live", "recovering", "live"])
            half = len(server.requests) // 2
            assert server.requests[:half] == server.requests[half:]
    assert server.connections == 2


@pytest.mark.asyncio
async def test_symbols_and_modes_change_while_it_runs() -> None:
    async with PolygonServer(made_up("stocks", ["AAPL", "MSFT"], 2000), speed=20) as server:
        runner, sink, _ = follow(server, "stocks", "AAPL", mode="ltpc")
        async with running(runner):
            await sink.until(lambda: priced(sink))
            runner.add_symbols(["MSFT"])
            await sink.until(lambda: "MSFT" in priced(sink))
            assert not any(isinstance(event, BidAsk) for event in sink.all_events)
            runner.set_modes({"MSFT": "quote"})
            await sink.until(lambda: any(isinstance(event, BidAsk) for event in sink.all_events))
            assert {event.symbol for event in sink.all_events if isinstance(event, BidAsk)} == {"MSFT"}
            runner.remove_symbols(["AAPL"])
            (client,) = server.clients.values()
            await sink.until(lambda: client.pairs >= {"T.MSFT"} and not client.pairs & {"T.AAPL", "AM.AAPL"})


@pytest.mark.asyncio
async def test_a_wrong_key_ends_the_feed_for_good_in_one_clear_line() -> None:
    async with PolygonServer(keys=["another"]) as server:
        runner, sink, clock = follow(server)
        await runner.run()
    assert server.connections == 1 and clock.sleeps == []
    assert sink.states[-1] == ("failed", "the vendor refuses our key: authentication failed")


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["refuse-newer", "refuse-late"])
async def test_one_connection_too_many_is_tried_again_after_a_pause(fault: str) -> None:
    async with PolygonServer(fault=fault) as server:
        async with connect(f"{server.url}/stocks", proxy=None) as rival:
            await rival.recv()
            runner, sink, clock = follow(server)
            async with running(runner):
                await clock.until_slept(2)
    assert min(clock.sleeps) >= 30
    assert any("max_connections" in reason for _, reason in sink.states)


@pytest.mark.asyncio
async def test_where_the_older_connection_is_dropped_there_are_never_two_of_ours() -> None:
    async with PolygonServer(fault="drop-older") as server:
        runner, sink, clock = follow(server)
        async with running(runner):
            await sink.until(lambda: "live" in sink.state_names)
            async with connect(f"{server.url}/stocks", proxy=None) as rival:
                await rival.recv()
                await clock.until_slept(1)
                assert clock.sleeps[0] >= 30
            await sink.until(lambda: sink.state_names[-1] == "live")
    assert server.most_open <= 2  # the rival's and ours


@pytest.mark.asyncio
async def test_a_key_that_came_too_late_and_a_slow_reader_are_tried_again() -> None:
    async with PolygonServer(fault="auth-timeout") as server:
        runner, sink, clock = follow(server)
        async with running(runner):
            await clock.until_slept(1)
    assert any("auth_timeout: No authentication request received." in reason for _, reason in sink.states)
    script = made_up("stocks", TICKERS["stocks"])
    async with PolygonServer(script, speed=50, fault="slow-consumer:20") as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await sink.until(lambda: sink.state_names == ["connecting", "live", "recovering", "live"])
    assert any("slow_consumer" in reason for _, reason in sink.states)


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["garbage:3", "bare"])
async def test_garbage_and_bare_objects_stop_nothing(fault: str) -> None:
    script = made_up("stocks", TICKERS["stocks"])
    async with PolygonServer(script, speed=FAST, fault=fault) as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await sink.until(lambda: priced(sink) == last_prices(script, "T", key="sym"))
    assert sink.state_names == ["connecting", "live"]
    assert bool(runner.bad_frames) is (fault == "garbage:3")


@pytest.mark.asyncio
@pytest.mark.parametrize("names_refused", [False, True])
async def test_a_plan_without_trades_and_quotes_prices_by_aggregates(names_refused: bool) -> None:
    script = made_up("stocks", TICKERS["stocks"])
    lacking = ["T", "Q", "LULD", "NOI"]
    async with PolygonServer(
        script, speed=FAST, lacking=lacking, names_refused=names_refused, begins_with="AM"
    ) as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await sink.until(lambda: priced(sink) == last_prices(script, "A", key="sym", price="c"))
    assert not any(isinstance(event, Trade | BidAsk | Refused) for event in sink.all_events)


@pytest.mark.asyncio
async def test_what_the_plan_has_not_got_at_all_is_refused_with_the_vendors_words() -> None:
    async with PolygonServer(lacking=["V", "A", "AM"]) as server:
        runner, sink, _ = follow(server, "indices")
        async with running(runner):
            await sink.until(lambda: "failed" in sink.state_names)
    assert runner.refused["I:SPX"].endswith("error: not authorized")
    reason = next(reason for state, reason in sink.states if state == "failed")
    assert reason.startswith("the vendor refused every symbol: ")


@pytest.mark.asyncio
async def test_an_unknown_ticker_is_acknowledged_and_never_heard_of() -> None:
    script = made_up("stocks", ["AAPL"])
    async with PolygonServer(script, speed=FAST) as server:
        runner, sink, _ = follow(server, "stocks", "NOPE", "AAPL")
        async with running(runner):
            await sink.until(lambda: priced(sink) == last_prices(script, "T", key="sym"))
    assert set(priced(sink)) == {"AAPL"} and not runner.refused


@pytest.mark.asyncio
async def test_whoever_floods_the_vendor_is_put_out_and_we_do_not() -> None:
    tickers = [f"S{number}" for number in range(1500)]
    async with PolygonServer() as server:
        runner, sink, _ = follow(server, "stocks", *tickers, mode="ltpc")
        async with running(runner):
            await sink.until(lambda: "live" in sink.state_names)
            (client,) = server.clients.values()
            async with asyncio.timeout(30):
                while len(client.pairs) < 3000:
                    await asyncio.sleep(0)
        async with connect(f"{server.url}/stocks", proxy=None) as flood:
            for _ in range(FRAMES_A_SECOND):
                await flood.send('{"action":"subscribe","params":"T.AAPL"}')
            with pytest.raises(ConnectionClosed) as closed:
                async for _ in flood:
                    pass
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    assert server.connections == 2
