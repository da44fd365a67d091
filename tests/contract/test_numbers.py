"""One receipt, four ways: the frame, REST, the CSV and a recomputation by exact rationals are the same numbers.

Generated ledgers are booked through the running server; assets move by hand, the pair between euros and dollars is
the simulator's and ticks all the time.
"""

import csv
import io
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.client import Frame, Http
from tests.contract.conftest import System, ok
from tests.contract.test_delivery import still_asset
from tests.contract.test_portfolios import watch

ASSETS = ("NUMA", "NUMB")
CENT = Decimal("0.01")
NUMBERS = count(1)
COMPONENTS = ("price", "currency", "trades", "income", "fees")

amounts = st.decimals(min_value="0.01", max_value="5000", places=2)
quantities = st.decimals(min_value="0.001", max_value="40", places=3)
prices = st.decimals(min_value="0.5", max_value="300", places=2)
fees = st.decimals(min_value=0, max_value=9, places=2)
currencies = st.sampled_from(("EUR", "USD"))
assets = st.sampled_from(ASSETS)
steps = st.one_of(
    st.tuples(st.just("deposit"), amounts, currencies),
    st.tuples(st.just("withdrawal"), amounts, currencies),
    st.tuples(st.just("convert"), amounts, amounts),
    st.tuples(st.just("buy"), assets, quantities, prices, fees),
    st.tuples(st.just("sell"), assets, quantities, prices, fees),
    st.tuples(st.just("dividend"), assets, amounts, fees),
    st.tuples(st.just("reverse"), st.integers(0, 20)),
)
ledgers = st.lists(steps, min_size=1, max_size=9)


@pytest.fixture
def priced(system: System) -> System:
    for symbol in ASSETS:
        still_asset(system, symbol, "100")
    return system


# Fifty ledgers, five at a time: a receipt is written within two seconds, which five wait for together.
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batch=st.lists(st.tuples(ledgers, prices, prices), min_size=5, max_size=5))
def test_frame_rest_csv_and_recomputation_are_one(
    priced: System, batch: list[tuple[list[tuple[Any, ...]], Decimal, Decimal]]
) -> None:
    session = priced.session()
    paths = [opened(session) for _ in batch]
    try:
        frames = []
        for path, (ledger, *last) in zip(paths, batch, strict=True):
            book(session, path, ledger)
            for symbol, price in zip(ASSETS, last, strict=True):
                ok(session.post(f"/api/assets/{symbol}/prices/", {"price": str(price)}), 201)
            socket, frame = watch(priced, int(path.rstrip("/").rsplit("/", 1)[1]))
            socket.close()
            frames.append(frame)
        for path, frame in zip(paths, frames, strict=True):
            is_one(session, path, frame)
    finally:
        for path in paths:
            ok(session.delete(path), 204)


def is_one(session: Http, path: str, frame: Frame) -> None:
    receipt = frame["receipt"]
    assert ok(session.get(f"{path}?receipt={receipt}")).json["valuation"] == frame
    told = ok(session.get(f"{path}receipts/{receipt}/")).json
    assert told["valuation"] == frame
    adds_up(frame)
    written(ok(session.get(f"{path}positions.csv?receipt={receipt}")).body.decode(), frame)
    rows = ok(session.get(f"{path}transactions/?page_size=1000")).json["results"]
    recomputed(Recomputation(told, rows), frame)


def opened(session: Http) -> str:
    made = session.post("/api/portfolios/", {"name": f"Numbers {next(NUMBERS)}", "currency": "EUR"})
    return f"/api/portfolios/{ok(made, 201).json['id']}/"


def book(session: Http, path: str, ledger: list[tuple[Any, ...]]) -> None:
    """Books the steps an hour or a day apart, the last of them a moment ago; a sale of too much is a purchase."""
    moment = datetime.now(UTC) - timedelta(hours=13 * len(ledger))
    held: dict[str, Decimal] = defaultdict(Decimal)
    booked: list[tuple[int, str]] = []
    for step in ledger:
        kind, *values = step
        moment += timedelta(hours=12)
        if kind == "reverse":
            # Only of what no later sale can need.
            harmless = [id for id, booked_kind in booked if booked_kind not in ("buy", "sell")]
            if harmless:
                id = harmless[values[0] % len(harmless)]
                ok(session.delete(f"{path}transactions/{id}/"), 204)
                booked = [one for one in booked if one[0] != id]
            continue
        if kind == "sell" and held[values[0]] < values[1]:
            kind = "buy"
        row = ok(session.post(f"{path}transactions/", fields(kind, values, moment)), 201).json
        booked.append((row["id"], kind))
        if kind in ("buy", "sell"):
            held[values[0]] += values[1] if kind == "buy" else -values[1]


def fields(kind: str, values: list[Any], moment: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {"type": kind, "time": moment.isoformat()}
    match kind, values:
        case (("deposit" | "withdrawal"), [amount, currency]):
            row |= {"amount": str(amount), "currency": currency}
        case "convert", [amount, other]:
            row |= {"amount": str(amount), "currency": "EUR", "to_amount": str(other), "to_currency": "USD"}
        case "dividend", [symbol, amount, tax]:
            row |= {"symbol": symbol, "amount": str(amount), "tax": str(min(tax, amount))}
        case _, [symbol, quantity, price, fee]:
            row |= {"symbol": symbol, "quantity": str(quantity), "price": str(price), "fee": str(fee)}
    return row


# --- what must hold -------------------------------------------------------------------------------------------------


def adds_up(frame: Frame) -> None:
    for one in (frame, *frame["positions"], *frame["cash_positions"]):
        if one["daily_change"] is None:
            continue
        assert sum(one["explain"].values()) == one["daily_change"]
        assert abs(one["explain"]["rounding"]) <= CENT * (len(COMPONENTS) + 1) / 2
    parts = [
        one["value"] for one in (*frame["positions"], *frame["cash_positions"]) if one["value"] is not None
    ]
    assert abs(sum(parts) - frame["total_value"]) <= CENT * (len(parts) + 1) / 2


def written(text: str, frame: Frame) -> None:
    """The CSV's unrounded numbers round to the frame's."""
    rows = {row["position"]: row for row in csv.DictReader(io.StringIO(text))}
    assert {row["receipt"] for row in rows.values()} <= {frame["receipt"]}
    for position in frame["positions"]:
        same(rows[position["symbol"]], position)
    for cash in frame["cash_positions"]:
        same(rows[f"{'receivable' if cash['receivable'] else 'cash'}:{cash['currency']}"], cash)
    assert len(rows) == len(frame["positions"]) + len(frame["cash_positions"])
    assert (
        rounded(sum((Fraction(row["value"]) for row in rows.values() if row["value"]), Fraction()))
        == (frame["total_value"])
    )


def same(row: dict[str, str], told: Frame) -> None:
    for name in ("value", "daily_change"):
        unrounded = Fraction(row[name]) if row[name] else None
        assert (None if unrounded is None else rounded(unrounded)) == told[name], (name, row, told)
    if told["explain"] is not None:
        for name in COMPONENTS:
            assert rounded(Fraction(row[f"explain.{name}"])) == told["explain"][name]


def rounded(number: Fraction) -> Decimal:
    """Half even, to cents."""
    cents = Decimal(round(number * 100))  # Fraction's round is half even
    return (cents / 100).quantize(CENT, ROUND_HALF_EVEN)


class Recomputation:
    """A portfolio's figures by another way: what was held then and now, and what flowed in between. No components."""

    def __init__(self, told: Frame, rows: list[Frame]) -> None:
        self.prices = {one["symbol"]: one for one in told["prices"]}
        self.rates = {"EUR": Fraction(1)} | {one["currency"]: Fraction(one["rate"]) for one in told["rates"]}
        self.baselines = {one["position"]: one for one in told["baselines"]}
        gone = {row["reverses"] for row in rows if row["reverses"] is not None}
        self.rows = [row for row in rows if row["id"] not in gone and row["type"] != "reversal"]

    def legs(self, row: Frame) -> list[tuple[str, Fraction, Fraction]]:
        """What the row moved: of which position, how much, and its value in euros."""
        rate = Fraction(row["rate"])
        amount, fee, tax = (Fraction(row[name] or 0) for name in ("amount", "fee", "tax"))
        cash = f"cash:{row['currency']}"
        match row["type"]:
            case "deposit":
                return [(cash, amount, amount * rate)]
            case "withdrawal":
                return [(cash, -amount, -amount * rate)]
            case "convert":
                return [
                    (cash, -amount, -amount * rate),
                    (f"cash:{row['to_currency']}", Fraction(row["to_amount"]), amount * rate),
                ]
            case "dividend":
                return [(cash, amount - tax, (amount - tax) * rate)]
        sign = 1 if row["type"] == "buy" else -1
        quantity, paid = (
            sign * Fraction(row["quantity"]),
            sign * Fraction(row["quantity"]) * Fraction(row["price"]),
        )
        return [(row["symbol"], quantity, paid * rate), (cash, -paid - fee, -(paid + fee) * rate)]

    def held(self, key: str, until: datetime | None = None) -> Fraction:
        moved = (leg for row in self.rows if until is None or time_of(row) <= until for leg in self.legs(row))
        return sum((quantity for name, quantity, _ in moved if name == key), Fraction())

    def figures(self, key: str) -> tuple[Fraction, Fraction | None]:
        """A position's value in euros, and today's change: V1 - V0 - flows into it + income - fees."""
        baseline = self.baselines[key]
        began = datetime.fromisoformat(baseline["at"])
        currency = key.removeprefix("cash:") if key.startswith("cash:") else "USD"
        price = Fraction(1) if key.startswith("cash:") else Fraction(self.prices[key]["price"])
        worth = self.held(key) * price * self.rates[currency]
        before = self.worth_then(key, currency, baseline, self.held(key, began))
        if before is None:
            return worth, None
        today = [row for row in self.rows if time_of(row) > began]
        flows = sum((value for row in today for name, _, value in self.legs(row) if name == key), Fraction())
        own = [row for row in today if row["symbol"] == key]
        income = sum(
            (Fraction(r["amount"]) * Fraction(r["rate"]) for r in own if r["type"] == "dividend"), Fraction()
        )
        costs = sum(
            ((Fraction(r["fee"]) + Fraction(r["tax"] or 0)) * Fraction(r["rate"]) for r in own), Fraction()
        )
        return worth, worth - before - flows + income - costs

    def worth_then(self, key: str, currency: str, baseline: Frame, quantity: Fraction) -> Fraction | None:
        if not quantity:
            return Fraction()
        rate = 1 if currency == "EUR" else baseline["rate"]
        price = 1 if key.startswith("cash:") else baseline["price"]
        if price is None and baseline["quoted"]:
            price = self.prices[key]["previous_close"]
        return None if rate is None or price is None else quantity * Fraction(price) * Fraction(rate)


def time_of(row: Frame) -> datetime:
    return datetime.fromisoformat(row["time"])


def recomputed(by_hand: Recomputation, frame: Frame) -> None:
    total, change = Fraction(), Fraction()
    positions = [(one["symbol"], one["quantity"], one) for one in frame["positions"]]
    cash = [(f"cash:{one['currency']}", one["amount"], one) for one in frame["cash_positions"]]
    for key, quantity, told in (*positions, *cash):
        held = by_hand.held(key)
        assert Fraction(quantity) == (Fraction(rounded(held)) if key.startswith("cash:") else held)
        value, today = by_hand.figures(key)
        assert (rounded(value), None if today is None else rounded(today)) == (
            told["value"],
            told["daily_change"],
        )
        total += value
        change += today or 0
    assert (rounded(total), rounded(change)) == (frame["total_value"], frame["daily_change"])
