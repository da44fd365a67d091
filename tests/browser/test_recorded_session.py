"""A session of Coinbase on a screen: the dashboard ends with its trades, its books and its minute bars.

tests/recorded_session.py says what they are; tests/contract/test_recorded_session.py asks the server for them.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Person
from tests.browser.test_dashboard import add
from tests.live import PATIENCE, LiveSystem, wait_until
from tests.recorded_session import (
    LEVELS,
    TAKER,
    TRADES_KEPT,
    Bar,
    Level,
    bars_of,
    best_levels,
    session,
    trades_of,
)
from tests.vendors.frames import Frames, write_frames

pytestmark = pytest.mark.browser

# The session lasts half a minute; the page is there for most of what is played of it.
SPEED = 4
CHART_LIBRARY = re.compile(r"/lightweight-charts[^?]*\.mjs$")
# What the chart draws is on a canvas; the library that draws it can be asked.
ASKABLE = """
export * from "{url}?itself";
import {{ createChart as create }} from "{url}?itself";
export const createChart = (...given) => (window.chart = create(...given));
"""
DRAWN = """() => window.chart.panes().flatMap((pane) => pane.getSeries()).map((series) => series.data())"""
CELLS = """rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"""
TRADES = """rows => rows.map(row => [
    row.querySelector('time')?.dateTime,
    row.querySelector('.sr-only')?.textContent,
    row.querySelector('.side span')?.textContent,
    ...[...row.cells].slice(1, 3).map(cell => cell.textContent),
])"""
MARK = {"buy": "▲", "sell": "▼"}


@pytest.fixture(scope="module")
def frames() -> Frames:
    return session()


@pytest.fixture(scope="module")
def system(
    live_system: Callable[..., LiveSystem], frames: Frames, tmp_path_factory: pytest.TempPathFactory
) -> LiveSystem:
    recording = write_frames(tmp_path_factory.mktemp("session") / "session.tsv", frames)
    env = {"PRICE_FEED_SOURCES": "replay", "REPLAY_FILE": str(recording), "REPLAY_SPEED": str(SPEED)}
    return live_system(env=env)


def on_its_day(page: Page, frames: Frames) -> None:
    """The page's clock says when it was recorded: a chart of today's minutes would leave out those of then."""
    page.clock.install(time=datetime.fromtimestamp(frames[0][0], UTC))
    page.route(CHART_LIBRARY, make_askable)


def make_askable(route: Route) -> None:
    route.fulfill(content_type="text/javascript", body=ASKABLE.format(url=route.request.url))


def test_the_page_ends_with_the_trades_the_books_and_the_minute_bars(person: Person, frames: Frames) -> None:
    trades, books = trades_of(frames), best_levels(frames)
    followed, *others = sorted(trades, key=lambda product: len(trades[product]), reverse=True)
    page = person.dashboard(prepare=lambda page: on_its_day(page, frames))
    page.get_by_role("button", name="1D").click()
    add(page, followed)
    expect(page.locator("[data-view=sources] [data-source=replay]")).to_have_attribute("data-state", "ended")
    # The first one came to its end before the page's eyes; the others are asked for when all is over.
    for product in (followed, *others):
        if product != followed:
            add(page, product)
        check_trades(page, trades[product])
        check_book(page, *books[product])
        comes_to(lambda: drawn_bars(page), bars_of(trades[product]))


def comes_to(read: Callable[[], object], expected: object) -> None:
    try:
        wait_until(lambda: read() == expected, PATIENCE, "what the session ends with")
    except AssertionError:
        assert read() == expected
        raise


def check_trades(page: Page, trades: list[dict[str, Any]]) -> None:
    rows = page.locator("[data-view=trades] [data-f=rows] tr")
    expected = [
        (trade["time"], TAKER[trade["side"]], MARK[TAKER[trade["side"]]], Decimal(trade["price"]))
        for trade in reversed(trades[-TRADES_KEPT:])
    ]

    def shown() -> list[tuple[Any, ...]]:
        return [
            (moment, side, mark, number(price)) for moment, side, mark, price, _ in rows.evaluate_all(TRADES)
        ]

    comes_to(shown, expected)
    quantities = [row[-1] for row in rows.evaluate_all(TRADES)]
    check_quantities(quantities, [trade["size"] for trade in reversed(trades[-TRADES_KEPT:])])


def check_book(page: Page, bids: list[Level], asks: list[Level]) -> None:
    rows = page.locator("[data-view=depth] [data-f=rows] tr")

    def best() -> list[list[str]]:
        cells: list[list[str]] = rows.evaluate_all(CELLS)
        return cells[:LEVELS]

    comes_to(
        lambda: [(number(bid), number(ask)) for _, bid, ask, _ in best()],
        [(bid, ask) for (bid, _), (ask, _) in zip(bids, asks, strict=True)],
    )
    check_quantities([row[0] for row in best()], [quantity for _, quantity in bids])
    check_quantities([row[3] for row in best()], [quantity for _, quantity in asks])


def drawn_bars(page: Page) -> list[Bar]:
    candles, volumes = page.evaluate(DRAWN)
    return [
        (
            datetime.fromtimestamp(candle["time"], UTC),
            *(Decimal(str(candle[name])) for name in ("open", "high", "low", "close")),
            Decimal(str(volume["value"])),
        )
        for candle, volume in zip(candles, volumes, strict=True)
    ]


def check_quantities(shown: list[str], exact: list[Any]) -> None:
    """A narrow column gives all digits of a quantity, or rounds to two of them at least."""
    for text, quantity in zip(shown, exact, strict=True):
        digits, all_digits = places(number(text)), places(Decimal(quantity).normalize())
        assert digits >= min(2, all_digits), f"expected more of {quantity} than {text}"
        assert number(text) == round_to(digits, Decimal(quantity))


def round_to(digits: int, exact: Decimal) -> Decimal:
    return exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def places(value: Decimal) -> int:
    return max(0, -int(value.as_tuple().exponent))


def number(text: str) -> Decimal:
    """What is not there yet is no number, which equals none."""
    return Decimal(text.replace(",", "") or "NaN")
