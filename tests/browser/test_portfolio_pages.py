"""One portfolio's page: figures that explain themselves, two browsers of one mind, and what it consists of."""

import csv
import io
import json
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, WebSocket, expect

from tests.browser.conftest import Person, api, wait_for
from tests.browser.folio import (
    amount,
    figure,
    fill,
    form_of,
    open_portfolio,
    parts_and_sum,
    position,
    rows_of,
)

pytestmark = pytest.mark.browser

SOON = 1.0  # seconds, which the issue promises
TRIES = 4  # a busy machine may miss it once


@pytest.fixture
def page(person: Person) -> Page:
    return person.page()


# --- figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["total_value", "daily_change", "unrealized", "realized", "invested", "cash"]
)
def test_a_figure_is_the_sum_of_its_parts(page: Page, name: str) -> None:
    page.goto("/portfolios/1/")
    expect(figure(page, name)).to_have_text(re.compile(r"\d"))
    figure(page, name).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    parts, total = parts_and_sum(dialog)
    assert parts and sum(parts) == total
    assert amount(dialog.locator("[data-f=amount]").inner_text()) == total


def test_a_position_s_change_is_explained_by_keyboard(page: Page) -> None:
    page.goto("/portfolios/1/")
    button = position(page, "AAPL").locator("[data-figure=daily_change]")
    expect(button).to_have_text(re.compile(r"\d"))
    button.press("Enter")
    dialog = page.get_by_role("dialog", name="AAPL today")
    labels = dialog.locator("[data-f=parts] tr").evaluate_all("rows => rows.map(row => row.dataset.part)")
    assert labels == ["Price", "Currency", "Trades", "Income", "Fees", "Rounding"]
    parts, total = parts_and_sum(dialog)
    assert sum(parts) == total
    expect(dialog).to_contain_text("Measured from")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


def test_an_explanation_names_the_prices_that_it_was_computed_from(page: Page) -> None:
    page.goto("/portfolios/1/")
    expect(position(page, "AAPL")).to_be_visible()
    figure(page, "total_value").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("What it was computed from").click()
    sources = dialog.locator("[data-f=sources]")
    expect(sources.get_by_role("table", name="Prices")).to_contain_text("AAPL")
    expect(sources.get_by_role("link").first).to_have_attribute(
        "href", re.compile(r"/api/portfolios/1/receipts/.+/$")
    )


class Frames:
    """The portfolio's frames as the page's socket brings them, each merged with those before it."""

    def __init__(self, page: Page, id: int) -> None:
        self.id = id
        self.by_receipt: dict[str, dict[str, Any]] = {}
        self._last: dict[str, Any] = {}
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda text: self._take(json.loads(text, parse_float=Decimal)))

    def _take(self, envelope: dict[str, Any]) -> None:
        data = envelope["data"]
        if envelope["type"] != "portfolio_update" or data["portfolio_id"] != self.id:
            return
        known = (
            {one["symbol"]: one for one in self._last.get("positions", [])} if not data["complete"] else {}
        )
        known |= {one["symbol"]: one for one in data["positions"]}
        self._last = {**self._last, **data, "positions": list(known.values())}
        self.by_receipt[data["receipt"]] = self._last


def test_frame_rest_csv_and_page_show_the_same_figures(page: Page) -> None:
    frames = Frames(page, 1)
    page.goto("/portfolios/1/")
    expect(position(page, "AAPL")).to_be_visible()
    page.wait_for_timeout(1500)  # a few frames
    figure(page, "total_value").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("What it was computed from").click()
    receipt = dialog.locator("[data-f=sources] a").first.inner_text()
    frame = frames.by_receipt[receipt]

    rest = page.request.get(f"/api/portfolios/1/?receipt={receipt}").text()
    valuation = json.loads(rest, parse_float=Decimal)["valuation"]
    names = (
        "total_value",
        "daily_change",
        "daily_change_percent",
        "cash",
        "unrealized",
        "realized",
        "explain",
    )
    assert {name: frame[name] for name in names} == {name: valuation[name] for name in names}
    by_symbol = {one["symbol"]: one for one in valuation["positions"]}
    assert {one["symbol"]: one["value"] for one in frame["positions"]} == {
        symbol: one["value"] for symbol, one in by_symbol.items()
    }

    assert amount(dialog.locator("[data-f=amount]").inner_text()) == valuation["total_value"]
    shown = dict(
        zip(
            dialog.locator("[data-f=parts] tr").evaluate_all("rows => rows.map(row => row.dataset.part)"),
            parts_and_sum(dialog)[0],
            strict=True,
        )
    )
    assert {symbol: shown[symbol] for symbol in by_symbol} == {
        s: one["value"] for s, one in by_symbol.items()
    }

    text = page.request.get(f"/api/portfolios/1/positions.csv?receipt={receipt}").text()
    lines = {line["position"]: line for line in csv.DictReader(io.StringIO(text))}
    for symbol, one in by_symbol.items():
        assert lines[symbol]["receipt"] == receipt
        assert abs(Decimal(lines[symbol]["value"]) - one["value"]) <= Decimal("0.005")  # unrounded there


# --- two browsers ----------------------------------------------------------------------------------------------------


def seconds_until_shown(writer: Page, reader: Page, total: Locator) -> float:
    """Books a deposit on one page, and returns how long the other took to show another total."""
    reader.evaluate(
        """selector => {
            const element = document.querySelector(selector);
            const before = element.textContent;
            window.shownAt = null;
            new MutationObserver(() => {
                if (window.shownAt === null && element.textContent !== before) window.shownAt = Date.now();
            }).observe(element, { childList: true, characterData: true, subtree: true });
        }""",
        "[data-view=portfolio] [data-f=total]",
    )
    fill(writer, "deposit", amount="1000")
    writer.evaluate(
        """() => document.querySelector("[data-view=add]").addEventListener(
            "submit", () => (window.sentAt = Date.now()), { capture: true, once: true })"""
    )
    form_of(writer).get_by_role("button", name="Add").click()
    wait_for(reader, "window.shownAt !== null")
    expect(form_of(writer).get_by_role("status")).to_contain_text("Added")
    return float(reader.evaluate("window.shownAt") - writer.evaluate("window.sentAt")) / 1000


@pytest.mark.parametrize("where", ["dashboard", "portfolio"])
def test_a_row_entered_in_one_browser_moves_the_other_within_a_second(person: Person, where: str) -> None:
    writer, reader = person.page(), person.page()
    id = open_portfolio(writer, "Shared")
    reader.goto("/portfolios/")
    if where == "dashboard":
        reader.evaluate("id => localStorage.setItem('livefolio.portfolio', id)", str(id))
        reader.goto("/realtime/dashboard/")
    else:
        reader.goto(f"/portfolios/{id}/")
    total = reader.locator("[data-view=portfolio] [data-f=total]")
    expect(total).to_have_text("$0.00")
    expect(reader.locator("[data-view=light]")).to_have_attribute("data-state", "connected")
    took = []
    for number in range(1, TRIES + 1):
        took.append(seconds_until_shown(writer, reader, total))
        expect(total).to_have_text(f"${number},000.00")
        expect(figure(writer, "total_value")).to_have_text(f"${number},000.00")
        if took[-1] <= SOON:
            break
    assert min(took) <= SOON, took
    if where == "portfolio":
        expect(reader.locator("[data-view=transactions] tbody tr")).to_have_count(len(took))


def test_a_reversal_elsewhere_is_seen_here(person: Person) -> None:
    page, other = person.page(), person.page()
    id = open_portfolio(page, "Reversed elsewhere")
    row = api(page, "POST", rows_of(id), {"type": "deposit", "amount": "50"})
    expect(figure(page, "total_value")).to_have_text("$50.00")
    expect(page.locator("[data-view=transactions] tbody tr")).to_have_count(1)
    other.goto(f"/portfolios/{id}/")
    api(other, "DELETE", f"{rows_of(id)}{row['id']}/")
    expect(figure(page, "total_value")).to_have_text("$0.00")
    expect(page.locator("[data-view=transactions] tbody tr")).to_have_count(0)


# --- positions and what they consist of ------------------------------------------------------------------------------


def test_a_position_opens_to_its_lots(page: Page) -> None:
    page.goto("/portfolios/1/")
    opener = position(page, "AAPL").get_by_role("button", name="AAPL", exact=True)
    opener.click()
    expect(opener).to_have_attribute("aria-expanded", "true")
    lots = page.get_by_role("region", name="Lots of AAPL").locator("tbody tr")
    expect(lots).to_have_count(2)
    page.locator("[data-view=positions] th[data-sort=symbol] button").click()
    after = position(page, "AAPL").locator("xpath=following-sibling::tr[1]")
    expect(after).to_have_attribute("data-lots", "AAPL")
    opener.click()
    expect(lots).to_have_count(0)


def test_what_was_closed_today_stays_marked(page: Page) -> None:
    id = open_portfolio(page, "Closed")
    api(page, "POST", rows_of(id), {"type": "deposit", "amount": "10000"})
    price = api(page, "GET", "/api/assets/AAPL/")["price"]
    for type in ("buy", "sell"):
        api(page, "POST", rows_of(id), {"type": type, "symbol": "AAPL", "quantity": "2", "price": str(price)})
    expect(position(page, "AAPL").locator(".badge")).to_have_text("closed today")
    expect(position(page, "AAPL").locator("[data-f=quantity]")).to_have_text("0")


def test_what_has_no_price_says_so_in_words(page: Page) -> None:
    id = open_portfolio(page, "Unpriced")
    symbol = f"NOPRICE{time.monotonic_ns() % 10**6}"
    api(page, "POST", "/api/assets/", {"symbol": symbol, "name": "Nothing", "currency": "USD"})
    api(page, "POST", rows_of(id), {"type": "deposit", "amount": "100"})
    api(page, "POST", rows_of(id), {"type": "buy", "symbol": symbol, "quantity": "1", "price": "10"})
    expect(position(page, symbol).locator(".badge")).to_have_text("no price yet")
    expect(figure(page, "coverage")).to_have_text("0 of 1")
    figure(page, "coverage").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"{symbol} is not in it: no price yet.")


def test_the_donut_and_its_table_say_the_same(page: Page) -> None:
    page.goto("/portfolios/1/")
    card = page.locator("[data-view=allocation]")
    slices, rows = card.locator("circle.slice"), card.locator("tbody tr")
    expect(rows.first).to_be_visible()
    assert rows.count() == slices.count() == 8
    expect(rows.last).to_contain_text("Other")
    arcs = slices.evaluate_all("all => all.map(one => parseFloat(one.getAttribute('stroke-dasharray')))")
    assert abs(sum(arcs) - 100) < 1e-6
    shares = [amount(text) for text in rows.locator("td:last-child").all_inner_texts()]
    assert sum(shares) == Decimal("100.00")
    card.get_by_role("button", name="Class").click()
    expect(card.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("^Allocation by class: .*Cash")
    )


def test_a_day_without_all_prices_is_a_gap(page: Page) -> None:
    def answer(route: Route) -> None:
        days = [
            {"date": f"2026-01-{day:02d}", "value": value, "inflow": 0, "outflow": 0, "complete": value != 5}
            for day, value in enumerate([1, 2, 5, None, 3, 4], start=1)
        ]
        for day in days:
            day["complete"] = day["complete"] and day["value"] is not None
        route.fulfill(json=days)

    page.route("**/history/*", answer)
    page.goto("/portfolios/1/")
    chart = page.locator("[data-view=history] figure")
    expect(chart).to_have_attribute("data-gaps", "2")
    expect(page.locator("[data-view=history] [data-f=gaps]")).to_have_text(
        "2 days without all prices: not drawn"
    )
    expect(page.locator("#history-summary")).to_contain_text("2 days are incomplete")


def test_today_s_point_moves_with_the_prices(page: Page) -> None:
    page.goto("/portfolios/1/")
    chart = page.locator("[data-view=history] figure")
    expect(chart).to_have_attribute("data-last", re.compile(r"\d"))
    before = chart.get_attribute("data-last") or ""
    expect(chart).not_to_have_attribute("data-last", before)


def test_the_past_is_measured_over_every_period(page: Page) -> None:
    page.goto("/portfolios/1/")
    rows = page.locator("[data-view=returns] tbody tr")
    expect(rows).to_have_count(5)
    assert re.search(r"[▲▼■] [+\u2212]?\d", rows.first.inner_text())
    chart = page.locator("[data-view=history] figure")
    expect(chart).to_have_attribute("data-days", re.compile(r"^[6-9]\d$"))
    page.locator("[data-view=history]").get_by_role("button", name="1M").click()
    expect(chart).to_have_attribute("data-days", re.compile(r"^3\d$"))


# --- reports ---------------------------------------------------------------------------------------------------------


def test_realized_gains_are_told_by_year(page: Page) -> None:
    page.goto("/portfolios/1/")
    years = page.locator("[data-view=gains] tr[data-year]")
    expect(years.first).to_be_visible()

    def column(name: str) -> Decimal:
        return sum((amount(text) for text in cells(years, name)), Decimal(0))

    assert column("Gains") + column("Losses") == column("Realized")
    assert column("Realized") == amount(figure(page, "realized").inner_text())
    opener = years.first.get_by_role("button")
    opener.press("Enter")
    expect(opener).to_have_attribute("aria-expanded", "true")
    rows = page.get_by_role("region", name=f"The rows of {opener.inner_text()}").locator("tbody tr")
    expect(rows.filter(has_text="NVDA").first).to_be_visible()


def cells(rows: Locator, name: str) -> list[str]:
    return rows.locator(f"td[data-column={name}]").all_inner_texts()


def test_income_is_told_by_year(page: Page) -> None:
    id = open_portfolio(page, "Income")
    expect(page.locator("[data-view=income]")).to_contain_text("No dividends or interest yet.")
    row = {"type": "dividend", "symbol": "AAPL", "amount": "12.50", "tax": "2.50", "time": "2026-11-02"}
    api(page, "POST", rows_of(id), row)
    year = page.locator("[data-view=income] tr[data-year='2026']")
    expect(year).to_be_visible()
    assert [cells(year, name) for name in ("Gross", "Withheld", "Net")] == [["$12.50"], ["$2.50"], ["$10.00"]]
    year.get_by_role("button").click()
    expect(page.get_by_role("region", name="The rows of 2026")).to_contain_text("AAPL")
    expect(figure(page, "income")).to_have_text("+$12.50")


# --- looks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways_whatever_is_open(person: Person, theme: Any) -> None:
    page = person.page(viewport={"width": 375, "height": 740}, color_scheme=theme)
    page.goto("/portfolios/1/")
    position(page, "AAPL").get_by_role("button", name="AAPL", exact=True).click()
    expect(page.get_by_role("region", name="Lots of AAPL").locator("tbody tr").first).to_be_visible()
    page.locator("[data-view=transactions] .opener").first.click()
    form_of(page).get_by_text("More fields").click()
    for kind in ("merger", "sell", "exercise"):
        form_of(page).get_by_label("Type").select_option(kind)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, kind
    figure(page, "daily_change").click()
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 375
    expect(page.locator(".skeleton")).to_have_count(0)


def test_figures_are_large_enough_to_be_hit(person: Person) -> None:
    page = person.page(viewport={"width": 375, "height": 740})
    page.goto("/portfolios/1/")
    expect(position(page, "AAPL")).to_be_visible()
    heights = page.locator(".figure:visible, .opener:visible").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert heights and min(heights) >= 24
