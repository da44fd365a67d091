"""Where WebSockets go."""

from typing import Any

from django.urls import path, re_path

from realtime.consumers import RealtimeConsumer


async def nowhere(scope: Any, receive: Any, send: Any) -> None:
    """Answers any other address with 404; Channels' router would raise, which is a 500 and a traceback."""
    await receive()
    await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b""})


websocket_urlpatterns = [
    path("ws/realtime/", RealtimeConsumer.as_asgi()),
    re_path("", nowhere),  # type: ignore[arg-type]  # Channels takes any ASGI application
]
