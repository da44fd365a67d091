"""REST of the ticks that are kept: what sources said of an asset, page by page or as CSV, each number as it came."""

import csv
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request

from assets.api import find_asset
from assets.fields import plain
from assets.models import Tick, TickQuerySet
from assets.redistribution import Viewer, viewer_of
from assets.serializers import ExactDecimal, Moment, parse_moment

COLUMNS = ("as_of", "received_at", "source", "kind", "price", "quantity", "side", "trade_id", "bid", "ask")
ROWS_AT_ONCE = 2000
# A server of our kind gathers a file before it sends it: some 50 MB.
MOST_ROWS = 500_000
PARAMETERS = [
    OpenApiParameter("start", OpenApiTypes.DATETIME, description="First time, inclusive"),
    OpenApiParameter("end", OpenApiTypes.DATETIME, description="Last time, exclusive"),
    OpenApiParameter("source", str),
    OpenApiParameter("kind", str, enum=Tick.Kind.values),
]


class TickSerializer(serializers.ModelSerializer[Tick]):
    as_of = Moment()
    received_at = Moment()
    kind = serializers.CharField(help_text="trade, or quote")
    price = ExactDecimal(allow_null=True)
    quantity = ExactDecimal(allow_null=True)
    bid = ExactDecimal(allow_null=True)
    ask = ExactDecimal(allow_null=True)

    class Meta:
        model = Tick
        fields = COLUMNS


class _Echo:
    """What a CSV writer writes to: it gives each line back."""

    def write(self, line: str) -> str:
        return line


def asked_ticks(symbol: str, query: Mapping[str, str], viewer: Viewer) -> TickQuerySet:
    ticks = Tick.objects.filter(asset=find_asset(symbol)).visible_to(viewer)
    if source := query.get("source"):
        ticks = ticks.filter(source=source)
    if kind := query.get("kind"):
        if kind not in Tick.Kind.values:
            raise serializers.ValidationError({"kind": f"expected trade or quote, was '{kind[:40]}'"})
        ticks = ticks.filter(kind=kind)
    return ticks.between(_bound("start", query), _bound("end", query))


def _bound(name: str, query: Mapping[str, str]) -> datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return parse_moment(text.replace(" ", "+"))  # an unescaped "+" of a zone arrives as a space
    except serializers.ValidationError as error:
        raise serializers.ValidationError({name: error.detail}) from error


@extend_schema_view(
    get=extend_schema(summary="Kept ticks, oldest first, in the units of their time", parameters=PARAMETERS)
)
class TickList(generics.ListAPIView[Tick]):
    serializer_class = TickSerializer
    queryset = Tick.objects.none()

    def get_queryset(self) -> TickQuerySet:
        return asked_ticks(self.kwargs["symbol"], self.request.query_params, viewer_of(self.request.user))


class TickFile(generics.GenericAPIView[Tick]):
    serializer_class = TickSerializer
    queryset = Tick.objects.none()

    @extend_schema(
        summary=f"The same as CSV; the first {MOST_ROWS:,} of what was asked for",
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
        parameters=[*PARAMETERS, OpenApiParameter("format", exclude=True)],
    )
    def get(self, request: Request, symbol: str) -> StreamingHttpResponse:
        lines = csv_lines(asked_ticks(symbol, request.query_params, viewer_of(request.user)))
        response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="ticks.csv"'
        return response


def csv_lines(ticks: TickQuerySet) -> Iterator[str]:
    writer: Any = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for row in ticks.values_list(*COLUMNS)[:MOST_ROWS].iterator(ROWS_AT_ONCE):
        as_of, received_at, source, kind, price, quantity, side, trade_id, bid, ask = row
        yield writer.writerow(
            [
                _utc(as_of),
                _utc(received_at),
                source,
                kind,
                *("" if number is None else plain(number) for number in (price, quantity)),
                side,
                trade_id,
                *("" if number is None else plain(number) for number in (bid, ask)),
            ]
        )


def _utc(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
