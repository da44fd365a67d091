"""What a flush costs when every position is valued anew: `python -m benchmarks.full_valuation 5 17 18 19`.

Portfolios of these ids are read once and then valued so many times in memory, each time with a tenth of the prices
moved; then as often valued and encoded whole. Nothing is sent. Prints the CPU seconds of a position for both, the
medians of the passes.
"""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.demo")

import django

django.setup()

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from statistics import median
from time import process_time

from msgspec.structs import replace

from assets.redistribution import EVERYTHING
from portfolio.models import Portfolio
from portfolio.prices import price_points
from portfolio.valuation import PricePoint, value
from portfolio.windows import Holdings
from realtime.protocol import encode

CENT = Decimal("0.01")
PARTS = 10

Prices = Mapping[str, PricePoint]


def valued(holdings: Holdings, prices: Prices) -> None:
    value(holdings, prices)


def encoded(holdings: Holdings, prices: Prices) -> None:
    encode(value(holdings, prices).as_wire())


def seconds_a_position(passes: int, ids: Collection[int]) -> list[float]:
    """Returns what a position takes to be valued, and to be valued and encoded."""
    held = [portfolio.holdings() for portfolio in Portfolio.objects.filter(pk__in=ids)]
    prices = price_points({symbol for holdings in held for symbol in holdings.symbols}, EVERYTHING)
    positions = sum(len(holdings.positions) for holdings in held)
    return [
        median(seconds_of(work, held, moved(prices, number)) for number in range(passes)) / positions
        for work in (valued, encoded)
    ]


def moved(prices: Prices, number: int) -> dict[str, PricePoint]:
    """Returns prices of which a tenth are a cent higher, each time others."""
    return {
        symbol: replace(point, price=point.price + CENT) if index % PARTS == number % PARTS else point
        for index, (symbol, point) in enumerate(prices.items())
    }


def seconds_of(work: Callable[[Holdings, Prices], None], held: Collection[Holdings], prices: Prices) -> float:
    begun = process_time()
    for holdings in held:
        work(holdings, prices)
    return process_time() - begun


if __name__ == "__main__":
    passes, *ids = map(int, sys.argv[1:])
    print(*(f"{seconds:.9f}" for seconds in seconds_a_position(passes, ids)))
