"""Who may open a WebSocket, and who may keep it."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.test import TestCase, override_settings
from django.utils import timezone
from django.utils.module_loading import import_string

from assets.redistribution import viewer_of
from realtime.handshake import (
    Credential,
    Headers,
    Identity,
    Refused,
    anonymous,
    check_origin,
    credential_of,
    identify,
    session_digest,
    verdicts,
)
from realtime.models import AccessToken
from realtime.protocol import CloseCode
from realtime.tokens import new_token

TRUSTED = ["https://app.example.com", "https://*.trusted.org", "http://lan.example.com:8080"]
HOSTS = ["folio.example.com", "localhost", "[::1]"]


def make_scope(*headers: tuple[str, str], scheme: str = "ws") -> dict[str, Any]:
    return {
        "type": "websocket",
        "scheme": scheme,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


def origin_status(scope: dict[str, Any]) -> int | None:
    """Returns the HTTP status of a refusal, or None for a welcome."""
    try:
        with override_settings(ALLOWED_HOSTS=HOSTS, CSRF_TRUSTED_ORIGINS=TRUSTED):
            check_origin(scope, Headers(scope))
    except Refused as refusal:
        return refusal.status
    return None


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("ws", "folio.example.com", "http://folio.example.com"),
        ("ws", "folio.example.com:80", "http://folio.example.com"),
        ("ws", "folio.example.com", "http://folio.example.com:80"),
        ("ws", "folio.example.com:8000", "http://folio.example.com:8000"),
        ("wss", "folio.example.com", "https://folio.example.com"),
        ("wss", "folio.example.com", "https://folio.example.com:443"),
        ("ws", "FOLIO.example.com", "http://folio.EXAMPLE.com"),
        ("ws", "localhost:8000", "http://localhost:8000"),
        ("ws", "[::1]:8000", "http://[::1]:8000"),
        ("wss", "folio.example.com", "https://app.example.com"),
        ("ws", "folio.example.com", "https://app.example.com"),
        ("ws", "folio.example.com", "http://lan.example.com:8080"),
        ("ws", "folio.example.com", "https://a.trusted.org"),
        ("ws", "folio.example.com", "https://a.b.trusted.org:443"),
    ],
)
def test_the_own_origin_and_trusted_ones_are_welcome(scheme: str, host: str, origin: str) -> None:
    assert origin_status(make_scope(("host", host), ("origin", origin), scheme=scheme)) is None


@pytest.mark.parametrize(
    ("scheme", "origin"),
    [
        ("ws", "https://folio.example.com"),
        ("wss", "http://folio.example.com"),
        ("ws", "http://folio.example.com:9999"),
        ("ws", "http://folio.example.com:8000"),
        ("ws", "http://localhost"),
        ("ws", "http://evil.com"),
        ("ws", "http://folio.example.com.evil.com"),
        ("ws", "http://evil.com#folio.example.com"),
        ("ws", "http://evil.com/folio.example.com"),
        ("ws", "http://folio.example.com@evil.com"),
        ("ws", "http://user@folio.example.com"),
        ("ws", "http://sub.folio.example.com"),
        ("ws", "http://example.com"),
        ("ws", "http://xfolio.example.com"),
        ("ws", "ws://folio.example.com"),
        ("ws", "file://folio.example.com"),
        ("ws", "chrome-extension://folio.example.com"),
        ("ws", "folio.example.com"),
        ("ws", "//folio.example.com"),
        ("ws", "null"),
        ("ws", ""),
        ("ws", "*"),
        ("ws", "http://"),
        ("ws", "http://["),
        ("ws", "http://[::1"),
        ("ws", "http://folio.example.com:port"),
        ("ws", "http://folio.example.com:99999"),
        ("ws", "http://folio.example.com:-1"),
        ("ws", "http://app.example.com"),
        ("ws", "https://app.example.com:444"),
        ("ws", "https://x.app.example.com"),
        ("ws", "http://lan.example.com"),
        ("ws", "http://a.trusted.org"),
        ("ws", "https://atrusted.org"),
        ("ws", "https://trusted.org.evil.com"),
        ("ws", "https://a.trusted.org:8443"),
        ("ws", "http://f\xf6lio.example.com"),
    ],
)
def test_any_other_origin_is_forbidden(scheme: str, origin: str) -> None:
    scope = make_scope(("host", "folio.example.com"), ("origin", origin), scheme=scheme)

    assert origin_status(scope) == 403


@pytest.mark.parametrize("host", ["", "evil.com", "folio.example.com.evil.com", "folio.example.com:x", "["])
def test_a_host_that_is_not_served_is_forbidden(host: str) -> None:
    assert origin_status(make_scope(("host", host), ("origin", f"http://{host}"))) == 403


def test_without_an_origin_only_a_token_may_try() -> None:
    assert origin_status(make_scope(("host", "localhost"))) == 403
    assert origin_status(make_scope(("host", "localhost"), ("cookie", "sessionid=x"))) == 403
    assert origin_status(make_scope(("host", "localhost"), ("authorization", "Bearer lf_x"))) is None


def test_a_token_does_not_excuse_a_foreign_origin() -> None:
    scope = make_scope(("host", "localhost"), ("authorization", "Bearer x"), ("origin", "http://evil.com"))

    assert origin_status(scope) == 403


@pytest.mark.parametrize("name", ["host", "origin"])
def test_a_repeated_header_is_forbidden(name: str) -> None:
    single = {"host": "localhost", "origin": "http://localhost"}
    scope = make_scope(*single.items(), (name, single[name]))

    assert origin_status(scope) == 403


# --- who it is -------------------------------------------------------------------------------------------------------


def make_session(user: User) -> SessionBase:
    """A session as a login leaves it."""
    session: SessionBase = import_string(f"{settings.SESSION_ENGINE}.SessionStore")()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session


def make_token(user: User, **values: Any) -> tuple[str, AccessToken]:
    text, digest = new_token()
    return text, AccessToken.objects.create(user=user, name="t", digest=digest, prefix=text[:8], **values)


def cookie(session: SessionBase) -> Headers:
    return Headers(make_scope(("cookie", f"theme=dark; sessionid={session.session_key}")))


def bearer(text: str) -> Headers:
    return Headers(make_scope(("authorization", f"Bearer {text}")))


def authenticate(headers: Headers) -> Identity:
    """Returns whose handshake this is, as the server finds out; raises Refused."""
    credential = credential_of(headers)
    if credential is None:
        return anonymous()
    (found,) = identify([credential])
    if isinstance(found, Exception):
        raise found
    return found


class AuthenticateTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("alice", password="secret")

    def refused(self, headers: Headers) -> int:
        with self.assertRaises(Refused) as caught:
            authenticate(headers)
        return caught.exception.status

    def test_a_session_is_its_users(self) -> None:
        session = make_session(self.user)

        identity = authenticate(cookie(session))

        self.assertEqual(identity, Identity(user_id=self.user.pk, session_key=session.session_key))
        self.assertTrue(identity.is_authenticated)
        self.assertTrue(identity.may_stream)

    def test_cookies_may_come_in_several_headers(self) -> None:
        key = make_session(self.user).session_key
        scope = make_scope(("cookie", "theme=dark"), ("cookie", f"sessionid={key}"))

        self.assertEqual(authenticate(Headers(scope)).user_id, self.user.pk)

    def test_a_session_that_is_unknown_ended_or_of_an_old_password_is_refused(self) -> None:
        session = make_session(self.user)
        self.assertEqual(self.refused(Headers(make_scope())), 401)
        self.assertEqual(self.refused(Headers(make_scope(("cookie", "sessionid=nope; a=\x00")))), 401)
        self.user.set_password("other")
        self.user.save()
        self.assertEqual(self.refused(cookie(session)), 401)
        again = make_session(self.user)
        again.delete()
        self.assertEqual(self.refused(cookie(again)), 401)

    def test_an_expired_session_is_refused(self) -> None:
        session = make_session(self.user)
        session.set_expiry(-1)
        session.save()

        self.assertEqual(self.refused(cookie(session)), 401)

    def test_a_disabled_account_is_refused(self) -> None:
        session = make_session(self.user)
        text, _ = make_token(self.user)
        self.user.is_active = False
        self.user.save()

        self.assertEqual(self.refused(cookie(session)), 401)
        self.assertEqual(self.refused(bearer(text)), 401)

    def test_a_token_is_its_users_and_remembers_when_it_was_used(self) -> None:
        text, token = make_token(self.user)

        self.assertEqual(authenticate(bearer(text)), Identity(user_id=self.user.pk, token_id=token.pk))
        token.refresh_from_db()
        used_at = token.last_used_at
        assert used_at is not None
        self.assertLess(timezone.now() - used_at, timedelta(minutes=1))
        with self.assertNumQueries(1):
            authenticate(bearer(text))

    def test_a_token_that_is_changed_expired_or_revoked_is_refused(self) -> None:
        text, token = make_token(self.user)
        other = "a" if text[-1] != "a" else "b"
        for wrong in (text[:-1] + other, text[:-1], text + "x", text.upper(), "lf_", "", "x" * 5000):
            self.assertEqual(self.refused(bearer(wrong)), 401)
        self.assertEqual(self.refused(Headers(make_scope(("authorization", f"Basic {text}")))), 401)
        self.assertEqual(self.refused(Headers(make_scope(("authorization", text)))), 401)
        expired, _ = make_token(self.user, expires_at=timezone.now() - timedelta(seconds=1))
        self.assertEqual(self.refused(bearer(expired)), 401)
        token.delete()
        self.assertEqual(self.refused(bearer(text)), 401)

    def test_only_a_hash_of_a_token_is_stored(self) -> None:
        text, token = make_token(self.user)
        row = AccessToken.objects.filter(pk=token.pk).values().get()

        self.assertNotIn(text, str(row))
        self.assertNotIn(text[10:], str(row))

    def test_a_wrong_token_never_falls_back_to_the_session(self) -> None:
        key = make_session(self.user).session_key
        scope = make_scope(("cookie", f"sessionid={key}"), ("authorization", "Bearer lf_wrong"))

        self.assertEqual(self.refused(Headers(scope)), 401)

    def test_anonymous_connections_are_a_setting(self) -> None:
        with override_settings(WEBSOCKET_ALLOW_ANONYMOUS=True):
            identity = authenticate(Headers(make_scope(("cookie", "sessionid=unknown"))))
            self.assertEqual(identity, Identity())
            self.assertFalse(identity.is_authenticated)
            self.assertTrue(identity.may_stream)
            self.assertEqual(authenticate(Headers(make_scope())), Identity())
            self.assertEqual(self.refused(bearer("lf_wrong")), 401)

    def test_a_token_streams_only_with_its_scope(self) -> None:
        reader, _ = make_token(self.user, scopes=["read", "write"])
        streamer, _ = make_token(self.user, scopes=["stream"])

        self.assertFalse(authenticate(bearer(reader)).may_stream)
        self.assertTrue(authenticate(bearer(streamer)).may_stream)

    def test_a_session_is_no_token_and_a_token_no_session(self) -> None:
        key = make_session(self.user).session_key or ""
        text, _ = make_token(self.user)

        self.assertEqual(self.refused(bearer(key)), 401)
        self.assertEqual(self.refused(Headers(make_scope(("cookie", f"sessionid={text}")))), 401)

    def test_many_are_read_together_and_a_bad_one_harms_no_other(self) -> None:
        others = [User.objects.create_user(f"user{n}") for n in range(5)]
        keys = [make_session(user).session_key or "" for user in others]
        text, token = make_token(self.user)
        good = [Credential("session", key) for key in keys]
        bad = [Credential("session", "unknown-session"), Credential("token", "lf_wrong")]

        with self.assertNumQueries(1 + 1 + 1 + 2):  # an unknown session, all users, and each token
            found = identify([*good[:3], *bad, Credential("token", text), *good[3:]])

        self.assertEqual(
            [one for one in found if isinstance(one, Identity)],
            [
                *(Identity(user_id=others[n].pk, session_key=keys[n]) for n in range(3)),
                Identity(user_id=self.user.pk, token_id=token.pk),
                *(Identity(user_id=others[n].pk, session_key=keys[n]) for n in (3, 4)),
            ],
        )
        self.assertEqual([one.status for one in found if isinstance(one, Refused)], [401, 401])

    def test_a_session_under_an_old_secret_is_good_as_long_as_django_says(self) -> None:
        with override_settings(SECRET_KEY="an old secret of sufficient length"):
            session = make_session(self.user)
        self.assertEqual(self.refused(cookie(session)), 401)
        with override_settings(SECRET_KEY="an old secret of sufficient length"):
            session = make_session(self.user)
        with override_settings(SECRET_KEY_FALLBACKS=["an old secret of sufficient length"]):
            self.assertEqual(authenticate(cookie(session)).user_id, self.user.pk)

    @override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.AllowAllUsersModelBackend"])
    def test_a_session_of_a_backend_that_is_no_longer_used_is_refused(self) -> None:
        self.assertEqual(self.refused(cookie(make_session(self.user))), 401)

    def test_a_session_of_nobody_is_refused(self) -> None:
        session: SessionBase = import_string(f"{settings.SESSION_ENGINE}.SessionStore")()
        session["theme"] = "dark"
        session.create()
        self.assertEqual(self.refused(cookie(session)), 401)
        session[SESSION_KEY] = "no number"
        session.save()
        self.assertEqual(self.refused(cookie(session)), 401)


class VerdictTests(TestCase):
    """What becomes of connections that are open already."""

    def setUp(self) -> None:
        self.user = User.objects.create_user("alice", password="secret")
        self.session = make_session(self.user)
        self.by_session = Identity(user_id=self.user.pk, session_key=self.session.session_key)
        _, self.token = make_token(self.user)
        self.by_token = Identity(user_id=self.user.pk, token_id=self.token.pk)

    def verdicts(self) -> dict[Identity, CloseCode]:
        return verdicts([self.by_session, self.by_token])

    def test_good_ones_stay(self) -> None:
        self.assertEqual(self.verdicts(), {})

    def test_a_logout_ends_the_session_and_not_the_token(self) -> None:
        self.session.delete()

        self.assertEqual(self.verdicts(), {self.by_session: CloseCode.SESSION_ENDED})

    def test_a_new_password_ends_sessions(self) -> None:
        self.user.set_password("other")
        self.user.save()

        self.assertEqual(self.verdicts(), {self.by_session: CloseCode.SESSION_ENDED})

    def test_a_session_that_is_somebody_elses_now_ends(self) -> None:
        other = User.objects.create_user("bob", password="secret")
        self.session[SESSION_KEY] = str(other.pk)
        self.session[HASH_SESSION_KEY] = other.get_session_auth_hash()
        self.session.save()

        self.assertEqual(self.verdicts(), {self.by_session: CloseCode.SESSION_ENDED})

    def test_a_disabled_account_ends_everything_of_it(self) -> None:
        self.user.is_active = False
        self.user.save()

        self.assertEqual(
            self.verdicts(),
            {self.by_session: CloseCode.ACCOUNT_DISABLED, self.by_token: CloseCode.ACCOUNT_DISABLED},
        )

    def test_a_deleted_account_ends_everything_of_it(self) -> None:
        self.user.delete()

        self.assertEqual(
            self.verdicts(),
            {self.by_session: CloseCode.SESSION_ENDED, self.by_token: CloseCode.SESSION_ENDED},
        )

    def test_a_token_that_is_revoked_or_expired_ends(self) -> None:
        self.token.expires_at = timezone.now() - timedelta(seconds=1)
        self.token.save()
        self.assertEqual(self.verdicts(), {self.by_token: CloseCode.SESSION_ENDED})
        self.token.delete()
        self.assertEqual(self.verdicts(), {self.by_token: CloseCode.SESSION_ENDED})

    def test_a_token_that_lost_its_scope_is_forbidden(self) -> None:
        self.token.scopes = ["read"]
        self.token.save()

        self.assertEqual(self.verdicts(), {self.by_token: CloseCode.FORBIDDEN})

    def test_who_is_no_owner_any_more_comes_back_as_who_it_is_now(self) -> None:
        self.user.is_superuser = True
        self.user.save()
        owner = Identity(
            user_id=self.user.pk, session_key=self.session.session_key, viewer=viewer_of(self.user)
        )
        self.assertEqual(verdicts([owner]), {})
        User.objects.create_superuser("another")
        self.assertEqual(verdicts([owner]), {owner: CloseCode.STATE_LOST})

    def test_anonymous_ones_stay_as_long_as_the_setting_says(self) -> None:
        with override_settings(WEBSOCKET_ALLOW_ANONYMOUS=True):
            self.assertEqual(verdicts([Identity()]), {})
        self.assertEqual(verdicts([Identity()]), {Identity(): CloseCode.FORBIDDEN})


def test_a_sessions_digest_tells_nothing_of_its_key() -> None:
    assert session_digest("abc") == session_digest("abc") != session_digest("abd")
    assert "abc" not in session_digest("abc")
    assert len(session_digest("abc")) == 64
