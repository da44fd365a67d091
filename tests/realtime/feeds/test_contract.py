"""What every feed must do, asked of each entry in `entries/`; and of those with a socket, against a real server.

See `contract.Entry` for what a feed brings.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect

from assets.market import BidAsk, Book, Depth, Quote, Trade, parse_decimal
from realtime.feeds.base import UNREADABLE, Feed, FeedError, FrameError, Refused, SocketWire, frame_error
from realtime.feeds.runner import FeedRunner
from tests.realtime.feeds.contract import Entry, entries, is_bad
from tests.realtime.feeds.fakes import JumpingClock, WaitingSink
from tests.realtime.feeds.test_runner import running
from tests.vendors.server import VendorServer

ENTRIES = entries()


def each(condition: Callable[[Entry], object] = lambda entry: True) -> pytest.MarkDecorator:
    """Every entry of which that is so."""
    chosen = [pytest.param(entry, id=entry.name) for entry in ENTRIES if condition(entry)]
    return pytest.mark.parametrize("entry", chosen)


every_feed = each()
every_socket = each(lambda entry: entry.serve is not None)
every_market = each(lambda entry: entry.symbols)
every_market_socket = each(lambda entry: entry.serve is not None and entry.symbols)


def test_every_vendor_has_an_entry() -> None:
    """A file of `realtime/feeds` that holds a stream and is not in the suite has never been asked anything."""
    classes = {type(entry.make()).__module__ for entry in ENTRIES}
    folder = Path(__file__).parents[3] / "realtime/feeds"
    streams = {
        f"realtime.feeds.{path.stem}" for path in folder.glob("*.py") if "Feed(Feed):" in path.read_text()
    }
    assert streams - {"realtime.feeds.unavailable"} <= classes


# -- frames in, values out


def told(feed: Feed, frame: bytes) -> list[object]:
    """What a frame says, a living book as it is now."""
    return [event.top(5) if isinstance(event, Book) else event for event in feed.decode(frame)]


@every_feed
def test_a_frame_says_exactly_what_its_vendor_means(entry: Entry) -> None:
    feed = entry.opened()
    for frame, events in entry.told:
        assert told(feed, frame) == list(events)


@every_feed
def test_a_session_gives_positive_prices_with_times_for_its_symbols(entry: Entry) -> None:
    feed = entry.opened()
    events = [event for frame in entry.frames for event in feed.decode(frame)]
    prices = [event for event in events if isinstance(event, Quote | Trade)]
    assert all(event.price > 0 and event.as_of.tzinfo is not None for event in prices)
    kinds = Quote | Trade | BidAsk | Depth | Book
    assert {event.symbol for event in events if isinstance(event, kinds)} <= set(entry.symbols)
    assert entry.prices(events)
    assert not entry.last or entry.prices(events) == entry.last


@every_feed
def test_the_same_frames_give_the_same_values(entry: Entry) -> None:
    first, second = entry.opened(), entry.opened()
    assert [told(first, frame) for frame in entry.frames] == [told(second, frame) for frame in entry.frames]


@every_feed
def test_a_new_connection_begins_with_nothing_of_the_last(entry: Entry) -> None:
    feed = entry.opened()
    once = [told(feed, frame) for frame in entry.frames]
    feed.opened(dict.fromkeys(entry.symbols, feed.base_mode))
    assert [told(feed, frame) for frame in entry.frames] == once


@every_feed
def test_a_frame_of_nonsense_is_a_frame_error_and_the_next_one_is_read(entry: Entry) -> None:
    for frame in entry.nonsense:
        feed = entry.opened()
        assert is_bad(feed, frame), frame[:50]
        assert any(feed.decode(good) for good in entry.frames)


@every_feed
def test_a_truncated_frame_never_gives_a_value_or_another_error(entry: Entry) -> None:
    dice = random.Random(5)
    feed = entry.opened()
    for frame in entry.frames[:100]:
        cut = frame[: dice.randrange(len(frame))]
        try:
            events = feed.decode(cut)
        except FrameError:
            continue
        assert entry.part_of_a_frame_speaks or events == []


@every_feed
def test_a_kind_of_frame_that_it_does_not_know_says_nothing(entry: Entry) -> None:
    for frame in entry.unknown:
        assert entry.opened().decode(frame) == [], frame


@every_feed
def test_it_asks_in_its_vendors_words(entry: Entry) -> None:
    for ask, frames in entry.asks:
        feed = entry.opened()
        assert [entry.read_request(frame) for frame in ask(feed)] == list(frames)


@every_market
def test_symbols_and_modes_change_without_a_connection_of_their_own(entry: Entry) -> None:
    feed = entry.opened()
    wants = {
        entry.symbols[0]: max(feed.modes, key=["ltpc", "quote", "full", "option_greeks", "full_d30"].index)
    }
    frames = [
        *feed.unsubscribe([entry.symbols[0]]),
        *feed.subscribe({entry.symbols[0]: feed.base_mode}),
        *feed.change_mode(wants),
    ]
    assert all(isinstance(frame, bytes if entry.binary_requests else str) for frame in frames)
    assert [*feed.unsubscribe([]), *feed.subscribe({}), *feed.change_mode({})] == []
    assert feed.base_mode in feed.modes


# -- against the loopback vendor


class Followed:
    """A feed that runs against a loopback vendor, until the block ends."""

    def __init__(self, entry: Entry, server: VendorServer[Any], feed: Feed) -> None:
        self.entry = entry
        self.server = server
        self.feed = feed
        self.sink, self.clock = WaitingSink(), JumpingClock()
        self.runner = FeedRunner(feed, self.sink, clock=self.clock, random=random.Random(1))

    @property
    def prices(self) -> dict[str, str]:
        return self.entry.prices(self.sink.all_events)

    async def until_priced(self, *symbols: str) -> None:
        """Waits for the session's last prices of these symbols, or of all."""
        wanted = {symbol: self.entry.last[symbol] for symbol in symbols} or self.entry.last
        await self.sink.until(lambda: wanted.items() <= self.prices.items())

    async def until_connected(self, times: int) -> None:
        await self.server.until(lambda: self.server.connections == times)

    async def until_followed(self, *symbols: str) -> None:
        """Waits until the vendor has been asked for these, on the newest connection."""
        wanted = set(symbols)
        await self.server.until(
            lambda: self.server.conversations and self.entry.followed(self.server.conversations[-1]) == wanted
        )


@asynccontextmanager
async def served(
    entry: Entry, fault: str = "", *symbols: str, silence_after: float | None = None
) -> AsyncIterator[Followed]:
    assert entry.serve is not None
    async with entry.serve(fault) as server:
        feed = entry.make(server.url, symbols or entry.symbols)
        if silence_after is not None:
            feed.silence_after = silence_after
        yield Followed(entry, server, feed)


@every_socket
@pytest.mark.asyncio
async def test_a_served_session_ends_with_its_last_prices(entry: Entry) -> None:
    async with served(entry) as it:
        async with running(it.runner):
            await it.until_priced()
            await it.until_followed(*entry.symbols)
    assert it.sink.state_names == ["connecting", "live"]
    assert not it.runner.bad_frames


@every_socket
@pytest.mark.asyncio
async def test_a_cut_connection_recovers_subscribes_again_and_ends_at_the_same_prices(entry: Entry) -> None:
    async with served(entry, f"disconnect:{entry.frames_before_data + 2}") as it:
        async with running(it.runner):
            await it.sink.until(lambda: it.sink.state_names == ["connecting", "live", "recovering", "live"])
            await it.until_priced()
            await it.until_followed(*entry.symbols)
    assert it.server.connections == 2


@every_socket
@pytest.mark.asyncio
async def test_a_vendor_that_closes_in_order_is_returned_to_as_well(entry: Entry) -> None:
    async with served(entry, f"close:1000:{entry.frames_before_data + 2}") as it:
        async with running(it.runner):
            await it.sink.until(lambda: it.sink.state_names == ["connecting", "live", "recovering", "live"])
            await it.until_priced()


@every_socket
@pytest.mark.asyncio
async def test_garbage_between_frames_is_skipped(entry: Entry) -> None:
    async with served(entry, "garbage:2") as it:
        async with running(it.runner):
            await it.until_priced()
    assert it.sink.state_names == ["connecting", "live"]
    assert it.runner.bad_frames or not entry.garbage_is_counted


@every_socket
@pytest.mark.asyncio
async def test_a_vendor_that_falls_silent_is_left_and_tried_again(entry: Entry) -> None:
    async with served(entry, f"mute:{entry.frames_before_data + 1}", silence_after=0.5) as it:
        async with running(it.runner):
            await it.until_priced()
    assert "silent" in it.sink.state_names and it.sink.state_names[-1] == "live"


@every_socket
@pytest.mark.asyncio
async def test_a_vendor_that_never_says_a_word_is_left_and_tried_again(entry: Entry) -> None:
    async with served(entry, "silent", silence_after=0.1) as it:
        async with running(it.runner):
            await it.clock.until_slept(2)
    assert "silent" in it.sink.state_names and not it.prices


@every_socket
@pytest.mark.asyncio
async def test_a_slow_vendor_is_waited_for(entry: Entry) -> None:
    async with served(entry, "slow:100", silence_after=5) as it:
        async with running(it.runner):
            await it.sink.until(lambda: it.prices)
    assert it.sink.state_names == ["connecting", "live"]


@each(lambda entry: entry.refusal is not None)
@pytest.mark.asyncio
async def test_a_refused_key_stops_the_feed_for_good(entry: Entry, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "personal_finance")
    async with served(entry, "refuse-auth") as it:
        async with asyncio.timeout(30):
            await it.runner.run()
        assert it.server.connections <= 1
    assert it.sink.states[-1][0] == "failed"
    assert entry.refusal is not None and entry.refusal in it.sink.states[-1][1]
    said = caplog.text + repr(it.sink.states) + repr(it.feed)
    assert not [secret for secret in entry.secrets if secret in said]


@every_socket
@pytest.mark.asyncio
async def test_a_refused_handshake_stops_the_feed_for_good(entry: Entry) -> None:
    for status in entry.permanent:
        async with served(entry, f"http:{status}") as it:
            async with asyncio.timeout(30):
                await it.runner.run()
            assert it.server.connections + len(it.server.http_requests) == 1
        assert it.sink.states[-1][0] == "failed" and str(status) in it.sink.states[-1][1]


@every_socket
@pytest.mark.asyncio
async def test_a_vendor_that_says_429_is_left_alone_for_as_long_as_it_says(entry: Entry) -> None:
    async with served(entry, "http:429:90") as it:
        async with running(it.runner):
            await it.clock.until_slept(2)
    assert all(seconds >= 90 for seconds in it.clock.sleeps)
    assert it.sink.states[-1][0] == "recovering" and "429" in it.sink.states[-1][1]


@each(lambda entry: entry.bad)
@pytest.mark.asyncio
async def test_one_bad_symbol_harms_no_other(entry: Entry) -> None:
    bad, good = list(entry.bad), list(entry.symbols)
    # Wherever it stands.
    mixed = [*bad[:1], *good[:1], *bad[1:], *good[1:]]
    refused = {symbol: reason for symbol, reason in entry.bad.items() if reason is not None}
    async with served(entry, "", *mixed) as it:
        async with running(it.runner):
            await it.until_priced()
            await it.sink.until(lambda: refused.keys() <= it.runner.refused.keys())
    assert it.runner.refused.keys() == refused.keys()
    assert all(reason in it.runner.refused[symbol] for symbol, reason in refused.items())
    assert it.runner.symbols == tuple(symbol for symbol in mixed if symbol not in refused)
    assert not entry.bad.keys() & it.prices.keys()
    assert {s for e in it.sink.all_events if isinstance(e, Refused) for s in e.symbols} == refused.keys()
    assert "recovering" not in it.sink.state_names


@every_market_socket
@pytest.mark.asyncio
async def test_symbols_come_and_go_on_an_open_connection(entry: Entry) -> None:
    first, second = entry.symbols[:2]
    async with served(entry, "", first) as it:
        async with running(it.runner):
            await it.sink.until(lambda: first in it.prices)
            it.runner.add_symbols([second])
            await it.until_followed(first, second)
            it.runner.remove_symbols([first])
            await it.until_followed(second)
        assert it.server.connections == 1


@every_socket
@pytest.mark.asyncio
async def test_a_vendor_of_one_connection_never_sees_two_of_ours(entry: Entry) -> None:
    async with served(entry, "drop-older", *entry.symbols[:1]) as it:
        async with running(it.runner):
            await it.sink.until(lambda: it.prices)
            it.runner.add_symbols(entry.symbols[1:2])
            await it.until_followed(*entry.symbols[:2])
            for connections in (2, 3):
                it.server.disconnect_all()
                await it.until_connected(connections)
                await it.until_followed(*entry.symbols[:2])
        assert it.server.most_open == 1


@every_socket
@pytest.mark.asyncio
async def test_a_feed_that_a_newer_connection_pushed_out_does_not_push_back_at_once(entry: Entry) -> None:
    async with served(entry, "drop-older") as it:
        async with running(it.runner):
            await it.sink.until(lambda: it.prices)
            async with connect(await address(it.feed), proxy=None):
                await it.sink.until(lambda: "recovering" in it.sink.state_names)
                await it.clock.until_slept(1)
    assert it.clock.sleeps[0] >= entry.pushed_out_waits


async def address(feed: Feed) -> str:
    wire = getattr(feed.wire(), "wire", feed.wire())  # of a wire that asks or pings over another one
    assert isinstance(wire, SocketWire)
    return wire.url if isinstance(wire.url, str) else await wire.url()


@every_socket
@pytest.mark.asyncio
async def test_an_address_that_is_none_stops_the_feed_for_good(entry: Entry) -> None:
    for url in entry.wrong_urls:
        sink = WaitingSink()
        runner = FeedRunner(entry.make(url, entry.symbols), sink, clock=JumpingClock())
        async with asyncio.timeout(30):
            await runner.run()
        assert sink.states[-1][0] == "failed" and "expected a" in sink.states[-1][1], url


@every_socket
@pytest.mark.asyncio
async def test_a_vendor_that_is_not_there_is_tried_again(entry: Entry) -> None:
    sink, clock = WaitingSink(), JumpingClock()
    runner = FeedRunner(entry.make(entry.nowhere, entry.symbols), sink, clock=clock)
    async with running(runner):
        await clock.until_slept(3)
    assert sink.state_names == ["connecting", "recovering"]


@pytest.mark.parametrize(
    ("read", "kind", "words"),
    [
        (lambda: msgspec.json.decode(b"{"), "not_json", "expected JSON: "),
        (lambda: msgspec.json.decode(b'"\xff"'), "not_json", "expected JSON: "),
        (lambda: msgspec.json.decode(b"[" * 100_000), "too_deep", "expected less nested JSON"),
        (lambda: parse_decimal("1e99"), "bad_number", "expected an exponent within"),
        (lambda: Decimal("x"), "bad_number", "expected a decimal"),
    ],
)
def test_what_reading_a_frame_raises_names_its_kind(
    read: Callable[[], object], kind: str, words: str
) -> None:
    with pytest.raises(UNREADABLE) as caught:
        read()
    error = frame_error(caught.value)
    assert error.kind == kind and str(error).startswith(words)


def test_a_feed_error_is_temporary_unless_it_says_otherwise() -> None:
    assert not FeedError("lost").permanent
