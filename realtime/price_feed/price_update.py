"""One round of prices, or of daily bars, outside the price feed: what `update_asset_prices` does.

A source that a feed process leads is asked through that process, so that there is one fetcher and one writer.
Any other is fetched here, and published under its lease.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from asgiref.sync import async_to_sync
from django.conf import settings
from redis.exceptions import RedisError

from assets.calendars import calendar_named
from assets.market import Bar, Quote
from assets.models import Asset, FeedSymbol, PriceBar
from assets.snapshots import read_quotes
from assets.splits import SplitEvent
from assets.stored_prices import read_splits
from realtime.bus import FeedBus, FeedStatus, new_layer, new_redis, read_feeds_sync
from realtime.feeds.base import Event, FeedError, Refused
from realtime.jobs import read_job, request_update
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.feed_store import BarRow, PriceRow, chunks, read_closes, write
from realtime.price_feed.history import in_sessions
from realtime.price_feed.listing import Listing
from realtime.price_feed.open_bar import BuiltBar
from realtime.price_feed.process import process_name
from realtime.price_feed.source_jobs import POLL_TIMEOUT
from realtime.price_feed.sources import NAMES, Source, SourceError, open_source
from realtime.protocol import QuoteRecord

COLLECT_TIMEOUT = 60.0
# A leader may ask its vendor for one symbol a request, and eight times a second.
SYMBOLS_A_JOB = 50
# More than the leader gives its vendor.
JOB_TIMEOUT = POLL_TIMEOUT + 5.0
HEARTBEAT_AGE = timedelta(seconds=3)

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Change:
    """One asset's price before and after."""

    symbol: str
    source: str
    before: Decimal | None
    price: Decimal
    as_of: datetime


@dataclass
class Outcome:
    """What a round did, or would do."""

    updated: list[Change] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    # New and changed daily bars of each asset.
    bars: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Who is to price what."""

    listings: Mapping[str, list[Listing]]
    led: frozenset[str]
    sources: Mapping[str, Source]
    without: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.listings.values()))


def usable_sources() -> dict[str, Source]:
    """Returns every source that can be asked once; one whose settings are wrong is left out."""
    found = {}
    for name in NAMES:
        try:
            source = open_source(name)
        except SourceError:
            continue
        if source.collect is not None or source.history is not None:
            found[name] = source
    return found


def led_sources() -> dict[str, FeedStatus]:
    """Returns the sources that a feed process leads now."""
    now = datetime.now(UTC)
    return {
        name: status
        for name, status in read_feeds_sync().items()
        if now - datetime.fromisoformat(status.at) < HEARTBEAT_AGE
        and status.state not in ("stopped", "failed")
    }


def make_plan(assets: Sequence[Asset], *, historical: bool = False) -> Plan:
    """Chooses for each asset its first live source, else its first one that can be asked once.

    That goes for history too: closes of one market and live prices of another make no daily change.
    """
    sources = usable_sources()
    try:
        led = led_sources()
    except RedisError:
        led = {}
    live = {name for name, status in led.items() if status.state == "live"}
    if historical:
        able = {name for name, source in sources.items() if source.history is not None}
    else:
        able = {name for name, source in sources.items() if source.collect is not None} | led.keys()
    by_asset, splits = _feed_symbols(assets), _splits(assets)
    listings: dict[str, list[Listing]] = {}
    without = []
    for asset in assets:
        symbols = {
            name: symbol
            for name, symbol in by_asset.get(asset.pk, {}).items()
            if _knows(sources, name, symbol)
        }
        chosen = next((name for name in symbols if name in able and name in live), None)
        chosen = chosen or next((name for name in symbols if name in able), None)
        if chosen is None:
            without.append(asset.symbol)
        else:
            one = Listing(
                asset.pk,
                asset.symbol,
                asset.currency,
                symbols[chosen],
                (chosen,),
                calendar_named(asset.calendar),
                asset.may_be_negative,
                splits.get(asset.pk, ()),
            )
            listings.setdefault(chosen, []).append(one)
    return Plan(listings, frozenset(led), sources, tuple(without))


def _knows(sources: Mapping[str, Source], name: str, symbol: str) -> bool:
    source = sources.get(name)
    return source is None or source.only_symbols is None or symbol in source.only_symbols


def _feed_symbols(assets: Sequence[Asset]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for ids in chunks([asset.pk for asset in assets]):
        rows = FeedSymbol.objects.filter(asset_id__in=ids).order_by("asset_id", "priority", "id")
        for asset_id, name, symbol in rows.values_list("asset_id", "source", "symbol"):
            found.setdefault(asset_id, {})[name] = symbol
    return found


def _splits(assets: Sequence[Asset]) -> dict[int, tuple[SplitEvent, ...]]:
    found: dict[int, tuple[SplitEvent, ...]] = {}
    for ids in chunks([asset.pk for asset in assets]):
        found |= read_splits(ids)
    return found


# -- prices ------------------------------------------------------------------------------------------------


def update_prices(assets: Sequence[Asset], plan: Plan, *, dry_run: bool, advance: Advance) -> Outcome:
    """Collects a price for each asset, stores and broadcasts it; with `dry_run` only collects."""
    outcome = Outcome(skipped=dict.fromkeys(plan.without, "no source gives it once"))
    before = {asset.symbol: asset.current_price for asset in assets}
    for name, listings in plan.listings.items():
        if name in plan.led:
            _from_leader(name, listings, before, outcome, dry_run=dry_run)
            advance(len(listings))
        else:
            _collected(plan.sources[name], listings, before, outcome, dry_run=dry_run, advance=advance)
    return outcome


def _from_leader(
    name: str,
    listings: Sequence[Listing],
    before: Mapping[str, Decimal | None],
    outcome: Outcome,
    *,
    dry_run: bool,
) -> None:
    """Has the leader publish again, and copies its last values to the database."""
    symbols = [one.symbol for one in listings]
    failed: Mapping[str, str] = {}
    try:
        if not dry_run:
            failed = _ask_leader(name, symbols)
        quotes = read_quotes([symbol for symbol in symbols if symbol not in failed])
    except RedisError as error:
        outcome.failed.update(dict.fromkeys(symbols, f"Redis does not answer: {error}"))
        return
    outcome.failed.update(failed)
    rows = []
    for one in listings:
        quote = quotes.get(one.symbol)
        if one.symbol in failed:
            continue
        if quote is None or quote["source"] != name:
            outcome.failed[one.symbol] = f"{name} has no price yet"
            continue
        as_of = datetime.fromisoformat(quote["as_of"])
        price = Decimal(quote["price"])
        received_at = datetime.fromisoformat(quote["received_at"])
        raw = Decimal(quote.get("raw_price", price))
        rows.append(PriceRow(one.asset_id, raw, as_of, name, received_at))
        outcome.updated.append(Change(one.symbol, name, before.get(one.symbol), price, as_of))
    if not dry_run:
        write(rows, [])


def _ask_leader(name: str, symbols: Sequence[str]) -> dict[str, str]:
    """Returns why it failed for some."""
    failed: dict[str, str] = {}
    for start in range(0, len(symbols), SYMBOLS_A_JOB):
        answer = _answer_of_leader(name, symbols[start : start + SYMBOLS_A_JOB])
        if answer is None:
            reason = f"the process that leads {name} did not answer within {JOB_TIMEOUT:g} s"
            return failed | dict.fromkeys(symbols[start:], reason)
        failed |= answer
    return failed


def _answer_of_leader(name: str, symbols: Sequence[str]) -> dict[str, str] | None:
    job = request_update({name: symbols})
    deadline = time.monotonic() + JOB_TIMEOUT
    while time.monotonic() < deadline:
        found = read_job(job)
        if found is not None and name in found.results:
            return dict(found.results[name]["failed"])
        time.sleep(0.05)
    return None


def _collected(
    source: Source,
    listings: Sequence[Listing],
    before: Mapping[str, Decimal | None],
    outcome: Outcome,
    *,
    dry_run: bool,
    advance: Advance,
) -> None:
    for start in range(0, len(listings), settings.REALTIME_BATCH_SIZE):
        batch = listings[start : start + settings.REALTIME_BATCH_SIZE]
        events, failed = async_to_sync(_collect)(source, batch)
        batcher = _batch(source, batch, events)
        quoted = {event.symbol for event in events if isinstance(event, Quote)}
        priced = {symbol: line for symbol, line in batcher.lines.items() if line.price is not None}
        if priced and not dry_run:
            failed |= async_to_sync(_publish)(batcher)
            rows = [
                PriceRow(line.listing.asset_id, price, line.as_of, source.name, line.received_at)
                for line in priced.values()
                if (price := line.price_as_traded()) is not None
            ]
            write(rows, [])
        for symbol, line in batcher.lines.items():
            if symbol in failed:
                outcome.failed[symbol] = failed[symbol]
            elif line.price is None and line.listing.source_symbol in quoted and line.hours.phase == "closed":
                outcome.skipped[symbol] = (
                    "its market is closed, and the source has a price of after hours only"
                )
            elif line.price is None:
                outcome.failed[symbol] = f"{source.name} gave no price"
            else:
                change = Change(symbol, source.name, before.get(symbol), line.price, line.as_of)
                outcome.updated.append(change)
        advance(len(batch))


async def _collect(source: Source, listings: Sequence[Listing]) -> tuple[list[Event], dict[str, str]]:
    """Returns what the source says, and of which assets it says nothing for what reason."""
    assert source.collect is not None
    ours = {one.source_symbol: one.symbol for one in listings}
    try:
        async with asyncio.timeout(COLLECT_TIMEOUT):
            events = await source.collect(list(ours))
    except TimeoutError:
        return [], dict.fromkeys(ours.values(), f"{source.name} did not answer within {COLLECT_TIMEOUT:g} s")
    except FeedError as error:
        return [], dict.fromkeys(ours.values(), str(error))
    failed: dict[str, str] = {}
    for event in events:
        if isinstance(event, Refused):
            failed.update((ours[symbol], event.reason) for symbol in event.symbols if symbol in ours)
    return events, failed


def _batch(source: Source, listings: Iterable[Listing], events: Iterable[Event]) -> Batcher:
    batcher = Batcher(source.name, stale_after=settings.REALTIME_CACHE_TIMEOUT, delayed_by=source.delayed_by)
    now, monotonic = datetime.now(UTC), time.monotonic()
    batcher.follow(listings, now, monotonic)
    ids = [line.listing.asset_id for line in batcher.lines.values()]
    batcher.learn_closes(read_closes(source.name, ids, now))
    batcher.take([event for event in events if isinstance(event, Quote)], now, monotonic)
    return batcher


async def _publish(batcher: Batcher) -> dict[str, str]:
    """Publishes all of it under the source's lease; returns why it could not be."""
    client, layer = new_redis(), new_layer()
    bus = FeedBus(batcher.source, process_name(), client, layer)
    symbols = [symbol for symbol, line in batcher.lines.items() if line.price is not None]
    try:
        if not await bus.acquire():
            reason = f"stored, but not broadcast: another process leads {batcher.source}"
            return dict.fromkeys(symbols, reason)
        batcher.begin(bus.epoch)
        records: dict[str, QuoteRecord] = batcher.changed()
        await bus.publish(records, batcher.last)
        await bus.release()
        return {}
    except (RedisError, OSError) as error:
        return dict.fromkeys(symbols, f"stored, but not broadcast: Redis does not answer: {error}")
    finally:
        await layer.flush()
        await client.aclose()


# -- daily bars --------------------------------------------------------------------------------------------


def update_history(
    assets: Sequence[Asset], plan: Plan, days: int, *, dry_run: bool, advance: Advance
) -> Outcome:
    """Stores the last `days` closed days of each asset; a day that is stored already is replaced if it differs.

    The current price is never touched: a closed day says nothing about now.
    """
    outcome = Outcome(skipped=dict.fromkeys(plan.without, "no source gives its history"))
    now = datetime.now(UTC)
    for name, listings in plan.listings.items():
        history = plan.sources[name].history
        assert history is not None
        fetch = async_to_sync(history)
        for one in listings:
            first = _first_of(one, days, now)
            try:
                bars = fetch(one.source_symbol, (now.date() - first.date()).days + 1, now)
            except FeedError as error:
                outcome.failed[one.symbol] = str(error)
            else:
                _store(name, one, bars, first, now, outcome, dry_run=dry_run)
            advance(1)
    return outcome


def _first_of(listing: Listing, days: int, now: datetime) -> datetime:
    """Returns when the first of the last `days` sessions before the current one opened."""
    session = listing.calendar.session_at(now)
    for _ in range(days):
        session = listing.calendar.before(session)
    return session.open


def _store(
    name: str,
    listing: Listing,
    bars: Iterable[Bar],
    first: datetime,
    now: datetime,
    outcome: Outcome,
    *,
    dry_run: bool,
) -> None:
    calendar = listing.calendar
    opened = calendar.session_at(now).open
    closed = [bar for bar in in_sessions(calendar, bars) if first <= bar.start < opened]
    if not closed:
        outcome.failed[listing.symbol] = f"{name} has no history of it"
        return
    rows = PriceBar.objects.filter(asset_id=listing.asset_id, interval="1d", start__gte=closed[0].start)
    stored = {row.start: (row.open, row.high, row.low, row.close, row.volume) for row in rows}
    news = [
        bar for bar in closed if stored.get(bar.start) != (bar.open, bar.high, bar.low, bar.close, bar.volume)
    ]
    if not dry_run:
        write([], [BarRow(listing.asset_id, BuiltBar(bar), name) for bar in news])
    outcome.bars[listing.symbol] = len(news)
