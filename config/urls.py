"""Every address of the product; each app brings its own."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(url="/realtime/dashboard/")),
    path("admin/", admin.site.urls),
]
