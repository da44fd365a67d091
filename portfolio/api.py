"""REST of portfolios, their transactions and positions, and the watchlist: each user's own and nobody else's.

A foreign row and a missing one get the same 404.
"""

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.db import transaction
from django.db.models import Max, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import generics, mixins, serializers, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from portfolio.booking import reverse
from portfolio.models import Portfolio, WatchlistItem
from portfolio.receipts import ReceiptError
from portfolio.serializers import (
    PortfolioSerializer,
    PositionSerializer,
    TransactionSerializer,
    ValuationSerializer,
    WatchlistSerializer,
    owner,
    under_public_names,
)
from portfolio.transaction import Transaction
from portfolio.valuation import Valuation
from portfolio.valued import of_receipt, with_receipt


def valued(portfolio: Portfolio, receipt: str | None = None) -> dict[str, Any]:
    """Returns the valuation at the last prices, or a receipt's, exactly as `portfolio_update` carries it."""
    valuation, id = valuation_of(portfolio, receipt)
    return valuation.as_wire(receipt=id)


def valuation_of(portfolio: Portfolio, receipt: str | None = None) -> tuple[Valuation, str]:
    """Returns the valuation at the last prices, or a receipt's, with its receipt's id."""
    if receipt is None:
        return with_receipt(portfolio)
    try:
        return of_receipt(portfolio, receipt)[0], receipt
    except ReceiptError as error:
        raise NotFound(str(error)) from error


def own_portfolio(request: Request, portfolio_id: int, *, lock: bool = False) -> Portfolio:
    portfolios = Portfolio.objects.visible_to(owner(request))
    return get_object_or_404(portfolios.locked() if lock else portfolios, pk=portfolio_id)


class PortfolioDetailSerializer(PortfolioSerializer):
    valuation = serializers.SerializerMethodField()

    class Meta(PortfolioSerializer.Meta):
        fields = [*PortfolioSerializer.Meta.fields, "valuation"]

    @extend_schema_field(ValuationSerializer)
    def get_valuation(self, portfolio: Portfolio) -> dict[str, Any]:
        return valued(portfolio, self.context["request"].query_params.get("receipt"))


@extend_schema_view(
    list=extend_schema(summary="Your portfolios"),
    create=extend_schema(summary="Open a portfolio"),
    retrieve=extend_schema(
        summary="A portfolio with its valuation",
        responses=PortfolioDetailSerializer,
        parameters=[OpenApiParameter("receipt", str, description="Compute this receipt's valuation again")],
    ),
    partial_update=extend_schema(summary="Change a portfolio's name, currency or rules"),
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
        receipt = request.query_params.get("receipt")
        positions = valued(own_portfolio(request, int(portfolio_id)), receipt)["positions"]
        return self.get_paginated_response(self.paginate_queryset(positions))


@extend_schema_view(
    get=extend_schema(
        summary="A portfolio's transactions, newest first",
        parameters=[OpenApiParameter("reversed", str, enum=["0"], description="0 leaves out reversed pairs")],
    ),
    post=extend_schema(summary="Book a transaction"),
)
class TransactionList(generics.ListCreateAPIView[Transaction]):
    serializer_class = TransactionSerializer
    queryset = Transaction.objects.none()

    def get_queryset(self) -> "QuerySet[Transaction]":
        portfolio = own_portfolio(self.request, int(self.kwargs["portfolio_id"]))
        rows = portfolio.transactions.with_assets().select_related("reversal")
        if self.request.query_params.get("reversed") == "0":
            rows = rows.filter(reverses=None, reversal=None)
        return rows.order_by("-time", "-row_order", "-id")

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
    delete=extend_schema(
        summary="Take a transaction back by a reversal, unless a later sale needs it",
        description="The row stays and says `reversed_by`; every number is as if it had never been.",
    ),
)
class TransactionDetail(generics.RetrieveDestroyAPIView[Transaction]):
    serializer_class = TransactionSerializer
    queryset = Transaction.objects.none()

    def get_object(self) -> Transaction:
        rows = Transaction.objects.filter(portfolio__in=Portfolio.objects.visible_to(owner(self.request)))
        row: Transaction = get_object_or_404(
            rows.with_assets().select_related("reversal"),
            portfolio_id=self.kwargs["portfolio_id"],
            pk=self.kwargs["pk"],
        )
        return row

    def perform_destroy(self, instance: Transaction) -> None:
        try:
            reverse(instance)
        except ModelError as error:
            problems = under_public_names(error)
            messages = [text for texts in problems.values() for text in texts]
            raise serializers.ValidationError(
                {"detail": f"without this row: {' '.join(messages)}"}
            ) from error


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
