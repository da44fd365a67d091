"""What a new row is completed with and checked against before it is stored.

Owns defaults (currency, time of a date), the freezing of rates and the base value, and which column or which other
row a refusal names. The ledger decides what can be booked; nothing here moves a position.
"""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import cast
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from assets.calendars import calendar_named
from assets.models import Asset, midnight_of
from assets.rates_store import PastRates
from portfolio import events
from portfolio.columns import ALL, VALUED, kinds_with, problems
from portfolio.ledger import EXACT, KINDS, ONE, ZERO, Kind, LedgerError, Row, check, div
from portfolio.models import Portfolio
from portfolio.transaction import Transaction, of_portfolio

# A browser's clock may be a little ahead of ours.
CLOCK_TOLERANCE = timedelta(seconds=5)
PLACES = 18
# Kinds of which the price or the amount is what the whole row is worth.
FROZEN = (
    "buy", "sell", "deposit", "withdrawal", "transfer_in", "transfer_out", "convert", "dividend", "interest", "fee",
    "tax", "cash_in_lieu", "return_of_capital",
)  # fmt: skip
TRADED_IN_THE_ASSETS_CURRENCY = (
    "buy",
    "sell",
    "transfer_in",
    "transfer_out",
    "cash_in_lieu",
    "exercise",
    "assign",
)


def clean(entry: Transaction) -> None:
    """Completes one row and checks it with all others; raises ValidationError by column, and stores nothing."""
    if entry.type not in KINDS:
        return  # which the field itself says
    complete(entry)
    check_alone(entry)
    if entry.portfolio_id:
        others = [row for row in of_portfolio(entry.portfolio) if row.id != entry.pk]
        check_together(entry.portfolio, [*others, entry.as_row()])


def complete(entry: Transaction, rates: PastRates | None = None) -> None:
    """Fills in what follows from the asset, the portfolio and the rates of the row's moment.

    Args:
        rates: where many rows are completed, so that each pair is read once.
    """
    if entry.reverses is not None:
        entry.currency, entry.time = entry.reverses.currency, entry.reverses.time
    if not entry.currency and entry.portfolio_id:
        entry.currency = entry.asset.currency if entry.asset else entry.portfolio.currency
    kind = cast(Kind, entry.type)
    found = problems(kind, {name: _is_filled(entry, name) for name in ALL})
    if entry.fee and kind not in kinds_with("fee"):
        found["fee"] = f"not expected with a {kind}"
    if found:
        raise ValidationError(found)
    if entry.portfolio_id:
        _freeze(
            entry,
            entry.portfolio.currency,
            rates or PastRates(entry.time, entry.time, entry.portfolio.viewer),
        )


def _is_filled(entry: Transaction, name: str) -> bool:
    value = getattr(entry, name)
    return value is not None and value != "" and value != []


def _freeze(entry: Transaction, base: str, rates: PastRates) -> None:
    if entry.type not in VALUED or not (entry.price or entry.amount or entry.fee):
        entry.rate = entry.base_value = None
        return
    if entry.rate is None:
        if entry.settlement_currency:
            settled = _rate(rates, entry.settlement_currency, base, entry.time, "settlement_currency")
            with localcontext(EXACT):
                entry.rate = div((entry.settlement_rate or ONE) * settled, ONE)
        else:
            entry.rate = _rate(rates, entry.currency, base, entry.time, "currency")
    if entry.fee_currency and entry.fee_rate is None:
        entry.fee_rate = _rate(rates, entry.fee_currency, base, entry.time, "fee_currency")
    with localcontext(EXACT):
        entry.base_value = stored(value_in_base(entry, base)) if entry.type in FROZEN else None


def value_in_base(entry: Transaction, base: str) -> Decimal:
    """Returns the row's value in the portfolio's currency, without its fee and its sign.

    Of a conversion it is the leg in the portfolio's currency, if one is.
    """
    if entry.type == "convert" and entry.to_currency == base:
        return entry.to_amount or ZERO
    multiplier = entry.asset.multiplier if entry.asset else ONE
    amount: Decimal = entry.amount or (entry.quantity or ONE) * (entry.price or ZERO) * multiplier
    rate: Decimal = ONE if entry.rate is None else entry.rate
    return abs(amount) * rate


def stored(value: Decimal) -> Decimal | None:
    """Returns what the column can hold exactly; None lets the ledger work the value out anew, from the rate."""
    exponent = value.as_tuple().exponent
    return value if value and isinstance(exponent, int) and exponent >= -PLACES else None


def _rate(rates: PastRates, currency: str, base: str, moment: datetime, column: str) -> Decimal:
    if currency == base:
        return ONE
    found = rates.rate(currency, base, moment)
    if found is None:
        raise ValidationError(
            {
                column: f"no rate from {currency} to {base} is known within the 4 days before "
                f"{moment:%Y-%m-%d %H:%M}Z: give one as `rate`"
                if column != "fee_currency"
                else f"no rate from {currency} to {base} is known: give one as `fee_rate`"
            }
        )
    return found.value


def check_alone(entry: Transaction, row: Row | None = None) -> None:
    """Checks the row by itself: its numbers, its currency, its time; `row` is the entry's if it is made already."""
    asset = entry.asset
    if asset and entry.type in TRADED_IN_THE_ASSETS_CURRENCY and entry.currency != asset.currency:
        raise ValidationError({"currency": f"expected {asset.currency}, was {entry.currency}"})
    if entry.time and entry.time > timezone.now() + CLOCK_TOLERANCE:
        raise ValidationError({"time": "expected a time that is not in the future"})
    for one in (asset, entry.other_asset):
        _check_lifetime(one, entry.time)
    if entry.reverses is not None:
        _check_reversal(entry, entry.reverses)
    try:
        check(entry.as_row() if row is None else row)
    except LedgerError as error:
        raise ValidationError(named(error)) from error


def _check_lifetime(asset: Asset | None, moment: datetime) -> None:
    if asset is None or asset.listed_on is None:
        return
    begin = midnight_of(asset.calendar, asset.listed_on)
    # A day of currencies begins on the evening before.
    session = calendar_named(asset.calendar).of_date(asset.listed_on)
    if moment < (begin if session is None else min(begin, session.open)):
        raise ValidationError(
            {"time": f"expected {asset.listed_on} or later: {asset.symbol} did not exist before"}
        )


def _check_reversal(entry: Transaction, reversed_: Transaction) -> None:
    if reversed_.portfolio_id != entry.portfolio_id:
        raise ValidationError({"reverses": "expected a row of this portfolio"})
    if reversed_.reverses_id is not None:
        raise ValidationError({"reverses": "expected a row that is no reversal itself"})
    if Transaction.objects.filter(reverses=reversed_).exclude(pk=entry.pk).exists():
        raise ValidationError({"reverses": "expected a row that has not been reversed already"})


def check_together(portfolio: Portfolio, rows: Iterable[Row]) -> None:
    """Replays the whole ledger; raises ValidationError under the column of the row at fault."""
    try:
        portfolio.replay(rows)
    except LedgerError as error:
        raise ValidationError(named(error)) from error


def named(error: LedgerError) -> dict[str, str]:
    columns = {"symbol": "asset", "other_symbol": "other_asset", "": "__all__"}
    return {columns.get(error.field, error.field): str(error)}


def moment_of_date(asset: Asset | None, portfolio: Portfolio, moment: datetime) -> datetime:
    """Returns when a row that has only a date happened: at its session's open, cash at the portfolio's midnight."""
    day = moment.date()
    if asset is None:
        return datetime.combine(day, time(), ZoneInfo(portfolio.time_zone))
    session = calendar_named(asset.calendar).of_date(day)
    return datetime.combine(day, time(), moment.tzinfo) if session is None else session.open


@transaction.atomic
def change_currency(portfolio: Portfolio, currency: str) -> None:
    """Freezes every row's rate anew, to another base; raises ValidationError naming a row without a rate.

    Rates that a broker gave were to the old currency, so they are those of the rows' moments now.
    """
    portfolio = Portfolio.objects.locked().get(pk=portfolio.pk)
    old, portfolio.currency = portfolio.currency, currency
    portfolio.save(update_fields=["currency"])
    rows = list(portfolio.transactions.in_order().with_assets())
    rates = PastRates(rows[0].time, rows[-1].time, portfolio.viewer) if rows else None
    for row in rows:
        assert rates is not None
        row.portfolio = portfolio
        try:
            _refreeze(row, old, currency, rates)
        except ValidationError as error:
            raise ValidationError({"currency": f"row {row.pk}: {' '.join(error.messages)}"}) from error
    names = ["rate", "fee_rate", "base_value", "base_cost"]
    Transaction.objects.bulk_update(rows, names, batch_size=500)
    if not rows:
        events.portfolio_changed(portfolio.pk)


def _refreeze(row: Transaction, old: str, new: str, rates: PastRates) -> None:
    if row.base_cost is not None:
        with localcontext(EXACT):
            row.base_cost = div(row.base_cost * _rate(rates, old, new, row.time, "base_cost"), ONE)
    row.rate = row.fee_rate = None
    _freeze(row, new, rates)


@transaction.atomic
def reverse(entry: Transaction, note: str = "") -> Transaction:
    """Takes a row back by a reversal; raises ValidationError where a later row needs it, naming that row."""
    portfolio = Portfolio.objects.locked().get(pk=entry.portfolio_id)
    reversal = Transaction(portfolio=portfolio, type="reversal", reverses=entry, note=note)
    reversal.full_clean(exclude=["currency"])
    reversal.save()
    return reversal
