"""What companies and the terms of options do to lots: splits, spin-offs, mergers, expiry, exercise.

They move units and cost and leave no gain behind, except where cash replaces units. What moves between two
assets keeps its opening date and row. An action's amounts are positive: a short pays what a long is paid.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from portfolio.arithmetic import ONE, ZERO, div, total
from portfolio.books import Books, entry_of
from portfolio.lots import Account, Lot
from portfolio.rows import Oversold, Row


def book_split(books: Books, row: Row) -> None:
    """Multiplies the lots; a fraction that the row does not keep is sold by a row of its own (cash in lieu)."""
    assert row.symbol is not None
    account = books.account(row.symbol, row.currency, row.multiplier)
    ratio = (row.numerator + (row.denominator if row.kind == "bonus" else 0), row.denominator)
    before = account.lots
    lost, lost_base = _multiply(account, *ratio)
    if lost or lost_base:
        account.close(row, before[-1], ZERO, (lost, lost_base), (ZERO, ZERO))
    books.pay_expense(account, row)
    account.entries.append(
        entry_of(row, split=ratio, fee=row.fee_base, realized=-lost, realized_base=-lost_base)
    )


def _multiply(account: Account, new: int, old: int) -> tuple[Decimal, Decimal]:
    """Returns the cost of what became less than the smallest quantity, if nothing else is left to bear it."""
    lots: list[Lot] = []
    cost = cost_base = ZERO
    for lot, quantity in scaled(account.lots, new, old):
        cost, cost_base = cost + lot.cost, cost_base + lot.cost_base
        if quantity:
            lots.append(replace(lot, quantity=quantity, cost=cost, cost_base=cost_base))
            cost = cost_base = ZERO
    if lots and (cost or cost_base):
        last = lots.pop()
        lots.append(replace(last, cost=last.cost + cost, cost_base=last.cost_base + cost_base))
        cost = cost_base = ZERO
    account.replace_lots(lots)
    return cost, cost_base


def scaled(lots: Iterable[Lot], new: int, old: int) -> Iterator[tuple[Lot, Decimal]]:
    """Each lot with what n:d makes of its quantity.

    The running total is divided, not each lot: three lots of 1 are one unit after 1:3, and not 0.999999999999999999.
    """
    before = after = ZERO
    for lot in lots:
        before += lot.quantity
        total = div(before * new, Decimal(old))
        yield lot, total - after
        after = total


def book_cash_in_lieu(books: Books, row: Row) -> None:
    """Sells a fraction, or buys back that of a short, at the price or for the amount that the row gives."""
    account = books.traded(row)
    quantity = -_held(account, row)
    if row.price:
        trade = books.at_price(row, quantity, row.price * row.multiplier)
    else:
        value = row.amount.copy_sign(quantity)
        trade = replace(
            books.at_price(row, quantity, ZERO),
            value=value,
            value_base=books.worth(row, value),
            unit=None,
            unit_base=None,
        )
    books.trade(account, trade)


def book_expiry(books: Books, row: Row) -> None:
    """Closes at a price of 0: what was paid is lost, what was received is earned."""
    account = books.traded(row)
    books.trade(account, books.at_price(row, -_held(account, row), ZERO))


def _held(account: Account, row: Row) -> Decimal:
    """The row's quantity with the sign of the position, which must be as large."""
    if row.quantity > abs(account.quantity):
        raise Oversold(
            f"expected at most {abs(account.quantity):f} {row.symbol} held then; {row}", row, "quantity"
        )
    return row.quantity.copy_sign(account.quantity)


def book_return_of_capital(books: Books, row: Row) -> None:
    """Lowers each lot's cost by its share, to 0 at the most; what is more than the cost is a gain."""
    account = books.traded(row)
    amount = row.amount.copy_sign(account.quantity or ONE)
    value = books.worth(row, amount)
    left, left_base, whole = amount, value, account.quantity
    realized = realized_base = ZERO
    lots: list[Lot] = []
    before = account.lots
    for lot in before:
        is_last = len(lots) == len(before) - 1
        share = left if is_last else div(amount * lot.quantity, whole)
        share_base = left_base if is_last else div(value * lot.quantity, whole)
        left, left_base = left - share, left_base - share_base
        cost, cost_base = lot.cost - share, lot.cost_base - share_base
        if cost and (cost > 0) != (lot.quantity > 0):
            gain = account.close(row, lot, ZERO, (ZERO, ZERO), (cost, cost_base))
            realized, realized_base = realized + gain[0], realized_base + gain[1]
            cost = cost_base = ZERO
        lots.append(replace(lot, cost=cost, cost_base=cost_base))
    account.replace_lots(lots)
    if left or left_base:
        nothing = Lot(row.time, ZERO, ZERO, ZERO)
        gain = account.close(row, nothing, ZERO, (ZERO, ZERO), (-left, -left_base))
        realized, realized_base = realized + gain[0], realized_base + gain[1]
    account.charge(row)
    books.pay(row, amount, value)
    account.entries.append(
        entry_of(
            row,
            value=-value,
            fee=row.fee_base + row.tax_base,
            realized=realized,
            realized_base=realized_base,
        )
    )


# --- from one asset to another ------------------------------------------------------------------------------


def book_spinoff(books: Books, row: Row) -> None:
    """Gives units of the child for those held, and moves `cost_share` of each lot's cost along."""
    account = _holding(books, row)
    kept: list[Lot] = []
    moved: list[Lot] = []
    for lot, quantity in scaled(account.lots, row.numerator, row.denominator):
        part = _moved(row, lot, quantity, row.cost_share)
        kept.append(replace(lot, cost=lot.cost - part.cost, cost_base=lot.cost_base - part.cost_base))
        moved.append(part)
    account.replace_lots(kept)
    value = _receive(books, row, moved)
    books.pay_expense(account, row)
    account.entries.append(entry_of(row, value=-value, fee=row.fee_base))


def book_symbol_change(books: Books, row: Row) -> None:
    """Moves all lots to the new symbol, one for one unless the row says otherwise."""
    account = _holding(books, row)
    quantity = account.quantity
    ratio = (row.numerator, row.denominator) if row.numerator else (1, 1)
    moved = [_moved(row, lot, units, ONE) for lot, units in scaled(account.lots, *ratio)]
    lost, lost_base = _leave(account, row, moved, ZERO, ZERO)
    value = _receive(books, row, moved)
    books.pay_expense(account, row)
    account.entries.append(
        entry_of(
            row, quantity=-quantity, value=-value, fee=row.fee_base, realized=lost, realized_base=lost_base
        )
    )


def book_merger(books: Books, row: Row) -> None:
    """Exchanges all units for those of another asset, for cash or both; cash is set against the rest of the cost."""
    account = _holding(books, row)
    quantity = account.quantity
    amount = row.amount.copy_sign(quantity)
    cash = books.worth(row, amount)
    moved = (
        [
            _moved(row, lot, units, row.cost_share)
            for lot, units in scaled(account.lots, row.numerator, row.denominator)
        ]
        if row.numerator
        else []
    )
    realized = _leave(account, row, moved, amount - row.fee_native, cash - row.fee_base)
    value = _receive(books, row, moved)
    account.charge(row, is_in_cost=True)
    books.pay(row, amount, cash)
    account.entries.append(
        entry_of(
            row,
            quantity=-quantity,
            value=-value - cash,
            fee=row.fee_base + row.tax_base,
            realized=realized[0],
            realized_base=realized[1],
        )
    )


def _holding(books: Books, row: Row) -> Account:
    account = books.traded(row)
    if not account.quantity:
        raise Oversold(f"expected {row.symbol} to be held then; {row}", row, "symbol")
    return account


def _moved(row: Row, lot: Lot, quantity: Decimal, share: Decimal) -> Lot:
    """The units of the other asset that come of a lot, with their part of its cost, still in the lot's currency."""
    if not quantity:
        return replace(lot, quantity=ZERO, cost=ZERO, cost_base=ZERO)
    if share == 1:
        return replace(lot, quantity=quantity)
    return replace(
        lot, quantity=quantity, cost=div(lot.cost * share, ONE), cost_base=div(lot.cost_base * share, ONE)
    )


def _leave(
    account: Account, row: Row, moved: list[Lot], paid: Decimal, paid_base: Decimal
) -> tuple[Decimal, Decimal]:
    """Empties the account and realizes what was paid against the cost that moved nowhere, lot by lot."""
    before, whole = account.lots, account.quantity
    account.replace_lots([])
    realized = realized_base = ZERO
    left, left_base = paid, paid_base
    for place, lot in enumerate(before):
        is_last = place == len(before) - 1
        share = left if is_last else div(paid * lot.quantity, whole)
        share_base = left_base if is_last else div(paid_base * lot.quantity, whole)
        left, left_base = left - share, left_base - share_base
        cost, cost_base, quantity = lot.cost, lot.cost_base, lot.quantity
        if moved:
            # The units live on in the other asset.
            cost, cost_base, quantity = cost - moved[place].cost, cost_base - moved[place].cost_base, ZERO
        if any((cost, cost_base, share, share_base, quantity)):
            gain = account.close(row, lot, quantity, (cost, cost_base), (-share, -share_base))
            realized, realized_base = realized + gain[0], realized_base + gain[1]
    return realized, realized_base


def _receive(books: Books, row: Row, lots: list[Lot]) -> Decimal:
    """Hands lots over to the other asset and returns what they are worth in base: at the row's price, or their cost."""
    lots = [lot for lot in lots if lot.quantity]
    if row.other_symbol is None:
        return ZERO
    currency = row.other_currency or row.currency
    other = books.of_units(row, row.other_symbol, currency, row.other_multiplier, "other_")
    rate = row.settlement_rate if currency != row.currency else None
    realized = realized_base = ZERO
    for lot in lots:
        part = other.receive(row, lot if rate is None else replace(lot, cost=div(lot.cost * rate, ONE)))
        realized, realized_base = realized + part[0], realized_base + part[1]
    quantity = total(lot.quantity for lot in lots)
    value = _worth_moved(books, row, quantity, lots, rate)
    other.entries.append(
        entry_of(row, quantity=quantity, value=value, realized=realized, realized_base=realized_base)
    )
    return value


def _worth_moved(books: Books, row: Row, quantity: Decimal, lots: list[Lot], rate: Decimal | None) -> Decimal:
    if row.kind != "merger" and row.base_value:
        return row.base_value.copy_sign(quantity)
    if not row.price:
        return total(lot.cost_base for lot in lots)
    value = quantity * row.price * row.other_multiplier
    if rate is None:
        return value * row.rate
    return value if row.other_currency == books.base else div(value * row.rate, rate)


# --- options ------------------------------------------------------------------------------------------------


def book_exercise(books: Books, row: Row) -> None:
    """Closes contracts without proceeds and trades the underlying at the strike; the premium joins its price."""
    option = books.traded(row)
    is_exercise = row.kind == "exercise"
    held = option.quantity if is_exercise else -option.quantity
    if row.quantity > held:
        raise Oversold(
            f"expected at most {max(held, ZERO):f} {row.symbol} {'held' if is_exercise else 'sold short'} then; {row}",
            row,
            "quantity",
        )
    contracts = row.quantity if is_exercise else -row.quantity
    shares = row.quantity * (row.numerator or row.multiplier)
    quantity = shares if is_exercise == (row.option_right == "call") else -shares
    assert row.other_symbol is not None
    underlying = books.of_units(row, row.other_symbol, row.currency, row.other_multiplier, "other_")
    if quantity < 0 and not books.short_sales and shares > underlying.quantity:
        raise Oversold(
            f"expected a sale of at most {underlying.quantity:f} {row.other_symbol} held then; {row}",
            row,
            "quantity",
        )
    taken = option.remove(row, contracts)
    option.entries.append(entry_of(row, quantity=-contracts))
    trade = books.at_price(row, quantity, row.price * row.other_multiplier)
    trade = replace(
        trade,
        charge=trade.charge + total(lot.cost for lot in taken),
        charge_base=trade.charge_base + total(lot.cost_base for lot in taken),
        charge_rate=None,
    )
    books.trade(underlying, trade)
