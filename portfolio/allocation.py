"""How a portfolio is divided: shares in percent with 2 places that add up to 100.00, to the last digit. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Literal, NamedTuple

from portfolio.arithmetic import PERCENT, ZERO

By = Literal["asset", "currency", "class"]
HUNDRED_PERCENT = 10_000  # in hundredths of a percent


class Part(NamedTuple):
    """A position that has a value, or cash in one currency; `names` says what it is called in each division."""

    names: Mapping[By, tuple[str, str]]
    value: Decimal


class Share(NamedTuple):
    key: str
    label: str
    value: Decimal
    percent: Decimal | None


def allocation(parts: Iterable[Part], by: By) -> list[Share]:
    """Returns the shares, largest first; their percents are None unless all parts together are worth something.

    What is owed, shorts and debts, has a negative share.
    """
    sums: dict[str, Decimal] = {}
    labels: dict[str, str] = {}
    for part in parts:
        key, label = part.names[by]
        labels.setdefault(key, label)
        sums[key] = sums.get(key, ZERO) + part.value
    ordered = sorted(
        ((key, value) for key, value in sums.items() if value), key=lambda item: (-item[1], item[0])
    )
    found = percentages([value for _, value in ordered])
    percents: Sequence[Decimal | None] = [None] * len(ordered) if found is None else found
    return [
        Share(key, labels[key], value, percent)
        for (key, value), percent in zip(ordered, percents, strict=True)
    ]


def percentages(values: Sequence[Decimal]) -> list[Decimal] | None:
    """Divides 100.00 by largest remainder: everybody's hundredths rounded down, what is left to the largest rests.

    None unless the values add up to more than zero.
    """
    exact = [Fraction(value) for value in values]
    total = sum(exact)
    if total <= 0:
        return None
    quotas = [HUNDRED_PERCENT * value / total for value in exact]
    hundredths = [floor(quota) for quota in quotas]
    by_rest = sorted(range(len(quotas)), key=lambda index: hundredths[index] - quotas[index])
    for index in by_rest[: HUNDRED_PERCENT - sum(hundredths)]:
        hundredths[index] += 1
    return [Decimal(count) * PERCENT for count in hundredths]
