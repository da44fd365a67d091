"""Whose credentials are whose: remembered for five seconds, and never beyond a revocation."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
from django.contrib.auth.models import User

from realtime.handshake import Credential, Identity, Refused, identify
from realtime.hub import Hub
from realtime.identities import KEEP_SECONDS, MOST_KEPT, MOST_TOGETHER, Identities
from realtime.models import AccessToken
from realtime.tokens import new_token
from tests.portfolio.builders import in_thread
from tests.realtime.builders import Clock, eventually
from tests.realtime.conftest import NewHub
from tests.realtime.test_sessions import (
    World,
    change_the_password,
    delete_the_account,
    delete_the_session,
    disable_the_account,
    log_out,
    narrow_the_token,
    revoke_the_token,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]


class Gate:
    """The real look-up, which may be held back once it has read."""

    def __init__(self, is_open: bool = True) -> None:
        self.asked: list[Sequence[Credential]] = []
        self._open = threading.Event()
        if is_open:
            self._open.set()

    def load(self, credentials: Sequence[Credential]) -> list[Identity | Exception]:
        found = identify(credentials)
        self.asked.append(credentials)
        self._open.wait(10)
        return found

    def open(self) -> None:
        self._open.set()


def session_of(world: World, index: int = 0) -> Credential:
    return Credential("session", world.key(index))


def make_token(world: World, index: int = 0, **fields: object) -> Credential:
    text, digest = new_token()
    world.tokens[index] = AccessToken.objects.create(
        user=world.users[index], name="t", digest=digest, **fields
    )
    return Credential("token", text)


async def refusal(identities: Identities, credential: Credential) -> int:
    with pytest.raises(Refused) as refused:
        await identities.find(credential)
    return refused.value.status


# --- remembering -----------------------------------------------------------------------------------------------------


async def test_what_was_found_is_known_for_five_seconds_of_its_look_up() -> None:
    world, clock = await in_thread(World), Clock()
    identities, credential = Identities(clock), session_of(world)
    assert identities.known(credential) is None

    identity = await identities.find(credential)

    assert identity == world.by_session()
    clock.moment += KEEP_SECONDS - 0.001
    assert identities.known(credential) == identity
    clock.moment += 0.001
    assert identities.known(credential) is None


async def test_the_time_that_a_look_up_took_counts() -> None:
    world, clock, gate = await in_thread(World), Clock(), Gate(is_open=False)
    identities, credential = Identities(clock, gate.load), session_of(world)
    finding = asyncio.create_task(identities.find(credential))
    await eventually(lambda: gate.asked, "the look-up")

    clock.moment += KEEP_SECONDS
    gate.open()
    await finding

    assert identities.known(credential) is None


async def test_a_session_is_not_known_as_a_token_nor_a_token_as_a_session() -> None:
    world = await in_thread(World)
    identities, token = Identities(Clock()), await in_thread(lambda: make_token(world))
    await identities.find(session_of(world))
    await identities.find(token)

    assert identities.known(Credential("token", world.key())) is None
    assert identities.known(Credential("session", token.text)) is None


async def test_a_refusal_is_not_remembered() -> None:
    world = await in_thread(World)
    identities = Identities(Clock())
    text, digest = new_token()
    assert await refusal(identities, Credential("token", text)) == 401

    await in_thread(
        lambda: AccessToken.objects.create(user=world.users[0], name="t", digest=digest, scopes=["read"])
    )
    found = await identities.find(Credential("token", text))

    assert not found.may_stream
    assert identities.known(Credential("token", text)) is None


async def test_no_more_are_remembered_than_there_is_room_for() -> None:
    def load(credentials: Sequence[Credential]) -> list[Identity | Exception]:
        return [Identity(user_id=int(credential.text)) for credential in credentials]

    identities = Identities(Clock(), load)
    many = [Credential("session", str(n)) for n in range(MOST_KEPT + 10)]

    for start in range(0, len(many), 500):  # each waits five seconds at most, for all before it as well
        await asyncio.gather(*map(identities.find, many[start : start + 500]))

    assert sum(identities.known(credential) is not None for credential in many) == MOST_KEPT
    assert identities.known(many[-1]) is not None


# --- together --------------------------------------------------------------------------------------------------------


async def test_who_asks_at_the_same_time_shares_look_ups_and_hops() -> None:
    world, gate = await in_thread(World), Gate()
    identities = Identities(Clock(), gate.load)
    credentials = [session_of(world, n % 2) for n in range(20)] + [
        Credential("session", f"unknown-{n:03}") for n in range(MOST_TOGETHER)
    ]

    found = await asyncio.gather(*map(identities.find, credentials), return_exceptions=True)

    assert found[:20] == [world.by_session(n % 2) for n in range(20)]
    assert all(isinstance(one, Refused) for one in found[20:])
    assert sum(map(len, gate.asked)) == 2 + MOST_TOGETHER
    assert len(gate.asked) <= 3


async def test_one_that_goes_away_takes_nothing_from_the_others() -> None:
    world, gate = await in_thread(World), Gate(is_open=False)
    identities, credential = Identities(Clock(), gate.load), session_of(world)
    first = asyncio.create_task(identities.find(credential))
    await eventually(lambda: gate.asked, "the look-up")
    second = asyncio.create_task(identities.find(credential))

    first.cancel()
    gate.open()

    assert await second == world.by_session()
    assert len(gate.asked) == 1


async def test_stopping_ends_look_ups_under_way() -> None:
    world, gate = await in_thread(World), Gate(is_open=False)
    identities = Identities(Clock(), gate.load)
    finding = asyncio.create_task(identities.find(session_of(world)))
    await eventually(lambda: gate.asked, "the look-up")

    await identities.stop()

    with pytest.raises(asyncio.CancelledError):
        await finding
    gate.open()


# --- revocation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end", [log_out, delete_the_session, change_the_password, disable_the_account, delete_the_account]
)
async def test_a_session_that_ended_is_forgotten_at_once(
    new_hub: NewHub, end: Callable[[World], None]
) -> None:
    world = await in_thread(World)
    hub = await new_hub(Clock())
    for index in (0, 1):
        await hub.identities.find(session_of(world, index))
    gone, other = session_of(world), session_of(world, 1)

    await in_thread(lambda: end(world))

    await eventually(lambda: hub.identities.known(gone) is None, "it to be forgotten")
    assert await refusal(hub.identities, gone) == 401
    assert hub.identities.known(other) == world.by_session(1)


@pytest.mark.parametrize(("end", "is_known"), [(revoke_the_token, False), (narrow_the_token, True)])
async def test_a_token_that_changed_is_forgotten_at_once(
    new_hub: NewHub, end: Callable[[World], None], is_known: bool
) -> None:
    world = await in_thread(World)
    hub, token = await new_hub(Clock()), await in_thread(lambda: make_token(world))
    assert (await hub.identities.find(token)).may_stream

    await in_thread(lambda: end(world))

    await eventually(lambda: hub.identities.known(token) is None, "it to be forgotten")
    if is_known:
        assert not (await hub.identities.find(token)).may_stream
    else:
        assert await refusal(hub.identities, token) == 401


async def test_what_was_read_before_a_revocation_is_neither_remembered_nor_given_to_who_asks_after_it() -> (
    None
):
    world, gate = await in_thread(World), Gate(is_open=False)
    identities, credential = Identities(Clock(), gate.load), session_of(world)
    early = asyncio.create_task(identities.find(credential))
    await eventually(lambda: gate.asked, "the look-up")
    revocations = identities.revocations

    await in_thread(lambda: User.objects.filter(pk=world.users[0].pk).update(is_active=False))
    identities.forget_user(world.users[0].pk)
    late = asyncio.create_task(refusal(identities, credential))
    await eventually(lambda: len(gate.asked) == 2, "a look-up of its own")
    gate.open()

    assert await late == 401
    assert await early == world.by_session()
    assert identities.revocations > revocations  # by which the early one is looked at again
    assert identities.known(credential) is None


async def test_a_process_that_lost_redis_trusts_nothing_that_it_remembers(new_hub: NewHub) -> None:
    world = await in_thread(World)
    hub: Hub = await new_hub(Clock())
    credential = session_of(world)
    await hub.identities.find(credential)
    assert hub.identities.known(credential) is not None

    hub._lose_redis(ConnectionError("away"))

    assert hub.identities.known(credential) is None
