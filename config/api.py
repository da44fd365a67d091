"""The addresses under /api/ and their description."""

from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from assets.api import AssetDetail, AssetList, BarList
from assets.split_api import SplitList
from assets.tick_api import TickFile, TickList
from portfolio.api import (
    PortfolioViewSet,
    PositionList,
    TransactionDetail,
    TransactionList,
    WatchlistViewSet,
)
from portfolio.import_api import ImportView, TransactionFile
from portfolio.performance_api import Allocation, HistoryList, Returns
from portfolio.receipt_api import LotList, PositionFile, ReceiptDetail
from portfolio.report_api import GainReport, IncomeReport
from realtime.alert_api import AlertFiringList, AlertViewSet, FiringList, Webhook
from realtime.api import (
    AccountEventList,
    ForcePriceUpdate,
    ForcePriceUpdateJob,
    PriceByHand,
    TokenViewSet,
)


@extend_schema(exclude=True)
class Nowhere(APIView):
    """Answers an unknown address in JSON, and only to those who are logged in."""

    def nothing(self, request: Request) -> Response:
        raise NotFound

    get = post = put = patch = delete = nothing


router = SimpleRouter()
router.register("portfolios", PortfolioViewSet)
router.register("watchlist", WatchlistViewSet)
router.register("tokens", TokenViewSet)
router.register("alerts", AlertViewSet)

# A symbol may contain a slash, so that the longer addresses come first.
assets = [
    path("", AssetList.as_view()),
    re_path(r"^(?P<symbol>.+)/bars/$", BarList.as_view()),
    re_path(r"^(?P<symbol>.+)/ticks/$", TickList.as_view()),
    re_path(r"^(?P<symbol>.+)/ticks\.csv$", TickFile.as_view()),
    re_path(r"^(?P<symbol>.+)/prices/$", PriceByHand.as_view()),
    re_path(r"^(?P<symbol>.+)/splits/$", SplitList.as_view()),
    re_path(r"^(?P<symbol>.+)/$", AssetDetail.as_view()),
]
portfolio = [
    re_path(r"^positions/$", PositionList.as_view()),
    re_path(r"^history/$", HistoryList.as_view()),
    re_path(r"^returns/$", Returns.as_view()),
    re_path(r"^allocation/$", Allocation.as_view()),
    re_path(r"^transactions/$", TransactionList.as_view()),
    re_path(r"^transactions\.csv$", TransactionFile.as_view()),
    re_path(r"^imports/$", ImportView.as_view()),
    re_path(r"^reports/dividends/$", IncomeReport.as_view()),
    re_path(r"^reports/gains/$", GainReport.as_view()),
    re_path(r"^positions\.csv$", PositionFile.as_view()),
    re_path(r"^lots/$", LotList.as_view()),
    re_path(r"^receipts/(?P<receipt>[^/]{1,64})/$", ReceiptDetail.as_view()),
    re_path(r"^transactions/(?P<pk>[0-9]{1,18})/$", TransactionDetail.as_view()),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="api_docs")),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(), name="api_docs"),
    path("account-events/", AccountEventList.as_view()),
    path("assets/", include(assets)),
    re_path(r"^portfolios/(?P<portfolio_id>[0-9]{1,18})/", include(portfolio)),
    path("realtime/force_price_update/", ForcePriceUpdate.as_view()),
    re_path(
        r"^realtime/force_price_update/(?P<job_id>[0-9a-f]{32})/$",
        ForcePriceUpdateJob.as_view(),
        name="force-price-update-job",
    ),
    path("alerts/firings/", FiringList.as_view()),
    path("alerts/webhook/", Webhook.as_view()),
    re_path(r"^alerts/(?P<pk>[0-9]{1,18})/firings/$", AlertFiringList.as_view()),
    path("", include(router.urls)),
    re_path(r"^.*/$", Nowhere.as_view()),
]
