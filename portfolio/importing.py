"""From a file's drafts to rows of the ledger: whose asset is meant, what is there already, and all rows or none.

Reading is `portfolio.imports`', completing and checking a row `portfolio.booking`'s. A preview does everything but
store.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import transaction

from assets.calendars import calendar_named
from assets.models import Asset, FeedSymbol, normal_symbol
from assets.rates_store import PastRates
from portfolio.booking import check_alone, complete, moment_of_date
from portfolio.imports.drafts import BrokerSymbol, Parsed, Problem, RowDraft, major_currency, symbols
from portfolio.imports.duplicates import Marked, known_fingerprints, mark_duplicates
from portfolio.ledger import EXACT, ONE, Kind, LedgerError, Row, div
from portfolio.models import Portfolio
from portfolio.splits import brought_by
from portfolio.transaction import Transaction

CHUNK = 500
DAY = timedelta(days=1)
EVER = datetime(2000, 1, 1, tzinfo=UTC)
MOST_PROBLEMS = 1000
# Columns that a draft and a transaction have in common.
SAME = (
    "quantity", "price", "amount", "fee", "fee_rate", "tax", "settlement_rate", "rate", "base_value", "to_amount",
    "numerator", "denominator", "cost_share", "cost", "base_cost",
)  # fmt: skip
TEXTS = ("fee_currency", "settlement_currency", "to_currency", "option_right", "trade_id", "note")

Asked = tuple[str, str, str]


@dataclass(slots=True)
class Import:
    """A file on its way into a portfolio: what was read, what is new, and everything that is wrong with it."""

    parsed: Parsed
    marked: list[Marked] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    more_problems: int = 0
    symbols: list[tuple[BrokerSymbol, str]] = field(default_factory=list)
    rows: list[Transaction] = field(default_factory=list)
    # Of assets that were split after a new row's time.
    splits: list[Transaction] = field(default_factory=list)
    is_booked: bool = False

    @property
    def new(self) -> list[Marked]:
        return [one for one in self.marked if one.duplicate is None]

    def complain(self, line: int, column: str, message: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(line, column, message))
        else:
            self.more_problems += 1


def run(
    portfolio: Portfolio,
    parsed: Parsed,
    *,
    mapping: Mapping[str, str] | None = None,
    create_assets: bool = False,
    book: bool = False,
) -> Import:
    """Checks a file against the portfolio and, if `book` and nothing is wrong, stores all of its new rows.

    Args:
        mapping: our symbol by the broker's symbol, ISIN or name.
        create_assets: assets that nobody knows are added under the broker's symbol; a preview takes them back.
    """
    found = Import(parsed, problems=list(parsed.problems), more_problems=parsed.more_problems)
    with transaction.atomic():
        portfolio = Portfolio.objects.locked().get(pk=portfolio.pk)
        assets = _assets(found, mapping or {}, create_assets)
        known = known_fingerprints(_stored(portfolio), _name_of)
        found.marked, clashes = mark_duplicates(parsed.drafts, known, _named(assets))
        for clash in clashes:
            found.complain(*clash)
        if not found.problems:
            _check(found, portfolio, assets)
        if book and not found.problems:
            _store(found)
            found.is_booked = True
        else:
            transaction.set_rollback(True)
    return found


# --- whose asset is meant -----------------------------------------------------------------------------------


def _asked(draft: RowDraft) -> Asked:
    return draft.symbol, draft.isin, draft.name if not (draft.symbol or draft.isin) else ""


def _assets(found: Import, mapping: Mapping[str, str], create: bool) -> dict[Asked, Asset]:
    asked = symbols(found.parsed.drafts)
    wanted = {one: _our_symbol(one, mapping) for one in asked}
    known = _known({symbol for symbol in wanted.values() if symbol})
    assets: dict[Asked, Asset] = {}
    for one, symbol in wanted.items():
        asset = known.get(symbol)
        if asset is None and create and symbol:
            asset = known[symbol] = _created(symbol, one)
        if asset is None:
            name = one.symbol or one.isin or one.name
            hint = "add the asset, or choose one of yours for it"
            found.complain(one.first_line, "symbol", f"unknown symbol {name}: {hint}")
        else:
            key = (one.symbol, one.isin, "" if one.symbol or one.isin else one.name)
            assets[key] = asset
        found.symbols.append((one, asset.symbol if asset is not None else ""))
    return assets


def _our_symbol(one: BrokerSymbol, mapping: Mapping[str, str]) -> str:
    """The symbol that the user chose, else the broker's own where it can be one; empty if neither."""
    chosen = next((mapping[key] for key in (one.symbol, one.isin, one.name) if key in mapping), one.symbol)
    try:
        return normal_symbol(chosen)
    except ValueError:
        return ""


def _known(wanted: set[str]) -> dict[str, Asset]:
    """Finds assets by our symbol, else by what a source calls them."""
    names = sorted(wanted)
    found: dict[str, Asset] = {}
    for start in range(0, len(names), CHUNK):
        part = names[start : start + CHUNK]
        feeds = FeedSymbol.objects.filter(symbol__in=part).select_related("asset").order_by("-priority")
        found |= {feed.symbol: feed.asset for feed in feeds}
        found |= {asset.symbol: asset for asset in Asset.objects.filter(symbol__in=part)}
    return found


def _created(symbol: str, one: BrokerSymbol) -> Asset:
    currency, unit = major_currency(one.currency or "USD")
    asset = Asset(symbol=symbol, name=one.name[:200], currency=currency, multiplier=one.multiplier or unit)
    asset.save()
    return asset


def _named(assets: Mapping[Asked, Asset]) -> Callable[[RowDraft], str]:
    def name_of(draft: RowDraft) -> str:
        asset = assets.get(_asked(draft))
        if asset is not None:
            return str(asset.symbol)
        return draft.symbol or draft.isin or draft.name

    return name_of


def _name_of(draft: RowDraft) -> str:
    return draft.symbol


def _stored(portfolio: Portfolio) -> Iterable[RowDraft]:
    rows = portfolio.transactions.in_order().with_assets()
    return (draft_of(row) for row in rows.iterator(chunk_size=2000))


# --- from drafts to rows ------------------------------------------------------------------------------------


def _check(found: Import, portfolio: Portfolio, assets: Mapping[Asked, Asset]) -> None:
    lines: dict[int, int] = {}
    ids: dict[int, int] = {}
    ledger: list[Row] = portfolio.rows()
    newest = max((row.order[1] for row in ledger), default=0)
    # The rates of the whole file are read once.
    moments = [moment for one in found.new if (moment := _roughly(one.draft)) is not None]
    rates = PastRates(min(moments) - DAY, max(moments) + DAY) if moments else PastRates(EVER, EVER)
    for number, one in enumerate(found.new, start=1):
        if one.draft.row is not None:
            ids[one.draft.row] = newest + number
    for number, one in enumerate(found.new, start=1):
        try:
            entry = _entry(portfolio, one, assets, rates)
            row = _row(entry, newest + number, ids, one.draft)
        except ValidationError as error:
            for column, messages in error.message_dict.items():
                found.complain(one.draft.line, column, " ".join(messages))
            continue
        except LedgerError as error:
            found.complain(one.draft.line, error.field, str(error))
            continue
        lines[newest + number] = one.draft.line
        ledger.append(row)
        found.rows.append(entry)
    if not found.problems:
        found.splits = brought_by(portfolio, found.rows)
        ledger += [entry.as_row() for entry in found.splits]
        try:
            portfolio.replay(ledger)
        except LedgerError as error:
            found.complain(lines.get(error.row.id or 0, 0), error.field, str(error))


def _roughly(draft: RowDraft) -> datetime | None:
    """The row's time, or the midnight of its date."""
    if draft.time is not None or draft.day is None:
        return draft.time
    return datetime.combine(draft.day, time(), UTC)


def _entry(portfolio: Portfolio, one: Marked, assets: Mapping[Asked, Asset], rates: PastRates) -> Transaction:
    draft = one.draft
    asset = assets.get(_asked(draft))
    other = assets.get((draft.other_symbol, "", "")) if draft.other_symbol else None
    entry = Transaction(
        portfolio=portfolio, type=draft.kind, asset=asset, other_asset=other, fingerprint=one.fingerprint
    )
    for name in SAME:
        setattr(entry, name, getattr(draft, name) or (Decimal(0) if name == "fee" else None))
    for name in TEXTS:
        setattr(entry, name, getattr(draft, name))
    if draft.kind in ("buy", "sell", "transfer_in", "transfer_out") and entry.price is None:
        entry.price = Decimal(0)
    entry.currency = major_currency(draft.currency)[0] if draft.currency else ""
    _in_our_units(entry, draft)
    entry.opened, entry.pay_time = draft.opened, draft.pay_time
    if draft.pay_day is not None:
        entry.pay_time = datetime.combine(draft.pay_day, time(), UTC)
    entry.date_only = draft.time is None
    if draft.time is not None:
        entry.time = draft.time
    elif draft.day is not None:
        entry.time = moment_of_date(asset, portfolio, datetime.combine(draft.day, time(), UTC)).astimezone(
            UTC
        )
    entry.clean_fields(exclude=["currency", "reverses", "lots"])
    if draft.kind != "reversal":
        complete(entry, rates)
        check_alone(entry)
    return entry


def _in_our_units(entry: Transaction, draft: RowDraft) -> None:
    """A broker that quotes pence, or a contract where we count shares, states the price in another unit."""
    asset = entry.asset
    if asset is not None and entry.price and draft.multiplier not in (None, asset.multiplier):
        with localcontext(EXACT):
            entry.price = div(entry.price * (draft.multiplier or ONE), asset.multiplier)


def _row(entry: Transaction, id: int, ids: Mapping[int, int], draft: RowDraft) -> Row:
    """The ledger's row under the id that it will have if all goes well; only their order counts."""
    try:
        lots = tuple((ids[row], quantity) for row, quantity in draft.lots)
        reverses = ids[draft.reverses] if draft.reverses is not None else None
    except KeyError as error:
        column = "reverses" if draft.reverses is not None else "lots"
        raise ValidationError({column: f"expected a row of this file, was row {error}"}) from error
    return replace(entry.as_row(), id=id, order=(0, id), lots=lots, reverses=reverses)


def _store(found: Import) -> None:
    """Stores the rows in two steps, because lots and reversals speak of other rows of the file."""
    drafts = [one.draft for one in found.new]
    plain = [(e, d) for e, d in zip(found.rows, drafts, strict=True) if d.kind != "reversal"]
    Transaction.objects.bulk_create([*(entry for entry, _ in plain), *found.splits], batch_size=CHUNK)
    keys = {draft.row: entry.pk for entry, draft in plain if draft.row is not None}
    choosing = []
    for entry, draft in plain:
        if draft.lots:
            entry.lots = [[keys[row], f"{quantity:f}"] for row, quantity in draft.lots]
            choosing.append(entry)
    if choosing:
        Transaction.objects.bulk_update(choosing, ["lots"], batch_size=CHUNK)
    reversals = [(e, d) for e, d in zip(found.rows, drafts, strict=True) if d.kind == "reversal"]
    by_key = {entry.pk: entry for entry, _ in plain}
    for entry, draft in reversals:
        taken_back = by_key[keys[draft.reverses or 0]]
        entry.reverses_id = taken_back.pk
        entry.currency, entry.time = taken_back.currency, taken_back.time
    if reversals:
        Transaction.objects.bulk_create([entry for entry, _ in reversals], batch_size=CHUNK)


# --- and back -----------------------------------------------------------------------------------------------


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


def drafts_of(rows: Sequence[Transaction]) -> Iterable[RowDraft]:
    return map(draft_of, rows)
