"""A portfolio that changes under its viewer's eyes: each frame is one with what its receipt gives over REST and CSV.

Ledgers of every kind of row that leaves cost where it is are booked through the running server, in three currencies;
what they hold, and the pairs, are priced by hand. The recomputation is `tests.portfolio.oracle`'s: exact rationals
over a log of events, from the rows and the receipt as REST tells them.
"""

import csv
import io
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio.rows import Row
from tests.contract.client import Frame, Http, Socket
from tests.contract.conftest import System, ok
from tests.contract.test_numbers import COMPONENTS, adds_up, rounded, written
from tests.contract.test_portfolios import Folio, folio, watch
from tests.portfolio import oracle
from tests.portfolio.ledgers import ASSETS, CURRENCIES, Draft, bookable, make_rows
from tests.portfolio.markets import ledgers

__all__ = ["folio"]  # a fixture

# Codes and symbols that no simulated pair or share has.
BASE = "QEU"
CODES = dict(zip(CURRENCIES, (BASE, "QUS", "QGB"), strict=True))
SYMBOLS = {symbol: f"NUM-{symbol}" for symbol, _, _ in ASSETS}
# The first is there as its inverse.
PAIRS = {"QEUQUS": (BASE, "QUS"), "QGBQEU": ("QGB", BASE)}
PRICED = (*SYMBOLS.values(), *PAIRS)
NAMES = count(1)
NUMBERS = (
    "quantity", "amount", "fee", "tax", "fee_rate", "settlement_rate", "to_amount", "cost", "base_cost", "numerator",
    "denominator",
)  # fmt: skip
NEED_A_PRICE = ("buy", "sell", "transfer_in", "transfer_out")
NEED_A_HOLDING = ("transfer_out", "cash_in_lieu", "return_of_capital", "expire")

moves = st.lists(st.tuples(st.sampled_from(PRICED), st.integers(1, 10**6)), min_size=1, max_size=3)
drawn = st.tuples(ledgers, moves)


# --- the market ------------------------------------------------------------------------------------------------------


@pytest.fixture
def market(system: System) -> System:
    """Assets and pairs that trade around the clock, with a close for each day that a baseline may want."""
    session = system.session()
    currencies = {SYMBOLS[symbol]: (CODES[currency], multiplier) for symbol, currency, multiplier in ASSETS}
    for symbol, (currency, multiplier) in currencies.items():
        add_asset(session, symbol, currency=currency, multiplier=str(multiplier))
    for symbol, (base, quote) in PAIRS.items():
        add_asset(session, symbol, currency=quote, base_currency=base, asset_class="fx", calendar="24/7")
    return system


def add_asset(session: Http, symbol: str, **columns: Any) -> None:
    added = session.post("/api/assets/", {"symbol": symbol, "name": symbol, **columns})
    if added.status == 400:
        return  # an earlier test's
    assert added.status == 201, added.body
    noon = datetime.now(UTC).replace(hour=12, minute=0)
    for days in range(7, 0, -1):
        then = (noon - timedelta(days=days)).isoformat()
        set_price(session, symbol, 250_000 + 7_777 * days, time=then)
    set_price(session, symbol, 300_000)


def set_price(session: Http, symbol: str, number: int, **beside: str) -> None:
    price = Decimal(number % 1000 + 500) / 1000 if symbol in PAIRS else Decimal(number) / 100
    ok(session.post(f"/api/assets/{symbol}/prices/", {"price": str(price), **beside}), 201)


# --- the ledger ------------------------------------------------------------------------------------------------------


def rows_of(drafts: Sequence[Draft]) -> list[Row]:
    """Rows the last of which is some hours old; what is paid later is so half an hour from any full hour from now."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=7 * len(drafts), minutes=30)
    return bookable([row for row in make_rows(drafts, start=begin) if row.kind in oracle.KINDS])


def fields(row: Row) -> dict[str, Any]:
    """The row as somebody enters it."""
    sent: dict[str, Any] = {"type": row.kind, "time": row.time.isoformat(), "currency": CODES[row.currency]}
    sent |= {name: str(value) for name in NUMBERS if (value := getattr(row, name))}
    if row.symbol is not None:
        sent["symbol"] = SYMBOLS[row.symbol]
    if row.kind in NEED_A_PRICE or row.price:
        sent["price"] = str(row.price)
    if CODES[row.currency] != BASE and row.kind not in ("split", "bonus", "expire"):
        sent["rate"] = str(row.rate)
    for name in ("fee_currency", "settlement_currency", "to_currency"):
        if code := getattr(row, name):
            sent[name] = CODES[code]
    for name in ("pay_time", "opened"):
        if moment := getattr(row, name):
            sent[name] = moment.isoformat()
    return sent


def read_row(told: Frame, multipliers: dict[str, Decimal]) -> Row:
    """The row as REST tells it."""
    numbers = {name: Decimal(told[name]) for name in (*NUMBERS, "price") if told[name] is not None}
    moments = {
        name: datetime.fromisoformat(told[name]) for name in ("time", "pay_time", "opened") if told[name]
    }
    codes = {name: told[name] or None for name in ("fee_currency", "settlement_currency", "to_currency")}
    whole = {name: int(numbers.pop(name, 0)) for name in ("numerator", "denominator")}
    return Row(
        id=told["id"],
        order=(0, told["id"]),
        kind=told["type"],
        currency=told["currency"],
        symbol=told["symbol"],
        multiplier=multipliers.get(told["symbol"], Decimal(1)),
        rate=Decimal(1 if told["rate"] is None else told["rate"]),
        **numbers,
        **moments,
        **codes,
        **whole,
    )


class Watched:
    """A portfolio of one example and what its viewer has seen of it."""

    def __init__(self, system: System, socket: Socket) -> None:
        self.session = system.session()
        made = {"name": f"Live numbers {next(NAMES)}", "currency": BASE, "short_sales": True}
        self.id = int(ok(self.session.post("/api/portfolios/", made), 201).json["id"])
        self.path = f"/api/portfolios/{self.id}/"
        self._socket = socket

    def play(self, drafts: Sequence[Draft], moves: Sequence[tuple[str, int]]) -> None:
        """Books half of the rows, begins to watch, and lets the other half, prices and a reversal happen."""
        rows = rows_of(drafts)
        booked = [self.add(row) for row in rows[::2]]
        self._socket.request("subscribe_portfolio", {"portfolio_id": self.id})
        booked += [self.add(row) for row in rows[1::2]]
        for symbol, number in moves:
            set_price(self.session, symbol, number)
        stored = [id for id in booked if id is not None]
        if stored:
            gone = self.session.delete(f"{self.path}transactions/{stored[moves[0][1] % len(stored)]}/")
            assert gone.status == 204 or b"without this row" in gone.body, gone.body
        deposit = {"type": "deposit", "amount": "12.34"}
        last = ok(self.session.post(f"{self.path}transactions/", deposit), 201).json["id"]
        self._socket.expect("portfolio_update", lambda frame: frame["data"]["ledger_row"] == last)

    def add(self, row: Row) -> int | None:
        """Books a row; None if it takes what is not there without the rows that come later."""
        answer = self.session.post(f"{self.path}transactions/", fields(row))
        if answer.status == 400 and row.kind in NEED_A_HOLDING:
            assert "held then" in answer.body.decode(), (row, answer.body)
            return None
        assert answer.status == 201, (row, answer.body)
        return int(answer.json["id"])

    @property
    def frames(self) -> list[Frame]:
        seen = (frame["data"] for frame in self._socket.seen if frame["type"] == "portfolio_update")
        return [data for data in seen if data["portfolio_id"] == self.id]

    def get(self, what: str) -> Any:
        return ok(self.session.get(f"{self.path}{what}")).json

    def prove(self, frame: Frame) -> None:
        receipt = frame["receipt"]
        whole = self.get(f"?receipt={receipt}")["valuation"]
        told = self.get(f"receipts/{receipt}/")
        assert told["valuation"] == whole
        assert self.get(f"positions/?receipt={receipt}")["results"] == whole["positions"]
        is_part_of(frame, whole)
        adds_up(whole)
        text = ok(self.session.get(f"{self.path}positions.csv?receipt={receipt}")).body.decode()
        written(text, whole)
        rows = self.get("transactions/?page_size=1000")["results"]
        recomputed(told, rows, text, whole)

    def remove(self) -> None:
        ok(self.session.delete(self.path), 204)
        gone = self._socket.expect(
            "portfolio_removed", lambda frame: frame["data"]["portfolio_id"] == self.id
        )
        assert gone["data"]["reason"] == "deleted"


# --- what must hold --------------------------------------------------------------------------------------------------


def is_part_of(frame: Frame, whole: Frame) -> None:
    """A frame has the positions that were touched, and all sums."""
    parts = ("positions", "cash_positions", "complete")
    assert {**frame, **dict.fromkeys(parts)} == {**whole, **dict.fromkeys(parts)}
    for position in frame["positions"]:
        assert position in whole["positions"]
    assert frame.get("cash_positions", whole["cash_positions"]) == whole["cash_positions"]
    if frame["complete"]:
        assert frame == whole


def recomputed(told: Frame, rows: Sequence[Frame], text: str, whole: Frame) -> None:
    """Every unrounded number of the CSV follows from the rows and the receipt; so do the frame's sums and percent."""
    known = [row for row in rows if row["id"] <= told["ledger_row"]]
    taken_back = {row["reverses"] for row in known if row["reverses"] is not None}
    multipliers = {SYMBOLS[symbol]: multiplier for symbol, _, multiplier in ASSETS}
    ledger = [
        read_row(row, multipliers)
        for row in known
        if row["type"] != "reversal" and row["id"] not in taken_back
    ]
    log = oracle.read(ledger, BASE, datetime.fromisoformat(told["valued_at"]))
    day = oracle.day(log, places_of(told, multipliers))
    near = Fraction(0)
    if any(row.kind in ("split", "bonus") for row in ledger):
        near = Fraction(1, 10**9)  # a third of a share is rounded to 18 places
    for line in csv.DictReader(io.StringIO(text)):
        key = line["position"].replace("receivable:", "due:")
        assert abs(Fraction(line["value"]) - day.values.get(key, 0)) <= near, line
        assert abs(Fraction(line["daily_change"]) - day.changes.get(key, 0)) <= near, line
        parts = (Fraction(line[f"explain.{name}"] or 0) for name in COMPONENTS)
        assert sum(parts, Fraction()) == Fraction(line["daily_change"])
    if near:
        return
    assert (rounded(day.total), rounded(day.change)) == (whole["total_value"], whole["daily_change"])
    assert rounded(day.outside) == whole["external_flows"]
    percent = whole["daily_change_percent"]
    assert percent == (None if day.percent is None else rounded(day.percent))


def places_of(told: Frame, multipliers: dict[str, Decimal]) -> dict[str, oracle.Place]:
    prices = {one["symbol"]: Fraction(one["price"]) for one in told["prices"]}
    rates = {one["currency"]: Fraction(one["rate"]) for one in told["rates"]} | {BASE: Fraction(1)}
    currencies = {SYMBOLS[symbol]: CODES[currency] for symbol, currency, _ in ASSETS}
    places = {}
    for one in told["baselines"]:
        key, start = one["position"], datetime.fromisoformat(one["at"])
        currency = currencies.get(key) or key.removeprefix("cash:")
        rate_then = Fraction(1 if currency == BASE else one["rate"])
        if key in currencies:
            unit = Fraction(multipliers[key])
            then, now = Fraction(one["price"]) * unit * rate_then, prices.get(key, Fraction()) * unit
            places[key] = oracle.Place(start, then, now * rates.get(currency, 0))
        else:
            places[key] = oracle.Place(start, rate_then, rates.get(currency, Fraction()))
            places[f"due:{currency}"] = places[key]
    return places


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batch=st.lists(drawn, min_size=3, max_size=3))
def test_a_frame_of_any_moment_is_what_its_receipt_says_everywhere(
    market: System, batch: list[tuple[list[Draft], list[tuple[str, int]]]]
) -> None:
    # Several portfolios at once: a receipt is written within two seconds, which are waited for once.
    socket = market.connect()
    watched = [Watched(market, socket) for _ in batch]
    for one, (drafts, moved) in zip(watched, batch, strict=True):
        one.play(drafts, moved)
    for one in watched:
        frames = one.frames
        assert frames[0]["complete"]
        # The newest, and one that has what a price or a rate has touched and nothing else.
        for frame in (*[frame for frame in frames[:-1] if not frame["complete"]][-1:], frames[-1]):
            one.prove(frame)
    for one in watched:
        one.remove()
    socket.close()


def test_what_one_enters_another_sees_within_a_second(system: System, folio: Folio) -> None:
    """The fastest of some: a busy machine may keep any one of them waiting."""
    others = [watch(system, folio.id)[0], watch(system, folio.id, "numbers=string")[0]]
    fastest = float("inf")
    for _ in range(5):
        begin = time.monotonic()
        row = folio.add("deposit", amount="1")["id"]
        for other in others:
            other.expect("portfolio_update", lambda frame, row=row: int(frame["data"]["ledger_row"]) == row)
        fastest = min(fastest, time.monotonic() - begin)
        if fastest < 1:
            break
    assert fastest < 1
