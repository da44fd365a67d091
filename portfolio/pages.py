"""The portfolio pages. A page of someone else's portfolio does not exist, like one of none at all."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.http import require_safe

from portfolio.booking import TRADED_IN_THE_ASSETS_CURRENCY
from portfolio.columns import ALLOWED, NEEDED, VALUED
from portfolio.imports.parsing import PRESETS
from portfolio.ledger import KINDS, Kind
from portfolio.models import LotMethod, Portfolio
from portfolio.transaction import Transaction

PUBLIC_NAMES = {"asset": "symbol", "other_asset": "other_symbol"}
# What every row may have.
ALWAYS = ("trade_id", "note")


def form_table() -> dict[str, dict[str, Any]]:
    """Returns what a row of each kind needs and what it may have, under REST's names: the form shows these fields."""
    labels = dict(Transaction._meta.get_field("type").flatchoices)
    return {kind: {"label": labels[kind], **_form_fields(kind)} for kind in KINDS if kind != "reversal"}


def _form_fields(kind: Kind) -> dict[str, list[str]]:
    optional = set(ALLOWED[kind]) - set(NEEDED[kind])
    if kind in VALUED:
        optional.add("rate")
        if kind not in TRADED_IN_THE_ASSETS_CURRENCY:
            optional.add("currency")
    return {
        "needed": [PUBLIC_NAMES.get(name, name) for name in NEEDED[kind]],
        "optional": [PUBLIC_NAMES.get(name, name) for name in sorted(optional)] + list(ALWAYS),
    }


@require_safe
@login_required
def portfolio_list(request: HttpRequest) -> HttpResponse:
    return render(request, "portfolio/list.html", {"lot_methods": LotMethod.choices})


@require_safe
@login_required
def portfolio_detail(request: HttpRequest, portfolio_id: int) -> HttpResponse:
    portfolio = get_object_or_404(Portfolio.objects.visible_to(request.user), pk=portfolio_id)
    context = {"portfolio": portfolio, "form_table": form_table(), "lot_methods": LotMethod.choices}
    return render(request, "portfolio/detail.html", context)


@require_safe
@login_required
def portfolio_import(request: HttpRequest, portfolio_id: int) -> HttpResponse:
    portfolio = get_object_or_404(Portfolio.objects.visible_to(request.user), pk=portfolio_id)
    presets = [(preset.name, preset.title) for preset in PRESETS.values()]
    return render(request, "portfolio/import.html", {"portfolio": portfolio, "presets": presets})


urlpatterns = [
    path("portfolios/", portfolio_list, name="portfolios"),
    path("portfolios/<int:portfolio_id>/", portfolio_detail, name="portfolio"),
    path("portfolios/<int:portfolio_id>/import/", portfolio_import, name="portfolio_import"),
]
