"""Yahoo's charts into exact prices and bars; and the whole way through the real yfinance, against loopback."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from assets.market import Bar, Quote
from realtime.feeds.base import FeedError, FrameError
from realtime.feeds.float32 import from_widened
from realtime.feeds.yahoo_chart import Unknown, as_traded, bars_of, quote_of
from tests.vendors.real_clients import run_client
from tests.vendors.yahoo import YahooServer, chart, pricing, record, widened

ROOT = Path(__file__).resolve().parents[3]
OPEN, CLOSE = timedelta(hours=14, minutes=30), timedelta(hours=21)
FRIDAY = datetime(2026, 11, 20, tzinfo=UTC)
DAY = timedelta(days=1)
REGULAR = (FRIDAY + OPEN, FRIDAY + CLOSE)

Days = list[tuple[datetime, tuple[float | None, ...], int | None]]


def day(back: int, *prices: str, volume: int | None = 1000) -> tuple[datetime, tuple[float, ...], int | None]:
    return (FRIDAY - back * DAY + OPEN, tuple(map(widened, prices)), volume)


WEEK: Days = [
    day(2, "187.5", "189.01", "186.33", "188.1", volume=52_000_111),
    day(1, "188.2", "190.0", "187.75", "189.98", volume=48_123_456),
    day(0, "189.01", "191.05", "188.1", "190.55", volume=31_234_567),
]


def aapl(days: Days = WEEK, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"price": 190.55, "at": FRIDAY + timedelta(hours=19), "regular": REGULAR}
    return chart("AAPL", days, **{**given, **changes})


def body(result: dict[str, Any]) -> bytes:
    return json.dumps({"chart": {"result": [result], "error": None}}).encode()


def quote(**changes: Any) -> Quote:
    return quote_of("AAPL", 200, body(aapl(**changes)))


def bars(days: Days, **changes: Any) -> list[Bar]:
    return bars_of("AAPL", 200, body(aapl(days, **changes)))


# -- a quote


def test_a_chart_is_a_quote_to_the_digit_and_its_previous_close_is_that_of_the_bar_before() -> None:
    assert quote() == Quote(
        symbol="AAPL",
        price=Decimal("190.55"),
        as_of=FRIDAY + timedelta(hours=19),
        open=Decimal("189.01"),
        high=Decimal("191.05"),
        low=Decimal("188.1"),
        volume=Decimal(31_234_567),
        previous_close=Decimal("189.98"),
    )


def test_prices_from_before_and_after_the_market_are_not_looked_at() -> None:
    found = quote(meta={"postMarketPrice": 250.0, "preMarketPrice": 150.0})
    assert found.price == Decimal("190.55")


def test_before_the_first_trade_of_a_day_the_previous_close_is_still_that_before_the_last_price() -> None:
    found = quote(days=WEEK[:2], price=189.98, at=FRIDAY - DAY + CLOSE, regular=REGULAR)
    assert (found.previous_close, found.official_close) == (Decimal("188.1"), Decimal("189.98"))
    assert found.volume == 48_123_456


def test_a_day_whose_bar_has_not_come_yet_has_no_figures_of_yesterday() -> None:
    found = quote(days=WEEK[:2])
    assert (found.previous_close, found.open, found.high, found.volume) == (
        Decimal("189.98"),
        None,
        None,
        None,
    )


def test_the_price_of_a_session_that_is_over_is_its_official_close() -> None:
    assert quote(at=FRIDAY + CLOSE + timedelta(seconds=1)).official_close == Decimal("190.55")
    assert quote().official_close is None


def test_what_trades_around_the_clock_has_no_close_and_no_volume() -> None:
    found = quote(kind="CRYPTOCURRENCY", at=FRIDAY + CLOSE, zone="UTC")
    assert (found.official_close, found.volume, found.high) == (None, None, Decimal("191.05"))
    pair = quote(kind="CURRENCY", at=FRIDAY + CLOSE, zone="Europe/London")
    assert (pair.open, pair.high, pair.previous_close, pair.official_close) == (None, None, None, None)


@pytest.mark.parametrize("wrong", ["0.0000123", "0"])
def test_an_index_that_closed_near_zero_is_a_mistake_and_no_previous_close(wrong: str) -> None:
    days = [WEEK[0], day(1, wrong, wrong, wrong, wrong), WEEK[2]]
    assert quote(days=days, kind="INDEX").previous_close == Decimal("188.1")


def test_a_bar_with_holes_is_left_out() -> None:
    hole = (WEEK[1][0], (None, None, None, None), None)
    assert quote(days=[WEEK[0], hole, WEEK[2]]).previous_close == Decimal("188.1")


def test_a_day_of_the_far_east_is_that_of_its_own_calendar() -> None:
    """In Sydney it is Friday already while it is Thursday evening here."""
    begins = datetime(2026, 11, 19, 23, 0, tzinfo=UTC)
    days: Days = [(begins - DAY, WEEK[0][1], 1), (begins, WEEK[1][1], 2)]
    found = quote(days=days, at=begins + timedelta(hours=2), zone="Australia/Sydney")
    assert (found.previous_close, found.volume) == (Decimal("188.1"), Decimal(2))
    assert [bar.start.date().day for bar in bars(days, zone="Australia/Sydney")] == [19, 20]
    elsewhere = {"exchangeTimezoneName": "Nowhere/Town", "gmtoffset": 39600}
    assert [bar.start.date().day for bar in bars(days, meta=elsewhere)] == [19, 20]


@pytest.mark.parametrize(
    "meta",
    [
        {"regularMarketPrice": None},
        {"regularMarketTime": None},
        {"regularMarketPrice": 0.0},
        {"regularMarketPrice": -1.5},
        {"regularMarketPrice": 1e300},
        {"regularMarketTime": 2**60},
        {"regularMarketPrice": "N/A"},
        {"gmtoffset": 10**9},
    ],
)
def test_a_chart_without_a_price_that_can_be_is_a_frame_error(meta: dict[str, Any]) -> None:
    with pytest.raises(FrameError, match="expected the chart of AAPL"):
        quote(meta=meta)


@pytest.mark.parametrize("text", [b"", b"null", b"[" * 100_000, b"\xff", b"<html>Will be right back</html>"])
def test_an_answer_that_is_no_chart_is_an_error_of_this_symbol_only(text: bytes) -> None:
    with pytest.raises(FeedError) as raised:
        quote_of("AAPL", 200, text)
    assert not raised.value.permanent and not isinstance(raised.value, Unknown)


def test_the_vendors_own_words_tell_why() -> None:
    unknown = b'{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}'
    with pytest.raises(Unknown, match=r"^No data found$"):
        quote_of("NOPE", 404, unknown)
    crumb = b'{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}'
    with pytest.raises(FeedError, match=r"^the vendor answered 401: Invalid Crumb$") as raised:
        quote_of("AAPL", 401, crumb)
    assert not isinstance(raised.value, Unknown)
    with pytest.raises(FeedError, match=r"^the vendor answered 502$"):
        quote_of("AAPL", 502, b"<html>")


# -- bars


def test_bars_are_dated_where_the_exchange_is_and_read_to_the_digit() -> None:
    assert bars(WEEK)[1] == Bar(
        symbol="AAPL",
        interval="1d",
        start=FRIDAY - DAY,
        open=Decimal("188.2"),
        high=Decimal(190),
        low=Decimal("187.75"),
        close=Decimal("189.98"),
        volume=Decimal(48_123_456),
    )


def test_a_day_that_comes_twice_is_taken_as_it_is_now() -> None:
    again = (WEEK[2][0] + timedelta(hours=5), WEEK[1][1], 7)
    assert [bar.close for bar in bars([*WEEK, again])] == [
        Decimal("188.1"),
        Decimal("189.98"),
        Decimal("189.98"),
    ]


def test_bars_from_before_a_split_are_as_they_were_traded() -> None:
    split = (FRIDAY + OPEN, 4.0, 1.0)
    days = [day(1, "124.8075", "125.0", "124.5", "124.9"), day(0, "125", "126", "124", "125.5")]
    before, after = bars(days, splits=[split])
    assert (before.open, before.close, before.volume) == (Decimal("499.23"), Decimal("499.6"), Decimal(250))
    assert (after.open, after.volume) == (Decimal(125), Decimal(1000))


@pytest.mark.parametrize(
    ("raw", "ratio"), [("645.57", "28"), ("1208.88", "10"), ("0.4992", "0.1"), ("33.35", "1.5")]
)
def test_a_price_that_was_divided_and_kept_as_float32_is_found_again(raw: str, ratio: str) -> None:
    kept = from_widened(Decimal(repr(widened(str(Decimal(raw) / Decimal(ratio))))))
    assert as_traded(kept, Decimal(ratio)) == Decimal(raw)


# -- through the real yfinance


@asynccontextmanager
async def asked(server: YahooServer, *words: object, seconds: float = 20) -> AsyncIterator[list[Any]]:
    async with server:
        yield await run_client(
            "yfinance", "yahoo_feed.py", server.http_url, seconds, *words, env={"PYTHONPATH": str(ROOT)}
        )


@pytest.mark.real_client("yfinance")
@pytest.mark.asyncio
async def test_yfinance_gets_quotes_and_one_bad_symbol_harms_no_other() -> None:
    charts = {"AAPL": aapl(), "^NSEI": aapl(kind="INDEX"), "BAD": aapl(meta={"regularMarketPrice": None})}
    server = YahooServer(charts)
    async with asked(server, "poll", "AAPL", "NOPE", "BAD", "^NSEI") as said:
        events = {what: fields for what, *fields in said}
    quotes = [fields for what, fields in (line for line in said if line[0] == "Quote")]
    assert [(one["symbol"], one["price"], one["previous_close"]) for one in quotes] == [
        ("AAPL", "190.55", "189.98"),
        ("^NSEI", "190.55", "189.98"),
    ]
    assert events["Refused"] == [{"symbols": ["NOPE"], "reason": "No data found, symbol may be delisted"}]
    charts_asked = [path for path in server.http_requests if "/chart/" in path]
    assert any(path.startswith("/v8/finance/chart/%5ENSEI?range=5d&interval=1d") for path in charts_asked)
    assert all("includePrePost=false" in path and "crumb=a.crumb" in path for path in charts_asked[:1])


@pytest.mark.real_client("yfinance")
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("too-many:0", ("the vendor says: too many requests", 60.0)),
        ("down", ("expected the chart of AAPL", None)),
        ("wrong-crumb", ("the vendor answered 401: Invalid Crumb", None)),
    ],
)
async def test_yfinance_that_is_refused_is_an_error_that_says_how_long_to_wait(
    fault: str, error: tuple[str, float | None]
) -> None:
    async with asked(YahooServer({"AAPL": aapl()}, fault=fault), "poll", "AAPL") as said:
        ((what, fields),) = said
    assert what == "FeedError"
    assert fields["message"].startswith(error[0])
    assert (fields["retry_after"], fields["permanent"]) == (error[1], False)


@pytest.mark.real_client("yfinance")
@pytest.mark.asyncio
async def test_yfinance_keeps_what_it_got_before_it_was_refused() -> None:
    symbols = ["AAPL", "MSFT", "TSLA", "NVDA", "AMZN"]
    server = YahooServer(dict.fromkeys(symbols, aapl()), fault="too-many:4")
    async with asked(server, "poll", *symbols) as said:
        assert [(what, fields["symbol"]) for what, fields in said[:-1]] == [
            ("Quote", name) for name in symbols[:4]
        ]


@pytest.mark.real_client("yfinance")
@pytest.mark.asyncio
async def test_yfinance_that_gets_no_answer_ends_with_the_deadline() -> None:
    """Its own time-outs are 30 seconds, for each of several pages."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        said = await run_client(
            "yfinance", "yahoo_feed.py", url, 0.5, "poll", "AAPL", env={"PYTHONPATH": str(ROOT)}
        )
        silent.close()
    assert said == [
        [
            "FeedError",
            {"message": "the vendor did not answer within 0.5 s", "permanent": False, "retry_after": None},
        ]
    ]


@pytest.mark.real_client("yfinance")
@pytest.mark.asyncio
async def test_yfinance_gives_history_as_it_was_traded_between_two_days() -> None:
    days = [day(back, "125", "126", "124", f"125.{back:02d}") for back in range(40, -1, -1)]
    server = YahooServer({"AAPL": aapl(days, splits=[(FRIDAY - 5 * DAY + OPEN, 4.0, 1.0)])})
    until = FRIDAY + timedelta(hours=19)
    async with asked(server, "history", 7, until.isoformat(), "AAPL") as said:
        found = [fields for what, *fields in said if what == "Bar"]
    assert [(bar["start"][:10], bar["close"]) for (bar,) in found] == [
        ("2026-11-14", "500.24"),
        ("2026-11-15", "125.05"),
        ("2026-11-16", "125.04"),
        ("2026-11-17", "125.03"),
        ("2026-11-18", "125.02"),
        ("2026-11-19", "125.01"),
        ("2026-11-20", "125"),
    ]


@pytest.mark.real_client("yfinance")
@pytest.mark.asyncio
async def test_yfinances_own_socket_reads_the_same_prices_from_the_loopback_server() -> None:
    fields = {"id": "AAPL", "price": 190.55, "time": 1795204017711, "quote_type": 8, "market_hours": 1}
    async with YahooServer(script=[(0, fields)]) as server:
        ((_, message),) = await run_client("yfinance", "yfinance_stream.py", server.url, "AAPL", lines=1)
    assert message == {
        "id": "AAPL",
        "price": 190.55,
        "time": "1795204017711",
        "quote_type": 8,
        "market_hours": 1,
    }
    assert record(**fields) and pricing(**fields)
