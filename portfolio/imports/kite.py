"""Zerodha Kite: the tradebook of Console (CSV), segments EQ, MF, FO, CDS and COM; rupees, times of India.

Checked against headers and rows in public importers' tests (one for beancount, sipquant, three others), which agree;
Zerodha's own page was not to be had. Charges are not in it: enter them as rows of their own. Futures are left out.
"""

import re
from collections.abc import Sequence
from typing import Any

from portfolio.imports.cells import quoted
from portfolio.imports.reading import Preset, Reading
from portfolio.imports.tables import Record, normal
from portfolio.rows import Kind

# symbol,isin,trade_date,exchange,segment,series,trade_type,auction,quantity,price,trade_id,order_id,
#   order_execution_time[,expiry_date]
# SUZLON,INE040H01021,2025-06-09,NSE,EQ,EQ,buy,false,450.000000,67.500000,603052659,1300000021339012,2025-06-09T10:22:33
HEADER = ("symbol", "trade_date", "exchange", "segment", "trade_type", "quantity", "price", "trade_id")
_SIDES: dict[str, Kind] = {"buy": "buy", "sell": "sell"}
_FUTURE = re.compile(r".*FUT")


def find(head: Sequence[Record]) -> int | None:
    for index, (_, row) in enumerate(head):
        if {normal(name) for name in HEADER[:5]} <= {normal(cell) for cell in row}:
            return index
    return None


def read(reading: Reading) -> None:
    table = reading.table(zone="Asia/Kolkata", decimal=".")
    if not table.needs(*HEADER):
        return
    texts = {name: table.texts(name) for name in ("symbol", "isin", "exchange", "segment", "trade_id")}
    sides = table.texts("trade_type")
    days, times = table.moments("trade_date"), table.moments("order_execution_time")
    quantities, prices = table.numbers("quantity"), table.numbers("price")
    columns = {"time": "trade_date"}
    for index, side in enumerate(sides):
        kind = _SIDES.get(side.casefold())
        if kind is None:
            table.fail(index, "trade_type", f"expected buy or sell, was {quoted(side)}")
            continue
        row = {name: column[index] for name, column in texts.items()}
        if row["segment"] in ("FO", "COM", "CDS") and _FUTURE.fullmatch(row["symbol"]):
            reading.leave_out(
                table, index, "symbol", f"a future cannot be booked, was {quoted(row['symbol'])}"
            )
            continue
        fields: dict[str, Any] = {"quantity": quantities[index], "price": prices[index]}
        for name, value in fields.items():
            if value is None and index not in table.bad:
                table.fail(index, name, f"expected a number for {name}, was none")
        # A trade's number begins again each day, in each exchange and segment.
        number, day = row["trade_id"], days[index] or times[index]
        where = f"{row['exchange']}:{row['segment']}:{day:%Y-%m-%d}" if day is not None else ""
        reading.add(
            table,
            index,
            times[index] or day,
            kind,
            columns,
            symbol=row["symbol"],
            isin=row["isin"],
            exchange=row["exchange"],
            currency="INR",
            trade_id=f"kite:{where}:{number}" if number else "",
            **fields,
        )


PRESET = Preset("kite", "Zerodha Kite tradebook (CSV)", HEADER, find, read)
