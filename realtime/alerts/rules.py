"""What one price means to one alert: whether it fires, waits for the price to go back, or is armed again.

Pure: values in, values out, no clock and no database. An alert fires at most once in each arming, which has a number.
Between two prices only its `Standing` is remembered; what lies between the bounds of `quiet` changes nothing of it.
"""

from collections import deque
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from assets.exact import EXACT
from assets.splits import Ratio, restated

Kind = Literal["above", "below", "crossing", "percent_move"]
Phase = Literal["armed", "waiting", "done"]
Unit = Literal["percent", "price"]

KINDS: tuple[Kind, ...] = ("above", "below", "crossing", "percent_move")
PHASES: tuple[Phase, ...] = ("armed", "waiting", "done")
ZERO = Decimal(0)
HUNDREDTH = Decimal("0.01")
MINUTE = timedelta(minutes=1)
# Every price is outside the first, none is outside the second.
NOWHERE = Decimal("Infinity"), Decimal("-Infinity")
EVERYWHERE = NOWHERE[::-1]

Bounds = tuple[Decimal, Decimal]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asked for.

    Attributes:
        threshold: a price; with `percent_move` a percentage.
        once: it is not armed again after it has fired.
        hysteresis: how far the price must go back beyond the threshold before it is armed again.
        window_minutes: a `percent_move` is measured from the extremes of so many minutes, not from one price.
    """

    kind: Kind
    threshold: Decimal
    once: bool = False
    hysteresis: Decimal = Decimal("0.5")
    hysteresis_unit: Unit = "percent"
    window_minutes: int | None = None

    @property
    def gap(self) -> Decimal:
        """The hysteresis as an amount of price."""
        if self.hysteresis_unit == "price":
            return self.hysteresis
        return percent_of(self.threshold, self.hysteresis)

    def in_units(self, ratio: Ratio | None) -> "Rule":
        """Returns the rule after a split; a percentage knows no units."""
        if ratio is None or self.kind == "percent_move":
            return self
        rule = msgspec.structs.replace(self, threshold=restated(self.threshold, ratio))
        if self.hysteresis_unit == "price":
            rule = msgspec.structs.replace(rule, hysteresis=restated(self.hysteresis, ratio))
        return rule


class Standing(NamedTuple):
    """What is remembered of an alert between two prices.

    `side` is where a crossing's last price was, 1 above and -1 below; `reference` is what a percent move is measured
    from, in the units of `reference_at`.
    """

    arming: int = 1
    phase: Phase = "armed"
    side: int = 0
    reference: Decimal | None = None
    reference_at: datetime | None = None


class Step(NamedTuple):
    """What became of an alert at a price; `measured_from` is where a move that fired it began."""

    standing: Standing
    fired: bool = False
    measured_from: Decimal | None = None


class StoredAlert(NamedTuple):
    """An alert to be watched; `recent` are the (minute, low, high) of a window's minutes, as they were traded."""

    id: int
    user_id: int
    asset_id: int
    rule: Rule
    units_at: datetime
    armed_at: datetime
    standing: Standing
    recent: tuple[tuple[datetime, Decimal, Decimal], ...] = ()


class Change(NamedTuple):
    """What a price of a source did to an alert; `rule` is in the units of the price."""

    alert_id: int
    asset_id: int
    rule: Rule
    before: Standing
    step: Step
    price: Decimal
    as_of: datetime
    seen_at: datetime
    source: str


class Window:
    """The lowest and the highest price of the last minutes: so many whole ones, and the one that has begun."""

    def __init__(self, minutes: int) -> None:
        self.low: Decimal | None = None
        self.high: Decimal | None = None
        self._span = timedelta(minutes=minutes)
        self._parts: deque[tuple[datetime, Decimal, Decimal]] = deque()

    def move_to(self, moment: datetime) -> None:
        """Forgets what is too old at a time, and everything when time has gone back by more than the window."""
        minute = moment.replace(second=0, microsecond=0)
        parts = self._parts
        if parts and parts[-1][0] > minute + self._span:
            parts.clear()
        elif not parts or parts[0][0] >= minute - self._span:
            return
        while parts and parts[0][0] < minute - self._span:
            parts.popleft()
        self._measure()

    def add(self, moment: datetime, low: Decimal, high: Decimal) -> None:
        minute = moment.replace(second=0, microsecond=0)
        parts = self._parts
        if parts and parts[-1][0] >= minute:
            minute, known_low, known_high = parts.pop()
            low, high = min(low, known_low), max(high, known_high)
        parts.append((minute, low, high))
        self.low = low if self.low is None else min(low, self.low)
        self.high = high if self.high is None else max(high, self.high)

    def clear(self) -> None:
        self._parts.clear()
        self._measure()

    def restate(self, ratio: Ratio) -> None:
        self._parts = deque(
            (minute, restated(low, ratio), restated(high, ratio)) for minute, low, high in self._parts
        )
        self._measure()

    def _measure(self) -> None:
        self.low = min((low for _, low, _ in self._parts), default=None)
        self.high = max((high for _, _, high in self._parts), default=None)


def percent_of(price: Decimal, percent: Decimal) -> Decimal:
    return EXACT.multiply(EXACT.multiply(abs(price), percent), HUNDREDTH)


def seeded(rule: Rule, standing: Standing, price: Decimal, moment: datetime) -> Standing:
    """Returns where a newly armed alert stands at the price of its arming, which never fires it."""
    if standing.phase != "armed":
        return standing
    if rule.kind == "crossing" and not standing.side:
        return standing._replace(side=_side(rule, price))
    needs_reference = rule.kind == "percent_move" and not rule.window_minutes
    if needs_reference and standing.reference is None and price:
        return standing._replace(reference=price, reference_at=moment)
    return standing


def step(
    rule: Rule, standing: Standing, price: Decimal, moment: datetime, window: Window | None = None
) -> Step:
    """Returns what becomes of an alert at a price; `window` holds the prices before it."""
    if standing.phase == "done":
        return Step(standing)
    if standing.phase == "waiting":
        if not _went_back(rule, price):
            return Step(standing)
        return Step(Standing(standing.arming + 1, side=_side(rule, price)))
    measured_from = None
    if rule.kind == "percent_move":
        measured_from = _moved_from(rule, standing, price, window)
        fires = measured_from is not None
    else:
        fires = _is_reached(rule, standing, price)
    if not fires:
        return Step(seeded(rule, standing, price, moment))
    return Step(_after_firing(rule, standing, price, moment), True, measured_from)


def quiet(rule: Rule, standing: Standing) -> Bounds:
    """Returns bounds between which no price, they themselves left out, changes anything of an alert."""
    if standing.phase == "done":
        return EVERYWHERE
    threshold, gap = rule.threshold, rule.gap if rule.kind != "percent_move" else ZERO
    is_armed = standing.phase == "armed"
    match rule.kind:
        case "above":
            if is_armed:
                return EVERYWHERE[0], threshold
            return EXACT.subtract(threshold, gap), EVERYWHERE[1]
        case "below":
            if is_armed:
                return threshold, EVERYWHERE[1]
            return EVERYWHERE[0], EXACT.add(threshold, gap)
        case "crossing":
            if not is_armed:
                return EXACT.subtract(threshold, gap), EXACT.add(threshold, gap)
            if not standing.side:
                return NOWHERE
            is_below = standing.side < 0
            return (EVERYWHERE[0], threshold) if is_below else (threshold, EVERYWHERE[1])
        case "percent_move":
            reference = standing.reference
            if rule.window_minutes or reference is None:
                return NOWHERE
            move = percent_of(reference, threshold)
            return EXACT.subtract(reference, move), EXACT.add(reference, move)


def _side(rule: Rule, price: Decimal) -> int:
    if rule.kind != "crossing":
        return 0
    return (price > rule.threshold) - (price < rule.threshold)


def _is_reached(rule: Rule, standing: Standing, price: Decimal) -> bool:
    if rule.kind == "above":
        return price >= rule.threshold
    if rule.kind == "below":
        return price <= rule.threshold
    return price >= rule.threshold if standing.side < 0 else standing.side > 0 and price <= rule.threshold


def _went_back(rule: Rule, price: Decimal) -> bool:
    """Whether a price is on the other side again, by the hysteresis at least; of a crossing, on either side."""
    beyond = EXACT.subtract(price, rule.threshold)
    if rule.kind == "above":
        beyond = -beyond
    elif rule.kind == "crossing":
        beyond = abs(beyond)
    return beyond > 0 and beyond >= rule.gap


def _moved_from(rule: Rule, standing: Standing, price: Decimal, window: Window | None) -> Decimal | None:
    """Returns what a price is far enough away from, if anything."""
    low = high = standing.reference
    if rule.window_minutes:
        low, high = (window.low, window.high) if window is not None else (None, None)
    if low and price >= EXACT.add(low, percent_of(low, rule.threshold)):
        return low
    if high and price <= EXACT.subtract(high, percent_of(high, rule.threshold)):
        return high
    return None


def _after_firing(rule: Rule, standing: Standing, price: Decimal, moment: datetime) -> Standing:
    if rule.once:
        return standing._replace(phase="done")
    if rule.kind != "percent_move":
        return standing._replace(phase="waiting", side=0)
    # From here it must move by as much again: that is its hysteresis.
    return seeded(rule, Standing(standing.arming + 1), price, moment)
