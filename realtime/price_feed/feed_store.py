"""What the price feed reads from the database and writes to it; plain functions, run in the feed's database thread.

Prices and bars only: Redis has the hot values. Nothing here is called for a tick.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple, TypeVar

import redis
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.db.models import OuterRef, Subquery

from assets.calendars import calendar_named
from assets.fields import ExactDecimalField
from assets.market import Bar
from assets.models import Asset, FeedSymbol, PriceBar, normal_symbol
from assets.open_bars import read_all_open_bars
from assets.redistribution import viewer_like
from assets.sessions import Calendar
from assets.stored_prices import previous_bars, read_splits
from realtime.price_feed.listing import Close, LastPrice, Listing
from realtime.price_feed.open_bar import LONG_AGO, BuiltBar, minute_start

log = logging.getLogger("personal_finance.realtime.feed")

# SQLite takes 32,766 variables in a statement; a bar has ten.
CHUNK = 500
MINUTE_BARS_KEPT = timedelta(days=7)
# A `last_updated` further ahead was written by a broken clock and must not lock the row.
CLOCK_SLACK = timedelta(minutes=1)
# Where nobody has said otherwise, what is real goes before what is played back or made up.
PRIORITIES = {"replay": 50, "simulator": 100}

T = TypeVar("T")


class NewAsset(NamedTuple):
    """What a source needs to have in the database to be followed."""

    source_symbol: str
    symbol: str
    name: str
    currency: str
    asset_class: str
    base_currency: str = ""
    calendar: str = "24/7"
    multiplier: Decimal = Decimal(1)


class PriceRow(NamedTuple):
    """A last price on its way to the database, in the units of its time."""

    asset_id: int
    price: Decimal
    as_of: datetime
    source: str
    received_at: datetime


class BarRow(NamedTuple):
    asset_id: int
    built: BuiltBar
    source: str

    @property
    def key(self) -> tuple[int, str, datetime]:
        return self.asset_id, self.built.bar.interval, self.built.bar.start

    def after(self, older: "BarRow | None") -> "BarRow":
        """Returns this row instead of one that waits still: what is to be joined was not joined yet.

        What another source has counted is nothing of this one's bar.
        """
        if older is None or not older.built.fresh or older.source != self.source:
            return self
        return self._replace(built=self.built._replace(fresh=True, first_quantity=older.built.first_quantity))


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


# -- reading -----------------------------------------------------------------------------------------------


def ensure_assets(source: str, wanted: Iterable[NewAsset]) -> int:
    """Creates the assets and feed symbols that are missing; returns how many feed symbols that were.

    An asset that is there in another currency is not followed, for its price would be in this one.
    """
    known = set(FeedSymbol.objects.filter(source=source).values_list("symbol", flat=True))
    missing = {normal_symbol(new.symbol): new for new in wanted if new.source_symbol not in known}
    if not missing:
        return 0
    with transaction.atomic():
        Asset.objects.bulk_create(
            [
                Asset(
                    symbol=symbol,
                    name=new.name,
                    currency=new.currency,
                    asset_class=new.asset_class,
                    base_currency=new.base_currency,
                    calendar=new.calendar,
                    multiplier=new.multiplier,
                )
                for symbol, new in missing.items()
            ],
            ignore_conflicts=True,
            batch_size=CHUNK,
        )
        ids = _ids_of(source, missing)
        feed_symbols = [
            FeedSymbol(
                asset_id=ids[symbol],
                source=source,
                symbol=new.source_symbol,
                priority=PRIORITIES.get(source, 0),
            )
            for symbol, new in missing.items()
            if symbol in ids
        ]
        # An asset may have this source already, under another symbol that somebody chose.
        FeedSymbol.objects.bulk_create(feed_symbols, ignore_conflicts=True, batch_size=CHUNK)
    return len(feed_symbols)


def _ids_of(source: str, wanted: Mapping[str, NewAsset]) -> dict[str, int]:
    """Returns the assets that are there by the symbols of the wanted ones, in the same currencies."""
    ids: dict[str, int] = {}
    foreign: dict[str, str] = {}
    for symbols in chunks(list(wanted)):
        rows = Asset.objects.filter(symbol__in=symbols)
        for symbol, asset_id, currency in rows.values_list("symbol", "id", "currency"):
            if currency == wanted[symbol].currency:
                ids[symbol] = asset_id
            else:
                foreign[symbol] = currency
    for symbol, currency in foreign.items():
        log.warning(
            "asset %s is in %s and not in %s: not followed, unless the admin gives it this source's symbol",
            symbol, currency, wanted[symbol].currency, extra={"source": source},
        )  # fmt: skip
    for symbol in wanted.keys() - ids.keys() - foreign.keys():
        # Of a currency pair there is one asset, and somebody calls it something else.
        base, quoted = wanted[symbol].base_currency, wanted[symbol].currency
        pair = Asset.objects.filter(asset_class="fx", base_currency=base, currency=quoted)
        ids.update((symbol, asset.pk) for asset in pair)
    return ids


def read_listings(source: str) -> list[Listing]:
    """Returns every asset that lists the source, with all of the asset's sources in order of priority."""
    rows = (
        FeedSymbol.objects.filter(asset__feed_symbols__source=source)
        .order_by("asset_id", "priority", "id")
        .values_list(
            "asset_id",
            "source",
            "symbol",
            "asset__symbol",
            "asset__currency",
            "asset__calendar",
            "asset__may_be_negative",
        )
    )
    splits = read_splits(Asset.objects.filter(feed_symbols__source=source).values("id"))
    listings = []
    for asset_id, group in groupby(rows, key=lambda row: row[0]):
        members = list(group)
        _, _, _, symbol, currency, calendar, may_be_negative = members[0]
        listings.append(
            Listing(
                asset_id,
                symbol,
                currency,
                next(row[2] for row in members if row[1] == source),
                tuple(row[1] for row in members),
                calendar_named(calendar),
                may_be_negative,
                splits.get(asset_id, ()),
            )
        )
    return listings


def read_last_prices(source: str, asset_ids: Sequence[int]) -> dict[str, LastPrice]:
    """Returns the stored last prices that came from the source, each in the units of its time."""
    found = {}
    for ids in chunks(asset_ids):
        assets = Asset.objects.filter(id__in=ids, price_source=source).exclude(current_price=None)
        for symbol, price, as_of, updated in assets.values_list(
            "symbol", "current_price", "price_as_of", "last_updated"
        ):
            if price is not None and as_of is not None:
                found[symbol] = LastPrice(price, as_of, updated or as_of)
    return found


def read_closes(source: str, asset_ids: Sequence[int], now: datetime) -> dict[str, Close]:
    """Returns each asset's last daily close of a session before the current one, as far as all may see it who see
    the source.
    """
    viewer = viewer_like(source)
    closes = {}
    for ids in chunks(asset_ids):
        assets = {asset.pk: asset for asset in Asset.objects.filter(id__in=ids).only("symbol", "calendar")}
        for asset_id, (start, close) in previous_bars(assets.values(), now, viewer).items():
            closes[assets[asset_id].symbol] = Close(start, close)
    return closes


def read_open_bars(source: str, listings: Sequence[Listing], now: datetime) -> dict[str, list[BuiltBar]]:
    """Returns what is stored of the minute and of the session of `now`, as far as all may see it who see the source."""
    minute, day = PriceBar.Interval.MINUTE, PriceBar.Interval.DAY
    wanted = [(minute, minute_start(now), listings)]
    by_calendar: dict[Calendar, list[Listing]] = defaultdict(list)
    for listing in listings:
        by_calendar[listing.calendar].append(listing)
    wanted += [(day, calendar.session_at(now).open, some) for calendar, some in by_calendar.items()]
    found: dict[str, list[BuiltBar]] = defaultdict(list)
    for interval, start, members in wanted:
        for some in chunks(members):
            ids = [listing.asset_id for listing in some]
            rows = PriceBar.objects.filter(asset_id__in=ids, interval=interval, start=start)
            for row in rows.visible_to(viewer_like(source)).select_related("asset"):
                bar = _bar(row, row.asset.symbol)
                found[row.asset.symbol].append(BuiltBar(bar, revised=row.revised))
    return found


def newest_days(asset_ids: Sequence[int]) -> dict[int, Close]:
    """Returns the start and the close of each asset's newest daily bar."""
    newest = PriceBar.objects.filter(asset=OuterRef("pk")).daily().order_by("-start")
    found: dict[int, Close] = {}
    for ids in chunks(asset_ids):
        assets = Asset.objects.filter(id__in=ids).annotate(
            start=Subquery(newest.values("start")[:1]), close=Subquery(newest.values("close")[:1])
        )
        for asset_id, start, close in assets.values_list("id", "start", "close"):
            if start is not None:
                found[asset_id] = Close(start.astimezone(UTC), close)
    return found


def store_shown_bars(source: str, listings: Sequence[Listing]) -> int:
    """Stores what the source's last leader showed of bars and could not store any more; returns how many bars.

    A process that was killed leaves its open bars in Redis, a second old.
    """
    count = 0
    for some in chunks(listings):
        symbols = {listing.asset_id: listing.symbol for listing in some}
        shown = [bar for bar in _shown_bars(symbols) if bar.source == source]
        written = _written_at(symbols, {bar.start for bar in shown})
        rows = [
            BarRow(bar.asset_id, BuiltBar(_bar(bar, symbols[bar.asset_id]), revised=bar.revised), source)
            for bar in shown
            if bar.updated_at is not None
            and written.get((bar.asset_id, bar.interval, bar.start), LONG_AGO) <= bar.updated_at
        ]
        write([], rows)
        count += len(rows)
    return count


def _shown_bars(symbols: Mapping[int, str]) -> list[PriceBar]:
    try:
        found = read_all_open_bars({symbol: asset_id for asset_id, symbol in symbols.items()})
    except redis.RedisError as error:
        log.warning("open bars not read, stored ones serve", extra={"error": str(error)})
        return []
    return [bar for bars in found.values() for bar in bars]


def _written_at(
    asset_ids: Iterable[int], starts: Iterable[datetime]
) -> dict[tuple[int, str, datetime], datetime]:
    rows = PriceBar.objects.filter(asset_id__in=list(asset_ids), start__in=list(starts))
    return {
        (asset_id, interval, start.astimezone(UTC)): updated_at
        for asset_id, interval, start, updated_at in rows.values_list(
            "asset_id", "interval", "start", "updated_at"
        )
        if updated_at is not None
    }


def _bar(row: PriceBar, symbol: str) -> Bar:
    return Bar(
        symbol=symbol,
        interval="1d" if row.interval == PriceBar.Interval.DAY else "1m",
        start=row.start.astimezone(UTC),
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
    )


# -- writing -----------------------------------------------------------------------------------------------


def write(prices: Sequence[PriceRow], bars: Sequence[BarRow]) -> int:
    """Stores all of it in one transaction; a row that the database refuses is dropped, named, and harms no other.

    Returns:
        how many rows were refused.

    Raises:
        OperationalError: the database is away or locked; nothing was stored.
    """
    if not prices and not bars:
        return 0
    try:
        with transaction.atomic():
            _write_prices(prices)
            _write_bars(bars)
        return 0
    except OperationalError:
        raise
    except (DatabaseError, ValidationError, ValueError, OverflowError):
        return sum(_write_alone([row], []) for row in prices) + sum(_write_alone([], [row]) for row in bars)


def _write_alone(prices: Sequence[PriceRow], bars: Sequence[BarRow]) -> int:
    try:
        with transaction.atomic():
            _write_prices(prices)
            _write_bars(bars)
        return 0
    except IntegrityError:  # the asset was deleted meanwhile
        return 1
    except OperationalError:
        raise
    except (DatabaseError, ValidationError, ValueError, OverflowError) as error:
        asset_id = prices[0].asset_id if prices else bars[0].asset_id
        log.error("the database refused a row", extra={"asset_id": asset_id, "error": str(error)})
        return 1


def _write_prices(rows: Sequence[PriceRow]) -> None:
    if not rows:
        return
    price = ExactDecimalField()
    adapt = connection.ops.adapt_datetimefield_value
    # A frozen process that wakes up must not put an older price over a newer one. Received time, because a
    # recording's own times go back with each loop.
    statement = (
        f"UPDATE {Asset._meta.db_table} SET current_price = %s, price_as_of = %s, price_source = %s, "
        "last_updated = %s WHERE id = %s AND (last_updated IS NULL OR last_updated <= %s OR last_updated > %s)"
    )
    ahead = datetime.now(UTC) + CLOCK_SLACK
    values = [
        (
            price.get_db_prep_save(row.price, connection),
            adapt(row.as_of),
            row.source,
            adapt(row.received_at),
            row.asset_id,
            adapt(row.received_at),
            adapt(ahead),
        )
        for row in sorted(rows)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)


def _write_bars(rows: Sequence[BarRow]) -> None:
    if not rows:
        return
    newest: dict[tuple[int, str, datetime], BarRow] = {}
    for row in rows:
        newest[row.asset_id, row.built.bar.interval, row.built.bar.start] = row
    stored = _stored([row for row in newest.values() if row.built.fresh])
    objects = []
    for key in sorted(newest):
        row = newest[key]
        bar = row.built.joined(stored[key]) if key in stored else row.built.bar
        objects.append(
            PriceBar(
                asset_id=row.asset_id,
                interval=bar.interval,
                start=bar.start,
                open=bar.open,
                high=bar.high,
                low=bar.low,
                close=bar.close,
                volume=bar.volume,
                source=row.source,
                revised=row.built.revised,
            )
        )
    PriceBar.objects.bulk_create(
        objects,
        batch_size=CHUNK,
        update_conflicts=True,
        unique_fields=["asset", "interval", "start"],
        update_fields=["open", "high", "low", "close", "volume", "source", "revised"],
    )


def _stored(fresh: Sequence[BarRow]) -> Mapping[tuple[int, str, datetime], Bar]:
    """Returns the bars that are stored where others begin, as far as all may see them who will see those."""
    viewers = {row.key: viewer_like(row.source) for row in fresh}
    found = {}
    for some in chunks(list(viewers)):
        rows = PriceBar.objects.filter(
            asset_id__in={key[0] for key in some}, start__in={key[2] for key in some}
        ).select_related("asset")
        for row in rows:
            key = row.asset_id, row.interval, row.start.astimezone(UTC)
            if key in viewers and viewers[key].sees(row.source):
                found[key] = _bar(row, row.asset.symbol)
    return found


def prune_minute_bars(now: datetime) -> int:
    """Deletes minute bars older than a week; returns how many."""
    old = PriceBar.objects.filter(interval=PriceBar.Interval.MINUTE, start__lt=now - MINUTE_BARS_KEPT)
    deleted, _ = old.delete()
    return deleted
