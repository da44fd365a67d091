"""docs/protocol.md names every field of a valuation and every address of a portfolio."""

import re

import msgspec
import pytest

from config.api import portfolio
from portfolio.wire import CashWire, ExplainWire, PortfolioWire, PositionWire
from tests.docs.page import Page

PAGE = Page("protocol.md")


@pytest.mark.parametrize("shape", [PortfolioWire, PositionWire, CashWire, ExplainWire])
def test_every_field_of_a_valuation_is_named(shape: type[msgspec.Struct]) -> None:
    words = set(re.findall(r"\w+", PAGE.section("portfolio_update")))
    assert set(shape.__struct_fields__) <= words


def test_every_address_of_a_portfolio_is_listed() -> None:
    text = PAGE.section("Portfolios over REST")
    names = {re.sub(r"\\|\^|\$|\(.*", "", str(address.pattern)) for address in portfolio}
    assert len(names) > 5
    assert {name for name in names if f"`{name}" not in text} == set()
