"""The ASGI application: Django for HTTP, the real-time consumer for WebSockets."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()  # loads the apps, which the imports below need

from channels.routing import ProtocolTypeRouter

application = ProtocolTypeRouter({"http": django_application})
