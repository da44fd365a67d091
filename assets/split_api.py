"""REST of an asset's splits. Staff add one; every price from before it is then shown divided, nothing is rewritten."""

from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from assets.api import find_asset
from assets.models import Split, midnight_of
from assets.serializers import Moment

MOST_UNITS = 2_147_483_647
# An exchange says "before the open of"; a time further off is meant for another date.
NEAR = timedelta(days=1)


class SplitSerializer(serializers.ModelSerializer[Split]):
    """`numerator` new units for `denominator` old ones."""

    numerator = serializers.IntegerField(min_value=1, max_value=MOST_UNITS)
    denominator = serializers.IntegerField(min_value=1, max_value=MOST_UNITS, default=1)
    effective_at = Moment(
        required=False, help_text="Left out: 00:00 of the ex-date in the exchange's time zone."
    )

    class Meta:
        model = Split
        fields = ["id", "ex_date", "numerator", "denominator", "effective_at"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        asset, ex_date = self.context["asset"], attrs["ex_date"]
        if attrs["numerator"] == attrs["denominator"]:
            raise serializers.ValidationError(
                {"numerator": f"expected another number than {attrs['denominator']}"}
            )
        midnight = midnight_of(asset.calendar, ex_date)
        if abs(attrs.setdefault("effective_at", midnight) - midnight) > NEAR:
            raise serializers.ValidationError(
                {"effective_at": f"expected a time within a day of {midnight:%Y-%m-%dT%H:%M}Z"}
            )
        return attrs


@extend_schema_view(
    get=extend_schema(summary="An asset's splits, oldest first"),
    post=extend_schema(summary="Add a split; for staff"),
)
class SplitList(generics.ListCreateAPIView[Split]):
    serializer_class = SplitSerializer
    queryset = Split.objects.none()

    def get_queryset(self) -> "QuerySet[Split]":
        return Split.objects.filter(asset=find_asset(self.kwargs["symbol"])).order_by("ex_date")

    def get_serializer_context(self) -> dict[str, Any]:
        context = dict(super().get_serializer_context())
        if "symbol" in self.kwargs:  # the schema is made without one
            context["asset"] = find_asset(self.kwargs["symbol"])
        return context

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if request.method == "POST" and not request.user.is_staff:
            raise PermissionDenied("only staff may add a split, which divides everybody's prices")

    def perform_create(self, serializer: serializers.BaseSerializer[Split]) -> None:
        try:
            with transaction.atomic():
                serializer.save(asset=self.get_serializer_context()["asset"])
        except IntegrityError as error:
            raise serializers.ValidationError({"ex_date": ["has a split already"]}) from error
