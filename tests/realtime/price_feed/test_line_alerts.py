"""Alerts at the batcher: each accepted tick before conflation, in the units of now, where the asset is published."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from assets.market import Quote
from assets.splits import SplitEvent
from realtime.alerts.rules import Change, Kind, Rule, Standing, StoredAlert
from realtime.price_feed.line_alerts import LineAlerts
from tests.cost import turns
from tests.realtime.price_feed.market import CLOSE, OPEN, SECOND, Market, make_listing

BEFORE = OPEN - timedelta(days=1)


def stored(kind: Kind = "above", threshold: str = "100", **more: Any) -> StoredAlert:
    rule = {name: more.pop(name) for name in ("once", "hysteresis", "window_minutes") if name in more}
    values = {"units_at": BEFORE, "armed_at": BEFORE, "standing": Standing(), **more}
    return StoredAlert(
        id=1, user_id=1, asset_id=1, rule=Rule(kind=kind, threshold=Decimal(threshold), **rule), **values
    )


class Watched:
    """A market whose line is watched."""

    def __init__(self, *alerts: StoredAlert, market: Market | None = None) -> None:
        self.market = market or Market()
        self.changes: list[Change] = []
        self.line = self.market.batcher.lines["ACME"]
        self.alerts = LineAlerts(self.line, alerts, "simulator", self.changes.append)
        self.line.watcher = self.alerts.take

    def ticks(self, *prices: str, start: datetime = OPEN) -> list[str]:
        """Prices a second apart, in one frame; returns those that fired."""
        quotes = [
            Quote(symbol="acme", price=Decimal(price), as_of=start + (index + 1) * SECOND)
            for index, price in enumerate(prices)
        ]
        now = quotes[-1].as_of
        known = len(self.changes)
        self.market.batcher.take(quotes, now, self.market.seconds(now))
        return [f"{change.price:f}" for change in self.changes[known:] if change.step.fired]


def test_a_spike_between_two_flushes_fires() -> None:
    watched = Watched(stored())
    assert watched.ticks("99", "100.01", "99") == ["100.01"]
    record = watched.market.flushed()
    assert record is not None and record.price == 99


def test_an_alert_that_fires_all_the_time_rests_and_is_not_forgotten() -> None:
    watched = Watched(stored("percent_move", "0.1"))
    prices = [str(100 + n) for n in range(15)]
    assert watched.ticks("99", *prices) == prices[:10]
    watched.alerts = LineAlerts(
        watched.line,
        [stored("percent_move", "0.1", standing=watched.changes[-1].step.standing)],
        "simulator",
        watched.changes.append,
        watched.alerts,
    )
    watched.line.watcher = watched.alerts.take
    assert watched.ticks("116", start=OPEN + 20 * SECOND) == []
    (fired,) = watched.ticks("117", start=OPEN + 80 * SECOND)
    assert (fired, watched.changes[-1].step.measured_from) == ("117", 109)  # where it fired last


def test_ticks_that_are_refused_fire_nothing() -> None:
    watched = Watched(stored())
    watched.ticks("99")
    line = watched.line
    assert watched.ticks("99000", start=OPEN + 10 * SECOND) == []  # a unit mixed up
    assert watched.ticks("101", start=OPEN - timedelta(hours=8)) == []  # of the night
    assert line.price == 99


def test_the_official_close_is_a_price() -> None:
    watched = Watched(stored())
    watched.ticks("99")
    watched.market.quote("99", CLOSE + SECOND, official_close=Decimal("100.5"))
    assert [change.price for change in watched.changes if change.step.fired] == [Decimal("100.5")]


def test_a_source_that_does_not_publish_the_asset_fires_nothing() -> None:
    watched = Watched(stored())
    watched.line.is_owned = False
    assert watched.ticks("101") == []


def test_an_alert_fires_and_is_armed_again_in_one_frame() -> None:
    watched = Watched(stored(hysteresis=Decimal(1)))
    assert watched.ticks("101", "99.5", "101", "99", "102") == ["101", "102"]
    assert [change.before.arming for change in watched.changes] == [1, 1, 2]


def test_a_threshold_from_before_a_split_is_restated_when_the_split_takes_effect() -> None:
    """A 4:1 split in the night: 100 then is 25 now, and 24 is not above it."""
    split = SplitEvent(OPEN, 4, 1)
    market = Market(now=OPEN - timedelta(hours=1), listing=make_listing(splits=(split,)))
    alerts = (stored("above", "100"), stored("below", "80"), stored("percent_move", "10"))
    watched = Watched(*alerts, market=market)
    watched.alerts.take(watched.line)
    day_before = OPEN - timedelta(hours=17, minutes=30)
    assert watched.ticks("90", start=day_before) == []
    market.at(OPEN)
    assert watched.ticks("22.6", "24.9") == ["24.9"]  # by more than a tenth of 22.5, and neither 25 nor 20
    assert watched.ticks("25", start=OPEN + 10 * SECOND) == ["25"]
    assert watched.changes[-1].rule.threshold == 25


def test_the_window_of_a_percent_move_goes_on_when_alerts_are_read_again() -> None:
    alert = stored("percent_move", "5", window_minutes=10)
    watched = Watched(alert)
    watched.ticks("100", "102")
    again = LineAlerts(watched.line, [alert], "simulator", watched.changes.append, watched.alerts)
    watched.line.watcher = again.take
    assert watched.ticks("104.9", "105", start=OPEN + 60 * SECOND) == ["105"]
    assert watched.changes[-1].step.measured_from == 100


def test_the_window_of_a_new_process_begins_with_stored_minutes() -> None:
    minutes = ((OPEN - 300 * SECOND, Decimal(95), Decimal(99)),)
    watched = Watched(stored("percent_move", "5", window_minutes=10, recent=minutes))
    assert watched.ticks("99.74", "99.75") == ["99.75"]


# -- what was missed


def test_the_price_at_the_arming_fires_nothing_and_tells_the_side() -> None:
    market = Market()
    market.quote("101", OPEN + SECOND)
    late = OPEN + 60 * SECOND
    watched = Watched(stored(armed_at=late), stored("crossing", armed_at=late), market=market)
    assert not any(change.step.fired for change in watched.changes)
    assert [change.step.standing.side for change in watched.changes] == [1]
    assert watched.ticks("99", start=late) == ["99"]


def test_a_tick_that_nobody_has_looked_at_is_looked_at_when_alerts_are_read() -> None:
    """A process was killed after it had published a price and before it had written what that fired."""
    market = Market()
    market.quote("101", OPEN + SECOND)
    watched = Watched(stored(), stored("crossing", standing=Standing(side=-1)), market=market)
    assert [change.step.fired for change in watched.changes] == [True, True]


def test_a_price_that_crossed_while_the_feed_was_down_fires_at_the_first_tick() -> None:
    watched = Watched(stored("crossing", standing=Standing(side=1)))
    assert watched.ticks("98") == ["98"]
    assert watched.ticks("98.1", "97", start=OPEN + 10 * SECOND) == []


def test_a_hundred_quiet_alerts_cost_a_tick_little() -> None:
    def cost(watch: bool) -> float:
        watched = Watched(*[stored("above", str(1000 + n)) for n in range(100)])
        watched.line.watcher = watched.alerts.take if watch else None
        start = OPEN

        def work() -> None:
            nonlocal start
            watched.ticks(*[str(100 + Decimal(n) / 100) for n in range(1, 300)], start=start)
            start += 300 * SECOND

        return turns(work)

    assert cost(watch=True) < 1.4 * cost(watch=False)
