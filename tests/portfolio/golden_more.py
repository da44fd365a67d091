"""Further golden cases: what people would miss first if a figure were only nearly right. Written as the five are."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from portfolio.ledger import Row
from portfolio.windows import AssetFacts, Baseline
from tests.portfolio.golden import (
    FRI_FX,
    FRI_OPEN_NY,
    MON_FX,
    NOTHING,
    THU_FX,
    WED_FX,
    WED_NY,
    Golden,
    opened,
    row,
    utc,
)

NOW = "2026-11-19 16:00"


def share(price: str | None, rate: str | None = "1") -> Baseline:
    """Wednesday's close in New York."""
    return opened(WED_NY, FRI_OPEN_NY, price, rate)


def cash(rate: str | None = "1") -> Baseline:
    return opened(WED_FX, THU_FX, rate=rate)


DOLLARS: Mapping[str, Baseline] = {"cash:USD": cash()}


def deposit(amount: str, currency: str = "USD", rate: str = "1", when: str = "2026-01-05 15:00") -> Row:
    return row(when, "deposit", amount=amount, currency=currency, rate=rate)


# --- rates -----------------------------------------------------------------------------------------------------------

# Thanksgiving: the share's session is Wednesday's, that of currencies goes on.
HOLIDAY = Golden(
    base="EUR",
    now="2026-11-26 15:00",
    rows=(
        deposit("2000.00", rate="0.90"),
        row("2026-01-06 15:00", "buy", symbol="ACME", quantity="10", price="100.00", rate="0.90"),
    ),
    baselines={
        "ACME": opened("2026-11-24 21:00", "2026-11-27 14:30", "108.00", "0.9000"),
        "cash:USD": opened("2026-11-25 22:00", "2026-11-26 22:00", rate="0.9100"),
        "cash:EUR": opened("2026-11-25 22:00", "2026-11-26 22:00"),
    },
    prices={"ACME": "110.00"},  # Wednesday's close
    rates={"USD": "0.9200"},
    positions={
        "ACME": {
            "price": "18.00",  # 10·(110 - 108)·0.90
            "currency": "22.00",  # 10·110·(0.92 - 0.90)
            "daily_change": "40.00",
            "unrealized": "112.00",  # 1,012 - 900
            "unrealized_price": "90.00",  # 100·0.90
            "unrealized_currency": "22.00",
        },
        "cash:USD": {"currency": "10.00", "value": "920.00"},  # 1,000·(0.92 - 0.91)
    },
    total={
        "total_value": "1932.00",
        "daily_change": "50.00",
        "daily_change_percent": "2.656748140276301807",  # 5,000 / 1,882
        "price": "18.00",
        "currency": "32.00",
        "cash_fx": "20.00",  # 920 - (1,800 - 900)
    },
    flows="1800",
)

BACK_DATED = replace(
    HOLIDAY,
    rows=(*HOLIDAY.rows, row("2026-11-02 09:00", "deposit", amount="100.00", currency="EUR", id=99)),
    total={"total_value": "2032.00", "daily_change": "50.00", "external_flows": "0"},
    positions={"cash:EUR": {"value": "100.00", **NOTHING}},
    flows="1900",
)

TOO_OLD = replace(
    HOLIDAY,
    rate_age=timedelta(days=4, microseconds=1),
    positions={
        "ACME": {"value": None, "daily_change": None, "unrealized": None},
        "cash:USD": {"value": None, "daily_change": None},
    },
    total={"total_value": "0", "daily_change": "0", "daily_change_percent": None, "coverage": "0"},
    unpriced={"ACME": "no_rate", "USD": "no_rate"},
)

JUST_YOUNG_ENOUGH = replace(HOLIDAY, rate_age=timedelta(days=4))

NO_RATE_THEN = replace(
    HOLIDAY,
    baselines={
        "ACME": opened("2026-11-24 21:00", "2026-11-27 14:30", "108.00", None),
        "cash:USD": opened("2026-11-25 22:00", "2026-11-26 22:00", rate=None),
    },
    positions={
        "ACME": {"value": "1012.00", "daily_change": None, "unrealized": "112.00"},
        "cash:USD": {"value": "920.00", "daily_change": None},
    },
    total={"total_value": "1932.00", "daily_change": "0", "coverage": "1"},
    unexplained=("ACME", "USD"),
)

# 500 EUR at 1.08, while a dollar is worth 0.92: the spread is the day's loss.
BROKERS_SPREAD = Golden(
    base="EUR",
    now=NOW,
    rows=(
        deposit("1000.00", "EUR"),
        row("2026-11-19 15:00", "convert", amount="500", currency="EUR", to_amount="540", to_currency="USD"),
    ),
    baselines={"cash:USD": cash("0.9190"), "cash:EUR": cash()},
    prices={},
    rates={"USD": "0.92"},
    positions={
        "cash:USD": {"amount": "540", "value": "496.80", "currency": "-3.20"},  # 540·0.92 - 500
        "cash:EUR": {"amount": "500", "value": "500", **NOTHING},
    },
    total={
        "total_value": "996.80",
        "daily_change": "-3.20",
        "daily_change_percent": "-0.32",
        "currency": "-3.20",
        "cash_fx": "-3.20",
        "external_flows": "0",
    },
    flows="1000",
)

NEGATIVE_CASH = Golden(
    base="USD",
    now=NOW,
    rows=(
        deposit("800.00", "EUR", "1.10"),
        row(
            "2026-01-06 09:00",
            "buy",
            symbol="SAP",
            quantity="10",
            price="100.00",
            currency="EUR",
            rate="1.10",
        ),
        row("2026-11-19 09:00", "interest", amount="-1.50", currency="EUR", rate="1.12"),
    ),
    baselines={
        "SAP": opened("2026-11-18 16:30", "2026-11-20 08:00", "100.00", "1.11"),
        "cash:EUR": cash("1.11"),
    },
    prices={"SAP": "100.00"},
    rates={"EUR": "1.13"},
    positions={
        "SAP": {"price": "0", "currency": "20.00", "daily_change": "20.00"},  # 1,000·0.02
        "cash:EUR": {
            "amount": "-201.50",
            "value": "-227.695",
            "currency": "-4.015",  # -200·0.02 - 1.50·(1.13 - 1.12)
            "income": "-1.68",  # -1.50·1.12
            "daily_change": "-5.695",
        },
    },
    total={
        "total_value": "902.305",  # 1,130 - 227.695
        "daily_change": "14.305",  # 902.305 - (1,110 - 222)
        "daily_change_percent": "1.610923423423423423",  # 1,430.5 / 888
        "income": "-1.68",
        "income_today": "-1.68",
        "cash_fx": "-6.015",  # -227.695 - (880 - 1,100 - 1.68)
    },
    wire={"daily_change": "14.30", "currency": "15.98", "income": "-1.68", "rounding": "0.00"},
    flows="880",
)

THIRD_CURRENCY_FEE = Golden(
    base="EUR",
    now=NOW,
    rows=(
        deposit("1000.00", rate="0.90"),
        row(
            "2026-11-19 15:00",
            "buy",
            symbol="ACME",
            quantity="10",
            price="100.00",
            rate="0.90",
            fee="2.00",
            fee_currency="GBP",
            fee_rate="1.15",
        ),
    ),
    baselines={"ACME": share(None, None), "cash:USD": cash("0.905"), "cash:GBP": cash("1.155")},
    prices={"ACME": "101.00"},
    rates={"USD": "0.91", "GBP": "1.16"},
    positions={
        "ACME": {
            "trades": "19.10",  # 10·(101·0.91 - 100·0.90)
            "fees": "-2.30",  # -2·1.15
            "daily_change": "16.80",
            "cost": "1002.555555555555555556",  # 1,000 + 2.30/0.90
            "cost_base": "902.30",
        },
        "cash:USD": {"amount": "0", "value": "0", "currency": "-5.00"},  # 1,000·0.005 - 1,000·0.01
        "cash:GBP": {"amount": "-2.00", "value": "-2.32", "currency": "-0.02"},  # -2·(1.16 - 1.15)
    },
    total={
        "total_value": "916.78",
        "daily_change": "11.78",  # 916.78 - 905
        "daily_change_percent": "1.301657458563535912",  # 1,178 / 905
        "cash_fx": "-0.02",
    },
    flows="900",
)

RAND_CENTS = Golden(
    base="USD",
    now=NOW,
    rows=(
        deposit("2500", "ZAR", "0.055"),
        row(
            "2026-01-06 09:00",
            "buy",
            symbol="NASPERS",
            quantity="10",
            price="25000",
            currency="ZAR",
            multiplier="0.01",
            rate="0.055",
        ),
    ),
    baselines={
        "NASPERS": opened("2026-11-18 15:00", "2026-11-20 07:00", "25100", "0.0555"),
        "cash:ZAR": cash("0.0555"),
    },
    prices={"NASPERS": "25250"},
    rates={"ZAR": "0.056"},
    positions={
        "NASPERS": {
            "price": "0.8325",  # 10·150·0.01·0.0555
            "currency": "1.2625",  # 10·252.50·0.0005
            "value": "141.40",
            "cost": "2500",
            "cost_base": "137.5",
        }
    },
    total={"total_value": "141.40", "daily_change": "2.095", "unrealized": "3.90"},
    wire={"daily_change": "2.10", "price": "0.83", "currency": "1.26", "rounding": "0.01"},
    flows="137.5",
)

# --- dividends -------------------------------------------------------------------------------------------------------

DIVIDEND_ROWS = (
    deposit("10000.00", rate="0.90"),
    row("2026-01-06 15:00", "buy", symbol="ACME", quantity="100", price="90.00", rate="0.90"),
    row(
        "2026-11-19 05:00",
        "dividend",
        symbol="ACME",
        amount="50.00",
        tax="7.50",
        rate="0.92",
        pay_time="2026-11-30 05:00",
    ),
)

EX_TODAY = Golden(
    base="EUR",
    now=NOW,
    rows=DIVIDEND_ROWS,
    baselines={"ACME": share("100.00", "0.91"), "cash:USD": cash("0.9105")},
    prices={"ACME": "99.50"},
    rates={"USD": "0.93"},
    positions={
        "ACME": {
            "price": "-45.50",  # 100·(-0.50)·0.91
            "currency": "199.00",  # 100·99.50·0.02
            "income": "46.00",  # 50·0.92
            "fees": "-6.90",  # withheld: -7.50·0.92
            "daily_change": "192.60",
            "value": "9253.50",
        },
        "cash:USD": {"amount": "1000.00", "value": "930.00", "currency": "19.50"},  # 1,000·0.0195
        "due:USD": {"amount": "42.50", "value": "39.525", "currency": "0.425"},  # 42.50·(0.93 - 0.92)
    },
    total={
        "total_value": "10223.025",
        "daily_change": "212.525",
        "daily_change_percent": "2.123020828130463014",  # 21,252.5 / 10,010.5
        "price": "-45.50",
        "currency": "218.925",
        "income": "46.00",
        "fees": "-6.90",
        "income_today": "46.00",
        "cash": "969.525",
        "cash_fx": "30.00",  # 930 - (9,000 - 8,100)
        "receivables_fx": "0.425",
    },
    wire={
        "daily_change": "212.52",
        "price": "-45.50",
        "currency": "218.92",
        "income": "46.00",
        "fees": "-6.90",
        "rounding": "0.00",
    },
    flows="9000",
)

PAID_TODAY = Golden(
    base="EUR",
    now="2026-11-30 15:00",
    rows=DIVIDEND_ROWS,
    baselines={
        "ACME": opened("2026-11-27 18:00", "2026-12-01 14:30", "101.00", "0.94"),
        "cash:USD": opened(FRI_FX, MON_FX, rate="0.9405"),
    },
    prices={"ACME": "102.00"},
    rates={"USD": "0.95"},
    positions={
        "ACME": {"price": "94.00", "currency": "102.00", "income": "0"},  # 100·1·0.94, 100·102·0.01
        # 1,000·0.0095 + 42.50·(0.95 - 0.92), and what is owed no more: 42.50·0.0095 - 42.50·(0.95 - 0.92)
        "cash:USD": {"amount": "1042.50", "value": "990.375", "currency": "10.775"},
        "due:USD": {"amount": "0", "value": "0", "currency": "-0.87125"},
    },
    total={
        "total_value": "10680.375",
        "daily_change": "205.90375",  # 94 + 102 + 1,042.50·0.0095
        "currency": "111.90375",
        "income": "0",
        "income_today": "0",
    },
    flows="9000",
)

SHORTS_DIVIDEND = Golden(
    base="USD",
    now=NOW,
    short_sales=True,
    rows=(
        deposit("1000"),
        row("2026-01-06 15:00", "sell", symbol="ACME", quantity="100", price="50"),
        row("2026-11-19 05:00", "dividend", symbol="ACME", amount="-25"),
    ),
    baselines={"ACME": share("52"), **DOLLARS},
    prices={"ACME": "51.50"},
    positions={"ACME": {"price": "50.00", "income": "-25", "daily_change": "25", "value": "-5150"}},
    total={
        "total_value": "825",  # 1,000 + 5,000 - 25 - 5,150
        "daily_change": "25",
        "daily_change_percent": "3.125",  # 2,500 / 800
    },
    wire={"daily_change_percent": "3.12", "income": "-25.00"},  # half even
    flows="1000",
)

# --- bonds and options -----------------------------------------------------------------------------------------------

BOND = Golden(
    base="USD",
    now=NOW,
    rows=(
        deposit("20000"),
        row(
            "2026-11-19 15:00",
            "buy",
            symbol="BOND",
            quantity="10000",
            price="98.50",
            fee="4",
            multiplier="0.01",
        ),
        row("2026-11-19 15:00", "interest", symbol="BOND", amount="-120", order=(1, 0)),  # accrued
    ),
    baselines={"BOND": share("98.40"), **DOLLARS},
    prices={"BOND": "98.75"},
    positions={
        "BOND": {
            "quantity": "10000",
            "price": "0",
            "trades": "25.00",  # 10,000·0.01·(98.75 - 98.50)
            "income": "-120",
            "fees": "-4",
            "daily_change": "-99.00",
            "daily_change_percent": "-1.005076142131979695",  # -9,900 / 9,850
            "value": "9875.00",
            "cost": "9854.00",
            "average_cost": "98.54",
        }
    },
    total={
        "total_value": "19901.00",
        "daily_change": "-99.00",
        "daily_change_percent": "-0.495",  # -9,900 / 20,000
        "unrealized": "21.00",
    },
    wire={"daily_change_percent": "-0.50"},  # half even
    flows="20000",
)

OPTION_ROWS = (
    deposit("1000"),
    row(
        "2026-10-05 15:00", "buy", symbol="CALL", quantity="2", price="3.10", fee="1.30", multiplier="100"
    ),  # C 621.30
)
THU_NY, MON_OPEN_NY = "2026-11-19 21:00", "2026-11-23 14:30"
OPTION_BASELINES = {
    "CALL": opened(THU_NY, MON_OPEN_NY, "0.05"),
    "cash:USD": opened(THU_FX, "2026-11-20 22:00"),
}

EXPIRED_WORTHLESS = Golden(
    base="USD",
    now="2026-11-20 21:30",
    rows=(
        *OPTION_ROWS,
        row("2026-11-20 21:00", "expire", symbol="CALL", quantity="2", multiplier="100"),
    ),
    baselines=OPTION_BASELINES,
    prices={"CALL": "0.01"},
    positions={
        "CALL": {
            "quantity": "0",
            "price": "-8.00",  # 2·(0.01 - 0.05)·100
            "trades": "-2.00",  # -2·0.01·100, for nothing
            "daily_change": "-10.00",
            "realized": "-621.30",
            "value": "0",
        }
    },
    total={
        "total_value": "378.70",
        "daily_change": "-10.00",
        "daily_change_percent": "-2.572678157962438899",  # -1,000 / 388.70
        "realized_today": "-621.30",
        "coverage": "1",
    },
    flows="1000",
)

# What is closed needs no price: its trades made all of the change.
EXPIRED_AND_GONE = replace(
    EXPIRED_WORTHLESS,
    prices={},
    positions={"CALL": {"price": "0", "trades": "-10.00", "daily_change": "-10.00", "value": "0"}},
)

EXPIRED_WITHOUT_A_ROW = Golden(
    base="USD",
    now="2026-11-20 21:30",
    rows=OPTION_ROWS,
    assets={"CALL": AssetFacts("a call", utc("2026-11-20 21:00"))},
    baselines=OPTION_BASELINES,
    prices={"CALL": "0.01"},
    positions={"CALL": {"quantity": "2", "value": None, "daily_change": None}},
    total={"total_value": "378.70", "daily_change": "0", "coverage": "0"},
    unpriced={"CALL": "expired"},
    flows="1000",
)

EXERCISED = Golden(
    base="USD",
    now=NOW,
    rows=(
        deposit("10000"),
        row(
            "2026-10-05 15:00", "buy", symbol="CALL", quantity="1", price="5.00", fee="1", multiplier="100"
        ),  # C 501
        row(
            "2026-11-19 15:00",
            "exercise",
            symbol="CALL",
            quantity="1",
            price="50.00",
            multiplier="100",
            other_symbol="ACME",
            numerator=100,
            option_right="call",
        ),
    ),
    baselines={"CALL": share("7.50"), "ACME": share("57.00"), **DOLLARS},
    prices={"CALL": "8.00", "ACME": "58.00"},
    positions={
        "CALL": {"quantity": "0", "price": "50.00", "trades": "-800.00", "daily_change": "-750.00"},
        "ACME": {
            "quantity": "100",
            "price": "0",
            "trades": "800.00",  # 100·(58 - 50)
            "cost": "5501.00",  # with the premium
            "unrealized": "299.00",
        },
    },
    total={
        "total_value": "10299.00",  # 5,800 + 4,499
        "daily_change": "50.00",  # 10,299 - (750 + 9,499)
        "realized": "0",
    },
    flows="10000",
)

ASSIGNED = Golden(
    base="USD",
    now=NOW,
    short_sales=True,
    rows=(
        deposit("10000"),
        row(
            "2026-10-05 15:00", "sell", symbol="PUT", quantity="1", price="4.00", fee="1", multiplier="100"
        ),  # C -399
        row(
            "2026-11-19 15:00",
            "assign",
            symbol="PUT",
            quantity="1",
            price="60.00",
            multiplier="100",
            other_symbol="ACME",
            numerator=100,
            option_right="put",
        ),
    ),
    baselines={"PUT": share("3.00"), "ACME": share("57.00"), **DOLLARS},
    prices={"PUT": "2.90", "ACME": "57.50"},
    positions={
        "PUT": {"quantity": "0", "price": "10.00", "trades": "290.00", "daily_change": "300.00"},
        "ACME": {"quantity": "100", "trades": "-250.00", "cost": "5601.00", "unrealized": "149.00"},
    },
    total={
        "total_value": "10149.00",  # 5,750 + 4,399
        "daily_change": "50.00",  # 10,149 - (10,399 - 300)
    },
    flows="10000",
)

# --- splits and other actions ----------------------------------------------------------------------------------------

REVERSE_SPLIT = Golden(
    base="USD",
    now=NOW,
    rows=(
        deposit("210"),
        row("2026-01-06 15:00", "buy", symbol="ACME", quantity="105", price="2.00"),
        row("2026-11-19 05:00", "split", symbol="ACME", numerator=1, denominator=8),  # 13.125
        row("2026-11-19 05:00", "cash_in_lieu", symbol="ACME", quantity="0.125", price="16", order=(1, 0)),
    ),
    baselines={"ACME": share("2.10"), **DOLLARS},
    prices={"ACME": "16.80"},
    positions={
        "ACME": {
            "quantity": "13",
            "price": "0",  # 13.125·16.80 - 105·2.10
            "trades": "-0.10",  # -0.125·(16.80 - 16)
            "daily_change": "-0.10",
            "cost": "208",  # 210 - 210·0.125/13.125
            "realized": "0",
            "previous_close": "16.8",  # 2.10·8
        }
    },
    total={"total_value": "220.40", "daily_change": "-0.10"},
    flows="210",
)

THREE_FOR_ONE = Golden(
    base="USD",
    now=NOW,
    rows=(
        deposit("700"),
        row("2026-01-06 15:00", "buy", symbol="ACME", quantity="7", price="100"),
        row("2026-11-19 05:00", "split", symbol="ACME", numerator=3, denominator=1),
    ),
    baselines={"ACME": share("100.00"), **DOLLARS},
    prices={"ACME": "33.34"},
    positions={
        "ACME": {
            "quantity": "21",
            "price": "0.14",  # 21·33.34 - 7·100
            "daily_change_percent": "0.02",
            "previous_close": "33.333333333333333333",
            "average_cost": "33.333333333333333333",
        }
    },
    total={"total_value": "700.14", "daily_change": "0.14"},
    flows="700",
)

TRADED_BEFORE_THE_SPLIT = replace(
    THREE_FOR_ONE,
    rows=(
        deposit("1000"),
        row("2026-01-06 15:00", "buy", symbol="ACME", quantity="7", price="100"),
        row("2026-11-19 01:00", "buy", symbol="ACME", quantity="1", price="101"),  # 3 of today's
        row("2026-11-19 05:00", "split", symbol="ACME", numerator=3, denominator=1),
    ),
    positions={
        "ACME": {
            "quantity": "24",
            "price": "0.14",
            "trades": "-0.98",  # 3·33.34 - 101
            "daily_change": "-0.84",
        }
    },
    total={"total_value": "999.16", "daily_change": "-0.84"},  # 24·33.34 + 199
    flows="1000",
)

SHORT_THROUGH_A_SPLIT = Golden(
    base="USD",
    now=NOW,
    short_sales=True,
    rows=(
        deposit("1000"),
        row("2026-01-06 15:00", "sell", symbol="ACME", quantity="10", price="300", fee="1"),
        row("2026-11-19 05:00", "split", symbol="ACME", numerator=3, denominator=1),
    ),
    baselines={"ACME": share("330"), **DOLLARS},
    prices={"ACME": "108"},
    positions={
        "ACME": {"quantity": "-30", "price": "60", "cost": "-2999", "previous_close": "110"}
    },  # -30·108 + 10·330
    total={"total_value": "759", "daily_change": "60"},  # 1,000 + 2,999 - 3,240
    flows="1000",
)

# The old symbol has no price any more; what moved is worth its cost on both sides.
NEW_SYMBOL = Golden(
    base="USD",
    now=NOW,
    rows=(
        deposit("100"),
        row("2026-01-06 15:00", "buy", symbol="OLD", quantity="10", price="10"),
        row("2026-11-19 05:00", "symbol_change", symbol="OLD", other_symbol="NEW"),
    ),
    baselines={"OLD": share("12"), "NEW": share(None), **DOLLARS},
    prices={"NEW": "12.50"},
    positions={
        "OLD": {"quantity": "0", "trades": "-20", "daily_change": "-20"},  # -120 + 100
        "NEW": {"quantity": "10", "trades": "25", "daily_change": "25", "cost": "100"},
    },
    total={"total_value": "125", "daily_change": "5", "coverage": "1"},
    flows="100",
)

# --- trades ----------------------------------------------------------------------------------------------------------

CLOSED_TODAY = Golden(
    base="EUR",
    now=NOW,
    rows=(
        deposit("900", rate="0.90"),
        row("2026-01-06 15:00", "buy", symbol="ACME", quantity="10", price="90", rate="0.90"),
        row("2026-11-19 15:00", "sell", symbol="ACME", quantity="10", price="102", fee="1", rate="0.92"),
    ),
    baselines={"ACME": share("100", "0.91"), "cash:USD": cash("0.9105")},
    prices={"ACME": "105"},
    rates={"USD": "0.93"},
    positions={
        "ACME": {
            "quantity": "0",
            "price": "45.50",  # 10·5·0.91
            "currency": "21.00",  # 10·105·0.02
            "trades": "-38.10",  # -10·(105·0.93 - 102·0.92)
            "fees": "-0.92",
            "daily_change": "27.48",  # -910 + 938.40 - 0.92
            "value": "0",
            "realized": "119",
            "realized_base": "127.48",  # 937.48 - 810
            "average_cost": None,
        },
        "cash:USD": {"amount": "1019", "value": "947.67", "currency": "10.19"},  # 1,019·0.93 - 937.48
    },
    total={
        "total_value": "947.67",
        "daily_change": "37.67",
        "daily_change_percent": "4.139560439560439560",  # 3,767 / 910
        "realized_today": "127.48",
        "coverage": "1",
    },
    flows="810",
)

# A is held and was never closed before, B has not been traded at all, C was bought after its first trade.
NEW_LISTINGS = Golden(
    base="USD",
    now=NOW,
    rows=(
        deposit("1000"),
        row("2026-11-17 15:00", "buy", symbol="A", quantity="10", price="20"),
        row("2026-11-17 15:00", "buy", symbol="B", quantity="5", price="30"),
        row("2026-11-19 15:00", "buy", symbol="C", quantity="10", price="11", fee="1"),
    ),
    baselines={"A": share(None), "B": share(None), "C": share(None), **DOLLARS},
    prices={"A": "23", "C": "12"},
    positions={
        "A": {"value": "230", "daily_change": None, "unrealized": "30", "daily_change_percent": None},
        "B": {"value": None, "daily_change": None},
        "C": {"trades": "10", "fees": "-1", "daily_change": "9"},
    },
    total={
        "total_value": "889",  # 230 + 120 + 539
        "daily_change": "9",
        "daily_change_percent": "1.022727272727272727",  # 900 / 880
        "unrealized": "39",
        "coverage": "0.666666666666666667",
    },
    unpriced={"B": "no_price"},
    unexplained=("A",),
    flows="1000",
)

TRANSFERRED_IN = Golden(
    base="EUR",
    now=NOW,
    rows=(
        row(
            "2026-11-19 15:00",
            "transfer_in",
            symbol="ACME",
            quantity="10",
            price="150",
            rate="0.92",
            cost="1000",
            base_cost="850",
            opened="2020-03-02 15:00",
        ),
    ),
    baselines={"ACME": share("151", "0.91")},
    prices={"ACME": "155"},
    rates={"USD": "0.93"},
    positions={
        "ACME": {
            "trades": "61.50",  # 10·(155·0.93 - 150·0.92): from its value when it came
            "daily_change": "61.50",
            "daily_change_percent": "4.456521739130434783",  # 6,150 / 1,380
            "cost": "1000",
            "unrealized": "591.50",  # 1,441.50 - 850
            "unrealized_price": "467.50",  # 550·0.85
            "unrealized_currency": "124.00",  # 1,550·0.08
        }
    },
    total={
        "total_value": "1441.50",
        "daily_change": "61.50",
        "daily_change_percent": "4.456521739130434783",
        "external_flows": "1380",
    },
    flows="850",  # a transfer counts with the cost it brought
)

LONG_TO_SHORT = Golden(
    base="USD",
    now=NOW,
    short_sales=True,
    rows=(
        deposit("1000"),
        row("2026-01-06 15:00", "buy", symbol="ACME", quantity="100", price="10"),
        row("2026-11-19 15:00", "sell", symbol="ACME", quantity="150", price="12", fee="3"),
    ),
    baselines={"ACME": share("11"), **DOLLARS},
    prices={"ACME": "12.50"},
    positions={
        "ACME": {
            "quantity": "-50",
            "price": "150",  # 100·1.50
            "trades": "-75",  # -150·0.50
            "fees": "-3",
            "daily_change": "72",
            "realized": "198",  # 1,200 - 2 - 1,000
            "cost": "-599",  # -(600 - 1)
            "unrealized": "-26",
        }
    },
    total={
        "total_value": "1172",
        "daily_change": "72",
        "daily_change_percent": "6.545454545454545455",  # 7,200 / 1,100
    },
    flows="1000",
)

AVERAGE_CROSSING = Golden(
    base="USD",
    now=NOW,
    method="average",
    short_sales=True,
    rows=(
        deposit("1000"),
        row("2026-01-06 15:00", "buy", symbol="ACME", quantity="10", price="10", fee="1"),
        row("2026-02-06 15:00", "buy", symbol="ACME", quantity="10", price="14", fee="1"),  # 20 for 242
        row("2026-11-19 15:00", "sell", symbol="ACME", quantity="30", price="13", fee="3"),
    ),
    baselines={"ACME": share("12"), **DOLLARS},
    prices={"ACME": "12.50"},
    positions={
        "ACME": {
            "quantity": "-10",
            "price": "10",  # 20·0.50
            "trades": "15",  # -30·(12.50 - 13)
            "fees": "-3",
            "realized": "16",  # 260 - 2 - 242
            "cost": "-129",  # -(130 - 1)
            "unrealized": "4",
        }
    },
    total={
        "total_value": "1020",
        "daily_change": "22",  # 1,020 - (758 + 240)
        "daily_change_percent": "2.204408817635270541",  # 2,200 / 998
    },
    flows="1000",
)

# --- the edges -------------------------------------------------------------------------------------------------------

ALL_WITHDRAWN = Golden(
    base="USD",
    now=NOW,
    rows=(deposit("1000"), row("2026-11-19 15:00", "withdrawal", amount="1000")),
    baselines=DOLLARS,
    prices={},
    positions={"cash:USD": {"amount": "0", **NOTHING}},
    total={
        "total_value": "0",
        "daily_change": "0",
        "daily_change_percent": "0",  # of 0 - 0 + 1,000
        "external_flows": "-1000",
        "coverage": "1",
    },
    flows="0",
)

IN_AND_OUT = Golden(
    base="USD",
    now=NOW,
    rows=(
        deposit("1000", when="2026-11-19 14:00"),
        row("2026-11-19 15:00", "withdrawal", amount="1000"),
    ),
    baselines=DOLLARS,
    prices={},
    positions={"cash:USD": {"amount": "0", **NOTHING}},
    total={"total_value": "0", "daily_change": "0", "daily_change_percent": None, "external_flows": "0"},
    flows="0",
)

ONE_WEI = Golden(
    base="USD",
    now=NOW,
    rows=(
        row("2026-01-06 15:00", "buy", symbol="ETH-USD", quantity="0.000000000000000001", price="2500.12"),
    ),
    baselines={"ETH-USD": opened("2026-11-19 00:00", "2026-11-20 00:00", "2600"), **DOLLARS},
    prices={"ETH-USD": "2700.50"},
    positions={
        "ETH-USD": {
            "quantity": "0.000000000000000001",
            "value": "0.0000000000000027005",
            "cost": "0.00000000000000250012",
            "daily_change": "0.0000000000000001005",
            "daily_change_percent": "3.865384615384615385",  # 100·100.50 / 2,600
        }
    },
    total={"total_value": "0.00000000000000020038", "daily_change": "0.0000000000000001005"},
    wire={"total_value": "0.00", "daily_change": "0.00", "rounding": "0.00"},
    flows="0",
)

YEN = Golden(
    base="JPY",
    now=NOW,
    rows=(
        deposit("5000", "JPY"),
        row("2026-01-06 01:00", "buy", symbol="TOYOTA", quantity="3", price="1234.1", currency="JPY"),
        row(
            "2026-11-19 05:00", "buy", symbol="TOYOTA", quantity="1", price="1234.1", fee="1", currency="JPY"
        ),
    ),
    baselines={
        "TOYOTA": opened("2026-11-18 06:30", "2026-11-20 00:00", "1234.1"),
        "cash:JPY": cash(),
    },
    prices={"TOYOTA": "1234.6"},
    positions={"TOYOTA": {"price": "1.5", "trades": "0.5", "fees": "-1", "daily_change": "1.0"}},
    total={"total_value": "5001", "daily_change": "1.0"},
    wire={
        "total_value": "5001",
        "daily_change": "1",
        "price": "2",  # 1.5, half even
        "trades": "0",  # 0.5, half even
        "fees": "-1",
        "rounding": "0",
    },
    flows="5000",
)

DINAR = Golden(
    base="KWD",
    now=NOW,
    rows=(
        deposit("10", "KWD"),
        row("2026-01-06 09:00", "buy", symbol="ZAIN", quantity="7", price="0.4505", currency="KWD"),
    ),
    baselines={"ZAIN": opened("2026-11-18 10:00", "2026-11-22 06:00", "0.4505"), "cash:KWD": cash()},
    prices={"ZAIN": "0.4510"},
    positions={"ZAIN": {"price": "0.0035", "value": "3.157"}},
    total={"total_value": "10.0035", "daily_change": "0.0035"},
    wire={
        "total_value": "10.004",
        "daily_change": "0.004",
        "price": "0.004",
        "currency": "0.000",
        "rounding": "0.000",
    },
    flows="10",
)

WORTHLESS = Golden(
    base="USD",
    now=NOW,
    rows=(deposit("100"), row("2026-01-06 15:00", "buy", symbol="ACME", quantity="10", price="10")),
    baselines={"ACME": share("8"), **DOLLARS},
    prices={"ACME": "0"},
    positions={"ACME": {"value": "0", "daily_change": "-80", "daily_change_percent": "-100"}},
    total={"total_value": "0", "daily_change": "-80", "daily_change_percent": "-100", "coverage": "1"},
    flows="100",
)

BELOW_ZERO = replace(
    WORTHLESS,
    prices={"ACME": "-37.63"},
    positions={"ACME": {"value": "-376.30", "daily_change": "-456.30", "daily_change_percent": "-570.375"}},
    total={"total_value": "-376.30", "daily_change": "-456.30", "daily_change_percent": "-570.375"},
)

QUARANTINED = replace(
    WORTHLESS,
    quarantined=frozenset({"ACME"}),
    prices={"ACME": "800"},
    positions={"ACME": {"value": None, "daily_change": None}},
    total={"total_value": "0", "daily_change": "0", "daily_change_percent": None, "coverage": "0"},
    unpriced={"ACME": "quarantined"},
)

MORE = {
    "a rate moves while the share market is shut": HOLIDAY,
    "a back-dated deposit leaves the day alone": BACK_DATED,
    "a rate older than four days is none": TOO_OLD,
    "a rate of just four days counts": JUST_YOUNG_ENOUGH,
    "no rate at the baseline leaves the change unknown": NO_RATE_THEN,
    "a conversion at the broker's spread": BROKERS_SPREAD,
    "negative cash pays interest": NEGATIVE_CASH,
    "a fee in a third currency": THIRD_CURRENCY_FEE,
    "a share quoted in cents of a rand": RAND_CENTS,
    "a dividend's ex-date is today": EX_TODAY,
    "a dividend is paid today": PAID_TODAY,
    "a short pays the dividend": SHORTS_DIVIDEND,
    "a bond with accrued interest": BOND,
    "an option expires worthless": EXPIRED_WORTHLESS,
    "an option expires and has no price any more": EXPIRED_AND_GONE,
    "an option is expired and no row says so": EXPIRED_WITHOUT_A_ROW,
    "a call is exercised": EXERCISED,
    "a short put is assigned": ASSIGNED,
    "a reverse split with cash in lieu": REVERSE_SPLIT,
    "a split that does not divide": THREE_FOR_ONE,
    "a trade before the split of its day": TRADED_BEFORE_THE_SPLIT,
    "a short through a split": SHORT_THROUGH_A_SPLIT,
    "a new symbol": NEW_SYMBOL,
    "closed today": CLOSED_TODAY,
    "new listings with and without a trade": NEW_LISTINGS,
    "transferred in with its old cost": TRANSFERRED_IN,
    "long to short in one sale": LONG_TO_SHORT,
    "average cost across zero": AVERAGE_CROSSING,
    "everything withdrawn": ALL_WITHDRAWN,
    "in and out on one day": IN_AND_OUT,
    "one wei": ONE_WEI,
    "yen have no minor unit": YEN,
    "dinars have three places": DINAR,
    "a price of zero": WORTHLESS,
    "a price below zero": BELOW_ZERO,
    "a price held back": QUARANTINED,
}
