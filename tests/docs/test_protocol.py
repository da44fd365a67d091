"""docs/protocol.md names every field of a valuation, of a channel and of an alert, and every address of a portfolio."""

import json
import re
from enum import StrEnum

import msgspec
import pytest

from assets.models import Asset
from config.api import portfolio
from portfolio.wire import CashWire, ExplainWire, PortfolioWire, PositionWire
from realtime.alerts.models import AlertFiring, PriceAlert
from realtime.protocol import Channel, ErrorCode, Mode
from tests.docs.page import Page
from tests.realtime.channels import bar_json, book_json, trades_json

PAGE = Page("protocol.md")


@pytest.mark.parametrize("shape", [PortfolioWire, PositionWire, CashWire, ExplainWire])
def test_every_field_of_a_valuation_is_named(shape: type[msgspec.Struct]) -> None:
    words = set(re.findall(r"\w+", PAGE.section("portfolio_update")))
    assert set(shape.__struct_fields__) <= words


def test_every_field_of_an_alert_is_in_its_example() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE.section("alert"), re.DOTALL)
    firing = AlertFiring(alert=PriceAlert(asset=Asset(symbol="ACME"), kind="above"))
    assert set(json.loads(example)["data"]) == set(firing.as_wire())


def test_every_address_of_a_portfolio_is_listed() -> None:
    text = PAGE.section("Portfolios over REST")
    names = {re.sub(r"\\|\^|\$|\(.*", "", str(address.pattern)) for address in portfolio}
    assert len(names) > 5
    assert {name for name in names if f"`{name}" not in text} == set()


@pytest.mark.parametrize("words", [Mode, Channel, ErrorCode])
def test_every_mode_channel_and_error_code_is_named(words: type[StrEnum]) -> None:
    missing = {word for word in words if f"`{word}`" not in PAGE.text}
    assert missing == set()


def test_every_field_of_a_channel_is_named() -> None:
    text = PAGE.section("Channel frames")
    frames = {frame["type"]: frame["data"] for frame in map(json.loads, examples(text))}
    assert frames.keys() == {"trade", "book_snapshot", "book_update", "bar", "market_notice"}
    assert set(json.loads(trades_json("A", [1]))[0]) == frames["trade"].keys()
    assert json.loads(book_json("A", 1, [], [])).keys() == frames["book_snapshot"].keys()
    assert json.loads(bar_json("A", "t", 1)).keys() == frames["bar"].keys()


def examples(text: str) -> list[str]:
    """The frames of a section's example, each of which begins a line."""
    block = text.partition("```json\n")[2].partition("```")[0]
    return re.split(r"\n(?=\{)", block.strip())
