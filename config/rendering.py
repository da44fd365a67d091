"""JSON in and out for REST, with every decimal exact: no float, no exponent, no NaN, in either direction."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer


class TooLarge(APIException):
    status_code = 413
    default_detail = "expected a smaller body"
    default_code = "too_large"


class ExactJSONRenderer(JSONRenderer):
    """Prints a `Decimal` as a JSON number and a time as ISO 8601 UTC with six fractional digits."""

    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else json_text(data).encode()


def json_text(value: Any) -> str:
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


def _write(value: Any, parts: list[str]) -> None:
    match value:
        case None | bool() | int():
            parts.append(json.dumps(value))
        case Decimal():
            parts.append(_number(value))
        case Mapping():
            _write_object(value, parts)
        case list() | tuple() | set() | frozenset():
            parts.append("[")
            for position, item in enumerate(value):
                if position:
                    parts.append(",")
                _write(item, parts)
            parts.append("]")
        case _:
            parts.append(json.dumps(_text(value), ensure_ascii=False))


def _write_object(value: Mapping[Any, Any], parts: list[str]) -> None:
    parts.append("{")
    for position, (key, item) in enumerate(value.items()):
        parts.append(f"{',' if position else ''}{json.dumps(str(key), ensure_ascii=False)}:")
        _write(item, parts)
    parts.append("}")


def _number(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError(f"expected a finite number, was {value}")
    return f"{value:f}"


def _text(value: Any) -> str:
    """Everything that is no number and no container; `str` also settles lazy translations."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    if isinstance(value, float):
        raise TypeError(f"expected a Decimal, was the float {value}")
    return value.isoformat() if isinstance(value, date) else str(value)


class ExactJSONParser(BaseParser):
    """Reads numbers as `int` and `Decimal`; whatever is not strict JSON is a 400."""

    media_type = "application/json"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        # Django bounds `request.body`, but not the stream under it.
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(f"expected a body of at most {limit} bytes")
        return parse_json(body)


def parse_json(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_float=Decimal, parse_constant=_refuse)
    except RecursionError as error:
        raise ParseError("expected JSON that is nested less deeply") from error
    except ArithmeticError as error:
        raise ParseError("expected a number of a possible size") from error
    except ValueError as error:
        raise ParseError(f"expected strict JSON: {str(error)[:200]}") from error


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
