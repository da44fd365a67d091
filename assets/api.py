"""REST of assets and their bars. Setting a price by hand is `realtime.api`'s, because it moves dashboards."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import redis
from django.db import IntegrityError, transaction
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from assets.calendars import calendar_named
from assets.models import Asset, PriceBar, Split, normal_symbol
from assets.open_bars import BarsTogether, read_open_bars
from assets.redistribution import Viewer, viewer_of
from assets.serializers import AssetSerializer, BarSerializer, parse_moment
from assets.snapshots import read_quotes
from assets.splits import restated_fields
from assets.stored_prices import read_splits, stored_prices

log = logging.getLogger("personal_finance.realtime.assets")


def last_quotes(symbols: Sequence[str], viewer: Viewer) -> Mapping[str, Mapping[str, Any]]:
    """Returns the last records that Redis has and the viewer may see, in today's units.

    None while it is away, and then the stored prices serve.
    """
    try:
        found = read_quotes(symbols)
    except redis.RedisError as error:
        log.warning("last quotes not read, stored prices serve", extra={"error": str(error)})
        return {}
    quotes = {symbol: quote for symbol, quote in found.items() if viewer.sees(quote.get("source", ""))}
    return _in_units_of(datetime.now(UTC), quotes)


def _in_units_of(now: datetime, quotes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Restates what nobody has published since a split; hardly ever is there such a record."""
    if not quotes:
        return quotes
    oldest = min(datetime.fromisoformat(quote["as_of"]) for quote in quotes.values())
    recent = Split.objects.filter(
        asset__symbol__in=quotes, effective_at__gt=oldest, effective_at__lte=now
    ).values_list("asset_id", "asset__symbol")
    symbols = dict(recent)
    for asset_id, splits in read_splits(list(symbols)).items():
        quote = quotes[symbols[asset_id]]
        quote |= restated_fields(quote, splits, now)
    return quotes


def find_asset(symbol: str) -> Asset:
    """Returns the asset of a symbol from an address; raises Http404, also for what can't be a symbol."""
    try:
        asset = Asset.objects.filter(symbol=normal_symbol(symbol)).first()
    except ValueError:
        asset = None
    if asset is None:
        raise Http404("unknown symbol")
    return asset


def matching(assets: "QuerySet[Asset]", words: str) -> "QuerySet[Asset]":
    """Assets whose symbol or name contains `words`, best match first."""
    rank = Case(
        When(symbol__iexact=words, then=Value(0)),
        When(symbol__istartswith=words, then=Value(1)),
        When(name__istartswith=words, then=Value(2)),
        default=Value(3),
        output_field=IntegerField(),
    )
    found = assets.filter(Q(symbol__icontains=words) | Q(name__icontains=words))
    return found.order_by(rank, "symbol")


@extend_schema_view(
    get=extend_schema(
        summary="Assets, or those whose symbol or name contains `search`",
        parameters=[OpenApiParameter("search", str)],
    ),
    post=extend_schema(summary="Add an asset"),
)
class AssetList(generics.ListCreateAPIView[Asset]):
    serializer_class = AssetSerializer
    queryset = Asset.objects.none()

    def get_queryset(self) -> "QuerySet[Asset]":
        assets = Asset.objects.prefetch_related("feed_symbols")
        words = self.request.query_params.get("search", "").strip().replace("\0", "")
        return matching(assets, words) if words else assets

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        viewer = viewer_of(request.user)
        context = {
            **self.get_serializer_context(),
            "quotes": last_quotes([asset.symbol for asset in page], viewer),
            "stored": stored_prices(page, datetime.now(UTC), viewer),
        }
        return self.get_paginated_response(AssetSerializer(page, many=True, context=context).data)

    def perform_create(self, serializer: serializers.BaseSerializer[Asset]) -> None:
        try:
            with transaction.atomic():
                serializer.save()
        except IntegrityError as error:  # somebody added it in between
            raise serializers.ValidationError({"symbol": ["exists already"]}) from error


@extend_schema_view(get=extend_schema(summary="One asset with its last value"))
class AssetDetail(generics.RetrieveAPIView[Asset]):
    serializer_class = AssetSerializer
    queryset = Asset.objects.none()
    lookup_field = "symbol"

    def get_object(self) -> Asset:
        return find_asset(self.kwargs["symbol"])

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asset = self.get_object()
        viewer = viewer_of(request.user)
        context = {
            **self.get_serializer_context(),
            "quotes": last_quotes([asset.symbol], viewer),
            "stored": stored_prices([asset], datetime.now(UTC), viewer),
        }
        return Response(AssetSerializer(asset, context=context).data)


@extend_schema_view(
    get=extend_schema(
        summary="Bars up to now, oldest first, in today's units: those from before a split are divided",
        parameters=[
            OpenApiParameter("interval", str, enum=PriceBar.Interval.values, default="1d"),
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="First start, inclusive"),
            OpenApiParameter("end", OpenApiTypes.DATETIME, description="Last start, exclusive"),
            OpenApiParameter("raw", bool, description="As they were traded, not divided by later splits"),
        ],
    )
)
class BarList(generics.ListAPIView[PriceBar]):
    serializer_class = BarSerializer
    queryset = PriceBar.objects.none()

    def get_queryset(self) -> "QuerySet[PriceBar]":
        query = self.request.query_params
        interval = query.get("interval", PriceBar.Interval.DAY)
        if interval not in PriceBar.Interval.values:
            raise serializers.ValidationError({"interval": f"expected 1d or 1m, was '{interval[:40]}'"})
        bars = PriceBar.objects.filter(asset=self._asset(), interval=interval)
        for name, lookup in (("start", "start__gte"), ("end", "start__lt")):
            if (moment := _bound(name, query)) is not None:
                bars = bars.filter(**{lookup: moment})
        return bars.visible_to(viewer_of(self.request.user)).order_by("start")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(BarsTogether(self.get_queryset(), self._open_bars()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def _open_bars(self) -> Sequence[PriceBar]:
        query, asset = self.request.query_params, self._asset()
        try:
            bars = read_open_bars(asset.pk, asset.symbol, query.get("interval", PriceBar.Interval.DAY))
        except redis.RedisError as error:
            log.warning("open bars not read, stored ones serve", extra={"error": str(error)})
            return []
        viewer = viewer_of(self.request.user)
        starts, ends = (_bound(name, query) for name in ("start", "end"))
        return [
            bar
            for bar in bars
            if viewer.sees(bar.source)
            and (starts is None or bar.start >= starts)
            and (ends is None or bar.start < ends)
        ]

    def _asset(self) -> Asset:
        return find_asset(self.kwargs["symbol"])

    def get_serializer_context(self) -> dict[str, Any]:
        context = dict(super().get_serializer_context())
        if "symbol" not in self.kwargs:  # the schema is made without one
            return context
        asset = self._asset()
        is_raw = self.request.query_params.get("raw", "").lower() in ("1", "true")
        splits = () if is_raw else read_splits([asset.pk]).get(asset.pk, ())
        return {**context, "splits": splits, "calendar": calendar_named(asset.calendar)}


def _bound(name: str, query: Mapping[str, str]) -> datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return parse_moment(text.replace(" ", "+"))  # an unescaped "+" of a zone arrives as a space
    except serializers.ValidationError as error:
        raise serializers.ValidationError({name: error.detail}) from error
