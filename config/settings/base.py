"""What every purpose shares. Each variable is read once, here or in the file that adds it."""

import sys
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from assets import redis_address
from config.settings.environment import BASE_DIR, boolean, integer, number, redistribution, text, words

# What a running system writes lives under STATE_DIR and nowhere else.
STATE_DIR = Path(text("STATE_DIR", str(BASE_DIR / "var")))

DEBUG = False
SECRET_KEY = text("SECRET_KEY")
ALLOWED_HOSTS = words("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")
# Whose X-Forwarded-* headers the web server believes.
FORWARDED_ALLOW_IPS = text("FORWARDED_ALLOW_IPS", "127.0.0.1")

INSTALLED_APPS = [
    # It gives `runserver` its ASGI; every other command would only pay 0.3 s and 20 MB for importing Twisted.
    *(["daphne"] if "runserver" in sys.argv else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "config",
    "assets",
    "portfolio",
    "realtime",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.UnavailableMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- storage ---------------------------------------------------------------------------------------------------------


def database(url: str) -> dict[str, Any]:
    """Returns Django's settings for a DATABASE_URL; SQLite gets WAL, without which concurrent writers fail."""
    config: dict[str, Any] = environ.Env.db_url_config(url)
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        config["CONN_HEALTH_CHECKS"] = True
        config.setdefault("OPTIONS", {}).setdefault("connect_timeout", 3)
    return config


DATABASE_URL = text("DATABASE_URL", f"sqlite:///{STATE_DIR / 'db.sqlite3'}")
DATABASES = {"default": database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = text("REDIS_URL", "redis://127.0.0.1:6379/0")
# redis-py's own 5 s would cut idle subscriptions and hang commands for too long; both are set on purpose.
REDIS_COMMAND_TIMEOUT = 2.0
try:
    _LAYER_HOST = redis_address.layer_host(REDIS_URL)
    _CACHE_LOCATION, _CACHE_POOL = redis_address.cache_location(REDIS_URL)
except ValueError as error:
    raise ImproperlyConfigured(f"REDIS_URL: {error}") from None
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": _CACHE_LOCATION,
        "KEY_PREFIX": "lf:cache",
        "OPTIONS": {
            "CLIENT_CLASS": "django_redis.client.DefaultClient",
            "SOCKET_CONNECT_TIMEOUT": 1,
            "SOCKET_TIMEOUT": 1,
            "CONNECTION_POOL_KWARGS": _CACHE_POOL,
            "IGNORE_EXCEPTIONS": True,
            "LOG_IGNORED_EXCEPTIONS": True,
        },
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [
                {
                    **_LAYER_HOST,
                    "socket_timeout": REDIS_COMMAND_TIMEOUT,
                    "socket_connect_timeout": REDIS_COMMAND_TIMEOUT,
                    # The default retries with seconds of back-off while the layer's one lock is held.
                    "retry": Retry(NoBackoff(), 1),
                }
            ],
            "prefix": "lf",
        },
    }
}

# --- accounts --------------------------------------------------------------------------------------------------------

SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/realtime/dashboard/"
LOGOUT_REDIRECT_URL = "/accounts/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
# Users whose password is public; only demo settings on a loopback host switch this on.
DEMO_LOGIN = False

# --- pages -----------------------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.storage.StaticStorage"},
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SAMESITE = "Lax"

REST_FRAMEWORK: dict[str, Any] = {
    # Bearer first: its challenge makes a missing login 401, where session authentication alone would say 403.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "realtime.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "realtime.authentication.HasScope",
    ],
    "DEFAULT_RENDERER_CLASSES": ["config.rendering.ExactJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.rendering.ExactJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "config.pagination.PageNumbers",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_RATES": {"force_price_update": "10/min"},
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    # Times stay times until the renderer, which writes all of them alike.
    "DATETIME_FORMAT": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Livefolio",
    "DESCRIPTION": "Live market data and portfolios.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}

# --- real time -------------------------------------------------------------------------------------------------------

REALTIME_UPDATE_INTERVAL = number("REALTIME_UPDATE_INTERVAL", 30, least=0.1)
REALTIME_BATCH_SIZE = integer("REALTIME_BATCH_SIZE", 50, least=1)
REALTIME_CACHE_TIMEOUT = integer("REALTIME_CACHE_TIMEOUT", 300, least=1)
REALTIME_FLUSH_INTERVAL_MS = integer("REALTIME_FLUSH_INTERVAL_MS", 50, least=1)
REALTIME_NO_DATA_TIMEOUT = number("REALTIME_NO_DATA_TIMEOUT", 60, least=0.1)
REALTIME_LOG_FILE = text("REALTIME_LOG_FILE")
WEBSOCKET_TIMEOUT = number("WEBSOCKET_TIMEOUT", 300, least=0.1)
WEBSOCKET_MAX_MESSAGE_BYTES = integer("WEBSOCKET_MAX_MESSAGE_BYTES", 65536, least=128)
WEBSOCKET_ALLOW_ANONYMOUS = boolean("WEBSOCKET_ALLOW_ANONYMOUS", False)
# Limits; 0 switches one off.
MAX_CONNECTIONS_PER_USER = integer("MAX_CONNECTIONS_PER_USER", 5)
MAX_SUBSCRIPTIONS_PER_CONNECTION = integer("MAX_SUBSCRIPTIONS_PER_CONNECTION", 50)
MAX_CONNECTIONS_PER_ADDRESS = integer("MAX_CONNECTIONS_PER_ADDRESS", 200)
WEBSOCKET_HANDSHAKE_RATE = number("WEBSOCKET_HANDSHAKE_RATE", 20)  # a second and address
WEBSOCKET_MESSAGE_RATE = number("WEBSOCKET_MESSAGE_RATE", 20)  # a second and connection
WEBSOCKET_MESSAGE_BURST = integer("WEBSOCKET_MESSAGE_BURST", 100, least=1)
MAX_ALERTS_PER_USER = integer("MAX_ALERTS_PER_USER", 100)
# Whether a webhook may be plain HTTP, on this machine or in its network.
ALERT_WEBHOOK_ALLOW_PRIVATE = boolean("ALERT_WEBHOOK_ALLOW_PRIVATE", False)
WEB_CONCURRENCY = integer("WEB_CONCURRENCY", 1, least=1)

FEED_OWNER = text("FEED_OWNER")
FEED_REDISTRIBUTION = redistribution("FEED_REDISTRIBUTION")
PRICE_FEED_SOURCES = words("PRICE_FEED_SOURCES", "simulator")
TICKS_KEPT = words("TICKS_KEPT")
TICKS_RETENTION_HOURS = number("TICKS_RETENTION_HOURS", 24, least=0.01)
SIMULATOR_SYMBOLS = integer("SIMULATOR_SYMBOLS", 12, least=1)
SIMULATOR_RATE = number("SIMULATOR_RATE", 1, least=0.001)
SIMULATOR_SEED = integer("SIMULATOR_SEED", 1)
COINBASE_WEBSOCKET_URL = text("COINBASE_WEBSOCKET_URL", "wss://ws-feed.exchange.coinbase.com")
COINBASE_REST_URL = text("COINBASE_REST_URL", "https://api.exchange.coinbase.com")
COINBASE_PRODUCTS = words("COINBASE_PRODUCTS", "BTC-USD ETH-USD SOL-USD")
COINBASE_CHANNELS = words("COINBASE_CHANNELS")
COINBASE_API_KEY = text("COINBASE_API_KEY")
COINBASE_API_SECRET = text("COINBASE_API_SECRET")
COINBASE_API_PASSPHRASE = text("COINBASE_API_PASSPHRASE")
POLYGON_API_KEY = text("POLYGON_API_KEY")
POLYGON_WEBSOCKET_URL = text("POLYGON_WEBSOCKET_URL", "wss://socket.massive.com")
POLYGON_REST_URL = text("POLYGON_REST_URL", "https://api.massive.com")
POLYGON_CLUSTERS = words("POLYGON_CLUSTERS", "stocks")
POLYGON_STOCKS = words("POLYGON_STOCKS", "AAPL MSFT")
POLYGON_OPTIONS = words("POLYGON_OPTIONS")
POLYGON_FOREX = words("POLYGON_FOREX", "EUR/USD GBP/USD USD/JPY")
POLYGON_CRYPTO = words("POLYGON_CRYPTO", "BTC-USD ETH-USD")
POLYGON_INDICES = words("POLYGON_INDICES", "I:SPX")
POLYGON_TOPICS = words("POLYGON_TOPICS")
POLYGON_DELAYED_BY = integer("POLYGON_DELAYED_BY", 900 if "//delayed" in POLYGON_WEBSOCKET_URL else 0)
UPSTOX_ACCESS_TOKEN = text("UPSTOX_ACCESS_TOKEN")
UPSTOX_INSTRUMENTS = text("UPSTOX_INSTRUMENTS")
UPSTOX_WEBSOCKET_URL = text("UPSTOX_WEBSOCKET_URL")
UPSTOX_AUTHORIZE_URL = text("UPSTOX_AUTHORIZE_URL")
UPSTOX_PORTFOLIO_WEBSOCKET_URL = text(
    "UPSTOX_PORTFOLIO_WEBSOCKET_URL", "wss://api.upstox.com/v2/feed/portfolio-stream-feed"
)
UPSTOX_API_VERSION = text("UPSTOX_API_VERSION", "3")
YAHOO_SYMBOLS = words("YAHOO_SYMBOLS", "AAPL RELIANCE.NS ^NSEI BTC-USD EURUSD=X")
YAHOO_URL = text("YAHOO_URL")
YAHOO_WEBSOCKET_URL = text("YAHOO_WEBSOCKET_URL", "wss://streamer.finance.yahoo.com/?version=2")
CCXT_EXCHANGE = text("CCXT_EXCHANGE")
CCXT_SYMBOLS = words("CCXT_SYMBOLS", "BTC/USD ETH/USD")
CCXT_URL = text("CCXT_URL")
OPENALGO_WEBSOCKET_URL = text("OPENALGO_WEBSOCKET_URL", "ws://127.0.0.1:8765")
OPENALGO_API_KEY = text("OPENALGO_API_KEY")
OPENALGO_SYMBOLS = words("OPENALGO_SYMBOLS")
KRAKEN_WEBSOCKET_URL = text("KRAKEN_WEBSOCKET_URL", "wss://ws.kraken.com/v2")
KRAKEN_PAIRS = words("KRAKEN_PAIRS", "BTC/USD ETH/USD SOL/USD")
BITSTAMP_WEBSOCKET_URL = text("BITSTAMP_WEBSOCKET_URL", "wss://ws.bitstamp.net")
BITSTAMP_PAIRS = words("BITSTAMP_PAIRS", "btcusd ethusd xrpusd")
REPLAY_FILE = text("REPLAY_FILE")
REPLAY_VENDOR = text("REPLAY_VENDOR", "coinbase")
REPLAY_SPEED = number("REPLAY_SPEED", 1, least=0.001)
REPLAY_LOOP = boolean("REPLAY_LOOP", False)
RECORD_MAX_BYTES = integer("RECORD_MAX_BYTES", 256 * 1024 * 1024, least=1)
RECORD_FILES = integer("RECORD_FILES", 10, least=1)

# --- logs ------------------------------------------------------------------------------------------------------------

LOG_FORMAT = text("LOG_FORMAT", "json")


def logging_config(log_format: str, log_file: str) -> dict[str, Any]:
    """Returns structured logs on standard output, or in `log_file` for the real-time part."""
    import structlog

    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(pad_event_to=0, pad_level=False, colors=False)
    )
    handler = (
        {"class": "logging.FileHandler", "filename": log_file, "formatter": "structured"}
        if log_file
        else {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "structured"}
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    renderer,
                ],
                "foreign_pre_chain": [
                    structlog.stdlib.add_log_level,
                    structlog.stdlib.add_logger_name,
                    structlog.stdlib.PositionalArgumentsFormatter(),
                    structlog.stdlib.ExtraAdder(),
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.format_exc_info,
                ],
            }
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "structured",
            },
            "realtime": handler,
        },
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {
            "personal_finance.realtime": {"handlers": ["realtime"], "level": "INFO", "propagate": False},
            "uvicorn.error": {"handlers": ["console"], "level": "WARNING", "propagate": False},
            "django": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        },
    }


LOGGING = logging_config(LOG_FORMAT, REALTIME_LOG_FILE)
