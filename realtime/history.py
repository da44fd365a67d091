"""Daily bars of the past, from a source that can tell them."""

from datetime import datetime, timedelta

from assets.market import session_start
from realtime.bars import BuiltBar
from realtime.feed_store import BarRow, latest_daily_starts, read_listings, write
from realtime.sources import Source

MOST_DAYS = 90
# About two seconds of the simulator's sampling; a thousand symbols get four days each.
MOST_BARS = 4000


def fill_daily_bars(source: Source, now: datetime) -> int:
    """Stores the days that are missing up to today, so that a chart and a previous close have no hole.

    Only days after the newest stored one: what is stored stays as it is. Returns how many bars were stored.
    """
    assert source.history is not None
    known = source.only_symbols
    listings = [one for one in read_listings(source.name) if known is None or one.source_symbol in known]
    newest = latest_daily_starts([one.asset_id for one in listings])
    most = max(2, min(MOST_DAYS, MOST_BARS // max(1, len(listings))))
    today = session_start(now)
    rows = []
    for one in listings:
        last = newest.get(one.asset_id)
        missing = most if last is None else min(most, (today - session_start(last)) // timedelta(days=1))
        if missing <= 0:
            continue
        for bar in source.history(one.source_symbol, missing, now):
            if last is None or bar.start > last:
                rows.append(BarRow(one.asset_id, BuiltBar(bar), source.name))
    write([], rows)
    return len(rows)
