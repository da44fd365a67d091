"""One session of Coinbase, whichever way it comes: the same trades, books and bars live, through replay and over REST.

Two systems run it at once: one follows the loopback exchange, the other replays the file. tests/recorded_session.py
says what both must show; tests/browser/test_recorded_session.py looks at the page.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Http, Socket
from tests.live import LiveSystem, wait_until
from tests.recorded_session import TAKER, TRADES_KEPT, Bar, bars_of, best_levels, session, trades_of
from tests.vendors.frames import Frames, rebuilt_books, write_frames
from tests.vendors.process import exchange, reserved_port

# The end is looked at, and nothing on the way.
SPEED = 20

# -- what a system shows


class Shown:
    """What a client of a system is told of the session when it is over."""

    def __init__(self, system: LiveSystem) -> None:
        self.http = Http(system.url).login("demo", "demo")
        self._system = system

    def bars(self, product: str) -> list[Bar]:
        told = self.http.get(f"/api/assets/{product}/bars/?interval=1m&page_size=1000").json["results"]
        return [
            (
                datetime.fromisoformat(bar["start"]),
                *(Decimal(str(bar[name])) for name in ("open", "high", "low", "close")),
                Decimal(str(bar["volume"] or 0)),
            )
            for bar in told
        ]

    def best_levels(self, products: list[str]) -> dict[str, tuple[Any, Any]]:
        with self.connected() as client:
            client.subscribe(*products, mode="full")
            told = {product: client.update(product) for product in products}
        return {product: (data["bids"], data["asks"]) for product, data in told.items()}

    def last_trades(self, lasts: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
        """Each product's trades as somebody is told who asks for them, to the last one."""
        told: dict[str, list[dict[str, Any]]] = {product: [] for product in lasts}
        with self.connected() as client:
            client.results("subscribe_asset", {"symbols": list(lasts), "channels": ["trades"]})
            while any(
                not told[product] or told[product][-1]["trade_id"] != str(lasts[product]) for product in lasts
            ):
                trade = client.expect("trade")["data"]
                told[trade["symbol"]].append(trade)
        return told

    def connected(self) -> Socket:
        headers = {"Cookie": self.http.cookie_header}
        return Socket.open(self._system.websocket_url, origin=self._system.url, headers=headers)


@pytest.fixture(scope="module")
def frames() -> Frames:
    return session()


@pytest.fixture(scope="module")
def systems(
    new_database: Callable[[Path], dict[str, str]],
    frames: Frames,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Shown]]:
    recording = write_frames(tmp_path_factory.mktemp("session") / "session.tsv", frames)
    with ExitStack() as stack:
        port = stack.enter_context(reserved_port())
        settings = {
            "live": {
                "PRICE_FEED_SOURCES": "coinbase",
                "COINBASE_WEBSOCKET_URL": f"ws://127.0.0.1:{port}",
                "COINBASE_PRODUCTS": ",".join(rebuilt_books(frames)),
            },
            "replay": {
                "PRICE_FEED_SOURCES": "replay",
                "REPLAY_FILE": str(recording),
                "REPLAY_SPEED": str(SPEED),
            },
        }
        session_is_over = stack.enter_context(exchange(port, recording, SPEED))
        systems = {}
        for way, env in settings.items():
            folder = tmp_path_factory.mktemp(way)
            systems[way] = LiveSystem(folder, {**new_database(folder), **env}, [])
            stack.callback(systems[way].stop)
        for system in systems.values():
            system.wait_until_ready()
        session_is_over()
        yield {way: Shown(system) for way, system in systems.items()}


each_way = pytest.mark.parametrize("way", ["live", "replay"])


@each_way
def test_the_minute_bars_are_those_of_the_trades(systems: dict[str, Shown], frames: Frames, way: str) -> None:
    expected = {product: bars_of(trades) for product, trades in trades_of(frames).items()}
    told: dict[str, list[Bar]] = {}

    def are_there() -> bool:
        told.update((product, systems[way].bars(product)) for product in expected)
        return told == expected

    try:
        wait_until(are_there, 30, "the minute bars")
    except AssertionError:
        assert told == expected
        raise


@each_way
def test_the_books_end_as_an_independent_rebuild_has_them(
    systems: dict[str, Shown], frames: Frames, way: str
) -> None:
    expected = {
        product: tuple([list(level) for level in side] for side in sides)
        for product, sides in best_levels(frames).items()
    }
    wait_until(lambda: systems[way].best_levels(list(expected)) == expected, 30, "the best five levels")


@each_way
def test_the_last_trades_are_those_of_the_session_to_the_digit(
    systems: dict[str, Shown], frames: Frames, way: str
) -> None:
    made = trades_of(frames)
    told = systems[way].last_trades({product: trades[-1]["trade_id"] for product, trades in made.items()})
    for product, trades in made.items():
        numbers = [trade["number"] for trade in told[product]]
        assert numbers == list(range(numbers[0], numbers[0] + min(TRADES_KEPT, len(trades))))
        assert [
            (trade["trade_id"], trade["price"], trade["quantity"], trade["side"], trade["as_of"])
            for trade in told[product]
        ] == [
            (
                str(trade["trade_id"]),
                Decimal(trade["price"]),
                Decimal(trade["size"]),
                TAKER[trade["side"]],
                trade["time"],
            )
            for trade in trades[-TRADES_KEPT:]
        ]
