"""Runs one scenario after the other, each on servers that have just been started, and says what each one cost."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchmarks import machine
from benchmarks.load_client import Load, LoadClient, Reading
from benchmarks.machine import Cores
from benchmarks.servers import Market, Running, Servers
from realtime.feeds.simulated_market import symbols

# More than one core can send to 200 sockets: 10,000 ticks a second.
SATURATING_RATE = 200.0
# Plain Channels queues without bound what it cannot send; two or three times its limit shows it at its best.
PLAIN_SATURATING_RATE = 2.0
# Called with an event of the load client, what it carries, and the server; true ends the counting early.
Observer = Callable[[str, Mapping[str, Any], Running], bool | None]


@dataclass(frozen=True)
class Scenario:
    """What the server does and what is asked of it.

    Attributes:
        seconds: how long to count, in the whole and in the short form.
        options: of each connection, as in its address.
        watched: how many symbols each socket subscribes to, every `one_in`th of the market.
        own: one request for each socket, instead; each of them stands for as many symbols.
        ages_of_one_in: see `Load`.
        sockets: the readers; `stuck` more never read once counting has begun.
    """

    name: str
    market: Market
    seconds: tuple[float, float] = (15.0, 2.0)
    settle: tuple[float, float] = (3.0, 1.0)
    sockets: int = 200
    watched: int = 50
    one_in: int = 1
    own: tuple[str, ...] = ()
    options: str = "batch=1"
    ages_of_one_in: int = 1
    workers: int = 1
    stuck: int = 0
    stuck_receive_buffer: int = 0

    @property
    def offered(self) -> float:
        """Updates a second that would arrive if none were conflated or late."""
        return self.market.rate * self.sockets * self.watched

    @property
    def subscriptions(self) -> tuple[str, ...]:
        return self.own or ((subscription(self.watched, self.one_in),) if self.watched else ())


def subscription(count: int, one_in: int = 1) -> str:
    """Returns the request for the first so many symbols of the simulator, or every `one_in`th."""
    names = [instrument.symbol for instrument in symbols(count * one_in)[::one_in]]
    return json.dumps({"type": "subscribe_asset", "data": {"symbols": names}})


@dataclass(frozen=True)
class Measurement:
    """What was read in a scenario, and what it cost; CPU in cores, memory in bytes.

    Attributes:
        offered: updates a second that would arrive if none were conflated or late.
        idle_bytes: resident memory of the web processes before the first socket came.
        begun_bytes: when counting began.
        most_bytes: the most while it went on, sampled four times a second.
    """

    name: str
    offered: float
    reading: Reading
    web_cpu: float
    feed_cpu: float
    idle_bytes: int = 0
    begun_bytes: int = 0
    most_bytes: int = 0

    @property
    def client_cpu(self) -> float:
        return self.reading.cpu_seconds / self.reading.seconds

    @property
    def updates_per_cpu_second(self) -> float:
        return self.reading.updates_per_second / self.web_cpu if self.web_cpu else 0.0


@dataclass
class Meter:
    """Reads a server's CPU and memory as the load client goes on."""

    server: Running
    observer: Observer | None = None
    idle_bytes: int = 0
    begun_bytes: int = 0
    most_bytes: int = 0
    _before: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.idle_bytes = self.memory()

    def memory(self) -> int:
        return sum(map(machine.resident_bytes, self.server.web))

    def hear(self, event: str, told: Mapping[str, Any]) -> bool | None:
        if event == "measuring":
            self._before = self._cpu()
            self.begun_bytes = self.memory()
        self.most_bytes = max(self.most_bytes, self.memory())
        return self.observer(event, told, self.server) if self.observer else None

    def _cpu(self) -> list[float]:
        groups = (self.server.web, self.server.feeds)
        return [sum(map(machine.cpu_seconds, pids)) for pids in groups]

    def measurement(self, name: str, offered: float, reading: Reading) -> Measurement:
        used = [now - then for now, then in zip(self._cpu(), self._before, strict=True)]
        web, feed = (cpu / reading.seconds for cpu in used)
        memory = (self.idle_bytes, self.begun_bytes, max(self.most_bytes, self.memory()))
        return Measurement(name, offered, reading, web, feed, *memory)


class Bench:
    """One run: the parts that its rows share, and every measurement that was made, in order.

    Args:
        short: the form that takes five minutes in all.
        cores: for one web process; `cores_for_two` for two.
    """

    def __init__(
        self, client: LoadClient, servers: Servers, cores: Cores, cores_for_two: Cores, *, short: bool
    ) -> None:
        self.client = client
        self.servers = servers
        self.cores = cores
        self.cores_for_two = cores_for_two
        self.short = short
        self.measurements: list[Measurement] = []
        self.batch = cache(self._batch)
        self.plain = cache(self._plain)

    def seconds(self, whole_and_short: tuple[float, float]) -> float:
        return whole_and_short[self.short]

    def measure(self, scenario: Scenario, observer: Observer | None = None) -> Measurement:
        """Starts the product and reads it once.

        Raises:
            LoadClientError, ServerError: a program did not do its part.
        """
        with self.serving(scenario) as server:
            return self.read(scenario, server, observer)

    @contextmanager
    def serving(self, scenario: Scenario) -> Iterator[Running]:
        """Runs the product as the scenario wants it, with everything else on the cores that it leaves."""
        cores = self.cores if scenario.workers == 1 else self.cores_for_two
        with (
            cores.kept_free(),
            self.servers.livefolio(scenario.market, cores, scenario.workers) as server,
        ):
            yield server

    def read(self, scenario: Scenario, server: Running, observer: Observer | None = None) -> Measurement:
        """Reads a server that runs already."""
        say(f"  {scenario.name}")
        meter = Meter(server, observer)
        load = Load(
            port=server.port,
            path=f"{server.path}?{scenario.options}".rstrip("?"),
            sockets=scenario.sockets + scenario.stuck,
            subscriptions=scenario.subscriptions,
            own_subscription=bool(scenario.own),
            headers=server.headers,
            greeted=server.greets,
            settle=self.seconds(scenario.settle),
            seconds=self.seconds(scenario.seconds),
            ages_of_one_in=scenario.ages_of_one_in,
            stuck=scenario.stuck,
            stuck_receive_buffer=scenario.stuck_receive_buffer,
        )
        reading = self.client.read(load, meter.hear)
        measurement = meter.measurement(scenario.name, scenario.offered, reading)
        self.measurements.append(measurement)
        return measurement

    # --- what several rows are compared with, measured once --------------------------------------------------------

    def _batch(self) -> Measurement:
        return self.measure(
            Scenario("livefolio, batch=1, saturated", Market(SATURATING_RATE), ages_of_one_in=17)
        )

    def _plain(self) -> Measurement:
        market = Market(PLAIN_SATURATING_RATE)
        scenario = Scenario("plain Channels, saturated", market, options="")
        return self.beside(scenario, self.servers.plain_channels(market, self.cores))

    def beside(self, scenario: Scenario, start: AbstractContextManager[Running]) -> Measurement:
        """Starts another server than the product and reads it."""
        with start as server:
            return self.read(scenario, server)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
