"""Who may open a WebSocket: origin first, then a session or a bearer token, checked again while it is open.

Refusals here are HTTP answers before the upgrade. A browser always sends an Origin, so a session without one is
refused; a token needs none.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user,
    get_user_model,
)
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils.crypto import constant_time_compare
from django.utils.http import is_same_domain
from django.utils.module_loading import import_string

from assets.redistribution import Viewer, anybody, viewer_of
from realtime.models import AccessToken
from realtime.protocol import CloseCode
from realtime.tokens import find_token

USUAL_BACKEND = "django.contrib.auth.backends.ModelBackend"
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
    may_stream: bool = True  # whether this credential is allowed on the WebSocket at all
    viewer: Viewer = field(default_factory=anybody, compare=False)

    @property
    def is_authenticated(self) -> bool:
        return self.user_id is not None


def session_digest(session_key: str) -> str:
    """A session's name between processes: the key itself is a secret and stays out of messages."""
    return hashlib.sha256(session_key.encode()).hexdigest()


class Credential(NamedTuple):
    """What a handshake shows to say who it is; the secret itself."""

    kind: Literal["session", "token"]
    text: str


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
    if not _is_served(host, tuple(allowed_hosts)):
        raise Refused(403, "this host is not served here")
    origin = headers.single(b"origin")
    if origin is None:
        if headers.single(b"authorization") is None:
            raise Refused(403, "expected an Origin header, or a bearer token")
        return
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
    if not _is_welcome(origin, scheme, host, tuple(settings.CSRF_TRUSTED_ORIGINS)):
        raise Refused(403, "this origin is not allowed")


# Nearly all handshakes have one of a few hosts and origins, and parsing them cost a twentieth of a handshake. Small,
# because what a client makes up is remembered too: a header may have 8 KB.
@lru_cache(128)
def _is_served(host: str, allowed_hosts: tuple[str, ...]) -> bool:
    return validate_host(split_domain_port(host)[0], allowed_hosts)


@lru_cache(128)
def _is_welcome(origin: str, scheme: str, host: str, trusted: tuple[str, ...]) -> bool:
    return _same_origin(origin, scheme, host) or _is_trusted(origin, trusted)


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


def _is_trusted(origin: str, trusted: tuple[str, ...]) -> bool:
    found = _parts(origin)
    if found is None:
        return False
    for pattern in trusted:
        wanted = _parts(pattern.replace("*.", "", 1))
        if wanted is None or (found[0], found[2]) != (wanted[0], wanted[2]):
            continue
        if found[1] == wanted[1] if "*." not in pattern else is_same_domain(found[1], f".{wanted[1]}"):
            return True
    return False


def credential_of(headers: Headers) -> Credential | None:
    """Returns what a handshake shows: a token before a session, and None when it has neither.

    An Authorization header that holds no bearer token is a token that nobody has.
    """
    authorization = headers.single(b"authorization")
    if authorization is not None:
        scheme, _, text = authorization.partition(" ")
        return Credential("token", text.strip() if scheme.lower() == "bearer" else "")
    cookie = parse_cookie(headers.joined(b"cookie")).get(settings.SESSION_COOKIE_NAME)
    return Credential("session", cookie) if cookie else None


def identify(credentials: Sequence[Credential]) -> list[Identity | Exception]:
    """Returns whose each credential is, or why it is nobody's; reads the database, users all at once.

    A Refused stands for a credential that is unknown where anonymous connections are switched off (401). Any other
    exception is a fault with this one; the others may be good.
    """
    sessions = {one: _loaded(one.text) for one in credentials if one.kind == "session"}
    user_ids = {_user_id(session) for session in sessions.values() if isinstance(session, SessionBase)}
    users = get_user_model()._default_manager.in_bulk(user_ids - {None})
    found: list[Identity | Exception] = []
    for one in credentials:
        try:
            found.append(
                _identity_of_token(one.text) if one.kind == "token" else _identity_of(sessions[one], users)
            )
        except Exception as error:
            found.append(error)
    return found


def _identity_of_token(text: str) -> Identity:
    token = find_token(text)
    if token is None:
        raise Refused(401, "this token is not valid")
    return Identity(
        user_id=token.user_id,
        token_id=token.pk,
        may_stream="stream" in token.scopes,
        viewer=viewer_of(token.user),
    )


def _identity_of(session: SessionBase | Exception, users: Mapping[Any, Any]) -> Identity:
    if isinstance(session, Exception):
        raise session
    user = _user(session, users)
    if user is None:
        return anonymous()
    return Identity(user_id=user.pk, session_key=session.session_key, viewer=viewer_of(user))


def anonymous() -> Identity:
    """Returns nobody's identity; raises Refused(401) when anonymous connections are switched off."""
    if not settings.WEBSOCKET_ALLOW_ANONYMOUS:
        raise Refused(401, "sign in, or send a bearer token")
    return Identity()


def _loaded(key: str) -> SessionBase | Exception:
    store: type[SessionBase] = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    session = store(key)
    try:
        session.get(SESSION_KEY)
    except Exception as error:
        return error
    return session


def _user_id(session: SessionBase) -> Any:
    """Returns the primary key of the user that a session says it is of; None where it says none."""
    try:
        return get_user_model()._meta.pk.to_python(session[SESSION_KEY])
    except (KeyError, ValidationError):
        return None


def _user(session: SessionBase, users: Mapping[Any, Any]) -> Any:
    """Returns the session's active user, as Django's own check of backend and password hash decides.

    Args:
        users: those already read, by primary key. Django would read each anew, which was a fourth of a handshake.
    """
    user_id = _user_id(session)
    if user_id is None:
        return None
    user = users.get(user_id)
    is_usual = (
        session.get(BACKEND_SESSION_KEY) == USUAL_BACKEND
        and USUAL_BACKEND in settings.AUTHENTICATION_BACKENDS
    )
    if not (user and is_usual and _is_of(session, user)):  # of another backend, an old secret, or nobody
        user = get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]
    return user if user.is_authenticated and user.is_active else None


def _is_of(session: SessionBase, user: Any) -> bool:
    return constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash())


def verdicts(identities: Collection[Identity]) -> dict[Identity, CloseCode]:
    """Returns why each identity that is no longer good must be closed; reads the database.

    Of one that is there several times, each may have been found when it could see something else.
    """
    users = get_user_model()._default_manager.in_bulk(
        {identity.user_id for identity in identities if identity.user_id is not None}
    )
    found: dict[Identity, CloseCode] = {}
    for identity in {(one, one.viewer): one for one in identities}.values():
        code = _verdict(identity, users) or _verdict_of_viewer(identity, users)
        if code is not None:
            found[identity] = code
    return found


def _verdict_of_viewer(identity: Identity, users: Mapping[Any, Any]) -> CloseCode | None:
    """Who may see less than before comes back as who it is now."""
    user = users.get(identity.user_id)
    is_less = user is not None and not viewer_of(user).covers(identity.viewer)
    return CloseCode.STATE_LOST if is_less else None


def _verdict(identity: Identity, users: Mapping[Any, Any]) -> CloseCode | None:
    if identity.user_id is None:
        return None if settings.WEBSOCKET_ALLOW_ANONYMOUS else CloseCode.FORBIDDEN
    if identity.user_id not in users:
        return CloseCode.SESSION_ENDED
    if not users[identity.user_id].is_active:
        return CloseCode.ACCOUNT_DISABLED
    if identity.token_id is not None:
        token = AccessToken.objects.filter(pk=identity.token_id, user_id=identity.user_id).first()
        if token is None or token.is_expired:
            return CloseCode.SESSION_ENDED
        return None if "stream" in token.scopes else CloseCode.FORBIDDEN
    session = _loaded(identity.session_key or "")
    if isinstance(session, Exception):
        raise session
    user = _user(session, users)
    return None if user is not None and user.pk == identity.user_id else CloseCode.SESSION_ENDED
