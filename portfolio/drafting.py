"""Between a file's drafts and the ledger's columns: what a draft becomes here, and a stored row as a draft."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError

from assets.calendars import calendar_named
from assets.models import Asset
from portfolio.booking import moment_of_date
from portfolio.imports.drafts import RowDraft, major_currency
from portfolio.ledger import EXACT, ONE, ZERO, Kind, div
from portfolio.models import Portfolio
from portfolio.transaction import Transaction

# Columns that a draft and a transaction have in common.
SAME = (
    "quantity", "price", "amount", "fee", "fee_rate", "tax", "settlement_rate", "rate", "base_value", "to_amount",
    "numerator", "denominator", "cost_share", "cost", "base_cost",
)  # fmt: skip
TEXTS = ("fee_currency", "settlement_currency", "to_currency", "option_right", "trade_id", "note")
_FIELDS = Transaction._meta.concrete_fields
_DEFAULTS = [None if field.attname == "time" else field.get_default() for field in _FIELDS]
_PLACES = {field.attname: place for place, field in enumerate(_FIELDS)}
# All other columns hold what was just read from the database, or is of no type that could be wrong.
_TO_CLEAN = [field for field in _FIELDS if field.name in (*SAME, *TEXTS)]


def entry_of(draft: RowDraft, portfolio: Portfolio, asset: Asset | None, other: Asset | None) -> Transaction:
    """Returns the row that a draft becomes, not completed and not stored; raises ValidationError by column."""
    values = _DEFAULTS.copy()
    for name in SAME:
        values[_PLACES[name]] = getattr(draft, name) or None
    for name in TEXTS:
        values[_PLACES[name]] = getattr(draft, name)
    # By place, as Django makes what it reads: names take thrice the time, and a file may have 100,000 rows.
    entry = Transaction(*values)
    entry.portfolio, entry.asset, entry.other_asset = portfolio, asset, other
    entry.type, entry.fee = draft.kind, draft.fee or ZERO
    if draft.kind in ("buy", "sell", "transfer_in", "transfer_out") and entry.price is None:
        entry.price = ZERO
    entry.currency = major_currency(draft.currency)[0] if draft.currency else ""
    _in_our_units(entry, draft)
    entry.opened, entry.pay_time = draft.opened, draft.pay_time
    if draft.pay_day is not None:
        entry.pay_time = datetime.combine(draft.pay_day, time(), UTC)
    entry.date_only = draft.time is None
    if draft.time is not None:
        entry.time = draft.time
    elif draft.day is not None:
        midnight = datetime.combine(draft.day, time(), UTC)
        entry.time = moment_of_date(asset, portfolio, midnight).astimezone(UTC)
    _clean(entry)
    return entry


def _clean(entry: Transaction) -> None:
    """Checks what a draft has brought, as `clean_fields` does."""
    problems: dict[str, ValidationError] = {}
    for field in _TO_CLEAN:
        value = getattr(entry, field.attname)
        if value is None or value == "":
            continue
        try:
            setattr(entry, field.attname, field.clean(value, entry))
        except ValidationError as error:
            problems[field.name] = error
    if problems:
        raise ValidationError(problems)


def _in_our_units(entry: Transaction, draft: RowDraft) -> None:
    """A broker that quotes pence, or a contract where we count shares, states the price in another unit."""
    asset = entry.asset
    if asset is not None and entry.price and draft.multiplier not in (None, asset.multiplier):
        with localcontext(EXACT):
            entry.price = div(entry.price * (draft.multiplier or ONE), asset.multiplier)


def draft_of(row: Transaction) -> RowDraft:
    """Returns a stored row as a draft, which the export writes and the import reads again."""
    asset, other = row.asset, row.other_asset
    fields: dict[str, Any] = {name: getattr(row, name) for name in (*SAME, *TEXTS)}
    fields = {name: value for name, value in fields.items() if value is not None}
    return RowDraft(
        line=0,
        row=row.pk,
        kind=cast(Kind, row.type),
        time=None if row.date_only else row.time.astimezone(UTC),
        day=_day_of(row) if row.date_only else None,
        symbol=asset.symbol if asset else "",
        name=asset.name if asset else "",
        multiplier=asset.multiplier if asset else None,
        currency=row.currency,
        other_symbol=other.symbol if other else "",
        other_currency=other.currency if other else "",
        other_multiplier=other.multiplier if other else None,
        opened=row.opened,
        pay_time=row.pay_time,
        lots=tuple((int(key), Decimal(quantity)) for key, quantity in row.lots or ()),
        reverses=row.reverses_id,
        **fields,
    )


def _day_of(row: Transaction) -> date:
    """The date that a row was given, of which its time is the session's open."""
    if row.asset is None:
        return row.time.astimezone(ZoneInfo(row.portfolio.time_zone)).date()
    return calendar_named(row.asset.calendar).session_at(row.time).date


def drafts_of(rows: Iterable[Transaction]) -> Iterable[RowDraft]:
    return map(draft_of, rows)
