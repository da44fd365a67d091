"""The chart that Yahoo answers with: one instrument's last price and its daily bars.

`previousClose` and `chartPreviousClose` are never read: they are of another day, years old or nearly zero, as it comes.
A previous close is that of the bar before the day of the price. Bars come divided by every split since, and as float32
that was written as a double; both are undone here, so that a bar is as it was traded.
"""

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from assets.market import Bar, Quote, bounded
from realtime.feeds.base import FeedError, FrameError
from realtime.feeds.float32 import float32_bits, from_widened

AROUND_THE_CLOCK = {"CRYPTOCURRENCY", "CURRENCY"}
# A bar a thousand times away from its neighbour is Yahoo's mistake: indices are known to close near zero.
ABSURD = 1000
# A float32 has seven of its own.
MOST_DIGITS_TRADED = 10

_Number = Decimal | None


class Unknown(FeedError):
    """The vendor has no such symbol; its own words."""


class _Period(msgspec.Struct):
    start: int
    end: int


class _Periods(msgspec.Struct):
    regular: _Period | None = None


class _Meta(msgspec.Struct, rename="camel"):
    instrument_type: str = ""
    regular_market_price: _Number = None
    regular_market_time: int | None = None
    exchange_timezone_name: str = ""
    gmtoffset: Annotated[int, msgspec.Meta(gt=-86400, lt=86400)] = 0
    current_trading_period: _Periods | None = None


class _Prices(msgspec.Struct):
    open: list[_Number] = []
    high: list[_Number] = []
    low: list[_Number] = []
    close: list[_Number] = []
    volume: list[_Number] = []


class _Indicators(msgspec.Struct):
    quote: list[_Prices] = []


class _Split(msgspec.Struct):
    date: int
    numerator: Decimal
    denominator: Decimal


class _Events(msgspec.Struct):
    splits: dict[str, _Split] = {}


class _Result(msgspec.Struct):
    meta: _Meta
    timestamp: list[int] = []
    indicators: _Indicators = msgspec.field(default_factory=_Indicators)
    events: _Events = msgspec.field(default_factory=_Events)


class _Error(msgspec.Struct):
    code: str = ""
    description: str = ""


class _Chart(msgspec.Struct):
    result: list[_Result] | None = None
    error: _Error | None = None


class _Answer(msgspec.Struct):
    chart: _Chart | None = None
    finance: _Chart | None = None


_decoder = msgspec.json.Decoder(_Answer)


class _Day(msgspec.Struct):
    """A daily bar as Yahoo has it: of a date where the exchange is."""

    date: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None


def quote_of(symbol: str, status: int, body: bytes) -> Quote:
    """Reads {"chart":{"result":[{"meta":{"currency":"USD","symbol":"AAPL","instrumentType":"EQUITY",
    "regularMarketTime":1763758801,"regularMarketPrice":190.55,"currentTradingPeriod":{"regular":{"start":…,"end":…}},…},
    "timestamp":[…],"indicators":{"quote":[{"open":[…],…}]}}],"error":null}}
    """
    result = _result(symbol, status, body)
    try:
        return _quote(symbol, result)
    except (ValueError, ArithmeticError, OSError) as error:
        raise FrameError("bad_chart", f"expected the chart of {symbol}: {error}") from error


def bars_of(symbol: str, status: int, body: bytes) -> list[Bar]:
    """Reads the same for its daily bars, oldest first, each at the midnight UTC of its date, as it was traded.

    Raises:
        FeedError: there is no such symbol, or its chart cannot be read.
    """
    result = _result(symbol, status, body)
    try:
        zone = _zone(result.meta)
        splits = [
            (datetime.fromtimestamp(split.date, zone).date(), split.numerator / split.denominator)
            for split in result.events.splits.values()
        ]
        bars = []
        for day in _days(result):
            ratio = Decimal(1)
            for ex_date, factor in splits:
                if ex_date > day.date:
                    ratio *= factor
            bars.append(_bar(symbol, day, ratio))
        return bars
    except (ValueError, ArithmeticError, OSError) as error:
        raise FeedError(f"expected the daily bars of {symbol}: {error}") from error


def _result(symbol: str, status: int, body: bytes) -> _Result:
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if status != 200:
            raise FeedError(f"the vendor answered {status}") from error
        raise FrameError("bad_chart", f"expected the chart of {symbol}: {error}") from error
    chart = answer.chart or answer.finance or _Chart()
    if chart.result and status == 200:
        return chart.result[0]
    words = chart.error.description or chart.error.code if chart.error is not None else ""
    # Of a wrong crumb, too, they say what it is and not of which symbol.
    if answer.chart is not None and (status in {400, 404} or (status == 200 and chart.error is not None)):
        raise Unknown(words or "the vendor has no chart of it")
    raise FeedError(f"the vendor answered {status}{': ' + words if words else ''}")


def _quote(symbol: str, result: _Result) -> Quote:
    meta = result.meta
    if meta.regular_market_price is None or meta.regular_market_time is None:
        raise ValueError("expected a price of the regular market and its time")
    price = from_widened(bounded(meta.regular_market_price))
    if price <= 0:
        raise ValueError(f"expected a price above zero, was {price}")
    moment = datetime.fromtimestamp(meta.regular_market_time, UTC)
    traded_on, days = moment.astimezone(_zone(meta)).date(), _days(result)
    earlier = [day for day in days if day.date < traded_on]
    today = days[-1] if days and days[-1].date == traded_on else None
    kind = meta.instrument_type
    quote = Quote(
        symbol=symbol,
        price=price,
        as_of=moment,
        official_close=price if kind not in AROUND_THE_CLOCK and _is_over(meta) else None,
    )
    if kind == "CURRENCY":  # whose day is London's
        return quote
    if earlier:
        quote = msgspec.structs.replace(quote, previous_close=earlier[-1].close)
    if today is None:
        return quote
    return msgspec.structs.replace(
        quote, open=today.open, high=today.high, low=today.low, volume=today.volume
    )


def _is_over(meta: _Meta) -> bool:
    """Whether the session of the last price is over: it is the last of its own, or the next one's are told already."""
    periods, moment = meta.current_trading_period, meta.regular_market_time
    if periods is None or periods.regular is None or moment is None:
        return False
    return not periods.regular.start <= moment < periods.regular.end


def _days(result: _Result) -> list[_Day]:
    """Returns the days that have all prices, in the units that Yahoo gives them in.

    A day may come twice, the second time as it is now; one far from the others is left out.
    """
    zone, prices = _zone(result.meta), (result.indicators.quote or [_Prices()])[0]
    columns = (prices.open, prices.high, prices.low, prices.close)
    volumes = prices.volume or [None] * len(result.timestamp)
    found: dict[date, _Day] = {}
    for stamp, opened, high, low, close, volume in zip(result.timestamp, *columns, volumes, strict=True):
        if opened is None or high is None or low is None or close is None:
            continue
        four = [from_widened(bounded(value)) for value in (opened, high, low, close)]
        if not 0 < four[2] <= min(four[0], four[3]) or not max(four[0], four[3]) <= four[1]:
            continue
        if result.meta.instrument_type in AROUND_THE_CLOCK:  # money and not coins, or nothing at all
            volume = None
        day = datetime.fromtimestamp(stamp, zone).date()
        found[day] = _Day(day, four[0], four[1], four[2], four[3], volume and bounded(volume))
    days = [found[day] for day in sorted(found)]
    return [day for index, day in enumerate(days) if not _is_absurd(day, days[max(0, index - 2) : index + 3])]


def _is_absurd(day: _Day, around: list[_Day]) -> bool:
    middle = sorted(one.close for one in around)[len(around) // 2]
    return not middle < day.low * ABSURD or not day.high < middle * ABSURD


def _bar(symbol: str, day: _Day, ratio: Decimal) -> Bar:
    opened, high, low, close = (as_traded(value, ratio) for value in (day.open, day.high, day.low, day.close))
    return Bar(
        symbol=symbol,
        interval="1d",
        start=datetime(day.date.year, day.date.month, day.date.day, tzinfo=UTC),
        open=opened,
        high=max(high, opened, close),
        low=min(low, opened, close),
        close=close,
        volume=day.volume if day.volume is None or ratio == 1 else Decimal(round(day.volume / ratio)),
    )


def as_traded(price: Decimal, ratio: Decimal) -> Decimal:
    """Returns the shortest price that, divided by `ratio` and kept as float32, is this one: 499.23 of 124.8075."""
    if ratio == 1:
        return price
    exact, bits = price * ratio, float32_bits(price)
    for digits in range(1, MOST_DIGITS_TRADED):
        found = Decimal(f"{exact:.{digits}g}")
        if float32_bits(found / ratio) == bits:
            break
    return Decimal(f"{found:f}")


def _zone(meta: _Meta) -> tzinfo:
    """The exchange's; its summer time tells on which date a bar begins."""
    try:
        return ZoneInfo(meta.exchange_timezone_name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return timezone(timedelta(seconds=meta.gmtoffset))
