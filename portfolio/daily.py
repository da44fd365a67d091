"""What a portfolio was worth at the end of each of its days, from its books, daily closes and rates. Pure.

A day is 00:00 to 24:00 in the portfolio's time zone. Quantities are those of the day and closes are raw, so that no
history is ever adjusted for a split. One pass over the ledger's entries serves all days.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

from assets.rates import LastPrice, Pair, Rates
from portfolio.arithmetic import EXACT, PLACES, ZERO, div
from portfolio.books import Books, Receivable
from portfolio.lots import Account, Entry
from portfolio.returns import DayValue

DAY = timedelta(days=1)
_STORED = Context(prec=EXACT.prec, rounding=ROUND_HALF_EVEN)


class Close(NamedTuple):
    """A raw price and the moment from which it was the last one."""

    at: datetime
    price: Decimal


class Closes(NamedTuple):
    """An asset's closes, oldest first.

    `good_for` is how long one serves while no other comes, and from `ends` on none does; None is for ever.
    """

    closes: Sequence[Close] = ()
    good_for: timedelta | None = None
    ends: datetime | None = None


def day_of(moment: datetime, zone: tzinfo) -> date:
    return moment.astimezone(zone).date()


def end_of(day: date, zone: tzinfo) -> datetime:
    """The moment that a day ends and the next one begins, in UTC."""
    return datetime.combine(day + DAY, time(), zone).astimezone(UTC)


def first_day(books: Books, zone: tzinfo) -> date | None:
    """The day of the first row that moved anything."""
    times = [entry.time for entry in _entries(books)]
    times += [receivable.ex for receivable in (*books.receivables, *books.collected)]
    return day_of(min(times), zone) if times else None


def daily_values(
    books: Books,
    prices: Mapping[str, Closes],
    pairs: Iterable[Pair],
    first: date,
    last: date,
    *,
    zone: tzinfo,
    now: datetime,
) -> list[DayValue]:
    """Returns the days from `first` to `last`, each with its value at its end, or at `now` if that is earlier.

    What has no price or no rate is left out of the value, and then the day is not complete. Values are rounded half
    even to 18 places, as they are stored.

    Args:
        books: replayed to the end of `last` or beyond.
        prices: by symbol, also of the pairs.
    """
    pairs = list(pairs)
    legs = [_Priced(pair.symbol, prices.get(pair.symbol, Closes())) for pair in pairs]
    points: dict[str, LastPrice] = {}
    rates = Rates(pairs, points)
    holdings = [
        _Holding(account, prices.get(symbol, Closes())) for symbol, account in sorted(books.accounts.items())
    ]
    cash = [_Running(account.currency, account.entries) for account in books.cash.values()]
    owed = [*books.receivables, *books.collected]
    flows = _flows(books, zone)
    days = []
    with localcontext(EXACT):
        for day in _days(first, last):
            end = end_of(day, zone)
            moment = min(end, now)
            for leg in legs:
                if (close := leg.at(moment)) is not None:
                    points[leg.symbol] = LastPrice(close.price, close.at)
            known: dict[str, Decimal | None] = {books.base: Decimal(1)}
            value, is_complete = ZERO, True
            for currency, money in _money(holdings, cash, owed, end, moment):
                if currency not in known:
                    point = rates.rate(currency, books.base, moment)
                    known[currency] = point.value if point else None
                rate = known[currency]
                if money is None or rate is None:
                    is_complete = False
                else:
                    value += money * rate
            inflow, outflow = flows.get(day, (ZERO, ZERO))
            days.append(DayValue(day, _rounded(value), _rounded(inflow), _rounded(outflow), is_complete))
    return days


def _days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + DAY * number


def _rounded(number: Decimal) -> Decimal:
    return number.quantize(PLACES, context=_STORED) if number else ZERO


def _flows(books: Books, zone: tzinfo) -> dict[date, tuple[Decimal, Decimal]]:
    """What came in and what went out by day, both positive and not set off against each other."""
    flows: dict[date, tuple[Decimal, Decimal]] = {}
    with localcontext(EXACT):
        for entry in _entries(books):
            if entry.flow:
                day = day_of(entry.time, zone)
                inflow, outflow = flows.get(day, (ZERO, ZERO))
                flows[day] = inflow + max(ZERO, entry.flow), outflow + max(ZERO, -entry.flow)
    return flows


def _entries(books: Books) -> Iterator[Entry]:
    for account in books.accounts.values():
        yield from account.entries
    for cash in books.cash.values():
        yield from cash.entries


def _money(
    holdings: Iterable["_Holding"],
    cash: Iterable["_Running"],
    owed: Iterable[Receivable],
    end: datetime,
    moment: datetime,
) -> Iterator[tuple[str, Decimal | None]]:
    """Everything there is at a day's end, as amounts of a currency; None for a holding without a price."""
    for holding in holdings:
        if quantity := holding.quantity_at(end):
            price = holding.price_at(moment)
            yield holding.currency, None if price is None else quantity * price * holding.multiplier
    for account in cash:
        if balance := account.quantity_at(end):
            yield account.currency, balance
    for receivable in owed:
        if receivable.ex < end <= receivable.pay_time:
            yield receivable.currency, receivable.amount


class _Priced:
    """A price as days go by."""

    def __init__(self, symbol: str, prices: Closes) -> None:
        self.symbol = symbol
        self._closes, self._good_for, self._ends = prices
        self._index = 0

    def at(self, moment: datetime) -> Close | None:
        """The last close at or before `moment`; to be asked in order."""
        while self._index < len(self._closes) and self._closes[self._index].at <= moment:
            self._index += 1
        if not self._index or (self._ends is not None and moment >= self._ends):
            return None
        close = self._closes[self._index - 1]
        return close if self._good_for is None or moment - close.at <= self._good_for else None


class _Running:
    """A quantity as days go by: of an asset's units, or of a currency."""

    def __init__(self, currency: str, entries: Iterable[Entry]) -> None:
        self.currency = currency
        # Not in order: what a dividend pays is entered when the next row comes.
        self._entries = sorted(entries, key=lambda entry: entry.time)
        self._index = 0
        self._quantity = ZERO

    def quantity_at(self, end: datetime) -> Decimal:
        """The quantity just before `end`; to be asked in order."""
        while self._index < len(self._entries) and self._entries[self._index].time < end:
            entry = self._entries[self._index]
            if entry.split:
                numerator, denominator = entry.split
                self._quantity = div(self._quantity * numerator, Decimal(denominator))
            self._quantity += entry.quantity
            self._index += 1
        return self._quantity


class _Holding(_Running):
    """An asset: its units and their price."""

    def __init__(self, account: Account, prices: Closes) -> None:
        super().__init__(account.currency, account.entries)
        self.multiplier = account.multiplier
        self._price = _Priced(account.symbol, prices)
        self._splits = [(entry.time, entry.split) for entry in self._entries if entry.split]

    def price_at(self, moment: datetime) -> Decimal | None:
        """The last close, in the units of the day: one from before a split has not seen it yet."""
        close = self._price.at(moment)
        if close is None:
            return None
        price = close.price
        for effective_at, (numerator, denominator) in self._splits:
            if close.at <= effective_at < moment:
                price = div(price * denominator, Decimal(numerator))
        return price
