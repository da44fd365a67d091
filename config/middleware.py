"""What every answer has in common: its headers, and a 503 while the database or Redis is away."""

import logging
from collections.abc import Callable

import redis
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse

log = logging.getLogger("personal_finance.realtime.http")

UNAVAILABLE = (OperationalError, InterfaceError, redis.RedisError)
RETRY_AFTER_SECONDS = 2

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


class ContentSecurityPolicyMiddleware:
    """Lets a page load only what this server serves; no inline script or style anywhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response


class UnavailableMiddleware:
    """Answers 503 where a view found the database or Redis away: that is no fault of the program, and it passes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, UNAVAILABLE):
            return None
        log.error("request not served", extra={"path": request.path, "error": repr(error)})
        text = "the server cannot reach its data right now; try again in a moment"
        response: HttpResponse = JsonResponse({"detail": text}, status=503)
        if "text/html" in request.headers.get("Accept", ""):
            response = HttpResponse(
                text.capitalize() + ".", status=503, content_type="text/plain; charset=utf-8"
            )
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response
