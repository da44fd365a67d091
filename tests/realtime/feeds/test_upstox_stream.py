"""Upstox against its server on loopback: getting in, following, losing the connection, being refused, the account."""

import logging
import random
from collections.abc import Sequence
from decimal import Decimal

import pytest
from websockets.http11 import Request, Response

from assets.market import AccountEvent, Depth, MarketStatus
from realtime.feeds import upstox
from realtime.feeds.base import Mode, Refused
from realtime.feeds.runner import FeedRunner
from realtime.feeds.upstox import UpstoxFeed
from realtime.feeds.upstox_market import UpstoxMarket
from realtime.feeds.upstox_portfolio import UpstoxPortfolioFeed
from realtime.feeds.upstox_v2 import UpstoxV2Feed
from tests.realtime.feeds.fakes import JumpingClock, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.server import reply
from tests.vendors.upstox import PORTFOLIO, TOKEN, V2, V3, Upstox, UpstoxClient
from tests.vendors.upstox_frames import (
    FILLED,
    INDEX,
    OPEN,
    OPTION,
    STOCK,
    UPDATES,
    Instrument,
    made_up,
)

pytestmark = pytest.mark.asyncio

CLOSED = 3
FAST = float("inf")
KEYS = (STOCK, INDEX, OPTION)
UPDATE_TYPES = "?update_types=order%2Cposition%2Cholding%2Cgtt_order"


class HeaderKeeper(Upstox):
    """Remembers which token each stream was opened with."""

    brought: list[str | None]

    async def arrived(self, client: UpstoxClient) -> None:
        self.brought = [*getattr(self, "brought", []), client.headers.get("Authorization")]
        await super().arrived(client)


class Confused(Upstox):
    """Answers whoever asks for an address with something else."""

    says = ""

    def answer(self, request: Request) -> Response | None:
        return reply(200, self.says)


def follow(
    server: Upstox,
    *keys: str,
    mode: Mode = "full",
    version: type[UpstoxFeed] | type[UpstoxV2Feed] = UpstoxFeed,
    token: str = TOKEN,
    one_time: bool = False,
) -> tuple[FeedRunner, WaitingSink, JumpingClock]:
    path = V3 if version is UpstoxFeed else V2
    feed = version(
        keys or KEYS,
        url=server.url + path,
        token=token,
        authorize_url=f"{server.http_url}{path}/authorize" if one_time else "",
    )
    return run(feed, mode)


def run(
    feed: UpstoxMarket | UpstoxPortfolioFeed, mode: Mode = "full"
) -> tuple[FeedRunner, WaitingSink, JumpingClock]:
    sink, clock = WaitingSink(), JumpingClock()
    runner = FeedRunner(feed, sink, clock=clock, random=random.Random(1))
    if mode != feed.base_mode:
        runner.set_modes(dict.fromkeys(feed.symbols, mode))
    return runner, sink, clock


def last_of(script: Sequence[tuple[float, Instrument]]) -> dict[str, Instrument]:
    return {one.key: one for _, one in script}


def last_prices(script: Sequence[tuple[float, Instrument]]) -> dict[str, str]:
    return {key: str(one.ltp) for key, one in last_of(script).items()}


async def until_over(server: Upstox, sink: WaitingSink) -> None:
    """Waits until the market has told everything, and we have heard it."""
    await server.finished.wait()
    await sink.until(lambda: sink.last_prices() == last_prices(made_up()))


# -- getting in


@pytest.mark.parametrize(
    "one_time", [False, True], ids=["redirected with the token", "by a one-time address"]
)
@pytest.mark.parametrize("version", [UpstoxFeed, UpstoxV2Feed])
async def test_a_served_market_ends_with_its_last_values(
    version: type[UpstoxFeed] | type[UpstoxV2Feed], one_time: bool
) -> None:
    async with Upstox(speed=FAST) as server:
        runner, sink, _ = follow(server, version=version, one_time=one_time)
        async with running(runner):
            await until_over(server, sink)
    assert sink.state_names == ["connecting", "live"] and not runner.bad_frames
    assert server.authorizations == [f"Bearer {TOKEN}"]
    quotes = {quote.symbol: quote for quote in sink.quotes()}
    depths = {event.symbol: event for event in sink.all_events if isinstance(event, Depth)}
    for key, one in last_of(made_up()).items():
        quote = quotes[key]
        assert one.day is not None and quote.as_of.timestamp() == one.ltt / 1000
        assert [quote.open, quote.high, quote.low] == [Decimal(str(figure)) for figure in one.day[:3]]
        assert quote.volume == (None if one.is_index else one.vtt)
        assert (quote.greeks is not None) == (key == OPTION)
        if not one.is_index:
            assert depths[key].bids == tuple((Decimal(str(p)), Decimal(q)) for p, q in one.bids[:5])
            assert depths[key].asks == tuple((Decimal(str(p)), Decimal(q)) for p, q in one.asks[:5])


async def test_a_one_time_address_is_opened_without_the_token() -> None:
    async with HeaderKeeper(speed=FAST) as server:
        runner, sink, _ = follow(server, one_time=True)
        async with running(runner):
            await sink.until(sink.quotes)
    assert server.brought == [None]


async def test_every_connection_has_an_address_of_its_own() -> None:
    async with Upstox(speed=FAST, fault="disconnect:5") as server:
        runner, sink, _ = follow(server, one_time=True)
        async with running(runner):
            await until_over(server, sink)
    assert server.http_requests == [f"{V3}/authorize"] * 2
    assert sink.state_names == ["connecting", "live", "recovering", "live"]


async def test_an_address_that_is_too_old_is_asked_for_again() -> None:
    async with Upstox(speed=FAST, fault="expired-code:2") as server:
        runner, sink, clock = follow(server, one_time=True)
        async with running(runner):
            await until_over(server, sink)
    assert len(server.http_requests) == 3 and len(clock.sleeps) == 2


@pytest.mark.parametrize("one_time", [False, True])
async def test_a_token_of_yesterday_stops_the_feed_with_one_clear_line(
    one_time: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with Upstox() as server:
        runner, sink, clock = follow(server, token="yesterday", one_time=one_time)
        await runner.run()
    assert sink.states[-1][0] == "failed" and len(server.authorizations) == 1 and clock.sleeps == []
    assert "401" in sink.states[-1][1] and "renew it" in sink.states[-1][1]
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    assert "yesterday" not in caplog.text


async def test_a_forbidden_account_stops_the_feed() -> None:
    async with Upstox(fault="http:403") as server:
        runner, sink, _ = follow(server)
        await runner.run()
    assert sink.states[-1] == ("failed", "the vendor answered the handshake with 403")


@pytest.mark.parametrize(
    "says",
    [
        "{}",
        "[",
        '{"data":{}}',
        '{"data":{"authorized_redirect_uri":"https://secret-code"}}',
        '{"data":{"authorized_redirect_uri":"wss://127.0.0.1/feeds?code=secret#part"}}',
        '{"data":{"authorized_redirect_uri":"wss://127.0.0.1:99999/feeds?code=secret"}}',
    ],
)
async def test_an_answer_that_is_no_address_is_tried_again_and_not_repeated(
    says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Confused() as server:
        server.says = says
        runner, sink, clock = follow(server, one_time=True)
        async with running(runner):
            await clock.until_slept(2)
    assert sink.states[-1][0] == "recovering" and "expected an authorized" in sink.states[-1][1]
    assert "secret" not in str(sink.states) + caplog.text


# -- following


async def test_markets_are_told_before_anything_is_followed() -> None:
    async with Upstox(segments={"NSE_EQ": OPEN, "MCX_FO": CLOSED}) as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await sink.until(sink.quotes)
    statuses = [event for event in sink.all_events if isinstance(event, MarketStatus)]
    assert [(one.market, one.phase) for one in sorted(statuses, key=lambda one: one.market)] == [
        ("MCX_FO", "closed"),
        ("NSE_EQ", "open"),
    ]


async def test_symbols_and_modes_change_on_the_open_connection() -> None:
    async with Upstox(speed=20) as server:
        runner, sink, _ = follow(server, STOCK, mode="ltpc")
        async with running(runner):
            await sink.until(sink.quotes)
            runner.set_modes({STOCK: "full_d30"})
            await sink.until(
                lambda: any(isinstance(event, Depth) and len(event.bids) == 30 for event in sink.all_events)
            )
            runner.add_symbols([INDEX])
            await sink.until(lambda: INDEX in sink.last_prices())
            runner.remove_symbols([STOCK])
            await sink.until(lambda: len(server.requests) == 4)
    assert server.connections == 1
    assert all(isinstance(frame, bytes) for frame in server.received)
    assert [(one["method"], one["data"]) for one in server.requests] == [
        ("sub", {"instrumentKeys": [STOCK], "mode": "ltpc"}),
        ("change_mode", {"instrumentKeys": [STOCK], "mode": "full_d30"}),
        ("sub", {"instrumentKeys": [INDEX], "mode": "ltpc"}),
        ("unsub", {"instrumentKeys": [STOCK]}),
    ]
    assert len({one["guid"] for one in server.requests}) == 4


async def test_a_key_that_is_never_answered_harms_no_other() -> None:
    async with Upstox(speed=FAST) as server:
        runner, sink, _ = follow(server, "NSE_EQ|NOPE", *KEYS)
        async with running(runner):
            await until_over(server, sink)
    assert sink.state_names == ["connecting", "live"] and runner.refused == {}


async def test_a_key_that_is_refused_in_text_is_told_with_its_reason() -> None:
    async with Upstox(speed=FAST, fault="complain") as server:
        runner, sink, _ = follow(server, "NSE_EQ|NOPE", *KEYS)
        async with running(runner):
            await until_over(server, sink)
    assert runner.refused == {"NSE_EQ|NOPE": "NSE_EQ|NOPE is not a valid instrument key"}
    assert [event for event in sink.all_events if isinstance(event, Refused)]


async def test_an_account_without_plus_gets_five_levels() -> None:
    async with Upstox(speed=FAST, fault="no-plus") as server:
        runner, sink, _ = follow(server, mode="full_d30")
        async with running(runner):
            await until_over(server, sink)
    assert max(len(event.bids) for event in sink.all_events if isinstance(event, Depth)) == 5
    assert "full_d30" not in runner.feed.modes


# -- losing the connection


async def test_a_cut_connection_is_followed_by_another_and_never_by_two() -> None:
    async with Upstox(speed=FAST, fault="disconnect:7") as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await until_over(server, sink)
    assert sink.state_names == ["connecting", "live", "recovering", "live"]
    assert (server.connections, server.most_open) == (2, 1)
    first, second = server.requests
    assert first["data"] == second["data"] and first["guid"] != second["guid"]


@pytest.mark.parametrize(
    ("fault", "setting"), [("mute:3", "OPEN_MARKET_SECONDS"), ("mute:0", "FIRST_FRAME_SECONDS")]
)
async def test_a_mute_vendor_is_left_and_tried_again(
    fault: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstox, setting, 0.5)
    async with Upstox(speed=FAST, fault=fault) as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await sink.until(lambda: server.connections == 2 and sink.quotes())
            await sink.until(lambda: sink.state_names[-1] == "live")
    assert "silent" in sink.state_names


@pytest.mark.parametrize("status", [OPEN, CLOSED])
async def test_once_the_markets_are_known_silence_may_be_longer(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstox, "FIRST_FRAME_SECONDS", 0.3)
    async with Upstox(made_up([OPTION], 3), segments={"NSE_FO": status}, speed=1) as server:
        runner, sink, _ = follow(server, OPTION)
        async with running(runner):
            await sink.until(lambda: len(sink.quotes()) == 3)  # half a second apart
    assert sink.state_names == ["connecting", "live"] and server.connections == 1


async def test_a_slow_vendor_is_listened_to() -> None:
    script = made_up(count=20)
    async with Upstox(script, speed=FAST, fault="slow:100") as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await sink.until(lambda: sink.last_prices() == last_prices(script))
    assert sink.state_names == ["connecting", "live"]


async def test_garbage_between_frames_is_skipped() -> None:
    async with Upstox(speed=FAST, fault="garbage:3") as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await until_over(server, sink)
    assert sink.state_names == ["connecting", "live"]
    assert {"not_protobuf", "not_json", "empty", "bad_number"} <= set(runner.bad_frames)


async def test_who_is_replaced_by_a_newer_connection_does_not_return_at_once() -> None:
    async with Upstox(fault="drop-older") as server:
        runner, sink, clock = follow(server)
        async with running(runner):
            await sink.until(sink.quotes)
            newer, newer_sink, _ = follow(server)
            async with running(newer):
                await newer_sink.until(newer_sink.quotes)
                await clock.until_slept(1)
    assert clock.sleeps[0] >= 30
    assert any("1008" in reason for _, reason in sink.states)


async def test_who_is_one_too_many_waits() -> None:
    async with Upstox(fault="refuse-newer") as server:
        runner, sink, _ = follow(server)
        async with running(runner):
            await sink.until(sink.quotes)
            newer, newer_sink, clock = follow(server)
            async with running(newer):
                await clock.until_slept(2)
        assert sink.state_names == ["connecting", "live"]
    assert all(seconds >= 30 for seconds in clock.sleeps) and newer_sink.quotes() == []


# -- the account


def account(server: Upstox, *, one_time: bool = False) -> UpstoxPortfolioFeed:
    return UpstoxPortfolioFeed(
        url=server.url + PORTFOLIO + UPDATE_TYPES,
        token=TOKEN,
        authorize_url=f"{server.http_url}{PORTFOLIO}/authorize{UPDATE_TYPES}" if one_time else "",
    )


@pytest.mark.parametrize("one_time", [False, True])
async def test_the_account_is_told_in_its_order(one_time: bool) -> None:
    async with Upstox() as server:
        runner, sink, _ = run(account(server, one_time=one_time))
        async with running(runner):
            await sink.until(lambda: len(sink.all_events) == len(UPDATES))
            server.tell([FILLED])
            await sink.until(lambda: len(sink.all_events) == len(UPDATES) + 1)
    events = [event for event in sink.all_events if isinstance(event, AccountEvent)]
    assert [event.kind for event in events] == ["order", "order", "position", "holding", "gtt", "order"]
    assert [event.details["status"] for event in events if event.kind == "order"] == [
        "open",
        "complete",
        "complete",
    ]
    assert server.requests == []


async def test_an_account_in_which_nothing_happens_is_live() -> None:
    async with Upstox(updates=()) as server:
        runner, sink, _ = run(account(server))
        async with running(runner):
            await sink.until(lambda: sink.states)
            await sink.until(lambda: sink.state_names[-1] == "live")
    assert sink.all_events == []


async def test_an_account_is_told_of_no_more_than_it_asks_for() -> None:
    async with Upstox() as server:
        feed = UpstoxPortfolioFeed(url=f"{server.url}{PORTFOLIO}?update_types=position", token=TOKEN)
        runner, sink, _ = run(feed)
        async with running(runner):
            await sink.until(lambda: sink.all_events)
    assert [event.kind for event in sink.all_events if isinstance(event, AccountEvent)] == ["position"]


async def test_no_token_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "personal_finance")
    async with Upstox(token="very-secret", fault="disconnect:3") as server:
        runner, sink, _ = follow(server, token="very-secret", one_time=True)
        async with running(runner):
            await sink.until(lambda: server.connections == 2)
    assert "very-secret" not in caplog.text and "code=" not in caplog.text
