import csv
import io
import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.imports.drafts import MOST_PROBLEMS, Kind, OptionError, Options, Problem, check, symbols
from portfolio.imports.export import export_csv
from portfolio.imports.parsing import PRESETS, parse
from portfolio.imports.tables import MOST_BYTES
from tests.portfolio.imports.builders import FILES, make_draft, messages, parsed_file, parsed_text, said

D = Decimal
HEADER = "date,kind,symbol,quantity,price,note\n"
ROW = "2026-11-20,buy,ACME,10,12.5,\n"


@pytest.mark.parametrize(
    ("name", "preset", "delimiter"),
    [
        ("kite.csv", "kite", ","),
        ("coinbase.csv", "coinbase", ","),
        ("coinbase_2021.csv", "coinbase", ","),
        ("interactive_brokers.csv", "interactive_brokers", ","),
        ("interactive_brokers_flex.csv", "interactive_brokers", ","),
        ("ghostfolio.csv", "ghostfolio", ","),
        ("ghostfolio.json", "ghostfolio", ""),
        ("portfolio_performance_de.csv", "portfolio_performance", ";"),
        ("portfolio_performance_en.csv", "portfolio_performance", ","),
        ("portfolio_performance_table.csv", "portfolio_performance", ";"),
    ],
)
def test_a_file_is_known_by_its_header(name: str, preset: str, delimiter: str) -> None:
    parsed = parsed_file(name, currency="EUR")
    assert (parsed.preset, parsed.delimiter, messages(parsed)) == (preset, delimiter, [])
    assert parsed.drafts
    assert parsed_file(name, preset, currency="EUR").drafts == parsed.drafts


@pytest.mark.parametrize(
    ("encode", "encoding"),
    [
        (lambda text: text.encode(), "utf-8"),
        (lambda text: text.encode("utf-8-sig"), "utf-8"),
        (lambda text: b"\xff\xfe" + text.encode("utf-16-le"), "utf-16-le"),
        (lambda text: b"\xfe\xff" + text.encode("utf-16-be"), "utf-16-be"),
        (lambda text: text.replace("\n", "\r\n").encode(), "utf-8"),
        (lambda text: text.replace("\n", "\r").encode(), "utf-8"),
        (lambda text: text.rstrip("\n").encode(), "utf-8"),
        (lambda text: text.replace("\n", "\n\n,,,,,\n").encode(), "utf-8"),
    ],
)
def test_encodings_and_line_ends_are_found_out(encode: Callable[[str], bytes], encoding: str) -> None:
    text = HEADER + "2026-11-20,buy,ACME,10,12.5,für José ☺\n"
    parsed = parse(encode(text))
    assert (parsed.encoding, parsed.problems) == (encoding, [])
    assert [(draft.symbol, draft.note) for draft in parsed.drafts] == [("ACME", "für José ☺")]


def test_a_wrong_encoding_is_told_at_its_line() -> None:
    data = (HEADER + ROW).encode() + "2026-11-20,buy,ACME,10,12.5,für\n".encode("cp1252")
    assert parse(data).problems == [
        Problem(
            3,
            "",
            "expected UTF-8, was the byte 0xFC: save the file as 'CSV UTF-8', or choose the encoding cp1252 (Windows) "
            "if that is what it has",
        )
    ]
    assert parse(data, options=Options(encoding="cp1252")).drafts[1].note == "für"
    assert parse(b"\xff\xfe" + HEADER.encode("utf-16-le") + b"\x00").problems[0].line == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a header and rows, was an empty file"),
        (b"\xef\xbb\xbf \r\n\r\n", "expected a header and rows, was an empty file"),
        (b"PK\x03\x04....", "expected a CSV or JSON file, was a zip or Excel file: save it as 'CSV UTF-8' first"),
        (b"%PDF-1.7", "expected a CSV or JSON file, was a PDF: save it as 'CSV UTF-8' first"),
        (HEADER.encode("utf-16-le"), "expected text, was a NUL character: save the file as 'CSV UTF-8'"),
        (b"hello", "expected a header like time, kind, symbol, or that of a broker that we know, "
            "split by comma, semicolon, tab, bar; was 'hello'"),
        (b"a;b;c\n1;2;3\n", "expected a header like time, kind, symbol, or that of a broker that we know, "
            "split by comma, semicolon, tab, bar; was 'a', 'b', 'c'"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_rows_is_refused_with_what_it_is(data: bytes, message: str) -> None:
    parsed = parse(data)
    assert parsed.drafts == []
    assert messages(parsed) == [(1, "", message)]


def test_a_chosen_preset_names_the_columns_that_it_misses() -> None:
    parsed = parsed_text(HEADER + ROW, "kite")
    assert messages(parsed) == [
        (
            1,
            "",
            "expected the columns symbol, trade_date, exchange, segment, trade_type, quantity, price, trade_id of "
            "Zerodha Kite tradebook (CSV), split by comma, semicolon, tab, bar; "
            "was 'date', 'kind', 'symbol', 'quantity', 'price', 'note'",
        )
    ]
    assert messages(parsed_text('{"activities": []}', "kite"))[0][2] == (
        "expected the CSV file of Zerodha Kite tradebook (CSV), was JSON"
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header_and_a_wrong_one_told(delimiter: str) -> None:
    text = (HEADER + ROW).replace(",", delimiter)
    parsed = parsed_text(text)
    assert (parsed.delimiter, len(parsed.drafts)) == (delimiter, 1)
    assert parsed_text(text, delimiter=delimiter).drafts == parsed.drafts
    other = ";" if delimiter != ";" else ","
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
    assert messages(parsed_text(text, delimiter=other)) == [
        (1, "", f"expected a {names[other]} between columns, was a {names[delimiter]}")
    ]


def test_a_header_alone_is_no_rows_and_no_problem() -> None:
    parsed = parsed_text(HEADER)
    assert (parsed.drafts, parsed.problems, parsed.preset) == ([], [], "livefolio")


def test_too_many_rows_and_bytes_are_refused_before_a_cell_is_read() -> None:
    rows = HEADER.encode() + ROW.encode() * 100_001
    began = time.process_time()
    parsed = parse(rows)
    took = time.process_time() - began
    assert messages(parsed) == [
        (1, "", "expected at most 100,000 rows, was 100,001: import the file in parts, by year say")
    ]
    # Reading them takes seconds.
    assert took < 0.5
    assert parse(b"x" * (MOST_BYTES + 1)).problems[0].message == (
        "expected at most 33,554,432 bytes, was 33,554,433: import it in parts"
    )


def test_a_hundred_thousand_rows_are_read_in_seconds() -> None:
    began = time.process_time()
    parsed = parse(HEADER.encode() + ROW.encode() * 100_000)
    assert (len(parsed.drafts), parsed.problems) == (100_000, [])
    assert time.process_time() - began < 20


def test_all_problems_are_told_up_to_a_bound() -> None:
    parsed = parsed_text(HEADER + "2026-11-20,buy,ACME,x,12.5,\n" * (MOST_PROBLEMS + 5))
    assert (len(parsed.problems), parsed.more_problems, parsed.drafts) == (MOST_PROBLEMS, 5, [])
    assert parsed.problems[-1].line == MOST_PROBLEMS + 1


def test_rows_beside_a_bad_one_are_still_read() -> None:
    parsed = parsed_text(HEADER + ROW + "20/11/26,buy,ACME,10,12.5,\n" + ROW)
    assert [draft.line for draft in parsed.drafts] == [2, 4]
    assert messages(parsed) == [(3, "date", "expected a date like 2026-11-20, was '20/11/26'")]


def test_quotes_hold_delimiters_and_lines() -> None:
    parsed = parsed_text(HEADER + '2026-11-20,buy,"ACME",10,12.5,"one, two\nthree ""four"""\n' + ROW)
    assert [draft.note for draft in parsed.drafts] == ['one, two\nthree "four"', ""]
    assert [draft.line for draft in parsed.drafts] == [2, 4]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2026-11-20,buy,ACME,1,234.5,1,\n", "expected 6 cells, was 7: a number with a comma must stand in quotes"),
        ("2026-11-20,buy,ACME\n",
            "expected 6 cells, was 3: is the row cut off, or are its cells separated by something else?"),
        ('2026-11-20,buy,"ACME"x,10,12.5,\n', "expected a comma after a closing quote, was other text"),
        ('2026-11-20,buy,"ACME,10,12.5,\n',
            "expected a closing quote, was the end of the file: a quote that begins in this row is never closed"),
        (f'2026-11-20,buy,ACME,10,12.5,"{"x" * 200_000}"\n',
            "expected a cell of at most 131,072 characters, was a longer one: is a quote open?"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_their_header_are_told(row: str, message: str) -> None:
    assert messages(parsed_text(HEADER + ROW + row)) == [(3, "", message)]


def test_empty_columns_are_nothing() -> None:
    assert messages(parsed_text(HEADER.replace("\n", ",,\n") + "2026-11-20,buy,ACME,10,12.5,,,\n")) == []


def test_a_separator_that_is_not_proven_by_its_column_must_be_chosen() -> None:
    text = "date;kind;symbol;quantity;price\n2026-11-20;buy;ACME;1.000;{}\n2026-11-20;buy;ACME;2.500;7\n"
    assert messages(parsed_text(text.format("12,5"))) == [
        (
            2,
            "quantity",
            "expected a decimal separator that is certain, was '1.000', which may be two numbers: "
            "choose the decimal separator '.' or ','",
        )
    ]
    for decimal, quantity in {".": D("2.5"), ",": D(2500)}.items():
        assert parsed_text(text.format("12"), decimal=decimal).drafts[1].quantity == quantity
    both = "date;kind;symbol;quantity;price\n2026-11-20;buy;A;1;1.234,5\n2026-11-20;buy;A;1;1,234.5\n"
    assert messages(parsed_text(both)) == [
        (3, "price", "expected one decimal separator in the column, was '1,234.5' and '1.234,5'")
    ]


def test_an_option_that_there_is_not_is_an_error_of_the_caller() -> None:
    for wrong in (
        {"delimiter": ":"},
        {"decimal": "'"},
        {"dates": "us"},
        {"encoding": "ebcdic"},
        {"currency": "€"},
    ):
        with pytest.raises(OptionError, match="expected"):
            Options(**wrong)
    with pytest.raises(OptionError, match=r"expected a time zone like Europe/Berlin, was '\.\./etc'"):
        Options(time_zone="../etc")
    with pytest.raises(OptionError, match=r"expected one of .*kite.* for preset, was 'robinhood'"):
        parse(b"", "robinhood")


def test_a_row_without_a_currency_takes_the_options() -> None:
    assert parsed_text(HEADER + ROW, currency="CHF").drafts[0].currency == "CHF"
    assert parsed_text(HEADER + ROW).drafts[0].currency == ""


def test_a_rows_text_is_kept_for_whoever_looks_for_it() -> None:
    assert parsed_text(HEADER + ROW).drafts[0].raw == "2026-11-20,buy,ACME,10,12.5"


def test_symbols_are_listed_once_with_what_their_rows_say() -> None:
    found = symbols(
        [
            make_draft(symbol="ACME", isin="US0378331005", line=2),
            make_draft("deposit", amount="1", line=3),
            make_draft(symbol="ACME", isin="US0378331005", name="Acme Inc.", currency="USD", line=4),
            make_draft(name="Nordwind AG", line=5),
            make_draft("spinoff", symbol="ACME", isin="US0378331005", other_symbol="BABY", line=6),
        ]
    )
    assert [
        (each.symbol, each.isin, each.name, each.currency, each.rows, each.first_line) for each in found
    ] == [
        ("ACME", "US0378331005", "Acme Inc.", "USD", 3, 2),
        ("", "", "Nordwind AG", "", 1, 5),
        ("BABY", "", "", "", 1, 6),
    ]


@pytest.mark.parametrize(
    ("kind", "values", "complaint"),
    [
        ("buy", {"quantity": "1"}, ("symbol", "expected a symbol with a buy, was none")),
        ("buy", {"isin": "US0378331005"}, ("quantity", "expected a quantity with a buy, was none")),
        ("deposit", {"amount": "-5"}, ("amount", "expected more than 0, was -5")),
        ("interest", {"amount": "-5"}, None),
        ("buy", {"symbol": "A", "quantity": "1", "fee": "-1"}, ("fee", "expected 0 or more, was -1")),
        ("buy", {"symbol": "A", "quantity": "1", "rate": D(0)}, ("rate", "expected more than 0, was 0")),
        ("reversal", {}, ("reverses", "expected the row to take back with a reversal, was none")),
    ],
)  # fmt: skip
def test_a_draft_that_no_row_can_be_is_told_by_its_field(
    kind: Kind, values: dict[str, str], complaint: tuple[str, str] | None
) -> None:
    found: list[tuple[str, str]] = []
    check(make_draft(kind, **values), lambda name, message: found.append((name, message)))
    assert found == ([complaint] if complaint else [])


@pytest.mark.parametrize("name", [path.name for path in sorted(FILES.glob("*.csv"))])
@pytest.mark.parametrize("filling", [" ", "1,", "1.", "A(", " - ", "=", "2026-"])
def test_no_cell_takes_long_to_refuse(name: str, filling: str) -> None:
    """Each cell of a file in turn is as long as a cell can be."""
    lines = (FILES / name).read_text().splitlines(keepends=True)
    quoted_cell = '"x' + filling * (60_000 // len(filling)) + '"'
    began = time.process_time()
    for delimiter, line in ((",", lines[-1]), (";", lines[-1])):
        cells = line.rstrip("\n").split(delimiter)
        for place in range(len(cells)):
            long = delimiter.join([*cells[:place], quoted_cell, *cells[place + 1 :]])
            parse("".join([*lines[:-1], long]).encode())
    assert time.process_time() - began < 20


def test_a_hundred_thousand_wrong_kinds_are_refused_quickly() -> None:
    rows = "".join(f"2026-11-20,kind{number},ACME,1,1,\n" for number in range(100_000))
    began = time.process_time()
    assert parsed_text(HEADER + rows).more_problems == 100_000 - MOST_PROBLEMS
    assert time.process_time() - began < 20


_PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [line for path in sorted(FILES.iterdir()) for line in path.read_bytes().splitlines(keepends=True)]
    ),
    st.sampled_from(
        [b'"', b",", b";", b"\r", b"\x00", b"\xef\xbb\xbf", b"1E999999", b"NaN", b"-0", b"{", b"["]
    ),
)


@settings(max_examples=2_000)
@given(st.lists(_PIECES, max_size=8).map(b"".join), st.sampled_from([None, *PRESETS]), st.sampled_from("., "))
def test_no_bytes_raise_anything(data: bytes, preset: str | None, decimal: str) -> None:
    parsed = parse(data, preset, Options(decimal=decimal.strip() or None))
    assert all(problem.message.startswith("expected ") and problem.line > 0 for problem in parsed.problems)
    assert parsed.drafts or parsed.problems or parsed.left_out or data


_CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "0", "-1", "1,5", "1.234", "1E+30", "1E-30", "9" * 31, "NaN", "EUR", "GBp", "Ep", "Convert"]
    ),
    st.sampled_from(
        ["2026-11-20", "2026-11-20T00:00", "20.11.2026", "2026-11-20T10:00:00Z", "20261120;093000"]
    ),
)


_TABLES = {
    path.name: list(
        csv.reader(path.read_text().splitlines(), delimiter=";" if "Datum;" in path.read_text() else ",")
    )
    for path in sorted(FILES.glob("*.csv"))
}


@settings(max_examples=2_000)
@given(st.data())
def test_no_cell_of_any_file_raises_anything(data: st.DataObject) -> None:
    rows = [list(row) for row in _TABLES[data.draw(st.sampled_from(sorted(_TABLES)))]]
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.sampled_from([row for row in rows if row]))
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(_CELLS)
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    parsed = parse(written.getvalue().encode("utf-8", "replace"))
    assert all(problem.message.startswith("expected ") for problem in parsed.problems)
    # Whatever was read can be written and read again.
    again = parse(export_csv(parsed.drafts).encode())
    assert again.problems == []
    assert [said(draft) for draft in again.drafts] == [said(draft) for draft in parsed.drafts]
