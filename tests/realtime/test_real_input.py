"""Real input, end to end: a recorded exchange in, a whole running system, and what a plain client sees of it.

The system is up before its vendor is, so that the client watches from the first frame on. The recorded session runs
where the setting COINBASE_RECORDING names it; a made-up one of the same shapes always.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Http, Socket
from tests.live import LiveSystem
from tests.vendors.frames import Frames, last_prices, made_up, read_frames, rebuilt_books, write_frames
from tests.vendors.process import exchange, reserved_port

RECORDING = os.environ.get("COINBASE_RECORDING", "")


@pytest.fixture
def port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


@pytest.fixture(params=["made up", "recorded"])
def session(request: pytest.FixtureRequest) -> Frames:
    if request.param == "made up":
        return made_up(["ABC-USD", "DEF-EUR", "GHI-GBP"], 1000)
    if not RECORDING:
        pytest.skip("left out: COINBASE_RECORDING names no recording")
    return read_frames(Path(RECORDING))


def is_in_order(seen: list[Any], whole: list[Any]) -> bool:
    """Returns whether `seen` is `whole` with some left out."""
    rest = iter(whole)
    return all(value in rest for value in seen)


def test_a_client_sees_the_prices_of_a_session_in_order_to_the_last(
    live_system: Callable[..., LiveSystem], session: Frames, port: int, tmp_path: Path
) -> None:
    expected = {product: Decimal(price) for product, price in last_prices(session).items()}
    # The same price may have been there before: the last one is the one of the last ticker's time.
    tickers = [message for _, frame in session if (message := json.loads(frame))["type"] == "ticker"]
    ends = {ticker["product_id"]: (Decimal(ticker["price"]), ticker["time"]) for ticker in tickers}
    system = live_system(
        env={"COINBASE_WEBSOCKET_URL": f"ws://127.0.0.1:{port}", "COINBASE_PRODUCTS": ",".join(expected)},
        args=["--source", "coinbase"],
        fresh=True,
    )
    try:
        http = Http(system.url).login("demo", "demo")
        with Socket.open(
            system.websocket_url, origin=system.url, headers={"Cookie": http.cookie_header}
        ) as client:
            client.subscribe(*expected, mode="full", status="pending")

            def has_all() -> bool:
                seen = {data["symbol"]: (data["price"], data["as_of"]) for data in client.updates()}
                return seen == ends

            with exchange(port, write_frames(tmp_path / "session.tsv", session)):
                # Its length, the back-off of a vendor that was not there, and as much again for a busy machine.
                read_until(client, has_all, 100, f"the last prices {ends}")
                check_order(client, session)
                check_depth(client, session)
                check_quotes(http, expected)
    finally:
        system.stop()


def read_until(client: Socket, condition: Callable[[], bool], within: float, what: str) -> None:
    """Reads what comes, without asking for anything, until it fits."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"expected {what}, were {client.updates()[-5:]}"
        with suppress(TimeoutError):
            client.receive(0.5)


def check_order(client: Socket, session: Frames) -> None:
    tickers = [message for _, frame in session if (message := json.loads(frame))["type"] == "ticker"]
    for product in last_prices(session):
        recorded = [Decimal(ticker["price"]) for ticker in tickers if ticker["product_id"] == product]
        updates = [data for data in client.updates(product) if data["price"] is not None]
        # A frame that repeats the last price (a changed book, a confirmation) is no new one.
        seen = [
            data["price"]
            for i, data in enumerate(updates)
            if i == 0 or updates[i - 1]["as_of"] != data["as_of"]
        ]
        assert is_in_order(seen, recorded), (product, seen, recorded)
        by_epoch = [(data["epoch"], data["seq"]) if "epoch" in data else data["seq"] for data in updates]
        assert by_epoch == sorted(by_epoch)
        assert all(data["source"] == "coinbase" for data in updates)


def check_depth(client: Socket, session: Frames) -> None:
    """The depth on the wire is that of the books rebuilt independently; the last changes may still be on their way."""
    for product, book in rebuilt_books(session).items():
        bids, asks = ([list(level) for level in book.levels(side)[:5]] for side in ("buy", "sell"))

        def is_there(bids: Any = bids, asks: Any = asks, product: str = product) -> bool:
            data = client.updates(product)[-1]
            return bool(data["bids"] == bids and data["asks"] == asks)

        read_until(client, is_there, 60, f"the last book of {product}")


def check_quotes(http: Http, expected: dict[str, Decimal]) -> None:
    for product, price in expected.items():
        asset = http.get(f"/api/assets/{product}/").json
        assert Decimal(str(asset["price"])) == price
        assert asset["currency"] == product.rpartition("-")[2]
