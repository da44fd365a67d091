"""The WebSocket protocol: every message type, error code, close code and mode, and how each reads and writes.

Pure: text in, typed requests out; values in, JSON text out. Knows no Django, no Redis and no socket. Prices
become JSON numbers from `Decimal` and never carry an exponent, so that 43000.01 stays 43000.01.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

import msgspec

MAX_ID_LENGTH = 64
MAX_DEPTH = 32
HEARTBEAT_INTERVAL = 15

Numbers = Literal["number", "string"]


class ErrorCode(StrEnum):
    """Why a request, or one symbol of it, was refused. There are no others."""

    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_TYPE = "unknown_type"
    INVALID_SYMBOL = "invalid_symbol"
    UNKNOWN_SYMBOL = "unknown_symbol"
    UNSUPPORTED_MODE = "unsupported_mode"
    PORTFOLIO_NOT_FOUND = "portfolio_not_found"
    AUTH_REQUIRED = "auth_required"
    SUBSCRIPTION_LIMIT = "subscription_limit"
    RATE_LIMITED = "rate_limited"
    SERVICE_DEGRADED = "service_degraded"
    NO_DATA = "no_data"
    INTERNAL_ERROR = "internal_error"


class CloseCode(IntEnum):
    """Why the server closed: 4000-4499 mean reconnect, 4500-4999 mean do not."""

    SLOW_CONSUMER = 4000
    STATE_LOST = 4001
    IDLE = 4002
    RATE_LIMITED = 4003
    DRAINING = 4004
    SESSION_ENDED = 4500
    FORBIDDEN = 4501
    TOO_MANY_ERRORS = 4502
    CONNECTION_LIMIT = 4503
    ACCOUNT_DISABLED = 4504

    @property
    def reason(self) -> str:
        return self.name.lower()


class Mode(StrEnum):
    """How much of a quote a subscriber wants; each contains the one before, greeks add to `quote`."""

    LTPC = "ltpc"
    QUOTE = "quote"
    FULL = "full"
    FULL_D30 = "full_d30"
    OPTION_GREEKS = "option_greeks"


class Channel(StrEnum):
    """What may be subscribed beside the quotes of an asset."""

    TRADES = "trades"
    BOOK = "book"
    BARS = "bars"
    NOTICES = "notices"


class ProtocolError(Exception):
    """A request refused whole; the socket lives on."""

    def __init__(self, code: ErrorCode, message: str, request_type: str | None = None, id: str | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_type = request_type
        self.id = id


# --- what clients send -----------------------------------------------------------------------------------------------


class Ping(msgspec.Struct, frozen=True):
    pass


class ClearSubscriptions(msgspec.Struct, frozen=True):
    pass


class SubscribeAsset(msgspec.Struct, frozen=True):
    symbol: str | None = None
    symbols: list[str] | None = None
    mode: str = Mode.QUOTE
    channels: list[Channel] = []


class ChangeMode(msgspec.Struct, frozen=True):
    mode: str
    symbol: str | None = None
    symbols: list[str] | None = None


class UnsubscribeAsset(msgspec.Struct, frozen=True):
    symbol: str | None = None
    symbols: list[str] | None = None


PortfolioId = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class SubscribePortfolio(msgspec.Struct, frozen=True):
    portfolio_id: PortfolioId


class UnsubscribePortfolio(msgspec.Struct, frozen=True):
    portfolio_id: PortfolioId


class Ack(msgspec.Struct, frozen=True):
    frame: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


Request = (
    Ping
    | ClearSubscriptions
    | SubscribeAsset
    | ChangeMode
    | UnsubscribeAsset
    | SubscribePortfolio
    | UnsubscribePortfolio
    | Ack
)

REQUEST_TYPES: Mapping[str, type[Request]] = {
    "ping": Ping,
    "subscribe_asset": SubscribeAsset,
    "change_mode": ChangeMode,
    "unsubscribe_asset": UnsubscribeAsset,
    "subscribe_portfolio": SubscribePortfolio,
    "unsubscribe_portfolio": UnsubscribePortfolio,
    "clear_subscriptions": ClearSubscriptions,
    "ack": Ack,
}


class Message(msgspec.Struct, frozen=True):
    """One request with its type's name and the id to echo."""

    type: str
    id: str | None
    request: Request


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    id: Annotated[str, msgspec.Meta(max_length=MAX_ID_LENGTH)] | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decoders: dict[str, Callable[[msgspec.Raw], Request]] = {
    name: msgspec.json.Decoder(shape).decode for name, shape in REQUEST_TYPES.items()
}
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')


def parse(text: str) -> Message:
    """Returns the request in a text frame.

    Raises:
        ProtocolError: `invalid_json` unless strict JSON nested at most 32 deep, `unknown_type`, or
            `invalid_message` for any other shape.
    """
    try:
        _check_depth(text)
        envelope = _decode_envelope(text)
    except msgspec.ValidationError as error:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, str(error)) from error
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ProtocolError(ErrorCode.INVALID_JSON, f"expected strict JSON: {reason}") from error
    decode = _decoders.get(envelope.type)
    if decode is None:
        known = ", ".join(REQUEST_TYPES)
        raise ProtocolError(
            ErrorCode.UNKNOWN_TYPE, f"expected one of {known}", envelope.type[:64], envelope.id
        )
    try:
        request = decode(envelope.data)
    except msgspec.DecodeError as error:
        raise ProtocolError(
            ErrorCode.INVALID_MESSAGE, f"{error} in data", envelope.type, envelope.id
        ) from error
    return Message(envelope.type, envelope.id, request)


def _check_depth(text: str) -> None:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    for character in _STRINGS.sub("", text):
        if character in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise RecursionError
        elif character in "}]":
            depth -= 1


def requested_symbols(request: SubscribeAsset | ChangeMode | UnsubscribeAsset) -> list[str]:
    """Returns the symbols as sent, without repetition; raises ProtocolError if there are none."""
    symbols = list(
        dict.fromkeys([*([request.symbol] if request.symbol is not None else []), *(request.symbols or [])])
    )
    if not symbols:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "expected symbol or symbols in data")
    return symbols


# --- what the server sends -------------------------------------------------------------------------------------------


def wire_time(moment: datetime) -> str:
    """Returns ISO 8601 in UTC with six fractional digits and `Z`."""
    # An eighth of what isoformat() costs; without a fraction it would write none.
    text = _encode_time(moment if moment.tzinfo is UTC else moment.astimezone(UTC))[1:-1].decode()
    return text if moment.microsecond else f"{text[:-1]}.000000Z"


def now() -> str:
    return wire_time(datetime.now(UTC))


_encode_time = msgspec.json.Encoder().encode
_numbers = msgspec.json.Encoder(decimal_format="number")
_strings = msgspec.json.Encoder(decimal_format="string")
_EXPONENT = re.compile(rb"\dE[+-]\d")
_SIGNS = frozenset({b"+", b"-"})


def encode(value: Any, numbers: Numbers = "number") -> str:
    """Returns compact JSON in which no decimal has an exponent."""
    encoder = _numbers if numbers == "number" else _strings
    encoded = encoder.encode(value)
    if _has_exponent(encoded):  # rare: a very small or very round decimal, or just such a text
        encoded = encoder.encode(_plain(value, numbers))
    return encoded.decode()


def _has_exponent(encoded: bytes) -> bool:
    # Looking behind each E first costs a tenth of searching for the pattern, which is half of the encoding.
    signed = any(part[:1] in _SIGNS for part in encoded.split(b"E"))
    return signed and _EXPONENT.search(encoded) is not None


def _plain(value: Any, numbers: Numbers) -> Any:
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return msgspec.Raw(text.encode()) if numbers == "number" else text
    if isinstance(value, msgspec.Struct):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: _plain(item, numbers) for name, item in fields if item is not msgspec.UNSET}
    if isinstance(value, Mapping):
        return {key: _plain(item, numbers) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, numbers) for item in value]
    return value


def envelope(type: str, data: str, id: str | None = None, frame: int | None = None) -> str:
    """Returns one frame's text around `data`, which is JSON already."""
    head = f'{{"type":"{type}"'
    if id is not None:
        head += f',"id":{encode(id)}'
    if frame is not None:
        head += f',"frame":{frame}'
    return f'{head},"data":{data},"timestamp":"{now()}"}}'


def error_frame(error: ProtocolError, **extra: Any) -> str:
    data: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.request_type is not None:
        data["request_type"] = error.request_type
    return envelope("error", encode({**data, **extra}), error.id)


# --- quotes ----------------------------------------------------------------------------------------------------------


class QuoteRecord(msgspec.Struct, frozen=True, gc=False):
    """The last value of one asset, as the feed numbered it and as Redis keeps it.

    `seq` counts the ticks of this symbol in this `epoch`, conflated ones too, so that a jump shows them.
    `window` tells whether open, high, low and volume are the session's or the rolling 24 hours'.
    Times are wire text: `as_of` the source's, `received_at` ours.
    Fields are on the wire in this order: `quote` is `full` up to `bids`. There are up to 30 levels of depth, of which
    `full` shows five. The greeks are left out of a record that has none; `option_greeks` shows those as null.
    A price from before a split is in the units of `units_at`, the split's time, and was traded as `raw_price`. Both are
    left out of any other record: there `as_of` tells the units.
    """

    symbol: str
    price: Decimal
    as_of: str
    source: str
    seq: int
    epoch: int
    currency: str
    received_at: str = ""
    change: Decimal | None = None
    change_percent: Decimal | None = None
    volume: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    previous_close: Decimal | None = None
    open: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    last_quantity: Decimal | None = None
    session: str = "always"
    stale: bool = False
    delayed_by: int = 0
    window: str = "session"
    # mode `full`
    bids: tuple[tuple[Decimal, Decimal], ...] | None = None
    asks: tuple[tuple[Decimal, Decimal], ...] | None = None
    average_price: Decimal | None = None
    open_interest: Decimal | None = None
    # mode `option_greeks`
    delta: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    gamma: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    theta: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    vega: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    rho: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    iv: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    # both of a record from before a split
    units_at: str | msgspec.UnsetType = msgspec.UNSET
    raw_price: Decimal | msgspec.UnsetType = msgspec.UNSET


class _Ltpc(msgspec.Struct, gc=False):
    symbol: str
    price: Decimal
    change: Decimal | None
    previous_close: Decimal | None
    last_quantity: Decimal | None
    currency: str
    as_of: str
    source: str
    session: str
    stale: bool
    delayed_by: int
    seq: int
    epoch: int


def encode_quote(record: QuoteRecord, mode: str, numbers: Numbers = "number") -> str:
    """Returns the JSON object that a subscriber of `mode` gets."""
    if mode != Mode.LTPC:
        whole = _encode_fields(record, numbers)
        return whole if mode == Mode.FULL and not is_deep(record) else cut_quote(whole, mode)
    r = record
    return _encode_fields(
        _Ltpc(
            r.symbol,
            r.price,
            r.change,
            r.previous_close,
            r.last_quantity,
            r.currency,
            r.as_of,
            r.source,
            r.session,
            r.stale,
            r.delayed_by,
            r.seq,
            r.epoch,
        ),
        numbers,
    )


# What `full` shows of a record's levels, which may be six times as many.
FULL_LEVELS = 5
_NO_GREEKS = ',"delta":null,"gamma":null,"theta":null,"vega":null,"rho":null,"iv":null'
_DEEP = re.compile(rf"(\[(?:\[[^]]*\],){{{FULL_LEVELS - 1}}}\[[^]]*\])(?:,\[[^]]*\])+\]")


def is_deep(record: QuoteRecord) -> bool:
    """Whether `full` shows less than the whole record."""
    bids, asks = record.bids, record.asks
    return (bids is not None and len(bids) > FULL_LEVELS) or (asks is not None and len(asks) > FULL_LEVELS)


def cut_quote(whole: str, mode: str) -> str:
    """Returns what a subscriber of `quote` or more gets of a record's whole text, which is encoded only once."""
    if mode == Mode.FULL_D30:
        return whole
    depth_at = whole.index(',"bids":')
    if mode == Mode.QUOTE:
        return whole[:depth_at] + "}"
    if mode == Mode.OPTION_GREEKS:
        return whole[:depth_at] + _greeks(whole, depth_at) + "}"
    return whole[:depth_at] + _DEEP.sub(r"\1]", whole[depth_at:])


def _greeks(whole: str, depth_at: int) -> str:
    begin = whole.find(',"delta":', depth_at)
    if begin < 0:
        return _NO_GREEKS
    end = whole.find(',"units_at":', begin)
    return whole[begin : len(whole) - 1 if end < 0 else end]


def _encode_fields(fields: msgspec.Struct, numbers: Numbers) -> str:
    encoder = _numbers if numbers == "number" else _strings
    encoded = encoder.encode(fields)
    if _has_exponent(encoded):
        encoded = encoder.encode(_plain(fields, numbers))
    return encoded.decode()


decode_quote: Callable[[bytes | str], QuoteRecord] = msgspec.json.Decoder(QuoteRecord).decode
