"""Importing a file on its page: a look first, then everything or nothing, and nothing twice."""

import json
import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Person, api
from tests.browser.folio import figure, open_portfolio, position, rows_of

pytestmark = pytest.mark.browser

HEADER = "date,type,symbol,quantity,price,amount,currency,fee"
DEPOSIT = "2026-10-01,deposit,,,,10000,USD,"
BUY = "2026-10-02,buy,AAPL,2,100,,USD,1"


def csv(*lines: str) -> bytes:
    return "\n".join((HEADER, *lines, "")).encode()


@pytest.fixture
def page(person: Person) -> Page:
    page = person.page()
    id = open_portfolio(page, "Import")
    page.get_by_role("link", name="Import a file").click()
    page.wait_for_url(f"**/portfolios/{id}/import/")
    return page


def id_of(page: Page) -> int:
    return int(page.url.split("/")[4])


def choose(page: Page, data: bytes, name: str = "rows.csv") -> None:
    page.get_by_label("CSV or JSON file").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": data}
    )


def state(page: Page) -> Locator:
    return page.locator("[data-view=state]")


def result(page: Page, name: str) -> Locator:
    return page.locator(f"[data-view=result] [data-f={name}]")


def rows_stored(page: Page) -> int:
    return int(api(page, "GET", rows_of(id_of(page)))["count"])


def test_a_file_is_looked_at_and_then_imported(page: Page) -> None:
    choose(page, csv(DEPOSIT, BUY))
    expect(state(page)).to_have_text("2 rows can be imported. Nothing is stored yet.")
    expect(result(page, "reading")).to_contain_text("split by comma")
    assert [result(page, name).inner_text() for name in ("rows", "new", "duplicates", "wrong")] == [
        "2",
        "2",
        "0",
        "0",
    ]
    expect(result(page, "sample").locator("tr")).to_have_count(2)
    assert rows_stored(page) == 0
    page.get_by_role("button", name="Import 2 rows").click()
    expect(state(page)).to_have_text("2 rows booked.")
    assert rows_stored(page) == 2
    page.get_by_role("link", name="To the portfolio").click()
    expect(position(page, "AAPL").locator("[data-f=quantity]")).to_have_text("2")
    expect(figure(page, "cash")).to_have_text("$9,799.00")


def test_the_same_rows_are_never_booked_twice(page: Page) -> None:
    choose(page, csv(DEPOSIT, BUY))
    page.get_by_role("button", name="Import 2 rows").click()
    expect(state(page)).to_contain_text("booked")
    choose(page, csv(DEPOSIT, BUY, "2026-10-03,deposit,,,,5,USD,"), name="more.csv")
    expect(state(page)).to_contain_text("1 row can be imported. 2 rows are there already")
    page.get_by_role("button", name="Import 1 row").click()
    expect(state(page)).to_contain_text("1 row booked")
    assert rows_stored(page) == 3
    choose(page, csv(DEPOSIT, BUY), name="again.csv")
    expect(state(page)).to_contain_text("Nothing new")
    expect(result(page, "book")).to_be_disabled()


def test_one_wrong_line_keeps_everything_out_and_is_named(page: Page) -> None:
    choose(page, csv(DEPOSIT, "2026-13-02,buy,AAPL,2,100,,USD,1", "2026-10-02,buy,AAPL,two,100,,USD,1"))
    expect(state(page)).to_contain_text("2 problems to solve first")
    expect(state(page)).to_contain_text("Nothing is stored")
    problems = result(page, "problems-section").locator("tbody tr")
    expect(problems).to_have_count(2)
    expect(problems.nth(0)).to_contain_text("3")
    expect(problems.nth(0)).to_contain_text("2026-13-02")
    expect(problems.nth(1)).to_contain_text("'two'")
    expect(result(page, "book")).to_be_disabled()
    assert rows_stored(page) == 0


def test_a_sale_of_more_than_is_held_is_refused_at_its_line(page: Page) -> None:
    choose(page, csv(DEPOSIT, BUY, "2026-10-05,sell,AAPL,3,100,,USD,"))
    problem = result(page, "problems-section").locator("tbody tr")
    expect(problem).to_have_count(1)
    expect(problem.locator("th")).to_have_text("4")
    assert rows_stored(page) == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "file is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe", "expected .*, was"),
        (b"apples,pears\n1,2\n", "expected a header like"),
    ],
)
def test_a_file_of_another_kind_says_what_was_expected(
    person: Person, page: Page, data: bytes, message: str
) -> None:
    person.guard.expect("400.*imports")
    choose(page, data)
    expect(page.get_by_text(re.compile(message)).first).to_be_visible()
    expect(state(page)).to_contain_text("Nothing is stored")
    assert rows_stored(page) == 0


def test_an_unknown_symbol_is_mapped_to_one_of_ours(page: Page) -> None:
    choose(page, csv(DEPOSIT, "2026-10-02,buy,APPLE INC,2,100,,USD,1"))
    row = page.locator('[data-f=symbols] tr[data-key="APPLE INC"]')
    expect(row).to_contain_text("unknown")
    field = row.get_by_label("Your symbol for APPLE INC")
    field.fill("aapl")
    field.press("Tab")
    expect(row.locator("[data-f=asset]")).to_have_text("AAPL")
    expect(field).to_have_value("aapl")
    page.get_by_role("button", name="Import 2 rows").click()
    expect(state(page)).to_contain_text("2 rows booked")
    symbols = {row["symbol"] for row in api(page, "GET", rows_of(id_of(page)))["results"]}
    assert symbols == {None, "AAPL"}


def test_unknown_symbols_are_added_as_assets(page: Page) -> None:
    symbol = f"NEW{time.monotonic_ns() % 10**8}"
    choose(page, csv(DEPOSIT, f"2026-10-02,buy,{symbol},2,100,,USD,1"))
    expect(state(page)).to_contain_text("1 problem to solve first")
    page.get_by_label("Add the unknown ones as new assets").check()
    expect(state(page)).to_contain_text("2 rows can be imported")
    assert page.request.get(f"/api/assets/{symbol}/").status == 404  # a look adds none
    page.get_by_role("button", name="Import 2 rows").click()
    expect(state(page)).to_contain_text("2 rows booked")
    assert api(page, "GET", f"/api/assets/{symbol}/")["currency"] == "USD"


def test_how_a_file_is_read_can_be_said(page: Page) -> None:
    german = f"{HEADER.replace(',', ';')}\n2026-10-01;deposit;;;;1.234;USD;\n".encode()
    choose(page, german)
    expect(state(page)).to_contain_text("to solve first")
    page.get_by_text("How to read it").click()
    page.get_by_label("Decimals after a").select_option(",")
    expect(state(page)).to_contain_text("1 row can be imported")
    expect(result(page, "sample").locator("tr")).to_contain_text("1234")


def test_an_import_without_an_answer_is_not_called_failed(person: Person, page: Page) -> None:
    person.guard.expect("503.*imports")
    choose(page, csv(DEPOSIT, BUY))
    expect(state(page)).to_contain_text("2 rows can be imported")
    page.route("**/imports/", lambda route: route.fulfill(status=503, json={"detail": "try again"}))
    page.get_by_role("button", name="Import 2 rows").click()
    expect(state(page)).to_contain_text("It is not known whether the rows are stored")
    expect(page.get_by_role("alert").filter(has_text="try again")).to_be_visible()
    page.unroute("**/imports/")
    page.get_by_role("button", name="Read it again").click()
    expect(state(page)).to_contain_text("2 rows can be imported")


def test_an_export_is_imported_again_as_it_was(page: Page) -> None:
    exported = page.request.get("/api/portfolios/1/transactions.csv").body()
    choose(page, exported, name="portfolio-1.csv")
    expect(state(page)).to_contain_text(re.compile(r"^\d+ rows can be imported"))
    result(page, "book").click()
    expect(state(page)).to_contain_text("booked")

    def held(id: int) -> dict[str, object]:
        positions = api(page, "GET", f"/api/portfolios/{id}/positions/?page_size=100")["results"]
        return {one["symbol"]: (one["quantity"], one["cost"]) for one in positions}

    assert held(id_of(page)) == held(1)


def test_the_page_fits_a_phone_in_the_dark(person: Person) -> None:
    page = person.page(viewport={"width": 375, "height": 740}, color_scheme="dark")
    page.goto("/portfolios/1/import/")
    page.get_by_text("How to read it").click()
    choose(page, csv(DEPOSIT, BUY, "2026-10-02,buy,A-VERY-LONG-SYMBOL-THAT-NOBODY-KNOWS,2,100,,USD,1"))
    expect(result(page, "sample").locator("tr")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 25)"
    assert json.loads(page.evaluate("JSON.stringify([...document.images].map(i => i.naturalWidth > 0))"))
