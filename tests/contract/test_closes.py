"""Every close code, what brings it about, how soon, and that others stay. 4001 and 4004 are in test_faults.py."""

import json
import socket as sockets
import time
import urllib.parse
from collections.abc import Callable, Iterator

import pytest

from tests.contract.client import Closed, Http, Refused, ServerClosed, Socket, raw_handshake
from tests.contract.conftest import PASSWORD, System, ok
from tests.contract.test_delivery import assert_shows_the_newest
from tests.live import PATIENCE, wait_until

# After the end of a session its sockets may live for five seconds; on a busy machine nobody can measure that.
PROMISED = PATIENCE


@pytest.fixture(scope="module")
def people(shared_system: System) -> None:
    shared_system.add_users("leaver", "disabled", "manytabs")
    shared_system.add_users("changer", is_staff=True)


# --- the client's fault ----------------------------------------------------------------------------------------------


def test_a_message_of_exactly_the_limit_is_read(system: System, bystander: Socket) -> None:
    socket = system.connect()
    text = json.dumps({"type": "ping", "id": "big", "data": {"x": ""}})
    padded = text.replace('"x": ""', '"x": "' + "x" * (65536 - len(text)) + '"')
    assert len(padded) == 65536
    socket.send_text(padded)
    assert socket.expect("pong")["id"] == "big"


@pytest.mark.parametrize("size", [65537, 2_000_000])
def test_a_message_over_the_limit_is_closed_with_1009(system: System, bystander: Socket, size: int) -> None:
    socket = system.connect()
    socket.send_text("x" * size)
    assert socket.closed().code == 1009


def test_a_flood_is_closed_with_4003(system: System, bystander: Socket) -> None:
    socket = system.connect()
    with pytest.raises(ServerClosed) as closed:
        # A hundred at once, then twenty a second: where sending them took long, the next ones are too many.
        for _ in range(20):
            for number in range(140):
                socket.send("ping", id=str(number))
            for _ in range(140):
                socket.expect(where=lambda frame: "id" in frame)
    assert (closed.value.code, closed.value.reason) == (4003, "rate_limited")
    codes = [frame["data"]["code"] for frame in socket.seen if frame["type"] == "error"]
    assert codes == ["rate_limited"] * 20


def test_too_many_errors_are_closed_with_4502(system: System, bystander: Socket) -> None:
    socket = system.connect()
    for _ in range(25):
        socket.send("nope")
    assert socket.closed() == Closed(4502, "too_many_errors")
    assert len([frame for frame in socket.seen if frame["type"] == "error"]) == 20


def test_guessing_portfolios_is_closed_with_4502(system: System, bystander: Socket) -> None:
    socket = system.connect()
    for number in range(25):
        socket.send("subscribe_portfolio", {"portfolio_id": 10_000 + number})
    assert socket.closed().code == 4502


# --- the end of a session --------------------------------------------------------------------------------------------


def test_logging_out_closes_the_sockets_of_that_session_with_4500(
    system: System, people: None, bystander: Socket
) -> None:
    browser, elsewhere = system.new_session("leaver"), system.new_session("leaver")
    tabs = [system.connect_browser(browser) for _ in range(2)]
    other = system.connect_browser(elsewhere)
    assert browser.post_form("/accounts/logout/", {}).status == 302
    for tab in tabs:
        assert tab.closed(within=PROMISED) == Closed(4500, "session_ended")
    other.catch_up()


def test_a_deleted_session_closes_its_sockets_with_4500(
    system: System, people: None, bystander: Socket
) -> None:
    browser = system.new_session("leaver")
    socket = system.connect_browser(browser)
    key = browser.cookies["sessionid"]
    system.run_python(
        f"from django.contrib.sessions.models import Session; Session.objects.get(pk={key!r}).delete()"
    )
    assert socket.closed(within=PROMISED).code == 4500


def test_a_deleted_token_closes_its_sockets_with_4500(
    system: System, people: None, bystander: Socket
) -> None:
    made = system.new_token("leaver")
    socket = system.greeted(Socket.open(system.ws, headers={"Authorization": f"Bearer {made['token']}"}))
    other = system.connect("leaver")
    ok(system.session("leaver").delete(f"/api/tokens/{made['id']}/"), 204)
    assert socket.closed(within=PROMISED).code == 4500
    other.catch_up()


def test_a_token_that_loses_its_scope_is_closed_with_4501(
    system: System, people: None, bystander: Socket
) -> None:
    made = system.new_token("leaver")
    socket = system.greeted(Socket.open(system.ws, headers={"Authorization": f"Bearer {made['token']}"}))
    system.run_python(
        "from realtime.models import AccessToken\n"
        f"token = AccessToken.objects.get(pk={made['id']}); token.scopes = ['read']; token.save()"
    )
    assert socket.closed(within=PROMISED).code == 4501


def test_a_new_password_closes_all_other_sessions_with_4500(
    system: System, people: None, bystander: Socket
) -> None:
    here, elsewhere = system.new_session("changer"), system.new_session("changer")
    other = system.connect_browser(elsewhere)
    by_token = system.connect("changer")
    form = {
        "old_password": PASSWORD,
        "new_password1": "another long phrase",
        "new_password2": "another long phrase",
    }
    ok(here.get("/admin/password_change/"))
    assert here.post_form("/admin/password_change/", form).status == 302
    assert other.closed(within=PROMISED) == Closed(4500, "session_ended")
    by_token.catch_up()  # a token has a life of its own
    system.connect_browser(here)


def test_a_disabled_account_is_closed_with_4504_and_then_answered_401(
    system: System, people: None, bystander: Socket
) -> None:
    browser = system.new_session("disabled")
    sockets = [system.connect_browser(browser), system.connect("disabled")]
    system.run_python(
        "from django.contrib.auth.models import User\n"
        "user = User.objects.get(username='disabled'); user.is_active = False; user.save()"
    )
    for socket in sockets:
        assert socket.closed(within=PROMISED) == Closed(4504, "account_disabled")
    with pytest.raises(Refused) as refused:
        system.connect_browser(browser)
    assert refused.value.status == 401
    with pytest.raises(Refused) as refused:
        system.connect("disabled")
    assert refused.value.status == 401


# --- a system with little patience -----------------------------------------------------------------------------------


IDLE_SECONDS = 3.0


@pytest.fixture(scope="module")
def impatient(start_system: Callable[..., System]) -> Iterator[System]:
    """A connection that has no subscription and says nothing is closed soon."""
    system = start_system(WEBSOCKET_TIMEOUT=str(IDLE_SECONDS))
    yield system
    system.close_sockets()


def test_a_silent_connection_without_subscription_is_closed_with_4002(impatient: System) -> None:
    busy = impatient.connect()
    busy.subscribe("AAPL")
    idle = impatient.connect()
    assert idle.closed() == Closed(4002, "idle")
    busy.skip()
    busy.update("AAPL")


def test_pings_keep_an_idle_connection_alive_and_unsubscribing_makes_it_idle_again(impatient: System) -> None:
    def lives_on_pings() -> bool:
        """Whether it does; False if this process stood still for so long that the close proves nothing."""
        begun = spoke_at = time.monotonic()
        socket = impatient.connect()
        try:
            while (now := time.monotonic()) - begun < 2 * IDLE_SECONDS:
                socket.catch_up()
                spoke_at = now
                time.sleep(0.1)
            socket.subscribe("MSFT")
        except ServerClosed:
            assert time.monotonic() - spoke_at >= IDLE_SECONDS, "closed although it sent pings"
            return False
        socket.request("clear_subscriptions")
        assert socket.closed().code == 4002
        return True

    assert any(lives_on_pings() for _ in range(5))


# --- a system with other limits --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict_system(start_system: Callable[..., System]) -> System:
    """Anonymous clients, a small address limit, no limit for users, and a torrent of updates."""
    return start_system(
        WEBSOCKET_ALLOW_ANONYMOUS="true",
        MAX_CONNECTIONS_PER_ADDRESS="3",
        MAX_CONNECTIONS_PER_USER="0",
        MAX_SUBSCRIPTIONS_PER_CONNECTION="0",
        WEBSOCKET_MESSAGE_RATE="0",
        WEBSOCKET_HANDSHAKE_RATE="0",
        SIMULATOR_RATE="60",
        REALTIME_FLUSH_INTERVAL_MS="5",
    )


@pytest.fixture
def strict(strict_system: System) -> Iterator[System]:
    yield strict_system
    strict_system.close_sockets()


def test_anonymous_clients_see_prices_and_no_portfolios(strict: System) -> None:
    socket = strict.greeted(Socket.open(strict.ws, origin=strict.url))
    data = socket.seen[0]["data"]
    assert (data["authenticated"], data["user_id"]) == (False, None)
    socket.subscribe("AAPL")
    socket.update("AAPL")
    error = socket.request("subscribe_portfolio", {"portfolio_id": 1})
    assert (error["type"], error["data"]["code"]) == ("error", "auth_required")
    assert error["data"]["request_type"] == "subscribe_portfolio"


def test_a_wrong_token_is_not_taken_for_an_anonymous_client(strict: System) -> None:
    headers = [("Host", strict.url[7:]), ("Authorization", "Bearer lf_wrong")]
    assert raw_handshake(strict.url, headers) == 401


def test_more_connections_than_an_address_may_have_are_answered_429(strict: System) -> None:
    here = {"X-Forwarded-For": "198.18.0.77"}
    three = [strict.greeted(Socket.open(strict.ws, origin=strict.url, headers=here)) for _ in range(3)]
    with pytest.raises(Refused) as refused:
        Socket.open(strict.ws, origin=strict.url, headers=here)
    assert refused.value.status == 429 and int(refused.value.headers["retry-after"]) > 0
    strict.greeted(Socket.open(strict.ws, origin=strict.url))  # from elsewhere
    three[0].close()
    wait_until(lambda: is_admitted(strict, here), PATIENCE, "the place to be free again")


def is_admitted(system: System, headers: dict[str, str]) -> bool:
    try:
        system.greeted(Socket.open(system.ws, origin=system.url, headers=headers))
    except Refused:
        return False
    return True


def test_a_limit_that_is_switched_off_limits_nothing(strict: System) -> None:
    many = [strict.connect() for _ in range(8)]
    for socket in many:
        for _ in range(150):
            socket.send("ping")
    for socket in many:
        socket.catch_up()
        assert len([frame for frame in socket.seen if frame["type"] == "pong"]) >= 150


def test_a_reader_that_takes_nothing_is_closed_with_4000_and_costs_the_others_nothing(strict: System) -> None:
    symbols = [asset["symbol"] for asset in ok(strict.session().get("/api/assets/")).json["results"]]
    slow, other = strict.greeted(slow_reader(strict)), strict.connect()
    slow.send("subscribe_asset", {"symbols": symbols, "mode": "full"})
    other.subscribe("AAPL")
    before = strict.metric("ws_closed_total", code="4000")

    seen: set[int] = set()

    def is_closed() -> bool:
        other.skip()
        seen.add(other.update("AAPL")["seq"])
        return strict.metric("ws_closed_total", code="4000") > before

    wait_until(is_closed, 60, "the server to give up on the slow reader")
    assert len(seen) > 10, "the other had to wait as well"
    assert slow.closed() == Closed(4000, "slow_consumer")
    other.skip()
    other.update("AAPL")


def slow_reader(system: System) -> Socket:
    """A client that stops reading after a few frames, with little room in between."""
    target = urllib.parse.urlsplit(system.url)
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    connection.connect((target.hostname, target.port))
    headers = {"Authorization": f"Bearer {system.token()}"}
    return Socket.open(system.ws, headers=headers, sock=connection, max_queue=2)


def test_a_reader_that_is_only_slow_gets_the_newest_values(strict: System) -> None:
    slow, fast = strict.connect(options="max_rate=1"), strict.connect()
    slow.subscribe("AAPL")
    fast.subscribe("AAPL")
    for _ in range(3):
        slow.update("AAPL")
    assert_shows_the_newest(slow, fast, "AAPL")
    assert strict.metric("ws_conflated_total") > 0
    ids = [frame["data"]["connection_id"] for socket in (slow, fast) for frame in socket.seen[:1]]

    def shown() -> dict[str, int]:
        found: dict[str, int] = ok(strict.session().get("/realtime/status/")).json["user_stats"]["conflated"]
        return found

    def is_told_apart() -> bool:
        found = shown()
        return found.get(ids[0], 0) > found.get(ids[1], 0)

    wait_until(is_told_apart, 30, "the reader that keeps up to be told apart")


def test_a_client_that_vanishes_leaves_nothing_behind(strict: System) -> None:
    watcher = Http(strict.url).login("demo", "demo")
    gone = strict.connect()
    gone.subscribe("AAPL")

    def count() -> int:
        return int(ok(watcher.get("/realtime/status/")).json["user_stats"]["connection_count"])

    wait_until(lambda: count() == 1, PATIENCE, "the connection to be counted")
    gone.abort()
    wait_until(lambda: count() == 0, PATIENCE, "the connection to be forgotten")


def test_clients_that_vanish_while_they_subscribe_leave_no_subscription(strict: System) -> None:
    symbols = [asset["symbol"] for asset in ok(strict.session().get("/api/assets/")).json["results"]]
    for number in range(30):
        socket = strict.connect()
        for symbol in symbols[: 1 + number % len(symbols)]:
            socket.send("subscribe_asset", {"symbol": symbol, "mode": ("ltpc", "quote", "full")[number % 3]})
            if number % 2:
                socket.send("unsubscribe_asset", {"symbol": symbol})
        socket.send("subscribe_portfolio", {"portfolio_id": 1 + number % 3})
        socket.abort()
    wait_until(lambda: strict.metric("ws_connections") == 0, PATIENCE, "all connections to be forgotten")
    assert strict.metric("ws_subscriptions") == 0
    socket = strict.connect()
    socket.subscribe(*symbols)
    for symbol in symbols:
        socket.update(symbol)
