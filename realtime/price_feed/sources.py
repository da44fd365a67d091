"""What can be a source, and how the settings make a feed of its name.

Each source's maker is a file of its own in `makers`, the only place that knows both a vendor's file and its settings;
it is imported when its source is asked for, and so are the libraries that only that vendor needs.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Literal

from django.conf import settings

from assets.market import Bar
from realtime.feeds.base import Event, Feed, PolledFeed
from realtime.feeds.polygon_symbols import CLUSTERS
from realtime.feeds.unavailable import UnavailableFeed
from realtime.price_feed.feed_store import NewAsset

# Who may see a source's prices: the user who entered its key, every user, or anybody.
Redistribution = Literal["owner", "users", "public"]


class SourceError(ValueError):
    """A source that cannot be had: no such name, or settings that cannot be right. Nothing was changed."""


class NoSuchSource(SourceError):
    """There is no source of that name."""


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

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(sorted(self.feed.channels))


@dataclass(frozen=True)
class Decoder:
    """How a recording of a source is read, without its keys: an entry of `DECODERS` in its maker's module, by name.

    Attributes:
        feed: makes the feed that decodes it.
        assets: source's symbols → what must be in the database for them, with their currencies.
        quotes_are_trades, delayed_by: as of the source.
    """

    feed: Callable[[], Feed]
    assets: Callable[[Iterable[str]], tuple[NewAsset, ...]]
    quotes_are_trades: bool = True
    delayed_by: int = 0


def decoder_of(name: str) -> Decoder | None:
    """Returns how a recording of that source is read; None if there is no such source, or it is no stream."""
    if name not in _MAKERS:
        return None
    maker = import_module(f"realtime.price_feed.makers.{_MAKERS[name][0]}")
    decoders: Mapping[str, Decoder] = getattr(maker, "DECODERS", {})
    return decoders.get(name)


def streamed() -> list[str]:
    """Returns the names of the sources whose recordings can be read here."""
    found = []
    for name in NAMES:
        with suppress(ImportError):  # a library that only this vendor needs
            if decoder_of(name) is not None:
                found.append(name)
    return found


def open_source(name: str, options: Options = Options()) -> Source:
    """Returns the source of that name, set up from the settings.

    Raises:
        SourceError: there is none, or it cannot be set up.
    """
    if name not in NAMES:
        raise NoSuchSource(f"expected a source of {', '.join((*NAMES, 'polygon'))}, was {name[:40]!r}")
    module, maker = _MAKERS[name]
    try:
        make: Callable[[Options], Source] = getattr(
            import_module(f"realtime.price_feed.makers.{module}"), maker
        )
        return make(options)
    except SourceError:
        raise
    except ValueError as error:
        raise SourceError(f"{name}: {error}") from error


def open_sources(names: Sequence[str], options: Options = Options()) -> list[Source]:
    """Returns the sources of these names; one that cannot be set up is there as one that fails, unless it is alone.

    Raises:
        SourceError: a name that no source has, here or in FEED_REDISTRIBUTION, or none of them can be set up.
    """
    _check_redistribution()
    sources, problems = [], []
    for name in _each(names):
        try:
            sources.append(open_source(name, options))
        except NoSuchSource:
            raise
        except SourceError as error:
            problems.append(str(error))
            sources.append(Source(name=name, feed=UnavailableFeed(name, str(error))))
    if len(problems) == len(sources):
        raise SourceError("; ".join(problems))
    return sources


def _check_redistribution() -> None:
    """A name that is no source's would leave hidden what was to be shown, without a word."""
    for name in settings.FEED_REDISTRIBUTION:
        if name not in NAMES and name != "manual":
            raise SourceError(
                f"FEED_REDISTRIBUTION: expected a source of {', '.join(NAMES)}, was {name[:40]!r}"
            )


def _each(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of single sources; "polygon" stands for its clusters of POLYGON_CLUSTERS."""
    each: dict[str, None] = {}
    for name in names:
        members = (
            [f"polygon_{cluster}" for cluster in settings.POLYGON_CLUSTERS] if name == "polygon" else [name]
        )
        if unknown := [member for member in members if name == "polygon" and member not in NAMES]:
            raise SourceError(
                f"POLYGON_CLUSTERS: expected some of {', '.join(CLUSTERS)}, was {unknown[0][8:48]!r}"
            )
        each.update(dict.fromkeys(members))
    return tuple(each)


# A source's name → the module of its maker in `makers`, and the maker.
_MAKERS = {
    "simulator": ("simulator", "simulator"),
    "coinbase": ("coinbase", "coinbase"),
    "coinbase_rest": ("coinbase", "coinbase_rest"),
    "upstox": ("upstox", "upstox"),
    "upstox_portfolio": ("upstox", "upstox_portfolio"),
    "yahoo": ("yahoo", "yahoo"),
    "yahoo_stream": ("yahoo", "yahoo_stream"),
    "ccxt": ("ccxt_exchange", "ccxt"),
    "openalgo": ("openalgo", "openalgo"),
    "kraken": ("kraken", "kraken"),
    "bitstamp": ("bitstamp", "bitstamp"),
    "replay": ("replay", "replay"),
    **{f"polygon_{cluster}": ("polygon", cluster) for cluster in CLUSTERS},
}
NAMES = tuple(_MAKERS)
