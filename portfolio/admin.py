"""Portfolios in the admin. What the ledger refuses is told, not crashed on."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from portfolio.booking import reverse
from portfolio.models import Portfolio, Position, Transaction, WatchlistItem

if TYPE_CHECKING:
    PortfolioModelAdmin = admin.ModelAdmin[Portfolio]
    TransactionModelAdmin = admin.ModelAdmin[Transaction]
    PositionModelAdmin = admin.ModelAdmin[Position]
    WatchlistModelAdmin = admin.ModelAdmin[WatchlistItem]
else:  # generic only to the type checker
    PortfolioModelAdmin = TransactionModelAdmin = PositionModelAdmin = WatchlistModelAdmin = admin.ModelAdmin


def goes_with_its_portfolio(request: HttpRequest) -> bool:
    """Rows and positions are deleted with their portfolio or its owner, never by themselves."""
    here = request.resolver_match
    alone = ("portfolio_transaction_", "portfolio_position_")
    return here is not None and not (here.url_name or "").startswith(alone)


@admin.register(Portfolio)
class PortfolioAdmin(PortfolioModelAdmin):
    list_display = ["name", "user", "currency", "created_at"]
    list_filter = ["currency"]
    search_fields = ["name", "user__username"]
    autocomplete_fields = ["user"]


@admin.register(Transaction)
class TransactionAdmin(TransactionModelAdmin):
    """Rows are added and reversed, never edited: what was booked stays to be seen."""

    list_display = ["time", "portfolio", "type", "asset", "quantity", "price", "fee", "amount", "currency"]
    list_filter = ["type", "currency"]
    list_select_related = ["portfolio", "asset"]
    search_fields = ["asset__symbol", "portfolio__name", "trade_id"]
    autocomplete_fields = ["portfolio", "asset", "other_asset"]
    exclude = ["reverses"]
    actions = ["reverse"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return goes_with_its_portfolio(request)

    @admin.action(description="Reverse selected transactions", permissions=["add"])
    def reverse(self, request: HttpRequest, queryset: QuerySet[Transaction]) -> None:
        """Takes all of them back, the newest first, or none."""
        try:
            with transaction.atomic():
                for row in queryset.order_by("-time", "-row_order", "-pk"):
                    reverse(row, note=f"by {request.user}")
        except ValidationError as error:
            self.message_user(request, f"Nothing was reversed: {' '.join(error.messages)}", messages.ERROR)
        else:
            self.message_user(request, f"{queryset.count()} reversed.", messages.SUCCESS)


@admin.register(Position)
class PositionAdmin(PositionModelAdmin):
    """To look at: positions follow from the transactions."""

    list_display = ["portfolio", "asset", "quantity"]
    list_select_related = ["portfolio", "asset"]
    search_fields = ["asset__symbol", "portfolio__name"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return goes_with_its_portfolio(request)


@admin.register(WatchlistItem)
class WatchlistItemAdmin(WatchlistModelAdmin):
    list_display = ["user", "asset", "position"]
    list_select_related = ["user", "asset"]
    search_fields = ["user__username", "asset__symbol"]
    autocomplete_fields = ["user", "asset"]
