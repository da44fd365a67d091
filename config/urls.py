"""Every address of the product; each app brings its own."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(url="/realtime/dashboard/")),
    path("accounts/", include("config.accounts")),
    path("", include("realtime.urls")),
    path("", include("realtime.pages")),
    path("", include("portfolio.pages")),
    path("admin/", admin.site.urls),
    path("api/", include("config.api")),
]
