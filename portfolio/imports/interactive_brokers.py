"""Interactive Brokers: the activity statement (CSV, English) and Flex queries (CSV) of trades and cash.

Checked against rows of statements since 2013 in some twenty public importers and their tests, and against the field
list of ibkrguides.com; a statement names no time zone: times are taken as New York's (choose another by option).
Splits are read; other corporate actions, transfers and futures are left out. Exercises come as their plain trades.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from portfolio.arithmetic import ZERO
from portfolio.imports import interactive_brokers_flex as flex
from portfolio.imports.cells import quoted
from portfolio.imports.interactive_brokers_cash import CashLine, What, add_cash, bounded_text, subject
from portfolio.imports.reading import Preset, Reading
from portfolio.imports.tables import Record, Table, normal
from portfolio.rows import Kind

# Statement,Header,Field Name,Field Value
# Trades,Header,DataDiscriminator,Asset Category,Currency,Symbol,Date/Time,Quantity,T. Price,C. Price,Proceeds,…
# Trades,Data,Order,Stocks,USD,AAPL,"2024-01-10, 10:30:00",10,190,195,-1900,-1,1901,0,50,O
# Trades,SubTotal,,Stocks,USD,AAPL,,10,,,-1900,-1,1901,0,50,
# Dividends,Data,USD,2024-08-15,AAPL(US0378331005) Cash Dividend USD 0.24 per Share (Ordinary Dividend),15
# Withholding Tax,Data,USD,2024-08-15,AAPL(US0378331005) Cash Dividend USD 0.24 per Share - US Tax,-2.25,
HEADER = ("Statement", "Header", "Field Name", "Field Value")
ZONE = "America/New_York"
NOT_BOOKED = {"futures", "options on futures", "cfds", "forex cfds", "metals", "structured products"}

_CASH: dict[str, What] = {
    "dividends": "dividend",
    "payment in lieu of dividends": "dividend",
    "withholding tax": "withholding",
    "871(m) withholding": "withholding",
    "interest": "interest",
    "bond interest received": "interest",
    "bond interest paid": "interest",
    "broker interest received": "interest",
    "broker interest paid": "interest",
    "fees": "fee",
    "other fees": "fee",
    "advisor fees": "fee",
    "transaction fees": "fee",
    "commission adjustments": "fee",
    "deposits & withdrawals": "cash",
    "deposits/withdrawals": "cash",
}
# Sections of which each row changes what is held; what others say is a repetition or information.
_BY_HAND = {
    "transfers",
    "grant activity",
    "incoming/outgoing trade transfers",
    "trade transfers",
    "option cash settlements",
}
_READ = {*_CASH, *_BY_HAND, "trades", "corporate actions", "account information"}
_CASH_COLUMNS = {"time": "Date", "amount": "Amount", "note": "Description", "symbol": "Description"}
_TRADE_COLUMNS = {
    "time": "Date/Time", "price": "T. Price", "fee": "Comm/Fee", "amount": "Proceeds", "to_amount": "Proceeds",
    "to_currency": "Symbol",
}  # fmt: skip
_SPLIT = re.compile(r"split (?P<new>[0-9]{1,9}) for (?P<old>[0-9]{1,9})\b", re.IGNORECASE)
_MULTIPLIERS = tuple(map(Decimal, ("1", "100", "0.01", "10", "1000")))


def find(head: Sequence[Record]) -> int | None:
    for index, (_, row) in enumerate(head):
        if len(row) > 2 and normal(row[1]) == "header" and normal(row[0]) in ("statement", "trades"):
            return index
    return flex.find(head)


def read(reading: Reading) -> None:
    if normal(reading.records[reading.start].cells[1]) != "header":
        flex.read(reading)
        return
    sections = list(_sections(reading))
    if not any(section in _READ for section, _ in sections):
        names = ", ".join(quoted(section) for section, _ in sections[:8])
        reading.problems.add(1, "", f"expected an English statement with a section like Trades, was {names}")
    cash: list[CashLine] = []
    has_orders = any(_orders(table) for section, table in sections if section == "trades")
    for section, table in sections:
        what = _CASH.get(section)
        if what is not None:
            cash.extend(_cash_lines(table, what))
        elif section == "trades":
            _trades(reading, table, has_orders)
        elif section == "corporate actions":
            _corporate_actions(reading, table)
        elif section in _BY_HAND:
            for index in range(len(table.rows)):
                reading.leave_out(table, index, "", f"a row of {section}: enter it by hand")
    add_cash(reading, cash, _CASH_COLUMNS)
    instruments = _instruments(sections)
    for place, draft in enumerate(reading.drafts):
        isin, name, exchange = instruments.get(draft.symbol, ("", "", ""))
        if isin or name:
            reading.drafts[place] = msgspec.structs.replace(
                draft,
                isin=draft.isin or (isin if len(isin) == 12 else ""),
                name=draft.name or name,
                exchange=draft.exchange or exchange,
            )


def _sections(reading: Reading) -> Iterator[tuple[str, Table]]:
    """Each header with the data rows that follow it; a section may have several (forex trades have their own)."""
    section, line, header, rows = "", 0, [""], list[Record]()

    def table() -> Table:
        return reading.table_of(header, rows, line, zone=ZONE, decimal=".", exact=False)

    for at, cells in reading.records[reading.start :]:
        kind = normal(cells[1]) if len(cells) > 2 else ""
        if kind == "header":
            if section:
                yield section, table()
            section, line, header, rows = normal(cells[0]), at, cells[2:], []
        # A row of sums begins with "Total" or "Total in EUR" where a currency should stand.
        elif (
            kind == "data"
            and normal(cells[0]) == section
            and not normal(cells[2]).startswith(("total", "subtotal"))
        ):
            rows.append(Record(at, cells[2:]))
    if section:
        yield section, table()


def _instruments(sections: Sequence[tuple[str, Table]]) -> dict[str, tuple[str, str, str]]:
    """The ISIN, name and exchange of each symbol; the section comes after the trades."""
    found: dict[str, tuple[str, str, str]] = {}
    for section, table in sections:
        if section != "financial instrument information":
            continue
        isins, names, exchanges = (
            table.texts(name) for name in ("Security ID", "Description", "Listing Exch")
        )
        for index, listed in enumerate(table.texts("Symbol")):
            for symbol in listed.split(","):
                found.setdefault(symbol.strip(), (isins[index], names[index], exchanges[index]))
    return found


def _cash_lines(table: Table, what: What) -> Iterator[CashLine]:
    day = next((name for name in ("Date", "Settle Date", "Date/Time") if table.has(name)), "Date")
    if not table.needs("Currency", day, "Amount"):
        return
    whens, amounts = table.moments(day), table.numbers("Amount")
    descriptions = list(map(bounded_text, table.texts("Description")))
    currencies, named = table.texts("Currency"), table.texts("Symbol")
    for index, amount in enumerate(amounts):
        symbol, isin = subject(descriptions[index])
        yield CashLine(
            table=table,
            index=index,
            what=what,
            when=whens[index],
            currency=currencies[index],
            amount=amount or ZERO,
            description=descriptions[index],
            symbol=symbol or named[index],
            isin=isin,
        )


def _orders(table: Table) -> bool:
    """Whether the table states orders; then its rows of single trades repeat them."""
    return "order" in map(normal, table.texts("DataDiscriminator"))


def _trades(reading: Reading, table: Table, has_orders: bool) -> None:
    commission = next((name for name in table.names if normal(name).startswith("comm")), "Comm/Fee")
    if not table.needs(
        "Asset Category", "Currency", "Symbol", "Date/Time", "Quantity", "T. Price", commission
    ):
        return
    commission_currency = normal(commission).removeprefix("comm in ").upper() if " in " in commission else ""
    levels, categories = table.texts("DataDiscriminator"), table.texts("Asset Category")
    symbols, currencies, codes = table.texts("Symbol"), table.texts("Currency"), table.texts("Code")
    whens = table.moments("Date/Time")
    quantities, prices = table.numbers("Quantity"), table.numbers("T. Price")
    proceeds, commissions = table.numbers("Proceeds"), table.numbers(commission)
    wanted = {"order", ""} if has_orders else {"trade", ""}
    for index, level in enumerate(levels):
        if normal(level) not in wanted or index in table.bad:
            continue
        category, symbol = normal(categories[index]), symbols[index]
        quantity, price = quantities[index], prices[index]
        if category in NOT_BOOKED:
            reading.leave_out(
                table, index, "Asset Category", f"{category} cannot be booked, was {quoted(symbol)}"
            )
            continue
        if not quantity or price is None:
            table.fail(index, "Quantity", "expected a quantity and a price, was none")
            continue
        fields: dict[str, Any] = {
            "currency": currencies[index],
            "fee_currency": commission_currency,
            "fee": -(commissions[index] or ZERO),
        }
        if category == "forex":
            flex.add_conversion(
                reading,
                table,
                index,
                whens[index],
                _TRADE_COLUMNS,
                symbol,
                quantity,
                price,
                proceeds[index],
                fields,
            )
            continue
        money = abs(proceeds[index] or ZERO)
        flex.add_trade(
            reading,
            table,
            index,
            whens[index],
            _TRADE_COLUMNS,
            _kind(quantity, codes[index]),
            symbol=symbol,
            quantity=abs(quantity),
            price=price,
            multiplier=_multiplier(abs(quantity) * price, money),
            **fields,
        )


def _kind(quantity: Decimal, codes: str) -> Kind:
    if "Ep" in codes.split(";"):
        return "expire"
    return "buy" if quantity > 0 else "sell"


def _multiplier(value: Decimal, money: Decimal) -> Decimal | None:
    """What makes the proceeds of quantity times price: 100 for options, 0.01 for bonds in percent."""
    if not value or not money:
        return None
    fits = [each for each in _MULTIPLIERS if abs(value * each - money) * 100 <= money]
    return fits[0] if fits else None


def _corporate_actions(reading: Reading, table: Table) -> None:
    when = next((name for name in ("Date/Time", "Report Date") if table.has(name)), "Date/Time")
    if not table.needs("Description", when):
        return
    descriptions, whens = list(map(bounded_text, table.texts("Description"))), table.moments(when)
    currencies, reports = table.texts("Currency"), table.moments("Report Date")
    seen: set[tuple[str, datetime | date | None]] = set()
    for index, description in enumerate(descriptions):
        if index in table.bad:
            continue
        split = _SPLIT.search(description)
        if split is None:
            reading.leave_out(
                table,
                index,
                "Description",
                f"a corporate action: enter it by hand, was {quoted(description)}",
            )
            continue
        # A reverse split is two rows: the old shares go, the new ones come.
        if (description, whens[index]) in seen:
            continue
        seen.add((description, whens[index]))
        symbol, isin = subject(description)
        reading.add(
            table,
            index,
            # It is booked the evening before; the report date is the first day in new shares.
            _day(reports[index] or whens[index]),
            "split",
            {"time": when},
            symbol=symbol,
            isin=isin,
            currency=currencies[index],
            numerator=int(split["new"]),
            denominator=int(split["old"]),
            note=description,
        )


def _day(when: datetime | date | None) -> date | None:
    return when.date() if isinstance(when, datetime) else when


PRESET = Preset(
    "interactive_brokers", "Interactive Brokers statement or Flex query (CSV)", HEADER, find, read
)
