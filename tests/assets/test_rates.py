"""Rates: the pair, its inverse, a cross through USD and then EUR; and none rather than a wrong one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.exact import PLACES
from assets.rates import LastPrice, Pair, RatePoint, Rates

D = Decimal
NOW = datetime(2026, 11, 19, 16, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def make_rates(**prices: str | tuple[str, timedelta]) -> Rates:
    """Rates of pairs like EURUSD, each a price of now or a price and its age."""
    points = {}
    for symbol, given_price in prices.items():
        price, age = given_price if isinstance(given_price, tuple) else (given_price, timedelta())
        points[symbol] = LastPrice(D(price), NOW - age)
    return Rates([Pair(symbol[:3], symbol[3:], symbol) for symbol in prices], points)


def value(rates: Rates, currency: str, base: str) -> Decimal | None:
    point = rates.rate(currency, base, NOW)
    return point.value if point else None


def test_the_base_currency_is_exactly_one_without_a_look_up() -> None:
    assert make_rates(USDUSD="7").rate("USD", "USD", NOW) == RatePoint(D(1), NOW, ())
    assert make_rates().legs("USD", "USD") == ()


def test_a_pair_gives_its_price_as_it_is() -> None:
    rates = make_rates(EURUSD=("1.08720", MINUTE))
    point = rates.rate("EUR", "USD", NOW)
    assert point == RatePoint(D("1.08720"), NOW - MINUTE, ("EURUSD",))
    assert point is not None and str(point.value) == "1.08720"


def test_the_inverse_is_divided_once() -> None:
    assert value(make_rates(USDJPY="149.53"), "JPY", "USD") == D("0.006687621213134488")


def test_the_pair_goes_before_its_inverse_and_both_before_a_cross() -> None:
    everything = make_rates(EURGBP="0.86", GBPEUR="1.17", EURUSD="1.1", GBPUSD="1.25")
    assert value(everything, "EUR", "GBP") == D("0.86")
    assert value(everything, "GBP", "EUR") == D("1.17")
    assert value(make_rates(EURGBP="0.8", EURUSD="1.1", GBPUSD="1.25"), "GBP", "EUR") == D("1.25")


def test_a_cross_goes_through_the_dollar_and_only_then_through_the_euro() -> None:
    dollar = {"GBPUSD": "1.25", "USDINR": "84"}
    euro = {"GBPEUR": "1.2", "EURINR": "90"}
    assert make_rates(**euro, **dollar).rate("GBP", "INR", NOW) == RatePoint(
        D("105.00"), NOW, ("GBPUSD", "USDINR")
    )
    assert make_rates(**euro).rate("GBP", "INR", NOW) == RatePoint(D("108.0"), NOW, ("GBPEUR", "EURINR"))


def test_a_cross_of_inverses_is_divided_once() -> None:
    # 1 / 149.53, rounded, times 1.27 ends in another digit.
    assert value(make_rates(USDJPY="149.53", USDCAD="1.37"), "JPY", "CAD") == D("0.009162041061994249")
    assert value(make_rates(EURUSD="1.087", GBPUSD="1.27"), "EUR", "GBP") == D("0.855905511811023622")


def test_a_cross_is_as_old_as_its_older_leg() -> None:
    rates = make_rates(GBPUSD=("1.25", 3 * MINUTE), USDINR=("84", 5 * MINUTE))
    for pair in (("GBP", "INR"), ("INR", "GBP")):
        point = rates.rate(*pair, NOW)
        assert point is not None and point.as_of == NOW - 5 * MINUTE


def test_a_rate_is_used_for_four_days_and_no_longer() -> None:
    days = timedelta(days=4)
    assert value(make_rates(EURUSD=("1.1", days)), "EUR", "USD") == D("1.1")
    assert value(make_rates(EURUSD=("1.1", days + timedelta.resolution)), "EUR", "USD") is None
    assert value(make_rates(GBPUSD="1.25", USDINR=("84", days + MINUTE)), "GBP", "INR") is None


def test_what_is_too_old_or_has_no_price_makes_way_for_the_next_route() -> None:
    old = timedelta(days=5)
    rates = make_rates(EURGBP=("0.5", old), EURUSD="1.1", GBPUSD="1.25")
    assert value(rates, "EUR", "GBP") == D("0.88")
    unpriced = Rates(
        [Pair("EUR", "GBP", "EURGBP"), Pair("GBP", "EUR", "X")], {"X": LastPrice(D("1.25"), NOW)}
    )
    assert value(unpriced, "EUR", "GBP") == D("0.8")


@pytest.mark.parametrize("price", ["0", "-1"])
def test_a_pair_at_nothing_or_less_is_no_rate(price: str) -> None:
    assert value(make_rates(EURUSD=price), "EUR", "USD") is None
    assert value(make_rates(EURUSD=price), "USD", "EUR") is None


def test_a_rate_too_small_for_18_places_is_none() -> None:
    assert value(make_rates(AAABBB="1E+19"), "BBB", "AAA") is None


def test_an_unknown_currency_has_no_rate() -> None:
    rates = make_rates(EURUSD="1.1")
    assert rates.rate("XYZ", "USD", NOW) is None
    assert rates.legs("XYZ", "USD") == ()


@pytest.mark.parametrize(
    ("minor", "major"),
    [("GBX", "GBP"), ("GBp", "GBP"), ("ZAC", "ZAR"), ("ZAc", "ZAR"), ("ILA", "ILS")],
)
def test_a_minor_unit_is_a_hundredth_of_its_major_one(minor: str, major: str) -> None:
    rates = Rates([Pair(major, "USD", "PAIR")], {"PAIR": LastPrice(D("1.2345"), NOW - MINUTE)})
    assert rates.rate(minor, "USD", NOW) == RatePoint(D("0.012345"), NOW - MINUTE, ("PAIR",))
    assert value(rates, minor, major) == D("0.01")
    assert value(rates, major, minor) == 100
    assert value(rates, minor, minor) == 1
    assert value(rates, "USD", minor) == D("81.0044552450384771")
    assert rates.legs(minor, "USD") == ("PAIR",)
    assert rates.legs(minor, major) == ()


def test_of_two_pairs_for_the_same_currencies_the_first_counts() -> None:
    pairs = [Pair("EUR", "USD", "A"), Pair("EUR", "USD", "B")]
    rates = Rates(pairs, {"A": LastPrice(D(1), NOW), "B": LastPrice(D(2), NOW)})
    assert value(rates, "EUR", "USD") == 1


def test_all_pairs_that_a_rate_may_come_from_are_named() -> None:
    rates = make_rates(EURGBP="1", EURUSD="1", GBPUSD="1", USDJPY="1")
    assert rates.legs("GBP", "EUR") == ("EURGBP", "GBPUSD", "EURUSD")
    assert rates.legs("JPY", "USD") == ("USDJPY",)
    # Through the dollar, then through the euro, which has the pound but not the yen.
    assert rates.legs("GBP", "JPY") == ("GBPUSD", "USDJPY")


def test_prices_may_change_after_the_rates_were_made() -> None:
    points = {"EURUSD": LastPrice(D("1.1"), NOW)}
    rates = Rates([Pair("EUR", "USD", "EURUSD")], points)
    points["EURUSD"] = LastPrice(D("1.2"), NOW)
    assert value(rates, "EUR", "USD") == D("1.2")


# -- against the definition, in fractions

CURRENCIES = ("USD", "EUR", "GBP", "INR", "JPY")
prices = st.decimals("0.000001", "100000", places=6)
ages = st.timedeltas(timedelta(), timedelta(days=6))


@given(
    st.dictionaries(
        st.sampled_from([f"{a}{b}" for a, b in permutations(CURRENCIES, 2)]), st.tuples(prices, ages)
    ),
    st.sampled_from(list(permutations(CURRENCIES, 2))),
)
def test_rates_are_what_the_definition_says(
    quoted: dict[str, tuple[Decimal, timedelta]], wanted: tuple[str, str]
) -> None:
    def leg(a: str, b: str) -> list[tuple[Fraction, timedelta, str]]:
        direct = [(Fraction(quoted[a + b][0]), quoted[a + b][1], a + b)] if a + b in quoted else []
        inverse = [(1 / Fraction(quoted[b + a][0]), quoted[b + a][1], b + a)] if b + a in quoted else []
        return [one for one in direct + inverse if one[1] <= timedelta(days=4)]

    currency, base = wanted
    expected = [(rate, age, (symbol,)) for rate, age, symbol in leg(currency, base)]
    for via in ("USD", "EUR"):
        if via not in wanted:
            expected += [
                (first[0] * second[0], max(first[1], second[1]), (first[2], second[2]))
                for first in leg(currency, via)
                for second in leg(via, base)
            ]
    rates = make_rates(**{symbol: (str(price), age) for symbol, (price, age) in quoted.items()})
    found = rates.rate(currency, base, NOW)
    expected = [one for one in expected if one[0] > Fraction(PLACES) / 2]
    assert (found is None) == (not expected)
    if found is not None:
        rate, age, legs = expected[0]
        assert abs(Fraction(found.value) - rate) <= Fraction(PLACES) / 2
        assert (found.as_of, found.legs) == (NOW - age, legs)
        assert set(found.legs) <= set(rates.legs(currency, base))


@given(prices, prices)
def test_there_and_back_again_is_one_as_far_as_18_places_go(first: Decimal, second: Decimal) -> None:
    rates = make_rates(GBPUSD=str(first), USDINR=str(second))
    there, back = value(rates, "GBP", "INR"), value(rates, "INR", "GBP")
    assert there is not None and there == first * second
    if back is not None:
        assert abs(there * back - 1) <= there * PLACES
