"""One asset's lots: what opens them, which of them a closing takes first, and what that realizes.

A short's lot has a negative quantity and a negative cost, minus the net proceeds. Closing k of q takes
div(C·k, q) of its cost, all of it if k = q. Average cost is one lot, the pool. Nothing here knows cash.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from heapq import heappop, heappush
from typing import Any, Literal, NamedTuple, get_args

from portfolio.arithmetic import EXACT, ONE, ZERO, div, total
from portfolio.rows import Kind, LedgerError, Row

LotMethod = Literal["fifo", "lifo", "highest", "average"]
LOT_METHODS: tuple[LotMethod, ...] = get_args(LotMethod)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lot:
    """Units bought (or sold short) at once, by the row `row_id`."""

    opened: datetime
    quantity: Decimal
    cost: Decimal
    cost_base: Decimal
    row_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one row did to an asset or to the cash of one currency; money in base unless it says otherwise.

    An asset's `quantity` is signed, in units of that time, and `value` what was paid for it, fee apart. For cash,
    `quantity` is everything that moved, fees included, and `value` the same in base.
    """

    time: datetime
    row_id: int | None
    kind: Kind
    quantity: Decimal = ZERO
    value: Decimal = ZERO
    # Fees, taxes and withholding that belong to this asset, or to this cash.
    fee: Decimal = ZERO
    income: Decimal = ZERO
    # From outside the portfolio; a transfer's at its market value.
    flow: Decimal = ZERO
    split: tuple[int, int] | None = None
    # In the asset's currency, and in base.
    realized: Decimal = ZERO
    realized_base: Decimal = ZERO


class ClosedLot(NamedTuple):
    """A part of a lot that a row has closed, in the units of that time; all of them make up what was realized.

    A short's quantity is negative, its proceeds what it was sold for and its cost what it took to cover. Where a
    company pays for a part of the cost and no unit goes, the quantity is 0.
    """

    row_id: int | None
    kind: Kind
    opened: datetime
    closed: datetime
    opened_by: int | None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """Units that come (or go, negative) and what was paid for them; closes lots first, opens one with the rest.

    `value` is what the units cost and `charge` what is shared by quantity on top. Where `unit`, `unit_base` or
    `charge_rate` is known, a part is an exact product of it; else it is a share of the whole.
    """

    row: Row
    quantity: Decimal
    value: Decimal
    value_base: Decimal
    unit: Decimal | None = None
    unit_base: Decimal | None = None
    charge: Decimal = ZERO
    charge_base: Decimal = ZERO
    charge_rate: Decimal | None = None
    opened: datetime | None = None
    row_id: int | None = None

    def paid_for(self, part: Decimal) -> tuple[Decimal, Decimal]:
        """The cash paid for a part of the units, in the asset's currency and in base."""
        unit, unit_base, rate = self.unit, self.unit_base, self.charge_rate
        value = div(self.value * part, self.quantity) if unit is None else part * unit
        value_base = div(self.value_base * part, self.quantity) if unit_base is None else part * unit_base
        if not self.charge and not self.charge_base:
            return value, value_base
        charge = div(self.charge * part, self.quantity)
        charge_base = div(self.charge_base * part, self.quantity) if rate is None else charge * rate
        return value + charge, value_base + charge_base


@dataclass(slots=True)
class Account:
    """One asset: its open lots and what it has brought since the first row."""

    symbol: str
    currency: str
    multiplier: Decimal = ONE
    method: LotMethod = "fifo"
    # Always the sums over the lots; kept, because a sale must not add up a thousand of them.
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    cost_base: Decimal = ZERO
    # Fees of trades are part of cost and proceeds, hence in here.
    realized: Decimal = ZERO
    realized_base: Decimal = ZERO
    # Before withholding; `income` counts only what was paid in the asset's own currency.
    income: Decimal = ZERO
    income_base: Decimal = ZERO
    # All fees for information; those of them that are in no cost and no proceeds count as expenses.
    fees_base: Decimal = ZERO
    expenses_base: Decimal = ZERO
    taxes_base: Decimal = ZERO
    entries: list[Entry] = field(default_factory=list)
    closed: list[ClosedLot] = field(default_factory=list)
    # Open lots by their number; the heap of what to close next keeps closed numbers until they come up.
    _open: dict[int, Lot] = field(default_factory=dict)
    _heap: list[tuple[Any, int, int]] = field(default_factory=list)
    _numbers: dict[int | None, list[int]] = field(default_factory=dict)
    _count: int = 0

    @property
    def lots(self) -> list[Lot]:
        """The open lots, oldest first."""
        return [lot for _, lot in sorted(self._open.items(), key=lambda item: (item[1].opened, item[0]))]

    def charge(self, row: Row, is_in_cost: bool = False) -> None:
        """Counts a row's fee and tax; one that is part of a cost or of proceeds is no expense besides."""
        self.fees_base += row.fee_base
        self.taxes_base += row.tax_base
        if not is_in_cost:
            self.expenses_base += row.fee_base

    def move(self, trade: Trade) -> tuple[Decimal, Decimal]:
        """Books a trade and returns what it realized, in the asset's currency and in base."""
        left = trade.quantity
        paid, paid_base = trade.value + trade.charge, trade.value_base + trade.charge_base
        realized = realized_base = ZERO
        closes = self.quantity and (self.quantity > 0) != (left > 0)
        if trade.row.lots and not closes:
            raise LedgerError("expected no chosen lots, because none is closed, was one", trade.row, "lots")
        if closes:
            for number, part in self._parts(trade.row, left):
                # The last part takes the remainder, so that the parts add up.
                share = (paid, paid_base) if part == left else trade.paid_for(part)
                lot = self._open[number]
                gain = self.close(trade.row, lot, -part, self._take(number, part), share)
                realized, realized_base = realized + gain[0], realized_base + gain[1]
                left, paid, paid_base = left - part, paid - share[0], paid_base - share[1]
        if left:
            opened = trade.opened or trade.row.time
            row_id = trade.row.id if trade.row_id is None else trade.row_id
            self._put(Lot(opened, left, paid, paid_base, row_id))
        return realized, realized_base

    def close(
        self,
        row: Row,
        lot: Lot,
        quantity: Decimal,
        cost: tuple[Decimal, Decimal],
        paid: tuple[Decimal, Decimal],
    ) -> tuple[Decimal, Decimal]:
        """Realizes what was paid (received, if negative) against a cost that has left a lot; returns the gain."""
        received = (-paid[0], -paid[1])
        if lot.quantity < 0:
            cost, received = paid, (-cost[0], -cost[1])
        part = ClosedLot(
            row.id,
            row.kind,
            lot.opened,
            row.time,
            lot.row_id,
            quantity,
            cost[0],
            received[0],
            cost[1],
            received[1],
        )
        self.closed.append(part)
        gain = part.gain, part.gain_base
        self.realized += gain[0]
        self.realized_base += gain[1]
        return gain

    def remove(self, row: Row, quantity: Decimal) -> list[Lot]:
        """Takes `quantity` (signed as the position) out of the lots at cost and returns what was taken."""
        taken: list[Lot] = []
        for number, part in self._parts(row, -quantity):
            lot = self._open[number]
            cost, cost_base = self._take(number, part)
            taken.append(Lot(lot.opened, -part, cost, cost_base, lot.row_id))
        return taken

    def receive(self, row: Row, lot: Lot) -> tuple[Decimal, Decimal]:
        """Takes over a lot from elsewhere, with its date; returns what that realized against lots of the other sign."""
        if self.quantity and (self.quantity > 0) != (lot.quantity > 0):
            return self.move(
                Trade(
                    row=row,
                    quantity=lot.quantity,
                    value=lot.cost,
                    value_base=lot.cost_base,
                    opened=lot.opened,
                    row_id=lot.row_id,
                )
            )
        self._put(lot)
        return ZERO, ZERO

    def replace_lots(self, lots: Iterable[Lot]) -> None:
        """Sets all lots anew; what a corporate action does."""
        self._open.clear()
        self._heap.clear()
        self._numbers.clear()
        self._count = 0
        self.quantity = self.cost = self.cost_base = ZERO
        for lot in lots:
            self._put(lot)

    def _put(self, lot: Lot) -> None:
        self.quantity += lot.quantity
        self.cost += lot.cost
        self.cost_base += lot.cost_base
        if self.method == "average" and self._open:
            ((number, pool),) = self._open.items()
            self._open[number] = Lot(
                pool.opened,
                pool.quantity + lot.quantity,
                pool.cost + lot.cost,
                pool.cost_base + lot.cost_base,
                pool.row_id,
            )
            return
        number = self._count = self._count + 1
        self._open[number] = lot
        heappush(self._heap, (*self._turn(lot, number), number))
        if lot.row_id is not None:
            self._numbers.setdefault(lot.row_id, []).append(number)

    def _turn(self, lot: Lot, number: int) -> tuple[Any, int]:
        """What orders the lots that are closed next."""
        if self.method == "lifo":
            return _EPOCH - lot.opened, -number
        if self.method == "highest":
            # By signed cost: of a short's lots, the one with the smallest proceeds.
            return (div(-lot.cost, abs(lot.quantity)), lot.opened), number
        return lot.opened, number

    def _take(self, number: int, part: Decimal) -> tuple[Decimal, Decimal]:
        """Takes `part` (of the other sign) out of a lot and returns the cost that leaves with it."""
        lot = self._open[number]
        quantity = lot.quantity + part
        if quantity:
            cost = div(lot.cost * -part, lot.quantity)
            cost_base = div(lot.cost_base * -part, lot.quantity)
            self._open[number] = Lot(
                lot.opened, quantity, lot.cost - cost, lot.cost_base - cost_base, lot.row_id
            )
        else:
            cost, cost_base = lot.cost, lot.cost_base
            del self._open[number]
        self.quantity += part
        self.cost -= cost
        self.cost_base -= cost_base
        return cost, cost_base

    def _parts(self, row: Row, left: Decimal) -> Iterator[tuple[int, Decimal]]:
        """Numbers of lots and what to close of each; the caller takes one part before it asks for the next."""
        for row_id, quantity in row.lots:
            for number, part in self._chosen(row, row_id, quantity.copy_sign(left)):
                left -= part
                yield number, part
        while left and self._open:
            number = self._heap[0][2]
            if number not in self._open:
                heappop(self._heap)
                continue
            part = _nearer(-self._open[number].quantity, left)
            left -= part
            yield number, part

    def _chosen(self, row: Row, row_id: int, wanted: Decimal) -> Iterator[tuple[int, Decimal]]:
        if self.method == "average":
            raise LedgerError("expected no chosen lots with average cost, was one", row, "lots")
        numbers = [number for number in self._numbers.get(row_id, ()) if number in self._open]
        there = total(self._open[number].quantity for number in numbers)
        if abs(wanted) > abs(there):
            raise LedgerError(
                f"expected at most {abs(there):f} of the lot of row {row_id} open then, was {abs(wanted):f}",
                row,
                "lots",
            )
        for number in numbers:
            part = _nearer(-self._open[number].quantity, wanted)
            wanted -= part
            yield number, part
            if not wanted:
                return


def _nearer(a: Decimal, b: Decimal) -> Decimal:
    """The one that is nearer to zero."""
    return a if abs(a) <= abs(b) else b
