"""A real Chromium, signed in to a running system. A test fails when its page logs an error or breaks the policy."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.live import PATIENCE, LiveSystem

expect.set_options(timeout=1000 * PATIENCE)

# Only this machine's processes are spoken to: no update checks, no component downloads.
QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    arguments = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def system(live_system: Callable[..., LiveSystem]) -> LiveSystem:
    """The demo with its simulator; a module that needs another one starts its own."""
    return live_system()


class Guard:
    """Collects what a page complains about; a test names in advance what it provokes."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        # A page that is left in the middle of a handshake.
        self._expected = ["closed before the connection is established"]

    def expect(self, pattern: str) -> None:
        self._expected.append(pattern)

    def watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.on("requestfailed", self._on_failed)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            url = message.location.get("url", "")
            self.complaints.append(f"{message.type}: {message.text} ({url})")

    def _on_failed(self, request: Request) -> None:
        # A page that goes on to the next one aborts what it no longer needs.
        if request.failure and "ERR_ABORTED" not in request.failure:
            self.complaints.append(f"request failed: {request.url} {request.failure}")

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.complaints if not any(re.search(p, text) for p in self._expected)]


class Person:
    """Somebody at a browser, signed in or not."""

    def __init__(self, browser: Browser, system: LiveSystem) -> None:
        self.browser = browser
        self.system = system
        self.guard = Guard()
        self.contexts: list[BrowserContext] = []

    def context(self, *, signed_in: bool = True, username: str = "demo", **options: Any) -> BrowserContext:
        context = self.browser.new_context(base_url=self.system.url, locale="en-US", **options)
        if signed_in:
            context.add_cookies(self._cookies(username))
        self.contexts.append(context)
        return context

    def _cookies(self, username: str) -> Any:
        """A session of its own: what one test signs out stays signed in elsewhere."""
        is_demo = username == "demo"
        cookies = self.system.login_without_password() if is_demo else self.system.login(username, username)
        return [{"name": name, "value": value, "url": self.system.url} for name, value in cookies.items()]

    def page(self, **options: Any) -> Page:
        page = self.context(**options).new_page()
        self.guard.watch(page)
        return page

    def dashboard(self, prepare: Callable[[Page], object] | None = None, **options: Any) -> Page:
        """Opens the dashboard; `prepare` may lay routes before it loads."""
        page = self.page(**options)
        if prepare:
            prepare(page)
        page.goto("/realtime/dashboard/")
        return page


@pytest.fixture
def person(chromium: Browser, system: LiveSystem) -> Iterator[Person]:
    person = Person(chromium, system)
    yield person
    for context in person.contexts:
        context.close()
    assert person.guard.unexpected == []


def api(page: Page, method: str, path: str, body: Any = None) -> Any:
    """Calls REST as the page's own user and returns the JSON answer; fails unless it is a success."""
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    url = page.url.split("/", 3)
    headers = {"X-CSRFToken": token, "Referer": "/".join(url[:3]) + "/"}
    response = page.request.fetch(path, method=method, data=body, headers=headers)
    assert response.ok, f"{method} {path}: {response.status} {response.text()}"
    return None if response.status == 204 else response.json()


def wait_for(page: Page, condition: str, within: float = PATIENCE) -> None:
    """Waits for an expression of the page; `wait_for_function` would need the eval that the policy forbids."""
    deadline = time.monotonic() + within
    while True:
        is_over = time.monotonic() > deadline
        if page.evaluate(condition):
            return
        if is_over:
            raise AssertionError(f"expected {condition.strip()} within {within:g} s")
        page.wait_for_timeout(50)


class Told:
    """All that an element says from now on, however short; looking at it now and then would miss some."""

    def __init__(self, page: Page, selector: str, attribute: str = "") -> None:
        self._page = page
        self._said = page.evaluate_handle(
            """([selector, attribute]) => {
                const element = document.querySelector(selector);
                const said = [];
                const hear = () => said.push(attribute ? element.getAttribute(attribute) : element.textContent);
                const what = attribute ? { attributeFilter: [attribute] } : { childList: true, subtree: true };
                new MutationObserver(hear).observe(element, what);
                return said;
            }""",
            [selector, attribute],
        )

    def expect(self, *words: str) -> None:
        """Waits until these have been said, one after the other."""
        deadline = time.monotonic() + PATIENCE
        while True:
            is_over = time.monotonic() > deadline
            said = iter(self.all())
            if all(word in said for word in words):
                return
            assert not is_over, f"expected {words}, was {self.all()}"
            self._page.wait_for_timeout(50)

    def all(self) -> list[str]:
        said: list[str] = self._said.json_value()
        return said
