"""Splits and the units of prices: n:d makes n new units of d old ones, so an old price is divided by n/d.

Pure. Stored prices stay as they were traded, and their time tells their units; a price is restated on the way out.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from assets.exact import EXACT, div
from assets.market import change_since

NEVER = datetime.min.replace(tzinfo=UTC)
_PRICES = ("price", "previous_close", "open", "high", "low", "average_price")
_SIDES = ("bid", "ask", "bids", "asks")


class SplitEvent(NamedTuple):
    """`numerator` new units for `denominator` old ones, from `effective_at` on."""

    effective_at: datetime
    numerator: int
    denominator: int


class Ratio(NamedTuple):
    """New units for old ones, over any number of splits."""

    new: int
    old: int


def ratio_between(splits: Sequence[SplitEvent], after: datetime, until: datetime) -> Ratio | None:
    """Returns what leads from the units of `after` to those of `until`; None if they are the same."""
    new = old = 1
    for split in splits:
        if after < split.effective_at <= until:
            new, old = new * split.numerator, old * split.denominator
    return None if new == old else Ratio(new, old)


def restated(price: Decimal, ratio: Ratio) -> Decimal:
    """Returns an old price in new units."""
    return _divided(price, ratio.old, ratio.new)


def as_traded(price: Decimal, ratio: Ratio) -> Decimal:
    """Returns a price in new units as it was in the old ones."""
    return _divided(price, ratio.new, ratio.old)


def is_restated(price: Decimal, as_it_was: Decimal, ratio: Ratio) -> bool:
    """Whether a vendor's price of before the split is in new units already: it is nearer to ours in new ones."""
    with localcontext(EXACT):
        return abs(price - restated(as_it_was, ratio)) < abs(price - as_it_was)


def newest_until(splits: Sequence[SplitEvent], moment: datetime) -> datetime:
    """Returns when the last split so far took effect; long ago if there was none."""
    return max((split.effective_at for split in splits if split.effective_at <= moment), default=NEVER)


def shown_close(
    close: Decimal, ended: datetime, splits: Sequence[SplitEvent], now: datetime, known: Decimal | None = None
) -> Decimal:
    """Returns the stored close of a session that ended at `ended`, in the units of now.

    Args:
        known: a price of that time as it was traded; it tells whether a vendor has divided the close already.
    """
    ratio = ratio_between(splits, ended - timedelta.resolution, now)
    if ratio is None or (known is not None and is_restated(close, known, ratio)):
        return close
    return restated(close, ratio)


def restated_fields(quote: Mapping[str, Any], splits: Sequence[SplitEvent], now: datetime) -> dict[str, Any]:
    """Returns what changes of a last value's fields, by their names on the wire, if it is from before a split.

    Whoever publishes the asset does that itself at the split's moment; this is for a value that nobody publishes again.
    """
    as_of = datetime.fromisoformat(quote["as_of"])
    units_at = quote.get("units_at")
    units = datetime.fromisoformat(units_at) if isinstance(units_at, str) else as_of
    ratio = ratio_between(splits, max(units, as_of), now)
    if ratio is None:
        return {}
    changed: dict[str, Any] = {
        name: restated(Decimal(quote[name]), ratio) for name in _PRICES if quote.get(name) is not None
    }
    changed |= {name: None for name in _SIDES if quote.get(name) is not None}
    changed["change"], changed["change_percent"] = change_since(
        changed["price"], changed.get("previous_close")
    )
    raw = quote["raw_price"] if isinstance(units_at, str) else quote["price"]
    newest = newest_until(splits, now).astimezone(UTC).isoformat(timespec="microseconds")
    return {**changed, "raw_price": Decimal(raw), "units_at": newest.removesuffix("+00:00") + "Z"}


def _divided(price: Decimal, by: int, through: int) -> Decimal:
    with localcontext(EXACT):
        quotient = div(price * by, Decimal(through))
        return (
            quotient.quantize(Decimal(1))
            if quotient == quotient.to_integral_value()
            else quotient.normalize()
        )
