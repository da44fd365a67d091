"""What the numbers rest on, without a clock: how often something is sent, encoded and awaited, whatever the viewers."""

import ast
import inspect
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.snapshots import connection as sync_redis
from realtime.bus import Update
from realtime.connections import Connection
from realtime.handshake import Identity
from realtime.hub import Hub
from realtime.outbox import MAX_EVENTS, Options, Outbox
from realtime.protocol import Mode, encode_quote, envelope
from realtime.topics import Topics
from tests.realtime.builders import Client, Clock, eventually, make_record
from tests.realtime.conftest import NewClient, NewHub, NewSource

SYMBOLS = [f"S{n}" for n in range(20)]
FLUSHES = 10
MODES = (Mode.LTPC, Mode.QUOTE)
ENVELOPE = envelope("feed_status", '{"source":"simulator","state":"recovering"}', frame=1_000_000)


@contextmanager
def calls(*functions: Callable[..., Any]) -> Iterator[Counter[str]]:
    """Counts the calls of functions by name, without standing in for them."""
    codes = {function.__code__: function.__name__ for function in functions}
    found: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in codes:
            found[codes[frame.f_code]] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield found
    finally:
        sys.setprofile(before)


def redis_calls(*commands: str) -> dict[str, int]:
    """How often each command came since Redis last counted anew."""
    found: Any = sync_redis().info("commandstats")
    return {command: found.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in commands}


def all_have(clients: list[Client], seq: int) -> bool:
    return all(client.has("S0", seq) for client in clients)


# --- Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("processes", [1, 2])
async def test_a_flush_is_one_write_and_one_message_to_redis_whatever_the_sockets(
    processes: int, new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    await source.tick(*SYMBOLS)
    hubs = [await new_hub() for _ in range(processes)]
    clients: list[Client] = []
    for sockets in (1, 20, 200):
        while len(clients) < sockets:
            clients.append(new_client(hubs[len(clients) % processes], batch=bool(len(clients) % 3)))
            hub = hubs[(len(clients) - 1) % processes]
            hub.subscribe(clients[-1].connection, dict.fromkeys(SYMBOLS, "quote"))
        await eventually(lambda: not any(hub._tasks for hub in hubs), "wants and snapshots to be done with")
        sync_redis().config_resetstat()

        for _ in range(FLUSHES):
            await source.tick(*SYMBOLS)
        seq = source.records["S0"].seq
        await eventually(partial(all_have, clients, seq), "the last flush everywhere")

        asked = redis_calls("publish", "evalsha", "hget", "hmget", "hgetall", "smembers")
        # The first flush after somebody wants more reads the wants again, at most once.
        assert asked.pop("smembers") <= processes
        assert asked == {
            "publish": FLUSHES,
            "evalsha": FLUSHES,
            "hget": 0,
            "hmget": 0,
            "hgetall": 0,
        }


# --- encoding --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_flush_is_encoded_once_for_each_mode_whatever_the_viewers(
    new_hub: NewHub, new_source: NewSource, new_client: NewClient
) -> None:
    source = await new_source()
    depth: Any = {"bids": (), "asks": ()}
    await source.tick(*SYMBOLS, **depth)
    hub = await new_hub()
    clients: list[Client] = []
    found = []
    for viewers in (8, 40, 200):
        while len(clients) < viewers:
            number = len(clients)
            # Half of them alike, and half each with subscriptions that nobody else has.
            symbols = SYMBOLS if number % 2 else [*SYMBOLS[:10], SYMBOLS[10 + number // 2 % 10]]
            clients.append(
                new_client(hub, batch=number % 3 == 0, numbers="string" if number % 4 == 3 else "number")
            )
            hub.subscribe(clients[-1].connection, dict.fromkeys(symbols, MODES[number // 4 % 2]))
        await eventually(lambda: not hub._tasks, "wants and snapshots to be done with")
        await source.tick(*SYMBOLS, **depth)
        seq = source.records["S0"].seq + 1
        await eventually(partial(all_have, clients, seq - 1), "the flush before")

        with calls(encode_quote) as counted:
            await source.tick(*SYMBOLS, **depth)
            await eventually(partial(all_have, clients, seq), "the flush")
        found.append(counted["encode_quote"])

    # The feed: once to store and once for each mode. The web process: once for each mode with decimals as strings.
    assert len(set(found)) == 1, "it depends on the viewers"
    assert found[0] <= len(SYMBOLS) * (1 + len(MODES) + len(MODES))


# --- nobody waits for a socket ---------------------------------------------------------------------------------------


def test_what_delivers_a_flush_cannot_wait() -> None:
    methods = [
        Hub._on_message,
        Hub._on_batch,
        Hub._deliver,
        Hub._tell,
        Hub.send_snapshots,
        Hub._check_connections,
    ]
    for kind in (Topics, Outbox, Connection):
        methods += vars(kind).values()

    assert [method for method in methods if inspect.iscoroutinefunction(method)] == []


def test_the_hubs_loops_wait_for_redis_and_the_clock_alone() -> None:
    assert awaited(Hub._listen) == {"self.bus.receive"}
    assert awaited(Hub._pulse) == {"asyncio.sleep"}
    assert all(
        name.startswith(("self._check_redis", "self.presence.", "asyncio.")) for name in awaited(Hub._tend)
    )


def awaited(function: Callable[..., Any]) -> set[str]:
    """The names of what a coroutine function awaits."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    waits = [node.value for node in ast.walk(tree) if isinstance(node, ast.Await)]
    return {ast.unparse(wait.func) if isinstance(wait, ast.Call) else ast.unparse(wait) for wait in waits}


# --- bounded memory --------------------------------------------------------------------------------------------------


@given(
    flushes=st.lists(st.sets(st.sampled_from(SYMBOLS), min_size=1), max_size=40),
    events=st.integers(0, MAX_EVENTS + 10),
    subscribed=st.sets(st.sampled_from(SYMBOLS), min_size=1),
    options=st.builds(
        Options, batch=st.booleans(), acks=st.booleans(), numbers=st.sampled_from(["number", "string"])
    ),
)
def test_a_connection_that_takes_nothing_holds_one_value_for_each_subscription_and_bounded_answers(
    flushes: list[set[str]], events: int, subscribed: set[str], options: Options
) -> None:
    topics = Topics()
    connection = Connection("c", Identity(), "10.0.0.1", Outbox(options, Clock()), 0.0)
    topics.regroup(connection, dict.fromkeys(subscribed, "quote"))
    largest = 0
    for number, symbols in enumerate(flushes, 1):
        known = symbols & subscribed
        for symbol in known:
            record = make_record(symbol, number)
            text = encode_quote(record, Mode.QUOTE)
            largest = max(largest, len(encode_quote(record, Mode.QUOTE, options.numbers)) + len(ENVELOPE))
            topics[symbol].take("simulator", 1, Update(symbol, number, {"quote": text}))
        topics.deliver(known)
        for source in ("simulator", "coinbase"):
            connection.outbox.put_status(source, ENVELOPE)
    for _ in range(events):
        connection.put_event(ENVELOPE)

    assert (connection.closing is None) == (events <= MAX_EVENTS)
    assert len(connection.outbox.events) <= MAX_EVENTS
    while connection.outbox.delay() == 0:
        connection.outbox.events.clear()
        taken = sum(len(frame) for frame in Client(connection).read())
        assert taken <= len(subscribed) * largest + 2 * len(ENVELOPE)


def test_who_leaves_before_its_mode_is_known_is_not_remembered() -> None:
    topics = Topics()
    leaving, staying = (Connection(id, Identity(), "", Outbox(Options(), Clock()), 0.0) for id in "ab")
    topics.regroup(leaving, {"S0": "full"})
    topics.regroup(staying, {"S0": "quote"})
    first, second = (
        Update("S0", seq, {"quote": encode_quote(make_record("S0", seq), "quote")}) for seq in (1, 2)
    )

    topics["S0"].take("simulator", 1, first)
    assert topics.deliver({"S0"}) == {"S0"} and topics["S0"].owed == {leaving}
    topics.regroup(leaving, {})
    topics["S0"].take("simulator", 1, second)
    assert topics.deliver({"S0"}) == set()

    assert topics["S0"].owed == set()
