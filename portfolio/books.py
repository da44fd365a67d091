"""The state of a ledger after its last row: accounts, cash by currency, receivables, and sums since the first row.

Both legs of a row carry the same value in base, so that the books balance without a division:
paid for cash + receivables + cost of lots = flows + realized + income - expenses - taxes, to the last digit.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from heapq import heappop, heappush
from typing import Any, NamedTuple

from portfolio.arithmetic import ONE, ZERO, total
from portfolio.lots import Account, Entry, LotMethod, Trade
from portfolio.rows import LedgerError, Row


@dataclass(slots=True)
class CashAccount:
    """The cash of one currency; `paid_base` is what all its movements were worth in base at their own rates."""

    currency: str
    balance: Decimal = ZERO
    paid_base: Decimal = ZERO
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Receivable:
    """A dividend between its ex-date and its payment; `amount` is net, `value` the same in base at the ex-date."""

    row_id: int | None
    symbol: str
    currency: str
    amount: Decimal
    value: Decimal
    ex: datetime
    pay_time: datetime


class Leg(NamedTuple):
    """A movement of cash, its value in base, and what part of that value is fees and taxes."""

    currency: str
    amount: Decimal
    value: Decimal
    charge: Decimal = ZERO


@dataclass(slots=True)
class Books:
    base: str = "USD"
    method: LotMethod = "fifo"
    short_sales: bool = False
    accounts: dict[str, Account] = field(default_factory=dict)
    cash: dict[str, CashAccount] = field(default_factory=dict)
    # Those that have moved to cash.
    collected: list[Receivable] = field(default_factory=list)
    # From outside; a transfer counts here with the cost that it brought or took along.
    flows_base: Decimal = ZERO
    # Of cash rows, which belong to no asset.
    unlinked_fees_base: Decimal = ZERO
    unlinked_taxes_base: Decimal = ZERO
    interest_base: Decimal = ZERO
    # The highest id of all rows, also of reversed ones: it names the state of the ledger.
    last_row: int | None = None
    _due: list[tuple[datetime, int, Receivable]] = field(default_factory=list)

    @property
    def receivables(self) -> list[Receivable]:
        """What is not yet paid, in the order of payment."""
        return [receivable for _, _, receivable in sorted(self._due, key=lambda due: due[:2])]

    @property
    def realized_base(self) -> Decimal:
        return total(account.realized_base for account in self.accounts.values())

    @property
    def cost_base(self) -> Decimal:
        return total(account.cost_base for account in self.accounts.values())

    @property
    def income_base(self) -> Decimal:
        return total((account.income_base for account in self.accounts.values()), self.interest_base)

    @property
    def expenses_base(self) -> Decimal:
        """Fees that are in no cost and no proceeds."""
        return total((account.expenses_base for account in self.accounts.values()), self.unlinked_fees_base)

    @property
    def taxes_base(self) -> Decimal:
        return total((account.taxes_base for account in self.accounts.values()), self.unlinked_taxes_base)

    def account(self, symbol: str, currency: str, multiplier: Decimal) -> Account:
        account = self.accounts.get(symbol)
        if account is None:
            account = self.accounts[symbol] = Account(symbol, currency, multiplier, self.method)
        return account

    def traded(self, row: Row) -> Account:
        """The account of a row that moves units, which has to speak of the same units and money."""
        assert row.symbol is not None
        return self.of_units(row, row.symbol, row.currency, row.multiplier, "")

    def of_units(self, row: Row, symbol: str, currency: str, multiplier: Decimal, prefix: str) -> Account:
        account = self.account(symbol, currency, multiplier)
        if (account.currency, account.multiplier) != (currency, multiplier):
            if any(entry.quantity for entry in account.entries):
                if account.currency != currency:
                    raise LedgerError(
                        f"expected {account.currency}, was {currency}", row, prefix + "currency"
                    )
                raise LedgerError(
                    f"expected {account.multiplier:f}, was {multiplier:f}", row, prefix + "multiplier"
                )
            # Until now there was only income, perhaps in another currency than the asset's.
            if account.currency != currency:
                account.income = ZERO
            account.currency, account.multiplier = currency, multiplier
        return account

    def worth(self, row: Row, native: Decimal) -> Decimal:
        """A row's amount of its currency in base: as frozen at booking, or at its rate."""
        if row.base_value is None or (row.currency == self.base and not row.is_settled_elsewhere):
            return native * row.rate
        return row.base_value if native >= 0 else -row.base_value

    def pay(
        self,
        row: Row,
        native: Decimal,
        base: Decimal,
        *,
        flow: Decimal = ZERO,
        income: Decimal = ZERO,
        charge: Decimal = ZERO,
        linked: bool = True,
    ) -> None:
        """Moves cash: `native` of the row's currency comes in, less tax and fee, in the currency of settlement.

        Fees of a row that is linked to an asset are told there, those of others with the cash that pays them;
        `charge` is what the amount itself has of them.
        """
        for leg in legs(row, native, base):
            fee = ZERO if linked else leg.charge + charge
            self.enter_cash(leg, row, flow=flow, income=income, fee=fee)
            flow = income = charge = ZERO

    def pay_expense(self, account: Account, row: Row) -> None:
        """Pays the fee of a row that moves no other cash, and is part of no cost."""
        account.charge(row)
        for leg in legs(row, ZERO, ZERO):
            self.enter_cash(leg, row)

    def trade(self, account: Account, trade: Trade) -> None:
        """Moves units against cash."""
        row = trade.row
        realized, realized_base = account.move(trade)
        account.charge(row, is_in_cost=True)
        self.pay(row, -trade.value, -trade.value_base)
        account.entries.append(
            entry_of(
                row,
                quantity=trade.quantity,
                value=trade.value_base,
                fee=row.fee_base + row.tax_base,
                realized=realized,
                realized_base=realized_base,
            )
        )

    def at_price(self, row: Row, quantity: Decimal, unit: Decimal) -> Trade:
        """A trade at a price, `unit` in money; its fee is shared by quantity."""
        value = quantity * unit
        value_base = self.worth(row, value)
        is_own_fee = row.fee_currency in (None, row.currency) and row.fee_rate is None
        return Trade(
            row=row,
            quantity=quantity,
            value=value,
            value_base=value_base,
            unit=unit,
            unit_base=unit * row.rate if value_base == value * row.rate else None,
            charge=row.fee_native,
            charge_base=row.fee_base,
            charge_rate=row.rate if is_own_fee else None,
        )

    def owe(self, row: Row, native: Decimal, base: Decimal) -> None:
        """As `pay`, but what is not a fee in a currency of its own comes at the row's time of payment."""
        assert row.symbol is not None and row.pay_time is not None
        leg, *others = legs(row, native, base)
        receivable = Receivable(
            row.id, row.symbol, leg.currency, leg.amount, leg.value, row.time, row.pay_time
        )
        heappush(self._due, (row.pay_time, len(self._due) + len(self.collected), receivable))
        for other in others:
            self.enter_cash(other, row)

    def collect(self, until: datetime | None) -> None:
        """Moves to cash what is paid by then; the value in base stays that of the ex-date."""
        while self._due and (until is None or self._due[0][0] <= until):
            paid = heappop(self._due)[2]
            self.collected.append(paid)
            self._move(
                paid.currency,
                Entry(
                    time=paid.pay_time,
                    row_id=paid.row_id,
                    kind="dividend",
                    quantity=paid.amount,
                    value=paid.value,
                ),
            )

    def enter_cash(self, leg: Leg, row: Row, **values: Any) -> None:
        self._move(leg.currency, entry_of(row, quantity=leg.amount, value=leg.value, **values))

    def _move(self, currency: str, entry: Entry) -> None:
        if not entry.quantity and not entry.value and not entry.flow:
            return
        account = self.cash.get(currency)
        if account is None:
            account = self.cash[currency] = CashAccount(currency)
        account.balance += entry.quantity
        account.paid_base += entry.value
        account.entries.append(entry)


def legs(row: Row, native: Decimal, base: Decimal) -> list[Leg]:
    """What comes into cash when `native`, worth `base`, is paid: the main leg, then a fee in its own currency."""
    factor = row.settlement_rate if row.is_settled_elsewhere and row.settlement_rate is not None else ONE
    main = row.settlement_currency or row.currency
    amount, value, tax, fee = native - row.tax, base - row.tax_base, row.tax_base, row.fee_base
    if not row.fee:
        return [Leg(main, amount * factor, value, tax)]
    if row.fee_currency is None:
        return [Leg(main, (amount - row.fee) * factor, value - fee, tax + fee)]
    if row.fee_currency == main:
        return [Leg(main, amount * factor - row.fee, value - fee, tax + fee)]
    return [Leg(main, amount * factor, value, tax), Leg(row.fee_currency, -row.fee, -fee, fee)]


def entry_of(row: Row, **values: Any) -> Entry:
    return Entry(time=row.time, row_id=row.id, kind=row.kind, **values)
