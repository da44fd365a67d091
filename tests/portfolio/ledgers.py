"""Generated ledgers: every kind of row, several currencies, odd sizes; what cannot be booked is left out."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import strategies as st

from portfolio.ledger import EXACT, ZERO, Kind, LotMethod, Oversold, Row, replay

BASE = "EUR"
# Symbol, currency, multiplier: a share, one in pence, one in the base currency, an option on the first, a coin.
ASSETS = (
    ("ACME", "USD", Decimal(1)),
    ("PENNY", "GBP", Decimal("0.01")),
    ("HOME", "EUR", Decimal(1)),
    ("CALL", "USD", Decimal(100)),
    ("COIN", "USD", Decimal(1)),
)
CURRENCIES = ("EUR", "USD", "GBP")
KINDS: tuple[Kind, ...] = (
    *("buy", "sell") * 5,  # type: ignore[assignment]
    *(
        "deposit",
        "withdrawal",
        "convert",
        "dividend",
        "interest",
        "fee",
        "tax",
        "transfer_in",
        "transfer_out",
    ),
    *("split", "bonus", "cash_in_lieu", "return_of_capital", "spinoff", "merger", "symbol_change", "expire"),
    *("exercise", "assign"),
)
NEED_A_HOLDING = KINDS[-11:]
RATIOS = ((2, 1), (3, 1), (10, 1), (1, 8), (3, 2), (1, 3), (7, 5))
START = datetime.fromisoformat("2026-11-19T00:00:00+00:00")


class Draft(NamedTuple):
    """What is drawn for one row; `pick` chooses among variants."""

    kind: Kind
    asset: int
    size: int
    money: int
    fee: int
    rate: int
    pick: int


def _draft(drawn: bytes, kinds: Sequence[Kind], assets: int) -> Draft:
    number = int.from_bytes(drawn, "little")
    fields = []
    for count in (len(kinds), assets, 10**6, 10**6 + 1, 1000, 1001, 2**12):
        number, field = divmod(number, count)
        fields.append(field)
    kind, asset, size, money, fee, rate, pick = fields
    return Draft(kinds[kind], asset, size + 1, money, fee, rate + 500, pick)


# A row is one draw, because drawing its fields one by one takes longer than booking them; and bytes, because of
# large integers most that are drawn are small.
_bytes = st.binary(min_size=11, max_size=11)
drafts = _bytes.map(lambda drawn: _draft(drawn, KINDS, len(ASSETS)))
trades = _bytes.map(lambda drawn: _draft(drawn, ("buy", "sell"), 1))
methods = st.sampled_from(("fifo", "lifo", "highest", "average"))
# Of each asset, in cents of its unit; of each currency but the base, in thousandths.
prices = st.tuples(*[st.integers(0, 10**6)] * len(ASSETS))
rates = st.tuples(*[st.integers(500, 1500)] * (len(CURRENCIES) - 1))


def price_table(numbers: Sequence[int]) -> dict[str, Decimal]:
    return {asset[0]: Decimal(number) / 100 for asset, number in zip(ASSETS, numbers, strict=True)}


def rate_table(numbers: Sequence[int]) -> dict[str, Decimal]:
    return {
        currency: Decimal(number) / 1000 for currency, number in zip(CURRENCIES[1:], numbers, strict=True)
    }


def make_rows(drawn: Sequence[Draft], first: int = 1, start: datetime = START) -> list[Row]:
    """Rows some hours apart; what needs a holding is about an asset that was bought or sold before."""
    rows, traded = [], [0]
    for place, draft in enumerate(drawn):
        if draft.kind in NEED_A_HOLDING:
            draft = draft._replace(asset=traded[draft.pick % len(traded)])
        elif draft.kind in ("buy", "sell"):
            traded.append(draft.asset)
        rows.append(make(draft, first + place, start + timedelta(hours=7 * place)))
    return rows


def make(draft: Draft, id: int, time: datetime) -> Row:
    symbol, currency, multiplier = ASSETS[draft.asset]
    rate = Decimal(1) if currency == BASE else Decimal(draft.rate) / 1000
    money = Decimal(draft.money) / 100
    size = _size(draft)
    common: dict[str, Any] = {
        "kind": draft.kind,
        "time": time,
        "id": id,
        "order": (0, id),
        "currency": currency,
        "rate": rate,
    }
    asset = {"symbol": symbol, "multiplier": multiplier}
    fee = _fee(draft)
    match draft.kind:
        case "buy" | "sell":
            return Row(**common, **asset, **fee, **_settled(draft), quantity=size, price=money)
        case "deposit" | "withdrawal":
            return Row(**common, **fee, amount=size)
        case "convert":
            other = CURRENCIES[(CURRENCIES.index(currency) + 1 + draft.pick % 2) % 3]
            return Row(**common, **fee, amount=size, to_currency=other, to_amount=money + 1)
        case "dividend":
            pay = time + timedelta(hours=draft.pick % 50) if draft.pick % 2 else None
            tax = Decimal(draft.fee) / 1000
            return Row(
                **common,
                **asset,
                **fee,
                **_settled(draft),
                amount=_signed(size, draft),
                tax=tax,
                pay_time=pay,
            )
        case "interest":
            return Row(**common, **(asset if draft.pick % 2 else {}), **fee, amount=_signed(size, draft))
        case "fee" | "tax":
            return Row(**common, **(asset if draft.pick % 2 else {}), amount=size)
        case "transfer_in":
            opened = time - timedelta(days=draft.pick % 9)
            cost = Decimal(draft.fee) if draft.pick % 2 else ZERO
            return Row(**common, **asset, quantity=size, price=money, cost=cost, opened=opened)
        case "transfer_out":
            return Row(**common, **asset, **fee, quantity=size, price=money)
        case "expire":
            return Row(**common, **asset, **fee, quantity=size)
        case "cash_in_lieu":
            return Row(**common, **asset, **fee, quantity=size, amount=money)
        case "return_of_capital":
            return Row(**common, **asset, **fee, amount=size)
    return _action(draft, common, asset, fee)


def _action(draft: Draft, common: dict[str, Any], asset: dict[str, Any], fee: dict[str, Any]) -> Row:
    new, old = RATIOS[draft.pick % len(RATIOS)]
    ratio = {"numerator": new, "denominator": old}
    other = ASSETS[(draft.asset + 1 + draft.pick % 3) % len(ASSETS)]
    target: dict[str, Any] = {
        "other_symbol": other[0],
        "other_currency": other[1],
        "other_multiplier": other[2],
    }
    if other[1] != common["currency"]:
        target["settlement_rate"] = Decimal(draft.rate) / 800
    share = Decimal(1) if draft.fee == 999 else Decimal(draft.fee) / 1000
    match draft.kind:
        case "split" | "bonus":
            return Row(**common, **asset, **fee, **ratio)
        case "spinoff":
            return Row(**common, **asset, **fee, **ratio, **target, cost_share=share)
        case "merger":
            return Row(
                **common,
                **asset,
                **ratio,
                **target,
                amount=Decimal(draft.money) / 100 + 1,
                cost_share=share,
                fee=Decimal(draft.fee) / 100,
            )
        case "symbol_change":
            return Row(**common, **asset, **fee, **target)
    return Row(
        **{**common, "currency": "USD", "rate": Decimal(draft.rate) / 1000},
        **(asset if common["currency"] == "USD" else {"symbol": "CALL", "multiplier": Decimal(100)}),
        **fee,
        other_symbol="ACME" if asset["symbol"] != "ACME" else "COIN",
        option_right="call" if draft.pick % 2 else "put",
        quantity=_size(draft),
        price=Decimal(draft.money) / 100,
    )


def _size(draft: Draft) -> Decimal:
    places = 3 * (draft.pick % 7)  # down to 1E-18
    if draft.kind in NEED_A_HOLDING:
        places = min(places + 6, 18)
    return Decimal(draft.size).scaleb(-places, EXACT)


def _signed(size: Decimal, draft: Draft) -> Decimal:
    return -size if draft.pick % 3 == 0 else size


def _fee(draft: Draft) -> dict[str, Any]:
    fee = {"fee": Decimal(draft.fee) / 100}
    if draft.pick % 5 == 0:
        currency = CURRENCIES[draft.pick // 5 % 3]
        rate = Decimal(1) if currency == BASE else Decimal(draft.rate) / 900
        return {**fee, "fee_currency": currency, "fee_rate": round(rate, 5)}
    return fee


def _settled(draft: Draft) -> dict[str, Any]:
    if draft.pick % 4 or ASSETS[draft.asset][1] == BASE:
        return {}
    return {"settlement_currency": "EUR", "settlement_rate": Decimal(draft.rate) / 1000}


def bookable(rows: Sequence[Row], method: LotMethod = "fifo") -> list[Row]:
    """Leaves out the rows that take what is not there."""
    rows = list(rows)
    while True:
        try:
            replay(rows, short_sales=True, method=method, base=BASE)
        except Oversold as error:
            rows = [row for row in rows if row.id != error.row.id]
        else:
            return rows


def renumbered(rows: Sequence[Row]) -> list[Row]:
    """The rows in this order, all at one moment."""
    return [replace(row, time=START, order=(0, place)) for place, row in enumerate(rows)]
