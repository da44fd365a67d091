"""Generated markets: prices and rates of now and of each position's own baseline, around generated ledgers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from assets.rates import RatePoint
from portfolio.ledger import LotMethod, Row, replay
from portfolio.positions import PricePoint
from portfolio.valuation import Valuation, value
from portfolio.windows import Baseline, Holdings, PortfolioFacts, cash_key, hold
from tests.portfolio.ledgers import (
    ASSETS,
    BASE,
    CURRENCIES,
    START,
    Draft,
    bookable,
    drafts,
    make_rows,
    price_table,
    rate_table,
    trades,
)

KEYS = (*(asset[0] for asset in ASSETS), *map(cash_key, CURRENCIES))
# Rows come every seven hours; a baseline may lie between two of them or on one.
STEP = timedelta(hours=3, minutes=30)
ROWS = 10


class Market(NamedTuple):
    """What is drawn beside the rows; `starts` are the baselines by key, in steps since the first row."""

    now: int
    starts: tuple[int, ...]
    closes: tuple[int, ...]
    old_rates: tuple[int, ...]
    prices: tuple[int, ...]
    rates: tuple[int, ...]

    @property
    def moment(self) -> datetime:
        return START + STEP * self.now

    def baselines(self) -> dict[str, Baseline]:
        closes = price_table(self.closes)
        found: dict[str, Baseline] = {}
        for key, start, rate in zip(KEYS, self.starts, self.old_rates, strict=True):
            found[key] = Baseline(
                at=START + STEP * min(start, self.now),
                until=self.moment + STEP,
                price=closes.get(key),
                rate=Decimal(1) if self.currency(key) == BASE else Decimal(rate) / 1000,
            )
        return found

    def with_one_rate_each(self) -> "Market":
        """At their baselines all positions of a currency have the rate that its cash has."""
        of = dict(zip(KEYS, self.old_rates, strict=True))
        return self._replace(old_rates=tuple(of[cash_key(self.currency(key))] for key in KEYS))

    def then(self) -> "Market":
        """The market at the baseline, if there is one for all."""
        of = dict(zip(KEYS, self.old_rates, strict=True))
        rates = tuple(of[cash_key(currency)] for currency in CURRENCIES[1:])
        return self._replace(now=min(self.starts[0], self.now), prices=self.closes, rates=rates)

    @staticmethod
    def currency(key: str) -> str:
        currencies = {asset[0]: asset[1] for asset in ASSETS}
        return currencies.get(key) or key.removeprefix("cash:")

    def price_points(self) -> dict[str, PricePoint]:
        return {
            symbol: PricePoint(price=price, as_of=self.moment)
            for symbol, price in price_table(self.prices).items()
        }

    def rate_points(self) -> dict[str, RatePoint]:
        return {currency: RatePoint(rate, self.moment) for currency, rate in rate_table(self.rates).items()}


# One number makes a whole market, because drawing its fields one by one takes longer than valuing at them.
SEEDS = st.integers(0, 2**24 - 1)


def _market(seed: int, is_even: bool) -> Market:
    dice = Random(seed)
    now = dice.randint(ROWS, 2 * ROWS)
    start = dice.randint(-1, now)
    return Market(
        now=now,
        starts=tuple(start if is_even else dice.randint(-1, now) for _ in KEYS),
        closes=_prices(dice),
        old_rates=tuple(dice.randint(500, 1500) for _ in KEYS),
        prices=_prices(dice),
        rates=_rates(dice),
    )


def _prices(dice: Random) -> tuple[int, ...]:
    """In cents of each asset's unit."""
    return tuple(dice.choice((dice.randint(0, 1000), dice.randint(0, 10**6))) for _ in ASSETS)


def _rates(dice: Random) -> tuple[int, ...]:
    return tuple(dice.randint(500, 1500) for _ in CURRENCIES[1:])


markets = SEEDS.map(lambda seed: _market(seed, is_even=False))
# All windows begin together, so that no row is split between two.
even_markets = SEEDS.map(lambda seed: _market(seed, is_even=True))
moves = SEEDS.map(lambda seed: _move(Random(seed)))
ledgers = st.lists(drafts, min_size=1, max_size=ROWS)
days = st.lists(trades, min_size=2, max_size=4)


class Move(NamedTuple):
    """Some new prices and rates; `days` is how old the rates are by then."""

    prices: tuple[int, ...]
    rates: tuple[int, ...] | None
    changed: frozenset[str]
    gone: str | None
    days: int


def _move(dice: Random) -> Move:
    symbols = [asset[0] for asset in ASSETS]
    return Move(
        prices=_prices(dice),
        rates=_rates(dice) if dice.random() < 0.4 else None,
        changed=frozenset(dice.sample(symbols, dice.randint(0, len(symbols)))),
        gone=dice.choice((None, None, None, "USD", *symbols)),
        days=dice.choice((0, 0, 0, 3, 5)),
    )


def facts(method: LotMethod = "fifo") -> PortfolioFacts:
    return PortfolioFacts(id=1, name="Generated", currency=BASE, method=method, short_sales=True)


def holdings_of(rows: Sequence[Row], market: Market, method: LotMethod = "fifo") -> Holdings:
    books = replay(rows, short_sales=True, method=method, base=BASE, until=market.moment)
    return hold(facts(method), books, {}, market.baselines(), market.moment)


def valuation_of(rows: Sequence[Row], market: Market, method: LotMethod = "fifo") -> Valuation:
    return value(holdings_of(rows, market, method), market.price_points(), market.rate_points())


def ledger(drawn: Sequence[Draft], method: LotMethod = "fifo") -> list[Row]:
    return bookable(make_rows(drawn), method)


def quantities(rows: Sequence[Row], moment: datetime) -> Mapping[str, Decimal]:
    """What was held of each asset, and of each currency in cash."""
    books = replay(rows, short_sales=True, base=BASE, until=moment)
    held = {symbol: account.quantity for symbol, account in books.accounts.items()}
    return held | {cash_key(currency): account.balance for currency, account in books.cash.items()}
