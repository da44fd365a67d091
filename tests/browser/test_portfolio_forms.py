"""What changes a portfolio on its pages: the form, reversals, settings."""

import json
import re
import time
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, api
from tests.browser.folio import figure, fill, form_of, open_portfolio, position, rows_of

pytestmark = pytest.mark.browser


@pytest.fixture
def page(person: Person) -> Page:
    return person.page()


# --- the form --------------------------------------------------------------------------------------------------------


def test_every_type_shows_the_fields_that_it_needs(page: Page) -> None:
    open_portfolio(page, "Fields")
    table = json.loads(page.locator("#form-table").text_content() or "")
    assert len(table) > 20
    for kind, fields in table.items():
        form_of(page).get_by_label("Type").select_option(kind)
        form = form_of(page).evaluate("form => [...form.elements].map(({ name }) => name)")
        assert set(fields["needed"]) <= set(form), kind
        hidden = {"lots"}  # offered once there are lots to choose from
        assert set(fields["optional"]) - hidden <= set(form), kind
        main = page.locator("[data-view=add] [data-f=main]")
        for name in fields["needed"]:
            expect(main.locator(f"[name={name}]")).to_be_visible()


def test_defaults_come_from_the_asset_and_the_clock(page: Page) -> None:
    id = open_portfolio(page, "Defaults")
    fill(page, "deposit", amount="5000")
    expect(form_of(page).locator("[name=currency]")).to_have_value("USD")
    form_of(page).get_by_role("button", name="Add").click()
    expect(figure(page, "total_value")).to_have_text("$5,000.00")
    fill(page, "buy", symbol="AAPL", quantity="2")
    price = form_of(page).locator("[name=price]")
    expect(price).to_have_value(re.compile(r"^\d+(\.\d+)?$"))
    expect(form_of(page)).to_contain_text("Price (USD)")
    form_of(page).get_by_role("button", name="Add").click()
    expect(position(page, "AAPL").locator("[data-f=quantity]")).to_have_text("2")
    fill(page, "sell", symbol="AAPL")
    form_of(page).get_by_role("button", name="All", exact=True).first.click()
    expect(form_of(page).locator("[name=quantity]")).to_have_value("2")
    row = api(page, "GET", rows_of(id))["results"][0]
    assert row["type"] == "buy" and abs(time.time() - page.evaluate("Date.parse", row["time"]) / 1000) < 120


def test_a_date_alone_is_booked_as_one(page: Page) -> None:
    id = open_portfolio(page, "Dates")
    fill(page, "deposit", amount="10", day="2026-01-05", clock="")
    form_of(page).get_by_role("button", name="Add").click()
    expect(page.locator("[data-view=transactions] tbody tr")).to_have_count(1)
    row = api(page, "GET", rows_of(id))["results"][0]
    assert row["date_only"] and row["time"].startswith("2026-01-05")


def test_a_refusal_stands_at_its_field(person: Person, page: Page) -> None:
    person.guard.expect("400.*transactions")
    open_portfolio(page, "Refusals", currency="EUR")
    fill(page, "deposit", amount="-1", currency="XYZ")
    form = form_of(page)
    form.get_by_role("button", name="Add").click()
    wrong = form.locator("[aria-invalid]").first
    expect(wrong).to_be_focused()
    described = wrong.get_attribute("aria-describedby")
    expect(page.locator(f"#{described}")).to_have_text(re.compile("expected|rate"))
    expect(form.get_by_role("alert")).to_contain_text("Not added")
    fill(page, "deposit", amount="1", currency="EUR")
    form.get_by_role("button", name="Add").click()
    expect(form.get_by_role("status")).to_have_text("Added: Deposit.")
    expect(form.locator("[aria-invalid]")).to_have_count(0)


def test_a_field_out_of_sight_opens_for_its_error(person: Person, page: Page) -> None:
    person.guard.expect("400.*transactions")
    open_portfolio(page, "Hidden field")
    fill(page, "deposit", amount="1")
    form = form_of(page)
    form.get_by_text("More fields").click()
    form.locator("[name=rate]").fill("nonsense")
    form.get_by_text("More fields").click()
    form.get_by_role("button", name="Add").click()
    expect(form.locator("[name=rate]")).to_be_visible()
    expect(form.locator("#add-rate-error")).to_contain_text("expected")


def test_the_lots_that_a_sale_closes_are_chosen(page: Page) -> None:
    id = open_portfolio(page, "Lots")
    api(page, "POST", rows_of(id), {"type": "deposit", "amount": "100000"})
    bought = [
        api(
            page,
            "POST",
            rows_of(id),
            {"type": "buy", "symbol": "MSFT", "quantity": quantity, "price": "10", "time": day},
        )
        for quantity, day in (("1", "2026-10-01"), ("2.5", "2026-10-02"))
    ]
    expect(position(page, "MSFT").locator("[data-f=quantity]")).to_have_text("3.5")
    fill(page, "sell", symbol="MSFT", quantity="2.5")
    form_of(page).get_by_text("More fields").click()
    lots = form_of(page).get_by_role("group", name="Lots to close")
    expect(lots.locator("input")).to_have_count(2)
    lots.get_by_role("button", name="All of the lot of Oct 2, 2026").click()
    form_of(page).get_by_role("button", name="Add").click()
    expect(position(page, "MSFT").locator("[data-f=quantity]")).to_have_text("1")
    row = api(page, "GET", rows_of(id))["results"][0]
    assert [lot["row"] for lot in row["lots"]] == [bought[1]["id"]]
    assert [Decimal(str(lot["quantity"])) for lot in row["lots"]] == [Decimal("2.5")]


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_reversed_row_leaves_the_list_and_stays_on_record(page: Page) -> None:
    id = open_portfolio(page, "Reversal")
    api(page, "POST", rows_of(id), {"type": "deposit", "amount": "7", "note": "by mistake"})
    rows = page.locator("[data-view=transactions] tbody tr")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Reverse: Deposit").click()
    dialog = page.get_by_role("dialog", name="Reverse this transaction?")
    expect(dialog).to_contain_text("Deposit")
    dialog.get_by_role("button", name="Keep").click()
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Reverse: Deposit").click()
    dialog.get_by_role("button", name="Reverse").click()
    expect(rows).to_have_count(0)
    expect(figure(page, "total_value")).to_have_text("$0.00")
    page.get_by_label("Show reversed").check()
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="Deposit").locator(".badge")).to_have_text("reversed")
    rows.filter(has_text="Deposit").get_by_role("button", name="Deposit").click()
    details = page.locator("tr.details-row")
    expect(details).to_contain_text("by mistake")
    expect(details).to_contain_text("Reversed by")
    page.get_by_label("Show reversed").uncheck()
    expect(rows).to_have_count(0)


def test_a_reversal_that_a_later_sale_needs_is_refused_in_the_dialog(person: Person, page: Page) -> None:
    person.guard.expect("400.*transactions")
    id = open_portfolio(page, "Needed")
    api(page, "POST", rows_of(id), {"type": "deposit", "amount": "1000"})
    for type in ("buy", "sell"):
        api(page, "POST", rows_of(id), {"type": type, "symbol": "AAPL", "quantity": "1", "price": "10"})
    page.get_by_role("button", name="Reverse: Bought AAPL").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Reverse").click()
    expect(dialog.get_by_role("alert")).to_contain_text("sell 1 AAPL")


def test_every_digit_of_a_row_is_in_its_details(page: Page) -> None:
    id = open_portfolio(page, "Digits")
    exact = "1234567.123456789012345678"
    api(page, "POST", rows_of(id), {"type": "transfer_in", "symbol": "AAPL", "quantity": exact, "price": "1"})
    page.locator("[data-view=transactions]").get_by_role(
        "button", name="Transfer in of AAPL", exact=True
    ).click()
    expect(page.locator("tr.details-row")).to_contain_text(exact)


# --- settings --------------------------------------------------------------------------------------------------------


def test_settings_are_changed_and_a_wrong_one_is_refused_at_its_field(person: Person, page: Page) -> None:
    person.guard.expect("400.*portfolios")
    id = open_portfolio(page, "Settings")
    page.get_by_role("button", name="Settings").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Time zone").fill("Mars/Olympus")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Time zone")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Time zone").fill("Asia/Kolkata")
    dialog.get_by_label("Lots sold first").select_option("average")
    dialog.get_by_label("Short sales").check()
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator('[data-view=portfolio][data-zone="Asia/Kolkata"]')).to_be_visible()
    saved = api(page, "GET", f"/api/portfolios/{id}/")
    assert (saved["time_zone"], saved["lot_method"], saved["short_sales"]) == (
        "Asia/Kolkata",
        "average",
        True,
    )


def test_portfolios_are_created_with_their_rules_and_added_up(page: Page) -> None:
    page.goto("/portfolios/")
    expect(page.locator("[data-view=sums] li").first).to_contain_text(re.compile(r"\$[\d,]+\.\d\d .*today"))
    page.get_by_label("Name").fill(f"Rules {time.monotonic_ns()}")
    page.get_by_label("Currency").fill("EUR")
    page.get_by_label("Lots sold first").select_option("highest")
    page.get_by_role("button", name="Create portfolio").click()
    page.wait_for_url(re.compile(r"/portfolios/\d+/$"))
    expect(figure(page, "total_value")).to_have_text("€0.00")
    expect(page.locator('[data-view=portfolio][data-method="highest"]')).to_be_visible()
