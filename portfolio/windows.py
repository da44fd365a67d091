"""What ticks do not change: a portfolio's positions, each in its own window, worked out once from the books.

A position is an asset, or cash in one currency. Its window begins at its baseline, the close of the session before
the current one, and ends now. What is held then follows from the books, so that a back-dated row moves the
baseline and never today's change.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from itertools import takewhile

import msgspec

from assets.sessions import AROUND_THE_CLOCK, FX_DAYS, window
from portfolio.arithmetic import EXACT, ONE, ZERO, div, minor_unit, shown, trimmed
from portfolio.ledger import Account, Books, Entry, LotMethod
from portfolio.wire import PortfolioConstants, PositionConstants, wire_time


class PortfolioFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a portfolio says of itself."""

    id: int
    name: str
    currency: str
    method: LotMethod = "fifo"
    short_sales: bool = False


class AssetFacts(msgspec.Struct, frozen=True, gc=False):
    """What an asset says of itself; an option that is held beyond `expires` has no price."""

    name: str = ""
    expires: datetime | None = None


NO_FACTS = AssetFacts()


class Baseline(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a position's window begins, with the raw close and the rate of that moment.

    `until` is the open of the next session. `quoted`: no closes are stored yet, and the previous close that comes
    with the quote serves as `price`.
    """

    at: datetime
    until: datetime
    price: Decimal | None = None
    rate: Decimal | None = None
    quoted: bool = False


class Moved(msgspec.Struct, frozen=True, gc=False):
    """What the rows in a window did: sums of their entries, money in base; `quantity` in today's units."""

    quantity: Decimal = ZERO
    value: Decimal = ZERO
    fees: Decimal = ZERO
    income: Decimal = ZERO
    flow: Decimal = ZERO
    realized: Decimal = ZERO


class Terms(msgspec.Struct, frozen=True, gc=False):
    """Everything about an asset that prices and rates are multiplied with; None where the baseline is unknown.

    With P, R the price and rate of now, and P0, R0 those of the baseline:
    value = worth·P·R, price = before's P0 replaced by P, currency = its R0 replaced by R,
    trades = value - kept·P·R - traded, daily change = value - settled.
    """

    worth: Decimal  # q·m
    kept: Decimal  # what was held at the baseline, in today's units, ·m
    kept_base: Decimal | None  # kept·R0
    before: Decimal | None  # V0 = q0·P0·m·R0
    settled: Decimal | None  # V0 + traded - income + fees
    traded: Decimal
    day_base: Decimal | None  # max(|V0|, |V0 + traded|), of which the day's percent is
    previous_close: Decimal | None  # P0 in today's units


class Holding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An asset as ticks find it. Money is in base but for `cost` and `realized`, which are the asset's currency's."""

    symbol: str
    name: str
    currency: str
    multiplier: Decimal
    quantity: Decimal
    cost: Decimal
    cost_base: Decimal
    realized: Decimal
    realized_base: Decimal
    income: Decimal
    fees: Decimal
    average_cost: Decimal | None
    baseline: Baseline
    # What was held at the baseline, in units of then and of today.
    opening: Decimal
    kept: Decimal
    split: tuple[int, int]
    moved: Moved
    terms: Terms
    # The price part of what is not realized: price · open_units - open_cost, at the rates of the lots' opening.
    # Lots that cost nothing have none, and count at today's rate.
    open_units: Decimal
    open_cost: Decimal
    free_units: Decimal
    is_expired: bool
    constants: PositionConstants

    def terms_with(self, close: Decimal | None) -> Terms:
        """The terms if `close` were the baseline's raw price."""
        return _terms(self, close)


class CashHolding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Cash in one currency, or what is to be paid in it; `before` and `settled` are None without a rate then."""

    currency: str
    amount: Decimal
    receivable: bool
    # What all that came in was worth in base at its own rates.
    paid_base: Decimal
    baseline: Baseline
    opening: Decimal
    moved: Moved
    before: Decimal | None
    settled: Decimal | None


class Holdings(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A portfolio without its prices; good until `valid_until`, when a session begins or the books move on."""

    facts: PortfolioFacts
    positions: tuple[Holding, ...]
    cash: tuple[CashHolding, ...]
    # Since the first row, in base.
    realized: Decimal
    invested: Decimal
    income: Decimal
    fees: Decimal
    taxes: Decimal
    # Fees that are in no cost and no proceeds.
    expenses: Decimal
    flows: Decimal
    # In the positions' windows.
    realized_today: Decimal
    income_today: Decimal
    # Of all that the books have ever known, held or not.
    # Those that need a rate.
    currencies: frozenset[str]
    assets: Mapping[str, AssetFacts]
    baselines: Mapping[str, Baseline]
    baseline_at: datetime
    valid_until: datetime
    now: datetime
    ledger_row: int | None
    constants: PortfolioConstants

    @property
    def currency(self) -> str:
        return self.facts.currency

    @property
    def symbols(self) -> frozenset[str]:
        return frozenset(holding.symbol for holding in self.positions)


def cash_key(currency: str) -> str:
    """The key of a currency's baseline, which no symbol can be."""
    return f"cash:{currency}"


def needs(books: Books) -> tuple[frozenset[str], frozenset[str]]:
    """The symbols and currencies that `hold` needs baselines of."""
    cash = {*books.cash, *(due.currency for due in (*books.receivables, *books.collected)), books.base}
    return frozenset(books.accounts), frozenset(cash)


def hold(
    facts: PortfolioFacts,
    books: Books,
    assets: Mapping[str, AssetFacts],
    baselines: Mapping[str, Baseline],
    now: datetime,
) -> Holdings:
    """Works out what ticks do not change.

    Args:
        books: replayed until `now`.
        baselines: of every asset by symbol, and of every currency by `cash_key`.
    """
    base = facts.currency
    with localcontext(EXACT):
        found = (
            _holding(account, assets.get(symbol, NO_FACTS), baselines[symbol], base, now)
            for symbol, account in sorted(books.accounts.items())
        )
        positions = tuple(holding for holding in found if holding is not None)
        cash = (*_cash(books, baselines, base), *_receivables(books, baselines, base))
        moved = [holding.moved for holding in positions] + [holding.moved for holding in cash]
        used = _used(positions, cash, baselines, base)
        baseline_at = min((baseline.at for baseline in used.values()), default=now)
        realized, invested, income, fees, taxes, realized_today, income_today = (
            books.realized_base,
            books.cost_base,
            books.income_base,
            sum((account.fees_base for account in books.accounts.values()), books.unlinked_fees_base),
            books.taxes_base,
            sum((one.realized for one in moved), ZERO),
            sum((one.income for one in moved), ZERO),
        )
        unit = minor_unit(base)
        return Holdings(
            facts=facts,
            positions=positions,
            cash=cash,
            realized=realized,
            invested=invested,
            income=income,
            fees=fees,
            taxes=taxes,
            realized_today=realized_today,
            income_today=income_today,
            expenses=books.expenses_base,
            flows=books.flows_base,
            currencies=frozenset({p.currency for p in positions} | {c.currency for c in cash}) - {base},
            assets={one.symbol: assets.get(one.symbol, NO_FACTS) for one in positions},
            baselines=_needed(books, baselines),
            baseline_at=baseline_at,
            valid_until=_valid_until(books, assets, used, now),
            now=now,
            ledger_row=books.last_row,
            constants=(
                shown(invested, unit),
                shown(realized, unit),
                shown(income, unit),
                shown(fees, unit),
                shown(taxes, unit),
                shown(realized_today, unit),
                shown(income_today, unit),
                wire_time(baseline_at),
                books.last_row,
            ),
        )


def _valid_until(
    books: Books, assets: Mapping[str, AssetFacts], used: Mapping[str, Baseline], now: datetime
) -> datetime:
    """When something else than prices and rates changes: a session opens, a dividend is paid, an option expires."""
    moments = [baseline.until for baseline in used.values()]
    moments += [due.pay_time for due in books.receivables]
    moments += [facts.expires for symbol, facts in assets.items() if symbol in used and facts.expires]
    return min((moment for moment in moments if moment > now), default=now + timedelta(days=1))


def _needed(books: Books, baselines: Mapping[str, Baseline]) -> dict[str, Baseline]:
    symbols, currencies = needs(books)
    keys = (*symbols, *map(cash_key, currencies))
    return {key: baselines[key] for key in sorted(keys) if key in baselines}


def _used(
    positions: Iterable[Holding],
    cash: Iterable[CashHolding],
    baselines: Mapping[str, Baseline],
    currency: str,
) -> dict[str, Baseline]:
    """The baselines behind the positions; an empty portfolio still has a day, that of its own currency."""
    used = {holding.symbol: holding.baseline for holding in positions}
    used |= {cash_key(holding.currency): holding.baseline for holding in cash}
    key = cash_key(currency)
    return used or ({key: baselines[key]} if key in baselines else {})


# --- assets -------------------------------------------------------------------------------------------------


def _holding(
    account: Account, facts: AssetFacts, baseline: Baseline, base: str, now: datetime
) -> Holding | None:
    """An asset's position; None if it is not held and nothing happened to it in its window."""
    entries = _since(account.entries, baseline.at)
    if not account.quantity and not entries:
        return None
    moved, split = _sum(entries)
    if account.currency == base:
        baseline = msgspec.structs.replace(baseline, rate=ONE)
    quantity = trimmed(account.quantity)
    average_cost = trimmed(div(account.cost, quantity * account.multiplier)) if quantity else None
    open_units = open_cost = free_units = ZERO
    for lot in account.lots:
        if lot.cost:
            rate = div(lot.cost_base, lot.cost)
            open_units += lot.quantity * account.multiplier * rate
            open_cost += lot.cost * rate
        else:
            free_units += lot.quantity * account.multiplier
    unit, own_unit = minor_unit(base), minor_unit(account.currency)
    holding = Holding(
        symbol=account.symbol,
        name=facts.name,
        currency=account.currency,
        multiplier=account.multiplier,
        quantity=quantity,
        cost=account.cost,
        cost_base=account.cost_base,
        realized=account.realized,
        realized_base=account.realized_base,
        income=account.income_base,
        fees=account.fees_base,
        average_cost=average_cost,
        baseline=baseline,
        opening=_opening(account, len(account.entries) - len(entries), split),
        kept=account.quantity - moved.quantity,
        split=split,
        moved=moved,
        terms=_UNKNOWN,
        open_units=open_units,
        open_cost=open_cost,
        free_units=free_units,
        is_expired=facts.expires is not None and facts.expires <= now,
        constants=(
            account.symbol,
            facts.name,
            account.currency,
            quantity,
            average_cost,
            shown(account.cost, own_unit),
            shown(account.cost_base, unit),
            shown(account.realized, own_unit),
            shown(account.realized_base, unit),
            shown(account.income_base, unit),
            shown(account.fees_base, unit),
            wire_time(baseline.at),
        ),
    )
    return msgspec.structs.replace(holding, terms=_terms(holding, baseline.price))


_UNKNOWN = Terms(ZERO, ZERO, None, None, None, ZERO, None, None)


def _terms(holding: Holding, close: Decimal | None) -> Terms:
    rate, m = holding.baseline.rate, holding.multiplier
    worth, kept, traded = holding.quantity * m, holding.kept * m, holding.moved.value
    numerator, denominator = holding.split
    shown_close = close
    if close is not None and numerator != denominator:
        shown_close = trimmed(div(close * denominator, Decimal(numerator)))
    if not holding.opening:  # then nothing of the baseline is needed
        before, kept_base = ZERO, kept * (rate or ZERO)
    elif close is None or rate is None:
        return Terms(worth, kept, None, None, None, traded, None, shown_close)
    else:
        before, kept_base = holding.opening * close * m * rate, kept * rate
    settled = before + traded - holding.moved.income + holding.moved.fees
    day_base = max(abs(before), abs(before + traded))
    return Terms(worth, kept, kept_base, before, settled, traded, day_base, shown_close)


def _opening(account: Account, count: int, split: tuple[int, int]) -> Decimal:
    """What was held after the first `count` entries, in units of then."""
    if split == (1, 1):
        return account.quantity - sum((entry.quantity for entry in account.entries[count:]), ZERO)
    quantity = ZERO  # a split rounds, and cannot be taken back
    for entry in account.entries[:count]:
        quantity += entry.quantity
        if entry.split is not None:
            quantity = div(quantity * entry.split[0], Decimal(entry.split[1]))
    return quantity


def _since(entries: list[Entry], moment: datetime) -> list[Entry]:
    """The entries after `moment`, newest first; a row at the very moment is before the window."""
    return list(takewhile(lambda entry: entry.time > moment, reversed(entries)))


def _sum(entries: list[Entry]) -> tuple[Moved, tuple[int, int]]:
    """Adds up entries, newest first: what was traded before a split counts in units of after it."""
    numerator = denominator = 1
    quantity = value = fees = income = flow = realized = ZERO
    for entry in entries:
        if entry.split is not None:
            numerator, denominator = numerator * entry.split[0], denominator * entry.split[1]
        elif numerator != denominator:
            quantity += div(entry.quantity * numerator, Decimal(denominator))
        else:
            quantity += entry.quantity
        value += entry.value
        fees += entry.fee
        income += entry.income
        flow += entry.flow
        realized += entry.realized_base
    return Moved(quantity, value, fees, income, flow, realized), (numerator, denominator)


# --- cash ---------------------------------------------------------------------------------------------------


def _cash(books: Books, baselines: Mapping[str, Baseline], base: str) -> Iterable[CashHolding]:
    for currency, account in sorted(books.cash.items()):
        baseline = baselines[cash_key(currency)]
        entries = _since(account.entries, baseline.at)
        if account.balance or entries:
            moved, _ = _sum(entries)
            yield _cash_holding(currency, account.balance, account.paid_base, moved, baseline, base)


def _receivables(books: Books, baselines: Mapping[str, Baseline], base: str) -> Iterable[CashHolding]:
    """What is to be paid in one currency is a position of its own: in at the ex-date, out when it is paid."""
    dues = [(due, True) for due in books.receivables] + [(due, False) for due in books.collected]
    for currency in sorted({due.currency for due, _ in dues}):
        baseline = baselines[cash_key(currency)]
        amount = paid = quantity = value = ZERO
        is_moved = False
        for due, is_open in dues:
            if due.currency != currency:
                continue
            if is_open:
                amount, paid = amount + due.amount, paid + due.value
            came, went = due.ex > baseline.at, not is_open and due.pay_time > baseline.at
            if came != went:
                is_moved, sign = True, 1 if came else -1
                quantity, value = quantity + sign * due.amount, value + sign * due.value
        if amount or is_moved:
            yield _cash_holding(currency, amount, paid, Moved(quantity, value), baseline, base, True)


def _cash_holding(
    currency: str,
    amount: Decimal,
    paid_base: Decimal,
    moved: Moved,
    baseline: Baseline,
    base: str,
    receivable: bool = False,
) -> CashHolding:
    if currency == base:
        baseline = msgspec.structs.replace(baseline, rate=ONE)
    opening = amount - moved.quantity
    before = settled = None
    if not opening:
        before = ZERO
    elif baseline.rate is not None:
        before = opening * baseline.rate
    if before is not None:
        settled = before + moved.value - moved.income + moved.fees
    return CashHolding(
        currency=currency,
        amount=amount,
        receivable=receivable,
        paid_base=paid_base,
        baseline=baseline,
        opening=opening,
        moved=moved,
        before=before,
        settled=settled,
    )


# --- while no closes and no rates are stored ----------------------------------------------------------------


def default_baselines(books: Books, now: datetime) -> dict[str, Baseline]:
    """Baselines where nothing is stored: every asset trades around the clock and its quote tells its close."""
    symbols, currencies = needs(books)
    day, fx_day = window(AROUND_THE_CLOCK, now), window(FX_DAYS, now)
    assets = {symbol: Baseline(at=day.at, until=day.until, quoted=True) for symbol in symbols}
    return assets | {
        cash_key(currency): Baseline(at=fx_day.at, until=fx_day.until) for currency in currencies
    }
