"""The page of price alerts: made by a form, told on any page when it fires, listed, armed again and deleted."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Person, api

pytestmark = pytest.mark.browser


def test_an_alert_is_made_fires_on_another_page_and_is_deleted(person: Person) -> None:
    person.guard.expect("400")
    page = person.page(viewport={"width": 375, "height": 740})
    other = page.context.new_page()
    person.guard.watch(other)
    other.goto("/realtime/dashboard/")
    expect(other.locator("[data-view=light]")).to_have_attribute("data-state", "connected")
    page.goto("/alerts/")
    expect(page.get_by_role("heading", name="No alert yet")).to_be_visible()
    form = page.locator("[data-view=create]")
    form.get_by_label("Symbol").fill("NOPE")
    form.get_by_label("Price", exact=True).fill("1")
    form.get_by_role("button", name="Create alert").click()
    expect(form.get_by_text("unknown symbol NOPE")).to_be_visible()
    form.get_by_label("Symbol").fill("aapl")
    form.get_by_role("button", name="Create alert").click()
    for each in (page, other):
        expect(each.locator(".toast")).to_contain_text("AAPL")
    row = page.locator("[data-view=alerts] tbody tr")
    expect(row).to_contain_text("At or above 1.00")
    expect(row.locator(".badge")).to_contain_text("fired")
    expect(page.locator("[data-view=firings] tbody tr")).to_have_count(1)
    row.get_by_role("button", name="Arm AAPL again").click()
    expect(page.locator("[data-view=firings] tbody tr")).to_have_count(2)
    expect(page.locator(".toast")).to_have_count(1)  # of one alert the newest only
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    table = page.locator("[data-view=firings] [data-f=wrap]")
    assert table.evaluate("wrap => wrap.scrollWidth <= wrap.clientWidth")
    row.get_by_role("button", name="Delete AAPL").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="No alert yet")).to_be_visible()
    assert api(page, "GET", "/api/alerts/")["count"] == 0


def test_the_focus_stays_in_the_list_when_its_rows_are_made_anew(person: Person) -> None:
    page = person.page()
    page.goto("/alerts/")
    for symbol in ("AAPL", "MSFT"):
        api(page, "POST", "/api/alerts/", {"symbol": symbol, "kind": "above", "threshold": "100000000"})
    page.reload()
    rows = page.locator("[data-view=alerts] tbody tr")
    first, last = (page.get_by_role("button", name=f"Delete {symbol}") for symbol in ("MSFT", "AAPL"))
    first.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    expect(rows).to_have_count(1)
    expect(last).to_be_focused()
    last.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    expect(page.locator("[data-view=create]").get_by_label("Symbol")).to_be_focused()
