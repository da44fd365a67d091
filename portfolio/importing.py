"""From a file's drafts to rows of the ledger: whose asset is meant, what is there already, and all rows or none.

Reading is `portfolio.imports`', completing and checking a row `portfolio.booking`'s. All of that is done without a
lock, which is held only to store what was found: on SQLite, nobody else can write meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from assets.models import Asset, FeedSymbol, Split, normal_symbol
from assets.rates_store import PastRates
from portfolio.booking import check_alone, complete
from portfolio.drafting import draft_of, entry_of
from portfolio.imports.drafts import BrokerSymbol, Parsed, Problem, RowDraft, major_currency, symbols
from portfolio.imports.duplicates import Marked, known_fingerprints, mark_duplicates
from portfolio.ledger import Books, LedgerError, Row
from portfolio.models import Portfolio, PortfolioHistory
from portfolio.new_rows import NewRows
from portfolio.transaction import READ_AT_ONCE, Transaction

CHUNK = 500
DAY = timedelta(days=1)
EVER = datetime(2000, 1, 1, tzinfo=UTC)
MOST_PROBLEMS = 1000

Asked = tuple[str, str, str]


@dataclass(slots=True)
class Import:
    """A file on its way into a portfolio: what was read, what is new, and everything that is wrong with it."""

    parsed: Parsed
    marked: list[Marked] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    more_problems: int = 0
    symbols: list[tuple[BrokerSymbol, str]] = field(default_factory=list)
    # Not stored yet, by symbol.
    new_assets: dict[str, Asset] = field(default_factory=dict)
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
        create_assets: assets that nobody knows are added under the broker's symbol.

    Raises:
        Portfolio.DoesNotExist: it was deleted meanwhile.
    """
    state = _state(portfolio.pk)
    portfolio = Portfolio.objects.get(pk=portfolio.pk)
    rows = NewRows(portfolio, is_preview=not book)
    found, books = _checked(portfolio, parsed, mapping or {}, create_assets, rows)
    if not book or books is None:
        return found
    with transaction.atomic():
        Portfolio.objects.locked().get(pk=portfolio.pk)
        if _state(portfolio.pk) != state or _known(set(found.new_assets)):
            # Somebody was faster, and what was found may not hold any more.
            portfolio.refresh_from_db()
            rows = NewRows(portfolio)
            found, books = _checked(portfolio, parsed, mapping or {}, create_assets, rows)
        if books is not None:
            rows.store(books)
            found.is_booked = True
    return found


def _state(portfolio_id: int) -> tuple[Any, ...]:
    """What is another one after every change of the portfolio's rows, its rules or its assets."""
    rules = ("currency", "lot_method", "short_sales", "time_zone")
    found = Portfolio.objects.filter(pk=portfolio_id).values_list(*rules).first()
    version = PortfolioHistory.objects.filter(pk=portfolio_id).values_list("version", flat=True).first()
    # One of an asset that only the file holds changes no portfolio.
    split = Split.objects.order_by("pk").values_list("pk", flat=True).last()
    return found, version, split


def _checked(
    portfolio: Portfolio, parsed: Parsed, mapping: Mapping[str, str], create: bool, rows: NewRows
) -> tuple[Import, Books | None]:
    """Does everything but store; the books of all rows, stored and new, are None where there are problems."""
    found = Import(parsed, problems=list(parsed.problems), more_problems=parsed.more_problems)
    assets = _assets(found, mapping, create)
    ledger: list[Row] = []
    known = known_fingerprints(_stored(portfolio, ledger), _name_of)
    found.marked, clashes = mark_duplicates(parsed.drafts, known, _named(assets))
    for clash in clashes:
        found.complain(*clash)
    if not found.problems:
        return found, _check(found, portfolio, assets, ledger, rows)
    return found, None


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
            asset = known[symbol] = found.new_assets[symbol] = _new_asset(symbol, one)
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


def _new_asset(symbol: str, one: BrokerSymbol) -> Asset:
    currency, unit = major_currency(one.currency or "USD")
    return Asset(symbol=symbol, name=one.name[:200], currency=currency, multiplier=one.multiplier or unit)


def _named(assets: Mapping[Asked, Asset]) -> Callable[[RowDraft], str]:
    def name_of(draft: RowDraft) -> str:
        asset = assets.get(_asked(draft))
        if asset is not None:
            return str(asset.symbol)
        return draft.symbol or draft.isin or draft.name

    return name_of


def _name_of(draft: RowDraft) -> str:
    return draft.symbol


def _stored(portfolio: Portfolio, ledger: list[Row]) -> Iterator[RowDraft]:
    """Yields the stored rows as drafts, and adds them to the ledger: they are read once."""
    for entry in portfolio.transactions.in_order().with_assets().iterator(chunk_size=READ_AT_ONCE):
        ledger.append(entry.as_row())
        yield draft_of(entry)


# --- from drafts to rows ------------------------------------------------------------------------------------


def _check(
    found: Import, portfolio: Portfolio, assets: Mapping[Asked, Asset], ledger: list[Row], rows: NewRows
) -> Books | None:
    """Completes and checks each new row by itself, then all of them together with the stored ones."""
    new = found.new
    newest = max((row.order[1] for row in ledger), default=0)
    # The rates of the whole file are read once.
    moments = [moment for one in new if (moment := _roughly(one.draft)) is not None]
    first, last = (min(moments) - DAY, max(moments) + DAY) if moments else (EVER, EVER)
    rates = PastRates(first, last, portfolio.viewer)
    # The ids that they will have if all goes well; only their order counts.
    ids = {one.draft.row: newest + n for n, one in enumerate(new, start=1) if one.draft.row is not None}
    lines: dict[int, int] = {}
    for number, one in enumerate(new, start=newest + 1):
        draft = one.draft
        try:
            entry, row = _booked(portfolio, draft, assets, rates, number, ids)
        except ValidationError as error:
            for column, messages in error.message_dict.items():
                found.complain(draft.line, column, " ".join(messages))
            continue
        except LedgerError as error:
            found.complain(draft.line, error.field, str(error))
            continue
        entry.fingerprint = one.fingerprint
        lines[number] = draft.line
        ledger.append(row)
        if not found.problems:
            rows.add(entry, draft)
    if not found.problems:
        ledger += [entry.as_row() for entry in rows.add_splits()]
        try:
            return portfolio.replay(ledger)
        except LedgerError as error:
            found.complain(lines.get(error.row.id or 0, 0), error.field, str(error))
    return None


def _roughly(draft: RowDraft) -> datetime | None:
    """The row's time, or the midnight of its date."""
    if draft.time is not None or draft.day is None:
        return draft.time
    return datetime.combine(draft.day, time(), UTC)


def _booked(
    portfolio: Portfolio,
    draft: RowDraft,
    assets: Mapping[Asked, Asset],
    rates: PastRates,
    id: int,
    ids: Mapping[int, int],
) -> tuple[Transaction, Row]:
    other = assets.get((draft.other_symbol, "", "")) if draft.other_symbol else None
    entry = entry_of(draft, portfolio, assets.get(_asked(draft)), other)
    if draft.kind != "reversal":
        complete(entry, rates)
    row = entry.as_row(id)
    if draft.lots or draft.reverses is not None:
        row = _linked(row, draft, ids)
    if draft.kind != "reversal":
        check_alone(entry, row)
    return entry, row


def _linked(row: Row, draft: RowDraft, ids: Mapping[int, int]) -> Row:
    """The row with the other rows of the file that it speaks of."""
    try:
        lots = tuple((ids[number], quantity) for number, quantity in draft.lots)
        reverses = ids[draft.reverses] if draft.reverses is not None else None
    except KeyError as error:
        column = "reverses" if draft.reverses is not None else "lots"
        raise ValidationError({column: f"expected a row of this file, was row {error}"}) from error
    return replace(row, lots=lots, reverses=reverses)
