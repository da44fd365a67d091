"""REST of what numbers were computed from: receipts, lots, and positions as CSV."""

from datetime import UTC
from typing import Any

import msgspec
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from assets.models import normal_symbol
from assets.rates import RatePoint
from portfolio.api import own_portfolio, valuation_of
from portfolio.arithmetic import minor_unit, shown
from portfolio.import_api import csv_response
from portfolio.imports.export import valuation_csv
from portfolio.models import Portfolio
from portfolio.receipts import ReceiptError
from portfolio.valued import lots_of, of_receipt, unrounded
from portfolio.wire import wire_time

RECEIPT = OpenApiParameter("receipt", str, description="Of this receipt instead of now")


class ReceiptDetail(generics.GenericAPIView[Any]):
    queryset = Portfolio.objects.none()
    serializer_class = serializers.Serializer

    @extend_schema(
        summary="The quotes and rates behind a frame, and its numbers computed again from them",
        description="A receipt's id stands in every `portfolio_update` and is good for 24 hours.",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, portfolio_id: str, receipt: str) -> Response:
        portfolio = own_portfolio(request, int(portfolio_id))
        try:
            valuation, _ = of_receipt(portfolio, receipt)
        except ReceiptError as error:
            raise NotFound(str(error)) from error
        inputs = valuation.inputs()
        return Response(
            {
                "id": receipt,
                "portfolio_id": portfolio.pk,
                "valued_at": wire_time(inputs.valued_at),
                "ledger_row": inputs.ledger_row,
                "prices": [_told(symbol, "symbol", point) for symbol, point in sorted(inputs.prices.items())],
                "rates": [
                    _told(currency, "currency", point) for currency, point in sorted(inputs.rates.items())
                ],
                "baselines": [
                    _told(key, "position", point) for key, point in sorted(inputs.baselines.items())
                ],
                "valuation": valuation.as_wire(receipt=receipt),
            }
        )


def _told(key: str, name: str, point: Any) -> dict[str, Any]:
    if isinstance(point, RatePoint):
        return {name: key, "rate": point.value, "as_of": wire_time(point.as_of), "legs": point.legs}
    fields = msgspec.structs.asdict(point)
    return {name: key} | {
        field: wire_time(value) if hasattr(value, "astimezone") else value for field, value in fields.items()
    }


class PositionFile(generics.GenericAPIView[Any]):
    queryset = Portfolio.objects.none()
    serializer_class = serializers.Serializer

    @extend_schema(
        summary="All positions as CSV, unrounded",
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
        parameters=[RECEIPT],
    )
    def get(self, request: Request, portfolio_id: str) -> StreamingHttpResponse:
        portfolio = own_portfolio(request, int(portfolio_id))
        valuation, receipt = valuation_of(portfolio, request.query_params.get("receipt"))
        return csv_response(
            iter([valuation_csv(unrounded(valuation), receipt)]), f"{portfolio.pk}-positions.csv"
        )


class LotList(generics.GenericAPIView[Any]):
    queryset = Portfolio.objects.none()
    serializer_class = serializers.Serializer

    @extend_schema(
        summary="The open lots of each position, oldest first",
        responses=OpenApiTypes.OBJECT,
        parameters=[OpenApiParameter("symbol", str)],
    )
    def get(self, request: Request, portfolio_id: str) -> Response:
        portfolio = own_portfolio(request, int(portfolio_id))
        symbol = request.query_params.get("symbol", "")
        now = timezone.now()
        lots = []
        for lot in lots_of(portfolio, now):
            if symbol and lot.symbol != _normal(symbol):
                continue
            own, base = minor_unit(lot.currency), minor_unit(portfolio.currency)
            lots.append(
                {
                    "symbol": lot.symbol,
                    "currency": lot.currency,
                    "row": lot.lot.row_id,
                    "opened": lot.lot.opened.astimezone(UTC),
                    "quantity": lot.lot.quantity,
                    "cost": shown(lot.lot.cost, own),
                    "cost_base": shown(lot.lot.cost_base, base),
                    "value": shown(lot.value, own),
                    "unrealized": shown(lot.unrealized, own),
                    "unrealized_base": shown(lot.unrealized_base, base),
                    "days": (now - lot.lot.opened).days,
                }
            )
        return self.get_paginated_response(self.paginate_queryset(lots))


def _normal(symbol: str) -> str:
    try:
        return normal_symbol(symbol)
    except ValueError:
        return ""
