"""The portfolios that row 12 watches, and how it judges. No time is asserted."""

import json
from dataclasses import replace
from random import Random
from typing import Any, cast

import pytest
from django.contrib.auth.models import User

from assets.redistribution import EVERYTHING
from benchmarks.bench import Measurement, Scenario
from benchmarks.full_valuation import moved, seconds_a_position
from benchmarks.load_client import Ages, Reading
from benchmarks.portfolios import make_portfolios, spread
from benchmarks.rows.portfolios import WATCHED, Work, outcome_of, positions_a_valuation, request
from benchmarks.servers import Market
from portfolio.models import Portfolio
from portfolio.prices import price_points
from realtime.feeds.simulated_market import symbols

READING = Reading(
    connect_seconds=1.0, subscribe_seconds=5.0, seconds=20.0, frames=80_000, updates=400_000, bytes=80_000_000,
    closed=0, errors=0, fewest=80, most=80, aged=400_000, cpu_seconds=1.0, newest=Ages(80.0, 210.0, 260.0),
    sent=Ages(20.0, 60.0, 70.0), flush=Ages(40.0, 90.0, 110.0),
)  # fmt: skip
MEASURED = Measurement("portfolios", 20_000, READING, web_cpu=0.5, feed_cpu=0.1)


class DoneWork:
    loading_cpu = 4.0

    def flushes(self, seconds: float) -> int:
        return 80


def judged(measured: Measurement) -> Any:
    return outcome_of(measured, cast(Work, DoneWork()), 5.0, (0.25, 1.0))


@pytest.fixture
def made(db: None) -> list[int]:
    User.objects.bulk_create(User(username=f"reader{number}") for number in range(3))
    return make_portfolios(3, 5, 20)


def test_each_run_of_neighbours_gives_one() -> None:
    chosen = spread(range(500), 50, Random(1))
    assert [number // 10 for number in chosen] == list(range(50))
    assert chosen != spread(range(500), 50, Random(2))


def test_portfolios_belong_to_the_readers_in_order(made: list[int]) -> None:
    owners = [Portfolio.objects.get(pk=id).user.username for id in made]
    assert owners == ["reader0", "reader1", "reader2"]
    held = {frozenset(Portfolio.objects.get(pk=id).holdings().symbols) for id in made}
    assert len(held) == 3 and all(len(one) == 5 for one in held)


def test_what_is_inserted_in_bulk_is_what_the_ledger_says(made: list[int]) -> None:
    for portfolio in Portfolio.objects.filter(pk__in=made):
        before = sorted(portfolio.positions.values_list("asset_id", "quantity"))
        portfolio.rebuild()
        assert sorted(portfolio.positions.values_list("asset_id", "quantity")) == before
        assert len(before) == 5 and portfolio.holdings().cash[0].amount > 0


def test_a_full_valuation_is_measured_a_position(made: list[int]) -> None:
    valued, encoded = seconds_a_position(3, made)
    assert valued >= 0 and encoded >= 0


def test_a_tenth_of_the_prices_is_moved_each_time_others(made: list[int]) -> None:
    names = [one.symbol for one in symbols(20)]
    prices = {name: cast(Any, point) for name, point in price_points(names, EVERYTHING).items()}
    changed = [{name for name in prices if moved(prices, n)[name] != prices[name]} for n in range(10)]
    assert set().union(*changed) == set(prices) and sum(map(len, changed)) == len(prices)


def test_a_socket_watches_its_own_portfolio() -> None:
    assert json.loads(request(7)) == {"type": "subscribe_portfolio", "data": {"portfolio_id": 7}}
    own = Scenario("x", Market(1.0), own=("a", "b"), watched=50)
    assert own.subscriptions == ("a", "b")
    assert Scenario("x", Market(1.0), watched=0).subscriptions == ()


def test_the_row_offers_what_the_target_names() -> None:
    assert WATCHED.sockets == 1000 and WATCHED.market.symbols == 500
    ticks_a_flush = WATCHED.market.rate * WATCHED.market.symbols * WATCHED.market.flush_ms / 1000
    assert ticks_a_flush == WATCHED.market.symbols / 10


def test_positions_are_counted_for_a_valuation() -> None:
    metrics = (
        'hub_events_total{event="valuations",process="a"} 200.0\n'
        'hub_events_total{event="positions_revalued",process="a"} 1000.0\n'
    )
    assert positions_a_valuation(metrics) == 5
    assert positions_a_valuation("") == 0


def test_a_flush_is_told_with_its_cost() -> None:
    outcome = judged(MEASURED)
    assert outcome.met == "yes"
    # Half a core for 20 s and 80 flushes; 4,000 frames a second of five positions each.
    for part in (
        "web CPU 50%, 125 ms a flush",
        "20,000 positions revalued/s",
        "4,000 frames/s",
        "5.0 positions",
    ):
        assert part in outcome.reached
    assert "4.0 ms of web CPU each" in outcome.reached
    assert outcome.ratio.startswith("2.0 x less CPU") and "8.0 x less" in outcome.ratio


@pytest.mark.parametrize(
    ("reading", "web_cpu", "met"),
    [
        (replace(READING, flush=Ages(40.0, 251.0, 300.0)), 0.5, "no (p99)"),
        (replace(READING, fewest=78), 0.5, "no (all delivered)"),
        (READING, 0.9, "no (CPU)"),
    ],
)
def test_a_server_that_falls_behind_misses_the_target(reading: Reading, web_cpu: float, met: str) -> None:
    assert judged(replace(MEASURED, reading=reading, web_cpu=web_cpu)).met == met
