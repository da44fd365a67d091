"""When an alert fires: against an oracle that reads the whole story of prices, and the cases one by one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.splits import Ratio
from realtime.alerts.rules import Kind, Rule, Standing, Unit, Window, quiet, seeded, step

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FRESH = Standing()

prices = st.integers(80, 120).map(Decimal)
rules = st.builds(
    Rule,
    kind=st.sampled_from(["above", "below", "crossing"]),
    threshold=st.just(Decimal(100)),
    once=st.booleans(),
    hysteresis=st.sampled_from([Decimal(0), Decimal(1), Decimal(5)]),
    hysteresis_unit=st.sampled_from(["percent", "price"]),
)


def make_rule(
    kind: Kind, threshold: str = "100", gap: str = "1", unit: Unit = "price", **more: object
) -> Rule:
    return Rule(
        kind=kind,
        threshold=Decimal(threshold),
        hysteresis=Decimal(gap),
        hysteresis_unit=unit,
        **more,  # type: ignore[arg-type]
    )


def firings(rule: Rule, story: list[Decimal], standing: Standing = FRESH) -> list[tuple[int, int]]:
    """The index and the arming of each firing, one price after another."""
    found = []
    window = Window(rule.window_minutes) if rule.window_minutes else None
    for index, price in enumerate(story):
        moment = NOON + timedelta(minutes=index)
        if window is not None:
            window.move_to(moment)
        after = step(rule, standing, price, moment, window)
        if window is not None:
            if after.fired:
                window.clear()
            window.add(moment, price, price)
        if after.fired:
            found.append((index, standing.arming))
        standing = after.standing
    return found


def oracle(rule: Rule, story: list[Decimal]) -> list[int]:
    """The same from the whole story: after each firing, where does it go back, and where does it get there again?"""
    threshold, found, start = rule.threshold, list[int](), 0
    gap = threshold * rule.hysteresis / 100 if rule.hysteresis_unit == "percent" else rule.hysteresis
    while True:
        rest = range(start, len(story))
        if rule.kind == "crossing":
            first = next((i for i in rest if story[i] != threshold), len(story))
            was_below = first < len(story) and story[first] < threshold
            hit = [i for i in rest if i > first and (story[i] >= threshold) == was_below]
            hit += [i for i in rest if i > first and story[i] == threshold]
        else:
            sign = 1 if rule.kind == "above" else -1
            hit = [i for i in rest if sign * (story[i] - threshold) >= 0]
        if not hit:
            return found
        found.append(min(hit))
        if rule.once:
            return found
        signs = {"above": (-1,), "below": (1,), "crossing": (1, -1)}[rule.kind]
        back = [
            i
            for i in range(found[-1] + 1, len(story))
            if any(sign * (story[i] - threshold) >= max(gap, Decimal("1e-9")) for sign in signs)
        ]
        if not back:
            return found
        start = back[0]
        if rule.kind != "crossing":
            start += 1


@given(rules, st.lists(prices, max_size=60))
def test_it_fires_where_the_oracle_says_and_once_an_arming(rule: Rule, story: list[Decimal]) -> None:
    found = firings(rule, story)
    assert [index for index, _ in found] == oracle(rule, story)
    armings = [arming for _, arming in found]
    assert len(set(armings)) == len(armings)


@given(
    st.integers(1, 20).map(Decimal),
    st.booleans(),
    st.lists(prices, max_size=60),
)
def test_a_percent_move_is_measured_from_where_it_was_armed(
    percent: Decimal, once: bool, story: list[Decimal]
) -> None:
    rule = Rule(kind="percent_move", threshold=percent, once=once)
    expected = list[int]()
    reference = None
    for index, price in enumerate(story):
        if reference is None:
            reference = price
        elif abs(price - reference) / reference * 100 >= percent:
            expected.append(index)
            reference = price
            if once:
                break
    assert [index for index, _ in firings(rule, story)] == expected


@given(st.integers(1, 20).map(Decimal), st.integers(1, 5), st.lists(prices, max_size=60))
def test_a_move_within_minutes_is_measured_from_their_extremes(
    percent: Decimal, minutes: int, story: list[Decimal]
) -> None:
    """A price a minute, so that a window of so many minutes holds so many prices before each."""
    rule = Rule(kind="percent_move", threshold=percent, window_minutes=minutes)
    expected = list[int]()
    for index, price in enumerate(story):
        start = max(index - minutes, expected[-1] if expected else 0)
        before = story[start:index]
        if before and (
            price >= min(before) * (1 + percent / 100) or price <= max(before) * (1 - percent / 100)
        ):
            expected.append(index)
    assert [index for index, _ in firings(rule, story)] == expected


@given(
    st.one_of(rules, st.integers(1, 20).map(lambda p: Rule(kind="percent_move", threshold=Decimal(p)))),
    st.lists(prices, max_size=20),
    prices,
)
def test_between_its_bounds_no_price_changes_anything(
    rule: Rule, story: list[Decimal], price: Decimal
) -> None:
    standing = Standing()
    for one in story:
        standing = step(rule, standing, one, NOON).standing
    least, most = quiet(rule, standing)
    if least < price < most:
        assert step(rule, standing, price, NOON) == (standing, False, None)


@given(rules, st.lists(prices, max_size=20), st.lists(prices, max_size=20))
def test_what_is_stored_between_two_prices_is_all_that_matters(
    rule: Rule, before: list[Decimal], after: list[Decimal]
) -> None:
    """A restart between any two ticks changes nothing."""
    standing = Standing()
    for price in before:
        standing = step(rule, standing, price, NOON).standing
    stored = Standing(
        standing.arming, standing.phase, standing.side, standing.reference, standing.reference_at
    )
    whole = [(i, n) for i, n in firings(rule, before + after) if i >= len(before)]
    assert [(i + len(before), n) for i, n in firings(rule, after, stored)] == whole


@pytest.mark.parametrize(
    ("kind", "story", "expected"),
    [
        ("above", [101], [0]),  # it is there already when it is armed
        ("above", [99, 100, 101, 99.5, 100], [1]),  # has not gone back far enough
        ("above", [99, 100, 99, 100], [1, 3]),
        ("below", [101, 100, 101, 99], [1, 3]),
        ("crossing", [100, 100, 99, 100], [3]),
        ("crossing", [99, 101], [1]),
        ("crossing", [101, 99], [1]),
        ("crossing", [99, 101, 99, 101], [1, 3]),
    ],
)
def test_examples(kind: Kind, story: list[float], expected: list[int]) -> None:
    found = firings(make_rule(kind), [Decimal(str(price)) for price in story])
    assert [index for index, _ in found] == expected


def test_the_price_at_which_it_was_armed_seeds_it_and_fires_nothing() -> None:
    crossing, move = make_rule("crossing"), make_rule("percent_move", "5")
    below = seeded(crossing, Standing(), Decimal(99), NOON)
    assert (below.side, step(crossing, below, Decimal(101), NOON).fired) == (-1, True)
    known = seeded(move, Standing(), Decimal(200), NOON)
    assert step(move, known, Decimal(209), NOON).fired is False
    assert step(move, known, Decimal(210), NOON) == (
        Standing(2, reference=Decimal(210), reference_at=NOON),
        True,
        Decimal(200),
    )


def test_an_alert_that_is_done_stays_so() -> None:
    rule = make_rule("above", once=True)
    assert [i for i, _ in firings(rule, [Decimal(n) for n in (101, 50, 101)])] == [0]


def test_a_negative_price_moves_by_percent_of_its_size_and_nothing_moves_from_zero() -> None:
    rule = make_rule("percent_move", "10")
    assert [i for i, _ in firings(rule, [Decimal(n) for n in (-100, -95, -110)])] == [2]
    assert firings(rule, [Decimal(0), Decimal(0)]) == []


def test_a_split_divides_prices_and_no_percentage() -> None:
    ratio = Ratio(4, 1)
    halved = make_rule("above", "100", "8").in_units(ratio)
    assert (halved.threshold, halved.gap) == (Decimal(25), Decimal(2))
    percent = make_rule("above", "100", "8", "percent").in_units(ratio)
    assert (percent.threshold, percent.gap) == (Decimal(25), Decimal(2))
    assert make_rule("percent_move", "5").in_units(ratio).threshold == Decimal(5)


def test_a_window_forgets_when_time_goes_back_as_in_a_recording_that_begins_again() -> None:
    window = Window(5)
    window.add(NOON, Decimal(10), Decimal(20))
    window.move_to(NOON - timedelta(minutes=3))
    assert (window.low, window.high) == (Decimal(10), Decimal(20))
    window.move_to(NOON - timedelta(hours=1))
    assert (window.low, window.high) == (None, None)
