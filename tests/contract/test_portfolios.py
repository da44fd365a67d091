"""A watched portfolio: who sees it, what moves it, and that it says what REST says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.client import Frame, Socket
from tests.contract.conftest import System, ok
from tests.contract.test_delivery import still_asset
from tests.contract.test_frames import growth


class Folio:
    """A portfolio of the test's own, over REST."""

    def __init__(self, system: System, name: str) -> None:
        self.session = system.session()
        self.id = int(
            ok(self.session.post("/api/portfolios/", {"name": name, "currency": "USD"}), 201).json["id"]
        )
        self.path = f"/api/portfolios/{self.id}/"

    def add(self, type: str, **fields: Any) -> Frame:
        row: Frame = ok(self.session.post(f"{self.path}transactions/", {"type": type, **fields}), 201).json
        return row

    def value(self, receipt: str = "") -> Frame:
        address = f"{self.path}?receipt={receipt}" if receipt else self.path
        found: Frame = ok(self.session.get(address)).json["valuation"]
        return found


@pytest.fixture
def folio(system: System, request: pytest.FixtureRequest) -> Iterator[Folio]:
    """1,000 in cash and ten pieces at 5 of an asset that moves only by hand; empty again for the next test."""
    still_asset(system, "HELD", "5")
    folio = Folio(system, request.node.name[:90])
    folio.add("deposit", amount="1000")
    folio.add("buy", symbol="HELD", quantity="10", price="5", fee="1")
    yield folio
    folio.session.delete(folio.path)


def watch(system: System, portfolio_id: int, options: str = "") -> tuple[Socket, Frame]:
    """A connection that watches a portfolio, and the first value that it got."""
    socket = system.connect(options=options)
    answer = socket.request("subscribe_portfolio", {"portfolio_id": portfolio_id})
    assert answer["type"] == "subscribed"
    assert answer["data"]["results"] == [{"portfolio_id": portfolio_id, "status": "ok"}]
    first: Frame = socket.expect("portfolio_update")["data"]
    return socket, first


def next_value(socket: Socket, total: str) -> Frame:
    wanted = Decimal(total)
    found = socket.expect("portfolio_update", lambda frame: frame["data"]["total_value"] == wanted)
    data: Frame = found["data"]
    return data


def test_first_value_is_complete_and_the_numbers_are_those_of_rest(system: System, folio: Folio) -> None:
    _, first = watch(system, folio.id)
    assert first["complete"] is True
    assert figures(folio.value()) == figures(first)
    assert folio.value(first["receipt"]) == first
    assert first["total_value"] == Decimal("999") and first["cash"] == Decimal("949")
    assert [position["symbol"] for position in first["positions"]] == ["HELD"]
    assert ok(folio.session.get(f"{folio.path}positions/")).json["results"] == first["positions"]


def test_a_price_moves_the_value_of_every_viewer(system: System, folio: Folio) -> None:
    viewers = [watch(system, folio.id)[0], watch(system, folio.id, "batch=1")[0]]
    ok(folio.session.post("/api/assets/HELD/prices/", {"price": "7.5"}), 201)
    for viewer in viewers:
        data = next_value(viewer, "1024")
        position = next(position for position in data["positions"] if position["symbol"] == "HELD")
        assert (position["price"], position["value"]) == (Decimal("7.5"), Decimal("75"))
        assert position["source"] == "manual"
    assert folio.value()["total_value"] == Decimal("1024")


def test_a_live_market_moves_it_without_end_and_the_parts_sum_to_the_whole(system: System) -> None:
    socket, first = watch(system, growth(system))
    positions = {position["symbol"]: position for position in first["positions"]}
    for _ in range(5):
        data = socket.expect("portfolio_update")["data"]
        positions |= {position["symbol"]: position for position in data["positions"]}
        whole = sum(position["value"] for position in positions.values()) + data["cash"]
        assert abs(whole - data["total_value"]) <= Decimal("0.01") * len(positions)
    assert (
        len({frame["data"]["total_value"] for frame in socket.seen if frame["type"] == "portfolio_update"})
        > 1
    )


def test_watching_a_portfolio_sends_no_asset_updates(system: System) -> None:
    socket, _ = watch(system, growth(system))
    for _ in range(3):
        socket.expect("portfolio_update")
    assert not socket.updates()


def test_a_transaction_over_rest_reaches_its_viewers(system: System, folio: Folio) -> None:
    socket, _ = watch(system, folio.id)
    folio.add("deposit", amount="250.50")
    assert next_value(socket, "1249.50")["cash"] == Decimal("1199.50")
    bought_at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    folio.add("buy", symbol="HELD", quantity="2.5", price="4", fee="0", currency="USD", time=bought_at)
    data = next_value(socket, "1252")
    assert data["positions"][0]["quantity"] == Decimal("12.5")
    sold = folio.add("sell", symbol="HELD", quantity="12.5", price="5")
    # What was sold today explains today's change.
    socket.expect("portfolio_update", lambda frame: quantities(frame) in ([], [0]))
    ok(folio.session.delete(f"{folio.path}transactions/{sold['id']}/"), 204)
    socket.expect("portfolio_update", lambda frame: quantities(frame) == [Decimal("12.5")])


def figures(value: Frame) -> Frame:
    """A value without what tells one valuation from the next."""
    return {name: found for name, found in value.items() if name not in ("valued_at", "receipt")}


def quantities(frame: Frame) -> list[Decimal]:
    return [position["quantity"] for position in frame["data"]["positions"]]


def test_a_sale_of_more_than_is_held_is_refused_and_moves_nothing(system: System, folio: Folio) -> None:
    before = folio.value()
    body = {"type": "sell", "symbol": "HELD", "quantity": "10.5", "price": "5"}
    assert folio.session.post(f"{folio.path}transactions/", body).status == 400
    assert figures(folio.value()) == figures(before)


def test_a_deleted_portfolio_is_told_to_its_viewers_who_stay_connected(system: System, folio: Folio) -> None:
    socket, _ = watch(system, folio.id)
    ok(folio.session.delete(folio.path), 204)
    data = socket.expect("portfolio_removed")["data"]
    assert data["portfolio_id"] == folio.id and data["reason"]
    error = socket.request("subscribe_portfolio", {"portfolio_id": folio.id})
    assert error["data"]["code"] == "portfolio_not_found"
    assert socket.results("clear_subscriptions", {}) == []


def test_unsubscribing_really_stops_updates(system: System, folio: Folio) -> None:
    (gone, _), (stays, _) = watch(system, folio.id), watch(system, folio.id)
    assert gone.request("unsubscribe_portfolio", {"portfolio_id": folio.id})["type"] == "unsubscribed"
    gone.skip()
    for price, total in (("6", "1009"), ("8", "1029")):
        ok(folio.session.post("/api/assets/HELD/prices/", {"price": price}), 201)
        next_value(stays, total)
    gone.catch_up()
    types = [frame["type"] for frame in gone.seen]
    assert "portfolio_update" not in types[types.index("unsubscribed") :]


def test_subscribing_again_brings_the_whole_value_again(system: System, folio: Folio) -> None:
    socket, first = watch(system, folio.id)
    socket.request("subscribe_portfolio", {"portfolio_id": folio.id})
    assert figures(socket.expect("portfolio_update")["data"]) == figures(first)


def test_a_holding_without_a_price_is_named_and_never_filled_in(system: System, folio: Folio) -> None:
    session = folio.session
    session.post("/api/assets/", {"symbol": "DARK", "name": "no price yet", "currency": "USD"})
    folio.add("buy", symbol="DARK", quantity="1", price="100")
    _, first = watch(system, folio.id)
    assert [entry["symbol"] for entry in first["unpriced"]] == ["DARK"]
    assert first["unpriced"][0]["reason"]
    dark = next(position for position in first["positions"] if position["symbol"] == "DARK")
    assert dark["price"] is None and dark["value"] is None
    assert first["coverage"] < 1 and isinstance(first["total_value"], (int, Decimal))


def test_a_renamed_portfolio_is_shown_by_its_new_name(system: System, folio: Folio) -> None:
    socket, _ = watch(system, folio.id)
    ok(folio.session.request("PATCH", folio.path, {"name": "Renamed by a test"}))
    socket.expect("portfolio_update", lambda frame: frame["data"]["name"] == "Renamed by a test")


def test_an_empty_portfolio_is_worth_nothing_and_says_so(system: System) -> None:
    folio = Folio(system, "empty")
    _, first = watch(system, folio.id)
    assert (first["total_value"], first["daily_change"], first["positions"]) == (0, 0, [])
    folio.session.delete(folio.path)
