"""Ghostfolio: its export (JSON) and the CSV that it reads, whose columns have several names.

Checked against its export.service.ts, import-activities.service.ts, helper.ts (the dates it takes, day first) and the
samples of its test/import. It keeps no cash and no tax: a purchase leaves cash below zero until a deposit is entered.
Dates at midnight UTC are days. Liabilities and trades of nothing (its drafts) are left out.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from portfolio.arithmetic import ZERO
from portfolio.imports.cells import moment, number, quoted
from portfolio.imports.drafts import check, major_currency
from portfolio.imports.reading import Preset, Reading
from portfolio.imports.tables import MOST_ROWS, Record, normal
from portfolio.rows import Kind

# Date,Code,DataSource,Currency,Price,Quantity,Action,Fee,Note
# 16-09-2021,MSFT,YAHOO,USD,298.580,5,buy,19.00,My first order
# {"activities": [{"date": "2021-09-16T00:00:00.000Z", "type": "BUY", "symbol": "MSFT", "dataSource": "YAHOO",
#   "currency": "USD", "quantity": 5, "unitPrice": 298.58, "fee": 19, "comment": null, "id": "…", "accountId": "…"}]}
HEADER = ("Date", "Code", "DataSource", "Currency", "Price", "Quantity", "Action", "Fee")
NAMES: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "tradedate"),
    "symbol": ("code", "symbol", "ticker"),
    "type": ("action", "buy/sell", "type"),
    "currency": ("ccy", "currency", "currencyprimary"),
    "unitPrice": ("price", "tradeprice", "unitprice", "value"),
    "quantity": ("qty", "quantity", "shares", "units"),
    "fee": ("commission", "fee", "ibcommission"),
    "comment": ("comment", "note"),
}
_TYPES: dict[str, Kind] = {
    "buy": "buy", "sell": "sell", "item": "buy", "dividend": "dividend", "interest": "interest", "fee": "fee",
}  # fmt: skip


def find(head: Sequence[Record]) -> int | None:
    for index, (_, row) in enumerate(head):
        names = {normal(cell) for cell in row}
        if "datasource" in names and all(names & set(NAMES[name]) for name in ("date", "symbol", "type")):
            return index
    return None


def read(reading: Reading) -> None:
    table = reading.table(order="dmy")
    columns = {
        name: next((each for each in known if table.has(each)), known[0]) for name, known in NAMES.items()
    }
    if not table.needs(*columns.values() if table.has(columns["comment"]) else list(columns.values())[:-1]):
        return
    texts = {name: table.texts(columns[name]) for name in ("symbol", "type", "currency", "comment")}
    numbers = {name: table.numbers(columns[name]) for name in ("unitPrice", "quantity", "fee")}
    whens = table.moments(columns["date"], _day_at_midnight)
    named = {"time": columns["date"], "price": columns["unitPrice"], "kind": columns["type"]} | columns
    for index, when in enumerate(whens):
        row = {name: column[index] for name, column in texts.items()}
        values = {name: column[index] or ZERO for name, column in numbers.items()}
        found = _fields(row, values)
        if isinstance(found, str):
            if found.startswith("expected"):
                table.fail(index, columns["type"], found)
            elif index not in table.bad:
                reading.leave_out(table, index, columns["type"], found)
            continue
        kind, fields = found
        reading.add(table, index, when, kind, named, **fields)


def read_json(reading: Reading) -> None:
    """An activity's line is its number in the list: nobody looks for a line in a JSON file."""
    try:
        # Numbers stay text until they are checked; json itself would take NaN and round 0.1.
        loaded = json.loads(reading.text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        reading.problems.add(line, "", f"expected JSON, was something else ({error})"[:300])
        return
    activities = loaded.get("activities") if isinstance(loaded, dict) else loaded
    if not isinstance(activities, list):
        reading.problems.add(1, "activities", "expected a list of activities, was none")
        return
    if len(activities) > MOST_ROWS:
        reading.problems.add(1, "", f"expected at most {MOST_ROWS:,} rows, was {len(activities):,}")
        return
    profiles = _profiles(loaded)
    for place, activity in enumerate(activities, start=1):
        if isinstance(activity, dict):
            _activity(reading, place, activity, profiles)
        else:
            reading.problems.add(place, "activities", f"expected an activity, was {quoted(str(activity))}")


def _profiles(loaded: object) -> dict[str, Mapping[str, Any]]:
    """The file's own assets by symbol: an asset entered by hand has a number for a symbol, and a name."""
    listed = loaded.get("assetProfiles") if isinstance(loaded, dict) else None
    if not isinstance(listed, list):
        return {}
    return {str(each.get("symbol")): each for each in listed if isinstance(each, dict)}


def _activity(
    reading: Reading, place: int, activity: Mapping[str, Any], profiles: Mapping[str, Mapping[str, Any]]
) -> None:
    failed = False

    def complain(name: str, message: str) -> None:
        nonlocal failed
        failed = True
        reading.problems.add(place, name, message)

    def read_with(name: str, read: Callable[[str], Any]) -> Any:
        text = _text(activity.get(name))
        if not text:
            return None
        try:
            return read(text)
        except ValueError as error:
            complain(name, str(error))
            return None

    row = {name: _text(activity.get(name)) for name in ("symbol", "type", "currency", "comment")}
    values = {name: read_with(name, number) or ZERO for name in ("unitPrice", "quantity", "fee")}
    when: datetime | date | None = read_with("date", lambda text: moment(_day_at_midnight(text)))
    found = _fields(row, values)
    if isinstance(found, str):
        (reading.problems if found.startswith("expected") else reading.left_out).add(place, "type", found)
        return
    if when is None and not failed:
        complain("date", "expected a date, was none")
    if failed or when is None:
        return
    kind, fields = found
    profile = profiles.get(row["symbol"], {})
    identity = _text(activity.get("id"))
    fields |= {
        "name": _text(profile.get("name")),
        "note": row["comment"] or (_text(profile.get("name")) if kind == "fee" else ""),
        "isin": _text(profile.get("isin")),
        "trade_id": f"ghostfolio:{identity}" if identity else "",
    }
    draft = reading.draft(place, when, kind, complain, raw=json.dumps(activity)[:500], **fields)
    check(draft, complain)
    if not failed:
        reading.drafts.append(draft)


def _text(value: object) -> str:
    """A value's text; JSON can escape halves of characters and NUL, which nobody can store."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode().replace("\x00", "").strip()


def _day_at_midnight(text: str) -> str:
    day, _, clock = text.partition("T")
    return day if clock in ("00:00:00.000Z", "00:00:00Z", "00:00:00") else text


def _fields(row: Mapping[str, str], values: Mapping[str, Decimal]) -> tuple[Kind, dict[str, Any]] | str:
    """The kind and fields of an activity, or why it has none; an error begins with "expected"."""
    kind = _TYPES.get(row["type"].casefold())
    if kind is None:
        if row["type"].casefold() == "liability":
            return "a liability: it is no asset that can be priced"
        return f"expected BUY, SELL, DIVIDEND, INTEREST or FEE, was {quoted(row['type'])}"
    currency, unit = major_currency(row["currency"])
    quantity, price = abs(values["quantity"]), abs(values["unitPrice"])
    fee = abs(values["fee"]) * unit
    fields: dict[str, Any] = {"currency": currency, "note": row["comment"]}
    if kind in ("buy", "sell"):
        if not quantity:
            return "a trade of nothing"
        return kind, fields | {
            "symbol": row["symbol"], "quantity": quantity, "price": price, "fee": fee, "multiplier": unit
        }  # fmt: skip
    amount = quantity * price * unit
    if kind == "fee":
        return kind, fields | {"amount": fee or amount, "note": row["comment"] or row["symbol"]}
    if kind == "dividend":
        fields["symbol"] = row["symbol"]
    return kind, fields | {"amount": amount, "fee": fee}


PRESET = Preset("ghostfolio", "Ghostfolio export (JSON, CSV)", HEADER, find, read, read_json)
