"""The protocol reads any text as a request or an error, and writes prices to the last digit."""

import contextlib
import itertools
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.protocol import (
    MAX_DEPTH,
    REQUEST_TYPES,
    Ack,
    ChangeMode,
    ClearSubscriptions,
    CloseCode,
    ErrorCode,
    Message,
    Mode,
    Ping,
    ProtocolError,
    QuoteRecord,
    SubscribeAsset,
    SubscribePortfolio,
    UnsubscribeAsset,
    UnsubscribePortfolio,
    cut_quote,
    decode_quote,
    encode,
    encode_quote,
    envelope,
    error_frame,
    now,
    parse,
    requested_symbols,
    wire_time,
)

# What any feed may hand over: finite, exponents within ±30.
decimals = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**27), 10**27),
    st.integers(-30, 3),
)


def exact(text: str) -> Any:
    """Reads JSON without losing a digit, and refuses what strict JSON does not allow."""

    def refuse(word: str) -> None:
        raise AssertionError(f"expected strict JSON, was {word}")

    return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)


def make_record(**changes: Any) -> QuoteRecord:
    values: dict[str, Any] = {
        "symbol": "BTC-USD",
        "price": Decimal("43000.01"),
        "as_of": "2026-11-20T10:00:00.123456Z",
        "source": "coinbase",
        "seq": 7,
        "epoch": 3,
        "currency": "USD",
        "received_at": "2026-11-20T10:00:00.200000Z",
        "change": Decimal("-12.50"),
        "bids": ((Decimal("43000.00"), Decimal("0.5")),),
        "asks": ((Decimal("43000.02"), Decimal("1E-8")), (Decimal("43001"), Decimal("2"))),
    }
    return QuoteRecord(**{**values, **changes})


# --- what clients send -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('{"type":"ping"}', Ping()),
        ('{"type":"ping","data":{},"timestamp":"whenever"}', Ping()),
        ('{"type":"ping","data":{"a":[1,{"b":null}]},"more":1}', Ping()),
        (' {"type" : "clear_subscriptions", "data":{}}\n', ClearSubscriptions()),
        ('{"type":"subscribe_asset","data":{"symbol":"AAPL"}}', SubscribeAsset("AAPL")),
        (
            '{"type":"subscribe_asset","data":{"symbols":["A","B"],"mode":"full"}}',
            SubscribeAsset(None, ["A", "B"], "full"),
        ),
        ('{"type":"change_mode","data":{"mode":"ltpc","symbol":"A"}}', ChangeMode("ltpc", "A")),
        ('{"type":"unsubscribe_asset","data":{"symbol":"A"}}', UnsubscribeAsset("A")),
        ('{"type":"subscribe_portfolio","data":{"portfolio_id":1}}', SubscribePortfolio(1)),
        (
            '{"type":"unsubscribe_portfolio","data":{"portfolio_id":9223372036854775807}}',
            UnsubscribePortfolio(2**63 - 1),
        ),
        ('{"type":"ack","data":{"frame":12}}', Ack(12)),
        ('{"type":"ping","type":"ack","data":{"frame":1}}', Ack(1)),
    ],
)
def test_a_message_becomes_its_request(text: str, request_: object) -> None:
    message = parse(text)

    assert message.request == request_
    assert message.type == next(name for name, shape in REQUEST_TYPES.items() if shape is type(request_))
    assert message.id is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", ErrorCode.INVALID_JSON),
        ("{", ErrorCode.INVALID_JSON),
        ('{"type":"ping"} x', ErrorCode.INVALID_JSON),
        ("{'type':'ping'}", ErrorCode.INVALID_JSON),
        ('{"type":"ping",}', ErrorCode.INVALID_JSON),
        ('{"type":"ping","data":{"a":NaN}}', ErrorCode.INVALID_JSON),
        ('{"type":"ping","data":{"a":Infinity}}', ErrorCode.INVALID_JSON),
        ("[" * 100_000, ErrorCode.INVALID_JSON),
        ('{"a":' * 100_000, ErrorCode.INVALID_JSON),
        ('{"type":"ping","data":' + "[" * 40 + "]" * 40 + "}", ErrorCode.INVALID_JSON),
        ('{"type":"\ud800"}', ErrorCode.INVALID_JSON),
        ("null", ErrorCode.INVALID_MESSAGE),
        ("[]", ErrorCode.INVALID_MESSAGE),
        ('"ping"', ErrorCode.INVALID_MESSAGE),
        ("1", ErrorCode.INVALID_MESSAGE),
        ("true", ErrorCode.INVALID_MESSAGE),
        ("{}", ErrorCode.INVALID_MESSAGE),
        ('{"data":{}}', ErrorCode.INVALID_MESSAGE),
        ('{"type":1}', ErrorCode.INVALID_MESSAGE),
        ('{"type":null}', ErrorCode.INVALID_MESSAGE),
        ('{"type":["ping"]}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"ping","id":7}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"ping","id":"' + "x" * 65 + '"}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"ping","data":[]}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"ping","data":null}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"subscribe_asset","data":{"symbol":1}}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"subscribe_asset","data":{"symbols":"AAPL"}}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"subscribe_asset","data":{"symbols":[null]}}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"subscribe_asset","data":{"symbol":"A","mode":1}}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"change_mode","data":{"symbol":"A"}}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"subscribe_portfolio"}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"ack","data":{"frame":0}}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"nope"}', ErrorCode.UNKNOWN_TYPE),
        ('{"type":""}', ErrorCode.UNKNOWN_TYPE),
        ('{"type":"PING"}', ErrorCode.UNKNOWN_TYPE),
        # Names of methods and of the server's own messages are no requests.
        ('{"type":"_read"}', ErrorCode.UNKNOWN_TYPE),
        ('{"type":"websocket.disconnect"}', ErrorCode.UNKNOWN_TYPE),
        ('{"type":"feed.batch"}', ErrorCode.UNKNOWN_TYPE),
        ('{"type":"asset_update","data":{}}', ErrorCode.UNKNOWN_TYPE),
    ],
)
def test_any_other_text_has_its_error_code(text: str, code: ErrorCode) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(text)

    assert caught.value.code == code


@pytest.mark.parametrize(
    "value", ["true", '"1"', "1.5", "-1", "0", str(2**63), "[]", "{}", "null", "1" * 5000, "1e999", "1e400"]
)
def test_a_portfolio_id_is_a_positive_64_bit_integer(value: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(f'{{"type":"subscribe_portfolio","id":"p","data":{{"portfolio_id":{value}}}}}')

    assert caught.value.code == ErrorCode.INVALID_MESSAGE
    assert (caught.value.request_type, caught.value.id) == ("subscribe_portfolio", "p")


def test_an_unknown_type_is_echoed_shortened_and_with_its_id() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(json.dumps({"type": "n" * 1000, "id": "x"}))

    assert caught.value.request_type == "n" * 64
    assert caught.value.id == "x"


def test_an_id_of_64_characters_is_kept() -> None:
    assert parse(json.dumps({"type": "ping", "id": "é" * 64})).id == "é" * 64


def test_nesting_up_to_the_limit_is_read() -> None:
    depth = MAX_DEPTH - 1
    assert parse('{"type":"ping","data":{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}}").type == "ping"
    with pytest.raises(ProtocolError):
        parse('{"type":"ping","data":{"a":' + "[" * depth + "]" * depth + "}}")


def test_brackets_in_texts_and_beside_each_other_are_not_nesting() -> None:
    assert parse(json.dumps({"type": "ping", "id": '[{"\\' * 16, "data": {"a": "[" * 1000 + '\\"{'}}))
    assert parse(json.dumps({"type": "ping", "data": {"a": [[] for _ in range(1000)]}}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
data = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.text() | json_values,
        "symbols": st.lists(st.text()) | json_values,
        "mode": st.sampled_from(Mode) | json_values,
        "portfolio_id": json_values,
        "frame": json_values,
    },
)
hostile_texts = (
    st.text()
    | json_values.map(json.dumps)
    | st.fixed_dictionaries(
        {"type": st.sampled_from([*REQUEST_TYPES]) | json_values},
        optional={"data": data | json_values, "id": json_values, "timestamp": json_values},
    ).map(json.dumps)
    | st.text(alphabet='{}[]":,\\ \n0123456789eE+-.truefalsnpigdatyck\x00\ud800é')
)


@settings(max_examples=400, deadline=None)
@given(hostile_texts)
def test_any_text_gives_a_message_or_a_protocol_error_and_nothing_else(text: str) -> None:
    try:
        message = parse(text)
    except ProtocolError as error:
        assert error.message
        exact(error_frame(error))
    else:
        assert isinstance(message, Message)
        assert isinstance(message.request, REQUEST_TYPES[message.type])


@settings(max_examples=100, deadline=None)
@given(hostile_texts, st.integers(0, 200))
def test_truncated_and_repeated_texts_are_survived_as_well(text: str, cut: int) -> None:
    for broken in (text[:cut], text + text, text[cut:]):
        with contextlib.suppress(ProtocolError):
            parse(broken)


def test_requested_symbols_come_once_each_in_their_order() -> None:
    assert requested_symbols(SubscribeAsset("B", ["A", "B", "C", "A"])) == ["B", "A", "C"]
    assert requested_symbols(UnsubscribeAsset("")) == [""]


@pytest.mark.parametrize("request_", [SubscribeAsset(), UnsubscribeAsset(None, []), ChangeMode("ltpc")])
def test_a_request_without_symbols_is_refused(request_: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        requested_symbols(request_)

    assert caught.value.code == ErrorCode.INVALID_MESSAGE


# --- what the server sends -------------------------------------------------------------------------------------------


@given(decimals)
def test_a_decimal_survives_to_the_last_digit_and_has_no_exponent(value: Decimal) -> None:
    for wrapped in (value, [value], {"a": (value, {"b": value})}):
        text = encode(wrapped)
        assert "e" not in text.lower()
        assert f"{value:f}" in text
        assert f'"{value:f}"' in encode(wrapped, "string")
    assert exact(encode([value])) == [value]


def test_a_price_stays_as_it_was_written() -> None:
    assert encode({"price": Decimal("43000.01"), "tick": Decimal("1E-8")}) == (
        '{"price":43000.01,"tick":0.00000001}'
    )
    assert encode([Decimal("100.10"), Decimal("5E+3"), Decimal("-0E-10")]) == "[100.10,5000,-0.0000000000]"


def test_a_text_that_looks_like_an_exponent_stays_as_it_is() -> None:
    value = {"reason": "error 1E+5", "at": Decimal("1E-9"), "when": [None, True, 7, "2E-3"]}

    assert exact(encode(value)) == value
    assert exact(encode(value, "string")) == {**value, "at": "0.000000001"}


def test_the_envelope_is_compact_and_puts_id_and_frame_beside_the_type() -> None:
    text = envelope("pong", '{"a":1}', id='a"\\\n<é', frame=4)

    assert list(exact(text)) == ["type", "id", "frame", "data", "timestamp"]
    assert exact(text)["id"] == 'a"\\\n<é'
    assert text.startswith('{"type":"pong","id":"a\\"')
    assert list(exact(envelope("pong", "{}"))) == ["type", "data", "timestamp"]


def test_an_error_names_code_message_request_and_id() -> None:
    frame = exact(error_frame(ProtocolError(ErrorCode.RATE_LIMITED, "slow", "ping", "i"), retry_after_ms=50))

    assert frame["type"] == "error"
    assert frame["id"] == "i"
    assert frame["data"] == {
        "code": "rate_limited",
        "message": "slow",
        "request_type": "ping",
        "retry_after_ms": 50,
    }
    assert "id" not in exact(error_frame(ProtocolError(ErrorCode.INVALID_JSON, "no")))


def test_close_codes_say_by_their_range_whether_to_come_back() -> None:
    assert {code.value: code.reason for code in CloseCode} == {
        4000: "slow_consumer",
        4001: "state_lost",
        4002: "idle",
        4003: "rate_limited",
        4004: "draining",
        4500: "session_ended",
        4501: "forbidden",
        4502: "too_many_errors",
        4503: "connection_limit",
        4504: "account_disabled",
    }


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_times_are_utc_with_six_digits_and_a_z(moment: datetime) -> None:
    try:
        text = wire_time(moment)
    except OverflowError:  # the first hours of year 1, east of Greenwich
        return

    assert len(text) == len("2026-11-20T10:00:00.000000Z") and text.endswith("Z")
    assert datetime.fromisoformat(text) == moment


def test_now_is_such_a_time() -> None:
    before = datetime.now(UTC)
    assert before <= datetime.fromisoformat(now()) <= datetime.now(UTC)
    assert len(now()) == 27


# --- quotes ----------------------------------------------------------------------------------------------------------

LTPC = ["symbol", "price", "change", "previous_close", "last_quantity"]
TAIL = ["currency", "as_of", "source", "session", "stale", "delayed_by", "seq", "epoch"]
DAY = ["change_percent", "volume", "high", "low", "open", "bid", "ask", "window", "received_at"]
DEPTH = ["bids", "asks", "average_price", "open_interest"]
FIELDS = {
    Mode.LTPC: {*LTPC, *TAIL},
    Mode.QUOTE: {*LTPC, *TAIL, *DAY},
    Mode.FULL: {*LTPC, *TAIL, *DAY, *DEPTH},
}

OPTIONAL = [
    *("change", "change_percent", "volume", "high", "low", "previous_close", "open", "bid", "ask"),
    *("last_quantity", "average_price", "open_interest"),
]

optional = st.none() | decimals
levels = st.none() | st.lists(st.tuples(decimals, decimals), max_size=2).map(tuple)
records = st.builds(
    QuoteRecord,
    symbol=st.from_regex(r"[A-Z0-9._:|/^=-]{1,64}", fullmatch=True),
    price=decimals,
    as_of=st.datetimes().map(lambda moment: wire_time(moment.replace(tzinfo=UTC))),
    source=st.from_regex(r"[a-z_]{1,12}", fullmatch=True),
    seq=st.integers(0, 2**53),
    epoch=st.integers(0, 2**40),
    currency=st.sampled_from(["USD", "BTC", "USDT"]),
    received_at=st.just("2026-11-20T10:00:00.200000Z"),
    session=st.sampled_from(["always", "open", "closed"]),
    stale=st.booleans(),
    delayed_by=st.integers(0, 900),
    window=st.sampled_from(["session", "24h"]),
    bids=levels,
    asks=levels,
    **dict.fromkeys(OPTIONAL, optional),
)


@settings(max_examples=60, deadline=None)
@given(records, st.sampled_from(["number", "string"]))
def test_a_quote_in_each_mode_equals_a_generic_encoders(record: QuoteRecord, numbers: Any) -> None:
    generic = {name: getattr(record, name) for name in record.__struct_fields__}

    for mode, fields in FIELDS.items():
        text = encode_quote(record, mode, numbers)
        expected = {name: value for name, value in generic.items() if name in fields}
        assert exact(text) == exact(encode(expected, numbers))
        assert "E" not in text.replace(record.symbol, "")
        for name in fields:
            if isinstance(value := generic[name], Decimal):
                written = f"{value:f}" if numbers == "number" else f'"{value:f}"'
                assert f'"{name}":{written}' in text


@settings(max_examples=60, deadline=None)
@given(records)
def test_the_stored_record_reads_back_equal(record: QuoteRecord) -> None:
    again = decode_quote(encode_quote(record, Mode.FULL))

    assert again == record
    assert encode_quote(again, Mode.FULL) == encode_quote(record, Mode.FULL)


def test_modes_nest() -> None:
    texts = [exact(encode_quote(make_record(), mode)) for mode in FIELDS]

    for smaller, larger in itertools.pairwise(texts):
        assert smaller.items() <= larger.items()
        assert len(smaller) < len(larger)


def test_what_a_quote_does_not_know_is_null_and_never_left_out() -> None:
    quote = exact(encode_quote(make_record(change=None, bids=None, asks=()), Mode.FULL))

    assert quote["change"] is quote["high"] is quote["bids"] is quote["open_interest"] is None
    assert quote["asks"] == []


def test_depth_is_pairs_best_first() -> None:
    assert '"asks":[[43000.02,0.00000001],[43001,2]]' in encode_quote(make_record(), Mode.FULL)
    assert '"bids":[["43000.00","0.5"]]' in encode_quote(make_record(), Mode.FULL, "string")


GREEKS = {
    "delta": Decimal("0.5"), "gamma": None, "theta": Decimal("-1E-9"), "vega": Decimal(2), "rho": None,
    "iv": Decimal("0.25"),
}  # fmt: skip


@pytest.mark.parametrize("units_at", [msgspec.UNSET, "2026-11-20T05:00:00.000000Z"])
def test_greeks_are_added_to_a_quote_and_null_where_there_are_none(units_at: Any) -> None:
    quote = exact(encode_quote(make_record(), Mode.QUOTE))
    record = make_record(**GREEKS, units_at=units_at)

    assert exact(encode_quote(record, Mode.OPTION_GREEKS)) == quote | GREEKS
    assert exact(encode_quote(make_record(units_at=units_at), Mode.OPTION_GREEKS)) == quote | dict.fromkeys(
        GREEKS
    )
    assert decode_quote(encode_quote(record, Mode.FULL_D30)) == record


@pytest.mark.parametrize("numbers", ["number", "string"])
@pytest.mark.parametrize(("bids", "asks"), [(30, 30), (30, 2), (0, 6), (5, 5), (1, 0)])
def test_full_shows_five_levels_of_a_record_that_has_more(bids: int, asks: int, numbers: Any) -> None:
    def levels(count: int) -> tuple[tuple[Decimal, Decimal], ...]:
        return tuple((Decimal(100 - number), Decimal("0.1") * number) for number in range(count))

    record = make_record(bids=levels(bids), asks=levels(asks))
    shallow = make_record(bids=levels(bids)[:5], asks=levels(asks)[:5])

    assert encode_quote(record, Mode.FULL, numbers) == encode_quote(shallow, Mode.FULL, numbers)
    assert cut_quote(encode_quote(record, Mode.FULL_D30), Mode.FULL) == encode_quote(shallow, Mode.FULL)
    assert decode_quote(encode_quote(record, Mode.FULL_D30)) == record


def test_a_record_that_lacks_its_source_is_no_record() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_quote('{"symbol":"A","price":1}')
