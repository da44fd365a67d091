"""REST of what a tax return asks for: income and realized gains by year, in the portfolio's time zone."""

from typing import Any, cast

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from portfolio.api import own_portfolio
from portfolio.arithmetic import minor_unit, shown
from portfolio.models import Portfolio
from portfolio.reports import By, Gain, Income, Year, gains, income, years

BY = ("ex", "payment")


class IncomeReport(generics.GenericAPIView[Any]):
    queryset = Portfolio.objects.none()
    serializer_class = serializers.Serializer

    @extend_schema(
        summary="Dividends and interest by year, with what was withheld",
        responses=OpenApiTypes.OBJECT,
        parameters=[
            OpenApiParameter("by", str, enum=BY, default="ex", description="Count at ex-date or payment")
        ],
    )
    def get(self, request: Request, portfolio_id: str) -> Response:
        portfolio = own_portfolio(request, int(portfolio_id))
        by = request.query_params.get("by", "ex")
        if by not in BY:
            raise serializers.ValidationError({"by": [f"expected {' or '.join(BY)}, was '{by[:40]}'"]})
        found = income(
            portfolio.rows(),
            base=portfolio.currency,
            zone=portfolio.zone,
            by=cast(By, by),
            until=timezone.now(),
        )
        return Response(
            {
                "currency": portfolio.currency,
                "years": [year_wire(one, portfolio.currency) for one in years(found, [])],
                "rows": [income_wire(one, portfolio.currency) for one in found],
            }
        )


class GainReport(generics.GenericAPIView[Any]):
    queryset = Portfolio.objects.none()
    serializer_class = serializers.Serializer

    @extend_schema(
        summary="Realized gains by year: every closed part of a lot",
        responses=OpenApiTypes.OBJECT,
        parameters=[OpenApiParameter("year", int)],
    )
    def get(self, request: Request, portfolio_id: str) -> Response:
        portfolio = own_portfolio(request, int(portfolio_id))
        found = gains(portfolio.replay(portfolio.rows(), until=timezone.now()), zone=portfolio.zone)
        year = request.query_params.get("year", "")
        if year and not (year.isascii() and year.isdigit() and len(year) == 4):
            raise serializers.ValidationError({"year": [f"expected a year like 2026, was '{year[:40]}'"]})
        return Response(
            {
                "currency": portfolio.currency,
                "years": [year_wire(one, portfolio.currency) for one in years([], found)],
                "rows": [gain_wire(g, portfolio.currency) for g in found if not year or g.year == int(year)],
            }
        )


def year_wire(year: Year, base: str) -> dict[str, Any]:
    unit = minor_unit(base)
    names = ("gross", "withheld", "fees", "net", "proceeds", "cost", "gains", "losses", "realized")
    return {"year": year.year, **{name: shown(getattr(year, name), unit) for name in names}}


def income_wire(one: Income, base: str) -> dict[str, Any]:
    own, unit = minor_unit(one.currency), minor_unit(base)
    return {
        "year": one.year,
        "type": one.kind,
        "symbol": one.symbol,
        "currency": one.currency,
        "payments": one.payments,
        "gross": shown(one.gross, own),
        "withheld": shown(one.withheld, own),
        "net": shown(one.net, own),
        "gross_base": shown(one.gross_base, unit),
        "withheld_base": shown(one.withheld_base, unit),
        "fees_base": shown(one.fees_base, unit),
        "net_base": shown(one.net_base, unit),
    }


def gain_wire(one: Gain, base: str) -> dict[str, Any]:
    own, unit = minor_unit(one.currency), minor_unit(base)
    return {
        "year": one.year,
        "symbol": one.symbol,
        "currency": one.currency,
        "type": one.kind,
        "row": one.row_id,
        "opened_by": one.opened_by,
        "opened": one.opened,
        "closed": one.closed,
        "days": one.holding_days,
        "quantity": one.quantity,
        "cost": shown(one.cost, own),
        "proceeds": shown(one.proceeds, own),
        "gain": shown(one.gain, own),
        "cost_base": shown(one.cost_base, unit),
        "proceeds_base": shown(one.proceeds_base, unit),
        "gain_base": shown(one.gain_base, unit),
    }
