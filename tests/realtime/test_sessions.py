"""What ends a session, token or account anywhere closes its sockets, through a real database, Redis and layer."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.test import Client as Browser
from django.utils import timezone

from realtime.bus import WebBus, announce
from realtime.handshake import Identity, session_digest
from realtime.hub import Hub
from realtime.models import AccessToken
from realtime.tokens import new_token
from tests.portfolio.builders import in_thread
from tests.realtime.builders import WITHIN, Client, Clock, eventually
from tests.realtime.conftest import MakeWeb, NewClient, NewHub

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]


class World:
    """Two users, each with a session and a token, as rows and as a browser."""

    def __init__(self) -> None:
        self.users = [User.objects.create_user(name, password="secret") for name in ("alice", "bob")]
        self.browsers = [Browser(), Browser()]
        self.tokens: list[AccessToken] = []
        for user, browser in zip(self.users, self.browsers, strict=True):
            assert browser.login(username=user.username, password="secret")
            self.tokens.append(AccessToken.objects.create(user=user, name="t", digest=new_token()[1]))

    def by_session(self, index: int = 0) -> Identity:
        return Identity(user_id=self.users[index].pk, session_key=self.key(index))

    def by_token(self, index: int = 0) -> Identity:
        return Identity(user_id=self.users[index].pk, token_id=self.tokens[index].pk)

    def key(self, index: int = 0) -> str:
        return self.browsers[index].cookies[settings.SESSION_COOKIE_NAME].value


def log_out(world: World) -> None:
    world.browsers[0].logout()


def delete_the_session(world: World) -> None:
    world.browsers[0].session.delete()


def let_the_session_expire(world: World) -> None:
    session = world.browsers[0].session
    session.set_expiry(-10)
    session.save()
    call_command("clearsessions")


def change_the_password(world: World) -> None:
    world.users[0].set_password("other")
    world.users[0].save()


def disable_the_account(world: World) -> None:
    world.users[0].is_active = False
    world.users[0].save()


def delete_the_account(world: World) -> None:
    world.users[0].delete()


def revoke_the_token(world: World) -> None:
    world.tokens[0].delete()


def let_the_token_expire(world: World) -> None:
    world.tokens[0].expires_at = timezone.now() - timedelta(seconds=1)
    world.tokens[0].save()


def narrow_the_token(world: World) -> None:
    world.tokens[0].scopes = ["read"]
    world.tokens[0].save()


ENDED, FORBIDDEN, DISABLED = 4500, 4501, 4504


@pytest.mark.parametrize(
    ("end", "session", "token"),
    [
        (log_out, ENDED, None),
        (delete_the_session, ENDED, None),
        (let_the_session_expire, ENDED, None),
        (change_the_password, ENDED, None),
        (disable_the_account, DISABLED, DISABLED),
        (delete_the_account, ENDED, ENDED),
        (revoke_the_token, None, ENDED),
        (let_the_token_expire, None, ENDED),
        (narrow_the_token, None, FORBIDDEN),
    ],
)
async def test_what_ends_closes_its_own_sockets_and_no_others(
    new_hub: NewHub,
    new_client: NewClient,
    end: Callable[[World], None],
    session: int | None,
    token: int | None,
) -> None:
    world = await in_thread(World)
    hub = await new_hub()
    by_session, by_token = new_client(hub, world.by_session()), new_client(hub, world.by_token())
    others = [new_client(hub, world.by_session(1)), new_client(hub, world.by_token(1))]

    await in_thread(lambda: end(world))

    for client, code in ((by_session, session), (by_token, token)):
        if code is not None:
            await eventually(partial(getattr, client.connection, "closing"), "it to be closed")
        assert (client.connection.closing or (None,))[0] == code
    assert not any(other.connection.closing for other in others)


async def test_what_was_not_announced_is_found_within_a_minute(
    new_hub: NewHub, new_client: NewClient
) -> None:
    world = await in_thread(World)
    clock = Clock()
    hub = await new_hub(clock)
    client = new_client(hub, world.by_session())
    await hub.bus.deafen()
    await in_thread(lambda: User.objects.filter(pk=world.users[0].pk).update(is_active=False))

    clock.moment += 61

    await eventually(lambda: client.connection.closing, "it to be closed")
    assert client.connection.closing == (4504, "account_disabled")


# --- what is announced -----------------------------------------------------------------------------------------------


async def heard(bus: WebBus, work: Callable[[], None]) -> list[dict[str, Any]]:
    """Returns what every web process hears of some work."""
    await bus.listen()
    await in_thread(work)
    await in_thread(lambda: announce({"type": "the.end"}))
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(WITHIN):
        while {"type": "the.end"} not in found:
            found.append(dict(await bus.receive()))
    return found[:-1]


async def test_a_login_ends_nothing(web: MakeWeb) -> None:
    world = await in_thread(World)

    def work() -> None:
        assert Browser().login(username="alice", password="secret")
        User.objects.create_user("carol")
        AccessToken.objects.create(user=world.users[1], name="new", digest=new_token()[1])

    messages = await heard(web("w"), work)

    # The browser's session of before is over, and nobody has a socket of that.
    assert {message["type"] for message in messages} <= {"session.ended"}
    ended = {message["session"] for message in messages}
    assert not ended & {session_digest(world.key(index)) for index in (0, 1)}


async def test_the_key_of_a_session_never_travels(web: MakeWeb) -> None:
    world = await in_thread(World)
    key = world.key()

    messages = await heard(web("w"), lambda: log_out(world))

    assert {"type": "session.ended", "session": session_digest(key)} in messages
    assert key not in str(messages)


async def test_nothing_is_announced_that_is_rolled_back(web: MakeWeb) -> None:
    world = await in_thread(World)

    def work() -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            disable_the_account(world)
            raise RuntimeError

    assert await heard(web("w"), work) == []


async def test_connections_of_nobody_are_left_alone(new_hub: NewHub, new_client: NewClient) -> None:
    world = await in_thread(World)
    hub: Hub = await new_hub()
    anonymous: Client = new_client(hub)
    mine = new_client(hub, world.by_session())

    await in_thread(lambda: disable_the_account(world))

    await eventually(lambda: mine.connection.closing, "mine to be closed")
    assert anonymous.connection.closing is None
