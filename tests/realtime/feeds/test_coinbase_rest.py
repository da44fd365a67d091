"""Coinbase over REST, against a server on loopback that can be slow, huge, busy or wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from assets.market import Bar, Quote
from realtime.feeds.base import FeedError, Refused
from realtime.feeds.coinbase_rest import CoinbaseRestFeed, daily_bars, read_ticker
from realtime.feeds.fetch import LARGEST_BODY_BYTES, HttpError, fetch
from tests.realtime.feeds.fakes import JumpingClock

pytestmark = pytest.mark.asyncio

TICKER = {
    "ask": "6267.71",
    "bid": "6265.15",
    "volume": "53602.03940154",
    "trade_id": 86326522,
    "price": "6268.4800",
    "size": "0.00698254",
    "time": "2020-03-20T00:22:57.833897Z",
}
DAY = timedelta(days=1)
UNTIL = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)

# Gets the request's path and the writer; what it returns is sent as an answer 200.
Answer = Callable[[str, asyncio.StreamWriter], Any]


class Server:
    """A web server of one function."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.paths: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self.paths.append(path)
        try:
            body = self.answer(path, writer)
            if asyncio.iscoroutine(body):
                body = await body
            if body is not None:
                send(writer, 200, body)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def send(writer: asyncio.StreamWriter, status: int, body: Any, **headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", "Connection: close", *lines])
    writer.write(head.encode() + b"\r\n\r\n" + data)


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[Server]:
    server = Server(answer)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield server


def feed(url: str, **options: Any) -> CoinbaseRestFeed:
    return CoinbaseRestFeed(["BTC-USD"], url=url, clock=JumpingClock(), **options)


async def test_a_poll_asks_for_each_product_and_gives_its_quote() -> None:
    async with served(lambda path, _: TICKER) as server:
        events = await feed(server.url).poll(["BTC-USD", "ETH-USD"])
    assert sorted(server.paths) == ["/products/BTC-USD/ticker", "/products/ETH-USD/ticker"]
    assert events[0] == Quote(
        symbol="BTC-USD",
        price=Decimal("6268.4800"),
        as_of=datetime(2020, 3, 20, 0, 22, 57, 833897, tzinfo=UTC),
        last_quantity=Decimal("0.00698254"),
        bid=Decimal("6265.15"),
        ask=Decimal("6267.71"),
        volume=Decimal("53602.03940154"),
        window="24h",
    )


async def test_a_product_that_is_not_there_harms_no_other() -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> Any:
        return send(writer, 404, {"message": "NotFound"}) if "NOPE" in path else TICKER

    async with served(answer) as server:
        events = await feed(server.url).poll(["NOPE-USD", "BTC-USD"])
    assert isinstance(events[0], Refused) and events[0].symbols == ("NOPE-USD",)
    assert isinstance(events[1], Quote) and events[1].symbol == "BTC-USD"


async def test_one_bad_answer_among_good_ones_is_left_out_and_all_bad_ones_are_an_error() -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> Any:
        return b"<html>" if "BAD" in path else TICKER

    async with served(answer) as server:
        assert len(await feed(server.url).poll(["BAD-USD", "BTC-USD"])) == 1
        with pytest.raises(FeedError, match="expected the ticker of BAD-USD"):
            await feed(server.url).poll(["BAD-USD"])


async def test_a_busy_vendor_is_heard() -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> Any:
        return send(writer, 429, {"message": "slow down"}, Retry_After="17")

    async with served(answer) as server:
        with pytest.raises(HttpError, match="429") as caught:
            await feed(server.url).poll(["BTC-USD"])
    assert (caught.value.retry_after, caught.value.permanent) == (17, False)


async def test_what_was_told_before_a_vendor_had_enough_counts_and_nothing_more_is_asked_for_as_long() -> (
    None
):
    def answer(path: str, writer: asyncio.StreamWriter) -> Any:
        is_busy = len(server.paths) in range(5, 9)
        return send(writer, 429, {}, Retry_After="17") if is_busy else TICKER

    clock = JumpingClock()
    async with served(answer) as server:
        asked = CoinbaseRestFeed(url=server.url, clock=clock)
        events = await asked.poll([f"P{number}-USD" for number in range(20)])
        assert [type(event) for event in events] == [Quote] * 4 and len(server.paths) == 8
        for again in (asked.poll(["BTC-USD"]), asked.history("BTC-USD", 1, UNTIL)):
            with pytest.raises(FeedError, match="429") as caught:
                await again
            assert 16 < (caught.value.retry_after or 0) <= 17
        assert len(server.paths) == 8
        clock.advance(17)
        assert len(await asked.poll(["BTC-USD"])) == 1


async def test_who_asks_once_is_told_of_each_product_why_it_has_no_price() -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> Any:
        if "BUSY" in path:
            return send(writer, 429, {})
        return send(writer, 500, {}) if "DOWN" in path else b"<html>" if "BAD" in path else TICKER

    async with served(answer) as server:
        names = ["BAD-USD", "BTC-USD", "DOWN-USD", "BUSY-USD", "LATER-USD"]
        quote, *refused = await feed(server.url).collect(names)
    assert isinstance(quote, Quote) and quote.symbol == "BTC-USD"
    reasons = {event.symbols[0]: event.reason for event in refused if isinstance(event, Refused)}
    assert list(reasons) == [name for name in names if name != "BTC-USD"]
    for name, words in zip(
        reasons, ("expected the ticker", "answered 500", "answered 429", "answered 429"), strict=True
    ):
        assert words in reasons[name]


@pytest.mark.parametrize(("status", "permanent"), [(301, False), (401, True), (403, True), (500, False)])
async def test_other_answers_say_whether_to_try_again(status: int, permanent: bool) -> None:
    async with served(lambda path, writer: send(writer, status, {}, Location="/again")) as server:
        with pytest.raises(FeedError) as caught:
            await feed(server.url).poll(["BTC-USD"])
        assert len(server.paths) == 1  # a redirect is not followed
    assert caught.value.permanent is permanent


async def test_a_body_that_comes_drop_by_drop_ends_at_the_total_deadline() -> None:
    stop = asyncio.Event()

    async def drip(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n")
        while not stop.is_set():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with served(drip) as server:
        async with asyncio.timeout(30):
            with pytest.raises(FeedError, match=r"did not answer within 0\.3 s"):
                await feed(server.url, total_seconds=0.3).poll(["BTC-USD"])
        stop.set()


async def test_a_server_that_says_nothing_ends_at_the_total_deadline() -> None:
    stop = asyncio.Event()

    async def silence(path: str, writer: asyncio.StreamWriter) -> None:
        await stop.wait()

    async with served(silence) as server:
        with pytest.raises(FeedError, match="did not answer"):
            await feed(server.url, total_seconds=0.2).poll(["BTC-USD"])
        stop.set()


async def test_a_body_without_end_is_cut_off() -> None:
    async def flood(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(200):
            writer.write(b" " * 500_000)
            await writer.drain()

    async with served(flood) as server:
        with pytest.raises(FeedError, match=f"at most {LARGEST_BODY_BYTES} bytes"):
            await feed(server.url).poll(["BTC-USD"])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://host.invalid", f"http://{'a' * 64}.x"])
async def test_a_vendor_that_is_not_there_is_an_error_to_try_again(url: str) -> None:
    with pytest.raises(FeedError) as caught:
        await fetch(url)
    assert not caught.value.permanent


async def test_an_address_that_is_none_is_a_permanent_error() -> None:
    for url in (
        "ftp://example.com",
        "nonsense",
        "http://",
        "http://[",
        "http://user:secret@127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:1/x y?secret",
        "http://127.0.0.1:1/\u00e9",
    ):
        with pytest.raises(
            FeedError, match=r"^expected an http:// or https:// address, was another$"
        ) as caught:
            await fetch(url)
        assert caught.value.permanent


async def test_requests_keep_to_the_vendors_rate() -> None:
    clock = JumpingClock()
    async with served(lambda path, _: TICKER) as server:
        await CoinbaseRestFeed(url=server.url, clock=clock).poll([f"P{number}-USD" for number in range(17)])
    assert clock.monotonic() >= 16 / 8


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"price":"1"}',
        b'{"price":"-1","time":"2020-03-20T00:22:57Z"}',
        b'{"price":"1","time":"2020-03-20T00:22:57"}',
        b"[" * 50_000,
    ],
)
async def test_a_ticker_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(FeedError, match="expected the ticker of BTC-USD"):
        read_ticker("BTC-USD", body)


def candles(path: str) -> list[list[float]]:
    """Answers as they do: newest first, no day left out, none outside of what was asked."""
    query = parse_qs(urlsplit(path).query)
    start, end = (datetime.fromisoformat(query[name][0]) for name in ("start", "end"))
    count = (end - start) // DAY + 1
    assert count <= 300
    days = [start + number * DAY for number in range(count)]
    return [[int(day.timestamp()), 90.5, 110.25, 100, 105.125, 12.5] for day in reversed(days)]


async def test_history_is_asked_for_in_pieces_and_comes_oldest_first() -> None:
    async with served(lambda path, _: candles(path)) as server:
        bars = await feed(server.url).history("BTC-USD", 700, UNTIL)
    assert len(server.paths) == 3
    assert len(bars) == 700
    assert bars[-1] == Bar(
        symbol="BTC-USD",
        interval="1d",
        start=datetime(2026, 3, 14, tzinfo=UTC),
        open=Decimal(100),
        high=Decimal("110.25"),
        low=Decimal("90.5"),
        close=Decimal("105.125"),
        volume=Decimal("12.5"),
    )
    assert all(later.start - earlier.start == DAY for earlier, later in pairwise(bars))


async def test_candles_keep_their_digits() -> None:
    (bar,) = daily_bars("X", b"[[1773446400, 0.1, 0.30000000000000004, 0.2, 0.1234567890123456789, 1]]")
    assert str(bar.high) == "0.30000000000000004"
    assert str(bar.close) == "0.1234567890123456789"


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"message":"x"}', b"[[1,2,3]]", b"[[1773446400,3,2,2,2,1]]", b"[[9999999999999999,1,1,1,1,1]]"],
)
async def test_candles_that_are_none_are_an_error(body: bytes) -> None:
    with pytest.raises(FeedError, match="expected the daily bars of X"):
        daily_bars("X", body)
