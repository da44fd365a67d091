"""The alerts of one asset while a source publishes it: each price is compared with two bounds, and rarely with more.

Pure: what a price changes is handed on, in order, and the alert stands where that left it at once. A split restates
all of them together with their line.
"""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from assets.splits import SplitEvent, ratio_between, restated
from realtime.alerts.rules import EVERYWHERE, Change, Step, StoredAlert, Window, quiet, seeded, step
from realtime.price_feed.lines import Line

# So often an alert fires, and then rests: without hysteresis, or at a tiny move, it would fill the database.
MOST_FIRINGS, WITHIN = 10, timedelta(minutes=1)


class Watch:
    """One alert in the units of its line; between `least` and `most` no price changes anything of it."""

    __slots__ = ("fired_at", "least", "most", "rule", "standing", "stored", "window")

    def __init__(self, stored: StoredAlert) -> None:
        self.stored = stored
        self.rule = stored.rule
        self.standing = stored.standing
        self.window = Window(stored.rule.window_minutes) if stored.rule.window_minutes else None
        self.fired_at: deque[datetime] = deque(maxlen=MOST_FIRINGS)
        self.least, self.most = quiet(self.rule, self.standing)

    def may_fire(self, moment: datetime) -> bool:
        """Whether it has not fired so often of late that it must rest, still armed; if so, counts another firing."""
        if len(self.fired_at) == MOST_FIRINGS and moment - self.fired_at[0] < WITHIN:
            return False
        self.fired_at.append(moment)
        return True

    def restate(self, splits: tuple[SplitEvent, ...], before: datetime, after: datetime) -> None:
        """Goes on in the units of another moment."""
        self.rule = self.stored.rule.in_units(ratio_between(splits, self.stored.units_at, after))
        reference, taken_at = self.standing.reference, self.standing.reference_at
        if (
            reference is not None
            and taken_at is not None
            and (ratio := ratio_between(splits, taken_at, after))
        ):
            self.standing = self.standing._replace(
                reference=restated(reference, ratio), reference_at=max(taken_at, after)
            )
        if self.window is not None and (ratio := ratio_between(splits, before, after)):
            self.window.restate(ratio)
        self.least, self.most = quiet(self.rule, self.standing)

    def begin(self, line: Line, known: Window | None) -> None:
        """Takes what is known of a window's minutes: from before in this process, or from stored bars."""
        if self.window is None:
            return
        if known is not None:
            self.window = known
            return
        for minute, low, high in self.stored.recent:
            ratio = ratio_between(line.listing.splits, minute, line.units_at)
            if ratio is not None:
                low, high = restated(low, ratio), restated(high, ratio)
            self.window.add(minute, low, high)
        if self.window.low is None and line.price is not None:
            self.window.add(max(line.as_of, self.stored.armed_at), line.price, line.price)


class LineAlerts:
    """All alerts of one line.

    Args:
        source: whose prices these are.
        report: takes each change, in order.
        known: the alerts of the line so far, which go on with their windows, in the same arming, and their rests.
    """

    def __init__(
        self,
        line: Line,
        stored: Iterable[StoredAlert],
        source: str,
        report: Callable[[Change], None],
        known: "LineAlerts | None" = None,
    ) -> None:
        self._source = source
        self._report = report
        self._watches = [Watch(one) for one in stored]
        self._windowed = [watch for watch in self._watches if watch.window is not None]
        self._listing, self._units_at = line.listing, line.units_at
        windows = known.windows() if known is not None else {}
        firings = {watch.stored.id: watch.fired_at for watch in known._watches} if known is not None else {}
        for watch in self._watches:
            watch.fired_at = firings.get(watch.stored.id, watch.fired_at)
            watch.restate(line.listing.splits, line.units_at, line.units_at)
            watch.begin(line, windows.get((watch.stored.id, watch.standing.arming)))
        self._least, self._most = EVERYWHERE
        self._measure()
        if line.price is not None:
            self._catch_up(line, line.price)

    def windows(self) -> dict[tuple[int, int], Window]:
        return {
            (watch.stored.id, watch.standing.arming): watch.window
            for watch in self._windowed
            if watch.window is not None
        }

    def take(self, line: Line) -> None:
        """Takes the line's price, as each tick leaves it."""
        price = line.price
        if price is None or not line.is_owned:
            return
        if line.units_at is not self._units_at or line.listing is not self._listing:
            self._restate(line)
        for watch in self._windowed:
            self._step(watch, line, price)
        if not self._least < price < self._most:
            self._look(line, price)

    def _look(self, line: Line, price: Decimal) -> None:
        for watch in self._watches:
            if watch.window is None and not watch.least < price < watch.most:
                self._step(watch, line, price)
        self._measure()

    def _measure(self) -> None:
        others = [watch for watch in self._watches if watch.window is None]
        self._least = max((watch.least for watch in others), default=EVERYWHERE[0])
        self._most = min((watch.most for watch in others), default=EVERYWHERE[1])

    def _restate(self, line: Line) -> None:
        before, listing = self._units_at, self._listing
        self._listing, self._units_at = line.listing, line.units_at
        if before != line.units_at or listing.splits != line.listing.splits:
            for watch in self._watches:
                watch.restate(line.listing.splits, before, line.units_at)
            self._measure()

    def _catch_up(self, line: Line, price: Decimal) -> None:
        """Takes the price that the line has: where alerts were armed at, or a tick that nobody has seen them at."""
        for watch in self._watches:
            self._take(
                watch, line, price, Step(seeded(watch.rule, watch.standing, price, self._moment(line)))
            )
            if line.as_of >= watch.stored.armed_at:
                self._step(watch, line, price)
        self._measure()

    def _step(self, watch: Watch, line: Line, price: Decimal) -> None:
        window = watch.window
        if window is not None:
            window.move_to(line.as_of)
        after = step(watch.rule, watch.standing, price, self._moment(line), window)
        is_resting = after.fired and not watch.may_fire(line.received_at)
        if window is not None:
            if after.fired and not is_resting:
                window.clear()
            window.add(line.as_of, price, price)
        if is_resting:
            return
        self._take(watch, line, price, after)

    def _take(self, watch: Watch, line: Line, price: Decimal, after: Step) -> None:
        before = watch.standing
        if after.standing == before and not after.fired:
            return
        watch.standing = after.standing
        watch.least, watch.most = quiet(watch.rule, watch.standing)
        stored = watch.stored
        self._report(
            Change(
                stored.id,
                stored.asset_id,
                watch.rule,
                before,
                after,
                price,
                line.as_of,
                line.received_at,
                self._source,
            )
        )

    def _moment(self, line: Line) -> datetime:
        """The moment that tells the units of the line's price, which may be from before a split."""
        return max(line.as_of, line.units_at)
