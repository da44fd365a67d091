"""REST of a portfolio's value over time, its returns and its allocation: the owner's, and for all others a 404."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, get_args

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from assets.models import Asset, AssetClass
from assets.serializers import ExactDecimal, Moment
from portfolio.allocation import By, Part, Share, allocation
from portfolio.api import own_portfolio
from portfolio.arithmetic import RATIO, minor_unit, shown
from portfolio.history import days_of
from portfolio.holdings import valuation_now
from portfolio.models import Portfolio
from portfolio.returns import PERIODS, DayValue, PeriodReturn, period_returns
from portfolio.valuation import Valuation

# A page shows a few hundred; this is for charts of everything and for exports.
MOST_DAYS = 7_320
USUAL_DAYS = 365
EARLIEST = date(1970, 1, 1)
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
DIVISIONS: tuple[By, ...] = get_args(By)


# --- value over time ----------------------------------------------------------------------------------------


class DaySerializer(serializers.Serializer[Any]):
    """A day's value at its end; what has no price or rate is left out of it, and then it is not `complete`."""

    date = serializers.DateField()
    value = ExactDecimal(allow_null=True)
    inflow = ExactDecimal()
    outflow = ExactDecimal()
    complete = serializers.BooleanField()


@extend_schema_view(
    get=extend_schema(
        summary="A portfolio's value at the end of each day, oldest first",
        description=f"From its first row on, by default the last {USUAL_DAYS} days; at most {MOST_DAYS} days. "
        "Today still runs and is valued at the last prices.",
        parameters=[
            OpenApiParameter("start", OpenApiTypes.DATE, description="First day, inclusive"),
            OpenApiParameter("end", OpenApiTypes.DATE, description="Last day, inclusive; today by default"),
        ],
        responses=DaySerializer(many=True),
    )
)
class HistoryList(generics.GenericAPIView[Any]):
    serializer_class = DaySerializer
    queryset = Portfolio.objects.none()
    pagination_class = None

    def get(self, request: Request, portfolio_id: str) -> Response:
        portfolio = own_portfolio(request, int(portfolio_id))
        now = timezone.now()
        today = now.astimezone(portfolio.zone).date()
        end = min(_date(request, "end") or today, today)
        start = _date(request, "start") or end - timedelta(days=USUAL_DAYS)
        if start > end:
            raise serializers.ValidationError({"start": [f"expected {end} or earlier, was {start}"]})
        if (end - start).days >= MOST_DAYS:
            raise serializers.ValidationError(
                {"start": [f"expected at most {MOST_DAYS} days, was {(end - start).days + 1}"]}
            )
        unit = minor_unit(portfolio.currency)
        days = [day for day in days_of(portfolio, now) if start <= day.date <= end]
        return Response([_day_wire(day, unit) for day in days])


def _date(request: Request, name: str) -> date | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        if not ISO_DATE.fullmatch(text):
            raise ValueError
        found = date.fromisoformat(text)
    except ValueError:
        raise serializers.ValidationError(
            {name: [f"expected a date like 2026-11-20, was '{text[:40]}'"]}
        ) from None
    if found < EARLIEST:
        raise serializers.ValidationError({name: [f"expected {EARLIEST} or later, was {found}"]})
    return found


def _day_wire(day: DayValue, unit: Decimal) -> dict[str, Any]:
    return {
        "date": day.date.isoformat(),
        "value": shown(day.value, unit),
        "inflow": shown(day.inflow, unit),
        "outflow": shown(day.outflow, unit),
        "complete": day.is_complete,
    }


# --- returns ------------------------------------------------------------------------------------------------


class PeriodSerializer(serializers.Serializer[Any]):
    """What was earned from the end of `start` to the end of `end`; null where it cannot be known."""

    period = serializers.ChoiceField(choices=list(PERIODS))
    start = serializers.DateField()
    end = serializers.DateField()
    start_value = ExactDecimal(allow_null=True)
    end_value = ExactDecimal(allow_null=True)
    inflow = ExactDecimal()
    outflow = ExactDecimal()
    twr_percent = ExactDecimal(allow_null=True)
    mwr_percent = ExactDecimal(allow_null=True)
    mwr_is_yearly = serializers.BooleanField()
    incomplete = serializers.BooleanField()


class ReturnsSerializer(serializers.Serializer[Any]):
    portfolio_id = serializers.IntegerField()
    currency = serializers.CharField()
    valued_at = Moment()
    periods = PeriodSerializer(many=True)


@extend_schema_view(
    get=extend_schema(
        summary="Time- and money-weighted returns of a week, a month, this year, a year and all",
        description="A portfolio younger than a period is measured from its first row, before which it was worth 0. "
        "The money-weighted return is for the period under a year, and yearly from a year on.",
        responses=ReturnsSerializer,
    )
)
class Returns(generics.GenericAPIView[Any]):
    serializer_class = ReturnsSerializer
    queryset = Portfolio.objects.none()

    def get(self, request: Request, portfolio_id: str) -> Response:
        portfolio = own_portfolio(request, int(portfolio_id))
        now = timezone.now()
        unit = minor_unit(portfolio.currency)
        periods = period_returns(days_of(portfolio, now))
        return Response(
            {
                "portfolio_id": portfolio.pk,
                "currency": portfolio.currency,
                "valued_at": now,
                "periods": [_period_wire(period, unit) for period in periods],
            }
        )


def _period_wire(period: PeriodReturn, unit: Decimal) -> dict[str, Any]:
    return {
        "period": period.period,
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "start_value": shown(period.start_value, unit),
        "end_value": shown(period.end_value, unit),
        "inflow": shown(period.inflow, unit),
        "outflow": shown(period.outflow, unit),
        "twr_percent": _percent(period.twr),
        "mwr_percent": _percent(period.mwr),
        "mwr_is_yearly": period.is_mwr_yearly,
        "incomplete": period.incomplete,
    }


def _percent(ratio: Decimal | None) -> Decimal | None:
    rounded = shown(ratio, RATIO)
    return None if rounded is None else rounded.scaleb(2)


# --- allocation ---------------------------------------------------------------------------------------------


class ShareSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # DRF keeps fields apart
    value = ExactDecimal()
    share_percent = ExactDecimal(allow_null=True)


class AllocationSerializer(serializers.Serializer[Any]):
    """Of everything that is priced; `share_percent` adds up to 100.00, or is null where the total is not above 0."""

    portfolio_id = serializers.IntegerField()
    currency = serializers.CharField()
    by = serializers.ChoiceField(choices=list(DIVISIONS))
    total_value = ExactDecimal()
    coverage = ExactDecimal()
    shares = ShareSerializer(many=True)


@extend_schema_view(
    get=extend_schema(
        summary="How a portfolio is divided by asset, currency or class, largest share first",
        parameters=[OpenApiParameter("by", str, enum=list(DIVISIONS), default="asset")],
        responses=AllocationSerializer,
    )
)
class Allocation(generics.GenericAPIView[Any]):
    serializer_class = AllocationSerializer
    queryset = Portfolio.objects.none()

    def get(self, request: Request, portfolio_id: str) -> Response:
        portfolio = own_portfolio(request, int(portfolio_id))
        by = request.query_params.get("by", "asset")
        if by not in DIVISIONS:
            raise serializers.ValidationError({"by": [f"expected {', '.join(DIVISIONS)}, was '{by[:40]}'"]})
        valuation = valuation_now(portfolio)
        shares = allocation(parts_of(valuation), by)
        unit = minor_unit(portfolio.currency)
        wire = valuation.as_wire()
        return Response(
            {
                "portfolio_id": portfolio.pk,
                "currency": portfolio.currency,
                "by": by,
                "total_value": wire["total_value"],
                "coverage": wire["coverage"],
                "shares": [_share_wire(share, unit) for share in shares],
            }
        )


def parts_of(valuation: Valuation) -> Iterator[Part]:
    """Everything that the total is made of."""
    symbols = [position.holding.symbol for position in valuation.positions]
    classes = dict(Asset.objects.filter(symbol__in=symbols).values_list("symbol", "asset_class"))
    for position in valuation.positions:
        holding = position.holding
        if position.value is not None:
            kind = AssetClass(classes.get(holding.symbol, AssetClass.OTHER))
            yield Part(
                {
                    "asset": (holding.symbol, holding.name or holding.symbol),
                    "currency": (holding.currency, holding.currency),
                    "class": (kind.value, str(kind.label)),
                },
                position.value,
            )
    for cash in valuation.cash_positions:
        if cash.value is not None:
            yield cash_part(cash.holding.currency, cash.value)


def cash_part(currency: str, amount: Decimal) -> Part:
    """Cash, or what is to be paid, in one currency; no symbol has a small letter."""
    return Part(
        {
            "asset": (f"cash:{currency}", f"Cash in {currency}"),
            "currency": (currency, currency),
            "class": ("cash", "Cash"),
        },
        amount,
    )


def _share_wire(share: Share, unit: Decimal) -> dict[str, Any]:
    return {
        "key": share.key,
        "label": share.label,
        "value": shown(share.value, unit),
        "share_percent": share.percent,
    }
