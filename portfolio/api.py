"""REST of portfolios, their transactions and positions, and the watchlist: each user's own and nobody else's.

A foreign row and a missing one get the same 404.
"""

from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError as ModelError
from django.db import transaction
from django.db.models import Max, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import generics, mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from assets.fields import validate_currency
from assets.serializers import ExactDecimal, KnownSymbol, Moment
from portfolio.ledger import CASH_KINDS, ONE, LedgerError
from portfolio.models import Portfolio, Transaction, WatchlistItem
from portfolio.prices import price_points
from portfolio.valuation import value


def valued(portfolio: Portfolio) -> dict[str, Any]:
    """Returns the valuation at the last prices, exactly as `portfolio_update` carries it."""
    holdings = portfolio.holdings()
    return value(holdings, price_points(holdings.symbols)).as_wire()


def owner(request: Request) -> User:
    return cast(User, request.user)


def own_portfolio(request: Request, portfolio_id: int, *, lock: bool = False) -> Portfolio:
    portfolios = Portfolio.objects.visible_to(owner(request))
    return get_object_or_404(portfolios.locked() if lock else portfolios, pk=portfolio_id)


class PortfolioSerializer(serializers.ModelSerializer[Portfolio]):
    currency = serializers.CharField(max_length=10, validators=[validate_currency], default="USD")

    class Meta:
        model = Portfolio
        fields = ["id", "name", "currency", "created_at"]

    def validate_name(self, name: str) -> str:
        same = Portfolio.objects.visible_to(owner(self.context["request"])).filter(name=name)
        if self.instance:
            same = same.exclude(pk=self.instance.pk)
        if same.exists():
            raise serializers.ValidationError(f"you have a portfolio '{name}' already")
        return name

    def validate_currency(self, currency: str) -> str:
        if self.instance and currency != self.instance.currency:
            raise serializers.ValidationError("a portfolio's currency cannot be changed")
        return currency


class UnpricedSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    reason = serializers.CharField()


class PositionSerializer(serializers.Serializer[Any]):
    """A holding at its last price; null where something cannot be known."""

    symbol = serializers.CharField()
    name = serializers.CharField()
    currency = serializers.CharField()
    quantity = ExactDecimal()
    price = ExactDecimal(allow_null=True)
    value = ExactDecimal(allow_null=True)
    average_cost = ExactDecimal(allow_null=True)
    cost = ExactDecimal()
    daily_change = ExactDecimal(allow_null=True)
    daily_change_percent = ExactDecimal(allow_null=True)
    unrealized = ExactDecimal(allow_null=True)
    unrealized_percent = ExactDecimal(allow_null=True)
    realized = ExactDecimal()
    weight_percent = ExactDecimal(allow_null=True)
    as_of = Moment(allow_null=True)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # DRF keeps fields apart
    session = serializers.CharField(allow_null=True)
    stale = serializers.BooleanField(allow_null=True)
    baseline_at = Moment()


class ValuationSerializer(serializers.Serializer[Any]):
    """Describes `portfolio_update.data`; the valuation writes it itself."""

    portfolio_id = serializers.IntegerField()
    name = serializers.CharField()
    currency = serializers.CharField()
    total_value = ExactDecimal()
    daily_change = ExactDecimal()
    daily_change_percent = ExactDecimal(allow_null=True)
    cash = ExactDecimal()
    invested = ExactDecimal()
    unrealized = ExactDecimal()
    realized = ExactDecimal()
    income = ExactDecimal()
    coverage = ExactDecimal()
    unpriced = UnpricedSerializer(many=True)
    unexplained = serializers.ListField(child=serializers.CharField())
    oldest_price_at = Moment(allow_null=True)
    baseline_at = Moment()
    positions = PositionSerializer(many=True)
    complete = serializers.BooleanField()


class PortfolioDetailSerializer(PortfolioSerializer):
    valuation = serializers.SerializerMethodField()

    class Meta(PortfolioSerializer.Meta):
        fields = [*PortfolioSerializer.Meta.fields, "valuation"]

    @extend_schema_field(ValuationSerializer)
    def get_valuation(self, portfolio: Portfolio) -> dict[str, Any]:
        return valued(portfolio)


@extend_schema_view(
    list=extend_schema(summary="Your portfolios"),
    create=extend_schema(summary="Open a portfolio"),
    retrieve=extend_schema(summary="A portfolio with its valuation", responses=PortfolioDetailSerializer),
    partial_update=extend_schema(summary="Rename a portfolio"),
    destroy=extend_schema(summary="Delete a portfolio and all that is in it"),
)
class PortfolioViewSet(viewsets.ModelViewSet[Portfolio]):
    queryset = Portfolio.objects.none()
    lookup_value_regex = "[0-9]{1,18}"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_queryset(self) -> "QuerySet[Portfolio]":
        return Portfolio.objects.visible_to(owner(self.request))

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Portfolio]]:
        return PortfolioDetailSerializer if self.action == "retrieve" else PortfolioSerializer

    def perform_create(self, serializer: serializers.BaseSerializer[Portfolio]) -> None:
        serializer.save(user=owner(self.request))


@extend_schema_view(get=extend_schema(summary="The positions of a portfolio's valuation"))
class PositionList(generics.GenericAPIView[Any]):
    serializer_class = PositionSerializer
    queryset = Portfolio.objects.none()

    def get(self, request: Request, portfolio_id: str) -> Response:
        positions = valued(own_portfolio(request, int(portfolio_id)))["positions"]
        return self.get_paginated_response(self.paginate_queryset(positions))


class TransactionSerializer(serializers.ModelSerializer[Transaction]):
    """A row of the ledger. A deposit or withdrawal has an amount, which may also be called its quantity."""

    symbol = KnownSymbol(source="asset", required=False, allow_null=True)
    quantity = ExactDecimal(required=False, allow_null=True)
    price = ExactDecimal(required=False, allow_null=True)
    amount = ExactDecimal(required=False, allow_null=True)
    fee = ExactDecimal(required=False)
    currency = serializers.CharField(max_length=10, required=False, validators=[validate_currency])
    time = Moment(required=False)

    class Meta:
        model = Transaction
        fields = [
            "id",
            "type",
            "symbol",
            "quantity",
            "price",
            "fee",
            "amount",
            "currency",
            "time",
            "created_at",
        ]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["type"] in CASH_KINDS:
            attrs = _as_cash(attrs)
        row = Transaction(portfolio=self.context["portfolio"], **attrs)
        try:
            row.full_clean(exclude=["currency"] if not row.currency else None)
        except ModelError as error:
            raise serializers.ValidationError(_under_public_names(error)) from error
        return {**attrs, "currency": row.currency}

    def to_representation(self, instance: Transaction) -> dict[str, Any]:
        shown = super().to_representation(instance)
        return {**shown, "quantity": shown["amount"]} if instance.is_cash else shown


def _as_cash(attrs: dict[str, Any]) -> dict[str, Any]:
    attrs = dict(attrs)
    quantity = attrs.pop("quantity", None)
    if attrs.get("price") == ONE:  # a unit of money costs one
        del attrs["price"]
    amount = attrs.get("amount")
    if amount is not None and quantity is not None and amount != quantity:
        raise serializers.ValidationError({"amount": f"expected the quantity {quantity:f}, was {amount:f}"})
    return {**attrs, "amount": quantity if amount is None else amount}


def _under_public_names(error: ModelError) -> dict[str, Any]:
    if not hasattr(error, "error_dict"):
        return {"detail": error.messages}
    names = {"asset": "symbol", "__all__": "detail"}
    return {names.get(name, name): messages for name, messages in error.message_dict.items()}


@extend_schema_view(
    get=extend_schema(summary="A portfolio's transactions, newest first"),
    post=extend_schema(summary="Book a transaction"),
)
class TransactionList(generics.ListCreateAPIView[Transaction]):
    serializer_class = TransactionSerializer
    queryset = Transaction.objects.none()

    def get_queryset(self) -> "QuerySet[Transaction]":
        portfolio = own_portfolio(self.request, int(self.kwargs["portfolio_id"]))
        return portfolio.transactions.select_related("asset").order_by("-time", "-row_order", "-id")

    @transaction.atomic
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        # The lock comes first: what the row is checked against must still hold when it is stored.
        portfolio = own_portfolio(request, int(self.kwargs["portfolio_id"]), lock=True)
        context = {**self.get_serializer_context(), "portfolio": portfolio}
        serializer = TransactionSerializer(data=request.data, context=context)
        serializer.is_valid(raise_exception=True)
        serializer.save(portfolio=portfolio)
        return Response(serializer.data, status=201)


@extend_schema_view(
    get=extend_schema(summary="One transaction"),
    delete=extend_schema(summary="Take a transaction back, unless a later sale needs it"),
)
class TransactionDetail(generics.RetrieveDestroyAPIView[Transaction]):
    serializer_class = TransactionSerializer
    queryset = Transaction.objects.none()

    def get_object(self) -> Transaction:
        rows = Transaction.objects.filter(portfolio__in=Portfolio.objects.visible_to(owner(self.request)))
        row: Transaction = get_object_or_404(
            rows.select_related("asset"), portfolio_id=self.kwargs["portfolio_id"], pk=self.kwargs["pk"]
        )
        return row

    def perform_destroy(self, instance: Transaction) -> None:
        try:
            instance.delete()
        except LedgerError as error:
            raise serializers.ValidationError({"detail": f"without this row: {error}"}) from error


class WatchlistSerializer(serializers.ModelSerializer[WatchlistItem]):
    symbol = KnownSymbol(source="asset")
    name = serializers.CharField(source="asset.name", read_only=True)
    currency = serializers.CharField(source="asset.currency", read_only=True)

    class Meta:
        model = WatchlistItem
        fields = ["id", "symbol", "name", "currency", "position"]
        read_only_fields = ["position"]


@extend_schema_view(
    list=extend_schema(summary="Your watchlist, in your order"),
    create=extend_schema(summary="Watch an asset; 200 when you do already"),
    destroy=extend_schema(summary="Watch an asset no longer"),
)
class WatchlistViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[WatchlistItem],
):
    serializer_class = WatchlistSerializer
    queryset = WatchlistItem.objects.none()
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> "QuerySet[WatchlistItem]":
        return WatchlistItem.objects.visible_to(owner(self.request)).select_related("asset")

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asset = serializer.validated_data["asset"]
        last = self.get_queryset().aggregate(last=Max("position"))["last"]
        item, created = WatchlistItem.objects.get_or_create(
            user=owner(request), asset=asset, defaults={"position": 0 if last is None else last + 1}
        )
        return Response(self.get_serializer(item).data, status=201 if created else 200)
