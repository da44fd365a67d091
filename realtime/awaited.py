"""Subscriptions that get less than was asked for: a vendor refuses them or has no room, or no price comes in session.

Such a subscription stands; this only says why nothing comes, or not all of it.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from django.conf import settings

from assets.hours import hours_at
from assets.sessions import AROUND_THE_CLOCK
from realtime.bus import FeedStatus
from realtime.catalog import Catalog
from realtime.connections import Connection
from realtime.feed_watch import FeedWatch
from realtime.protocol import ErrorCode, Mode, ProtocolError, error_frame
from realtime.topics import Topics

FROM_LEAST = (Mode.LTPC, Mode.QUOTE, Mode.OPTION_GREEKS, Mode.FULL, Mode.FULL_D30)  # as vendors have them


class Awaited:
    """Tells connections why a price does not come.

    Args:
        utc_now: wall time, for the sessions of markets.
    """

    def __init__(
        self,
        catalog: Catalog,
        feeds: FeedWatch,
        topics: Topics,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalog = catalog
        self._feeds = feeds
        self._topics = topics
        self._utc_now = utc_now
        self._told: dict[str, str] = {}  # refused symbols that somebody here wants, and why
        # Lowered ones: whose limit it is, and the mode that is left.
        self._lowered: dict[str, tuple[str, str]] = {}

    # --- refusals ----------------------------------------------------------------------------------------------------

    def refusal(self, symbol: str) -> str | None:
        """Returns why a vendor refuses a symbol, when no other live source of the asset can give it."""
        asset, found = self._catalog.recall(symbol), None
        for source in asset.sources if asset is not None else ():
            view = self._feeds.views.get(source)
            if view is None:
                continue
            reason = view.status.refused.get(symbol)
            if reason is None and view.is_live:
                return None
            if reason is not None and found is None:
                found = f"{source}: {reason}"
        return found

    def tell(self, connection: Connection, symbols: Iterable[str]) -> None:
        """Tells one that subscribes to what is refused or lowered already."""
        for symbol in symbols:
            if (less := self._less(symbol)) is not None:
                self._lowered[symbol] = less
                put_less(connection, symbol, *less)
            if (reason := self.refusal(symbol)) is not None:
                self._told[symbol] = reason
                put_no_data(connection, symbol, reason)

    def on_status(self, status: FeedStatus) -> None:
        """Tells everyone who is subscribed to what is refused or lowered since now."""
        if status.lowered or self._lowered:
            self._tell_lowered(status.lowered.keys() | self._lowered.keys())
        if not (status.refused or self._told):
            return
        for symbol in status.refused.keys() | self._told.keys():
            reason = self.refusal(symbol) if symbol in self._topics else None
            if reason is None:
                self._told.pop(symbol, None)
            elif self._told.get(symbol) != reason:
                self._told[symbol] = reason
                for connection in self._topics.subscribers(symbol):
                    put_no_data(connection, symbol, reason)

    # --- limits ------------------------------------------------------------------------------------------------------

    def _less(self, symbol: str) -> tuple[str, str] | None:
        """Returns the source that publishes a symbol and the mode that its limits leave, if they leave less."""
        asset = self._catalog.recall(symbol)
        views = map(self._feeds.views.get, asset.sources if asset is not None else ())
        live = (view.status for view in views if view is not None and view.is_live)
        status = next((status for status in live if symbol not in status.refused), None)
        mode = None if status is None else status.lowered.get(symbol)
        return None if status is None or mode is None else (status.source, mode)

    def _tell_lowered(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            less = self._less(symbol) if symbol in self._topics else None
            if less is None:
                self._lowered.pop(symbol, None)
            elif self._lowered.get(symbol) != less:
                self._lowered[symbol] = less
                for connection in self._topics.subscribers(symbol):
                    put_less(connection, symbol, *less)

    # --- waiting -----------------------------------------------------------------------------------------------------

    def check(self, connection: Connection, moment: float) -> None:
        """Tells of prices that have not come for too long while their market was open."""
        for symbol, since in list(connection.asked_at.items()):
            if moment - since < settings.REALTIME_NO_DATA_TIMEOUT:
                continue
            closed_for = self._closed_for(symbol)
            if closed_for:
                connection.asked_at[symbol] = moment + closed_for
                continue
            del connection.asked_at[symbol]
            if symbol not in self._told:
                put_no_data(connection, symbol, f"{symbol} has had no price so far")

    def _closed_for(self, symbol: str) -> float:
        """Returns in how many seconds the market opens; 0 when it is open."""
        asset, now = self._catalog.recall(symbol), self._utc_now()
        hours = hours_at(AROUND_THE_CLOCK if asset is None else asset.calendar, now)
        return (hours.changes_at - now).total_seconds() if hours.phase == "closed" else 0.0


def put_no_data(connection: Connection, symbol: str, reason: str) -> None:
    error = ProtocolError(ErrorCode.NO_DATA, reason, "subscribe_asset")
    connection.put_event(error_frame(error, symbol=symbol))


def put_less(connection: Connection, symbol: str, source: str, mode: str) -> None:
    """Tells who asked for more than the mode that is left."""
    wanted = connection.subscriptions[symbol]
    if connection.identity.viewer.sees(source) and FROM_LEAST.index(wanted) > FROM_LEAST.index(mode):
        reason = f"{source} has no room for mode {wanted} of {symbol}, and fills {mode}"
        error = ProtocolError(ErrorCode.UNSUPPORTED_MODE, reason, "subscribe_asset")
        connection.put_event(error_frame(error, symbol=symbol))
