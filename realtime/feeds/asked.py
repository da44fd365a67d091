"""A polled vendor that gives one symbol a request: a few at once, and none while it wants to be left alone."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from assets.market import Quote
from realtime.feeds.base import Clock, Event, FeedError, FrameError, PolledFeed, Refused, SystemClock

AT_ONCE = 4


class Pause:
    """How long a vendor wants to be left alone, obeyed by whoever asks it next, for prices or for the past.

    Args:
        clock: monotonic time of it is looked at.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._until = 0.0
        self._reason = ""

    @contextmanager
    def obeyed(self) -> Iterator[None]:
        """Runs the block unless the vendor has asked us to wait, and remembers if that is its answer.

        Raises:
            FeedError: what the vendor said, with what is left of the time.
        """
        left = self._until - self._clock.monotonic()
        if left > 0:
            raise FeedError(self._reason, retry_after=left)
        try:
            yield
        except FeedError as error:
            if error.retry_after:
                self._until = self._clock.monotonic() + error.retry_after
                self._reason = str(error)
            raise


class AskedFeed(PolledFeed):
    """Asks for each symbol alone, so that one which cannot be had harms no other."""

    @abstractmethod
    async def ask(self, symbol: str) -> Event:
        """Returns what the vendor says of one symbol: its quote, or that it is refused.

        Raises:
            FeedError: it cannot be had now; with `retry_after` if nothing can.
        """

    async def poll(self, symbols: Iterable[str]) -> list[Event]:
        events, errors = await self._answers(symbols)
        if errors and not any(isinstance(event, Quote) for event in events):
            raise max(errors.values(), key=_weight)
        return events

    async def collect(self, symbols: Iterable[str]) -> list[Event]:
        """Asks once, and says of each symbol that has no quote why it has none."""
        events, errors = await self._answers(symbols)
        return [*events, *(Refused((symbol,), str(error)) for symbol, error in errors.items())]

    async def _answers(self, symbols: Iterable[str]) -> tuple[list[Event], dict[str, Exception]]:
        """Asks until the vendor has enough of us; what was told until then counts."""
        wanted = list(symbols)
        events: list[Event] = []
        errors: dict[str, Exception] = {}
        for start in range(0, len(wanted), AT_ONCE):
            group = wanted[start : start + AT_ONCE]
            answers = await asyncio.gather(*map(self.ask, group), return_exceptions=True)
            for symbol, answer in zip(group, answers, strict=True):
                if isinstance(answer, Exception):
                    errors[symbol] = answer
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    events.append(answer)
            worst = max(errors.values(), key=_weight, default=None)
            if worst is not None and _weight(worst)[0]:
                errors |= dict.fromkeys(wanted[start + AT_ONCE :], worst)
                break
        return events, errors


def _weight(error: Exception) -> tuple[float, bool]:
    """Orders what went wrong: a wait that the vendor asks for, then that it cannot be had, then one bad answer."""
    wait = error.retry_after if isinstance(error, FeedError) else None
    return wait or 0.0, not isinstance(error, FrameError)
