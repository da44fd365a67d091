"""Redis, the feed and the web process are killed in turn: the page says so, recovers by itself and is right again."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, api, wait_for
from tests.browser.test_dashboard import last, light, text_of
from tests.live import LiveSystem

pytestmark = pytest.mark.browser

BACK_WITHIN = 60_000  # milliseconds
# A Redis that is back at once turns no light; the gap that it left is said in a note. Either may be gone at a look.
WATCH = """() => {
    window.saysSo = false;
    const look = () => {
        const state = document.querySelector('[data-view=light]').dataset.state;
        window.saysSo ||= state !== 'connected' || !!document.querySelector('[data-note=gap]');
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


@pytest.fixture(scope="module")
def system(live_system: Callable[..., LiveSystem]) -> LiveSystem:
    return live_system(fresh=True)


@pytest.mark.parametrize("role", ["feed", "web", "redis"])
def test_a_killed_process_is_noticed_and_the_page_recovers(
    person: Person, system: LiveSystem, role: str
) -> None:
    # The lost process is what the browser complains about.
    person.guard.expect("WebSocket connection|ERR_CONNECTION_|ERR_EMPTY_RESPONSE|503|500|ERR_SOCKET")
    page = person.dashboard()
    expect(light(page)).to_have_attribute("data-state", "connected")
    text_of(last(page, "AAPL"))
    page.evaluate("window.sameDocument = true")
    page.evaluate(WATCH)
    old = system.kill(role)
    wait_for(page, "window.saysSo")
    system.wait_until_restarted(role, old)
    expect(light(page)).to_have_attribute("data-state", "connected", timeout=BACK_WITHIN)
    before = text_of(last(page, "AAPL"))
    expect(last(page, "AAPL")).not_to_have_text(before, timeout=BACK_WITHIN)
    assert page.evaluate("window.sameDocument") is True
    assert_right(page)


def assert_right(page: Page) -> None:
    """The page's figure is the server's, give or take the ticks between the two looks."""
    shown = float(text_of(last(page, "MSFT")).replace(",", ""))
    actual = api(page, "GET", "/api/assets/MSFT/")["quote"]["price"]
    assert abs(shown / float(actual) - 1) < 0.01
