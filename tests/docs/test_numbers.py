"""docs/numbers.md, computed again: its rows go through the product, and every figure of its tables is compared."""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any, NamedTuple, get_args

import pytest

from assets.rates import LastPrice, Pair, RatePoint, Rates
from assets.sessions import AROUND_THE_CLOCK, FX_DAYS, Calendar, window
from portfolio.arithmetic import CENT, EXACT, HUNDRED, ZERO, div, minor_unit, shown
from portfolio.columns import ALLOWED, NEEDED
from portfolio.ledger import KINDS, LOT_METHODS, Books, Row, replay
from portfolio.positions import CashValue, PositionValue, PricePoint, Reason
from portfolio.valuation import Valuation, hold, value
from portfolio.windows import Baseline, PortfolioFacts
from portfolio.wire import PortfolioWire
from tests.docs.page import Page, computed, moment, names_in, number, plain
from tests.exchanges import NEW_YORK

PAGE = Page("numbers.md")
COMPONENTS = ("price", "currency", "trades", "income", "fees")
TEXTS = {"symbol", "currency", "to_currency"}
TIMES = {"time", "pay_time"}
WHOLE = {"numerator", "denominator"}
# What the table of rows says of several columns at once.
GROUPS = {
    "fee…": {"fee", "fee_currency", "fee_rate"},
    "settlement…": {"settlement_currency", "settlement_rate"},
}


class Example(NamedTuple):
    """An example of the page: the portfolio's currency, the share in it, and the headings of its tables."""

    currency: str
    symbol: str
    name: str

    def table(self, what: str) -> list[dict[str, str]]:
        return PAGE.tables(f"{what} in {self.name}")[0]

    @property
    def now(self) -> datetime:
        found = re.search(r"Now is (\d{4}-\d\d-\d\d \d\d:\d\d)", PAGE.section(f"The market of {self.name}"))
        assert found is not None
        return moment(found[1])

    @property
    def market(self) -> list[dict[str, str]]:
        return PAGE.table(f"The market of {self.name}")

    def books(self, until: datetime) -> Books:
        rows = [_row(cells) for cells in PAGE.table(f"The rows of {self.name}")]
        return replay(rows, base=self.currency, until=until)

    def valuation(self, now: datetime | None = None) -> Valuation:
        now = now or self.now
        known = {line["position"]: line for line in self.market}
        baselines = {name.replace(" ", ":"): _baseline(line, now) for name, line in known.items()}
        prices = {
            name: PricePoint(price=number(line["price now"]), as_of=now)
            for name, line in known.items()
            if line["price now"]
        }
        rates = {
            name.removeprefix("cash "): RatePoint(number(line["rate now"]), now)
            for name, line in known.items()
            if name.startswith("cash ")
        }
        facts = PortfolioFacts(id=1, name="Example", currency=self.currency)
        return value(hold(facts, self.books(now), {}, baselines, now), prices, rates)


FIRST = Example("EUR", "ACME", "the example")
SECOND = Example("USD", "BOLT", "the second example")
both = pytest.mark.parametrize("example", [FIRST, SECOND], ids=["first", "second"])


def _row(cells: dict[str, str]) -> Row:
    values: dict[str, Any] = {"kind": cells["type"], "id": int(cells["row"]), "order": (0, int(cells["row"]))}
    for name, text in cells.items():
        if not text or name in ("row", "type"):
            continue
        if name in TIMES:
            values[name] = moment(text)
        elif name in WHOLE:
            values[name] = int(text)
        else:
            values[name] = text if name in TEXTS else number(text)
    return Row(**values)


def _calendar(line: dict[str, str]) -> Calendar:
    return FX_DAYS if line["position"].startswith("cash ") else NEW_YORK


def _baseline(line: dict[str, str], now: datetime) -> Baseline:
    return Baseline(
        at=moment(line["baseline"]),
        until=window(_calendar(line), now).until,
        price=number(line["price then"]) if line["price then"] else None,
        rate=number(line["rate then"]),
    )


def _named(position: PositionValue | CashValue) -> str:
    return (
        position.holding.symbol
        if isinstance(position, PositionValue)
        else f"{'due' if position.holding.receivable else 'cash'} {position.holding.currency}"
    )


def _positions(valuation: Valuation) -> dict[str, PositionValue | CashValue]:
    positions: list[PositionValue | CashValue] = [*valuation.positions, *valuation.cash_positions]
    return {_named(position): position for position in positions}


def _exact(things: tuple[Any, ...], name: str) -> Decimal:
    """A figure before it is rounded, from the first thing that has it."""
    found: Decimal = next(getattr(thing, name) for thing in things if hasattr(thing, name))
    return found


def _text(number: Any) -> str:
    return f"{number:f}"


def _lines(table: list[dict[str, str]]) -> Iterator[tuple[str, dict[str, str]]]:
    for line in table:
        (name,) = names_in(line["field"])
        yield name, line


# --- the examples -----------------------------------------------------------------------------------------------------


@both
def test_the_baselines_are_those_of_the_sessions(example: Example) -> None:
    for line in example.market:
        assert moment(line["baseline"]) == window(_calendar(line), example.now).at, line["position"]


@both
def test_the_rates_are_those_that_were_used(example: Example) -> None:
    positions = _positions(example.valuation())
    for line in example.market:
        position = positions[line["position"]]
        assert position.rate == number(line["rate now"])
        assert position.holding.baseline.rate == number(line["rate then"])


@both
def test_every_component_of_today(example: Example) -> None:
    written: dict[tuple[str, str], Decimal] = {}
    for line in example.table("Today"):
        amount = number(line[example.currency])
        assert computed(line["how"]) == amount, line["how"]
        written[line["position"], line["component"]] = amount
    found = {
        (name, component): getattr(position.components, component)
        for name, position in _positions(example.valuation()).items()
        for component in COMPONENTS
    }
    assert found == {key: written.get(key, ZERO) for key in found}
    assert not written.keys() - found.keys()


@both
def test_every_figure_of_the_share(example: Example) -> None:
    valuation = example.valuation()
    position = next(p for p in valuation.positions if p.holding.symbol == example.symbol)
    (wire,) = valuation.as_wire()["positions"]
    assert position.value is not None
    for name, line in _lines(example.table(example.symbol)):
        if name == "weight_percent":
            found = div(EXACT.multiply(HUNDRED, position.value), valuation.total_value)
        else:
            found = _exact((position, position.holding, position.terms), name)
        assert computed(line["how"]) == number(line["exact"]) == found, name
        assert plain(line["shown"]) == _text(wire[name]), name


@both
def test_every_figure_of_the_portfolio(example: Example) -> None:
    valuation = example.valuation()
    wire = valuation.as_wire()
    for name, line in _lines(example.table("The portfolio")):
        inside, _, component = name.partition(".")
        sent = wire[inside][component] if component else wire[name]
        if component == "rounding":
            found = sent
        elif component:
            found = getattr(valuation.components, component)
        else:
            found = _exact((valuation, valuation.holdings), name)
        assert computed(line["how"]) == number(line["exact"]) == found, name
        assert plain(line["shown"]) == _text(sent), name


def test_the_lots() -> None:
    lots = FIRST.books(FIRST.now).accounts[FIRST.symbol].lots
    written = [
        (
            int(line["opened by row"]),
            moment(line["opened"]),
            *(number(line[name]) for name in ("quantity", "cost (USD)", "cost_base")),
        )
        for line in PAGE.tables("ACME in the example")[1]
    ]
    assert written == [(lot.row_id, lot.opened, lot.quantity, lot.cost, lot.cost_base) for lot in lots]


@both
def test_the_proof_holds(example: Example) -> None:
    valuation = example.valuation()
    holdings = valuation.holdings
    with localcontext(EXACT):
        parts = holdings.realized + valuation.unrealized + holdings.income - holdings.expenses
        parts += valuation.cash_fx + valuation.receivables_fx - holdings.taxes
        assert valuation.total_value - holdings.flows == parts


def test_the_equations_are_equal() -> None:
    equations = list(PAGE.equations())
    assert len(equations) == 4
    for equation in equations:
        left, right = equation.split(" = ")
        assert computed(left) == computed(right), equation


def test_a_dividend_that_is_paid_changes_no_figure() -> None:
    rows = PAGE.table("The rows of the second example")
    paid_at = moment(rows[-1]["pay_time"])
    before, after = SECOND.valuation(), SECOND.valuation(paid_at)
    due = _positions(before)["due USD"].holding.amount  # type: ignore[union-attr]
    assert f"{due} are to be paid until {paid_at.day} {paid_at:%B}" in PAGE.text.replace("\n", " ")
    assert not any(
        position.holding.amount for position in after.cash_positions if position.holding.receivable
    )
    assert (before.total_value, before.cash) == (after.total_value, after.cash)


# --- the rest of the page ---------------------------------------------------------------------------------------------


def test_what_holdings_are_worth() -> None:
    (units, *_) = PAGE.tables("What a holding is worth")
    for line in units:
        amount, _ = line["worth"].split()
        assert computed(line["how"]) == number(amount), line["asset"]


def test_the_rates() -> None:
    text = PAGE.section("What a holding is worth")
    prices = {pair: Decimal(price) for pair, price in re.findall(r"\b([A-Z]{6})\s+at\s+([0-9.]+[0-9])", text)}
    assert len(prices) == 3
    now = FIRST.now
    rates = Rates(
        [Pair(name[:3], name[3:], name) for name in prices],
        {name: LastPrice(price, now) for name, price in prices.items()},
    )
    for line in PAGE.tables("What a holding is worth")[1]:
        point = rates.rate(line["one"], line["in"], now)
        assert point is not None
        assert point.value == number(line["is"]) == computed(line["how"]), line


def test_the_baselines_around_a_weekend() -> None:
    calendars: dict[str, Calendar] = {
        "share in New York": NEW_YORK,
        "coin": AROUND_THE_CLOCK,
        "cash": FX_DAYS,
    }
    for line in PAGE.tables("Since when")[1]:
        now = moment(line["now"])
        assert now.strftime("%A") in line[""]
        for column, calendar in calendars.items():
            assert moment(line[column]) == window(calendar, now).at, (column, line["now"])


def _columns(cell: str) -> set[str]:
    return {name for word in names_in(cell) for name in GROUPS.get(word, {word})}


def test_the_table_of_rows_is_that_of_the_ledger() -> None:
    public = {"asset": "symbol", "other_asset": "other_symbol"}
    written: dict[str, tuple[set[str], set[str]]] = {}
    for line in PAGE.table("Rows"):
        for kind in names_in(line["type"]):
            written[kind] = _columns(line["needs"]), _columns(line["may have"])
    for kind in KINDS:
        needed = {public.get(name, name) for name in NEEDED[kind]}
        allowed = {public.get(name, name) for name in ALLOWED[kind]}
        assert written.pop(kind) == (needed, allowed - needed), kind
    assert not written


def test_the_names_are_those_of_the_product() -> None:
    fields = {name for line in PAGE.table("What you see") for name in names_in(line["field"])}
    assert fields <= set(PortfolioWire.__struct_fields__)
    methods = [name for line in PAGE.table("Lots") for name in names_in(line["method"])]
    assert methods == list(LOT_METHODS)
    reasons = {
        name
        for line in PAGE.table("What is missing")
        if "unpriced" in line[""]
        for name in names_in(str(line))
    }
    assert reasons == set(get_args(Reason))


def test_how_numbers_are_rounded() -> None:
    examples = re.findall(r"([0-9.]+) becomes ([0-9.]+[0-9])", PAGE.section("Rounding"))
    assert len(examples) == 2
    for exact, rounded in examples:
        assert str(shown(Decimal(exact), CENT)) == rounded
    places = re.findall(r"([A-Z]{3}(?: and [A-Z]{3})?)(?: have)? ([0-9])", PAGE.section("Rounding"))
    assert len(places) == 3
    for codes, count in places:
        for code in codes.split(" and "):
            assert minor_unit(code) == Decimal(1).scaleb(-int(count)), code
