"""The addresses of the real-time part: JSON about the running system."""

from django.urls import path

from realtime import health

urlpatterns = [
    path("realtime/websocket-info/", health.websocket_info, name="websocket-info"),
    path("realtime/status/", health.status, name="realtime-status"),
    path("realtime/health/", health.health, name="realtime-health"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
