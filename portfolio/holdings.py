"""A portfolio's holdings from the database: its books, and the close and the rate at each position's baseline.

What ticks do not change is worked out once, until a session opens or a row is booked. Prices and rates of now come
from whoever streams them; `valuation_now` reads the last ones.
"""

from datetime import UTC, datetime, time
from decimal import Decimal

from django.utils import timezone

from assets.baselines import closes_before
from assets.calendars import calendar_named
from assets.models import Asset
from assets.rates_store import PastRates, live_rates
from assets.redistribution import Viewer
from assets.sessions import FX_DAYS, window
from portfolio.books import Books
from portfolio.models import Portfolio
from portfolio.prices import price_points
from portfolio.valuation import Valuation, value
from portfolio.windows import AssetFacts, Baseline, Holdings, PortfolioFacts, cash_key, hold, needs


def load(portfolio: Portfolio, now: datetime | None = None) -> Holdings:
    """Everything but the prices and rates of now; raises LedgerError if stored rows contradict each other."""
    now = now or timezone.now()
    books = portfolio.replay(portfolio.rows(), until=now)
    symbols, currencies = needs(books)
    assets = list(Asset.objects.filter(symbol__in=symbols))
    baselines = _baselines(books, assets, currencies, now, portfolio.viewer)
    return hold(facts_of(portfolio), books, {a.symbol: asset_facts(a) for a in assets}, baselines, now)


def valuation_now(portfolio: Portfolio, now: datetime | None = None) -> Valuation:
    """Values the portfolio at the last prices and rates; raises LedgerError as `load` does."""
    now = now or timezone.now()
    holdings = load(portfolio, now)
    viewer = portfolio.viewer
    rates = live_rates(holdings.currencies, holdings.currency, viewer, now)
    return value(holdings, price_points(holdings.symbols, viewer), rates, now)


def facts_of(portfolio: Portfolio) -> PortfolioFacts:
    return PortfolioFacts(
        id=portfolio.pk,
        name=portfolio.name,
        currency=portfolio.currency,
        method=portfolio.lot_method,  # type: ignore[arg-type]  # one of LotMethod
        short_sales=portfolio.short_sales,
    )


def asset_facts(asset: Asset) -> AssetFacts:
    """What the valuation asks of an asset; an option's last day ends with its session, or at midnight."""
    expires = None
    if asset.expires_on is not None:
        session = calendar_named(asset.calendar).of_date(asset.expires_on)
        expires = session.close if session else datetime.combine(asset.expires_on, time.max, UTC)
    return AssetFacts(asset.name, expires)


def _baselines(
    books: Books, assets: list[Asset], currencies: frozenset[str], now: datetime, viewer: Viewer
) -> dict[str, Baseline]:
    closes = closes_before(assets, now, viewer)
    fx_day = window(FX_DAYS, now)
    moments = [fx_day.at, *(close.at for close in closes.values())]
    rates = PastRates(min(moments), max(moments), viewer)

    def rate(currency: str, moment: datetime) -> Decimal | None:
        point = rates.rate(currency, books.base, moment)
        return None if point is None else point.value

    found: dict[str, Baseline] = {}
    for asset in assets:
        close = closes[asset.pk]
        found[asset.symbol] = Baseline(
            at=close.at,
            until=close.until,
            price=close.price,
            rate=rate(books.accounts[asset.symbol].currency, close.at),
            quoted=close.price is None,
        )
    for currency in currencies:
        found[cash_key(currency)] = Baseline(at=fx_day.at, until=fx_day.until, rate=rate(currency, fx_day.at))
    return found
