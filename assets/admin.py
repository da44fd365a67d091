"""Assets in the admin. Prices are shown, not edited: they come from feeds or `POST /api/assets/<symbol>/prices/`.

Staff see of them what they may see elsewhere. Sessions are shown too: `manage.py update_calendars` owns them, and would
take back what was edited here.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Case, F, Q, QuerySet, When
from django.http import HttpRequest

from assets.models import Asset, FeedSymbol, PriceBar, PriceBarQuerySet, Split, TradingSession
from assets.redistribution import viewer_of

if TYPE_CHECKING:
    AssetModelAdmin = admin.ModelAdmin[Asset]
    BarModelAdmin = admin.ModelAdmin[PriceBar]
    SessionModelAdmin = admin.ModelAdmin[TradingSession]
    SplitModelAdmin = admin.ModelAdmin[Split]
    FeedSymbolRows = admin.TabularInline[FeedSymbol, Asset]
else:
    # Generic only to the type checker.
    AssetModelAdmin = BarModelAdmin = SessionModelAdmin = SplitModelAdmin = admin.ModelAdmin
    FeedSymbolRows = admin.TabularInline


class FeedSymbolInline(FeedSymbolRows):
    model = FeedSymbol
    extra = 0


@admin.register(Asset)
class AssetAdmin(AssetModelAdmin):
    list_display = [
        "symbol",
        "name",
        "asset_class",
        "base_currency",
        "currency",
        "calendar",
        "shown_price",
        "shown_as_of",
        "price_source",
    ]
    list_filter = ["asset_class", "currency", "calendar", "price_source"]
    search_fields = ["symbol", "name"]
    readonly_fields = ["shown_price", "shown_as_of", "price_source", "last_updated", "created_at"]
    inlines = [FeedSymbolInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Asset]:
        sources = viewer_of(request.user).sources
        may_see = Q(pk__isnull=False) if sources is None else Q(price_source__in=sources)
        return (
            super()
            .get_queryset(request)
            .annotate(
                seen_price=Case(When(may_see, then=F("current_price"))),
                seen_as_of=Case(When(may_see, then=F("price_as_of"))),
            )
        )

    @admin.display(description="current price")
    def shown_price(self, asset: Any) -> Any:
        return asset.seen_price

    @admin.display(description="price as of")
    def shown_as_of(self, asset: Any) -> Any:
        return asset.seen_as_of

    def save_model(self, request: HttpRequest, obj: Asset, form: Any, change: bool) -> None:
        # The page may have been open for an hour: only what was edited, or an old price would come back.
        obj.save(update_fields=form.changed_data if change else None)


@admin.register(PriceBar)
class PriceBarAdmin(BarModelAdmin):
    list_display = ["asset", "interval", "start", "open", "high", "low", "close", "volume", "source"]
    list_filter = ["interval", "source"]
    list_select_related = ["asset"]
    search_fields = ["asset__symbol"]
    autocomplete_fields = ["asset"]
    date_hierarchy = "start"

    def get_queryset(self, request: HttpRequest) -> PriceBarQuerySet:
        return PriceBar.objects.visible_to(viewer_of(request.user)).order_by(*self.get_ordering(request))


@admin.register(Split)
class SplitAdmin(SplitModelAdmin):
    list_display = ["asset", "ex_date", "numerator", "denominator", "effective_at"]
    list_select_related = ["asset"]
    search_fields = ["asset__symbol"]
    autocomplete_fields = ["asset"]
    date_hierarchy = "ex_date"


@admin.register(TradingSession)
class TradingSessionAdmin(SessionModelAdmin):
    list_display = ["calendar", "date", "open", "close", "breaks"]
    list_filter = ["calendar"]
    date_hierarchy = "date"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
