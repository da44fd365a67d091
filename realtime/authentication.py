"""Who may use REST: a script by its bearer token, a browser by its session.

Apart from `realtime.api`, because REST framework loads these classes while it is itself being imported.
"""

from typing import Any

from django.contrib.auth.models import AbstractUser
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from realtime.models import AccessToken
from realtime.tokens import find_token


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer lf_…`, for scripts. A wrong token is a 401, never a fall-back to the session."""

    def authenticate(self, request: Request) -> tuple[AbstractUser, AccessToken] | None:
        scheme, _, text = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        token = find_token(text.strip().decode("latin-1"))
        if token is None:
            raise AuthenticationFailed("expected a valid token, was an unknown, expired or revoked one")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="livefolio"'


class HasScope(BasePermission):
    """A token needs `read` to look and `write` to change; a session has both."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, AccessToken):
            return True
        needed = "read" if request.method in SAFE_METHODS else "write"
        if needed not in request.auth.scopes:
            self.message = f"expected a token with the scope {needed}"
            return False
        return True
