"""The code samples of the WebSocket guide, as they are printed, against a running system.

`guide/` holds their text with the guide's lost indentation put back. Only the address and the portfolio's id are
this system's. The class leaves two methods to its user, and its user subscribes once the socket is open.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, api, wait_for
from tests.live import PATIENCE, LiveSystem, wait_until

pytestmark = pytest.mark.browser

GUIDE = Path(__file__).with_name("guide")
ROOT = Path(__file__).resolve().parent.parent.parent
ESBUILD = ROOT / "node_modules" / ".bin" / "esbuild"
PRINTED_ADDRESS = "ws://localhost:8000/ws/realtime/"

USE_THE_CLASS = """
window.prices = [];
window.values = [];
class MyClient extends SimpleWebSocketClient {
  updateAssetPrice(data) { window.prices.push(data); }
  updatePortfolioValue(data) { window.values.push(data); }
}
const client = new MyClient(ADDRESS);
client.connect();
client.socket.addEventListener('open', () => {
  client.subscribeToAsset('AAPL');
  client.subscribeToPortfolio(PORTFOLIO);
});
"""


def portfolio_of(page: Page) -> int:
    return int(api(page, "GET", "/api/portfolios/")["results"][0]["id"])


@pytest.mark.parametrize("name", ["simple_client.js", "portfolio_tracker.jsx"])
def test_the_sample_is_the_guide_s_text(name: str) -> None:
    guide = os.environ.get("LIVEFOLIO_GUIDE")
    if not guide:
        pytest.skip("LIVEFOLIO_GUIDE names no copy of the guide")
    assert "".join((GUIDE / name).read_text().split()) in "".join(Path(guide).read_text().split())


def test_the_class_receives_prices_and_portfolio_values(person: Person, system: LiveSystem) -> None:
    page = person.page()
    page.goto("/realtime/test/")
    use = USE_THE_CLASS.replace("ADDRESS", json.dumps(system.websocket_url))
    use = use.replace("PORTFOLIO", str(portfolio_of(page)))
    # Run by the debugger and not by the page, whose policy stops inline scripts.
    page.evaluate(f"() => {{ {(GUIDE / 'simple_client.js').read_text()} {use} }}")
    wait_for(page, "window.prices.length >= 3 && window.values.length >= 2")
    price, value = page.evaluate("[window.prices.at(-1), window.values.at(-1)]")
    assert price["symbol"] == "AAPL"
    for field in ("price", "change", "change_percent", "volume", "high", "low"):
        assert isinstance(price[field], int | float), field
    for field in ("total_value", "daily_change", "daily_change_percent"):
        assert isinstance(value[field], int | float), field
    assert value["name"]


@pytest.fixture
def tracker(system: LiveSystem, tmp_path: Path) -> str:
    """The React sample with the pinned React, built into one script."""
    if not ESBUILD.exists():
        pytest.skip("esbuild is not installed: npm ci")
    sample = (GUIDE / "portfolio_tracker.jsx").read_text()
    assert PRINTED_ADDRESS in sample
    sample = sample.replace(PRINTED_ADDRESS, system.websocket_url) + "\nexport { PortfolioTracker };\n"
    (tmp_path / "guide.jsx").write_text(sample)
    command = [
        str(ESBUILD),
        str(GUIDE / "mount.jsx"),
        "--bundle",
        "--jsx=automatic",
        "--format=iife",
        '--define:process.env.NODE_ENV="development"',
        f"--alias:guide={tmp_path / 'guide.jsx'}",
        f"--outfile={tmp_path / 'bundle.js'}",
        "--log-level=warning",
    ]
    environment = {**os.environ, "NODE_PATH": str(ROOT / "node_modules")}
    subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=60)
    return (tmp_path / "bundle.js").read_text()


def test_the_react_hook_shows_a_live_portfolio(person: Person, tracker: str) -> None:
    page = person.page()
    page.goto("/realtime/test/")
    portfolio = portfolio_of(page)
    page.evaluate(f"() => {{ {tracker} }}")
    page.evaluate("id => window.mountTracker(id)", portfolio)
    expect(page.locator("#tracker")).to_contain_text("Status: Connected")
    heading = page.locator("#tracker h3")
    expect(heading).to_have_text(re.compile(r"^Portfolio Value: \$?[1-9]\d*\.\d\d$"))
    before = heading.inner_text()
    expect(heading).not_to_have_text(before)


def test_the_guide_s_paths_answer_in_its_shapes(person: Person, system: LiveSystem) -> None:
    page = person.page()
    page.goto("/realtime/test/")
    info = api(page, "GET", "/realtime/websocket-info/")
    assert info["websocket_url"] == system.websocket_url
    assert info["connection_info"]["protocol"] == "ws"
    assert info["connection_info"]["path"] == "/ws/realtime/"
    assert info["connection_info"]["authentication"] == "session-based"
    assert {"ping", "subscribe_asset"} <= info["message_types"].keys()
    wait_until(
        lambda: api(page, "GET", "/realtime/status/")["service_status"] == "running", PATIENCE, "a feed"
    )
    status = api(page, "GET", "/realtime/status/")
    assert status["user_stats"].keys() >= {"connection_count", "subscriptions"}
    assert status["user_stats"]["subscriptions"].keys() == {"portfolios", "assets"}
    wait_until(
        lambda: api(page, "GET", "/realtime/health/")["price_feed_running"] is True, PATIENCE, "a feed"
    )
    health = api(page, "GET", "/realtime/health/")
    assert health.keys() >= {"active_connections", "timestamp"}
    job = api(page, "POST", "/api/realtime/force_price_update/", {"symbols": ["AAPL", "GOOGL", "MSFT"]})
    assert job["status_url"]
