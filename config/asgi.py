"""The ASGI application: Django for HTTP, the real-time consumer for WebSockets."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()  # loads the apps, which the imports below need

from channels.routing import ProtocolTypeRouter, URLRouter

from realtime.hub import running_hub, stop_hub
from realtime.routing import websocket_urlpatterns


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Starts the hub before the first request and stops it after the last."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await running_hub()
            await send({"type": "lifespan.startup.complete"})
        else:
            await stop_hub()
            await send({"type": "lifespan.shutdown.complete"})
            return


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter(websocket_urlpatterns),
        "lifespan": lifespan,
    }
)
