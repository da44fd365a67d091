"""Portfolio Performance: File > Export (account or securities transactions) and the table of all transactions, as CSV.

Checked against its CSVExporter.java, labels.properties and TextUtil.java (a semicolon unless the decimal separator is a
point; Switzerland has both), English and German. Of File > Export take the accounts' file, which has the trades too.
Prices are the money by the shares, 18 places. Its times have no zone: UTC, or the option's.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from portfolio.arithmetic import ZERO
from portfolio.imports.cells import per_unit, quoted
from portfolio.imports.drafts import major_currency
from portfolio.imports.reading import Preset, Reading
from portfolio.imports.tables import Record, Table, normal

# Datum;Typ;Wert;Buchungswährung;Bruttobetrag;Währung Bruttobetrag;Wechselkurs;Gebühren;Steuern;Stück;ISIN;WKN;
#   Ticker-Symbol;Wertpapiername;Notiz
# 2024-02-01T10:00;Kauf;-2.112,40;EUR;2.300,00;USD;0,9179;1,00;;12,5;US0378331005;865985;AAPL;Apple Inc.;
# Datum;Typ;Wertpapier;Stück;Kurs;Betrag;Gebühren;Steuern;Gesamtpreis;Konto;Gegenkonto;Notiz;Quelle
# 2024-01-15 10:01:00;Kauf;Nordwind AG;10;150,00;1.500,00;2,50;;1.502,50;Depot;Girokonto;;
HEADER = ("Date", "Type", "Value", "Transaction Currency", "Fees", "Taxes", "Shares")
NAMES: Mapping[str, tuple[str, ...]] = {
    "date": ("Date", "Datum"),
    "ex_date": ("Ex-Date", "Ex Date", "Ex-Tag", "Ex-Datum"),
    "type": ("Type", "Typ"),
    "value": ("Value", "Wert"),
    "currency": ("Transaction Currency", "Buchungswährung"),
    "gross": ("Gross Amount", "Bruttobetrag"),
    "gross_currency": ("Currency Gross Amount", "Währung Bruttobetrag"),
    "fees": ("Fees", "Gebühren"),
    "taxes": ("Taxes", "Steuern"),
    "shares": ("Shares", "Stück"),
    "isin": ("ISIN",),
    "symbol": ("Ticker Symbol", "Ticker-Symbol"),
    "name": ("Security Name", "Wertpapiername", "Security", "Wertpapier"),
    "note": ("Note", "Notiz"),
    "quote": ("Quote", "Kurs"),
    "amount": ("Amount", "Betrag"),
    "net": ("Net Transaction Value", "Gesamtpreis"),
}
_FILE = ("date", "type", "value", "shares")
_TABLE = ("date", "type", "shares", "quote", "amount")
_NUMBERS = ("value", "gross", "fees", "taxes", "shares", "quote", "amount", "net")
_TYPES = {
    "buy": "buy", "kauf": "buy", "sell": "sell", "verkauf": "sell",
    "deposit": "deposit", "einlage": "deposit", "removal": "withdrawal", "entnahme": "withdrawal",
    "dividend": "dividend", "dividends": "dividend", "dividende": "dividend",
    "interest": "interest", "zinsen": "interest", "interest charge": "charge", "zinsbelastung": "charge",
    "fees": "fee", "gebühren": "fee", "fees refund": "fee refund", "gebührenerstattung": "fee refund",
    "taxes": "tax", "steuern": "tax", "tax refund": "tax refund", "steuerrückerstattung": "tax refund",
    "transfer (inbound)": "in", "umbuchung (eingang)": "in", "transfer (outbound)": "out", "umbuchung (ausgang)": "out",
    "delivery (inbound)": "transfer_in", "einlieferung": "transfer_in",
    "delivery (outbound)": "transfer_out", "auslieferung": "transfer_out",
}  # fmt: skip
_PREFIX = re.compile(r"([A-Z]{3})[\s\u00a0]+(?=[-+\u22120-9])")


def find(head: Sequence[Record]) -> int | None:
    for index, (_, row) in enumerate(head):
        names = {normal(cell) for cell in row}
        if any(
            all(names & {normal(each) for each in NAMES[name]} for name in wanted)
            for wanted in (_FILE, _TABLE)
        ):
            return index
    return None


def read(reading: Reading) -> None:
    table = reading.table(decimal="." if reading.delimiter == "," else None)
    columns = {
        name: next((each for each in known if table.has(each)), known[0]) for name, known in NAMES.items()
    }
    is_file = all(table.has(columns[name]) for name in _FILE)
    if not table.needs(
        *(columns[name] for name in (_FILE if is_file else _TABLE)), columns["fees"], columns["taxes"]
    ):
        return
    table.prove_decimal((columns[name] for name in _NUMBERS), _without_currency)
    texts = {
        name: table.texts(columns[name])
        for name in ("type", "currency", "gross_currency", "isin", "symbol", "name", "note")
    }
    prefixes = {
        name: [_currency_of(text) for text in table.texts(columns[name])]
        for name in ("quote", "amount", "net")
    }
    numbers = {name: table.numbers(columns[name], _without_currency) for name in _NUMBERS}
    whens = table.moments(columns["date"], _without_midnight)
    ex_dates = table.moments(columns["ex_date"], _without_midnight)
    named = {
        "time": columns["date"], "kind": columns["type"], "quantity": columns["shares"],
        "amount": columns["value" if is_file else "amount"],
        "fee": columns["fees"], "tax": columns["taxes"], "symbol": columns["name"],
    }  # fmt: skip
    for index in range(len(table.rows)):
        text = {name: column[index] for name, column in texts.items()}
        value = {name: column[index] or ZERO for name, column in numbers.items()}
        for name, column in prefixes.items():
            text[f"{name}_currency"] = column[index]
        if index in table.bad:
            continue
        money = _of_file(text, value) if is_file else _of_table(text, value, reading.options.currency or "")
        if money.foreign and not money.currency:
            table.fail(
                index,
                columns["amount"],
                "expected an amount with its currency, was one without: choose the currency",
            )
            continue
        _add(reading, table, index, whens[index], ex_dates[index], named, text, money, is_file)


def _without_currency(text: str) -> str:
    match = _PREFIX.match(text)
    return text[match.end() :] if match else text


def _currency_of(text: str) -> str:
    match = _PREFIX.match(text)
    return match[1] if match else ""


def _without_midnight(text: str) -> str:
    return re.sub(r"[T ]00:00(:00)?$", "", text)


class _Money:
    """What a row says of money: gross, fees and taxes in the account's currency, and gross in the asset's."""

    def __init__(
        self, kind: str, cash: Decimal, gross: Decimal | None, value: Mapping[str, Decimal], currency: str
    ) -> None:
        self.fees, self.taxes = abs(value["fees"]), value["taxes"]
        self.shares = abs(value["shares"])
        self.currency, unit = major_currency(currency)
        if gross is None:
            costs = self.fees + self.taxes
            gross = cash - costs if kind in ("buy", "transfer_in") else cash + costs
        self.gross = gross * unit
        self.fees, self.taxes = self.fees * unit, self.taxes * unit
        self.foreign, self.foreign_currency = ZERO, ""

    def in_foreign(self, gross: Decimal, currency: str) -> None:
        currency, unit = major_currency(currency)
        if gross and currency != self.currency:
            self.foreign, self.foreign_currency = gross * unit, currency


def _of_file(text: Mapping[str, str], value: Mapping[str, Decimal]) -> _Money:
    kind = _TYPES.get(normal(text["type"]), "")
    money = _Money(kind, abs(value["value"]), None, value, text["currency"])
    money.in_foreign(abs(value["gross"]), text["gross_currency"])
    return money


def _of_table(text: Mapping[str, str], value: Mapping[str, Decimal], otherwise: str) -> _Money:
    kind = _TYPES.get(normal(text["type"]), "")
    currency = text["amount_currency"] or text["net_currency"] or otherwise
    gross = abs(value["amount"]) or None
    money = _Money(kind, abs(value["net"]), gross, value, currency)
    if text["quote_currency"]:
        money.in_foreign(abs(value["quote"]) * money.shares, text["quote_currency"])
    return money


def _add(
    reading: Reading,
    table: Table,
    index: int,
    when: datetime | date | None,
    ex_date: datetime | date | None,
    named: Mapping[str, str],
    text: Mapping[str, str],
    money: _Money,
    is_file: bool,
) -> None:
    kind = _TYPES.get(normal(text["type"]))
    asset = {name: text[name] for name in ("symbol", "isin", "name")}
    fields: dict[str, Any] = {"currency": money.currency, "note": text["note"]}

    def add(kind: Any, **more: Any) -> None:
        reading.add(table, index, when, kind, named, **(fields | more))

    match kind:
        case None:
            table.fail(index, named["kind"], f"expected a type like Buy or Kauf, was {quoted(text['type'])}")
        case "in" | "out" if not is_file:
            reading.leave_out(table, index, named["kind"], "moves what you own from one account to another")
        case "in" | "out" if not money.shares:
            add("deposit" if kind == "in" else "withdrawal", amount=money.gross)
        case "buy" | "sell" | "transfer_in" | "transfer_out" | "in" | "out":
            kind = {"in": "transfer_in", "out": "transfer_out"}.get(kind, kind)
            _add_trade(kind, money, add, asset)
        case "dividend":
            paid: dict[str, Any] = {}
            if ex_date is not None and when is not None:
                paid = {"pay_time": when} if isinstance(when, datetime) else {"pay_day": when}
                when = ex_date
            add("dividend", **asset, **paid, **_settled(money, money.gross))
        case "interest" | "charge":
            amount = money.gross if kind == "interest" else -money.gross
            add("interest", amount=amount, fee=money.fees, tax=max(money.taxes, ZERO))
        case "fee" | "tax":
            add(kind, **asset, amount=money.gross)
        case "fee refund" | "tax refund":
            add("interest", **asset, amount=money.gross)
        case _:
            add(kind, amount=money.gross, fee=money.fees)


def _settled(money: _Money, gross: Decimal) -> dict[str, Any]:
    """A dividend's amounts in the asset's currency, and the rate at which the account got them."""
    if not money.foreign:
        return {"amount": gross, "fee": money.fees, "tax": max(money.taxes, ZERO)}
    rate = per_unit(gross, money.foreign)
    return {
        "currency": money.foreign_currency,
        "amount": money.foreign,
        "tax": per_unit(max(money.taxes, ZERO), rate) if rate else ZERO,
        "fee": money.fees,
        "fee_currency": money.currency if money.fees else "",
        "settlement_currency": money.currency,
        "settlement_rate": rate,
    }


def _add_trade(kind: str, money: _Money, add: Any, asset: Mapping[str, str]) -> None:
    """A purchase's taxes are part of its cost; a sale's stay its tax; what a sale gets back is a row of its own."""
    if not money.shares:
        # Which is an error of its own.
        add(kind, **asset)
        return
    tax = money.taxes if kind == "sell" and money.taxes > 0 else ZERO
    fee = money.fees + (money.taxes if kind != "sell" else ZERO)
    refund = -money.taxes if kind == "sell" and money.taxes < 0 else ZERO
    if fee < 0:
        refund, fee = -fee, ZERO
    trade: dict[str, Any] = {"quantity": money.shares, "multiplier": Decimal(1), "fee": fee, "tax": tax}
    if money.foreign:
        trade |= {
            "currency": money.foreign_currency,
            "price": per_unit(money.foreign, money.shares),
            "fee_currency": money.currency if fee else "",
        }
        # What is delivered is not paid for: there is nothing to settle.
        if kind in ("buy", "sell"):
            rate = per_unit(money.gross, money.foreign)
            trade |= {"settlement_currency": money.currency, "settlement_rate": rate}
            trade["tax"] = per_unit(tax, rate) if rate else ZERO
    else:
        trade["price"] = per_unit(money.gross, money.shares)
    add(kind, **asset, **trade)
    if refund:
        add("interest", **asset, amount=refund)


PRESET = Preset("portfolio_performance", "Portfolio Performance (CSV)", HEADER, find, read)
