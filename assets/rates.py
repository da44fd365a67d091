"""What one unit of a currency is worth in another: the pair, its inverse, or a cross through USD, then EUR.

Pure. A rate that is missing or older than four days is None and never 1; a cross is as old as its older leg. Pence
and their like are a hundredth of their pound, not a currency with pairs of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Protocol

from assets.exact import EXACT, div

OLDEST = timedelta(days=4)
CROSSES = ("USD", "EUR")
# What a hundred of which make one of. Codes are told apart by case: GBp are pence, GBP pounds.
MINOR_UNITS = {"GBX": "GBP", "GBp": "GBP", "ZAC": "ZAR", "ZAc": "ZAR", "ILA": "ILS"}
HUNDREDTH = Decimal("0.01")
HUNDRED = Decimal(100)
ONE = Decimal(1)


class Pair(NamedTuple):
    """An asset whose price is in units of `quote` for one unit of `base`."""

    base: str
    quote: str
    symbol: str


class Priced(Protocol):
    """A price and its time, wherever it is from."""

    @property
    def price(self) -> Decimal: ...

    @property
    def as_of(self) -> datetime: ...


class LastPrice(NamedTuple):
    price: Decimal
    as_of: datetime


class RatePoint(NamedTuple):
    """A rate, how old it is, and the symbols of the pairs that it is made of."""

    value: Decimal
    as_of: datetime
    legs: tuple[str, ...] = ()


class _Leg(NamedTuple):
    symbol: str
    is_inverse: bool


_Route = tuple[_Leg, ...]


class Rates:
    """The rates that pairs and their prices give.

    Args:
        pairs: those there are; of two for the same currencies the first counts.
        points: the pairs' last prices by symbol; looked up when a rate is asked for, so that it may go on changing.
    """

    def __init__(self, pairs: Iterable[Pair], points: Mapping[str, Priced]) -> None:
        self._points = points
        self._symbols: dict[tuple[str, str], str] = {}
        for pair in pairs:
            self._symbols.setdefault((pair.base, pair.quote), pair.symbol)

    def rate(self, currency: str, base: str, now: datetime) -> RatePoint | None:
        """Returns what one unit of `currency` is worth in `base` at `now`; None if that is not known."""
        major, base_major = MINOR_UNITS.get(currency, currency), MINOR_UNITS.get(base, base)
        if major == base_major:
            point = RatePoint(ONE, now)
        else:
            found = (self._along(route, now) for route in self._routes(major, base_major))
            first = next((one for one in found if one is not None), None)
            if first is None:
                return None
            point = first
        if currency == major and base == base_major:
            return point
        return point._replace(value=_in_units(point.value, currency != major, base != base_major))

    def legs(self, currency: str, base: str) -> tuple[str, ...]:
        """Returns the symbols of every pair that the rate may come from, in the order they are tried."""
        major, base_major = MINOR_UNITS.get(currency, currency), MINOR_UNITS.get(base, base)
        if major == base_major:
            return ()
        routes = self._routes(major, base_major)
        return tuple(dict.fromkeys(leg.symbol for route in routes for leg in route))

    def _routes(self, currency: str, base: str) -> Iterator[_Route]:
        for leg in self._legs(currency, base):
            yield (leg,)
        for via in CROSSES:
            if via in (currency, base):
                continue
            for first in self._legs(currency, via):
                for second in self._legs(via, base):
                    yield first, second

    def _legs(self, currency: str, base: str) -> Iterator[_Leg]:
        if symbol := self._symbols.get((currency, base)):
            yield _Leg(symbol, is_inverse=False)
        if symbol := self._symbols.get((base, currency)):
            yield _Leg(symbol, is_inverse=True)

    def _along(self, route: _Route, now: datetime) -> RatePoint | None:
        over, under, as_of = ONE, ONE, now
        for leg in route:
            point = self._points.get(leg.symbol)
            if point is None or point.price <= 0 or now - point.as_of > OLDEST:
                return None
            if leg.is_inverse:
                under = EXACT.multiply(under, point.price)
            else:
                over = EXACT.multiply(over, point.price)
            as_of = point.as_of if leg is route[0] else min(as_of, point.as_of)
        value = over if under == 1 else div(over, under)
        # Two tiny prices can round to nothing, and nothing is not a rate.
        return RatePoint(value, as_of, tuple(leg.symbol for leg in route)) if value else None


def _in_units(value: Decimal, of_minor: bool, in_minor: bool) -> Decimal:
    if of_minor == in_minor:
        return value
    return EXACT.multiply(value, HUNDREDTH if of_minor else HUNDRED)
