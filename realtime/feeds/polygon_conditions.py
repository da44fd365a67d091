"""What the conditions of a US trade let it do: set the last price, set the high and the low, count as volume.

Of several conditions the strictest counts; one that is not here is a regular sale. Stocks: the consolidated rules
of the vendor's own list (`/v3/reference/conditions`, the CTA and UTP sale condition matrices). Options: OPRA's
message types; a late report in its sequence is regular, one out of it is what it is for stocks.
"""

from collections.abc import Mapping
from typing import NamedTuple

from assets.market import Conversions


class Effect(NamedTuple):
    """What a trade may do."""

    last: bool = True
    high_low: bool = True
    volume: bool = True

    @property
    def is_nothing(self) -> bool:
        return not (self.last or self.high_low or self.volume)


REGULAR = Effect()
NOT_LAST = Effect(last=False)
VOLUME_ONLY = Effect(last=False, high_low=False)
NOTHING = Effect(last=False, high_low=False, volume=False)

OFFICIAL_CLOSE, CORRECTED_CLOSE = 15, 38

STOCKS = {
    2: VOLUME_ONLY,  # average price
    5: NOT_LAST,  # bunched, sold
    7: VOLUME_ONLY,  # cash sale
    10: NOT_LAST,  # derivatively priced
    12: VOLUME_ONLY,  # form T: before or after regular hours
    13: VOLUME_ONLY,  # the same, out of sequence
    OFFICIAL_CLOSE: NOTHING,  # of one exchange: a marker, no trade
    16: NOTHING,  # its official open
    20: VOLUME_ONLY,  # next day
    21: VOLUME_ONLY,  # price variation
    22: NOT_LAST,  # prior reference price
    29: VOLUME_ONLY,  # seller
    32: NOT_LAST,  # sold, out of sequence
    33: NOT_LAST,  # the same of stopped stock
    37: VOLUME_ONLY,  # odd lot
    CORRECTED_CLOSE: Effect(volume=False),  # by the listing exchange
    52: VOLUME_ONLY,  # contingent
    53: VOLUME_ONLY,  # qualified contingent
}
OPTIONS = {
    201: NOTHING,  # cancels an earlier trade
    202: NOT_LAST,  # late and out of sequence
    203: NOTHING,  # cancels the last one
    205: NOTHING,  # cancels the first one
    206: NOT_LAST,  # the opening trade, late and out of sequence
    207: NOTHING,  # cancels the only one
    246: VOLUME_ONLY,  # multi-leg on the floor, proprietary products
    247: VOLUME_ONLY,  # multilateral compression
    248: VOLUME_ONLY,  # extended hours
}


def effects(rules: Mapping[int, Effect]) -> Conversions[tuple[int, ...], Effect]:
    """Returns what each set of conditions comes to: a trade may do what every one of them lets it do."""

    def combined(conditions: tuple[int, ...]) -> Effect:
        each = [rules.get(condition, REGULAR) for condition in conditions]
        return Effect(*(all(may) for may in zip(REGULAR, *each, strict=True)))

    return Conversions(combined)
