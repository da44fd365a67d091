"""The dashboard against a running system: prices that move in place, what is watched, what is owned."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, WebSocketRoute, expect

from tests.browser.conftest import Person, Told, api, wait_for

pytestmark = pytest.mark.browser

SOCKET = re.compile(r"/ws/realtime/")
DIRECTION = re.compile("^[▲▼■]\\s?[+\u2212]?\\d")


def row(page: Page, symbol: str) -> Locator:
    return page.locator(f'[data-view=watchlist] tr[data-symbol="{symbol}"]')


def last(page: Page, symbol: str) -> Locator:
    return row(page, symbol).locator("[data-f=last]")


def light(page: Page) -> Locator:
    return page.locator("[data-view=light]")


def text_of(locator: Locator) -> str:
    expect(locator).not_to_have_text("—")
    return locator.inner_text()


def quote(symbol: str, **fields: Any) -> dict[str, Any]:
    known = {
        "symbol": symbol,
        "price": 100.0,
        "change": 1.0,
        "change_percent": 1.01,
        "currency": "USD",
        "as_of": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime()),
        "source": "simulator",
        "stale": False,
        "seq": 10**9,
    }
    return known | fields


def frame(type: str, data: Any, **more: Any) -> str:
    return json.dumps({"type": type, "data": data, "timestamp": "2026-11-20T00:00:00.000000Z", **more})


class Line:
    """The page's socket with the test between it and the server: frames can be held back and put in."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.routes: list[WebSocketRoute] = []
        self.sent: list[dict[str, Any]] = []
        self.silent = False
        page.route_web_socket(SOCKET, self._open)

    def _open(self, route: WebSocketRoute) -> None:
        self.routes.append(route)
        server = route.connect_to_server()
        route.on_message(lambda text: self._from_page(server, str(text)))
        server.on_message(lambda text: None if self.silent else route.send(text))

    def _from_page(self, server: WebSocketRoute, text: str) -> None:
        self.sent.append(json.loads(text))
        server.send(text)

    def take_over(self) -> None:
        """From here on the page hears only the test; not before it is connected, for that would be lost."""
        expect(light(self.page)).to_have_attribute("data-state", "connected")
        self.silent = True

    def say(self, type: str, data: Any) -> None:
        self.routes[-1].send(frame(type, data))

    def close(self, code: int) -> None:
        self.routes[-1].close(code=code, reason="test")


# --- prices ----------------------------------------------------------------------------------------------------------


def test_a_row_moves_in_place(person: Person) -> None:
    page = person.dashboard()
    before = text_of(last(page, "AAPL"))
    element = row(page, "AAPL").element_handle()
    expect(last(page, "AAPL")).not_to_have_text(before)
    assert page.evaluate("element => element === document.querySelector('tr[data-symbol=AAPL]')", element)
    assert element.is_visible()


def test_direction_is_said_without_colour(person: Person) -> None:
    page = person.dashboard()
    cell = row(page, "MSFT").locator("[data-f=change_percent]")
    assert DIRECTION.match(text_of(cell)), cell.inner_text()


def test_a_tick_flashes_and_many_ticks_flash_three_times_a_second_at_most(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    text_of(last(page, "AAPL"))
    lines[0].take_over()
    started = time.monotonic()
    page.evaluate(
        """() => {
            window.flashes = 0;
            const original = Element.prototype.animate;
            Element.prototype.animate = function (...args) {
                if (this.closest('tr[data-symbol=AAPL]')) window.flashes += 1;
                return original.apply(this, args);
            };
        }"""
    )
    for step in range(30):
        lines[0].say("asset_updates", [quote("AAPL", price=100 + step, seq=10**9 + step)])
        page.wait_for_timeout(40)
    flashes = page.evaluate("window.flashes")
    seconds = time.monotonic() - started
    assert 1 <= flashes <= 3 * seconds + 1
    cell = "document.querySelector('[data-view=watchlist] tr[data-symbol=AAPL] [data-f=last]')"
    wait_for(page, f"{cell}.firstChild.getAnimations().length === 0")


def test_reduced_motion_flashes_nothing_and_keeps_the_arrow(person: Person) -> None:
    page = person.dashboard(reduced_motion="reduce")
    before = text_of(last(page, "AAPL"))
    expect(last(page, "AAPL")).not_to_have_text(before)
    assert page.evaluate("document.getAnimations().length") == 0
    assert DIRECTION.match(row(page, "AAPL").locator("[data-f=change_percent]").inner_text())


def test_a_late_frame_changes_nothing(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    text_of(last(page, "AAPL"))
    lines[0].take_over()
    lines[0].say("asset_updates", [quote("AAPL", price=222.22, seq=10**9 + 1)])
    expect(last(page, "AAPL")).to_have_text("222.22")
    lines[0].say("asset_updates", [quote("AAPL", price=111.11, seq=10**9), quote("MSFT", price=333.33)])
    expect(last(page, "MSFT")).to_have_text("333.33")
    expect(last(page, "AAPL")).to_have_text("222.22")


def test_a_price_set_by_hand_keeps_every_digit(person: Person) -> None:
    page = person.dashboard()
    text_of(last(page, "AAPL"))
    api(page, "POST", "/api/assets/", {"symbol": "TINY", "name": "Tiny Token", "currency": "USD"})
    api(page, "POST", "/api/assets/TINY/prices/", {"price": "0.00001234"})
    add(page, "TINY")
    expect(last(page, "TINY")).to_have_text("0.00001234")
    api(page, "POST", "/api/assets/TINY/prices/", {"price": "0.00001235"})
    expect(last(page, "TINY")).to_have_text("0.00001235")
    row(page, "TINY").get_by_role("button", name="Remove TINY").click()
    expect(row(page, "TINY")).to_have_count(0)


def test_hostile_text_stays_text(person: Person) -> None:
    page = person.dashboard()
    text_of(last(page, "AAPL"))
    hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    api(page, "POST", "/api/assets/", {"symbol": "EVIL", "name": hostile, "currency": "USD"})
    add(page, "EVIL")
    expect(row(page, "EVIL").locator("small")).to_have_text(hostile)
    assert page.locator("[data-view=watchlist] img").count() == 0
    assert page.title() == "Dashboard · Livefolio"
    expect(row(page, "EVIL").locator(".badge")).to_have_text("no running source")
    expect(row(page, "EVIL")).to_have_attribute("data-stale", "")
    row(page, "EVIL").get_by_role("button", name="Remove EVIL").click()
    expect(row(page, "EVIL")).to_have_count(0)


# --- what is watched -------------------------------------------------------------------------------------------------


def add(page: Page, symbol: str) -> None:
    page.get_by_role("combobox", name="Add a symbol").fill(symbol)
    page.keyboard.press("Enter")
    expect(row(page, symbol)).to_be_visible()


def test_a_symbol_is_found_added_and_removed_by_keyboard(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    text_of(last(page, "AAPL"))
    page.keyboard.press("/")
    expect(page.get_by_role("combobox", name="Add a symbol")).to_be_focused()
    page.keyboard.type("jpm")
    expect(page.get_by_role("listbox").get_by_role("option").first).to_contain_text("JPM")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(row(page, "JPM")).to_be_visible()
    text_of(last(page, "JPM"))
    asked = [message["data"] for message in lines[0].sent if message["type"] == "subscribe_asset"]
    assert {"symbols": ["JPM"]} in asked
    page.reload()
    row(page, "JPM").get_by_role("button", name="Remove JPM").click()
    expect(row(page, "JPM")).to_have_count(0)
    page.reload()
    text_of(last(page, "AAPL"))
    expect(row(page, "JPM")).to_have_count(0)


def test_a_search_that_is_overtaken_by_the_next_one_does_not_take_it_along(person: Person) -> None:
    held: list[Route] = []

    def answer(route: Route) -> None:
        if route.request.url.endswith("search="):
            held.append(route)  # and never answered
        else:
            route.continue_()

    page = person.dashboard(prepare=lambda page: page.route("**/api/assets/?page_size=8&*", answer))
    text_of(last(page, "AAPL"))
    page.keyboard.press("/")
    while not held:
        page.wait_for_timeout(20)
    page.keyboard.type("jpm")
    expect(page.get_by_role("listbox").get_by_role("option").first).to_contain_text("JPM")


def test_an_unknown_symbol_is_refused_beside_the_search(person: Person) -> None:
    person.guard.expect("400.*watchlist")
    page = person.dashboard()
    text_of(last(page, "AAPL"))
    page.get_by_role("combobox", name="Add a symbol").fill("NOSUCHTHING")
    page.keyboard.press("Enter")
    expect(page.locator("[data-view=watchlist] [data-f=error]")).to_be_visible()
    expect(row(page, "NOSUCHTHING")).to_have_count(0)


def test_a_subscription_over_the_limit_is_explained(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    expect(light(page)).to_have_attribute("data-state", "connected")
    before = text_of(last(page, "AAPL"))
    expect(last(page, "AAPL")).not_to_have_text(before)  # its own subscription is answered
    refused = {"symbol": "AAPL", "status": "error", "code": "subscription_limit", "message": "full"}
    lines[0].say("subscribed", {"results": [refused]})
    expect(page.locator("[data-view=watchlist] [data-f=error]")).to_contain_text("at most 50 symbols")
    expect(row(page, "AAPL").locator(".badge")).to_have_text("not live: limit")


def test_an_empty_watchlist_offers_a_beginning(person: Person) -> None:
    def nothing(route: Route) -> None:
        route.fulfill(json={"count": 0, "next": None, "previous": None, "results": []})

    page = person.dashboard(prepare=lambda page: page.route("**/api/watchlist/?*", nothing))
    empty = page.locator("[data-view=watchlist] [data-f=empty]")
    expect(empty).to_contain_text("Add your first symbol")
    expect(empty.get_by_role("button").first).to_be_visible()


def test_a_failure_says_so_and_retry_helps(person: Person) -> None:
    person.guard.expect("500.*watchlist")
    broken = [True]

    def answer(route: Route) -> None:
        if broken:
            broken.pop()
            route.fulfill(status=500, body="oops")
        else:
            route.continue_()

    page = person.dashboard(prepare=lambda page: page.route("**/api/watchlist/?*", answer))
    failure = page.locator("[data-view=watchlist] [data-f=empty]")
    expect(failure).to_contain_text("can't be loaded")
    failure.get_by_role("button", name="Retry").click()
    text_of(last(page, "AAPL"))


def test_rows_are_sketched_while_they_load(person: Person) -> None:
    held: list[Route] = []
    page = person.dashboard(
        prepare=lambda page: page.route("**/api/watchlist/?*", lambda route: held.append(route))
    )
    expect(page.locator("[data-view=watchlist] tr.loading").first).to_be_visible()
    expect(page.locator("[data-view=watchlist] tbody")).to_have_attribute("aria-busy", "true")
    page.wait_for_timeout(300)
    for route in held:
        route.continue_()
    text_of(last(page, "AAPL"))
    expect(page.locator("[data-view=watchlist] tr.loading")).to_have_count(0)


# --- the chart -------------------------------------------------------------------------------------------------------


def day_bar(symbol: str, days_ago: int, **fields: Any) -> dict[str, Any]:
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    known = {
        "symbol": symbol,
        "interval": "1d",
        "start": start.isoformat().replace("+00:00", ".000000Z"),
        "open": 430.0,
        "high": 440.0,
        "low": 420.0,
        "close": 431.0,
        "volume": 1000,
        "complete": days_ago > 0,
        "revised": False,
        "source": "simulator",
    }
    return known | fields


def test_the_chart_has_history_and_the_server_s_bars_move_it(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    figure = page.locator("[data-view=chart] figure")
    row(page, "MSFT").click()
    expect(figure).to_have_attribute("data-symbol", "MSFT")
    lines[0].take_over()
    lines[0].say("bar", day_bar("MSFT", 0, close=432.1, volume=2_500_000))
    expect(figure).to_have_attribute("data-last", "432.1")
    expect(page.locator("[data-view=volume] [data-f=session]")).to_have_text("2.5M shares")
    bars = int(figure.get_attribute("data-bars") or 0)
    assert bars >= 60
    # A late trade changes a bar of before in its place, and a price alone makes none.
    lines[0].say("bar", day_bar("MSFT", 3, close=1.5, revised=True))
    lines[0].say("asset_updates", [quote("MSFT", price=999.5)])
    expect(page.locator("[data-view=chart] [data-f=price]")).to_have_text("999.50")
    expect(figure).to_have_attribute("data-last", "432.1")
    expect(figure).to_have_attribute("data-bars", str(bars))


def test_greeks_are_shown_where_an_asset_may_be_an_option(person: Person) -> None:
    def answer(route: Route) -> None:
        asset = route.fetch().json() | {"asset_class": "other"}  # a vendor's key says no more
        route.fulfill(json=asset)

    def no_assets(route: Route) -> None:
        route.fulfill(json={"count": 0, "next": None, "previous": None, "results": []})

    def prepare(page: Page) -> None:
        lines.append(Line(page))
        page.route("**/api/assets/?*", no_assets)
        page.route("**/api/assets/MSFT/", answer)

    lines: list[Line] = []
    page = person.dashboard(prepare=prepare)
    row(page, "MSFT").click()
    greeks = page.locator("[data-f=greeks]")
    expect(page.locator("[data-view=trades] tbody tr[data-number]").first).to_be_visible()
    expect(greeks).to_be_hidden()
    asked = [message["data"] for message in lines[0].sent if message["type"] == "subscribe_asset"]
    assert any(wish.get("mode") == "option_greeks" and wish["symbols"] == ["MSFT"] for wish in asked)

    lines[0].take_over()
    quote = {"symbol": "MSFT", "price": 12.5, "source": "simulator", "delta": 0.52, "iv": 0.21, "seq": 10**9}
    lines[0].say("asset_update", quote | {"as_of": "2026-11-20T14:30:00.000000Z"})
    expect(greeks.locator("[data-f=delta]")).to_have_text("0.5200")
    expect(greeks.locator("[data-f=iv]")).to_have_text("21.00%")


def test_the_book_and_the_trades_are_those_of_the_selected_asset(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    depth, trades = page.locator("[data-view=depth]"), page.locator("[data-view=trades]")
    row(page, "MSFT").click()
    expect(depth.locator("tbody tr").first).to_have_text(re.compile(r"\d"))
    expect(trades.locator("tbody tr[data-number]").first).to_be_visible()
    row(page, "TSLA").click()
    expect(depth.locator("[data-f=symbol]")).to_have_text("TSLA")
    expect(depth.locator("tbody tr").first).to_have_text(re.compile(r"\d"))
    asked = [message["data"] for message in lines[0].sent if message["type"] == "subscribe_asset"]
    assert {"symbols": ["TSLA"], "channels": ["bars", "trades", "book"]} in asked
    assert {"symbols": ["MSFT"]} in asked[-2:]  # back to its quotes alone

    lines[0].take_over()
    head = {"symbol": "TSLA", "as_of": "2026-11-20T14:30:00.000000Z", "source": "simulator", "epoch": 10**10}
    bids, asks = [[250.01, 4], [250.0, 1]], [[250.04, 2]]
    lines[0].say("book_snapshot", {**head, "seq": 1, "bids": bids, "asks": asks})
    expect(depth.locator("[data-f=spread]")).to_have_text("Spread 0.03 (0.01%)")
    best = depth.locator("tbody tr").first
    expect(best.locator("td")).to_have_text(["4", "250.01", "250.04", "2"])
    longest = best.locator("td.bid i").bounding_box()
    panel = depth.bounding_box()
    assert longest and panel and longest["width"] > 100 and longest["x"] > panel["x"] + 4
    gone = [["bid", 250.01, 0], ["ask", 250.03, 8]]
    lines[0].say("book_update", {**head, "seq": 2, "previous_seq": 1, "changes": gone})
    expect(best.locator("td")).to_have_text(["1", "250.00", "250.03", "8"])

    trade = {
        **head,
        "price": 250.02,
        "quantity": 7,
        "side": "sell",
        "trade_id": "x",
        "number": 9,
        "missed": 5,
    }
    lines[0].say("trades", [trade])
    expect(trades.locator("tbody tr").nth(0)).to_have_text(re.compile("▼.*sell.*250.02.*7"))
    expect(trades.locator("tbody tr").nth(1)).to_have_text("5 left out")
    lines[0].say("trades", [trade | {"side": "buy", "number": 10 + n, "missed": 0} for n in range(60)])
    expect(trades.locator("tbody tr").first).to_contain_text("▲")
    expect(trades.locator("tbody tr[data-number]")).to_have_count(50)


def test_what_a_source_does_not_give_or_refuses_is_said(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    text_of(last(page, "AAPL"))
    account = page.locator("[data-view=account]")
    expect(account).to_be_hidden()
    lines[0].take_over()
    status = {"source": "simulator", "state": "live", "epoch": 10**10, "channels": ["bars"]}
    lines[0].say("feed_status", {**status, "markets": {"XNYS": "pre_open"}})
    row(page, "GOOGL").click()
    expect(page.locator("[data-view=depth]")).to_contain_text("This source gives no order book.")
    expect(page.locator("[data-view=trades]")).to_contain_text("This source gives no trades.")
    expect(page.locator("[data-view=sources] [data-source=simulator]")).to_have_attribute(
        "title", "XNYS pre-open"
    )
    error = {"code": "no_data", "message": "simulator: not permitted", "symbol": "GOOGL"}
    lines[0].say("error", error)
    expect(row(page, "GOOGL").locator(".badge")).to_have_text("no data")
    expect(row(page, "GOOGL").locator(".badge")).to_have_attribute("title", "simulator: not permitted")
    expect(row(page, "GOOGL")).to_have_attribute("aria-description", re.compile("not permitted"))
    event = {"source": "simulator", "kind": "fill", "key": "o-1", "symbol": "GOOGL"}
    details = {"side": "buy", "size": "0.5"}
    lines[0].say("account_event", {**event, "as_of": "2026-11-20T14:30:00.000000Z", "details": details})
    expect(account).to_contain_text("Fill GOOGL")
    expect(account).to_contain_text("side buy · size 0.5")


def test_a_range_is_chosen_and_remembered(person: Person) -> None:
    page = person.dashboard()
    figure = page.locator("[data-view=chart] figure")
    expect(figure).to_have_attribute("data-symbol", "AAPL")
    day = page.get_by_role("button", name="1D")
    day.click()
    expect(day).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#chart-summary")).to_contain_text("minute bars")
    page.reload()
    expect(day).to_have_attribute("aria-pressed", "true")
    expect(figure).to_have_attribute("data-symbol", "AAPL")


# --- what is owned ---------------------------------------------------------------------------------------------------


def test_the_header_shows_the_server_s_figures_and_moves(person: Person) -> None:
    page = person.dashboard()
    total = page.locator("[data-view=portfolio] [data-f=total]")
    expect(total).to_have_text(re.compile(r"^\$[\d,]+\.\d\d$"))
    shown = total.inner_text()
    portfolios = api(page, "GET", "/api/portfolios/")["results"]
    name = page.get_by_role("combobox", name="Portfolio").locator("option:checked").inner_text()
    id = next(portfolio["id"] for portfolio in portfolios if portfolio["name"] == name)
    value = api(page, "GET", f"/api/portfolios/{id}/")["valuation"]["total_value"]
    assert abs(float(shown.strip("$").replace(",", "")) / float(value) - 1) < 0.01
    expect(total).not_to_have_text(shown)


def test_another_portfolio_is_chosen(person: Person) -> None:
    page = person.dashboard()
    picker = page.get_by_role("combobox", name="Portfolio")
    expect(picker).to_be_enabled()
    picker.select_option(label="Crypto")
    positions = page.locator("[data-view=positions] tbody tr")
    expect(positions).to_have_count(3)
    page.reload()
    expect(positions).to_have_count(3)
    picker.select_option(label="Growth Portfolio")
    expect(positions).to_have_count(12)


def test_positions_are_sorted_by_pointer_and_keyboard(person: Person) -> None:
    page = person.dashboard()
    symbols = page.locator("[data-view=positions] tbody tr .symbol-link")
    expect(symbols.first).to_be_visible()
    header = page.locator("[data-view=positions] th[data-sort=symbol]")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    names = symbols.all_inner_texts()
    assert names == sorted(names)
    header.get_by_role("button").press("Enter")
    expect(header).to_have_attribute("aria-sort", "descending")
    names = symbols.all_inner_texts()
    assert names == sorted(names, reverse=True)


def test_a_partial_update_keeps_the_other_positions(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    positions = page.locator("[data-view=positions] tbody tr")
    expect(positions).to_have_count(12)
    lines[0].take_over()
    id = int(page.get_by_role("combobox", name="Portfolio").input_value())
    known = api(page, "GET", f"/api/portfolios/{id}/")["valuation"]
    changed = next(position for position in known["positions"] if position["symbol"] == "AAPL") | {
        "value": 1234567.89
    }
    lines[0].say(
        "portfolio_update", {**known, "total_value": 7654321.0, "positions": [changed], "complete": False}
    )
    expect(page.locator("[data-view=portfolio] [data-f=total]")).to_have_text("$7,654,321.00")
    expect(page.locator('[data-view=positions] tr[data-symbol="AAPL"] [data-f=value]')).to_have_text(
        "$1,234,567.89"
    )
    expect(positions).to_have_count(12)


# --- the light -------------------------------------------------------------------------------------------------------


def test_a_lost_connection_is_shown_and_comes_back(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    expect(light(page)).to_have_attribute("data-state", "connected")
    text_of(last(page, "AAPL"))
    words = Told(page, "[data-view=light] [data-f=word]")
    lines[0].close(1012)
    words.expect("Reconnecting", "Connected")
    assert words.all() == ["Reconnecting", "Connected"]
    assert len(lines[0].routes) == 2
    before = text_of(last(page, "AAPL"))
    expect(last(page, "AAPL")).not_to_have_text(before)


def test_a_final_close_says_why_and_offers_to_connect_again(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    expect(light(page)).to_have_attribute("data-state", "connected")
    lines[0].close(4503)
    expect(light(page)).to_have_attribute("data-state", "closed")
    expect(light(page).get_by_role("status")).to_have_text("Closed")
    page.get_by_role("button", name="Connect again").click()
    expect(light(page)).to_have_attribute("data-state", "connected")
    before = text_of(last(page, "AAPL"))
    expect(last(page, "AAPL")).not_to_have_text(before)


def test_a_feed_that_is_down_is_shown_within_a_second(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    text_of(last(page, "AAPL"))
    lines[0].take_over()
    within = 5_000  # one second, and what a busy machine adds
    status = {
        "source": "simulator",
        "since": "2026-11-20T12:00:00.000000Z",
        "reason": "killed",
        "epoch": 10**10,
    }
    for state in ("down", "silent", "recovering", "failed", "ended"):
        lines[0].say("feed_status", {**status, "state": state})
        expect(light(page).get_by_role("status")).to_have_text(f"Feed {state}", timeout=within)
        expect(light(page)).to_have_attribute("data-state", "stale")
        expect(page.locator("[data-note=feed]")).to_contain_text(f"Feed simulator {state} since")
        expect(page.locator("[data-view=sources] [data-source=simulator]")).to_have_attribute(
            "data-state", state
        )
    expect(row(page, "AAPL").locator(".badge")).to_have_text("no running source")
    lines[0].say("feed_status", {**status, "state": "live"})
    expect(light(page)).to_have_attribute("data-state", "connected", timeout=within)
    expect(page.locator("[data-note=feed]")).to_have_count(0)
    expect(row(page, "AAPL").locator(".badge")).to_be_hidden()


def test_a_stale_price_is_marked_and_dimmed(person: Person) -> None:
    lines: list[Line] = []
    page = person.dashboard(prepare=lambda page: lines.append(Line(page)))
    text_of(last(page, "AAPL"))
    lines[0].take_over()
    lines[0].say("asset_updates", [quote("AAPL", stale=True)])
    expect(row(page, "AAPL").locator(".badge")).to_have_text("stale")
    expect(row(page, "AAPL")).to_have_attribute("aria-description", re.compile("stale, last price of"))


def test_silence_is_stale_before_it_is_lost(person: Person) -> None:
    sockets: list[WebSocketRoute] = []

    def silence(route: WebSocketRoute) -> None:
        sockets.append(route)
        if len(sockets) > 1:
            return  # never greets, so that the light stays on what comes after the loss
        data = {
            "status": "connected",
            "connection_id": "x",
            "heartbeat_interval": 5,
            "epoch": {},
            "limits": {},
        }
        route.send(frame("connection", data))

    page = person.dashboard(prepare=lambda page: page.route_web_socket(SOCKET, silence))
    states = Told(page, "[data-view=light]", "data-state")
    states.expect("stale", "reconnecting")


def test_offline_is_told_apart(person: Person) -> None:
    person.guard.expect("ERR_INTERNET_DISCONNECTED")
    page = person.dashboard()
    expect(light(page)).to_have_attribute("data-state", "connected")
    page.context.set_offline(True)
    expect(light(page).get_by_role("status")).to_have_text("Offline")
    expect(light(page)).to_have_attribute("data-state", "offline")
    page.context.set_offline(False)
    expect(light(page)).to_have_attribute("data-state", "connected")
    before = text_of(last(page, "AAPL"))
    expect(last(page, "AAPL")).not_to_have_text(before)


def test_a_session_that_ends_leads_to_the_login(person: Person) -> None:
    person.guard.expect("401")  # what the page was still loading
    page = person.dashboard()
    text_of(last(page, "AAPL"))
    other = page.context.new_page()
    other.goto("/portfolios/")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/accounts/login/**")
    expect(page.get_by_role("alertdialog")).to_contain_text("signed out")
    expect(light(page)).to_have_attribute("data-state", "closed")
    page.get_by_role("link", name="Sign in again").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "next=%2Frealtime%2Fdashboard%2F" in page.url


# --- looks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/realtime/dashboard/", "/portfolios/", "/portfolios/1/", "/realtime/test/"]
)
def test_a_phone_never_scrolls_sideways(person: Person, path: str) -> None:
    page = person.page(viewport={"width": 375, "height": 740})
    page.goto(path)
    expect(page.locator(".skeleton")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_dark_follows_the_system_and_a_choice_outlives_a_reload(person: Person) -> None:
    page = person.dashboard(color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(15, 20, 25)"
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate(background) == "rgb(244, 245, 243)"
    page.reload()
    assert page.evaluate(background) == "rgb(244, 245, 243)"


def test_no_live_region_reads_out_prices(person: Person) -> None:
    page = person.dashboard()
    text_of(last(page, "AAPL"))
    assert page.locator("tbody [aria-live], tbody [role=status], tbody [role=alert]").count() == 0
    assert page.locator("[data-view=light] [role=status]").count() == 1
