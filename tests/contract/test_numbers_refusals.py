"""What makes no sense is refused at its place, wherever it comes in, and leaves nothing behind."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.contract.client import Frame, Http, Response
from tests.contract.conftest import System, ok
from tests.contract.test_delivery import still_asset
from tests.contract.test_portfolios import Folio, folio

__all__ = ["folio"]  # a fixture: 1,000 in cash and ten pieces of HELD

# As text, and as JSON has or has not numbers.
NOT_NUMBERS = (
    '"NaN"',
    '"sNaN"',
    '"-Infinity"',
    '"1e31"',
    '"1e-31"',
    '"1E+999999999"',
    "1e400",
    '"0x10"',
    "true",
    "[]",
)
NOT_JSON = ("NaN", "Infinity", "-Infinity")


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


@contextmanager
def nothing_stored(folio: Folio) -> Iterator[None]:
    """The portfolio's rows, positions and assets are afterwards what they were."""
    before = state(folio)
    yield
    assert state(folio) == before


def state(folio: Folio) -> tuple[Any, ...]:
    rows = ok(folio.session.get(f"{folio.path}transactions/?page_size=1000")).json["results"]
    positions = folio.value()["positions"]
    assets = ok(folio.session.get("/api/assets/?page_size=1")).json["count"]
    return [row["id"] for row in rows], [(one["symbol"], one["quantity"]) for one in positions], assets


def refused(answer: Response, field: str, message: str) -> None:
    assert answer.status == 400, (answer.status, answer.body[:500])
    found = answer.json
    assert field in found, found
    assert message in str(found[field]), found


def post_raw(session: Http, path: str, body: str) -> Response:
    return session.post(path, body.encode(), headers={"Content-Type": "application/json"})


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_is_refused_at_its_field(system: System, folio: Folio) -> None:
    new = {"symbol": "YOUNG", "name": "listed last week", "currency": "USD", "listed_on": days_ago(7)[:10]}
    assert folio.session.post("/api/assets/", new).status in (201, 400)
    trade = {"symbol": "HELD", "quantity": "1", "price": "5"}
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"type": "sell", **trade, "quantity": "10.000000000000000001"}, "quantity", "at most 10 HELD held then"),
        ({"type": "sell", **trade, "time": days_ago(1)}, "quantity", "at most 0 HELD held then"),
        ({"type": "transfer_out", **trade, "quantity": "11"}, "quantity", "at most 10 HELD held then"),
        ({"type": "buy", **trade, "time": days_ago(-1)}, "time", "not in the future"),
        ({"type": "buy", **trade, "symbol": "YOUNG", "time": days_ago(9)}, "time", "YOUNG did not exist before"),
        ({"type": "buy", **trade, "time": "2026-02-30"}, "time", "expected a time in ISO 8601"),
        ({"type": "buy", **trade, "time": "20.11.2026"}, "time", "expected a time in ISO 8601"),
        ({"type": "buy", **trade, "symbol": "NO-SUCH"}, "symbol", "unknown symbol NO-SUCH"),
        ({"type": "buy", **trade, "currency": "EUR"}, "currency", "expected USD, was EUR"),
        ({"type": "buy", **trade, "quantity": "-1"}, "quantity", "more than 0"),
        ({"type": "deposit", "amount": "5", "currency": "QXX"}, "currency", "no rate from QXX to USD"),
        ({"type": "buy", **trade, "fee": "1", "fee_currency": "QXX"}, "fee_currency", "no rate from QXX to USD"),
        ({"type": "split", "symbol": "HELD", "numerator": 2, "denominator": 0}, "denominator", "more than 0"),
        ({"type": "gift", **trade}, "type", "gift"),
    ]  # fmt: skip
    with nothing_stored(folio):
        for row, field, message in cases:
            refused(folio.session.post(f"{folio.path}transactions/", row), field, message)


def test_a_row_that_a_later_sale_needs_stays_and_the_sale_is_named(system: System, folio: Folio) -> None:
    rows = ok(folio.session.get(f"{folio.path}transactions/")).json["results"]
    bought = next(row for row in rows if row["type"] == "buy")
    sale = folio.add("sell", symbol="HELD", quantity="8", price="5")
    with nothing_stored(folio):
        answer = folio.session.delete(f"{folio.path}transactions/{bought['id']}/")
        refused(answer, "detail", f"at most 0 HELD held then; row {sale['id']}: sell 8 HELD on")
    ok(folio.session.delete(f"{folio.path}transactions/{sale['id']}/"), 204)
    ok(folio.session.delete(f"{folio.path}transactions/{bought['id']}/"), 204)
    assert folio.value()["positions"] == [] or folio.value()["positions"][0]["quantity"] == 0


# --- numbers that are none -------------------------------------------------------------------------------------------


def test_what_is_no_number_is_refused_in_every_field_of_a_row(system: System, folio: Folio) -> None:
    trade = {"type": "buy", "symbol": "HELD", "quantity": 1, "price": 5}
    fields = [
        ({**trade, name: 0}, name) for name in ("quantity", "price", "fee", "rate", "tax", "settlement_rate")
    ]
    fields += [({"type": "deposit", "amount": 0}, "amount")]
    fields += [({"type": "transfer_in", "symbol": "HELD", "quantity": 1, "price": 5, "cost": 0}, "cost")]
    with nothing_stored(folio):
        for row, name in fields:
            given = json.dumps(row)
            for number in NOT_NUMBERS:
                body = given.replace(f'"{name}": {json.dumps(row[name])}', f'"{name}": {number}')
                refused(post_raw(folio.session, f"{folio.path}transactions/", body), name, "expected")
        for number in NOT_JSON:
            body = json.dumps(trade).replace('"quantity": 1', f'"quantity": {number}')
            answer = post_raw(folio.session, f"{folio.path}transactions/", body)
            assert answer.status == 400 and "JSON" in str(answer.json)


def test_what_is_no_price_is_refused(system: System, folio: Folio) -> None:
    session = folio.session
    still_asset(system, "HELD", "5")
    with nothing_stored(folio):
        for number in (*NOT_NUMBERS, "0", '"-1"', '""', "null"):
            answer = post_raw(session, "/api/assets/HELD/prices/", f'{{"price": {number}}}')
            refused(answer, "price", "")
        for number in NOT_JSON:
            assert post_raw(session, "/api/assets/HELD/prices/", f'{{"price": {number}}}').status == 400
        future = {"price": "6", "time": days_ago(-1)}
        refused(session.post("/api/assets/HELD/prices/", future), "time", "not in the future")
    assert ok(session.get("/api/assets/HELD/")).json["price"] == Decimal(5)


# --- files -----------------------------------------------------------------------------------------------------------

HEADER = "time,kind,symbol,quantity,price,amount,currency,fee\n"
GOOD = "2026-01-05,buy,HELD,1,1.5,,USD,\n"


def send(folio: Folio, content: bytes, **fields: str) -> Response:
    """A file as a browser's form sends it."""
    edge = "----------------------------livefolio"
    parts = [f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in fields.items()]  # fmt: skip
    head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="rows.csv"\r\n\r\n'.encode()
    body = b"".join([*parts, head, content, f"\r\n--{edge}--\r\n".encode()])
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    return folio.session.post(f"{folio.path}imports/", body, headers=headers, within=120)


def problems(answer: Response) -> list[Frame]:
    assert answer.status == 400, (answer.status, answer.body[:500])
    found: list[Frame] = answer.json["problems"]
    assert answer.json["booked"] is False and found
    return found


def test_a_file_is_refused_at_line_and_column_and_nothing_of_it_is_stored(
    system: System, folio: Folio
) -> None:
    rows = HEADER + GOOD * 2
    cases: list[tuple[str, dict[str, str], int, str, str]] = [
        (rows + "2026-01-05,buy,HELD,NaN,1,,USD,\n", {}, 4, "quantity", "expected"),
        (rows + "2026-01-05,buy,HELD,1,Infinity,,USD,\n", {}, 4, "price", "expected"),
        (rows + "2026-01-05,buy,HELD,1,1e99,,USD,\n", {}, 4, "price", "expected"),
        (rows + "2026-01-05,buy,HELD,1e-99,1,,USD,\n", {}, 4, "quantity", "expected"),
        (rows + "31.12.2025,buy,HELD,1,1,,USD,\n", {}, 4, "time", "expected a date"),
        (rows + "2026-02-30,buy,HELD,1,1,,USD,\n", {}, 4, "time", "expected a date"),
        (rows + "2026-01-05,buy,HELD,1,\"1.234,5\",,USD,\n", {}, 4, "price", "expected one decimal separator"),
        (rows + "2026-01-05,buy,HELD,\"1,234\",1,,USD,\n", {}, 4, "quantity", "decimal separator"),
        (rows + "2026-01-05,buy,HELD,1,234,5,,USD,\n", {}, 4, "", "a number with a comma must stand in quotes"),
        (rows + "2026-01-05,buy,HELD,1,1,,QXX,\n", {}, 4, "currency", "no rate from QXX to USD"),
        (rows + "2026-01-05,deposit,,,,5,QXX,\n", {}, 4, "currency", "no rate from QXX to USD"),
        (rows + f"{days_ago(-2)},buy,HELD,1,1,,USD,\n", {}, 4, "time", "not in the future"),
        (rows + "2026-01-06,sell,HELD,3,1,,USD,\n", {}, 4, "quantity", "at most 2 HELD held then"),
        (rows + "2026-01-06,buy,UNKNOWN,3,1,,USD,\n", {}, 4, "symbol", "unknown symbol UNKNOWN"),
        # An asset of a file that is refused is not added either.
        (rows + "2026-01-06,sell,UNKNOWN,3,1,,USD,\n", {"create_assets": "1"}, 4, "quantity", "at most 0"),
        (rows, {"delimiter": ";"}, 1, "", "expected a semicolon between columns, was a comma"),
        (rows.replace(",", "~"), {}, 1, "", "split by comma, semicolon, tab, bar"),
    ]  # fmt: skip
    with nothing_stored(folio):
        for text, options, line, column, message in cases:
            found = problems(send(folio, text.encode(), **options))
            fits = [one for one in found if (one["line"], one["column"]) == (line, column)]
            assert any(message in one["message"] for one in fits), (text.splitlines()[-1], found)


def test_a_file_in_another_encoding_or_none_is_told_where(system: System, folio: Folio) -> None:
    named = HEADER.replace("fee", "note") + GOOD.replace(",\n", ",Käufe\n")
    with nothing_stored(folio):
        [problem] = problems(send(folio, named.encode("cp1252")))
        assert (problem["line"], problem["column"]) == (2, "")
        assert "expected UTF-8, was the byte 0xE4" in problem["message"] and "cp1252" in problem["message"]
        for content, message in ((b"PK\x03\x04rest", "Excel"), (b"", "empty"), (b"a\x00b", "NUL")):
            answer = send(folio, content)
            assert answer.status == 400 and message in answer.body.decode(), answer.body
    assert ok(send(folio, named.encode("cp1252"), encoding="cp1252", dry_run="1")).json["new"] == 1


def test_more_rows_than_are_taken_are_counted_and_not_read(system: System, folio: Folio) -> None:
    with nothing_stored(folio):
        # Not one of its cells could be read.
        [problem] = problems(send(folio, (HEADER + "?\n" * 100_001).encode()))
    assert problem["message"].startswith("expected at most 100,000 rows, was 100,001")
