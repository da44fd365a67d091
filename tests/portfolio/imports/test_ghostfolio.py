import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.imports.parsing import parse
from tests.portfolio.imports.builders import booked, messages, parsed_file, parsed_text, said

D = Decimal
ACTIVITY = {
    "date": "2026-09-16T00:00:00.000Z", "type": "BUY", "symbol": "ACME", "currency": "USD", "quantity": 5,
    "unitPrice": 298.58, "fee": 19, "comment": None,
}  # fmt: skip


def parsed_activity(**values: Any) -> Any:
    return parsed_text(json.dumps({"activities": [ACTIVITY | values]}))


def test_an_export_is_read_with_its_own_assets_names() -> None:
    parsed = parsed_file("ghostfolio.json")
    assert messages(parsed) == []
    assert said(parsed.drafts[1]) == {
        "kind": "buy",
        "time": datetime(2026, 9, 16, 14, 30, 5, tzinfo=UTC),
        "symbol": "ACME",
        "currency": "USD",
        "multiplier": D(1),
        "quantity": D(5),
        "price": D("298.58"),
        "fee": D(19),
        "trade_id": "ghostfolio:a2",
        "note": "My first order 🤓",
    }
    assert (parsed.drafts[0].amount, parsed.drafts[0].note) == (49, "Account Opening Fee")
    assert parsed.drafts[4].name == "Penthouse Apartment"
    assert [tuple(each) for each in parsed.left_out] == [
        (6, "type", "a liability: it is no asset that can be priced")
    ]


def test_a_hundredth_of_a_currency_is_the_prices_unit_only() -> None:
    zac = next(draft for draft in parsed_file("ghostfolio.json").drafts if draft.symbol == "JSE.JO")
    assert (zac.currency, zac.multiplier, zac.price, zac.fee) == ("ZAR", D("0.01"), 10875, 1)


def test_the_csv_form_is_read_with_any_of_its_dates() -> None:
    parsed = parsed_file("ghostfolio.csv")
    assert messages(parsed) == []
    assert [(draft.kind, draft.day) for draft in parsed.drafts] == [
        ("fee", date(2026, 9, 1)),
        ("buy", date(2026, 9, 16)),
        ("dividend", date(2026, 11, 17)),
        ("sell", date(2026, 11, 18)),
    ]
    assert booked(parsed.drafts) == {"ACME": 3, "USD": -49 - D("1492.9") - 19 + D("3.1") + 603 - 1}


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"type": "GIFT"}, [(1, "type", "expected BUY, SELL, DIVIDEND, INTEREST or FEE, was 'GIFT'")]),
        ({"date": "16.09.26"}, [(1, "date", "expected a date like 2026-11-20, was '16.09.26'")]),
        ({"date": None}, [(1, "date", "expected a date, was none")]),
        ({"unitPrice": "1e999"}, [(1, "unitPrice", "expected an exponent within ±30, was 1.000000E+999")]),
        ({"unitPrice": float("nan")}, [(1, "unitPrice", "expected a number like 1234.56, was 'NaN'")]),
        ({"symbol": None}, [(1, "symbol", "expected a symbol with a buy, was none")]),
        ({"currency": "dollars and"}, [(1, "currency", "expected a currency like USD, was 'DOLLARS AND'")]),
    ],
)  # fmt: skip
def test_what_no_activity_can_be_is_told_by_its_number(
    values: dict[str, Any], problems: list[tuple[int, str, str]]
) -> None:
    parsed = parsed_activity(**values)
    assert (messages(parsed), parsed.drafts) == (problems, [])


def test_a_trade_of_nothing_is_left_out() -> None:
    assert [tuple(each) for each in parsed_activity(quantity=0).left_out] == [
        (1, "type", "a trade of nothing")
    ]


def test_numbers_are_exact() -> None:
    text = json.dumps({"activities": [ACTIVITY]}).replace("298.58", "0.10000000000000000555111512312")
    assert parsed_text(text).drafts[0].price == D("0.10000000000000000555111512312")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON, was something else"),
        ("[" * 100_000, "expected JSON, was something else"),
        ('{"activities": 5}', "expected a list of activities, was none"),
        ("[5]", "expected an activity, was '5'"),
        (json.dumps([{}] * 100_001), "expected at most 100,000 rows, was 100,001"),
    ],
)
def test_other_json_is_refused(text: str, message: str) -> None:
    parsed = parsed_text(text)
    assert parsed.drafts == [] and parsed.problems[0].message.startswith(message)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["BUY", "FEE"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(ACTIVITY)), inner, max_size=8),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=2_000)
@given(_JSON)
def test_no_json_raises_anything(value: Any) -> None:
    parsed = parse(
        json.dumps({"activities": [value, {**ACTIVITY, "type": value}], "assetProfiles": value}).encode()
    )
    assert all(problem.message.startswith("expected ") for problem in parsed.problems)
    for draft in parsed.drafts:
        draft.note.encode()
