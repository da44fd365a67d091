"""From a receipt back to the valuation that it was issued for, to the last digit.

A receipt's basis is all that prices and rates do not change; with the rows of the ledger up to its last one, and the
prices and rates of its moment, the same code computes the same numbers again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from assets.rates import RatePoint
from portfolio.receipts import Entry, Receipt
from portfolio.valuation import Inputs, PricePoint, Valuation
from portfolio.windows import AssetFacts, Baseline, Holdings, PortfolioFacts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# No symbol begins with a space.
_RATE = " rate "


class Basis(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a receipt needs beside prices and rates."""

    facts: PortfolioFacts
    assets: Mapping[str, AssetFacts]
    held_at: datetime
    ledger_row: int | None
    baselines: Mapping[str, Baseline]
    # Of the prices of that moment these sources' were seen; None: all.
    sources: frozenset[str] | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_basis = msgspec.msgpack.Decoder(Basis).decode
_decode_price = msgspec.msgpack.Decoder(PricePoint).decode
_decode_rate = msgspec.msgpack.Decoder(RatePoint).decode


def basis_of(holdings: Holdings, sources: frozenset[str] | None) -> bytes:
    """Returns a receipt's basis; `sources` are those whose prices may be in it, None: all."""
    return _encode(
        Basis(
            facts=holdings.facts,
            assets=holdings.assets,
            held_at=holdings.now,
            ledger_row=holdings.ledger_row,
            baselines=holdings.baselines,
            sources=sources,
        )
    )


def rate_key(currency: str, base: str) -> str:
    """The name under which a rate stands among the prices."""
    return f"{_RATE}{currency} {base}"


def microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def entries_of(valuation: Valuation) -> dict[str, Entry]:
    """Returns every price and rate of a valuation, for a receipt of its own."""
    inputs, base = valuation.inputs(), valuation.holdings.currency
    entries = {symbol: _encode(point) for symbol, point in inputs.prices.items()}
    return entries | {rate_key(currency, base): _encode(point) for currency, point in inputs.rates.items()}


def read(receipt: Receipt) -> tuple[Basis, Inputs]:
    """Returns what a receipt was issued for."""
    basis = _decode_basis(receipt.basis)
    prefix, suffix = _RATE, f" {basis.facts.currency}"
    prices, rates = {}, {}
    for key, entry in receipt.prices.items():
        if not key.startswith(_RATE):
            point = _decode_price(entry)
            if basis.sources is None or point.source in basis.sources:
                prices[key] = point
        elif key.endswith(suffix):
            rates[key.removeprefix(prefix).removesuffix(suffix)] = _decode_rate(entry)
    inputs = Inputs(
        held_at=basis.held_at,
        valued_at=_EPOCH + receipt.at_us * _MICROSECOND,
        ledger_row=basis.ledger_row,
        baselines=basis.baselines,
        prices=prices,
        rates=rates,
    )
    return basis, inputs
