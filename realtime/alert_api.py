"""REST of price alerts, their firings and the webhook that they are posted to: each user's own and nobody else's.

A foreign alert and a missing one get the same 404. Whatever changes an alert's rule arms it anew, so that what a price
feed still knows of the old rule can fire nothing.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from assets.models import Asset
from assets.serializers import ExactDecimal, KnownSymbol, Moment
from assets.splits import ratio_between
from assets.stored_prices import read_splits
from realtime.alerts.changes import note_change
from realtime.alerts.models import (
    DEFAULT_HYSTERESIS,
    AlertFiring,
    AlertQuerySet,
    PriceAlert,
    WebhookDelivery,
    WebhookEndpoint,
)
from realtime.alerts.signing import check_url
from realtime.alerts.webhooks import new_nonce, secret_of

LARGEST_PERCENT = 1000
LONGEST_WINDOW = 1440
RULE = ("kind", "threshold", "window_minutes", "hysteresis", "hysteresis_unit", "once")


def user_of(request: Request) -> User:
    return cast(User, request.user)


class AlertSerializer(serializers.ModelSerializer[PriceAlert]):
    symbol = KnownSymbol(source="asset")
    kind = serializers.ChoiceField(
        choices=PriceAlert.AlertKind.choices,
        help_text="above and below fire at or beyond the threshold, crossing when the price gets to its other side.",
    )
    threshold = ExactDecimal(help_text="A price in today's units; with percent_move the percentage.")
    window_minutes = serializers.IntegerField(
        min_value=1,
        max_value=LONGEST_WINDOW,
        required=False,
        allow_null=True,
        help_text="A percent_move is measured from the extremes of so many minutes; without it, from the price at "
        "which the alert was armed.",
    )
    hysteresis = ExactDecimal(
        required=False,
        help_text="How far the price must go back beyond the threshold before the alert is armed again.",
    )
    armed_at = Moment(read_only=True)
    last_fired_at = Moment(read_only=True, allow_null=True)
    reference = ExactDecimal(
        read_only=True, allow_null=True, help_text="What a percent_move is measured from."
    )
    created_at = Moment(read_only=True)

    class Meta:
        model = PriceAlert
        fields = [
            "id",
            "symbol",
            "kind",
            "threshold",
            "window_minutes",
            "hysteresis",
            "hysteresis_unit",
            "once",
            "state",
            "arming",
            "armed_at",
            "last_fired_at",
            "reference",
            "created_at",
        ]
        read_only_fields = ["state", "arming"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None and attrs.get("asset", self.instance.asset) != self.instance.asset:
            raise serializers.ValidationError({"symbol": "expected the same symbol: make another alert"})
        problems = _problems(_whole(self.instance, attrs))
        if problems:
            raise serializers.ValidationError(problems)
        return attrs

    def to_representation(self, alert: PriceAlert) -> dict[str, Any]:
        """In today's units: a price from before a split is divided."""
        shown = super().to_representation(alert)
        splits = self.context.get("splits", {}).get(alert.asset_id, ())
        if splits:
            now = datetime.now(UTC)
            rule = alert.rule(ratio_between(splits, alert.units_at, now))
            shown |= {"threshold": rule.threshold, "hysteresis": rule.hysteresis}
        return shown


def _whole(alert: PriceAlert | None, attrs: dict[str, Any]) -> dict[str, Any]:
    """The rule as it will be, with what is not asked for as it is or by default."""
    defaults = {"hysteresis": DEFAULT_HYSTERESIS, "hysteresis_unit": "percent", "window_minutes": None}
    known = defaults if alert is None else {name: getattr(alert, name) for name in (*RULE, "asset")}
    return known | attrs


def _problems(rule: dict[str, Any]) -> dict[str, str]:
    problems: dict[str, str] = {}
    threshold: Decimal = rule["threshold"]
    asset: Asset = rule["asset"]
    if rule["kind"] == PriceAlert.AlertKind.PERCENT_MOVE:
        if not 0 < threshold <= LARGEST_PERCENT:
            problems["threshold"] = f"expected more than 0 and at most {LARGEST_PERCENT} %, was {threshold:f}"
    else:
        if rule["window_minutes"] is not None:
            problems["window_minutes"] = "expected only with percent_move"
        if threshold <= 0 and not asset.may_be_negative:
            problems["threshold"] = f"expected more than 0, was {threshold:f}"
    is_percent = rule["hysteresis_unit"] == PriceAlert.HysteresisUnit.PERCENT
    if rule["hysteresis"] < 0 or (is_percent and rule["hysteresis"] >= 100):
        problems["hysteresis"] = "expected at least 0, and of a percentage less than 100"
    return problems


class FiringSerializer(serializers.ModelSerializer[AlertFiring]):
    """A firing, in the units of its time."""

    alert_id = serializers.IntegerField(read_only=True)
    symbol = serializers.CharField(source="alert.asset.symbol", read_only=True)
    threshold = ExactDecimal(read_only=True)
    price = ExactDecimal(read_only=True)
    reference = ExactDecimal(read_only=True, allow_null=True)
    as_of = Moment(read_only=True)
    fired_at = Moment(read_only=True)
    webhook = serializers.SerializerMethodField(
        help_text="pending, delivered or failed; null where there was none."
    )

    class Meta:
        model = AlertFiring
        fields = [
            "id",
            "alert_id",
            "symbol",
            "kind",
            "threshold",
            "price",
            "reference",
            "source",
            "as_of",
            "fired_at",
            "webhook",
        ]
        read_only_fields = ["kind", "source"]

    def get_webhook(self, firing: AlertFiring) -> str | None:
        try:
            return str(firing.delivery.state)
        except WebhookDelivery.DoesNotExist:
            return None


def _firings() -> "QuerySet[AlertFiring]":
    return AlertFiring.objects.select_related("alert__asset", "delivery").order_by("-fired_at", "-id")


@extend_schema_view(
    list=extend_schema(summary="Your price alerts", parameters=[OpenApiParameter("symbol", str)]),
    create=extend_schema(summary="Make a price alert"),
    retrieve=extend_schema(summary="A price alert"),
    partial_update=extend_schema(summary="Change a price alert, which arms it anew"),
    destroy=extend_schema(summary="Delete a price alert with its firings"),
)
class AlertViewSet(viewsets.ModelViewSet[PriceAlert]):
    serializer_class = AlertSerializer
    queryset = PriceAlert.objects.none()
    lookup_value_regex = "[0-9]{1,18}"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_queryset(self) -> AlertQuerySet:
        alerts = PriceAlert.objects.visible_to(user_of(self.request)).select_related("asset")
        if self.action == "list" and (symbol := self.request.query_params.get("symbol")):
            alerts = alerts.filter(asset__symbol=symbol.upper().replace("\0", ""))
        return alerts

    def get_serializer_context(self) -> dict[str, Any]:
        context = dict(super().get_serializer_context())
        if self.kwargs.get("pk") or self.action == "list":
            held = Asset.objects.filter(alerts__user=user_of(self.request))
            context["splits"] = read_splits(held.order_by().values("id"))
        return context

    @transaction.atomic
    def perform_create(self, serializer: serializers.BaseSerializer[PriceAlert]) -> None:
        user = user_of(self.request)
        # One at a time, so that two at once do not both find the last place free.
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        most = settings.MAX_ALERTS_PER_USER
        if most and PriceAlert.objects.visible_to(user).count() >= most:
            raise serializers.ValidationError({"detail": f"expected at most {most} alerts: delete one first"})
        alert = serializer.save(user=user)
        note_change(alert.asset_id)

    @transaction.atomic
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        alert = self._locked()
        serializer = self.get_serializer(alert, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        now = datetime.now(UTC)
        splits = read_splits([alert.asset_id]).get(alert.asset_id, ())
        rule = alert.rule(ratio_between(splits, alert.units_at, now))
        # What is not changed goes on in today's units, as what is.
        alert.threshold, alert.hysteresis, alert.units_at = rule.threshold, rule.hysteresis, now
        for name, value in serializer.validated_data.items():
            setattr(alert, name, value)
        return self._armed(alert, now)

    @extend_schema(summary="Arm a price alert anew, also one that has fired for good", request=None)
    @action(detail=True, methods=["post"])
    @transaction.atomic
    def rearm(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._armed(self._locked(), datetime.now(UTC))

    def _locked(self) -> PriceAlert:
        """The alert, which no price feed changes meanwhile."""
        alerts = PriceAlert.objects.visible_to(user_of(self.request)).select_related("asset")
        return get_object_or_404(alerts.select_for_update(of=("self",)), pk=self.kwargs["pk"])

    def _armed(self, alert: PriceAlert, now: datetime) -> Response:
        alert.arm(now)
        alert.save()
        note_change(alert.asset_id)
        return Response(self.get_serializer(alert).data)

    def perform_destroy(self, instance: PriceAlert) -> None:
        asset_id = instance.asset_id
        instance.delete()
        note_change(asset_id)


@extend_schema_view(get=extend_schema(summary="The firings of a price alert, newest first"))
class AlertFiringList(generics.ListAPIView[AlertFiring]):
    serializer_class = FiringSerializer
    queryset = AlertFiring.objects.none()

    def get_queryset(self) -> "QuerySet[AlertFiring]":
        alerts = PriceAlert.objects.visible_to(user_of(self.request))
        return _firings().filter(alert=get_object_or_404(alerts, pk=self.kwargs["pk"]))


@extend_schema_view(
    get=extend_schema(
        operation_id="api_firings_list", summary="The firings of all your price alerts, newest first"
    )
)
class FiringList(generics.ListAPIView[AlertFiring]):
    serializer_class = FiringSerializer
    queryset = AlertFiring.objects.none()

    def get_queryset(self) -> "QuerySet[AlertFiring]":
        return _firings().filter(alert__user=user_of(self.request))


# --- the webhook -----------------------------------------------------------------------------------------------------


class WebhookSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=500, help_text="Empty where there is none.")
    created_at = Moment(read_only=True, allow_null=True)

    def validate_url(self, url: str) -> str:
        try:
            check_url(url, allow_private=settings.ALERT_WEBHOOK_ALLOW_PRIVATE)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        return url


class NewWebhookSerializer(WebhookSerializer):
    secret = serializers.CharField(
        read_only=True, help_text="Signs what is posted. Shown this once and never again."
    )


class Webhook(APIView):
    """Where your firings are posted, signed; one address a user."""

    @extend_schema(summary="Your webhook, without its secret", responses=WebhookSerializer)
    def get(self, request: Request) -> Response:
        endpoint = WebhookEndpoint.objects.filter(user=user_of(request)).first()
        return Response(WebhookSerializer(endpoint or {"url": "", "created_at": None}).data)

    @extend_schema(
        summary="Set your webhook's address and make a new secret",
        request=WebhookSerializer,
        responses=NewWebhookSerializer,
    )
    def put(self, request: Request) -> Response:
        serializer = WebhookSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = {"url": serializer.validated_data["url"], "nonce": new_nonce()}
        endpoint, _ = WebhookEndpoint.objects.update_or_create(user=user_of(request), defaults=values)
        return Response({**WebhookSerializer(endpoint).data, "secret": secret_of(endpoint)})

    @extend_schema(summary="Post your firings nowhere any more", responses={204: None})
    def delete(self, request: Request) -> Response:
        WebhookEndpoint.objects.filter(user=user_of(request)).delete()
        return Response(status=204)
