"""A small Polygon (Massive) on loopback: greeting, key, acknowledgements, arrays of events, and daily bars over REST.

The path names the cluster. A client hears of what it subscribed to, ticker by ticker or all (`T.*`); an unknown ticker
is acknowledged and silent, an unknown topic is not answered, and one that the plan lacks is refused by name or not.
"""

import argparse
import asyncio
import json
import random
import re
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.vendors.frames import read_frames
from tests.vendors.server import (
    GARBAGE,
    Client,
    Fault,
    Frame,
    VendorServer,
    add_server_options,
    reply,
    server_options,
)

AUTH_SECONDS = 10.0
FRAMES_A_SECOND = 50
# The topics of each cluster, and where its events name their ticker.
TOPICS: dict[str, dict[str, str]] = {
    "stocks": {"T": "sym", "Q": "sym", "A": "sym", "AM": "sym", "LULD": "T", "NOI": "T", "FMV": "sym", "LV": "sym"},
    "options": {"T": "sym", "Q": "sym", "A": "sym", "AM": "sym", "FMV": "sym", "LV": "sym"},
    "forex": {"C": "p", "CA": "pair", "CAS": "pair", "FMV": "sym", "LV": "sym", "AM": "sym"},
    "crypto": {
        "XT": "pair", "XQ": "pair", "XL2": "pair", "XA": "pair", "XAS": "pair", "FMV": "sym", "LV": "sym", "AM": "sym",
    },
    "indices": {"V": "T", "A": "sym", "AM": "sym"},
}  # fmt: skip
# Conditions of trades that may not set a price: odd lot, after hours, average price, out of sequence, and options' own.
NOT_LAST = frozenset({37, 12, 2, 32, 202, 248})
_AGGREGATES = re.compile(r"/v2/aggs/ticker/([^/]+)/range/1/day/(\d{4}-\d\d-\d\d)/(\d{4}-\d\d-\d\d)")

Event = dict[str, Any]
# (seconds, (cluster, the events of one frame))
Script = Sequence[tuple[float, tuple[str, Sequence[Event]]]]


def status(kind: str, message: str) -> Event:
    return {"ev": "status", "status": kind, "message": message}


class PolygonClient(Client):
    """One connection: its cluster, its key once that is right, and what it hears of."""

    def __init__(self, socket: ServerConnection, fault: Fault, garbage: Sequence[Frame]) -> None:
        super().__init__(socket, fault, garbage)
        self.cluster = self.path.strip("/").rpartition("/")[2]
        self.is_in = False
        self.pairs: set[str] = set()
        self.arrivals: deque[float] = deque(maxlen=FRAMES_A_SECOND)

    def tell(self, *events: Event) -> None:
        self.put(json.dumps(events, separators=(",", ":")))

    def hears(self, event: Event) -> bool:
        topic = event["ev"]
        name = _name(event[TOPICS[self.cluster][topic]])
        return f"{topic}.*" in self.pairs or f"{topic}.{name}" in self.pairs


class PolygonServer(VendorServer[PolygonClient]):
    """The server.

    Args:
        script: what happens; of each frame a client gets the events that it subscribed to.
        keys: those that are let in; None: any.
        lacking: topics that the plan has not got.
        names_refused: whether a refusal says which pair it is of.
        begins_with: the topic of which the first subscription makes the market begin; any where empty.
        days: daily bars over REST, as the vendor's objects, by REST ticker; made up where None.
        is_stamped: events happen when they are sent, whatever time they carry.
        options: those of every vendor's server.
    """

    faults = {
        "auth-timeout": "no key is seen in time",
        "refuse-late": "a second connection of a cluster is sent away after its subscriptions were acknowledged",
        "slow-consumer:NUMBER": "the first connection is called a slow consumer after so many frames",
        "bare": "events come as single objects, and not in arrays",
    }
    garbage = (
        *GARBAGE,
        '[{"ev":"ZZ","sym":"AAPL"}]',
        '[{"ev":"T","sym":"AAPL","p":"N/A","t":1536036818784}]',
        '[{"ev":"T","sym":"AAPL","p":1e999,"s":1,"t":1536036818784}]',
        '[{"ev":"T","sym":["AAPL"],"p":1,"s":1,"t":1536036818784}]',
        '[{"ev":"T","sym":"AAPL","p":1,"s":1,"t":-1}]',
        '[{"ev":"Q"}]',
    )

    def __init__(
        self,
        script: Script = (),
        *,
        keys: Iterable[str] | None = None,
        lacking: Iterable[str] = (),
        names_refused: bool = False,
        begins_with: str = "",
        days: Mapping[str, Sequence[Event]] | None = None,
        is_stamped: bool = False,
        **options: Any,
    ) -> None:
        self._keys = None if keys is None else frozenset(keys)
        self._lacking = frozenset(lacking)
        self._names_refused = names_refused
        self._begins_with = begins_with
        self._days = days
        self._is_stamped = is_stamped
        self._waits: set[asyncio.Task[None]] = set()
        super().__init__(script=script, **options)

    def new_client(self, socket: ServerConnection, fault: Fault) -> PolygonClient:
        return PolygonClient(socket, fault, self.garbage)

    def account_of(self, client: PolygonClient) -> str:
        return client.cluster

    async def one_too_many(self, client: PolygonClient) -> None:
        client.tell(
            status(
                "max_connections",
                "Maximum number of websocket connections exceeded. You have reached the limit of your account.",
            )
        )
        await client.close(1008, "max connections")

    # -- the market

    def happens(self, event: tuple[str, Sequence[Event]]) -> None:
        cluster, events = event
        if self._is_stamped:
            events = [_stamped(one) for one in events]
        for client in list(self.clients.values()):
            if not client.is_in or client.cluster != cluster:
                continue
            heard = [one for one in events if client.hears(one)]
            if self.fault.kind == "bare":
                for one in heard:
                    client.put(json.dumps(one))
            elif heard:
                client.tell(*heard)
            if (
                self.fault.kind == "slow-consumer"
                and self.connections == 1
                and client.sent >= self.fault.number
            ):
                client.tell(status("slow_consumer", "Consumer buffer is full."))
                self._soon(client.close(1008, "slow consumer"))

    def _soon(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_quietly(job))
        self._waits.add(task)
        task.add_done_callback(self._waits.discard)

    # -- a connection

    async def arrived(self, client: PolygonClient) -> None:
        if client.cluster not in TOPICS:
            await client.socket.close(1008, "no such cluster")
            return
        client.tell(status("connected", "Connected Successfully"))
        self._soon(self._leave_unless_in(client))

    async def _leave_unless_in(self, client: PolygonClient) -> None:
        await asyncio.sleep(AUTH_SECONDS)
        if not client.is_in:
            await self._time_out(client)

    async def _time_out(self, client: PolygonClient) -> None:
        client.tell(status("auth_timeout", "No authentication request received."))
        await client.close(1008, "auth timeout")

    def parsed(self, frame: Frame) -> Any:
        request = json.loads(frame)
        return {"action": str(request["action"]), "params": str(request["params"])}

    async def not_understood(self, client: PolygonClient, frame: Frame) -> None:
        client.tell(status("error", "invalid message"))

    async def asked(self, client: PolygonClient, request: Any) -> None:
        if self._is_flooding(client):
            client.tell(status("force_disconnect", "too many messages"))
            await client.close(1008, "too many messages")
            return
        action, params = request["action"], request["params"]
        if action == "auth":
            await self._authenticate(client, params)
        elif not client.is_in:
            client.tell(status("error", "not authenticated"))
        elif action == "subscribe":
            await self._subscribe(client, _pairs(params))
        elif action == "unsubscribe":
            pairs = _pairs(params)
            client.pairs -= {_plain(pair) for pair in pairs}
            client.tell(*(status("success", f"unsubscribed to: {pair}") for pair in pairs))

    def _is_flooding(self, client: PolygonClient) -> bool:
        now = time.monotonic()
        client.arrivals.append(now)
        return len(client.arrivals) == FRAMES_A_SECOND and now - client.arrivals[0] < 1.0

    async def _authenticate(self, client: PolygonClient, key: str) -> None:
        if self.fault.kind == "auth-timeout":
            await self._time_out(client)
        elif self.fault.kind == "refuse-auth" or (self._keys is not None and key not in self._keys):
            await client.socket.send(json.dumps([status("auth_failed", "authentication failed")]))
            client.cut()
        else:
            client.is_in = True
            client.tell(status("auth_success", "authenticated"))

    async def _subscribe(self, client: PolygonClient, pairs: Sequence[str]) -> None:
        answers = []
        for pair in pairs:
            topic = pair.partition(".")[0]
            if topic in self._lacking:
                answers.append(
                    status("error", f"not authorized: {pair}" if self._names_refused else "not authorized")
                )
            elif topic in TOPICS[client.cluster]:
                client.pairs.add(_plain(pair))
                answers.append(status("success", f"subscribed to: {pair}"))
        if not self._names_refused:  # one for a frame, however many pairs it holds
            refusals = [one for one in answers if one["status"] == "error"]
            answers = [one for one in answers if one["status"] != "error"] + refusals[:1]
        if answers:
            client.tell(*answers)
        rivals = [one for one in self.clients.values() if one is not client and one.cluster == client.cluster]
        if self.fault.kind == "refuse-late" and rivals:
            await self.one_too_many(client)
        elif any(pair.startswith(f"{self._begins_with}.") or not self._begins_with for pair in client.pairs):
            self.let_in(client)

    # -- REST

    def answer(self, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        found = _AGGREGATES.fullmatch(parts.path)
        if found is None:
            return None
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not key or (self._keys is not None and key not in self._keys):
            return reply(401, {"status": "ERROR", "error": "Unknown API Key"})
        ticker, first, last = unquote(found[1]), date.fromisoformat(found[2]), date.fromisoformat(found[3])
        adjusted = parse_qs(parts.query).get("adjusted", ["true"])[0]
        results = [day for day in self._bars_of(ticker, first, last) if _is_within(day, first, last)]
        return reply(
            200,
            {
                "ticker": ticker,
                "adjusted": adjusted != "false",
                "queryCount": len(results),
                "resultsCount": len(results),
                **({"results": results} if results else {}),
                "status": "OK",
                "request_id": "6a7e466379af0a71039d60cc78e72282",
            },
        )

    def _bars_of(self, ticker: str, first: date, last: date) -> Sequence[Event]:
        if self._days is not None:
            return self._days.get(ticker, ())
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        return [_made_up_day(ticker, day) for day in days if day.weekday() < 5 or ticker.startswith("X:")]


async def _quietly(job: Coroutine[Any, Any, None]) -> None:
    with suppress(ConnectionClosed):
        await job


def _pairs(params: str) -> list[str]:
    return [pair for part in params.split(",") if "." in (pair := part.strip())]


def _name(ticker: str) -> str:
    """A pair is the same however it is written."""
    return ticker.replace("/", "-")


def _plain(pair: str) -> str:
    topic, _, ticker = pair.partition(".")
    return f"{topic}.{_name(ticker)}"


def _stamped(event: Event) -> Event:
    now = int(time.time() * 1000)
    if "s" in event and "e" in event:
        length = event["e"] - event["s"]
        end = now - now % length
        return {**event, "s": end - length, "e": end}
    return {**event, "t": now * 10**6 if event["t"] > 10**16 else now}


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 5, tzinfo=UTC).timestamp() * 1000)


def _is_within(day: Event, first: date, last: date) -> bool:
    return bool(_midnight(first) - 86_400_000 <= day["t"] < _midnight(last) + 86_400_000)


def _made_up_day(ticker: str, day: date) -> Event:
    dice = random.Random(f"{ticker} {day}")
    opened, close = (round(dice.uniform(90, 110), 2) for _ in range(2))
    return {
        "v": dice.randrange(10**6, 10**7), "vw": round((opened + close) / 2, 4), "o": opened, "c": close,
        "h": round(max(opened, close) + dice.random(), 2), "l": round(min(opened, close) - dice.random(), 2),
        "t": _midnight(day), "n": dice.randrange(1000),
    }  # fmt: skip


# -- a made-up market


def made_up(cluster: str, tickers: Sequence[str], count: int = 200, *, at: int = 1_773_500_400_000) -> Script:
    """Returns `count` moments of a market, a tenth of a second apart, with everything that the cluster carries.

    Args:
        at: when it begins, in Unix milliseconds.
    """
    dice = random.Random(f"{cluster} {','.join(tickers)}")
    makers = {"stocks": _stock, "options": _stock, "forex": _currency, "crypto": _coin, "indices": _index}
    price = {ticker: 100.0 + 10 * number for number, ticker in enumerate(tickers)}
    script = []
    for number in range(count):
        ticker = tickers[number % len(tickers)]
        price[ticker] = round(price[ticker] * dice.uniform(0.999, 1.001), 2)
        events = makers[cluster](ticker, price[ticker], number, at + 100 * number, dice)
        known = TOPICS[cluster]
        script.append((number / 10, (cluster, [event for event in events if event["ev"] in known])))
    return script


def _bar(kind: str, name: str, ticker: str, price: float, at: int, length: int) -> Event:
    start = at - at % length - length
    return {
        "ev": kind,
        name: ticker,
        "v": 200,
        "o": price,
        "c": price,
        "h": price,
        "l": price,
        "s": start,
        "e": start + length,
    }


def _stock(ticker: str, price: float, number: int, at: int, dice: random.Random) -> list[Event]:
    is_option = ticker.startswith("O:")
    conditions = dice.choice(
        [[209], [232], [202], [248]] if is_option else [[], [14, 41], [37], [12], [2], [32]]
    )
    odd = bool(set(conditions) & NOT_LAST)
    day = {"av": 1000 + number, "op": 99.5, "vw": price, "a": 100.25, "z": 50}
    # A trade of an option has neither an id nor a tape.
    named = {} if is_option else {"i": str(number), "z": 3, "ds": "100.5"}
    return [
        {"ev": "T", "sym": ticker, "x": 4, "p": round(price * 1.5, 2) if odd else price, "s": 100, **named,
         "c": conditions, "t": at, "q": number + 1},
        {"ev": "Q", "sym": ticker, "bx": 4, "bp": round(price - 0.01, 2), "bs": 2, "ax": 7,
         "ap": round(price + 0.01, 2), "as": 3, "c": 0, "t": at, "q": number + 1, "z": 3},
        {**_bar("A", "sym", ticker, price, at, 1000), **day},
        *([{**_bar("AM", "sym", ticker, price, at, 60_000), **day}] if number % 20 < 2 else []),
        *([{"ev": "LULD", "T": ticker, "h": round(price * 1.1, 2), "l": round(price * 0.9, 2), "i": [16], "z": 3,
            "t": at * 10**6, "q": 8},
           {"ev": "NOI", "T": ticker, "t": at * 10**6, "at": 1600, "a": "M", "i": 44, "x": 10, "o": 480, "p": 440,
            "b": price},
           {"ev": "FMV", "fmv": price, "sym": ticker, "t": at * 10**6},
           {"ev": "LV", "val": price, "sym": ticker, "t": at}] if number % 20 < 2 else []),
    ]  # fmt: skip


def _currency(ticker: str, price: float, number: int, at: int, dice: random.Random) -> list[Event]:
    return [
        {
            "ev": "C",
            "p": ticker,
            "x": "44",
            "a": round(price + 0.01, 2),
            "b": round(price - 0.01, 2),
            "t": at,
        },
        _bar("CAS", "pair", ticker, price, at, 1000),
        *([_bar("CA", "pair", ticker, price, at, 60_000)] if number % 20 < 2 else []),
    ]


def _coin(ticker: str, price: float, number: int, at: int, dice: random.Random) -> list[Event]:
    received = at + 20
    return [
        {"ev": "XT", "pair": ticker, "x": 1, "i": str(number), "p": price, "s": 0.01616617, "c": [1 + number % 2],
         "t": at, "r": received},
        {"ev": "XQ", "pair": ticker, "bp": round(price - 0.01, 2), "bs": 0.16, "ap": round(price + 0.01, 2), "as": 2.5,
         "t": at, "x": 1, "r": received},
        {"ev": "XL2", "pair": ticker, "b": [[round(price - 0.01, 2), 0.16], [round(price - 0.02, 2), 1]],
         "a": [[round(price + 0.01, 2), 2.5], [round(price + 0.03, 2), 4]], "t": at, "x": 1, "r": received},
        {**_bar("XAS", "pair", ticker, price, at, 1000), "vw": price, "z": 7},
        *([{**_bar("XA", "pair", ticker, price, at, 60_000), "vw": price, "z": 7}] if number % 20 < 2 else []),
    ]  # fmt: skip


def _index(ticker: str, price: float, number: int, at: int, dice: random.Random) -> list[Event]:
    aggregates = [_bar("A", "sym", ticker, price, at, 1000)]
    if number % 20 < 2:
        aggregates.append(_bar("AM", "sym", ticker, price, at, 60_000))
    for event in aggregates:
        del event["v"]
        event["op"] = 99.5
    return [{"ev": "V", "val": price, "T": ticker, "t": at}, *aggregates]


TICKERS = {
    "stocks": ["AAPL", "MSFT"],
    "options": ["O:AAPL270115C00150000"],
    "forex": ["EUR/USD", "GBP/USD", "USD/JPY"],
    "crypto": ["BTC-USD", "ETH-USD"],
    "indices": ["I:SPX"],
}


# -- the command line


def add_options(parser: argparse.ArgumentParser) -> None:
    add_server_options(parser, PolygonServer)
    parser.add_argument("--cluster", default="stocks", choices=TOPICS, help="that of the recording")
    parser.add_argument("--key", default="", help="let in this API key only")
    parser.add_argument(
        "--lacking", default="", metavar="TOPICS", help="topics that the plan has not got: Q,LULD"
    )
    parser.add_argument(
        "--count", type=int, default=3000, help="moments of each made-up market, ten a second"
    )


def server_of(options: argparse.Namespace) -> PolygonServer:
    script: Script
    if options.recording:
        script = [
            (
                seconds,
                (options.cluster, [one for one in json.loads(frame) if one["ev"] in TOPICS[options.cluster]]),
            )
            for seconds, frame in read_frames(options.recording)
        ]
    else:
        markets = [made_up(cluster, tickers, options.count) for cluster, tickers in TICKERS.items()]
        script = sorted(chain.from_iterable(markets), key=lambda moment: moment[0])
    return PolygonServer(
        script,
        keys=[options.key] if options.key else None,
        lacking=filter(None, options.lacking.split(",")),
        is_stamped=not options.recording,
        **server_options(options),
    )
