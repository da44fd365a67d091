"""REST of files: importing a broker's rows, with a preview, and exporting rows and positions as CSV."""

import json
from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, parsers, serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from portfolio.api import own_portfolio
from portfolio.drafting import drafts_of
from portfolio.importing import Import, run
from portfolio.imports.drafts import OptionError, Options
from portfolio.imports.duplicates import Marked
from portfolio.imports.export import export_lines
from portfolio.imports.parsing import PRESETS, parse
from portfolio.models import Portfolio

MAX_BYTES = 32 * 1024 * 1024
# Of a preview; the whole file would be a page of 100,000 lines.
ROWS_SHOWN = 200
OPTIONS = ("delimiter", "decimal", "dates", "encoding", "time_zone", "currency")


class ImportSerializer(serializers.Serializer[Any]):
    """A file and how to read it; what is left out is found out, or asked for where it could mean two things."""

    file = serializers.FileField()
    preset = serializers.ChoiceField(choices=list(PRESETS), required=False)
    delimiter = serializers.CharField(required=False, trim_whitespace=False)
    decimal = serializers.CharField(required=False)
    dates = serializers.CharField(required=False)
    encoding = serializers.CharField(required=False)
    time_zone = serializers.CharField(required=False)
    currency = serializers.CharField(required=False)
    mapping = serializers.CharField(required=False, help_text='our symbols as JSON: {"APPLE INC": "AAPL"}')
    create_assets = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=False)

    def validate_file(self, file: Any) -> Any:
        if file.size > MAX_BYTES:
            raise serializers.ValidationError(
                f"expected at most {MAX_BYTES // 2**20} MB, was {file.size / 2**20:.0f} MB"
            )
        return file

    def validate_mapping(self, text: str) -> dict[str, str]:
        try:
            mapping = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise serializers.ValidationError(f"expected JSON: {error}") from error
        if not isinstance(mapping, dict) or not all(isinstance(value, str) for value in mapping.values()):
            raise serializers.ValidationError('expected an object like {"APPLE INC": "AAPL"}')
        return mapping


class ImportView(generics.GenericAPIView[Any]):
    serializer_class = ImportSerializer
    parser_classes = [parsers.MultiPartParser]
    queryset = Portfolio.objects.none()

    @extend_schema(
        summary="Import a broker's rows: all of the new ones, or none",
        description="With `dry_run` nothing is stored. 400 names every problem at its line and column.",
        responses={200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT, 400: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request, portfolio_id: str) -> Response:
        portfolio = own_portfolio(request, int(portfolio_id))
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        try:
            options = Options(**{name: asked.get(name) or None for name in OPTIONS})
            parsed = parse(asked["file"].read(), asked.get("preset"), options)
        except OptionError as error:
            raise serializers.ValidationError({"detail": str(error)}) from error
        try:
            found = run(
                portfolio,
                parsed,
                mapping=asked.get("mapping"),
                create_assets=asked["create_assets"],
                book=not asked["dry_run"],
            )
        except Portfolio.DoesNotExist as error:  # deleted meanwhile
            raise NotFound from error
        status = 201 if found.is_booked else 200 if asked["dry_run"] else 400
        return Response(shown(found), status=status)


def shown(found: Import) -> dict[str, Any]:
    parsed = found.parsed
    broken = {problem.line for problem in found.problems}
    return {
        "booked": found.is_booked,
        "preset": parsed.preset,
        "delimiter": parsed.delimiter,
        "encoding": parsed.encoding,
        "rows": len(parsed.drafts),
        "new": len(found.new),
        "duplicates": len(found.marked) - len(found.new),
        "problems": [problem._asdict() for problem in found.problems],
        "more_problems": found.more_problems,
        "left_out": [problem._asdict() for problem in parsed.left_out],
        "more_left_out": parsed.more_left_out,
        "symbols": [
            {"symbol": one.symbol, "isin": one.isin, "name": one.name, "currency": one.currency}
            | {"rows": one.rows, "asset": ours or None}
            for one, ours in found.symbols
        ],
        "sample": [row_shown(one, broken) for one in found.marked[:ROWS_SHOWN]]
        or [row_shown(Marked(draft, "", None), broken) for draft in parsed.drafts[:ROWS_SHOWN]],
    }


def row_shown(one: Marked, broken: set[int]) -> dict[str, Any]:
    draft = one.draft
    status = "problem" if draft.line in broken else "duplicate" if one.duplicate else "new"
    return {
        "line": draft.line,
        "type": draft.kind,
        "time": draft.moment,
        "symbol": draft.symbol or draft.isin or draft.name,
        "quantity": draft.quantity or None,
        "price": draft.price or None,
        "amount": draft.amount or None,
        "currency": draft.currency,
        "fee": draft.fee or None,
        "status": status,
    }


class TransactionFile(generics.GenericAPIView[Any]):
    queryset = Portfolio.objects.none()
    serializer_class = serializers.Serializer

    @extend_schema(
        summary="All rows as CSV, which the import reads back",
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
        parameters=[OpenApiParameter("format", exclude=True)],
    )
    def get(self, request: Request, portfolio_id: str) -> StreamingHttpResponse:
        portfolio = own_portfolio(request, int(portfolio_id))
        rows = list(portfolio.transactions.in_order().with_assets())
        return csv_response(export_lines(drafts_of(rows)), f"{portfolio.pk}-transactions.csv")


def csv_response(lines: Iterator[str], name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="portfolio-{name}"'
    return response
