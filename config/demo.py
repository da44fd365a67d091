"""The demo's users, assets, portfolios and history; run at every start, and it only adds what is missing.

Trades and bars come from the simulator's own function of time, so that every chart joins the live price. What a
real source prices gets no made-up history: its daily change would be measured against a price that never was.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from assets.market import Bar
from assets.models import Asset, FeedSymbol, PriceBar
from assets.rates_store import rate_at
from assets.redistribution import any_user
from config import logins
from portfolio.booking import complete
from portfolio.models import Portfolio, Transaction, WatchlistItem
from realtime.feeds.simulated_market import DEMO, PAIRS, Instrument, SimulatedMarket

SIMULATOR = "simulator"
COINBASE = "coinbase"
COINBASE_PRODUCTS = ("BTC-USD", "ETH-USD", "SOL-USD")
# While one of these runs, the prices of Coinbase's products are real ones.
REAL_SOURCES = {"coinbase", "coinbase_rest", "replay"}

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = 90
MINUTES = 360
CENT = Decimal("0.01")
STOCK_FEE = Decimal("1.00")
COIN_FEE_RATE = Decimal("0.0025")

WATCHLIST = ("AAPL", "MSFT", "GOOGL", "NVDA", "TSLA", "BTC-USD", "ETH-USD")
# Days ago, what, of which asset (of a conversion: into which currency), how much.
Plan = tuple[tuple[int, str, str, str], ...]
GROWTH: Plan = (
    (80, "deposit", "", "60000"),
    (79, "buy", "AAPL", "40"),
    (78, "buy", "MSFT", "15"),
    (75, "buy", "GOOGL", "35"),
    (71, "buy", "NVDA", "60"),
    (66, "buy", "BTC-USD", "0.12"),
    (60, "buy", "JPM", "20"),
    (52, "buy", "AMZN", "20"),
    (45, "deposit", "", "30000"),
    (44, "buy", "META", "8"),
    (38, "buy", "TSLA", "14"),
    (33, "buy", "ETH-USD", "1.5"),
    (27, "sell", "NVDA", "15"),
    (24, "buy", "V", "10"),
    (19, "buy", "SOL-USD", "15"),
    (13, "sell", "TSLA", "4"),
    (9, "withdrawal", "", "2500"),
    (6, "buy", "AAPL", "5"),
    (2, "buy", "MSFT", "3"),
)
CRYPTO: Plan = (
    (64, "deposit", "", "15000"),
    (63, "buy", "BTC-USD", "0.05"),
    (51, "buy", "ETH-USD", "1.25"),
    (36, "buy", "SOL-USD", "12.5"),
    (17, "buy", "BTC-USD", "0.015"),
    (5, "sell", "ETH-USD", "0.25"),
)
# In euros, of things that are priced in dollars.
EUROPE: Plan = (
    (70, "deposit", "", "30000"),
    (69, "convert", "USD", "20000"),
    (68, "buy", "AAPL", "30"),
    (62, "buy", "BTC-USD", "0.06"),
    (40, "deposit", "", "5000"),
    (21, "sell", "AAPL", "5"),
    (8, "buy", "BTC-USD", "0.015"),
)


def seed(now: datetime | None = None) -> None:
    """Adds what is missing of the demo; what somebody changed or deleted in a portfolio stays so."""
    now = now or datetime.now(UTC)
    instruments = (*DEMO, *PAIRS)
    market = SimulatedMarket(instruments, rate=settings.SIMULATOR_RATE, seed=settings.SIMULATOR_SEED)
    with transaction.atomic():
        assets = {instrument.symbol: _asset(instrument) for instrument in instruments}
        made_up = {symbol: asset for symbol, asset in assets.items() if not _is_real(symbol)}
        _forget_made_up(asset for symbol, asset in assets.items() if symbol not in made_up)
        for symbol, asset in made_up.items():
            _add_bars(asset, "1d", DAYS, market, symbol, now)
            _add_bars(asset, "1m", MINUTES, market, symbol, now)
            _first_price(asset, market, symbol, now)
        demo = _user("demo")
        _user("admin", staff=True)
        if demo is not None:
            _portfolio(demo, "Growth Portfolio", GROWTH, assets, market, now)
            _portfolio(demo, "Crypto", CRYPTO, assets, market, now)
            _portfolio(demo, "Europe", EUROPE, assets, market, now, currency="EUR")
            WatchlistItem.objects.bulk_create(
                WatchlistItem(user=demo, asset=assets[symbol], position=position)
                for position, symbol in enumerate(WATCHLIST)
            )


def _user(name: str, staff: bool = False) -> User | None:
    """Returns the user if this call made it; whoever exists keeps password, portfolios and watchlist."""
    if User.objects.filter(username=name).exists():
        return None
    # On an address that others reach, `logins` has other passwords in force.
    password = logins.current(settings.STATE_DIR)[name]
    return User.objects.create_user(name, password=password, is_staff=staff, is_superuser=staff)


# --- assets and their past -------------------------------------------------------------------------------


def _asset(instrument: Instrument) -> Asset:
    asset = Asset.objects.filter(
        Q(symbol=instrument.symbol)
        # Of a currency pair there is one, whatever somebody has called it.
        | Q(base_currency=instrument.base_currency, currency=instrument.currency) & ~Q(base_currency="")
    ).first() or Asset.objects.create(
        symbol=instrument.symbol,
        name=instrument.name,
        asset_class=instrument.asset_class,
        base_currency=instrument.base_currency,
        currency=instrument.currency,
    )
    sources = [COINBASE, SIMULATOR] if instrument.symbol in COINBASE_PRODUCTS else [SIMULATOR]
    for priority, source in enumerate(sources):
        FeedSymbol.objects.get_or_create(
            asset=asset, source=source, defaults={"symbol": instrument.symbol, "priority": priority}
        )
    return asset


def _is_real(symbol: str) -> bool:
    return symbol in COINBASE_PRODUCTS and not REAL_SOURCES.isdisjoint(settings.PRICE_FEED_SOURCES)


def _forget_made_up(assets: Iterable[Asset]) -> None:
    """Takes away what an earlier start with the simulator left behind."""
    keys = [asset.pk for asset in assets]
    PriceBar.objects.filter(asset__in=keys, source=SIMULATOR).delete()
    Asset.objects.filter(pk__in=keys, price_source=SIMULATOR).update(
        current_price=None, price_as_of=None, price_source="", last_updated=None
    )


def _add_bars(
    asset: Asset, interval: Any, count: int, market: SimulatedMarket, symbol: str, now: datetime
) -> None:
    """Adds the missing ones of the last `count` closed bars, and the open day."""
    length = timedelta(days=1) if interval == "1d" else timedelta(minutes=1)
    newest = now - (now - EPOCH) % length
    if interval == "1m":
        newest -= length
    starts = [newest - number * length for number in range(count, -1, -1)]
    rows = PriceBar.objects.filter(asset=asset, interval=interval, start__gte=starts[0])
    stored = set(rows.values_list("start", flat=True))
    missing = {start for start in starts if start not in stored}
    if missing:
        wanted = round((now - min(missing)) / length + 1)
        bars = [bar for bar in market.history(symbol, wanted, now, interval) if bar.start in missing]
        PriceBar.objects.bulk_create(
            [_row(asset, bar) for bar in bars], batch_size=500, ignore_conflicts=True
        )


def _row(asset: Asset, bar: Bar) -> PriceBar:
    return PriceBar(
        asset=asset,
        interval=bar.interval,
        start=bar.start,
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        source=SIMULATOR,
    )


def _first_price(asset: Asset, market: SimulatedMarket, symbol: str, now: datetime) -> None:
    if asset.current_price is None:
        price = market.price(symbol, market.tick_number(now))
        Asset.objects.filter(pk=asset.pk).update(
            current_price=price, price_as_of=now, price_source=SIMULATOR, last_updated=now
        )


# --- portfolios ------------------------------------------------------------------------------------------


def _portfolio(
    user: User,
    name: str,
    plan: Plan,
    assets: dict[str, Asset],
    market: SimulatedMarket,
    now: datetime,
    currency: str = "USD",
) -> None:
    portfolio = Portfolio.objects.create(user=user, name=name, currency=currency)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = []
    for number, (days_ago, kind, what, size) in enumerate(plan):
        moment = today - timedelta(days=days_ago) + timedelta(hours=14, minutes=(35 + 11 * number) % 240)
        row = Transaction(portfolio=portfolio, type=kind, currency=currency, time=moment)
        if kind in ("buy", "sell"):
            _fill_trade(row, assets[what], Decimal(size), market)
        else:
            row.amount = Decimal(size)
        if kind == "convert":
            _fill_conversion(row, what)
        complete(row)  # freezes what it was worth in the portfolio's currency
        rows.append(row)
    Transaction.objects.bulk_create(rows)


def _fill_trade(row: Transaction, asset: Asset, size: Decimal, market: SimulatedMarket) -> None:
    price = market.price(asset.symbol, market.tick_number(row.time))
    is_coin = asset.symbol in COINBASE_PRODUCTS
    row.asset, row.quantity, row.price, row.currency = asset, size, price, asset.currency
    row.fee = (size * price * COIN_FEE_RATE).quantize(CENT) if is_coin else STOCK_FEE


def _fill_conversion(row: Transaction, currency: str) -> None:
    rate = rate_at(row.currency, currency, row.time, any_user())
    assert row.amount is not None and rate is not None  # the pairs' bars come first
    row.to_currency, row.to_amount = currency, (row.amount * rate.value).quantize(CENT)
