"""What holds of every valuation, whatever is in it."""

from decimal import Decimal, localcontext
from typing import Any

from portfolio.arithmetic import EXACT, ZERO, minor_unit
from portfolio.positions import Components
from portfolio.valuation import Valuation

PARTS = ("price", "currency", "trades", "income", "fees")


def parts(components: Components) -> list[Decimal]:
    return [getattr(components, name) for name in PARTS]


def check_explained(valuation: Valuation) -> None:
    """The parts are the change to the last digit, per position and in all; on the wire but for `rounding`."""
    with localcontext(EXACT):
        sums = [ZERO] * len(PARTS)
        for position in (*valuation.positions, *valuation.cash_positions):
            if position.components is None:
                assert position.daily_change is None
                continue
            assert sum(parts(position.components)) == position.daily_change
            sums = [total + part for total, part in zip(sums, parts(position.components), strict=True)]
        assert sums == parts(valuation.components)
        assert sum(sums) == valuation.daily_change
        unit = minor_unit(valuation.holdings.currency)
        wire = valuation.as_wire()
        for one in (wire, *wire["positions"], *wire["cash_positions"]):
            check_rounded(one, unit)


def check_rounded(wire: dict[str, Any], unit: Decimal) -> None:
    explain = wire["explain"]
    if explain is None:
        assert wire["daily_change"] is None
        return
    assert sum(explain.values()) == wire["daily_change"]
    assert abs(explain["rounding"]) <= (len(PARTS) + 1) * unit / 2
    for number in (*explain.values(), wire["daily_change"]):
        assert number.as_tuple().exponent == unit.as_tuple().exponent
        assert number or not number.is_signed()


def check_lifetime(valuation: Valuation) -> None:
    """What was made since the first row, in both ways of counting; of a portfolio all of which is priced."""
    holdings = valuation.holdings
    with localcontext(EXACT):
        made = holdings.realized + valuation.unrealized + holdings.income - holdings.expenses - holdings.taxes
        by_rates = valuation.cash_fx + valuation.receivables_fx
        assert valuation.total_value - holdings.flows == made + by_rates
