"""Whose credentials are whose: looked up a few at a time, and remembered for five seconds.

A crowd that reconnects shows thousands of credentials at once, and a page that reloads the same one again and again.
Refusals are never remembered. A revocation drops what is remembered of it, and no look-up that began before it is
remembered, or given to anybody who asks later; `revocations` tells a caller that one came meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from realtime.database import TIMEOUT, in_database
from realtime.handshake import Credential, Identity, identify, session_digest

KEEP_SECONDS = 5.0
MOST_KEPT = 10_000
# One hop's look-ups, half a millisecond each: long enough that the hop costs little beside them, and short enough
# that who waits behind them does not notice.
MOST_TOGETHER = 16
# Hops at a time, of four threads: the others are for who has come in already.
MOST_HOPS = 2


Load = Callable[[Sequence[Credential]], list[Identity | Exception]]


class Known(NamedTuple):
    """An identity, and the moment its look-up began."""

    identity: Identity
    since: float


class Identities:
    """What this process knows of credentials.

    Args:
        clock: monotonic seconds.
        load: reads the database, as `handshake.identify`.
    """

    def __init__(self, clock: Callable[[], float], load: Load = identify) -> None:
        self.revocations = 0
        self._clock = clock
        self._load = load
        self._known: dict[str, Known] = {}  # by name, oldest first
        self._asked: dict[str, asyncio.Future[Identity]] = {}
        self._waiting: dict[asyncio.Future[Identity], Credential] = {}
        self._hops: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Ends the look-ups under way; their callers are cancelled."""
        hops = list(self._hops)
        for hop in hops:
            hop.cancel()
        await asyncio.gather(*hops, return_exceptions=True)
        for answer in [*self._asked.values(), *self._waiting]:
            answer.cancel()

    # --- asking ------------------------------------------------------------------------------------------------------

    def known(self, credential: Credential) -> Identity | None:
        """Returns whose credential this is, if that was looked up within the last 5 s."""
        known = self._known.get(_name(credential))
        if known is None or self._clock() - known.since >= KEEP_SECONDS:
            return None
        return known.identity

    async def find(self, credential: Credential) -> Identity:
        """Looks up whose credential this is, together with all who ask at the same time.

        Raises:
            Refused: 401 when it is nobody's.
            DatabaseError, TimeoutError: the database does not answer.
        """
        name = _name(credential)
        answer = self._asked.get(name)
        if answer is None:
            answer = self._asked[name] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # all may have gone away
            self._waiting[answer] = credential
            if len(self._hops) < MOST_HOPS:
                hop = asyncio.create_task(self._look_up_all(), name="identities")
                self._hops.add(hop)
                hop.add_done_callback(self._hops.discard)
        async with asyncio.timeout(TIMEOUT):
            return await asyncio.shield(answer)  # one caller that goes away must not take it from the others

    async def _look_up_all(self) -> None:
        while self._waiting:
            answers = list(self._waiting)[:MOST_TOGETHER]
            credentials = [self._waiting.pop(answer) for answer in answers]
            began, revocations = self._clock(), self.revocations
            found: list[Identity | Exception]
            try:
                found = await in_database(self._load, credentials)
            except Exception as error:
                found = [error] * len(answers)
            for credential, answer, one in zip(credentials, answers, found, strict=True):
                name = _name(credential)
                if self._asked.get(name) is answer:
                    del self._asked[name]
                if isinstance(one, Exception):
                    answer.set_exception(one)
                    continue
                answer.set_result(one)
                if one.user_id is not None and one.may_stream and revocations == self.revocations:
                    self._keep(name, Known(one, began))

    def _keep(self, name: str, known: Known) -> None:
        self._known.pop(name, None)
        self._known[name] = known
        oldest = next(iter(self._known))
        while len(self._known) > MOST_KEPT or known.since - self._known[oldest].since >= KEEP_SECONDS:
            del self._known[oldest]
            oldest = next(iter(self._known))

    # --- revocation --------------------------------------------------------------------------------------------------

    def forget_session(self, digest: str) -> None:
        """A session ended, named by `handshake.session_digest`."""
        self._revoke()
        self._known.pop(f"session {digest}", None)

    def forget_user(self, user_id: int) -> None:
        """A user, or a token of theirs, changed."""
        self._revoke()
        for name in [name for name, known in self._known.items() if known.identity.user_id == user_id]:
            del self._known[name]

    def forget_all(self) -> None:
        """Revocations may have been missed."""
        self._revoke()
        self._known.clear()

    def _revoke(self) -> None:
        self.revocations += 1
        self._asked.clear()  # who asks from now on must not be given what was read before


def _name(credential: Credential) -> str:
    """What a credential is kept under: its digest, as secrets are kept no longer than they are needed."""
    return f"{credential.kind} {session_digest(credential.text)}"
