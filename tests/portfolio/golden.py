"""The five golden cases of the numbers, written out by hand: what was booked, what the market says, what follows.

Every number is text and exact; a percent has its 18 digits. `positions` has assets by symbol and cash as
"cash:USD"; `wire` is what `portfolio_update` shows. The comments are the arithmetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from portfolio.ledger import Kind, LotMethod, Row
from portfolio.windows import AssetFacts, Baseline

Figures = Mapping[str, str | None]

# Row's columns that are not numbers.
TEXTS = frozenset(
    {
        "symbol",
        "fee_currency",
        "settlement_currency",
        "to_currency",
        "other_symbol",
        "other_currency",
        "option_right",
    }
)
PLAIN = frozenset({"id", "order", "numerator", "denominator", "lots", "reverses"})
TIMES = frozenset({"pay_time", "opened"})


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A portfolio at one moment. `prices` and `rates` are those of `now`."""

    base: str
    now: str
    rows: tuple[Row, ...]
    baselines: Mapping[str, Baseline]
    prices: Mapping[str, str]
    rates: Mapping[str, str] = field(default_factory=dict)
    positions: Mapping[str, Figures]
    total: Figures
    wire: Figures = field(default_factory=dict)
    method: LotMethod = "fifo"
    short_sales: bool = False
    assets: Mapping[str, AssetFacts] = field(default_factory=dict)
    quarantined: frozenset[str] = frozenset()
    rate_age: timedelta = timedelta(0)
    unpriced: Mapping[str, str] = field(default_factory=dict)
    unexplained: tuple[str, ...] = ()
    # Deposits less withdrawals since the first row: the lifetime identity is tested in every case.
    flows: str


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def row(when: str, kind: Kind, **columns: Any) -> Row:
    """A row of the ledger; numbers and times are given as text."""
    values: dict[str, Any] = {"currency": "USD"}
    for name, value in columns.items():
        if name in TIMES:
            values[name] = utc(value)
        elif name in TEXTS or name in PLAIN or name == "currency" or value is None:
            values[name] = value
        else:
            values[name] = Decimal(value)
    return Row(time=utc(when), kind=kind, **values)


def opened(at: str, until: str, price: str | None = None, rate: str | None = "1") -> Baseline:
    """A window that begins at `at`, with the raw close and the rate of that moment."""
    return Baseline(
        at=utc(at),
        until=utc(until),
        price=None if price is None else Decimal(price),
        rate=None if rate is None else Decimal(rate),
    )


NOTHING = {"price": "0", "currency": "0", "trades": "0", "income": "0", "fees": "0", "daily_change": "0"}

# --- case 1: price and rate both move, bought more today -------------------------------------------------------------

WED_NY, FRI_OPEN_NY = "2026-11-18 21:00", "2026-11-20 14:30"
WED_FX, THU_FX = "2026-11-18 22:00", "2026-11-19 22:00"  # 17:00 New York

CASE_1 = Golden(
    base="EUR",
    now="2026-11-19 16:00",
    rows=(
        row("2025-03-03 09:00", "deposit", amount="20000.00", currency="EUR"),
        row(
            "2025-03-04 09:00",
            "convert",
            amount="17000.00",
            currency="EUR",
            to_amount="20000.00",
            to_currency="USD",
        ),
        row(
            "2025-03-05 15:00",
            "buy",
            symbol="ACME",
            quantity="100",
            price="120.00",
            fee="5.00",
            rate="0.8500",
        ),
        row(
            "2026-11-19 15:05",
            "buy",
            symbol="ACME",
            quantity="40",
            price="152.50",
            fee="1.00",
            rate="0.9180",
        ),
    ),
    baselines={
        "ACME": opened(WED_NY, FRI_OPEN_NY, "150.00", "0.9200"),
        "cash:USD": opened(WED_FX, THU_FX, rate="0.9204"),
        "cash:EUR": opened(WED_FX, THU_FX),
    },
    prices={"ACME": "155.00"},
    rates={"USD": "0.9150"},
    positions={
        "ACME": {
            "quantity": "140",
            "price": "460.00",  # (100·155 - 100·150)·0.9200
            "currency": "-77.50",  # 100·155·(0.9150 - 0.9200)
            "trades": "73.20",  # 40·(155·0.9150 - 152.50·0.9180) = 40·(141.825 - 139.995)
            "income": "0",
            "fees": "-0.918",  # -1·0.9180
            "daily_change": "454.782",
            "value": "19855.50",  # 140·155·0.915
            "cost": "18106.00",  # 12,005 + 6,101
            "cost_base": "15804.968",  # 10,204.25 + 5,600.718
            "realized": "0",
            "realized_base": "0",
            "gain": "3594.00",  # 21,700 - 18,106
            "unrealized": "4050.532",  # 19,855.50 - 15,804.968
            "unrealized_price": "3061.632",  # 3,495·0.85 + 99·0.918
            "unrealized_currency": "988.90",  # 15,500·0.065 - 6,200·0.003
        },
        "cash:USD": {
            "amount": "1894.00",
            "value": "1733.01",
            "currency": "-24.87",  # 7,995·(0.9150 - 0.9204) - 6,101·(0.9150 - 0.9180)
            "daily_change": "-24.87",
        },
        "cash:EUR": {"amount": "3000.00", "value": "3000.00", **NOTHING},
    },
    total={
        "total_value": "24588.51",  # 19,855.50 + 1,733.01 + 3,000
        "daily_change": "429.912",
        "daily_change_percent": "1.779540352465817760",  # 42,991.2 / 24,158.598
        "price": "460.00",
        "currency": "-102.37",
        "trades": "73.20",
        "income": "0",
        "fees": "-0.918",
        "realized": "0",
        "unrealized": "4050.532",
        "cash_fx": "537.978",  # 1,733.01 - (17,000 - 10,204.25 - 5,600.718)
        "external_flows": "0",
        "coverage": "1",
    },
    wire={
        "total_value": "24588.51",
        "daily_change": "429.91",
        "daily_change_percent": "1.78",
        "price": "460.00",
        "currency": "-102.37",
        "trades": "73.20",
        "income": "0.00",
        "fees": "-0.92",
        "rounding": "0.00",
    },
    flows="20000",
)

# --- case 2: sold part today of lots of 2019 and 2022, fees, a deposit today, pence ----------------------------------

PENCE: Mapping[str, Any] = {"symbol": "SHOP", "currency": "GBP", "multiplier": "0.01"}

CASE_2 = Golden(
    base="EUR",
    now="2026-11-19 15:00",
    rows=(
        row("2019-05-01 09:00", "deposit", amount="3000.00", currency="GBP", rate="1.1500"),
        row("2019-05-02 09:00", "buy", quantity="200", price="450", fee="6.00", rate="1.1500", **PENCE),
        row("2022-08-15 09:00", "buy", quantity="300", price="620", fee="5.95", rate="1.1800", **PENCE),
        row("2026-11-19 09:00", "deposit", amount="1000.00", currency="EUR"),
        row("2026-11-19 10:30", "sell", quantity="300", price="705", fee="8.00", rate="1.1650", **PENCE),
    ),
    baselines={
        "SHOP": opened("2026-11-18 16:30", "2026-11-20 08:00", "698", "1.1600"),
        "cash:GBP": opened(WED_FX, THU_FX, rate="1.1610"),
        "cash:EUR": opened(WED_FX, THU_FX),
    },
    prices={"SHOP": "710"},
    rates={"GBP": "1.1700"},
    positions={
        "SHOP": {
            "quantity": "200",
            "price": "69.60",  # 500·(710 - 698)·0.01·1.16
            "currency": "35.50",  # 500·7.10·0.01
            "trades": "-28.125",  # -300·(7.10·1.17 - 7.05·1.165) = -300·(8.307 - 8.21325)
            "income": "0",
            "fees": "-9.32",  # -8·1.165
            "daily_change": "67.655",
            "value": "1661.40",  # 200·7.10·1.17
            "cost": "1243.966666666666666667",  # 1,865.95 - 621.983333333333333333
            "cost_base": "1467.880666666666666667",  # 2,201.821 - 733.940333333333333333
            # 1,404.666666666666666667 - 906.00 and 702.333333333333333333 - 621.983333333333333333
            "realized": "579.016666666666666667",
            "realized_base": "678.814666666666666667",  # 2,107·1.165 - 1,041.90 - 733.940333333333333333
            "gain": "176.033333333333333333",  # 1,420 - 1,243.966666666666666667
            "unrealized": "193.519333333333333333",
            "unrealized_price": "207.71933333333333333294",  # 176.033333333333333333·1.18
            "unrealized_currency": "-14.19999999999999999994",
        },
        "cash:GBP": {
            "amount": "2335.05",
            "value": "2732.0085",
            "currency": "12.58745",  # 228.05·0.009 + 2,107·0.005
            "daily_change": "12.58745",
        },
        "cash:EUR": {"amount": "1000.00", "value": "1000.00", **NOTHING},
    },
    total={
        "total_value": "5393.4085",  # 1,661.40 + 2,335.05·1.17 + 1,000
        "daily_change": "80.24245",
        "daily_change_percent": "1.510256770537032247",  # of 5,393.4085 - 80.24245
        "price": "69.60",
        "currency": "48.08745",
        "trades": "-28.125",
        "income": "0",
        "fees": "-9.32",
        "realized": "678.814666666666666667",
        "realized_today": "678.814666666666666667",
        "unrealized": "193.519333333333333333",
        "cash_fx": "71.0745",  # 2,732.0085 - (3,450 - 1,041.90 - 2,201.821 + 2,454.655)
        "external_flows": "1000",
        "coverage": "1",
    },
    wire={
        "total_value": "5393.41",
        "daily_change": "80.24",
        "daily_change_percent": "1.51",
        "price": "69.60",
        "currency": "48.09",
        "trades": "-28.12",  # half even
        "income": "0.00",
        "fees": "-9.32",
        "rounding": "-0.01",
    },
    flows="4450",  # 3,000·1.15 + 1,000
)

# --- case 3: 10:1 split this morning, plus a sale --------------------------------------------------------------------

SPLIT_ROWS = (
    row("2023-01-02 15:00", "deposit", amount="20000.00"),
    row("2023-01-03 15:00", "buy", symbol="ACME", quantity="10", price="800.00", fee="5.00"),  # C 8,005
    row("2024-01-03 15:00", "buy", symbol="ACME", quantity="5", price="950.00", fee="5.00"),  # C 4,755
    row("2026-11-19 05:00", "split", symbol="ACME", numerator=10, denominator=1),
    row("2026-11-19 15:10", "sell", symbol="ACME", quantity="120", price="121.50", fee="2.00"),
)
SPLIT_BASELINES = {
    "ACME": opened(WED_NY, FRI_OPEN_NY, "1200.00"),  # raw: 15 pieces of Wednesday
    "cash:USD": opened(WED_FX, THU_FX),
}

CASE_3_BEFORE = Golden(
    base="USD",
    now="2026-11-19 14:30",
    rows=SPLIT_ROWS,
    baselines=SPLIT_BASELINES,
    prices={"ACME": "120.00"},  # the last price, older than the split and therefore divided by it
    positions={
        "ACME": {
            **NOTHING,  # 150·120 - 15·1,200
            "quantity": "150",
            "value": "18000.00",
            "cost": "12760.00",
            "previous_close": "120",
        },
    },
    total={
        "total_value": "25240.00",  # 18,000 + 7,240
        **NOTHING,
        "daily_change_percent": "0",
        "realized": "0",
        "unrealized": "5240.00",
        "cash_fx": "0",
    },
    wire={"total_value": "25240.00", "daily_change": "0.00", "daily_change_percent": "0.00"},
    flows="20000",
)

CASE_3_AFTER = Golden(
    base="USD",
    now="2026-11-19 16:00",
    rows=SPLIT_ROWS,
    baselines=SPLIT_BASELINES,
    prices={"ACME": "123.00"},
    positions={
        "ACME": {
            "quantity": "30",
            "price": "450.00",  # 150·123 - 15·1,200
            "currency": "0",
            "trades": "-180.00",  # -120·(123 - 121.50)
            "income": "0",
            "fees": "-2.00",
            "daily_change": "268.00",
            "value": "3690.00",
            "cost": "2853.00",  # 4,755·30/50
            # 12,148.333333333333333333 - 8,005 and 2,429.666666666666666667 - 4,755·20/50
            "realized": "4671.00",
            "realized_base": "4671.00",
            "gain": "837.00",
            "unrealized": "837.00",
            "unrealized_price": "837.00",
            "unrealized_currency": "0",
            "previous_close": "120",
        },
        "cash:USD": {"amount": "21818.00", "value": "21818.00", **NOTHING},
    },
    total={
        "total_value": "25508.00",  # 3,690 + 21,818
        "daily_change": "268.00",
        "daily_change_percent": "1.061806656101426307",  # 26,800 / 25,240
        "price": "450.00",
        "currency": "0",
        "trades": "-180.00",
        "income": "0",
        "fees": "-2.00",
        "realized": "4671.00",
        "realized_today": "4671.00",
        "unrealized": "837.00",
        "cash_fx": "0",
    },
    wire={
        "total_value": "25508.00",
        "daily_change": "268.00",
        "daily_change_percent": "1.06",
        "price": "450.00",
        "currency": "0.00",
        "trades": "-180.00",
        "income": "0.00",
        "fees": "-2.00",
        "rounding": "0.00",
    },
    flows="20000",
)

# --- case 4: a short, partly covered today ---------------------------------------------------------------------------

CASE_4 = Golden(
    base="CHF",
    now="2026-11-19 16:00",
    short_sales=True,
    rows=(
        row("2026-10-30 15:00", "deposit", amount="10000.00", rate="0.9100"),
        row(
            "2026-11-05 15:00",
            "sell",
            symbol="ACME",
            quantity="50",
            price="80.00",
            fee="2.50",
            rate="0.9000",
        ),
        row(
            "2026-11-19 15:00", "buy", symbol="ACME", quantity="30", price="82.00", fee="1.50", rate="0.8810"
        ),
    ),
    baselines={
        "ACME": opened(WED_NY, FRI_OPEN_NY, "84.00", "0.8800"),
        "cash:USD": opened(WED_FX, THU_FX, rate="0.8798"),
    },
    prices={"ACME": "81.00"},
    rates={"USD": "0.8790"},
    positions={
        "ACME": {
            "quantity": "-20",
            "price": "132.00",  # -50·(81 - 84)·0.88
            "currency": "4.05",  # -50·81·(-0.001)
            "trades": "-31.29",  # 30·(81·0.879 - 82·0.881)
            "income": "0",
            "fees": "-1.3215",  # -1.50·0.881
            "daily_change": "103.4385",
            "daily_change_percent": "2.798660714285714286",  # of max(3,696, |-3,696 + 2,167.26|)
            "value": "-1423.98",  # -20·81·0.879
            "cost": "-1599.00",
            "cost_base": "-1439.10",
            "realized": "-63.00",  # -2,461.50 + 3,997.50·30/50
            "realized_base": "-9.9315",  # -2,168.5815 + 2,158.65
            "gain": "-21.00",  # -1,620 + 1,599
            "unrealized": "15.12",  # -1,423.98 + 1,439.10; signs differ: the dollar fell
            "unrealized_price": "-18.90",  # -21·0.9
            "unrealized_currency": "34.02",  # -1,620·(0.879 - 0.9)
        },
        "cash:USD": {
            "amount": "11536.00",
            "value": "10140.144",
            "currency": "-6.275",  # 13,997.50·(-0.0008) - 2,461.50·(-0.002)
            "daily_change": "-6.275",
        },
    },
    total={
        "total_value": "8716.164",
        "daily_change": "97.1635",
        "daily_change_percent": "1.127317488843398953",  # of 8,619.0005
        "price": "132.00",
        "currency": "-2.225",
        "trades": "-31.29",
        "income": "0",
        "fees": "-1.3215",
        "realized": "-9.9315",
        "unrealized": "15.12",
        "cash_fx": "-389.0245",  # 10,140.144 - 10,529.1685
        "external_flows": "0",
        "coverage": "1",
    },
    wire={
        "total_value": "8716.16",
        "daily_change": "97.16",
        "daily_change_percent": "1.13",
        "price": "132.00",
        "currency": "-2.22",  # half even
        "trades": "-31.29",
        "income": "0.00",
        "fees": "-1.32",
        "rounding": "-0.01",
    },
    flows="9100",
)

# --- case 5: bitcoin beside a US share, the Monday after Thanksgiving ------------------------------------------------

BITCOIN_ROWS = (
    row("2024-01-02 15:00", "deposit", amount="20000.00"),
    row("2024-01-03 15:00", "buy", symbol="ACME", quantity="50", price="150.00"),  # C 7,500
    row("2025-03-01 15:00", "buy", symbol="BTC-USD", quantity="0.1", price="40000.00", fee="4.00"),
    row("2026-11-28 09:00", "buy", symbol="BTC-USD", quantity="0.050000001", price="90000.00", fee="4.50"),
    row("2026-11-29 12:00", "withdrawal", amount="2000.00"),
)
FRI_FX, MON_FX = "2026-11-27 22:00", "2026-11-30 22:00"
MIDNIGHT = opened("2026-11-30 00:00", "2026-12-01 00:00", "91000.00")

CASE_5_BEFORE = Golden(
    base="USD",
    now="2026-11-30 12:00",  # before the share market opens: its session is still Friday's
    rows=BITCOIN_ROWS,
    baselines={
        "ACME": opened("2026-11-25 21:00", "2026-11-30 14:30", "200.00"),
        "BTC-USD": MIDNIGHT,
        "cash:USD": opened(FRI_FX, MON_FX),
    },
    prices={"ACME": "206.00", "BTC-USD": "91500"},
    positions={
        "ACME": {
            "price": "300.00",  # 50·6, Friday's change still
            "daily_change": "300.00",
            "unrealized": "2800.00",
            "value": "10300.00",
        },
        "BTC-USD": {
            "quantity": "0.150000001",
            "price": "75.0000005",  # 0.150000001·500
            "trades": "0",  # Saturday's purchase lies before its window
            "daily_change": "75.0000005",
            "unrealized": "5216.5000015",
            "value": "13725.0000915",
        },
        "cash:USD": {"amount": "1991.49991", "value": "1991.49991", **NOTHING},
    },
    total={
        "total_value": "26016.5000015",
        "daily_change": "375.0000005",
        "daily_change_percent": "1.356655754884624360",  # of 27,641.500001 = total - D + 2,000
        "price": "375.0000005",
        "currency": "0",
        "trades": "0",
        "income": "0",
        "fees": "0",
        "realized": "0",
        "unrealized": "8016.5000015",
        "cash_fx": "0",
        "external_flows": "-2000",
    },
    wire={
        "total_value": "26016.50",
        "daily_change": "375.00",
        "daily_change_percent": "1.36",
        "price": "375.00",
        "currency": "0.00",
        "trades": "0.00",
        "income": "0.00",
        "fees": "0.00",
        "rounding": "0.00",
        "baseline_at": "2026-11-25T21:00:00.000000Z",  # the oldest
    },
    flows="18000",
)

CASE_5_AFTER = Golden(
    base="USD",
    now="2026-11-30 15:00",
    rows=BITCOIN_ROWS,
    baselines={
        "ACME": opened("2026-11-27 18:00", "2026-12-01 14:30", "206.00"),  # Friday was a half day
        "BTC-USD": MIDNIGHT,
        "cash:USD": opened(FRI_FX, MON_FX),
    },
    prices={"ACME": "204.50", "BTC-USD": "92000"},
    positions={
        "ACME": {"daily_change": "-75.00", "unrealized": "2725.00", "value": "10225.00"},  # 50·(-1.50)
        "BTC-USD": {
            "daily_change": "150.000001",  # 0.150000001·1,000
            "unrealized": "5291.500002",
            "value": "13800.000092",
        },
        "cash:USD": {"value": "1991.49991", **NOTHING},
    },
    total={
        "total_value": "26016.500002",
        "daily_change": "75.000001",
        "daily_change_percent": "0.268417948203624789",  # of 27,941.500001
        "price": "75.000001",
        "currency": "0",
        "trades": "0",
        "income": "0",
        "fees": "0",
        "realized": "0",
        "unrealized": "8016.500002",
        "cash_fx": "0",
    },
    wire={
        "total_value": "26016.50",
        "daily_change": "75.00",
        "daily_change_percent": "0.27",
        "price": "75.00",
        "rounding": "0.00",
        "baseline_at": "2026-11-27T18:00:00.000000Z",
    },
    flows="18000",
)

FIVE = {
    "1 price and rate both move, bought more today": CASE_1,
    "2 sold part today of two lots, deposit today, pence": CASE_2,
    "3 split this morning, no trade yet": CASE_3_BEFORE,
    "3 split this morning, plus a sale": CASE_3_AFTER,
    "4 short, partly covered today": CASE_4,
    "5 bitcoin beside a share before the open": CASE_5_BEFORE,
    "5 bitcoin beside a share after the open": CASE_5_AFTER,
}
