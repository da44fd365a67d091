"""Who is let in: the answers before accept, and the two closes right after it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.client import (
    Refused,
    ServerClosed,
    Socket,
    decode,
    new_address,
    raw_handshake,
    raw_handshakes,
)
from tests.contract.conftest import System, ok
from tests.live import PATIENCE, wait_until


def refusal(open_socket: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as refused:
        open_socket()
    detail = decode(refused.value.body)["detail"]
    assert isinstance(detail, str) and detail
    return refused.value


# --- 401 -------------------------------------------------------------------------------------------------------------


def test_nobody_is_answered_401_with_a_challenge(system: System) -> None:
    refused = refusal(lambda: Socket.open(system.ws, origin=system.url))
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer lf_wrong",
        "Bearer lf_" + "x" * 5000,
        "Basic ZGVtbzpkZW1v",
        "lf_wrong",
        "Bearer \xff",
    ],
)
def test_a_wrong_token_is_answered_401_even_with_a_session(system: System, authorization: str) -> None:
    cookies = system.session().cookie_header
    headers = [
        ("Host", system.url[7:]),
        ("Origin", system.url),
        ("Cookie", cookies),
        ("Authorization", authorization),
    ]
    assert raw_handshake(system.url, headers) == 401


def test_one_changed_bit_makes_a_token_wrong(system: System) -> None:
    token = system.token()
    changed = token[:-1] + chr(ord(token[-1]) ^ 1)
    headers = {"Authorization": f"Bearer {changed}"}
    assert refusal(lambda: Socket.open(system.ws, headers=headers)).status == 401


def test_a_token_in_the_address_lets_nobody_in(system: System) -> None:
    options = f"token={system.token()}&access_token={system.token()}"
    assert refusal(lambda: Socket.open(system.ws, origin=system.url, options=options)).status == 401


@pytest.mark.parametrize(
    "cookie", ["sessionid=", "sessionid=x", "sessionid=" + "a" * 4000, "sessionid=\xff", ";;=;"]
)
def test_a_wrong_session_is_answered_401(system: System, cookie: str) -> None:
    headers = [("Host", system.url[7:]), ("Origin", system.url), ("Cookie", cookie)]
    assert raw_handshake(system.url, headers) == 401


def test_a_session_that_was_logged_out_is_answered_401(system: System) -> None:
    browser = system.new_session("olga")
    cookies = browser.cookie_header
    browser.post_form("/accounts/logout/", {})
    headers = {"Cookie": cookies}
    assert refusal(lambda: Socket.open(system.ws, origin=system.url, headers=headers)).status == 401


def test_a_browser_with_its_session_is_let_in(system: System) -> None:
    data = system.connect_browser(system.session()).seen[0]["data"]
    assert data["authenticated"] is True and isinstance(data["user_id"], int)


def test_a_script_with_a_token_needs_no_origin(system: System) -> None:
    assert system.connect().seen[0]["data"]["authenticated"] is True


# --- 403 -------------------------------------------------------------------------------------------------------------

FOREIGN = [
    "null", "", "http://", "http://[", "http://[::1", "://", "//127.0.0.1:{port}", "127.0.0.1:{port}",
    "http://127.0.0.1", "http://127.0.0.1:80", "http://127.0.0.1:1{port}", "http://127.0.0.1:{port}0",
    "https://127.0.0.1:{port}", "ws://127.0.0.1:{port}", "file://127.0.0.1:{port}", "HTTP+x://127.0.0.1:{port}",
    "http://localhost:{port}", "http://evil.example", "http://evil.example:{port}", "http://127.0.0.1.evil.example:{port}",
    "http://127.0.0.1:{port}.evil.example", "http://evil.example/127.0.0.1:{port}", "http://127.0.0.1:{port}@evil.example",
    "http://user@127.0.0.1:{port}", "http://127.0.0.1:{port}/", "http://127.0.0.1:{port}?x", "http://127.0.0.1:{port}#x",
    "http://127.0.0.1:{port} http://evil.example", "http://127.0.0.1:port", "http://127.0.0.1:99999999", "http://0x7f000001:{port}",
    "http://sub.127.0.0.1:{port}", "http://xn--127-0-0-1:{port}", "\xff\xfe",
]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_an_origin_that_is_not_ours_to_the_port_is_answered_403(system: System, origin: str) -> None:
    host = system.url[7:]
    origin = origin.replace("{port}", host.partition(":")[2])
    headers = [("Host", host), ("Origin", origin), ("Cookie", system.session().cookie_header)]
    assert raw_handshake(system.url, headers) == 403


def test_a_foreign_origin_is_refused_with_a_token_too(system: System) -> None:
    headers = {"Authorization": f"Bearer {system.token()}"}
    assert (
        refusal(lambda: Socket.open(system.ws, origin="http://evil.example", headers=headers)).status == 403
    )


def test_no_origin_and_no_token_is_answered_403(system: System) -> None:
    headers = {"Cookie": system.session().cookie_header}
    assert refusal(lambda: Socket.open(system.ws, headers=headers)).status == 403


def test_two_origins_are_refused(system: System) -> None:
    headers = [("Host", system.url[7:]), ("Origin", system.url), ("Origin", system.url)]
    assert raw_handshake(system.url, headers) in (400, 403)  # the server may refuse it before us


def test_the_origin_is_checked_before_anything_else(system: System) -> None:
    headers = {"Authorization": "Bearer lf_wrong"}
    assert (
        refusal(lambda: Socket.open(system.ws, origin="http://evil.example", headers=headers)).status == 403
    )


def test_a_host_that_is_not_served_is_answered_403(system: System) -> None:
    for host in ("evil.example", "evil.example:80", "", "127.0.0.1.evil.example"):
        origin = f"http://{host}"
        headers = [("Host", host), ("Origin", origin), ("Cookie", system.session().cookie_header)]
        assert raw_handshake(system.url, headers) in (400, 403), host


@pytest.mark.parametrize("origin", ["http://127.0.0.1:{port}", "HTTP://127.0.0.1:{port}"])
def test_our_own_origin_is_let_in(system: System, origin: str) -> None:
    host = system.url[7:]
    origin = origin.replace("{port}", host.partition(":")[2])
    headers = [("Host", host), ("Origin", origin), ("Cookie", system.session().cookie_header)]
    assert raw_handshake(system.url, headers) == 101


def test_behind_a_tls_proxy_the_origin_is_https_and_nothing_else(system: System) -> None:
    host = system.url[7:]
    own = [("Host", host), ("Cookie", system.session().cookie_header), ("X-Forwarded-Proto", "https")]
    assert raw_handshake(system.url, [*own, ("Origin", f"https://{host}")]) == 101
    assert raw_handshake(system.url, [*own, ("Origin", f"http://{host}")]) == 403


# --- 429 -------------------------------------------------------------------------------------------------------------

# More than the rate lets through in the time that a busy machine takes for them.
FAR_TOO_MANY = 150


def test_more_handshakes_a_second_than_allowed_are_answered_429_for_that_address_alone(
    system: System,
) -> None:
    address = new_address()
    own = [("Host", system.url[7:]), ("Origin", system.url)]
    statuses = raw_handshakes(system.url, [[*own, ("X-Forwarded-For", address)]] * FAR_TOO_MANY)
    assert set(statuses) == {401, 429}
    assert statuses.count(401) >= 20
    assert raw_handshake(system.url, [*own, ("X-Forwarded-For", new_address())]) == 401
    refused = too_fast(system)
    assert refused.status == 429 and int(refused.headers["retry-after"]) >= 1


def too_fast(system: System) -> Refused:
    headers = {"Authorization": "Bearer lf_wrong", "X-Forwarded-For": new_address()}

    def knock(_: int) -> Refused:
        return refusal(lambda: Socket.open(system.ws, headers=headers))

    with ThreadPoolExecutor(30) as pool:
        return next(refused for refused in pool.map(knock, range(FAR_TOO_MANY)) if refused.status != 401)


def test_an_address_can_not_be_made_up_by_who_is_no_proxy(system: System) -> None:
    own = [("Host", system.url[7:]), ("Origin", system.url)]
    each = [[*own, ("X-Forwarded-For", new_address())] for _ in range(FAR_TOO_MANY)]
    assert set(raw_handshakes(system.url, each, source="127.0.0.9")) == {401, 429}


# --- after accept ----------------------------------------------------------------------------------------------------


def test_the_sixth_connection_of_a_user_is_closed_with_4503_and_the_five_live_on(system: System) -> None:
    system.add_users("sixer")
    five = [system.connect("sixer") for _ in range(5)]
    sixth = Socket.open(system.ws, headers={"Authorization": f"Bearer {system.token('sixer')}"})
    assert sixth.closed() == (4503, "connection_limit")
    for socket in five:
        socket.catch_up()
    five[0].close()
    again = connect_until_admitted(system, "sixer")
    again.catch_up()


def connect_until_admitted(system: System, username: str) -> Socket:
    """A closed connection's place is free as soon as the server has noticed the close."""
    admitted: list[Socket] = []

    def is_admitted() -> bool:
        try:
            admitted.append(system.connect(username))
        except ServerClosed:
            system.sockets.pop()
        return bool(admitted)

    wait_until(is_admitted, PATIENCE, "a free place")
    return admitted[0]


def test_a_token_without_the_scope_stream_is_closed_with_4501(system: System) -> None:
    token = system.new_token(scopes=["read"])["token"]
    socket = Socket.open(system.ws, headers={"Authorization": f"Bearer {token}"})
    assert socket.closed() == (4501, "forbidden")


def test_a_token_that_expired_is_answered_401(system: System) -> None:
    made = system.new_token()
    system.run_python(
        "from realtime.models import AccessToken; from django.utils.timezone import now\n"
        f"AccessToken.objects.filter(pk={made['id']}).update(expires_at=now())"
    )
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert refusal(lambda: Socket.open(system.ws, headers=headers)).status == 401


@pytest.mark.parametrize("path", ["", "ws/", "ws/other/", "ws/realtime", "ws/realtime/x/", "realtime/test/"])
def test_any_other_address_is_answered_404(system: System, path: str) -> None:
    headers = {"Authorization": f"Bearer {system.token()}"}
    with pytest.raises(Refused) as refused:
        Socket.open(f"{system.url.replace('http', 'ws', 1)}/{path}", headers=headers)
    assert refused.value.status == 404


def test_plain_http_on_the_websocket_address_is_no_server_error(system: System) -> None:
    assert ok(system.session().get("/healthz")).status == 200
    assert system.session().get("/ws/realtime/").status in (400, 404, 426)
