"""What a file of rows becomes: drafts of rows, and every problem at its line and column.

A draft speaks the ledger's language, but knows the broker's symbols only, and leaves out what the booking finds by
itself (rates, base values, the asset's unit). Nothing here refuses a file; who books decides, all or nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

import msgspec

from portfolio.arithmetic import ZERO
from portfolio.rows import Kind

Delimiter = Literal[",", ";", "\t", "|"]
DELIMITERS: tuple[Delimiter, ...] = get_args(Delimiter)
DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

# A page of errors helps nobody; a file that has more is the wrong file.
MOST_PROBLEMS = 1_000

# What one hundredth of a currency is called by those who quote in it.
MINOR_UNITS = {"GBX": "GBP", "GBp": "GBP", "ZAC": "ZAR", "ZAc": "ZAR", "ILA": "ILS", "ILa": "ILS"}
HUNDREDTH = Decimal("0.01")


class OptionError(ValueError):
    """An option that no reader has; the message names what there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to read a file; what is None is found out from the file, or refused where it could mean two things.

    `time_zone` is that of times without one; `currency` that of rows without one.
    """

    delimiter: str | None = None
    decimal: str | None = None
    dates: str | None = None
    encoding: str | None = None
    time_zone: str | None = None
    currency: str | None = None

    def __post_init__(self) -> None:
        _one_of("delimiter", self.delimiter, DELIMITERS)
        _one_of("decimal", self.decimal, (".", ","))
        _one_of("dates", self.dates, ("iso", "dmy", "mdy", "ymd"))
        _one_of("encoding", self.encoding, ("utf-8", "utf-16", "cp1252"))
        if self.currency is not None and not is_currency(self.currency):
            raise OptionError(f"expected a currency like USD, was {self.currency!r}")
        self.zone("UTC")

    def zone(self, otherwise: str) -> ZoneInfo:
        name = self.time_zone or otherwise
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise OptionError(f"expected a time zone like Europe/Berlin, was {name!r}") from error


def _one_of(name: str, value: str | None, values: Sequence[str]) -> None:
    if value is not None and value not in values:
        raise OptionError(f"expected one of {', '.join(map(repr, values))} for {name}, was {value!r}")


def is_currency(text: str) -> bool:
    """Whether the text can be a currency's code: BTC and USDT are currencies to some brokers."""
    return 2 <= len(text) <= 10 and text.isascii() and text.isalnum() and text[0].isalpha()


def major_currency(code: str) -> tuple[str, Decimal]:
    """Returns the currency that a code stands for, and what makes its money of a price in that code."""
    major = MINOR_UNITS.get(code)
    return (code.upper(), Decimal(1)) if major is None else (major, HUNDREDTH)


class Problem(NamedTuple):
    """What keeps a row (or the file) from being read; line 1 is the first of the file."""

    line: int
    column: str
    message: str


class Notes:
    """Problems in the order of the file, at most MOST_PROBLEMS; `more` counts those beyond."""

    def __init__(self) -> None:
        self.all: list[Problem] = []
        self.more = 0

    @property
    def are_full(self) -> bool:
        """Whether no further one is kept, so that nobody need think about its words."""
        return len(self.all) >= MOST_PROBLEMS

    def add(self, line: int, column: str, message: str) -> None:
        if not self.are_full:
            self.all.append(Problem(line, column, message))
        else:
            self.more += 1


class RowDraft(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it was read; the fields are those of the ledger's Row.

    It has either a `time` (aware, UTC) or, if the file has none, a `day`. `multiplier` makes money of price times
    quantity as the broker states them; None leaves it to the asset. `row` is the number that `lots` and `reverses`
    of other rows of the same file speak of. `trade_id` begins with the preset's name.
    """

    line: int
    kind: Kind
    time: datetime | None = None
    day: date | None = None
    symbol: str = ""
    isin: str = ""
    name: str = ""
    exchange: str = ""
    currency: str = ""
    multiplier: Decimal | None = None
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    amount: Decimal = ZERO
    fee: Decimal = ZERO
    fee_currency: str = ""
    fee_rate: Decimal | None = None
    tax: Decimal = ZERO
    rate: Decimal | None = None
    base_value: Decimal | None = None
    settlement_currency: str = ""
    settlement_rate: Decimal | None = None
    to_currency: str = ""
    to_amount: Decimal = ZERO
    pay_time: datetime | None = None
    pay_day: date | None = None
    numerator: int = 0
    denominator: int = 0
    other_symbol: str = ""
    other_currency: str = ""
    other_multiplier: Decimal | None = None
    option_right: str = ""
    cost_share: Decimal = ZERO
    cost: Decimal = ZERO
    base_cost: Decimal | None = None
    opened: datetime | None = None
    lots: tuple[tuple[int, Decimal], ...] = ()
    reverses: int | None = None
    row: int | None = None
    trade_id: str = ""
    note: str = ""
    raw: str = ""

    @property
    def moment(self) -> str:
        """The time or day as text, in which drafts compare."""
        return self.time.isoformat() if self.time is not None else str(self.day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """All that was read of a file. `left_out` are rows that the preset knows and that no ledger row can say."""

    drafts: list[RowDraft]
    problems: list[Problem]
    more_problems: int = 0
    left_out: list[Problem] = field(default_factory=list)
    more_left_out: int = 0
    preset: str | None = None
    delimiter: str = ""
    encoding: str = ""


class BrokerSymbol(NamedTuple):
    """An asset as a file names it: what the user maps to one of ours."""

    symbol: str
    isin: str
    name: str
    exchange: str
    currency: str
    multiplier: Decimal | None
    rows: int
    first_line: int


def symbols(drafts: Iterable[RowDraft]) -> list[BrokerSymbol]:
    """Returns each asset that the drafts speak of, in order of its first row.

    What two rows say differently of the same symbol and ISIN (a name, a currency) is taken from the first that says
    anything. The other asset of a spin-off or a merger is one, too.
    """
    found: dict[tuple[str, str, str], BrokerSymbol] = {}
    for draft in drafts:
        mentions = [(draft.symbol, draft.isin, draft.name, draft.currency, draft.multiplier)]
        if draft.other_symbol:
            mentions.append((draft.other_symbol, "", "", draft.other_currency, draft.other_multiplier))
        for symbol, isin, name, currency, multiplier in mentions:
            if not (symbol or isin or name):
                continue
            # A name is only a name while there is something better.
            key = (symbol, isin, "" if symbol or isin else name)
            old = found.get(key)
            if old is None:
                found[key] = BrokerSymbol(
                    symbol, isin, name, draft.exchange, currency, multiplier, 1, draft.line
                )
            else:
                found[key] = old._replace(
                    name=old.name or name,
                    exchange=old.exchange or draft.exchange,
                    currency=old.currency or currency,
                    multiplier=multiplier if old.multiplier is None else old.multiplier,
                    rows=old.rows + 1,
                )
    return list(found.values())


# What a row of a kind cannot do without; an ISIN or a name may stand for the symbol.
NEEDED: dict[Kind, tuple[str, ...]] = {
    "buy": ("symbol", "quantity"),
    "sell": ("symbol", "quantity"),
    "deposit": ("amount",),
    "withdrawal": ("amount",),
    "transfer_in": ("symbol", "quantity"),
    "transfer_out": ("symbol", "quantity"),
    "convert": ("amount", "currency", "to_amount", "to_currency"),
    "dividend": ("symbol", "amount"),
    "interest": ("amount",),
    "fee": ("amount",),
    "tax": ("amount",),
    "split": ("symbol", "numerator", "denominator"),
    "bonus": ("symbol", "numerator", "denominator"),
    "cash_in_lieu": ("symbol", "quantity"),
    "return_of_capital": ("symbol", "amount"),
    "spinoff": ("symbol", "other_symbol", "numerator", "denominator"),
    "merger": ("symbol",),
    "symbol_change": ("symbol", "other_symbol"),
    "expire": ("symbol", "quantity"),
    "exercise": ("symbol", "other_symbol", "quantity", "option_right"),
    "assign": ("symbol", "other_symbol", "quantity", "option_right"),
    "reversal": ("reverses",),
}
# Below zero they are paid (a short's dividend). What comes back of a fee or a tax is interest: income, not a cost.
MAY_BE_NEGATIVE: frozenset[Kind] = frozenset({"dividend", "interest"})
NOT_NEGATIVE = ("quantity", "price", "fee", "tax", "to_amount", "cost", "cost_share")
_NAMED = {
    "amount": "an amount",
    "reverses": "the row to take back",
    "to_amount": "an amount to convert to",
    "to_currency": "a currency to convert to",
    "other_symbol": "the other symbol",
    "option_right": "call or put",
}
ABOVE_ZERO = ("rate", "fee_rate", "settlement_rate", "multiplier", "other_multiplier")


def check(draft: RowDraft, complain: Callable[[str, str], None]) -> None:
    """Calls `complain(field, message)` for each number or missing field that no row of that kind can have."""
    for name in NEEDED[draft.kind]:
        if not getattr(draft, name) and not (name == "symbol" and (draft.isin or draft.name)):
            complain(name, f"expected {_NAMED.get(name, f'a {name}')} with a {draft.kind}, was none")
    if draft.amount < 0 and draft.kind not in MAY_BE_NEGATIVE:
        complain("amount", f"expected more than 0, was {draft.amount:f}")
    for name in NOT_NEGATIVE:
        if getattr(draft, name) < 0:
            complain(name, f"expected 0 or more, was {getattr(draft, name):f}")
    for name in ABOVE_ZERO:
        value = getattr(draft, name)
        if value is not None and value <= 0:
            complain(name, f"expected more than 0, was {value:f}")
