"""What holds of the figures of every ledger, as the definitions state it and not as is popularly believed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, localcontext
from itertools import permutations
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.ledger import EXACT, ZERO, Entry, Row, replay
from portfolio.positions import CashValue, PositionValue
from portfolio.valuation import Valuation, Valuer, revalue, value
from portfolio.windows import Baseline, cash_key, hold
from realtime.protocol import encode
from tests.portfolio.checks import check_explained, check_lifetime
from tests.portfolio.ledgers import (
    ASSETS,
    BASE,
    START,
    Draft,
    bookable,
    make_rows,
    methods,
)
from tests.portfolio.markets import (
    STEP,
    Market,
    Move,
    days,
    even_markets,
    facts,
    holdings_of,
    ledger,
    ledgers,
    markets,
    moves,
    quantities,
    valuation_of,
)

often = settings(max_examples=2_000)


@often
@given(ledgers, markets)
def test_a_positions_change_is_its_value_now_less_then_less_what_flowed_in(
    drawn: list[Draft], market: Market
) -> None:
    """What was held then is asked of the books of then."""
    rows = ledger(drawn)
    valuation, baselines = valuation_of(rows, market), market.baselines()
    books = replay(rows, short_sales=True, base=BASE, until=market.moment)
    starts = {baseline.at for baseline in baselines.values()}
    then = {start: quantities(rows, start) for start in starts}
    with localcontext(EXACT):
        for position in valuation.positions:
            holding, baseline = position.holding, baselines[position.holding.symbol]
            assert baseline.price is not None
            held = then[baseline.at].get(holding.symbol, ZERO)
            before = held * baseline.price * holding.multiplier
            check_change(position, baseline, before, books.accounts[holding.symbol].entries)
        for cash in valuation.cash_positions:
            if not cash.holding.receivable:
                key = cash_key(cash.holding.currency)
                before = then[baselines[key].at].get(key, ZERO)
                check_change(cash, baselines[key], before, books.cash[cash.holding.currency].entries)


def check_change(
    position: PositionValue | CashValue, baseline: Baseline, before: Decimal, entries: Sequence[Entry]
) -> None:
    window = [entry for entry in entries if entry.time > baseline.at]
    flows = sum((entry.value for entry in window), ZERO)
    earned = sum((entry.income - entry.fee for entry in window), ZERO)
    assert baseline.rate is not None and position.value is not None
    assert position.daily_change == position.value - before * baseline.rate - flows + earned


@often
@given(ledgers, even_markets)
def test_the_change_of_all_is_the_value_now_less_then_less_what_came_from_outside(
    drawn: list[Draft], market: Market
) -> None:
    """Where no row lies in the window of one of its legs only, and a currency has one rate then as it has now."""
    rows, market = ledger(drawn), market.with_one_rate_each()
    now, before = valuation_of(rows, market), valuation_of(rows, market.then())
    with localcontext(EXACT):
        assert now.daily_change == now.total_value - before.total_value - now.external_flows


@often
@given(ledgers, markets, methods)
def test_the_parts_are_the_change_and_what_was_made_since_the_first_row_is_told_in_two_ways(
    drawn: list[Draft], market: Market, method: Any
) -> None:
    valuation = valuation_of(ledger(drawn, method), market, method)
    check_explained(valuation)
    check_lifetime(valuation)


# --- order -----------------------------------------------------------------------------------------------------------


def order_free(valuation: Valuation) -> tuple[Any, ...]:
    holdings = valuation.holdings
    with localcontext(EXACT):
        return (
            [(position.holding.symbol, position.holding.quantity) for position in valuation.positions],
            [(cash.holding.currency, cash.holding.amount) for cash in valuation.cash_positions],
            valuation.total_value,
            valuation.daily_change,
            valuation.daily_change_percent,
            valuation.components,
            [position.components for position in valuation.positions],
            holdings.realized + valuation.unrealized,
            (holdings.income, holdings.fees, holdings.taxes),
        )


# What moves units at a cost that depends on which lots were closed before has no place among them.
INDEPENDENT = frozenset(
    {"buy", "sell", "deposit", "withdrawal", "convert", "dividend", "interest", "fee", "tax", "transfer_in"}
    | {"split", "bonus", "cash_in_lieu", "expire"}
)


@often
@given(ledgers, days, st.integers(0, 28), markets, methods)
def test_the_order_of_a_days_trades_changes_lots_and_nothing_else(
    drawn: list[Draft], of_one_day: list[Draft], place: int, market: Market, method: Any
) -> None:
    moment = START + STEP * place + timedelta(hours=1)
    day = [
        replace(row, time=moment) for row in make_rows(of_one_day, first=100) if row.kind in ("buy", "sell")
    ]
    others = [row for row in make_rows(drawn) if row.kind in INDEPENDENT]
    kept = [row for row in bookable([*others, *day], method) if row.time != moment]
    found = [
        order_free(
            valuation_of(
                [*kept, *(replace(row, order=(number, 0)) for number, row in enumerate(order))],
                market,
                method,
            )
        )
        for order in [*[*permutations(day)][::5], day[::-1]]
    ]
    assert all(one == found[0] for one in found)


# --- splits ----------------------------------------------------------------------------------------------------------

SPLITTABLE = INDEPENDENT - {"split", "bonus"} | {"return_of_capital", "transfer_out"}


def split_rows(rows: Sequence[Row], symbol: str, moment: Any, new: int) -> list[Row]:
    """The same ledger with a split: what comes after it has `new` times the units at a fraction of the price."""
    after = [row for row in rows if row.symbol == symbol and row.time > moment]
    with localcontext(EXACT):
        changed = [replace(row, quantity=row.quantity * new, price=row.price / new) for row in after]
    currency, multiplier = next((asset[1], asset[2]) for asset in ASSETS if asset[0] == symbol)
    split = Row(
        time=moment,
        kind="split",
        currency=currency,
        rate=Decimal(1) if currency == BASE else Decimal("1.1"),
        symbol=symbol,
        multiplier=multiplier,
        numerator=new,
        denominator=1,
    )
    return [*(row for row in rows if row not in after), split, *changed]


@often
@given(ledgers, markets, st.sampled_from(ASSETS), st.integers(0, 28), st.sampled_from([2, 4, 5, 10]))
def test_a_split_at_equal_prices_changes_nothing(
    drawn: list[Draft], market: Market, asset: Any, place: int, new: int
) -> None:
    symbol, moment = asset[0], START + STEP * place + timedelta(hours=1)
    rows = bookable([row for row in make_rows(drawn) if row.kind in SPLITTABLE])
    if moment > market.moment:
        return
    whole = valuation_of(rows, market)
    baselines = market.baselines()
    with localcontext(EXACT):
        if baselines[symbol].at > moment:
            close = baselines[symbol].price
            assert close is not None
            baselines[symbol] = msgspec.structs.replace(baselines[symbol], price=close / new)
        points = market.price_points()
        points[symbol] = msgspec.structs.replace(points[symbol], price=points[symbol].price / new)
    split = split_rows(rows, symbol, moment, new)
    books = replay(split, short_sales=True, base=BASE, until=market.moment)
    holdings = hold(facts(), books, {}, baselines, market.moment)
    after = value(holdings, points, market.rate_points())

    assert after.total_value == whole.total_value
    assert after.components == whole.components
    assert after.unrealized == whole.unrealized
    assert (holdings.realized, holdings.invested) == (whole.holdings.realized, whole.holdings.invested)
    assert after.daily_change_percent == whole.daily_change_percent


@often
@given(ledgers, markets, st.sampled_from(ASSETS), st.integers(1, 10**6), st.integers(0, 10**6))
def test_cash_in_lieu_changes_the_total_by_what_it_pays_less_what_the_fraction_is_worth(
    drawn: list[Draft], market: Market, asset: Any, size: int, money: int
) -> None:
    symbol, currency, multiplier = asset
    rows, fraction, amount = ledger(drawn), Decimal(size) / 10**6, Decimal(money) / 100
    before = valuation_of(rows, market)
    held = quantities(rows, market.moment).get(symbol, ZERO)
    if abs(held) < fraction:
        return
    sale = Row(
        time=market.moment,
        kind="cash_in_lieu",
        currency=currency,
        rate=Decimal(1) if currency == BASE else Decimal("1.1"),
        symbol=symbol,
        multiplier=multiplier,
        quantity=fraction,
        amount=amount,
        order=(1, 0),
    )
    after = valuation_of([row for row in rows if row.time <= market.moment] + [sale], market)
    with localcontext(EXACT):
        rate = Decimal(1) if currency == BASE else market.rate_points()[currency].value
        gain = (amount - fraction * market.price_points()[symbol].price * multiplier) * rate
        assert after.total_value - before.total_value == gain.copy_sign(gain * held)


# --- one computation -------------------------------------------------------------------------------------------------


@often
@given(ledgers, markets, st.lists(moves, min_size=1, max_size=4))
def test_what_moved_is_worked_out_again_to_the_last_digit(
    drawn: list[Draft], market: Market, moves: list[Move]
) -> None:
    """Prices and rates come, move, go and grow old."""
    holdings = holdings_of(ledger(drawn), market)
    points, known, at = market.price_points(), market.rate_points(), market.moment
    valuer = Valuer(holdings, points, known, at)
    for move in moves:
        changed = set(move.changed)
        moved = market._replace(prices=move.prices, rates=move.rates or market.rates)
        points |= {symbol: point for symbol, point in moved.price_points().items() if symbol in changed}
        known |= moved.rate_points() if move.rates else {}
        known.pop(move.gone or "", None)
        if points.pop(move.gone or "", None):
            changed.add(move.gone or "")
        at = market.moment + timedelta(days=move.days)

        found, whole = valuer.update(points, known, changed, at), value(holdings, points, known, at)

        assert found.as_wire() == whole.as_wire()
        assert encode(found.as_struct()) == encode(whole.as_struct())
        touched, new = whole.touched, whole.has_new_rates
        assert msgspec.structs.replace(found, touched=touched, has_new_rates=new) == whole


@often
@given(ledgers, markets, methods)
def test_every_way_of_asking_gives_the_same_figures(drawn: list[Draft], market: Market, method: Any) -> None:
    """As JSON numbers, as JSON texts, as plain values, and computed again from what the receipt keeps."""
    rows = ledger(drawn, method)
    valuation = valuation_of(rows, market, method)
    wire, struct = valuation.as_wire(receipt="r-1"), valuation.as_struct(receipt="r-1")
    numbers, texts = encode(struct), encode(struct, "string")
    assert json.loads(numbers, parse_float=Decimal, parse_int=Decimal) == wire
    assert encode(wire) == numbers and encode(wire, "string") == texts
    assert "E-" not in numbers and "E+" not in numbers
    again = revalue(valuation.inputs(), rows, facts(method), {})
    assert encode(again.as_struct(receipt="r-1")) == numbers
