"""The live pages. They carry no data: the browser reads it over REST and the WebSocket."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe


@require_safe
@login_required
def dashboard(request: HttpRequest) -> HttpResponse:
    return render(request, "realtime/dashboard.html")


@require_safe
@login_required
def alerts(request: HttpRequest) -> HttpResponse:
    return render(request, "realtime/alerts.html")


@require_safe
@login_required
def test_page(request: HttpRequest) -> HttpResponse:
    return render(request, "realtime/test.html")


urlpatterns = [
    path("realtime/dashboard/", dashboard, name="dashboard"),
    path("alerts/", alerts, name="alerts"),
    path("realtime/test/", test_page, name="realtime-test"),
]
