"""The simulated market as a source."""

from collections.abc import Sequence
from datetime import UTC, datetime

from django.conf import settings

from assets.market import Bar
from realtime.feeds.base import Event
from realtime.feeds.simulated_market import ORIGIN, PAIRS, SimulatedMarket, symbols
from realtime.feeds.simulator import SimulatorFeed
from realtime.price_feed.feed_store import NewAsset
from realtime.price_feed.sources import Options, Source


def simulator(options: Options) -> Source:
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
