"""Income and realized gains by year, as a tax return asks for them.

Years are those of the portfolio's time zone. Income counts at its ex-date, as in every other figure, or at its payment,
as many tax offices have it; each row at the rate frozen on it. Nothing here is rounded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal, localcontext
from typing import Literal

from portfolio.arithmetic import EXACT, ZERO
from portfolio.books import Books
from portfolio.lots import ClosedLot
from portfolio.rows import Kind, Row, in_order, without_reversed

By = Literal["ex", "payment"]
IncomeKind = Literal["dividend", "interest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Income:
    """A year's dividends or interest of one asset, or of cash (no symbol), in one currency.

    `withheld` is the tax on these rows, and tax rows of the asset. Net is gross less what was withheld and fees, which
    stand in base only, because they may be in any currency.
    """

    year: int
    kind: IncomeKind
    symbol: str | None
    currency: str
    payments: int
    gross: Decimal
    withheld: Decimal
    gross_base: Decimal
    withheld_base: Decimal
    fees_base: Decimal

    @property
    def net(self) -> Decimal:
        """Before fees."""
        return EXACT.subtract(self.gross, self.withheld)

    @property
    def net_base(self) -> Decimal:
        return EXACT.subtract(EXACT.subtract(self.gross_base, self.withheld_base), self.fees_base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """A closed part of a lot; money in the asset's currency and in base, with the fees of both trades in it."""

    year: int
    symbol: str
    currency: str
    kind: Kind
    row_id: int | None
    opened_by: int | None
    opened: date
    closed: date
    quantity: Decimal
    cost: Decimal
    proceeds: Decimal
    cost_base: Decimal
    proceeds_base: Decimal

    @property
    def gain(self) -> Decimal:
        return EXACT.subtract(self.proceeds, self.cost)

    @property
    def gain_base(self) -> Decimal:
        return EXACT.subtract(self.proceeds_base, self.cost_base)

    @property
    def holding_days(self) -> int:
        return (self.closed - self.opened).days


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """All of a year in base; `gains` and `losses` are those of closed parts, losses below zero."""

    year: int
    gross: Decimal = ZERO
    withheld: Decimal = ZERO
    fees: Decimal = ZERO
    proceeds: Decimal = ZERO
    cost: Decimal = ZERO
    gains: Decimal = ZERO
    losses: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        return EXACT.subtract(EXACT.subtract(self.gross, self.withheld), self.fees)

    @property
    def realized(self) -> Decimal:
        return EXACT.add(self.gains, self.losses)


def income(
    rows: Iterable[Row], *, base: str, zone: tzinfo, by: By = "ex", until: datetime | None = None
) -> list[Income]:
    """Returns the income of each year, asset and currency: by year, assets by name, cash last.

    Args:
        base: the portfolio's currency, of which the rows' rates speak.
        until: what is later is left out; with `by` payment, what is paid later.
    """
    books = Books(base=base)
    sums: dict[tuple[int, IncomeKind, str | None, str], list[Decimal]] = {}
    with localcontext(EXACT):
        for row in in_order(without_reversed(rows)):
            moment = row.pay_time if by == "payment" and row.pay_time is not None else row.time
            kind = _income_kind(row)
            if kind is None or (until is not None and moment > until):
                continue
            key = (moment.astimezone(zone).year, kind, row.symbol, row.currency)
            found = sums.setdefault(key, [ZERO] * 6)
            for place, number in enumerate(_numbers(books, row)):
                found[place] += number
    return [
        Income(
            year=year,
            kind=kind,
            symbol=symbol,
            currency=currency,
            payments=int(payments),
            gross=gross,
            withheld=withheld,
            gross_base=gross_base,
            withheld_base=withheld_base,
            fees_base=fees_base,
        )
        for (year, kind, symbol, currency), (
            payments,
            gross,
            withheld,
            gross_base,
            withheld_base,
            fees_base,
        ) in sorted(sums.items(), key=_place)
    ]


def _place(item: tuple[tuple[int, IncomeKind, str | None, str], object]) -> tuple[int, bool, str, str, str]:
    year, kind, symbol, currency = item[0]
    return year, symbol is None, symbol or "", currency, kind


def _income_kind(row: Row) -> IncomeKind | None:
    """What a row's money counts as; a tax row of an asset is what was withheld on its dividends."""
    if row.kind in ("dividend", "interest"):
        return "dividend" if row.kind == "dividend" else "interest"
    return "dividend" if row.kind == "tax" and row.symbol is not None else None


def _numbers(books: Books, row: Row) -> tuple[Decimal, ...]:
    """Payments, gross, withheld, and in base gross, withheld, fees."""
    value = books.worth(row, row.amount)
    if row.kind == "tax":
        return ZERO, ZERO, row.amount, ZERO, value, ZERO
    return Decimal(1), row.amount, row.tax, value, row.tax_base, row.fee_base


def gains(books: Books, *, zone: tzinfo) -> list[Gain]:
    """Returns every closed part in order of its closing."""
    found = [
        _gain(account.symbol, account.currency, part, zone)
        for account in books.accounts.values()
        for part in account.closed
    ]
    return sorted(found, key=lambda gain: (gain.closed, gain.symbol, gain.row_id or 0, gain.opened))


def _gain(symbol: str, currency: str, part: ClosedLot, zone: tzinfo) -> Gain:
    closed = part.closed.astimezone(zone).date()
    return Gain(
        year=closed.year,
        symbol=symbol,
        currency=currency,
        kind=part.kind,
        row_id=part.row_id,
        opened_by=part.opened_by,
        opened=part.opened.astimezone(zone).date(),
        closed=closed,
        quantity=part.quantity,
        cost=part.cost,
        proceeds=part.proceeds,
        cost_base=part.cost_base,
        proceeds_base=part.proceeds_base,
    )


def years(incomes: Sequence[Income], gains: Sequence[Gain]) -> list[Year]:
    """Returns the sums of each year that has any, the latest first."""
    sums: dict[int, dict[str, Decimal]] = {}

    def add(year: int, **numbers: Decimal) -> None:
        found = sums.setdefault(year, {})
        for name, number in numbers.items():
            found[name] = found.get(name, ZERO) + number

    with localcontext(EXACT):
        for each in incomes:
            add(each.year, gross=each.gross_base, withheld=each.withheld_base, fees=each.fees_base)
        for part in gains:
            add(part.year, proceeds=part.proceeds_base, cost=part.cost_base)
            add(part.year, **{"gains" if part.gain_base >= 0 else "losses": part.gain_base})
    return [Year(year=year, **sums[year]) for year in sorted(sums, reverse=True)]
