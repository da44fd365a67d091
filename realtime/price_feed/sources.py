"""What can be a source, and how the settings make a feed of its name.

The one place that knows every vendor's file and every vendor's settings; a feed itself knows neither.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from assets.market import Bar
from realtime.feeds import coinbase, coinbase_rest
from realtime.feeds.base import Event, Feed, FeedError, PolledFeed, Refused
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.coinbase_rest import AT_ONCE, CoinbaseRestFeed
from realtime.feeds.replay import ReplayFeed, survey
from realtime.feeds.simulated_market import ORIGIN, PAIRS, SimulatedMarket, symbols
from realtime.feeds.simulator import SimulatorFeed
from realtime.price_feed.feed_store import NewAsset


class SourceError(ValueError):
    """A source that cannot be had: no such name, or settings that cannot be right. Nothing was changed."""


@dataclass(frozen=True)
class Options:
    """What the command line says beside the settings."""

    recording: str = ""
    speed: float | None = None
    loop: bool | None = None


# (source's symbol, number of daily bars, until) → bars, oldest first, the last one that of `until`
History = Callable[[str, int, datetime], Awaitable[list[Bar]]]
LocalHistory = Callable[[str, int, datetime], list[Bar]]
# Source's symbols → one quote of each, outside any stream
Collect = Callable[[Sequence[str]], Awaitable[list[Event]]]


@dataclass(frozen=True)
class Source:
    """A source ready to be followed.

    Attributes:
        assets: what must be in the database for it.
        only_symbols: the source's symbols that it knows; None: whatever the database lists.
        quotes_are_trades: whether a quote's last quantity is volume that no trade repeats.
        has_own_clock: whether its time is that of its ticks.
        delayed_by: how many seconds its prices are behind the market's.
        collect: asks once, where it can.
        history: gives daily bars, where it can.
        local_history: the same for a source that needs no network, and has made up its past like its present.
        fills_history: whether the feed asks for the days that are missing, so that there is a previous close.
    """

    name: str
    feed: Feed | PolledFeed
    assets: tuple[NewAsset, ...] = ()
    only_symbols: frozenset[str] | None = None
    quotes_are_trades: bool = True
    has_own_clock: bool = False
    delayed_by: int = 0
    collect: Collect | None = None
    history: History | None = None
    local_history: LocalHistory | None = None
    fills_history: bool = False

    @property
    def modes(self) -> tuple[str, ...]:
        return tuple(sorted(self.feed.modes))


def open_source(name: str, options: Options = Options()) -> Source:
    """Returns the source of that name, set up from the settings.

    Raises:
        SourceError: there is none, or it cannot be set up.
    """
    maker = _MAKERS.get(name)
    if maker is None:
        raise SourceError(f"expected a source of {', '.join(_MAKERS)}, was {name[:40]!r}")
    try:
        return maker(options)
    except SourceError:
        raise
    except ValueError as error:
        raise SourceError(f"{name}: {error}") from error


def _simulator(options: Options) -> Source:
    instruments = symbols(settings.SIMULATOR_SYMBOLS) + PAIRS
    market = SimulatedMarket(instruments, rate=settings.SIMULATOR_RATE, seed=settings.SIMULATOR_SEED)
    feed = SimulatorFeed(instruments, rate=settings.SIMULATOR_RATE, seed=settings.SIMULATOR_SEED)

    async def collect(wanted: Sequence[str]) -> list[Event]:
        """The newest tick of each: as a frame that covers the last interval."""
        feed.opened(wanted)
        now = round((datetime.now(UTC) - ORIGIN).total_seconds() * 1e6)
        return feed.decode(b"%d %d" % (now - round(1e6 / settings.SIMULATOR_RATE), now))

    async def history(symbol: str, days: int, until: datetime) -> list[Bar]:
        return market.history(symbol, days, until)

    return Source(
        name="simulator",
        feed=feed,
        assets=tuple(
            NewAsset(one.symbol, one.symbol, one.name, one.currency, one.asset_class, one.base_currency)
            for one in instruments
        ),
        only_symbols=frozenset(one.symbol for one in instruments),
        collect=collect,
        history=history,
        local_history=market.history,
    )


def _products(products: Iterable[str]) -> tuple[NewAsset, ...]:
    return tuple(_product(product) for product in dict.fromkeys(products))


def _product(product: str) -> NewAsset:
    """A Coinbase product is `base-quote`; the quote is its currency."""
    base, _, quote = product.partition("-")
    if not base or not quote or not quote.isalnum():
        raise SourceError(f"expected a product such as BTC-USD, was {product[:40]!r}")
    return NewAsset(product, product.upper(), f"{base} in {quote}", quote.upper(), "crypto")


def _coinbase_feed(products: Iterable[str]) -> CoinbaseFeed:
    return CoinbaseFeed(
        products,
        url=settings.COINBASE_WEBSOCKET_URL,
        key=settings.COINBASE_API_KEY,
        secret=settings.COINBASE_API_SECRET,
        passphrase=settings.COINBASE_API_PASSPHRASE,
    )


def _collect_from(feed: CoinbaseRestFeed) -> Collect:
    async def ask(symbol: str) -> list[Event]:
        try:
            return await feed.poll([symbol])
        except FeedError as error:  # of this product only, as far as we know
            return [Refused((symbol,), str(error))]

    async def collect(wanted: Sequence[str]) -> list[Event]:
        events: list[Event] = []
        for start in range(0, len(wanted), AT_ONCE):
            for answer in await asyncio.gather(*map(ask, wanted[start : start + AT_ONCE])):
                events += answer
        return events

    return collect


def _has_its_own_past() -> bool:
    """Whether socket and REST speak of the same market; a stand-in's prices have nothing to do with the real past."""
    return settings.COINBASE_WEBSOCKET_URL == coinbase.URL or settings.COINBASE_REST_URL != coinbase_rest.URL


def _coinbase(options: Options) -> Source:
    products = [product.upper() for product in settings.COINBASE_PRODUCTS]
    rest = CoinbaseRestFeed(products, url=settings.COINBASE_REST_URL)
    return Source(
        name="coinbase",
        feed=_coinbase_feed(products),
        assets=_products(products),
        quotes_are_trades=False,
        collect=_collect_from(rest),
        history=rest.history,
        fills_history=_has_its_own_past(),
    )


def _coinbase_rest(options: Options) -> Source:
    products = [product.upper() for product in settings.COINBASE_PRODUCTS]
    rest = CoinbaseRestFeed(products, url=settings.COINBASE_REST_URL)
    return Source(
        name="coinbase_rest",
        feed=rest,
        assets=_products(products),
        quotes_are_trades=False,
        collect=_collect_from(rest),
        history=rest.history,
        fills_history=True,
    )


def _replay(options: Options) -> Source:
    path = options.recording or settings.REPLAY_FILE
    if not path:
        raise SourceError("replay: expected --recording FILE or REPLAY_FILE")
    if settings.REPLAY_VENDOR != "coinbase":
        raise SourceError(f"REPLAY_VENDOR: expected coinbase, was {settings.REPLAY_VENDOR[:40]!r}")
    try:
        found = survey(Path(path), CoinbaseFeed())
    except FeedError as error:
        raise SourceError(f"replay: {error}") from error
    if not found.symbols:
        raise SourceError(f"replay: expected quotes, trades or books in {path}, was none")
    return Source(
        name="replay",
        feed=ReplayFeed(
            path,
            CoinbaseFeed(),
            speed=settings.REPLAY_SPEED if options.speed is None else options.speed,
            loop=settings.REPLAY_LOOP if options.loop is None else options.loop,
        ),
        assets=_products(found.symbols),
        only_symbols=frozenset(found.symbols),
        quotes_are_trades=False,
        has_own_clock=True,
    )


_MAKERS: dict[str, Callable[[Options], Source]] = {
    "simulator": _simulator,
    "coinbase": _coinbase,
    "coinbase_rest": _coinbase_rest,
    "replay": _replay,
}
NAMES = tuple(_MAKERS)
