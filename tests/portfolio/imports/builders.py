"""Files of rows for tests: made-up exports of each broker, and short ones written in place."""

from collections.abc import Iterable
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from portfolio.imports.drafts import Options, Parsed, RowDraft
from portfolio.imports.parsing import parse
from portfolio.ledger import Row, replay

FILES = Path(__file__).parent / "files"
DEFAULTS = RowDraft(line=0, kind="buy")


def parsed_file(name: str, preset: str | None = None, **options: Any) -> Parsed:
    return parse((FILES / name).read_bytes(), preset, Options(**options))


def parsed_text(text: str, preset: str | None = None, **options: Any) -> Parsed:
    return parse(text.encode(), preset, Options(**options))


def messages(parsed: Parsed) -> list[tuple[int, str, str]]:
    return [tuple(problem) for problem in parsed.problems]


def make_draft(kind: Any = "buy", **values: Any) -> RowDraft:
    """A draft; numbers may be given as text."""
    for name, value in values.items():
        default = getattr(DEFAULTS, name)
        if isinstance(value, str) and (isinstance(default, Decimal) or name == "multiplier"):
            values[name] = Decimal(value)
    if not {"time", "day"} & set(values):
        values["time"] = datetime(2026, 11, 20, 15, 5, tzinfo=UTC)
    return RowDraft(line=values.pop("line", 2), kind=kind, **values)


def said(draft: RowDraft) -> dict[str, Any]:
    """What a draft says beyond the defaults, its place in the file apart."""
    return {
        name: getattr(draft, name)
        for name in draft.__struct_fields__
        if (name not in ("line", "raw") and getattr(draft, name) != getattr(DEFAULTS, name)) or name == "kind"
    }


def booked(drafts: Iterable[RowDraft]) -> dict[str, Decimal]:
    """Books drafts with every rate 1, which checks each row, and returns what is held and the cash."""
    rows = [_row(draft, number) for number, draft in enumerate(drafts, start=1)]
    books = replay(rows, short_sales=True)
    held = {symbol: account.quantity for symbol, account in books.accounts.items()}
    return held | {currency: account.balance for currency, account in books.cash.items()}


def _row(draft: RowDraft, number: int) -> Row:
    def at(moment: datetime | None, day: Any) -> Any:
        return moment or (day and datetime.combine(day, time(0), UTC))

    values = {
        name: getattr(draft, name) for name in draft.__struct_fields__ if name in Row.__dataclass_fields__
    }
    for name in (
        "symbol",
        "fee_currency",
        "settlement_currency",
        "to_currency",
        "other_symbol",
        "option_right",
    ):
        values[name] = values[name] or None
    values["symbol"] = draft.symbol or draft.isin or draft.name or None
    values["currency"] = draft.currency or "EUR"
    values["other_currency"] = draft.other_currency or None
    values["time"], values["pay_time"] = at(draft.time, draft.day), at(draft.pay_time, draft.pay_day)
    values["rate"] = draft.rate or Decimal(1)
    values["multiplier"] = draft.multiplier or Decimal(100 if draft.kind == "expire" else 1)
    values["other_multiplier"] = draft.other_multiplier or Decimal(1)
    if draft.fee_currency:
        values["fee_rate"] = Decimal(1)
    return Row(id=number, order=(number, 0), **values)
