"""First in, first out against Beancount, which nobody tuned to agree with us."""

import json
import subprocess
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest

from portfolio.ledger import Account, Row, replay
from tests.oracles.environment import oracle_python
from tests.portfolio.builders import make_row
from tests.portfolio.tables import moment, table

ORACLE = Path(__file__).parent.parent / "oracles" / "beancount_fifo.py"
COUNT = 320
START = moment("2026-01-05T09:00")
# Beancount divides to 28 digits; ratios that end leave it nothing to round.
RATIOS = ((2, 1), (3, 1), (10, 1), (1, 8), (3, 2), (1, 10), (7, 5), (1, 2))


def golden_ledgers() -> list[list[Row]]:
    """Cases 2, 3 and 4 of the golden ones."""
    return [
        table(
            """
            2019-05-02 buy  ACME currency=GBP rate=1.1500 multiplier=0.01 quantity=200 price=450 fee=6.00
            2022-08-15 buy  ACME currency=GBP rate=1.1800 multiplier=0.01 quantity=300 price=620 fee=5.95
            2026-11-19 sell ACME currency=GBP rate=1.1650 multiplier=0.01 quantity=300 price=705 fee=8.00
            """
        ),
        table(
            """
            2023-01-03 buy   ACME quantity=10  price=800.00 fee=5.00
            2024-01-03 buy   ACME quantity=5   price=950.00 fee=5.00
            2026-11-19 split ACME numerator=10 denominator=1
            2026-11-19 sell  ACME quantity=120 price=121.50 fee=2.00
            """
        ),
        table(
            """
            2026-11-05 sell ACME currency=USD rate=0.9000 quantity=50 price=80.00 fee=2.50
            2026-11-19 buy  ACME currency=USD rate=0.8810 quantity=30 price=82.00 fee=1.50
            """
        ),
    ]


def made_ledger(random: Random) -> list[Row]:
    """Trades of one asset, several on some days, long and short and through zero, with up to two splits."""
    multiplier = random.choice(["1", "1", "0.01", "100"])
    places = random.choice([0, 0, 2, 4])
    splits = random.sample(range(3, 40), random.choice([0, 0, 1, 2]))
    lean = random.choice([0.5, 0.65, 0.35])
    rows, time = [], START
    for id in range(1, random.randint(4, 24)):
        time += timedelta(hours=random.choice([0, 0, 1, 3, 30, 700]))
        common: dict[str, Any] = {"id": id, "order": (0, id), "currency": "USD", "multiplier": multiplier}
        if id in splits:
            new, old = random.choice(RATIOS)
            rows.append(make_row("split", time, numerator=new, denominator=old, **common))
            continue
        rows.append(
            make_row(
                "buy" if random.random() < lean else "sell",
                time,
                quantity=Decimal(random.randint(1, 3000)).scaleb(-places) + 1,
                # More than the fee: Beancount knows no negative cost.
                price=Decimal(random.randint(200, 90_000)) / 100 / Decimal(multiplier),
                fee=Decimal(random.choice([0, 99, 100, 195, random.randint(0, 199)])) / 100,
                rate=Decimal(random.randint(5000, 15_000)) / 10_000,
                **common,
            )
        )
    return rows


def as_json(row: Row) -> dict[str, Any]:
    numbers = {name: f"{getattr(row, name):f}" for name in ("quantity", "price", "fee", "multiplier", "rate")}
    return {
        "id": str(row.id),
        "date": f"{row.time:%Y-%m-%d}",
        "kind": row.kind,
        "numerator": row.numerator,
        "denominator": row.denominator,
        **numbers,
    }


@pytest.fixture(scope="module")
def compared() -> list[tuple[list[Row], dict[str, Any]]]:
    random = Random(4)
    ledgers = [*golden_ledgers(), *(made_ledger(random) for _ in range(COUNT))]
    done = subprocess.run(
        [oracle_python(), "-I", ORACLE],
        input=json.dumps([[as_json(row) for row in rows] for rows in ledgers]),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return list(zip(ledgers, json.loads(done.stdout), strict=True))


def difference(account: Account, answer: dict[str, Any], in_base: bool) -> Fraction:
    """The largest one, in cost of lots or realized gain of rows; quantities have to be equal."""
    cost, realized = ("cost_base", "realized_base") if in_base else ("cost", "realized")
    lots = {str(lot.row_id): lot for lot in account.lots}
    assert {id: lot.quantity for id, lot in lots.items()} == {
        id: Decimal(units) for id, (units, _) in answer["lots"].items()
    }
    pairs = [(getattr(lots[id], cost), theirs) for id, (_, theirs) in answer["lots"].items()]
    ours = {str(e.row_id): getattr(e, realized) for e in account.entries if getattr(e, realized)}
    theirs = answer["realized"]
    pairs += [(ours.get(id, Decimal(0)), theirs.get(id, "0")) for id in ours.keys() | theirs.keys()]
    return max((abs(Fraction(a) - Fraction(b)) for a, b in pairs), default=Fraction(0))


def test_lots_cost_and_realized_gain_equal_beancounts(
    compared: list[tuple[list[Row], dict[str, Any]]],
) -> None:
    closings = shorts = 0
    for rows, answer in compared:
        account = replay(rows, short_sales=True, base="EUR").accounts["ACME"]
        # Each row rounds a cost and a fee by half a unit of the 18th place; Beancount its unit costs at 28 digits.
        allowed = Fraction(len(rows), 10**18)
        assert difference(account, answer["native"], in_base=False) <= allowed, rows
        assert difference(account, answer["base"], in_base=True) <= allowed, rows
        closings += len(answer["native"]["realized"])
        shorts += account.quantity < 0
    assert len(compared) >= 300
    assert closings > 1_000 and shorts > 50, (closings, shorts)
