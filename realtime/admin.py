"""Access tokens in the admin: to look at and to revoke. Nobody can see or make a secret here."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from realtime.models import AccessToken

if TYPE_CHECKING:
    TokenModelAdmin = admin.ModelAdmin[AccessToken]
else:
    TokenModelAdmin = admin.ModelAdmin  # generic only to the type checker


@admin.register(AccessToken)
class AccessTokenAdmin(TokenModelAdmin):
    list_display = ["name", "user", "prefix", "scopes", "created_at", "last_used_at", "expires_at"]
    list_select_related = ["user"]
    search_fields = ["name", "user__username", "prefix"]
    readonly_fields = ["user", "prefix", "digest", "created_at", "last_used_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
