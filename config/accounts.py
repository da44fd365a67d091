"""Logging in and out, and the demo's way in without a password: on this machine only."""

import ipaddress
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.views import LoginView, LogoutView
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import path
from django.views.decorators.http import require_POST

DEMO_USER = "demo"


def demo_login_offered(request: HttpRequest) -> bool:
    """Whether the demo settings run and both ends of this request are this machine."""
    host = request.get_host().rsplit(":", 1)[0].strip("[]")
    return (
        bool(settings.DEMO_LOGIN) and is_loopback(host) and is_loopback(request.META.get("REMOTE_ADDR", ""))
    )


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Login(LoginView):
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "demo_login": demo_login_offered(self.request)}


@require_POST
def demo(request: HttpRequest) -> HttpResponse:
    """Logs in as the demo user; does not exist anywhere but in the demo."""
    if not demo_login_offered(request):
        raise Http404
    user = get_user_model().objects.filter(username=DEMO_USER, is_active=True).first()
    if user is None:
        raise Http404
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponseRedirect(resolve_url(settings.LOGIN_REDIRECT_URL))


urlpatterns = [
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("demo/", demo, name="demo_login"),
]
