"""Daily bars of the past, from a source that can tell them.

A vendor dates a day by some midnight; stored it begins where the asset's session opened, and is as it was traded.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from assets.hours import session_of_day
from assets.market import Bar
from assets.sessions import Calendar
from assets.splits import Ratio, as_traded, is_restated, ratio_between, restated
from realtime.price_feed.feed_store import BarRow, newest_days, read_listings, write
from realtime.price_feed.listing import Close, Listing
from realtime.price_feed.open_bar import BuiltBar
from realtime.price_feed.sources import Source

MOST_DAYS = 90
# About two seconds of the simulator's sampling; a thousand symbols get four days each.
MOST_BARS = 4000
INSTANT = timedelta.resolution


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
    newest = newest_days([one.asset_id for one in listings])
    most = max(2, min(MOST_DAYS, MOST_BARS // max(1, len(listings))))
    rows = []
    for one in listings:
        session, last = one.calendar.session_at(now), newest.get(one.asset_id)
        missing = most if last is None else min(most, (session.open.date() - last.start.date()).days)
        if missing <= 0:
            continue
        for bar in in_sessions(one.calendar, source.local_history(one.source_symbol, missing, now)):
            if bar.start <= session.open and (last is None or bar.start > last.start):
                rows.append(BarRow(one.asset_id, BuiltBar(bar), source.name))
    write([], rows)
    return len(rows)


def in_sessions(calendar: Calendar, bars: Iterable[Bar]) -> list[Bar]:
    """Returns one bar a session, beginning where it opened.

    Of a weekend's bars, which a source around the clock has, Monday's own goes before the others.
    """
    found = {}
    for bar in bars:
        opened = session_of_day(calendar, bar.start).open
        found[opened] = bar if bar.start == opened else msgspec.structs.replace(bar, start=opened)
    return [found[start] for start in sorted(found)]


class MissingDays(NamedTuple):
    """For how many days to ask for an asset's bars, today included, and which the newest stored one is."""

    listing: Listing
    days: int
    newest: Close | None


def missing_days(listings: Sequence[Listing], now: datetime) -> list[MissingDays]:
    """Returns the assets that lack the bar of the session before the current one."""
    newest = newest_days([one.asset_id for one in listings])
    missing = []
    for one in listings:
        last, calendar = newest.get(one.asset_id), one.calendar
        if last is None:
            missing.append(MissingDays(one, MOST_DAYS + 1, None))
        elif last.start < calendar.before(calendar.session_at(now)).open:
            days = min(MOST_DAYS, (now.date() - last.start.date()).days - 1) + 1
            missing.append(MissingDays(one, days, last))
    return missing


def store_days(source: str, missing: MissingDays, bars: Iterable[Bar], now: datetime) -> int:
    """Stores the days of sessions before the current one and after the newest stored one; returns how many."""
    listing, newest = missing.listing, missing.newest
    opened = listing.calendar.session_at(now).open
    rows = [
        BarRow(listing.asset_id, BuiltBar(_as_traded(bar, listing, newest, now)), source)
        for bar in in_sessions(listing.calendar, bars)
        if bar.start < opened and (newest is None or bar.start > newest.start)
    ]
    write([], rows)
    return len(rows)


def _as_traded(bar: Bar, listing: Listing, known: Close | None, now: datetime) -> Bar:
    """Undoes what a vendor that divides its past has done, where our own newest close tells that it has."""
    ended = listing.calendar.session_at(bar.start).close - INSTANT
    ratio = ratio_between(listing.splits, ended, now)
    if ratio is None or known is None:
        return bar
    reference = known.price
    known_ended = session_of_day(listing.calendar, known.start).close - INSTANT
    if between := ratio_between(listing.splits, known_ended, ended):
        reference = restated(reference, between)
    return _multiplied(bar, ratio) if is_restated(bar.close, reference, ratio) else bar


def _multiplied(bar: Bar, ratio: Ratio) -> Bar:
    return msgspec.structs.replace(
        bar,
        open=as_traded(bar.open, ratio),
        high=as_traded(bar.high, ratio),
        low=as_traded(bar.low, ratio),
        close=as_traded(bar.close, ratio),
    )
