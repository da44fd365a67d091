"""What tests of the portfolio pages do again and again."""

import re
import time
from decimal import Decimal
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import api


def open_portfolio(page: Page, name: str, **settings: Any) -> int:
    """Makes a portfolio of the test's own, so that none depends on another."""
    page.goto("/portfolios/")
    made = api(page, "POST", "/api/portfolios/", {"name": f"{name} {time.monotonic_ns()}", **settings})
    page.goto(f"/portfolios/{made['id']}/")
    expect(figure(page, "total_value")).to_have_text(re.compile(r"\d"))
    return int(made["id"])


def rows_of(id: int) -> str:
    return f"/api/portfolios/{id}/transactions/"


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"[data-view=portfolio] [data-figure={name}]")


def position(page: Page, symbol: str) -> Locator:
    return page.locator(f'[data-view=positions] tr[data-symbol="{symbol}"]')


def form_of(page: Page) -> Locator:
    return page.locator("[data-view=add]")


def fill(page: Page, type: str, **fields: str) -> None:
    form = form_of(page)
    form.get_by_label("Type").select_option(type)
    for name, value in fields.items():
        field = form.locator(f"[name={name}]")
        field.fill(value)
        field.press("Tab")


def amount(text: str) -> Decimal:
    """The number that a person reads: "-$1,234.56", with a true minus sign, is -1234.56."""
    digits = re.sub(r"[^\d.\u2212-]", "", text).replace("\u2212", "-")
    return Decimal(digits)


def parts_and_sum(dialog: Locator) -> tuple[list[Decimal], Decimal]:
    cells = dialog.locator("[data-f=parts] td").all_inner_texts()
    return [amount(cell) for cell in cells], amount(dialog.locator("[data-f=sum]").inner_text())
