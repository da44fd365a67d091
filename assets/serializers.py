"""The shapes of assets and bars in REST, and the fields that other apps' shapes are made of."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError as ModelError
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from assets.calendar_names import validate_calendar
from assets.exact import EXACT
from assets.fields import ExactDecimalField, validate_currency
from assets.hours import session_of_day
from assets.models import Asset, AssetClass, PriceBar, normal_symbol
from assets.rates import HUNDREDTH, MINOR_UNITS, ONE
from assets.sessions import AROUND_THE_CLOCK, FX_DAYS
from assets.splits import as_traded, ratio_between, restated
from assets.stored_prices import StoredPrice

_column = ExactDecimalField()


@extend_schema_field({"type": "number"})
class ExactDecimal(serializers.Field[Decimal, Any, Decimal, Any]):
    """A decimal in, the same decimal out; text is accepted for clients whose JSON has only doubles."""

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, int | Decimal | str):
            raise serializers.ValidationError(f"expected a decimal number, was {type(data).__name__}")
        try:
            number = _column.to_python(data.strip() if isinstance(data, str) else data)
        except ModelError as error:
            raise serializers.ValidationError(error.messages) from error
        if number is None:
            raise serializers.ValidationError("expected a decimal number, was ''")
        return number

    def to_representation(self, value: Decimal) -> Decimal:
        return value


@extend_schema_field({"type": "string", "format": "date-time"})
class Moment(serializers.Field[datetime, Any, datetime, Any]):
    """A time with or without its zone (then UTC), or a date (then its midnight UTC)."""

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or len(data) > 40:
            raise serializers.ValidationError("expected a time in ISO 8601, like 2026-11-20T15:04:05Z")
        return parse_moment(data)

    def to_representation(self, value: datetime) -> datetime:
        return value


def parse_moment(text: str) -> datetime:
    try:
        if len(text) == len("2026-11-20"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise serializers.ValidationError(
            f"expected a time in ISO 8601, like 2026-11-20T15:04:05Z, was '{text[:40]}'"
        ) from error


@extend_schema_field({"type": "string", "maxLength": 64})
class Symbol(serializers.Field[str, Any, str, Any]):
    """A well-formed symbol, upper-cased on the way in."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("expected text")
        try:
            return normal_symbol(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error

    def to_representation(self, value: str) -> str:
        return value


class KnownSymbol(Symbol):
    """The symbol of an asset that exists; becomes that asset."""

    def to_internal_value(self, data: Any) -> Any:
        symbol = super().to_internal_value(data)
        asset = Asset.objects.filter(symbol=symbol).first()
        if asset is None:
            raise serializers.ValidationError(f"unknown symbol {symbol}")
        return asset

    def to_representation(self, value: Any) -> str:
        return str(value)


def as_decimal(number: Any) -> Decimal | None:
    """A number of a stored record: JSON's whole numbers were read as `int`."""
    return None if number is None else Decimal(number)


def validate_quoted_currency(code: str) -> None:
    """Accepts what a price may be in: a currency, or its hundredth, such as GBX, GBp, ZAc or ILA."""
    if code not in MINOR_UNITS:
        validate_currency(code)


class AssetSerializer(serializers.ModelSerializer[Asset]):
    """An asset with its last value.

    The context's `quotes` are the records in Redis by symbol, and `stored` what the database has by id.
    """

    symbol = Symbol()
    asset_class = serializers.ChoiceField(
        choices=AssetClass.choices,
        default=AssetClass.OTHER,
        error_messages={
            "invalid_choice": f"expected one of {', '.join(AssetClass.values)}, was '{{input}}'; "
            "futures cannot be kept"
        },
    )
    base_currency = serializers.CharField(
        max_length=10,
        required=False,
        allow_blank=True,
        validators=[validate_currency],
        help_text="Of a currency pair: what the price is for one unit of.",
    )
    currency = serializers.CharField(
        max_length=10,
        validators=[validate_quoted_currency],
        help_text="Of the price. Given as GBX, GBp, ZAc or ILA it is stored as the major one, "
        "with a multiplier of a hundredth.",
    )
    multiplier = ExactDecimal(
        required=False, help_text="Contract multiplier times price unit: 100 for an option, 0.01 for pence."
    )
    calendar = serializers.CharField(
        max_length=16,
        required=False,
        validators=[validate_calendar],
        help_text="24/7, FX or an exchange's code such as XNYS; left out: FX for pairs and metals, else 24/7.",
    )
    sources = serializers.SerializerMethodField()
    price = serializers.SerializerMethodField()
    price_as_of = serializers.SerializerMethodField()
    previous_close = serializers.SerializerMethodField()
    quote = serializers.SerializerMethodField()

    class Meta:
        model = Asset
        fields = [
            "id",
            "symbol",
            "name",
            "asset_class",
            "base_currency",
            "currency",
            "multiplier",
            "calendar",
            "may_be_negative",
            "listed_on",
            "expires_on",
            "sources",
            "price",
            "price_as_of",
            "previous_close",
            "quote",
        ]
        # The database's own conditions are told by `validate`, in words.
        validators: list[Any] = []

    def validate_symbol(self, symbol: str) -> str:
        if Asset.objects.filter(symbol=symbol).exists():
            raise serializers.ValidationError(f"{symbol} exists already")
        return symbol

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["currency"] in MINOR_UNITS:
            attrs["currency"] = MINOR_UNITS[attrs["currency"]]
            attrs["multiplier"] = EXACT.multiply(attrs.get("multiplier", ONE), HUNDREDTH)
        trades_like_currencies = attrs["asset_class"] in (AssetClass.FX, AssetClass.COMMODITY)
        attrs.setdefault("calendar", (FX_DAYS if trades_like_currencies else AROUND_THE_CLOCK).name)
        try:
            asset = Asset(**attrs)
            asset.clean()
            asset.clean_fields(exclude=["symbol", "name"])
        except ModelError as error:
            raise serializers.ValidationError(error.message_dict) from error
        pairs = Asset.objects.filter(base_currency=asset.base_currency, currency=asset.currency)
        if asset.base_currency and (known := pairs.first()):
            raise serializers.ValidationError({"base_currency": [f"{known} is this pair already"]})
        return attrs

    def _quote(self, asset: Asset) -> Mapping[str, Any] | None:
        quotes: Mapping[str, Mapping[str, Any]] = self.context.get("quotes", {})
        return quotes.get(asset.symbol)

    def _stored(self, asset: Asset) -> StoredPrice | None:
        stored: Mapping[int, StoredPrice] = self.context.get("stored", {})
        return stored.get(asset.pk)

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_sources(self, asset: Asset) -> list[str]:
        return [feed.source for feed in asset.feed_symbols.all()]

    @extend_schema_field({"type": "number", "nullable": True})
    def get_price(self, asset: Asset) -> Decimal | None:
        quote, stored = self._quote(asset), self._stored(asset)
        if quote:
            return as_decimal(quote["price"])
        return stored.price if stored is not None else None

    @extend_schema_field({"type": "string", "format": "date-time", "nullable": True})
    def get_price_as_of(self, asset: Asset) -> datetime | str | None:
        quote = self._quote(asset)
        if quote:
            as_of: str = quote["as_of"]
            return as_of
        stored = self._stored(asset)
        return asset.price_as_of if stored is not None and stored.price is not None else None

    @extend_schema_field({"type": "number", "nullable": True})
    def get_previous_close(self, asset: Asset) -> Decimal | None:
        quote = self._quote(asset)
        if quote and quote.get("previous_close") is not None:
            return as_decimal(quote["previous_close"])
        stored = self._stored(asset)
        return stored.previous_close if stored is not None else None

    @extend_schema_field({"type": "object", "nullable": True, "additionalProperties": True})
    def get_quote(self, asset: Asset) -> Mapping[str, Any] | None:
        return self._quote(asset)


class BarSerializer(serializers.ModelSerializer[PriceBar]):
    start = Moment()
    open = ExactDecimal()
    high = ExactDecimal()
    low = ExactDecimal()
    close = ExactDecimal()
    volume = ExactDecimal(allow_null=True)

    class Meta:
        model = PriceBar
        fields = ["start", "open", "high", "low", "close", "volume", "revised"]

    def to_representation(self, bar: PriceBar) -> dict[str, Any]:
        """In today's units, a bar's prices divided and its volume multiplied; the row is as it was traded."""
        shown = super().to_representation(bar)
        splits = self.context.get("splits")
        if not splits:
            return shown
        ended = bar.start
        if bar.interval == PriceBar.Interval.DAY:
            ended = session_of_day(self.context["calendar"], bar.start).close - timedelta.resolution
        ratio = ratio_between(splits, ended, datetime.now(UTC))
        if ratio is not None:
            shown |= {name: restated(shown[name], ratio) for name in ("open", "high", "low", "close")}
            shown["volume"] = None if bar.volume is None else as_traded(bar.volume, ratio)
        return shown
