"""The portfolio pages. A page of someone else's portfolio does not exist, like one of none at all."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.http import require_safe

from portfolio.models import Portfolio


@require_safe
@login_required
def portfolio_list(request: HttpRequest) -> HttpResponse:
    return render(request, "portfolio/list.html")


@require_safe
@login_required
def portfolio_detail(request: HttpRequest, portfolio_id: int) -> HttpResponse:
    portfolio = get_object_or_404(Portfolio.objects.visible_to(request.user), pk=portfolio_id)
    return render(request, "portfolio/detail.html", {"portfolio": portfolio})


urlpatterns = [
    path("portfolios/", portfolio_list, name="portfolios"),
    path("portfolios/<int:portfolio_id>/", portfolio_detail, name="portfolio"),
]
