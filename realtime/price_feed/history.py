"""Daily bars of the past, from a source that can tell them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from assets.market import Bar, session_start
from realtime.price_feed.bars import BuiltBar
from realtime.price_feed.feed_store import BarRow, latest_daily_starts, read_listings, write
from realtime.price_feed.listing import Listing
from realtime.price_feed.sources import Source

MOST_DAYS = 90
# About two seconds of the simulator's sampling; a thousand symbols get four days each.
MOST_BARS = 4000


def fill_daily_bars(source: Source, running: Collection[str], now: datetime) -> int:
    """Stores the days that are missing up to today, so that a chart and a previous close have no hole.

    Only days after the newest stored one: what is stored stays as it is. Nothing for an asset that another running
    source prices first: its change must not be measured against a price that never was.

    Returns:
        how many bars were stored.
    """
    assert source.local_history is not None
    known = source.only_symbols
    listings = [
        one
        for one in read_listings(source.name)
        if (known is None or one.source_symbol in known)
        and next(name for name in one.sources if name in running) == source.name
    ]
    newest = latest_daily_starts([one.asset_id for one in listings])
    most = max(2, min(MOST_DAYS, MOST_BARS // max(1, len(listings))))
    today = session_start(now)
    rows = []
    for one in listings:
        last = newest.get(one.asset_id)
        missing = most if last is None else min(most, (today - session_start(last)) // timedelta(days=1))
        if missing <= 0:
            continue
        for bar in source.local_history(one.source_symbol, missing, now):
            if last is None or bar.start > last:
                rows.append(BarRow(one.asset_id, BuiltBar(bar), source.name))
    write([], rows)
    return len(rows)


class MissingDays(NamedTuple):
    """How many daily bars of an asset to ask for, today's included, and which the newest stored one is."""

    listing: Listing
    days: int
    newest: datetime | None


def missing_days(listings: Sequence[Listing], now: datetime) -> list[MissingDays]:
    """Returns the assets that lack yesterday's bar."""
    newest = latest_daily_starts([one.asset_id for one in listings])
    yesterday = session_start(now) - timedelta(days=1)
    missing = []
    for one in listings:
        last = newest.get(one.asset_id)
        count = (
            MOST_DAYS
            if last is None
            else min(MOST_DAYS, (yesterday - session_start(last)) // timedelta(days=1))
        )
        if count > 0:
            missing.append(MissingDays(one, count + 1, last))
    return missing


def store_days(source: str, missing: MissingDays, bars: Iterable[Bar], now: datetime) -> int:
    """Stores the closed days after the newest stored one; returns how many."""
    today = session_start(now)
    rows = [
        BarRow(missing.listing.asset_id, BuiltBar(bar), source)
        for bar in bars
        if bar.start < today and (missing.newest is None or bar.start > missing.newest)
    ]
    write([], rows)
    return len(rows)
