"""What Polygon's prints do to a price, a day and its bars, from the frame to the line."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from assets.sessions import AROUND_THE_CLOCK, Calendar, Session, StoredCalendar
from realtime.feeds.polygon import PolygonFeed
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.lines import Line
from realtime.price_feed.listing import Listing

OPEN = datetime(2026, 3, 13, 13, 30, tzinfo=UTC)
CLOSE = datetime(2026, 3, 13, 20, tzinfo=UTC)
D = Decimal


def sessions() -> StoredCalendar:
    days = [timedelta(days=number) for number in (-1, 0, 3)]
    return StoredCalendar("XNYS", [Session((OPEN + day).date(), OPEN + day, CLOSE + day) for day in days])


class Market:
    """A feed and a batcher of one ticker, at the time of what is told."""

    def __init__(self, calendar: Calendar) -> None:
        self.feed = PolygonFeed("stocks", "key", ["MSFT"])
        self.feed.opened({"MSFT": "quote"})
        self.batcher = Batcher("polygon_stocks", stale_after=300.0, quotes_are_trades=False)
        listing = Listing(1, "MSFT", "USD", "MSFT", ("polygon_stocks",), calendar)
        self.batcher.follow([listing], OPEN, 0.0)
        self.batcher.begin(1)

    @property
    def line(self) -> Line:
        return self.batcher.lines["MSFT"]

    def tell(self, at: datetime, **event: Any) -> None:
        milliseconds = round(at.timestamp() * 1000)
        frame = json.dumps([{"sym": "MSFT", "t": milliseconds, **event}]).encode()
        seconds = (at - OPEN).total_seconds()
        self.batcher.tick(at, seconds)
        self.batcher.take(self.feed.decode(frame), at, seconds)

    def trade(self, at: datetime, price: float, *conditions: int, **more: Any) -> None:
        self.tell(at, ev="T", x=12, z=3, i=str(at), p=price, s=100, c=list(conditions), **more)

    def day(self) -> tuple[Decimal | None, ...]:
        bar = self.line.bars.day
        assert bar is not None
        return bar.open, bar.high, bar.low, bar.close, bar.volume


@pytest.fixture
def market() -> Market:
    return Market(sessions())


def test_an_odd_lot_and_an_average_price_are_volume_and_nothing_else(market: Market) -> None:
    at = OPEN + timedelta(minutes=5)
    market.trade(at, 100.0)
    market.trade(at + timedelta(seconds=1), 130.0, 37)
    market.trade(at + timedelta(seconds=2), 70.0, 2)
    assert market.line.price == 100
    assert market.day() == (100, 100, 100, 100, 300)


def test_a_print_out_of_sequence_widens_the_day_and_moves_no_price(market: Market) -> None:
    at = OPEN + timedelta(minutes=5)
    market.trade(at, 100.0)
    market.trade(at + timedelta(seconds=1), 101.0, 32)
    assert market.line.price == 100
    assert market.day() == (100, 101, 100, 100, 200)


@pytest.mark.parametrize("calendar", [sessions(), AROUND_THE_CLOCK])
def test_a_print_after_hours_moves_nothing_whatever_the_calendar_says(calendar: Calendar) -> None:
    market = Market(calendar)
    market.trade(CLOSE - timedelta(minutes=1), 100.0)
    market.trade(CLOSE + timedelta(minutes=30), 120.0, 12)
    assert market.line.price == 100
    assert market.day()[:4] == (100, 100, 100, 100)


def test_an_aggregate_after_hours_does_not_move_the_price_of_a_share(market: Market) -> None:
    market.trade(CLOSE - timedelta(minutes=1), 100.0)
    start = round((CLOSE + timedelta(minutes=30)).timestamp() * 1000)
    aggregate = {"v": 1, "av": 9000, "op": 99.5, "o": 120, "h": 120, "l": 120, "c": 120, "a": 101.5}
    market.tell(CLOSE + timedelta(minutes=31), ev="AM", s=start, e=start + 60_000, **aggregate)
    assert market.line.price == 100
    opened, high, _, close, volume = market.day()
    # The official open and the volume of the whole day are taken all the same.
    assert (opened, high, close, volume) == (D("99.5"), 100, 100, 9000)
    # Nor is it one of the minutes, which are those of regular hours.
    market.batcher.tick(CLOSE + timedelta(minutes=33), 0.0)
    minutes = [built.bar.start for _, built in market.batcher.take_bars() if built.bar.interval == "1m"]
    assert minutes == [CLOSE - timedelta(minutes=1)]


def test_the_volume_of_the_morning_is_not_that_of_the_day_before(market: Market) -> None:
    market.trade(CLOSE - timedelta(minutes=1), 100.0)
    figures = {"v": 1, "o": 100, "h": 100, "l": 100, "c": 100}
    for hours, volume in ((-0.1, 9_000_000), (3.9, 9_500_000), (12, 500)):  # the last is at four in New York
        at = CLOSE + timedelta(hours=hours)
        start = round(at.timestamp() * 1000)
        market.tell(at, ev="AM", s=start, e=start + 60_000, av=volume, op=volume / 10**5, a=volume, **figures)
    assert market.line.hours.session.close == CLOSE
    assert (market.day()[0], market.line.average_price, market.day()[4]) == (95, 9_500_000, 9_500_000)


def test_the_official_close_of_the_listing_exchange_ends_the_day(market: Market) -> None:
    market.trade(CLOSE - timedelta(minutes=1), 100.0)
    market.trade(CLOSE + timedelta(seconds=1), 100.5, 15)
    assert (market.line.price, market.line.as_of) == (D("100.5"), CLOSE)
    market.trade(CLOSE + timedelta(minutes=1), 99.0, 12)
    assert market.line.price == D("100.5")


def test_a_second_tells_of_the_day_without_moving_the_price_or_counting_twice(market: Market) -> None:
    at = OPEN + timedelta(minutes=5)
    market.trade(at, 100.0)
    start = round((at + timedelta(seconds=1)).timestamp() * 1000)
    aggregate = {"v": 100, "av": 8000, "op": 99.5, "o": 100, "h": 100, "l": 100, "c": 100, "a": 99.75}
    market.tell(at + timedelta(seconds=3), ev="A", s=start, e=start + 1000, **aggregate)
    record = market.line.record("polygon_stocks", 1)
    assert (record.price, record.open, record.volume) == (100, D("99.5"), 8000)
    assert record.average_price == D("99.75")
    market.trade(at + timedelta(seconds=4), 100.25)
    assert market.line.price == D("100.25")
