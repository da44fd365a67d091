"""A second opinion on the daily figures and on average cost, by another method: fractions over a log of events.

Rows become events (what moved, where, at which value), events are summed into the state of a moment, and a change is
the difference of two states less what flowed in. It knows no components, no lots and no rounding, and shares nothing
with `portfolio` but the shape of a row. Kinds that move cost from one asset to another are not its business.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from portfolio.rows import Row

KINDS = frozenset(
    {"buy", "sell", "deposit", "withdrawal", "transfer_in", "transfer_out", "convert", "dividend", "interest"}
    | {"fee", "tax", "split", "bonus", "cash_in_lieu", "return_of_capital", "expire"}
)
NIL = Fraction(0)


class Event(NamedTuple):
    """Something moved into the position `key`: an asset, "cash:USD" or "due:USD"; `value` and the rest in base."""

    time: datetime
    key: str
    units: Fraction = NIL
    value: Fraction = NIL
    income: Fraction = NIL
    costs: Fraction = NIL
    outside: Fraction = NIL
    grows: Fraction = Fraction(1)


@dataclass
class Pool:
    """Average cost: units, what one of them cost, and what was realized; in the asset's currency and in base."""

    units: Fraction = NIL
    each: tuple[Fraction, Fraction] = (NIL, NIL)
    realized: tuple[Fraction, Fraction] = (NIL, NIL)

    def trade(self, units: Fraction, paid: tuple[Fraction, Fraction]) -> None:
        unit = (paid[0] / units, paid[1] / units)
        if self.units * units < 0:
            closed = -units if abs(units) <= abs(self.units) else self.units
            self.realized = tuple(  # type: ignore[assignment]
                before + closed * (now - then)
                for before, now, then in zip(self.realized, unit, self.each, strict=True)
            )
            self.units -= closed
            units += closed
        if units:
            whole = self.units + units
            self.each = tuple(  # type: ignore[assignment]
                (self.units * then + units * now) / whole for then, now in zip(self.each, unit, strict=True)
            )
            self.units = whole

    def leave(self, units: Fraction) -> None:
        self.units -= units

    def grow(self, ratio: Fraction) -> None:
        self.units *= ratio
        self.each = (self.each[0] / ratio, self.each[1] / ratio)

    def repay(self, amount: tuple[Fraction, Fraction]) -> None:
        """Lowers the cost, to nothing at the most; the rest is realized."""
        left = [self.units * each - part for each, part in zip(self.each, amount, strict=True)]
        if not self.units or left[0] * self.units < 0:
            self.realized = (self.realized[0] - left[0], self.realized[1] - left[1])
            left = [NIL, NIL]
        if self.units:
            self.each = (left[0] / self.units, left[1] / self.units)


@dataclass
class Log:
    """All events of a ledger, and the pools after the last one."""

    base: str
    until: datetime
    events: list[Event] = field(default_factory=list)
    pools: dict[str, Pool] = field(default_factory=dict)

    def held(self, key: str, moment: datetime) -> Fraction:
        units = NIL
        for event in self.events:
            if event.key == key and event.time <= moment:
                units = (units + event.units) * event.grows
        return units

    def since(self, key: str, moment: datetime) -> Iterator[Event]:
        return (event for event in self.events if event.key == key and event.time > moment)


def read(rows: Iterable[Row], base: str, until: datetime) -> Log:
    log = Log(base, until)
    for row in sorted(rows, key=lambda row: (row.time, row.order)):
        if row.time <= until:
            for event in events_of(log, row):
                if event.time <= until:
                    log.events.append(event)
    log.events.sort(key=lambda event: event.time)
    return log


def exact(number: Decimal | None) -> Fraction:
    return Fraction(number or 0)


def events_of(log: Log, row: Row) -> Iterator[Event]:
    rate, fee_rate = exact(row.rate), exact(row.rate if row.fee_rate is None else row.fee_rate)
    amount, quantity, fee, tax = exact(row.amount), exact(row.quantity), exact(row.fee), exact(row.tax)
    fee_base, tax_base = fee * fee_rate, tax * rate
    costs = fee_base + tax_base
    symbol = row.symbol or ""
    pool = log.pools.setdefault(symbol, Pool())
    side = 1 if pool.units >= 0 else -1
    money = quantity * exact(row.price) * exact(row.multiplier)
    match row.kind:
        case "buy" | "sell" | "cash_in_lieu" | "expire":
            sign = {"buy": 1, "sell": -1}.get(row.kind, -side)
            money = amount if row.kind == "cash_in_lieu" and not row.price else money
            units, value = sign * quantity, sign * money
            own_fee = fee if row.fee_currency in (None, row.currency) else fee_base / rate
            pool.trade(units, (value + own_fee, value * rate + fee_base))
            yield Event(row.time, symbol, units, value * rate, costs=costs)
            yield from paid(row, -value, NIL)
        case "deposit" | "withdrawal":
            came = amount if row.kind == "deposit" else -amount
            yield from paid(row, came, NIL, outside=came * rate, costs=costs)
        case "convert":
            to, gets = f"cash:{row.to_currency}", exact(row.to_amount)
            value = gets if row.to_currency == log.base else amount * rate
            yield from paid(row, -amount, value - amount * rate, costs=costs, sign=-1)
            yield Event(row.time, to, gets, value)
        case "transfer_in":
            cost = exact(row.cost) or money
            own = exact(row.base_cost) if row.base_cost is not None else cost * rate
            pool.trade(quantity, (cost, own))
            yield Event(row.time, symbol, quantity, money * rate, costs=costs, outside=money * rate)
            yield from paid(row, NIL, NIL)
        case "transfer_out":
            pool.leave(quantity)
            yield Event(row.time, symbol, -quantity, -money * rate, costs=costs, outside=-money * rate)
            yield from paid(row, NIL, NIL)
        case "dividend" | "interest" if symbol:
            yield Event(row.time, symbol, income=amount * rate, costs=costs)
            yield from paid(row, amount, NIL, later=True)
        case "interest":
            yield from paid(row, amount, NIL, income=amount * rate, costs=costs)
        case "fee" | "tax" if symbol:
            yield Event(row.time, symbol, costs=amount * rate)
            yield from paid(row, -amount, NIL)
        case "fee" | "tax":
            yield from paid(row, -amount, NIL, costs=amount * rate)
        case "split" | "bonus":
            more = row.denominator if row.kind == "bonus" else 0
            ratio = Fraction(row.numerator + more, row.denominator)
            pool.grow(ratio)
            yield Event(row.time, symbol, costs=costs, grows=ratio)
            yield from paid(row, NIL, NIL)
        case "return_of_capital":
            came = side * amount
            pool.repay((came, came * rate))
            yield Event(row.time, symbol, value=-came * rate, costs=costs)
            yield from paid(row, came, NIL)


def paid(
    row: Row,
    money: Fraction,
    extra: Fraction,
    *,
    later: bool = False,
    income: Fraction = NIL,
    costs: Fraction = NIL,
    outside: Fraction = NIL,
    sign: int = 1,
) -> Iterator[Event]:
    """What comes into cash: `money` less tax and fee, each in the currency that it is paid in."""
    rate, fee_rate = exact(row.rate), exact(row.rate if row.fee_rate is None else row.fee_rate)
    fee, tax = exact(row.fee), exact(row.tax)
    into, factor = row.settlement_currency or row.currency, Fraction(1)
    if into != row.currency:
        factor = exact(row.settlement_rate)
    parts = {into: [(money - tax) * factor, (money - tax) * rate + sign * extra]}
    if fee:
        currency = row.fee_currency or into
        part = parts.setdefault(currency, [NIL, NIL])
        part[0] -= fee * (1 if row.fee_currency else factor)
        part[1] -= fee * fee_rate
    for currency, (units, value) in parts.items():
        of_fee = fee * fee_rate if currency == (row.fee_currency or into) else NIL
        own = (costs - fee * fee_rate if currency == into else NIL) + of_fee if costs else NIL
        if later and row.pay_time is not None and row.pay_time > row.time and currency == into:
            yield Event(row.time, f"due:{currency}", units, value)
            yield Event(row.pay_time, f"due:{currency}", -units, -value)
            yield Event(row.pay_time, f"cash:{currency}", units, value)
        else:
            yield Event(row.time, f"cash:{currency}", units, value, income, own, outside)
        income = outside = NIL


# --- the day -------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where a position's window begins, and what one unit of it was worth in base then, and is now."""

    start: datetime
    then: Fraction
    now: Fraction


class Day(NamedTuple):
    total: Fraction
    changes: Mapping[str, Fraction]
    values: Mapping[str, Fraction]
    change: Fraction
    outside: Fraction
    percent: Fraction | None


def day(log: Log, places: Mapping[str, Place]) -> Day:
    """The change of each position that is held or was touched, and of all."""
    changes: dict[str, Fraction] = {}
    values: dict[str, Fraction] = {}
    outside = NIL
    for key, place in places.items():
        since = list(log.since(key, place.start))
        now, then = log.held(key, log.until), log.held(key, place.start)
        if not now and not since:
            continue
        values[key] = now * place.now
        flows = sum((event.value for event in since), NIL)
        earned = sum((event.income - event.costs for event in since), NIL)
        changes[key] = values[key] - then * place.then - flows + earned
        outside += sum((event.outside for event in since), NIL)
    total, change = sum(values.values(), NIL), sum(changes.values(), NIL)
    whole = total - change + max(NIL, -outside)
    return Day(total, changes, values, change, outside, 100 * change / whole if whole > 0 else None)
