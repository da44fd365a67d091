"""Interactive Brokers' Flex queries as CSV: trades and cash transactions, also both in one file.

Column names are those of ibkrguides.com; rows as in Export-To-Ghostfolio's samples and the tests of five other public
importers. Lines BOF, BOA, BOS, EOS, EOA, EOF, MSG and the words HEADER and DATA before a row may be there or not.
Executions are read where there are any, else orders; summaries and closed lots repeat them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from portfolio.arithmetic import ZERO
from portfolio.imports.cells import quoted
from portfolio.imports.interactive_brokers_cash import CashLine, What, add_cash, bounded_text, subject
from portfolio.imports.reading import Reading
from portfolio.imports.tables import Record, Table, normal
from portfolio.rows import Kind

# "ClientAccountID",…,"CurrencyPrimary","AssetClass","Symbol","ISIN","Multiplier","DateTime","Quantity","TradePrice",
#   "Taxes","IBCommission","IBCommissionCurrency","Buy/Sell","TradeID","TransactionID","LevelOfDetail"
# "U1",…,"USD","STK","AAPL","US0378331005","1","20260106;093000","100","50.00","0","-1","USD","BUY","111111",…
# "Type","SettleDate","ISIN","Description","Amount","CurrencyPrimary"
# "Dividends","20230623","US9220427424","VT(US9220427424) CASH DIVIDEND USD 0.6504 PER SHARE (Ordinary Dividend)",…
TRADE_COLUMNS = ("CurrencyPrimary", "Quantity", "TradePrice")
CASH_COLUMNS = ("Type", "CurrencyPrimary", "Amount")
FURNITURE = {"bof", "boa", "bos", "eos", "eoa", "eof", "msg"}

_TRADE_NAMES = {
    "time": "DateTime", "price": "TradePrice", "fee": "IBCommission", "currency": "CurrencyPrimary",
    "fee_currency": "IBCommissionCurrency", "amount": "Quantity", "to_amount": "Proceeds", "to_currency": "Symbol",
}  # fmt: skip
_CASH_NAMES = {
    "time": "DateTime",
    "note": "Description",
    "symbol": "Description",
    "currency": "CurrencyPrimary",
}
_CASH_TYPES: dict[str, What] = {
    "dividends": "dividend",
    "payment in lieu of dividends": "dividend",
    "withholding tax": "withholding",
    "871(m) withholding": "withholding",
    "broker interest received": "interest",
    "broker interest paid": "interest",
    "bond interest received": "interest",
    "bond interest paid": "interest",
    "other fees": "fee",
    "broker fees": "fee",
    "advisor fees": "fee",
    "commission adjustments": "fee",
    "price adjustments": "fee",
    "other income": "interest",
    "deposits & withdrawals": "cash",
    "deposits/withdrawals": "cash",
    "deposits and withdrawals": "cash",
}
_NOT_BOOKED = {"fut", "fop", "fsfop", "cfd", "cmdty"}
_PAIR = re.compile(r"(?P<base>[A-Z]{3})\.(?P<quote>[A-Z]{3})")


def find(head: Sequence[Record]) -> int | None:
    return next((index for index, (_, row) in enumerate(head) if _is_header(row)), None)


def _is_header(row: Sequence[str]) -> bool:
    names = {normal(cell) for cell in row}
    return any({normal(name) for name in wanted} <= names for wanted in (TRADE_COLUMNS, CASH_COLUMNS))


def read(reading: Reading) -> None:
    cash: list[CashLine] = []
    for table in _tables(reading):
        if table.has(*TRADE_COLUMNS):
            _trades(reading, table)
        elif table.has(*CASH_COLUMNS):
            cash.extend(_cash_lines(table))
    add_cash(reading, cash, _CASH_NAMES)


def _tables(reading: Reading) -> Iterator[Table]:
    """Each header with the rows below it; any row that names currencies' column is a header."""
    header: list[str] = []
    line, rows = 0, list[Record]()
    for at, cells in reading.records[reading.start :]:
        if normal(cells[0]) in FURNITURE:
            continue
        if "currencyprimary" in map(normal, cells):
            if header:
                yield _table(reading, header, rows, line)
            line, header, rows = at, cells, []
        else:
            rows.append(Record(at, cells))
    if header:
        yield _table(reading, header, rows, line)


def _table(reading: Reading, header: list[str], rows: list[Record], line: int) -> Table:
    return reading.table_of(header, rows, line, zone="America/New_York", order="ymd", decimal=".")


def _wanted(table: Table, best: str, second: str) -> Iterator[int]:
    """The rows of the finest level there is."""
    levels = list(map(normal, table.texts("LevelOfDetail")))
    wanted = {best, ""} if best in levels else {second, ""}
    return (index for index, level in enumerate(levels) if level in wanted)


def _trades(reading: Reading, table: Table) -> None:
    when = next((name for name in ("DateTime", "Date/Time", "TradeDate") if table.has(name)), "DateTime")
    if not table.needs(*TRADE_COLUMNS, when):
        return
    texts = {
        name: table.texts(name)
        for name in (
            "AssetClass", "Symbol", "ISIN", "Description", "ListingExchange", "CurrencyPrimary", "Buy/Sell", "TradeID",
            "TransactionID", "IBExecID", "IBCommissionCurrency",  "Notes/Codes",
        )
    }  # fmt: skip
    numbers = {
        name: table.numbers(name)
        for name in (
            "Quantity",
            "TradePrice",
            "Proceeds",
            "TradeMoney",
            "Taxes",
            "IBCommission",
            "Multiplier",
        )
    }
    whens = table.moments(when)
    columns = _TRADE_NAMES | {"time": when}
    for index in _wanted(table, "execution", "order"):
        if index in table.bad:
            continue
        text = {name: column[index] for name, column in texts.items()}
        value = {name: column[index] for name, column in numbers.items()}
        category, symbol = normal(text["AssetClass"]), text["Symbol"]
        if category in _NOT_BOOKED:
            reading.leave_out(
                table, index, "AssetClass", f"{text['AssetClass']} cannot be booked, was {quoted(symbol)}"
            )
            continue
        quantity = _signed(table, index, value["Quantity"], text["Buy/Sell"])
        if quantity is None or value["TradePrice"] is None:
            continue
        identity = text["TradeID"] or text["IBExecID"] or text["TransactionID"]
        fields: dict[str, Any] = {
            "currency": text["CurrencyPrimary"],
            "fee": -(value["IBCommission"] or ZERO),
            "fee_currency": text["IBCommissionCurrency"],
            "trade_id": f"interactive_brokers:{identity}" if identity else "",
        }
        # Without an ISIN and an asset class, only a pair's name tells a conversion.
        if category == "cash" or (not category and _PAIR.fullmatch(symbol)):
            money = value["Proceeds"] if value["Proceeds"] is not None else value["TradeMoney"]
            add_conversion(
                reading,
                table,
                index,
                whens[index],
                columns,
                symbol,
                quantity,
                value["TradePrice"],
                money,
                fields,
            )
            continue
        kind: Kind = "buy" if quantity > 0 else "sell"
        if "Ep" in text["Notes/Codes"].split(";"):
            kind = "expire"
        add_trade(
            reading,
            table,
            index,
            whens[index],
            columns,
            kind,
            taxes=-(value["Taxes"] or ZERO),
            symbol=symbol,
            isin=text["ISIN"],
            name=text["Description"],
            exchange=text["ListingExchange"],
            quantity=abs(quantity),
            price=value["TradePrice"],
            multiplier=_multiplier(category, value["Multiplier"]),
            **fields,
        )


def _signed(table: Table, index: int, quantity: Decimal | None, side: str) -> Decimal | None:
    """The quantity by its side, if the file has one; some versions sign it as well, some do not."""
    if not quantity:
        table.fail(index, "Quantity", "expected a quantity other than 0, was none")
        return None
    match normal(side):
        case "buy":
            return abs(quantity)
        case "sell":
            return -abs(quantity)
        case "":
            return quantity
    table.fail(
        index, "Buy/Sell", f"expected BUY or SELL, was {quoted(side)}: export without cancelled trades"
    )
    return None


def _multiplier(category: str, stated: Decimal | None) -> Decimal | None:
    """A bond's is stated as 1, its price in percent."""
    if category in ("bond", "bill"):
        return Decimal("0.01")
    return stated or None


def _cash_lines(table: Table) -> Iterator[CashLine]:
    days = ("SettleDate", "DateTime", "Date/Time", "ReportDate")
    when = next((name for name in days if table.has(name)), days[0])
    if not table.needs(*CASH_COLUMNS, when):
        return
    texts = {
        name: table.texts(name)
        for name in ("Type", "CurrencyPrimary", "Description", "Symbol", "ISIN", "TransactionID")
    }
    whens, amounts = table.moments(when), table.numbers("Amount")
    for index in _wanted(table, "detail", "summary"):
        text = {name: column[index] for name, column in texts.items()}
        what = _CASH_TYPES.get(normal(text["Type"]))
        if what is None:
            table.fail(index, "Type", f"expected a type of cash that we know, was {quoted(text['Type'])}")
            continue
        description = bounded_text(text["Description"])
        symbol, isin = subject(description)
        identity = text["TransactionID"]
        yield CashLine(
            table=table,
            index=index,
            what=what,
            when=whens[index],
            currency=text["CurrencyPrimary"],
            amount=amounts[index] or ZERO,
            description=description,
            symbol=text["Symbol"] or symbol,
            isin=text["ISIN"] or isin,
            id=f"interactive_brokers:{identity}" if identity else "",
        )


def add_trade(
    reading: Reading,
    table: Table,
    index: int,
    when: datetime | date | None,
    columns: Mapping[str, str],
    kind: Kind,
    *,
    taxes: Decimal = ZERO,
    fee: Decimal = ZERO,
    fee_currency: str = "",
    currency: str = "",
    **fields: Any,
) -> None:
    """Adds a trade; a rebate, or a tax in another currency than the commission, is a row of its own."""
    apart: list[tuple[Kind, Decimal, str]] = []
    if fee < 0:
        apart.append(("interest", -fee, fee_currency or currency))
        fee = ZERO
    tax = ZERO
    if taxes > 0 and kind == "sell":
        tax = taxes
    elif taxes > 0 and (not fee or fee_currency in ("", currency)):
        # A purchase's tax is part of what the shares cost.
        fee += taxes
        fee_currency = currency
    elif taxes > 0:
        apart.append(("tax", taxes, currency))
    elif taxes < 0:
        apart.append(("interest", -taxes, currency))
    if fee_currency == currency or not fee:
        fee_currency = ""
    reading.add(
        table,
        index,
        when,
        kind,
        columns,
        currency=currency,
        fee=fee,
        fee_currency=fee_currency,
        tax=tax,
        **fields,
    )
    for kind_apart, amount, money in apart:
        kept = {
            name: fields[name]
            for name in ("symbol", "isin", "name", "exchange", "trade_id")
            if name in fields
        }
        reading.add(table, index, when, kind_apart, columns, currency=money, amount=amount, **kept)


def add_conversion(
    reading: Reading,
    table: Table,
    index: int,
    when: datetime | date | None,
    columns: Mapping[str, str],
    symbol: str,
    quantity: Decimal,
    price: Decimal,
    money: Decimal | None,
    fields: dict[str, Any],
) -> None:
    """Adds a conversion: quantity is of the pair's first currency, the money of its second."""
    pair = _PAIR.fullmatch(symbol)
    quote = str(fields.pop("currency"))
    base = pair["base"] if pair else symbol
    paid = abs(money) if money else abs(quantity) * abs(price)
    given, taken = ((quote, paid), (base, abs(quantity)))
    if quantity < 0:
        given, taken = taken, given
    fee = fields.pop("fee")
    fee_currency = fields.pop("fee_currency") or quote
    if fee < 0:
        reading.add(table, index, when, "interest", columns, currency=fee_currency, amount=-fee, **fields)
        fee = ZERO
    reading.add(
        table,
        index,
        when,
        "convert",
        columns,
        currency=given[0],
        amount=given[1],
        to_currency=taken[0],
        to_amount=taken[1],
        fee=fee,
        fee_currency=fee_currency if fee and fee_currency != given[0] else "",
        note=symbol,
        **fields,
    )
