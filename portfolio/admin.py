"""Portfolios in the admin. A change that the ledger refuses is told, not crashed on."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from portfolio.ledger import LedgerError
from portfolio.models import Portfolio, Position, Transaction, WatchlistItem

if TYPE_CHECKING:
    PortfolioModelAdmin = admin.ModelAdmin[Portfolio]
    TransactionModelAdmin = admin.ModelAdmin[Transaction]
    PositionModelAdmin = admin.ModelAdmin[Position]
    WatchlistModelAdmin = admin.ModelAdmin[WatchlistItem]
else:  # generic only to the type checker
    PortfolioModelAdmin = TransactionModelAdmin = PositionModelAdmin = WatchlistModelAdmin = admin.ModelAdmin


@admin.register(Portfolio)
class PortfolioAdmin(PortfolioModelAdmin):
    list_display = ["name", "user", "currency", "created_at"]
    list_filter = ["currency"]
    search_fields = ["name", "user__username"]
    autocomplete_fields = ["user"]


@admin.register(Transaction)
class TransactionAdmin(TransactionModelAdmin):
    list_display = ["time", "portfolio", "type", "asset", "quantity", "price", "fee", "amount", "currency"]
    list_filter = ["type", "currency"]
    list_select_related = ["portfolio", "asset"]
    search_fields = ["asset__symbol", "portfolio__name"]
    autocomplete_fields = ["portfolio", "asset"]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        try:
            with transaction.atomic():  # the log of a refused deletion goes with it
                return super().changelist_view(request, extra_context)
        except LedgerError as error:
            return self._refused(request, error)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except LedgerError as error:
            return self._refused(request, error)

    def _refused(self, request: HttpRequest, error: LedgerError) -> HttpResponse:
        self.message_user(request, f"Nothing was changed: {error}", messages.ERROR)
        return HttpResponseRedirect(request.path)


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
        return False


@admin.register(WatchlistItem)
class WatchlistItemAdmin(WatchlistModelAdmin):
    list_display = ["user", "asset", "position"]
    list_select_related = ["user", "asset"]
    search_fields = ["user__username", "asset__symbol"]
    autocomplete_fields = ["user", "asset"]
