"""Who may open a WebSocket: origin first, then a session or a bearer token, checked again while it is open.

Refusals here are HTTP answers before the upgrade. A browser always sends an Origin, so a session without one is
refused; a token needs none.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user, get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain
from django.utils.module_loading import import_string

from realtime.models import AccessToken
from realtime.protocol import CloseCode
from realtime.tokens import find_token

DEFAULT_PORTS = {"http": 80, "https": 443}


class Refused(Exception):
    """The handshake is answered with an HTTP status instead of an upgrade."""

    def __init__(self, status: int, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a connection belongs to; all None for an anonymous one."""

    user_id: int | None = None
    session_key: str | None = None
    token_id: int | None = None

    @property
    def is_authenticated(self) -> bool:
        return self.user_id is not None


def session_digest(session_key: str) -> str:
    """A session's name between processes: the key itself is a secret and stays out of messages."""
    return hashlib.sha256(session_key.encode()).hexdigest()


class Headers:
    """A scope's headers, where a header that must be single is refused when repeated."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._values: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            self._values.setdefault(name, []).append(value)

    def single(self, name: bytes) -> str | None:
        values = self._values.get(name, [])
        if len(values) > 1:
            raise Refused(403, f"expected one {name.decode()} header")
        return values[0].decode("latin-1").strip() if values else None

    def joined(self, name: bytes) -> str:
        return "; ".join(value.decode("latin-1") for value in self._values.get(name, []))


def check_origin(scope: Mapping[str, Any], headers: Headers) -> None:
    """Raises Refused(403) unless the Origin is this server's own or a trusted one, to the scheme and port."""
    host = headers.single(b"host") or ""
    allowed_hosts = settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    if not validate_host(split_domain_port(host)[0], allowed_hosts):
        raise Refused(403, "this host is not served here")
    origin = headers.single(b"origin")
    if origin is None:
        if headers.single(b"authorization") is None:
            raise Refused(403, "expected an Origin header, or a bearer token")
        return
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
    if not (_same_origin(origin, scheme, host) or _is_trusted(origin)):
        raise Refused(403, "this origin is not allowed")


def _parts(origin: str) -> tuple[str, str, int | None] | None:
    try:
        url = urlsplit(origin)
        port = url.port
    except ValueError:
        return None
    if not url.hostname or url.path or url.query or url.fragment or url.username is not None:
        return None
    return url.scheme, url.hostname, port or DEFAULT_PORTS.get(url.scheme)


def _same_origin(origin: str, scheme: str, host: str) -> bool:
    found, own = _parts(origin), _parts(f"{scheme}://{host}")
    return found is not None and found == own


def _is_trusted(origin: str) -> bool:
    found = _parts(origin)
    if found is None:
        return False
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        wanted = _parts(trusted.replace("*.", "", 1))
        if wanted is None or (found[0], found[2]) != (wanted[0], wanted[2]):
            continue
        if found[1] == wanted[1] if "*." not in trusted else is_same_domain(found[1], f".{wanted[1]}"):
            return True
    return False


def authenticate(headers: Headers) -> Identity:
    """Returns whose handshake this is; reads the database.

    Raises:
        Refused: 401 when the token is unknown, or there is neither token nor session and anonymous
            connections are switched off.
    """
    authorization = headers.single(b"authorization")
    if authorization is not None:
        scheme, _, text = authorization.partition(" ")
        token = find_token(text.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise Refused(401, "this token is not valid")
        return Identity(user_id=token.user_id, token_id=token.pk)
    cookie = parse_cookie(headers.joined(b"cookie")).get(settings.SESSION_COOKIE_NAME)
    if cookie:
        session = _session(cookie)
        user = _user(session)
        if user is not None:
            return Identity(user_id=user.pk, session_key=session.session_key)
    if not settings.WEBSOCKET_ALLOW_ANONYMOUS:
        raise Refused(401, "sign in, or send a bearer token")
    return Identity()


def _session(key: str) -> SessionBase:
    store: type[SessionBase] = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    return store(key)


def _user(session: SessionBase) -> Any:
    """Returns the session's active user; Django's own check of backend and password hash decides."""
    request = SimpleNamespace(session=session)
    user = get_user(request)  # type: ignore[arg-type]
    return user if user.is_authenticated and user.is_active else None


def may_stream(identity: Identity) -> bool:
    """Whether this credential is allowed on the WebSocket at all; reads the database."""
    if identity.token_id is None:
        return True
    scopes = AccessToken.objects.filter(pk=identity.token_id).values_list("scopes", flat=True).first()
    return "stream" in (scopes or ())  # none: revoked since it was looked up


def verdicts(identities: Iterable[Identity]) -> dict[Identity, CloseCode]:
    """Returns why each identity that is no longer good must be closed; reads the database."""
    found: dict[Identity, CloseCode] = {}
    for identity in identities:
        code = _verdict(identity)
        if code is not None:
            found[identity] = code
    return found


def _verdict(identity: Identity) -> CloseCode | None:
    if identity.user_id is None:
        return None if settings.WEBSOCKET_ALLOW_ANONYMOUS else CloseCode.FORBIDDEN
    active = get_user_model().objects.filter(pk=identity.user_id).values_list("is_active", flat=True).first()
    if active is False:
        return CloseCode.ACCOUNT_DISABLED
    if identity.token_id is not None:
        token = AccessToken.objects.filter(pk=identity.token_id, user_id=identity.user_id).first()
        if token is None or token.is_expired or active is None:
            return CloseCode.SESSION_ENDED
        return None if "stream" in token.scopes else CloseCode.FORBIDDEN
    session = _session(identity.session_key or "")
    user = _user(session)
    return None if user is not None and user.pk == identity.user_id else CloseCode.SESSION_ENDED
