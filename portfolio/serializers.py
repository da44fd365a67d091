"""The shapes of portfolios, their transactions and valuations in REST."""

from datetime import UTC
from decimal import Decimal, localcontext
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError as ModelError
from django.db import transaction
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from assets.fields import validate_currency
from assets.serializers import ExactDecimal, KnownSymbol, Moment
from portfolio.booking import change_currency, moment_of_date, value_in_base
from portfolio.columns import NEEDED, VALUED
from portfolio.ledger import EXACT, ONE, LedgerError
from portfolio.models import LotMethod, Portfolio, WatchlistItem, validate_time_zone
from portfolio.transaction import Transaction, rebuild

MOST_LOTS = 1000


def owner(request: Request) -> User:
    return cast(User, request.user)


class PortfolioSerializer(serializers.ModelSerializer[Portfolio]):
    currency = serializers.CharField(max_length=10, validators=[validate_currency], default="USD")

    lot_method = serializers.ChoiceField(choices=LotMethod.choices, default=LotMethod.FIFO)
    time_zone = serializers.CharField(max_length=64, default="UTC", validators=[validate_time_zone])

    class Meta:
        model = Portfolio
        fields = ["id", "name", "currency", "lot_method", "time_zone", "short_sales", "created_at"]

    def validate_name(self, name: str) -> str:
        same = Portfolio.objects.visible_to(owner(self.context["request"])).filter(name=name)
        if self.instance:
            same = same.exclude(pk=self.instance.pk)
        if same.exists():
            raise serializers.ValidationError(f"you have a portfolio '{name}' already")
        return name

    def update(self, instance: Portfolio, validated_data: dict[str, Any]) -> Portfolio:
        currency = validated_data.pop("currency", instance.currency)
        with transaction.atomic():
            portfolio = super().update(instance, validated_data)
            if currency != portfolio.currency:
                try:
                    change_currency(portfolio, currency)
                except ModelError as error:
                    raise serializers.ValidationError(under_public_names(error)) from error
                portfolio.refresh_from_db()
            elif {"lot_method", "short_sales"} & validated_data.keys():
                _rebuilt(portfolio)
        return portfolio


def _rebuilt(portfolio: Portfolio) -> None:
    """Rules that the rows already booked would break are refused."""
    try:
        rebuild({portfolio.pk})
    except LedgerError as error:
        raise serializers.ValidationError({error.field or "detail": [str(error)]}) from error


class UnpricedSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    reason = serializers.CharField()


class ExplainSerializer(serializers.Serializer[Any]):
    """What made the day's change; with `rounding` the parts are its sum."""

    price = ExactDecimal()
    currency = ExactDecimal()
    trades = ExactDecimal()
    income = ExactDecimal()
    fees = ExactDecimal()
    rounding = ExactDecimal()


class PositionSerializer(serializers.Serializer[Any]):
    """A holding at its last price and rate; null where something cannot be known.

    In the portfolio's currency but for price, previous_close, average_cost, cost and realized, which are in the
    asset's.
    """

    symbol = serializers.CharField()
    name = serializers.CharField()
    currency = serializers.CharField()
    quantity = ExactDecimal()
    price = ExactDecimal(allow_null=True)
    rate = ExactDecimal(allow_null=True)
    value = ExactDecimal(allow_null=True)
    average_cost = ExactDecimal(allow_null=True)
    cost = ExactDecimal()
    cost_base = ExactDecimal()
    daily_change = ExactDecimal(allow_null=True)
    daily_change_percent = ExactDecimal(allow_null=True)
    explain = ExplainSerializer(allow_null=True)
    unrealized = ExactDecimal(allow_null=True)
    unrealized_price = ExactDecimal(allow_null=True)
    unrealized_currency = ExactDecimal(allow_null=True)
    unrealized_percent = ExactDecimal(allow_null=True)
    realized = ExactDecimal()
    realized_base = ExactDecimal()
    income = ExactDecimal()
    fees = ExactDecimal()
    previous_close = ExactDecimal(allow_null=True)
    weight_percent = ExactDecimal(allow_null=True)
    as_of = Moment(allow_null=True)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # DRF keeps fields apart
    session = serializers.CharField(allow_null=True)
    stale = serializers.BooleanField(allow_null=True)
    reason = serializers.CharField(allow_null=True)
    baseline_at = Moment()


class CashPositionSerializer(serializers.Serializer[Any]):
    """Cash in one currency, or what is to be paid in it; `amount` is in that currency."""

    currency = serializers.CharField()
    amount = ExactDecimal()
    rate = ExactDecimal(allow_null=True)
    value = ExactDecimal(allow_null=True)
    daily_change = ExactDecimal(allow_null=True)
    explain = ExplainSerializer(allow_null=True)
    baseline_at = Moment()
    receivable = serializers.BooleanField()


class ValuationSerializer(serializers.Serializer[Any]):
    """Describes `portfolio_update.data`; the valuation writes it itself."""

    portfolio_id = serializers.IntegerField()
    name = serializers.CharField()
    currency = serializers.CharField()
    total_value = ExactDecimal()
    daily_change = ExactDecimal()
    daily_change_percent = ExactDecimal(allow_null=True)
    explain = ExplainSerializer()
    cash = ExactDecimal()
    invested = ExactDecimal()
    unrealized = ExactDecimal()
    realized = ExactDecimal()
    income = ExactDecimal()
    fees = ExactDecimal()
    taxes = ExactDecimal()
    cash_fx = ExactDecimal()
    realized_today = ExactDecimal()
    income_today = ExactDecimal()
    external_flows = ExactDecimal()
    coverage = ExactDecimal()
    unpriced = UnpricedSerializer(many=True)
    unexplained = serializers.ListField(child=serializers.CharField())
    oldest_price_at = Moment(allow_null=True)
    baseline_at = Moment()
    valued_at = Moment()
    ledger_row = serializers.IntegerField(allow_null=True)
    receipt = serializers.CharField(allow_null=True)
    positions = PositionSerializer(many=True)
    cash_positions = CashPositionSerializer(many=True)
    complete = serializers.BooleanField()


@extend_schema_field({"type": "array", "items": {"type": "object"}})
class ChosenLots(serializers.Field[list[list[Any]], Any, Any, Any]):
    """`[{"row": id of the row that opened the lot, "quantity": number}, …]`"""

    def to_internal_value(self, data: Any) -> list[list[Any]]:
        if not isinstance(data, list) or not 0 < len(data) <= MOST_LOTS:
            raise serializers.ValidationError(f"expected a list of 1 to {MOST_LOTS} lots")
        chosen, read = [], ExactDecimal()
        for lot in data:
            if not isinstance(lot, dict) or set(lot) != {"row", "quantity"} or type(lot["row"]) is not int:
                raise serializers.ValidationError('expected {"row": id of the buy, "quantity": number}')
            chosen.append([lot["row"], f"{read.to_internal_value(lot['quantity']):f}"])
        return chosen

    def to_representation(self, value: list[list[Any]]) -> list[dict[str, Any]]:
        return [{"row": row, "quantity": Decimal(quantity)} for row, quantity in value]


class TransactionSerializer(serializers.ModelSerializer[Transaction]):
    """A row of the ledger; which fields a type has is told in docs/numbers.md.

    A deposit or withdrawal has an amount, which may also be called its quantity. A time may be a date: then it is
    the open of the asset's session of that date. Rows are never edited: a reversal takes one back.
    """

    symbol = KnownSymbol(source="asset", required=False, allow_null=True)
    other_symbol = KnownSymbol(source="other_asset", required=False, allow_null=True)
    quantity = ExactDecimal(required=False, allow_null=True)
    price = ExactDecimal(required=False, allow_null=True)
    amount = ExactDecimal(required=False, allow_null=True)
    currency = serializers.CharField(max_length=10, required=False, validators=[validate_currency])
    fee = ExactDecimal(required=False)
    fee_rate = ExactDecimal(required=False, allow_null=True)
    tax = ExactDecimal(required=False, allow_null=True)
    rate = ExactDecimal(required=False, allow_null=True)
    base_value = ExactDecimal(read_only=True)
    settlement_rate = ExactDecimal(required=False, allow_null=True)
    to_amount = ExactDecimal(required=False, allow_null=True)
    cost_share = ExactDecimal(required=False, allow_null=True)
    cost = ExactDecimal(required=False, allow_null=True)
    base_cost = ExactDecimal(required=False, allow_null=True)
    time = Moment(required=False)
    pay_time = Moment(required=False, allow_null=True)
    opened = Moment(required=False, allow_null=True)
    lots = ChosenLots(required=False, allow_null=True)
    reversed_by = serializers.SerializerMethodField()

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
            "date_only",
            "tax",
            "rate",
            "base_value",
            "fee_currency",
            "fee_rate",
            "settlement_currency",
            "settlement_rate",
            "to_currency",
            "to_amount",
            "pay_time",
            "numerator",
            "denominator",
            "other_symbol",
            "cost_share",
            "cost",
            "base_cost",
            "opened",
            "lots",
            "option_right",
            "trade_id",
            "note",
            "reverses",
            "reversed_by",
            "created_at",
        ]
        read_only_fields = ["date_only", "reverses"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["type"] == "reversal":
            raise serializers.ValidationError({"type": ["expected DELETE of the row that is to be reversed"]})
        if attrs["type"] in AMOUNTS:
            attrs = _as_cash(attrs)
        portfolio: Portfolio = self.context["portfolio"]
        row = Transaction(portfolio=portfolio, **attrs)
        given = self.initial_data.get("time") if isinstance(self.initial_data, dict) else None
        if isinstance(given, str) and len(given) == len("2026-11-20"):
            row.date_only = True
            row.time = moment_of_date(row.asset, portfolio, row.time).astimezone(UTC)
        try:
            row.full_clean(exclude=["currency"] if not row.currency else None)
        except ModelError as error:
            raise serializers.ValidationError(under_public_names(error)) from error
        self.checked = row
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Transaction:
        self.checked.save()
        return self.checked

    def get_reversed_by(self, row: Transaction) -> int | None:
        reversal = getattr(row, "reversal", None)
        return None if reversal is None else reversal.pk

    def to_representation(self, instance: Transaction) -> dict[str, Any]:
        shown = super().to_representation(instance)
        if shown["base_value"] is None and instance.type in VALUED:
            # Not every value fits into the column; the ledger works these out anew, too.
            with localcontext(EXACT):
                shown["base_value"] = value_in_base(instance, instance.portfolio.currency)
        if instance.type in ("deposit", "withdrawal"):
            shown["quantity"] = shown["amount"]
        return shown


# Kinds of which the amount may be called a quantity.
AMOUNTS = tuple(kind for kind, needed in NEEDED.items() if needed == ("amount",))


def _as_cash(attrs: dict[str, Any]) -> dict[str, Any]:
    attrs = dict(attrs)
    quantity = attrs.pop("quantity", None)
    if attrs.get("price") == ONE:  # a unit of money costs one
        del attrs["price"]
    amount = attrs.get("amount")
    if amount is not None and quantity is not None and amount != quantity:
        raise serializers.ValidationError({"amount": f"expected the quantity {quantity:f}, was {amount:f}"})
    return {**attrs, "amount": quantity if amount is None else amount}


def under_public_names(error: ModelError) -> dict[str, Any]:
    """Returns the messages by the names that REST and forms use."""
    if not hasattr(error, "error_dict"):
        return {"detail": error.messages}
    names = {"asset": "symbol", "other_asset": "other_symbol", "__all__": "detail"}
    return {names.get(name, name): messages for name, messages in error.message_dict.items()}


class WatchlistSerializer(serializers.ModelSerializer[WatchlistItem]):
    symbol = KnownSymbol(source="asset")
    name = serializers.CharField(source="asset.name", read_only=True)
    currency = serializers.CharField(source="asset.currency", read_only=True)

    class Meta:
        model = WatchlistItem
        fields = ["id", "symbol", "name", "currency", "position"]
        read_only_fields = ["position"]
