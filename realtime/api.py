"""REST of access tokens, of prices set by hand, which move dashboards, and of updates asked of the price feed."""

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import msgspec
import redis
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view, inline_serializer
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import APIException, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from assets.api import find_asset, last_quotes
from assets.calendars import calendar_named
from assets.models import Asset, PriceBar
from assets.redistribution import EVERYTHING, is_owner, viewer_like
from assets.serializers import ExactDecimal, Moment
from assets.snapshots import connection
from assets.stored_prices import stored_prices
from portfolio.booking import CLOCK_TOLERANCE
from realtime.alerts.by_hand import take_price
from realtime.bus import account_key, is_live, read_feeds_sync
from realtime.catalog import stored_record
from realtime.jobs import JobState, read_job, request_update
from realtime.manual_price import publish_manual_price
from realtime.models import SCOPES, AccessToken
from realtime.tokens import new_token

log = logging.getLogger("personal_finance.realtime.api")

MANUAL = "manual"
MAX_FORCED_SYMBOLS = 1000


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "realtime.authentication.BearerAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


# --- access tokens ---------------------------------------------------------------------------------------


class TokenSerializer(serializers.ModelSerializer[AccessToken]):
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=SCOPES), allow_empty=False, required=False
    )
    expires_at = Moment(required=False, allow_null=True)

    class Meta:
        model = AccessToken
        fields = ["id", "name", "prefix", "scopes", "created_at", "last_used_at", "expires_at"]
        read_only_fields = ["prefix", "last_used_at"]

    def validate_scopes(self, scopes: list[str]) -> list[str]:
        return [scope for scope in SCOPES if scope in scopes]

    def validate_expires_at(self, expires_at: datetime | None) -> datetime | None:
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise serializers.ValidationError("expected a time in the future")
        return expires_at

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A token cannot make one that may do more or lives longer than itself."""
        maker = self.context["request"].auth
        if not isinstance(maker, AccessToken):
            return attrs
        scopes = attrs.setdefault("scopes", maker.scopes)
        if not set(scopes) <= set(maker.scopes):
            raise serializers.ValidationError({"scopes": f"expected at most {', '.join(maker.scopes)}"})
        expires_at = attrs.setdefault("expires_at", maker.expires_at)
        if maker.expires_at and (expires_at is None or expires_at > maker.expires_at):
            raise serializers.ValidationError({"expires_at": "expected no later than your own token's"})
        return attrs


class NewTokenSerializer(TokenSerializer):
    token = serializers.CharField(read_only=True, help_text="Shown this once and never again.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]


@extend_schema_view(
    list=extend_schema(summary="Your access tokens, without their secrets"),
    create=extend_schema(
        summary="Make an access token",
        request=TokenSerializer,
        responses={201: NewTokenSerializer},
    ),
    destroy=extend_schema(summary="Revoke an access token"),
)
class TokenViewSet(mixins.ListModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[AccessToken]):
    serializer_class = TokenSerializer
    queryset = AccessToken.objects.none()
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> "QuerySet[AccessToken]":
        return AccessToken.objects.filter(user=cast(User, self.request.user)).order_by("-created_at", "-id")

    def create(self, request: Request) -> Response:
        serializer = TokenSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        text, digest = new_token()
        user = cast(User, request.user)
        token = serializer.save(user=user, digest=digest, prefix=text[:10])
        return Response({**TokenSerializer(token).data, "token": text}, status=201)


# --- prices by hand --------------------------------------------------------------------------------------


class PriceSerializer(serializers.Serializer[Any]):
    price = ExactDecimal()
    time = Moment(required=False)

    def validate_price(self, price: Decimal) -> Decimal:
        if price <= 0 and not self.context["asset"].may_be_negative:
            raise serializers.ValidationError(f"expected more than 0, was {price:f}")
        return price

    def validate_time(self, time: datetime) -> datetime:
        if time > datetime.now(UTC) + CLOCK_TOLERANCE:
            raise serializers.ValidationError("expected a time that is not in the future")
        return time


class PriceSetSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    price = ExactDecimal()
    as_of = Moment()
    current = serializers.BooleanField(help_text="False: older than the current price, kept as history only.")


class PriceByHand(APIView):
    """Sets the price of a fund or an unlisted thing; it moves dashboards like any tick."""

    @extend_schema(
        summary="Set a price by hand", request=PriceSerializer, responses={201: PriceSetSerializer}
    )
    def post(self, request: Request, symbol: str) -> Response:
        asset = find_asset(symbol)
        if not request.user.is_staff and asset.feed_symbols.exists():
            raise PermissionDenied(f"{asset.symbol} is priced by a feed: only staff may set its price")
        serializer = PriceSerializer(data=request.data, context={"asset": asset})
        serializer.is_valid(raise_exception=True)
        price = serializer.validated_data["price"]
        as_of = serializer.validated_data.get("time") or datetime.now(UTC)
        current = set_price(asset, price, as_of)
        return Response(
            {"symbol": asset.symbol, "price": price, "as_of": as_of, "current": current}, status=201
        )


@transaction.atomic
def set_price(asset: Asset, price: Decimal, as_of: datetime) -> bool:
    """Stores a price and, unless a newer one is known, makes it the current one and sends it out.

    Sent under the asset's lock, so that of two prices set at once the newer one is also the last sent.
    """
    asset = Asset.objects.select_for_update().get(pk=asset.pk)
    _store_close(asset, price, as_of)
    newest = _last_as_of(asset)
    if newest is not None and as_of < newest:
        return False
    take_price(asset, price, as_of, datetime.now(UTC))
    Asset.objects.filter(pk=asset.pk).update(
        current_price=price, price_as_of=as_of, price_source=MANUAL, last_updated=datetime.now(UTC)
    )
    _send(asset)
    return True


def _last_as_of(asset: Asset) -> datetime | None:
    record = last_quotes([asset.symbol], EVERYTHING).get(asset.symbol)
    known = [asset.price_as_of, datetime.fromisoformat(record["as_of"]) if record else None]
    return max((moment for moment in known if moment is not None), default=None)


def _store_close(asset: Asset, price: Decimal, as_of: datetime) -> None:
    bar, created = PriceBar.objects.get_or_create(
        asset=asset,
        interval=PriceBar.Interval.DAY,
        start=calendar_named(asset.calendar).session_at(as_of).open,
        defaults={"open": price, "high": price, "low": price, "close": price, "source": MANUAL},
    )
    if not created:
        bar.high, bar.low, bar.close = max(bar.high, price), min(bar.low, price), price
        bar.save(update_fields=["high", "low", "close"])


def _send(asset: Asset) -> None:
    asset.refresh_from_db()
    record = stored_record(asset, stored_prices([asset], datetime.now(UTC), viewer_like(MANUAL))[asset.pk])
    assert record is not None  # it has just been stored
    try:
        publish_manual_price(record)
    except redis.RedisError as error:
        # It is stored, and the last values are written from the database when Redis is back.
        log.warning("manual price not sent", extra={"symbol": asset.symbol, "error": str(error)})


# --- the account behind a source's key --------------------------------------------------------------------


ACCOUNT_EVENT: dict[str, Any] = {
    "source": serializers.CharField(),
    "kind": serializers.CharField(),
    "key": serializers.CharField(),
    "as_of": Moment(),
    "symbol": serializers.CharField(allow_null=True),
    "details": serializers.DictField(help_text="Under the source's own names; numbers are text."),
}


class AccountEventList(APIView):
    """The last hundred orders, fills, positions, balances and the like, newest first; nothing but to their owner."""

    @extend_schema(
        summary="What happened in the account behind a source's key",
        parameters=[OpenApiParameter("source", str, required=True)],
        responses=inline_serializer("AccountEvent", ACCOUNT_EVENT, many=True),
    )
    def get(self, request: Request) -> Response:
        source = request.query_params.get("source", "")
        if not source:
            raise serializers.ValidationError({"source": "expected the name of a source"})
        if not is_owner(request.user):
            return Response([])
        try:
            texts: Any = connection().lrange(account_key(source), 0, -1)
        except redis.RedisError as error:
            raise FeedUnreachable from error
        return Response([{"source": source, **msgspec.json.decode(text)} for text in texts])


# --- updates on demand -----------------------------------------------------------------------------------


class UpdateRequestSerializer(serializers.Serializer[Any]):
    symbols = serializers.ListField(
        child=serializers.CharField(max_length=64), allow_empty=False, max_length=MAX_FORCED_SYMBOLS
    )

    def validate_symbols(self, symbols: list[str]) -> list[str]:
        """Known symbols only: one that is not known refuses all."""
        wanted = list(dict.fromkeys(symbol.upper() for symbol in symbols))
        known = set(Asset.objects.filter(symbol__in=wanted).values_list("symbol", flat=True))
        unknown = [symbol for symbol in wanted if symbol not in known]
        if unknown:
            raise serializers.ValidationError(f"unknown symbols: {', '.join(unknown)}")
        return wanted


class UpdateJobSerializer(serializers.Serializer[Any]):
    job = serializers.CharField()
    status = serializers.ChoiceField(choices=["pending", "done"])
    status_url = serializers.CharField()
    requested_at = Moment()
    symbols = serializers.ListField(child=serializers.CharField())
    updated = serializers.ListField(child=serializers.CharField())
    failed = serializers.DictField(child=serializers.CharField(), help_text="Symbol to reason.")


class ForcePriceUpdate(APIView):
    """Asks the processes that lead the sources for fresh prices; a stream publishes its last values again."""

    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "force_price_update"

    @extend_schema(
        summary="Ask for fresh prices", request=UpdateRequestSerializer, responses={202: UpdateJobSerializer}
    )
    def post(self, request: Request) -> Response:
        serializer = UpdateRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            by_source = live_sources(serializer.validated_data["symbols"])
            job_id = request_update(by_source, cast(User, request.user).pk)
            job = read_job(job_id)
        except redis.RedisError as error:
            raise FeedUnreachable from error
        return Response(job_json(request, job_id, job), status=202)


class ForcePriceUpdateJob(APIView):
    """What became of a request for fresh prices; kept for an hour, for whoever asked."""

    @extend_schema(summary="See what became of it", responses=UpdateJobSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        try:
            job = read_job(job_id)
        except redis.RedisError as error:
            raise FeedUnreachable from error
        if job is None or job.user_id != cast(User, request.user).pk:
            raise NotFound
        return Response(job_json(request, job_id, job))


class FeedUnreachable(APIException):
    status_code = 503
    default_detail = "the price feed cannot be reached: Redis does not answer"


def live_sources(symbols: list[str]) -> dict[str, list[str]]:
    """Returns the symbols by their first live source; those without one are under the empty name."""
    feeds = read_feeds_sync()
    by_source: dict[str, list[str]] = {}
    for asset in Asset.objects.filter(symbol__in=symbols).prefetch_related("feed_symbols"):
        names = [feed.source for feed in asset.feed_symbols.all()]
        source = next((name for name in names if name in feeds and is_live(feeds[name])), "")
        by_source.setdefault(source, []).append(asset.symbol)
    return by_source


def job_json(request: Request, job_id: str, job: JobState | None) -> dict[str, Any]:
    assert job is not None
    updated = [symbol for result in job.results.values() for symbol in result["updated"]]
    failed = {
        symbol: reason for result in job.results.values() for symbol, reason in result["failed"].items()
    }
    failed |= dict.fromkeys(job.symbols.get("", []), "no running source")
    waiting = job.symbols.keys() - job.results.keys() - {""}
    return {
        "job": job_id,
        "status": "pending" if waiting else "done",
        "status_url": reverse("force-price-update-job", args=[job_id]),
        "requested_at": job.requested_at,
        "symbols": [symbol for symbols in job.symbols.values() for symbol in symbols],
        "updated": updated,
        "failed": failed,
    }
