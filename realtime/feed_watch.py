"""What this process hears of each source, and what it may therefore believe.

Every source says each second how it is, with its epoch and the number of its last batch. From that come the three
judgements here: a batch was lost, a former leader speaks, nobody speaks any more. Showing is telling connections.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from realtime.bus import Batch, FeedStatus
from realtime.protocol import Channel, Mode, encode, envelope, now

SILENCE_SECONDS = 3.0  # three heartbeats; a loaded feed may well miss one
RESTING = ("stopped", "ended", "failed")  # states in which silence is no news


class SourceView:
    """One source as this process knows it; `shown` is what its connections were told."""

    __slots__ = ("heard_at", "number", "shown", "status")

    def __init__(self, status: FeedStatus, moment: float) -> None:
        self.status = status
        self.number = status.number
        self.heard_at = moment
        self.shown: dict[str, Any] = {}

    @property
    def epoch(self) -> int:
        return self.status.epoch

    @property
    def is_live(self) -> bool:
        return self.shown.get("state") == "live"

    def frame(self) -> str:
        return envelope("feed_status", encode(self.shown))


class FeedWatch:
    """All sources.

    Args:
        clock: monotonic seconds.
        tell: called with a source's view whenever what is shown of it changes.
    """

    def __init__(self, clock: Callable[[], float], tell: Callable[[SourceView], None]) -> None:
        self._clock = clock
        self._tell = tell
        self.views: dict[str, SourceView] = {}

    def is_live(self, source: str) -> bool:
        view = self.views.get(source)
        return view is not None and view.is_live

    def modes(self, sources: Iterable[str]) -> set[str]:
        """The modes that some of the sources can fill; prices by hand fill the first two."""
        found: set[str] = {Mode.LTPC, Mode.QUOTE}
        return found.union(*(view.status.modes for view in self._views_of(sources)))

    def channels(self, sources: Iterable[str]) -> set[str]:
        """The channels that some of the sources can fill; bars are built of any prices."""
        found: set[str] = {Channel.BARS}
        return found.union(*(view.status.channels for view in self._views_of(sources)))

    def _views_of(self, sources: Iterable[str]) -> Iterator[SourceView]:
        return (self.views[source] for source in sources if source in self.views)

    def is_silent(self, view: SourceView) -> bool:
        return self._clock() - view.heard_at > SILENCE_SECONDS

    def are_all_silent(self) -> bool:
        return bool(self.views) and all(self.is_silent(view) for view in self.views.values())

    def learn(self, status: FeedStatus, age_seconds: float) -> None:
        """Takes a source's last heartbeat from Redis, unless the source was heard already."""
        if status.source in self.views:
            return
        view = self.views[status.source] = SourceView(status, self._clock() - age_seconds)
        if self.is_silent(view) and status.state not in RESTING:
            self.show(view, "down", "no heartbeat for 3 s", status.at)
        else:
            self.show_own(view)

    def on_status(self, status: FeedStatus) -> bool:
        """Takes a heartbeat; returns whether a batch before it was lost."""
        view = self.views.get(status.source)
        if view is None:
            view = self.views[status.source] = SourceView(status, self._clock())
        elif status.epoch < view.epoch:
            return False
        lost = status.number > (view.number if status.epoch == view.epoch else 0)
        view.status, view.number, view.heard_at = status, status.number, self._clock()
        self.show_own(view)
        return lost

    def on_batch(self, batch: Batch) -> bool | None:
        """Takes a batch's number; returns whether one before it was lost, None for a former leader's batch."""
        view = self.views.get(batch.source)
        if view is None:
            status = FeedStatus(source=batch.source, state="live", since=now(), reason="", epoch=batch.epoch)
            view = self.views[batch.source] = SourceView(status, self._clock())
            view.number = batch.number
            self.show_own(view)
            return False
        if batch.epoch < view.epoch:
            return None
        if batch.epoch > view.epoch:
            view.status = msgspec.structs.replace(view.status, epoch=batch.epoch)
            view.number = 0
        lost = batch.number > view.number + 1
        view.number = max(view.number, batch.number)
        view.heard_at = self._clock()
        return lost

    def on_silence(self, reason: str) -> None:
        """Shows as down whoever has not been heard for 3 s."""
        for view in self.views.values():
            if self.is_silent(view) and view.shown.get("state") not in ("down", *RESTING):
                self.show(view, "down", reason)

    def on_deafness(self, reason: str) -> None:
        """Shows every source as down, because this process can't hear."""
        for view in self.views.values():
            if view.shown.get("state") not in RESTING:
                self.show(view, "down", reason)

    def show_own(self, view: SourceView) -> None:
        """Shows what the source says of itself."""
        self.show(view, view.status.state, view.status.reason, view.status.since)

    def show(self, view: SourceView, state: str, reason: str, since: str | None = None) -> None:
        shown, status = view.shown, view.status
        facts = {
            "source": status.source,
            "state": state,
            "reason": reason,
            "epoch": view.epoch,
            "channels": list(status.channels),
            "markets": status.markets,
        }
        if facts.items() <= shown.items():
            return
        if since is None:
            since = shown["since"] if shown.get("state") == state else now()
        view.shown = {**facts, "since": since}
        self._tell(view)
