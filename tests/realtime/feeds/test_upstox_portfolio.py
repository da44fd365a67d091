"""Upstox's portfolio stream: what each kind of update becomes, and what is no update."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from assets.market import AccountEvent
from realtime.feeds.base import FrameError
from realtime.feeds.upstox_portfolio import UpstoxPortfolioFeed
from tests.realtime.feeds.fakes import START, JumpingClock
from tests.vendors.upstox_frames import GTT, HOLDING, ORDER, POSITION, STOCK, text_of


def feed() -> UpstoxPortfolioFeed:
    return UpstoxPortfolioFeed(url="ws://127.0.0.1:1", token="token", clock=JumpingClock())


def told(update: dict[str, Any]) -> AccountEvent:
    [event] = feed().decode(text_of(update).encode())
    assert isinstance(event, AccountEvent)
    return event


def test_an_order_keeps_every_field_and_its_numbers_are_exact() -> None:
    event = told(ORDER)
    assert (event.kind, event.key, event.symbol) == ("order", "250228000000001", STOCK)
    assert event.as_of == datetime(2025, 2, 28, 7, 30, 2, tzinfo=UTC)  # it is told in Indian time
    assert event.details["price"] == Decimal("1190.55") and event.details["quantity"] == Decimal(10)
    assert (event.details["tag"], event.details["is_amo"]) == (None, False)
    assert event.details.keys() == ORDER.keys() - {"update_type"}


def test_positions_and_holdings_are_named_by_their_instrument() -> None:
    position, holding = told(POSITION), told(HOLDING)
    assert (position.kind, position.key) == ("position", f"{STOCK} D")
    assert (holding.kind, holding.key, holding.details["isin"]) == ("holding", STOCK, "INE002A01018")
    assert position.as_of == START  # they tell no time


def test_the_rules_of_a_gtt_order_are_told_one_by_one() -> None:
    event = told(GTT)
    assert (event.kind, event.key) == ("gtt", "GTT-C25280200071353")
    assert event.details["rules.0.trigger_price"] == Decimal("1250.5")
    assert event.details["rules.0.strategy"] == "ENTRY"


def test_a_time_that_is_none_is_ours() -> None:
    late = ORDER | {"order_timestamp": "soon", "exchange_timestamp": "2025-02-28 13:00:01"}
    assert told(late).as_of == datetime(2025, 2, 28, 7, 30, 1, tzinfo=UTC)
    assert told(late | {"exchange_timestamp": None}).as_of == START


@pytest.mark.parametrize(
    "update",
    [
        {"update_type": "dividend", "order_id": "1"},
        {"type": "order", "data": {"order_id": "1"}},  # as older texts have it
        {},
    ],
)
def test_what_is_no_update_that_we_know_says_nothing(update: dict[str, Any]) -> None:
    assert feed().decode(json.dumps(update).encode()) == []


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", "not_json"),
        (b"null", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"update_type":"order","order_id":', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"update_type":"order","a":' * 100_000, "too_deep"),
        (b'{"update_type":"order","order_id":"1","price":1e99}', "not_json"),
        (b'{"update_type":"order","order_id":"1","quantity":' + b"9" * 40 + b"}", "bad_number"),
        (b'{"update_type":"order","status":"open"}', "no_order_id"),
    ],
)
def test_an_update_that_cannot_be_used_is_named(frame: bytes, kind: str) -> None:
    with pytest.raises(FrameError) as error:
        feed().decode(frame)
    assert error.value.kind == kind


def test_it_is_asked_nothing() -> None:
    assert feed().opened({}) == feed().subscribe({"A": "ltpc"}) == feed().unsubscribe(["A"]) == []
