"""What a person, a load balancer or Prometheus may ask about the running system.

Counts and feed states come from Redis, so that every web process gives the same answer. The feeds' state never
makes a web process unready: prices that stand still are still worth showing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import redis.exceptions
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from assets import snapshots
from realtime.bus import FeedStatus, is_live, read_feeds_sync
from realtime.hub import local_hub
from realtime.protocol import now
from realtime.wants import PROCESSES_KEY

MESSAGE_TYPES = {
    "ping": "Health check message",
    "subscribe_asset": "Subscribe to asset price updates",
    "change_mode": "Change how much of each update is sent",
    "unsubscribe_asset": "End asset subscriptions",
    "subscribe_portfolio": "Subscribe to portfolio value updates",
    "unsubscribe_portfolio": "End a portfolio subscription",
    "clear_subscriptions": "End all subscriptions",
    "ack": "Confirm data frames, on connections opened with ?acks=1",
}
GLOBAL_COUNTS = ("total_connections", "portfolio_subscriptions", "asset_subscriptions")


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when database, Redis and hub are usable, else 503; the feeds' states only stand in the body."""
    hub = local_hub()
    checks = {
        "database": _database_answers(),
        # The hub has asked already; in a Redis that hangs, asking again would take seconds.
        "redis": (hub is None or hub.redis_ok) and _redis_answers(),
        "hub": hub is not None and hub.redis_ok and not hub.draining,
    }
    feeds = {name: feed_summary(status) for name, status in _feeds().items()} if checks["redis"] else {}
    ready = all(checks.values())
    return JsonResponse({"ready": ready, **checks, "feeds": feeds}, status=200 if ready else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis_answers() -> bool:
    try:
        return bool(snapshots.connection().ping())
    except redis.exceptions.RedisError:
        return False


def _feeds() -> dict[str, FeedStatus]:
    try:
        return read_feeds_sync()
    except redis.exceptions.RedisError:
        return {}


def age_seconds(status: FeedStatus) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(status.at)).total_seconds())


def feed_summary(status: FeedStatus) -> dict[str, Any]:
    age = age_seconds(status)
    gone = age > 3 and status.state not in ("stopped", "ended", "failed")
    return {
        "state": "down" if gone else status.state,
        "since": status.since,
        "reason": status.reason,
        "epoch": status.epoch,
        "age_ms": round(age * 1000),
        "symbols": status.symbols,
    }


@require_safe
def websocket_info(request: HttpRequest) -> HttpResponse:
    """Where the WebSocket is, as this client reaches it."""
    protocol = "wss" if request.is_secure() else "ws"
    host = request.get_host()
    return JsonResponse(
        {
            "websocket_url": f"{protocol}://{host}/ws/realtime/",
            "connection_info": {
                "protocol": protocol,
                "host": host,
                "path": "/ws/realtime/",
                "authentication": "session-based",
            },
            "message_types": MESSAGE_TYPES,
        }
    )


@extend_schema(responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
def health(request: Request) -> Response:
    """Whether prices flow, and how many connections are open over all processes."""
    try:
        feeds, processes = read_feeds_sync(), read_processes()
    except redis.exceptions.RedisError:
        unknown: dict[str, Any] = {
            "price_feed_running": False,
            "active_connections": None,
            "feeds": {},
            "timestamp": now(),
        }
        return Response(unknown, status=503)
    return Response(
        {
            "price_feed_running": any(is_live(status) for status in feeds.values()),
            "active_connections": sum(record["total_connections"] for record in processes.values()),
            "feeds": {name: feed_summary(status) for name, status in feeds.items()},
            "timestamp": now(),
        }
    )


@extend_schema(responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
def status(request: Request) -> Response:
    """The caller's own connections; the whole system's for staff."""
    feeds = _feeds()
    try:
        processes = read_processes()
        users = read_users(processes)
    except redis.exceptions.RedisError:
        return Response({"service_status": "degraded", "global_stats": None, "user_stats": None}, status=503)
    running = any(is_live(feed) for feed in feeds.values())
    return Response(
        {
            "service_status": "running" if running else "degraded",
            "global_stats": global_stats(processes, users) if request.user.is_staff else None,
            "user_stats": user_stats(users.get(str(request.user.pk), [])),
            "feeds": {name: feed_summary(status) for name, status in feeds.items()},
        }
    )


def read_processes() -> dict[str, dict[str, Any]]:
    """Returns the counts of each living web process; raises redis.RedisError."""
    client = snapshots.connection()
    names: Any = client.zrangebyscore(PROCESSES_KEY, datetime.now(UTC).timestamp(), "+inf")
    if not names:
        return {}
    texts: Any = client.mget([f"lf:process:{name.decode()}" for name in names])
    return {
        name.decode(): msgspec.json.decode(text)
        for name, text in zip(names, texts, strict=True)
        if text is not None
    }


def read_users(processes: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Returns each user's statistics, one entry for each process that has connections of the user."""
    with snapshots.connection().pipeline(transaction=False) as pipe:
        for process in processes:
            pipe.hgetall(f"lf:users:{process}")
        found = pipe.execute()
    users: dict[str, list[dict[str, Any]]] = {}
    for entries in found:
        for user_id, text in entries.items():
            users.setdefault(user_id.decode(), []).append(msgspec.json.decode(text))
    return users


def global_stats(
    processes: dict[str, dict[str, Any]], users: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    sums = {name: sum(record[name] for record in processes.values()) for name in GLOBAL_COUNTS}
    return {
        "total_connections": sums["total_connections"],
        "authenticated_users": len(users),
        "portfolio_subscriptions": sums["portfolio_subscriptions"],
        "asset_subscriptions": sums["asset_subscriptions"],
    }


def user_stats(entries: list[dict[str, Any]]) -> dict[str, Any]:
    portfolios = {id for entry in entries for id in entry["subscriptions"]["portfolios"]}
    assets = {symbol for entry in entries for symbol in entry["subscriptions"]["assets"]}
    return {
        "connection_count": sum(entry["connection_count"] for entry in entries),
        "subscriptions": {"portfolios": sorted(portfolios), "assets": sorted(assets)},
        "conflated": {id: count for entry in entries for id, count in entry["conflated"].items()},
    }


# --- Prometheus ------------------------------------------------------------------------------------------------------


class RealtimeCollector:
    """Metrics of all processes, read from Redis at each scrape and labelled by process or source."""

    def collect(self) -> Iterator[Metric]:
        try:
            processes, feeds = read_processes(), read_feeds_sync()
        except redis.exceptions.RedisError:
            yield GaugeMetricFamily("redis_up", "Whether Redis answers", value=0)
            return
        yield GaugeMetricFamily("redis_up", "Whether Redis answers", value=1)
        yield from self._processes(processes)
        yield from self._feeds(feeds)

    def _processes(self, processes: dict[str, dict[str, Any]]) -> Iterator[Metric]:
        connections = GaugeMetricFamily("ws_connections", "Open WebSocket connections", labels=["process"])
        subscriptions = GaugeMetricFamily(
            "ws_subscriptions", "Subscriptions of open connections", labels=["process", "kind"]
        )
        closed = CounterMetricFamily("ws_closed", "Closed connections by code", labels=["process", "code"])
        errors = CounterMetricFamily("ws_errors", "Refused requests by code", labels=["process", "code"])
        refused = CounterMetricFamily(
            "ws_refused", "Refused handshakes by status", labels=["process", "status"]
        )
        events = CounterMetricFamily("hub_events", "What happened in the hub", labels=["process", "event"])
        conflated = CounterMetricFamily(
            "ws_conflated", "Updates replaced before they were sent", labels=["process"]
        )
        for name, record in processes.items():
            connections.add_metric([name], record["total_connections"])
            for kind in ("asset", "portfolio"):
                subscriptions.add_metric([name, kind], record[f"{kind}_subscriptions"])
            for counter, count in Counter(record["counters"]).items():
                family, _, label = counter.partition("_")
                if family == "closed":
                    closed.add_metric([name, label], count)
                elif family == "error":
                    errors.add_metric([name, label], count)
                elif family == "refused":
                    refused.add_metric([name, label], count)
                elif counter == "conflated":
                    conflated.add_metric([name], count)
                else:
                    events.add_metric([name, counter], count)
        yield from (connections, subscriptions, closed, errors, refused, events, conflated)

    def _feeds(self, feeds: dict[str, FeedStatus]) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "feed_age_seconds", "Seconds since the source's last heartbeat", labels=["source"]
        )
        live = GaugeMetricFamily("feed_live", "Whether the source is live", labels=["source"])
        epoch = GaugeMetricFamily(
            "feed_epoch", "The source's epoch; it grows with every hole", labels=["source"]
        )
        ticks = CounterMetricFamily("feed_ticks", "Ticks taken", labels=["source"])
        updates = CounterMetricFamily("feed_updates", "Updates published", labels=["source"])
        rejected = CounterMetricFamily("feed_ticks_rejected", "Ticks refused", labels=["source"])
        for name, status in feeds.items():
            age.add_metric([name], age_seconds(status))
            live.add_metric([name], is_live(status))
            epoch.add_metric([name], status.epoch)
            ticks.add_metric([name], status.ticks)
            updates.add_metric([name], status.updates)
            rejected.add_metric([name], status.rejected)
        yield from (age, live, epoch, ticks, updates, rejected)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format; nginx.conf keeps it from the outside."""
    registry = CollectorRegistry()
    registry.register(RealtimeCollector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
