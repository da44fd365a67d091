"""The daily figures and average cost of generated ledgers agree with an implementation by another method."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings

from portfolio.ledger import replay
from portfolio.valuation import Valuation
from portfolio.windows import cash_key
from tests.portfolio import oracle
from tests.portfolio.ledgers import ASSETS, BASE, CURRENCIES, Draft, bookable, make_rows, price_table
from tests.portfolio.markets import Market, ledgers, markets, valuation_of

often = settings(max_examples=2_000)
# Splits that do not divide and parts of a cost are rounded to 18 places each; the oracle rounds nothing.
NEAR = Fraction(1, 10**9)


def places_of(market: Market) -> dict[str, oracle.Place]:
    baselines, prices = market.baselines(), price_table(market.prices)
    rates = {currency: point.value for currency, point in market.rate_points().items()} | {BASE: Decimal(1)}
    found: dict[str, oracle.Place] = {}
    for symbol, currency, multiplier in ASSETS:
        baseline, unit = baselines[symbol], Fraction(multiplier)
        then = Fraction(baseline.price or 0) * unit * Fraction(baseline.rate or 0)
        now = Fraction(prices[symbol]) * unit * Fraction(rates[currency])
        found[symbol] = oracle.Place(baseline.at, then, now)
    for currency in CURRENCIES:
        baseline = baselines[cash_key(currency)]
        place = oracle.Place(baseline.at, Fraction(baseline.rate or 0), Fraction(rates[currency]))
        found[f"cash:{currency}"] = found[f"due:{currency}"] = place
    return found


def changes_of(valuation: Valuation) -> dict[str, Decimal | None]:
    found = {position.holding.symbol: position.daily_change for position in valuation.positions}
    for cash in valuation.cash_positions:
        found[f"{'due' if cash.holding.receivable else 'cash'}:{cash.holding.currency}"] = cash.daily_change
    return found


def near(found: Decimal | None, expected: Fraction | None) -> bool:
    if found is None or expected is None:
        return found is expected is None
    return abs(Fraction(found) - expected) <= NEAR


@often
@given(ledgers, markets)
def test_the_day_is_the_difference_of_two_states(drawn: list[Draft], market: Market) -> None:
    rows = bookable([row for row in make_rows(drawn) if row.kind in oracle.KINDS])
    valuation = valuation_of(rows, market)
    day = oracle.day(oracle.read(rows, BASE, market.moment), places_of(market))
    assert near(valuation.total_value, day.total)
    assert near(valuation.daily_change, day.change)
    assert near(valuation.external_flows, day.outside)
    found = changes_of(valuation)
    assert {key for key, change in day.changes.items() if change} <= set(found)
    for key, change in found.items():
        assert near(change, day.changes.get(key, Fraction(0))), key
    if not any(row.kind in ("split", "bonus") for row in rows):
        assert Fraction(valuation.total_value) == day.total
        assert Fraction(valuation.daily_change) == day.change
        percent = valuation.daily_change_percent
        if day.percent is None:
            assert percent is None
        else:
            assert percent is not None and abs(Fraction(percent) - day.percent) <= Fraction(1, 2 * 10**18)


@often
@given(ledgers)
def test_average_cost_is_the_cost_of_one_unit_of_a_pool(drawn: list[Draft]) -> None:
    # A quantity that a split rounds makes a unit of a tiny pool dearer by more than anything is rounded.
    rows = [row for row in make_rows(drawn) if row.kind in oracle.KINDS and row.denominator <= 1]
    rows = bookable(rows, "average")
    books = replay(rows, short_sales=True, method="average", base=BASE)
    last = max((row.time for row in rows), default=None)
    if last is None:
        return
    pools = oracle.read(rows, BASE, last).pools
    for symbol, account in books.accounts.items():
        pool = pools[symbol]
        assert near(account.quantity, pool.units)
        assert near(account.cost, pool.units * pool.each[0])
        assert near(account.cost_base, pool.units * pool.each[1])
        assert near(account.realized, pool.realized[0])
        assert near(account.realized_base, pool.realized[1])
