"""A portfolio's days from the database: rows, stored closes and rates in, values out, the past ones kept as snapshots.

A snapshot counts until something it was computed from changes: rows empty the cache from their day on when they are
written, and bars carry the time of their last writing. The running day is never stored; it is valued at last prices.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, takewhile
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.db.models import Exists, Min, OuterRef, Subquery
from django.utils import timezone

from assets.calendars import calendar_named
from assets.models import Asset, FeedSymbol, PriceBar
from assets.rates import Rates
from assets.rates_store import pair_assets, pair_of
from assets.redistribution import Viewer
from assets.sessions import Calendar
from portfolio.arithmetic import ZERO
from portfolio.books import Books
from portfolio.daily import DAY, Close, Closes, daily_values, day_of, end_of, first_day
from portfolio.ledger import LedgerError
from portfolio.models import Portfolio
from portfolio.prices import price_points
from portfolio.returns import DayValue
from portfolio.snapshots import PortfolioHistory, store, stored_days

log = logging.getLogger("personal_finance.realtime.portfolio")

# No exchange is closed for longer, so that an older close of a source is a gap in what is stored. A price set by hand
# has no source that could have missed a day, and counts until it is replaced.
CLOSE_GOOD_FOR = timedelta(days=14)
# The transaction of a bar may commit after a reader looked, and two hosts' clocks differ.
SETTLED_AFTER = timedelta(minutes=1)


def days_of(portfolio: Portfolio, now: datetime | None = None) -> list[DayValue]:
    """Returns every day from that of the first row until today, which still runs; only today if there are no rows.

    Raises:
        LedgerError: stored rows contradict each other.
    """
    looked_at = timezone.now()
    now = now or looked_at
    zone = portfolio.zone
    today = day_of(now, zone)
    # Before the rows: whoever changes them meanwhile gives the history another version.
    history = PortfolioHistory.objects.filter(portfolio_id=portfolio.pk).first()
    books = portfolio.replay(portfolio.rows())
    first = first_day(books, zone)
    if first is None:
        return [DayValue(today, ZERO)]
    market = _Market(books, portfolio.viewer)
    kept = [day for day in _still_valid(portfolio, history, market, first) if day.date < today]
    start = kept[-1].date + DAY if kept else first
    days = daily_values(
        books,
        market.closes(end_of(start - DAY, zone), now),
        market.pairs,
        start,
        max(start, today),
        zone=zone,
        now=now,
    )
    if len(days) > 1:
        _store(portfolio, days[:-1], market, history.version if history else 0, looked_at)
    return kept + days


def store_finished_days(now: datetime | None = None) -> int:
    """Brings every portfolio's snapshots up to yesterday, so that no reader waits; returns how many there are."""
    count = 0
    for portfolio in Portfolio.objects.order_by("pk").iterator():
        try:
            days_of(portfolio, now)
            count += 1
        except LedgerError as error:
            log.error("history not stored", extra={"portfolio_id": portfolio.pk, "error": str(error)})
    return count


def _still_valid(
    portfolio: Portfolio, history: PortfolioHistory | None, market: "_Market", first: date
) -> list[DayValue]:
    """The stored days from `first` on, up to a gap or to what a bar has changed since."""
    if history is None or history.checked_at is None:
        return []
    is_alike = (history.currency, history.time_zone) == (portfolio.currency, portfolio.zone.key)
    if not is_alike or history.viewer != str(market.viewer):
        return []
    days = stored_days(portfolio.pk, first)
    if not days or days[0].date != first:
        return []
    whole = takewhile(lambda pair: pair[1].date - pair[0].date == DAY, pairwise(days))
    days = [days[0], *(after for _, after in whole)]
    changed = market.changed_since(history.checked_at - SETTLED_AFTER)
    if changed is None:
        return days
    day = day_of(changed, portfolio.zone)
    return [known for known in days if known.date < day]


def _store(
    portfolio: Portfolio, days: Sequence[DayValue], market: "_Market", version: int, looked_at: datetime
) -> None:
    try:
        store(
            portfolio.pk,
            days,
            version=version,
            checked_at=looked_at,
            currency=portfolio.currency,
            time_zone=portfolio.zone.key,
            viewer=str(market.viewer),
        )
    except (OperationalError, ValidationError) as error:
        # It is only a cache, and a value of more than 20 digits is only not remembered.
        log.warning("history not stored", extra={"portfolio_id": portfolio.pk, "error": str(error)})


class _Listed(NamedTuple):
    symbol: str
    calendar: Calendar
    expires_on: date | None
    is_fed: bool

    def with_closes(self, closes: Sequence[Close]) -> Closes:
        ends = None
        if self.expires_on is not None:
            session = self.calendar.of_date(self.expires_on)
            ends = session.close if session else end_of(self.expires_on, UTC)
        return Closes(closes, CLOSE_GOOD_FOR if self.is_fed else None, ends)


class _Market:
    """The assets and pairs that have a say in a portfolio's value, and their stored closes."""

    def __init__(self, books: Books, viewer: Viewer) -> None:
        self.viewer = viewer
        pairs = [pair_of(asset) for asset in pair_assets()]
        rates = Rates(pairs, {})
        currencies = {account.currency for account in books.accounts.values()} | books.cash.keys()
        currencies |= {due.currency for due in (*books.receivables, *books.collected)}
        legs = {leg for currency in currencies for leg in rates.legs(currency, books.base)}
        self.pairs = [pair for pair in pairs if pair.symbol in legs]
        self._held = [symbol for symbol, account in books.accounts.items() if account.quantity]
        assets = Asset.objects.filter(symbol__in={*books.accounts, *legs}).annotate(
            is_fed=Exists(FeedSymbol.objects.filter(asset=OuterRef("pk")))
        )
        columns = assets.values_list("pk", "symbol", "calendar", "expires_on", "is_fed")
        self._assets = {
            pk: _Listed(symbol, calendar_named(calendar), expires_on, is_fed)
            for pk, symbol, calendar, expires_on, is_fed in columns
        }

    def changed_since(self, moment: datetime) -> datetime | None:
        """Returns the start of the first bar that was written since then."""
        bars = PriceBar.objects.daily().filter(asset_id__in=self._assets, updated_at__gte=moment)
        first: datetime | None = bars.aggregate(first=Min("start"))["first"]
        return first

    def closes(self, begin: datetime, now: datetime) -> dict[str, Closes]:
        """Returns the closes that count from `begin` on, by symbol: the stored ones, and the last prices as now's."""
        points: dict[str, list[Close]] = {listed.symbol: [] for listed in self._assets.values()}
        for pk, start, price in self._bars(begin):
            listed = self._assets[pk]
            at = close_of(listed.calendar, start)
            if at <= now:
                points[listed.symbol].append(Close(at, price))
        pairs = {pair.symbol for pair in self.pairs}
        for symbol, point in price_points({*self._held, *pairs}, self.viewer).items():
            # A rate is as old as it is; a price counts as long as there is no other.
            at = min(point.as_of, now) if symbol in pairs else now
            if symbol in points and (not points[symbol] or points[symbol][-1].at < at):
                points[symbol].append(Close(at, point.price))
        return {listed.symbol: listed.with_closes(points[listed.symbol]) for listed in self._assets.values()}

    def _bars(self, begin: datetime) -> list[tuple[int, datetime, Decimal]]:
        """Each asset's daily bars from a little before `begin` on, and the last one before those; oldest first."""
        begin -= CLOSE_GOOD_FOR
        daily = PriceBar.objects.daily().visible_to(self.viewer)
        before = daily.filter(asset=OuterRef("pk"), start__lt=begin).order_by("-start")
        older = Asset.objects.filter(pk__in=self._assets).annotate(
            last=Subquery(before.values("start")[:1]), close=Subquery(before.values("close")[:1])
        )
        found = [row for row in older.values_list("pk", "last", "close") if row[1] is not None]
        newer = daily.filter(asset_id__in=self._assets, start__gte=begin).order_by("start")
        return [*found, *newer.values_list("asset_id", "start", "close").iterator()]


def close_of(calendar: Calendar, start: datetime) -> datetime:
    """Returns when the session of a daily bar closes; a bar that begins before the open belongs to the next one."""
    session = calendar.session_at(start)
    return (session if start < session.close else calendar.after(session)).close
