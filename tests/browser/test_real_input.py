"""Real input on a screen: the last prices of a recorded session, as a person at the dashboard sees them."""

import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Person, api
from tests.browser.test_dashboard import last
from tests.live import LiveSystem
from tests.vendors.frames import Frames, last_prices, made_up, read_frames, write_frames
from tests.vendors.process import exchange, reserved_port

pytestmark = pytest.mark.browser

RECORDING = os.environ.get("COINBASE_RECORDING", "")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


@pytest.fixture(scope="module", params=["made up", "recorded"])
def session(request: pytest.FixtureRequest) -> Frames:
    if request.param == "made up":
        return made_up(["ABC-USD", "DEF-EUR", "GHI-GBP"], 1000)
    if not RECORDING:
        pytest.skip("left out: COINBASE_RECORDING names no recording")
    return read_frames(Path(RECORDING))


@pytest.fixture(scope="module")
def system(live_system: Callable[..., LiveSystem], session: Frames, port: int) -> Iterator[LiveSystem]:
    system = live_system(
        env={
            "COINBASE_WEBSOCKET_URL": f"ws://127.0.0.1:{port}",
            "COINBASE_PRODUCTS": ",".join(last_prices(session)),
        },
        args=["--source", "coinbase"],
        fresh=True,
    )
    yield system
    system.stop()


def test_the_last_prices_of_a_session_are_on_the_screen(
    person: Person, session: Frames, port: int, tmp_path: Path
) -> None:
    page = person.dashboard()
    for product in last_prices(session):
        api(page, "POST", "/api/watchlist/", {"symbol": product})
    page.reload()
    with exchange(port, write_frames(tmp_path / "session.tsv", session)) as wait_for_the_end:
        wait_for_the_end()
        for product, price in last_prices(session).items():
            # As many digits as the vendor gives, whatever the page adds behind or between them.
            shown = f"{Decimal(price):,}".rstrip("0")
            expect(last(page, product)).to_contain_text(shown, timeout=60_000)
