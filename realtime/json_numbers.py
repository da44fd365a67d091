"""Decimals as strings in JSON that is encoded already, for clients whose numbers are binary.

The feed encodes once, with numbers; this puts quotes around them, so that no digit can get lost on the way. What
counts (`seq`, `number`) stays a number, as in a quote.
"""

from collections.abc import Callable

import msgspec

COUNTS = frozenset({"seq", "previous_seq", "epoch", "number", "missed"})
_DIGITS = frozenset("-0123456789")

_decode_object: Callable[[str], dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_array: Callable[[str], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def with_strings(json: str) -> str:
    """Returns the same JSON with every decimal in it as a string."""
    match json[:1]:
        case "{":
            fields = _decode_object(json).items()
            return (
                "{"
                + ",".join([f"{_text(_encode(name))}:{_field(name, _text(raw))}" for name, raw in fields])
                + "}"
            )
        case "[":
            return "[" + ",".join([with_strings(_text(raw)) for raw in _decode_array(json)]) + "]"
        case first if first in _DIGITS:
            return f'"{json}"'
    return json


def _field(name: str, json: str) -> str:
    return json if name in COUNTS else with_strings(json)


def _text(raw: "msgspec.Raw | bytes") -> str:
    return bytes(raw).decode()
